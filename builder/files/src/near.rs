//! Names that somebody may have meant.

use routerpack_rootfs::{Index, path as rootfs_path};

use crate::path;

/// Names in the directory of a path that are similar to its last component, best first.
pub(crate) fn similar(index: &Index, path: &[u8]) -> Vec<String> {
    let (dir, name) = path::split(path);
    let plain = |name: &[u8]| String::from_utf8_lossy(name).to_lowercase();
    let wanted = plain(name).replace(['*', '?', '[', ']', '\\'], "");
    let mut found: Vec<(usize, String)> = index
        .children(dir)
        .filter_map(|e| {
            let far = distance(&wanted, &plain(path::split(&e.path).1));
            (far <= 1.max(wanted.chars().count() / 3)).then(|| (far, rootfs_path::show(&e.path)))
        })
        .collect();
    found.sort();
    found.truncate(3);
    found.into_iter().map(|(_, name)| name).collect()
}

/// Edits (insert, delete, replace) between two names; long ones are not compared.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > 255 || b.len() > 255 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
