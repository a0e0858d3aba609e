//! Patterns of paths: `*` is any part of a component, `**` any number of components.

/// Whether a path fits. `**` in last place takes at least one component, elsewhere it may take none.
pub(super) fn fits(pattern: &str, path: &[u8]) -> bool {
    let (first, rest) = match pattern.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (pattern, None),
    };
    let (name, below) = match path.iter().position(|b| *b == b'/') {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    };
    match (first, rest, below) {
        ("**", None, _) => true,
        ("**", Some(rest), _) => fits(rest, path) || below.is_some_and(|below| fits(pattern, below)),
        (_, None, None) => name_fits(first.as_bytes(), name),
        (_, Some(rest), Some(below)) => name_fits(first.as_bytes(), name) && fits(rest, below),
        _ => false,
    }
}

/// One component.
fn name_fits(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.iter().position(|b| *b == b'*') {
        None => pattern == name,
        Some(star) => {
            let Some(rest) = name.strip_prefix(&pattern[..star]) else { return false };
            (0..=rest.len()).any(|taken| name_fits(&pattern[star + 1..], &rest[taken..]))
        }
    }
}

/// The directory that a pattern names without a `*`: everything that fits lies below it.
pub(super) fn root(pattern: &str) -> &str {
    let fixed = &pattern[..pattern.find('*').unwrap_or(pattern.len())];
    fixed.rfind('/').map_or("", |at| &fixed[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit() {
        for (pattern, path, expected) in [
            ("usr/share/doc/**", "usr/share/doc/a", true),
            ("usr/share/doc/**", "usr/share/doc/a/b/c", true),
            ("usr/share/doc/**", "usr/share/doc", false),
            ("usr/share/doc/**", "usr/share/docs/a", false),
            ("usr/share/doc/**", "opt/usr/share/doc/a", false),
            ("var/cache/apt/*.bin", "var/cache/apt/pkgcache.bin", true),
            ("var/cache/apt/*.bin", "var/cache/apt/x/pkgcache.bin", false),
            ("**/__pycache__/*.pyc", "__pycache__/a.pyc", true),
            ("**/__pycache__/*.pyc", "a/b/__pycache__/a.cpython-311.pyc", true),
            ("**/__pycache__/*.pyc", "a/b/__pycache__/x/a.pyc", false),
            ("usr/lib/**/*.a", "usr/lib/liba.a", true),
            ("usr/lib/**/*.a", "usr/lib/gcc/x/12/liba.a", true),
            ("usr/lib/**/*.a", "usr/lib/liba.an", false),
            ("home/*/.cache/pip/**", "home/u/.cache/pip/x", true),
            ("home/*/.cache/pip/**", "home/u/v/.cache/pip/x", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXc", false),
        ] {
            assert_eq!(fits(pattern, path.as_bytes()), expected, "{pattern} {path}");
        }
        for (pattern, expected) in [
            ("usr/share/doc/**", "usr/share/doc"),
            ("var/cache/apt/*.bin", "var/cache/apt"),
            ("**/*.pyc", ""),
            ("var/log/dpkg.log", "var/log"),
            ("home/*/.cache/**", "home"),
        ] {
            assert_eq!(root(pattern), expected, "{pattern}");
        }
    }
}
