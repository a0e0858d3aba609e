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
mod error;
mod expose;
mod git;
mod golang;
mod metadata;
mod options;
mod pass;
mod path;
mod plan;
pub mod reference;
mod resolver;
mod run;
mod signal;
mod state;
mod variables;

use std::sync::Arc;

use routerpack_graph::{Definition, ImageConfig, Platform, SourceMap};

use super::ast::Dockerfile;
use super::diagnostic::Diagnostic;
pub use error::{Fault, LowerError};
pub use git::git_source;
pub use options::Options;
pub use resolver::{Context, ResolveError, ResolvedImage, Resolver};

use bases::Resolutions;
use contexts::ContextNames;
use pass::Pass;
use plan::{Base, Plan};
use state::Paths;

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
}

/// Lowers a file. `source` is the text that it was parsed from. The same input gives the same bytes.
pub fn lower(
    file: &Dockerfile,
    source: &str,
    options: &Options,
    resolver: &dyn Resolver,
) -> Result<Lowered, LowerError> {
    let names = ContextNames::new(&options.contexts);
    let last = file.stages.last().and_then(|stage| stage.name()).unwrap_or_default();
    let target = options.target.as_deref().unwrap_or(last);
    let automatic =
        variables::automatic(&options.build_platform, options.target_platform(), target, &options.build_args);
    let globals = variables::global(file, automatic, &options.build_args)?;
    let epoch = pass::epoch(file, options, &globals)?;

    let mut plan = Plan::new(file, options, &names, &globals)?;
    let mut resolutions = Resolutions::new();
    let reachable = loop {
        let reachable = plan.reachable();
        bases::resolve(&plan, &reachable, options, &names, resolver, &mut resolutions)?;
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
            more |= plan.trigger(index, &triggers)?;
        }
        if !more {
            break reachable;
        }
    };

    let map = SourceMap {
        filename: options.filename.clone(),
        language: "Dockerfile".into(),
        data: source.as_bytes().to_vec(),
    };
    let pass = Pass {
        file,
        options,
        plan: &plan,
        resolutions: &resolutions,
        reachable: &reachable,
        globals: &globals,
        epoch,
        map: Arc::new(map),
        paths: Paths::default(),
    };
    let (_, paths) = pass.run()?;
    let (mut state, _) = Pass { paths, ..pass }.run()?;
    finish(&mut state.image, options);

    let stages = (0..file.stages.len()).filter(|index| reachable[*index]).map(|index| match &plan.stages[index].name {
        name if name.is_empty() => index.to_string(),
        name => name.clone(),
    });
    Ok(Lowered {
        definition: Definition::of(state.root.as_ref()),
        config: state.image,
        platform: state.platform,
        epoch,
        stages: stages.collect(),
        warnings: file.warnings.clone(),
    })
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
