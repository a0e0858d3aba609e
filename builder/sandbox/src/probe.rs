//! What works on this machine, found out by trying, in a process of its own.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::WaitOptions;
use serde::{Deserialize, Serialize};

use crate::child::{Answer, Request, start_runner};
use crate::elf;
use crate::error::{Doing, Error};
use crate::idmap::IdMap;
use crate::runner::{BASE, end, write_maps};
use crate::step::Isolation;
use crate::{binfmt, channel, mount, sys};

/// What is to be found out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    dir: PathBuf,
}

/// What works here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The kernel's release.
    pub kernel: String,
    /// The strongest isolation there is.
    pub isolation: Isolation,
    /// Why it is not the strongest of all.
    pub isolation_reason: Option<String>,
    /// Overlays with their upper in the probed directory; or why not.
    pub overlay: Result<(), String>,
    /// A binfmt_misc of a step's own; or why not.
    pub private_binfmt: Result<(), String>,
    /// Steps get a `/proc` of their own, not the host's.
    pub own_proc: bool,
    /// The kernel has seccomp filters.
    pub seccomp: bool,
    /// The machine runs the 32-bit programs of its family (386 on amd64, arm on arm64).
    pub runs_32_bit: bool,
}

/// Tries it all; `dir` is where snapshots will be (a directory is made in it and removed again). Some
/// milliseconds.
pub fn probe(dir: &Path) -> Result<Facts, Error> {
    let (mut runner, socket) = start_runner(Stdio::null(), Stdio::null())?;
    let answer = channel::send(&socket, &Request::Probe(Question { dir: dir.into() }))
        .and_then(|()| channel::receive::<Answer>(&socket));
    let status = runner.wait().map(|s| s.to_string()).unwrap_or_else(|e| e.to_string());
    match answer {
        Ok(Some(Answer::Facts(facts))) => Ok(*facts),
        Ok(_) => Err(Error::Lost(format!("probe: {status}"))),
        Err(e) => Err(Error::Lost(format!("probe: {e} ({status})"))),
    }
}

/// The runner's part.
pub(crate) fn answer(question: &Question) -> Facts {
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let nothing = |reason: &str| Facts {
        kernel: kernel.clone(),
        isolation: Isolation::Chroot,
        isolation_reason: Some(reason.into()),
        overlay: Err(reason.into()),
        private_binfmt: Err(reason.into()),
        own_proc: false,
        seccomp: sys::has_seccomp(),
        runs_32_bit: false,
    };
    let in_user_namespace = inside(question, libc::CLONE_NEWUSER, &kernel);
    let reason = match in_user_namespace {
        Ok(facts) => return facts,
        Err(reason) => reason.to_string(),
    };
    match inside(question, 0, &kernel) {
        Ok(facts) => Facts {
            isolation: Isolation::Namespaces,
            isolation_reason: Some(reason),
            // Root's own would be the machine's.
            private_binfmt: Err("steps have no user namespace of their own here".into()),
            ..facts
        },
        Err(second) => nothing(&format!("{reason}; {second}")),
    }
}

/// Tries in new namespaces.
fn inside(question: &Question, user: libc::c_int, kernel: &str) -> Result<Facts, Error> {
    let ids = IdMap::current().doing(|| "read the id maps".into())?;
    let flags = rustix::pipe::PipeFlags::CLOEXEC;
    let (go, go_end) = rustix::pipe::pipe_with(flags).doing(|| "make a pipe".into())?;
    let (result, result_end) = rustix::pipe::pipe_with(flags).doing(|| "make a pipe".into())?;
    let scratch = Scratch::new(&question.dir);
    let Some(child) = sys::fork(user | BASE).map_err(|e| crate::enter::diagnose(&e))? else {
        drop((go_end, result));
        if matches!(channel::receive::<()>(&go), Ok(Some(()))) {
            let _ = channel::send(&result_end, &examine(scratch.as_ref().ok(), kernel));
        }
        std::process::exit(0);
    };
    drop((go, result_end));
    if user != 0
        && let Err(e) = write_maps(child, &ids)
    {
        end(child);
        return Err(e);
    }
    let facts = channel::send(&go_end, &()).and_then(|()| channel::receive::<Result<Facts, Error>>(&result));
    end(child);
    let mut facts = facts
        .map_err(|e| Error::Lost(e.to_string()))?
        .ok_or_else(|| Error::Lost("the probe ended without a result".into()))??;
    if let Err(e) = &scratch {
        facts.overlay = Err(format!("{} is not writable: {e}", question.dir.display()));
    }
    Ok(facts)
}

/// An overlay's directories, gone when dropped.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new(dir: &Path) -> std::io::Result<Self> {
        let scratch = tempfile::Builder::new().prefix(".probe-").tempdir_in(dir)?;
        for name in ["lower", "lower/dir", "upper", "work", "merged"] {
            std::fs::create_dir(scratch.path().join(name))?;
        }
        Ok(Self(scratch))
    }

    /// Mounts it, and does what fails in a user namespace if extended attributes are in the wrong place.
    fn try_overlay(&self) -> Result<(), Error> {
        let open = |name: &str| mount::open_path(&self.0.path().join(name)).doing(|| format!("open {name}"));
        let (upper, work) = (open("upper")?, open("work")?);
        mount::overlay(&[open("lower")?], Some((&upper, &work)), &open("merged")?)?;
        let merged = self.0.path().join("merged");
        std::fs::remove_dir(merged.join("dir")).doing(|| "remove a directory in an overlay".into())?;
        std::fs::create_dir(merged.join("dir")).doing(|| "make a directory in an overlay".into())
    }
}

fn examine(scratch: Option<&Scratch>, kernel: &str) -> Result<Facts, Error> {
    mount::make_private()
        .doing(|| "change mounts".into())
        .map_err(|e| crate::enter::diagnose(&std::io::Error::from_raw_os_error(e.errno().unwrap_or(libc::EPERM))))?;
    let overlay = scratch.map_or(Ok(()), |s| s.try_overlay().map_err(|e| e.to_string()));
    let binfmt = binfmt::mount();
    let runs_32_bit = runs_32_bit();
    let private_binfmt = match binfmt {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("the kernel ({kernel}) has no binfmt_misc for user namespaces (Linux 6.7 has)")),
    };
    let attributes = rustix::mount::MountAttrFlags::MOUNT_ATTR_NOSUID;
    Ok(Facts {
        kernel: kernel.into(),
        isolation: Isolation::UserNamespace,
        isolation_reason: None,
        overlay,
        private_binfmt,
        own_proc: mount::filesystem("proc", &[], attributes).is_ok(),
        seccomp: sys::has_seccomp(),
        runs_32_bit,
    })
}

/// Executes a 32-bit program that does nothing but exit.
fn runs_32_bit() -> bool {
    let code: (u16, &[u8]) = if elf::HOST == elf::EM_AARCH64 {
        // mov r7, #1; mov r0, #0; svc #0
        (elf::EM_ARM, b"\x01\x70\xa0\xe3\x00\x00\xa0\xe3\x00\x00\x00\xef")
    } else {
        // xor eax, eax; inc eax; xor ebx, ebx; int 0x80
        (elf::EM_386, b"\x31\xc0\x40\x31\xdb\xcd\x80")
    };
    let run = || -> std::io::Result<bool> {
        let program = crate::interpreter::in_memory("probe", &elf::tiny_32(code.0, code.1)[..], |_| Ok(()))?;
        let Some(pid) = sys::fork(0)? else {
            let _ = sys::exec_fd(program.as_fd());
            std::process::exit(1);
        };
        let ended = rustix::process::waitpid(Some(pid), WaitOptions::empty())?;
        Ok(ended.is_some_and(|(_, status)| status.exit_status() == Some(0)))
    };
    run().unwrap_or(false)
}
