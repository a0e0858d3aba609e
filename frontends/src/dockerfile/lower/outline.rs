//! What a target takes: its arguments, secrets and agents (BuildKit `dockerfile2llb/outline.go`).

use std::collections::{BTreeMap, BTreeSet};

use super::super::ast::{Dockerfile, Instruction};
use super::super::expand::Expander;
use super::super::instruction::ArgDefinition;
use super::super::span::LineRange;
use super::plan::{Base, Plan};
use super::variables::{Global, Variables};

/// The parameters of a target, each list in the file's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// The target's name; empty when it has none.
    pub name: String,
    /// The comment above its FROM.
    pub description: String,
    /// The arguments that it uses.
    pub args: Vec<Argument>,
    /// The secrets that its steps mount.
    pub secrets: Vec<Needed>,
    /// The agents that its steps mount.
    pub ssh: Vec<Needed>,
}

/// An argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// The comment above its definition.
    pub description: String,
    /// Its value now: that of a build argument, or the default; empty when it has none.
    pub value: String,
    /// The lines of the definition.
    pub lines: LineRange,
}

/// A secret or an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Its id.
    pub name: String,
    /// The build fails without it.
    pub required: bool,
    /// The lines of the RUN.
    pub lines: LineRange,
}

/// What a walk sees, by stages.
#[derive(Debug, Default)]
pub(super) struct Captured {
    /// Names of the arguments that a stage defines; `None`: the global definition counts.
    pub args: BTreeMap<usize, Vec<(String, Option<Argument>)>>,
    pub secrets: BTreeMap<usize, Vec<Needed>>,
    pub ssh: BTreeMap<usize, Vec<Needed>>,
}

/// Reads the outline off a finished walk.
pub(super) fn outline(
    file: &Dockerfile,
    plan: &Plan,
    globals: &Variables,
    defined: &BTreeMap<String, Global>,
    captured: &Captured,
) -> Outline {
    let stages = in_order(plan);
    let mut outline = Outline::default();
    if let Some(stage) = file.stages.get(plan.target) {
        outline.name = stage.name().unwrap_or_default().to_string();
        outline.description = stage.description().unwrap_or_default().to_string();
    }
    let defined = Globals::new(file, defined);
    let bases = base_variables(file, plan, globals);
    let mut seen = BTreeSet::new();
    for index in &stages {
        for argument in defined.used_by(&bases, captured, *index) {
            if seen.insert(argument.name.clone()) {
                outline.args.push(argument);
            }
        }
    }
    outline.args.sort_by_key(|argument| argument.lines.start);
    outline.secrets = collected(&stages, &captured.secrets);
    outline.ssh = collected(&stages, &captured.ssh);
    outline
}

/// The target, what it starts from, and what it takes from, each once.
fn in_order(plan: &Plan) -> Vec<usize> {
    let (mut order, mut seen, mut todo) = (Vec::new(), BTreeSet::new(), vec![plan.target]);
    while let Some(index) = todo.pop() {
        if seen.insert(index) {
            order.push(index);
            todo.extend(plan.needs(index).into_iter().rev());
        }
    }
    order
}

fn collected(stages: &[usize], found: &BTreeMap<usize, Vec<Needed>>) -> Vec<Needed> {
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    for needed in stages.iter().filter_map(|index| found.get(index)).flatten() {
        if seen.insert(&needed.name) {
            all.push(needed.clone());
        }
    }
    all.sort_by_key(|needed: &Needed| needed.lines.start);
    all
}

/// The variables of a stage's FROM, and the nearest stage below with any.
struct BaseVariables {
    names: BTreeSet<String>,
    below: Option<usize>,
}

/// Those of all stages of a file.
fn base_variables(file: &Dockerfile, plan: &Plan, globals: &Variables) -> Vec<BaseVariables> {
    let mut all: Vec<BaseVariables> = Vec::with_capacity(file.stages.len());
    for (index, stage) in file.stages.iter().enumerate() {
        let words = std::iter::once(&stage.from.image).chain(&stage.from.platform);
        let expansions = words.filter_map(|word| Expander::new(file.escape).expand(&word.text, globals).ok());
        let names = expansions.flat_map(|expansion| expansion.matched).collect();
        let below = match plan.stages[index].base {
            Base::Stage(base) if all[base].names.is_empty() => all[base].below,
            Base::Stage(base) => Some(base),
            _ => None,
        };
        all.push(BaseVariables { names, below });
    }
    all
}

/// The arguments before the first FROM, with those that their defaults use.
struct Globals(BTreeMap<String, (Argument, BTreeSet<String>)>);

impl Globals {
    fn new(file: &Dockerfile, globals: &BTreeMap<String, Global>) -> Self {
        let define = |(instruction, definition): (&Instruction, &ArgDefinition)| {
            let name = definition.name.text.clone();
            let global = globals.get(&name).cloned().unwrap_or_default();
            let argument = Argument {
                description: instruction.description(&name).unwrap_or_default().to_string(),
                value: global.value,
                lines: instruction.lines,
                name: name.clone(),
            };
            (name, (argument, global.uses))
        };
        Self(file.global_definitions().map(define).collect())
    }

    /// All that one stage uses: in its FROM and those of the stages below, and by its own ARGs.
    fn used_by(&self, bases: &[BaseVariables], captured: &Captured, index: usize) -> Vec<Argument> {
        let own: &[(String, Option<Argument>)] = captured.args.get(&index).map_or(&[], Vec::as_slice);
        let mut todo: Vec<String> = own.iter().map(|(name, _)| name.clone()).collect();
        for base in std::iter::successors(bases.get(index), |base| base.below.and_then(|index| bases.get(index))) {
            todo.extend(base.names.iter().cloned());
        }
        let defined_here: BTreeMap<&str, &Argument> =
            own.iter().filter_map(|(name, argument)| Some((name.as_str(), argument.as_ref()?))).collect();
        let mut used = BTreeSet::new();
        let mut arguments = Vec::new();
        while let Some(name) = todo.pop() {
            if !used.insert(name.clone()) {
                continue;
            }
            match (defined_here.get(name.as_str()).copied(), self.0.get(&name)) {
                (Some(argument), _) => arguments.push(argument.clone()),
                (None, Some((argument, uses))) => {
                    arguments.push(argument.clone());
                    todo.extend(uses.iter().cloned());
                }
                (None, None) => {}
            }
        }
        arguments
    }
}
