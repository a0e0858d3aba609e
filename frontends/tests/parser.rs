//! The parser against BuildKit's tables.

mod conformance;

use routerpack_frontends::dockerfile::ast::{Dockerfile, Word};
use routerpack_frontends::dockerfile::diagnostic::{Diagnostic, Severity};
use routerpack_frontends::dockerfile::ignorefile;
use routerpack_frontends::dockerfile::instruction::{Command, Device, Run};
use routerpack_frontends::dockerfile::span::LineIndex;
use routerpack_frontends::dockerfile::statement::{Arguments, Statement, Statements};
use serde_json::Value;

/// A string as Go's `%q` writes it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out + "\""
}

/// A statement as an S-expression, in the form of BuildKit's `Node.Dump`.
fn dump(statement: &Statement) -> String {
    let list = |words: &[Word]| words.iter().map(|word| quoted(&word.text)).collect::<Vec<_>>();
    let mut parts = vec![statement.keyword.text.to_lowercase()];
    if !statement.flags.is_empty() {
        parts.push(format!("[{}]", list(&statement.flags).join(" ")));
    }
    match &statement.arguments {
        Arguments::List(words) => parts.extend(list(words)),
        Arguments::Pairs(pairs) => parts.extend(pairs.iter().flat_map(|pair| {
            let separator = if pair.legacy { "" } else { "=" };
            [&pair.key.text, &pair.value.text, separator].map(quoted)
        })),
        Arguments::Trigger(trigger) => parts.push(dump(trigger)),
    }
    format!("({})", parts.join(" "))
}

fn text<'v>(case: &'v Value, key: &str) -> &'v str {
    case[key].as_str().unwrap_or_else(|| panic!("no {key} in {case}"))
}

/// Errors of a file, first those that BuildKit finds while splitting, then all.
fn errors(source: &str) -> Vec<Diagnostic> {
    Dockerfile::parse(source).err().unwrap_or_default().into_iter().filter(|d| d.severity == Severity::Error).collect()
}

/// The one instruction of a stage.
fn instruction(line: &str) -> Command {
    let file = Dockerfile::parse(&format!("FROM scratch\n{line}")).unwrap_or_else(|e| panic!("{line}: {e:?}"));
    assert_eq!(file.stages[0].commands.len(), 1, "{line}");
    file.stages[0].commands[0].command.clone()
}

#[test]
fn files_become_the_trees_of_the_table() {
    let Some(table) = conformance::table("parser-positive") else { return };
    let cases = table.as_array().unwrap();
    assert!(cases.len() >= 30);
    for case in cases {
        let read = Statements::read(text(case, "dockerfile"));
        assert!(read.diagnostics.is_empty(), "{}: {:?}", case["id"], read.diagnostics);
        let dumped: String = read.statements.iter().map(|statement| dump(statement) + "\n").collect();
        assert_eq!(dumped.trim(), text(case, "ast_dump").trim(), "{}", case["id"]);
    }
}

#[test]
fn files_of_the_table_are_refused() {
    let Some(table) = conformance::table("parser-negative") else { return };
    for case in table.as_array().unwrap() {
        let read = Statements::read(text(case, "dockerfile"));
        assert!(!read.diagnostics.is_empty(), "{}", case["id"]);
    }
}

#[test]
fn statements_stand_on_the_lines_of_the_table() {
    let Some(table) = conformance::table("parser-lines") else { return };
    for case in table.as_array().unwrap() {
        let source = text(case, "dockerfile");
        let read = Statements::read(source);
        let lines: Vec<_> = read.statements.iter().map(|s| [s.lines.start, s.lines.end]).collect();
        assert_eq!(serde_json::to_value(&lines).unwrap(), case["children"]);
        assert_eq!(
            [lines[0][0], lines[lines.len() - 1][1]].map(Value::from),
            [case["ast_start"].clone(), case["ast_end"].clone()]
        );
        let index = LineIndex::new(source);
        for statement in &read.statements {
            assert_eq!(index.lines(statement.span), statement.lines);
        }
    }
}

#[test]
fn words_split_as_in_the_table() {
    let Some(test) = conformance::unit("parser/TestParseWords") else { return };
    for row in conformance::rows(&test, "tests").as_array().unwrap() {
        let read = Statements::read(&format!("ARG {}", row["input"][0].as_str().unwrap()));
        let words: Vec<_> = read.statements[0].arguments.words().iter().map(|word| word.text.clone()).collect();
        assert_eq!(serde_json::to_value(words).unwrap(), row["expect"]);
    }
}

#[test]
fn arrays_of_other_things_than_strings_are_refused() {
    let Some(test) = conformance::unit("json/invalidJSONArraysOfStrings") else { return };
    for row in test["rows"].as_array().unwrap() {
        for keyword in ["RUN", "CMD", "ENTRYPOINT", "SHELL", "COPY", "ADD", "VOLUME", "HEALTHCHECK CMD", "ONBUILD RUN"]
        {
            let found = errors(&format!("FROM scratch\n{keyword} {}", row.as_str().unwrap()));
            assert_eq!(found.len(), 1, "{keyword} {row}");
            assert_eq!(found[0].message, "when using JSON array syntax, arrays must be comprised of strings only");
        }
    }
}

/// Writes each row's heredocs as a RUN and reads them back.
#[test]
fn heredocs_are_read_as_in_the_table() {
    let Some(test) = conformance::unit("heredoc/TestParseExtractsHeredoc") else { return };
    let rows = conformance::rows(&test, "tests");
    let rows: Vec<_> = rows.as_array().unwrap().iter().filter_map(Value::as_array).collect();
    assert!(rows.len() >= 20);
    for row in rows {
        let mut line = String::from("RUN cat");
        let mut bodies = String::new();
        for doc in row {
            let (name, chomp) = (text(doc, "Name"), doc["Chomp"] == true);
            let fd = doc["FileDescriptor"].as_u64().map_or_else(String::new, |fd| fd.to_string());
            let word = if doc["Expand"] == true { name.replace('\'', "\\'") } else { format!("\"{name}\"") };
            line += &format!(" {fd}<<{}{word}", if chomp { "-" } else { "" });
            bodies += &format!("{}{}{name}\n", text(doc, "Content"), if chomp { "\t" } else { "" });
        }
        let read = Statements::read(&format!("{line}\n{bodies}USER x\n"));
        assert!(read.diagnostics.is_empty() && read.statements.len() == 2, "{line}: {read:?}");
        let found: Vec<_> = read.statements[0].heredocs.iter().collect();
        assert_eq!(found.len(), row.len(), "{line}");
        for (found, doc) in found.into_iter().zip(row) {
            assert_eq!((found.name.as_str(), found.content.as_str()), (text(doc, "Name"), text(doc, "Content")));
            assert_eq!((found.expand, found.chomp), (doc["Expand"] == true, doc["Chomp"] == true), "{line}");
            assert_eq!(u64::from(found.descriptor), doc["FileDescriptor"].as_u64().unwrap_or(0));
        }
    }
}

#[test]
fn lines_redirect_as_in_the_table() {
    let Some(test) = conformance::unit("heredoc/TestHeredocsFromLine") else { return };
    for row in conformance::rows(&test, "srcs").as_array().unwrap() {
        let names: Vec<String> = serde_json::from_value(row["heredocNames"].clone()).unwrap_or_default();
        let read = Statements::read(&format!("{}\n{}", text(row, "line"), names.join("\n")));
        assert!(read.diagnostics.is_empty() && read.statements.len() == 1, "{row}: {read:?}");
        let found: Vec<_> = read.statements[0].heredocs.iter().map(|heredoc| heredoc.name.clone()).collect();
        assert_eq!(found, names, "{row}");
    }
}

#[test]
fn instructions_want_their_arguments() {
    for (id, ending) in [
        ("instr/TestCommandsExactlyOneArgument", "requires exactly one argument"),
        ("instr/TestCommandsAtLeastOneArgument", "requires at least one argument"),
    ] {
        let Some(test) = conformance::unit(id) else { return };
        for keyword in conformance::rows(&test, "commands").as_array().unwrap() {
            let keyword = keyword.as_str().unwrap();
            let found = errors(&format!("FROM scratch\n{keyword}"));
            assert_eq!(found.iter().map(|d| d.message.clone()).collect::<Vec<_>>(), [format!("{keyword} {ending}")]);
        }
    }
    let Some(test) = conformance::unit("instr/TestCommandsBlankNames") else { return };
    for keyword in conformance::rows(&test, "commands").as_array().unwrap() {
        let keyword = keyword.as_str().unwrap();
        let found = errors(&format!("FROM scratch\n{keyword} =a"));
        assert_eq!(found[0].message, format!("{keyword} names can not be blank"));
    }
}

#[test]
fn wrong_instructions_have_the_messages_of_the_table() {
    let Some(test) = conformance::unit("instr/TestErrorCases") else { return };
    for row in conformance::rows(&test, "cases").as_array().unwrap() {
        let found = errors(&format!("FROM scratch\n{}", text(row, "dockerfile")));
        let expected = text(row, "expectedError");
        // Every error is reported, so BuildKit's, which stops at the first, is the first of ours.
        assert!(found[0].message.contains(expected), "{row}: {found:?}");
    }
}

#[test]
fn errors_stand_on_the_lines_of_the_table() {
    let Some(test) = conformance::unit("errors/testErrorsSourceMap") else { return };
    // The other rows are wrong only for a build: a frontend, a program, files and stages that don't exist.
    let here = ["invalidenv", "invalidflag"];
    let rows = conformance::rows(&test, "tcases");
    let rows: Vec<_> = rows.as_array().unwrap().iter().filter(|row| here.contains(&text(row, "name"))).collect();
    assert_eq!(rows.len(), here.len());
    for row in rows {
        let source = text(row, "dockerfile");
        let lines = LineIndex::new(source).lines(errors(source)[0].span);
        assert_eq!(row["errorLine"], serde_json::json!((lines.start..=lines.end).collect::<Vec<_>>()), "{row}");
    }
}

#[test]
fn copies_have_the_sources_of_the_table() {
    let Some(test) = conformance::unit("instr_heredoc/TestCopyHeredoc") else { return };
    for row in conformance::rows(&test, "cases").as_array().unwrap() {
        let Command::Copy(copy) = instruction(text(row, "dockerfile")) else { panic!("{row}") };
        let (transfer, expected) = (copy.transfer, &row["sourcesAndDest"]);
        assert_eq!(transfer.destination.text, text(expected, "DestPath"));
        let sources: Vec<_> = transfer.sources.iter().map(|word| word.text.clone()).collect();
        let paths: Vec<String> = serde_json::from_value(expected["SourcePaths"].clone()).unwrap_or_default();
        assert_eq!(sources, paths, "{row}");
        let contents = expected["SourceContents"].as_array().cloned().unwrap_or_default();
        assert_eq!(transfer.contents.len(), contents.len(), "{row}");
        for (content, expected) in transfer.contents.iter().zip(&contents) {
            assert_eq!(
                (content.name.as_str(), content.chomped().as_str()),
                (text(expected, "Path"), text(expected, "Data"))
            );
            assert_eq!(content.expand, expected["Expand"] == true, "{row}");
        }
    }
}

#[test]
fn runs_have_the_commands_of_the_table() {
    let Some(test) = conformance::unit("instr_heredoc/TestRunHeredoc") else { return };
    for row in conformance::rows(&test, "cases").as_array().unwrap() {
        let file = Dockerfile::parse(&format!("FROM scratch\n{}", text(row, "dockerfile"))).unwrap();
        let run = &file.stages[0].commands[0];
        let Command::Run(Run { command, .. }) = &run.command else { panic!("{row}") };
        let arguments: Vec<_> = command.arguments.iter().map(|word| word.text.clone()).collect();
        assert_eq!(serde_json::to_value(arguments).unwrap(), row["command"]);
        assert_eq!(command.shell, row["shell"] == true, "{row}");
        let files = row["files"].as_array().cloned().unwrap_or_default();
        assert_eq!(run.heredocs.len(), files.len(), "{row}");
        for (heredoc, file) in run.heredocs.iter().zip(&files) {
            assert_eq!((heredoc.name.as_str(), heredoc.content.as_str()), (text(file, "Name"), text(file, "Data")));
            assert_eq!(heredoc.chomp, file["Chomp"] == true, "{row}");
        }
    }
}

#[test]
fn devices_are_read_as_in_the_table() {
    let Some(test) = conformance::unit("rundevice/TestParseDevice") else { return };
    for row in conformance::rows(&test, "cases").as_array().unwrap() {
        match (Device::parse(text(row, "input")), &row["expected"]) {
            (Err(error), Value::Null) => {
                let expected = text(&row["expectedErr"], "$expr");
                assert!(expected.contains(&error.to_string()), "{error}: {expected}");
            }
            (Ok(device), expected) => {
                assert_eq!(
                    (device.name.as_str(), device.required),
                    (text(expected, "Name"), expected["Required"] == true)
                );
            }
            (result, expected) => panic!("{row}: {result:?}, expected {expected}"),
        }
    }
}

#[test]
fn ignore_files_are_read_as_in_the_table() {
    let Some(table) = conformance::table("ignorefile") else { return };
    for case in table.as_array().unwrap() {
        let patterns = ignorefile::read(text(case, "content")).unwrap();
        assert_eq!(serde_json::to_value(patterns).unwrap(), case["expect"], "{}", case["id"]);
    }
}
