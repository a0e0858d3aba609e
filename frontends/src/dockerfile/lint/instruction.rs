//! Rules about single instructions, in the environment that they see.

use std::sync::LazyLock;

use regex::Regex;

use super::super::lower::golang::quoted;
use super::rules::*;
use super::{Lint, Place};

/// Names of secrets: a whole word, or one between underscores.
static SECRET: LazyLock<Regex> =
    LazyLock::new(|| word("apikey|auth|credential|credentials|key|password|pword|passwd|secret|token"));

/// Names that say that it isn't the secret itself.
static NO_SECRET: LazyLock<Regex> = LazyLock::new(|| word("public|file|version"));

fn word(words: &str) -> Regex {
    Regex::new(&format!("(?i)(?:_|^)(?:{words})(?:_|$)")).expect("a constant pattern")
}

/// Arguments that only the scanner of BuildKit's own attestations looks at; they are never in the environment.
const NOT_IN_ENVIRONMENT: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// A variable that a word asks for and that is unset; `known` are all names to choose a near one from.
pub(in crate::dockerfile) fn undefined<'k>(
    lint: &mut Lint,
    place: &Place,
    name: &str,
    known: impl Iterator<Item = &'k str>,
) {
    if !NOT_IN_ENVIRONMENT.contains(&name) {
        let near = lint.suggestion(name, known).map(|near| format!(" (did you mean ${near}?)")).unwrap_or_default();
        lint.add(UNDEFINED_VAR, place, format!("Usage of undefined variable '${name}'{near}"));
    }
}

/// `ENV key value` and `LABEL key value`.
pub(in crate::dockerfile) fn legacy(lint: &mut Lint, place: &Place, keyword: &str) {
    let detail = format!("\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format");
    lint.add(LEGACY_KEY_VALUE_FORMAT, place, detail);
}

/// The name of an ARG or ENV.
pub(in crate::dockerfile) fn secret(lint: &mut Lint, place: &Place, instruction: &str, name: &str) {
    if SECRET.is_match(name) && !NO_SECRET.is_match(name) {
        let name = quoted(name);
        let detail = format!("Do not use ARG or ENV instructions for sensitive data ({instruction} {name})");
        lint.add(SECRETS_USED_IN_ARG_OR_ENV, place, detail);
    }
}

/// The shell form of CMD and ENTRYPOINT where nobody chose the shell.
pub(in crate::dockerfile) fn shell_form(lint: &mut Lint, place: &Place, keyword: &str) {
    let detail =
        format!("JSON arguments recommended for {keyword} to prevent unintended behavior related to OS signals");
    lint.add(JSON_ARGS_RECOMMENDED, place, detail);
}

/// The first relative WORKDIR of a file's stages.
pub(in crate::dockerfile) fn relative_workdir(lint: &mut Lint, place: &Place, dir: &str) {
    let detail = format!("Relative workdir {} can have unexpected results if the base image changes", quoted(dir));
    lint.add(WORKDIR_RELATIVE_PATH, place, detail);
}

/// A port of EXPOSE, expanded.
pub(in crate::dockerfile) fn port(lint: &mut Lint, place: &Place, written: &str) {
    let (mapping, container) = written.rsplit_once(':').unwrap_or(("", written));
    let (port, protocol) = container.split_once('/').unwrap_or((container, ""));
    if port.is_empty() || !matches!(protocol.to_lowercase().as_str(), "" | "tcp" | "udp" | "sctp") {
        return;
    }
    if protocol != protocol.to_lowercase() {
        let detail = format!("Defined protocol '{written}' in EXPOSE instruction should be lowercase");
        lint.add(EXPOSE_PROTO_CASING, place, detail);
    }
    // `:80` and `::80` name neither.
    if !mapping.trim_matches(':').is_empty() {
        let detail =
            format!("EXPOSE instruction should not define an IP address or host-port mapping, found '{written}'");
        lint.add(EXPOSE_INVALID_FORMAT, place, detail);
    }
}

/// A source that the ignore file keeps out of the context. `verb` is `Copy` or `Add`.
pub(in crate::dockerfile) fn ignored(lint: &mut Lint, place: &Place, verb: &str, source: &str) {
    let detail = format!("Attempting to {verb} file {} that is excluded by .dockerignore", quoted(source));
    lint.add(COPY_IGNORED_FILE, place, detail);
}

/// The instructions of a stage of which only the last one counts.
#[derive(Default)]
pub(in crate::dockerfile) struct Once {
    cmd: Option<Place>,
    entrypoint: Option<Place>,
    healthcheck: Option<Place>,
}

impl Once {
    /// Takes note of one; the finding is about the one before. `keyword` is as written.
    pub(in crate::dockerfile) fn see(&mut self, lint: &mut Lint, place: &Place, keyword: &str) {
        let seen = match keyword.to_ascii_uppercase().as_str() {
            "CMD" => &mut self.cmd,
            "ENTRYPOINT" => &mut self.entrypoint,
            _ => &mut self.healthcheck,
        };
        if let Some(before) = seen.replace(place.clone()) {
            let detail = format!(
                "Multiple {keyword} instructions should not be used in the same stage because only the last one will be used"
            );
            lint.add(MULTIPLE_INSTRUCTIONS_DISALLOWED, &before, detail);
        }
    }
}
