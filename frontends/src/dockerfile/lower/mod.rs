//! Lowering: a syntax tree becomes a graph and an image config (BuildKit: `frontend/dockerfile/dockerfile2llb`).
//!
//! ```text
//!  Dockerfile ─► Plan ─────────► Resolutions ──────────► Pass ─► Definition + ImageConfig
//!               stages, FROM     images and contexts,    one op a step, bottom-up
//!               expanded, who    found concurrently
//!               needs whom       through the Resolver
//! ```
//!
//! Ops are immutable, but what the build context is asked for is known only when the last COPY has been
//! expanded. So there are two passes: the first one collects the paths, the second one makes the graph.

mod bases;
mod contexts;
mod copy;
mod epoch;
mod error;
mod expose;
mod git;
pub(super) mod golang;
mod metadata;
mod meter;
mod options;
mod outline;
mod pass;
mod path;
mod plan;
pub mod reference;
mod resolver;
mod run;
mod signal;
mod state;
pub(super) mod variables;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use routerpack_graph::{Definition, ImageConfig, Platform, SourceMap};

use super::ast::Dockerfile;
use super::diagnostic::{Diagnostic, nearest};
use super::instruction::Command;
use super::lint::{Lint, Place, from, router};
pub use error::{Fault, LowerError};
pub use git::git_source;
pub use options::Options;
pub use outline::{Argument, Needed, Outline};
pub use resolver::{Context, ResolveError, ResolvedImage, Resolver};

use bases::Resolutions;
use contexts::ContextNames;
use meter::Meter;
use pass::{Notes, Pass};
use plan::{Base, Plan};
use state::{Paths, State};
use variables::{Global, Variables};

/// What a Dockerfile becomes.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The graph of the target's file system.
    pub definition: Definition,
    /// The target's config; `rootfs` is that of the base image, and `created` is not set.
    pub config: ImageConfig,
    /// What the target is for.
    pub platform: Platform,
    /// `SOURCE_DATE_EPOCH`, in seconds.
    pub epoch: Option<i64>,
    /// The names of the stages that the target needs, itself included, in the file's order; a stage
    /// without a name is called by its number.
    pub stages: Vec<String>,
    /// What isn't right, but builds.
    pub warnings: Vec<Diagnostic>,
    /// Build arguments that no ARG of the file or of a base's triggers names, each with a name that may have been
    /// meant. Those that mean something of their own are none: proxies, `BUILDKIT_…`, `SOURCE_DATE_EPOCH`.
    pub unused_args: Vec<(String, Option<String>)>,
}

/// Lowers a file. `source` is the text that it was parsed from. The same input gives the same bytes.
pub fn lower(
    file: &Dockerfile,
    source: &str,
    options: &Options,
    resolver: &dyn Resolver,
) -> Result<Lowered, LowerError> {
    lower_and_lint(file, source, options, resolver, &mut Lint::default())
}

/// The same, and adds to `lint` what there is to say of the target and what it needs, also where lowering fails.
pub fn lower_and_lint(
    file: &Dockerfile,
    source: &str,
    options: &Options,
    resolver: &dyn Resolver,
    lint: &mut Lint,
) -> Result<Lowered, LowerError> {
    let job = Job { file, source, options, resolver };
    let (settled, paths) = job.noting(lint, |notes| {
        let settled = job.settle(notes, false)?;
        let (_, paths) = job.judge(&settled, notes)?;
        Ok((settled, paths))
    })?;
    let pass = Pass { paths, ..job.pass(&settled, None) };
    let (mut state, _) = pass.run()?;
    finish(&mut state.image, options);

    let Settled { plan, reachable, epoch, .. } = &settled;
    let stages = (0..file.stages.len()).filter(|index| reachable[*index]).map(|index| match &plan.stages[index].name {
        name if name.is_empty() => index.to_string(),
        name => name.clone(),
    });
    Ok(Lowered {
        definition: Definition::of(state.root.as_ref()),
        config: state.image,
        platform: state.platform,
        epoch: *epoch,
        stages: stages.collect(),
        warnings: file.warnings.clone(),
        unused_args: unused_args(&settled, options),
    })
}

/// Adds to `lint` what there is to say of the target and what it needs; without a target, of all stages. The error
/// is what a build would end with.
pub fn lint(
    file: &Dockerfile,
    source: &str,
    options: &Options,
    resolver: &dyn Resolver,
    lint: &mut Lint,
) -> Result<(), LowerError> {
    let job = Job { file, source, options, resolver };
    job.noting(lint, |notes| {
        let settled = job.settle(notes, options.target.is_none())?;
        job.judge(&settled, notes).map(drop)
    })
}

/// What the target takes.
pub fn outline(
    file: &Dockerfile,
    source: &str,
    options: &Options,
    resolver: &dyn Resolver,
) -> Result<Outline, LowerError> {
    let job = Job { file, source, options, resolver };
    let notes = Notes::default();
    let settled = job.settle(&notes, false)?;
    job.pass(&settled, Some(&notes)).run()?;
    Ok(outline::outline(file, &settled.plan, &settled.globals, &settled.defined, &notes.captured.borrow()))
}

/// What is lowered.
struct Job<'a> {
    file: &'a Dockerfile,
    source: &'a str,
    options: &'a Options,
    resolver: &'a dyn Resolver,
}

/// What is settled before the walk.
struct Settled {
    plan: Plan,
    resolutions: Resolutions,
    reachable: Vec<bool>,
    globals: Variables,
    defined: BTreeMap<String, Global>,
    /// What was asked for, with the time as a number.
    options: Options,
    epoch: Option<i64>,
    map: Arc<SourceMap>,
}

impl Job<'_> {
    /// Runs something that takes notes, with this lint in them.
    fn noting<T>(&self, lint: &mut Lint, run: impl FnOnce(&Notes) -> Result<T, LowerError>) -> Result<T, LowerError> {
        let notes = Notes { lint: RefCell::new(std::mem::take(lint)), ..Notes::default() };
        let result = run(&notes);
        *lint = notes.lint.into_inner();
        result
    }

    /// Finds the stages, who needs whom, and the bases; of all stages, or of those that the target needs.
    fn settle(&self, notes: &Notes, all: bool) -> Result<Settled, LowerError> {
        let Self { file, source, options, resolver } = *self;
        let names = ContextNames::new(&options.contexts);
        let last = file.stages.last().and_then(|stage| stage.name()).unwrap_or_default();
        let target = options.target.as_deref().unwrap_or(last);
        let automatic =
            variables::automatic(&options.build_platform, options.target_platform(), target, &options.build_args);
        if let Ok((defaults, _)) = variables::global(file, automatic.clone(), &BTreeMap::new(), &Meter::default()) {
            from::defaults(&mut notes.lint.borrow_mut(), file, &defaults);
        }
        let meter = Meter::default();
        let (mut globals, defined) = variables::global(file, automatic, &options.build_args, &meter)?;
        from::variables(&mut notes.lint.borrow_mut(), file, &globals);
        let mut options = options.clone();
        let epoch = epoch::settle(file, &mut options, &mut globals, &names, resolver)?;

        let mut plan = Plan::new(file, &options, &names, &globals, &meter)?;
        let mut resolutions = Resolutions::new();
        let reachable = loop {
            let reachable = if all { vec![true; plan.stages.len()] } else { plan.reachable() };
            bases::resolve(&plan, &reachable, &options, &names, resolver, &mut resolutions)?;
            // Triggers may copy from stages and images that nobody needed before.
            let mut more = false;
            for index in (0..reachable.len()).filter(|index| reachable[*index]) {
                if plan.stages[index].implicit || plan.stages[index].replaced_by.is_some() {
                    continue;
                }
                let triggers = match plan.stages[index].base {
                    Base::Stage(base) => plan.triggers_of(base),
                    _ => resolutions.get(&index).map(|r| r.image.config.on_build.clone()).unwrap_or_default(),
                };
                more |= plan.trigger(index, &triggers, &meter)?;
            }
            plan.check_cycles()?;
            if !more {
                break reachable;
            }
        };
        plan.find_owners();
        for (index, resolution) in &resolutions {
            let stage = &plan.stages[*index];
            if let (true, Some(found)) = (resolution.is_image(), resolution.image.platform()) {
                let (name, wanted) = (&stage.base_name, &resolution.platform);
                // No comment above FROM says anything of this rule: BuildKit asks the file's choice alone.
                let place = Place { own: None, ..stage.place.at(stage.base_span) };
                from::found(&mut notes.lint.borrow_mut(), &place, name, wanted, &found);
            }
        }
        let map = SourceMap {
            filename: options.filename.clone(),
            language: "Dockerfile".into(),
            data: source.as_bytes().to_vec(),
        };
        Ok(Settled { plan, resolutions, reachable, globals, defined, options, epoch, map: Arc::new(map) })
    }

    /// A walk; with notes, if it is the first one.
    fn pass<'s>(&'s self, settled: &'s Settled, notes: Option<&'s Notes>) -> Pass<'s> {
        Pass {
            file: self.file,
            options: &settled.options,
            plan: &settled.plan,
            resolutions: &settled.resolutions,
            reachable: &settled.reachable,
            globals: &settled.globals,
            epoch: settled.epoch,
            map: settled.map.clone(),
            resolver: self.resolver,
            notes,
            paths: Paths::default(),
        }
    }

    /// The first walk: collects the paths, and what lint finds. Findings are an error if the file says so.
    fn judge(&self, settled: &Settled, notes: &Notes) -> Result<(State, Paths), LowerError> {
        let pass = self.pass(settled, Some(notes));
        let (state, paths) = pass.run()?;
        router::target(&mut notes.lint.borrow_mut(), &pass.for_router(&state.image));
        let lint = notes.lint.borrow();
        match lint.violations().next() {
            Some(first) => Err(LowerError::new(first.span, Fault::Lint(lint.violated().join(", ")))
                .help("mend them, or take error=true out of the check directive")),
            None => Ok((state, paths)),
        }
    }
}

fn unused_args(settled: &Settled, options: &Options) -> Vec<(String, Option<String>)> {
    let Settled { plan, globals, .. } = settled;
    let definitions =
        plan.stages.iter().flat_map(|stage| &stage.steps).flat_map(|step| match &step.instruction.command {
            Command::Arg(definitions) => definitions.as_slice(),
            _ => &[],
        });
    let declared = settled.defined.keys().map(String::as_str);
    let known: BTreeSet<&str> = definitions.map(|d| d.name.as_str()).chain(declared).chain(globals.names()).collect();
    let has_meaning = |name: &str| {
        name.starts_with("BUILDKIT_") || name == "SOURCE_DATE_EPOCH" || name.to_ascii_lowercase().ends_with("_proxy")
    };
    let unused = options.build_args.keys().filter(|name| !known.contains(name.as_str()) && !has_meaning(name));
    unused.map(|name| (name.clone(), nearest(name, known.iter().copied()).map(str::to_string))).collect()
}

/// Labels and platform that were asked for.
fn finish(image: &mut ImageConfig, options: &Options) {
    image.config.labels.extend(options.labels.clone());
    if let Some(platform) = &options.platform {
        let same = image.os == platform.os && image.architecture == platform.architecture;
        image.os = platform.os.clone();
        image.architecture = platform.architecture.clone();
        if !platform.variant.is_empty() || !same {
            image.variant = platform.variant.clone();
        }
        if !same {
            image.os_version.clear();
        }
    }
    if let Some(platform) = image.platform() {
        (image.os, image.architecture, image.variant) = (platform.os, platform.architecture, platform.variant);
    }
}
