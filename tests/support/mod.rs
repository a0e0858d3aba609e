//! What the end-to-end tests share: the program under test in a world of its own (directories, cache, user), base
//! images, a registry, and an independent look into archives.
//!
//! A missing prerequisite panics with the command that mends it: no test passes without having tested.

// Each test program uses its own part of this.
#![allow(dead_code, unused_imports)]

pub mod archive;
pub mod browser;
pub mod leftovers;
pub mod raw;
pub mod registry;
pub mod suites;
pub mod tiny_elf;
pub mod web;
pub mod world;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

pub use archive::Archive;
pub use browser::Browser;
pub use registry::Registry;
pub use web::{Repository, Speaks, Web};
pub use world::{User, World};

/// The four platforms that routers have, with what `uname -m` says on each.
pub const PLATFORMS: [(&str, &str); 4] =
    [("linux/amd64", "x86_64"), ("linux/arm64", "aarch64"), ("linux/arm/v7", "armv7l"), ("linux/arm/v5", "armv5tel")];

/// What a finished command left: its exit code and all it printed.
#[derive(Debug)]
pub struct Outcome {
    /// The command, for messages.
    pub command: String,
    /// The exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Standard output, bytes as they came.
    pub stdout: Vec<u8>,
    /// Standard error, as text.
    pub stderr: String,
}

impl Outcome {
    fn new(command: &Command, output: Output) -> Self {
        let words = [command.get_program()].into_iter().chain(command.get_args());
        Self {
            command: words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "),
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Fails the test unless the command succeeded.
    #[track_caller]
    pub fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// Fails the test unless the command ended with an exit code that isn't 0 (and not by a signal or a panic).
    #[track_caller]
    pub fn failure(self) -> Self {
        assert!(self.code.is_some_and(|code| code != 0 && code != 101), "{self}");
        assert!(!self.stderr.contains("panicked at"), "{self}");
        self
    }

    /// Fails the test unless standard error holds every one of these texts.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "standard error lacks {text:?}: {self}");
        }
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} ended with {:?}", self.command, self.code)?;
        writeln!(f, "--- standard output\n{}", self.text())?;
        write!(f, "--- standard error\n{}", self.stderr)
    }
}

/// How long one command may take. None takes a tenth of it here; what is stuck must fail its test, not stop them all.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs a command to its end, with what the command says as standard input.
#[track_caller]
pub fn run(command: &mut Command) -> Outcome {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    finish(command, child.unwrap_or_else(|e| panic!("{command:?} can't be started: {e}")))
}

/// Waits for a command that was started with pipes for its output.
#[track_caller]
pub fn finish(command: &Command, child: Child) -> Outcome {
    let pid = child.id().to_string();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(child.wait_with_output()));
    let (output, stuck) = match told.recv_timeout(PATIENCE) {
        Ok(output) => (output, false),
        Err(_) => {
            run(tool("kill").args(["-KILL", &pid]));
            (told.recv().expect("the thread sends"), true)
        }
    };
    let outcome = Outcome::new(command, output.expect("a child can be waited for"));
    assert!(!stuck, "killed after {PATIENCE:?}: {outcome}");
    outcome
}

/// A program of another project that a test needs, ready for arguments. Looked for where root's programs are, too.
#[track_caller]
pub fn tool(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/local/sbin:/usr/sbin:/sbin";
    let found = path.split(':').map(|dir| Path::new(dir).join(name)).find(|file| file.is_file());
    let file = found.unwrap_or_else(|| panic!("there is no `{name}` here: run ./scripts/prerequisites test"));
    let mut command = Command::new(file);
    command.stdin(Stdio::null()).env("PATH", path);
    command
}

/// A tool whose whole process tree dies with the test that started it, and whose mounts and files under `/run` go with
/// it: for daemons, and for programs that leave monitors or mounts behind.
#[track_caller]
pub fn contained(name: &str) -> Command {
    let program = tool(name);
    let mut command = tool("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(tool("unshare").get_program());
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["sh", "-c", "mount -t tmpfs run /run && exec \"$@\"", "sh"]).arg(program.get_program());
    command
}

/// The OCI layout of a base image (`busybox` or `debian`), made by `scripts/bases` the first time.
pub fn base(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    run(tool("python3").arg(root.join("scripts/bases")).arg(name)).success();
    root.join("target/bases").join(name)
}

/// `--build-context` argument that puts a base image in the place of the image of that name.
pub fn base_context(name: &str) -> String {
    format!("--build-context={name}=oci-layout:{}", base(name).display())
}

/// Asserts that nothing of the kind is there, naming what is.
#[track_caller]
pub fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}
