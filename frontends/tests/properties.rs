//! What holds for any input: no panic, spans that fit the source, a tree that survives being written and read.

use proptest::prelude::*;
use routerpack_frontends::dockerfile::ast::Word;
use routerpack_frontends::dockerfile::directive::detect_syntax;
use routerpack_frontends::dockerfile::expand::{Expander, Quotes};
use routerpack_frontends::dockerfile::instruction::{Command, Device};
use routerpack_frontends::dockerfile::mount::Mount;
use routerpack_frontends::dockerfile::parser::parse_trigger;
use routerpack_frontends::dockerfile::statement::{Arguments, Statement, Statements};
use routerpack_frontends::dockerfile::{Dockerfile, LineIndex, Span, ignorefile};

/// Text of the pieces that Dockerfiles are made of, and of any others.
fn source() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "FROM a",
        "FROM a AS b",
        "RUN ",
        "COPY ",
        "ADD ",
        "ENV ",
        "ARG ",
        "LABEL ",
        "CMD ",
        "ONBUILD ",
        "HEALTHCHECK ",
        "SHELL ",
        "VOLUME ",
        "USER ",
        "EXPOSE ",
        "\n",
        "\n",
        "\n",
        "\r\n",
        " \\\n",
        "\\",
        "`",
        "# ",
        "# escape=`\n",
        "# check=skip=all\n",
        "<<A ",
        "<<-'B'",
        "3<<\"C\" ",
        "\nA\n",
        "\n\tB\n",
        "\nC\n",
        "--from=x ",
        "--mount=type=cache,target=/x ",
        "--link ",
        "--",
        "=",
        "[\"a\", \"b\"]",
        "[",
        "]",
        "\"",
        "'",
        "$x",
        "${x:-y}",
        "${",
        "}",
        "ä",
        "\u{a0}",
        "\u{feff}",
        "\t",
        " ",
        "a b",
        "a=b",
        "1s",
        "NONE",
        "é\\\n",
    ]);
    let piece = prop_oneof![9 => pieces.prop_map(str::to_owned), 1 => any::<String>()];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn fits(source: &str, span: Span) -> bool {
    span.start <= span.end && source.get(span.range()).is_some()
}

/// All spans of a statement.
fn spans(statement: &Statement) -> Vec<Span> {
    let mut spans: Vec<Span> = [statement.keyword.span, statement.span].into();
    let mut words = |list: &[Word]| spans.extend(list.iter().map(|word| word.span));
    words(&statement.comments);
    words(&statement.flags);
    match &statement.arguments {
        Arguments::List(list) => words(list),
        Arguments::Pairs(pairs) => pairs.iter().for_each(|pair| words(&[pair.key.clone(), pair.value.clone()])),
        Arguments::Trigger(trigger) => spans.extend(self::spans(trigger)),
    }
    spans.extend(statement.heredocs.iter().map(|heredoc| heredoc.span));
    spans.extend(statement.empty_continuation);
    spans
}

/// Writes statements so that reading them gives the same.
fn print(read: &Statements) -> String {
    let mut text = if read.escape == '`' { "# escape=`\n".to_owned() } else { String::new() };
    for statement in &read.statements {
        text += &format!("{}\n", statement.original);
        for heredoc in &statement.heredocs {
            text += &format!("{}{}\n", heredoc.content, heredoc.name);
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_and_every_span_fits(source in source()) {
        let read = Statements::read(&source);
        let index = LineIndex::new(&source);
        for statement in &read.statements {
            for span in spans(statement) {
                prop_assert!(fits(&source, span), "{span:?} of {statement:?}");
            }
            for heredoc in &statement.heredocs {
                prop_assert_eq!(heredoc.span.of(&source), &heredoc.content);
            }
            prop_assert!(statement.lines.start <= statement.lines.end && statement.lines.end <= index.len());
            prop_assert_eq!(index.line(statement.keyword.span.start) >= statement.lines.start, true);
        }
        for diagnostic in &read.diagnostics {
            prop_assert!(fits(&source, diagnostic.span), "{diagnostic:?}");
        }
        match Dockerfile::parse(&source) {
            Err(diagnostics) => {
                prop_assert!(!diagnostics.is_empty());
                prop_assert!(diagnostics.iter().all(|d| fits(&source, d.span)), "{diagnostics:?}");
            }
            Ok(file) => {
                prop_assert!(file.warnings.iter().all(|d| fits(&source, d.span)));
                for instruction in file.instructions() {
                    if let Command::Onbuild(onbuild) = &instruction.command {
                        let _ = parse_trigger(&onbuild.expression);
                    }
                }
            }
        }
        let _ = detect_syntax(&source);
        let _ = ignorefile::read(&source);
    }

    #[test]
    fn statements_survive_being_written_and_read(source in source()) {
        let read = Statements::read(&source);
        // What the writer can't write: a line that lost its continuation at the end of the file, and so ends in the
        // escape character; and a byte order mark that is none, because it doesn't begin the file.
        let writable = |s: &Statement| {
            !s.original.is_empty() && !s.original.ends_with(read.escape) && !s.original.starts_with('\u{feff}')
        };
        prop_assume!(read.diagnostics.is_empty() && read.statements.iter().all(writable));
        let printed = print(&read);
        let again = Statements::read(&printed);
        prop_assert!(again.diagnostics.is_empty(), "{printed}: {:?}", again.diagnostics);
        prop_assert_eq!(print(&again), printed);
        prop_assert_eq!(again.statements.len(), read.statements.len());
        for (a, b) in again.statements.iter().zip(&read.statements) {
            let texts = |words: &[Word]| words.iter().map(|word| word.text.clone()).collect::<Vec<_>>();
            prop_assert_eq!(&a.original, &b.original);
            prop_assert_eq!(texts(&a.flags), texts(&b.flags));
            prop_assert_eq!(texts(a.arguments.words()), texts(b.arguments.words()));
            prop_assert_eq!(a.heredocs.len(), b.heredocs.len());
        }
    }

    #[test]
    fn any_word_is_expanded_or_refused(word in source(), value in ".*", escape in prop::sample::select(vec!['\\', '`'])) {
        let env = [("x".to_owned(), value)];
        for quotes in [Quotes::Remove, Quotes::Keep, Quotes::Ignore] {
            for keep in [false, true] {
                let expander = Expander { escape, quotes, keep_escapes: keep, keep_unset: keep };
                let _ = expander.expand(&word, &env[..]);
            }
        }
    }

    /// Text without anything special is its own expansion.
    #[test]
    fn plain_text_stays(word in "[^$\\\\'\"<]*") {
        let expansion = Expander::new('\\').expand(&word, &()).unwrap();
        prop_assert_eq!(&expansion.text, &word);
        prop_assert_eq!(expansion.words, word.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    }

    #[test]
    fn any_flag_value_is_read_or_refused(value in "(([a-z]{0,8}|type|from|size|mode|uid)=?(\"|,|\\$|[a-z0-9.]{0,6}|secret|cache|tmpfs)){0,6}") {
        let _ = Mount::check(&value);
        let _ = Mount::parse(&value, |text| Ok(text.to_owned()));
        let _ = Device::parse(&value);
        let _ = Dockerfile::parse(&format!("FROM a\nRUN --mount={value} --device={value} x"));
    }
}

/// What would overflow a stack, or take time with the square of its size.
#[test]
fn hostile_files_end() {
    let repeat = |piece: &str| piece.repeat(60_000 / piece.len());
    for source in [
        format!("FROM a\n{}", repeat("ONBUILD ")),
        format!("FROM a\nRUN {}{}", repeat("["), repeat("]")),
        format!("FROM a\nCOPY <<{} \\\n x", repeat("${a:-")),
        format!("FROM a\nCOPY {} x\n{}", repeat("<<a\\\\b \\\n"), repeat("a\\b\n")),
        format!("FROM a\nCOPY {}", repeat("--a ")),
        format!("FROM a\nENV {}", repeat("=a ")),
        format!("FROM a\nRUN {}", repeat("'<<a' \"")),
        format!("FROM a\nRUN a \\\n{}", repeat("# \\\n\n")),
        repeat("FROM a AS a\n"),
        repeat("x\n"),
        repeat("# a b\n"),
    ] {
        let found = Dockerfile::parse(&source).map_or_else(|found| found.len(), |_| 0);
        assert!(found <= 1101, "{found} findings");
    }
}
