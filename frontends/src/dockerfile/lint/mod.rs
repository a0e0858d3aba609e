//! Lint: what builds, but is likely not meant so (BuildKit: `frontend/dockerfile/linter`), and what a router
//! makes of it.
//!
//! | module | rules about | run |
//! |---|---|---|
//! | [`syntax`] | how a file is written | before lowering, even on a file with errors |
//! | [`from`] | FROM, its variables and its base | before the stages are lowered |
//! | [`instruction`] | everything else | step by step while they are lowered: variables have values then |
//! | [`router`] | RouterOS | on the finished target |

pub(super) mod from;
pub(super) mod instruction;
pub(super) mod router;
pub mod rules;
pub(super) mod syntax;

use super::ast::Dockerfile;
use super::check::{CheckError, CheckOptions};
use super::diagnostic::{Diagnostic, Severity};
use super::span::{LineRange, Span};
use super::statement::Statement;
pub use rules::Rule;

/// The build argument that takes the place of `# check=`.
pub const CHECK_ARGUMENT: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// The most that looking for near names may cost, in pairs of characters: some ten thousand comparisons.
const MAX_COMPARED: usize = 2_000_000;

/// One thing that a rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// What it found, in BuildKit's words.
    pub detail: String,
    /// The bytes to underline.
    pub span: Span,
    /// The lines of the instruction, heredocs included.
    pub lines: LineRange,
}

impl Finding {
    /// `Rule: detail (line 3)`: how a build lists it.
    pub fn short(&self) -> String {
        format!("{}: {} (line {})", self.rule.name, self.detail, self.lines.start)
    }
}

/// Where a finding is: an instruction, and what a comment above says of rules there.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub span: Span,
    pub lines: LineRange,
    pub own: Option<CheckOptions>,
}

impl Place {
    /// The same instruction, some bytes of it underlined.
    pub(super) fn at(&self, span: Span) -> Self {
        Self { span, ..self.clone() }
    }

    pub(super) fn of(statement: &Statement) -> Self {
        Self { span: statement.span, lines: statement.lines, own: statement.check_options() }
    }
}

/// Collects findings.
#[derive(Clone, Debug, Default)]
pub struct Lint {
    options: CheckOptions,
    /// What looking for near names has cost, in pairs of characters.
    compared: usize,
    /// What was found so far, in the order of BuildKit's own passes: not by lines.
    pub findings: Vec<Finding>,
}

impl Lint {
    /// With a choice of rules.
    pub fn new(options: CheckOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// Adds a finding, unless its rule is skipped. Experimental rules can't be skipped, only left out.
    pub(super) fn add(&mut self, rule: Rule, place: &Place, detail: String) {
        let any = |chosen: fn(&CheckOptions, &str) -> bool| {
            chosen(&self.options, rule.name) || place.own.as_ref().is_some_and(|own| chosen(own, rule.name))
        };
        let silent = match rule.experimental {
            true => !any(|options, name| options.experimental.contains(name)),
            false => any(|options, name| options.skip.contains(name)),
        };
        if !silent {
            self.findings.push(Finding { rule, detail, span: place.span, lines: place.lines });
        }
    }

    /// The option with the fewest edits (insert, delete, replace) away from what is written, if that is fewer than
    /// three (BuildKit: `util/suggest`). Of equally near ones the first. Of a file with very many wrong names, the
    /// last ones get no suggestion.
    fn suggestion<'o>(&mut self, written: &str, options: impl IntoIterator<Item = &'o str>) -> Option<&'o str> {
        let mut best = None;
        for option in options {
            if self.compared >= MAX_COMPARED {
                return None;
            }
            self.compared += 1;
            // Words whose lengths differ by more are not near, whatever they are.
            if written.len().abs_diff(option.len()) > 8 || written.len() > 256 {
                continue;
            }
            self.compared += written.len() * option.len();
            let distance = strsim::levenshtein(written, option);
            if distance < best.map_or(3, |(least, _)| least) {
                best = Some((distance, option));
            }
        }
        best.map(|(_, option)| option)
    }

    /// The findings that fail a build with `error=true`. What only routers mind doesn't: a Dockerfile that
    /// BuildKit builds is built here too.
    pub fn violations(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| self.options.error && !finding.rule.is_for_routers())
    }

    /// The rules behind [`Lint::violations`], each once, by name; nothing when nothing fails.
    pub(super) fn violated(&self) -> Vec<&'static str> {
        let mut names: Vec<&str> = self.violations().map(|finding| finding.rule.name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Runs the rules about how a file is written, given the file and what parsing it gave. Of a file with errors,
    /// what stands before the first one is judged.
    pub fn syntax(&mut self, source: &str, parsed: &Result<Dockerfile, Vec<Diagnostic>>) {
        let errors = parsed.as_ref().err().into_iter().flatten().filter(|d| d.severity == Severity::Error);
        let end = errors.map(|error| error.span.start).min().unwrap_or(usize::MAX);
        syntax::statements(self, source, end);
        if let Ok(file) = parsed {
            syntax::stages(self, file);
        }
    }
}

/// What the options mean: a build argument, else the file's directive, which may be a wrong one.
pub fn options(source: &str, argument: Option<&str>) -> Result<CheckOptions, InvalidChoice> {
    if let Some(argument) = argument {
        return CheckOptions::parse(argument).map_err(|error| InvalidChoice { error, span: None });
    }
    match super::directive::check(source) {
        None => Ok(CheckOptions::default()),
        Some(value) => CheckOptions::parse(super::check::before_space(&value.text))
            .map_err(|error| InvalidChoice { error, span: Some(value.span) }),
    }
}

/// A choice of rules that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to parse check options: {error}")]
pub struct InvalidChoice {
    /// What is wrong.
    pub error: CheckError,
    /// Where the directive's value stands; `None`: it was a build argument.
    pub span: Option<Span>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_less_than_three_edits_away() {
        for (written, expected) in [
            ("BULIDPLATFORM", Some("BUILDPLATFORM")),
            ("PAHT", Some("PATH")),
            ("PTH", Some("PATH")),
            ("path", None),
            ("foo", None),
            ("", None),
        ] {
            assert_eq!(
                Lint::default().suggestion(written, ["PATH", "BUILDPLATFORM", "TARGETPLATFORM"]),
                expected,
                "{written}"
            );
        }
    }

    #[test]
    fn the_build_argument_wins() {
        let source = "# check=skip=A;foo=bar // why\nFROM a";
        let wrong = options(source, None).unwrap_err();
        assert_eq!(wrong.to_string(), "failed to parse check options: invalid check option \"foo\"");
        assert_eq!(wrong.span.unwrap().of(source), "skip=A;foo=bar // why");
        assert!(options(source, Some("error=true")).unwrap().error);
        assert_eq!(options("#check=skip=all\nFROM", None).unwrap().skip, crate::dockerfile::check::Rules::All);
        // Elsewhere than at the very start it is another comment.
        for source in [" # check=skip=all\nFROM a", "# x\n# check=skip=all\nFROM a", "\n# check=skip=all\nFROM a"] {
            assert_eq!(options(source, None), Ok(CheckOptions::default()), "{source:?}");
        }
        assert!(options("#!/bin/sh\n# escape=`\n# Check = error=true\nFROM a", None).unwrap().error);
        assert_eq!(options("FROM a", Some("x")).unwrap_err().span, None);
    }
}
