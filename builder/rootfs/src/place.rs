//! Making entries beneath a directory, metadata and all.
//!
//! Every parent is opened beneath the destination without following a symlink, every entry is made under its
//! last name alone, and nothing that exists is ever opened for writing: what an index says can't lead outside.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, AtFlags, FileType, Mode, OFlags},
    io::Errno,
};

use crate::{
    confine,
    index::{Entry, Kind},
    made::Maker,
    merge::MergeError,
    path,
    tree::Tree,
    xattr,
};

/// Metadata that the file system, or the id map that this process lives in, wouldn't take. Nothing is lost for
/// the image: the index keeps it.
#[derive(Debug)]
pub struct Warning {
    /// The entry.
    pub path: Vec<u8>,
    /// What it is without on disk.
    pub lost: Lost,
    /// Why.
    pub error: io::Error,
}

/// See [`Warning`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Its owner and group.
    Owner(u32, u32),
    /// The extended attribute of this name.
    Xattr(Vec<u8>),
    /// Itself: a device node.
    Device,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match &self.lost {
            Lost::Owner(uid, gid) => format!("its owner {uid}:{gid}"),
            Lost::Xattr(name) => format!("its attribute `{}`", path::show(name)),
            Lost::Device => "a device node".to_string(),
        };
        write!(
            f,
            "`{}`: {what} can't be had on disk ({}); steps won't see it, the image has it",
            path::show(&self.path),
            self.error
        )
    }
}

/// Why entries can't be written. What is written so far stays for the caller to remove.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The destination has something in it.
    #[error("{} is not an empty directory", .0.display())]
    NotEmpty(PathBuf),
    /// Writing failed.
    #[error("writing `{}` into {}: {error}", path::show(.path), .dest.display())]
    Write {
        /// The destination.
        dest: PathBuf,
        /// The entry; empty for the destination itself.
        path: Vec<u8>,
        /// What happened.
        error: io::Error,
    },
    /// An entry's bytes can't be read.
    #[error("reading the contents of `{}`: {error}", path::show(.path))]
    Read {
        /// The entry.
        path: Vec<u8>,
        /// What happened.
        error: io::Error,
    },
    /// The stratum doesn't fit on those below.
    #[error(transparent)]
    Merge(#[from] MergeError),
}

/// Entries of a tree on their way to disk.
pub(crate) struct Placer<'a> {
    tree: &'a Tree,
    dest: &'a Path,
    top: OwnedFd,
    maker: Maker,
    /// The directory that the last entry went to.
    last: Option<(Vec<u8>, OwnedFd)>,
    /// By link group: the first name, under which the file is.
    links: HashMap<u32, Vec<u8>>,
    /// Directories: their modes and times are set when all is in them.
    dirs: Vec<Entry>,
}

impl<'a> Placer<'a> {
    /// The destination is made, or must be empty.
    pub fn new(tree: &'a Tree, dest: &'a Path, chown: bool) -> Result<Self, PlaceError> {
        let fail = |error| PlaceError::Write { dest: dest.into(), path: Vec::new(), error };
        match std::fs::create_dir(dest) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(fail(error)),
            Err(_) if std::fs::read_dir(dest).map_err(fail)?.next().is_some() => {
                return Err(PlaceError::NotEmpty(dest.into()));
            }
            _ => {}
        }
        let top = confine::open_root(dest).map_err(fail)?;
        let (last, links, dirs) = Default::default();
        Ok(Self { tree, dest, top, maker: Maker::new(chown), last, links, dirs })
    }

    /// Makes an entry of the tree's index.
    pub fn put(&mut self, entry: &Entry) -> Result<(), PlaceError> {
        if entry.kind == Kind::Dir {
            return self.make_dir(entry);
        }
        let Some((dir, name)) = path::split(&entry.path) else { return Ok(()) };
        self.enter(dir)?;
        if entry.link_group != 0 && self.put_link(entry, name)? {
            return Ok(());
        }
        let made = match entry.kind {
            Kind::File => self.make_file(entry, name)?,
            _ => {
                let dir = self.last.as_ref().map_or(&self.top, |(_, fd)| fd);
                self.maker.node(dir, name, entry).map_err(|e| self.failed(&entry.path, e))?
            }
        };
        if made && entry.link_group != 0 {
            self.links.insert(entry.link_group, entry.path.to_vec());
        }
        Ok(())
    }

    /// Overlayfs's whiteout: a character device 0/0, which needs no privilege (Linux 5.8).
    pub fn put_whiteout(&mut self, path: &[u8]) -> Result<(), PlaceError> {
        let Some((dir, name)) = path::split(path) else { return Ok(()) };
        self.enter(dir)?;
        let made = fs::mknodat(self.dir(), name, FileType::CharacterDevice, Mode::empty(), 0);
        made.map_err(|e| self.failed(path, e))
    }

    /// Marks a directory that is there as opaque.
    pub fn mark_opaque(&mut self, path: &[u8]) -> Result<(), PlaceError> {
        let (dir, name) = path::split(path).unwrap_or_default();
        self.enter(dir)?;
        xattr::write(self.dir(), name, xattr::OPAQUE, b"y").map_err(|e| self.failed(path, e))
    }

    /// Sets the directories' metadata, the deepest first.
    pub fn finish(mut self) -> Result<Vec<Warning>, PlaceError> {
        self.dirs.sort_by(|a, b| b.path.cmp(&a.path));
        for entry in std::mem::take(&mut self.dirs) {
            let opened = confine::open(&self.top, &entry.path, OFlags::RDONLY | OFlags::DIRECTORY);
            let opened = opened.map_err(|e| self.failed(&entry.path, e))?;
            self.maker.set_open(&opened, &entry).map_err(|e| self.failed(&entry.path, e))?;
        }
        Ok(self.maker.into_warnings())
    }

    fn failed(&self, path: &[u8], error: impl Into<io::Error>) -> PlaceError {
        PlaceError::Write { dest: self.dest.into(), path: path.into(), error: error.into() }
    }

    /// The directory that [`Placer::enter`] went to.
    fn dir(&self) -> &OwnedFd {
        self.last.as_ref().map_or(&self.top, |(_, fd)| fd)
    }

    /// Goes to a directory, and makes it as the tree has it where the stratum only implies it.
    fn enter(&mut self, dir: &[u8]) -> Result<(), PlaceError> {
        if self.last.as_ref().is_some_and(|(last, _)| last == dir) {
            return Ok(());
        }
        let open = |top: &OwnedFd| confine::open(top, dir, OFlags::PATH | OFlags::DIRECTORY);
        let mut opened = open(&self.top);
        if opened.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
            let known = self.tree.index.get(dir).filter(|e| e.kind == Kind::Dir).cloned();
            self.make_dir(&known.unwrap_or_else(|| Entry::new_dir(dir)))?;
            opened = open(&self.top);
        }
        self.last = Some((dir.into(), opened.map_err(|e| self.failed(dir, e))?));
        Ok(())
    }

    fn make_dir(&mut self, entry: &Entry) -> Result<(), PlaceError> {
        if let Some((dir, name)) = path::split(&entry.path) {
            self.enter(dir)?;
            fs::mkdirat(self.dir(), name, Mode::RWXU).map_err(|e| self.failed(&entry.path, e))?;
        }
        self.dirs.push(entry.clone());
        Ok(())
    }

    /// A further name of a file that is there; false where there is none (or it has all the names it can have).
    fn put_link(&self, entry: &Entry, name: &[u8]) -> Result<bool, PlaceError> {
        let Some(first) = self.links.get(&entry.link_group) else { return Ok(false) };
        let (dir, first) = path::split(first).unwrap_or_default();
        let dir = confine::open(&self.top, dir, OFlags::PATH | OFlags::DIRECTORY);
        let dir = dir.map_err(|e| self.failed(&entry.path, e))?;
        match fs::linkat(dir, first, self.dir(), name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::MLINK) => Ok(false),
            Err(error) => Err(self.failed(&entry.path, error)),
        }
    }

    fn make_file(&mut self, entry: &Entry, name: &[u8]) -> Result<bool, PlaceError> {
        let content =
            self.tree.content(entry).map_err(|error| PlaceError::Read { path: entry.path.to_vec(), error })?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = || -> io::Result<File> {
            let file = File::from(fs::openat(self.dir(), name, flags, Mode::RUSR | Mode::WUSR)?);
            content.copy_to(&file)?;
            Ok(file)
        };
        let file = made().map_err(|e| self.failed(&entry.path, e))?;
        self.maker.set_open(&file, entry).map_err(|e| self.failed(&entry.path, e))?;
        Ok(true)
    }
}
