//! Names that somebody may have meant.

use routerpack_rootfs::{Index, path as rootfs_path};

use crate::path;

/// Names in the directory of a path that are similar to its last component, best first.
pub fn similar(index: &Index, path: &[u8]) -> Vec<String> {
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

/// Edits (insert, delete, replace, swap of neighbours) between two names; long ones are not compared.
fn distance(a: &str, b: &str) -> usize {
    let is_long = |text: &str| text.chars().count() > 255;
    if is_long(a) || is_long(b) { usize::MAX } else { strsim::osa_distance(a, b) }
}
