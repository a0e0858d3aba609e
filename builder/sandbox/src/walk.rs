//! Paths inside an untrusted tree, walked one component at a time from a directory descriptor: no symlink of
//! the tree, absolute or `..`-laden, leads out of it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

/// As the kernel has it.
const MAX_SYMLINKS: usize = 40;

/// What to make of a component that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// ENOENT.
    Fail,
    /// Directories all the way.
    MakeDir,
    /// Directories, and an empty file at the end.
    MakeFile,
}

/// Where a walk ended.
#[derive(Debug)]
pub struct Place {
    /// `O_PATH` descriptor of it; never a symlink.
    pub fd: OwnedFd,
    /// Its path in the tree without any symlink, relative, empty for the root.
    pub path: PathBuf,
    /// Every entry that was made on the way, outermost first.
    pub made: Vec<Made>,
}

/// An entry that a walk made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Made {
    /// Its path in the tree, relative, without symlinks.
    pub path: PathBuf,
    /// Directory or empty file.
    pub is_dir: bool,
    /// The parent's modification time before (seconds, nanoseconds).
    pub parent_before: (i64, i64),
    /// And right after.
    pub parent_after: (i64, i64),
    /// Which mount it was made on.
    pub mount: u64,
}

/// Modification time of an open directory.
pub fn mtime(fd: impl AsFd) -> Result<(i64, i64), Errno> {
    let stat = rustix::fs::fstat(fd)?;
    Ok((stat.st_mtime as i64, stat.st_mtime_nsec as i64))
}

/// The id of the mount that a descriptor is on.
pub fn mount_id(fd: impl AsFd) -> Result<u64, Errno> {
    let stat = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, rustix::fs::StatxFlags::MNT_ID)?;
    Ok(stat.stx_mnt_id)
}

/// Directory or anything else.
pub fn is_dir(fd: impl AsFd) -> Result<bool, Errno> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) == FileType::Directory)
}

fn push_components(queue: &mut VecDeque<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => queue.push_front(name.to_owned()),
            Component::ParentDir => queue.push_front("..".into()),
            _ => {}
        }
    }
}

/// Walks `path` (absolute or not, always meant from `root`), following symlinks as if `root` were `/`.
pub fn walk(root: impl AsFd, path: &Path, missing: Missing) -> Result<Place, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut stack: Vec<(OsString, OwnedFd)> =
        vec![(OsString::new(), rustix::fs::openat(&root, c".", flags | OFlags::DIRECTORY, Mode::empty())?)];
    let mut made = Vec::new();
    let mut queue = VecDeque::new();
    push_components(&mut queue, path);
    let mut links = 0;
    while let Some(name) = queue.pop_front() {
        if name == ".." {
            if stack.len() > 1 {
                stack.pop();
            }
            continue;
        }
        let (_, dir) = stack.last().expect("the root stays on the stack");
        let entry = match rustix::fs::openat(dir, name.as_os_str(), flags, Mode::empty()) {
            Err(Errno::NOENT) if missing != Missing::Fail => {
                let is_dir = missing == Missing::MakeDir || !queue.is_empty();
                let parent_before = mtime(dir)?;
                make(dir, &name, is_dir)?;
                let entry = rustix::fs::openat(dir, name.as_os_str(), flags, Mode::empty())?;
                made.push(Made {
                    path: joined(&stack).join(&name),
                    is_dir,
                    parent_before,
                    parent_after: mtime(dir)?,
                    mount: mount_id(dir)?,
                });
                entry
            }
            other => other?,
        };
        if FileType::from_raw_mode(rustix::fs::fstat(&entry)?.st_mode) == FileType::Symlink {
            links += 1;
            if links > MAX_SYMLINKS {
                return Err(Errno::LOOP);
            }
            let link = rustix::fs::readlinkat(&entry, c"", Vec::new())?.into_bytes();
            let link = PathBuf::from(OsString::from_vec(link));
            if link.has_root() {
                stack.truncate(1);
            }
            push_components(&mut queue, &link);
            continue;
        }
        stack.push((name, entry));
    }
    let path = joined(&stack);
    let (_, fd) = stack.pop().expect("the root stays on the stack");
    Ok(Place { fd, path, made })
}

fn joined(stack: &[(OsString, OwnedFd)]) -> PathBuf {
    stack.iter().skip(1).map(|(name, _)| name).collect()
}

fn make(dir: &OwnedFd, name: &OsStr, is_dir: bool) -> Result<(), Errno> {
    if is_dir {
        rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755))
    } else {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o644)).map(drop)
    }
}

/// Reads a small file of the tree: at most `limit` bytes; a longer one is EFBIG, anything but a regular file EINVAL.
pub fn read(root: impl AsFd, path: &str, limit: usize) -> Result<Vec<u8>, Errno> {
    use std::io::Read;
    let place = walk(root, Path::new(path), Missing::Fail)?;
    if FileType::from_raw_mode(rustix::fs::fstat(&place.fd)?.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    let reopened = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&place.fd));
    let file = rustix::fs::open(reopened, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?;
    let mut bytes = Vec::new();
    std::fs::File::from(file)
        .take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    if bytes.len() > limit { Err(Errno::FBIG) } else { Ok(bytes) }
}

/// How many names a path has: parents are mounted before what lies below them.
pub fn depth(path: &str) -> usize {
    Path::new(path).components().filter(|c| matches!(c, Component::Normal(_))).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_symlink_leads_out() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        fs::create_dir_all(root.join("real/deep")).unwrap();
        fs::create_dir(&outside).unwrap();
        for (name, to) in [
            ("abs", outside.to_str().unwrap()),
            ("up", "../../../../outside"),
            ("in", "/real/deep"),
            ("chain", "in/.."),
            ("loop", "loop"),
            ("dangling", "../made/here"),
        ] {
            symlink(to, root.join(name)).unwrap();
        }
        let fd = fs::File::open(&root).unwrap();
        let end = |path: &str, missing| walk(&fd, Path::new(path), missing).map(|p| p.path);
        assert_eq!(end("/abs", Missing::Fail), Err(Errno::NOENT));
        assert_eq!(end("up", Missing::Fail), Err(Errno::NOENT));
        assert_eq!(end("/in", Missing::Fail), Ok("real/deep".into()));
        assert_eq!(end("/chain/../..", Missing::Fail), Ok("".into()));
        assert_eq!(end("chain", Missing::Fail), Ok("real".into()));
        assert_eq!(end("loop/x", Missing::MakeDir), Err(Errno::LOOP));
        assert_eq!(end("/up/file", Missing::MakeFile), Ok("outside/file".into()));
        assert_eq!(end("dangling", Missing::MakeFile), Ok("made/here".into()));
        assert!(root.join("outside/file").is_file() && root.join("made/here").is_file());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        assert_eq!(end("made/here/x", Missing::Fail), Err(Errno::NOTDIR));
    }

    #[test]
    fn what_is_made_is_told() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        let fd = fs::File::open(dir.path()).unwrap();
        let place = walk(&fd, Path::new("/a/b/c"), Missing::MakeFile).unwrap();
        let made: Vec<_> = place.made.iter().map(|m| (m.path.to_str().unwrap(), m.is_dir)).collect();
        assert_eq!(made, [("a/b", true), ("a/b/c", false)]);
        assert!(walk(&fd, Path::new("/a/b/c"), Missing::MakeFile).unwrap().made.is_empty());
    }

    #[test]
    fn reading_is_bounded_and_for_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("f"), "12345").unwrap();
        let fd = fs::File::open(dir.path()).unwrap();
        assert_eq!(read(&fd, "/f", 5), Ok(b"12345".to_vec()));
        assert_eq!(read(&fd, "/f", 4), Err(Errno::FBIG));
        assert_eq!(read(&fd, "/", 4), Err(Errno::INVAL));
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(100))]
        #[test]
        fn no_tree_of_links_lets_anything_out(
            links in proptest::collection::vec(("[abc]", "(/?(\\.\\./|[abc]/){0,4}[abc]|OUT(/[abc])?)"), 0..6),
            path in "(/?(\\.\\./|[abc]/){0,5}[abc])",
        ) {
            let dir = tempfile::tempdir().unwrap();
            let (root, outside) = (dir.path().join("deep/root"), dir.path().join("outside"));
            fs::create_dir_all(&root).unwrap();
            fs::create_dir(&outside).unwrap();
            for (name, to) in links {
                let _ = symlink(to.replace("OUT", outside.to_str().unwrap()), root.join(name));
            }
            let fd = fs::File::open(&root).unwrap();
            if let Ok(place) = walk(&fd, Path::new(&path), Missing::MakeFile) {
                // The path told is free of links and leads to the same thing.
                let told = walk(&fd, &place.path, Missing::Fail).unwrap();
                let same = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|s| (s.st_dev, s.st_ino)).unwrap();
                proptest::prop_assert_eq!(same(&told.fd), same(&place.fd));
                proptest::prop_assert_eq!(told.path, place.path);
            }
            proptest::prop_assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
            proptest::prop_assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
            proptest::prop_assert_eq!(fs::read_dir(dir.path().join("deep")).unwrap().count(), 1);
        }
    }
}
