//! Content hashes of files, remembered by stat: an unchanged context is not read again.
//!
//! A file counts as unchanged while its [`Stamp`] is. One that changed so shortly before it was hashed that a further
//! change could leave the same stamp is not remembered, as git's index does it ("racily clean" entries).

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use routerpack_files::FileHasher;
use routerpack_graph::Digest;
use routerpack_rootfs::{Entry, Origin, Stamp, Tree};

use crate::cache::Cache;

const MAGIC: &[u8; 8] = b"rphash03";
/// Bytes of one record: a stamp's five numbers, the hash, and whether the file is plain. Records are sorted.
const RECORD: usize = 5 * 8 + 32 + 1;
/// Of records that no build of late has used, no more are kept in one file.
const MAX_UNUSED: usize = 100_000;

type Hash = [u8; 32];

/// A hash, and whether the file has no extended attributes: changing those changes a stamp, too.
type Known = (Hash, bool);

/// The memory of hashes, in a file of its own for each directory: a small context must not wait for a large one's.
pub struct Hashes {
    /// Directories in here are not remembered: who asks for them again asks by name.
    cache: PathBuf,
    /// When this began, in nanoseconds since 1970: before any scan.
    opened: i64,
    dirs: Mutex<HashMap<PathBuf, Memory>>,
}

/// What is known of one directory's files.
#[derive(Default)]
struct Memory {
    /// Records as the file has them. They are looked for in there, since reading them all takes longer than a build.
    old: Arc<Vec<u8>>,
    /// Positions in there that were of use.
    used: HashSet<usize>,
    new: HashMap<Stamp, Known>,
}

impl Hashes {
    /// Over a cache. An absent or damaged file is an empty memory.
    pub fn open(cache: &Cache) -> Self {
        Self { cache: cache.dir().to_path_buf(), opened: now(), dirs: Mutex::default() }
    }

    /// Back to the cache, if anything was learnt. A failure costs time in the next build, nothing else.
    pub fn save(&self, cache: &Cache) {
        for (dir, memory) in &*self.dirs() {
            if !memory.new.is_empty() && !dir.starts_with(&self.cache) {
                let _ = cache.write(file(dir), &memory.encode());
            }
        }
    }

    /// A hasher that uses and feeds this memory. It takes a file to be as it was when its directory was scanned.
    pub fn hasher(&self) -> impl FileHasher + '_ {
        Hasher { memory: self, by_scan: true }
    }

    /// The same, but it looks at each file again.
    pub fn checker(&self) -> impl FileHasher + '_ {
        Hasher { memory: self, by_scan: false }
    }

    fn dirs(&self) -> MutexGuard<'_, HashMap<PathBuf, Memory>> {
        self.dirs.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Tells of files of a directory whether they are known to have no extended attributes.
    pub fn plain(&self, dir: &Path) -> impl Fn(&Stamp) -> bool + Sync + use<> {
        let old = self.memory(&mut self.dirs(), dir).old.clone();
        move |stamp| find(&old, stamp).is_some_and(|at| record(&old[at * RECORD..]).1.1)
    }

    fn memory<'m>(&self, dirs: &'m mut HashMap<PathBuf, Memory>, dir: &Path) -> &'m mut Memory {
        if !dirs.contains_key(dir) {
            let known = if dir.starts_with(&self.cache) { Vec::new() } else { self.read(dir) };
            dirs.insert(dir.to_path_buf(), Memory { old: Arc::new(known), ..Memory::default() });
        }
        dirs.get_mut(dir).expect("it was just put there")
    }

    fn recall(&self, dir: &Path, stamp: &Stamp) -> Option<Hash> {
        self.memory(&mut self.dirs(), dir).recall(stamp)
    }

    fn read(&self, dir: &Path) -> Vec<u8> {
        let mut bytes = fs::read(self.cache.join(file(dir))).unwrap_or_default();
        match bytes.starts_with(MAGIC) && (bytes.len() - MAGIC.len()).is_multiple_of(RECORD) {
            true => bytes.split_off(MAGIC.len()),
            false => Vec::new(),
        }
    }
}

/// Where the cache keeps a directory's.
fn file(dir: &Path) -> String {
    format!("contexts/{}", Digest::of(dir.as_os_str().as_encoded_bytes()).hex())
}

impl Memory {
    fn recall(&mut self, stamp: &Stamp) -> Option<Hash> {
        if let Some((hash, _)) = self.new.get(stamp) {
            return Some(*hash);
        }
        let at = find(&self.old, stamp)?;
        self.used.insert(at);
        Some(record(&self.old[at * RECORD..]).1.0)
    }

    fn encode(&self) -> Vec<u8> {
        let old = self.old.chunks_exact(RECORD).enumerate();
        let (used, unused): (Vec<_>, Vec<_>) = old.partition(|(at, _)| self.used.contains(at));
        let mut all: Vec<(Stamp, Known)> = self.new.iter().map(|(stamp, known)| (*stamp, *known)).collect();
        all.extend(used.into_iter().chain(unused.into_iter().take(MAX_UNUSED)).map(|(_, bytes)| record(bytes)));
        all.sort_unstable();
        let mut bytes = MAGIC.to_vec();
        for (Stamp { device, inode, size, mtime, ctime }, (hash, plain)) in all {
            for number in [device, inode, size, mtime as u64, ctime as u64] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(&hash);
            bytes.push(plain.into());
        }
        bytes
    }
}

/// The record at the start of these bytes.
fn record(bytes: &[u8]) -> (Stamp, Known) {
    let number = |n: usize| u64::from_le_bytes(bytes[n * 8..n * 8 + 8].try_into().expect("eight bytes"));
    let stamp = Stamp {
        device: number(0),
        inode: number(1),
        size: number(2),
        mtime: number(3) as i64,
        ctime: number(4) as i64,
    };
    (stamp, (bytes[40..72].try_into().expect("32 bytes"), bytes[72] == 1))
}

/// Which of these sorted records is of this stamp.
fn find(records: &[u8], stamp: &Stamp) -> Option<usize> {
    let (mut low, mut high) = (0, records.len() / RECORD);
    while low < high {
        let middle = (low + high) / 2;
        match record(&records[middle * RECORD..]).0.cmp(stamp) {
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
            Ordering::Equal => return Some(middle),
        }
    }
    None
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64)
}

struct Hasher<'a> {
    memory: &'a Hashes,
    by_scan: bool,
}

impl FileHasher for Hasher<'_> {
    fn hash(&mut self, tree: &Tree, entry: &Entry) -> io::Result<[u8; 32]> {
        let Some(Origin::Dir(dir)) = tree.strata.get(entry.stratum as usize) else {
            return tree.content(entry)?.sha256();
        };
        let scanned = if self.by_scan { tree.index.stamp(&entry.path) } else { None };
        if let Some(hash) = scanned.and_then(|stamp| self.memory.recall(dir, stamp)) {
            return Ok(hash);
        }
        // What lies there by this name, if it is known, need not be opened. By way of a link it would be another file.
        let there = || fs::symlink_metadata(dir.join(OsStr::from_bytes(entry.origin()))).ok();
        if !self.by_scan
            && let Some(hash) = there().and_then(|meta| self.memory.recall(dir, &Stamp::of(&meta)))
        {
            return Ok(hash);
        }
        let content = tree.content(entry)?;
        let stamp = Stamp::of(&content.file.metadata()?);
        if let Some(hash) = self.memory.recall(dir, &stamp) {
            return Ok(hash);
        }
        let before = now();
        let hash = content.sha256()?;
        // What changes while it is read has another stamp afterwards.
        if stamp.is_settled(before) && Stamp::of(&content.file.metadata()?) == stamp {
            let scanned = tree.index.stamp(&entry.path) == Some(&stamp) && stamp.is_settled(self.memory.opened);
            let known = (hash, scanned && entry.xattrs().next().is_none());
            self.memory.memory(&mut self.memory.dirs(), dir).new.insert(stamp, known);
        }
        Ok(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(inode: u64) -> Stamp {
        Stamp { device: 1, inode, size: 3, mtime: -4_000_000_001, ctime: 5 }
    }

    #[test]
    fn the_memory_survives_its_file_and_is_one_directory_s() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let (here, there) = (Path::new("/context"), Path::new("/other"));
        let hashes = Hashes::open(&cache);
        assert_eq!(hashes.recall(here, &stamp(1)), None);
        for n in [9, 2, 5] {
            hashes.dirs().get_mut(here).unwrap().new.insert(stamp(n), ([n as u8; 32], n == 5));
        }
        hashes.save(&cache);

        let again = Hashes::open(&cache);
        for n in 0..12 {
            assert_eq!(again.recall(here, &stamp(n)), [2, 5, 9].contains(&n).then_some([n as u8; 32]), "{n}");
            assert_eq!(again.recall(there, &stamp(n)), None);
            assert_eq!(again.plain(here)(&stamp(n)), n == 5, "{n}");
        }
        assert_eq!(again.recall(here, &Stamp { ctime: 6, ..stamp(2) }), None);
        again.dirs().get_mut(here).unwrap().new.insert(stamp(3), ([3; 32], true));
        again.save(&cache);
        let third = Hashes::open(&cache);
        assert!([2, 3, 5, 9].iter().all(|n| third.recall(here, &stamp(*n)).is_some()), "nothing is lost");

        let file = cache.path(file(here));
        for damaged in [&fs::read(&file).unwrap()[..100], b"something else", b""] {
            fs::write(&file, damaged).unwrap();
            assert_eq!(Hashes::open(&cache).recall(here, &stamp(2)), None);
        }
    }

    #[test]
    fn of_what_nobody_uses_not_all_is_kept() {
        let mut memory = Memory::default();
        memory.new.extend((0..MAX_UNUSED as u64 + 50).map(|n| (stamp(n), ([0; 32], true))));
        let mut next = Memory { old: Arc::new(memory.encode().split_off(MAGIC.len())), ..Memory::default() };
        assert!(next.recall(&stamp(MAX_UNUSED as u64 + 49)).is_some());
        next.new.insert(stamp(u64::MAX), ([1; 32], false));
        let kept = next.encode().split_off(MAGIC.len());
        assert_eq!(kept.len() / RECORD, MAX_UNUSED + 2);
        assert_eq!(record(&kept[kept.len() - 2 * RECORD..]).0, stamp(MAX_UNUSED as u64 + 49));
    }
}
