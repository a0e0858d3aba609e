//! How each keyword splits what follows it
//! (BuildKit: `frontend/dockerfile/parser/{split_command,line_parsers}.go`).

use super::ast::Word;
use super::diagnostic::Diagnostic;
use super::instruction::KeyValue;
use super::lexer::{Joined, Piece};
use super::statement::{Arguments, Statement};

type Split<T> = Result<T, Box<Diagnostic>>;

/// Splits a logical line.
pub(super) fn split(piece: Piece<'_>, joined: &Joined, escape: char) -> Split<Statement> {
    let (keyword, rest) = piece.split_once();
    let (flags, rest) = match rest {
        Some(rest) => flags(rest),
        None => (Vec::new(), piece.from(piece.text().len())),
    };
    let rest = rest.trim();
    let name = keyword.text().to_ascii_uppercase();
    let (arguments, json) = arguments(&name, rest, joined, escape)?;
    Ok(Statement {
        keyword: keyword.word(),
        span: piece.span(),
        lines: joined.lines,
        original: piece.text().to_owned(),
        comments: Vec::new(),
        flags,
        arguments,
        json,
        heredocs: Vec::new(),
        empty_continuation: joined.empty_line,
    })
}

fn arguments(name: &str, rest: Piece<'_>, joined: &Joined, escape: char) -> Split<(Arguments, bool)> {
    let list = |pieces: Vec<Piece<'_>>| Arguments::List(pieces.into_iter().map(Piece::word).collect());
    let whole = || if rest.text().is_empty() { Vec::new() } else { vec![rest] };
    Ok(match name {
        "ADD" | "COPY" | "VOLUME" => match json_words(rest)? {
            Some(words) => (Arguments::List(words), true),
            None => (list(rest.split()), false),
        },
        "CMD" | "ENTRYPOINT" | "RUN" | "SHELL" => match json_words(rest)? {
            Some(words) => (Arguments::List(words), true),
            None => (list(whole()), false),
        },
        "EXPOSE" | "FROM" => (list(rest.split()), false),
        "ARG" => (list(words(rest, escape)), false),
        "ENV" | "LABEL" => (Arguments::Pairs(pairs(name, rest, escape)?), false),
        "MAINTAINER" | "STOPSIGNAL" | "USER" | "WORKDIR" => (list(whole()), false),
        "HEALTHCHECK" => {
            let text = rest.text();
            let end = text.find(char::is_whitespace).unwrap_or(text.len());
            let (kind, command) = (rest.slice(0..end), rest.from(end).trim());
            match json_words(command)? {
                _ if text.is_empty() => (list(Vec::new()), false),
                Some(mut command) => {
                    command.insert(0, kind.word());
                    (Arguments::List(command), true)
                }
                None if command.text().is_empty() => (list(vec![kind]), false),
                None => (list(vec![kind, command]), false),
            }
        }
        // A chain of ONBUILDs is refused anyway: only the first trigger is split.
        "ONBUILD" if !rest.text().is_empty() => {
            let chained = rest.split_once().0.text().eq_ignore_ascii_case("ONBUILD");
            let trigger = if chained { rest.split_once().0 } else { rest };
            (Arguments::Trigger(Box::new(split(trigger, joined, escape)?)), false)
        }
        _ => (list(Vec::new()), false),
    })
}

/// The flags at the start, and what follows them. A flag begins with `--`; within it quotes and backslashes
/// (whatever the escape character is) are taken away. A lone `--` ends the flags.
fn flags(rest: Piece<'_>) -> (Vec<Word>, Piece<'_>) {
    let mut flags = Vec::new();
    let mut rest = rest.trim();
    while rest.text().starts_with("--") {
        let mut flag = String::new();
        let mut quote = None;
        let mut chars = rest.text().char_indices();
        let mut end = rest.text().len();
        while let Some((at, c)) = chars.next() {
            match (c, quote) {
                ('\\', _) => flag.extend(chars.next().map(|(_, escaped)| escaped)),
                (c, Some(open)) if c == open => quote = None,
                (c, Some(_)) => flag.push(c),
                ('\'' | '"', None) => quote = Some(c),
                (c, None) if c.is_whitespace() => {
                    end = at;
                    break;
                }
                (c, None) => flag.push(c),
            }
        }
        let written = rest.slice(0..end);
        rest = rest.from(end).trim();
        if flag == "--" {
            break;
        }
        flags.push(Word::new(flag, written.span()));
    }
    (flags, rest)
}

/// Words between blanks; quotes and escapes hold words together and stay in them.
fn words(rest: Piece<'_>, escape: char) -> Vec<Piece<'_>> {
    let text = rest.text();
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut end = text.len();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if start.is_none() && c.is_whitespace() {
            continue;
        }
        let from = *start.get_or_insert(at);
        // within single quotes nothing is escaped
        if c == escape && quote != Some('\'') {
            if chars.next().is_none() {
                // an escape at the very end is dropped
                end = at;
            }
            continue;
        }
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c.is_whitespace() => {
                words.push(rest.slice(from..at));
                start = None;
            }
            None => {}
        }
    }
    if let Some(from) = start.filter(|from| *from < end) {
        words.push(rest.slice(from..end));
    }
    words
}

/// The pairs of ENV and LABEL. A first word without `=` means the old form: one key, and the rest its value.
fn pairs(name: &str, rest: Piece<'_>, escape: char) -> Split<Vec<KeyValue>> {
    let words = words(rest, escape);
    let Some(first) = words.first() else { return Ok(Vec::new()) };
    if !first.text().contains('=') {
        let (key, value) = rest.split_once();
        let Some(value) = value else {
            let error = Diagnostic::error(rest.span(), format!("{name} must have two arguments"));
            return Err(error.help(format!("write `{name} {}=value`", key.text())).into());
        };
        return Ok(vec![KeyValue { key: key.word(), value: value.word(), legacy: true }]);
    }
    let pair = |word: Piece<'_>| match word.text().find('=') {
        Some(at) => Ok(KeyValue { key: word.slice(0..at).word(), value: word.from(at + 1).word(), legacy: false }),
        None => Err(Diagnostic::error(
            word.span(),
            format!("Syntax error - can't find = in {:?}. Must be of the form: name=value", word.text()),
        )
        .help("quote a value that has blanks")
        .into()),
    };
    words.into_iter().map(pair).collect()
}

/// The strings of a JSON array; `None` when the text is no JSON array, and so the shell form.
fn json_words(rest: Piece<'_>) -> Split<Option<Vec<Word>>> {
    if !rest.text().starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(rest.text()) else { return Ok(None) };
    let mut strings = Vec::with_capacity(values.len());
    for value in values {
        let serde_json::Value::String(string) = value else {
            let message = "when using JSON array syntax, arrays must be comprised of strings only";
            let written = value.to_string();
            let at = rest.text().find(&written).map_or(rest, |at| rest.slice(at..at + written.len()));
            let quoted = serde_json::Value::from(written.as_str()).to_string();
            return Err(Diagnostic::error(at.span(), message).help(format!("quote it: {quoted}")).into());
        };
        strings.push(string);
    }
    // It is valid and has nothing but strings: its quotes give their places.
    let bytes = rest.text().as_bytes();
    let mut at = 0;
    let mut word = |text: String| {
        let start = at + bytes[at..].iter().position(|b| *b == b'"').unwrap_or(0);
        at = start + 1;
        while bytes[at] != b'"' {
            at += if bytes[at] == b'\\' { 2 } else { 1 };
        }
        at += 1;
        Word::new(text, rest.slice(start..at).span())
    };
    Ok(Some(strings.into_iter().map(&mut word).collect()))
}

#[cfg(test)]
mod tests {
    use super::super::statement::Statements;
    use super::*;

    fn one(source: &str) -> Statement {
        let mut read = Statements::read(source);
        assert!(read.diagnostics.is_empty(), "{source:?}: {:?}", read.diagnostics);
        assert_eq!(read.statements.len(), 1, "{source:?}");
        read.statements.remove(0)
    }

    fn texts(words: &[Word]) -> Vec<&str> {
        words.iter().map(Word::as_str).collect()
    }

    #[test]
    fn flags_stand_before_the_arguments() {
        for (source, flags, arguments) in [
            ("COPY --a --b=c d e", vec!["--a", "--b=c"], vec!["d", "e"]),
            ("COPY --a=\"b c\"'d' --e=\\\"f\\ g h", vec!["--a=b cd", "--e=\"f g"], vec!["h"]),
            ("COPY -- --a b", vec![], vec!["--a", "b"]),
            ("COPY --a -- b", vec!["--a"], vec!["b"]),
            ("COPY -a b", vec![], vec!["-a", "b"]),
            ("COPY --a", vec!["--a"], vec![]),
            ("COPY --ä=ö b", vec!["--ä=ö"], vec!["b"]),
            ("COPY", vec![], vec![]),
        ] {
            let statement = one(source);
            assert_eq!(texts(&statement.flags), flags, "{source}");
            assert_eq!(texts(statement.arguments.words()), arguments, "{source}");
        }
    }

    #[test]
    fn words_keep_quotes_and_escapes() {
        for (text, expected) in [
            ("foo", vec!["foo"]),
            (" foo  bar ", vec!["foo", "bar"]),
            ("foo\\ bar", vec!["foo\\ bar"]),
            ("foo bar 'abc xyz'", vec!["foo", "bar", "'abc xyz'"]),
            ("föo bàr \"âbc xÿz\"", vec!["föo", "bàr", "\"âbc xÿz\""]),
            ("'a\\' b\"\\\" c\"", vec!["'a\\'", "b\"\\\" c\""]),
            ("a \\", vec!["a"]),
            ("a b\\", vec!["a", "b"]),
            ("'' \"\"", vec!["''", "\"\""]),
            ("'open end", vec!["'open end"]),
        ] {
            let joined = Joined::of(text, 7);
            let found: Vec<_> = words(joined.piece(), '\\').into_iter().map(Piece::text).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn the_exec_form_is_json_or_else_it_is_the_shell_form() {
        let source = "RUN [ \"a\\\"\\u00e4\" ,\"\", \"c]\"]";
        let statement = one(source);
        assert!(statement.json);
        let found: Vec<_> = statement.arguments.words().iter().map(|w| (w.as_str(), w.span.of(source))).collect();
        assert_eq!(found, [("a\"ä", "\"a\\\"\\u00e4\""), ("", "\"\""), ("c]", "\"c]\"")]);
        for source in ["RUN ['a']", "RUN [\"a\"", "RUN [\"a\"] b", "RUN [\"a\",]", "RUN \"[]\""] {
            assert!(!one(source).json, "{source}");
        }
        let wrong = Statements::read("RUN [\"a\", 1]");
        assert!(wrong.diagnostics[0].message.contains("strings only"));
        assert_eq!(wrong.diagnostics[0].help.as_deref(), Some("quote it: \"1\""));
    }
}
