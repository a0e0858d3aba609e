//! The last part of the way: from a child of the init to the command itself.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::error::{Doing, Error};
use crate::idmap::IdMap;
use crate::seccomp;
use crate::step::{Isolation, Security, Step};
use crate::sys::{self, Disposition};
use crate::user::Identity;

/// What Docker lets a container's root do (moby `oci/caps/defaults.go`).
pub const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// Becomes the command. Returns only what has gone wrong.
pub fn become_it(
    step: &Step,
    ids: &IdMap,
    identity: &Identity,
    nofile: Rlimit,
    stdin: Option<OwnedFd>,
    top: &OwnedFd,
) -> Error {
    match prepare(step, ids, identity, nofile, stdin, top) {
        Ok((path, args, env)) => {
            let error = sys::exec(&path, &args, &env);
            let reason = match error.raw_os_error() {
                Some(libc::ENOEXEC) => {
                    "it is no program of this platform (exec format error), or a script without `#!`".into()
                }
                Some(libc::ENOENT) => {
                    "its interpreter (`#!` line or dynamic loader) is not in the root filesystem".into()
                }
                _ => error.to_string(),
            };
            Error::NotExecutable { command: path.to_string_lossy().into_owned(), reason }
        }
        Err(error) => error,
    }
}

type Image = (CString, Vec<CString>, Vec<CString>);

fn prepare(
    step: &Step,
    ids: &IdMap,
    identity: &Identity,
    nofile: Rlimit,
    stdin: Option<OwnedFd>,
    top: &OwnedFd,
) -> Result<Image, Error> {
    let env = environment(step, identity)?;
    let args = step.args.iter().map(|a| c_string(a)).collect::<Result<Vec<_>, _>>()?;
    if let Some(stdin) = stdin {
        rustix::stdio::dup2_stdin(&stdin).doing(|| "give the command its input".into())?;
    }
    if step.terminal {
        // A process group of its own in the foreground: job control works, Ctrl-C is for the command.
        rustix::process::setpgid(None, None).doing(|| "make a process group".into())?;
        let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpid());
    } else {
        rustix::process::setsid().doing(|| "make a session".into())?;
    }
    limits(step, nofile)?;
    for id in [identity.uid, identity.gid].iter().chain(&identity.groups).enumerate() {
        let mapped = if id.0 == 0 { ids.has_uid(*id.1) } else { ids.has_gid(*id.1) };
        if !mapped {
            return Err(Error::UnmappedId { user: step.user.clone(), id: *id.1, ranges: ids.to_string() });
        }
    }
    let locked = step.security == Security::Sandbox;
    if step.isolation == Isolation::Chroot {
        chroot(top).doing(|| "chroot into the root filesystem".into())?;
    }
    // Before the capability that loading it takes is gone.
    if locked && step.isolation != Isolation::Chroot {
        sys::seccomp(&seccomp::program()).doing(|| "load the seccomp list".into())?;
    }
    if locked {
        match drop_bounding_set() {
            // A container's root may be without the right to drop rights.
            Err(e) if step.isolation == Isolation::Chroot && e.errno() == Some(libc::EPERM) => {}
            other => other?,
        }
    }
    identify(identity)?;
    if locked && identity.uid == 0 {
        let sets = CapabilitySets {
            effective: CAPABILITIES & current_permitted()?,
            permitted: CAPABILITIES & current_permitted()?,
            inheritable: CapabilitySet::empty(),
        };
        rustix::thread::set_capabilities(None, sets).doing(|| "drop capabilities".into())?;
    }
    sys::signals(
        &[libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGTERM, libc::SIGTTOU, libc::SIGPIPE],
        Disposition::Default,
    );
    sys::unblock_signals().doing(|| "let signals through".into())?;
    Ok((find(&step.args[0], &env)?, args, env))
}

/// Makes `top` the root; the working directory, which is inside, stays.
fn chroot(top: &OwnedFd) -> Result<(), rustix::io::Errno> {
    let cwd = rustix::fs::open(".", rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty())?;
    rustix::process::fchdir(top)?;
    rustix::process::chroot(".")?;
    rustix::process::fchdir(cwd)
}

fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::Invalid(format!("a zero byte in {text:?}")))
}

/// The step's environment, with the user's home unless it says otherwise.
fn environment(step: &Step, identity: &Identity) -> Result<Vec<CString>, Error> {
    let mut env = step.env.iter().map(|e| c_string(e)).collect::<Result<Vec<_>, _>>()?;
    if !step.env.iter().any(|e| e.starts_with("HOME=")) {
        env.push(c_string(&format!("HOME={}", identity.home))?);
    }
    Ok(env)
}

fn current_permitted() -> Result<CapabilitySet, Error> {
    Ok(rustix::thread::capabilities(None).doing(|| "read capabilities".into())?.permitted)
}

fn drop_bounding_set() -> Result<(), Error> {
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match rustix::thread::capability_is_in_bounding_set(capability) {
            Ok(true) if !CAPABILITIES.contains(capability) => {
                rustix::thread::remove_capability_from_bounding_set(capability)
                    .doing(|| format!("drop capability {bit}"))?;
            }
            Ok(_) => {}
            // Beyond the last one that the kernel knows.
            Err(_) => break,
        }
    }
    let _ = rustix::thread::clear_ambient_capability_set();
    Ok(())
}

/// Takes on the user's ids. Where the namespace has a single id, its groups can't be set, and are right already.
fn identify(identity: &Identity) -> Result<(), Error> {
    let doing = || format!("become user {}:{}", identity.uid, identity.gid);
    let groups: Vec<_> = identity.groups.iter().map(|&g| rustix::fs::Gid::from_raw(g)).collect();
    match rustix::thread::set_thread_groups(&groups) {
        Err(rustix::io::Errno::PERM) if identity.groups == [identity.gid] => {}
        other => other.doing(doing)?,
    }
    let gid = rustix::fs::Gid::from_raw(identity.gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid).doing(doing)?;
    let uid = rustix::fs::Uid::from_raw(identity.uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid).doing(doing)
}

fn limits(step: &Step, nofile: Rlimit) -> Result<(), Error> {
    // The runner has raised its own.
    rustix::process::setrlimit(Resource::Nofile, nofile).doing(|| "set the limit of open files".into())?;
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if !step.ulimits.iter().any(|l| l.name == "core") {
        rustix::process::setrlimit(Resource::Core, none).doing(|| "forbid core dumps".into())?;
    }
    for limit in &step.ulimits {
        let resource = resource(&limit.name)
            .ok_or_else(|| Error::Invalid(format!("there is no resource limit `{}`", limit.name)))?;
        rustix::process::setrlimit(resource, Rlimit { current: limit.soft, maximum: limit.hard })
            .doing(|| format!("set the limit `{}`", limit.name))
            .map_err(|e| e.with_hint("only real root may raise a hard limit"))?;
    }
    Ok(())
}

fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "as" => Resource::As,
        "core" => Resource::Core,
        "cpu" => Resource::Cpu,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "locks" => Resource::Locks,
        "memlock" => Resource::Memlock,
        "msgqueue" => Resource::Msgqueue,
        "nice" => Resource::Nice,
        "nofile" => Resource::Nofile,
        "nproc" => Resource::Nproc,
        "rss" => Resource::Rss,
        "rtprio" => Resource::Rtprio,
        "rttime" => Resource::Rttime,
        "sigpending" => Resource::Sigpending,
        "stack" => Resource::Stack,
        _ => return None,
    })
}

/// The command's path: as it is if it has a slash, else the first executable file in PATH.
fn find(command: &str, env: &[CString]) -> Result<CString, Error> {
    let executable = |path: &str| {
        std::fs::metadata(path).is_ok_and(|m| m.is_file())
            && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
    };
    if command.contains('/') {
        return match std::fs::metadata(command) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::CommandNotFound(command.into(), "not used".into()))
            }
            _ => c_string(command),
        };
    }
    let path = env.iter().rev().find_map(|e| e.to_bytes().strip_prefix(b"PATH=")).unwrap_or(b"");
    let path = String::from_utf8_lossy(path);
    path.split(':')
        .map(|dir| format!("{}/{command}", if dir.is_empty() { "." } else { dir }))
        .find(|candidate| executable(candidate))
        .map_or_else(|| Err(Error::CommandNotFound(command.into(), path.to_string())), |found| c_string(&found))
}
