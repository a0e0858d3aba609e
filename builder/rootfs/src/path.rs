//! Paths inside a rootfs: byte strings relative to its root, never the host's paths.
//!
//! A clean path has no leading or trailing slash and no `.`, `..` or empty component; the root is the
//! empty path. Descendants of `a` are the paths that start with `a/`. They are contiguous when sorted by
//! bytes, but other paths (`a-b`) may sort between `a` and `a/`.

/// Longest path that is accepted, in bytes (Linux's `PATH_MAX` less the final NUL).
pub const MAX_PATH: usize = 4095;
/// Longest component, in bytes (Linux's `NAME_MAX`).
pub const MAX_COMPONENT: usize = 255;
/// Most components of a path.
pub const MAX_DEPTH: usize = 512;

/// Why a name can't be a path inside a rootfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// It has a `..` component.
    #[error("it has a `..` component")]
    DotDot,
    /// It has a NUL byte.
    #[error("it has a NUL byte")]
    Nul,
    /// It, or one of its components, is longer than Linux allows.
    #[error("it is longer than Linux allows ({MAX_PATH} bytes a path, {MAX_COMPONENT} a component)")]
    TooLong,
    /// It has more than [`MAX_DEPTH`] components.
    #[error("it has more than {MAX_DEPTH} components")]
    TooDeep,
}

/// Cleans an untrusted name: `./a//b/` and `/a/b` become `a/b`; `..` is an error rather than resolved,
/// since no honest archive has it.
pub fn clean(name: &[u8]) -> Result<Vec<u8>, BadPath> {
    let mut path = Vec::with_capacity(name.len());
    let mut depth = 0;
    for component in name.split(|b| *b == b'/') {
        match component {
            b"" | b"." => continue,
            b".." => return Err(BadPath::DotDot),
            _ if component.contains(&0) => return Err(BadPath::Nul),
            _ if component.len() > MAX_COMPONENT => return Err(BadPath::TooLong),
            _ => {}
        }
        depth += 1;
        push(&mut path, component);
    }
    match () {
        () if path.len() > MAX_PATH => Err(BadPath::TooLong),
        () if depth > MAX_DEPTH => Err(BadPath::TooDeep),
        () => Ok(path),
    }
}

/// Whether [`clean`] would give back these very bytes.
pub fn is_clean(path: &[u8]) -> bool {
    let (mut start, mut depth) = (0, 0);
    for (at, byte) in path.iter().chain(b"/").enumerate() {
        match byte {
            0 => return false,
            b'/' if path.is_empty() => return true,
            b'/' => {
                let component = path.get(start..at).unwrap_or_default();
                if matches!(component, b"" | b"." | b"..") || component.len() > MAX_COMPONENT {
                    return false;
                }
                (start, depth) = (at + 1, depth + 1);
            }
            _ => {}
        }
    }
    path.len() <= MAX_PATH && depth <= MAX_DEPTH
}

/// Appends a component.
pub fn push(path: &mut Vec<u8>, component: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(component);
}

/// `dir/name`, or just `name` when `dir` is the root.
pub fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(dir.len() + 1 + name.len());
    path.extend_from_slice(dir);
    push(&mut path, name);
    path
}

/// A name as seen from a directory, without `.`, `..` and doubled slashes; from the root if it starts with a slash.
/// `None` if it leads out of the root. Nothing is said about its length, or about links on the way.
pub fn within(dir: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let dir = if name.starts_with(b"/") { b"" } else { dir };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in dir.split(|b| *b == b'/').chain(name.split(|b| *b == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => _ = parts.pop()?,
            _ => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

/// The directory and the last component of a clean path; `None` for the root.
pub fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => Some((&path[..slash], &path[slash + 1..])),
        None if path.is_empty() => None,
        None => Some((b"", path)),
    }
}

/// The directory that holds a clean path; `None` for the root.
pub fn parent(path: &[u8]) -> Option<&[u8]> {
    split(path).map(|(dir, _)| dir)
}

/// The ancestors of a clean path, nearest first, the root (the empty path) last; not the path itself.
pub fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(parent(path), |p| parent(p))
}

/// Whether `path` is below `dir` (and not `dir` itself).
pub fn is_below(path: &[u8], dir: &[u8]) -> bool {
    match path.strip_prefix(dir) {
        Some(rest) if dir.is_empty() => !rest.is_empty(),
        Some(rest) => rest.first() == Some(&b'/'),
        None => false,
    }
}

/// What [`brief`] shows of a path, in characters.
const BRIEF: usize = 200;

/// An untrusted name for messages, which can have a megabyte: as [`show`], but cut.
pub fn brief(name: &[u8]) -> String {
    let mut text = show(&name[..name.len().min(4 * BRIEF)]);
    if let Some((at, _)) = text.char_indices().nth(BRIEF) {
        text.truncate(at);
        text.push('…');
    }
    text
}

/// A path for messages: UTF-8 where it is, escapes for the rest, for control characters, and for those that turn the
/// direction of text around (which can make a name look like another).
pub fn show(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within_the_root() {
        let table: &[(&str, &str, Option<&str>)] = &[
            ("", "a/b", Some("a/b")),
            ("", "./a//b/../c/", Some("a/c")),
            ("a/b", "c", Some("a/b/c")),
            ("a/b", "../c", Some("a/c")),
            ("a/b", "/c", Some("c")),
            ("a/b", "../..", Some("")),
            ("", ".", Some("")),
            ("a", "../../c", None),
            ("", "..", None),
            ("a", "/..", None),
        ];
        for (dir, name, want) in table {
            assert_eq!(within(dir.as_bytes(), name.as_bytes()).as_deref(), want.map(str::as_bytes), "{dir} {name}");
        }
    }

    #[test]
    fn names_are_cleaned_or_refused() {
        let good: &[(&[u8], &[u8])] = &[
            (b"", b""),
            (b"/", b""),
            (b"./", b""),
            (b".", b""),
            (b"a", b"a"),
            (b"/a/b", b"a/b"),
            (b"./a//b/./c/", b"a/b/c"),
            (b"..a/b..", b"..a/b.."),
            (b"\xff/ ", b"\xff/ "),
        ];
        for (name, path) in good {
            assert_eq!(clean(name).as_deref(), Ok(*path), "{}", show(name));
            assert!(is_clean(path));
            assert_eq!(is_clean(name), name == path);
        }
        let long = [b'a'; 256];
        let deep = b"a/".repeat(513);
        let bad: &[(&[u8], BadPath)] = &[
            (b"..", BadPath::DotDot),
            (b"a/../b", BadPath::DotDot),
            (b"a/..", BadPath::DotDot),
            (b"a\0b", BadPath::Nul),
            (&long, BadPath::TooLong),
            (&deep, BadPath::TooDeep),
        ];
        for (name, why) in bad {
            assert_eq!(clean(name), Err(*why), "{}", show(name));
            assert!(!is_clean(name));
        }
    }

    #[test]
    fn relations_respect_component_borders() {
        assert!(is_below(b"a/b", b"a") && is_below(b"a", b""));
        assert!(!is_below(b"a", b"a") && !is_below(b"ab", b"a") && !is_below(b"a-b/c", b"a") && !is_below(b"", b""));
        assert_eq!(ancestors(b"a/b/c").collect::<Vec<_>>(), [b"a/b".as_slice(), b"a", b""]);
        assert_eq!(ancestors(b"").count(), 0);
        assert_eq!(show(b"a\n\xff\xc3\xa4"), "a\\n\\xff\u{e4}");
        assert_eq!(show("a\u{202e}b".as_bytes()), "a\\u{202e}b");
        assert_eq!(brief("ä".repeat(200).as_bytes()), "ä".repeat(200));
        assert_eq!(brief("ä".repeat(1 << 20).as_bytes()), "ä".repeat(200) + "…");
    }
}
