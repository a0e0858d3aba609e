//! Resolving what stages start from, all at once.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use routerpack_graph::{ImageConfig, Platform};

use super::contexts::{ContextNames, parse_reference};
use super::error::{Fault, LowerError};
use super::options::{Options, empty_image};
use super::plan::{Base, Plan, SCRATCH};
use super::resolver::{Context, ResolveError, ResolvedImage, Resolver};

/// How many questions are asked at once.
const WORKERS: usize = 8;

/// What a stage starts from.
#[derive(Clone, Debug)]
pub(super) struct Resolution {
    pub context: Context,
    /// The name of the context it is; `None` is an image by its own name, or nothing.
    pub context_name: Option<String>,
    pub image: ImageConfig,
    pub platform: Platform,
}

impl Resolution {
    /// Whether it is an image by its own name, with something in it.
    pub fn is_image(&self) -> bool {
        self.context_name.is_none() && matches!(self.context, Context::Image(_))
    }
}

/// A question to the resolver: a context's name or an image's full reference, and a platform.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Question {
    Context(String, Platform),
    Image(String, Platform),
}

/// The resolutions so far, by stage.
pub(super) type Resolutions = BTreeMap<usize, Resolution>;

/// Resolves those of the wanted stages that start from an image or a context and aren't resolved yet.
pub(super) fn resolve(
    plan: &Plan,
    wanted: &[bool],
    options: &Options,
    names: &ContextNames,
    resolver: &dyn Resolver,
    known: &mut Resolutions,
) -> Result<(), LowerError> {
    let mut questions: BTreeMap<Question, Vec<usize>> = BTreeMap::new();
    for (index, stage) in plan.stages.iter().enumerate() {
        if !wanted[index] || known.contains_key(&index) {
            continue;
        }
        let platform = stage.platform.as_ref().unwrap_or(options.target_platform());
        let question = match (&stage.replaced_by, stage.base) {
            (Some(name), _) => Question::Context(name.clone(), platform.clone()),
            (None, Base::Stage(_)) => continue,
            (None, Base::Scratch) => {
                let platform = options.target_platform().clone();
                let image = empty_image(&platform);
                known.insert(index, Resolution { context: Context::Empty, context_name: None, image, platform });
                continue;
            }
            (None, Base::Image) => {
                let reference = parse_reference(&stage.base_name, stage.base_span)?.to_string();
                match names.find(&reference, platform) {
                    Some(name) => Question::Context(name, platform.clone()),
                    None => Question::Image(reference, platform.clone()),
                }
            }
        };
        questions.entry(question).or_default().push(index);
    }

    let mut faults = Vec::new();
    for ((question, stages), answer) in questions.iter().zip(ask(questions.keys(), resolver)) {
        let first = &plan.stages[stages[0]];
        let context = answer.map_err(|source| {
            let name = first.replaced_by.clone().unwrap_or_else(|| first.base_name.clone());
            let names = plan.stages.iter().map(|stage| stage.name.as_str());
            let names = names.filter(|known| !known.is_empty() && *known != name);
            let fault = Fault::Resolve { name: name.clone(), source };
            LowerError::new(first.base_span, fault).suggest(&name, names)
        });
        match context {
            Err(fault) => faults.push(fault),
            Ok(context) => {
                for index in stages {
                    let resolution = settle(plan, *index, question, context.clone(), options)?;
                    known.insert(*index, resolution);
                }
            }
        }
    }
    LowerError::all(faults)
}

/// Asks all questions, a few at a time; answers in the questions' order.
fn ask<'q>(
    questions: impl Iterator<Item = &'q Question>,
    resolver: &dyn Resolver,
) -> Vec<Result<Context, ResolveError>> {
    let questions: Vec<&Question> = questions.collect();
    let answers: Vec<Mutex<Option<Result<Context, ResolveError>>>> =
        questions.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS.min(questions.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(question) = questions.get(index) else { break };
                    let answer = match question {
                        Question::Context(name, platform) => resolver.context(name, platform),
                        Question::Image(reference, platform) => resolver.image(reference, platform).map(Context::Image),
                    };
                    *answers[index].lock().unwrap_or_else(|e| e.into_inner()) = Some(answer);
                }
            });
        }
    });
    let taken = |answer: Mutex<Option<_>>| answer.into_inner().unwrap_or_else(|e| e.into_inner());
    answers
        .into_iter()
        .map(|answer| taken(answer).unwrap_or_else(|| Err("the resolver gave no answer".into())))
        .collect()
}

/// What an answer means for one stage: its image config and its platform.
fn settle(
    plan: &Plan,
    index: usize,
    question: &Question,
    mut context: Context,
    options: &Options,
) -> Result<Resolution, LowerError> {
    let stage = &plan.stages[index];
    let (context_name, wanted) = match question {
        Question::Context(name, platform) => (Some(name.clone()), platform),
        Question::Image(_, platform) => (None, platform),
    };
    let parse = |config: &[u8]| {
        ImageConfig::from_json(config)
            .map_err(|source| LowerError::new(stage.base_span, Fault::Config { name: stage.base_name.clone(), source }))
    };
    if matches!(&context, Context::Image(image) if image.reference == SCRATCH) {
        context = Context::Empty;
    }
    let image = match &context {
        Context::Image(ResolvedImage { config, .. }) | Context::Store { config, .. } => Some(parse(config)?),
        Context::Output(_, image) => image.as_deref().cloned(),
        _ => None,
    };
    // An image without layers is nothing: some registries can't even serve one.
    if let (Context::Image(_), Some(image)) = (&context, &image)
        && image.rootfs.diff_ids.is_empty()
        && image.history.iter().all(|line| line.empty_layer)
    {
        context = Context::Empty;
    }
    let platform = match &image {
        // A context in a stage's place says itself what it is.
        Some(image) if stage.replaced_by.is_some() => image.platform().unwrap_or_else(|| wanted.clone()),
        // Without wishes, the image decides, as far as this machine runs it.
        Some(image) if context_name.is_none() && stage.platform.is_none() && options.platform.is_none() => {
            let build = &options.build_platform;
            let same = |p: &Platform| p.os == image.os && p.architecture == image.architecture;
            if !same(wanted) && same(build) { build.clone() } else { wanted.clone() }
        }
        _ => wanted.clone(),
    };
    let mut image = image.unwrap_or_else(|| match stage.replaced_by {
        // In a stage's place, what is no image has not even a PATH or a directory.
        Some(_) => ImageConfig { config: Default::default(), ..empty_image(&platform) },
        None => empty_image(&platform),
    });
    image.created = None;
    Ok(Resolution { context, context_name, image, platform })
}
