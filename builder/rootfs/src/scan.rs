//! A directory of the host as an [`Index`]: a build context, an unpacked rootfs, the upper directory of a step.
//!
//! Each thread of the walk holds one directory open at a time, and opens it beneath the root without following a
//! symlink, so what is renamed or swapped meanwhile can't lead it outside. A file costs one `statx`; what the filter
//! leaves out costs none.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::{Condvar, Mutex, PoisonError},
    thread,
};

use rustix::{
    fs::{self, AtFlags, Dir, FileType, OFlags, Statx, StatxFlags},
    io::Errno,
};

use crate::{
    confine,
    index::{Entry, Extra, Index, Kind, Mtime},
    merge,
    path::{self, BadPath},
    stamp::Stamp,
    xattr,
};

/// So many entries are found by one thread sooner than others have started.
const ALONE: usize = 2000;
/// More threads than this only wait for the file system.
const MAX_THREADS: usize = 8;

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

/// Asks about a path below the root; the flag says whether it is a directory. Several threads may ask at once, in any
/// order, but about a directory before what is in it.
pub type Filter<'a> = dyn Fn(&[u8], bool) -> Verdict + Sync + 'a;

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
    pub filter: Option<&'a Filter<'a>>,
    /// Tells by its stamp that a file is known to have no extended attributes: those of others cost a call each.
    pub plain: Option<&'a (dyn Fn(&Stamp) -> bool + Sync)>,
    /// Whether the index has stamps, see [`Index::stamp`].
    pub stamps: bool,
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
    let failed = |error| ScanError::Io { root: root.display().to_string(), path: Vec::new(), error };
    let walk = Walk { root, top: confine::open_root(root).map_err(failed)?, options };
    let mut found = Found::default();
    if walk.options.root {
        let stat = stat(&walk.top, b"").map_err(|e| walk.io(b"", e))?;
        let entry = walk.entry(&walk.top, b"", &stat).map_err(|e| walk.io(b"", e))?;
        found.entries.push((entry, Stamp::of_statx(&stat)));
    }
    let mut todo = vec![Vec::new()];
    while found.entries.len() + found.undecided.len() < ALONE
        && let Some(dir) = todo.pop()
    {
        walk.directory(&dir, &mut found, &mut todo)?;
    }
    if !todo.is_empty() {
        walk.together(todo, &mut found)?;
    }
    Ok(found.index(walk.options.stamps))
}

struct Walk<'a> {
    root: &'a Path,
    top: OwnedFd,
    options: ScanOptions<'a>,
}

/// What the walk, or one thread of it, has found.
#[derive(Default)]
struct Found {
    /// A [`Entry::link_group`] other than 0 says only that the file has several names.
    entries: Vec<(Entry, Stamp)>,
    /// Directories that become entries if something below them does.
    undecided: Vec<(Entry, Stamp)>,
}

impl Found {
    fn index(self, stamps: bool) -> Index {
        let mut index = Index::stamped(self.entries);
        let wanted = |dir: &(Entry, Stamp)| !index.descendant_range(&dir.0.path).is_empty();
        let dirs: Vec<_> = self.undecided.into_iter().filter(wanted).collect();
        if !dirs.is_empty() {
            index = Index::stamped(index.into_stamped().chain(dirs).collect());
        }
        let mut groups = HashMap::new();
        index.for_each_stamped(|(entry, stamp)| {
            if entry.link_group != 0 {
                let next = groups.len() as u32 + 1;
                entry.link_group = *groups.entry((stamp.device, stamp.inode)).or_insert(next);
            }
        });
        merge::number_groups(index.entries_mut());
        if stamps { index } else { index.without_stamps() }
    }
}

/// Directories that wait for a thread, how many threads are at one, and the first error.
type Shared = (Vec<Vec<u8>>, usize, Option<ScanError>);

impl Walk<'_> {
    fn io(&self, path: &[u8], error: impl Into<io::Error>) -> ScanError {
        ScanError::Io { root: self.root.display().to_string(), path: path.into(), error: error.into() }
    }

    /// Walks through all that is left with as many threads as there are cores.
    fn together(&self, todo: Vec<Vec<u8>>, found: &mut Found) -> Result<(), ScanError> {
        let threads = thread::available_parallelism().map_or(1, |n| n.get()).min(MAX_THREADS);
        let shared = (Mutex::new((todo, 0, None)), Condvar::new());
        let others: Vec<Found> = thread::scope(|scope| {
            let work = || {
                let mut mine = Found::default();
                self.work(&shared, &mut mine);
                mine
            };
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            self.work(&shared, found);
            others.into_iter().map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        for mut other in others {
            found.entries.append(&mut other.entries);
            found.undecided.append(&mut other.undecided);
        }
        match shared.0.into_inner().unwrap_or_else(PoisonError::into_inner).2 {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn work(&self, (shared, changed): &(Mutex<Shared>, Condvar), found: &mut Found) {
        let mut dirs = Vec::new();
        let mut guard = shared.lock().unwrap_or_else(PoisonError::into_inner);
        while guard.2.is_none() {
            let Some(dir) = guard.0.pop() else {
                if guard.1 == 0 {
                    break;
                }
                guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            guard.1 += 1;
            drop(guard);
            let result = self.directory(&dir, found, &mut dirs);
            guard = shared.lock().unwrap_or_else(PoisonError::into_inner);
            guard.1 -= 1;
            guard.0.append(&mut dirs);
            if let Err(error) = result {
                guard.2.get_or_insert(error);
            }
            changed.notify_all();
        }
        changed.notify_all();
    }

    /// Indexes what is right in a directory; its directories are put off.
    fn directory(&self, dir: &[u8], found: &mut Found, todo: &mut Vec<Vec<u8>>) -> Result<(), ScanError> {
        let fd = match confine::open(&self.top, dir, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(fd) => fd,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.io(dir, error)),
        };
        let mut listing = Dir::read_from(&fd).map_err(|e| self.io(dir, e))?;
        while let Some(listed) = listing.read() {
            let listed = listed.map_err(|e| self.io(dir, e))?;
            let name = listed.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let path = path::join(dir, name);
            if !path::is_clean(&path) {
                let why = path::clean(&path).err().unwrap_or(BadPath::TooLong);
                return Err(ScanError::Path { root: self.root.display().to_string(), path, why });
            }
            let ask = |is_dir| match self.options.filter.map_or(Verdict::Keep, |filter| filter(&path, is_dir)) {
                Verdict::Descend if !is_dir => Verdict::Skip,
                verdict => verdict,
            };
            // Most file systems say in the listing what is a directory.
            let early = match listed.file_type() {
                FileType::Unknown => None,
                kind => Some((kind, ask(kind == FileType::Directory))),
            };
            if early.is_some_and(|(_, verdict)| verdict == Verdict::Skip) {
                continue;
            }
            let stat = match stat(&fd, name) {
                Ok(stat) => stat,
                // It has gone since the directory was listed.
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(self.io(&path, error)),
            };
            let kind = FileType::from_raw_mode(stat.stx_mode.into());
            let is_dir = kind == FileType::Directory;
            let verdict = match early {
                Some((listed, verdict)) if listed == kind => verdict,
                _ => ask(is_dir),
            };
            if verdict == Verdict::Skip {
                continue;
            }
            let entry = self.entry(&fd, &path, &stat).map_err(|e| self.io(&path, e))?;
            let list = if verdict == Verdict::Descend { &mut found.undecided } else { &mut found.entries };
            list.push((entry, Stamp::of_statx(&stat)));
            if is_dir {
                todo.push(path);
            }
        }
        Ok(())
    }

    fn entry(&self, dir: &impl AsFd, path: &[u8], stat: &Statx) -> io::Result<Entry> {
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
        let plain = || self.options.plain.is_some_and(|plain| plain(&Stamp::of_statx(stat)));
        if self.options.xattrs && !plain() || self.options.overlay && kind == Kind::Dir {
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
        Ok(Entry {
            opaque,
            uid,
            gid,
            mtime: Mtime { secs: stat.stx_mtime.tv_sec, nanos: stat.stx_mtime.tv_nsec },
            size: if kind == Kind::File { stat.stx_size } else { 0 },
            link_group: u32::from(stat.stx_nlink > 1 && kind != Kind::Dir),
            extra: (extra != Extra::default()).then(|| Box::new(extra)),
            ..Entry::new(path, kind, stat.stx_mode & 0o7777)
        })
    }
}

fn stat(dir: impl AsFd, name: &[u8]) -> Result<Statx, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::EMPTY_PATH;
    fs::statx(dir, name, flags, StatxFlags::BASIC_STATS)
}
