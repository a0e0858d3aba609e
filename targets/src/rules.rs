//! The rules that an archive is judged by, and how sure anybody is of each.
//!
//! `data/rules.json` holds them: for each rule what it says, why, what mends it, where that comes from, and from
//! which version on it weighs how much. A severity never exceeds its evidence: what is only inferred, or disputed,
//! is at most a warning, except for the universal profile, which is strict on purpose.

use std::{fmt, sync::OnceLock};

use serde::{Deserialize, Serialize};

use crate::profile::{Profile, Version};

/// Changes with every change of what the rules find; part of the key under which a report may be kept.
pub const RULE_SET: u32 = 2;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// May fail, or fails on some routers.
    Warning,
    /// Fails by all that is known.
    Error,
}

/// How a fact is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// By the vendor's documentation.
    Documented,
    /// A third party says that it tried it on a router.
    Tested,
    /// Users' reports.
    Reported,
    /// By the format's or Linux's own rules: it fails everywhere.
    Format,
    /// Inferred; nobody has published a test.
    Inferred,
    /// Sources disagree.
    Disputed,
}

/// What a rule weighs from a version on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    #[serde(deserialize_with = "version")]
    /// The first version.
    pub from: Version,
    /// What it would weigh if it were certain.
    pub severity: Severity,
    /// How certain it is.
    pub evidence: Evidence,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, for `routerpack explain`.
    pub id: String,
    /// What holds in a good archive.
    pub title: String,
    /// The reason.
    pub why: String,
    /// What to do.
    pub cure: String,
    /// Where the facts come from.
    pub source: String,
    /// Oldest version first; the first one is [`crate::profile::OLDEST`].
    pub levels: Vec<Level>,
}

fn version<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Version, D::Error> {
    let text = String::deserialize(d)?;
    Version::parse(&text).ok_or_else(|| serde::de::Error::custom("no version"))
}

/// All rules, in the order of an import.
pub fn all() -> &'static [Rule] {
    static RULES: OnceLock<Vec<Rule>> = OnceLock::new();
    // The file is part of the program, and a test reads it.
    RULES.get_or_init(|| serde_json::from_str(include_str!("../data/rules.json")).unwrap_or_default())
}

/// The rule of that name.
pub fn find(id: &str) -> Option<&'static Rule> {
    all().iter().find(|rule| rule.id == id)
}

/// Rules whose names resemble `id`, for a typing error.
pub fn similar(id: &str) -> Vec<&'static Rule> {
    let wanted = id.to_ascii_lowercase();
    let words: Vec<&str> = wanted.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| w.len() > 2).collect();
    all().iter().filter(|rule| words.iter().any(|w| rule.id.contains(w))).take(5).collect()
}

impl Evidence {
    /// Whether it carries an error.
    pub fn is_firm(self) -> bool {
        !matches!(self, Evidence::Inferred | Evidence::Disputed)
    }
}

impl Rule {
    /// What it weighs for a profile, and how it is known there.
    pub fn level(&self, profile: Profile) -> (Severity, Evidence) {
        let chosen = match profile {
            Profile::Universal => self.levels.iter().rev().max_by_key(|l| (l.severity, l.evidence.is_firm())),
            Profile::Version(version) => self.levels.iter().rev().find(|l| l.from <= version),
        };
        match chosen {
            None => (Severity::Info, Evidence::Inferred),
            Some(level) => {
                let limit = match profile {
                    Profile::Version(_) if !level.evidence.is_firm() => Severity::Warning,
                    _ => Severity::Error,
                };
                (level.severity.min(limit), level.evidence)
            }
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Evidence::Documented => "vendor documentation",
            Evidence::Tested => "tested on a router by a third party",
            Evidence::Reported => "user reports",
            Evidence::Format => "the format's own rules",
            Evidence::Inferred => "inference, nobody has published a test",
            Evidence::Disputed => "sources disagree",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::OLDEST;

    #[test]
    fn every_rule_is_complete() {
        let rules: Vec<Rule> = serde_json::from_str(include_str!("../data/rules.json")).unwrap();
        assert_eq!(rules.len(), all().len());
        for rule in &rules {
            for text in [&rule.id, &rule.title, &rule.why, &rule.cure, &rule.source] {
                assert!(!text.trim().is_empty(), "{rule:?}");
            }
            assert_eq!(rule.levels.first().map(|l| l.from), Some(OLDEST), "{}", rule.id);
            assert!(rule.levels.is_sorted_by(|a, b| a.from < b.from), "{}", rule.id);
            assert_eq!(rules.iter().filter(|r| r.id == rule.id).count(), 1, "{}", rule.id);
        }
    }

    #[test]
    fn severity_follows_evidence() {
        let at = |id: &str, profile: &str| find(id).unwrap().level(profile.parse().unwrap()).0;
        for (id, profile, severity) in [
            ("layer-compression", "7.9", Severity::Error),
            ("layer-compression", "universal", Severity::Error),
            ("layer-zstd", "7.23", Severity::Warning),
            ("layer-zstd", "universal", Severity::Error),
            ("oci-layout", "7.20.8", Severity::Error),
            ("oci-layout", "7.21", Severity::Warning),
            ("oci-layout", "7.25", Severity::Warning),
            ("oci-layout", "universal", Severity::Error),
            ("multi-layer", "7.19", Severity::Warning),
            ("multi-layer", "7.20", Severity::Info),
            ("no-command", "7.20", Severity::Warning),
            ("no-command", "7.21", Severity::Error),
            ("eth0", "7.19.6", Severity::Info),
            ("eth0", "7.20", Severity::Warning),
        ] {
            assert_eq!(at(id, profile), severity, "{id} on {profile}");
        }
        for rule in all() {
            for minor in 9..=30 {
                let profile: Profile = format!("7.{minor}").parse().unwrap();
                let (severity, evidence) = rule.level(profile);
                assert!(severity < Severity::Error || evidence.is_firm(), "{} on {profile}", rule.id);
            }
        }
    }

    #[test]
    fn a_misspelt_rule_finds_its_like() {
        assert!(find("layer-gzip").is_none());
        assert!(similar("layer-gzip").iter().any(|r| r.id == "layer-compression"));
        assert!(similar("").is_empty());
    }
}
