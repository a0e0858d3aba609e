//! Paths as bytes. Inside this crate a path is relative to the root, clean, and the root is empty,
//! as in an index; `clean` makes one out of what an op says.

/// The components of a path, without empty ones and `.`; `..` goes up, but never above the root
/// (Go's `filepath.Join("/", path)`).
pub(crate) fn clean(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => _ = out.pop(),
            _ => out.push(part),
        }
    }
    out.join(&b'/')
}

/// `dir/rest`; either may be the root.
pub(crate) fn join(dir: &[u8], rest: &[u8]) -> Vec<u8> {
    match rest {
        b"" => dir.to_vec(),
        _ => routerpack_rootfs::path::join(dir, rest),
    }
}

/// Directory and last component; both are empty for the root.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    routerpack_rootfs::path::split(path).unwrap_or_default()
}

/// A path below `dir`, relative to it.
pub(crate) fn relative<'p>(dir: &[u8], path: &'p [u8]) -> &'p [u8] {
    match dir.len() {
        0 => path,
        len => path.get(len + 1..).unwrap_or_default(),
    }
}

/// All directories above a path, the root first.
pub(crate) fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let root = (!path.is_empty()).then_some(&path[..0]);
    root.into_iter().chain(path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| &path[..at]))
}

/// For messages, with `/` in front.
pub(crate) fn show(path: &[u8]) -> String {
    format!("/{}", routerpack_rootfs::path::show(path))
}

/// Whether a path as written asks for a directory: it ends in `/` or `/.`, or is empty or `.`.
pub(crate) fn wants_dir(written: &[u8]) -> bool {
    written.is_empty() || written == b"." || written.ends_with(b"/") || written.ends_with(b"/.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_inside_the_root() {
        for (path, want) in
            [("", ""), ("/", ""), ("a//b/./c/", "a/b/c"), ("../../a", "a"), ("/a/../../b", "b"), ("a/b/..", "a")]
        {
            assert_eq!(clean(path.as_bytes()), want.as_bytes(), "{path}");
        }
        assert_eq!(ancestors(b"a/b/c").collect::<Vec<_>>(), [&b""[..], b"a", b"a/b"]);
        assert_eq!(ancestors(b"").count(), 0);
    }
}
