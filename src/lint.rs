//! What lint found: drawn, in a line each, and as BuildKit's JSON. Advice for routers stands apart: it fails nothing.

use std::cmp::Reverse;

use routerpack_frontends::dockerfile::{Diagnostic, LineIndex, LineRange, lint::Finding};
use routerpack_graph::show;
use routerpack_targets::{profile::Profile, rules};
use serde_json::{Value, json};

use crate::{
    call::location,
    context::Source,
    failure::Failure,
    notice::{self, Notice, Spot},
};

/// A line a finding, as a build lists them; nothing where nothing was found. Advice is counted only.
pub fn short(findings: &[Finding], profile: Profile) -> Option<String> {
    let (advice, warnings): (Vec<_>, Vec<_>) = sorted(findings).into_iter().partition(|f| is_advice(f, profile));
    let count = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    match (warnings.len(), advice.len()) {
        (0, 0) => None,
        (0, n) => Some(format!("{} for routers (--check shows it)", count(n, "piece of advice", "pieces of advice"))),
        (n, _) => {
            let mut text = format!("{} (use --check to expand):", count(n, "warning found", "warnings found"));
            warnings.iter().for_each(|finding| text += &format!("\n - {}", finding.short()));
            Some(text)
        }
    }
}

fn sorted(findings: &[Finding]) -> Vec<&Finding> {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| finding.lines.start);
    sorted
}

/// What a router's rule weighs; BuildKit's are all warnings.
fn weight(finding: &Finding, profile: Profile) -> rules::Severity {
    rules::find(finding.rule.name).map_or(rules::Severity::Warning, |rule| rule.level(profile).0)
}

/// Good to know for one with a router; no reason to fail a check.
fn is_advice(finding: &Finding, profile: Profile) -> bool {
    weight(finding, profile) == rules::Severity::Info
}

/// What one finding says, with its place.
pub fn notice(file: &Source, finding: &Finding, profile: Profile) -> Notice {
    let rule = finding.rule;
    let known = rules::find(rule.name);
    let more = match rule.url() {
        url if !url.is_empty() => Some(url),
        _ => known.map(|rule| format!("`routerpack explain {}` tells more", rule.id)),
    };
    Notice {
        weight: weight(finding, profile),
        rule: rule.name.into(),
        shows_rule: true,
        reason: Vec::new(),
        help: known.map(|rule| rule.cure.clone()).into_iter().chain(more).collect(),
        spot: Some(Spot::new(file, finding.span)),
        ..Notice::error(notice::BUILD, finding.detail.clone())
    }
}

/// What lint found, and what ends the build.
pub struct Report<'a> {
    /// The Dockerfile.
    pub file: &'a Source,
    /// What lint found.
    pub findings: &'a [Finding],
    /// What the parser warns of.
    pub warnings: &'a [Diagnostic],
    /// What is wrong.
    pub errors: &'a [Diagnostic],
    /// The errors are not the parser's.
    pub is_parsed: bool,
    /// Which RouterOS advice is for.
    pub profile: Profile,
}

impl Report<'_> {
    /// Whether there is more than advice.
    pub fn fails(&self) -> bool {
        !self.errors.is_empty() || self.notices().iter().any(|notice| notice.weight > rules::Severity::Info)
    }

    /// The errors, with their places.
    pub fn failure(&self) -> Failure {
        let kind = if self.is_parsed { notice::DEFINITION } else { notice::SYNTAX };
        Failure::of(self.errors.iter().map(|error| Notice::of(kind, self.file, error)).collect())
    }

    /// Warnings, then advice, each in the file's order; without the errors.
    pub fn notices(&self) -> Vec<Notice> {
        let found = self.findings.iter().map(|finding| notice(self.file, finding, self.profile));
        let warned = self.warnings.iter().map(|warning| Notice::of(notice::SYNTAX, self.file, warning));
        let mut all: Vec<Notice> = warned.chain(found).collect();
        let at = |notice: &Notice| notice.spot.as_ref().map_or(0, |spot| spot.range.start);
        all.sort_by_key(|notice| (Reverse(notice.weight), at(notice)));
        all
    }

    /// How many there are, and each of them drawn.
    pub fn text(&self) -> String {
        let notices = self.notices();
        let warnings = notices.iter().filter(|notice| notice.weight > rules::Severity::Info).count();
        let mut text = match (warnings, self.errors.is_empty()) {
            (0, true) => "Check complete, no warnings found.\n".to_string(),
            (0, false) => String::new(),
            (1, _) => "Check complete, 1 warning has been found!\n".to_string(),
            (n, _) => format!("Check complete, {n} warnings have been found!\n"),
        };
        notices.iter().for_each(|notice| text += &format!("\n{}\n", notice.draw()));
        text
    }

    /// An error in one line, as BuildKit says it.
    fn message(&self, error: &Diagnostic, lines: LineRange) -> String {
        let place = match self.is_parsed {
            true => String::new(),
            false => format!("dockerfile parse error on line {}: ", lines.start),
        };
        let reason = error.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let near = error.help.as_ref().filter(|help| help.starts_with("did you mean"));
        let near = near.map(|near| format!(" ({near})")).unwrap_or_default();
        format!("{place}{}{reason}{near}", error.message)
    }

    /// BuildKit's `LintResults`. What a router's rule weighs is one member more.
    pub fn json(&self) -> Value {
        let warning = |finding: &Finding| {
            let mut warning = json!({"ruleName": finding.rule.name, "description": finding.rule.description});
            let url = finding.rule.url();
            if !url.is_empty() {
                warning["url"] = url.into();
            }
            warning["detail"] = finding.detail.as_str().into();
            warning["location"] = location(finding.lines);
            if finding.rule.is_for_routers() {
                warning["severity"] = weight(finding, self.profile).to_string().into();
            }
            warning
        };
        let mut results = json!({
            "warnings": self.findings.iter().map(warning).collect::<Vec<_>>(),
            "sources": [{
                "filename": self.file.base_name(),
                "data": self.file.base64(),
                "definition": show::to_message(&self.file.definition()),
                "language": "Dockerfile",
            }],
        });
        if let Some(error) = self.errors.first() {
            let lines = LineIndex::new(&self.file.text).lines(error.span);
            results["buildError"] = json!({"message": self.message(error, lines), "location": location(lines)});
        }
        results
    }
}

#[cfg(test)]
mod tests {
    use routerpack_frontends::dockerfile::lint::rules::ALL;

    use super::*;

    #[test]
    fn rules_for_routers_can_be_explained() {
        let names: Vec<&str> = ALL.iter().filter(|rule| rule.is_for_routers()).map(|rule| rule.name).collect();
        assert_eq!(names, rules::dockerfile().iter().map(|rule| rule.id.as_str()).collect::<Vec<_>>());
    }
}
