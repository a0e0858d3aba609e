//! Variables in the order in which they were set, and where ARGs get their values.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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
        self.remove(name);
        self.size += name.len() + value.len();
        self.places.insert(name.to_string(), self.next);
        self.pairs.insert(self.next, (name.to_string(), value));
        self.next += 1;
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Some((name, value)) = self.places.remove(name).and_then(|place| self.pairs.remove(&place)) {
            self.size -= name.len() + value.len();
        }
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

/// An argument of global scope, as its last definition has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Global {
    /// Empty where that one gives none.
    pub value: String,
    /// The arguments that its default uses; those of former definitions with it, if it uses itself.
    pub uses: BTreeSet<String>,
}

/// The automatic arguments and those defined before the first FROM, each of which sees the ones before (BuildKit
/// `dockerfile2llb/convert.go`, `buildMetaArgs`).
pub(super) fn global(
    file: &Dockerfile,
    automatic: Variables,
    build_args: &BTreeMap<String, String>,
    meter: &Meter,
) -> Result<(Variables, BTreeMap<String, Global>), LowerError> {
    let expander = Expander::new(file.escape);
    let mut variables = automatic;
    let mut globals = BTreeMap::<String, Global>::new();
    for (instruction, definition) in file.global_definitions() {
        let name = definition.name.as_str();
        let mut global = Global::default();
        let value = match (build_args.get(name), &definition.value) {
            (Some(value), _) => Some(value.clone()),
            (None, Some(word)) => {
                let expansion = meter.expand(expander, word, &variables)?;
                global.uses = expansion.matched;
                if global.uses.remove(name)
                    && let Some(former) = globals.get_mut(name)
                {
                    let more = std::mem::replace(&mut global.uses, std::mem::take(&mut former.uses));
                    global.uses.extend(more);
                }
                Some(expansion.text)
            }
            (None, None) => None,
        };
        if let Some(value) = value {
            variables.set(name, value.as_str());
            global.value = value;
        }
        meter.check_variables(&variables, instruction.span)?;
        globals.insert(name.to_string(), global);
    }
    Ok((variables, globals))
}
