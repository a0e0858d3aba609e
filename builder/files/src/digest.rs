//! Content digests: what a copy takes from a tree, or a whole tree, in one hash. It plays the part of
//! BuildKit's contenthash (`cache/contenthash`): names, kinds, modes, owners, xattrs, link targets,
//! device numbers, hard links and bytes count, times don't. The numbers themselves are our own.

use std::{collections::HashMap, io};

use routerpack_graph::{Digest, pb::FileActionCopy};
use routerpack_rootfs::{Entry, Kind, Tree};
use sha2::{Digest as _, Sha256};

use crate::{
    Error, near, path,
    select::{self, As, Filter, Source},
};

/// Hashes files; lets a caller remember hashes of files that have not changed.
pub trait FileHasher {
    /// The sha256 of a regular file's bytes.
    fn hash(&mut self, tree: &Tree, entry: &Entry) -> io::Result<[u8; 32]>;
}

/// Reads every file.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadHasher;

impl FileHasher for ReadHasher {
    fn hash(&mut self, tree: &Tree, entry: &Entry) -> io::Result<[u8; 32]> {
        tree.content(entry)?.sha256()
    }
}

/// The digest of what a copy action takes from its source tree: two trees with the same digest give
/// the same copy (but for times). A source's last name counts, since a copy into a directory keeps
/// it; where it lies doesn't. Fails as the copy would if the source is missing or a pattern is bad.
pub fn selection_digest(action: &FileActionCopy, tree: &Tree, hasher: &mut dyn FileHasher) -> Result<Digest, Error> {
    let filter = Filter::new(action)?;
    let mut record = Record::new();
    for source in select::sources(action, tree)? {
        record.name(path::split(&source.name).1);
        record.walk(tree, &source, &filter, action.dir_copy_contents, hasher)?;
    }
    Ok(record.digest())
}

/// The digest of all that a tree has at and below a path (links followed), for example for a bind
/// mount. The path's own name doesn't count.
pub fn tree_digest(tree: &Tree, path: &[u8], hasher: &mut dyn FileHasher) -> Result<Digest, Error> {
    let root = tree.resolve(&path::clean(path), true)?;
    if !root.is_empty() && tree.index.get(&root).is_none() {
        let (pattern, near) = (String::from_utf8_lossy(path).into_owned(), near::similar(&tree.index, &root));
        return Err(Error::NoSuchSource { pattern, near });
    }
    let all = Filter::new(&FileActionCopy::default())?;
    let mut record = Record::new();
    record.walk(tree, &Source { name: Vec::new(), root }, &all, false, hasher)?;
    Ok(record.digest())
}

/// What has been seen so far.
struct Record {
    hash: Sha256,
}

impl Record {
    fn new() -> Self {
        Self { hash: Sha256::new_with_prefix(b"routerpack.selection.v1\0") }
    }

    fn digest(self) -> Digest {
        Digest::from_hash(self.hash.finalize().into())
    }

    /// Bytes of any length, so that no two lists of them look alike.
    fn bytes(&mut self, bytes: &[u8]) {
        self.hash.update((bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
    }

    /// A source starts.
    fn name(&mut self, name: &[u8]) {
        self.hash.update([0xff]);
        self.bytes(name);
    }

    fn walk(
        &mut self,
        tree: &Tree,
        source: &Source,
        filter: &Filter,
        contents: bool,
        hasher: &mut dyn FileHasher,
    ) -> Result<(), Error> {
        // Hard links of one source: the position of the first one.
        let mut links: HashMap<u32, u64> = HashMap::new();
        let mut count = 0u64;
        filter.walk(tree, source, |name, entry, what| {
            // Of a directory whose contents are copied nothing but the contents is.
            if contents && what == As::Source && entry.kind == Kind::Dir {
                return Ok(());
            }
            count += 1;
            let first = match entry.link_group {
                0 => count,
                group => *links.entry(group).or_insert(count),
            };
            self.entry(name, entry, what, count - first);
            if entry.kind == Kind::File && first == count {
                let hash = hasher.hash(tree, entry).map_err(|source| Error::Io {
                    doing: "read",
                    path: path::show(&entry.path),
                    source,
                })?;
                self.hash.update(hash);
            }
            Ok(())
        })
    }

    fn entry(&mut self, name: &[u8], entry: &Entry, what: As, link: u64) {
        let kind = match entry.kind {
            Kind::Dir => 1,
            Kind::File => 2,
            Kind::Symlink => 3,
            Kind::CharDev => 4,
            Kind::BlockDev => 5,
            Kind::Fifo => 6,
            Kind::Socket => 7,
            // Not in a merged tree.
            Kind::HardLink => 8,
            Kind::Whiteout => 9,
        };
        self.hash.update([kind, u8::from(what == As::Parent)]);
        self.bytes(name);
        // A symbolic link has no mode of its own; file systems and archives disagree about it.
        let mode = if entry.kind == Kind::Symlink { 0o777 } else { entry.mode };
        self.hash.update(mode.to_le_bytes());
        self.hash.update(entry.uid.to_le_bytes());
        self.hash.update(entry.gid.to_le_bytes());
        self.bytes(entry.link());
        let (major, minor) = entry.rdev();
        self.hash.update(major.to_le_bytes());
        self.hash.update(minor.to_le_bytes());
        self.hash.update(link.to_le_bytes());
        let xattrs = entry.extra.as_ref().map(|x| &x.xattrs);
        self.hash.update((xattrs.map_or(0, |x| x.len()) as u64).to_le_bytes());
        for (name, value) in xattrs.into_iter().flatten() {
            self.bytes(name);
            self.bytes(value);
        }
    }
}
