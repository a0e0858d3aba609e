//! What a router's log means: the failure texts that people have met, their causes, and what mends them.
//!
//! `data/failures.json` has the dictionary. A text is found by its characteristic words, whatever stands around it.

use std::sync::OnceLock;

use serde::{Deserialize, Deserializer};

use crate::{
    profile::{Profile, Version},
    rules::Evidence,
};

/// Log text that is looked through; the rest is left.
pub const MAX_TEXT: usize = 1 << 20;

/// A failure that routers report.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Lower-case words of the message; `*` stands for anything within a line. Any of them will do.
    pub patterns: Vec<String>,
    /// On which versions it was seen, in words.
    pub seen: String,
    /// The first version that has it, where that is known.
    #[serde(default, deserialize_with = "version")]
    pub from: Option<Version>,
    /// The last version (any patch of it) that has it, where that is known.
    #[serde(default, deserialize_with = "version")]
    pub to: Option<Version>,
    /// Likeliest first.
    pub causes: Vec<Cause>,
}

/// Why it may have happened.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// In words.
    pub cause: String,
    /// How it is known.
    pub evidence: Evidence,
    /// The first version that it applies to, where that is known.
    #[serde(default, deserialize_with = "version")]
    pub from: Option<Version>,
    /// What to type, or to do.
    pub cure: String,
    /// The rules that find it in an archive.
    pub rules: Vec<String>,
}

/// A failure found in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The line that shows it, without control characters.
    pub line: String,
    /// What it is.
    pub failure: &'static Failure,
    /// Whether this version is one of those that it was seen on; otherwise the cause may be another.
    pub in_version: bool,
    /// Those that apply to the version.
    pub causes: Vec<&'static Cause>,
}

fn version<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Version>, D::Error> {
    let text = String::deserialize(d)?;
    Version::parse(&text).map(Some).ok_or_else(|| serde::de::Error::custom("no version"))
}

/// The whole dictionary.
pub fn all() -> &'static [Failure] {
    static FAILURES: OnceLock<Vec<Failure>> = OnceLock::new();
    // The file is part of the program, and a test reads it.
    FAILURES.get_or_init(|| serde_json::from_str(include_str!("../data/failures.json")).unwrap_or_default())
}

/// The known failures in a text, each once, in the text's order.
pub fn diagnose(text: &str, profile: Profile) -> Vec<Match> {
    let end = (0..=text.len().min(MAX_TEXT)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let mut found: Vec<Match> = Vec::new();
    for line in text[..end].lines() {
        let lower = line.to_lowercase();
        for failure in all() {
            let fits = failure.patterns.iter().any(|pattern| has(&lower, pattern));
            if fits && !found.iter().any(|m| std::ptr::eq(m.failure, failure)) {
                let line = line.trim().chars().filter(|c| !c.is_control()).take(300).collect();
                let in_version = holds(failure.from, failure.to, profile);
                let causes = failure.causes.iter().filter(|c| holds(c.from, None, profile)).collect();
                found.push(Match { line, failure, in_version, causes });
            }
        }
    }
    found
}

fn holds(from: Option<Version>, to: Option<Version>, profile: Profile) -> bool {
    match profile {
        Profile::Universal => true,
        Profile::Version(v) => {
            from.is_none_or(|from| v >= from) && to.is_none_or(|to| (v.major, v.minor) <= (to.major, to.minor))
        }
    }
}

/// Whether the parts of a pattern stand in a line, in this order.
fn has(line: &str, pattern: &str) -> bool {
    let mut rest = line;
    pattern.split('*').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules;

    #[test]
    fn the_dictionary_is_complete() {
        let failures: Vec<Failure> = serde_json::from_str(include_str!("../data/failures.json")).unwrap();
        assert_eq!(failures.len(), all().len());
        for failure in &failures {
            assert!(
                !failure.patterns.is_empty() && !failure.causes.is_empty() && !failure.seen.is_empty(),
                "{failure:?}"
            );
            for pattern in &failure.patterns {
                assert!(pattern.len() > 6 && *pattern == pattern.to_lowercase(), "{pattern}");
            }
            for cause in &failure.causes {
                assert!(!cause.cause.is_empty() && !cause.cure.is_empty());
                assert!(cause.rules.iter().all(|r| rules::find(r).is_some()), "{:?}", cause.rules);
            }
        }
    }

    #[test]
    fn messages_as_routers_print_them_are_found() {
        let words = |text: &str, version: &str| -> Vec<String> {
            let found = diagnose(text, version.parse().unwrap());
            found.iter().flat_map(|m| m.causes.iter().map(|c| c.cause.clone())).collect()
        };
        for (text, part) in [
            ("*** error getting layer file\nimport error: failed to load next entry", "compressed with gzip"),
            ("14:02:11 container,info,debug download/extract error: could not load next layer", "No space"),
            ("download/extract error: no config found in manifest", "OCI layout"),
            ("error: could not find image manifest in archive", "no docker-archive"),
            ("download/extract error: extract layer failed", "not compressed with gzip"),
            ("exited with status 255: execvpe /awg-proxy: No such file or directory", "not in the image"),
            ("exited with status 255: execvp /usr/local/bin/x.sh: No such file or directory", "another machine"),
            ("Process exited with signal 4 (Illegal instruction) : CPU not supported", "arm/v5"),
            ("*** error: start failed: layer /l/layer/abc/layer missing, need repull", "layers are gone"),
            ("No command specified. Set cmd or entrypoint.", "neither ENTRYPOINT"),
            ("failure: root-dir overlap", "root-dir is in use"),
            ("failure: not allowed by device-mode", "not allowed"),
            ("input does not match any value of file", "no file"),
            ("bad command name container (line 1 column 2)", "package"),
            ("expected end of command (line 1 column 20)", "another RouterOS version"),
            ("route ip+net: no such network interface", "eth0"),
            ("<jemalloc>: Unsupported system page size", "jemalloc"),
            ("child spawn failed: container run error", "did not finish"),
            ("exec format error", "another machine"),
        ] {
            let found = words(text, "universal");
            assert!(found.iter().any(|cause| cause.contains(part)), "{text}: {found:?}");
        }
        assert!(words("container started", "universal").is_empty());
        assert!(words("", "7.21").is_empty());
    }

    #[test]
    fn causes_are_those_of_the_version() {
        let at = |text: &str, version: &str| diagnose(text, version.parse().unwrap()).remove(0);
        assert_eq!(at("no command specified, set cmd or entrypoint", "7.18").causes.len(), 1);
        assert_eq!(at("no command specified, set cmd or entrypoint", "7.22").causes.len(), 2);
        assert!(at("failed to load next entry", "7.20.8").in_version);
        assert!(!at("failed to load next entry", "7.21").in_version);
        assert!(!at("could not load next layer", "7.20").in_version);
        assert!(at("could not load next layer", "7.25").in_version);
    }

    #[test]
    fn one_failure_is_told_once_and_long_text_is_no_trouble() {
        let text = "could not load next layer\n".repeat(1000) + &"ä".repeat(MAX_TEXT);
        assert_eq!(diagnose(&text, Profile::Universal).len(), 1);
    }
}
