//! What a stage is while its instructions are lowered, and what they use of directories.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use routerpack_graph::image::History;
use routerpack_graph::{ImageConfig, Output, Platform};

use super::super::expand::Environment;
use super::variables::Variables;

/// What history lines made here are marked with.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// A stage so far.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// The file system; `None` is empty.
    pub root: Option<Output>,
    /// The config so far.
    pub image: ImageConfig,
    /// ENV and ARG.
    pub env: Variables,
    /// Where in the config's list each variable of the image is.
    pub places: HashMap<String, usize>,
    /// The working directory.
    pub dir: String,
    /// The user, empty for root.
    pub user: String,
    /// What steps run on.
    pub platform: Platform,
    /// The ARGs, in order, with the values that they had when defined.
    pub args: Vec<(String, Option<String>)>,
    /// Their names.
    pub declared: HashSet<String>,
    /// A WORKDIR was there, in this stage or in one that it starts from.
    pub has_workdir: bool,
    /// `created` of history lines.
    pub created: Option<String>,
}

impl State {
    /// About how many bytes a stage that starts from this one takes anew.
    pub(super) fn size(&self) -> usize {
        let config = &self.image.config;
        let labels: usize = config.labels.iter().map(|(name, value)| name.len() + value.len()).sum();
        let volumes: usize = config.volumes.keys().map(String::len).sum();
        let commands = config.cmd.iter().chain(&config.entrypoint).chain(&config.shell).map(String::len).sum::<usize>();
        let pairs = self.args.len() + config.env.len() + config.labels.len() + config.volumes.len();
        3 * self.env.size() + labels + volumes + commands + 64 * (pairs + config.exposed_ports.len())
    }

    /// Adds a line to the history. Lines of steps that ran are marked, with or without a layer.
    pub(super) fn commit(&mut self, text: impl Into<String>, layer: bool) {
        self.image.history.push(History {
            created: self.created.clone(),
            created_by: text.into(),
            author: String::new(),
            comment: COMMENT.into(),
            empty_layer: !layer,
        });
    }
}

/// Names steps: `[stage 2/5] RUN make`.
#[derive(Clone, Debug, Default)]
pub(super) struct Titles {
    /// The stage's name; empty for a lone stage.
    pub stage: String,
    /// How many steps there are; 0 for what isn't a stage.
    pub total: usize,
    /// How many had a title already.
    pub index: usize,
    /// Show the platform.
    pub platform: bool,
}

impl Titles {
    /// The next step's title.
    pub(super) fn next(&mut self, text: &str, onbuild: bool, platform: &Platform, env: &Variables) -> String {
        if self.total == 0 {
            return text.to_string();
        }
        self.index += 1;
        self.again(text, onbuild, platform, env)
    }

    /// Another title for the same step.
    pub(super) fn again(&self, text: &str, onbuild: bool, platform: &Platform, env: &Variables) -> String {
        if self.total == 0 {
            return text.to_string();
        }
        let platform =
            if self.platform { format!("{platform}{} ", cross_target(platform, env)) } else { String::new() };
        let stage = if self.stage.is_empty() { String::new() } else { format!("{} ", self.stage) };
        let width = 1 + self.total.ilog10() as usize;
        let onbuild = if onbuild { "ONBUILD " } else { "" };
        format!("[{platform}{stage}{:>width$}/{}] {onbuild}{text}", self.index, self.total)
    }
}

/// `->arm64` where a step makes something for another platform than it runs on, going by its variables.
fn cross_target(base: &Platform, env: &Variables) -> String {
    let get = |name: &str| env.get(name).filter(|value| !value.is_empty());
    let target = match get("TARGETPLATFORM").map(|text| Platform::parse(text, base)) {
        Some(Ok(platform)) => platform,
        _ => match (get("TARGETOS"), get("TARGETARCH")) {
            (None, None) => return String::new(),
            (os, arch) => Platform::new(
                os.unwrap_or(&base.os),
                arch.unwrap_or(&base.architecture),
                get("TARGETVARIANT").unwrap_or_default(),
            ),
        },
    };
    match (target.os == base.os, target.architecture == base.architecture, target.variant.is_empty()) {
        (true, true, _) => String::new(),
        (true, false, true) => format!("->{}", target.architecture),
        (true, false, false) => format!("->{}/{}", target.architecture, target.variant),
        (false, ..) => format!("->{target}"),
    }
}

/// Whose directory is used: the main context, or the local context that a stage starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// The main context.
    Main,
    /// The context at the bottom of this stage.
    Stage(usize),
}

/// The paths used of each directory. Absolute, cleaned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Paths(BTreeMap<Owner, BTreeSet<String>>);

impl Paths {
    pub(super) fn add(&mut self, owner: Owner, path: &str) {
        self.0.entry(owner).or_default().insert(super::path::absolute("/", path));
    }

    /// The paths to ask for, relative; nothing means everything.
    pub(super) fn followed(&self, owner: Owner) -> Vec<String> {
        let Some(paths) = self.0.get(&owner) else { return Vec::new() };
        if paths.contains("/") {
            return Vec::new();
        }
        paths.iter().map(|path| path.trim_start_matches('/').to_string()).collect()
    }
}
