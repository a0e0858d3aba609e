//! What is wrong in a source text, where, why, and what to do about it.

use super::span::Span;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The build goes on.
    Warning,
    /// There is no build.
    Error,
}

/// One finding. Drawing it, with the source's excerpt, is left to the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The bytes to underline.
    pub span: Span,
    /// What is wrong, in BuildKit's words where it has the same finding.
    pub message: String,
    /// Why that is wrong.
    pub reason: Option<String>,
    /// What to do.
    pub help: Option<String>,
    /// What would be right in place of the underlined bytes, where that is known.
    pub replacement: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, span, message: message.into(), reason: None, help: None, replacement: None }
    }

    /// A warning at a place.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    /// With the reason.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// With what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With "did you mean", when one of the candidates is near to what was written.
    pub fn suggest<'c>(self, written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Self {
        match nearest(written, candidates) {
            Some(candidate) => self.meant(written, candidate),
            None => self,
        }
    }

    /// With "did you mean", and the replacement where it is just what was written that is underlined.
    pub fn meant(mut self, written: &str, candidate: &str) -> Self {
        if self.span.end - self.span.start == written.len() {
            self.replacement = Some(candidate.to_owned());
        }
        self.help(format!("did you mean {candidate}?"))
    }
}

impl std::fmt::Display for Diagnostic {
    /// The message, with its reason and help behind it, on one line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        for part in [&self.reason, &self.help].into_iter().flatten() {
            write!(f, ": {part}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// The candidate with the fewest edits (insert, delete, replace, swap of neighbours) away from `written`,
/// letter case aside, if that is fewer than a third of its length and at most 3. Words over 64 bytes are
/// nobody's typing error, and have no nearest one.
pub fn nearest<'c>(written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let limit = (written.chars().count().div_ceil(3)).min(3);
    if written.is_empty() || written.len() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= 64)
        .map(|candidate| (strsim::osa_distance(&written.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["RUN", "CMD", "COPY", "ENTRYPOINT", "EXPOSE", "ENV", "FROM"];
        for (written, expected) in [
            ("RNU", Some("RUN")),
            ("run", Some("RUN")),
            ("CPOY", Some("COPY")),
            ("ENTRYPIONT", Some("ENTRYPOINT")),
            ("FORM", Some("FROM")),
            ("BANANA", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, known), expected, "{written}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }
}
