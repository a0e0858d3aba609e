//! The process between the caller and a step: this program executed again, single-threaded, so that it may
//! fork into a user namespace. It writes the id maps, forwards signals, ends the step when the caller is gone,
//! and tidies up.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions};

use crate::channel;
use crate::child::{Answer, RUNNER, Request, Status};
use crate::error::{Doing, Error};
use crate::idmap::IdMap;
use crate::init::{self, Event};
use crate::step::{Emulation, Isolation, Network, Root, Security, Step};
use crate::sys::{self, Disposition};
use crate::walk::Made;
use crate::{chroot, mount, probe, stubs};

/// Must be the first thing in `main` of any program that uses this crate: if the process was started as a
/// runner, it does a runner's work and never returns.
pub fn hook() {
    if std::env::args_os().next().is_some_and(|name| name == RUNNER) {
        // The terminal's signals are for the command or for the caller, who then ends the step.
        sys::signals(
            &[libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGTERM, libc::SIGTTOU, libc::SIGPIPE],
            Disposition::Ignore,
        );
        std::process::exit(match serve() {
            Ok(()) => 0,
            // The caller is gone, so nobody is left to be told.
            Err(_) => 1,
        });
    }
}

fn serve() -> std::io::Result<()> {
    sys::close_others_on_exec()?;
    let caller = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty());
    let (request, mut fds) = channel::receive_with::<Request>(&caller)?;
    match request {
        Request::Run(step) => {
            let stdin = match (fds.pop(), null) {
                (Some(fd), _) => Some(fd),
                (None, null) => null.ok(),
            };
            let result = run(&step, stdin, &caller);
            // Who reads the command's output waits for its end.
            if let Ok(null) = rustix::fs::open("/dev/null", rustix::fs::OFlags::WRONLY, rustix::fs::Mode::empty()) {
                let _ = (rustix::stdio::dup2_stdout(&null), rustix::stdio::dup2_stderr(&null));
            }
            let sent = channel::send(
                &caller,
                &match result {
                    Ok(status) => Answer::Ended(status),
                    Err(error) => Answer::Failed(error),
                },
            );
            // The kernel takes tens of milliseconds to undo an overlay, and the caller has better things to do.
            let _ = rustix::process::wait(WaitOptions::empty());
            sent
        }
        Request::Probe(question) => channel::send(&caller, &Answer::Facts(Box::new(probe::answer(&question)))),
    }
}

/// The namespaces that a step gets.
fn namespaces(step: &Step) -> libc::c_int {
    let user = match step.isolation {
        Isolation::Chroot => return 0,
        Isolation::Namespaces => 0,
        // `--security=insecure` is as much as the caller itself may do. An emulator, though, can be registered
        // in a namespace of the step's own only.
        Isolation::UserNamespace
            if step.security == Security::Insecure && !matches!(step.emulation, Emulation::Private { .. }) =>
        {
            0
        }
        Isolation::UserNamespace => libc::CLONE_NEWUSER,
    };
    let net = if step.network == Network::None { libc::CLONE_NEWNET } else { 0 };
    user | net | BASE
}

/// Whether what the step does to its user namespace stays there.
pub(crate) fn has_own_user_namespace(step: &Step) -> bool {
    namespaces(step) & libc::CLONE_NEWUSER != 0
}

/// All but the user's and the network's.
pub(crate) const BASE: libc::c_int =
    libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWCGROUP;

/// How the step ended. Its init may have been left to die: nothing of the step writes any more.
fn run(step: &Step, stdin: Option<OwnedFd>, caller: &OwnedFd) -> Result<Status, Error> {
    // A step with hundreds of layers holds a descriptor for each.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);

    let ids = IdMap::current().doing(|| "read the id maps of this process".into())?;
    let flags = rustix::pipe::PipeFlags::CLOEXEC;
    let (orders, orders_end) = rustix::pipe::pipe_with(flags).doing(|| "make a pipe".into())?;
    let (events, events_end) = rustix::pipe::pipe_with(flags).doing(|| "make a pipe".into())?;
    let namespaces = namespaces(step);
    let (chroot_root, mut undo) = if step.isolation == Isolation::Chroot {
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        let (root, undo) = chroot::prepare(step)?;
        (Some(root), Some(undo))
    } else {
        (None, None)
    };
    let Some(init) = sys::fork(namespaces).map_err(|e| refused(step, e))? else {
        drop((orders_end, events));
        init::main(step, &ids, limit, stdin, orders, events_end, chroot_root);
    };
    drop((orders, events_end, stdin));
    if namespaces & libc::CLONE_NEWUSER != 0
        && let Err(error) = write_maps(init, &ids)
    {
        end(init);
        return Err(error);
    }
    // The order to go.
    if let Err(e) = channel::send(&orders_end, &()) {
        end(init);
        return Err(Error::Lost(format!("the step's init: {e}")));
    }
    let (result, made) = follow(init, &events, &orders_end, caller);
    if step.terminal {
        // Take the terminal back from the command's process group.
        let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdout(), rustix::process::getpgrp());
    }
    let tidy = match &mut undo {
        Some(undo) => {
            init::bury_descendants();
            undo.undo()
        }
        None => tidy_up(step, &made),
    };
    result.and_then(|status| tidy.map(|()| status))
}

/// Why the kernel refused the namespaces.
fn refused(step: &Step, error: std::io::Error) -> Error {
    if step.isolation == Isolation::UserNamespace {
        crate::enter::diagnose(&error)
    } else {
        Error::Setup {
            doing: "create the step's namespaces".into(),
            errno: error.raw_os_error().unwrap_or(libc::EPERM),
            hint: Some("this takes root with CAP_SYS_ADMIN".into()),
        }
    }
}

/// Gives the child's user namespace the ids that this one has.
pub(crate) fn write_maps(child: Pid, ids: &IdMap) -> Result<(), Error> {
    let (uids, gids) = ids.identity();
    for (file, text) in [("gid_map", gids), ("uid_map", uids)] {
        let path = format!("/proc/{}/{file}", child.as_raw_nonzero());
        std::fs::write(&path, text).doing(|| format!("write the step's {file}"))?;
    }
    Ok(())
}

/// Kills a step by its init, and buries that.
pub(crate) fn end(init: Pid) {
    let _ = rustix::process::kill_process(init, Signal::KILL);
    let _ = rustix::process::waitpid(Some(init), WaitOptions::empty());
}

/// Passes events to the caller and orders to the init until the step is over.
fn follow(init: Pid, events: &OwnedFd, orders: &OwnedFd, caller: &OwnedFd) -> (Result<Status, Error>, Vec<Made>) {
    let mut made = Vec::new();
    let mut result = None;
    let mut killed = false;
    loop {
        let mut fds = [PollFd::new(events, PollFlags::IN), PollFd::new(caller, PollFlags::IN)];
        match rustix::event::poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            Err(e) => {
                end(init);
                return (Err(Error::Lost(format!("poll: {e}"))), made);
            }
            Ok(_) => {}
        }
        let (event, order) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
        if event {
            match channel::receive::<Event>(events) {
                Ok(Some(Event::Made(stubs))) => made = stubs,
                Ok(Some(Event::Started)) => {
                    if channel::send(caller, &Answer::Started).is_err() {
                        killed = true;
                        let _ = rustix::process::kill_process(init, Signal::KILL);
                    }
                }
                Ok(Some(Event::Failed(error))) => result = Some(Err(error)),
                Ok(Some(Event::Ended(status))) => result = Some(Ok(status)),
                Ok(None) | Err(_) => break,
            }
        } else if order {
            match read_signal(caller.as_fd()) {
                // The init of a pid namespace hears KILL from outside only; it takes everything with it.
                Some(libc::SIGKILL) | None => {
                    killed = true;
                    let _ = rustix::process::kill_process(init, Signal::KILL);
                }
                Some(signal) => {
                    let _ = channel::send(orders, &signal);
                }
            }
            if killed {
                break;
            }
        }
    }
    if let Some(Ok(status)) = result {
        return (Ok(status), made);
    }
    let status = rustix::process::waitpid(Some(init), WaitOptions::empty());
    let result = result.unwrap_or_else(|| match status {
        _ if killed => Ok(Status::Signaled(libc::SIGKILL)),
        Ok(Some((_, status))) if status.terminating_signal() == Some(libc::SIGKILL) => {
            Err(Error::Lost("something killed it (out of memory?)".into()))
        }
        other => Err(Error::Lost(format!("its init ended: {other:?}"))),
    });
    (result, made)
}

/// One signal number; none when the caller is gone.
fn read_signal(caller: BorrowedFd<'_>) -> Option<i32> {
    let mut byte = [0u8];
    match rustix::io::retry_on_intr(|| rustix::io::read(caller, &mut byte)) {
        Ok(1) => Some(i32::from(byte[0])),
        _ => None,
    }
}

fn tidy_up(step: &Step, made: &[Made]) -> Result<(), Error> {
    if made.is_empty() {
        return Ok(());
    }
    let base: &Path = match &step.root {
        Root::Overlay { upper, .. } => upper,
        Root::Dir(dir) => dir,
    };
    let doing = || format!("remove the mount points from {}", base.display());
    let base = mount::open_path(base).doing(doing)?;
    stubs::remove(base, made).doing(doing)
}
