//! Rules about how a file is written (BuildKit: `instructions/parse.go`, `dockerfile2llb/convert_lint.go`).

use std::collections::HashSet;

use super::super::ast::Dockerfile;
use super::super::lower::golang::quoted;
use super::super::statement::{Arguments, Statement, Statements};
use super::rules::*;
use super::{Lint, Place};

/// Rules that need one instruction only, for those before the byte `end`.
pub(super) fn statements(lint: &mut Lint, source: &str, end: usize) {
    let read = Statements::read(source);
    let sound = || read.statements.iter().filter(|statement| statement.span.end <= end);
    for statement in sound().filter(|statement| statement.empty_continuation.is_some()) {
        let mut place = Place::of(statement);
        place.span = statement.empty_continuation.unwrap_or(place.span);
        // BuildKit shows the instruction's last line, whichever is the empty one.
        place.lines.start = statement.heredocs.first().map_or(place.lines.end, |heredoc| heredoc.lines.start - 1);
        place.lines.end = place.lines.start;
        // A comment above has no say: BuildKit warns before it knows of instructions.
        place.own = None;
        lint.add(NO_EMPTY_CONTINUATION, &place, "Empty continuation line".into());
    }
    for statement in sound() {
        match statement.name().as_str() {
            "FROM" => from(lint, statement),
            "ARG" => {
                let names = statement.arguments.words().iter();
                let names: Vec<&str> = names.map(|word| word.text.split('=').next().unwrap_or_default()).collect();
                description(lint, statement, "ARG", &names);
            }
            "MAINTAINER" => {
                let detail = "Maintainer instruction is deprecated in favor of using label";
                lint.add(MAINTAINER_DEPRECATED, &Place::of(statement).at(statement.keyword.span), detail.into());
            }
            _ => {}
        }
    }
}

fn from(lint: &mut Lint, statement: &Statement) {
    let place = Place::of(statement);
    let Arguments::List(words) = &statement.arguments else { return };
    let [_, keyword, name] = &words[..] else { return };
    if name.text != name.text.to_lowercase() {
        lint.add(STAGE_NAME_CASING, &place.at(name.span), format!("Stage name '{name}' should be lowercase"));
    }
    let (from, written) = (&statement.keyword.text, &keyword.text);
    // Of a FROM in mixed case the rule about all keywords speaks.
    let matches = match (is_lower(from), is_upper(from)) {
        (true, _) => is_lower(written),
        (_, true) => is_upper(written),
        _ => true,
    };
    if !matches {
        lint.add(
            FROM_AS_CASING,
            &place.at(keyword.span),
            format!("'{written}' and '{from}' keywords' casing do not match"),
        );
    }
    description(lint, statement, "FROM", &[&name.text.to_lowercase()]);
}

/// A comment right above FROM or ARG describes it, so it begins with the name.
fn description(lint: &mut Lint, statement: &Statement, keyword: &str, names: &[&str]) {
    // A choice of rules counts as well, as in BuildKit: it belongs above the description.
    let Some(comment) = statement.comments.last() else { return };
    let first = comment.text.split(' ').next().unwrap_or_default();
    if names.is_empty() || names.contains(&first) {
        return;
    }
    let name = if let [name] = names { name } else { "<arg_key>" };
    let detail = format!("Comment for {keyword} should follow the format: `# {name} <description>`");
    lint.add(INVALID_DEFINITION_DESCRIPTION, &Place::of(statement).at(comment.span), detail);
}

/// Rules that need all instructions of a file without errors.
pub(super) fn stages(lint: &mut Lint, file: &Dockerfile) {
    let mut seen = HashSet::new();
    for stage in &file.stages {
        let Some(name) = stage.name() else { continue };
        let place = Place::of(&stage.instruction);
        let place = place.at(stage.from.name.as_ref().map_or(place.span, |word| word.span));
        if matches!(name, "context" | "scratch") {
            let detail = format!("Stage name should not use the same name as reserved stage {}", quoted(name));
            lint.add(RESERVED_STAGE_NAME, &place, detail);
        }
        if !seen.insert(name) {
            let detail = format!("Duplicate stage name {}, stage names should be unique", quoted(name));
            lint.add(DUPLICATE_STAGE_NAME, &place, detail);
        }
    }
    // The ARGs before the first FROM have no say, nor are they judged.
    let all = || file.stages.iter().flat_map(|stage| std::iter::once(&stage.instruction).chain(&stage.commands));
    let keywords = || all().map(|instruction| instruction.keyword.as_str());
    let lower = keywords().filter(|keyword| is_lower(keyword)).count();
    let lowercase = lower > keywords().filter(|keyword| is_upper(keyword)).count();
    let (fits, casing): (fn(&str) -> bool, _) =
        if lowercase { (is_lower, "lowercase") } else { (is_upper, "uppercase") };
    for instruction in all().filter(|instruction| !fits(instruction.keyword.as_str())) {
        let keyword = &instruction.keyword;
        let detail = format!("Command '{keyword}' should match the case of the command majority ({casing})");
        lint.add(CONSISTENT_INSTRUCTION_CASING, &Place::of(instruction).at(keyword.span), detail);
    }
}

fn is_lower(word: &str) -> bool {
    word == word.to_lowercase()
}

fn is_upper(word: &str) -> bool {
    word == word.to_uppercase()
}
