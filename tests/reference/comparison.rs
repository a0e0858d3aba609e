//! What differs between two builds of a Dockerfile.

use std::collections::BTreeSet;

use serde_json::Value;

use super::image::Image;
use super::support::archive::Entry;

/// What came of a build.
pub enum Built {
    /// An image.
    Image(Box<Image>),
    /// Nothing, and this was said.
    Refused(String),
}

/// Whether BuildKit refuses for a flag that it learnt after dockerfile/1.7: such a case is held against what its suite expects,
/// in tests/corpus, and there is nothing to compare it with here.
pub fn is_beyond(theirs: &Built) -> bool {
    let Built::Refused(why) = theirs else { return false };
    ["exclude", "parents", "unpack"].iter().any(|flag| why.contains(&format!("unknown flag: {flag}")))
}

/// All differences, each with the path or the key that it is at; routerpack's is the left one. `start` is when the first
/// build began: of two times after it, neither is defined by the Dockerfile. Nor is that of a directory which BuildKit writes
/// something into: there the kernel sets it to the moment, here it stays, so that a build gives the same bytes again.
pub fn compare(ours: &Built, theirs: &Built, start: u64) -> Vec<String> {
    let (ours, theirs) = match (ours, theirs) {
        (Built::Image(ours), Built::Image(theirs)) => (ours, theirs),
        (Built::Refused(_), Built::Refused(_)) => return Vec::new(),
        (Built::Refused(why), _) => return vec![format!("only routerpack refuses: {}", end(why))],
        (_, Built::Refused(why)) => return vec![format!("only BuildKit refuses: {}", end(why))],
    };
    let mut found = Vec::new();
    values("config", &comparable(&ours.config), &comparable(&theirs.config), &mut found);
    if ours.layers != theirs.layers {
        found.push(format!("{} layers but {}", ours.layers, theirs.layers));
    }
    let paths: BTreeSet<&String> = ours.files.keys().chain(theirs.files.keys()).collect();
    for path in paths {
        match (ours.files.get(path), theirs.files.get(path)) {
            (Some(a), Some(b)) => {
                let undefined = b.mtime >= start && (a.mtime >= start || a.kind == '5');
                let same_time = a.mtime == b.mtime || undefined;
                if !same_time || timeless(a) != timeless(b) {
                    found.push(format!("/{path}: {} but {}", show(Some(a)), show(Some(b))));
                }
            }
            (a, b) => found.push(format!("/{path}: {} but {}", show(a), show(b))),
        }
    }
    for group in ours.links.symmetric_difference(&theirs.links) {
        let who = if ours.links.contains(group) { "routerpack" } else { "BuildKit" };
        found.push(format!("hard links of {who} alone: {group:?}"));
    }
    found
}

/// An entry without its time, and without what BuildKit's layers leave out of its file system: all extended attributes but
/// capabilities.
fn timeless(entry: &Entry) -> Entry {
    let mut entry = Entry { mtime: 0, ..entry.clone() };
    entry.xattrs.retain(|name, _| name == "security.capability");
    entry
}

/// The end of what a builder said.
fn end(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(12)..].join("\n      ")
}

/// A config without what no two builds have alike, and with its history as either version of BuildKit writes it.
fn comparable(config: &Value) -> Value {
    let mut config = config.clone();
    let object = config.as_object_mut().unwrap();
    object.remove("created");
    // the layers' times are in it; how many there are is compared, and what they hold
    object.remove("rootfs");
    for step in object.get_mut("history").and_then(Value::as_array_mut).into_iter().flatten() {
        let step = step.as_object_mut().unwrap();
        step.remove("created");
        let text = step.get("created_by").and_then(Value::as_str).unwrap_or_default();
        let text = history(text);
        step.insert("created_by".into(), text.into());
    }
    config
}

/// A history's line. The form of some has changed since dockerfile/1.7, which Debian 13 has, while what they say is in the
/// config, too: EXPOSE's ports were a map in no order (`map[80/tcp:{}]`) and are a list, HEALTHCHECK's fields had no names,
/// ARG had the value of the Dockerfile where now the one of the build stands.
fn history(text: &str) -> String {
    if let Some(ports) = text.strip_prefix("EXPOSE ") {
        let ports = ports.trim_start_matches("map").trim_matches(['[', ']']);
        let ports: BTreeSet<&str> = ports.split(' ').map(|port| port.trim_end_matches(":{}")).collect();
        return format!("EXPOSE {ports:?}");
    }
    if let Some(definition) = text.strip_prefix("ARG ") {
        return format!("ARG {}", definition.split('=').next().unwrap_or_default());
    }
    if text.starts_with("HEALTHCHECK ") { "HEALTHCHECK".into() } else { text.into() }
}

/// Adds the places where two values differ.
fn values(place: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                let value = |object: &serde_json::Map<String, Value>| object.get(key).cloned().unwrap_or(Value::Null);
                values(&format!("{place}.{key}"), &value(a), &value(b), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                values(&format!("{place}[{at}]"), a, b, found);
            }
        }
        _ if ours == theirs => {}
        _ => found.push(format!("{place}: {ours} but {theirs}")),
    }
}

fn show(entry: Option<&Entry>) -> String {
    let Some(e) = entry else { return "nothing".into() };
    let data = String::from_utf8_lossy(&e.data[..e.data.len().min(40)]).into_owned();
    let mut text = format!("{} {:o} {}:{} @{}", e.kind, e.mode, e.uid, e.gid, e.mtime);
    if !e.link.is_empty() {
        text += &format!(" -> {:?}", e.link);
    }
    if e.kind == '0' {
        text += &format!(" {} bytes {data:?}", e.data.len());
    }
    if let Some(device) = e.device {
        text += &format!(" {device:?}");
    }
    if !e.xattrs.is_empty() {
        text += &format!(" {:?}", e.xattrs);
    }
    text
}
