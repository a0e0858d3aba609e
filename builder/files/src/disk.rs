//! The directory that a stratum is written to. Every path is opened from one descriptor of its root
//! and may neither leave it nor go through a symbolic link, whatever an archive or an image says.

use std::{
    ffi::CString,
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use routerpack_rootfs::{Content, Entry, Kind};
use rustix::{
    fs::{self, AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};

use crate::{
    error::{Error, Lost, Warning},
    path,
};

/// Until everything is in it, a directory has to be writable, whatever its final mode.
const WHILE_FILLING: Mode = Mode::RWXU;
/// Until it has its owner, a file is nobody else's.
const WHILE_WRITING: Mode = Mode::RUSR.union(Mode::WUSR);

/// See the module.
pub(crate) struct Disk {
    root: OwnedFd,
    can_chown: bool,
    /// The directory that was used last: most writes go where the one before went.
    last: Option<(Vec<u8>, OwnedFd)>,
    warnings: Vec<Warning>,
}

/// Turns an errno into an error with its place.
fn io_error<'a>(doing: &'static str, path: &'a [u8]) -> impl Fn(Errno) -> Error + 'a {
    move |e| Error::Io { doing, path: path::show(path), source: e.into() }
}

impl Disk {
    /// Starts to fill an empty directory.
    pub(crate) fn new(dir: &Path, can_chown: bool) -> Result<Self, Error> {
        let root = fs::openat(CWD, dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(io_error("open", dir.as_os_str().as_encoded_bytes()))?;
        Ok(Self { root, can_chown, last: None, warnings: Vec::new() })
    }

    /// What could not be kept on disk.
    pub(crate) fn into_warnings(self) -> Vec<Warning> {
        self.warnings
    }

    fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        if path.is_empty() {
            return fs::openat(&self.root, c".", flags, Mode::empty());
        }
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match fs::openat2(&self.root, path, flags, Mode::empty(), inside) {
            // Kernels before 5.6, and filters that don't know the call: component by component.
            Err(Errno::NOSYS | Errno::PERM) => {
                let (dir, name) = path::split(path);
                let dir = dir.split(|b| *b == b'/').filter(|part| !part.is_empty()).try_fold(
                    fs::openat(&self.root, c".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
                    |at, part| {
                        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                        fs::openat(&at, part, step, Mode::empty())
                    },
                )?;
                fs::openat(&dir, name, flags, Mode::empty())
            }
            other => other,
        }
    }

    /// The directory of a path, opened, and the path's last component.
    fn parent<'a>(&mut self, path: &'a [u8]) -> Result<(&OwnedFd, &'a [u8]), Error> {
        let (dir, name) = path::split(path);
        if self.last.as_ref().is_none_or(|(last, _)| last != dir) {
            let fd =
                self.open(dir, OFlags::PATH | OFlags::DIRECTORY).map_err(io_error("open the directory of", path))?;
            self.last = Some((dir.to_vec(), fd));
        }
        let (_, fd) = self.last.as_ref().expect("set above");
        Ok((fd, name))
    }

    fn warn(&mut self, lost: Lost, path: &[u8]) {
        match self.warnings.iter_mut().find(|w| w.lost == lost) {
            Some(warning) => warning.count += 1,
            None => self.warnings.push(Warning { lost, path: path::show(path), count: 1 }),
        }
    }

    /// A directory; it gets its metadata by [`Disk::finish_dir`].
    pub(crate) fn make_dir(&mut self, path: &[u8]) -> Result<(), Error> {
        let (dir, name) = self.parent(path)?;
        fs::mkdirat(dir, name, WHILE_FILLING).map_err(io_error("create", path))
    }

    /// A directory's metadata, once nothing more goes into it.
    pub(crate) fn finish_dir(&mut self, entry: &Entry) -> Result<(), Error> {
        let fd = self.open(&entry.path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(io_error("open", &entry.path))?;
        if entry.opaque && fs::fsetxattr(&fd, c"user.overlay.opaque", b"y", XattrFlags::empty()).is_err() {
            self.warn(Lost::Whiteout, &entry.path);
        }
        self.set_open(&fd, entry)
    }

    /// A file with these bytes. `len` is what the index says; a source that has fewer is an error.
    pub(crate) fn make_file(&mut self, entry: &Entry, from: Bytes<'_>) -> Result<u64, Error> {
        let path = &entry.path;
        let (dir, name) = self.parent(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(fs::openat(dir, name, flags, WHILE_WRITING).map_err(io_error("create", path))?);
        let written = match from {
            Bytes::Content(content) => copy_content(&content, &mut file).map(|()| content.len),
            Bytes::Memory(data) => file.write_all(data).map(|()| data.len() as u64),
            Bytes::Reader(reader) => io::copy(reader, &mut file),
        };
        let written = written.map_err(|source| Error::Io { doing: "write", path: path::show(path), source })?;
        self.set_open(&file, entry)?;
        Ok(written)
    }

    /// A symbolic link.
    pub(crate) fn make_symlink(&mut self, entry: &Entry) -> Result<(), Error> {
        let (dir, name) = self.parent(&entry.path)?;
        fs::symlinkat(entry.link(), dir, name).map_err(io_error("create", &entry.path))?;
        self.set_at(entry)
    }

    /// A device, pipe or socket, where the system lets us.
    pub(crate) fn make_node(&mut self, entry: &Entry) -> Result<(), Error> {
        let kind = match entry.kind {
            Kind::CharDev => FileType::CharacterDevice,
            Kind::BlockDev => FileType::BlockDevice,
            Kind::Socket => FileType::Socket,
            _ => FileType::Fifo,
        };
        let (major, minor) = entry.rdev();
        // A character device 0/0 on disk would be a whiteout.
        let made = if kind == FileType::CharacterDevice && (major, minor) == (0, 0) {
            Err(Errno::PERM)
        } else {
            let (dir, name) = self.parent(&entry.path)?;
            fs::mknodat(dir, name, kind, WHILE_WRITING, fs::makedev(major, minor))
        };
        match made {
            Ok(()) => self.set_at(entry),
            Err(Errno::PERM | Errno::ACCESS) => {
                self.warn(Lost::Device, &entry.path);
                Ok(())
            }
            Err(e) => Err(io_error("create", &entry.path)(e)),
        }
    }

    /// The mark that overlayfs takes for "deleted": a character device 0/0.
    pub(crate) fn make_whiteout(&mut self, path: &[u8]) -> Result<(), Error> {
        let (dir, name) = self.parent(path)?;
        match fs::mknodat(dir, name, FileType::CharacterDevice, Mode::empty(), fs::makedev(0, 0)) {
            Err(Errno::PERM | Errno::ACCESS) => {
                self.warn(Lost::Whiteout, path);
                Ok(())
            }
            other => other.map_err(io_error("create", path)),
        }
    }

    /// One more name for something that this directory holds, or `may_miss`.
    pub(crate) fn make_link(&mut self, from: &[u8], to: &[u8], may_miss: bool) -> Result<(), Error> {
        let (from_dir, from_name) = path::split(from);
        let from_dir = self.open(from_dir, OFlags::PATH | OFlags::DIRECTORY).map_err(io_error("open", from))?;
        let (dir, name) = self.parent(to)?;
        match fs::linkat(&from_dir, from_name, dir, name, AtFlags::empty()) {
            Err(Errno::NOENT) if may_miss => Ok(()),
            other => other.map_err(io_error("link", to)),
        }
    }

    /// Removes a name; fine if there is none.
    pub(crate) fn unlink(&mut self, path: &[u8], is_dir: bool) -> Result<(), Error> {
        let (dir, name) = self.parent(path)?;
        let flags = if is_dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match fs::unlinkat(dir, name, flags) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(io_error("remove", path)(e)),
        }
        if is_dir && self.last.as_ref().is_some_and(|(last, _)| last == path) {
            self.last = None;
        }
        Ok(())
    }

    /// Owner, mode, xattrs, time of something open; in this order, since a new owner takes away
    /// set-id bits and capabilities.
    fn set_open(&mut self, fd: impl AsFd, entry: &Entry) -> Result<(), Error> {
        if self.can_chown {
            match fs::fchown(&fd, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid))) {
                Err(Errno::INVAL | Errno::PERM) => self.warn(Lost::Owner, &entry.path),
                other => other.map_err(io_error("set the owner of", &entry.path))?,
            }
        }
        let mode = Mode::from_raw_mode(u32::from(entry.mode));
        fs::fchmod(&fd, mode).map_err(io_error("set the mode of", &entry.path))?;
        for (name, value) in entry.extra.iter().flat_map(|x| &x.xattrs) {
            // What BuildKit leaves out as well where the file system won't have it.
            let set = CString::new(name.as_slice())
                .map_err(|_| Errno::INVAL)
                .and_then(|name| fs::fsetxattr(&fd, name, value, XattrFlags::empty()));
            if set.is_err() {
                self.warn(Lost::Xattr, &entry.path);
            }
        }
        fs::futimens(&fd, &times(entry)).map_err(io_error("set the time of", &entry.path))
    }

    /// The same by name, for what can't be opened. A symbolic link has no mode.
    fn set_at(&mut self, entry: &Entry) -> Result<(), Error> {
        let can_chown = self.can_chown;
        let (dir, name) = self.parent(&entry.path)?;
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        let mut owned = Ok(());
        if can_chown {
            owned = fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
        }
        if entry.kind != Kind::Symlink {
            // No link can be in this place: it was created a moment ago, in a directory of our own.
            let mode = Mode::from_raw_mode(u32::from(entry.mode));
            fs::chmodat(dir, name, mode, AtFlags::empty()).map_err(io_error("set the mode of", &entry.path))?;
        }
        fs::utimensat(dir, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(io_error("set the time of", &entry.path))?;
        match owned {
            Err(Errno::INVAL | Errno::PERM) => self.warn(Lost::Owner, &entry.path),
            other => other.map_err(io_error("set the owner of", &entry.path))?,
        }
        if entry.extra.as_ref().is_some_and(|x| !x.xattrs.is_empty()) {
            self.warn(Lost::Xattr, &entry.path);
        }
        Ok(())
    }
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.mtime.secs, tv_nsec: entry.mtime.nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// Where a new file's bytes come from.
pub(crate) enum Bytes<'a> {
    /// A file of a stratum.
    Content(Content),
    /// The op itself.
    Memory(&'a [u8]),
    /// A stream of unknown length.
    Reader(&'a mut dyn Read),
}

/// Copies a range of a file: shared where the file system can (FICLONE, or inside copy_file_range),
/// else in the kernel, else by reading and writing. Never by a hard link: that would share metadata.
fn copy_content(content: &Content, to: &mut File) -> io::Result<()> {
    let whole = content.offset == 0 && content.file.metadata()?.len() == content.len;
    if content.len == 0 || whole && fs::ioctl_ficlone(&*to, &content.file).is_ok() {
        return Ok(());
    }
    let (mut at, end) = (content.offset, content.offset + content.len);
    while at < end {
        let chunk = usize::try_from(end - at).unwrap_or(usize::MAX).min(1 << 30);
        match fs::copy_file_range(&content.file, Some(&mut at), &*to, None, chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::NOSYS | Errno::XDEV | Errno::INVAL | Errno::PERM | Errno::OPNOTSUPP) => {
                return copy_by_hand(content, at, to);
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn copy_by_hand(content: &Content, at: u64, to: &mut File) -> io::Result<()> {
    let left = Content { offset: at, len: content.offset + content.len - at, ..content.clone() };
    io::copy(&mut left.reader(), to).map(|_| ())
}
