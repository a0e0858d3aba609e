//! The rootfs' files in a directory, as `buildx --output type=local` leaves them: merged into what is
//! there, owned by whoever runs the program.
//!
//! Everything is first written into a hidden directory inside the destination, then moved into place
//! name by name: an error while writing leaves the destination as it was. Symlinks of the image are
//! written, never followed; nothing outside the destination is ever touched.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use routerpack_rootfs::{Content, Entry, Kind, Tree};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{
        AtFlags, FileType, FlockOperation, Mode, OFlags, ResolveFlags, Timespec, Timestamps, chownat, fchmod, fchown,
        flock, futimens, linkat, mkdirat, mkfifoat, open, openat, openat2, renameat, statat, symlinkat, utimensat,
    },
    fs::{Gid, Uid},
    io::Errno,
};

use crate::{
    Error,
    pass::{Pass, Progress},
    request::Summary,
    warning::{Dropped, Warnings},
};

/// Name of the hidden directory, with random characters after it.
const TEMPORARY: &str = ".routerpack-tmp-";

/// Writes a tree into a directory, which is made if it isn't there. With `owners` the files get the image's owners and
/// set-id bits, else they are the user's own and without them.
pub fn write(
    tree: &Tree,
    dest: &Path,
    epoch: Option<i64>,
    owners: bool,
    progress: &mut Progress,
) -> Result<Summary, Error> {
    let failed = |e: io::Error| Error::write(dest)(e);
    let existed = dest.exists();
    fs::create_dir_all(dest).map_err(failed)?;
    let made = place(tree, dest, epoch, owners, progress);
    if made.is_err() && !existed {
        let _ = fs::remove_dir(dest); // only if it is empty
    }
    made
}

fn place(
    tree: &Tree,
    dest: &Path,
    epoch: Option<i64>,
    owners: bool,
    progress: &mut Progress,
) -> Result<Summary, Error> {
    let failed = |e: io::Error| Error::write(dest)(e);
    let entries: Vec<&Entry> = tree.index.entries().iter().filter(|e| !e.path.is_empty()).collect();
    let mut target = Root::open(dest).map_err(failed)?;
    refuse_conflicts(&entries, &mut target, dest)?;

    remove_leftovers(dest);
    let hidden = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(dest).map_err(failed)?;
    let mut staging = Root::open(hidden.path()).map_err(failed)?;
    let _ = flock(&staging.fd, FlockOperation::NonBlockingLockExclusive); // says that its writer lives

    let mut writer =
        Writer { tree, dest, epoch, owners, first: HashMap::new(), warnings: Warnings::default(), bytes: 0 };
    let mut pass = Pass::new(progress, entries.iter().map(|e| e.size).sum());
    for entry in &entries {
        writer.put(entry, &mut staging)?;
        pass.step(entry.size)?;
    }

    move_into_place(&entries, &mut staging, &mut target).map_err(failed)?;
    // Last, since a directory that can't be written to could not have been filled or moved.
    for entry in entries.iter().rev().filter(|e| e.kind == Kind::Dir) {
        let dir = target.dir(&entry.path).map_err(failed)?;
        if owners {
            fchown(&dir, user(entry), group(entry)).map_err(|e| failed(e.into()))?;
        }
        fchmod(&dir, mode(entry, owners)).map_err(|e| failed(e.into()))?;
        futimens(&dir, &times(entry, epoch)).map_err(|e| failed(e.into()))?;
    }
    let Writer { warnings, bytes, .. } = writer;
    Ok(Summary {
        path: Some(dest.to_path_buf()),
        bytes,
        image_id: None,
        manifest: None,
        diff_ids: Vec::new(),
        tags: Vec::new(),
        warnings,
        report: None,
        stamp: None,
    })
}

/// A directory below which paths are resolved without leaving it and without following a symlink.
struct Root {
    fd: OwnedFd,
    /// The directory that was used last.
    last: Option<(Vec<u8>, OwnedFd)>,
}

impl Root {
    fn open(path: &Path) -> io::Result<Self> {
        let fd = open(path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { fd, last: None })
    }

    fn dir(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let confined = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let path = if path.is_empty() { b"." } else { path };
        Ok(openat2(&self.fd, path, flags, Mode::empty(), confined)?)
    }

    /// The open parent of a path, and the path's last component.
    fn parent<'p>(&mut self, path: &'p [u8]) -> io::Result<(&OwnedFd, &'p [u8])> {
        let slash = path.iter().rposition(|&b| b == b'/');
        let (parent, name) = slash.map_or((&b""[..], path), |at| (&path[..at], &path[at + 1..]));
        let known = self.last.take().filter(|(path, _)| path == parent);
        let (path, fd) = match known {
            Some(found) => found,
            None => (parent.to_vec(), self.dir(parent)?),
        };
        Ok((&self.last.insert((path, fd)).1, name))
    }

    /// As [`Root::parent`], making the directories that the tree has no entries for.
    fn made_parent<'p>(&mut self, path: &'p [u8]) -> io::Result<(&OwnedFd, &'p [u8])> {
        for at in path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at) {
            if self.last.as_ref().is_some_and(|(known, _)| path[..=at].starts_with(&[known, &b"/"[..]].concat())) {
                continue;
            }
            let (fd, name) = self.parent(&path[..at])?;
            match mkdirat(fd, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
        }
        self.parent(path)
    }

    /// The type of what stands at a path, if anything does.
    fn kind(&mut self, path: &[u8]) -> io::Result<Option<FileType>> {
        let found = self.parent(path).and_then(|(fd, name)| Ok(statat(fd, name, AtFlags::SYMLINK_NOFOLLOW)?));
        match found {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// A directory of the user's never gives way to a file of the image, nor is anything written through
/// a symlink that stands where the image has a directory.
fn refuse_conflicts(entries: &[&Entry], target: &mut Root, dest: &Path) -> Result<(), Error> {
    let mut absent: Option<&[u8]> = None;
    for entry in entries {
        if absent.is_some_and(|dir| is_below(&entry.path, dir)) {
            continue;
        }
        let found = target.kind(&entry.path).map_err(Error::write(dest))?;
        let here = || dest.join(std::ffi::OsStr::from_bytes(&entry.path)).display().to_string();
        match (found, entry.kind) {
            (None, _) => absent = Some(&entry.path),
            (Some(FileType::Directory), Kind::Dir) => {}
            (Some(FileType::Directory), _) => {
                return Err(Error::Request(format!(
                    "{} is a directory, but a file in the image: move it away",
                    here()
                )));
            }
            (Some(_), Kind::Dir) => {
                return Err(Error::Request(format!("{} is no directory, but one in the image: move it away", here())));
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_below(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// Moves whole subtrees where nothing is in the way, single files where something is.
fn move_into_place(entries: &[&Entry], staging: &mut Root, target: &mut Root) -> io::Result<()> {
    let mut moved: Option<Vec<u8>> = None;
    for entry in entries {
        // A parent without an entry moves like one that has one.
        let starts = entry.path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        for end in starts.chain([entry.path.len()]) {
            let path = &entry.path[..end];
            if moved.as_ref().is_some_and(|dir| path == &dir[..] || is_below(path, dir)) {
                break;
            }
            match (staging.kind(path)?, target.kind(path)?) {
                (None, _) => break, // left out
                (Some(FileType::Directory), Some(FileType::Directory)) => continue,
                _ => {}
            }
            let (from, name) = staging.parent(path)?;
            let (to, _) = target.parent(path)?;
            renameat(from, name, to, name)?;
            moved = Some(path.to_vec());
            break;
        }
    }
    Ok(())
}

struct Writer<'a> {
    tree: &'a Tree,
    dest: &'a Path,
    epoch: Option<i64>,
    owners: bool,
    /// The first name of each link group.
    first: HashMap<u32, &'a [u8]>,
    warnings: Warnings,
    bytes: u64,
}

impl<'a> Writer<'a> {
    fn put(&mut self, entry: &'a Entry, staging: &mut Root) -> Result<(), Error> {
        let dest = self.dest;
        let failed = |e: io::Error| Error::write(dest.join(std::ffi::OsStr::from_bytes(&entry.path)))(e);
        let dropped = match entry.kind {
            Kind::CharDev | Kind::BlockDev => Some(Dropped::Device),
            Kind::Socket => Some(Dropped::Socket),
            Kind::Whiteout | Kind::HardLink => return Ok(()), // a merged tree has none
            _ => None,
        };
        if let Some(what) = dropped {
            self.warnings.push(&entry.path, what, b"");
            return Ok(());
        }
        for name in entry.extra.iter().flat_map(|x| x.xattrs.keys()) {
            self.warnings.push(&entry.path, Dropped::Xattr, name);
        }
        if entry.mode & 0o6000 != 0 {
            self.warnings.push(&entry.path, Dropped::SetId, b"");
        }
        if entry.link_group != 0 && entry.kind != Kind::Dir {
            if let Some(first) = self.first.get(&entry.link_group) {
                let link = || -> io::Result<()> {
                    let root = staging.fd.try_clone()?;
                    let (parent, name) = staging.made_parent(&entry.path)?;
                    Ok(linkat(&root, *first, parent, name, AtFlags::empty())?)
                };
                return { link }().map_err(failed);
            }
            self.first.insert(entry.link_group, &entry.path);
        }
        let content = match entry.kind {
            Kind::File => Some(self.tree.content(entry).map_err(Error::read(&entry.path))?),
            _ => None,
        };
        if let Some(c) = content.as_ref().filter(|c| c.len != entry.size) {
            let path = String::from_utf8_lossy(&entry.path).into_owned();
            return Err(Error::Length { path, expected: entry.size, found: c.len });
        }
        self.bytes += entry.size;
        self.create(entry, content, staging).map_err(failed)
    }

    fn create(&self, entry: &Entry, content: Option<Content>, staging: &mut Root) -> io::Result<()> {
        let (parent, name) = staging.made_parent(&entry.path)?;
        let mode = mode(entry, self.owners);
        match entry.kind {
            Kind::Dir => match mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(Errno::EXIST) => return Ok(()), // its mode and time come last
                Err(e) => return Err(e.into()),
            },
            Kind::Symlink => symlinkat(entry.link(), parent, name)?,
            Kind::Fifo => {
                mkfifoat(parent, name, mode)?;
            }
            _ => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file: File = openat(parent, name, flags, Mode::from_raw_mode(0o600))?.into();
                if let Some(content) = content {
                    copy(&content, &file)?;
                }
                if self.owners {
                    fchown(&file, user(entry), group(entry))?;
                }
                fchmod(&file, mode)?; // after the owner, whose change takes set-id bits away
                futimens(&file, &times(entry, self.epoch))?;
                return Ok(());
            }
        }
        if self.owners {
            chownat(parent, name, user(entry), group(entry), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(utimensat(parent, name, &times(entry, self.epoch), AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// Copies a file's content inside the kernel where the file systems can, else through a buffer.
fn copy(content: &Content, to: &File) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let (mut from_at, mut to_at, end) = (content.offset, 0, content.offset + content.len);
    while from_at < end {
        let want = usize::try_from(end - from_at).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(content.file.as_fd(), Some(&mut from_at), to.as_fd(), Some(&mut to_at), want)
        {
            Ok(0) => break, // the end, or a file system that can't: the loop below tells
            Ok(_) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => break,
            Err(e) => return Err(e.into()),
        }
    }
    let mut buf = vec![0; if from_at < end { 128 * 1024 } else { 0 }];
    while from_at < end {
        let want = usize::try_from(end - from_at).unwrap_or(usize::MAX).min(buf.len());
        match content.file.read_at(&mut buf[..want], from_at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                to.write_all_at(&buf[..n], to_at)?;
                (from_at, to_at) = (from_at + n as u64, to_at + n as u64);
            }
        }
    }
    Ok(())
}

fn mode(entry: &Entry, owners: bool) -> Mode {
    Mode::from_raw_mode(u32::from(entry.mode) & if owners { 0o7777 } else { 0o1777 })
}

fn user(entry: &Entry) -> Option<Uid> {
    Some(Uid::from_raw(entry.uid))
}

fn group(entry: &Entry) -> Option<Gid> {
    Some(Gid::from_raw(entry.gid))
}

fn times(entry: &Entry, epoch: Option<i64>) -> Timestamps {
    let (secs, nanos) = match epoch {
        Some(limit) if entry.mtime.secs >= limit => (limit, 0),
        _ => (entry.mtime.secs, entry.mtime.nanos),
    };
    let time = Timespec { tv_sec: secs, tv_nsec: nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// Removes hidden directories whose writers are gone.
fn remove_leftovers(dest: &Path) {
    let Ok(list) = fs::read_dir(dest) else { return };
    for entry in list.flatten() {
        let is_ours = entry.file_name().as_bytes().starts_with(TEMPORARY.as_bytes())
            && entry.file_type().is_ok_and(|t| t.is_dir());
        let Some(dir) = is_ours.then(|| File::open(entry.path()).ok()).flatten() else { continue };
        if flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
