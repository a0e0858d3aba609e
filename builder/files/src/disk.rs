//! The directory that a stratum is written to. Every path is opened from one descriptor of its root
//! and may neither leave it nor go through a symbolic link, whatever an archive or an image says.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::Path,
};

use routerpack_rootfs::{Content, Entry, Maker, Warning, confine};
use rustix::{
    fs::{self, AtFlags, FileType, Mode, OFlags, XattrFlags},
    io::Errno,
};

use crate::{Error, path};

/// Until everything is in it, a directory has to be writable, whatever its final mode.
const WHILE_FILLING: Mode = Mode::RWXU;
/// What sets owner, mode and time.
const METADATA: &str = "set the owner, mode or time of";
/// Until it has its owner, a file is nobody else's.
const WHILE_WRITING: Mode = Mode::RUSR.union(Mode::WUSR);

/// See the module.
pub(crate) struct Disk {
    root: OwnedFd,
    maker: Maker,
    /// The directory that was used last: most writes go where the one before went.
    last: Option<(Vec<u8>, OwnedFd)>,
    /// Whether every removal has its mark.
    marked: bool,
}

/// Says what failed, and where.
fn failed<'a, E: Into<io::Error>>(doing: &'static str, path: &'a [u8]) -> impl Fn(E) -> Error + 'a {
    move |e| Error::Io { doing, path: path::show(path), source: e.into() }
}

impl Disk {
    /// Starts to fill an empty directory.
    pub(crate) fn new(dir: &Path, can_chown: bool) -> Result<Self, Error> {
        let root = confine::open_root(dir).map_err(|source| Error::Io {
            doing: "open",
            path: dir.display().to_string(),
            source,
        })?;
        Ok(Self { root, maker: Maker::new(can_chown), last: None, marked: true })
    }

    /// What could not be kept on disk, and whether every removal has its mark there.
    pub(crate) fn into_results(self) -> (Vec<Warning>, bool) {
        (self.maker.into_warnings(), self.marked)
    }

    /// A mark of a removal: a file system that is an overlay itself, or has no attributes, takes none.
    fn mark(&mut self, path: &[u8], made: Result<(), Errno>) -> Result<(), Error> {
        match made {
            Err(Errno::PERM | Errno::OPNOTSUPP) => {
                self.marked = false;
                Ok(())
            }
            other => other.map_err(failed("mark as deleted", path)),
        }
    }

    fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Error> {
        confine::open(&self.root, path, flags).map_err(|e| failed("open", path)(e))
    }

    /// The directory of a path, opened, and the path's last component.
    fn parent<'a>(&mut self, path: &'a [u8]) -> Result<(&OwnedFd, &'a [u8]), Error> {
        let (dir, name) = path::split(path);
        if self.last.as_ref().is_none_or(|(last, _)| last != dir) {
            let fd = self.open(dir, OFlags::PATH | OFlags::DIRECTORY)?;
            self.last = Some((dir.to_vec(), fd));
        }
        let (_, fd) = self.last.as_ref().expect("set above");
        Ok((fd, name))
    }

    /// A directory; it gets its metadata by [`Disk::finish_dir`].
    pub(crate) fn make_dir(&mut self, path: &[u8]) -> Result<(), Error> {
        let (dir, name) = self.parent(path)?;
        fs::mkdirat(dir, name, WHILE_FILLING).map_err(failed("create", path))
    }

    /// A directory's metadata, once nothing more goes into it.
    pub(crate) fn finish_dir(&mut self, entry: &Entry) -> Result<(), Error> {
        let fd = self.open(&entry.path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        if entry.opaque {
            let made = fs::fsetxattr(&fd, c"user.overlay.opaque", b"y", XattrFlags::empty());
            self.mark(&entry.path, made)?;
        }
        self.maker.set_open(&fd, entry).map_err(failed(METADATA, &entry.path))
    }

    /// A file with these bytes. `len` is what the index says; a source that has fewer is an error.
    pub(crate) fn make_file(&mut self, entry: &Entry, from: Bytes<'_>) -> Result<u64, Error> {
        let path = &entry.path;
        let (dir, name) = self.parent(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(fs::openat(dir, name, flags, WHILE_WRITING).map_err(failed("create", path))?);
        let written = match from {
            Bytes::Content(content) => content.copy_to(&file).map(|()| content.len),
            Bytes::Memory(data) => file.write_all(data).map(|()| data.len() as u64),
            Bytes::Reader(reader) => io::copy(reader, &mut file),
        };
        let written = written.map_err(|source| Error::Io { doing: "write", path: path::show(path), source })?;
        self.maker.set_open(&file, entry).map_err(failed(METADATA, path))?;
        Ok(written)
    }

    /// A symbolic link; a device, pipe or socket where the system lets us.
    pub(crate) fn make_node(&mut self, entry: &Entry) -> Result<(), Error> {
        let name = self.parent(&entry.path)?.1;
        let (_, dir) = self.last.as_ref().expect("the parent has just been opened");
        self.maker.node(dir, name, entry).map(drop).map_err(failed("create", &entry.path))
    }

    /// The mark that overlayfs takes for "deleted": a character device 0/0, which needs no privilege
    /// (Linux 5.8).
    pub(crate) fn make_whiteout(&mut self, path: &[u8]) -> Result<(), Error> {
        let (dir, name) = self.parent(path)?;
        let made = fs::mknodat(dir, name, FileType::CharacterDevice, Mode::empty(), fs::makedev(0, 0));
        self.mark(path, made)
    }

    /// One more name for something that this directory holds, or `may_miss`.
    pub(crate) fn make_link(&mut self, from: &[u8], to: &[u8], may_miss: bool) -> Result<(), Error> {
        let (from_dir, from_name) = path::split(from);
        let from_dir = self.open(from_dir, OFlags::PATH | OFlags::DIRECTORY)?;
        let (dir, name) = self.parent(to)?;
        match fs::linkat(&from_dir, from_name, dir, name, AtFlags::empty()) {
            Err(Errno::NOENT) if may_miss => Ok(()),
            other => other.map_err(failed("link", to)),
        }
    }

    /// Removes a name; fine if there is none.
    pub(crate) fn unlink(&mut self, path: &[u8], is_dir: bool) -> Result<(), Error> {
        let (dir, name) = self.parent(path)?;
        let flags = if is_dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match fs::unlinkat(dir, name, flags) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(failed("remove", path)(e)),
        }
        if is_dir && self.last.as_ref().is_some_and(|(last, _)| last == path) {
            self.last = None;
        }
        Ok(())
    }
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
