//! Looking paths up in an index: symbolic links followed inside the root, ranges of a directory.

use std::ops::Range;

use routerpack_rootfs::{Entry, Index, Kind};

use crate::{Error, path};

/// As continuity's `fs.RootPath`, and more than any sane tree has.
const MAX_LINKS: usize = 255;

/// Follows the symbolic links of a clean path, those of the last component only if `follow_last`.
/// A link's target is relative to the root if absolute, and `..` stops there. What does not exist
/// stays as it is, so that it can be created.
pub(crate) fn resolve<'e>(
    get: impl Fn(&[u8]) -> Option<&'e Entry>,
    from: &[u8],
    follow_last: bool,
) -> Result<Vec<u8>, Error> {
    let mut todo: Vec<Vec<u8>> = from.split(|b| *b == b'/').rev().map(<[u8]>::to_vec).collect();
    let mut done = Vec::new();
    let mut links = 0;
    while let Some(part) = todo.pop() {
        match part.as_slice() {
            b"" | b"." => continue,
            b".." => {
                done.truncate(path::split(&done).0.len());
                continue;
            }
            _ => {}
        }
        let here = path::join(&done, &part);
        let follow = follow_last || !todo.is_empty();
        match get(&here) {
            Some(entry) if entry.kind == Kind::Symlink && follow => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Error::TooManyLinks { path: path::show(from) });
                }
                let target = entry.link();
                if target.starts_with(b"/") {
                    done.clear();
                }
                todo.extend(target.split(|b| *b == b'/').rev().map(<[u8]>::to_vec));
            }
            _ => done = here,
        }
    }
    Ok(done)
}

/// Where the entries below a directory are in an index (its own entry is not among them).
pub(crate) fn below(index: &Index, dir: &[u8]) -> Range<usize> {
    let entries = index.entries();
    if dir.is_empty() {
        return entries.partition_point(|e| e.path.is_empty())..entries.len();
    }
    // All paths that start with `dir/` lie between `dir/` and `dir0`: `0` follows `/` in ASCII.
    let at = |end: u8| {
        let bound = [dir, &[end]].concat();
        entries.partition_point(|e| *e.path < *bound)
    };
    at(b'/')..at(b'0')
}

/// A path below `dir`, relative to it.
pub(crate) fn relative<'p>(dir: &[u8], path: &'p [u8]) -> &'p [u8] {
    match dir.len() {
        0 => path,
        len => path.get(len + 1..).unwrap_or_default(),
    }
}

/// Names in the directory of a path that are similar to its last component, best first.
pub(crate) fn similar(index: &Index, path: &[u8]) -> Vec<String> {
    let (dir, name) = path::split(path);
    let plain = |name: &[u8]| String::from_utf8_lossy(name).to_lowercase();
    let wanted = plain(name).replace(['*', '?', '[', ']', '\\'], "");
    let mut found: Vec<(usize, String)> = index.entries()[below(index, dir)]
        .iter()
        .filter(|e| !relative(dir, &e.path).contains(&b'/'))
        .filter_map(|e| {
            let far = distance(&wanted, &plain(relative(dir, &e.path)));
            (far <= 1.max(wanted.chars().count() / 3)).then(|| (far, String::from_utf8_lossy(&e.path).into_owned()))
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
