//! How a failure is shown, and with which exit code it ends.

use std::{fmt, process::ExitCode};

use crate::notice::{self, Notice};

/// So many notices are drawn at once.
const MAX_DRAWN: usize = 50;

/// A failure, ready to be shown.
pub struct Failure {
    text: String,
    code: u8,
    /// The same as data, where it is more than the text.
    notices: Vec<Notice>,
}

impl Failure {
    /// With exit code 1.
    pub fn new(text: impl fmt::Display) -> Self {
        Self { text: format!("error: {text}"), code: 1, notices: Vec::new() }
    }

    /// The same failure with another exit code.
    pub fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// A wrong command line: exit code 2.
    pub fn usage(text: impl fmt::Display) -> Self {
        Self { text: format!("error: {text}\n\nFor more information, try '--help'."), code: 2, notices: Vec::new() }
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

    /// Several things that are wrong, with their places.
    pub fn of(notices: Vec<Notice>) -> Self {
        let mut drawn: Vec<String> = notices.iter().take(MAX_DRAWN).map(Notice::draw).collect();
        if let more @ 1.. = notices.len().saturating_sub(MAX_DRAWN) {
            drawn.push(format!("error: {more} more of these; --format json lists them all"));
        }
        Self { text: drawn.join("\n\n"), code: 1, notices }
    }

    /// Already drawn, with its `error:`; the last line says what is wrong.
    pub fn drawn(text: String) -> Self {
        Self { text, code: 1, notices: Vec::new() }
    }

    /// What is wrong, as data.
    pub fn into_notices(self) -> Vec<Notice> {
        if !self.notices.is_empty() {
            return self.notices;
        }
        let at = self.text.find("error: ").map_or(0, |at| at + "error: ".len());
        vec![Notice::from_text(notice::BUILD, &self.text[at..])]
    }

    /// Ended by a signal: 128 and its number, as a shell has it.
    pub fn interrupted(signal: i32) -> Self {
        Self { text: "canceled".into(), code: 128 + signal as u8, notices: Vec::new() }
    }

    /// Prints it and gives the exit code.
    pub fn report(self) -> ExitCode {
        self.print();
        ExitCode::from(self.code)
    }

    fn print(&self) {
        use std::io::Write;
        let _ = writeln!(anstream::stderr().lock(), "{}", self.text);
    }

    /// The same; what is wrong comes back as data.
    pub fn told(self) -> (ExitCode, Vec<Notice>) {
        self.print();
        (ExitCode::from(self.code), self.into_notices())
    }
}

/// What happened, without `error:`.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.strip_prefix("error: ").unwrap_or(&self.text))
    }
}
