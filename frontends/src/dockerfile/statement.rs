//! Statements: instructions split into keyword, flags and arguments, not yet understood.
//!
//! They are BuildKit's `parser.Node` (`frontend/dockerfile/parser/parser.go`).

use super::ast::{Directive, Heredoc, Word};
use super::diagnostic::{Diagnostic, nearest};
use super::directive::{self, Head};
use super::heredoc;
use super::instruction::KeyValue;
use super::lexer::{Joined, Lines, MAX_LINE, Piece};
use super::span::{LineRange, Span};
use super::split::split;

/// After so many errors the rest of a file isn't read: it is no Dockerfile.
const MAX_DIAGNOSTICS: usize = 1000;

/// The last of very many errors.
pub(super) fn too_many(span: Span) -> Diagnostic {
    Diagnostic::error(span, "too many errors").because("the file is not read from here on").help("is it a Dockerfile?")
}

/// Whether a file has so many errors that the rest doesn't matter.
pub(super) fn is_hopeless(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.len() >= MAX_DIAGNOSTICS
}

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
    /// The comments right above, without `#` and the blanks around them: an empty comment or an empty line
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

    /// Whether it has a `<<` that isn't the start of a heredoc, though the instruction takes heredocs.
    pub(super) fn has_missed_heredoc(&self) -> bool {
        self.heredocs.is_empty() && self.original.contains("<<") && can_redirect(self)
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
    pub directives: Vec<Directive>,
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
            if line.is_too_long() && (text.is_empty() || text.starts_with('#')) {
                this.diagnostics.push(long_line(line.span()));
            }
            if let Some(comment) = text.strip_prefix('#') {
                let comment = comment.trim();
                if comment.is_empty() {
                    comments.clear();
                } else if !directive::is_directive(line, &this.directives) {
                    let at = start + text.len() - text[1..].trim_start().len();
                    comments.push(Word::new(comment, Span::new(at, at + comment.len())));
                }
                continue;
            }
            if text.is_empty() {
                comments.clear();
                continue;
            }
            if is_hopeless(&this.diagnostics) {
                this.diagnostics.push(too_many(line.span()));
                break;
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
        let redirects = joined.text.contains("<<")
            && match &split {
                Ok(statement) => can_redirect(statement),
                Err(_) => may_redirect(piece.split_once().0.text()),
            };
        let heredocs = if redirects { self.heredocs(piece, lines, &mut too_long) } else { Vec::new() };
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
                let at = piece
                    .text()
                    .find(&error.word)
                    .map_or(piece, |at| piece.slice(at + error.range.start..at + error.range.end));
                self.diagnostics.push(Diagnostic::error(at.span(), error.to_string()).help(error.fault.help()));
                return Vec::new();
            }
        };
        let mut heredocs = Vec::new();
        for redirection in redirections {
            match heredoc::read(redirection, lines, too_long) {
                Ok(heredoc) => heredocs.push(heredoc),
                Err(unterminated) => {
                    let found = heredoc::find(piece.text(), &unterminated.name);
                    let span = found.map_or(piece, |range| piece.slice(range)).span();
                    self.diagnostics.push(unterminated.diagnostic(span));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &[Word]) -> Vec<&str> {
        words.iter().map(Word::as_str).collect()
    }

    #[test]
    fn comments_above_belong_to_the_next_statement() {
        let read = Statements::read("# syntax=x\n# a\n#\n# b\n  # c d\nFROM x\n# e\n\nRUN y\n");
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
