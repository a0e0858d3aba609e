//! The caller's side: starting a step and waiting for it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error};
use crate::step::Step;
use crate::{mount, probe};

/// `argv[0]` of the re-executed program.
pub(crate) const RUNNER: &str = "routerpack-sandbox-runner";

/// What the caller asks of a runner.
#[derive(Serialize, Deserialize)]
pub(crate) enum Request {
    /// Run a step; a descriptor that rides along is its standard input.
    Run(Box<Step>),
    /// Try out what works here.
    Probe(probe::Question),
}

/// What a runner answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The command runs.
    Started,
    /// It never ran.
    Failed(Error),
    /// It ran and ended.
    Ended(Status),
    /// The findings of a probe.
    Facts(Box<probe::Facts>),
}

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It called `exit` with this code.
    Exited(i32),
    /// This signal killed it.
    Signaled(i32),
}

impl Status {
    /// Exit code 0.
    pub fn success(self) -> bool {
        self == Status::Exited(0)
    }

    /// As a shell would put it: the code, or 128 + the signal.
    pub fn code(self) -> i32 {
        match self {
            Status::Exited(code) => code,
            Status::Signaled(signal) => 128 + signal,
        }
    }

    /// The command, or the last one of the shell that ran it, died of an instruction that its CPU does not
    /// have. Under emulation that means: built for a newer CPU than the target's.
    pub fn illegal_instruction(self) -> bool {
        self.code() == 128 + libc::SIGILL
    }
}

/// The command's standard streams. The descriptors are the step's from now on, so a pipe's reader sees the
/// end when the step has ended.
pub struct Streams {
    /// None reads as empty.
    pub stdin: Option<OwnedFd>,
    /// Where output goes.
    pub stdout: OwnedFd,
    /// Where errors go.
    pub stderr: OwnedFd,
}

/// A running step. Dropping it kills the step, whole.
#[derive(Debug)]
pub struct Child {
    runner: Option<std::process::Child>,
    channel: Arc<UnixStream>,
    status: Option<Status>,
}

/// Runners whose steps are over, and that wait for the kernel to clear them away.
static LEAVING: Mutex<Vec<std::process::Child>> = Mutex::new(Vec::new());

/// Buries those that have gone, and remembers another one to be buried.
fn leave(runner: Option<std::process::Child>) {
    let mut leaving = LEAVING.lock().unwrap_or_else(|e| e.into_inner());
    leaving.retain_mut(|runner| matches!(runner.try_wait(), Ok(None)));
    leaving.extend(runner);
}

/// Sends signals to a running step, from any thread.
#[derive(Clone, Debug)]
pub struct Signaller(Arc<UnixStream>);

impl Signaller {
    /// Kills the whole step; its `wait` then tells `Signaled(9)`.
    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    /// Sends a signal to the command (SIGKILL: ends the whole step). A step that is over hears nothing.
    pub fn signal(&self, signal: i32) {
        let byte = [u8::try_from(signal).unwrap_or(libc::SIGKILL as u8)];
        // A runner that is gone has nobody left to signal.
        let _ = rustix::net::send(&*self.0, &byte, rustix::net::SendFlags::NOSIGNAL);
    }
}

/// Starts a step; returns when its command has been executed, or tells why it could not be.
pub fn spawn(step: &Step, streams: Streams) -> Result<Child, Error> {
    if step.args.is_empty() {
        return Err(Error::Invalid("the step has no command".into()));
    }
    let Streams { stdin, stdout, stderr } = streams;
    let (mut runner, channel) = start_runner(Stdio::from(stdout), Stdio::from(stderr))?;
    let request = Request::Run(Box::new(step.clone()));
    let fds: Vec<_> = stdin.iter().map(|fd| fd.as_fd()).collect();
    let answer =
        crate::channel::send_with(&channel, &request, &fds).and_then(|()| crate::channel::receive::<Answer>(&channel));
    match answer {
        Ok(Some(Answer::Started)) => Ok(Child { runner: Some(runner), channel: Arc::new(channel), status: None }),
        Ok(Some(Answer::Failed(error))) => {
            let _ = runner.wait();
            Err(error)
        }
        other => Err(lost(&mut runner, channel, other)),
    }
}

/// A runner process and the socket to it.
pub(crate) fn start_runner(stdout: Stdio, stderr: Stdio) -> Result<(std::process::Child, UnixStream), Error> {
    let (ours, theirs) = UnixStream::pair().doing(|| "create a socket to the step's runner".into())?;
    let program = sealed_program().doing(|| "copy this program into memory".into())?;
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(program));
    let child = Command::new(path)
        .arg0(RUNNER)
        .env_clear()
        .stdin(OwnedFd::from(theirs))
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .doing(|| "start the step's runner (this program again)".into())?;
    Ok((child, ours))
}

/// This program where nobody can write to it.
///
/// A command can reach the file that it was executed from (`#!/proc/self/exe`): were that the installed program,
/// a step running as its owner could overwrite it (runc's CVE-2019-5736). So it is executed through a read-only mount
/// that is attached nowhere; where no mounts can be had, from a sealed copy in memory, which takes some milliseconds.
fn sealed_program() -> io::Result<&'static OwnedFd> {
    static PROGRAM: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(fd) = PROGRAM.get() {
        return Ok(fd);
    }
    let file = std::fs::File::open("/proc/self/exe")?;
    let program = match mount::read_only(&file) {
        Ok(program) => program,
        Err(_) => crate::interpreter::in_memory("routerpack", file, |_| Ok(()))?,
    };
    Ok(PROGRAM.get_or_init(|| program))
}

fn lost(runner: &mut std::process::Child, channel: UnixStream, answer: io::Result<Option<Answer>>) -> Error {
    drop(channel);
    let status = runner.wait().map(|s| s.to_string()).unwrap_or_else(|e| e.to_string());
    Error::Lost(match answer {
        Err(e) => format!("{e} (runner: {status})"),
        Ok(None) => format!("runner: {status}"),
        Ok(Some(answer)) => format!("unexpected answer {answer:?} (runner: {status})"),
    })
}

impl Child {
    /// Waits until the command has ended, everything that it left behind is dead, and stubs of mounts are removed.
    pub fn wait(&mut self) -> Result<Status, Error> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        let answer = crate::channel::receive::<Answer>(&*self.channel);
        if let Ok(Some(Answer::Ended(status))) = answer {
            self.status = Some(status);
            leave(self.runner.take());
            return Ok(status);
        }
        let runner = self.bury();
        match answer {
            Ok(Some(Answer::Failed(error))) => Err(error),
            Err(e) => Err(Error::Lost(format!("{e} (runner: {runner})"))),
            Ok(_) => Err(Error::Lost(format!("runner: {runner}"))),
        }
    }

    /// Waits for the runner's end, and tells how it ended.
    fn bury(&mut self) -> String {
        let ended = self.runner.as_mut().map(|runner| runner.wait().map_or_else(|e| e.to_string(), |s| s.to_string()));
        ended.unwrap_or_else(|| "gone".into())
    }

    /// A handle by which other threads can end the step while this one waits.
    pub fn signaller(&self) -> Signaller {
        Signaller(self.channel.clone())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.runner.is_some() {
            // A handle elsewhere may keep the socket open, so its end can't be the message.
            self.signaller().kill();
            self.bury();
        }
    }
}
