//! The flags of a statement, checked against those that its instruction knows
//! (BuildKit: `frontend/dockerfile/instructions/bflag.go`).

use std::collections::BTreeMap;

use super::ast::Word;
use super::diagnostic::Diagnostic;
use super::span::Span;
use super::statement::Statement;

/// So much is said about one statement; who has more errors in it will not read on.
pub(super) const MAX_FINDINGS: usize = 100;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// `--name`, `--name=true` or `--name=false`.
    Bool,
    /// `--name=value`, once.
    One,
    /// `--name=value`, any number of times.
    Many,
}

/// The flags that are there, by name.
#[derive(Debug, Default)]
pub(super) struct Flags {
    values: BTreeMap<&'static str, Vec<Word>>,
    /// The names in their order.
    pub used: Vec<String>,
}

impl Flags {
    /// Reads the flags of a statement. Wrong ones are reported and left out.
    pub fn read(statement: &Statement, known: &[(&'static str, Takes)], diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut flags = Self::default();
        for flag in &statement.flags {
            if diagnostics.len() >= MAX_FINDINGS {
                break;
            }
            match flags.check(flag, known, &statement.name()) {
                Ok((name, value)) => {
                    if !flags.values.contains_key(name) {
                        flags.used.push(name.to_owned());
                    }
                    flags.values.entry(name).or_default().push(value);
                }
                Err(diagnostic) => diagnostics.push(*diagnostic),
            }
        }
        flags
    }

    fn check(
        &self,
        flag: &Word,
        known: &[(&'static str, Takes)],
        instruction: &str,
    ) -> Result<(&'static str, Word), Box<Diagnostic>> {
        let error = |message: String| Diagnostic::error(flag.span, message);
        let (written, value) = flag.text.split_once('=').map_or((flag.as_str(), None), |(n, v)| (n, Some(v)));
        let value_span = flag.part((written.len() + 1).min(flag.text.len())..flag.text.len());
        let Some((name, takes)) = known.iter().find(|(name, _)| Some(*name) == written.strip_prefix("--")) else {
            let names: Vec<_> = known.iter().map(|(name, _)| format!("--{name}")).collect();
            let unknown = Diagnostic::error(flag.part(0..written.len()), format!("unknown flag: {written}"));
            let unknown = match names.is_empty() {
                true => unknown.because(format!("{instruction} has no flags")),
                false => unknown.because(format!("{instruction} knows {}", names.join(", "))),
            };
            let unknown = match names.is_empty() {
                true => unknown.help("remove it"),
                false => unknown,
            };
            return Err(unknown.suggest(written, names.iter().map(String::as_str)).into());
        };
        if *takes != Takes::Many && self.values.contains_key(name) {
            return Err(error(format!("duplicate flag specified: {written}")).help("remove one of them").into());
        }
        let text = match (takes, value) {
            (Takes::Bool, None) => "true".to_owned(),
            (Takes::Bool, Some("")) | (_, None) => {
                let missing = error(format!("missing a value on flag: {written}"));
                return Err(missing.help(format!("write `{written}=…`, without blanks around the `=`")).into());
            }
            (Takes::Bool, Some(value)) => match value.to_ascii_lowercase() {
                bool if bool == "true" || bool == "false" => bool,
                _ => {
                    let message = format!("expecting boolean value for flag {written}, not: {value}");
                    return Err(Diagnostic::error(value_span, message).help("write true or false").into());
                }
            },
            (_, Some(value)) => value.to_owned(),
        };
        let span = if value.is_some() { value_span } else { flag.span };
        Ok((name, Word::new(text, span)))
    }

    /// The value of a flag that takes one.
    pub fn one(&mut self, name: &str) -> Option<Word> {
        self.values.remove(name)?.pop()
    }

    /// The values of a flag that takes many.
    pub fn many(&mut self, name: &str) -> Vec<Word> {
        self.values.remove(name).unwrap_or_default()
    }

    /// The value of a boolean flag; `None` when it isn't there.
    pub fn bool(&mut self, name: &str) -> Option<bool> {
        self.one(name).map(|value| value.text == "true")
    }
}

/// Reports flags of an instruction that BuildKit doesn't look at.
pub(super) fn ignored(statement: &Statement, diagnostics: &mut Vec<Diagnostic>) {
    if let (Some(first), Some(last)) = (statement.flags.first(), statement.flags.last()) {
        let span: Span = first.span.to(last.span);
        let message = format!("flags mean nothing to this form of {}", statement.name());
        diagnostics.push(Diagnostic::warning(span, message).help("remove them"));
    }
}
