//! Parts of trees under other names: a subtree cut out, a directory's stratum moved below another path.
//!
//! Only metadata moves: contents stay where they are, which an entry's stratum, offset and origin say.

use std::sync::Arc;

use crate::{
    index::{Entry, Extra, Index},
    path,
    tree::{Stratum, Tree},
};

impl Tree {
    /// What is at `from` (a clean path that exists), and all below it, with `from` itself called `to`. With an
    /// empty `to` its children are at the top, and it has no entry itself.
    pub fn subtree(&self, from: &[u8], to: &[u8]) -> Self {
        let own = self.index.get(from);
        let inside = self.index.descendants(from);
        let moved = own.into_iter().chain(inside).filter_map(|entry| {
            let rest = entry.path.get(from.len()..)?;
            let rest = rest.strip_prefix(b"/").unwrap_or(rest);
            moved(entry, below(to, rest))
        });
        let mut tree = self.clone();
        tree.index = Arc::new(Index::new(moved.collect()));
        tree
    }
}

impl Stratum {
    /// The same stratum with everything below `dir`: an entry `a` becomes `dir/a`, an entry of the root `dir`
    /// itself. Link targets are text and stay as they are.
    pub fn below(self, dir: &[u8]) -> Self {
        let graft = |index: &Index| {
            Arc::new(Index::new(index.entries().iter().filter_map(|e| moved(e, below(dir, &e.path))).collect()))
        };
        match self {
            Self::Tar { file, index } => Self::Tar { file, index: graft(&index) },
            Self::Dir { root, index } => Self::Dir { root, index: graft(&index) },
        }
    }
}

/// `rest` below `dir`; without a rest `dir` itself.
fn below(dir: &[u8], rest: &[u8]) -> Vec<u8> {
    if rest.is_empty() { dir.to_vec() } else { path::join(dir, rest) }
}

/// An entry under another path; the root has none.
fn moved(entry: &Entry, to: Vec<u8>) -> Option<Entry> {
    if to.is_empty() {
        return None;
    }
    let mut moved = entry.clone();
    let origin = entry.origin();
    if *origin != *to {
        // A tar's entries have an offset; what an origin says is read of directories only.
        moved.extra.get_or_insert_with(|| Box::new(Extra::default())).origin = origin.to_vec();
    }
    moved.path = to.into();
    Some(moved)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::scan::{ScanOptions, scan};

    fn stratum(root: &std::path::Path) -> Stratum {
        let index = scan(root, ScanOptions { root: true, ..ScanOptions::default() }).unwrap();
        Stratum::Dir { root: root.into(), index: Arc::new(index) }
    }

    fn names(index: &Index) -> Vec<String> {
        index.entries().iter().map(|e| path::show(&e.path)).collect()
    }

    #[test]
    fn moved_files_keep_their_bytes() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/f"), "bytes").unwrap();
        fs::write(dir.path().join("ab"), "other").unwrap();

        let tree = Tree::new(vec![stratum(dir.path()).below(b"x/y")]).unwrap();
        assert_eq!(names(&tree.index), ["x", "x/y", "x/y/a", "x/y/a/b", "x/y/a/b/f", "x/y/ab"]);
        let file = tree.index.get(b"x/y/a/b/f").unwrap();
        assert_eq!(tree.read(file, 10).unwrap(), b"bytes");

        for (from, to, want) in [
            (&b"x/y/a"[..], &b"n"[..], vec!["n", "n/b", "n/b/f"]),
            (b"x/y/a", b"", vec!["b", "b/f"]),
            (b"x/y/ab", b"new", vec!["new"]),
            (b"", b"", vec!["x", "x/y", "x/y/a", "x/y/a/b", "x/y/a/b/f", "x/y/ab"]),
        ] {
            let cut = tree.subtree(from, to);
            assert_eq!(names(&cut.index), want);
            for file in cut.index.entries().iter().filter(|e| e.size > 0) {
                assert_eq!(cut.read(file, 10).unwrap().len(), 5);
            }
        }
    }
}
