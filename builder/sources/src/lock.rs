//! Locks between threads and processes. A lock is a file that is there only while it is held or waited for.
//! It is one holder's alone, or that of several who share it.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

/// A held lock. It is freed on drop, or by the kernel when the process dies.
#[derive(Debug)]
pub struct FileLock {
    path: PathBuf,
    file: File,
}

impl FileLock {
    /// Waits until nobody else holds the lock of this file.
    pub fn take(path: &Path) -> io::Result<Self> {
        let lock = Self::current(path, FlockOperation::LockExclusive)?;
        lock.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    /// The lock of this file, unless somebody holds it.
    pub fn try_take(path: &Path) -> io::Result<Option<Self>> {
        Self::current(path, FlockOperation::NonBlockingLockExclusive)
    }

    /// A share of the lock of this file, unless somebody holds it alone.
    pub fn try_share(path: &Path) -> io::Result<Option<Self>> {
        Self::current(path, FlockOperation::NonBlockingLockShared)
    }

    fn current(path: &Path, how: FlockOperation) -> io::Result<Option<Self>> {
        loop {
            let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path)?;
            match flock(&file, how) {
                // The holder before us removes the file when done: a lock on a nameless file excludes nobody.
                Ok(()) if is_at(&file, path)? => return Ok(Some(Self { path: path.into(), file })),
                Ok(()) | Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Only the last one who shares it may.
        if flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_ok()
            && is_at(&self.file, &self.path).is_ok_and(|at| at)
        {
            // While it is still held; whoever waits on it notices and makes a new one. A file that can't be removed
            // does no harm.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether an open file is the one that has this name.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((open.dev(), open.ino()) == (named.dev(), named.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn one_holder_however_often_the_file_comes_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let inside = AtomicUsize::new(0);
        std::thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| {
                    for _ in 0..50 {
                        let _lock = FileLock::take(&path).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        let held = FileLock::try_take(&path).unwrap().unwrap();
        assert!(FileLock::try_take(&path).unwrap().is_none());
        assert!(FileLock::try_share(&path).unwrap().is_none());
        drop(held);
        let shares = [0, 1].map(|_| FileLock::try_share(&path).unwrap().unwrap());
        assert!(FileLock::try_take(&path).unwrap().is_none());
        let [one, other] = shares;
        drop(one);
        assert!(FileLock::try_take(&path).unwrap().is_none(), "the other still has it");
        drop(other);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "no file stays");
    }
}
