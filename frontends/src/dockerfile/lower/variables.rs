//! Variables in the order in which they were set, and where ARGs get their values.

use std::collections::{BTreeMap, HashMap};

use routerpack_graph::Platform;

use super::super::ast::Dockerfile;
use super::super::expand::{Environment, Expander};
use super::error::LowerError;
use super::meter::Meter;

/// Names and values; a name that is set anew moves to the end, as in BuildKit's `EnvList`.
#[derive(Clone, Debug, Default)]
pub(in crate::dockerfile) struct Variables {
    /// By the order in which they were set.
    pairs: BTreeMap<usize, (String, String)>,
    /// Where each name is.
    places: HashMap<String, usize>,
    next: usize,
    size: usize,
}

impl Variables {
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        self.size += name.len() + value.len();
        let old = self.places.insert(name.to_string(), self.next).and_then(|place| self.pairs.remove(&place));
        if let Some((name, value)) = old {
            self.size -= name.len() + value.len();
        }
        self.pairs.insert(self.next, (name.to_string(), value));
        self.next += 1;
    }

    pub(in crate::dockerfile) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.pairs.values().map(|(name, _)| name.as_str())
    }

    /// The bytes of all names and values.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// `NAME=value`, in order.
    pub(super) fn pairs(&self) -> Vec<String> {
        self.pairs.values().map(|(name, value)| format!("{name}={value}")).collect()
    }
}

impl Environment for Variables {
    fn get(&self, name: &str) -> Option<&str> {
        self.places.get(name).map(|place| self.pairs[place].1.as_str())
    }
}

/// Name and value of an image config's `NAME=value`.
pub(super) fn split_pair(pair: &str) -> (&str, &str) {
    pair.split_once('=').unwrap_or((pair, ""))
}

/// The arguments that exist without being defined (BuildKit `dockerfile2llb/args.go`). A build argument
/// of the same name replaces their value.
pub(super) fn automatic(
    build: &Platform,
    target: &Platform,
    stage: &str,
    build_args: &BTreeMap<String, String>,
) -> Variables {
    let mut variables = Variables::default();
    for (prefix, platform) in [("BUILD", build), ("TARGET", target)] {
        for (suffix, value) in [
            ("PLATFORM", platform.to_string()),
            ("OS", platform.os.clone()),
            ("OSVERSION", String::new()),
            ("ARCH", platform.architecture.clone()),
            ("VARIANT", platform.variant.clone()),
        ] {
            let name = format!("{prefix}{suffix}");
            let value = build_args.get(&name).cloned().unwrap_or(value);
            variables.set(&name, value);
        }
    }
    let stage = if stage.is_empty() { "default" } else { stage };
    variables.set("TARGETSTAGE", build_args.get("TARGETSTAGE").map_or(stage, String::as_str));
    variables
}

/// The automatic arguments and those defined before the first FROM, each of which sees the ones before.
pub(super) fn global(
    file: &Dockerfile,
    automatic: Variables,
    build_args: &BTreeMap<String, String>,
    meter: &Meter,
) -> Result<Variables, LowerError> {
    let expander = Expander::new(file.escape);
    let mut variables = automatic;
    for (instruction, definition) in file.global_definitions() {
        let name = definition.name.as_str();
        let value = match (build_args.get(name), &definition.value) {
            (Some(value), _) => value.clone(),
            (None, Some(word)) => meter.expand(expander, &word.text, &variables, instruction.span)?.text,
            (None, None) => continue,
        };
        variables.set(name, value);
        meter.check_variables(&variables, instruction.span)?;
    }
    Ok(variables)
}
