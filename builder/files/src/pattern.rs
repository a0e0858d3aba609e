//! Ignore-file patterns: a port of the rules of moby/patternmatcher (`patternmatcher.go`). Used for `.dockerignore`, `COPY --exclude` and `COPY --parents`.
//!
//! One rule of the original is not kept: it turns a pattern into a regular expression character by
//! character, so that `\d` there means "a digit" and `[*]` something odd. Here an escaped character
//! is that character, and a class is what `filepath.Match`, which checks the syntax, says it is.

use crate::{
    glob::{self, BadPattern, Glob, Program, Step},
    path,
};

/// What a pattern compiles to.
#[derive(Clone, Debug)]
enum Rule {
    /// The whole path.
    Exact,
    /// All that starts with the text before the final `**`.
    Prefix(Vec<u8>),
    /// All that ends with the text behind the leading `**`.
    Suffix(Vec<u8>),
    /// Anything else.
    Program(Program),
}

/// One pattern.
#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    negated: bool,
    rule: Rule,
}

impl Pattern {
    fn matches(&self, path: &[u8]) -> bool {
        match &self.rule {
            Rule::Exact => path == self.text.as_bytes(),
            Rule::Prefix(prefix) => path.starts_with(prefix),
            Rule::Suffix(suffix) => {
                path.ends_with(suffix) || suffix.strip_prefix(b"/").is_some_and(|whole| path == whole)
            }
            Rule::Program(program) => program.matches(path),
        }
    }
}

/// What is known of a directory's patterns; handed down to its children.
#[derive(Clone, Debug, Default)]
pub struct Parent {
    /// One flag a pattern; empty: nothing is known.
    matched: Vec<bool>,
}

/// A list of patterns; the last one that applies decides.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    patterns: Vec<Pattern>,
}

impl Matcher {
    /// Reads patterns. Blank ones are left out; `!` in front means "not that".
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, BadPattern> {
        let mut out = Vec::new();
        for pattern in patterns.iter().map(AsRef::as_ref) {
            let trimmed = pattern.trim();
            if trimmed.is_empty() {
                continue;
            }
            let cleaned = clean_keeping_root(trimmed);
            let (negated, text) = match cleaned.strip_prefix('!') {
                Some("") => return Err(BadPattern(pattern.to_string())),
                Some(rest) => (true, rest.to_string()),
                None => (false, cleaned),
            };
            Glob::new(&text).map_err(|_| BadPattern(pattern.to_string()))?;
            let rule = compile(&text).ok_or_else(|| BadPattern(pattern.to_string()))?;
            out.push(Pattern { text, negated, rule });
        }
        Ok(Self { patterns: out })
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether some pattern starts with `!`: then a matching directory may have children that don't match.
    pub fn has_negation(&self) -> bool {
        self.patterns.iter().any(|p| p.negated)
    }

    /// Whether a path (relative, slashes) or one of the directories above it matches.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.matches_below(path, &Parent::default()).0
    }

    /// The same for a walk from the top: `parent` is what this function returned for the path's
    /// directory (the default at the top), so that nothing is matched twice.
    pub fn matches_below(&self, path: &[u8], parent: &Parent) -> (bool, Parent) {
        let mut matched = false;
        let mut known = Parent { matched: vec![false; self.patterns.len()] };
        for (at, pattern) in self.patterns.iter().enumerate() {
            let mut hit = parent.matched.get(at).copied().unwrap_or(false);
            if !hit {
                // An inclusion can't change a match, nor an exclusion a miss.
                if pattern.negated != matched {
                    continue;
                }
                hit = pattern.matches(path)
                    || parent.matched.is_empty() && path::ancestors(path).skip(1).any(|dir| pattern.matches(dir));
            }
            known.matched[at] = hit;
            if hit {
                matched = !pattern.negated;
            }
        }
        (matched, known)
    }
}

/// Go's `filepath.Clean`: as [`path::clean`], but a leading `/` stays, a relative path may start
/// with `..`, and nothing left is `.`.
fn clean_keeping_root(text: &str) -> String {
    let rooted = text.starts_with('/');
    let mut out: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." if out.last().is_some_and(|last| *last != "..") => _ = out.pop(),
            ".." if rooted => {}
            _ => out.push(part),
        }
    }
    match (rooted, out.is_empty()) {
        (true, _) => format!("/{}", out.join("/")),
        (false, true) => ".".into(),
        (false, false) => out.join("/"),
    }
}

/// Turns a cleaned pattern into a rule. None for a broken class, which the caller has ruled out.
fn compile(text: &str) -> Option<Rule> {
    let runes = glob::runes(text.as_bytes());
    let is = |at: usize, c: char| runes.get(at) == Some(&u32::from(c));
    let mut steps = Vec::new();
    let (mut plain, mut prefix, mut suffix) = (true, false, false);
    let mut at = 0;
    while let Some(&rune) = runes.get(at) {
        let first = at == 0;
        at += 1;
        let mut wild = true;
        match char::from_u32(rune) {
            Some('*') if is(at, '*') => {
                at += 1;
                at += usize::from(is(at, '/'));
                if at == runes.len() {
                    // `dir/**` is "all that starts with dir/".
                    prefix = plain;
                    steps.push(Step::Rest);
                } else {
                    steps.extend([Step::Maybe, Step::Dirs]);
                }
                if first {
                    suffix = true;
                    plain = false;
                    continue;
                }
            }
            Some('*') if steps.last() == Some(&Step::Run) => {}
            Some('*') => steps.push(Step::Run),
            Some('?') => steps.push(Step::One),
            Some('[') => {
                let (step, next) = glob::class(&runes, at)?;
                steps.push(step);
                at = next;
            }
            Some('\\') => {
                steps.push(Step::Is(*runes.get(at)?));
                at += 1;
            }
            _ => {
                steps.push(Step::Is(rune));
                wild = false;
            }
        }
        if wild {
            plain = false;
            suffix = false;
        }
    }
    Some(match (plain, prefix, suffix) {
        (_, _, true) => Rule::Suffix(text.as_bytes()[2..].to_vec()),
        (_, true, _) => Rule::Prefix(text.as_bytes()[..text.len() - 2].to_vec()),
        (true, ..) => Rule::Exact,
        _ => Rule::Program(Program::new(steps)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hit(patterns: &[&str], path: &str) -> bool {
        Matcher::new(patterns).unwrap().matches(path.as_bytes())
    }

    #[test]
    fn the_last_rule_that_applies_wins() {
        for (patterns, path, want) in [
            (&["**"][..], "file", true),
            (&["**/file"], "dir/file", true),
            (&["**/file"], "file", true),
            (&["**file"], "xfile", true),
            (&["dir/**"], "dir/a/b", true),
            (&["dir/**"], "dir", false),
            (&["**/*.txt"], "a/b.txt", true),
            (&["**/**/x.txt"], "a/b/x.txt", true),
            (&["a/**/b"], "a/b", true),
            (&["a/**/b"], "a/x/y/b", true),
            (&["a/**/b"], "axb", false),
            (&["docs", "!docs/README.md"], "docs/README.md", false),
            (&["docs", "!docs/README.md"], "docs/other", true),
            (&["!docs/README.md", "docs"], "docs/README.md", true),
            (&["dir"], "dir/a/b/c", true),
            (&["/dir"], "dir", false),
            (&["a\\*b"], "a*b", true),
            (&["a^b"], "a^b", true),
            (&["a.*"], "abc", false),
            (&["$x(1)|{2}+"], "$x(1)|{2}+", true),
            (&["  ", " a "], "a", true),
            (&["a/../b/"], "b", true),
            (&["Dir"], "dir", false),
        ] {
            assert_eq!(hit(patterns, path), want, "{patterns:?} {path}");
        }
        assert!(Matcher::new(&["!"]).is_err() && Matcher::new(&["[a"]).is_err());
    }

    #[test]
    fn a_walk_gives_what_single_questions_give() {
        let matcher = Matcher::new(&["a*", "!ab/c", "**/x", "!ab/c/x/y"]).unwrap();
        for path in ["ab", "ab/c", "ab/c/x", "ab/c/x/y", "ab/c/x/y/z", "b", "b/x", "b/x/y"] {
            let mut parent = Parent::default();
            let mut last = false;
            for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
                (last, parent) = matcher.matches_below(&path.as_bytes()[..end], &parent);
            }
            assert_eq!(last, matcher.matches(path.as_bytes()), "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_makes_it_panic(pattern in "[a-c/*?!\\[\\]\\\\^ .-]{0,24}", path in "[a-c/.\n]{0,24}") {
            if let Ok(matcher) = Matcher::new(&[&pattern]) {
                matcher.matches(path.as_bytes());
            }
        }

        #[test]
        fn any_text_is_read_or_refused(pattern in ".{0,40}", path in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(glob) = Glob::new(&pattern) {
                glob.matches(&path);
            }
            if let Ok(matcher) = Matcher::new(&[&pattern]) {
                matcher.matches(&path);
            }
        }
    }
}
