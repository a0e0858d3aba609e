//! Paths of images, as text: always with slashes, never of this machine.

/// The shortest equal path, by the rules of Go's `path.Clean`: `.` and empty parts go, `..` takes its
/// parent away (nothing at the root), a relative path that is left empty becomes `.`.
pub(super) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(last) if *last != ".." => drop(parts.pop()),
                _ if rooted => {}
                _ => parts.push(part),
            },
            _ => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".into(),
        (false, false) => parts.join("/"),
    }
}

/// `path` from the root, cleaned; a relative one is below `dir`.
pub(super) fn absolute(dir: &str, path: &str) -> String {
    if path.starts_with('/') { clean(path) } else { clean(&format!("/{dir}/{path}")) }
}

/// Like [`absolute`], but a trailing `/` or `/.`, which says "a directory", stays; so does `.` and the
/// empty path, which are the directory `dir` itself.
pub(super) fn destination(dir: &str, path: &str) -> String {
    let path = if path.is_empty() || path == "." { "./" } else { path };
    let mut result = absolute(dir, path);
    if path.ends_with('/') && !result.ends_with('/') {
        result.push('/');
    } else if path.ends_with("/.") {
        if result != "/" {
            result.push('/');
        }
        result.push('.');
    }
    result
}

/// The new working directory: an absolute one as it is written, a relative one below the current one
/// (BuildKit `util/system/path.go`, `NormalizeWorkdir`).
pub(super) fn workdir(current: &str, wanted: &str) -> String {
    match wanted {
        "" if current.starts_with('/') => current.to_string(),
        "" => absolute("/", current),
        _ if wanted.starts_with('/') => wanted.to_string(),
        _ => absolute(current, wanted),
    }
}

/// The last part of a path, as Go's `path.Base` has it: `.` for nothing, `/` for the root.
pub(super) fn base(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    match (trimmed.is_empty(), path.is_empty()) {
        (true, true) => ".",
        (true, false) => "/",
        _ => trimmed.rsplit('/').next().unwrap_or(trimmed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_does() {
        for (path, expected) in [
            ("", "."),
            ("/", "/"),
            ("a//b/./c/..", "a/b"),
            ("/../a", "/a"),
            ("../a", "../a"),
            ("a/../..", ".."),
            ("/a/b/", "/a/b"),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
    }

    #[test]
    fn destinations_keep_what_says_directory() {
        for (dir, path, expected) in [
            ("/", "x", "/x"),
            ("/srv", ".", "/srv/"),
            ("/srv", "", "/srv/"),
            ("/srv", "./", "/srv/"),
            ("/srv", "a/b/", "/srv/a/b/"),
            ("/srv", "/etc/.", "/etc/."),
            ("/", "/", "/"),
            ("/", "/.", "/."),
            ("/srv", "../x", "/x"),
        ] {
            assert_eq!(destination(dir, path), expected, "{dir} {path}");
        }
    }

    #[test]
    fn working_directories_add_up() {
        for (current, wanted, expected) in [
            ("", "a", "/a"),
            ("/a", "b", "/a/b"),
            ("/a", "/b//c", "/b//c"),
            ("/a", "..", "/"),
            ("/a", "", "/a"),
            ("a", "", "/a"),
        ] {
            assert_eq!(workdir(current, wanted), expected);
        }
        assert_eq!((base("/a/b/"), base("/"), base("")), ("b", "/", "."));
    }
}
