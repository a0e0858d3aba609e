//! Something to be told: what is wrong, where, why, and what to do. Drawn for people, or as data.

use std::{io::IsTerminal, ops::Range, sync::Arc};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use routerpack_frontends::dockerfile::{Diagnostic, Severity, Span};
use routerpack_targets::{rules::Severity as Weight, sarif};
use serde_json::{Value, json};

use crate::context::Source;

/// So many bytes of a line are drawn at most, around what is underlined.
const MAX_LINE: usize = 400;

/// So many bytes of what is underlined are told as data.
const MAX_TEXT: usize = 400;

/// Some bytes of a text that has a name.
#[derive(Clone, Debug)]
pub struct Spot {
    /// The text's name: a path, an address, `standard input`.
    pub file: String,
    /// The text.
    pub text: Arc<str>,
    /// The bytes; they lie on character boundaries.
    pub range: Range<usize>,
}

/// A kind of notice that is no rule of lint or of an archive's check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name.
    pub id: &'static str,
    /// What it wants, in a sentence.
    pub title: &'static str,
}

/// The file can't be read as a Dockerfile.
pub const SYNTAX: Kind = Kind { id: "SyntaxError", title: "A Dockerfile consists of instructions in their form" };
/// It can be read, but not be built.
pub const DEFINITION: Kind = Kind { id: "BuildDefinition", title: "Instructions must make sense together" };
/// A command failed.
pub const STEP: Kind = Kind { id: "StepFailed", title: "The command of a RUN step must end with 0" };
/// COPY, ADD or WORKDIR failed.
pub const COPY: Kind = Kind { id: "CopyFailed", title: "What is copied must be there and fit its destination" };
/// A step lacks a secret, an agent or a permission.
pub const WITHHELD: Kind = Kind { id: "StepLacks", title: "What a step asks for must be handed over" };
/// An image, a repository or a file of the web.
pub const SOURCE: Kind = Kind { id: "SourceUnavailable", title: "What a build starts from must be there" };
/// Whatever else ends a build.
pub const BUILD: Kind = Kind { id: "BuildFailed", title: "A build must end well" };
/// `--build-arg` without an ARG.
pub const UNUSED: Kind =
    Kind { id: "UnusedBuildArg", title: "A build argument should be one that the Dockerfile knows" };
/// What a build does otherwise than it was said.
pub const WARNING: Kind = Kind { id: "BuildWarning", title: "What was asked for should be done" };

/// All kinds.
pub const KINDS: [Kind; 9] = [SYNTAX, DEFINITION, STEP, COPY, WITHHELD, SOURCE, BUILD, UNUSED, WARNING];

/// One thing to be told.
#[derive(Clone, Debug)]
pub struct Notice {
    /// How bad it is.
    pub weight: Weight,
    /// The name of the rule or kind.
    pub rule: String,
    /// Whether the name is worth showing to people: they can look it up, or skip the rule by it.
    pub shows_rule: bool,
    /// What is wrong.
    pub message: String,
    /// Why.
    pub reason: Vec<String>,
    /// What to do.
    pub help: Vec<String>,
    /// Where.
    pub spot: Option<Spot>,
    /// Other places that have to do with it, and how.
    pub related: Vec<(String, Spot)>,
    /// What would be right in place of the spot's bytes.
    pub replacement: Option<String>,
    /// The last lines that a step printed.
    pub output: Vec<String>,
    /// What else there is, as data only: an object.
    pub properties: Value,
}

/// A place as data has it: lines and columns from 1.
struct Position {
    line: usize,
    /// In characters.
    column: usize,
    /// In UTF-16 code units.
    utf16: usize,
}

impl Spot {
    /// Bytes of a text; a range that reaches too far is cut.
    pub fn new(source: &Source, span: Span) -> Self {
        let text = &source.text;
        let inside = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let (start, end) = (inside(span.start), inside(span.end));
        Self { file: source.file.clone(), text: text.clone(), range: start..end.max(start) }
    }

    /// The line of this number, from 1, without blanks around it.
    pub fn line(source: &Source, number: usize) -> Self {
        let start = source.text.split_inclusive('\n').take(number.saturating_sub(1)).map(str::len).sum::<usize>();
        let line = source.text[start..].split('\n').next().unwrap_or_default();
        let start = start + line.len() - line.trim_start().len();
        Self::new(source, Span::new(start, start + line.trim().len()))
    }

    fn position(&self, at: usize) -> Position {
        let before = &self.text[..at];
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let before = before[start..].trim_start_matches('\u{feff}');
        Position { line, column: before.chars().count() + 1, utf16: before.encode_utf16().count() + 1 }
    }

    fn json(&self) -> Value {
        let position = |at: usize| {
            let Position { line, column, .. } = self.position(at);
            json!({ "line": line, "column": column, "offset": at })
        };
        json!({
            "file": self.file,
            "start": position(self.range.start),
            "end": position(self.range.end),
            "text": shortened(&self.text[self.range.clone()], MAX_TEXT),
        })
    }

    fn sarif(&self, message: &str) -> sarif::Location {
        let (start, end) = (self.position(self.range.start), self.position(self.range.end));
        let region = sarif::Region {
            start_line: start.line,
            start_column: start.utf16,
            end_line: end.line,
            end_column: end.utf16,
        };
        sarif::Location {
            file: self.file.clone(),
            region: Some(region),
            inside: Vec::new(),
            message: message.to_string(),
        }
    }

    /// The lines that it touches, their first one's number, and the range within them. What is too long of a line is
    /// cut away, so that the drawing is to be read and costs little.
    fn window(&self) -> (String, usize, Range<usize>) {
        let first = self.text[..self.range.start].rfind('\n').map_or(0, |at| at + 1);
        let end = self.text[self.range.end..].find('\n').map_or(self.text.len(), |at| self.range.end + at);
        let number = self.text[..first].bytes().filter(|b| *b == b'\n').count() + 1;
        let (mut out, mut start, mut stop) = (String::new(), None, 0);
        let mut at = first;
        for line in self.text[first..end].split_inclusive('\n') {
            let text = line.trim_end_matches(['\r', '\n']).trim_start_matches('\u{feff}');
            let at_text = at + line.len() - line.trim_start_matches('\u{feff}').len();
            let marked = self.range.start.clamp(at_text, at_text + text.len()) - at_text
                ..self.range.end.clamp(at_text, at_text + text.len()) - at_text;
            let (shown, marked) = around(text, marked);
            start.get_or_insert(out.len() + marked.start);
            stop = out.len() + marked.end;
            out.push_str(&shown);
            out.push('\n');
            at += line.len();
        }
        let start = start.unwrap_or(0);
        (out, number, start..stop.max(start))
    }
}

/// A line's part around a range in it, and the range in that part.
fn around(line: &str, marked: Range<usize>) -> (String, Range<usize>) {
    if line.len() <= MAX_LINE {
        return (line.to_string(), marked);
    }
    let boundary = |at: usize| (0..=at.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    let end = boundary(marked.end.min(marked.start + MAX_LINE / 2));
    let (from, to) = (boundary(marked.start.saturating_sub(MAX_LINE / 4)), boundary(end + MAX_LINE / 4));
    let before = if from > 0 { "…" } else { "" };
    let after = if to < line.len() { "…" } else { "" };
    let shift = |at: usize| at - from + before.len();
    (format!("{before}{}{after}", &line[from..to]), shift(marked.start)..shift(end))
}

fn shortened(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}

impl Notice {
    /// An error without a place.
    pub fn error(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            weight: Weight::Error,
            rule: kind.id.into(),
            shows_rule: false,
            message: message.into(),
            reason: Vec::new(),
            help: Vec::new(),
            spot: None,
            related: Vec::new(),
            replacement: None,
            output: Vec::new(),
            properties: Value::Null,
        }
    }

    /// The same as a warning.
    pub fn into_warning(self) -> Self {
        Self { weight: Weight::Warning, ..self }
    }

    /// What the frontend says about a file.
    pub fn of(kind: Kind, source: &Source, diagnostic: &Diagnostic) -> Self {
        let spot = Spot::new(source, diagnostic.span);
        Self {
            weight: match diagnostic.severity {
                Severity::Error => Weight::Error,
                Severity::Warning => Weight::Warning,
            },
            reason: diagnostic.reason.iter().cloned().collect(),
            help: diagnostic.help.iter().cloned().collect(),
            replacement: diagnostic.replacement.clone(),
            spot: Some(spot),
            ..Self::error(kind, diagnostic.message.clone())
        }
    }

    /// Out of a text whose first line says what is wrong, and whose others say why or what to do.
    pub fn from_text(kind: Kind, text: &str) -> Self {
        let mut lines = text.lines().map(|line| line.trim().to_string());
        let message = lines.next().unwrap_or_default();
        Self { help: lines.filter(|line| !line.is_empty()).collect(), ..Self::error(kind, message) }
    }

    /// The drawing, with colours if standard error is a terminal.
    pub fn draw(&self) -> String {
        let level = match self.weight {
            Weight::Error => Level::ERROR,
            Weight::Warning => Level::WARNING,
            Weight::Info => Level::INFO.with_name("advice"),
        };
        let title = level.primary_title(self.message.as_str());
        let title = if self.shows_rule { title.id(self.rule.as_str()) } else { title };
        let renderer = if std::io::stderr().is_terminal() { Renderer::styled() } else { Renderer::plain() };
        let mut group = Group::with_title(title);
        let snippet = |spot: &Spot, kind: AnnotationKind, label: Option<&str>| {
            let (text, line, range) = spot.window();
            let annotation = kind.span(range).label(label.map(str::to_string));
            Snippet::source(text).path(spot.file.clone()).line_start(line).annotation(annotation)
        };
        if let Some(spot) = &self.spot {
            group = group.element(snippet(spot, AnnotationKind::Primary, None));
        }
        for (label, spot) in &self.related {
            group = group.element(snippet(spot, AnnotationKind::Context, Some(label)));
        }
        let mut text = match self.spot {
            Some(_) => {
                group = group.elements(self.reason.iter().map(|reason| Level::NOTE.message(reason.as_str())));
                group = group.elements(self.help.iter().map(|help| Level::HELP.message(help.as_str())));
                renderer.render(&[group])
            }
            None => {
                let more = self.reason.iter().chain(&self.help).map(|line| format!("\n  {line}"));
                renderer.render(&[group]) + &more.collect::<String>()
            }
        };
        if !self.output.is_empty() {
            text += "\nits last lines:";
            self.output.iter().for_each(|line| text += &format!("\n  {line}"));
        }
        text
    }

    /// As one JSON object; members without a value are left out.
    pub fn json(&self) -> Value {
        let mut object = json!({ "severity": self.weight, "rule": self.rule, "message": self.message });
        if let (Some(Value::Object(place)), Value::Object(object)) = (self.spot.as_ref().map(Spot::json), &mut object) {
            object.extend(place);
        }
        for (name, lines) in [("reason", &self.reason), ("help", &self.help), ("output", &self.output)] {
            if !lines.is_empty() {
                object[name] = json!(lines);
            }
        }
        if let Some(replacement) = &self.replacement {
            object["replacement"] = replacement.as_str().into();
        }
        if !self.related.is_empty() {
            let related = self.related.iter().map(|(label, spot)| {
                let mut place = spot.json();
                place["message"] = label.as_str().into();
                place
            });
            object["related"] = related.collect();
        }
        if let (Value::Object(more), Value::Object(object)) = (&self.properties, &mut object) {
            object.extend(more.clone());
        }
        object
    }

    /// As a finding of SARIF.
    pub fn sarif(&self) -> sarif::Finding {
        // A viewer shows the message only: it has to be enough.
        let lines = [&self.message].into_iter().chain(&self.reason).chain(&self.help);
        let mut properties = self.properties.clone();
        if !self.output.is_empty() {
            properties = json!({ "output": self.output });
        }
        sarif::Finding {
            rule: self.rule.clone(),
            severity: self.weight,
            message: lines.map(String::as_str).collect::<Vec<_>>().join("\n"),
            place: self.spot.as_ref().map(|spot| spot.sarif("")),
            related: self.related.iter().map(|(label, spot)| spot.sarif(label)).collect(),
            fix: self.replacement.clone().map(|text| (text.clone(), format!("write {text}"))),
            properties,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(text: &str, marked: &str) -> Notice {
        let source = Source { file: "Dockerfile".into(), text: text.into(), origin: None };
        let start = text.rfind(marked).unwrap();
        let diagnostic = Diagnostic::error(Span::new(start, start + marked.len()), "wrong").help("mend it");
        Notice::of(SYNTAX, &source, &diagnostic)
    }

    #[test]
    fn an_excerpt_shows_the_place() {
        for (text, marked, drawn) in [
            ("FROM a\nRNU b\n", "RNU", " --> Dockerfile:2:1\n  |\n2 | RNU b\n  | ^^^\n"),
            ("FROM a\r\nRUN x\r\n", "x", " --> Dockerfile:2:5\n  |\n2 | RUN x\n  |     ^\n"),
            ("\u{feff}FRMO a", "FRMO", " --> Dockerfile:1:1\n  |\n1 | FRMO a\n  | ^^^^\n"),
            ("FROM a\n\tRUN\tx", "x", " --> Dockerfile:2:6\n  |\n2 |     RUN    x\n  |            ^\n"),
            ("LABEL 日本=語 x", "x", " --> Dockerfile:1:12\n  |\n1 | LABEL 日本=語 x\n  |               ^\n"),
            (
                "RUN a \\\n  b\nRUN c",
                "a \\\n  b",
                " --> Dockerfile:1:5\n  |\n1 |   RUN a \\\n  |  _____^\n2 | |   b\n  | |___^\n",
            ),
            ("RUN x\u{1b}[31m", "x", " --> Dockerfile:1:5\n  |\n1 | RUN x␛[31m\n  |     ^\n"),
            ("", "", " --> Dockerfile:1:1\n  |\n1 |\n  | ^\n"),
        ] {
            let shown = notice(text, marked).draw();
            let expected = format!("error: wrong\n{drawn}  |\n  = help: mend it");
            assert_eq!(shown, expected, "{text:?}:\n{shown}");
        }
    }

    #[test]
    fn long_lines_and_long_files_are_cut() {
        let text = format!("{}RUN {} x {}\n", "RUN y\n".repeat(99), "ö".repeat(30_000), "z".repeat(30_000));
        let shown = notice(&text, " x ").draw();
        assert!(shown.len() < 2000 && shown.contains("Dockerfile:100:") && shown.contains("^^^"), "{shown}");
        let long = notice(&text, &"z".repeat(30_000)).draw();
        assert!(long.len() < 2000 && long.contains("^^^"), "{long}");
    }

    #[test]
    fn columns_are_characters_or_utf_16() {
        let wide = notice("\u{feff}FROM a\r\nLABEL 𝄞=日 y", "y");
        let json = wide.json();
        assert_eq!(json["start"], json!({ "line": 2, "column": 11, "offset": 26 }));
        assert_eq!((&json["text"], &json["help"]), (&json!("y"), &json!(["mend it"])));
        let region = wide.sarif().place.unwrap().region.unwrap();
        assert_eq!((region.start_line, region.start_column, region.end_column), (2, 12, 13));
    }

    #[test]
    fn lines_are_found_by_number() {
        let source = Source { file: "f".into(), text: "a\n  b c \r\nd".into(), origin: None };
        for (number, text) in [(1, "a"), (2, "b c"), (3, "d"), (9, "")] {
            let spot = Spot::line(&source, number);
            assert_eq!(&spot.text[spot.range], text);
        }
    }
}
