//! What a build is asked for, besides its Dockerfile.

use std::collections::{BTreeMap, BTreeSet};

use routerpack_graph::exec::Network;
use routerpack_graph::{ImageConfig, Platform, pb};

use super::resolver::Context;

/// The options of a lowering. Nothing here is read from the environment.
#[derive(Clone, Debug)]
pub struct Options {
    /// The source's name in messages and source maps.
    pub filename: String,
    /// The stage to build, by name or number; `None` is the last one.
    pub target: Option<String>,
    /// The platform to build for; `None` is the builder's own, and the image may say otherwise.
    pub platform: Option<Platform>,
    /// The builder's own platform.
    pub build_platform: Platform,
    /// Show the platform in the names of the steps, since several are built at once.
    pub multi_platform: bool,
    /// `--build-arg`. Those that BuildKit knows by itself count too: the proxies, `SOURCE_DATE_EPOCH`,
    /// `BUILDKIT_CACHE_MOUNT_NS`, `BUILDKIT_SANDBOX_HOSTNAME`, `BUILDKIT_CONTEXT_KEEP_GIT_DIR` …
    pub build_args: BTreeMap<String, String>,
    /// `--label`: they win over the Dockerfile's.
    pub labels: BTreeMap<String, String>,
    /// The main context.
    pub context: Context,
    /// The names of the further contexts, as written: `NAME` or `NAME::PLATFORM`. The resolver knows what
    /// they are.
    pub contexts: BTreeSet<String>,
    /// Use no cache at all.
    pub no_cache: bool,
    /// Use no cache for these stages.
    pub no_cache_stages: BTreeSet<String>,
    /// The network of steps that don't choose one.
    pub network: Network,
    /// The host's name in steps; empty leaves it to the executor.
    pub hostname: String,
    /// `--add-host`: names and addresses.
    pub extra_hosts: Vec<(String, String)>,
    /// `--ulimit`.
    pub ulimits: Vec<pb::Ulimit>,
    /// `--shm-size`, in bytes; 0 leaves it to the executor.
    pub shm_size: i64,
    /// `--cgroup-parent`.
    pub cgroup_parent: String,
}

impl Options {
    /// No wishes: the last stage, for the builder's own platform, with the directory `context`.
    pub fn new(build_platform: Platform) -> Self {
        Self {
            filename: "Dockerfile".into(),
            target: None,
            platform: None,
            build_platform,
            multi_platform: false,
            build_args: BTreeMap::new(),
            labels: BTreeMap::new(),
            context: Context::Local { name: "context".into(), exclude: Vec::new() },
            contexts: BTreeSet::new(),
            no_cache: false,
            no_cache_stages: BTreeSet::new(),
            network: Network::Unset,
            hostname: String::new(),
            extra_hosts: Vec::new(),
            ulimits: Vec::new(),
            shm_size: 0,
            cgroup_parent: String::new(),
        }
    }

    /// The platform to build for.
    pub(super) fn target_platform(&self) -> &Platform {
        self.platform.as_ref().unwrap_or(&self.build_platform)
    }

    /// Whether a stage of this name (none: empty) is built without cache.
    pub(super) fn ignores_cache(&self, stage: &str) -> bool {
        self.no_cache || self.no_cache_stages.iter().any(|name| name.eq_ignore_ascii_case(stage))
    }
}

/// The config of an image without anything: BuildKit's `emptyImage`.
pub(super) fn empty_image(platform: &Platform) -> ImageConfig {
    let mut image = ImageConfig {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone(),
        ..ImageConfig::default()
    };
    image.config.working_dir = "/".into();
    image.config.env = vec![format!("PATH={DEFAULT_PATH}")];
    image
}

/// Where programs are looked for in an image that doesn't say (BuildKit `util/system/path.go`).
pub(super) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
