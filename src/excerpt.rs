//! Draws a message with the place that it speaks of: file, line, the source's words underlined.

use std::{io::IsTerminal, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// A message about a place in a text.
pub struct Excerpt<'a> {
    /// The file's name.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
    /// The bytes to underline.
    pub span: Range<usize>,
    /// What is wrong.
    pub title: &'a str,
    /// Why, and what to do: a line each.
    pub notes: Vec<String>,
    /// A warning, not an error.
    pub warning: bool,
}

impl Excerpt<'_> {
    /// The drawing, with colours if standard error is a terminal.
    pub fn draw(&self) -> String {
        let level = if self.warning { Level::WARNING } else { Level::ERROR };
        let end = self.span.end.min(self.text.len());
        let start = self.span.start.min(end);
        let snippet = Snippet::source(self.text).path(self.file).annotation(AnnotationKind::Primary.span(start..end));
        let mut group = Group::with_title(level.primary_title(self.title)).element(snippet);
        for note in &self.notes {
            group = group.element(Level::HELP.message(note.as_str()));
        }
        let renderer = if std::io::stderr().is_terminal() { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

/// The bytes of whole lines, 1-based and inclusive, without what is blank around them.
pub fn lines(text: &str, first: usize, last: usize) -> Range<usize> {
    let start = text.split_inclusive('\n').take(first.saturating_sub(1)).map(str::len).sum::<usize>();
    let len = text[start..].split_inclusive('\n').take((last + 1).saturating_sub(first)).map(str::len).sum::<usize>();
    let part = &text[start..start + len];
    let before = part.len() - part.trim_start().len();
    start + before..start + before + part.trim().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_number() {
        let text = "FROM a\n  RUN b \\\n    c\nCMD d";
        for (first, last, want) in [(1, 1, "FROM a"), (2, 3, "RUN b \\\n    c"), (4, 4, "CMD d"), (9, 9, "")] {
            assert_eq!(&text[lines(text, first, last)], want);
        }
    }

    #[test]
    fn an_excerpt_names_file_and_line() {
        let text = "FROM a\nRNU b\n";
        let drawn = Excerpt {
            file: "Dockerfile",
            text,
            span: 7..10,
            title: "unknown instruction: RNU",
            notes: vec!["did you mean RUN?".into()],
            warning: false,
        }
        .draw();
        for part in ["unknown instruction: RNU", "Dockerfile:2:1", "RNU b", "^^^", "did you mean RUN?"] {
            assert!(drawn.contains(part), "{part} in {drawn}");
        }
    }
}
