//! Stages as a graph: who starts from whom, who copies from whom, and which of them count.

use std::collections::HashMap;

use routerpack_graph::Platform;

use super::super::ast::{Dockerfile, Instruction, Word};
use super::super::csv;
use super::super::expand::Expander;
use super::super::instruction::Command;
use super::super::lint::Place;
use super::super::parser::parse_trigger;
use super::super::span::{LineRange, Span};
use super::contexts::ContextNames;
use super::error::{Fault, LowerError, MAX_FAULTS};
use super::meter::Meter;
use super::options::Options;
use super::variables::Variables;

/// Platforms that somebody may mean.
const PLATFORMS: [&str; 11] = [
    "arm64",
    "amd64",
    "linux/amd64",
    "linux/arm64",
    "linux/arm/v7",
    "linux/arm/v6",
    "linux/arm/v5",
    "linux/386",
    "linux/riscv64",
    "linux/ppc64le",
    "linux/s390x",
];

/// The base of nothing.
pub(super) const SCRATCH: &str = "scratch";

/// All stages: the Dockerfile's own, and behind them one for each image or context that is copied from.
pub(super) struct Plan {
    pub stages: Vec<Stage>,
    pub target: usize,
    /// How many of the stages are the Dockerfile's own.
    declared: usize,
    /// The last stage so far with a name.
    names: HashMap<String, usize>,
    /// The stage for each image or context that is copied from.
    implicit: HashMap<String, usize>,
    /// The stage at the bottom of each.
    owners: Vec<usize>,
}

/// A stage, its FROM expanded.
pub(super) struct Stage {
    /// The name given with AS, in lower case, or nothing.
    pub name: String,
    /// What the base is called.
    pub base_name: String,
    pub base: Base,
    /// `--platform`, or that of the stage it starts from.
    pub platform: Option<Platform>,
    /// FROM as written; nothing for an image that is copied from.
    pub original: String,
    pub span: Span,
    /// The word that names the base.
    pub base_span: Span,
    pub lines: Vec<LineRange>,
    /// A named context takes this stage's place.
    pub replaced_by: Option<String>,
    pub steps: Vec<Step>,
    /// Where lint's findings about its FROM are.
    pub place: Place,
    /// Not in the Dockerfile: an image or a context that is copied from.
    pub implicit: bool,
    /// The triggers of its base have been put in front of its steps.
    triggered: bool,
}

/// What a stage starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// An earlier stage.
    Stage(usize),
    /// Nothing.
    Scratch,
    /// An image, or the context that stands for it.
    Image,
}

/// An instruction in its stage.
pub(super) struct Step {
    pub instruction: Instruction,
    /// Where errors point: into the Dockerfile, always.
    pub span: Span,
    pub lines: Vec<LineRange>,
    /// It is a trigger of the base.
    pub onbuild: bool,
    /// The stages it takes from: COPY's one, or one a mount.
    pub sources: Vec<Option<usize>>,
    /// Where lint's findings about it are.
    pub place: Place,
}

impl Step {
    /// Where lint's findings about some bytes of it are.
    pub(super) fn place_at(&self, at: Span) -> Place {
        self.place.at(self.within(at))
    }

    /// Where some bytes of the instruction are; those of a trigger are in another file.
    pub(super) fn within(&self, span: Span) -> Span {
        if self.onbuild { self.span } else { span }
    }

    /// The bytes that name one of the stages that it takes from.
    pub(super) fn source_span(&self, source: usize) -> Span {
        let words = match &self.instruction.command {
            Command::Copy(copy) => copy.from.as_slice(),
            Command::Run(run) => &run.mounts,
            _ => &[],
        };
        let Some(word) = self.sources.iter().position(|s| *s == Some(source)).and_then(|n| words.get(n)) else {
            return self.span;
        };
        let fields = csv::fields(&word.text).unwrap_or_default();
        let from = fields.iter().rfind(|field| field.pair().0.eq_ignore_ascii_case("from"));
        self.within(from.map_or(word.span, |field| word.part(field.value())))
    }

    /// A fault about some bytes of it.
    pub(super) fn own(&self, fault: LowerError) -> LowerError {
        LowerError { span: self.within(fault.span), ..fault }
    }
}

impl Plan {
    /// Expands the FROMs, and finds who needs whom.
    pub(super) fn new(
        file: &Dockerfile,
        options: &Options,
        names: &ContextNames,
        globals: &Variables,
        meter: &Meter,
    ) -> Result<Self, LowerError> {
        let mut plan = Plan {
            stages: Vec::new(),
            target: 0,
            declared: file.stages.len(),
            names: HashMap::new(),
            implicit: HashMap::new(),
            owners: Vec::new(),
        };
        let mut faults = Vec::new();
        for stage in &file.stages {
            match plan.stage(stage, file.escape, options, names, globals, meter) {
                Ok(stage) => {
                    if !stage.name.is_empty() {
                        plan.names.insert(stage.name.to_ascii_lowercase(), plan.stages.len());
                    }
                    plan.stages.push(stage);
                }
                Err(fault) if faults.len() < MAX_FAULTS && !fault.is_final() => faults.push(fault),
                Err(fault) => {
                    faults.push(fault);
                    break;
                }
            }
        }
        LowerError::all(std::mem::take(&mut faults))?;
        plan.target = match &options.target {
            None => plan.declared - 1,
            Some(target) => plan.find_target(target)?,
        };
        for (index, stage) in file.stages.iter().enumerate() {
            for instruction in &stage.commands {
                match plan.step(instruction.clone(), None) {
                    Ok(step) => plan.stages[index].steps.push(step),
                    Err(fault) if faults.len() < MAX_FAULTS => faults.push(fault),
                    Err(_) => break,
                }
            }
        }
        LowerError::all(faults)?;
        plan.check_cycles()?;
        Ok(plan)
    }

    fn stage(
        &self,
        stage: &super::super::ast::Stage,
        escape: char,
        options: &Options,
        names: &ContextNames,
        globals: &Variables,
        meter: &Meter,
    ) -> Result<Stage, LowerError> {
        let (from, instruction) = (&stage.from, &stage.instruction);
        let expand = |word: &Word| {
            let expansion = meter.expand(Expander::new(escape), word, globals)?;
            meter.hold(expansion.text.len(), word.span)?;
            Ok(expansion.text)
        };
        let base_name = expand(&from.image)?;
        if base_name.is_empty() {
            let error = LowerError::new(from.image.span, Fault::BlankBase(from.image.text.clone()));
            let error = error.help("give the ARG a default before the first FROM, or a value with --build-arg");
            return Err(error.suggest_variable(&from.image, globals));
        }
        let platform = match &from.platform {
            None => None,
            Some(word) => {
                let written = expand(word)?;
                if written.is_empty() {
                    let error = LowerError::new(word.span, Fault::BlankPlatform(word.text.clone()));
                    let error = error.help("give the ARG a default before the first FROM, or leave --platform out");
                    return Err(error.suggest_variable(word, globals));
                }
                let parsed = Platform::parse(&written, &options.build_platform);
                Some(parsed.map_err(|source| {
                    let error = LowerError::new(word.span, Fault::Platform { written: written.clone(), source });
                    let error = error.help("write OS/ARCH[/VARIANT], such as linux/arm64 or linux/arm/v7");
                    error.suggest(&written, PLATFORMS)
                })?)
            }
        };
        let name = stage.name().unwrap_or_default().to_string();
        let wanted = platform.as_ref().unwrap_or(options.target_platform());
        let base = match self.by_name(&base_name) {
            Some(index) => Base::Stage(index),
            None if base_name == SCRATCH => Base::Scratch,
            None => Base::Image,
        };
        Ok(Stage {
            replaced_by: names.find(&name, wanted),
            name,
            base_name,
            base,
            platform,
            original: instruction.original.clone(),
            span: instruction.span,
            base_span: from.image.span,
            lines: instruction.line_ranges(),
            steps: Vec::new(),
            place: Place::of(instruction),
            implicit: false,
            triggered: false,
        })
    }

    /// The last stage so far with this name, letter case aside.
    fn by_name(&self, name: &str) -> Option<usize> {
        self.names.get(&name.to_ascii_lowercase()).copied()
    }

    fn find_target(&self, target: &str) -> Result<usize, LowerError> {
        let by_number = || target.parse().ok().filter(|index| *index < self.declared);
        self.by_name(target).or_else(by_number).ok_or_else(|| {
            let names = self.stages.iter().map(|stage| stage.name.as_str());
            let last = self.stages.last().map(|stage| stage.span).unwrap_or_default();
            let known: Vec<&str> = names.clone().filter(|name| !name.is_empty()).collect();
            let error = LowerError::new(last, Fault::UnknownTarget(target.into())).suggest(target, known.clone());
            match (&error.help, known.is_empty()) {
                (None, false) => error.help(format!("the stages are: {}", known.join(", "))),
                (None, true) => error.help("no stage has a name; add one with AS, or count from 0"),
                _ => error,
            }
        })
    }

    /// An instruction with its sources; images that no stage is named after are added as stages. `base` is
    /// the FROM to blame for a trigger.
    fn step(&mut self, instruction: Instruction, base: Option<(Span, &[LineRange])>) -> Result<Step, LowerError> {
        let span = base.map_or(instruction.span, |(span, _)| span);
        let lines = base.map_or_else(|| instruction.line_ranges(), |(_, lines)| lines.to_vec());
        let at = |of: Span| if base.is_some() { span } else { of };
        let sources = match &instruction.command {
            Command::Copy(copy) => match &copy.from {
                Some(from) => vec![Some(self.copy_source(&from.text, at(from.span))?)],
                None => Vec::new(),
            },
            Command::Run(run) => run.mounts.iter().map(|word| self.mount_source(word, at)).collect(),
            _ => Vec::new(),
        };
        // A trigger's own comments belong to another file.
        let own = if base.is_some() { None } else { instruction.check_options() };
        let place = Place { span, lines: LineRange::around(&lines), own };
        Ok(Step { onbuild: base.is_some(), instruction, span, lines, sources, place })
    }

    /// The stage that COPY takes from. The parser has seen to it that the name has no variables.
    fn copy_source(&mut self, from: &str, span: Span) -> Result<usize, LowerError> {
        match from.parse::<i64>() {
            Ok(number) => usize::try_from(number).ok().filter(|index| *index < self.declared).ok_or_else(|| {
                let last = self.declared - 1;
                LowerError::new(span, Fault::StageIndex(from.into())).help(format!("stages count from 0 to {last}"))
            }),
            Err(_) => Ok(self.by_name(from).unwrap_or_else(|| self.implicit(from, span))),
        }
    }

    /// The stage that a mount is of. Only `from` and `type` matter here, and `from` has no variables.
    fn mount_source(&mut self, word: &Word, at: impl Fn(Span) -> Span) -> Option<usize> {
        let fields = csv::fields(&word.text).unwrap_or_default();
        let field = |key: &str| fields.iter().rfind(|field| field.pair().0.eq_ignore_ascii_case(key));
        let value = |key: &str| field(key).and_then(|field| field.pair().1);
        let from = value("from").filter(|from| !from.is_empty())?;
        if value("type").is_some_and(|kind| kind.eq_ignore_ascii_case("tmpfs")) {
            return None;
        }
        let span = at(word.part(field("from")?.value()));
        Some(self.by_name(from).unwrap_or_else(|| self.implicit(from, span)))
    }

    fn implicit(&mut self, name: &str, span: Span) -> usize {
        if let Some(index) = self.implicit.get(name) {
            return *index;
        }
        self.implicit.insert(name.into(), self.stages.len());
        self.stages.push(Stage {
            name: String::new(),
            base_name: name.into(),
            base: if name == SCRATCH { Base::Scratch } else { Base::Image },
            platform: None,
            original: String::new(),
            span,
            base_span: span,
            lines: Vec::new(),
            replaced_by: None,
            steps: Vec::new(),
            place: Place { span, lines: LineRange::default(), own: None },
            implicit: true,
            triggered: false,
        });
        self.stages.len() - 1
    }

    /// What a progress display calls a stage. A lone one needs no name.
    pub(super) fn label(&self, index: usize) -> String {
        let stage = &self.stages[index];
        match (self.stages.len(), stage.implicit) {
            (1, _) | (_, true) => String::new(),
            _ if stage.name.is_empty() => format!("stage-{index}"),
            _ => stage.name.clone(),
        }
    }

    /// Puts triggers in front of a stage's steps; once. Says whether the stage needs others because of them.
    pub(super) fn trigger(&mut self, index: usize, triggers: &[String], meter: &Meter) -> Result<bool, LowerError> {
        if std::mem::replace(&mut self.stages[index].triggered, true) || triggers.is_empty() {
            return Ok(false);
        }
        let (span, lines) = (self.stages[index].base_span, self.stages[index].lines.clone());
        let mut steps = Vec::new();
        for trigger in triggers {
            // Many stages may each have the many triggers of one.
            meter.hold(trigger.len() + size_of::<Step>(), span)?;
            let instruction = parse_trigger(trigger).map_err(|diagnostics| {
                let reasons: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
                let fault = Fault::Trigger { trigger: trigger.clone(), reason: reasons.join("; ") };
                LowerError::new(span, fault).help("the base image itself is wrong: use another one")
            })?;
            steps.push(self.step(instruction, Some((span, &lines)))?);
        }
        let needs_others = steps.iter().any(|step| step.sources.iter().any(Option::is_some));
        steps.append(&mut self.stages[index].steps);
        self.stages[index].steps = steps;
        Ok(needs_others)
    }

    /// The triggers that a stage hands on to those that start from it.
    pub(super) fn triggers_of(&self, index: usize) -> Vec<String> {
        let trigger = |step: &Step| match &step.instruction.command {
            Command::Onbuild(onbuild) => Some(onbuild.expression.clone()),
            _ => None,
        };
        self.stages[index].steps.iter().filter_map(trigger).collect()
    }

    /// The stages that `index` takes from: its base first, then its steps' sources.
    pub(super) fn needs(&self, index: usize) -> Vec<usize> {
        let stage = &self.stages[index];
        if stage.replaced_by.is_some() {
            return Vec::new();
        }
        let base = match stage.base {
            Base::Stage(base) => Some(base),
            _ => None,
        };
        base.into_iter().chain(stage.steps.iter().flat_map(|step| step.sources.iter().copied().flatten())).collect()
    }

    /// For each stage, whether the target needs it.
    pub(super) fn reachable(&self) -> Vec<bool> {
        let mut reachable = vec![false; self.stages.len()];
        let mut todo = vec![self.target];
        while let Some(index) = todo.pop() {
            if !std::mem::replace(&mut reachable[index], true) {
                todo.extend(self.needs(index));
            }
        }
        reachable
    }

    /// Finds the stage at the bottom of each; once the stages are complete.
    pub(super) fn find_owners(&mut self) {
        for (index, stage) in self.stages.iter().enumerate() {
            let owner = match (stage.base, &stage.replaced_by) {
                // it stands before this one
                (Base::Stage(base), None) => self.owners[base],
                _ => index,
            };
            self.owners.push(owner);
        }
    }

    /// The stage at the bottom of a stage: what that one starts from is what they all use.
    pub(super) fn owner(&self, index: usize) -> usize {
        self.owners[index]
    }

    /// Refuses stages that need each other.
    pub(super) fn check_cycles(&self) -> Result<(), LowerError> {
        // 0: not seen, 1: on the current path, 2: done. A stack instead of recursion: a file may have
        // thousands of stages in a row.
        let mut marks = vec![0u8; self.stages.len()];
        let needs: Vec<Vec<usize>> = (0..self.stages.len()).map(|index| self.needs(index)).collect();
        for start in 0..self.stages.len() {
            let mut stack = vec![(start, 0)];
            while let Some((index, next)) = stack.pop() {
                if next == 0 {
                    if marks[index] != 0 {
                        continue;
                    }
                    marks[index] = 1;
                }
                match needs[index].get(next) {
                    Some(need) if marks[*need] == 1 => return Err(self.cycle(index, *need)),
                    Some(need) => stack.extend([(index, next + 1), (*need, 0)]),
                    None => marks[index] = 2,
                }
            }
        }
        Ok(())
    }

    fn cycle(&self, index: usize, need: usize) -> LowerError {
        let stage = &self.stages[index];
        let closes = |step: &&Step| step.sources.contains(&Some(need));
        let span = stage.steps.iter().find(closes).map_or(stage.base_span, |step| step.source_span(need));
        let label = |index: usize| match self.label(index) {
            label if label.is_empty() => index.to_string(),
            label => label,
        };
        let help = match index == need {
            true => "a stage can't take from itself: name another one".into(),
            false => format!("{} and {} need each other: move what both need into a third", label(index), label(need)),
        };
        LowerError::new(span, Fault::Circular(label(need))).help(help)
    }
}
