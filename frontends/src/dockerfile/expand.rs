//! Shell words: variables, quotes and escapes (BuildKit: `frontend/dockerfile/shell/lex.go`).
//!
//! | written | means |
//! |---|---|
//! | `$v` `${v}` | the value, or nothing |
//! | `${v:-w}` `${v-w}` | `w` when unset (with `:`: or empty) |
//! | `${v:+w}` `${v+w}` | `w` when set (with `:`: and not empty) |
//! | `${v:?m}` `${v?m}` | an error with the message `m` when unset (or empty) |
//! | `${v#p}` `${v##p}` | without the shortest, longest prefix that matches |
//! | `${v%p}` `${v%%p}` | without the shortest, longest suffix that matches |
//! | `${v/p/r}` `${v//p/r}` | the first match, every match replaced |
//!
//! Who expands what, and in which environment, is the lowering's business. Work and memory are bounded:
//! nesting and the size of a result have limits, which only hostile input reaches.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

pub use super::environment::Environment;
use super::glob::{self, Reach};

/// How deep `${a:-${b:-…}}` may nest.
const MAX_DEPTH: usize = 100;

/// How many bytes one expansion may yield: `ENV a=$a$a` in many lines doubles its value each time.
const MAX_RESULT: usize = 16 << 20;

/// How much one expansion may cost, in the steps of [`Expansion::work`].
const MAX_WORK: usize = 64 << 20;

/// A name: digits, or one of the shell's special parameters, or letters, digits and underscores.
static NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(?:\p{Nd}+|[@*#?$!-]|[\p{L}\p{Nd}_]+)").expect("a constant pattern"));

/// What happens to quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quotes {
    /// They quote, and are removed.
    #[default]
    Remove,
    /// They quote, and stay.
    Keep,
    /// They are characters like others.
    Ignore,
}

/// The rules of an expansion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expander {
    /// The escape character of the file.
    pub escape: char,
    /// What happens to quotes.
    pub quotes: Quotes,
    /// Escape characters stay in the result.
    pub keep_escapes: bool,
    /// References to unset variables stay as they are written.
    pub keep_unset: bool,
}

/// What an expansion yields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expansion {
    /// The whole as one word.
    pub text: String,
    /// The same, split at blanks that are not quoted (blanks out of variables split too).
    pub words: Vec<String>,
    /// The variables that were asked for and are set.
    pub matched: BTreeSet<String>,
    /// The variables that were asked for and are unset.
    pub unmatched: BTreeSet<String>,
    /// What it cost: the characters read, the bytes written at each level of nesting, and for each pattern its
    /// length times the value's. It is counted, not measured, so the same word always costs the same.
    pub work: usize,
}

/// A word that can't be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to process {word:?}: {fault}")]
pub struct ExpandError {
    /// The word, cut after 200 characters.
    pub word: String,
    /// What is wrong with it.
    pub fault: Fault,
    /// The bytes of the word that are to blame: from the `$` or the quote on.
    pub range: Range<usize>,
}

/// What is wrong with a word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Fault {
    #[error("unexpected end of statement while looking for matching single-quote")]
    SingleQuote,
    #[error("unexpected end of statement while looking for matching double-quote")]
    DoubleQuote,
    #[error("syntax error: missing '}}'")]
    Brace,
    #[error("syntax error: missing '/' in ${{}}")]
    Slash,
    #[error("syntax error: bad substitution")]
    Substitution,
    #[error("unsupported modifier ({0}) in substitution")]
    Modifier(String),
    #[error("invalid pattern ({pattern}) in substitution: {reason}")]
    Pattern { pattern: String, reason: String },
    /// The author's own message, or the usual one.
    #[error("{name}: {message}")]
    Required { name: String, message: String },
    #[error("substitutions nested more than {MAX_DEPTH} deep")]
    Depth,
    #[error("the result is larger than {MAX_RESULT} bytes")]
    Size,
    #[error("its patterns are too long for values so large")]
    Work,
}

impl Fault {
    /// What to do.
    pub fn help(&self) -> String {
        match self {
            Self::SingleQuote => "close the quote with `'`, or write `\"'\"` for the character itself".into(),
            Self::DoubleQuote => "close the quote with `\"`, or put the escape character before it".into(),
            Self::Brace => "close the substitution with `}`".into(),
            Self::Slash => "write ${name/pattern/replacement}".into(),
            Self::Substitution => {
                "write a variable's name behind the `{`; a dollar that is none is written `\\$`".into()
            }
            Self::Modifier(_) => "behind the name may stand :- - :+ + :? ? # ## % %% / or //".into(),
            Self::Pattern { .. } => "`*` and `?` are the wildcards; others are characters behind a backslash".into(),
            Self::Required { name, .. } => {
                format!("give it a value: --build-arg {name}=… for an ARG, or a line ENV {name}=… before")
            }
            Self::Depth => "take some of the substitutions into a variable of their own".into(),
            Self::Size => "look for a variable that is made of itself".into(),
            Self::Work => "do this in a RUN step".into(),
        }
    }
}

impl Expander {
    /// The usual rules: quotes and escapes are removed, unset variables are empty.
    pub const fn new(escape: char) -> Self {
        Self { escape, quotes: Quotes::Remove, keep_escapes: false, keep_unset: false }
    }

    /// The rules for the content of a COPY or ADD heredoc: quotes mean nothing, and the escape character is `\`
    /// whatever the file says.
    pub const fn heredoc() -> Self {
        Self { quotes: Quotes::Ignore, ..Self::new('\\') }
    }

    /// Expands a word in an environment.
    pub fn expand(&self, word: &str, env: &(impl Environment + ?Sized)) -> Result<Expansion, ExpandError> {
        let mut scan = Scan {
            rules: *self,
            env,
            rest: word,
            depth: 0,
            blamed: None,
            matched: BTreeSet::new(),
            unmatched: BTreeSet::new(),
            work: 0,
        };
        let mut words = Splitter::default();
        match scan.until(None, self.keep_escapes, Some(&mut words)) {
            Ok(text) => {
                let Scan { matched, unmatched, work, .. } = scan;
                Ok(Expansion { text, words: words.finish(), matched, unmatched, work })
            }
            Err(fault) => {
                // Both count the bytes that were left: where the fault begins, and how far the scan came.
                let (start, end) = (word.len() - scan.blamed.unwrap_or(word.len()), word.len() - scan.rest.len());
                Err(ExpandError { word: word.chars().take(200).collect(), fault, range: start..end })
            }
        }
    }
}

/// Where a text first asks for a variable: `$name`, or `${name` without what follows.
pub fn reference(text: &str, name: &str) -> Option<Range<usize>> {
    text.match_indices('$').find_map(|(at, _)| {
        let behind = &text[at + 1..];
        let brace = usize::from(behind.starts_with('{'));
        let found = NAME.find(&behind[brace..]).is_some_and(|found| found.as_str() == name);
        found.then(|| at..at + 1 + brace + name.len())
    })
}

/// Splits into words as the text comes.
#[derive(Default)]
struct Splitter {
    words: Vec<String>,
    word: String,
}

impl Splitter {
    fn push(&mut self, c: char) {
        if !c.is_whitespace() {
            self.word.push(c);
        } else if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        self.words
    }
}

struct Scan<'w, E: ?Sized> {
    rules: Expander,
    env: &'w E,
    rest: &'w str,
    depth: usize,
    /// How much was left where the innermost fault begins.
    blamed: Option<usize>,
    matched: BTreeSet<String>,
    unmatched: BTreeSet<String>,
    work: usize,
}

impl<'w, E: Environment + ?Sized> Scan<'w, E> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn append(&mut self, text: &mut String, part: &str) -> Result<(), Fault> {
        if text.len() + part.len() > MAX_RESULT {
            return Err(Fault::Size);
        }
        text.push_str(part);
        self.spend(part.len())
    }

    fn spend(&mut self, work: usize) -> Result<(), Fault> {
        self.work = self.work.saturating_add(work);
        if self.work > MAX_WORK { Err(Fault::Work) } else { Ok(()) }
    }

    /// Before a pattern is looked for in a value: whatever the pattern, that takes no more than so many steps.
    fn spend_on_pattern(&mut self, pattern: &str, value: &str) -> Result<(), Fault> {
        self.spend((pattern.len() + 1).saturating_mul(value.len() + 1))
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.work += 1;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// Reads up to the stop character, which it takes, or to the end.
    fn until(
        &mut self,
        stop: Option<char>,
        keep_escapes: bool,
        mut words: Option<&mut Splitter>,
    ) -> Result<String, Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Fault::Depth);
        }
        let outer = std::mem::replace(&mut self.rules.keep_escapes, keep_escapes);
        let mut text = String::new();
        let closed = loop {
            let Some(c) = self.next() else { break stop.is_none() };
            if Some(c) == stop {
                break true;
            }
            match c {
                '$' => {
                    let start = self.rest.len() + 1;
                    let value = self.dollar().inspect_err(|_| _ = self.blamed.get_or_insert(start))?;
                    self.append(&mut text, &value)?;
                    if let Some(words) = &mut words {
                        value.chars().for_each(|c| words.push(c));
                    }
                }
                '\'' | '"' if self.rules.quotes != Quotes::Ignore => {
                    let start = self.rest.len() + 1;
                    let quoted = if c == '"' { self.double_quoted() } else { self.single_quoted() };
                    let quoted = quoted.inspect_err(|_| _ = self.blamed.get_or_insert(start))?;
                    self.append(&mut text, &quoted)?;
                    if let Some(words) = &mut words {
                        words.word.push_str(&quoted);
                    }
                }
                // Blanks behind the `<<` or `<<-` of a heredoc belong to its word. (BuildKit's lexer knows the
                // first only; its tests, and the shell, mean both.)
                '<' if self.peek() == Some('<') => {
                    let behind = self.rest[1..].strip_prefix('-').unwrap_or(&self.rest[1..]);
                    let blanks = self.rest.len() - behind.trim_start().len();
                    let taken = &self.rest[..blanks];
                    self.rest = &self.rest[blanks..];
                    for part in ["<", taken] {
                        self.append(&mut text, part)?;
                        if let Some(words) = &mut words {
                            words.word.push_str(part);
                        }
                    }
                }
                c if c == self.rules.escape => {
                    let kept = self.rules.keep_escapes.then_some(c);
                    let escaped = self.next();
                    for c in kept.into_iter().chain(escaped) {
                        text.push(c);
                        if let Some(words) = &mut words {
                            words.word.push(c);
                        }
                    }
                }
                c => {
                    text.push(c);
                    if let Some(words) = &mut words {
                        words.push(c);
                    }
                }
            }
        };
        self.rules.keep_escapes = outer;
        self.depth -= 1;
        match (closed, stop) {
            (false, Some('/')) => Err(Fault::Slash),
            (false, _) => Err(Fault::Brace),
            (true, _) => Ok(text),
        }
    }

    /// Everything up to the next single quote, as it is.
    fn single_quoted(&mut self) -> Result<String, Fault> {
        let Some(end) = self.rest.find('\'') else {
            self.rest = "";
            return Err(Fault::SingleQuote);
        };
        let inner = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(if self.rules.quotes == Quotes::Keep { format!("'{inner}'") } else { inner.to_owned() })
    }

    /// Up to the next double quote: variables are expanded; `"`, `$` and the escape character can be escaped,
    /// before anything else the escape character stays.
    fn double_quoted(&mut self) -> Result<String, Fault> {
        let mut text = String::new();
        let keep = self.rules.quotes == Quotes::Keep;
        if keep {
            text.push('"');
        }
        loop {
            match self.next().ok_or(Fault::DoubleQuote)? {
                '"' => break,
                '$' => {
                    let start = self.rest.len() + 1;
                    let value = self.dollar().inspect_err(|_| _ = self.blamed.get_or_insert(start))?;
                    self.append(&mut text, &value)?;
                }
                c if c == self.rules.escape => {
                    if self.rules.keep_escapes {
                        text.push(c);
                    }
                    match self.peek() {
                        None => {}
                        Some(next) if next == '"' || next == '$' || next == c => text.extend(self.next()),
                        Some(_) => text.push(c),
                    }
                }
                c => text.push(c),
            }
        }
        if keep {
            text.push('"');
        }
        Ok(text)
    }

    fn name(&mut self) -> &'w str {
        let rest = self.rest;
        let end = NAME.find(rest).map_or(0, |found| found.end());
        self.rest = &rest[end..];
        &rest[..end]
    }

    fn lookup(&mut self, name: &str) -> Option<&'w str> {
        let value = self.env.get(name);
        let seen = if value.is_some() { &mut self.matched } else { &mut self.unmatched };
        if !seen.contains(name) {
            seen.insert(name.to_owned());
        }
        value
    }

    /// What stands behind a `$`.
    fn dollar(&mut self) -> Result<String, Fault> {
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(match self.lookup(name) {
                None if self.rules.keep_unset => format!("${name}"),
                value => value.unwrap_or_default().to_owned(),
            });
        }
        self.next();
        match self.peek() {
            None => return Err(Fault::Brace),
            Some('{' | '}' | ':') => return Err(Fault::Substitution),
            Some(_) => {}
        }
        let name = self.name();
        let operator = self.next();
        match operator {
            Some('}') => Ok(match self.lookup(name) {
                None if self.rules.keep_unset => format!("${{{name}}}"),
                value => value.unwrap_or_default().to_owned(),
            }),
            Some('/') => self.replaced(name),
            Some(':') => {
                let operator = self.next();
                self.modified(name, true, operator)
            }
            operator => self.modified(name, false, operator),
        }
    }

    /// `${name<operator>word}`, with a colon before the operator or without. The word is read and expanded
    /// even where it isn't used.
    fn modified(&mut self, name: &str, colon: bool, operator: Option<char>) -> Result<String, Fault> {
        let modifier = || (if colon { ":" } else { "" }).chars().chain(operator).collect::<String>();
        let operator = match operator {
            Some(c @ ('+' | '-' | '?' | '#' | '%')) => c,
            None => return Err(Fault::Brace),
            // with a colon, BuildKit looks for the closing brace first
            Some(_) if colon && !self.rest.contains('}') => return Err(Fault::Brace),
            Some(_) => return Err(Fault::Modifier(modifier())),
        };
        let trims = matches!(operator, '#' | '%');
        let word = self.until(Some('}'), trims, None)?;
        let value = self.lookup(name);
        if value.is_none() && self.rules.keep_unset {
            return Ok(format!("${{{name}{}{word}}}", modifier()));
        }
        // what counts as unset
        let present = value.filter(|value| !(colon && value.is_empty()));
        match operator {
            '-' => Ok(present.map_or(word, str::to_owned)),
            '+' => Ok(if present.is_some() { word } else { String::new() }),
            '?' => present.map(str::to_owned).ok_or_else(|| {
                let state = if value.is_none() { "unset" } else { "empty" };
                let message = if word.is_empty() { format!("is not allowed to be {state}") } else { word };
                Fault::Required { name: name.to_owned(), message }
            }),
            _ if colon => Err(Fault::Modifier(modifier())),
            operator => {
                // a doubled operator takes the longest match; it may come out of a variable too
                let (pattern, reach) = match word.strip_prefix(operator) {
                    Some(pattern) => (pattern, Reach::Longest),
                    None => (word.as_str(), Reach::Shortest),
                };
                let value = value.unwrap_or_default();
                self.spend_on_pattern(pattern, value)?;
                let trim = if operator == '#' { glob::trim_prefix } else { glob::trim_suffix };
                trim(pattern, value, reach)
                    .map_err(|reason| Fault::Pattern { pattern: pattern.to_owned(), reason: reason.to_string() })
            }
        }
    }

    /// `${name/pattern/replacement}` and, with a doubled first slash, all matches.
    fn replaced(&mut self, name: &str) -> Result<String, Fault> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let pattern = self.until(Some('/'), true, None)?;
        let replacement = self.until(Some('}'), true, None)?;
        let value = self.lookup(name);
        if value.is_none() && self.rules.keep_unset {
            return Ok(format!("${{{name}/{pattern}/{replacement}}}"));
        }
        let value = value.unwrap_or_default();
        self.spend_on_pattern(&pattern, value)?;
        let regex = glob::to_regex(&pattern, Reach::Longest, false)
            .map_err(|reason| Fault::Pattern { pattern, reason: reason.to_string() })?;
        let mut text = String::new();
        let mut copied = 0;
        // As in BuildKit, where all are replaced `$name` in the replacement means a group of the match, and
        // `$$` a dollar; where one is replaced, a dollar is a dollar.
        for captures in regex.captures_iter(value).take(if all { usize::MAX } else { 1 }) {
            let found = captures.get(0).expect("the whole match");
            self.append(&mut text, &value[copied..found.start()])?;
            copied = found.end();
            if all {
                // each of its groups may be the whole match
                self.spend(replacement.len() + replacement.matches('$').count() * found.len())?;
                captures.expand(&replacement, &mut text);
                self.append(&mut text, "")?;
            } else {
                self.append(&mut text, &replacement)?;
            }
        }
        self.append(&mut text, &value[copied..])?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn the_rules_for_quotes_and_escapes() {
        let env = env(&[("v", "x")]);
        let heredoc = Expander::heredoc();
        assert_eq!(heredoc.expand(r#"it's "$v" \$v"#, &env).unwrap().text, r#"it's "x" $v"#);
        let keep = Expander { quotes: Quotes::Keep, keep_escapes: true, keep_unset: true, ..Expander::new('\\') };
        let word = r#"'a b' "$v" \n $w ${w} ${w:-z} ${w/a/b}"#;
        assert_eq!(keep.expand(word, &env).unwrap().text, r#"'a b' "x" \n $w ${w} ${w:-z} ${w/a/b}"#);
        let backtick = Expander::new('`');
        assert_eq!(backtick.expand(r"C:\`$v\$v", &env).unwrap().text, r"C:\$v\x");
    }

    #[test]
    fn a_message_for_what_must_be_set() {
        let e = Expander::new('\\');
        let env = env(&[("empty", "")]);
        assert_eq!(e.expand("${a?}", &env).unwrap_err().fault.to_string(), "a: is not allowed to be unset");
        assert_eq!(e.expand("${empty:?}", &env).unwrap_err().fault.to_string(), "empty: is not allowed to be empty");
        assert_eq!(
            e.expand("x${empty:?no ${a:-b}}", &env).unwrap_err().to_string(),
            "failed to process \"x${empty:?no ${a:-b}}\": empty: no b"
        );
    }

    #[test]
    fn hostile_words_are_refused() {
        let e = Expander::new('\\');
        let deep = "${a:-".repeat(100_000) + &"}".repeat(100_000);
        assert_eq!(e.expand(&deep, &()).unwrap_err().fault, Fault::Depth);
        let big = env(&[("a", &"x".repeat(1 << 20))]);
        assert_eq!(e.expand(&"$a".repeat(17), &big).unwrap_err().fault, Fault::Size);
        assert_eq!(e.expand(&format!("${{a//x/{}}}", "y".repeat(1000)), &big).unwrap_err().fault, Fault::Size);
        let long = format!("${{a#{}}}", "?".repeat(60_000));
        assert_eq!(e.expand(&long, &big).unwrap_err().fault, Fault::Work);
        let small = env(&[("a", "x")]);
        assert!(matches!(e.expand(&long, &small).unwrap_err().fault, Fault::Pattern { .. }));
    }
}
