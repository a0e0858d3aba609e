//! Wildcards as Go's `path/filepath.Match` reads them, and the program that both that function and
//! the ignore-file matcher run on.
//!
//! A pattern becomes a list of steps, run as a non-deterministic automaton: the cost is at most
//! (steps × characters), whatever the pattern.

/// A pattern that can't be read: an open `[`, an empty or broken range, a trailing `\`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no valid pattern: every `[` needs its ranges and a `]`, and a final `\\` needs a character to escape"
)]
pub struct BadPattern(pub String);

/// One character of a path: a code point, or `0x110000 + byte` for a byte that is no UTF-8.
type Rune = u32;

const NOT_UTF8: Rune = 0x11_0000;

/// What a Go range loop makes of a byte that is no UTF-8.
const REPLACEMENT: Rune = 0xfffd;

/// One step of a compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// This character.
    Is(Rune),
    /// Any one character but `/`.
    One,
    /// Any number of characters but `/`.
    Run,
    /// One character inside (or, negated, outside) the ranges.
    Class { negated: bool, ranges: Vec<(Rune, Rune)> },
    /// Anything at all, to the end.
    Rest,
    /// The next step, which is [`Step::Dirs`], may be left out.
    Maybe,
    /// Characters up to and with some `/`.
    Dirs,
}

/// Compiled steps, and what every match starts and ends with: most names of a large tree are told apart
/// by these alone.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    steps: Vec<Step>,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Program {
    pub(crate) fn new(steps: Vec<Step>) -> Self {
        let text = |step: &Step| match step {
            Step::Is(rune) => char::from_u32(*rune),
            _ => None,
        };
        let head: String = steps.iter().map_while(text).collect();
        let mut tail: Vec<char> = steps.iter().rev().map_while(text).collect();
        tail.reverse();
        Self { steps, head: head.into_bytes(), tail: String::from_iter(tail).into_bytes() }
    }

    /// Whether the whole text matches.
    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        text.starts_with(&self.head) && text.ends_with(&self.tail) && run(&self.steps, text)
    }
}

/// Splits bytes into characters.
pub(crate) fn runes(bytes: &[u8]) -> Vec<Rune> {
    let mut out = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.extend(chunk.valid().chars().map(u32::from));
        out.extend(chunk.invalid().iter().map(|b| NOT_UTF8 + u32::from(*b)));
    }
    out
}

/// Reads the class that starts behind a `[`; returns it and the position behind its `]`.
pub(crate) fn class(pattern: &[Rune], mut at: usize) -> Option<(Step, usize)> {
    let is = |at: usize, c: char| pattern.get(at) == Some(&u32::from(c));
    let negated = is(at, '^');
    at += usize::from(negated);
    let mut ranges = Vec::new();
    // An end of a range: no bare `-` or `]`; something has to follow it.
    let end = |at: usize| -> Option<(Rune, usize)> {
        if is(at, '-') || is(at, ']') {
            return None;
        }
        let at = at + usize::from(is(at, '\\'));
        let rune = *pattern.get(at)?;
        (rune < NOT_UTF8 && at + 1 < pattern.len()).then_some((rune, at + 1))
    };
    loop {
        if is(at, ']') && !ranges.is_empty() {
            return Some((Step::Class { negated, ranges }, at + 1));
        }
        let (low, next) = end(at)?;
        let (high, next) = if is(next, '-') { end(next + 1)? } else { (low, next) };
        ranges.push((low, high));
        at = next;
    }
}

/// A pattern of `filepath.Match`: `*`, `?`, `[a-z]`, `[^a-z]`, `\c`; none but a class matches `/`.
#[derive(Clone, Debug)]
pub struct Glob(Program);

impl Glob {
    /// Reads a pattern.
    pub fn new(pattern: &str) -> Result<Self, BadPattern> {
        let text = runes(pattern.as_bytes());
        let bad = || BadPattern(pattern.to_string());
        let mut steps = Vec::with_capacity(text.len());
        let mut at = 0;
        while let Some(&rune) = text.get(at) {
            at += 1;
            match char::from_u32(rune) {
                // Two runs in a row are one.
                Some('*') if steps.last() == Some(&Step::Run) => {}
                Some('*') => steps.push(Step::Run),
                Some('?') => steps.push(Step::One),
                Some('[') => {
                    let (step, next) = class(&text, at).ok_or_else(bad)?;
                    steps.push(step);
                    at = next;
                }
                Some('\\') => {
                    steps.push(Step::Is(*text.get(at).ok_or_else(bad)?));
                    at += 1;
                }
                _ => steps.push(Step::Is(rune)),
            }
        }
        Ok(Self(Program::new(steps)))
    }

    /// Whether the whole of `name` matches.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.0.matches(name)
    }
}

/// Whether a name has wildcards, that is an unescaped `*`, `?` or `[`.
pub fn has_wildcard(name: &[u8]) -> bool {
    let mut bytes = name.iter();
    while let Some(b) = bytes.next() {
        match b {
            b'\\' => _ = bytes.next(),
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

/// Runs the steps over the whole text.
fn run(steps: &[Step], text: &[u8]) -> bool {
    let text = runes(text);
    let (mut now, mut next) = (vec![false; steps.len() + 1], vec![false; steps.len() + 1]);
    now[0] = true;
    skip(steps, &mut now);
    for &rune in &text {
        next.fill(false);
        let mut any = false;
        let mut go = |to: usize| {
            next[to] = true;
            any = true;
        };
        for (at, step) in steps.iter().enumerate().filter(|(at, _)| now[*at]) {
            let slash = rune == u32::from('/');
            // `.` of the regular expression that the original matcher builds does not match it.
            let newline = rune == u32::from('\n');
            match step {
                Step::Is(want) if *want == rune => go(at + 1),
                Step::One if !slash => go(at + 1),
                Step::Run if !slash => go(at),
                Step::Class { negated, ranges } => {
                    let rune = if rune >= NOT_UTF8 { REPLACEMENT } else { rune };
                    if ranges.iter().any(|(low, high)| (*low..=*high).contains(&rune)) != *negated {
                        go(at + 1);
                    }
                }
                Step::Rest if !newline => go(at),
                Step::Dirs if !newline => {
                    go(at);
                    if slash {
                        go(at + 1);
                    }
                }
                _ => {}
            }
        }
        if !any {
            return false;
        }
        skip(steps, &mut next);
        std::mem::swap(&mut now, &mut next);
    }
    now[steps.len()]
}

/// Follows the moves that read no character; all go forward.
fn skip(steps: &[Step], states: &mut [bool]) {
    for (at, step) in steps.iter().enumerate() {
        if states[at] {
            match step {
                Step::Run | Step::Rest => states[at + 1] = true,
                Step::Maybe => {
                    states[at + 1] = true;
                    states[at + 2] = true;
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_read_as_go_reads_them() {
        for (pattern, name, want) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*", "a/b", false),
            ("a*/b", "abc/b", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[^b-d]", "abc", false),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("a[^a]b", "a☺b", true),
            ("[a-ζ]*", "α", true),
            ("a?b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[\\-]", "-", true),
            ("[x\\-]", "x", true),
            ("[\\-x]", "z", false),
            ("arr[[]0].txt", "arr[0].txt", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(name.as_bytes()), want, "{pattern} {name}");
        }
        for bad in ["[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[", "[^", "[^bc", "a[", "a[b", "*[", "x\\"] {
            assert!(Glob::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_match_one_wildcard_each() {
        assert!(Glob::new("a?c").unwrap().matches(b"a\xffc"));
        assert!(!Glob::new("a?c").unwrap().matches(b"a\xff\xfec"));
        assert!(Glob::new("a[^b]c").unwrap().matches(b"a\xffc"));
    }

    #[test]
    fn only_unescaped_wildcards_count() {
        assert!(has_wildcard(b"a*") && has_wildcard(b"[") && has_wildcard(b"\\\\?"));
        assert!(!has_wildcard(b"a\\*") && !has_wildcard(b"]") && !has_wildcard(b"\\"));
    }

    #[test]
    fn a_hostile_pattern_costs_no_more_than_its_length_times_the_name() {
        let pattern = "a*".repeat(200) + "b";
        let name = "a".repeat(4000);
        assert!(!Glob::new(&pattern).unwrap().matches(name.as_bytes()));
    }
}
