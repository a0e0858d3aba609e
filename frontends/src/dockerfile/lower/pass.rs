//! One walk over the needed stages, bottom-up: every step becomes an op.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use routerpack_graph::source::Image;
use routerpack_graph::{Constraints, ImageConfig, Output, SourceLocation, SourceMap, pb};

use super::super::ast::{Dockerfile, Word};
use super::super::expand::{self, Environment, Expander, Expansion, Quotes};
use super::super::instruction::Command;
use super::super::lint::instruction::{self as rules, Once};
use super::super::lint::{Lint, Place, router};
use super::super::span::{LineRange, Span};
use super::bases::Resolutions;
use super::contexts;
use super::error::{Fault, LowerError, MAX_FAULTS};
use super::meter::Meter;
use super::options::{DEFAULT_PATH, Options};
use super::outline::Captured;
use super::plan::{Base, Plan, Step};
use super::resolver::{Context, Resolver};
use super::state::{Owner, Paths, State, Titles};
use super::variables::{Variables, split_pair};

/// The description key of an instruction's own text.
const COMMAND: &str = "com.docker.dockerfile.v1.command";

/// Everything that is settled before the walk.
#[derive(Clone)]
pub(super) struct Pass<'a> {
    pub file: &'a Dockerfile,
    pub options: &'a Options,
    pub plan: &'a Plan,
    pub resolutions: &'a Resolutions,
    pub reachable: &'a [bool],
    pub globals: &'a Variables,
    /// Seconds.
    pub epoch: Option<i64>,
    pub map: Arc<SourceMap>,
    /// Who is asked what the ignore file leaves out.
    pub resolver: &'a dyn Resolver,
    /// Where the first walk takes note of things.
    pub notes: Option<&'a Notes>,
    /// What is used of each directory; empty in the first walk.
    pub paths: Paths,
}

/// What is learnt while walking, besides the graph.
#[derive(Default)]
pub(super) struct Notes {
    pub lint: RefCell<Lint>,
    pub captured: RefCell<Captured>,
}

/// The walk.
pub(super) struct Walk<'a> {
    pub pass: &'a Pass<'a>,
    /// The stages that are finished.
    pub done: BTreeMap<usize, State>,
    /// What has been used of each directory.
    pub used: Paths,
    /// The main context.
    pub context: Option<Output>,
    pub meter: Meter,
    /// What is wrong so far.
    faults: Vec<LowerError>,
}

/// The stage that is being lowered, besides its [`State`].
pub(super) struct Current {
    pub index: usize,
    pub label: String,
    pub titles: Titles,
    pub ignore_cache: bool,
    /// CMD was set in this stage, so ENTRYPOINT keeps it.
    pub has_cmd: bool,
    pub once: Once,
}

impl Pass<'_> {
    /// Lowers all stages that are needed; gives the target's state, and the paths that were used.
    pub(super) fn run(&self) -> Result<(State, Paths), LowerError> {
        let mut walk = Walk {
            pass: self,
            done: BTreeMap::new(),
            used: Paths::default(),
            context: self.context(),
            meter: Meter::default(),
            faults: Vec::new(),
        };
        let needed = (0..self.reachable.len()).filter(|index| self.reachable[*index]);
        // What isn't a stage of its own has no needs, and others need it.
        let (ready, own): (Vec<_>, Vec<_>) = needed.partition(|index| {
            let stage = &self.plan.stages[*index];
            stage.implicit || stage.replaced_by.is_some()
        });
        for index in ready {
            let state = walk.start(index, &mut Titles::default())?;
            walk.done.insert(index, state);
        }
        for index in own {
            let state = walk.stage(index)?;
            walk.done.insert(index, state);
        }
        LowerError::all(std::mem::take(&mut walk.faults))?;
        let target = self.plan.target;
        walk.used.add(self.owner(target), "/");
        let used = std::mem::take(&mut walk.used);
        let mut history = Vec::new();
        for index in self.bases(target) {
            let lines = walk.done.get_mut(&index).map(|state| std::mem::take(&mut state.image.history));
            history.push(lines.unwrap_or_default());
        }
        match walk.done.remove(&target) {
            Some(mut state) => {
                state.image.history = history.into_iter().rev().flatten().collect();
                Ok((state, used))
            }
            None => Err(LowerError::new(Span::default(), Fault::UnknownTarget(self.plan.label(target)))),
        }
    }

    /// The target as the rules for routers look at it; `image` is its finished config.
    pub(super) fn for_router<'s>(&'s self, image: &'s ImageConfig) -> router::Target<'s> {
        let chain: Vec<usize> = self.bases(self.plan.target).collect();
        let lowest = chain.last().copied().unwrap_or(self.plan.target);
        let stage = &self.plan.stages[lowest];
        let base = self.resolutions.get(&lowest).filter(|resolution| resolution.is_image());
        let steps = chain.iter().rev().filter(|index| self.plan.stages[**index].replaced_by.is_none());
        let steps = steps.flat_map(|index| &self.plan.stages[*index].steps);
        router::Target {
            from: self.plan.stages[self.plan.target].place.clone(),
            instructions: steps.map(|step| (step.place.clone(), &step.instruction)).collect(),
            base: base.map(|resolution| router::Base {
                from: stage.place.clone(),
                name: &stage.base_name,
                wanted: &resolution.platform,
                found: resolution.image.platform(),
            }),
            image,
        }
    }

    /// A stage, the stage that it starts from, and so on down.
    pub(super) fn bases(&self, index: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(index), |index| {
            let stage = &self.plan.stages[*index];
            match (stage.base, &stage.replaced_by) {
                (Base::Stage(base), None) => Some(base),
                _ => None,
            }
        })
    }

    /// The stage at the bottom of a stage: what that one starts from is what they all use.
    pub(super) fn owner(&self, index: usize) -> Owner {
        Owner::Stage(self.plan.owner(index))
    }

    /// The main context.
    fn context(&self) -> Option<Output> {
        let paths = self.paths.followed(Owner::Main);
        contexts::output(&self.options.context, None, paths, self.options.target_platform())
    }

    /// Where in the file something is.
    pub(super) fn location(&self, lines: &[LineRange]) -> SourceLocation {
        let at = |line: usize| Some(pb::Position { line: line.try_into().unwrap_or(i32::MAX), character: 0 });
        let ranges = lines.iter().map(|lines| pb::Range { start: at(lines.start), end: at(lines.end) }).collect();
        SourceLocation { map: self.map.clone(), ranges }
    }

    /// The time for files and directories that steps make, in nanoseconds.
    pub(super) fn timestamp(&self) -> Option<i64> {
        self.epoch.map(|seconds| seconds.saturating_mul(1_000_000_000))
    }

    pub(super) fn expander(&self) -> Expander {
        Expander::new(self.file.escape)
    }
}

impl Walk<'_> {
    /// A stage before its first instruction.
    fn start(&mut self, index: usize, titles: &mut Titles) -> Result<State, LowerError> {
        let pass = self.pass;
        let stage = &pass.plan.stages[index];
        let created = created(pass.epoch);
        if let (Base::Stage(base), None) = (stage.base, &stage.replaced_by)
            && let Some(state) = self.done.get(&base)
        {
            self.meter.hold(state.size(), stage.span)?;
            let mut state = state.clone();
            state.image.config.on_build.clear();
            // Each stage keeps its own lines: with all of them in each, memory would grow with the square.
            state.image.history.clear();
            return Ok(state);
        }
        // Every needed stage that doesn't start from another one has been resolved.
        let resolution = &pass.resolutions[&index];
        let platform = resolution.platform.clone();
        let mut env = Variables::default();
        for pair in &resolution.image.config.env {
            let (name, value) = split_pair(pair);
            env.set(name, value);
        }
        let paths = pass.paths.followed(Owner::Stage(index));
        let root = match (&resolution.context, &resolution.context_name) {
            (Context::Image(image), None) => {
                let reference = contexts::pinned(&image.reference, image.digest.as_ref());
                let title = titles.next(&format!("FROM {reference}"), false, &platform, &Variables::default());
                let constraints = Constraints::on(&platform).named(title).located(pass.location(&stage.lines));
                let constraints = match stage.original.is_empty() {
                    true => constraints,
                    false => constraints.described(COMMAND, &stage.original),
                };
                Some(Image::new(reference).output(&constraints))
            }
            (context, name) => contexts::output(context, name.as_deref(), paths, &platform),
        };
        let mut image = resolution.image.clone();
        image.config.on_build.clear();
        Ok(State {
            root,
            image,
            env,
            places: HashMap::new(),
            dir: "/".into(),
            user: String::new(),
            platform,
            args: Vec::new(),
            declared: HashSet::new(),
            has_workdir: false,
            created,
        })
    }

    fn stage(&mut self, index: usize) -> Result<State, LowerError> {
        let pass = self.pass;
        let stage = &pass.plan.stages[index];
        let counts = |step: &&Step| {
            let command = &step.instruction.command;
            matches!(command, Command::Run(_) | Command::Copy(_) | Command::Add(_) | Command::Workdir(_))
        };
        let total = stage.steps.iter().filter(counts).count() + usize::from(stage.base == Base::Image);
        let label = pass.plan.label(index);
        let mut titles = Titles { stage: label.clone(), total, index: 0, platform: pass.options.multi_platform };
        let mut state = self.start(index, &mut titles)?;

        let has_path = state.image.config.env.iter().any(|pair| split_pair(pair).0 == "PATH");
        if !has_path && state.platform.os != "windows" {
            state.image.config.env.push(format!("PATH={DEFAULT_PATH}"));
        }
        for (place, pair) in state.image.config.env.iter().enumerate() {
            let (name, value) = split_pair(pair);
            state.env.set(name, value);
            state.places.entry(name.to_string()).or_insert(place);
        }
        if !state.image.config.working_dir.is_empty() {
            let dir = super::path::workdir("/", &state.image.config.working_dir);
            state.dir.clone_from(&dir);
            state.image.config.working_dir = dir;
        }
        state.user = state.image.config.user.clone();

        let ignore_cache = pass.options.ignores_cache(&stage.name);
        let mut current = Current { index, label, titles, ignore_cache, has_cmd: false, once: Once::default() };
        for step in &stage.steps {
            let Err(fault) = self.step(&mut state, &mut current, step) else { continue };
            if fault.is_final() {
                return Err(fault);
            }
            let at = fault.span;
            self.faults.push(fault);
            if self.faults.len() == MAX_FAULTS {
                self.faults.push(LowerError::new(at, Fault::TooMany).help("mend the first ones and try again"));
                LowerError::all(std::mem::take(&mut self.faults))?;
            }
            // Without its variable, what follows would be called wrong for no reason.
            if matches!(step.instruction.command, Command::Env(_) | Command::Arg(_)) {
                break;
            }
        }
        Ok(state)
    }

    fn step(&mut self, state: &mut State, current: &mut Current, step: &Step) -> Result<(), LowerError> {
        let lines = state.image.history.len();
        match &step.instruction.command {
            Command::Run(run) => self.run(state, current, step, run)?,
            Command::Copy(copy) => self.copy(state, current, step, copy)?,
            Command::Add(add) => self.add(state, current, step, add)?,
            Command::Workdir(path) => self.workdir(state, current, step, path)?,
            _ => self.metadata(state, current, step)?,
        }
        let written = state.image.history[lines..].iter().map(|line| line.created_by.len()).sum();
        self.meter.hold(written, step.span)?;
        self.meter.check_variables(&state.env, step.span)
    }

    /// A word with its variables and without its quotes.
    pub(super) fn expand(&self, state: &State, step: &Step, word: &Word) -> Result<String, LowerError> {
        Ok(self.expand_by(self.pass.expander(), state, step, word)?.text)
    }

    /// The same by other rules.
    pub(super) fn expand_by(
        &self,
        expander: Expander,
        state: &State,
        step: &Step,
        word: &Word,
    ) -> Result<Expansion, LowerError> {
        let expansion = self.meter.expand(expander, word, &state.env).map_err(|error| step.own(error))?;
        self.undefined(state, step, word, &expansion);
        Ok(expansion)
    }

    /// Lets lint look at some bytes of a step; in the first walk only.
    pub(super) fn lint(&self, step: &Step, at: Span, rule: impl FnOnce(&mut Lint, &Place)) {
        if let Some(notes) = self.pass.notes {
            rule(&mut notes.lint.borrow_mut(), &step.place_at(at));
        }
    }

    /// Lets lint look at the variables that a word asks for.
    pub(super) fn undefined(&self, state: &State, step: &Step, word: &Word, expansion: &Expansion) {
        for name in &expansion.unmatched {
            if state.declared.contains(name) {
                continue;
            }
            let at = expand::reference(&word.text, name).map_or(word.span, |range| word.part(range));
            self.lint(step, at, |lint, place| rules::undefined(lint, place, name, state.env.names()));
        }
    }

    /// An instruction's text for people: variables replaced where that is possible, the keyword in capitals.
    pub(super) fn display(
        &self,
        step: &Step,
        text: &str,
        env: &impl Environment,
        keep: bool,
    ) -> Result<String, LowerError> {
        let expander = match keep {
            true => Expander { quotes: Quotes::Keep, keep_unset: true, ..self.pass.expander() },
            false => self.pass.expander(),
        };
        let expansion =
            expander.expand(text, env).unwrap_or_else(|_| Expansion { text: text.into(), ..Expansion::default() });
        self.meter.spend(expansion.work, step.span)?;
        self.meter.hold(expansion.text.len(), step.span)?;
        Ok(match expansion.text.split_once(' ') {
            Some((keyword, rest)) => format!("{} {rest}", keyword.to_uppercase()),
            None => expansion.text.to_uppercase(),
        })
    }

    /// Constraints for the op of a step.
    pub(super) fn constraints(&self, state: &State, current: &Current, step: &Step, title: &str) -> Constraints {
        Constraints::on(&state.platform)
            .named(title)
            .located(self.pass.location(&step.lines))
            .ignoring_cache(current.ignore_cache)
    }

    /// The same with the instruction's own text.
    pub(super) fn described(&self, state: &State, current: &Current, step: &Step, title: &str) -> Constraints {
        self.constraints(state, current, step, title).described(COMMAND, &step.instruction.original)
    }
}

/// The time as an image config has it.
fn created(epoch: Option<i64>) -> Option<String> {
    epoch.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()).map(|time| time.to_string())
}
