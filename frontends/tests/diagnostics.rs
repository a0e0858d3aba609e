//! Every diagnostic has an exact place, and says what to do: what a Dockerfile alone shows to be wrong.

use routerpack_frontends::dockerfile::{Diagnostic, Dockerfile, LineIndex, Severity, parser::parse_trigger};

/// What is found in a file, whether it parses or not.
fn found(source: &str) -> Vec<Diagnostic> {
    Dockerfile::parse(source).map_or_else(|diagnostics| diagnostics, |file| file.warnings)
}

/// Source; place (line:column, the underlined text); a part of the message; a part of the help; the replacement.
type Case = (&'static str, &'static str, &'static str, &'static str, &'static str, Option<&'static str>);

const CASES: &[Case] = &[
    // instructions
    ("FROM a\nRNU x", "2:1", "RNU", "unknown instruction: RNU", "did you mean RUN?", Some("RUN")),
    ("FROM a\r\n  CPOY x y\r\n", "2:3", "CPOY", "unknown instruction", "did you mean COPY?", Some("COPY")),
    ("FROM a\nRUN a\n&& b", "3:1", "&&", "unknown instruction", "escape character", None),
    ("RUN x", "1:1", "RUN x", "no build stage in current context", "begin with FROM", None),
    ("", "1:1", "", "file with no instructions", "begin with FROM", None),
    ("ARG a", "1:6", "", "dockerfile contains no stages to build", "add FROM", None),
    // directives
    ("# escape=x\nFROM a", "1:10", "x", "invalid escape token 'x'", "backtick", None),
    ("# escape=`\n# escape=`\nFROM a", "2:10", "`", "only one escape parser directive", "remove this line", None),
    // FROM
    ("FROM", "1:1", "FROM", "FROM requires either one or three arguments", "FROM image AS name", None),
    ("FROM a b", "1:8", "b", "FROM requires either one or three arguments", "FROM image AS name", None),
    ("FROM a sa b", "1:8", "sa", "FROM requires either one or three arguments", "did you mean AS?", Some("AS")),
    ("FROM a AS 1b", "1:11", "1b", "invalid name for build stage", "begin with a letter", None),
    ("FROM --platfrom=x a", "1:6", "--platfrom", "unknown flag", "did you mean --platform?", Some("--platform")),
    // flags
    ("FROM a\nUSER --x a", "2:6", "--x", "unknown flag: --x", "remove it", None),
    ("FROM a\nCOPY --form=a b c", "2:6", "--form", "unknown flag", "did you mean --from?", Some("--from")),
    ("FROM a\nCOPY --link=maybe b c", "2:13", "maybe", "expecting boolean value", "true or false", None),
    ("FROM a\nCOPY --link= b c", "2:6", "--link=", "missing a value on flag", "--link=…", None),
    ("FROM a\nCOPY --from=a --from=b c d", "2:15", "--from=b", "duplicate flag", "remove one", None),
    ("FROM a\nCOPY --from=$x c d", "2:13", "$x", "variable expansion is not supported", "define a new stage", None),
    // RUN
    ("FROM a\nRUN --network=hots x", "2:15", "hots", "invalid network mode", "did you mean host?", Some("host")),
    ("FROM a\nRUN --security=insecur x", "2:16", "insecur", "security", "insecure", Some("insecure")),
    ("FROM a\nRUN --mount=from=$a,target=/b x", "2:18", "$a", "doesn't support variable", "stage of its own", None),
    ("FROM a\nRUN --mount=a\\\"b x", "2:5", "--mount=a\\\"b", "failed to parse csv mounts", "commas", None),
    ("FROM a\nRUN --device=a,b=c x", "2:14", "a,b=c", "unexpected key 'b'", "NAME", None),
    ("FROM a\nRUN [\"a\", 'b']", "2:11", "'", "no JSON array", "\"…\"", None),
    ("FROM a\nCMD [\"a\",]", "2:10", "]", "no JSON array", "none behind the last", None),
    ("FROM a\nENTRYPOINT ['a']", "2:13", "'", "no JSON array", "\"…\"", None),
    ("FROM a\nCMD [\"a\", 1]", "2:11", "1", "comprised of strings only", "quote it: \"1\"", None),
    (
        "FROM a\nSHELL bash -c",
        "2:7",
        "bash -c",
        "SHELL requires the arguments to be in JSON form",
        "[\"PROGRAM\"",
        None,
    ),
    // heredocs
    ("FROM a\nCOPY <<EOF /x\nno end", "2:6", "<<EOF", "unterminated heredoc", "add a line with just `EOF`", None),
    ("FROM a\nRUN <<A\nx\n A\n", "2:5", "<<A", "unterminated heredoc", "line 4 has blanks around `A`", None),
    (
        "FROM a\nCOPY a <<E\nE",
        "2:8",
        "<<E",
        "cannot accept a heredoc as a destination",
        "the heredoc is the source",
        None,
    ),
    // COPY and ADD
    ("FROM a\nCOPY x", "2:6", "x", "COPY requires at least two arguments", "write COPY SOURCE… DESTINATION", None),
    ("FROM a\nADD", "2:1", "ADD", "ADD requires at least two arguments", "write ADD SOURCE… DESTINATION", None),
    // pairs
    ("FROM a\nENV", "2:1", "ENV", "ENV requires at least one argument", "write ENV NAME=VALUE", None),
    ("FROM a\nENV x", "2:5", "x", "ENV must have two arguments", "write `ENV x=value`", None),
    ("FROM a\nLABEL a=b c", "2:11", "c", "can't find =", "quote a value", None),
    ("FROM a\nENV =a", "2:5", "=a", "ENV names can not be blank", "before the `=`", None),
    ("FROM a\nARG =a", "2:5", "=a", "ARG names can not be blank", "before the `=`", None),
    ("FROM a\nARG", "2:1", "ARG", "ARG requires at least one argument", "write ARG NAME", None),
    // the rest
    ("FROM a\nVOLUME [\" \"]", "2:9", "\" \"", "can not be an empty string", "path", None),
    ("FROM a\nUSER", "2:1", "USER", "USER requires exactly one argument", "write USER NAME", None),
    ("FROM a\nHEALTHCHECK", "2:1", "HEALTHCHECK", "requires at least one argument", "HEALTHCHECK NONE", None),
    ("FROM a\nHEALTHCHECK NOEN", "2:13", "NOEN", "Unknown type", "did you mean NONE?", Some("NONE")),
    ("FROM a\nHEALTHCHECK NONE b", "2:18", "b", "takes no arguments", "remove it", None),
    ("FROM a\nHEALTHCHECK CMD", "2:1", "HEALTHCHECK CMD", "Missing command", "CMD COMMAND", None),
    ("FROM a\nHEALTHCHECK --interval=5 CMD b", "2:24", "5", "invalid duration", "did you mean 5s?", Some("5s")),
    ("FROM a\nHEALTHCHECK --timeout=5 s CMD b", "2:25", "s", "Unknown type \"S\"", "HEALTHCHECK CMD", None),
    ("FROM a\nHEALTHCHECK --interval=1ns CMD b", "2:24", "1ns", "cannot be less than 1ms", "30s", None),
    ("FROM a\nHEALTHCHECK --retries=-1 CMD b", "2:23", "-1", "cannot be negative", "such as 3", None),
    ("FROM a\nHEALTHCHECK --retries=x CMD b", "2:23", "x", "invalid number", "such as 3", None),
    ("FROM a\nONBUILD", "2:1", "ONBUILD", "requires at least one argument", "ONBUILD INSTRUCTION", None),
    ("FROM a\nONBUILD ONBUILD RUN x", "2:9", "ONBUILD", "Chaining ONBUILD", "remove one", None),
    (
        "FROM a\nONBUILD FROM b",
        "2:9",
        "FROM",
        "isn't allowed as an ONBUILD trigger",
        "that start from this image",
        None,
    ),
    ("FROM a\nONBUILD CPOY b c", "2:9", "CPOY", "unknown instruction", "did you mean COPY?", Some("COPY")),
    // places: tabs, wide letters, continuation lines, comments between them
    ("FROM a\n\tCOPY\t--form=x\ta b", "2:7", "--form", "unknown flag", "--from", Some("--from")),
    ("FROM a\nLABEL 日本=語 ö", "2:12", "ö", "can't find =", "quote", None),
    (
        "FROM a\nCOPY \\\n  # why\n\n  --link \\\r\n  --form=a b c",
        "6:3",
        "--form",
        "unknown flag",
        "--from",
        Some("--from"),
    ),
    ("FROM a\nHEALTHCHECK \\\n  --interval=\\\n5x CMD b", "3:3", "--interval=\\\n5x", "invalid duration", "30s", None),
];

#[test]
fn every_diagnostic_has_its_place_and_its_help() {
    for (source, position, underlined, message, help, replacement) in CASES {
        let found = found(source);
        let hit = found.iter().find(|d| d.message.contains(message) && d.span.of(source) == *underlined);
        let hit = hit.unwrap_or_else(|| panic!("{source:?}: {found:#?}"));
        let at = LineIndex::new(source).position(hit.span.start);
        assert_eq!(format!("{}:{}", at.line, at.column), *position, "{source:?}: {hit:?}");
        assert!(hit.help.as_deref().unwrap_or_default().contains(help), "{source:?}: {hit:?}");
        assert_eq!(hit.replacement.as_deref(), *replacement, "{source:?}: {hit:?}");
        for any in &found {
            assert!(any.help.is_some(), "nothing to do: {source:?}: {any:?}");
        }
    }
}

#[test]
fn a_replacement_mends_the_file() {
    for (source, .., replacement) in CASES.iter().filter(|(.., replacement)| replacement.is_some()) {
        let before = found(source);
        let hit = before.iter().find(|d| d.replacement.as_deref() == *replacement).unwrap();
        let mut mended = source.to_string();
        mended.replace_range(hit.span.range(), replacement.unwrap());
        assert!(found(&mended).len() < before.len(), "{source:?} → {mended:?}");
    }
}

#[test]
fn one_run_reports_all_errors_in_order() {
    let sources: Vec<&str> = CASES.iter().filter_map(|(source, ..)| source.strip_prefix("FROM a\n")).collect();
    // What ends in a heredoc without an end takes all that follows.
    let sources = sources.iter().filter(|source| !source.contains("<<") && !source.contains('\r'));
    let file = format!("FROM a\n{}\n", sources.clone().copied().collect::<Vec<_>>().join("\n"));
    let together = found(&file);
    let alone: usize = sources.map(|source| found(&format!("FROM a\n{source}\n")).len()).sum();
    assert_eq!(together.len(), alone);
    assert!(together.is_sorted_by_key(|diagnostic| diagnostic.span.start));
}

#[test]
fn errors_without_end_are_cut_and_it_is_said() {
    let found = found(&"FROM a\nRNU x\n".repeat(5000));
    assert_eq!(found.len(), 1001);
    let last = found.last().unwrap();
    assert_eq!((last.message.as_str(), last.severity), ("too many errors", Severity::Error));
    assert!(last.reason.as_deref().unwrap().contains("not read from here on"));
}

#[test]
fn a_shell_test_is_no_json() {
    for source in
        ["FROM a\nRUN [ -f x ]", "FROM a\nRUN [ \"$a\" = b ] && c", "FROM a\nCMD [\"a\"]", "FROM a\nRUN [[ a ]]"]
    {
        assert_eq!(found(source), [], "{source}");
    }
}

#[test]
fn triggers_have_places_of_their_own() {
    let error = &parse_trigger("RUN --netwrok=none x").unwrap_err()[0];
    assert_eq!(error.span.of("RUN --netwrok=none x"), "--netwrok");
}
