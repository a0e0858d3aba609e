//! What differs between two merged trees: names, metadata, and contents byte for byte.

use std::{
    cmp::Ordering,
    io::{self, Read},
};

use crate::{
    index::{Entry, Kind},
    tree::{ContentReader, Tree},
};

/// One path's difference.
#[derive(Clone, Debug)]
pub enum Difference<'a> {
    /// Only the second tree has it.
    Added(&'a Entry),
    /// Only the first tree has it.
    Deleted(&'a Entry),
    /// Both have it, and something differs.
    Changed(&'a Entry, &'a Entry, Aspects),
}

/// In what an entry differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aspects {
    /// File, directory …
    pub kind: bool,
    /// Permission bits.
    pub mode: bool,
    /// User or group.
    pub owner: bool,
    /// A file's bytes, a symlink's target, a device's numbers.
    pub content: bool,
    /// Extended attributes.
    pub xattrs: bool,
    /// Modification time, in seconds, which is all that archives keep.
    pub time: bool,
}

impl Aspects {
    /// Whether anything differs.
    pub fn any(self) -> bool {
        self != Self::default()
    }

    /// Their names, for people.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        [
            (self.kind, "type"),
            (self.mode, "mode"),
            (self.owner, "owner"),
            (self.content, "content"),
            (self.xattrs, "xattrs"),
            (self.time, "time"),
        ]
        .into_iter()
        .filter_map(|(differs, name)| differs.then_some(name))
    }
}

/// All differences in path order. Modification times count only with `times`: every build has its own. Files of
/// the same size are read.
pub fn compare<'a>(a: &'a Tree, b: &'a Tree, times: bool) -> io::Result<Vec<Difference<'a>>> {
    let (mut left, mut right) = (a.index.entries().iter().peekable(), b.index.entries().iter().peekable());
    let mut found = Vec::new();
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return Ok(found),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(l), Some(r)) => l.path.cmp(&r.path),
        };
        match order {
            Ordering::Less => found.extend(left.next().map(Difference::Deleted)),
            Ordering::Greater => found.extend(right.next().map(Difference::Added)),
            Ordering::Equal => {
                if let (Some(l), Some(r)) = (left.next(), right.next()) {
                    let mut aspects = aspects(a, l, b, r)?;
                    aspects.time = times && l.mtime.secs != r.mtime.secs;
                    if aspects.any() {
                        found.push(Difference::Changed(l, r, aspects));
                    }
                }
            }
        }
    }
}

fn aspects(a: &Tree, left: &Entry, b: &Tree, right: &Entry) -> io::Result<Aspects> {
    let kind = left.kind != right.kind;
    let content = match left.kind {
        _ if kind => false,
        Kind::File => left.size != right.size || !same_bytes(a, left, b, right)?,
        Kind::CharDev | Kind::BlockDev => left.rdev() != right.rdev(),
        _ => left.link() != right.link(),
    };
    Ok(Aspects {
        kind,
        mode: left.mode != right.mode && left.kind != Kind::Symlink,
        owner: (left.uid, left.gid) != (right.uid, right.gid),
        content,
        xattrs: !left.xattrs().eq(right.xattrs()),
        time: false,
    })
}

/// Of two files of one size.
fn same_bytes(a: &Tree, left: &Entry, b: &Tree, right: &Entry) -> io::Result<bool> {
    if left.size == 0 {
        return Ok(true);
    }
    let (mut one, mut two) = (a.content(left)?.reader(), b.content(right)?.reader());
    let size = usize::try_from(left.size).unwrap_or(usize::MAX).min(128 << 10);
    let (mut x, mut y) = (vec![0; size], vec![0; size]);
    loop {
        let n = fill(&mut one, &mut x)?;
        let m = fill(&mut two, &mut y)?;
        if x[..n] != y[..m] {
            return Ok(false);
        }
        if n == 0 {
            return Ok(true);
        }
    }
}

fn fill(from: &mut ContentReader, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

    use super::*;
    use crate::{
        scan::{ScanOptions, scan},
        tree::Stratum,
    };

    fn tree(root: &Path) -> Tree {
        let index = Arc::new(scan(root, ScanOptions::default()).unwrap());
        Tree::new(vec![Stratum::Dir { root: root.into(), index }]).unwrap()
    }

    #[test]
    fn every_kind_of_difference() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for root in [one.path(), two.path()] {
            for file in ["same", "mode", "content", "size", "type"] {
                fs::write(root.join(file), "text").unwrap();
            }
            std::os::unix::fs::symlink("a", root.join("link")).unwrap();
        }
        fs::write(one.path().join("gone"), "x").unwrap();
        fs::write(two.path().join("new"), "x").unwrap();
        fs::set_permissions(two.path().join("mode"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(two.path().join("content"), "texT").unwrap();
        fs::write(two.path().join("size"), "text and more").unwrap();
        fs::remove_file(two.path().join("type")).unwrap();
        fs::create_dir(two.path().join("type")).unwrap();
        fs::set_permissions(two.path().join("type"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::remove_file(two.path().join("link")).unwrap();
        std::os::unix::fs::symlink("b", two.path().join("link")).unwrap();

        let (a, b) = (tree(one.path()), tree(two.path()));
        let shown: Vec<String> = compare(&a, &b, false)
            .unwrap()
            .iter()
            .map(|d| match d {
                Difference::Added(e) => format!("+{}", String::from_utf8_lossy(&e.path)),
                Difference::Deleted(e) => format!("-{}", String::from_utf8_lossy(&e.path)),
                Difference::Changed(e, _, what) => {
                    format!("{}:{}", String::from_utf8_lossy(&e.path), what.names().collect::<Vec<_>>().join(","))
                }
            })
            .collect();
        assert_eq!(
            shown,
            ["content:content", "-gone", "link:content", "mode:mode", "+new", "size:content", "type:type"]
        );
        assert!(compare(&a, &a, true).unwrap().is_empty());

        let old = fs::File::open(one.path().join("same")).unwrap();
        old.set_modified(std::time::UNIX_EPOCH).unwrap();
        let (a, b) = (tree(one.path()), tree(two.path()));
        let at_same = |times| {
            compare(&a, &b, times)
                .unwrap()
                .iter()
                .any(|d| matches!(d, Difference::Changed(e, _, what) if &*e.path == b"same" && what.time))
        };
        assert!(at_same(true) && !at_same(false));
    }
}
