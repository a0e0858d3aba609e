//! Statements: instructions split into keyword, flags and arguments, not yet understood.
//!
//! BuildKit's `parser.Node`; each keyword has its own way to split what follows it
//! (`frontend/dockerfile/parser/{split_command,line_parsers}.go`).

use super::ast::{Heredoc, Word};
use super::diagnostic::{Diagnostic, nearest};
use super::directive::{self, Head};
use super::heredoc;
use super::instruction::KeyValue;
use super::lexer::{Joined, Lines, MAX_LINE, Piece};
use super::span::{LineRange, Span};

/// All instructions, in capitals.
pub const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// An instruction as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The instruction's name as it is written, in whatever case; maybe not one of [`KEYWORDS`].
    pub keyword: Word,
    /// From the keyword to the end of its last line, heredocs left out.
    pub span: Span,
    /// All its lines, heredocs included (BuildKit's `Node.Location`).
    pub lines: LineRange,
    /// The text with continuation lines joined, comments between them left out and blanks around it cut:
    /// what BuildKit shows in messages and in the history of metadata instructions.
    pub original: String,
    /// The comments above since the last instruction, without `#` and the blanks around them; an empty comment
    /// starts them anew, and parser directives are none.
    pub comments: Vec<Word>,
    /// The flags, `--name` or `--name=value`, quotes and escapes removed.
    pub flags: Vec<Word>,
    /// What follows the flags.
    pub arguments: Arguments,
    /// The arguments are written as a JSON array (the exec form).
    pub json: bool,
    /// The heredocs behind it, in the order of their redirections.
    pub heredocs: Vec<Heredoc>,
    /// The first empty line between its continuation lines, which lint warns of. (BuildKit puts that warning on
    /// the statement's last line.)
    pub empty_continuation: Option<Span>,
}

/// What follows keyword and flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// Words; or one word that is the whole rest of the line, where the instruction takes it so.
    List(Vec<Word>),
    /// ENV's and LABEL's pairs.
    Pairs(Vec<KeyValue>),
    /// ONBUILD's instruction, which has no comments and heredocs of its own.
    Trigger(Box<Statement>),
}

impl Arguments {
    /// The words of a list; none when it is something else.
    pub fn words(&self) -> &[Word] {
        match self {
            Self::List(words) => words,
            Self::Pairs(_) | Self::Trigger(_) => &[],
        }
    }
}

impl Statement {
    /// The keyword in capitals.
    pub fn name(&self) -> String {
        self.keyword.text.to_ascii_uppercase()
    }

    /// The line ranges to show for it: the instruction's own lines, then each heredoc's.
    pub fn line_ranges(&self) -> Vec<LineRange> {
        let own_end = self.heredocs.first().map_or(self.lines.end, |heredoc| heredoc.lines.start - 1);
        let own = LineRange { start: self.lines.start, end: own_end };
        std::iter::once(own).chain(self.heredocs.iter().map(|heredoc| heredoc.lines)).collect()
    }

    /// The text behind `name ` in the first comment above that starts so (BuildKit's `getComment`):
    /// `# base the common ground` describes the stage or argument `base`.
    pub fn description(&self, name: &str) -> Option<&str> {
        if name.is_empty() {
            return None;
        }
        self.comments.iter().find_map(|comment| comment.text.strip_prefix(name)?.strip_prefix(' '))
    }
}

/// A file as statements.
#[derive(Clone, Debug)]
pub struct Statements {
    /// The parser directives.
    pub directives: Vec<super::ast::Directive>,
    /// The escape character.
    pub escape: char,
    /// The statements that could be split.
    pub statements: Vec<Statement>,
    /// What is wrong with the others.
    pub diagnostics: Vec<Diagnostic>,
}

impl Statements {
    /// Splits a file into statements. Never fails as a whole: what is wrong is among the diagnostics, and the
    /// statements behind it are still there.
    pub fn read(source: &str) -> Self {
        let Head { directives, escape, diagnostics } = directive::read(source);
        let mut this = Self { directives, escape, statements: Vec::new(), diagnostics };
        let mut lines = Lines::new(source);
        let mut comments = Vec::new();
        let mut instructions = 0;
        while let Some(line) = lines.next() {
            let (text, start) = line.trimmed();
            if let Some(comment) = text.strip_prefix('#') {
                if line.is_too_long() {
                    this.diagnostics.push(long_line(line.span()));
                }
                let comment = comment.trim();
                if comment.is_empty() {
                    comments.clear();
                } else if !directive::is_directive(line, &this.directives) {
                    let at = start + (comment.as_ptr() as usize - text.as_ptr() as usize);
                    comments.push(Word::new(comment, Span::new(at, at + comment.len())));
                }
                continue;
            }
            if text.is_empty() {
                continue;
            }
            instructions += 1;
            let joined = Joined::read(line, &mut lines, escape);
            this.push(&joined, std::mem::take(&mut comments), &mut lines);
        }
        if instructions == 0 {
            let nothing = Diagnostic::error(Span::new(0, 0), "file with no instructions");
            this.diagnostics.push(nothing.help("begin with FROM and a base image, such as `FROM alpine`"));
        }
        this
    }

    fn push(&mut self, joined: &Joined, comments: Vec<Word>, lines: &mut Lines<'_>) {
        let mut too_long = joined.too_long.clone();
        let piece = joined.piece();
        let split = split(piece, joined, self.escape);
        // The heredocs' lines are no instructions even if the instruction is wrong.
        let capable = match &split {
            Ok(statement) => can_redirect(statement),
            Err(_) => may_redirect(piece.split_once().0.text()),
        };
        let heredocs =
            if capable && joined.text.contains("<<") { self.heredocs(piece, lines, &mut too_long) } else { Vec::new() };
        self.diagnostics.extend(too_long.into_iter().map(long_line));
        match split {
            Ok(mut statement) => {
                statement.lines.end = heredocs.last().map_or(joined.lines.end, |heredoc| heredoc.lines.end);
                statement.comments = comments;
                statement.heredocs = heredocs;
                self.statements.push(statement);
            }
            Err(diagnostic) => self.diagnostics.push(*diagnostic),
        }
    }

    fn heredocs(&mut self, piece: Piece<'_>, lines: &mut Lines<'_>, too_long: &mut Vec<Span>) -> Vec<Heredoc> {
        let redirections = match heredoc::redirections(piece.text()) {
            Ok(redirections) => redirections,
            Err(error) => {
                self.diagnostics.push(Diagnostic::error(piece.span(), error.to_string()));
                return Vec::new();
            }
        };
        let mut heredocs = Vec::new();
        let mut at = 0;
        for redirection in redirections {
            at = piece.text()[at..].find("<<").map_or(at, |found| at + found);
            let end =
                piece.text()[at..].find(&redirection.name).map_or(at, |found| at + found + redirection.name.len());
            let span = if end > at { piece.slice(at..end).span() } else { piece.span() };
            at = end.max(at);
            match heredoc::read(redirection, lines, span, too_long) {
                Ok(heredoc) => heredocs.push(heredoc),
                Err(diagnostic) => {
                    self.diagnostics.push(diagnostic);
                    break;
                }
            }
        }
        heredocs
    }
}

fn long_line(span: Span) -> Diagnostic {
    Diagnostic::error(span, format!("dockerfile line greater than max allowed size of {MAX_LINE}"))
        .help("break the line with the escape character, or COPY the content from a file")
}

/// Whether a heredoc may follow: RUN, COPY and ADD in their shell form, and ONBUILD of these.
fn can_redirect(statement: &Statement) -> bool {
    let statement = match &statement.arguments {
        Arguments::Trigger(trigger) => trigger,
        _ => statement,
    };
    may_redirect(&statement.keyword.text) && !statement.json
}

/// The same by the keyword alone, even one that is mistyped.
fn may_redirect(keyword: &str) -> bool {
    let known = nearest(keyword, KEYWORDS);
    matches!(known, Some("RUN" | "COPY" | "ADD"))
}

type Split<T> = Result<T, Box<Diagnostic>>;

/// Splits a logical line.
fn split(piece: Piece<'_>, joined: &Joined, escape: char) -> Split<Statement> {
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
            return Err(Diagnostic::error(rest.span(), message).help(format!("quote {value}: \"{value}\"")).into());
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
        assert_eq!(wrong.diagnostics[0].help.as_deref(), Some("quote 1: \"1\""));
    }

    #[test]
    fn comments_above_belong_to_the_next_statement() {
        let read = Statements::read("# syntax=x\n# a\n#\n# b\n\n  # c d\nFROM x\nRUN y\n");
        assert_eq!(texts(&read.statements[0].comments), ["b", "c d"]);
        assert!(read.statements[1].comments.is_empty());
        assert_eq!(read.statements[0].description("c"), Some("d"));
    }

    #[test]
    fn heredocs_follow_their_statement() {
        let source = "RUN <<A cat <<-'B'\r\n# a\r\nA\r\n\tb\r\n\tB\r\nRUN c";
        let read = Statements::read(source);
        let [first, second] = &read.statements[..] else { panic!("{read:?}") };
        assert_eq!(first.lines, LineRange { start: 1, end: 5 });
        assert_eq!(second.lines, LineRange { start: 6, end: 6 });
        let [a, b] = &first.heredocs[..] else { panic!("{first:?}") };
        assert_eq!((a.content.as_str(), a.span.of(source)), ("# a\r\n", "# a\r\n"));
        assert_eq!((b.content.as_str(), b.chomped().as_str(), b.expand), ("\tb\r\n", "b\r\n", false));
        let ranges: Vec<_> = first.line_ranges().iter().map(|r| (r.start, r.end)).collect();
        assert_eq!(ranges, [(1, 1), (2, 3), (4, 5)]);
    }
}
