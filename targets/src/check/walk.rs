//! The headers of a tar as they stand: names uncleaned, in order, links unresolved.
//!
//! What is extracted comes from `routerpack_rootfs`; this sees what a simple reader would see. POSIX.1-2001 (ustar,
//! pax) and GNU's extensions. Contents are jumped over; memory is one header's, at most a megabyte.

use std::{fs::File, io, os::unix::fs::FileExt};

const BLOCK: u64 = 512;
/// An extension header longer than this is an attack, or not a tar (Go's `archive/tar` has the same).
const MAX_EXTENSION: u64 = 1 << 20;
/// Attribute names that one entry is remembered with.
const MAX_XATTRS: usize = 8;

/// One member.
#[derive(Clone, Debug, Default)]
pub(crate) struct Member {
    /// As the tar has it.
    pub name: Vec<u8>,
    /// A link's target, as the tar has it.
    pub link: Vec<u8>,
    /// The type flag.
    pub kind: u8,
    /// Bytes of content.
    pub size: u64,
    /// Where the content starts in the file.
    pub offset: u64,
    /// Names of extended attributes.
    pub xattrs: Vec<String>,
    /// GNU's or pax's form of a sparse file.
    pub sparse: bool,
}

/// Why a walk ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The file could not be read.
    Io(io::Error),
    /// It is no tar from this byte on.
    Damaged { at: u64, why: &'static str },
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Io(error)
    }
}

/// Visits every member between two positions of a file. Positions in [`Stop`] count from `start`.
pub(crate) fn walk(file: &File, start: u64, end: u64, visit: &mut dyn FnMut(Member)) -> Result<(), Stop> {
    let (mut at, mut next, mut size) = (start, Member::default(), None);
    let (mut name, mut link) = (None, None);
    while at < end {
        let damaged = |why| Stop::Damaged { at: at - start, why };
        if end - at < BLOCK {
            return Err(damaged("it ends within a header"));
        }
        let mut header = tar::Header::new_old();
        file.read_exact_at(header.as_mut_bytes(), at)?;
        if header.as_bytes().iter().all(|b| *b == 0) {
            break;
        }
        if !checksum_is_right(&header) {
            return Err(damaged("there is no tar header (the checksum is wrong)"));
        }
        let kind = header.as_bytes()[156];
        let is_extension = matches!(kind, b'g' | b'x' | b'X' | b'L' | b'K');
        let own = header.entry_size().map_err(|_| damaged("a size is no number"))?;
        let length = if is_extension { own } else { size.take().unwrap_or(own) };
        let offset = at + BLOCK;
        // Links, directories and devices have no content whatever their size says (POSIX).
        let stored = if matches!(kind, b'1'..=b'6') { 0 } else { length };
        let after = stored.checked_next_multiple_of(BLOCK).and_then(|padded| padded.checked_add(offset));
        let after = after.filter(|_| offset.saturating_add(stored) <= end);
        let after = after.ok_or_else(|| damaged("a member is longer than what is left of the file"))?;
        if is_extension {
            if length > MAX_EXTENSION {
                return Err(damaged("an extension header is longer than a megabyte"));
            }
            let mut bytes = vec![0; length as usize];
            file.read_exact_at(&mut bytes, offset)?;
            match kind {
                b'L' => name = Some(until_nul(&bytes)),
                b'K' => link = Some(until_nul(&bytes)),
                b'g' => {}
                _ => size = pax(&bytes, &mut next, &mut name, &mut link).or(size),
            }
        } else {
            next.name = name.take().unwrap_or_else(|| header.path_bytes().into_owned());
            let short = || header.link_name_bytes().map(|l| l.into_owned()).unwrap_or_default();
            next.link = link.take().unwrap_or_else(short);
            next.kind = if kind == 0 && next.name.ends_with(b"/") { b'5' } else { kind };
            next.size = stored;
            next.offset = offset;
            next.sparse |= kind == b'S';
            visit(std::mem::take(&mut next));
        }
        at = after;
    }
    Ok(())
}

/// Takes what concerns us out of a pax header; the size that it gives, if it does.
fn pax(bytes: &[u8], next: &mut Member, name: &mut Option<Vec<u8>>, link: &mut Option<Vec<u8>>) -> Option<u64> {
    let mut size = None;
    for (key, value) in routerpack_rootfs::layer::pax_records(bytes).flatten() {
        match key {
            b"path" => *name = Some(value.to_vec()),
            b"linkpath" => *link = Some(value.to_vec()),
            b"size" => size = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()),
            _ if key.starts_with(b"GNU.sparse.") => next.sparse = true,
            _ => {
                let attribute = key.strip_prefix(b"SCHILY.xattr.").or(key.strip_prefix(b"LIBARCHIVE.xattr."));
                if let Some(attribute) = attribute.filter(|_| next.xattrs.len() < MAX_XATTRS) {
                    next.xattrs.push(routerpack_rootfs::path::brief(attribute));
                }
            }
        }
    }
    size
}

fn until_nul(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|b| *b == 0).next().unwrap_or_default().to_vec()
}

/// The sum of the header's bytes with its own field as spaces; old writers took the bytes as signed.
fn checksum_is_right(header: &tar::Header) -> bool {
    let Ok(wanted) = header.cksum() else { return false };
    let byte = |(at, b): (usize, &u8)| if (148..156).contains(&at) { b' ' } else { *b };
    let unsigned: u32 = header.as_bytes().iter().enumerate().map(byte).map(u32::from).sum();
    let signed: i64 = header.as_bytes().iter().enumerate().map(byte).map(|b| i64::from(b as i8)).sum();
    wanted == unsigned || i64::from(wanted) == signed
}
