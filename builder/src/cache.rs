//! The cache directory: where it keeps what, who may write when, and what survives a crash.
//!
//! ```text
//! blobs/sha256/<hex>            blobs as a registry serves them (routerpack-sources)
//! layers/<diff_id hex>/         an image layer: layer.tar, index, and fs/ once a step needed it
//! snapshots/<id>/               what a step wrote: fs/ (an overlay upper) and index
//! ops/<key>.json                an op's result: the strata of its rootfs
//! mounts/<id>/                  RUN --mount=type=cache
//! contexts/<hash>               content hashes of a build context's files, by stat
//! refs/                         tag → manifest digest (routerpack-sources)
//! locks/                        one file a key
//! tmp/<run>/                    what is not finished; each run holds a lock on its own
//! ```
//!
//! Nothing is ever written in place: a file or directory is made below `tmp/` and renamed. A rename
//! is atomic but not durable, so a record carries the boot it was made in, and counts after a reboot
//! only if a `syncfs` came after it ([`Cache::sync`]).

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Raised when the layout or a record's meaning changes; another version's cache is set aside.
const FORMAT: &str = "1";

/// The cache can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the cache directory {} can't be used: {what}: {source}\n  choose another one with --cache-dir or ROUTERPACK_CACHE_DIR", .dir.display())]
pub struct CacheError {
    /// The cache directory.
    pub dir: PathBuf,
    /// What was tried.
    pub what: &'static str,
    /// Why it failed.
    pub source: io::Error,
}

/// An open cache. Several processes may have the same one open.
pub struct Cache {
    dir: PathBuf,
    run: PathBuf,
    boot: String,
    synced: Option<Synced>,
    next: AtomicU64,
    /// Records were written that no sync has covered yet.
    unsynced: AtomicBool,
    _run_lock: fs::File,
}

/// Everything recorded in this boot up to this time is on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Synced {
    boot: String,
    time: u64,
}

/// What every record begins with.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stamped<T> {
    boot: String,
    time: u64,
    #[serde(flatten)]
    value: T,
}

/// A held lock; released when dropped or when the process dies.
pub struct Lock {
    _file: fs::File,
}

fn unix_nanos() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}

impl Cache {
    /// Opens or makes the cache in `dir`, mode 0700 (snapshots hold set-id files), and clears away
    /// what killed runs have left in `tmp/`.
    pub fn open(dir: &Path) -> Result<Self, CacheError> {
        let fail = |what| move |source| CacheError { dir: dir.to_path_buf(), what, source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fail("make it"))?;
        let dir = &dir.canonicalize().map_err(fail("find it"))?;
        let version = dir.join("format");
        match fs::read_to_string(&version) {
            Ok(found) if found.trim() == FORMAT => {}
            Ok(_) => return Err(fail("its format is another version's")(io::ErrorKind::InvalidData.into())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                for sub in ["blobs/sha256", "layers", "snapshots", "ops", "mounts", "contexts", "refs", "locks", "tmp"]
                {
                    fs::DirBuilder::new()
                        .recursive(true)
                        .mode(0o700)
                        .create(dir.join(sub))
                        .map_err(fail("make its folders"))?;
                }
                let temp = dir.join(format!("format.{}", std::process::id()));
                fs::write(&temp, FORMAT)
                    .and_then(|()| fs::rename(&temp, &version))
                    .map_err(fail("write its format"))?;
            }
            Err(e) => return Err(fail("read its format")(e)),
        }
        let (run, run_lock) = new_run(dir).map_err(fail("make a folder for this run"))?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_string();
        let synced = read_json::<Synced>(&dir.join("synced"));
        let cache = Self {
            dir: dir.clone(),
            run,
            boot,
            synced,
            next: AtomicU64::new(0),
            unsynced: AtomicBool::new(false),
            _run_lock: run_lock,
        };
        cache.clear_dead_runs();
        Ok(cache)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path below the cache.
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.dir.join(below)
    }

    /// A fresh, empty directory of this run, on the cache's file system.
    pub fn temp_dir(&self) -> io::Result<PathBuf> {
        let path = self.temp_path();
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(path)
    }

    /// A fresh name below this run's folder; nothing is there yet.
    pub fn temp_path(&self) -> PathBuf {
        self.run.join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Waits for the lock of this name; one holder among all threads and processes.
    pub fn lock(&self, name: &str) -> io::Result<Lock> {
        let file = self.lock_file(name)?;
        retry(|| flock(&file, FlockOperation::LockExclusive))?;
        Ok(Lock { _file: file })
    }

    /// The lock of this name, unless somebody holds it.
    pub fn try_lock(&self, name: &str) -> io::Result<Option<Lock>> {
        let file = self.lock_file(name)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn lock_file(&self, name: &str) -> io::Result<fs::File> {
        debug_assert!(!name.contains('/'));
        fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.dir.join("locks").join(name))
    }

    /// Reads a record; none if it is absent, unreadable, or may not have reached the disk before a crash.
    pub fn record<T: DeserializeOwned>(&self, below: impl AsRef<Path>) -> Option<T> {
        let stamped = read_json::<Stamped<T>>(&self.path(below))?;
        let durable = self.synced.as_ref().is_some_and(|s| s.boot == stamped.boot && stamped.time <= s.time);
        (stamped.boot == self.boot || durable).then_some(stamped.value)
    }

    /// Writes a record; it appears whole or not at all.
    pub fn write_record<T: Serialize>(&self, below: impl AsRef<Path>, value: &T) -> io::Result<()> {
        self.unsynced.store(true, Ordering::Relaxed);
        let stamped = Stamped { boot: self.boot.clone(), time: unix_nanos(), value };
        self.write(below, &serde_json::to_vec(&stamped)?)
    }

    /// Writes a file by temporary name and rename.
    pub fn write(&self, below: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        let temp = self.temp_path();
        fs::write(&temp, bytes)?;
        fs::rename(&temp, self.path(below))
    }

    /// Moves a finished directory of this run to its place. When another run was faster, its result
    /// stays and ours is dropped: both were made from the same key.
    pub fn keep_dir(&self, temp: &Path, below: impl AsRef<Path>) -> io::Result<()> {
        let to = self.path(below);
        match fs::rename(temp, &to) {
            Err(_) if to.is_dir() => fs::remove_dir_all(temp),
            other => other,
        }
    }

    /// Whether this run has written records since the last [`Self::sync`].
    pub fn needs_sync(&self) -> bool {
        self.unsynced.load(Ordering::Relaxed)
    }

    /// Makes all that was recorded until now survive a power cut. Slow on a busy disk: call it where
    /// nobody waits.
    pub fn sync(&self) -> io::Result<()> {
        let mark = Synced { boot: self.boot.clone(), time: unix_nanos() };
        rustix::fs::syncfs(fs::File::open(&self.dir)?)?;
        self.unsynced.store(false, Ordering::Relaxed);
        // The mark itself needs no sync: if it is lost, records are dropped, not trusted.
        self.write("synced", &serde_json::to_vec(&mark)?)
    }

    fn clear_dead_runs(&self) {
        let Ok(runs) = fs::read_dir(self.dir.join("tmp")) else { return };
        for run in runs.flatten().map(|e| e.path()).filter(|p| *p != self.run) {
            let Ok(file) = fs::File::open(run.join("lock")) else {
                // Between mkdir and the lock file, or half removed: only an old one is dead.
                let old = run.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
                if old.is_some_and(|age| age.as_secs() > 60) {
                    let _ = fs::remove_dir_all(&run);
                }
                continue;
            };
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                let _ = fs::remove_dir_all(&run);
            }
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.run);
    }
}

fn new_run(dir: &Path) -> io::Result<(PathBuf, fs::File)> {
    let run = dir.join("tmp").join(format!("{}-{}", std::process::id(), unix_nanos()));
    fs::DirBuilder::new().mode(0o700).create(&run)?;
    let lock = fs::OpenOptions::new().create(true).truncate(false).write(true).open(run.join("lock"))?;
    retry(|| flock(&lock, FlockOperation::LockExclusive))?;
    Ok((run, lock))
}

fn retry(mut call: impl FnMut() -> rustix::io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => continue,
            other => return Ok(other?),
        }
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> Cache {
        Cache::open(dir).unwrap()
    }

    #[test]
    fn a_record_counts_in_its_boot_and_after_a_sync_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = open(dir.path());
        cache.boot = "one".into();
        cache.write_record("ops/a.json", &serde_json::json!({"n": 1})).unwrap();
        assert!(cache.record::<serde_json::Value>("ops/a.json").is_some());
        cache.boot = "two".into();
        assert!(cache.record::<serde_json::Value>("ops/a.json").is_none(), "never synced, rebooted");

        cache.boot = "one".into();
        cache.sync().unwrap();
        let mut later = open(dir.path());
        later.boot = "two".into();
        assert!(later.record::<serde_json::Value>("ops/a.json").is_some(), "synced before the reboot");
    }

    #[test]
    fn what_a_dead_run_left_is_cleared_and_a_living_one_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let living = open(dir.path());
        let kept = living.temp_dir().unwrap();
        let dead = dir.path().join("tmp/999-1");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("lock"), "").unwrap();
        fs::create_dir(dead.join("0")).unwrap();
        let _second = open(dir.path());
        assert!(kept.is_dir());
        assert!(!dead.exists());
    }

    #[test]
    fn a_half_written_record_is_no_record() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(dir.path());
        fs::write(dir.path().join("ops/b.json"), "{\"boot\":\"").unwrap();
        assert!(cache.record::<serde_json::Value>("ops/b.json").is_none());
    }

    #[test]
    fn one_holder_a_lock() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (open(dir.path()), open(dir.path()));
        let held = a.lock("x").unwrap();
        assert!(b.try_lock("x").unwrap().is_none());
        drop(held);
        assert!(b.try_lock("x").unwrap().is_some());
    }
}
