//! The members of a tar by name: their headers are read once, their bytes only when asked for.
//!
//! POSIX.1-2017 pax, "pax Interchange Format" and "ustar"; GNU's `L`, `K` and base-256 sizes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use routerpack_rootfs::layer::pax_records;
use routerpack_rootfs::path::{self, within};

use crate::error::{Error, Result};

const BLOCK: u64 = 512;
/// A long name or a PAX header longer than this is an attack, or not a tar.
const MAX_EXTENSION: u64 = 1 << 20;
/// An archive of images has far fewer members; a rootfs may have more, but is only counted.
const MAX_NAMED: usize = 1 << 16;
/// Names of an archive of images are not deeper (`blobs/sha256/<hex>`, `<id>/layer.tar`).
const MAX_DEPTH: usize = 4;
/// Links that lead to links.
const MAX_LINKS: usize = 8;

/// A tar's index.
#[derive(Debug)]
pub(super) struct Members {
    path: PathBuf,
    file: Arc<File>,
    named: HashMap<Vec<u8>, Member>,
    count: u64,
}

#[derive(Debug)]
enum Member {
    File {
        offset: u64,
        size: u64,
    },
    /// A symbolic or hard link, resolved inside the tar.
    Link(Vec<u8>),
}

/// A piece of a file as a reader of its own.
#[derive(Clone, Debug)]
pub(super) struct Range {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Range {
    pub fn new(file: Arc<File>, at: u64, end: u64) -> Self {
        Self { file, at, end }
    }

    pub fn len(&self) -> u64 {
        self.end - self.at
    }
}

impl Read for Range {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = buf.len().min(usize::try_from(self.len()).unwrap_or(usize::MAX));
        let n = self.file.read_at(&mut buf[..n], self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Members {
    /// Reads all headers of an uncompressed tar.
    pub fn scan(path: &Path, file: Arc<File>) -> Result<Self> {
        let length = file.metadata().map_err(Error::file(path, "read"))?.len();
        let bad = |reason: String| Error::NotAnImage { path: path.into(), reason };
        let mut members = Self { path: path.into(), file, named: HashMap::new(), count: 0 };
        let (mut at, mut long) = (0, Long::default());
        while at + BLOCK <= length {
            let mut header = tar::Header::new_old();
            members.file.read_exact_at(header.as_mut_bytes(), at).map_err(Error::file(path, "read"))?;
            if header.as_bytes().iter().all(|b| *b == 0) {
                break;
            }
            let sum: u32 = checksum(header.as_bytes());
            if header.cksum().ok() != Some(sum) {
                return Err(bad(if members.count == 0 {
                    "it is not a tar".into()
                } else {
                    format!("the tar is damaged at byte {at}: a header's checksum is wrong")
                }));
            }
            let size = long.size.take().map_or_else(|| header.entry_size(), Ok);
            let size = size.map_err(|e| bad(format!("the tar is damaged at byte {at}: {e}")))?;
            let offset = at + BLOCK;
            let next = size.checked_next_multiple_of(BLOCK).and_then(|padded| padded.checked_add(offset));
            if offset.checked_add(size).is_none_or(|end| end > length) {
                return Err(bad(format!("the tar is truncated: a member at byte {at} ends beyond the file")));
            }
            at = next.unwrap_or(length);
            members.member(&header, offset, size, &mut long)?;
        }
        if members.count == 0 && length > 0 && length < BLOCK {
            return Err(bad("it is not a tar".into()));
        }
        Ok(members)
    }

    fn member(&mut self, header: &tar::Header, offset: u64, size: u64, long: &mut Long) -> Result<()> {
        use tar::EntryType;
        let kind = header.entry_type();
        if let EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader = kind {
            if size > MAX_EXTENSION {
                return Err(Error::TooLarge {
                    what: format!("{}: a header", self.path.display()),
                    limit: MAX_EXTENSION,
                });
            }
            let mut bytes = vec![0; size as usize];
            self.file.read_exact_at(&mut bytes, offset).map_err(Error::file(&self.path, "read"))?;
            long.read(kind, &bytes);
            return Ok(());
        }
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let long = std::mem::take(long);
        self.count += 1;
        let name = long.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let Some(name) = inside(b"", &name) else { return Ok(()) };
        if name.iter().filter(|b| **b == b'/').count() >= MAX_DEPTH || self.named.len() >= MAX_NAMED {
            return Ok(());
        }
        let target = || long.link.clone().or_else(|| header.link_name_bytes().map(|l| l.into_owned()));
        let member = match kind {
            EntryType::Regular | EntryType::Continuous => Some(Member::File { offset, size }),
            EntryType::Symlink => {
                let parent = path::parent(&name).unwrap_or_default();
                target().and_then(|to| inside(parent, &to)).map(Member::Link)
            }
            EntryType::Link => target().and_then(|to| inside(b"", &to)).map(Member::Link),
            _ => None,
        };
        match member {
            Some(member) => self.named.insert(name, member),
            None => self.named.remove(&name),
        };
        Ok(())
    }

    /// Whether the tar has no members at all.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether a file of that name can be opened.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A file's bytes; `None` if there is none of that name.
    pub fn open(&self, name: &str) -> Result<Option<Range>> {
        Ok(self.find(name).map(|(at, size)| Range::new(self.file.clone(), at, at + size)))
    }

    fn find(&self, name: &str) -> Option<(u64, u64)> {
        let mut name = inside(b"", name.as_bytes())?;
        for _ in 0..MAX_LINKS {
            match self.named.get(&name)? {
                Member::File { offset, size } => return Some((*offset, *size)),
                Member::Link(target) => name = target.clone(),
            }
        }
        None
    }
}

/// The unsigned sum of a header's bytes, its own field taken as blanks.
fn checksum(header: &[u8; 512]) -> u32 {
    let field = 148..156;
    header.iter().enumerate().map(|(i, b)| if field.contains(&i) { u32::from(b' ') } else { u32::from(*b) }).sum()
}

/// A member's name; the tar's root is none.
fn inside(parent: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    within(parent, name).filter(|name| !name.is_empty())
}

/// What extension headers say about the member that follows.
#[derive(Default)]
struct Long {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Long {
    fn read(&mut self, kind: tar::EntryType, bytes: &[u8]) {
        let text = |bytes: &[u8]| bytes.split(|b| *b == 0).next().unwrap_or_default().to_vec();
        match kind {
            tar::EntryType::GNULongName => self.name = Some(text(bytes)),
            tar::EntryType::GNULongLink => self.link = Some(text(bytes)),
            _ => {
                for (key, value) in pax_records(bytes).flatten() {
                    match key {
                        b"path" => self.name = Some(text(value)),
                        b"linkpath" => self.link = Some(text(value)),
                        b"size" => self.size = std::str::from_utf8(value).ok().and_then(|size| size.parse().ok()),
                        _ => {}
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(bytes: &[u8]) -> Result<Members> {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        Members::scan(Path::new("a.tar"), Arc::new(file))
    }

    fn read(members: &Members, name: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        members.open(name).unwrap()?.read_to_end(&mut bytes).unwrap();
        Some(bytes)
    }

    fn sample() -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut add = |kind, name: &str, to: &str, data: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            if to.is_empty() {
                tar.append_data(&mut header, name, data).unwrap();
            } else {
                tar.append_link(&mut header, name, to).unwrap();
            }
        };
        use tar::EntryType::{Link, Regular, Symlink};
        add(Regular, "one/layer.tar", "", b"first");
        add(Symlink, "two/layer.tar", "../one/layer.tar", b"");
        add(Symlink, "out/layer.tar", "../../etc/passwd", b"");
        add(Symlink, "abs/layer.tar", "/one/layer.tar", b"");
        add(Symlink, "loop/layer.tar", "layer.tar", b"");
        add(Link, "hard/layer.tar", "one/layer.tar", b"");
        add(Regular, &format!("{}/layer.tar", "x".repeat(120)), "", b"long");
        add(Regular, "twice", "", b"old");
        add(Regular, "twice", "", b"new");
        tar.into_inner().unwrap()
    }

    #[test]
    fn members_are_found_and_links_stay_inside() {
        let members = scan(&sample()).unwrap();
        for name in ["one/layer.tar", "./one//layer.tar", "two/layer.tar", "abs/layer.tar", "hard/layer.tar"] {
            assert_eq!(read(&members, name).as_deref(), Some(&b"first"[..]), "{name}");
        }
        assert_eq!(read(&members, &format!("{}/layer.tar", "x".repeat(120))).unwrap(), b"long");
        assert_eq!(read(&members, "twice").unwrap(), b"new");
        for name in ["out/layer.tar", "loop/layer.tar", "absent", "", "..", "../one/layer.tar"] {
            assert_eq!(read(&members, name), None, "{name}");
        }
    }

    /// A record's value may have newlines, and what follows one looks like a record of its own.
    #[test]
    fn newlines_end_no_record() {
        let mut tar = tar::Builder::new(Vec::new());
        let records: [(&str, &[u8]); 2] =
            [("SCHILY.xattr.user.x", b"\n13 path=wrong\n10 size=1\n"), ("path", b"right\nname")];
        tar.append_pax_extensions(records).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        tar.append_data(&mut header, "short", &b"bytes"[..]).unwrap();
        let members = scan(&tar.into_inner().unwrap()).unwrap();
        assert_eq!(read(&members, "right\nname").as_deref(), Some(&b"bytes"[..]));
        assert!(!members.has("wrong") && !members.has("short"));
    }

    #[test]
    fn damage_is_an_error() {
        let good = sample();
        assert!(scan(b"no tar at all").unwrap_err().to_string().contains("not a tar"));
        assert!(scan(&[b'x'; 2048]).unwrap_err().to_string().contains("not a tar"));
        let mut flipped = good.clone();
        flipped[1024] ^= 1;
        assert!(scan(&flipped).unwrap_err().to_string().contains("checksum"));
        assert!(scan(&good[..512 + 3]).unwrap_err().to_string().contains("truncated"));
        assert!(scan(&[0; 1024]).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn scanning_never_panics(at in 0usize..4096, byte: u8, cut in 0usize..10_000) {
            let mut bytes = sample();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(cut);
            let _ = scan(&bytes);
        }
    }
}
