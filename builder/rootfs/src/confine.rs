//! Opening what lies below a directory without ever leaving it.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{self, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use crate::path;

/// Says where an I/O error happened.
pub(crate) fn at(error: io::Error, place: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{place}: {error}"))
}

/// Opens the directory that all else is relative to.
pub fn open_root(root: &Path) -> io::Result<OwnedFd> {
    Ok(fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens a clean path below `root`; a symlink on the way or in last place is an error.
pub fn open(root: impl AsFd, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if path.is_empty() {
        return Ok(fs::openat(root, c".", flags, Mode::empty())?);
    }
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match fs::openat2(&root, path, flags, Mode::empty(), within) {
        // Kernels before 5.6, and seccomp filters that don't know the call.
        Err(Errno::NOSYS | Errno::PERM) => walk(root, path, flags),
        other => Ok(other?),
    }
}

/// The same, a component at a time.
fn walk(root: impl AsFd, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    if !path::is_clean(path) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let (dir, name) = path::split(path).ok_or(io::ErrorKind::InvalidInput)?;
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = fs::openat(root, c".", step, Mode::empty())?;
    for component in dir.split(|b| *b == b'/').filter(|c| !c.is_empty()) {
        at = fs::openat(&at, component, step, Mode::empty())?;
    }
    Ok(fs::openat(&at, name, flags, Mode::empty())?)
}

/// Opens a regular file below `root` for reading.
pub(crate) fn open_file(root: impl AsFd, path: &[u8]) -> io::Result<File> {
    // A pipe that was put in the file's place must not hang the build.
    let file = File::from(open(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file")),
    }
}
