//! Named files of a store, out of a directory or a tar; nothing outside of it can be reached.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use super::members::Members;
use crate::error::{Error, Result};

/// The files of a store.
#[derive(Debug)]
pub(super) enum Files {
    Dir(Beneath),
    Tar(Members),
}

/// An open file of a store.
pub(super) struct Opened {
    pub reader: Box<dyn Read + Send>,
    pub size: u64,
}

impl Files {
    /// A regular file; `None` if there is none of that name.
    pub fn open(&self, name: &str) -> Result<Option<Opened>> {
        match self {
            Self::Dir(dir) => dir.open_file(name),
            Self::Tar(tar) => Ok(tar.open(name)?.map(|range| Opened { size: range.len(), reader: Box::new(range) })),
        }
    }

    pub fn has(&self, name: &str) -> Result<bool> {
        Ok(self.open(name)?.is_some())
    }

    /// A small file's bytes. `path` is the store's, for messages.
    pub fn read(&self, path: &Path, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.reader.take(limit + 1).read_to_end(&mut bytes).map_err(Error::file(path.join(name), "read"))?;
        if bytes.len() as u64 > limit {
            return Err(Error::TooLarge { what: format!("{}: {name}", path.display()), limit });
        }
        Ok(Some(bytes))
    }
}

/// A directory; the kernel keeps every lookup beneath it, symlinks included (openat2, RESOLVE_BENEATH).
#[derive(Debug)]
pub(super) struct Beneath {
    fd: OwnedFd,
    path: PathBuf,
}

impl Beneath {
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty()).map_err(|e| Error::file(path, "open")(e.into()))?;
        Ok(Self { fd, path: path.into() })
    }

    fn open_file(&self, name: &str) -> Result<Option<Opened>> {
        let path = self.path.join(name);
        // Not blocking: a FIFO in a blob's place must not hang the build.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let file: File = match openat2(&self.fd, name, flags, Mode::empty(), resolve) {
            Ok(fd) => fd.into(),
            Err(e) => {
                return match e {
                    Errno::NOENT => Ok(None),
                    // What the kernel says of it would be "Invalid cross-device link".
                    Errno::XDEV => Err(Error::malformed(
                        path.display().to_string(),
                        "a symbolic link leads out of the layout: copy the layout with `cp -RL`, if you trust it",
                    )),
                    e => Err(Error::file(path, "open")(e.into())),
                };
            }
        };
        let metadata = file.metadata().map_err(Error::file(&path, "open"))?;
        if !metadata.is_file() {
            return Err(Error::malformed(path.display().to_string(), "not a regular file"));
        }
        Ok(Some(Opened { size: metadata.len(), reader: Box::new(file) }))
    }
}
