//! The ignore file (`.dockerignore`): which paths are not part of a context.
//!
//! This reads the file into patterns (moby/patternmatcher, `ignorefile`); matching paths is somebody else's.

use super::lexer::MAX_LINE;

/// An ignore file that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is longer than {MAX_LINE} bytes")]
pub struct LongLine {
    /// The line's number, from 1.
    pub line: usize,
}

/// The patterns in order, with `!` in front of exceptions. Blank lines and lines that begin with `#` are left
/// out; blanks around a pattern and behind its `!` are cut; paths are cleaned and lose a leading `/`. A byte
/// order mark is skipped. (A lone `!` stays: whoever compiles the patterns refuses it.)
pub fn read(text: &str) -> Result<Vec<String>, LongLine> {
    Ok(lines(text)?.into_iter().map(|(_, pattern)| pattern).collect())
}

/// The same, each pattern with its line's number, from 1.
pub fn lines(text: &str) -> Result<Vec<(usize, String)>, LongLine> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut patterns = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        if line.len() > MAX_LINE {
            return Err(LongLine { line: index + 1 });
        }
        if line.starts_with('#') {
            continue;
        }
        let pattern = line.trim();
        let (mark, path) = pattern.strip_prefix('!').map_or(("", pattern), |path| ("!", path.trim()));
        if pattern.is_empty() {
            continue;
        }
        let cleaned = if path.is_empty() { String::new() } else { clean(path) };
        let relative = cleaned.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(&cleaned);
        patterns.push((index + 1, format!("{mark}{relative}")));
    }
    Ok(patterns)
}

/// The shortest path with the same meaning, by text alone: no `.`, no `//`, `..` takes away what is before it
/// (Go's `path.Clean`). An empty path is `.`.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        for (path, expected) in [
            ("a//b/./c/", "a/b/c"),
            ("a/../b", "b"),
            ("../a", "../a"),
            ("../../a/..", "../.."),
            ("/../a", "/a"),
            ("/", "/"),
            (".", "."),
            ("a/..", "."),
            ("**/*.o", "**/*.o"),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
    }

    #[test]
    fn patterns_of_a_file() {
        let text = "\u{feff}# comment\r\n #no comment\r\n\r\n/a/\r\n!  ./b  \n/\n!\n..\\x\n";
        assert_eq!(read(text).unwrap(), ["#no comment", "a", "!b", "/", "!", "..\\x"]);
        assert_eq!(read(&format!("a\n{}", "x".repeat(70_000))), Err(LongLine { line: 2 }));
    }
}
