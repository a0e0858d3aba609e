//! What [`invariants`] asks for, on texts of the pieces that Dockerfiles are made of.

mod invariants;

use proptest::prelude::*;
use routerpack_frontends::dockerfile::Dockerfile;

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

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_and_every_span_fits(source in source()) {
        invariants::reading(&source);
    }

    #[test]
    fn statements_survive_being_written_and_read(source in source()) {
        prop_assume!(invariants::printing(&source));
    }

    #[test]
    fn any_word_is_expanded_or_refused(word in source(), value in ".*", escape in prop::sample::select(vec!['\\', '`'])) {
        invariants::expanding(&word, &value, escape);
    }

    #[test]
    fn plain_text_is_its_own_expansion(word in "[^$\\\\'\"<`]*") {
        invariants::expanding(&word, "", '\\');
    }

    #[test]
    fn any_ignore_file_is_read_or_refused(text in "([#! ./a*\\\\\u{feff}]{0,6}\r?\n){0,5}") {
        invariants::ignoring(&text);
    }

    #[test]
    fn any_flag_value_is_read_or_refused(value in "(([a-z]{0,8}|type|from|size|mode|uid)=?(\"|,|\\$|[a-z0-9.]{0,6}|secret|cache|tmpfs)){0,6}") {
        invariants::mounting(&value);
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
