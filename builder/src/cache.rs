//! The cache directory: where it keeps what, who may write when, and what survives a crash.
//!
//! ```text
//! blobs/sha256/<hex>            blobs as a registry serves them (routerpack-sources)
//! layers/<diff_id hex>/         an image layer: layer.tar, index, and fs-<what is below>/fs/ once a step needed it
//! snapshots/<id>/               what a step wrote: fs/ (an overlay upper) and index
//! ops/<key>.json                an op's result, or one of `--slim`: the strata of its rootfs
//! mounts/<id>/                  RUN --mount=type=cache
//! contexts/<hash of its path>   content hashes of a build context's files, by stamp
//! verdicts/<key>.json           what a check found in an archive that was made
//! outputs/<key>.json            a note: the files that an output was written to, by stamp, and whether it is kept
//! archives/<key>                an output that is kept, to be copied
//! facts.json                    what the sandbox can be made of on this machine, until its next boot
//! refs/, http/, files/          tag, URL, local tar → digest of a blob (routerpack-sources)
//! known_hosts                   first keys of ssh hosts
//! locks/                        one file a lock that is held or waited for
//! gate, usage, synced, format   see `ledger`, `usage`, below, and [`FORMAT`]
//! tmp/<run>/                    what is not finished, and `uses`, the run's list of what it uses; each run holds a lock
//!                               on its own folder
//! ```
//!
//! What is a record, can be listed and may be removed is said by one table, [`crate::inventory::KINDS`]: whoever adds a
//! folder adds a line there. Whoever uses a record calls [`Cache::hold`] before looking for it: it then stays until this
//! run has ended, and its time of last use is kept. Nothing may rely on a record being there that it doesn't hold.
//! Names of snapshots that steps made are never used twice, so that nothing made on top of a removed one is taken for
//! something made on top of its successor.
//!
//! Nothing is ever written in place: a file or directory is made below `tmp/` and renamed. A rename
//! is atomic but not durable, so a record carries the boot it was made in, and counts after a reboot
//! only if a `syncfs` came after it ([`Cache::sync`]). A kept directory holds such a record of its own.
//!
//! Locks don't deadlock: a thread takes them in the order op, cache mounts (by id), a new cache mount,
//! unpacking, layer, mending or a blob, and at most one of each kind but the cache mounts.

use std::{
    fs, io,
    os::unix::{ffi::OsStrExt, fs::DirBuilderExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use routerpack_graph::Digest;
use routerpack_sources::{
    FileLock,
    ledger::{Ledger, Stamp},
};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Raised when the layout or a record's meaning changes; another version's cache is left alone.
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
    synced: Vec<Synced>,
    next: AtomicU64,
    /// Records were written that no sync has covered yet.
    unsynced: AtomicBool,
    ledger: Arc<Ledger>,
    _run_lock: fs::File,
}

/// Everything recorded in this boot up to this time is on disk. The cache has a list of these, the
/// newest boot last: what an earlier boot has synced stays good.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Synced {
    boot: String,
    time: u64,
}

/// What every record and note begins with.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stamped<T> {
    boot: String,
    time: u64,
    #[serde(flatten)]
    value: T,
}

/// The list of [`Synced`].
const SYNCED: &str = "synced";

/// In a kept directory: when it was made, and [`Made`].
pub(crate) const STAMP: &str = "made";

/// What a kept directory says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Made {
    /// What it is, for people.
    pub what: String,
    /// About how many bytes it takes on the disk; none if whoever wants to know has to look.
    pub size: Option<u64>,
    /// It is found by its name; else by a record that names it, without which it is of no use.
    pub by_name: bool,
}

/// A record as it is on the disk, whether it counts or not.
pub(crate) struct Found<T> {
    pub value: T,
    /// When it was made, in nanoseconds since 1970.
    pub time: u64,
    /// It was written in this boot, or synced in its own.
    pub counts: bool,
    /// How often it was used, see [`Stamp::Json`].
    pub uses: u64,
}

/// More boots than this are not remembered; what the forgotten ones made is made again.
const MAX_BOOTS: usize = 500;

/// How often a lock is asked for that may be held for long.
const PAUSE: Duration = Duration::from_millis(50);

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
                for sub in [
                    "blobs/sha256",
                    "layers",
                    "snapshots",
                    "ops",
                    "mounts",
                    "contexts",
                    "refs",
                    "verdicts",
                    "locks",
                    "tmp",
                ] {
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
        let synced = read_json(&dir.join(SYNCED)).unwrap_or_default();
        let ledger = Ledger::open(dir, &run).map_err(fail("write down what it uses"))?;
        let cache = Self {
            dir: dir.clone(),
            ledger: Arc::new(ledger),
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

    /// Where this run writes down what it uses.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Sees to it that a record stays until this run ends; see [`Ledger::hold`].
    pub fn hold(&self, below: impl AsRef<Path>, stamp: Stamp) {
        self.ledger.hold(below, stamp);
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
    pub fn lock(&self, name: &str) -> io::Result<FileLock> {
        FileLock::take(&self.lock_file(name))
    }

    /// The same for what may take long: `stop` ends the wait, with [`io::ErrorKind::Interrupted`].
    pub fn lock_unless(&self, name: &str, stop: &dyn Fn() -> bool) -> io::Result<FileLock> {
        loop {
            match self.try_lock(name)? {
                Some(lock) => return Ok(lock),
                None if stop() => return Err(io::ErrorKind::Interrupted.into()),
                None => std::thread::sleep(PAUSE),
            }
        }
    }

    /// The lock of this name, unless somebody holds it.
    pub fn try_lock(&self, name: &str) -> io::Result<Option<FileLock>> {
        FileLock::try_take(&self.lock_file(name))
    }

    /// A share of the lock of this name, unless somebody holds it alone.
    pub fn try_share(&self, name: &str) -> io::Result<Option<FileLock>> {
        FileLock::try_share(&self.lock_file(name))
    }

    fn lock_file(&self, name: &str) -> PathBuf {
        debug_assert!(!name.contains('/'));
        self.dir.join("locks").join(name)
    }

    /// Reads a record; none if it is absent, unreadable, or may not have reached the disk before a crash.
    pub fn record<T: DeserializeOwned>(&self, below: impl AsRef<Path>) -> Option<T> {
        self.found(below).filter(|found| found.counts).map(|found| found.value)
    }

    /// Reads a record, whether it counts or not.
    pub(crate) fn found<T: DeserializeOwned>(&self, below: impl AsRef<Path>) -> Option<Found<T>> {
        let bytes = fs::read(self.path(below)).ok()?;
        let Stamped { boot, time, value } = serde_json::from_slice(&bytes).ok()?;
        let counts = boot == self.boot || self.synced.iter().any(|s| s.boot == boot && time <= s.time);
        Some(Found { value, time, counts, uses: 1 + (bytes.len() - bytes.trim_ascii_end().len()) as u64 })
    }

    /// Writes a record; it appears whole or not at all.
    pub fn write_record<T: Serialize>(&self, below: impl AsRef<Path>, value: &T) -> io::Result<()> {
        self.write(below, &self.stamped(value)?)
    }

    /// Reads a note: a record that is of no worth after a reboot, and is not synced for.
    pub fn note<T: DeserializeOwned>(&self, below: impl AsRef<Path>) -> Option<T> {
        let stamped = read_json::<Stamped<T>>(&self.path(below))?;
        (stamped.boot == self.boot).then_some(stamped.value)
    }

    /// Writes a note; it appears whole or not at all.
    pub fn write_note<T: Serialize>(&self, below: impl AsRef<Path>, value: &T) -> io::Result<()> {
        self.write(below, &self.with_stamp(value)?)
    }

    fn stamped<T: Serialize>(&self, value: &T) -> io::Result<Vec<u8>> {
        self.unsynced.store(true, Ordering::Relaxed);
        self.with_stamp(value)
    }

    fn with_stamp<T: Serialize>(&self, value: &T) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec(&Stamped { boot: self.boot.clone(), time: unix_nanos(), value })?)
    }

    /// Writes a file by temporary name and rename.
    pub fn write(&self, below: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        let temp = self.temp_path();
        fs::write(&temp, bytes)?;
        fs::rename(&temp, self.path(below))
    }

    /// Whether [`Self::keep_dir`] has put a directory here that is whole.
    pub fn has_dir(&self, below: impl AsRef<Path>) -> bool {
        self.record::<Made>(below.as_ref().join(STAMP)).is_some()
    }

    /// When [`Self::keep_dir`] put a directory here, nanoseconds since 1970.
    pub fn kept_at(&self, below: impl AsRef<Path>) -> Option<u64> {
        self.found::<Made>(below.as_ref().join(STAMP)).map(|made| made.time)
    }

    /// Moves a finished directory of this run to its place, with a stamp in it. When another run was
    /// faster, its result stays and ours is dropped: both were made from the same key. What a crash may
    /// have left half-written there is replaced.
    pub fn keep_dir(&self, temp: &Path, below: impl AsRef<Path>, made: &Made) -> io::Result<()> {
        let below = below.as_ref();
        let to = self.path(below);
        fs::write(temp.join(STAMP), self.stamped(made)?)?;
        let put = || match fs::rename(temp, &to) {
            Err(_) if self.has_dir(below) => fs::remove_dir_all(temp),
            Ok(()) => {
                self.ledger.grow(made.size.unwrap_or(0));
                Ok(())
            }
            other => other,
        };
        if !to.exists() || self.has_dir(below) {
            return put();
        }
        // Under a lock, so that of two that find it broken none removes the other's whole one.
        let name = Digest::of(to.as_os_str().as_bytes());
        let _lock = self.lock(&format!("mend-{}", name.hex()))?;
        if to.exists() && !self.has_dir(below) {
            self.remove(below)?;
        }
        put()
    }

    /// Removes a record, if it is there. From one moment to the next it has no name any more; only then its files go,
    /// and if this run is killed, the next one sees to the rest.
    pub fn remove(&self, below: impl AsRef<Path>) -> io::Result<()> {
        self.discard(&[self.take_away(below)?])
    }

    /// The first half of [`Self::remove`], which takes no time however large the record is.
    pub(crate) fn take_away(&self, below: impl AsRef<Path>) -> io::Result<PathBuf> {
        let away = self.temp_path();
        match fs::rename(self.path(below), &away) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(away),
        }
    }

    /// The second half. Links are removed, never followed.
    pub(crate) fn discard(&self, away: &[PathBuf]) -> io::Result<()> {
        let remove = |path: &PathBuf| match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        };
        away.iter().try_for_each(remove)
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
        let mut all: Vec<Synced> = read_json(&self.path(SYNCED)).unwrap_or_default();
        all.retain(|s| s.boot != mark.boot);
        all.push(mark);
        let surplus = all.len().saturating_sub(MAX_BOOTS);
        // The marks themselves need no sync: if they are lost, records are dropped, not trusted.
        self.write(SYNCED, &serde_json::to_vec(&all[surplus..])?)
    }

    /// Removes what dead runs have left: the folders that nobody has locked, while no run starts.
    fn clear_dead_runs(&self) {
        let tmp = self.dir.join("tmp");
        let Ok(gate) = fs::File::open(&tmp) else { return };
        if flock(&gate, FlockOperation::NonBlockingLockExclusive).is_err() {
            return; // one starts just now; another one will clear
        }
        let Ok(entries) = fs::read_dir(&tmp) else { return };
        let others = entries.flatten().map(|entry| entry.path()).filter(|path| *path != self.run);
        let dead: Vec<(PathBuf, fs::File)> = others
            .filter_map(|path| fs::File::open(&path).ok().map(|file| (path, file)))
            .filter(|(_, file)| flock(file, FlockOperation::NonBlockingLockExclusive).is_ok())
            .collect();
        drop(gate);
        for (path, _lock) in dead {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let _ = self.write_growth();
        let _ = fs::remove_dir_all(&self.run);
    }
}

/// Makes a run's folder and locks it. Until it is locked, another run could take it for one that a killed run has left,
/// so none may clear meanwhile.
fn new_run(dir: &Path) -> io::Result<(PathBuf, fs::File)> {
    let tmp = dir.join("tmp");
    let gate = fs::File::open(&tmp)?;
    retry(|| flock(&gate, FlockOperation::LockShared))?;
    let run = tmp.join(format!("{}-{}", std::process::id(), unix_nanos()));
    fs::DirBuilder::new().mode(0o700).create(&run)?;
    let lock = fs::File::open(&run)?;
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
        later.sync().unwrap();
        let mut latest = open(dir.path());
        latest.boot = "three".into();
        assert!(latest.record::<serde_json::Value>("ops/a.json").is_some(), "a later boot's sync takes nothing away");
    }

    #[test]
    fn a_directory_that_a_crash_may_have_left_half_is_replaced_and_a_whole_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = open(dir.path());
        let make = |cache: &Cache, text: &str| {
            let temp = cache.temp_dir().unwrap();
            fs::write(temp.join("file"), text).unwrap();
            cache.keep_dir(&temp, "layers/a", &Made::default()).unwrap();
            assert!(!temp.exists());
            fs::read_to_string(dir.path().join("layers/a/file")).unwrap()
        };
        assert!(!cache.has_dir("layers/a"));
        assert_eq!(make(&cache, "first"), "first");
        assert_eq!(make(&cache, "second"), "first");
        cache.boot = "another".into();
        assert!(!cache.has_dir("layers/a"));
        assert_eq!(make(&cache, "third"), "third");
        assert!(cache.has_dir("layers/a"));
    }

    #[test]
    fn what_a_dead_run_left_is_cleared_and_a_living_one_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let living = open(dir.path());
        let kept = living.temp_dir().unwrap();
        let dead = dir.path().join("tmp/999-1");
        fs::create_dir(&dead).unwrap();
        fs::create_dir(dead.join("0")).unwrap();
        let _second = open(dir.path());
        assert!(kept.is_dir());
        assert!(!dead.exists());
    }

    #[test]
    fn a_run_that_starts_is_not_taken_for_a_dead_one() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()));
        let starting = dir.path().join("tmp/998-1");
        let gate = fs::File::open(dir.path().join("tmp")).unwrap();
        flock(&gate, FlockOperation::LockShared).unwrap();
        fs::create_dir(&starting).unwrap();
        drop(open(dir.path()));
        assert!(starting.is_dir());
        // killed before it had its lock
        drop(gate);
        drop(open(dir.path()));
        assert!(!starting.exists());
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
