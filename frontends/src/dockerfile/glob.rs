//! The patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*`, `?`, and `\` before these and before itself.
//!
//! Without bracket expressions (BuildKit: `convertShellPatternToRegex` in `frontend/dockerfile/shell/lex.go`,
//! after POSIX XCU 2.13). A pattern becomes a regular expression of an engine that runs in linear time.

use regex::{Regex, RegexBuilder};

/// Which match is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The shortest.
    Shortest,
    /// The longest.
    Longest,
}

/// A pattern that isn't one.
#[derive(Debug, thiserror::Error)]
pub(super) enum GlobError {
    /// A backslash before something that needs none, or at the end.
    #[error("invalid escape '\\{}'", .0.map(String::from).unwrap_or_default())]
    Escape(Option<char>),
    /// Only a very long one.
    #[error("the pattern is too long")]
    Long,
}

/// How much memory a compiled pattern may take; some thousand characters need as much.
const MAX_COMPILED: usize = 1 << 20;

/// The regular expression for a pattern; `anchored` at the start or not.
pub(super) fn to_regex(pattern: &str, reach: Reach, anchored: bool) -> Result<Regex, GlobError> {
    let source = regex_source(pattern, reach, anchored)?;
    RegexBuilder::new(&source).size_limit(MAX_COMPILED).build().map_err(|_| GlobError::Long)
}

fn regex_source(pattern: &str, reach: Reach, anchored: bool) -> Result<String, GlobError> {
    let mut out = String::with_capacity(pattern.len() + 4);
    if anchored {
        out.push('^');
    }
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str(if reach == Reach::Longest { ".*" } else { ".*?" }),
            '?' => out.push('.'),
            // `}` and `/` are escaped for the sake of `${}`, not of the pattern
            '\\' if matches!(chars.peek(), Some('}' | '/')) => {}
            '\\' => match chars.next() {
                Some(escaped @ ('*' | '?' | '\\')) => out.extend(['\\', escaped]),
                other => return Err(GlobError::Escape(other)),
            },
            '[' | ']' | '{' | '}' | '.' | '+' | '(' | ')' | '|' | '^' | '$' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// The value without the prefix that matches.
pub(super) fn trim_prefix(pattern: &str, value: &str, reach: Reach) -> Result<String, GlobError> {
    let regex = to_regex(pattern, reach, true)?;
    Ok(value[regex.find(value).map_or(0, |found| found.end())..].to_owned())
}

/// The value without the suffix that matches. Pattern and value are turned round, since an expression finds the
/// leftmost match, not the shortest at the right end.
pub(super) fn trim_suffix(pattern: &str, value: &str, reach: Reach) -> Result<String, GlobError> {
    let rest = trim_prefix(&reverse_pattern(pattern), &value.chars().rev().collect::<String>(), reach)?;
    Ok(rest.chars().rev().collect())
}

/// Turns a pattern round; an escape stays before what it escapes.
fn reverse_pattern(pattern: &str) -> String {
    let mut out = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('\\', Some(escaped)) => {
                chars.next();
                out.extend([escaped, '\\']);
            }
            _ => out.push(c),
        }
    }
    out.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_expressions() {
        for (pattern, expected) in [
            ("*", "^.*"),
            ("?", "^."),
            (r"\*", r"^\*"),
            (r"(()[]{\}^$.\*\?|\\", r"^\(\(\)\[\]\{\}\^\$\.\*\?\|\\"),
            (r"a\/b", "^a/b"),
        ] {
            assert_eq!(regex_source(pattern, Reach::Longest, true).unwrap(), expected, "{pattern}");
        }
        for pattern in ["\\", r"\x", r"\\\"] {
            assert!(matches!(to_regex(pattern, Reach::Longest, true), Err(GlobError::Escape(_))), "{pattern}");
        }
    }

    #[test]
    fn reversing_keeps_escapes_and_characters() {
        assert_eq!(reverse_pattern(r"a\*c"), r"c\*a");
        assert_eq!(reverse_pattern("🖖🚀👽"), "👽🚀🖖");
        assert_eq!(trim_suffix("*.", "a.b.c", Reach::Shortest).unwrap(), "a.b.c");
        assert_eq!(trim_suffix(".*", "a.b.ç", Reach::Shortest).unwrap(), "a.b");
        assert_eq!(trim_suffix(".*", "a.b.ç", Reach::Longest).unwrap(), "a");
    }
}
