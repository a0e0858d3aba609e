//! Content hashes of files, remembered by stat: an unchanged context is not read again.
//!
//! A file counts as unchanged while device, inode, size, mtime and ctime are. A file that changed so
//! shortly before it was hashed that a further change could leave the same times is not remembered, as
//! git's index does it ("racily clean" entries).

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt,
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};

use routerpack_files::FileHasher;
use routerpack_rootfs::{Entry, Origin, Tree};

use crate::cache::Cache;

const FILE: &str = "contexts/hashes";
const MAGIC: &[u8; 8] = b"rphash01";
/// Bytes of one record: six numbers and the hash.
const RECORD: usize = 6 * 8 + 32;
/// More are not kept: the oldest unused ones go.
const MAX_KEPT: usize = 500_000;
/// Timestamps come from the kernel's clock tick (4 ms at most usual settings); file systems that keep
/// whole seconds get a margin to match.
const RACY_NANOS: i128 = 100_000_000;
const RACY_NANOS_COARSE: i128 = 2_000_000_000;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct FileId {
    device: u64,
    inode: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    mtime: i128,
    ctime: i128,
}

struct Known {
    stamp: Stamp,
    hash: [u8; 32],
    used: bool,
}

/// The memory of hashes.
pub struct Hashes {
    known: Mutex<(HashMap<FileId, Known>, bool)>,
}

impl Hashes {
    /// From the cache; an absent or damaged file is an empty memory.
    pub fn open(cache: &Cache) -> Self {
        let bytes = fs::read(cache.path(FILE)).unwrap_or_default();
        Self { known: Mutex::new((decode(&bytes).unwrap_or_default(), false)) }
    }

    /// Back to the cache, if anything was learnt. A failure costs time in the next build, nothing else.
    pub fn save(&self, cache: &Cache) {
        let known = self.known.lock().unwrap_or_else(|p| p.into_inner());
        if known.1 {
            let _ = cache.write(FILE, &encode(&known.0));
        }
    }

    /// A hasher that uses and feeds this memory.
    pub fn hasher(&self) -> impl FileHasher + '_ {
        Hasher(self)
    }
}

struct Hasher<'a>(&'a Hashes);

impl FileHasher for Hasher<'_> {
    fn hash(&mut self, tree: &Tree, entry: &Entry) -> io::Result<[u8; 32]> {
        let content = tree.content(entry)?;
        if !matches!(tree.strata.get(entry.stratum as usize), Some(Origin::Dir(_))) {
            return content.sha256();
        }
        let meta = content.file.metadata()?;
        let id = FileId { device: meta.dev(), inode: meta.ino() };
        let nanos = |secs: i64, nanos: i64| i128::from(secs) * 1_000_000_000 + i128::from(nanos);
        let stamp = Stamp {
            size: meta.size(),
            mtime: nanos(meta.mtime(), meta.mtime_nsec()),
            ctime: nanos(meta.ctime(), meta.ctime_nsec()),
        };
        if let Some(known) = self.0.known.lock().expect("no panic while holding it").0.get_mut(&id)
            && known.stamp == stamp
        {
            known.used = true;
            return Ok(known.hash);
        }
        let before = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i128);
        let hash = content.sha256()?;
        let margin = if stamp.ctime % 1_000_000_000 == 0 { RACY_NANOS_COARSE } else { RACY_NANOS };
        if before - stamp.ctime.max(stamp.mtime) > margin {
            let mut known = self.0.known.lock().expect("no panic while holding it");
            known.0.insert(id, Known { stamp, hash, used: true });
            known.1 = true;
        }
        Ok(hash)
    }
}

fn encode(known: &HashMap<FileId, Known>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    let mut all: Vec<_> = known.iter().collect();
    all.sort_by_key(|(_, k)| !k.used);
    for (id, k) in all.into_iter().take(MAX_KEPT) {
        for number in [id.device, id.inode, k.stamp.size] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for time in [k.stamp.mtime, k.stamp.ctime] {
            bytes.extend_from_slice(&(time as i64).to_le_bytes());
        }
        bytes.extend_from_slice(&[0; 8]); // room for a flag, keeps records aligned
        bytes.extend_from_slice(&k.hash);
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<HashMap<FileId, Known>> {
    let records = bytes.strip_prefix(MAGIC)?;
    let number = |r: &[u8], n: usize| u64::from_le_bytes(r[n * 8..n * 8 + 8].try_into().expect("eight bytes"));
    let record = |r: &[u8]| {
        let id = FileId { device: number(r, 0), inode: number(r, 1) };
        let time = |n| i128::from(number(r, n) as i64);
        let stamp = Stamp { size: number(r, 2), mtime: time(3), ctime: time(4) };
        (id, Known { stamp, hash: r[48..].try_into().expect("32 bytes"), used: false })
    };
    Some(records.chunks_exact(RECORD).map(record).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_survives_its_file_and_nothing_else_does() {
        let id = FileId { device: 1, inode: 2 };
        let stamp = Stamp { size: 3, mtime: -4_000_000_001, ctime: 5 };
        let known = HashMap::from([(id, Known { stamp, hash: [7; 32], used: true })]);
        let bytes = encode(&known);
        let back = decode(&bytes).unwrap();
        assert!(back[&id].stamp == stamp && back[&id].hash == [7; 32]);
        assert!(decode(b"something else").is_none());
        assert_eq!(decode(&bytes[..bytes.len() - 1]).unwrap().len(), 0, "a cut record is dropped");
    }
}
