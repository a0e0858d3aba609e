//! What lint found, as `docker buildx build` shows it. Advice for routers stands apart: it fails nothing.

use std::fmt::Write;

use routerpack_frontends::dockerfile::{Diagnostic, LineIndex, LineRange, lint::Finding};
use routerpack_graph::show;
use routerpack_targets::{profile::Profile, rules};
use serde_json::{Value, json};

use crate::{call::location, context::Source};

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

/// What lint found, and what ends the build.
pub struct Report<'a> {
    /// The Dockerfile.
    pub file: &'a Source,
    /// What lint found.
    pub findings: &'a [Finding],
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
        !self.errors.is_empty() || self.findings.iter().any(|finding| !is_advice(finding, self.profile))
    }

    /// As buildx prints it, without the errors.
    pub fn text(&self) -> String {
        let (advice, warnings): (Vec<_>, Vec<_>) =
            sorted(self.findings).into_iter().partition(|finding| is_advice(finding, self.profile));
        let mut text = match (warnings.len(), self.errors.is_empty()) {
            (0, true) => "Check complete, no warnings found.\n".to_string(),
            (0, false) => String::new(),
            (1, _) => "Check complete, 1 warning has been found!\n".to_string(),
            (n, _) => format!("Check complete, {n} warnings have been found!\n"),
        };
        for (kind, findings) in [("WARNING", warnings), ("ADVICE", advice)] {
            for finding in findings {
                let page = match finding.rule.url() {
                    url if !url.is_empty() => format!(" - {url}"),
                    _ if finding.rule.is_for_routers() => format!(" - routerpack explain {}", finding.rule.name),
                    _ => String::new(),
                };
                text += &format!("\n{kind}: {}{page}\n{}\n", finding.rule.name, finding.detail);
                text += &excerpt(self.file, finding.lines);
            }
        }
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

/// The lines of an instruction with some around them, as BuildKit prints them (`solver/errdefs/source.go`).
fn excerpt(file: &Source, marked: LineRange) -> String {
    let lines: Vec<&str> = file.text.split('\n').collect();
    let (mut first, mut last) = (marked.start.max(1), marked.end.min(lines.len()));
    if first > lines.len() {
        return String::new();
    }
    let room = if first == last { 4 } else { 2 };
    let mut added = 0;
    while added < room {
        if first > 1 {
            first -= 1;
            added += 1;
        }
        if last < lines.len() {
            last += 1;
            added += 1;
        }
        added += 1;
    }
    let mut text = format!("{}:{}\n--------------------\n", file.file, marked.start);
    for (number, line) in (first..=last).zip(&lines[first - 1..]) {
        let mark = if (marked.start..=marked.end).contains(&number) { ">>>" } else { "   " };
        let _ = writeln!(text, " {number:3} | {mark} {}", line.trim_end_matches('\r'));
    }
    text + "--------------------\n"
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

    #[test]
    fn excerpts_are_those_of_the_reference() {
        let file = Source { file: "Dockerfile".into(), text: "a\nb\nc\nd\ne\nf".into(), origin: None };
        let lines = |start, end| excerpt(&file, LineRange { start, end });
        assert_eq!(
            lines(3, 3),
            "Dockerfile:3\n--------------------\n   1 |     a\n   2 |     b\n   3 | >>> c\n   4 |     d\n   5 |     e\n--------------------\n"
        );
        assert_eq!(
            lines(1, 2),
            "Dockerfile:1\n--------------------\n   1 | >>> a\n   2 | >>> b\n   3 |     c\n--------------------\n"
        );
        assert_eq!(lines(7, 7), "");
    }
}
