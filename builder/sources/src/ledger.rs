//! What a run of the program uses of a cache, written down where whoever wants to remove something looks first.
//!
//! A run writes a record's name into its own list before it looks whether the record is there. Whoever removes reads
//! all lists of living runs and moves what is in none of them away. Both happen under the lock of one file, the
//! *gate*: shared for those who use, for the moment of one line; exclusive for those who remove, for the moment of some
//! renames. So what a run has seen stays for as long as the run lives, and a killed run holds nothing back, since its
//! list goes with its folder.
//!
//! Here also a record's time of last use is kept: as the mtime of its stamp, moved at most every [`GRAIN`].

use std::collections::HashSet;
use std::fs::{self, File, FileTimes};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Uses of one record closer together than this count as one.
pub const GRAIN: Duration = Duration::from_secs(600);

/// The file below a cache whose lock keeps users and removers apart.
const GATE: &str = "gate";

/// The name of a run's list in its folder below `tmp/`.
const LIST: &str = "uses";

/// The file of a record whose mtime is the time of its last use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// The record itself, and a use is counted by one more blank at its end: it is JSON, which doesn't mind.
    Json,
    /// The record is a directory with such a file of this name.
    Inside(&'static str),
    /// The record itself, whose bytes stay as they are.
    Plain,
}

/// One run's list.
#[derive(Debug)]
pub struct Ledger {
    cache: PathBuf,
    book: Mutex<Book>,
    grown: AtomicU64,
}

#[derive(Debug)]
struct Book {
    gate: File,
    list: File,
    held: HashSet<PathBuf>,
    /// The list couldn't be written, so the gate stays locked until this run ends.
    shut: bool,
}

impl Ledger {
    /// The list of the run whose folder is `run`, below the cache's `tmp/`.
    pub fn open(cache: &Path, run: &Path) -> io::Result<Self> {
        let list = File::options().create(true).append(true).open(run.join(LIST))?;
        let book = Book { gate: open_gate(cache)?, list, held: HashSet::new(), shut: false };
        Ok(Self { cache: cache.into(), book: Mutex::new(book), grown: AtomicU64::new(0) })
    }

    /// Sees to it that a record stays until this run ends, whether it is there already or not; to be called before
    /// looking for it. `record` is its path below the cache.
    pub fn hold(&self, record: impl AsRef<Path>, stamp: Stamp) {
        let record = record.as_ref();
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        if !book.held.insert(record.into()) {
            return;
        }
        let locked = lock(&book.gate, FlockOperation::LockShared).is_ok();
        let mut line = record.as_os_str().as_encoded_bytes().to_vec();
        line.push(b'\n');
        // On a full disk, say. Who removes waits then until this run has ended.
        book.shut |= !locked || book.list.write_all(&line).is_err();
        if !book.shut {
            let _ = flock(&book.gate, FlockOperation::Unlock);
        }
        drop(book);
        let file = match stamp {
            Stamp::Inside(name) => self.cache.join(record).join(name),
            _ => self.cache.join(record),
        };
        // A time that can't be written makes the record look older than it is, no more.
        let _ = used(&file, stamp);
    }

    /// Counts bytes that this run has added to the cache.
    pub fn grow(&self, bytes: u64) {
        self.grown.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The bytes counted since the last call.
    pub fn take_growth(&self) -> u64 {
        self.grown.swap(0, Ordering::Relaxed)
    }
}

fn used(file: &Path, stamp: Stamp) -> io::Result<()> {
    let now = SystemTime::now();
    match fs::metadata(file)?.modified() {
        Ok(last) if now.duration_since(last).unwrap_or_default() < GRAIN => Ok(()),
        _ if stamp == Stamp::Plain => File::open(file)?.set_times(FileTimes::new().set_modified(now)),
        _ => File::options().append(true).open(file)?.write_all(b" "),
    }
}

/// The right to remove: no run begins to use anything while it is there.
#[derive(Debug)]
pub struct Removal {
    held: HashSet<PathBuf>,
    _gate: File,
}

impl Removal {
    /// Waits for the gate and reads the lists. Hold it for a moment only: builds wait.
    pub fn begin(cache: &Path) -> io::Result<Self> {
        let gate = open_gate(cache)?;
        lock(&gate, FlockOperation::LockExclusive)?;
        Ok(Self { held: held(cache)?, _gate: gate })
    }

    /// Whether a living run uses the record of this path below the cache.
    pub fn is_held(&self, record: &Path) -> bool {
        self.held.contains(record)
    }
}

/// What living runs use now, as paths below the cache. It may change at once; see [`Removal`].
pub fn held(cache: &Path) -> io::Result<HashSet<PathBuf>> {
    let mut all = HashSet::new();
    for run in fs::read_dir(cache.join("tmp"))? {
        match fs::read(run?.path().join(LIST)) {
            Ok(list) => {
                let text = String::from_utf8_lossy(&list);
                all.extend(text.lines().map(PathBuf::from));
            }
            // Not a run's folder, or the run has just ended.
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(all)
}

fn open_gate(cache: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().create(true).truncate(false).write(true).mode(0o600).open(cache.join(GATE))
}

fn lock(file: &File, how: FlockOperation) -> io::Result<()> {
    loop {
        match flock(file, how) {
            Err(Errno::INTR) => continue,
            other => return Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["tmp/1", "tmp/2", "records"] {
            fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        dir
    }

    #[test]
    fn what_any_run_has_named_is_held_and_nothing_else() {
        let dir = cache();
        let one = Ledger::open(dir.path(), &dir.path().join("tmp/1")).unwrap();
        let two = Ledger::open(dir.path(), &dir.path().join("tmp/2")).unwrap();
        one.hold("records/a", Stamp::Plain);
        one.hold("records/a", Stamp::Plain);
        two.hold("records/b", Stamp::Json);
        let removal = Removal::begin(dir.path()).unwrap();
        let names = ["records/a", "records/b", "records/c"];
        assert_eq!(names.map(|n| removal.is_held(Path::new(n))), [true, true, false]);
        drop(removal);
        fs::remove_dir_all(dir.path().join("tmp/1")).unwrap();
        assert_eq!(held(dir.path()).unwrap(), HashSet::from(["records/b".into()]));
    }

    #[test]
    fn nobody_begins_to_use_anything_while_something_is_removed() {
        let dir = cache();
        let ledger = Ledger::open(dir.path(), &dir.path().join("tmp/1")).unwrap();
        let removal = Removal::begin(dir.path()).unwrap();
        std::thread::scope(|s| {
            let user = s.spawn(|| ledger.hold("records/a", Stamp::Plain));
            std::thread::sleep(Duration::from_millis(50));
            assert!(!user.is_finished() && !removal.is_held(Path::new("records/a")));
            assert!(held(dir.path()).unwrap().is_empty());
            drop(removal);
        });
        assert!(Removal::begin(dir.path()).unwrap().is_held(Path::new("records/a")));
    }

    #[test]
    fn uses_close_together_count_as_one() {
        let dir = cache();
        let file = dir.path().join("records/a");
        fs::write(&file, "{}").unwrap();
        used(&file, Stamp::Json).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"{}");
        let old = SystemTime::now() - 2 * GRAIN;
        for (stamp, content) in [(Stamp::Json, "{} "), (Stamp::Plain, "{} ")] {
            File::open(&file).unwrap().set_times(FileTimes::new().set_modified(old)).unwrap();
            used(&file, stamp).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), content, "{stamp:?}");
            assert!(fs::metadata(&file).unwrap().modified().unwrap() > old + GRAIN);
        }
    }
}
