//! Pid 1 of a step: builds the sandbox, starts the command, reaps what it leaves behind, and dies, with all of
//! it, when the runner is gone.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Rlimit, Signal, WaitOptions, WaitStatus};
use serde::{Deserialize, Serialize};

use crate::binfmt::{self, Registration};
use crate::child::Status;
use crate::command;
use crate::error::{Doing, Error};
use crate::idmap::IdMap;
use crate::interpreter::{self, Before};
use crate::step::{Emulation, Network, Step};
use crate::walk::Made;
use crate::{channel, root, sys, user};

/// What the init tells the runner.
#[derive(Debug, Serialize, Deserialize)]
pub enum Event {
    /// Mount points were made in the root filesystem; to be removed when all is over.
    Made(Vec<Made>),
    /// The command runs.
    Started,
    /// It never did.
    Failed(Error),
    /// It did, and ended.
    Ended(Status),
}

/// Does everything. `chroot` is the prepared root filesystem where no mounts can be had. `orders` brings the go, then signal numbers; its end means that the runner is gone.
pub fn main(
    step: &Step,
    ids: &IdMap,
    nofile: Rlimit,
    stdin: Option<OwnedFd>,
    orders: OwnedFd,
    events: OwnedFd,
    chroot: Option<OwnedFd>,
) -> ! {
    // The pipe is the reliable one of the two; this one works while we are busy.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    if !matches!(channel::receive::<()>(&orders), Ok(Some(()))) {
        std::process::exit(1);
    }
    let event = match start(step, ids, nofile, stdin, &orders, &events, chroot) {
        Ok(status) => Event::Ended(status),
        Err(error) => Event::Failed(error),
    };
    let _ = channel::send(&events, &event);
    std::process::exit(0)
}

fn start(
    step: &Step,
    ids: &IdMap,
    nofile: Rlimit,
    stdin: Option<OwnedFd>,
    orders: &OwnedFd,
    events: &OwnedFd,
    chroot: Option<OwnedFd>,
) -> Result<Status, Error> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // Kept open: the registration lives as long as its mount.
    let binfmt = binfmts(step)?;
    let top = if let Some(root) = chroot {
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        root
    } else {
        rustix::system::sethostname(step.hostname.as_bytes())
            .doing(|| format!("set the host name {}", step.hostname))?;
        if step.network == Network::None {
            sys::loopback_up().doing(|| "switch the loopback on".into())?;
        }
        let mut made = Vec::new();
        let entered = root::enter(step, ids, &mut made);
        if !made.is_empty() {
            channel::send(events, &Event::Made(made)).doing(|| "report to the runner".into())?;
        }
        entered?;
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
        rustix::fs::open("/", flags, rustix::fs::Mode::empty()).doing(|| "open the step's root".into())?
    };
    let _binfmt = match (binfmt, &step.native) {
        (Some(Binfmt::Opened(registration)), Some(native)) => {
            let data = native.table()?;
            Some(registration.complete(Some(Before { code: interpreter::DISPATCHER, data: &data }))?)
        }
        (Some(Binfmt::Complete(mount)), _) => Some(mount),
        _ => None,
    };
    let identity = user::resolve(&top, &step.user)?;
    root::enter_cwd(&top, &step.cwd)?;
    let signals = sys::signal_fd(&[libc::SIGCHLD]).doing(|| "watch for children".into())?;
    let (trouble, trouble_end) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).doing(|| "make a pipe".into())?;
    let Some(pid) = sys::fork(0).doing(|| "start the command's process".into())? else {
        drop(trouble);
        let error = command::become_it(step, ids, &identity, nofile, stdin, &top);
        let _ = channel::send(&trouble_end, &error);
        std::process::exit(127);
    };
    drop((trouble_end, stdin));
    match channel::receive::<Error>(&trouble) {
        Ok(None) => {}
        Ok(Some(error)) => return Err(error),
        Err(e) => return Err(Error::Lost(format!("the command's process: {e}"))),
    }
    channel::send(events, &Event::Started).doing(|| "report to the runner".into())?;
    let status = watch(pid, orders, &signals);
    end_all();
    Ok(status)
}

/// The step's own registrations.
enum Binfmt {
    Complete(OwnedFd),
    /// To be completed in the step's root: a table of what is in it belongs to it.
    Opened(Registration),
}

/// Makes the host's binfmt registrations invisible and registers the step's own.
fn binfmts(step: &Step) -> Result<Option<Binfmt>, Error> {
    let own = crate::runner::has_own_user_namespace(step);
    match &step.emulation {
        Emulation::Private { qemu, target } if own => {
            let registration = Registration::open(qemu, target)?;
            Ok(Some(match &step.native {
                Some(_) => Binfmt::Opened(registration),
                None => Binfmt::Complete(registration.complete(None)?),
            }))
        }
        // It would be the machine's.
        Emulation::Private { .. } => {
            Err(Error::Invalid("an emulator can be registered in a step's own user namespace only".into()))
        }
        // What a native step can run must not hang on what somebody has registered; older kernels can't help it.
        Emulation::None if own => Ok(binfmt::mount().ok().map(Binfmt::Complete)),
        Emulation::None | Emulation::Registered => Ok(None),
    }
}

/// Waits for the command, passing signals on and reaping orphans.
fn watch(command: Pid, orders: &OwnedFd, signals: &OwnedFd) -> Status {
    loop {
        let mut fds = [PollFd::new(signals, PollFlags::IN), PollFd::new(orders, PollFlags::IN)];
        if let Err(Errno::INTR) = rustix::event::poll(&mut fds, None) {
            continue;
        }
        let (child, order) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
        if child {
            let mut info = [0u8; 512];
            let _ = rustix::io::read(signals, &mut info);
            while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
                if pid == command {
                    return status_of(status);
                }
            }
        }
        if order {
            match channel::receive::<i32>(orders.as_fd()) {
                Ok(Some(number)) => {
                    if let Some(signal) = Signal::from_named_raw(number) {
                        let _ = rustix::process::kill_process(command, signal);
                    }
                }
                // The runner is gone: the end of this process is the end of its namespace.
                Ok(None) | Err(_) => {
                    end_all();
                    std::process::exit(1);
                }
            }
        }
    }
}

fn status_of(status: WaitStatus) -> Status {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Status::Exited(code),
        (_, Some(signal)) => Status::Signaled(signal),
        // waitpid was not asked for stops and continuations.
        _ => Status::Exited(255),
    }
}

/// Ends what the command has left behind, so that nothing writes to the result any more. Without a pid namespace
/// "all" would be the machine.
fn end_all() {
    if rustix::process::getpid() != Pid::INIT {
        return bury_descendants();
    }
    sys::kill_all();
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::empty()) {}
}

/// The same where there is no pid namespace: as subreaper, this process gets every orphan.
pub fn bury_descendants() {
    loop {
        let own = rustix::process::getpid().as_raw_nonzero();
        let children = std::fs::read_to_string(format!("/proc/self/task/{own}/children")).unwrap_or_default();
        for pid in children.split_whitespace().filter_map(|p| p.parse().ok()).filter_map(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some(_)) => {}
            _ => return,
        }
    }
}
