//! Files that hold the same.

use std::{collections::HashMap, io};

use routerpack_rootfs::{Entry, Tree, path};

/// Files smaller than this are left out: together they rarely make a difference, and there are many.
const SMALLEST: u64 = 1024;

/// Files with the same content, owner, mode and extended attributes: each could be a hard link to one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Bytes of each.
    pub bytes: u64,
    /// Their paths with a leading slash, escaped for printing; at least two. Of hard links only the first name is here.
    pub paths: Vec<String>,
}

impl Duplicate {
    /// Bytes that hard links would save.
    pub fn saved(&self) -> u64 {
        self.bytes.saturating_mul(self.paths.len() as u64 - 1)
    }
}

/// All of them, those that cost most first. Contents are read, streaming, where sizes are the same.
pub(super) fn find(tree: &Tree) -> io::Result<Vec<Duplicate>> {
    let entries = tree.index.entries();
    let mut alike: HashMap<_, Vec<&Entry>> = HashMap::new();
    for entry in super::files(&tree.index, |_| true).into_iter().map(|at| &entries[at]) {
        if entry.size >= SMALLEST {
            let xattrs: Vec<_> = entry.xattrs().collect();
            alike.entry((entry.size, entry.mode, entry.uid, entry.gid, xattrs)).or_default().push(entry);
        }
    }
    let mut found = Vec::new();
    for group in alike.into_values().filter(|group| group.len() > 1) {
        let mut same: HashMap<[u8; 32], Vec<&Entry>> = HashMap::new();
        for entry in group {
            let read = tree.content(entry).and_then(|content| content.sha256());
            let named = |e: io::Error| io::Error::new(e.kind(), format!("/{}: {e}", path::show(&entry.path)));
            same.entry(read.map_err(named)?).or_default().push(entry);
        }
        found.extend(same.into_values().filter(|same| same.len() > 1).map(|same| Duplicate {
            bytes: same[0].size,
            paths: same.iter().map(|e| format!("/{}", path::show(&e.path))).collect(),
        }));
    }
    found.sort_by(|a, b| b.saved().cmp(&a.saved()).then_with(|| a.paths.cmp(&b.paths)));
    Ok(found)
}
