//! Content hashes of files, remembered by stat: an unchanged context is not read again.
//!
//! A file counts as unchanged while its [`Stamp`] is. One that changed so shortly before it was hashed that a further
//! change could leave the same stamp is not remembered, as git's index does it ("racily clean" entries).

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use routerpack_files::FileHasher;
use routerpack_graph::Digest;
use routerpack_rootfs::{Entry, Origin, Stamp, Tree};

use crate::cache::Cache;

const MAGIC: &[u8; 8] = b"rphash02";
/// Bytes of one record: a stamp's five numbers and the hash. Records are sorted.
const RECORD: usize = 5 * 8 + 32;
/// Of records that no build of late has used, no more are kept in one file.
const MAX_UNUSED: usize = 100_000;

type Hash = [u8; 32];

/// The memory of hashes, in a file of its own for each directory: a small context must not wait for a large one's.
pub struct Hashes {
    /// Directories in here are not remembered: who asks for them again asks by name.
    cache: PathBuf,
    dirs: Mutex<HashMap<PathBuf, Memory>>,
}

/// What is known of one directory's files.
#[derive(Default)]
struct Memory {
    /// Records as the file has them. They are looked for in there, since reading them all takes longer than a build.
    old: Vec<u8>,
    /// Positions in there that were of use.
    used: HashSet<usize>,
    new: HashMap<Stamp, Hash>,
}

impl Hashes {
    /// Over a cache. An absent or damaged file is an empty memory.
    pub fn open(cache: &Cache) -> Self {
        Self { cache: cache.dir().to_path_buf(), dirs: Mutex::default() }
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

    fn recall(&self, dir: &Path, stamp: &Stamp) -> Option<Hash> {
        let mut dirs = self.dirs();
        if !dirs.contains_key(dir) {
            let known = if dir.starts_with(&self.cache) { Vec::new() } else { self.read(dir) };
            dirs.insert(dir.to_path_buf(), Memory { old: known, ..Memory::default() });
        }
        dirs.get_mut(dir)?.recall(stamp)
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
        if let Some(hash) = self.new.get(stamp) {
            return Some(*hash);
        }
        let (mut low, mut high) = (0, self.old.len() / RECORD);
        while low < high {
            let middle = (low + high) / 2;
            let (found, hash) = record(&self.old[middle * RECORD..]);
            match found.cmp(stamp) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    self.used.insert(middle);
                    return Some(hash);
                }
            }
        }
        None
    }

    fn encode(&self) -> Vec<u8> {
        let old = self.old.chunks_exact(RECORD).enumerate();
        let (used, unused): (Vec<_>, Vec<_>) = old.partition(|(at, _)| self.used.contains(at));
        let mut all: Vec<(Stamp, Hash)> = self.new.iter().map(|(stamp, hash)| (*stamp, *hash)).collect();
        all.extend(used.into_iter().chain(unused.into_iter().take(MAX_UNUSED)).map(|(_, bytes)| record(bytes)));
        all.sort_unstable();
        let mut bytes = MAGIC.to_vec();
        for (Stamp { device, inode, size, mtime, ctime }, hash) in all {
            for number in [device, inode, size, mtime as u64, ctime as u64] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(&hash);
        }
        bytes
    }
}

/// The record at the start of these bytes.
fn record(bytes: &[u8]) -> (Stamp, Hash) {
    let number = |n: usize| u64::from_le_bytes(bytes[n * 8..n * 8 + 8].try_into().expect("eight bytes"));
    let stamp = Stamp {
        device: number(0),
        inode: number(1),
        size: number(2),
        mtime: number(3) as i64,
        ctime: number(4) as i64,
    };
    (stamp, bytes[40..RECORD].try_into().expect("32 bytes"))
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
        let content = tree.content(entry)?;
        let stamp = Stamp::of(&content.file.metadata()?);
        if let Some(hash) = self.memory.recall(dir, &stamp) {
            return Ok(hash);
        }
        let before = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64);
        let hash = content.sha256()?;
        // What changes while it is read has another stamp afterwards.
        if stamp.is_settled(before) && Stamp::of(&content.file.metadata()?) == stamp {
            self.memory.dirs().entry(dir.clone()).or_default().new.insert(stamp, hash);
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
            hashes.dirs().get_mut(here).unwrap().new.insert(stamp(n), [n as u8; 32]);
        }
        hashes.save(&cache);

        let again = Hashes::open(&cache);
        for n in 0..12 {
            assert_eq!(again.recall(here, &stamp(n)), [2, 5, 9].contains(&n).then_some([n as u8; 32]), "{n}");
            assert_eq!(again.recall(there, &stamp(n)), None);
        }
        assert_eq!(again.recall(here, &Stamp { ctime: 6, ..stamp(2) }), None);
        again.dirs().get_mut(here).unwrap().new.insert(stamp(3), [3; 32]);
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
        memory.new.extend((0..MAX_UNUSED as u64 + 50).map(|n| (stamp(n), [0; 32])));
        let mut next = Memory { old: memory.encode().split_off(MAGIC.len()), ..Memory::default() };
        assert!(next.recall(&stamp(MAX_UNUSED as u64 + 49)).is_some());
        next.new.insert(stamp(u64::MAX), [1; 32]);
        let kept = next.encode().split_off(MAGIC.len());
        assert_eq!(kept.len() / RECORD, MAX_UNUSED + 2);
        assert_eq!(record(&kept[kept.len() - 2 * RECORD..]).0, stamp(MAX_UNUSED as u64 + 49));
    }
}
