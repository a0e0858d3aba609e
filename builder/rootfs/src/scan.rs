//! A directory of the host as an [`Index`]: a build context, an unpacked rootfs, the upper directory of a step.
//!
//! The walk holds one directory open at a time and opens each one beneath the root without following a
//! symlink, so what is renamed or swapped meanwhile can't lead it outside.

use std::{collections::HashMap, io, os::fd::AsFd, path::Path};

use rustix::{
    fs::{self, AtFlags, Dir, FileType, OFlags, Statx, StatxFlags},
    io::Errno,
};

use crate::{
    confine,
    index::{Entry, Extra, Index, Kind, Mtime},
    merge,
    path::{self, BadPath},
    xattr,
};

/// Whose the entries are.
#[derive(Clone, Copy, Debug, Default)]
pub enum Owners<'a> {
    /// Whose they are on disk, as this process's user namespace sees it.
    #[default]
    OnDisk,
    /// All root's (0, 0).
    Root,
    /// As on disk, but what this merged index has at the same path, of the same kind, keeps the owner that it
    /// has there: for a step that ran with a single id, so that every file is root's on disk.
    Below(&'a Index),
}

/// What a filter says about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Part of the index.
    Keep,
    /// Not part of it, nor is anything below.
    Skip,
    /// A directory that is part of the index only if something below it is. For others the same as `Skip`.
    Descend,
}

/// Asks about a path below the root; the flag says whether it is a directory.
pub type Filter<'a> = dyn FnMut(&[u8], bool) -> Verdict + 'a;

/// How to scan.
#[derive(Default)]
pub struct ScanOptions<'a> {
    /// The directory is an overlay's upper: character devices 0/0 are whiteouts, the attribute
    /// `user.overlay.opaque` (or `trusted.overlay.opaque`) makes a directory opaque.
    pub overlay: bool,
    /// Read extended attributes. Those of overlayfs itself never become part of the index, nor those that are
    /// the host's: `user.*` and `security.capability` do.
    pub xattrs: bool,
    /// Whether the root itself gets an entry (the empty path).
    pub root: bool,
    /// Whose the entries are.
    pub owners: Owners<'a>,
    /// What to leave out.
    pub filter: Option<&'a mut Filter<'a>>,
}

/// Why a directory can't be scanned.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Something can't be read.
    #[error("reading `{}` in {root}: {error}", path::show(.path))]
    Io {
        /// The directory scanned.
        root: String,
        /// The path below it; empty for the directory itself.
        path: Vec<u8>,
        /// What happened.
        error: io::Error,
    },
    /// A path that an index can't have: deeper or longer than Linux allows in one piece.
    #[error("`{}` in {root} can't be part of a rootfs: {why}", path::show(.path))]
    Path {
        /// The directory scanned.
        root: String,
        /// The path below it.
        path: Vec<u8>,
        /// What is wrong with it.
        why: BadPath,
    },
}

/// Indexes what is in a directory. Sizes and times are as of now: [`crate::Tree::content`] notices a file that has
/// changed in length since.
pub fn scan<'a>(root: &'a Path, options: ScanOptions<'a>) -> Result<Index, ScanError> {
    let mut walk = Walk { root, options, entries: Vec::new(), pending: Vec::new(), names: HashMap::new() };
    let top = confine::open_root(root).map_err(|e| walk.io(b"", e))?;
    if walk.options.root {
        let stat = stat(&top, b"").map_err(|e| walk.io(b"", e))?;
        let entry = walk.entry(&top, b"", &stat).map_err(|e| walk.io(b"", e))?;
        walk.entries.push(entry);
    }
    // Depth first; a directory is opened only once those before it are closed. What is left of `pending` when
    // its turn comes are its undecided ancestors.
    let mut todo = vec![(Vec::new(), None)];
    while let Some((dir, undecided)) = todo.pop() {
        walk.pending.retain(|e: &Entry| path::is_below(&dir, &e.path));
        walk.pending.extend(undecided);
        walk.directory(&top, &dir, &mut todo)?;
    }
    let mut index = Index::new(walk.entries);
    merge::number_groups(index.entries_mut());
    Ok(index)
}

struct Walk<'a> {
    root: &'a Path,
    options: ScanOptions<'a>,
    entries: Vec<Entry>,
    /// Directories that become entries once something below them does.
    pending: Vec<Entry>,
    /// Group numbers of inodes with more than one name.
    names: HashMap<(u32, u32, u64), u32>,
}

impl Walk<'_> {
    fn io(&self, path: &[u8], error: impl Into<io::Error>) -> ScanError {
        ScanError::Io { root: self.root.display().to_string(), path: path.into(), error: error.into() }
    }

    /// Indexes what is right in a directory; its directories are put off.
    fn directory(
        &mut self,
        top: &impl AsFd,
        dir: &[u8],
        todo: &mut Vec<(Vec<u8>, Option<Entry>)>,
    ) -> Result<(), ScanError> {
        let fd = match confine::open(top, dir, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(fd) => fd,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.io(dir, error)),
        };
        let mut listing = Dir::read_from(&fd).map_err(|e| self.io(dir, e))?;
        while let Some(found) = listing.read() {
            let found = found.map_err(|e| self.io(dir, e))?;
            let name = found.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let path = path::join(dir, name);
            if !path::is_clean(&path) {
                let why = path::clean(&path).err().unwrap_or(BadPath::TooLong);
                return Err(ScanError::Path { root: self.root.display().to_string(), path, why });
            }
            let stat = match stat(&fd, name) {
                Ok(stat) => stat,
                // It has gone since the directory was listed.
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(self.io(&path, error)),
            };
            let is_dir = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory;
            let verdict = self.options.filter.as_mut().map_or(Verdict::Keep, |filter| filter(&path, is_dir));
            if verdict == Verdict::Skip || verdict == Verdict::Descend && !is_dir {
                continue;
            }
            let entry = self.entry(&fd, &path, &stat).map_err(|e| self.io(&path, e))?;
            match verdict {
                Verdict::Descend => todo.push((path, Some(entry))),
                _ => {
                    self.entries.append(&mut self.pending);
                    self.entries.push(entry);
                    if is_dir {
                        todo.push((path, None));
                    }
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, dir: &impl AsFd, path: &[u8], stat: &Statx) -> io::Result<Entry> {
        let name = path::split(path).map_or(path, |(_, name)| name);
        let kind = match FileType::from_raw_mode(stat.stx_mode.into()) {
            FileType::Directory => Kind::Dir,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::CharDev,
            FileType::BlockDevice => Kind::BlockDev,
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "a file of unknown type")),
        };
        let rdev = (stat.stx_rdev_major, stat.stx_rdev_minor);
        if self.options.overlay && kind == Kind::CharDev && rdev == (0, 0) {
            return Ok(Entry::new(path, Kind::Whiteout, 0));
        }
        let mut extra = Extra::default();
        match kind {
            Kind::Symlink => extra.link = fs::readlinkat(dir, name, Vec::new())?.into_bytes(),
            Kind::CharDev | Kind::BlockDev => extra.rdev = rdev,
            _ => {}
        }
        let mut opaque = false;
        if self.options.xattrs || self.options.overlay && kind == Kind::Dir {
            let found = xattr::read(dir, name)?;
            opaque = self.options.overlay && kind == Kind::Dir && found.opaque;
            if self.options.xattrs {
                extra.xattrs = found.kept;
            }
        }
        let (uid, gid) = match self.options.owners {
            Owners::Root => (0, 0),
            Owners::OnDisk => (stat.stx_uid, stat.stx_gid),
            Owners::Below(index) => match index.get(path) {
                Some(below) if below.kind == kind => (below.uid, below.gid),
                _ => (stat.stx_uid, stat.stx_gid),
            },
        };
        let mut link_group = 0;
        if stat.stx_nlink > 1 && kind != Kind::Dir {
            let next = self.names.len() as u32 + 1;
            link_group = *self.names.entry((stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino)).or_insert(next);
        }
        Ok(Entry {
            opaque,
            uid,
            gid,
            mtime: Mtime { secs: stat.stx_mtime.tv_sec, nanos: stat.stx_mtime.tv_nsec },
            size: if kind == Kind::File { stat.stx_size } else { 0 },
            link_group,
            extra: (extra != Extra::default()).then(|| Box::new(extra)),
            ..Entry::new(path, kind, stat.stx_mode & 0o7777)
        })
    }
}

fn stat(dir: impl AsFd, name: &[u8]) -> Result<Statx, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::EMPTY_PATH;
    fs::statx(dir, name, flags, StatxFlags::BASIC_STATS)
}
