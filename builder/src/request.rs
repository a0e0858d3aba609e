//! What a build is asked for, complete: nothing else is read from the environment.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock},
};

use routerpack_graph::{Definition, Platform};
use routerpack_sandbox::{Signaller, emulators::Emulator, probe::Facts};
use routerpack_sources::{Image, PullPolicy, Store};

use crate::error::Cause;

/// A build.
pub struct Request {
    /// The graph.
    pub definition: Definition,
    /// Directories by the names that local sources use.
    pub locals: BTreeMap<String, Local>,
    /// Local image stores by the names that oci-layout sources use.
    pub stores: BTreeMap<String, Arc<Store>>,
    /// Secrets by id. Read when a step asks for one.
    pub secrets: BTreeMap<String, Secret>,
    /// Agent sockets by id.
    pub ssh: BTreeMap<String, PathBuf>,
    /// Images with other machines' results (`--cache-from`), see [`crate::share`].
    pub caches: Vec<Image>,
    /// Whether this build's results are wanted (`--cache-to`).
    pub share: bool,
    /// When a registry is asked.
    pub pull: PullPolicy,
    /// How many vertices at once.
    pub jobs: usize,
    /// Steps may use the machine's network by `--network=host`.
    pub allow_host_network: bool,
    /// Steps may run with all privileges.
    pub allow_insecure: bool,
    /// Steps for another platform run some programs natively, see [`crate::hybrid`].
    pub hybrid: bool,
    /// Called in a failed step's place before it is cleared away.
    pub on_failure: Option<OnFailure>,
    /// Stops the build.
    pub interrupt: Arc<Interrupt>,
}

impl Request {
    /// A graph on its own: no contexts, no secrets, no privileges.
    pub fn new(definition: Definition) -> Self {
        Self {
            definition,
            locals: BTreeMap::new(),
            stores: BTreeMap::new(),
            secrets: BTreeMap::new(),
            ssh: BTreeMap::new(),
            caches: Vec::new(),
            share: false,
            pull: PullPolicy::Missing,
            jobs: 1,
            allow_host_network: false,
            allow_insecure: false,
            hybrid: false,
            on_failure: None,
            interrupt: Arc::default(),
        }
    }
}

/// Opens a shell, say: gets the argv that was tried, runs the given closure with another one on the
/// terminal, as often as it likes.
pub type OnFailure = Arc<dyn Fn(&dyn Fn(&[&str]) -> Result<i32, crate::Error>) + Send + Sync>;

/// A build context.
#[derive(Clone, Debug, Default)]
pub struct Local {
    /// The directory.
    pub dir: PathBuf,
    /// Patterns of the ignore file (moby/patternmatcher's rules).
    pub excludes: Vec<String>,
    /// Absolute paths that never belong to it: the output, its temporary files, the cache.
    pub never: Vec<PathBuf>,
}

/// A secret's place.
#[derive(Clone)]
pub enum Secret {
    /// A file, read when needed.
    File(PathBuf),
    /// The bytes.
    Bytes(Vec<u8>),
}

/// Finds emulators.
pub type FindEmulators = Box<dyn FnOnce() -> (Vec<PathBuf>, Vec<Emulator>) + Send + Sync>;

/// What the machine offers to steps.
pub struct Host {
    /// This machine's platform.
    pub platform: Platform,
    /// Where emulators are, and which were found there. They are looked for when a step is to be emulated.
    pub emulators: LazyLock<(Vec<PathBuf>, Vec<Emulator>), FindEmulators>,
    /// `nameserver` lines and the like for steps.
    pub resolv_conf: String,
    /// Finds out what the sandbox can be made of here. Takes some milliseconds and is asked once, when a
    /// step has to run or to be emulated: a build out of the cache does without.
    pub probe: Box<dyn Fn() -> Result<Facts, routerpack_sandbox::Error> + Send + Sync>,
    /// Called when the kernel refuses a step what the probe had found to work.
    pub distrust: Box<dyn Fn() + Send + Sync>,
    /// What it found.
    pub facts: OnceLock<Facts>,
}

impl Host {
    /// What the sandbox can be made of here.
    pub fn facts(&self) -> Result<&Facts, Cause> {
        if let Some(facts) = self.facts.get() {
            return Ok(facts);
        }
        // Two threads may both look: they see the same.
        let found = (self.probe)()?;
        Ok(self.facts.get_or_init(|| found))
    }
}

/// Stops a build from outside: nothing new starts, running steps are killed.
#[derive(Default)]
pub struct Interrupt(Mutex<State>);

/// Under one lock, so that a step either is in the list when the interrupt is raised, or sees that it was.
#[derive(Default)]
struct State {
    raised: bool,
    running: Vec<(u64, Signaller)>,
}

impl Interrupt {
    /// Stops the build.
    pub fn raise(&self) {
        let mut state = self.state();
        state.raised = true;
        state.running.iter().for_each(|(_, step)| step.kill());
    }

    /// Whether it was stopped.
    pub fn is_raised(&self) -> bool {
        self.state().raised
    }

    /// Names a running step until the guard is dropped.
    pub(crate) fn watch(&self, step: Signaller) -> Watched<'_> {
        let mut state = self.state();
        if state.raised {
            step.kill();
        }
        let number = state.running.last().map_or(0, |(n, _)| n + 1);
        state.running.push((number, step));
        Watched(self, number)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

pub(crate) struct Watched<'a>(&'a Interrupt, u64);

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.state().running.retain(|(n, _)| *n != self.1);
    }
}
