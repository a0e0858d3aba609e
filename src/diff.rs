//! `routerpack diff`: what changed between two images, files and config.

use std::{
    io::{self, BufWriter, Write},
    process::ExitCode,
};

use routerpack_graph::ImageConfig;
use routerpack_rootfs::{Aspects, Difference, Entry, Kind, compare, path};
use serde_json::{Value, json};

use crate::{
    args::{Cli, DiffArgs},
    failure::Failure,
    ls,
    progress::printable,
    source::Opener,
};

/// Compares and prints.
pub fn diff(cli: &Cli, args: &DiffArgs) -> Result<ExitCode, Failure> {
    if let Some(format) = args.format.as_deref().filter(|f| *f != "json") {
        return Err(Failure::usage(format!("--format {format}: only json is known here")));
    }
    let opener = Opener::quiet(cli, args.platform.as_deref())?;
    let (a, b) = (opener.open(&args.a)?, opener.open(&args.b)?);
    let tree = |source: &crate::source::Source| opener.strata.tree(&source.rootfs).map_err(Failure::new);
    let (old, new) = (tree(&a)?, tree(&b)?);
    let files = compare(&old, &new, args.times).map_err(Failure::new)?;
    let config = config(&a.config, &b.config)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match args.format {
        Some(_) => {
            let files: Vec<Value> = files.iter().map(file_json).collect();
            let config = config.iter().map(|(field, a, b)| json!({"field": field, "from": a, "to": b}));
            writeln!(out, "{:#}", json!({"files": files, "config": config.collect::<Vec<_>>()}))
        }
        None => files.iter().try_for_each(|d| writeln!(out, "{}", file_text(d))).and_then(|()| {
            let word = |v: &Value| if v.is_null() { "-".into() } else { printable(v.to_string().as_bytes()) };
            config.iter().try_for_each(|(field, a, b)| writeln!(out, "config {field}: {} -> {}", word(a), word(b)))
        }),
    };
    ls::finish(written.and_then(|()| out.flush()))
}

/// Members of the config that differ. What every build changes (times, history, layers) is left out.
fn config(a: &ImageConfig, b: &ImageConfig) -> Result<Vec<(String, Value, Value)>, Failure> {
    let members = |config: &ImageConfig| -> Result<serde_json::Map<String, Value>, Failure> {
        let mut value = serde_json::to_value(config).map_err(Failure::new)?;
        let mut members = match value["config"].take() {
            Value::Object(members) => members,
            _ => serde_json::Map::new(),
        };
        for name in ["os", "architecture", "variant", "author"] {
            if !value[name].is_null() {
                members.insert(name.into(), value[name].take());
            }
        }
        Ok(members)
    };
    let (a, b) = (members(a)?, members(b)?);
    let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
    names.sort();
    names.dedup();
    let of = |members: &serde_json::Map<String, Value>, name: &str| members.get(name).cloned().unwrap_or_default();
    let all = names.into_iter().map(|name| (name.clone(), of(&a, name), of(&b, name)));
    Ok(all.filter(|(_, a, b)| a != b).collect())
}

fn file_text(difference: &Difference) -> String {
    let name = |e: &Entry| format!("/{}", path::show(&e.path));
    let whole = |sign: char, e: &Entry| format!("{sign} {} {:>10}  {}", ls::mode(e), e.size, name(e));
    match difference {
        Difference::Added(e) => whole('A', e),
        Difference::Deleted(e) => whole('D', e),
        Difference::Changed(a, b, aspects) => {
            format!("C {} {:>10}  {}  ({})", ls::mode(b), b.size, name(b), details(a, b, *aspects))
        }
    }
}

fn details(a: &Entry, b: &Entry, aspects: Aspects) -> String {
    let detail = |what: &str| match what {
        "mode" => format!("mode {:04o} -> {:04o}", a.mode, b.mode),
        "owner" => format!("owner {}:{} -> {}:{}", a.uid, a.gid, b.uid, b.gid),
        "content" if a.size != b.size => format!("size {} -> {}", a.size, b.size),
        "content" if a.kind == Kind::Symlink => format!("target {} -> {}", path::show(a.link()), path::show(b.link())),
        "type" => format!("type {} -> {}", ls::kind(a), ls::kind(b)),
        "time" => format!("time {} -> {}", ls::time(a), ls::time(b)),
        other => other.to_string(),
    };
    aspects.names().map(detail).collect::<Vec<_>>().join(", ")
}

fn file_json(difference: &Difference) -> Value {
    let name = |e: &Entry| format!("/{}", path::show(&e.path));
    match difference {
        Difference::Added(e) => json!({"path": name(e), "change": "added", "to": ls::json(e)}),
        Difference::Deleted(e) => json!({"path": name(e), "change": "deleted", "from": ls::json(e)}),
        Difference::Changed(a, b, aspects) => json!({
            "path": name(b), "change": "changed", "what": aspects.names().collect::<Vec<_>>(), "from": ls::json(a), "to": ls::json(b),
        }),
    }
}
