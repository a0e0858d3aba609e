//! Git references and heredoc words against BuildKit's tables; and that no table of its unit tests is passed over.

mod conformance;

use std::path::Path;

use routerpack_frontends::dockerfile::lower::git_source;
use routerpack_frontends::dockerfile::statement::Statements;
use serde_json::Value;

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn git_references_are_read_as_in_the_table() {
    let Some(test) = conformance::unit("gitref/TestParseGitRef") else { return };
    let rows = conformance::rows(&test, "cases");
    let rows = rows.as_array().unwrap();
    assert!(rows.len() >= 39);
    for row in rows {
        let found = git_source(text(row, "ref"), false, false);
        let expected = &row["expected"];
        match (found, row["err"].as_str()) {
            (Some(Err(error)), Some(message)) => assert!(error.contains(message), "{row}: {error}"),
            (None, None) => assert!(expected.is_null(), "{row}"),
            (Some(Ok(git)), None) => {
                // As a context, `github.com/…` means the site.
                let remote = text(expected, "Remote");
                let remote =
                    if remote.starts_with("github.com/") { format!("https://{remote}") } else { remote.into() };
                assert_eq!(git.full_url.as_deref(), Some(remote.as_str()), "{row}");
                assert_eq!(git.reference.as_deref().unwrap_or_default(), text(expected, "Ref"), "{row}");
                let subdir = text(expected, "SubDir").trim_start_matches('/');
                assert_eq!(git.subdir.as_deref().unwrap_or_default(), subdir, "{row}");
                assert_eq!(git.checksum.as_deref().unwrap_or_default(), text(expected, "Checksum"), "{row}");
                assert_eq!(git.commit_mtime, text(expected, "MTime") == "commit", "{row}");
                assert_eq!(git.fetch_by_commit, expected["FetchByCommit"] == true, "{row}");
            }
            (found, _) => panic!("{row}: {found:?}"),
        }
    }
}

#[test]
fn words_are_heredocs_as_in_the_table() {
    let Some(test) = conformance::unit("heredoc/TestParseHeredocHelpers") else { return };
    let read = |word: &str| Statements::read(&format!("RUN a {word}\nEOF\n"));
    let rows = |variable: &str| serde_json::from_value::<Vec<String>>(conformance::rows(&test, variable)).unwrap();
    for word in rows("validHeredocs") {
        let read = read(&word);
        assert_eq!((read.diagnostics.len(), read.statements[0].heredocs.len()), (0, 1), "{word}");
        assert_eq!(read.statements[0].heredocs[0].name, "EOF", "{word}");
    }
    // Within a line, quotes that don't match are the shell's own business, and a blank ends the word.
    for word in rows("invalidHeredocs").iter().chain(&rows("notHeredocs")).filter(|word| *word != "<<EOF sh") {
        let read = read(word);
        assert!(read.statements.first().is_none_or(|statement| statement.heredocs.is_empty()), "{word}");
    }
}

/// Tables that no test reads, and why: most have no inputs in them, but only the results of calls.
const ELSEWHERE: [(&str, &str); 28] = [
    (
        "shell/TestConvertShellPatternToRegex",
        "private: the rows stand in glob.rs, and a word of the other tables has each",
    ),
    ("shell/TestReverseString", "no inputs; suffixes are turned round in glob.rs"),
    ("shell/TestShellParser4Words", "its file is the table shell-words"),
    ("shell/TestProcessWithMatchesPlatform", "no inputs; the same word stands in words.rs"),
    ("directives/TestDetectSyntax", "no inputs; directive.rs"),
    ("line_parsers/TestParseNameValOldFormat", "no inputs; the dumps of parser-positive"),
    ("line_parsers/TestParseNameValNewFormat", "no inputs; the dumps of parser-positive"),
    ("heredoc/TestParseJSONHeredoc", "no inputs; split.rs"),
    ("heredoc/TestHeredocChomp", "no inputs; statement.rs"),
    ("instr/TestCommandsTooManyArguments", "calls with what no parser gives"),
    ("instr/TestParseOptInterval", "no inputs; parser.rs"),
    ("instr/TestNilLinter", "about Go's nil"),
    ("instr/TestCommentsDetection", "no inputs; statement.rs and parser.rs"),
    ("support/TestHandleJSONArgs", "private: a helper of Go's parser"),
    ("convert/TestCopyFromKeepsStageLabels", "no inputs; tests/lowering"),
    ("convert/TestToEnvList", "private: a helper of Go's lowering"),
    ("convert/TestProxyEnvFromBuildArgsDeterministicOrder", "no inputs; tests/lowering"),
    ("convert/TestDockerfileCircularDependencies", "no inputs; tests/lowering"),
    ("convert/TestBaseImageConfig", "no inputs; tests/lowering"),
    ("convert/TestDispatchHealthcheckHistory", "no inputs; tests/lowering"),
    ("expose/TestParsePortEmptyContainerPort", "private: expose.rs"),
    ("expose/TestParsePortFull", "no inputs; expose.rs"),
    ("expose/TestParsePortsWithRange", "no inputs; expose.rs"),
    ("exclude/TestDockerfileAddExcludePatterns", "no inputs; tests/lowering"),
    ("image/TestCloneCopiesMutableImageConfig", "about Go's pointers"),
    ("platform/TestResolveTargetPlatform", "private: who asks for which platform, tests/lowering"),
    ("platform/TestImplicitTargetPlatform", "private: who asks for which platform, tests/lowering"),
    ("gitref/TestFragmentFormatWithSubdir", "a form that BuildKit writes for older versions of itself"),
];

/// The sources of this crate's tests.
fn tests(dir: &Path, into: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.path() {
            path if path.is_dir() => tests(&path, into),
            path if path.extension().is_some_and(|extension| extension == "rs") => {
                into.push_str(&std::fs::read_to_string(path).unwrap());
            }
            _ => {}
        }
    }
}

#[test]
fn every_table_is_read_or_has_a_reason() {
    let Some(tables) = conformance::table("unit-tables") else { return };
    let mut sources = String::new();
    tests(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), &mut sources);
    let elsewhere = |id: &str| {
        let prefix = ["convert/TestResolveSourceDateEpoch", "convert/TestSource"];
        // these resolve SOURCE_DATE_EPOCH from a stage, on Go's own states
        ELSEWHERE.iter().any(|(known, _)| *known == id) || prefix.iter().any(|prefix| id.starts_with(prefix))
    };
    for table in tables.as_array().unwrap() {
        let id = text(table, "id");
        let read = [format!("unit(\"{id}\")"), format!("(\"{id}\",")].iter().any(|call| sources.contains(call));
        assert!(read || elsewhere(id), "nothing reads the table {id}");
    }
}
