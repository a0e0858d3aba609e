//! Running `git` so that neither the machine's settings, nor a server, nor a repository can make it do more than
//! fetch and check out.
//!
//! It sees an environment made here: no configuration of the system or the user, no hooks, no templates, no
//! credential helpers, no prompts, and no transports but http, https, ssh and git (so no submodule can name a
//! directory of this machine or a command: `GIT_ALLOW_PROTOCOL`, git(1)). The repository's URL and the
//! `Authorization` header reach it by `GIT_CONFIG_COUNT` (git-config(1), git 2.31), not by the command line, where
//! every user of the machine could read them.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{GitError, Remote};
use crate::Config;
use crate::error::{Error, Result};

/// The version that reads settings from `GIT_CONFIG_COUNT`.
const OLDEST: (u32, u32) = (2, 31);

/// What the program may say, in bytes; the list of a large repository's branches has some megabytes.
const MAX_OUTPUT: u64 = 64 << 20;

/// Runs the program, and ends it and all that it started when standard input does: that is when this process has ended,
/// however that came about. It is the shell's group that is ended, see [`Git::run`].
const GUARDED: &str = "exec 3<&0; \"$@\" </dev/null 3<&- & git=$!; { read _ <&3; kill -KILL 0; } >/dev/null 2>&1 & \
    guard=$!; exec 3<&-; wait $git; status=$?; kill -KILL $guard; exit $status";

/// How often it is looked whether the caller still wants it.
const PAUSE: Duration = Duration::from_millis(20);

/// How often it is looked how much there is.
const MEASURE: Duration = Duration::from_secs(1);

/// `git`, for one repository.
pub(super) struct Git<'a> {
    config: &'a Config,
    remote: &'a Remote,
    stop: &'a dyn Fn() -> bool,
    place: Option<Place>,
}

/// The repository on this machine.
struct Place {
    /// All that is written lies below.
    top: PathBuf,
    repository: PathBuf,
    tree: PathBuf,
}

impl<'a> Git<'a> {
    /// Looks for the program.
    pub fn new(config: &'a Config, remote: &'a Remote, stop: &'a dyn Fn() -> bool) -> Result<Self> {
        let git = Self { config, remote, stop, place: None };
        let unfit = |reason: String| GitError::Program { url: remote.shown(), reason };
        let output = git.command("git").arg("version").output().map_err(|e| {
            unfit(match e.kind() {
                std::io::ErrorKind::NotFound => "it is not installed".into(),
                _ => e.to_string(),
            })
        })?;
        let text = String::from_utf8_lossy(&output.stdout);
        match version(&text) {
            Some(found) if found >= OLDEST => Ok(git),
            _ => Err(unfit(format!("this is {}", crate::http::clean(&text))).into()),
        }
    }

    /// The same with a repository on this machine.
    pub fn within(self, top: &Path, repository: &Path, tree: &Path) -> Self {
        let place = Place { top: top.into(), repository: repository.into(), tree: tree.into() };
        Self { place: Some(place), ..self }
    }

    /// The repository's own settings.
    pub fn config_file(&self) -> String {
        self.place.as_ref().map(|p| p.repository.join("config").to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().stdin(Stdio::null()).current_dir("/");
        command.env("PATH", &self.config.programs);
        for (name, value) in [
            ("LC_ALL", "C"),
            ("HOME", "/nonexistent"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ALLOW_PROTOCOL", "http:https:ssh:git"),
        ] {
            command.env(name, value);
        }
        let mut settings = vec![
            ("remote.origin.url".to_string(), self.remote.url.clone()),
            ("core.hooksPath".into(), "/dev/null".into()),
            ("core.fsmonitor".into(), "false".into()),
            ("credential.helper".into(), String::new()),
            ("gc.auto".into(), "0".into()),
            ("maintenance.auto".into(), "false".into()),
            ("init.defaultBranch".into(), "master".into()),
            ("fetch.recurseSubmodules".into(), "false".into()),
            ("http.lowSpeedLimit".into(), "1".into()),
            ("http.lowSpeedTime".into(), self.config.read_timeout.as_secs().max(1).to_string()),
        ];
        if let Some(header) = &self.remote.authorization {
            let key = format!("http.{}.extraHeader", scope(&self.remote.url));
            settings.push((key, format!("Authorization: {header}")));
        }
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (n, (key, value)) in settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{n}"), key).env(format!("GIT_CONFIG_VALUE_{n}"), value);
        }
        command.env("GIT_SSH_COMMAND", self.ssh());
        command.envs(self.remote.agent.iter().map(|socket| ("SSH_AUTH_SOCK", socket)));
        command.envs(self.config.ca_files.first().map(|file| ("GIT_SSL_CAINFO", file)));
        let proxy = &self.config.proxy;
        for (name, value) in [("http_proxy", &proxy.http), ("https_proxy", &proxy.https), ("no_proxy", &proxy.no_proxy)]
        {
            command.envs(value.iter().map(|value| (name, value)));
        }
        command
    }

    /// Trust on first use, as `ssh` offers it to people: an unknown host's key is kept, a changed one refused.
    fn ssh(&self) -> String {
        let kept = self.config.cache.join("known_hosts");
        let own = self.config.known_hosts.iter().cloned();
        let (files, strict) = match &self.remote.known_hosts {
            Some(given) => (vec![given.clone()], "yes"),
            None => ([kept].into_iter().chain(own).collect(), "accept-new"),
        };
        let files: Vec<String> = files.iter().map(|file| format!("\"{}\"", file.display())).collect();
        let files = quoted(&format!("UserKnownHostsFile={}", files.join(" ")));
        format!("ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking={strict} -o {files}")
    }

    /// Runs it; gives what it wrote to its standard output. `deed` is for the message: `can't {deed}`.
    pub fn run(&self, deed: &'static str, args: &[&str]) -> Result<String> {
        let mut command = self.command("sh");
        command.args(["-c", GUARDED, "sh", "git"]);
        if let Some(place) = &self.place {
            command.arg("--git-dir").arg(&place.repository).arg("--work-tree").arg(&place.tree);
            command.current_dir(&place.tree);
        }
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own, so that what it starts (ssh, git-remote-https) can be ended with it.
        command.process_group(0);
        let fail = |e| Error::file("git", "run")(e);
        let mut child = command.spawn().map_err(fail)?;
        let (_open, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (tell, told) = mpsc::channel();
        let ended = std::thread::scope(|scope| {
            let out = scope.spawn(|| bounded(stdout));
            let err = scope.spawn(|| bounded(stderr));
            // The pipes close when all that it started has ended.
            scope.spawn(move || drop((out.join().map(|out| tell.send((out, err.join().unwrap_or_default()))), tell)));
            self.watch(&mut child, &told)
        });
        let (out, err) = ended.inspect_err(|_| end(&mut child))?;
        let status = child.wait().map_err(fail)?;
        match status.success() {
            true => Ok(out),
            false => Err(self.failed(deed, &err).into()),
        }
    }

    /// Waits for the output, unless the caller is tired of it or too much came.
    fn watch(&self, child: &mut Child, told: &mpsc::Receiver<(String, String)>) -> Result<(String, String)> {
        let mut measured = Instant::now();
        loop {
            if let Ok(output) = told.recv_timeout(PAUSE) {
                return Ok(output);
            }
            if (self.stop)() {
                end(child);
                return Err(GitError::Interrupted.into());
            }
            if measured.elapsed() > MEASURE {
                self.measure().inspect_err(|_| end(child))?;
                measured = Instant::now();
            }
        }
    }

    /// Refuses what has become too large.
    pub fn measure(&self) -> Result<()> {
        let limit = self.config.limits.inflated;
        match &self.place {
            Some(place) if bytes_below(&place.top) > limit => {
                Err(GitError::TooLarge { url: self.remote.shown(), limit }.into())
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, deed: &'static str, stderr: &str) -> GitError {
        let url = self.remote.shown();
        let clean = stderr.replace(&self.remote.url, &url);
        let says = |words: &[&str]| words.iter().any(|w| clean.contains(w));
        let hint = if says(&["terminal prompts disabled", "Authentication failed", "403", "401"]) {
            Some("if the repository is private, hand over a token: --secret id=GIT_AUTH_TOKEN,src=FILE")
        } else if says(&["Permission denied (publickey", "Too many authentication failures"]) {
            Some("hand over your ssh agent, with the right key in it: --ssh default")
        } else if says(&["REMOTE HOST IDENTIFICATION HAS CHANGED", "Host key verification failed"]) {
            Some(
                "the host's key is another one than before: if that is right, remove the old one with `ssh-keygen -R HOST -f known_hosts`, in ~/.ssh and in the cache's directory",
            )
        } else if says(&["transport 'file' not allowed", "not allowed"]) {
            Some("a repository may have submodules at http, https, ssh and git addresses only")
        } else if says(&["Could not resolve host", "Couldn't connect", "unable to connect", "Connection refused"]) {
            Some("check the name, the network and the proxy settings")
        } else {
            None
        };
        // What git itself says comes last; the lines before are the server's or ssh's.
        let lines: Vec<&str> = clean.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let words = crate::http::clean(&lines[lines.len().saturating_sub(3)..].join("; "));
        GitError::Failed { url, deed, words, hint }
    }
}

/// Where the header goes: to this repository; for github.com to all of it, since its submodules are there too
/// (BuildKit `source/git/source.go`, `tokenScope`).
fn scope(url: &str) -> &str {
    ["https://github.com/", "https://www.github.com/"].into_iter().find(|site| url.starts_with(site)).unwrap_or(url)
}

/// `git version 2.39.5 (Apple Git-154)`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("git version ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.trim().parse().ok()?))
}

/// For the shell that git starts ssh with.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn bounded(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    // What comes after a broken pipe is lost; the exit code says the rest.
    let _ = pipe.map(|pipe| pipe.take(MAX_OUTPUT).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Ends the program and what it started.
fn end(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

fn bytes_below(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, want) in [
            ("git version 2.47.3\n", Some((2, 47))),
            ("git version 2.31\n", Some((2, 31))),
            ("git version 2.39.5 (Apple Git-154)", Some((2, 39))),
            ("hub version 2.1", None),
            ("", None),
        ] {
            assert_eq!(version(text), want, "{text}");
        }
    }

    #[test]
    fn a_checkout_has_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        std::fs::write(dir.path().join("d/f"), [0; 10]).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("link")).unwrap();
        let remote = Remote::new("https://h/r");
        let mut config = Config::new("/nonexistent");
        for (limit, fits) in [(1000, true), (9, false)] {
            config.limits.inflated = limit;
            let place = Place { top: dir.path().into(), repository: PathBuf::new(), tree: PathBuf::new() };
            let git = Git { config: &config, remote: &remote, stop: &|| false, place: Some(place) };
            assert_eq!(git.measure().is_ok(), fits);
        }
    }

    #[test]
    fn a_token_is_for_its_repository() {
        assert_eq!(scope("https://github.com/a/b.git"), "https://github.com/");
        assert_eq!(scope("https://github.com.evil.example/a.git"), "https://github.com.evil.example/a.git");
        assert_eq!(scope("http://github.com/a.git"), "http://github.com/a.git");
    }

    #[test]
    fn no_secret_is_an_argument_or_shown() {
        let remote =
            Remote { authorization: Some("basic aHVudGVyMg".into()), ..Remote::new("https://u:hunter2@h/r.git") };
        let config = Config::new("/nonexistent");
        let git = Git { config: &config, remote: &remote, stop: &|| false, place: None };
        let command = git.command("git");
        assert!(command.get_args().next().is_none());
        let error = git.failed("fetch it", "fatal: unable to access 'https://u:hunter2@h/r.git': 403").to_string();
        assert!(!error.contains("hunter2") && error.contains("GIT_AUTH_TOKEN"), "{error}");
    }
}
