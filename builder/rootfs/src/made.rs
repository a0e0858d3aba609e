//! What is made on disk for an entry: nodes, and the metadata of everything.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{self, AtFlags, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};

use crate::{
    index::{Entry, Kind},
    place::{Lost, Warning},
    xattr,
};

/// Makes nodes and sets metadata. What the file system, or the id map that this process lives in, won't take
/// becomes a warning.
#[derive(Debug)]
pub struct Maker {
    chown: bool,
    warnings: Vec<Warning>,
}

impl Maker {
    /// `chown` says whether this process may give files away.
    pub fn new(chown: bool) -> Self {
        Self { chown, warnings: Vec::new() }
    }

    /// What could not be kept on disk.
    pub fn into_warnings(self) -> Vec<Warning> {
        self.warnings
    }

    /// A symlink, device, pipe or socket of this name, with its metadata; false where this process may not
    /// make it.
    pub fn node(&mut self, dir: &OwnedFd, name: &[u8], entry: &Entry) -> io::Result<bool> {
        let kind = match entry.kind {
            Kind::Symlink => {
                fs::symlinkat(entry.link(), dir, name)?;
                return self.set_at(dir, name, entry).map(|()| true);
            }
            Kind::CharDev => FileType::CharacterDevice,
            Kind::BlockDev => FileType::BlockDevice,
            Kind::Fifo => FileType::Fifo,
            Kind::Socket => FileType::Socket,
            Kind::Dir | Kind::File | Kind::HardLink | Kind::Whiteout => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let (major, minor) = entry.rdev();
        let made = match (kind, major, minor) {
            // On disk this would be a whiteout.
            (FileType::CharacterDevice, 0, 0) => Err(Errno::PERM),
            _ => fs::mknodat(dir, name, kind, Mode::RUSR | Mode::WUSR, fs::makedev(major, minor)),
        };
        match made {
            Ok(()) => self.set_at(dir, name, entry).map(|()| true),
            Err(error @ Errno::PERM) => {
                self.warn(entry, Lost::Device, error);
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Metadata of an open file or directory. The owner first: to change it takes away the set-id bits and the
    /// capabilities.
    pub fn set_open(&mut self, fd: impl AsFd, entry: &Entry) -> io::Result<()> {
        self.set_owner(entry, |uid, gid| fs::fchown(&fd, Some(uid), Some(gid)))?;
        fs::fchmod(&fd, Mode::from_raw_mode(entry.mode.into()))?;
        for (attribute, value) in entry.xattrs() {
            if let Err(error) = fs::fsetxattr(&fd, attribute, value, XattrFlags::empty()) {
                self.warn(entry, Lost::Xattr(attribute.into()), error);
            }
        }
        Ok(fs::futimens(&fd, &times(entry))?)
    }

    /// The same by name, for what can't be opened.
    fn set_at(&mut self, dir: &OwnedFd, name: &[u8], entry: &Entry) -> io::Result<()> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        self.set_owner(entry, |uid, gid| fs::chownat(dir, name, Some(uid), Some(gid), flags))?;
        if entry.kind != Kind::Symlink {
            // A symlink has no mode, and none can be in this place: it was made a moment ago.
            fs::chmodat(dir, name, Mode::from_raw_mode(entry.mode.into()), AtFlags::empty())?;
        }
        for (attribute, value) in entry.xattrs() {
            if let Err(error) = xattr::write(dir, name, attribute, value) {
                self.warn(entry, Lost::Xattr(attribute.into()), error);
            }
        }
        Ok(fs::utimensat(dir, name, &times(entry), flags)?)
    }

    /// Ids outside of the user namespace's map are refused with `EINVAL`; the highest number is no id at all.
    fn set_owner(&mut self, entry: &Entry, set: impl Fn(Uid, Gid) -> Result<(), Errno>) -> io::Result<()> {
        if !self.chown {
            return Ok(());
        }
        let set = match entry.uid.max(entry.gid) {
            u32::MAX => Err(Errno::INVAL),
            _ => set(Uid::from_raw(entry.uid), Gid::from_raw(entry.gid)),
        };
        match set {
            Err(error @ (Errno::INVAL | Errno::PERM)) => {
                self.warn(entry, Lost::Owner(entry.uid, entry.gid), error);
                Ok(())
            }
            other => Ok(other?),
        }
    }

    fn warn(&mut self, entry: &Entry, lost: Lost, error: impl Into<io::Error>) {
        self.warnings.push(Warning { path: entry.path.to_vec(), lost, error: error.into() });
    }
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.mtime.secs, tv_nsec: entry.mtime.nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}
