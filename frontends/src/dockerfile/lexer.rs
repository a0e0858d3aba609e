//! Lines: physical ones, and the logical ones that continuation joins.
//!
//! The rules are those of BuildKit's `frontend/dockerfile/parser/parser.go`: a line continues when its last
//! character but blanks is the escape character, and the one before that isn't; comment lines and empty lines
//! between continuation lines are left out; blanks at the start of a continuation line stay.

use std::ops::Range;

use super::ast::Word;
use super::span::{LineRange, Span};

/// The longest line, in bytes without its end.
pub(super) const MAX_LINE: usize = 65_535;

/// A physical line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'s> {
    /// The text with the line's end, as in the source.
    pub raw: &'s str,
    /// The first byte's offset in the source.
    pub start: usize,
    /// From 1.
    pub number: usize,
}

impl<'s> Line<'s> {
    /// The text without the line's end.
    pub fn text(&self) -> &'s str {
        self.raw.trim_end_matches(['\r', '\n'])
    }

    /// Where the text without the line's end stands.
    pub fn span(&self) -> Span {
        Span::new(self.start, self.start + self.text().len())
    }

    /// The text from its first character that is no blank, and that one's offset.
    pub fn trimmed(&self) -> (&'s str, usize) {
        let text = self.text().trim_start();
        (text, self.start + self.text().len() - text.len())
    }

    fn is_comment(&self) -> bool {
        self.trimmed().0.starts_with('#')
    }

    /// Whether BuildKit would refuse it for its length.
    pub fn is_too_long(&self) -> bool {
        self.raw.strip_suffix('\n').unwrap_or(self.raw).len() > MAX_LINE
    }
}

/// The physical lines of a source, without its byte order mark.
#[derive(Clone, Debug)]
pub(super) struct Lines<'s> {
    source: &'s str,
    at: usize,
    number: usize,
}

impl<'s> Lines<'s> {
    pub fn new(source: &'s str) -> Self {
        let at = if source.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { source, at, number: 0 }
    }
}

impl<'s> Iterator for Lines<'s> {
    type Item = Line<'s>;

    fn next(&mut self) -> Option<Line<'s>> {
        let rest = &self.source[self.at..];
        if rest.is_empty() {
            return None;
        }
        let raw = &rest[..rest.find('\n').map_or(rest.len(), |at| at + 1)];
        let line = Line { raw, start: self.at, number: self.number + 1 };
        self.at += raw.len();
        self.number += 1;
        Some(line)
    }
}

/// The text before the escape character that continues a line; `None` when the line ends here.
fn continued(text: &str, escape: char) -> Option<&str> {
    let body = text.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!body.ends_with(escape)).then_some(body)
}

/// A logical line, and where its parts come from.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    /// The text without line ends and without what continues lines.
    pub text: String,
    /// Pairs of offsets, into the text and into the source, where each part begins.
    parts: Vec<(usize, usize)>,
    /// The physical lines.
    pub lines: LineRange,
    /// The first empty line between its continuation lines.
    pub empty_line: Option<Span>,
    /// Lines that are over the limit.
    pub too_long: Vec<Span>,
}

impl Joined {
    /// Reads the logical line that begins with this physical one.
    pub fn read(first: Line<'_>, rest: &mut Lines<'_>, escape: char) -> Joined {
        let (text, start) = first.trimmed();
        let mut joined = Joined {
            text: String::new(),
            parts: Vec::new(),
            lines: LineRange { start: first.number, end: first.number },
            empty_line: None,
            too_long: Vec::new(),
        };
        if first.is_too_long() {
            joined.too_long.push(first.span());
        }
        let mut ends = !joined.push(text, start, escape);
        while !ends {
            let Some(line) = rest.next() else { break };
            joined.lines.end = line.number;
            if line.is_too_long() {
                joined.too_long.push(line.span());
            }
            if line.is_comment() {
            } else if line.text().trim_start().is_empty() {
                joined.empty_line.get_or_insert(line.span());
            } else {
                ends = !joined.push(line.text(), line.start, escape);
            }
        }
        joined
    }

    /// A text that stands in a source at `start` as it is.
    #[cfg(test)]
    pub fn of(text: &str, start: usize) -> Joined {
        Joined {
            text: text.to_owned(),
            parts: vec![(0, start)],
            lines: LineRange { start: 1, end: 1 },
            empty_line: None,
            too_long: Vec::new(),
        }
    }

    /// Adds a physical line's text; tells whether the next line continues it.
    fn push(&mut self, text: &str, start: usize, escape: char) -> bool {
        let body = continued(text, escape);
        self.parts.push((self.text.len(), start));
        self.text.push_str(body.unwrap_or(text));
        body.is_some()
    }

    /// Where in the source a piece of the text stands.
    pub fn span(&self, range: Range<usize>) -> Span {
        let source = |at: usize| {
            let part = self.parts.partition_point(|(text, _)| *text <= at).saturating_sub(1);
            let (text, source) = self.parts[part];
            source + (at - text)
        };
        let start = source(range.start);
        if range.is_empty() {
            return Span::new(start, start);
        }
        // the end belongs to the part of the last byte, not to the one that follows
        Span::new(start, source(range.end - 1) + 1)
    }

    /// The whole text as a piece, without blanks around it.
    pub fn piece(&self) -> Piece<'_> {
        Piece { joined: self, start: 0, end: self.text.len() }.trim()
    }
}

/// A piece of a logical line.
#[derive(Clone, Copy)]
pub(super) struct Piece<'j> {
    joined: &'j Joined,
    start: usize,
    end: usize,
}

impl<'j> Piece<'j> {
    /// What separates an instruction's words: Unicode's other blanks don't, nor does a line feed.
    const BLANKS: [char; 5] = ['\t', '\u{b}', '\u{c}', '\r', ' '];

    pub fn text(self) -> &'j str {
        &self.joined.text[self.start..self.end]
    }

    pub fn span(self) -> Span {
        self.joined.span(self.start..self.end)
    }

    pub fn word(self) -> Word {
        Word::new(self.text(), self.span())
    }

    /// The part at these offsets into this piece.
    pub fn slice(self, range: Range<usize>) -> Self {
        Self { start: self.start + range.start, end: self.start + range.end, ..self }
    }

    /// The part from this offset on.
    pub fn from(self, at: usize) -> Self {
        self.slice(at..self.text().len())
    }

    pub fn trim(self) -> Self {
        let text = self.text();
        let start = text.len() - text.trim_start().len();
        self.slice(start..start + text.trim().len())
    }

    /// The text before the first blanks and that behind them, if there are any.
    pub fn split_once(self) -> (Self, Option<Self>) {
        let text = self.text();
        match text.find(Self::BLANKS) {
            None => (self, None),
            Some(at) => {
                let behind = text.len() - text[at..].trim_start_matches(Self::BLANKS).len();
                (self.slice(0..at), Some(self.from(behind)))
            }
        }
    }

    /// The words between blanks.
    pub fn split(self) -> Vec<Self> {
        let mut words = Vec::new();
        let mut rest = Some(self).filter(|piece| !piece.text().is_empty());
        while let Some(piece) = rest {
            let (word, behind) = piece.split_once();
            words.push(word);
            rest = behind;
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(source: &str) -> Joined {
        let mut lines = Lines::new(source);
        Joined::read(lines.next().unwrap(), &mut lines, '\\')
    }

    #[test]
    fn continuation_lines_are_joined() {
        for (source, text, last) in [
            ("RUN a \\\n  b\nRUN c", "RUN a   b", 2),
            ("RUN a\\ \t\r\n# comment\r\n  # comment \\\r\n\r\nb\r\nRUN", "RUN ab", 5),
            ("RUN a \\", "RUN a ", 1),
            ("RUN a \\\\\nb", "RUN a \\\\", 1),
            ("\\\nRUN a", "RUN a", 2),
            ("  RUN a \\\n\n\n", "RUN a ", 3),
        ] {
            let j = joined(source);
            assert_eq!((j.text.as_str(), j.lines.end), (text, last), "{source:?}");
        }
        assert_eq!(joined("RUN a \\\n\nb").empty_line, Some(Span::new(8, 8)));
    }

    #[test]
    fn pieces_know_their_places() {
        let source = "\u{feff}  COPY \\\n# no\n  ä\\\nb  c";
        let j = joined(source);
        let words = j.piece().split();
        let found: Vec<_> = words.iter().map(|w| (w.text(), w.span().of(source))).collect();
        assert_eq!(found, [("COPY", "COPY"), ("äb", "ä\\\nb"), ("c", "c")]);
    }

    #[test]
    fn lines_have_a_greatest_length() {
        let long = |n: usize| "x".repeat(n) + "\nRUN";
        assert!(joined(&long(MAX_LINE)).too_long.is_empty());
        assert_eq!(joined(&long(MAX_LINE + 1)).too_long.len(), 1);
    }
}
