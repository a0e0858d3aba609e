//! What the program takes from its surroundings: directories, environment, the machine's abilities, signals.

use std::{
    env,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicI32, Ordering},
    },
};

use routerpack_builder::{Cache, Host, Interrupt};
use routerpack_graph::Platform;
use routerpack_sandbox::{emulators, names};
use routerpack_sources::{Config, GitSource, HttpSource, Proxy, Registry};
use rustix::fs::statvfs;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{
    args::Cli,
    facts::{self, Kept},
    failure::Failure,
};

/// A variable of the environment, if it is set, not empty, and text.
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The cache directory: `--cache-dir`, `ROUTERPACK_CACHE_DIR`, `$XDG_CACHE_HOME/routerpack`, `~/.cache/routerpack`.
pub fn cache_dir(cli: &Cli) -> Result<PathBuf, Failure> {
    if let Some(dir) = &cli.cache_dir {
        return Ok(dir.clone());
    }
    let xdg = variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || variable("HOME").map(|home| Path::new(&home).join(".cache"));
    xdg.or_else(home)
        .map(|dir| dir.join("routerpack"))
        .ok_or_else(|| Failure::new("there is no place for the cache: HOME is not set\n  name one with --cache-dir"))
}

/// Makes an ordinary user root of a user namespace of its own, so that all code after it is the same
/// for everybody. Must come before any thread. Tells whether files can have owners.
pub fn become_root() -> Result<bool, Failure> {
    facts::note_place();
    let ids = routerpack_sandbox::enter::enter(user_name().as_deref()).map_err(Failure::new)?;
    Ok(!ids.is_single())
}

/// The user's name: as the system has it, else as the environment says.
pub fn user_name() -> Option<String> {
    let uid = std::fs::metadata("/proc/self").ok()?.uid().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of_uid = |line: &&str| line.split(':').nth(2) == Some(&uid);
    let name = passwd.lines().find(of_uid).and_then(|line| line.split(':').next()).map(str::to_string);
    name.or_else(|| variable("USER")).or_else(|| variable("LOGNAME"))
}

/// What steps can have here.
pub fn host(cache: &Arc<Cache>) -> Host {
    let kept = Arc::new(Kept(cache.clone()));
    let find = || {
        let dirs = emulator_dirs();
        let found = emulators::find(&dirs);
        (dirs, found)
    };
    Host {
        platform: emulators::host_platform(),
        emulators: LazyLock::new(Box::new(find)),
        resolv_conf: names::host_resolv_conf().unwrap_or_default(),
        probe: Box::new({
            let kept = kept.clone();
            move || kept.facts()
        }),
        distrust: Box::new(move || kept.forget()),
        facts: OnceLock::new(),
    }
}

/// Where emulators are looked for: `PATH`, and where distributions put them.
pub fn emulator_dirs() -> Vec<PathBuf> {
    let mut dirs = path_dirs();
    dirs.extend(emulators::usual_dirs());
    let mut seen = std::collections::HashSet::new();
    dirs.retain(|dir| dir.canonicalize().is_ok_and(|real| seen.insert(real))); // /bin is /usr/bin
    dirs
}

/// The absolute directories of `PATH`.
pub fn path_dirs() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    dirs.retain(|d| d.is_absolute());
    dirs
}

/// This machine's platform.
pub fn platform() -> Platform {
    emulators::host_platform()
}

/// What `--platform` names, if it is given.
pub fn platform_named(text: Option<&str>) -> Result<Option<Platform>, Failure> {
    text.map(|text| Platform::parse(text, &self::platform()).map_err(Failure::usage)).transpose()
}

/// Bytes that are free on a directory's disk for this user.
pub fn free(dir: &Path) -> std::io::Result<u64> {
    statvfs(dir).map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize)).map_err(Into::into)
}

/// Bytes that an archive may take in a directory while it is read: at most 64 GiB, and never the last tenth of what is
/// free there, since what a small file inflates to is known only when it is there.
pub fn room(dir: &Path) -> u64 {
    const MOST: u64 = 64 << 30;
    // the cache may not be there yet
    let free = dir.ancestors().find_map(|dir| free(dir).ok()).unwrap_or(MOST);
    (free - free / 10).min(MOST)
}

/// The bytes that the cache may hold after a build: `--cache-limit`, else a tenth of its disk and at most 20 GiB, as
/// BuildKit's garbage collector reckons it (`cmd/buildkitd/config/gcpolicy.go`). None for no limit.
pub fn cache_limit(cli: &Cli, dir: &Path) -> Result<Option<u64>, Failure> {
    const MOST: u64 = 20 << 30;
    match cli.cache_limit.as_deref() {
        Some("none") => Ok(None),
        Some(text) => {
            crate::flags::bytes("--cache-limit", text).map(|n| Some(n.unsigned_abs())).map_err(Failure::usage)
        }
        None => Ok(Some(statvfs(dir).map_or(MOST, |fs| (fs.f_blocks.saturating_mul(fs.f_frsize) / 10).min(MOST)))),
    }
}

/// Settings of image sources, from Docker's and the usual places.
pub fn sources(cache: &Path, insecure: &[String]) -> Config {
    let mut config = Config::new(cache);
    config.limits.inflated = room(cache);
    let docker = variable("DOCKER_CONFIG").map(PathBuf::from);
    let docker = docker.or_else(|| variable("HOME").map(|home| Path::new(&home).join(".docker")));
    config.docker_config = docker.map(|dir| dir.join("config.json"));
    config.ca_files = variable("SSL_CERT_FILE").map(PathBuf::from).into_iter().collect();
    config.insecure_hosts = insecure.to_vec();
    config.programs = env::var_os("PATH").unwrap_or(config.programs);
    config.known_hosts = variable("HOME").map(|home| Path::new(&home).join(".ssh/known_hosts"));
    let proxy = |upper: &str| variable(upper).or_else(|| variable(&upper.to_lowercase()));
    config.proxy = Proxy { http: proxy("HTTP_PROXY"), https: proxy("HTTPS_PROXY"), no_proxy: proxy("NO_PROXY") };
    config
}

/// The same over an open cache, which is told what of it is used.
pub fn cached_sources(cache: &Cache, insecure: &[String]) -> Config {
    Config { ledger: Some(cache.ledger().clone()), ..sources(cache.dir(), insecure) }
}

/// Registries, over the cache.
pub fn registry(config: &Config) -> Result<Arc<Registry>, Failure> {
    Registry::new(config).map(Arc::new).map_err(Failure::new)
}

/// Files of the web, over the cache.
pub fn web(config: &Config) -> Result<Arc<HttpSource>, Failure> {
    HttpSource::new(config).map(Arc::new).map_err(Failure::new)
}

/// Git repositories.
pub fn git(config: &Config) -> Arc<GitSource> {
    Arc::new(GitSource::new(config))
}

/// Listens to Ctrl-C, TERM and HUP.
pub struct SignalWatch {
    /// Raised by the first signal.
    pub interrupt: Arc<Interrupt>,
    signal: Arc<AtomicI32>,
}

impl SignalWatch {
    /// Starts a thread that raises the interrupt. A second signal ends the program at once.
    pub fn start() -> Result<Self, Failure> {
        let watch = Self { interrupt: Arc::default(), signal: Arc::default() };
        let (interrupt, signal) = (watch.interrupt.clone(), watch.signal.clone());
        let mut signals =
            Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|e| Failure::new(format!("listen to signals: {e}")))?;
        std::thread::spawn(move || {
            for number in signals.forever() {
                if signal.swap(number, Ordering::SeqCst) != 0 {
                    std::process::exit(128 + number);
                }
                interrupt.raise();
            }
        });
        Ok(watch)
    }

    /// The failure to end with, if a signal came.
    pub fn failure(&self) -> Option<Failure> {
        match self.signal.load(Ordering::SeqCst) {
            0 => None,
            number => Some(Failure::interrupted(number)),
        }
    }
}
