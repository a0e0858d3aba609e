//! Unpacking an archive that ADD finds among its sources (BuildKit, `solver/llbsolver/file/unpack.go`,
//! `unpack_root.go`): any tar, plain or in gzip, bzip2, xz or zstd, known by its content, not its name.
//!
//! Entries stay below the destination: names with `..` are refused; links that the archive or the
//! image have are followed there, absolute ones from the destination on, relative ones that would
//! leave it are refused. A `.wh.` name is a file like any other.

use std::{
    cell::{Cell, RefCell},
    io::{self, BufRead, BufReader, Read},
    rc::Rc,
};

use routerpack_rootfs::{
    Content, Kind, Mtime, ResolveError, is_overlay_mark, layer::pax_records, path::within, resolve::MAX_HOPS,
};
use tar::{EntryType, Header};

use crate::{
    Error,
    disk::Bytes,
    owner::Owner,
    path,
    upper::{Meta, Upper},
};

/// Memory that an xz stream's dictionary may take, in KiB. `xz -9` uses 64 MiB.
const XZ_MEMORY: u32 = 512 << 10;

/// Bytes that may come between two entries: extension headers, which are read into memory, and padding.
const MAX_HEADERS: u64 = 4 << 20;

/// A tar is a row of these.
const BLOCK: usize = 512;

/// What an archive's reader has taken since the last entry's end.
#[derive(Default)]
struct Between {
    /// Bytes that it still may take.
    left: Cell<u64>,
    /// Bytes of the archive so far.
    at: Cell<u64>,
    /// Where `headers` begins; none while an entry's content is read.
    begin: Cell<Option<u64>>,
    headers: RefCell<Vec<u8>>,
}

impl Between {
    fn new() -> Rc<Self> {
        let between = Self::default();
        between.expect(0, true);
        Rc::new(between)
    }

    /// Lets the headers of one entry come, and `content` bytes of the entry before. `headers`: keeps what comes now.
    fn expect(&self, content: u64, headers: bool) {
        self.left.set(MAX_HEADERS.saturating_add(content));
        self.headers.borrow_mut().clear();
        self.begin.set(headers.then(|| self.at.get()));
    }

    /// The records of the extended header in front of the entry's own (POSIX.1-2017, pax). `tar` would end a value at
    /// its first newline, and binary attributes have some.
    fn extended(&self) -> Vec<u8> {
        let headers = self.headers.borrow();
        let padding = self.begin.get().unwrap_or(0).wrapping_neg() % BLOCK as u64;
        let mut rest = headers.get(padding as usize..).unwrap_or_default();
        let mut extended = Vec::new();
        while let Some((header, after)) = rest.split_at_checked(BLOCK) {
            let header = Header::from_byte_slice(header);
            let kind = header.entry_type();
            let about_another = kind.is_pax_local_extensions() || kind.is_gnu_longname() || kind.is_gnu_longlink();
            let size = header.entry_size().unwrap_or(0) as usize;
            if !about_another || size > after.len() {
                break;
            }
            if kind.is_pax_local_extensions() {
                extended = after[..size].to_vec();
            }
            rest = after.get(size.next_multiple_of(BLOCK)..).unwrap_or_default();
        }
        extended
    }
}

/// Bounds an archive's headers, and keeps them.
struct Watched<R> {
    inner: R,
    between: Rc<Between>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        let between = &self.between;
        between.at.set(between.at.get() + got as u64);
        if between.begin.get().is_some() {
            between.headers.borrow_mut().extend_from_slice(&buffer[..got]);
        }
        match between.left.get().checked_sub(got as u64) {
            Some(left) => between.left.set(left),
            None => return Err(io::Error::other(format!("more than {MAX_HEADERS} bytes of headers for one entry"))),
        }
        Ok(got)
    }
}

/// The tar inside: magic numbers of bzip2, RFC 1952 (gzip), the .xz format 1.0.4 and RFC 8878 (zstd).
fn inflate(content: &Content) -> io::Result<Box<dyn Read>> {
    let mut raw = BufReader::with_capacity(1 << 16, content.reader());
    let head = raw.fill_buf()?;
    Ok(match head {
        [0x1f, 0x8b, 0x08, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(raw)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(lzma_rust2::XzReader::new_mem_limit(raw, true, XZ_MEMORY)),
        // A frame, or a skippable one in front of it.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Box::new(zstd::stream::read::Decoder::with_buffer(raw)?)
        }
        _ => Box::new(raw),
    })
}

/// Whether a file is a tar with at least one entry.
pub(crate) fn is_archive(content: &Content) -> bool {
    let Ok(reader) = inflate(content) else { return false };
    let mut archive = tar::Archive::new(Watched { inner: reader, between: Between::new() });
    archive.entries().is_ok_and(|mut entries| matches!(entries.next(), Some(Ok(_))))
}

/// Unpacks below `dest`, which is there. `name` is for messages.
pub(crate) fn unpack(
    content: &Content,
    name: &str,
    dest: &[u8],
    owner: Owner,
    to: &mut Upper<'_>,
) -> Result<(), Error> {
    let broken = |e: io::Error| Error::Archive { archive: name.to_string(), reason: e.to_string() };
    let between = Between::new();
    let mut archive = tar::Archive::new(Watched { inner: inflate(content).map_err(broken)?, between: between.clone() });
    let mut entries = archive.entries().map_err(broken)?;
    loop {
        between.expect(0, true);
        let Some(entry) = entries.next() else { return Ok(()) };
        let mut entry = entry.map_err(broken)?;
        let extended = between.extended();
        between.expect(entry.size(), false);
        unpack_entry(&mut entry, &extended, name, dest, owner, to)?;
        // what nobody wanted of it stands before the next one's headers
        io::copy(&mut entry, &mut io::sink()).map_err(broken)?;
    }
}

/// Unpacks one entry; `extended` are its extended header's records.
fn unpack_entry(
    entry: &mut tar::Entry<'_, impl Read>,
    extended: &[u8],
    name: &str,
    dest: &[u8],
    owner: Owner,
    to: &mut Upper<'_>,
) -> Result<(), Error> {
    let broken = |e: io::Error| Error::Archive { archive: name.to_string(), reason: e.to_string() };
    let written = entry.path_bytes().into_owned();
    let refuse = |reason: &str| Error::Archive {
        archive: name.to_string(),
        reason: format!("entry `{}` {reason}", String::from_utf8_lossy(&written)),
    };
    let kind = match entry.header().entry_type() {
        EntryType::XGlobalHeader => return Ok(()),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Directory => Kind::Dir,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Link => Kind::HardLink,
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char => Kind::CharDev,
        EntryType::Block => Kind::BlockDev,
        other => return Err(refuse(&format!("is of the unknown type {:?}", char::from(other.as_byte())))),
    };
    let inside = within(b"", &written).ok_or_else(|| refuse("is outside of the archive"))?;
    let target = place(to, dest, &inside, kind == Kind::Dir)?.ok_or_else(|| refuse("is outside of the archive"))?;
    if target == dest {
        return Ok(()); // `./`: the destination keeps what it is
    }
    let meta = meta(entry, extended, owner).map_err(broken)?;
    let parents = Meta { mode: 0o755, mtime: to.time(None), ..Meta::default() };
    to.make_dirs(path::split(&target).0, &parents)?;
    let there = to.get(&target).map(|e| e.kind);
    if kind == Kind::Dir {
        if there == Some(Kind::Dir) {
            let dir = to.edit_dir(&target)?;
            (dir.mode, dir.uid, dir.gid, dir.mtime) = (meta.mode, meta.uid, meta.gid, meta.mtime);
            if !meta.xattrs.is_empty() {
                dir.extra.get_or_insert_default().xattrs.extend(meta.xattrs);
            }
        } else {
            to.remove(&target)?;
            to.put_dir(&target, meta)?;
        }
        return Ok(());
    }
    if there == Some(Kind::Dir) {
        to.remove(&target)?;
    }
    let link = entry.link_name_bytes().map(|l| l.into_owned()).unwrap_or_default();
    if kind == Kind::HardLink {
        let first = within(b"", &link).ok_or_else(|| refuse("is a hard link to the outside of the archive"))?;
        let first = place(to, dest, &first, false)?.ok_or_else(|| refuse("is a hard link to the outside"))?;
        match to.get(&first).map(|e| e.kind) {
            None => return Err(refuse("is a hard link to nothing")),
            Some(Kind::Dir) => return Err(refuse("is a hard link to a directory")),
            Some(_) => {}
        }
        to.copy_up(&first)?;
        to.link(&first, &target)?;
        // Of a file's headers the last one counts.
        to.set_linked(&target, &meta)?;
        return Ok(());
    }
    let header = entry.header();
    let rdev = match kind {
        Kind::CharDev | Kind::BlockDev => {
            (header.device_major().map_err(broken)?.unwrap_or(0), header.device_minor().map_err(broken)?.unwrap_or(0))
        }
        _ => (0, 0),
    };
    let size = entry.size();
    let link = if kind == Kind::Symlink { link } else { Vec::new() };
    to.put(meta.entry(&target, kind, &link, rdev), Bytes::Reader(entry))?;
    if kind == Kind::File && to.get(&target).is_some_and(|e| e.size != size) {
        return Err(refuse("ends before its size: the archive is cut off"));
    }
    Ok(())
}

/// Where an entry goes, links in its directories followed (its own if `follow`), all below `dest`.
/// None if a link leads outside.
fn place(to: &Upper<'_>, dest: &[u8], name: &[u8], follow: bool) -> Result<Option<Vec<u8>>, Error> {
    let mut name = name.to_vec();
    'again: for _ in 0..=MAX_HOPS {
        let ends: Vec<usize> =
            name.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at).chain([name.len()]).collect();
        for end in ends {
            if end == name.len() && !follow {
                break;
            }
            let here = path::join(dest, &name[..end]);
            let Some(link) = to.get(&here).filter(|e| e.kind == Kind::Symlink) else { continue };
            let Some(led) = within(path::split(&name[..end]).0, link.link()) else { return Ok(None) };
            name = path::join(&led, name.get(end + 1..).unwrap_or_default());
            continue 'again;
        }
        return Ok(Some(path::join(dest, &name)));
    }
    Err(ResolveError::Loop(path::join(dest, &name)).into())
}

/// An entry's metadata. Times out of range count as 1970.
fn meta(entry: &tar::Entry<'_, impl Read>, extended: &[u8], owner: Owner) -> io::Result<Meta> {
    let mut meta = Meta::default();
    let header = entry.header();
    meta.mode = (header.mode()? & 0o7777) as u16;
    (meta.uid, meta.gid) = (clamp(header.uid()?), clamp(header.gid()?));
    meta.mtime.secs = header.mtime().ok().and_then(|secs| i64::try_from(secs).ok()).unwrap_or(0);
    // POSIX.1-2017, pax: "Extended Header Keywords"; xattrs as GNU tar, bsdtar and Go name them.
    for record in pax_records(extended) {
        let (key, value) = record.map_err(io::Error::other)?;
        let text = || std::str::from_utf8(value).ok();
        match key {
            b"uid" => meta.uid = text().and_then(|t| t.parse().ok()).unwrap_or(meta.uid),
            b"gid" => meta.gid = text().and_then(|t| t.parse().ok()).unwrap_or(meta.gid),
            b"mtime" => meta.mtime = text().and_then(time).unwrap_or_default(),
            key => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.").filter(|name| !is_overlay_mark(name)) {
                    meta.xattrs.insert(name.to_vec(), value.to_vec());
                }
            }
        }
    }
    if let Some((uid, gid)) = owner {
        (meta.uid, meta.gid) = (uid, gid);
    }
    Ok(meta)
}

/// An id beyond 32 bits can't be given to anything.
fn clamp(id: u64) -> u32 {
    u32::try_from(id).unwrap_or(0)
}

/// `seconds[.fraction]`, not before 1970.
fn time(text: &str) -> Option<Mtime> {
    let (secs, fraction) = text.split_once('.').unwrap_or((text, ""));
    let secs: u64 = secs.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    Some(Mtime { secs: i64::try_from(secs).ok()?, nanos: digits.parse().ok()? })
}
