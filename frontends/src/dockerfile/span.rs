//! Places in a source text: byte spans, and the lines and columns that people read.

use std::ops::Range;

/// A half-open range of byte offsets into the source text; both ends lie on character boundaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte behind the last one.
    pub end: usize,
}

impl Span {
    /// The span from `start` up to and without `end`.
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The smallest span that holds both.
    pub fn to(self, other: Span) -> Span {
        Span::new(self.start.min(other.start), self.end.max(other.end))
    }

    /// The text at this span. `source` must be the text that was parsed.
    pub fn of(self, source: &str) -> &str {
        &source[self.range()]
    }

    /// As a range, for indexing.
    pub const fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// Whether it covers no byte.
    pub const fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// Lines of a source, counted from 1, both ends included (BuildKit's `parser.Range` without columns).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineRange {
    /// The first line.
    pub start: usize,
    /// The last line.
    pub end: usize,
}

impl LineRange {
    /// From the first line of the first range to the last line of the last one.
    pub fn around(ranges: &[Self]) -> Self {
        let [first, .., last] = ranges else { return ranges.first().copied().unwrap_or_default() };
        Self { start: first.start, end: last.end }
    }
}

/// A place as people count it, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// Finds lines by offset and offsets by line. A line ends behind its `\n`; so a text that ends in `\n` has
/// an empty last line.
#[derive(Clone, Debug)]
pub struct LineIndex<'s> {
    source: &'s str,
    starts: Vec<usize>,
}

impl<'s> LineIndex<'s> {
    /// Indexes a source; linear in its length.
    pub fn new(source: &'s str) -> Self {
        let starts = std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { source, starts }
    }

    /// The number of lines.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Never: even an empty source has one line.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The line, from 1, that holds this offset. Offsets behind the end belong to the last line.
    pub fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    /// Line and column of an offset.
    pub fn position(&self, offset: usize) -> Position {
        let line = self.line(offset);
        let start = self.starts[line - 1];
        let before = self.source.get(start..offset.min(self.source.len())).unwrap_or("");
        Position { line, column: before.chars().count() + 1 }
    }

    /// The lines that a span touches.
    pub fn lines(&self, span: Span) -> LineRange {
        let last = span.end.saturating_sub(1).max(span.start);
        LineRange { start: self.line(span.start), end: self.line(last) }
    }

    /// Where a line stands, without its end (`\n` or `\r\n`); `None` when there is no such line.
    pub fn span(&self, line: usize) -> Option<Span> {
        let start = *self.starts.get(line.checked_sub(1)?)?;
        let end = self.starts.get(line).copied().unwrap_or(self.source.len());
        let text = self.source[start..end].trim_end_matches(['\r', '\n']);
        Some(Span::new(start, start + text.len()))
    }

    /// The text of a line without its end.
    pub fn text(&self, line: usize) -> Option<&'s str> {
        self.span(line).map(|span| span.of(self.source))
    }

    /// The lines around a span, numbered, with `context` more lines on both sides.
    pub fn excerpt(&self, span: Span, context: usize) -> Vec<(usize, &'s str)> {
        let lines = self.lines(span);
        let first = lines.start.saturating_sub(context).max(1);
        let last = (lines.end + context).min(self.len());
        (first..=last).filter_map(|line| Some((line, self.text(line)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one() {
        let index = LineIndex::new("FROM a\r\nRUN ö x\n");
        assert_eq!(index.len(), 3);
        assert_eq!(index.text(1), Some("FROM a"));
        assert_eq!(index.text(3), Some(""));
        assert_eq!(index.text(4), None);
        assert_eq!(index.text(0), None);
        assert_eq!(index.position(15), Position { line: 2, column: 7 });
        assert_eq!(index.position(999).line, 3);
        assert_eq!(index.lines(Span::new(0, 8)), LineRange { start: 1, end: 1 });
        assert_eq!(index.excerpt(Span::new(8, 11), 1), [(1, "FROM a"), (2, "RUN ö x"), (3, "")]);
    }
}
