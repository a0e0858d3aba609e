//! Here-documents: finding the redirections of an instruction, and reading their lines.
//!
//! BuildKit, `frontend/dockerfile/parser/parser.go`. A redirection is a word `<<EOF`, `<<-EOF` or `3<<EOF`;
//! blanks may follow the `<<`, and any quoting within the word keeps the content from being expanded. Whatever
//! the file's escape character is, here it is `\`.

use std::ops::Range;

use super::ast::Heredoc;
use super::diagnostic::Diagnostic;
use super::expand::{ExpandError, Expander, Quotes};
use super::lexer::Lines;
use super::span::{LineRange, Span};

/// A redirection: a heredoc without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redirection {
    pub name: String,
    pub descriptor: u32,
    pub expand: bool,
    pub chomp: bool,
}

/// Reads a word as a redirection. `Ok(None)`: it is something else.
pub(super) fn redirection(word: &str) -> Result<Option<Redirection>, ExpandError> {
    let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let Some(rest) = word[digits..].strip_prefix("<<") else { return Ok(None) };
    let (chomp, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    let rest = rest.trim_start();
    if rest.is_empty() || rest.contains('<') {
        return Ok(None);
    }
    let plain = Expander { keep_unset: true, ..Expander::new('\\') };
    let expansion = plain.expand(rest, &())?;
    let [name] = expansion.words.as_slice() else { return Ok(None) };
    // Quotes that are left when quotes are kept, but not when they are removed, were quoting.
    let raw = Expander { quotes: Quotes::Keep, ..plain }.expand(rest, &())?;
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    let expand = quotes(&expansion.text) == quotes(&raw.text);
    // BuildKit reads a number that is too large as the largest; nothing uses it but messages
    let descriptor = if digits == 0 { 0 } else { word[..digits].parse().unwrap_or(u32::MAX) };
    Ok(Some(Redirection { name: name.clone(), descriptor, expand, chomp }))
}

/// The redirections in an instruction's logical line. Where its quotes don't match there are none: the shell
/// will have its say.
pub(super) fn redirections(line: &str) -> Result<Vec<Redirection>, ExpandError> {
    let raw = Expander { quotes: Quotes::Keep, keep_escapes: true, keep_unset: true, ..Expander::new('\\') };
    let words = raw.expand(line, &()).map(|expansion| expansion.words).unwrap_or_default();
    words.iter().filter_map(|word| redirection(word).transpose()).collect()
}

/// A heredoc without an end.
#[derive(Debug)]
pub(super) struct Unterminated {
    /// Its name.
    pub name: String,
    chomp: bool,
    /// A line that is the name but for blanks around it.
    almost: Option<usize>,
}

impl Unterminated {
    /// The error, at the redirection.
    pub fn diagnostic(self, redirection: Span) -> Diagnostic {
        let Self { name, chomp, almost } = self;
        let help = match almost {
            Some(line) if chomp => format!("line {line} has blanks around `{name}`; only tabs before it are allowed"),
            Some(line) => format!("line {line} has blanks around `{name}`; remove them, or use <<- and tabs"),
            None => format!("add a line with just `{name}` where the text ends"),
        };
        Diagnostic::error(redirection, "unterminated heredoc")
            .because(format!("no line up to the end of the file is just `{name}`"))
            .help(help)
    }
}

/// Reads the content of a heredoc up to the line that is its name.
pub(super) fn read(
    redirection: Redirection,
    lines: &mut Lines<'_>,
    too_long: &mut Vec<Span>,
) -> Result<Heredoc, Unterminated> {
    let Redirection { name, descriptor, expand, chomp } = redirection;
    let mut content = String::new();
    let mut start = None;
    let mut almost = None;
    for line in lines {
        let (first_line, first_byte) = *start.get_or_insert((line.number, line.start));
        if line.is_too_long() {
            too_long.push(line.span());
        }
        let text = line.text();
        if (if chomp { text.trim_start_matches('\t') } else { text }) == name {
            let span = Span::new(first_byte, line.start);
            let lines = LineRange { start: first_line, end: line.number };
            return Ok(Heredoc { name, descriptor, expand, chomp, content, span, lines });
        }
        if text.trim() == name {
            almost.get_or_insert(line.number);
        }
        content.push_str(line.raw);
    }
    Err(Unterminated { name, chomp, almost })
}

/// Where in a line the redirection to this name stands, as far as it is written plainly.
pub(super) fn find(line: &str, name: &str) -> Option<Range<usize>> {
    line.match_indices("<<").find_map(|(at, operator)| {
        let behind = &line[at + operator.len()..];
        let word = behind.trim_start_matches(['-', ' ', '\t', '"', '\'']);
        let end = line.len() - word.strip_prefix(name)?.len();
        Some(at..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_redirect() {
        for (word, name, expand, chomp, descriptor) in [
            ("<<EOF", "EOF", true, false, 0),
            ("<<'EOF'", "EOF", false, false, 0),
            ("<<\"EOF\"", "EOF", false, false, 0),
            ("<<-EOF", "EOF", true, true, 0),
            ("<<-'EOF'", "EOF", false, true, 0),
            ("<<EO\"F\"", "EOF", false, false, 0),
            ("<< EOF", "EOF", true, false, 0),
            ("<<- EOF", "EOF", true, true, 0),
            ("<<eo\\'f", "eo'f", true, false, 0),
            ("<<'e'o\\'f", "eo'f", false, false, 0),
            ("<<'one two'", "one two", false, false, 0),
            ("<<$EOF", "$EOF", true, false, 0),
            ("3<<EOF", "EOF", true, false, 3),
            ("99999999999<<EOF", "EOF", true, false, u32::MAX),
        ] {
            let expected = Redirection { name: name.into(), descriptor, expand, chomp };
            assert_eq!(redirection(word).unwrap(), Some(expected), "{word}");
        }
        for word in ["", "EOF", "<<", "<<-", "<EOF", "<<<EOF", "<<EOF sh", "--a=<<EOF"] {
            assert_eq!(redirection(word).unwrap(), None, "{word}");
        }
        for word in ["<<'EOF", "<<\"EOF", "<<EOF'", "<<EOF\""] {
            assert!(redirection(word).is_err(), "{word}");
        }
    }

    #[test]
    fn lines_that_redirect() {
        for (line, names) in [
            ("RUN <<EOF", vec!["EOF"]),
            ("RUN << -EOF", vec!["-EOF"]),
            ("RUN 4<<EOF <<-EOF2 sh", vec!["EOF", "EOF2"]),
            ("RUN <<  EOF  > foo", vec!["EOF"]),
            ("RUN '<<EOF' \"<<EOF\"", vec![]),
            ("RUN echo it's <<EOF", vec![]),
        ] {
            let found: Vec<_> = redirections(line).unwrap().into_iter().map(|r| r.name).collect();
            assert_eq!(found, names, "{line}");
        }
    }
}
