//! SARIF 2.1.0 (OASIS): findings in the form that code scanners and editors take.

use serde_json::{Value, json};

use crate::rules::Severity;

/// A kind of finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub id: String,
    /// What it wants, in a sentence.
    pub title: String,
    /// The reason; empty: there is none to give.
    pub why: String,
    /// What to do; empty: that depends.
    pub help: String,
    /// The address of its page; empty: it has none.
    pub url: String,
}

/// A part of a text. Lines and columns count from 1, columns in UTF-16 code units; the end is the column behind the
/// last character (SARIF 3.30, and 3.14.17 for the unit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The first line.
    pub start_line: usize,
    /// The first column.
    pub start_column: usize,
    /// The last line.
    pub end_line: usize,
    /// The column behind the last one.
    pub end_column: usize,
}

/// A file, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file's path or address.
    pub file: String,
    /// The part; none: all of it.
    pub region: Option<Region>,
    /// Names inside of an archive.
    pub inside: Vec<String>,
    /// What it has to do with the finding; empty: it is the place.
    pub message: String,
}

/// A finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// By which rule: its id.
    pub rule: String,
    /// How much it weighs.
    pub severity: Severity,
    /// What was found.
    pub message: String,
    /// Where; none where it has no place.
    pub place: Option<Location>,
    /// Other places that have to do with it.
    pub related: Vec<Location>,
    /// What to put in the place's stead, and what that does.
    pub fix: Option<(String, String)>,
    /// Whatever else there is to say of it.
    pub properties: Value,
}

impl Region {
    fn json(&self) -> Value {
        json!({
            "startLine": self.start_line,
            "startColumn": self.start_column,
            "endLine": self.end_line,
            "endColumn": self.end_column,
        })
    }
}

impl Location {
    fn json(&self) -> Value {
        let mut physical = json!({ "artifactLocation": { "uri": uri(&self.file) } });
        if let Some(region) = &self.region {
            physical["region"] = region.json();
        }
        let mut location = json!({ "physicalLocation": physical });
        if !self.inside.is_empty() {
            let names = self.inside.iter().map(|name| json!({ "fullyQualifiedName": name }));
            location["logicalLocations"] = names.collect();
        }
        if !self.message.is_empty() {
            location["message"] = json!({ "text": self.message });
        }
        location
    }
}

impl Rule {
    fn json(&self) -> Value {
        let mut rule = json!({ "id": self.id, "shortDescription": { "text": self.title } });
        for (name, text) in [("fullDescription", &self.why), ("help", &self.help)] {
            if !text.is_empty() {
                rule[name] = json!({ "text": text });
            }
        }
        if !self.url.is_empty() {
            rule["helpUri"] = self.url.as_str().into();
        }
        rule
    }
}

impl Finding {
    fn json(&self, rules: &[Rule]) -> Value {
        let level = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "note",
        };
        let mut result = json!({ "ruleId": self.rule });
        if let Some(index) = rules.iter().position(|rule| rule.id == self.rule) {
            result["ruleIndex"] = index.into();
        }
        result["level"] = level.into();
        result["message"] = json!({ "text": self.message });
        if let Some(place) = &self.place {
            result["locations"] = json!([place.json()]);
        }
        if !self.related.is_empty() {
            result["relatedLocations"] = self.related.iter().map(Location::json).collect();
        }
        if let (Some((text, what)), Some(Location { file, region: Some(region), .. })) = (&self.fix, &self.place) {
            result["fixes"] = json!([{
                "description": { "text": what },
                "artifactChanges": [{
                    "artifactLocation": { "uri": uri(file) },
                    "replacements": [{ "deletedRegion": region.json(), "insertedContent": { "text": text } }],
                }],
            }]);
        }
        if !self.properties.is_null() {
            result["properties"] = self.properties.clone();
        }
        result
    }
}

/// A log of one run of the program in this version.
pub fn log(version: &str, rules: &[Rule], findings: &[Finding]) -> Value {
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "routerpack",
                "semanticVersion": version,
                "rules": rules.iter().map(Rule::json).collect::<Vec<_>>(),
            } },
            "columnKind": "utf16CodeUnits",
            "results": findings.iter().map(|finding| finding.json(rules)).collect::<Vec<_>>(),
        }],
    })
}

/// A path or address as a URI reference (RFC 3986): in a path, what is not unreserved or `/` is escaped.
fn uri(path: &str) -> String {
    if path.starts_with("https://") || path.starts_with("http://") {
        return path.to_string();
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    path.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_uris() {
        for (path, expected) in [
            ("out/my app#1.tar", "out/my%20app%231.tar"),
            ("ä", "%C3%A4"),
            ("https://host/Dockerfile?a=b", "https://host/Dockerfile?a=b"),
        ] {
            assert_eq!(uri(path), expected);
        }
    }
}
