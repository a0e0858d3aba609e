//! `--call=outline` and `--call=targets`: what a target takes, and which there are.

use routerpack_frontends::dockerfile::{
    Dockerfile,
    lower::{Needed, Outline},
};
use serde_json::{Value, json};

use crate::{call::location, context::Source};

/// An object of what isn't empty.
fn object(members: &[(&str, Value)]) -> Value {
    let is_empty = |value: &Value| match value {
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Bool(set) => !set,
        value => value.is_null(),
    };
    members
        .iter()
        .filter(|(_, value)| !is_empty(value))
        .map(|(name, value)| (name.to_string(), value.clone()))
        .collect()
}

/// A method of `--call`.
struct Named {
    name: &'static str,
    description: &'static str,
    /// Its options with their descriptions; none where BuildKit never made a list.
    options: Option<&'static [(&'static str, &'static str)]>,
}

/// The methods that BuildKit's frontend names (`frontend/dockerui/requests.go`, `describe`; it has `lint` too, and
/// doesn't name it).
const METHODS: [Named; 3] = [
    Named {
        name: "frontend.outline",
        description: "List all parameters current build target supports",
        options: Some(&[("target", "Target build stage")]),
    },
    Named { name: "frontend.targets", description: "List all targets current build supports", options: Some(&[]) },
    Named { name: "frontend.subrequests.describe", description: "List available subrequest types", options: None },
];

/// The version of all methods.
const VERSION: &str = "1.0.0";

/// BuildKit's list of `subrequests.Request`.
pub fn describe_json() -> Value {
    let named = |&(name, description): &(&str, &str)| json!({"name": name, "description": description});
    let method = |method: &Named| {
        let options = method.options.map(|options| options.iter().map(named).collect::<Vec<_>>());
        let results = [("result.json", ""), ("result.txt", "")].iter().map(named).collect::<Vec<_>>();
        json!({
            "name": method.name, "version": VERSION, "type": "rpc", "description": method.description,
            "opts": options, "inputs": null, "metadata": results, "refs": null,
        })
    };
    METHODS.iter().map(method).collect()
}

/// The list as a table.
pub fn describe_text() -> String {
    let row = |method: &Named| {
        [method.name.trim_start_matches("frontend."), VERSION, method.description].map(str::to_string).to_vec()
    };
    let head = ["NAME", "VERSION", "DESCRIPTION"].map(str::to_string).to_vec();
    table(std::iter::once(head).chain(METHODS.iter().map(row)).collect(), 1)
}

/// BuildKit's `targets.List`.
pub fn targets_json(file: &Dockerfile, source: &Source) -> Value {
    let last = file.stages.len() - 1;
    let targets = file.stages.iter().enumerate().map(|(index, stage)| {
        object(&[
            ("name", stage.name().unwrap_or_default().into()),
            ("default", (index == last).into()),
            ("description", stage.description().unwrap_or_default().into()),
            ("base", stage.from.image.as_str().into()),
            ("platform", stage.from.platform.as_ref().map_or("", |word| word.as_str()).into()),
            ("location", location(stage.instruction.lines)),
        ])
    });
    json!({"targets": targets.collect::<Vec<_>>(), "sources": [source.base64()]})
}

/// The list as a table.
pub fn targets_text(file: &Dockerfile) -> String {
    let last = file.stages.len() - 1;
    let rows = file.stages.iter().enumerate().map(|(index, stage)| {
        let name = match (stage.name().unwrap_or_default(), index == last) {
            ("", true) => "(default)".to_string(),
            (name, true) => format!("{name} (default)"),
            (name, false) => name.to_string(),
        };
        vec![name, stage.description().unwrap_or_default().to_string()]
    });
    table(std::iter::once(vec!["TARGET".into(), "DESCRIPTION".into()]).chain(rows).collect(), 1)
}

/// BuildKit's `outline.Outline`.
pub fn json(outline: &Outline, source: &Source) -> Value {
    let args = outline.args.iter().map(|argument| {
        object(&[
            ("name", argument.name.as_str().into()),
            ("description", argument.description.as_str().into()),
            ("value", argument.value.as_str().into()),
            ("location", location(argument.lines)),
        ])
    });
    let needed = |list: &[Needed]| -> Value {
        let one = |needed: &Needed| {
            object(&[
                ("name", needed.name.as_str().into()),
                ("required", needed.required.into()),
                ("location", location(needed.lines)),
            ])
        };
        list.iter().map(one).collect()
    };
    object(&[
        ("name", outline.name.as_str().into()),
        ("description", outline.description.as_str().into()),
        ("args", args.collect()),
        ("secrets", needed(&outline.secrets)),
        ("ssh", needed(&outline.ssh)),
        ("sources", json!([source.base64()])),
    ])
}

/// The outline as tables.
pub fn text(outline: &Outline) -> String {
    let mut text = String::new();
    let row = |cells: &[&str]| cells.iter().map(|cell| cell.to_string()).collect::<Vec<_>>();
    if !outline.name.is_empty() || !outline.description.is_empty() {
        let name = if outline.name.is_empty() { "(default)" } else { &outline.name };
        let mut rows = vec![row(&["TARGET:", name])];
        if !outline.description.is_empty() {
            rows.push(row(&["DESCRIPTION:", &outline.description]));
        }
        text += &(table(rows, 1) + "\n");
    }
    if !outline.args.is_empty() {
        let mut rows = vec![row(&["BUILD ARG", "VALUE", "DESCRIPTION"])];
        rows.extend(outline.args.iter().map(|a| row(&[&a.name, &a.value, &a.description])));
        text += &(table(rows, 3) + "\n");
    }
    for (title, list) in [("SECRET", &outline.secrets), ("SSH", &outline.ssh)] {
        if !list.is_empty() {
            let mut rows = vec![row(&[title, "REQUIRED"])];
            rows.extend(list.iter().map(|n| row(&[&n.name, if n.required { "true" } else { "" }])));
            text += &(table(rows, 3) + "\n");
        }
    }
    text
}

/// Columns, `gap` blanks apart, as Go's tabwriter sets them.
fn table(rows: Vec<Vec<String>>, gap: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default() + gap).collect();
    let mut text = String::new();
    for row in &rows {
        for (index, cell) in row.iter().enumerate() {
            match index + 1 == row.len() {
                true => text += cell,
                false => text += &format!("{cell:width$}", width = widths[index]),
            }
        }
        text.push('\n');
    }
    text
}
