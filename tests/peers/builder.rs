//! A builder: a shell script in `builders/`, called with one of these words.
//!
//! - `daemon`: exit code 3 if it has none
//! - `serve`: is the daemon, until it is killed
//! - `prepare`: brings the workload's base into its own store; exit code 3 if it can't do this workload
//! - `forget`: forgets what an earlier build of the workload has left, but not the base
//! - `cold`, `warm`: builds the workload into `$OUT`
//!
//! It finds in the environment: `ROUTERPACK`, `STATE` (a directory of its own), `REGISTRY` (host and port; no TLS), and of the
//! workload `NAME`, `CONTEXT`, `PLATFORM`, `BASE` (the base's OCI layout; empty where it is in the registry only) and
//! `IMAGE` (the base's name, which the build argument of that name wants).

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::{
    Taken, chosen,
    support::{Registry, contained},
    workload::Workload,
};

/// What is cached when a build starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// The base, and nothing of the build.
    Cold,
    /// All of it.
    Warm,
}

/// The file names of the scripts, in the order of the tables; the first one is what the others are compared with.
const SCRIPTS: [&str; 9] = [
    "routerpack",
    "routerpack-empty",
    "routerpack-from",
    "routerpack-run",
    "buildah",
    "podman",
    "docker",
    "docker-flat",
    "skopeo-umoci",
];

/// A script with its state.
pub struct Builder {
    /// The script's name.
    pub name: String,
    script: PathBuf,
    state: PathBuf,
    registry: String,
    daemon: Option<Child>,
}

/// The builders, their daemons running.
pub fn all(dir: &Path, registry: &Registry) -> Vec<Builder> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/builders");
    let make = |name: &str| {
        let state = dir.join("state").join(name);
        fs::create_dir_all(&state).expect("a directory for a builder");
        let registry = registry.address().to_owned();
        Builder { name: name.into(), script: scripts.join(name), state, registry, daemon: None }
    };
    let mut builders = chosen(SCRIPTS.map(make).into(), "BUILDERS", |b| &b.name);
    builders.iter_mut().for_each(Builder::start);
    builders
}

impl Builder {
    /// Starts the daemon. It and all below it end with this process.
    fn start(&mut self) {
        if self.command("daemon").status().expect("a shell").code() == Some(3) {
            return;
        }
        let mut command = contained("sh");
        command.arg("-eu").arg(&self.script).arg("serve").env("STATE", &self.state).env("REGISTRY", &self.registry);
        let log = fs::File::create(self.state.join("log")).expect("a log");
        self.daemon = Some(command.stdout(log.try_clone().expect("a log")).stderr(log).spawn().expect("a daemon"));
    }

    /// Whether it can do this workload; if so, it then has the base.
    pub fn prepare(&self, workload: &Workload) -> bool {
        let status = self.run("prepare", workload);
        assert!(matches!(status.code(), Some(0 | 3)), "{} can't prepare {}: {status}", self.name, workload.name);
        status.success()
    }

    /// Forgets the workload.
    pub fn forget(&self, workload: &Workload) {
        let status = self.run("forget", workload);
        assert!(status.success(), "{} can't forget {}: {status}", self.name, workload.name);
    }

    /// Builds the workload, after whatever it takes for that phase.
    pub fn build(&self, workload: &Workload, phase: Phase) -> Taken {
        let out = self.state.join("out.tar");
        let _ = fs::remove_file(&out);
        if phase == Phase::Cold {
            self.forget(workload);
        }
        // what earlier turns have left to be written would be written in this one
        Command::new("sync").status().expect("sync");
        let memory = self.state.join("memory");
        let mut command = Command::new("/usr/bin/time");
        command.args(["-q", "-f", "%M", "-o"]).arg(&memory).args(["sh", "-eu"]).arg(&self.script);
        let word = if phase == Phase::Cold { "cold" } else { "warm" };
        self.say(command.arg(word), workload);
        let start = Instant::now();
        let status = command.status().expect("/usr/bin/time (run scripts/prerequisites peers)");
        let time = start.elapsed();
        assert!(status.success() && out.exists(), "{} failed at {}, {word}: {status}", self.name, workload.name);
        let client = fs::read_to_string(&memory).ok().and_then(|m| m.trim().parse::<u64>().ok()).unwrap_or(0) * 1024;
        let bytes = fs::metadata(&out).expect("an archive").len();
        Taken { time, memory: Some(client + self.daemon_memory()), bytes: Some(bytes) }
    }

    fn run(&self, word: &str, workload: &Workload) -> ExitStatus {
        self.say(&mut self.command(word), workload).status().expect("a shell")
    }

    fn command(&self, word: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-eu").arg(&self.script).arg(word).env("STATE", &self.state).stdin(Stdio::null());
        command
    }

    fn say<'a>(&self, command: &'a mut Command, workload: &Workload) -> &'a mut Command {
        let base = workload.base.as_deref().unwrap_or(Path::new(""));
        command.env("ROUTERPACK", env!("CARGO_BIN_EXE_routerpack")).env("STATE", &self.state);
        command.env("REGISTRY", &self.registry).env("NAME", workload.name).env("CONTEXT", &workload.context);
        command.env("PLATFORM", workload.platform).env("BASE", base).env("IMAGE", &workload.image);
        command.env("OUT", self.state.join("out.tar")).stdin(Stdio::null()).stdout(Stdio::null())
    }

    /// The sum of what the daemon and all below it took at most, since they began; in bytes.
    fn daemon_memory(&self) -> u64 {
        let Some(daemon) = &self.daemon else { return 0 };
        let mut family = vec![daemon.id()];
        let mut sum = 0;
        while let Some(pid) = family.pop() {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let peak =
                status.lines().find_map(|line| line.strip_prefix("VmHWM:")).and_then(|v| v.split_whitespace().next());
            sum += peak.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024;
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
            family.extend(
                children.flat_map(|c| c.split_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<u32>>()),
            );
        }
        sum
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while fs::remove_dir_all(&self.state).is_err() && self.state.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
