//! A file that appears under its name only when it is whole.
//!
//! It is written without any name (`O_TMPFILE`), so a killed program leaves nothing behind; where
//! the file system can't do that, under `<name>.tmp-routerpack-<random>` beside the destination, locked while
//! its writer lives, and such leftovers of dead writers are removed by the next one. Publishing is a
//! rename. Nothing is synced unless asked: after a power cut an output is made again, and a warm
//! build must not wait for the disk.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use routerpack_rootfs::Stamp;
use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, flock, futimens, linkat, open,
};

/// An output being written.
pub(crate) struct Staged {
    /// Read and write; seekable.
    pub file: File,
    dest: PathBuf,
    /// The temporary name, where one was needed.
    named: Option<PathBuf>,
}

impl Staged {
    /// A file that will become `dest`. A symlink there is followed, as `>` in a shell does.
    pub fn new(dest: &Path) -> io::Result<Self> {
        let dest = match fs::symlink_metadata(dest) {
            Ok(m) if m.is_symlink() => fs::canonicalize(dest)?,
            Ok(m) if m.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            _ => dest.to_path_buf(),
        };
        let dir = directory(&dest);
        remove_leftovers(&dest);
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match open(dir, flags, Mode::from_raw_mode(0o666)) {
            Ok(fd) => {
                let _ = flock(&fd, FlockOperation::NonBlockingLockExclusive); // it has a name before the rename
                Ok(Self { file: fd.into(), dest, named: None })
            }
            Err(e) if can_do_without(e) => Self::named(dest),
            Err(e) => Err(e.into()),
        }
    }

    fn named(dest: PathBuf) -> io::Result<Self> {
        loop {
            let made = tempfile::Builder::new()
                .prefix(&temporary_prefix(&dest))
                .permissions(fs::Permissions::from_mode(0o666)) // less the umask
                .tempfile_in(directory(&dest))?;
            let (file, path) = made.keep().map_err(|e| e.error)?;
            let _ = flock(&file, FlockOperation::LockExclusive); // a file system without locks removes no leftovers
            // Another writer may have taken it for a leftover before it was locked.
            if file.metadata()?.nlink() > 0 {
                return Ok(Self { file, dest, named: Some(path) });
            }
        }
    }

    /// Gives it its name, replacing what was there. With `sync` the bytes are on the disk first.
    ///
    /// With a time, the file gets it, and a stamp that a later write changes. None if somebody has written to it
    /// under its new name already, or where the file system keeps no such times.
    pub fn publish(mut self, sync: bool, now: Option<SystemTime>) -> io::Result<(PathBuf, Option<Stamp>)> {
        let now = now.map(|now| now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        if let Some(now) = now {
            let last_modification = Timespec { tv_sec: now.as_secs() as i64, tv_nsec: now.subsec_nanos().into() };
            let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
            let _ = futimens(&self.file, &Timestamps { last_access, last_modification }); // then there is no stamp
        }
        if sync {
            self.file.sync_all()?;
        }
        let named = match self.named.take() {
            Some(path) => path,
            None => self.link()?,
        };
        if let Err(e) = fs::rename(&named, &self.dest) {
            let _ = fs::remove_file(&named);
            return Err(e);
        }
        if sync {
            File::open(directory(&self.dest))?.sync_all()?;
        }
        let stamp = Stamp::of(&self.file.metadata()?);
        let is_ours = now.is_some_and(|now| stamp.mtime == now.as_nanos() as i64);
        Ok((std::mem::take(&mut self.dest), is_ours.then_some(stamp)))
    }

    /// A nameless file can't replace another, so it gets a temporary name for the rename.
    fn link(&self) -> io::Result<PathBuf> {
        use std::os::fd::AsRawFd;
        let from = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        for attempt in 0..1000u32 {
            let mut name = temporary_prefix(&self.dest);
            name.push(format!("{}-{attempt}", std::process::id()));
            let to = directory(&self.dest).join(name);
            match linkat(CWD, &*from, CWD, &to, AtFlags::SYMLINK_FOLLOW) {
                Ok(()) => return Ok(to),
                Err(rustix::io::Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(path) = &self.named {
            let _ = fs::remove_file(path);
        }
    }
}

fn can_do_without(e: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    // Kernels and file systems without O_TMPFILE answer with any of these (open(2)).
    matches!(e, Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT)
}

fn directory(dest: &Path) -> &Path {
    dest.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `<name>.tmp-routerpack-`, the name cut so that a file system takes the whole.
fn temporary_prefix(dest: &Path) -> OsString {
    use std::os::unix::ffi::OsStrExt;
    let name = dest.file_name().unwrap_or_default().as_bytes();
    let mut prefix = OsStr::from_bytes(&name[..name.len().min(200)]).to_os_string();
    prefix.push(".tmp-routerpack-");
    prefix
}

/// Removes temporary files of this destination whose writers are gone: they hold no lock.
fn remove_leftovers(dest: &Path) {
    let prefix = temporary_prefix(dest);
    let Ok(list) = fs::read_dir(directory(dest)) else { return };
    for entry in list.flatten() {
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes())
            && entry.file_type().is_ok_and(|t| t.is_file());
        let Some(file) = is_ours.then(|| File::open(entry.path()).ok()).flatten() else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut v: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        v.sort();
        v
    }

    #[test]
    fn it_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("out.tar");
        for make in [Staged::new as fn(&Path) -> _, |p: &Path| Staged::named(p.to_path_buf())] {
            let mut s = make(&dest).unwrap();
            s.file.write_all(b"dropped").unwrap();
            drop(s);
            assert!(names(dir.path()).is_empty());
        }
        for (text, make) in [("one", Staged::new as fn(&Path) -> _), ("two", |p: &Path| Staged::named(p.to_path_buf()))]
        {
            let mut s = make(&dest).unwrap();
            s.file.write_all(text.as_bytes()).unwrap();
            s.publish(text == "two", None).unwrap();
            assert_eq!(fs::read_to_string(&dest).unwrap(), text);
            assert_eq!(names(dir.path()), ["out.tar"]);
            let mode = fs::metadata(&dest).unwrap().permissions().mode();
            assert_eq!(mode & 0o600, 0o600);
        }
    }

    #[test]
    fn leftovers_of_the_dead_go_and_those_of_the_living_stay() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("out.tar");
        fs::write(dir.path().join("out.tar.tmp-routerpack-dead"), b"x").unwrap();
        for theirs in ["other.tar.tmp-routerpack-dead", "out.tar.tmp-mine"] {
            fs::write(dir.path().join(theirs), b"x").unwrap();
        }
        let living = Staged::named(dest.clone()).unwrap();
        let _second = Staged::new(&dest).unwrap();
        let left = names(dir.path());
        assert_eq!(left.len(), 3, "{left:?}");
        assert!(living.named.as_ref().unwrap().exists());
        assert!(!left.contains(&"out.tar.tmp-routerpack-dead".to_string()));
    }

    #[test]
    fn many_writers_of_one_name_leave_one_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("out.tar");
        std::thread::scope(|scope| {
            for n in 0..8u8 {
                let dest = &dest;
                scope.spawn(move || {
                    for round in 0..20 {
                        let make = if round % 2 == 0 { Staged::new } else { |p: &Path| Staged::named(p.to_path_buf()) };
                        let mut s = make(dest).unwrap();
                        s.file.write_all(&[n; 10_000]).unwrap();
                        s.publish(false, None).unwrap();
                    }
                });
            }
        });
        assert_eq!(names(dir.path()), ["out.tar"]);
        let bytes = fs::read(&dest).unwrap();
        assert!(bytes.len() == 10_000 && bytes.iter().all(|b| *b == bytes[0]));
    }

    #[test]
    fn a_symlink_is_followed_and_a_directory_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, b"old").unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        let mut s = Staged::new(&link).unwrap();
        s.file.write_all(b"new").unwrap();
        s.publish(false, None).unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(Staged::new(dir.path()).is_err());
    }
}
