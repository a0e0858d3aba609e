//! The metadata of every entry of a stratum or of a merged tree, sorted by path bytes.

use std::{collections::BTreeMap, ops::Range};

use crate::{path, stamp::Stamp};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file; its bytes are at the entry's origin.
    File,
    /// A symbolic link; its target is in [`Extra::link`].
    Symlink,
    /// A character device; numbers in [`Extra::rdev`].
    CharDev,
    /// A block device; numbers in [`Extra::rdev`].
    BlockDev,
    /// A named pipe.
    Fifo,
    /// A socket (only ever found in directories; a tar can't hold one).
    Socket,
    /// A hard link of a layer tar to a path that this layer does not hold: [`Extra::link`] is that
    /// path. Only in a single stratum's index; merging resolves it.
    HardLink,
    /// The path is deleted from the strata below. Only in a single stratum's index.
    Whiteout,
}

/// Seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mtime {
    /// Seconds.
    pub secs: i64,
    /// 0 ..= 999_999_999.
    pub nanos: u32,
}

/// What only few entries have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    /// A symlink's target, or the path that a [`Kind::HardLink`] names.
    pub link: Vec<u8>,
    /// Extended attributes by full name (`security.capability`), raw values.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Device numbers, (major, minor).
    pub rdev: (u32, u32),
    /// In a directory stratum: the path below the stratum's root that holds the bytes, when it is
    /// not the entry's own path (a merged hard link whose target is another name). Else empty.
    pub origin: Vec<u8>,
}

/// One entry. About 100 bytes and its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the root, no leading `/` or `./`, no `.`, `..` or empty component, no trailing
    /// slash. The root itself is the empty path.
    pub path: Box<[u8]>,
    /// What it is.
    pub kind: Kind,
    /// Permission, set-id and sticky bits, `0..=0o7777`.
    pub mode: u16,
    /// Hides what the strata below have in this directory. Only in a single stratum's index. On a
    /// [`Kind::Whiteout`]: just the content is deleted, the directory itself stays as it is below.
    pub opaque: bool,
    /// Owner inside the image.
    pub uid: u32,
    /// Group inside the image.
    pub gid: u32,
    /// Last modification.
    pub mtime: Mtime,
    /// Bytes of a regular file, else 0.
    pub size: u64,
    /// Position in [`Tree`]'s list of strata; 0 in a single stratum's index.
    pub stratum: u32,
    /// Where a file's bytes start in a tar stratum; 0 in a directory stratum.
    pub offset: u64,
    /// Entries of one index with the same number other than 0 are hard links of one another; they
    /// have the same metadata and origin.
    pub link_group: u32,
    /// What only few entries have.
    pub extra: Option<Box<Extra>>,
}

impl Entry {
    /// A directory that nothing is known of: 0755, root's, of 1970.
    pub fn new_dir(path: &[u8]) -> Self {
        Self::new(path, Kind::Dir, 0o755)
    }

    /// An entry of root's, of 1970, empty, of stratum 0.
    pub fn new(path: &[u8], kind: Kind, mode: u16) -> Self {
        Self {
            path: path.into(),
            kind,
            mode,
            opaque: false,
            uid: 0,
            gid: 0,
            mtime: Mtime::default(),
            size: 0,
            stratum: 0,
            offset: 0,
            link_group: 0,
            extra: None,
        }
    }

    /// Whether it deletes this path from the strata below.
    pub fn is_whiteout(&self) -> bool {
        self.kind == Kind::Whiteout && !self.opaque
    }

    /// A symlink's or unresolved hard link's target; empty for others.
    pub fn link(&self) -> &[u8] {
        self.extra.as_ref().map_or(&[], |x| &x.link)
    }

    /// Device numbers, (major, minor).
    pub fn rdev(&self) -> (u32, u32) {
        self.extra.as_ref().map_or((0, 0), |x| x.rdev)
    }

    /// Extended attributes by full name, raw values.
    pub fn xattrs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.extra.iter().flat_map(|x| x.xattrs.iter().map(|(name, value)| (&**name, &**value)))
    }

    /// In a directory stratum: the path below its root that holds this entry's bytes.
    pub fn origin(&self) -> &[u8] {
        match &self.extra {
            Some(extra) if !extra.origin.is_empty() => &extra.origin,
            _ => &self.path,
        }
    }
}

/// Entries sorted by path bytes, no path twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    entries: Vec<Entry>,
    /// As many as entries, or none.
    stamps: Vec<Stamp>,
}

impl Index {
    /// Sorts the entries; of two with one path the later one counts (as in a tar).
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|a, b| a.path.cmp(&b.path)); // stable, so "later" survives
        entries.reverse();
        entries.dedup_by(|a, b| a.path == b.path);
        entries.reverse();
        Self { entries, stamps: Vec::new() }
    }

    /// The entries of a directory that was scanned, no path twice, with the stamps of their files.
    pub(crate) fn stamped(mut all: Vec<(Entry, Stamp)>) -> Self {
        all.sort_unstable_by(|a, b| a.0.path.cmp(&b.0.path));
        let (entries, stamps) = all.into_iter().unzip();
        Self { entries, stamps }
    }

    /// What [`Index::stamped`] was given.
    pub(crate) fn into_stamped(self) -> impl Iterator<Item = (Entry, Stamp)> {
        self.entries.into_iter().zip(self.stamps)
    }

    /// Visits each entry with its stamp, if it has one.
    pub(crate) fn for_each_stamped(&mut self, visit: impl FnMut((&mut Entry, &Stamp))) {
        self.entries.iter_mut().zip(&self.stamps).for_each(visit);
    }

    /// The same entries alone.
    pub(crate) fn without_stamps(self) -> Self {
        Self { stamps: Vec::new(), ..self }
    }

    /// Takes entries that are in strict path order.
    pub(crate) fn from_sorted(entries: Vec<Entry>) -> Self {
        debug_assert!(entries.is_sorted_by(|a, b| a.path < b.path));
        Self { entries, stamps: Vec::new() }
    }

    /// All entries in path order; parents come before children.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn entries_mut(&mut self) -> &mut [Entry] {
        &mut self.entries
    }

    /// The entries, given away.
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// The index of a tar that is itself a part of a file, and starts so many bytes into it.
    pub fn shifted(mut self, by: u64) -> Self {
        self.entries.iter_mut().filter(|e| e.kind == Kind::File).for_each(|e| e.offset += by);
        self
    }

    /// The entry at exactly this path (no symlink is followed).
    pub fn get(&self, path: &[u8]) -> Option<&Entry> {
        self.position(path).map(|i| &self.entries[i])
    }

    /// The stamp that the file at exactly this path had when its directory was scanned; only the index of a scan that
    /// was asked for them has stamps.
    pub fn stamp(&self, path: &[u8]) -> Option<&Stamp> {
        self.stamps.get(self.position(path)?)
    }

    /// Where [`Index::entries`] has this path.
    pub fn position(&self, path: &[u8]) -> Option<usize> {
        self.entries.binary_search_by(|e| (*e.path).cmp(path)).ok()
    }

    /// Everything below a directory (not the directory itself) in path order; for the root (the empty
    /// path) everything.
    pub fn descendants(&self, dir: &[u8]) -> &[Entry] {
        &self.entries[self.descendant_range(dir)]
    }

    pub(crate) fn descendant_range(&self, dir: &[u8]) -> Range<usize> {
        if dir.is_empty() {
            let root = self.entries.first().is_some_and(|e| e.path.is_empty());
            return usize::from(root)..self.entries.len();
        }
        // The descendants are the paths in `dir/` .. `dir0`, '0' being the byte after '/'.
        let edge = |last: u8| {
            self.entries.partition_point(|e| {
                let head = e.path.get(..dir.len()).unwrap_or(&e.path);
                head.cmp(dir).then_with(|| e.path.get(dir.len()).cmp(&Some(&last))).is_lt()
            })
        };
        let start = edge(b'/');
        match self.entries.get(start) {
            Some(e) if path::is_below(&e.path, dir) => start..edge(b'0'),
            _ => start..start,
        }
    }

    /// The entries right in a directory, in path order. Those of deeper levels are jumped over, so this costs
    /// a binary search for each child that is a directory.
    pub fn children<'a>(&'a self, dir: &'a [u8]) -> impl Iterator<Item = &'a Entry> + 'a {
        let below = self.descendant_range(dir);
        let prefix = if dir.is_empty() { 0 } else { dir.len() + 1 };
        let mut at = below.start;
        std::iter::from_fn(move || {
            while at < below.end {
                let entry = &self.entries[at];
                match entry.path[prefix..].iter().position(|b| *b == b'/') {
                    None => {
                        at += 1;
                        return Some(entry);
                    }
                    Some(slash) => at = self.descendant_range(&entry.path[..prefix + slash]).end,
                }
            }
            None
        })
    }
}
