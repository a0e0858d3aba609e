//! Reading a layer tar once, in a stream: its bytes go to a spool as they are, and are hashed; its entries
//! become an [`Index`] of offsets into the spool.
//!
//! Understood: V7, ustar (POSIX.1-1988), star, old GNU (long names, base-256 numbers) and pax
//! (POSIX.1-2001 records, `SCHILY.xattr.*`, `LIBARCHIVE.xattr.*`); whiteouts as the OCI image-spec has them
//! (layer.md), aufs's other `.wh..wh.` names are skipped. Everything in a tar is untrusted: sizes, counts and
//! names are bounded, and nothing here touches a file system.

mod header;
mod order;
mod pax;
mod shelf;

use std::io::{self, Read, Write};

use routerpack_graph::Digest;
use sha2::{Digest as _, Sha256};

use crate::{
    index::{Entry, Extra, Index, Kind},
    path::{self, BadPath},
};
use header::{BLOCK, Header};
use order::Order;
use pax::Pax;
pub use pax::records as pax_records;

/// Most bytes of one extension header (a pax record block, a GNU long name); Go's `archive/tar` has the same.
pub const MAX_EXTENSION: u64 = 1 << 20;
/// Most entries of one layer.
pub const MAX_ENTRIES: usize = 1 << 22;
/// Most bytes of names, link targets and attributes that one layer's index takes.
pub const MAX_METADATA: usize = 512 << 20;

/// What [`read_layer`] found.
#[derive(Clone, Debug)]
pub struct LayerIndex {
    /// The layer's own entries, whiteouts included; offsets are positions in the spool.
    pub index: Index,
    /// The sha256 of the tar, as the image config's `rootfs.diff_ids` has it.
    pub diff_id: Digest,
    /// Length of the tar.
    pub bytes: u64,
}

/// Why a layer can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The source failed.
    #[error("reading the layer at byte {at}: {error}")]
    Read {
        /// Position in the tar.
        at: u64,
        /// What happened.
        error: io::Error,
    },
    /// The spool failed; likely no space is left.
    #[error("storing the layer: {0}")]
    Spool(io::Error),
    /// The tar ends in the middle.
    #[error("the layer is cut off at byte {at}, {}", match .name.is_empty() {
        true => "in a header".to_string(),
        false => format!("in entry `{}`", path::brief(.name)),
    })]
    Truncated {
        /// Length of what there is.
        at: u64,
        /// The last entry; empty in a header.
        name: Vec<u8>,
    },
    /// Not a tar header.
    #[error("the layer is not a valid tar at byte {at}: {why}")]
    Header {
        /// Where the header starts.
        at: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An entry that can't be part of a rootfs.
    #[error("layer entry `{}` (at byte {at}): {why}", path::brief(.name))]
    Entry {
        /// Where its header starts.
        at: u64,
        /// Its name as the tar has it.
        name: Vec<u8>,
        /// What is wrong with it.
        why: EntryFault,
    },
    /// More entries than [`MAX_ENTRIES`], or more metadata than [`MAX_METADATA`].
    #[error(
        "the layer has more metadata than any honest one (limits: {MAX_ENTRIES} entries, {MAX_METADATA} bytes of names)"
    )]
    TooMuch,
}

/// See [`LayerError::Entry`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryFault {
    /// The name can't be a path.
    #[error("bad name: {0}")]
    Name(BadPath),
    /// The name is one that the whiteout format keeps for itself.
    #[error("`.wh.` names are reserved for whiteouts")]
    ReservedName,
    /// The target of a hard link can't be a path.
    #[error("bad hard link target: {0}")]
    LinkTarget(BadPath),
    /// A symlink's target is empty, too long or has a NUL.
    #[error("bad symbolic link target")]
    SymlinkTarget,
    /// A hard link to a directory.
    #[error("a hard link to a directory")]
    LinkToDirectory,
    /// A hard link to itself.
    #[error("a hard link to itself")]
    LinkToItself,
    /// A parent is something else in this layer.
    #[error("its parent `{}` is not a directory", path::show(.0))]
    ParentNotDirectory(Vec<u8>),
    /// Symlinks of this layer that the name goes through form a circle.
    #[error("its name goes through a circle of symbolic links")]
    SymlinkLoop,
    /// The root as anything but a directory.
    #[error("the root can only be a directory")]
    Root,
    /// GNU or pax sparse files.
    #[error("a sparse file; write the tar without --sparse")]
    Sparse,
    /// A type that a rootfs can't hold.
    #[error("unknown entry type {:?}", char::from(*.0))]
    Type(u8),
    /// A user or group that Linux can't have.
    #[error("a user or group id out of range")]
    Owner,
    /// An unreadable pax record.
    #[error("a malformed pax header: {0}")]
    Pax(&'static str),
    /// A size that no file has.
    #[error("a size out of range")]
    Size,
}

/// Reads a whole tar: copies its very bytes to `spool`, hashes them, and indexes its entries.
///
/// Reads the source to its end, padding and all. On an error the spool holds a part, which the caller removes.
pub fn read_layer(tar: impl Read, spool: impl Write) -> Result<LayerIndex, LayerError> {
    let mut reader = Reader { tee: Tee::new(tar, spool), order: Order::default(), metadata: 0, count: 0 };
    let mut next = Extensions::default();
    while let Some((at, header)) = reader.header(&next)? {
        match header.kind {
            // Pax globals describe the archive; Docker and containerd skip them, so images depend on none.
            b'g' => reader.skip(&header, b"pax global header")?,
            b'x' | b'X' => {
                let records = reader.extension(at, &header)?;
                next.pax = Some(Pax::parse(&records).map_err(|why| LayerError::Entry {
                    at,
                    name: header.name.clone(),
                    why: EntryFault::Pax(why),
                })?);
            }
            b'L' => next.name = Some(until_nul(reader.extension(at, &header)?)),
            b'K' => next.link = Some(until_nul(reader.extension(at, &header)?)),
            _ => reader.entry(at, header, std::mem::take(&mut next))?,
        }
    }
    if !next.is_empty() {
        return Err(LayerError::Truncated { at: reader.tee.at, name: Vec::new() });
    }
    reader.tee.drain()?;
    reader.tee.to.flush().map_err(LayerError::Spool)?;
    Ok(LayerIndex {
        index: reader.order.into_index(),
        diff_id: Digest::from_hash(reader.tee.hash.finalize().into()),
        bytes: reader.tee.at,
    })
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(nul) = bytes.iter().position(|b| *b == 0) {
        bytes.truncate(nul);
    }
    bytes
}

/// What extension headers say about the entry that follows them.
#[derive(Default)]
struct Extensions {
    pax: Option<Pax>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.name.is_none() && self.link.is_none()
    }
}

/// Bytes that are read, hashed and spooled at once: entries are mostly far smaller, and each would cost a call of
/// its own. A multiple of a tar's block, so that no header lies in two of them.
const CHUNK: usize = 256 << 10;

/// The source on its way to the spool.
struct Tee<R, W> {
    from: R,
    to: W,
    hash: Sha256,
    /// Of the bytes given away.
    at: u64,
    buf: Vec<u8>,
    /// What of `buf` is filled, and what of that is given away.
    filled: usize,
    given: usize,
}

impl<R: Read, W: Write> Tee<R, W> {
    fn new(from: R, to: W) -> Self {
        Self { from, to, hash: Sha256::new(), at: 0, buf: vec![0; CHUNK], filled: 0, given: 0 }
    }

    /// Gives up to `want` bytes, none only at the end of the source. What starts at a multiple of a block and is no
    /// longer than one comes whole, unless the source ends within it.
    fn take(&mut self, want: u64) -> Result<&[u8], LayerError> {
        if self.given == self.filled {
            self.fill()?;
        }
        let n = usize::try_from(want).unwrap_or(usize::MAX).min(self.filled - self.given);
        let bytes = &self.buf[self.given..self.given + n];
        self.given += n;
        self.at += n as u64;
        Ok(bytes)
    }

    fn fill(&mut self) -> Result<(), LayerError> {
        (self.filled, self.given) = (0, 0);
        while self.filled < self.buf.len() {
            match self.from.read(&mut self.buf[self.filled..]) {
                Ok(0) => break,
                Ok(n) => self.filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LayerError::Read { at: self.at + self.filled as u64, error }),
            }
        }
        let bytes = &self.buf[..self.filled];
        self.hash.update(bytes);
        self.to.write_all(bytes).map_err(LayerError::Spool)
    }

    fn drain(&mut self) -> Result<(), LayerError> {
        while !self.take(u64::MAX)?.is_empty() {}
        Ok(())
    }
}

struct Reader<R, W> {
    tee: Tee<R, W>,
    order: Order,
    metadata: usize,
    count: usize,
}

impl<R: Read, W: Write> Reader<R, W> {
    /// The next header and its position; `None` at the end of the archive.
    fn header(&mut self, pending: &Extensions) -> Result<Option<(u64, Header)>, LayerError> {
        let at = self.tee.at;
        let Some(block) = self.block()? else { return Ok(None) };
        if block == [0; BLOCK] {
            // The end is two zero blocks; one followed by the end of the file is let pass (as Go does).
            return match self.block()? {
                None => Ok(None),
                Some(block) if block == [0; BLOCK] => Ok(None),
                Some(_) => Err(LayerError::Header { at, why: "a single block of zeros between entries" }),
            };
        }
        let mut header = Header::parse(&block).map_err(|why| LayerError::Header { at, why })?;
        if let (Some(size), false) = (pending.pax.as_ref().and_then(|p| p.size), header.is_extension()) {
            header.size = size;
        }
        if header.size > i64::MAX as u64 {
            return Err(LayerError::Entry { at, name: header.name, why: EntryFault::Size });
        }
        Ok(Some((at, header)))
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, LayerError> {
        let got: Option<[u8; BLOCK]> = match self.tee.take(BLOCK as u64)? {
            [] => return Ok(None),
            bytes => bytes.try_into().ok(),
        };
        got.map(Some).ok_or(LayerError::Truncated { at: self.tee.at, name: Vec::new() })
    }

    /// Passes an entry's bytes and their padding on.
    fn skip(&mut self, header: &Header, name: &[u8]) -> Result<(), LayerError> {
        let mut left = header.size.next_multiple_of(BLOCK as u64);
        while left > 0 {
            let got = self.tee.take(left)?.len() as u64;
            if got == 0 {
                return Err(LayerError::Truncated { at: self.tee.at, name: name.into() });
            }
            left -= got;
        }
        Ok(())
    }

    /// An extension header's bytes.
    fn extension(&mut self, at: u64, header: &Header) -> Result<Vec<u8>, LayerError> {
        if header.size > MAX_EXTENSION {
            let why = EntryFault::Pax("it is larger than a megabyte");
            return Err(LayerError::Entry { at, name: header.name.clone(), why });
        }
        let mut bytes = Vec::new();
        let mut left = header.size.next_multiple_of(BLOCK as u64);
        while left > 0 {
            let got = self.tee.take(left)?;
            if got.is_empty() {
                return Err(LayerError::Truncated { at: self.tee.at, name: header.name.clone() });
            }
            left -= got.len() as u64;
            bytes.extend_from_slice(got);
        }
        bytes.truncate(header.size as usize);
        Ok(bytes)
    }

    /// An entry proper: into the index, and its bytes past.
    fn entry(&mut self, at: u64, mut header: Header, ext: Extensions) -> Result<(), LayerError> {
        let pax = ext.pax.unwrap_or_default();
        let name = pax.path.clone().or(ext.name).unwrap_or_else(|| std::mem::take(&mut header.name));
        let link = pax.link.clone().or(ext.link).unwrap_or_else(|| std::mem::take(&mut header.link));
        if header.kind == b'\0' && name.ends_with(b"/") {
            header.kind = b'5'; // V7 had no directory type
        }
        // Links, directories and devices have no bytes whatever their size says (POSIX, and Go's reader).
        if matches!(header.kind, b'1'..=b'6') {
            header.size = 0;
        }
        let offset = self.tee.at;
        self.index(&name, link, &header, pax, offset).map_err(|e| match e {
            Fault::Entry(why) => LayerError::Entry { at, name: name.clone(), why },
            Fault::TooMuch => LayerError::TooMuch,
        })?;
        self.skip(&header, &name)
    }

    fn index(&mut self, name: &[u8], link: Vec<u8>, header: &Header, pax: Pax, offset: u64) -> Result<(), Fault> {
        let kind = match header.kind {
            b'0' | b'\0' | b'7' => Kind::File, // contiguous files are files (POSIX ustar)
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDev,
            b'4' => Kind::BlockDev,
            b'5' => Kind::Dir,
            b'6' => Kind::Fifo,
            b'S' => return Err(EntryFault::Sparse.into()),
            b'V' => return Ok(()), // a GNU volume label, no file
            other => return Err(EntryFault::Type(other).into()),
        };
        if pax.sparse {
            return Err(EntryFault::Sparse.into());
        }
        let path = path::clean(name).map_err(EntryFault::Name)?;
        let (dir, base) = path::split(&path).unwrap_or_default();
        if path.split(|b| *b == b'/').any(|c| c.starts_with(b".wh..wh.") && c != b".wh..wh..opq") {
            return Ok(()); // aufs's own files
        }
        if dir.split(|b| *b == b'/').any(|c| c.starts_with(b".wh.")) {
            return Err(EntryFault::ReservedName.into());
        }
        self.account(path.len() + link.len() + pax.xattrs.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>())?;
        if base == b".wh..wh..opq" {
            return Ok(self.order.opaque(dir)?);
        }
        if let Some(gone) = base.strip_prefix(b".wh.") {
            return match gone {
                b"" | b"." | b".." => Err(EntryFault::ReservedName.into()),
                _ => Ok(self.order.whiteout(&path::join(dir, gone))?),
            };
        }
        if kind == Kind::HardLink {
            let target = path::clean(&link).map_err(EntryFault::LinkTarget)?;
            return Ok(self.order.hard_link(&path, &target)?);
        }
        let mut extra = Extra { xattrs: pax.xattrs, ..Extra::default() };
        match kind {
            Kind::Symlink if link.is_empty() || link.len() > path::MAX_PATH || link.contains(&0) => {
                return Err(EntryFault::SymlinkTarget.into());
            }
            Kind::Symlink => extra.link = link,
            // Overlayfs takes such a device for a whiteout, so a layer that has one has always meant that.
            Kind::CharDev if header.rdev == (0, 0) => return Ok(self.order.whiteout(&path)?),
            Kind::CharDev | Kind::BlockDev => extra.rdev = header.rdev,
            _ => {}
        }
        let id = |value: i64| u32::try_from(value).ok().filter(|id| *id != u32::MAX).ok_or(EntryFault::Owner);
        Ok(self.order.put(Entry {
            uid: id(pax.uid.unwrap_or(header.uid))?,
            gid: id(pax.gid.unwrap_or(header.gid))?,
            mtime: pax.mtime.unwrap_or(header.mtime),
            size: if kind == Kind::File { header.size } else { 0 },
            offset: if kind == Kind::File { offset } else { 0 },
            extra: (extra != Extra::default()).then(|| Box::new(extra)),
            ..Entry::new(&path, kind, header.mode)
        })?)
    }

    fn account(&mut self, bytes: usize) -> Result<(), Fault> {
        self.count += 1;
        self.metadata += bytes;
        if self.count > MAX_ENTRIES || self.metadata > MAX_METADATA { Err(Fault::TooMuch) } else { Ok(()) }
    }
}

enum Fault {
    Entry(EntryFault),
    TooMuch,
}

impl From<EntryFault> for Fault {
    fn from(why: EntryFault) -> Self {
        Fault::Entry(why)
    }
}
