//! How a failure is shown, and with which exit code it ends.

use std::{fmt, process::ExitCode};

use routerpack_builder::{Cause, Error};
use routerpack_graph::Definition;

use crate::excerpt::{Excerpt, lines};

/// A failure, ready to be shown.
pub struct Failure {
    text: String,
    code: u8,
}

impl Failure {
    /// With exit code 1.
    pub fn new(text: impl fmt::Display) -> Self {
        Self { text: format!("error: {text}"), code: 1 }
    }

    /// The same failure with another exit code.
    pub fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// A wrong command line: exit code 2.
    pub fn usage(text: impl fmt::Display) -> Self {
        Self { text: format!("error: {text}\n\nFor more information, try '--help'."), code: 2 }
    }

    /// The same about something that the user knows by another name than its temporary file's.
    pub fn in_place_of(mut self, path: &std::path::Path, name: &str) -> Self {
        self.text = self.text.replace(&*path.to_string_lossy(), name);
        self
    }

    /// The same, with what it is about in front.
    pub fn about(mut self, name: &str) -> Self {
        if let Some(rest) = self.text.strip_prefix("error: ") {
            self.text = format!("error: {name}: {rest}");
        }
        self
    }

    /// Already drawn, with its `error:` and excerpt.
    pub fn drawn(text: String) -> Self {
        Self { text, code: 1 }
    }

    /// Ended by a signal: 128 and its number, as a shell has it.
    pub fn interrupted(signal: i32) -> Self {
        Self { text: "canceled".into(), code: 128 + signal as u8 }
    }

    /// A failed build; a step's place in the Dockerfile is drawn.
    pub fn build(error: &Error, definition: &Definition) -> Self {
        let mut title = error.cause.to_string();
        let mut notes = Vec::new();
        if let Cause::Step { command, how, hint, .. } = &error.cause {
            title = format!("`{command}` ended with {how}");
            notes.extend(hint.iter().cloned());
        } else if let Some((first, rest)) = title.clone().split_once('\n') {
            notes.extend(rest.lines().map(|l| l.trim().to_string()));
            title = first.to_string();
        }
        let drawn = error.vertex.as_ref().and_then(|vertex| place(definition, vertex.digest.as_str())).map(|place| {
            let span = lines(&place.text, place.first, place.last);
            Excerpt { file: &place.file, text: &place.text, span, title: &title, notes: notes.clone(), warning: false }
                .draw()
        });
        let mut text = drawn.unwrap_or_else(|| {
            let name = error.vertex.as_ref().map(|vertex| format!("{}: ", vertex.name)).unwrap_or_default();
            let notes: String = notes.iter().map(|n| format!("\n  {n}")).collect();
            format!("error: {name}{title}{notes}")
        });
        if let Cause::Step { tail, .. } = &error.cause
            && !tail.is_empty()
        {
            text += "\nits last lines:";
            tail.iter().for_each(|line| text += &format!("\n  {}", crate::progress::printable(line.as_bytes())));
        }
        Self::drawn(text)
    }

    /// Prints it and gives the exit code.
    pub fn report(self) -> ExitCode {
        use std::io::Write;
        let _ = writeln!(anstream::stderr().lock(), "{}", self.text);
        ExitCode::from(self.code)
    }
}

struct Place {
    file: String,
    text: String,
    first: usize,
    last: usize,
}

fn place(definition: &Definition, digest: &str) -> Option<Place> {
    let source = definition.source.as_ref()?;
    let location = source.locations.get(digest)?.locations.first()?;
    let info = source.infos.get(usize::try_from(location.source_index).ok()?)?;
    let line = |at: &Option<_>, or: usize| at.as_ref().map_or(or, |p: &routerpack_graph::pb::Position| p.line as usize);
    let first = location.ranges.iter().map(|r| line(&r.start, 1)).min()?;
    let last = location.ranges.iter().map(|r| line(&r.end, first)).max()?;
    Some(Place { file: info.filename.clone(), text: String::from_utf8_lossy(&info.data).into_owned(), first, last })
}

/// What happened, without `error:`.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.strip_prefix("error: ").unwrap_or(&self.text))
    }
}
