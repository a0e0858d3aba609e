//! What a check found, as data, as text's raw material, as JSON and as SARIF.

use routerpack_graph::{Digest, Platform};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Value, json};

use crate::{
    profile::Profile,
    rules::{self, Evidence, RULE_SET, Rule, Severity},
    sarif,
};

/// Places that a finding names; the rest are counted.
const PLACES: usize = 5;
/// Different findings of one rule; the rest are counted.
const PER_RULE: usize = 20;

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// By which rule.
    #[serde(serialize_with = "id_of", deserialize_with = "by_id")]
    pub rule: &'static Rule,
    /// How much it weighs under the profile that was asked for.
    pub severity: Severity,
    /// How the rule is known there.
    pub evidence: Evidence,
    /// What was found.
    pub message: String,
    /// Where, inside the archive or (with a leading `/`) inside the image; the first few.
    pub places: Vec<String>,
    /// How many places there are.
    pub count: usize,
}

/// The outcome of a check.
#[derive(Clone, Debug)]
pub struct Report {
    /// The archive's name, as it was given.
    pub name: String,
    /// What it was judged for.
    pub profile: Profile,
    /// The device's name and code, if one was named.
    pub device: Option<String>,
    /// By the image's config.
    pub platform: Option<Platform>,
    /// sha256 of the config; RouterOS' `image-id` without `sha256:` (seen on 7.23).
    pub image_id: Option<Digest>,
    /// Names that the image has in the archive.
    pub tags: Vec<String>,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of all files of the image, links counted once.
    pub unpacked: u64,
    /// Worst first; within that in the order of an import.
    pub findings: Vec<Finding>,
}

fn id_of<S: Serializer>(rule: &Rule, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rule.id)
}

fn by_id<'de, D: Deserializer<'de>>(from: D) -> Result<&'static Rule, D::Error> {
    let id = String::deserialize(from)?;
    rules::find(&id).ok_or_else(|| D::Error::custom(format!("no rule `{id}`")))
}

impl Report {
    /// How many findings weigh this much.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|f| f.severity == severity).count()
    }

    /// The report as one JSON object.
    pub fn to_json(&self) -> Value {
        let findings: Vec<Value> = self.findings.iter().map(Finding::to_json).collect();
        json!({
            "archive": self.name,
            "profile": self.profile.to_string(),
            "device": self.device,
            "platform": self.platform.as_ref().map(ToString::to_string),
            "imageId": self.image_id.as_ref().map(Digest::hex),
            "tags": self.tags,
            "bytes": self.bytes,
            "unpackedBytes": self.unpacked,
            "ruleSet": RULE_SET,
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "findings": findings,
        })
    }
}

impl Finding {
    /// The finding as one JSON object.
    pub fn to_json(&self) -> Value {
        json!({
            "rule": self.rule.id,
            "severity": self.severity,
            "evidence": self.evidence,
            "message": self.message,
            "places": self.places,
            "count": self.count,
            "cure": self.rule.cure,
        })
    }
}

/// A log of one run for all archives, in SARIF.
pub fn sarif(reports: &[Report], version: &str) -> Value {
    let rules: Vec<sarif::Rule> = rules::all().iter().map(Rule::for_sarif).collect();
    let findings = |report: &Report| report.findings.iter().map(|f| f.for_sarif(&report.name)).collect::<Vec<_>>();
    sarif::log(version, &rules, &reports.iter().flat_map(findings).collect::<Vec<_>>())
}

impl Rule {
    /// As a rule of SARIF.
    pub fn for_sarif(&self) -> sarif::Rule {
        sarif::Rule {
            id: self.id.clone(),
            title: self.title.clone(),
            why: self.why.clone(),
            help: format!("{} Source: {}.", self.cure, self.source.trim_end_matches('.')),
            url: String::new(),
        }
    }
}

impl Finding {
    /// As a finding of SARIF, in the archive of this name.
    pub fn for_sarif(&self, archive: &str) -> sarif::Finding {
        let place = sarif::Location {
            file: archive.to_string(),
            region: None,
            inside: self.places.clone(),
            message: String::new(),
        };
        sarif::Finding {
            rule: self.rule.id.clone(),
            severity: self.severity,
            message: self.message.clone(),
            place: Some(place),
            related: Vec::new(),
            fix: None,
            properties: json!({ "evidence": self.evidence, "count": self.count }),
        }
    }
}

/// Findings as they come in.
#[derive(Debug)]
pub(crate) struct Findings {
    profile: Profile,
    found: Vec<Finding>,
}

impl Findings {
    pub fn new(profile: Profile) -> Self {
        Self { profile, found: Vec::new() }
    }

    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Notes a finding with all the weight that its rule has.
    pub fn add(&mut self, rule: &str, place: impl Into<String>, message: impl Into<String>) {
        self.at_most(Severity::Error, rule, place, message);
    }

    /// Notes one that weighs no more than `limit` here. Findings of a rule that say the same are put together.
    pub fn at_most(&mut self, limit: Severity, rule: &str, place: impl Into<String>, message: impl Into<String>) {
        // A test looks every name up.
        let Some(rule) = rules::find(rule) else { return };
        let (severity, evidence) = rule.level(self.profile);
        let (severity, place, message) = (severity.min(limit), place.into(), message.into());
        let alike = |f: &Finding| f.rule.id == rule.id && f.severity == severity;
        let known = self.found.iter().filter(|f| alike(f)).count();
        let mut same = self.found.iter_mut().filter(|f| alike(f));
        let same = match known < PER_RULE {
            true => same.find(|f| f.message == message),
            false => same.next_back(), // enough of them: the rest are counted with the last
        };
        if let Some(same) = same {
            same.count += 1;
            if !place.is_empty() && same.places.len() < PLACES && same.message == message {
                same.places.push(place);
            }
            return;
        }
        let places = if place.is_empty() { Vec::new() } else { vec![place] };
        self.found.push(Finding { rule, severity, evidence, message, places, count: 1 });
    }

    pub fn has(&self, rule: &str) -> bool {
        self.found.iter().any(|f| f.rule.id == rule)
    }

    pub fn finish(mut self) -> Vec<Finding> {
        let order = |f: &Finding| rules::all().iter().position(|r| r.id == f.rule.id);
        self.found.sort_by_key(|f| (std::cmp::Reverse(f.severity), order(f)));
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_the_same_is_put_together_and_nothing_grows_without_end() {
        let mut findings = Findings::new(Profile::Universal);
        for i in 0..1000 {
            findings.add("whiteouts", format!("/{i}"), "whiteouts");
            findings.add("xattrs", "", format!("different {i}"));
        }
        let found = findings.finish();
        let [whiteouts, xattrs @ ..] = &found[..] else { panic!("{found:?}") };
        assert_eq!((whiteouts.count, whiteouts.places.len()), (1000, 5));
        assert_eq!(xattrs.len(), 20);
        assert_eq!(xattrs.iter().map(|f| f.count).sum::<usize>(), 1000);
    }
}
