//! What `--filter` says: `until=24h`, `type=mounts`, `id=…`, `description~=gcc`, `inuse`.
//!
//! Names and operators are those of `docker buildx du` and `prune` (buildx `commands/prune.go`; containerd's filters:
//! `==`, `!=`, `~=`, a name alone for presence), where they mean something here.

use std::time::{Duration, SystemTime};

use crate::inventory::{KINDS, Record};

/// One filter. A record has to pass all that are given.
#[derive(Clone, Debug)]
pub struct Filter(Test);

#[derive(Clone, Debug)]
enum Test {
    /// Not used for so long.
    Unused(Duration),
    InUse(bool),
    /// A field, whether it must match or must not, and what.
    Text(Field, bool, Pattern),
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Id,
    Kind,
    What,
}

#[derive(Clone, Debug)]
enum Pattern {
    Is(String),
    Matches(regex::Regex),
}

/// A filter that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("--filter {given}: {why}")]
pub struct InvalidFilter {
    given: String,
    why: String,
}

impl Filter {
    /// Reads one filter.
    pub fn parse(text: &str) -> Result<Self, InvalidFilter> {
        let fail = |why: String| InvalidFilter { given: text.into(), why };
        let name = &text[..text.find(['=', '!', '~']).unwrap_or(text.len())];
        let (operator, value) = match &text[name.len()..] {
            "" => ("", ""),
            rest => ["!=", "~=", "==", "="]
                .iter()
                .find_map(|op| Some((*op, rest.strip_prefix(op)?)))
                .ok_or_else(|| fail("expected NAME=VALUE, NAME!=VALUE or NAME~=EXPRESSION".into()))?,
        };
        let is = matches!(operator, "=" | "==");
        let test = match name {
            "until" | "unused-for" if is => Test::Unused(
                duration(value).ok_or_else(|| fail("expected a duration, such as 24h, 30m or 1h30m".into()))?,
            ),
            "inuse" if operator.is_empty() || is && value == "true" => Test::InUse(true),
            "inuse" if is && value == "false" => Test::InUse(false),
            "id" | "type" | "description" if !value.is_empty() => {
                let field = match name {
                    "id" => Field::Id,
                    "type" => Field::Kind,
                    _ => Field::What,
                };
                let pattern = match operator {
                    "~=" => Pattern::Matches(regex::Regex::new(value).map_err(|e| fail(e.to_string()))?),
                    _ if name == "type" => Pattern::Is(kind(value).map_err(fail)?.into()),
                    _ => Pattern::Is(value.into()),
                };
                Test::Text(field, operator != "!=", pattern)
            }
            _ => {
                return Err(fail(
                    "known are until=DURATION, type=, id=, description= (also != and ~=) and inuse".into(),
                ));
            }
        };
        Ok(Self(test))
    }

    /// Whether a record passes.
    pub fn passes(&self, record: &Record, now: SystemTime) -> bool {
        match &self.0 {
            Test::Unused(duration) => now.duration_since(record.used).unwrap_or_default() >= *duration,
            Test::InUse(wanted) => record.held == *wanted,
            Test::Text(field, wanted, pattern) => {
                let id = record.id();
                let (text, short) = match field {
                    Field::Id => (&*id, true),
                    Field::Kind => (record.kind.name, false),
                    Field::What => (&*record.what, false),
                };
                let matches = match pattern {
                    // As everywhere, the beginning of an id will do.
                    Pattern::Is(value) if short => text.starts_with(value.strip_prefix("sha256:").unwrap_or(value)),
                    Pattern::Is(value) => text == value,
                    Pattern::Matches(expression) => expression.is_match(text),
                };
                matches == *wanted
            }
        }
    }
}

/// A kind by our name for it or by BuildKit's (`client/diskusage.go`), which says less.
fn kind(value: &str) -> Result<&str, String> {
    match value {
        "regular" | "source.git.checkout" => Ok("snapshots"),
        "exec.cachemount" => Ok("mounts"),
        "source.local" => Ok("contexts"),
        _ if KINDS.iter().any(|kind| kind.name == value) => Ok(value),
        _ => {
            let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            Err(format!("there is no such type; known are {}", known.join(", ")))
        }
    }
}

/// A duration as Go writes them (`1h30m`, `1.5h`, `90s`, `500ms`), and days (`7d`).
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit = rest[number..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |n| number + n);
        let seconds = match &rest[number..unit] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return None,
        };
        sum += rest[..number].parse::<f64>().ok()? * seconds;
        rest = &rest[unit..];
    }
    if text.is_empty() { None } else { Duration::try_from_secs_f64(sum).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in
            [("24h", 86400.0), ("1h30m", 5400.0), ("1.5h", 5400.0), ("500ms", 0.5), ("7d", 604800.0), ("0s", 0.0)]
        {
            assert_eq!(duration(text).unwrap().as_secs_f64(), seconds, "{text}");
        }
        for bad in ["", "h", "24", "1x", "-1h", "1..2h", "99999999999999999999d"] {
            assert!(duration(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_record_passes_by_what_it_is() {
        let now = SystemTime::now();
        let record = Record {
            what: "RUN make".into(),
            used: now - Duration::from_secs(7200),
            ..Record::at(&KINDS[0], "snapshots/abcdef".into())
        };
        assert_eq!(record.kind.name, "snapshots");
        for (text, passes) in [
            ("until=1h", true),
            ("unused-for=3h", false),
            ("type=snapshots", true),
            ("type=regular", true),
            ("type!=regular", false),
            ("type=exec.cachemount", false),
            ("id=abc", true),
            ("id=sha256:abcdef", true),
            ("id!=abc", false),
            ("id=bc", false),
            ("description~=mak.", true),
            ("description==RUN make", true),
            ("inuse", false),
            ("inuse=false", true),
        ] {
            assert_eq!(Filter::parse(text).unwrap().passes(&record, now), passes, "{text}");
        }
        for bad in ["", "until", "until=x", "until!=1h", "type=nonsense", "id=", "colour=red", "id~=(", "inuse=maybe"] {
            assert!(Filter::parse(bad).is_err(), "{bad}");
        }
    }
}
