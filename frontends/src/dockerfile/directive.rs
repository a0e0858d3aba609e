//! Parser directives: `# name=value` at the head of a file.
//!
//! BuildKit (`frontend/dockerfile/parser/directives.go`): they end at the first line that is none, be it blank, a
//! usual comment or an instruction; names ignore case; an unknown one is a comment; one name may come once. The
//! `escape` directive may be indented, and is not looked for behind a `#!` line; with the others it is the contrary.

use std::collections::BTreeSet;

use super::ast::{Directive, Word};
use super::diagnostic::Diagnostic;
use super::lexer::{Line, Lines};
use super::span::Span;

/// The directives that mean something.
const KNOWN: [&str; 3] = ["syntax", "escape", "check"];

/// What the head of a file says.
pub(super) struct Head {
    pub directives: Vec<Directive>,
    pub escape: char,
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads the directives of a Dockerfile.
pub(super) fn read(source: &str) -> Head {
    let mut head = Head { directives: Vec::new(), escape: '\\', diagnostics: Vec::new() };
    let mut lines = Lines::new(source).peekable();
    let shebang = lines.next_if(|line| line.raw.starts_with("#!")).is_some();
    for found in scan(lines, "#", true) {
        match found {
            Err(diagnostic) => head.diagnostics.push(diagnostic),
            Ok(directive) if directive.name != "escape" => head.directives.push(directive),
            Ok(_) if shebang => {}
            Ok(directive) => {
                match directive.value.as_str() {
                    "\\" => head.escape = '\\',
                    "`" => head.escape = '`',
                    other => head.diagnostics.push(
                        Diagnostic::error(
                            directive.value.span,
                            format!("invalid escape token '{other}' does not match ` or \\"),
                        )
                        .help("write `# escape=\\` or `# escape=` with a backtick"),
                    ),
                }
                head.directives.push(directive);
            }
        }
    }
    head
}

/// What a `syntax` directive asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syntax {
    /// The frontend image: the value up to its first blank.
    pub reference: String,
    /// The whole value.
    pub command_line: String,
    /// Where it stands; the whole file when it is JSON.
    pub span: Span,
}

impl Syntax {
    /// Whether it asks for BuildKit's own Dockerfile frontend in whatever version or channel
    /// (`docker/dockerfile:1`, `docker/dockerfile-upstream:master-labs` …), which is the dialect spoken here.
    pub fn is_dockerfile(&self) -> bool {
        let name = self.reference.split(['@', ':']).next().unwrap_or_default();
        let name = ["docker.io/", "index.docker.io/"].iter().find_map(|host| name.strip_prefix(host)).unwrap_or(name);
        matches!(name, "docker/dockerfile" | "docker/dockerfile-upstream")
    }
}

/// Looks for the syntax of any build file: `# syntax=`, else `// syntax=`, both also behind a `#!` line, else
/// the member `syntax` where the file is a JSON object (BuildKit's `DetectSyntax`).
pub fn detect_syntax(source: &str) -> Option<Syntax> {
    let mut lines = Lines::new(source).peekable();
    let shebang = lines.next_if(|line| line.raw.starts_with("#!"));
    for mark in ["#", "//"] {
        if let Some(value) = find(lines.clone(), mark, "syntax") {
            let reference = value.text.split(' ').next().unwrap_or_default().to_owned();
            return Some(Syntax { reference, command_line: value.text, span: value.span });
        }
    }
    let start = lines.peek().map_or(source.len(), |line| line.start);
    let start = shebang.map_or(start, |line| line.start + line.raw.len());
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&source[start..]).ok()?;
    let value = object.get("syntax")?.as_str()?.to_owned();
    Some(Syntax { reference: value.clone(), command_line: value, span: Span::new(start, source.len()) })
}

/// The value of the `check` directive.
pub(super) fn check(source: &str) -> Option<Word> {
    let mut lines = Lines::new(source).peekable();
    lines.next_if(|line| line.raw.starts_with("#!"));
    find(lines, "#", "check")
}

/// The value of a directive that stands at the start of its line.
fn find<'s>(lines: impl Iterator<Item = Line<'s>>, mark: &'static str, name: &str) -> Option<Word> {
    let found = scan(lines, mark, false).map_while(Result::ok).find(|directive| directive.name == name);
    found.map(|directive| directive.value)
}

/// The directives behind this comment mark, up to the first line that is none.
fn scan<'s>(
    lines: impl Iterator<Item = Line<'s>>,
    mark: &'static str,
    indented: bool,
) -> impl Iterator<Item = Result<Directive, Diagnostic>> {
    let mut seen = BTreeSet::new();
    lines.map_while(move |line| directive(line, mark, indented)).map(move |directive| {
        if seen.insert(directive.name.clone()) {
            return Ok(directive);
        }
        let message = format!("only one {} parser directive can be used", directive.name);
        Err(Diagnostic::error(directive.value.span, message).help("remove this line"))
    })
}

/// The directive on a line, if there is one; maybe `indented`.
fn directive(line: Line<'_>, mark: &str, indented: bool) -> Option<Directive> {
    let (text, start) = if indented { line.trimmed() } else { (line.text(), line.start) };
    let (name, behind) = text.strip_prefix(mark)?.split_once('=')?;
    let name = name.trim().to_ascii_lowercase();
    if !KNOWN.contains(&name.as_str()) || behind.is_empty() {
        return None;
    }
    // A value of nothing but blanks is the last of them.
    let value = Some(behind.trim()).filter(|value| !value.is_empty());
    let value = value.or_else(|| behind.char_indices().next_back().map(|(at, _)| &behind[at..]))?;
    let blanks =
        if value.trim().is_empty() { behind.len() - value.len() } else { behind.len() - behind.trim_start().len() };
    let at = start + text.len() - behind.len() + blanks;
    Some(Directive { name, value: Word::new(value, Span::new(at, at + value.len())) })
}

/// Whether this line is one of the directives.
pub(super) fn is_directive(line: Line<'_>, directives: &[Directive]) -> bool {
    directives
        .iter()
        .any(|directive| line.start <= directive.value.span.start && directive.value.span.end <= line.span().end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(source: &str) -> Vec<(String, String)> {
        read(source).directives.into_iter().map(|d| (d.name, d.value.text)).collect()
    }

    #[test]
    fn directives_end_at_the_first_other_line() {
        for (source, expected) in [
            ("#escape=\\\n# key = FOO bar\n\n# smth\n", vec![("escape", "\\")]),
            ("# EScape=\\\n# KEY = FOO bar\n", vec![("escape", "\\")]),
            ("\u{feff}# Syntax = a // b \r\n#check=skip=all\r\n", vec![("syntax", "a // b"), ("check", "skip=all")]),
            ("#!/bin/sh\n# check = skip=all\n# escape=`\nFROM a", vec![("check", "skip=all")]),
            ("#!/bin/sh\n\n# check = skip=all\n", vec![]),
            ("\n# check=skip=all\n", vec![]),
            ("# other\n# check=skip=all\n", vec![]),
            ("# check=\n# syntax=a\n", vec![]),
            ("# check= \t\n", vec![("check", "\t")]),
            ("  # check=skip=all\n\t#escape=`\n", vec![("check", "skip=all"), ("escape", "`")]),
            ("//check=skip=all\n", vec![]),
        ] {
            let found = names(source);
            let found: Vec<_> = found.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(found, expected, "{source:?}");
        }
    }

    #[test]
    fn wrong_directives_are_errors() {
        let messages = |source| read(source).diagnostics.into_iter().map(|d| d.message).collect::<Vec<_>>();
        assert_eq!(messages("# escape=\\\n# escape=`\n"), ["only one escape parser directive can be used"]);
        assert_eq!(messages("# escape= \n"), ["invalid escape token ' ' does not match ` or \\"]);
        assert_eq!(messages("# escape=x\n"), ["invalid escape token 'x' does not match ` or \\"]);
        assert_eq!(read("# escape=`\nFROM a").escape, '`');
    }

    #[test]
    fn any_build_file_may_name_its_syntax() {
        for (source, expected) in [
            ("# syntax = dockerfile:experimental // opts\nFROM busybox\n", Some(("dockerfile:experimental", 1))),
            ("#!/bin/sh\n# syntax = dockerfile:experimental\n", Some(("dockerfile:experimental", 2))),
            ("#!/bin/sh\n\n# syntax = dockerfile:experimental\n", None),
            ("FROM busybox\nRUN ls\n", None),
            (" # syntax=x\n", None),
            ("# escape=`\n# syntax=x\n", Some(("x", 2))),
            (" # escape=`\n# syntax=x\n", None),
            ("# syntax=x\n# syntax=y\n", Some(("x", 1))),
            ("# escape=`\n# escape=`\n# syntax=y\n", None),
            ("#!/bin/sh\n\u{feff}# syntax=x\n", None),
            (" //syntax=x", None),
            ("{\"syntax\": 1}", None),
            ("{\"Syntax\": \"x\"}", None),
            ("[\"syntax\"]", None),
            ("//syntax=foo\n//key=value", Some(("foo", 1))),
            ("#!/bin/sh\n//syntax=x", Some(("x", 2))),
            ("{\"syntax\": \"foo\", \"bar\": [\"abc\"]}", Some(("foo", 1))),
            ("#!/bin/sh\n{\"syntax\": \"foo\"}", Some(("foo", 2))),
            ("{\"syntax\": \"foo\"", None),
            ("{\"syntax\": \"foo\"}\n# syntax=bar", None),
            ("\u{feff}# syntax = myfrontend\nFROM busybox\n", Some(("myfrontend", 1))),
        ] {
            let index = super::super::span::LineIndex::new(source);
            let found = detect_syntax(source).map(|s| (s.reference, index.line(s.span.start)));
            assert_eq!(found, expected.map(|(r, line)| (r.to_owned(), line)), "{source:?}");
        }
    }

    #[test]
    fn the_dialect_spoken_here() {
        for (reference, expected) in [
            ("docker/dockerfile", true),
            ("docker/dockerfile:1", true),
            ("docker/dockerfile:1.7-labs", true),
            ("docker.io/docker/dockerfile-upstream:master@sha256:00", true),
            ("dockerfile:1", false),
            ("docker/dockerfile-x:1", false),
            ("localhost:5000/docker/dockerfile:1", false),
        ] {
            let syntax = detect_syntax(&format!("# syntax={reference}")).unwrap();
            assert_eq!(syntax.is_dockerfile(), expected, "{reference}");
        }
    }
}
