//! `--ssh ID=KEY`: an agent of this build's own, which has these private keys and ends with it.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::failure::Failure;

/// An agent with keys. It ends when this is dropped, or some seconds after this program was killed.
pub struct KeyAgent {
    socket: PathBuf,
    /// What the agent lives for: it waits for us to end.
    waiter: Child,
    agent: Option<Pid>,
    _dir: TempDir,
}

/// The sockets behind `--ssh`. What names private keys in place of a socket gets an agent, which must be kept.
pub fn sockets(given: &BTreeMap<String, Vec<PathBuf>>) -> Result<(BTreeMap<String, PathBuf>, Vec<KeyAgent>), Failure> {
    let (mut sockets, mut agents) = (BTreeMap::new(), Vec::new());
    for (id, paths) in given {
        let is_key = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|m| m.file_type().is_file());
        let socket = match &paths[..] {
            keys if keys.iter().all(is_key) => {
                agents.push(KeyAgent::start(id, keys)?);
                agents.last().map(|agent| agent.socket.clone()).unwrap_or_default()
            }
            [socket] if is_socket(socket) => socket.clone(),
            _ => return Err(wrong(id, paths)),
        };
        sockets.insert(id.clone(), socket);
    }
    Ok((sockets, agents))
}

/// Whether there is a socket.
pub fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.file_type().is_socket())
}

fn wrong(id: &str, paths: &[PathBuf]) -> Failure {
    let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    Failure::usage(format!(
        "--ssh {id}={}: that is neither an agent's socket nor private keys; is the agent running, are the files there?",
        shown.join(",")
    ))
}

impl KeyAgent {
    fn start(id: &str, keys: &[PathBuf]) -> Result<Self, Failure> {
        let failed = |what: String| {
            Failure::new(format!(
                "--ssh {id}: {what}\n  keys need OpenSSH's ssh-agent and ssh-add: apt-get install openssh-client"
            ))
        };
        let dir = tempfile::Builder::new().prefix("routerpack-ssh-").tempdir();
        let dir = dir.map_err(|e| failed(format!("make a directory for an agent: {e}")))?;
        let socket = dir.path().join("agent");
        // An agent ends with the command that it was started for, which ends when our end of the pipe is closed.
        let mut command = Command::new("ssh-agent");
        command.arg("-a").arg(&socket).args(["sh", "-c", "echo \"$SSH_AGENT_PID\"; exec cat > /dev/null"]);
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut waiter = started.map_err(|e| failed(format!("ssh-agent can't be started: {e}")))?;
        let mut line = String::new();
        if let Some(stdout) = waiter.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        let agent = line.trim().parse().ok().and_then(Pid::from_raw);
        let agent = Self { socket, waiter, agent, _dir: dir };
        agent.add(keys).map_err(failed)?;
        Ok(agent)
    }

    /// A key with a passphrase has it asked for, if there is a terminal.
    fn add(&self, keys: &[PathBuf]) -> Result<(), String> {
        let mut command = Command::new("ssh-add");
        command.arg("-q").args(keys).env("SSH_AUTH_SOCK", &self.socket).stdin(Stdio::null());
        let output = command.output().map_err(|e| format!("ssh-add can't be started: {e}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_string()),
        }
    }
}

impl Drop for KeyAgent {
    fn drop(&mut self) {
        if let Some(agent) = self.agent {
            let _ = kill_process(agent, Signal::TERM);
        }
        drop(self.waiter.stdin.take());
        let _ = self.waiter.wait();
    }
}
