//! From a file to its stages.

use super::ast::{Dockerfile, Instruction, Stage};
use super::diagnostic::{Diagnostic, Severity};
use super::instruction::Command;
use super::interpret;
use super::span::Span;
use super::statement::{self, KEYWORDS, Statement, Statements};

impl Dockerfile {
    /// Parses a file. All its errors come at once, in the file's order, and its warnings among them.
    pub fn parse(source: &str) -> Result<Self, Vec<Diagnostic>> {
        let Statements { directives, escape, statements, mut diagnostics } = Statements::read(source);
        let mut global_args = Vec::new();
        let mut stages: Vec<Stage> = Vec::new();
        // a FROM was there, even if a wrong one
        let mut staged = false;
        // commands before it are reported once
        let mut stageless = false;
        // whether the instruction right above has what could be a heredoc
        let mut above = None;
        for statement in statements {
            if statement::is_hopeless(&diagnostics) {
                diagnostics.push(statement::too_many(statement.span));
                break;
            }
            let name = statement.name();
            staged |= name == "FROM";
            if !KEYWORDS.contains(&name.as_str()) {
                diagnostics.push(unknown(&statement, above.take()));
                continue;
            }
            above = Some(statement.has_missed_heredoc());
            let Some(instruction) = interpret::instruction(statement, &mut diagnostics) else { continue };
            match (&instruction.command, stages.last_mut()) {
                (Command::From(from), _) => {
                    stages.push(Stage { from: from.clone(), instruction, commands: Vec::new() });
                }
                (Command::Arg(_), None) if !staged => global_args.push(instruction),
                (_, Some(stage)) => stage.commands.push(instruction),
                // it belongs to a FROM that is wrong
                (_, None) if staged || stageless => {}
                (command, None) => {
                    stageless = true;
                    let error = Diagnostic::error(instruction.span, "no build stage in current context");
                    let error = error.because(format!("{} stands before the first FROM", command.name()));
                    diagnostics.push(error.help("begin with FROM and a base image; only ARG may stand before it"));
                }
            }
        }
        diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
        if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
            return Err(diagnostics);
        }
        if stages.is_empty() {
            let error =
                Diagnostic::error(Span::new(source.len(), source.len()), "dockerfile contains no stages to build");
            return Err(vec![error.help("add FROM and a base image, such as `FROM alpine`")]);
        }
        Ok(Self { directives, escape, global_args, stages, warnings: diagnostics })
    }
}

/// The error for a line that is no instruction, right below one (`Some`) or below another such line.
fn unknown(statement: &Statement, missed_heredoc_above: Option<bool>) -> Diagnostic {
    let unknown = interpret::unknown(&statement.keyword);
    match (&unknown.help, missed_heredoc_above) {
        (None, Some(true)) => unknown.help("if this is the text of a heredoc: the `<<` above must begin a word"),
        (None, Some(false)) => {
            unknown.help("if this belongs to the line above, end that one with the escape character")
        }
        _ => unknown,
    }
}

/// Parses a trigger out of an image config's `OnBuild`. Spans count in the trigger's own text.
///
/// BuildKit parses each as a file of its own (`dispatchOnBuildTriggers` in `dockerfile2llb/convert.go`): so its
/// escape character is `\`, and it must hold one instruction.
pub fn parse_trigger(trigger: &str) -> Result<Instruction, Vec<Diagnostic>> {
    let Statements { statements, mut diagnostics, .. } = Statements::read(trigger);
    let mut instructions: Vec<_> =
        statements.into_iter().filter_map(|statement| interpret::instruction(statement, &mut diagnostics)).collect();
    if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(diagnostics);
    }
    match instructions.pop() {
        Some(instruction) if instructions.is_empty() => match instruction.command {
            Command::From(_) | Command::Onbuild(_) | Command::Maintainer(_) => {
                let message = format!("{} isn't allowed as an ONBUILD trigger", instruction.command.name());
                Err(vec![Diagnostic::error(instruction.span, message)])
            }
            _ => Ok(instruction),
        },
        _ => Err(vec![Diagnostic::error(Span::new(0, trigger.len()), "onbuild trigger should be a single expression")]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(source: &str) -> Vec<String> {
        match Dockerfile::parse(source) {
            Ok(file) => panic!("{source:?} is {file:?}"),
            Err(diagnostics) => diagnostics.into_iter().map(|d| d.to_string()).collect(),
        }
    }

    #[test]
    fn stages_have_their_instructions() {
        let file = Dockerfile::parse(
            "ARG a=1 b\n# x the first\nFROM --platform=$P i AS X\nARG b\nRUN c\nFROM x\nCOPY --from=0 a b\n",
        )
        .unwrap();
        assert_eq!(file.global_definitions().map(|(_, d)| d.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(file.stages.len(), 2);
        assert_eq!((file.stages[0].name(), file.stages[0].description()), (Some("x"), Some("the first")));
        assert_eq!(file.stages[0].commands.len(), 2);
        assert_eq!((file.stage("X"), file.stage("y"), file.stage_before("x", 0)), (Some(0), None, None));
        assert_eq!(file.instructions().count(), 6);
    }

    #[test]
    fn all_errors_come_at_once() {
        let source =
            "FORM x\nFROM a b\nRNU x\nCOPY --form=a b c\nRUN --network=hots --mount=from=$a x\nENV a\nCOPY <<E x\ny\n";
        let found = Dockerfile::parse(source).unwrap_err();
        let found: Vec<_> = found.iter().map(|d| (d.span.of(source), d.message.as_str(), d.help.as_deref())).collect();
        assert_eq!(
            found,
            [
                ("FORM", "unknown instruction: FORM", Some("did you mean FROM?")),
                (
                    "b",
                    "FROM requires either one or three arguments",
                    Some("write `FROM image` or `FROM image AS name`")
                ),
                ("RNU", "unknown instruction: RNU", Some("did you mean RUN?")),
                ("--form", "unknown flag: --form", Some("did you mean --from?")),
                ("hots", "invalid network mode \"hots\"", Some("did you mean host?")),
                (
                    "$a",
                    "'from' doesn't support variable expansion, define alias stage instead",
                    Some("give the image a stage of its own, `FROM $image AS name`, and mount from that")
                ),
                ("a", "ENV must have two arguments", Some("write `ENV a=value`")),
                ("<<E", "unterminated heredoc", Some("add a line with just `E` where the text ends")),
            ]
        );
    }

    #[test]
    fn errors_of_whole_files() {
        let garbage = "x\n".repeat(5000);
        assert_eq!(messages(&garbage).len(), 1001);
        for (source, expected) in [
            ("", "file with no instructions"),
            ("# a\n\n", "file with no instructions"),
            ("FROM a\nRUN b\n&& c\n&& d", "unknown instruction: &&: if this belongs to the line above, end"),
            ("FROM a\nRUN b<<EOF\nthis\nEOF", "unknown instruction: this: if this is the text of a heredoc: the `<<`"),
            ("RUN a\nRUN b\nFROM c", "no build stage in current context: RUN stands before the first FROM"),
            ("ARG a", "dockerfile contains no stages to build"),
        ] {
            let found = messages(source);
            assert!(found[0].starts_with(expected), "{source:?}: {found:?}");
        }
    }

    #[test]
    fn every_kind_of_line_has_a_greatest_length() {
        let long = "x".repeat(70_000);
        for source in [
            format!("#{long}\nFROM a"),
            format!("{}\nFROM a", " ".repeat(70_000)),
            format!("FROM a\nRUN {long}"),
            format!("FROM a\nRUN a \\\n{long}"),
            format!("FROM a\nRUN a \\\n#{long}\nb"),
            format!("FROM a\nRUN <<A\n{long}\nA"),
        ] {
            assert!(messages(&source)[0].starts_with("dockerfile line greater than max allowed size of 65535"));
        }
    }

    #[test]
    fn errors_of_instructions() {
        for (line, expected) in [
            ("RUN --network=none --network=none x", "duplicate flag specified: --network"),
            ("COPY --link=maybe a b", "expecting boolean value for flag --link, not: maybe"),
            ("COPY --link= a b", "missing a value on flag: --link"),
            ("COPY --chown a b", "missing a value on flag: --chown"),
            ("COPY --from=$x a b", "variable expansion is not supported for --from"),
            ("COPY a <<E\nE", "COPY cannot accept a heredoc as a destination"),
            ("ADD a", "ADD requires at least two arguments"),
            ("USER --x a", "unknown flag: --x: USER has no flags"),
            ("ENV =a", "ENV names can not be blank"),
            ("ENV a=b c", "Syntax error - can't find = in \"c\". Must be of the form: name=value"),
            ("ARG =a", "ARG names can not be blank"),
            ("ARG", "ARG requires at least one argument"),
            ("FROM a AS 1a", "invalid name for build stage: \"1a\""),
            ("SHELL a b", "SHELL requires the arguments to be in JSON form"),
            ("SHELL []", "SHELL requires at least one argument"),
            ("VOLUME [\" \"]", "VOLUME specified can not be an empty string"),
            ("HEALTHCHECK CONNECT TCP 7000", "Unknown type \"CONNECT\" in HEALTHCHECK (try CMD)"),
            ("HEALTHCHECK NONE a", "HEALTHCHECK NONE takes no arguments"),
            ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
            ("HEALTHCHECK --interval=50ns CMD a", "Interval \"interval\" cannot be less than 1ms"),
            ("HEALTHCHECK --retries=-1 CMD a", "--retries cannot be negative (-1)"),
            ("ONBUILD", "ONBUILD requires at least one argument"),
            ("ONBUILD onbuild RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
            ("ONBUILD from x", "FROM isn't allowed as an ONBUILD trigger"),
            ("RUN --device=a,b=c x", "unexpected key 'b' in 'b=c'"),
        ] {
            let found = messages(&format!("FROM x\n{line}"));
            assert!(found.len() == 1 && found[0].starts_with(expected), "{line}: {found:?}");
        }
    }

    #[test]
    fn triggers_survive_the_image_config() {
        let file =
            Dockerfile::parse("FROM a\nonbuild  RUN --mount=target=/x \\\n <<A cat <<-B\na\nA\n\tb\n\tB\n").unwrap();
        let Command::Onbuild(onbuild) = &file.stages[0].commands[0].command else { panic!() };
        assert_eq!(onbuild.expression, "RUN --mount=target=/x  <<A cat <<-B\na\nA\n\tb\nB");
        let trigger = parse_trigger(&onbuild.expression).unwrap();
        assert_eq!(trigger.heredocs.len(), 2);
        for (trigger, expected) in [
            ("RUN a\nRUN b", "onbuild trigger should be a single expression"),
            ("FROM a", "FROM isn't allowed as an ONBUILD trigger"),
            ("", "file with no instructions"),
        ] {
            assert_eq!(parse_trigger(trigger).unwrap_err()[0].message, expected);
        }
        let warned = Dockerfile::parse("FROM a\nONBUILD COPY b").unwrap();
        assert_eq!(warned.warnings.len(), 1);
    }
}
