//! Becoming root without being root: an ordinary user's process moves into a user namespace of its own.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, WaitOptions};

use crate::error::Error;
use crate::idmap::{IdMap, IdRange};
use crate::sys;

/// Moves the process into a user namespace where it is root, unless it is root already; to be called with one
/// thread only, before anything else (but after [`crate::runner::hook`]).
///
/// The process stays the same one (same pid, same terminal, same signals). With ranges in `/etc/subuid` and
/// `/etc/subgid` (found by the user's number or by its name in `/etc/passwd`; by `name` if it has none there)
/// and `newuidmap`, ids from 1 on exist as well; without, root is the only one.
///
/// Gives the ids that exist from now on.
pub fn enter(name: Option<&str>) -> Result<IdMap, Error> {
    let unreadable = |e: io::Error| Error::Lost(format!("the id maps of this process: {e}"));
    if rustix::process::geteuid().is_root() {
        return IdMap::current().map_err(unreadable);
    }
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    if sys::threads().is_ok_and(|n| n > 1) {
        return Err(Error::Invalid("a user namespace must be entered before any thread is started".into()));
    }
    let uids = map_of(uid, &ranges(Path::new("/etc/subuid"), name, uid));
    // Lines of subgid name users too.
    let gids = map_of(gid, &ranges(Path::new("/etc/subgid"), name, uid));
    let with_ranges = uids.len() > 1 && gids.len() > 1;
    move_into(uid, gid, with_ranges.then_some((&uids, &gids)))?;
    // Ubuntu's AppArmor lets the namespace come into being and then denies every capability in it.
    if let Err(e) = sys::unshare(libc::CLONE_NEWUTS) {
        return Err(diagnose(&e));
    }
    IdMap::current().map_err(unreadable)
}

/// The child waits for the new namespace, then maps it from outside, which is what newuidmap is for.
fn move_into(uid: u32, gid: u32, ranges: Option<(&[IdRange], &[IdRange])>) -> Result<(), Error> {
    let lost = |e: io::Error| Error::Lost(format!("setting up the user namespace: {e}"));
    let flags = rustix::pipe::PipeFlags::CLOEXEC;
    let (go, go_end) = rustix::pipe::pipe_with(flags).map_err(|e| lost(e.into()))?;
    let parent = rustix::process::getpid();
    let Some(helper) = sys::fork(0).map_err(lost)? else {
        drop(go_end);
        let arrived = matches!(crate::channel::receive::<()>(&go), Ok(Some(())));
        let mapped = arrived && ranges.is_some_and(|(uids, gids)| map_from_outside(parent, uids, gids));
        std::process::exit(if mapped { 0 } else { 1 });
    };
    drop(go);
    if let Err(e) = sys::unshare(libc::CLONE_NEWUSER) {
        drop(go_end);
        let _ = rustix::process::waitpid(Some(helper), WaitOptions::empty());
        return Err(diagnose(&e));
    }
    crate::channel::send(&go_end, &()).map_err(lost)?;
    let status = rustix::process::waitpid(Some(helper), WaitOptions::empty()).map_err(|e| lost(e.into()))?;
    if status.is_some_and(|(_, s)| s.exit_status() == Some(0)) {
        return Ok(());
    }
    // No ranges, or newuidmap would not have them: only the user's own ids, which takes no help.
    let write = |file: &str, text: String| std::fs::write(format!("/proc/self/{file}"), text);
    write("setgroups", "deny".into())
        .and_then(|()| write("uid_map", format!("0 {uid} 1")))
        .and_then(|()| write("gid_map", format!("0 {gid} 1")))
        .map_err(|e| diagnose(&e))
}

/// Runs newgidmap and newuidmap; both or nothing.
fn map_from_outside(process: Pid, uids: &[IdRange], gids: &[IdRange]) -> bool {
    let run = |program: &str, ranges: &[IdRange]| {
        let numbers = ranges.iter().flat_map(|r| [r.inside, r.outside, r.count]).map(|n| n.to_string());
        Command::new(program)
            .arg(process.as_raw_nonzero().to_string())
            .args(numbers)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    };
    run("newuidmap", uids) && run("newgidmap", gids)
}

/// Root is the user; the ranges follow from 1 on.
fn map_of(own: u32, ranges: &[(u32, u32)]) -> Vec<IdRange> {
    let mut map = vec![IdRange { inside: 0, outside: own, count: 1 }];
    let mut next = 1u32;
    for &(start, count) in ranges {
        // A range with one's own id in it would map that twice, which the kernel refuses.
        let overlaps = own >= start && own - start < count;
        let Some(after) = next.checked_add(count) else { break };
        if count > 0 && !overlaps {
            map.push(IdRange { inside: next, outside: start, count });
            next = after;
        }
    }
    map
}

/// The ranges of a user in a file of `subuid(5)`'s form.
pub(crate) fn ranges(file: &Path, name: Option<&str>, uid: u32) -> Vec<(u32, u32)> {
    let read = |file: &Path| std::fs::read_to_string(file).unwrap_or_default();
    let passwd = read(Path::new("/etc/passwd"));
    // `name` comes from the environment, which may be another user's.
    parse_ranges(&read(file), login(&passwd, uid).or(name), uid)
}

/// The first name with this number.
fn login(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

fn parse_ranges(text: &str, name: Option<&str>, uid: u32) -> Vec<(u32, u32)> {
    let number = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            let (start, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            (Some(owner) == name || owner == number).then_some((start, count))
        })
        .collect()
}

/// Root, and not just of a user namespace.
fn is_real_root() -> bool {
    rustix::process::geteuid().is_root()
        && IdMap::current().is_ok_and(|ids| ids.uids == [IdRange { inside: 0, outside: 0, count: u32::MAX }])
}

/// Why there is no user namespace, in words, with the command that mends it.
pub(crate) fn diagnose(error: &io::Error) -> Error {
    let sysctl = |path: &str| std::fs::read_to_string(format!("/proc/sys/{path}")).ok().map(|s| s.trim().to_string());
    let (reason, mend) = if sysctl("kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1")
        && !is_real_root()
    {
        (
            "AppArmor restricts user namespaces of ordinary users (Ubuntu 24.04)".to_string(),
            "allow them: `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or run routerpack as root",
        )
    } else if sysctl("kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        (
            "kernel.unprivileged_userns_clone is 0".to_string(),
            "allow them: `sudo sysctl -w kernel.unprivileged_userns_clone=1`, or run routerpack as root",
        )
    } else if sysctl("user/max_user_namespaces").as_deref() == Some("0") {
        (
            "user.max_user_namespaces is 0".to_string(),
            "allow them: `sudo sysctl -w user.max_user_namespaces=15000`, or run routerpack as root",
        )
    } else {
        let mend = if error.raw_os_error() == Some(libc::ENOSPC) {
            "too many of them exist or they are nested too deep: raise user.max_user_namespaces"
        } else {
            "inside a container, start it with `--privileged` or `--security-opt seccomp=unconfined`; elsewhere, run routerpack as root"
        };
        (error.to_string(), mend)
    };
    Error::UserNamespace { reason, mend: mend.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_or_number() {
        let text = "root:1:2\nann:100000:65536\n1000:300000:10\nbroken\nann:x:1\nbob:1:1\n";
        assert_eq!(parse_ranges(text, Some("ann"), 1000), [(100000, 65536), (300000, 10)]);
        assert_eq!(parse_ranges(text, None, 1000), [(300000, 10)]);
        assert!(parse_ranges(text, None, 1).is_empty());
        assert_eq!(login("root:x:0:0::/:\nbad\nann:x:1000:1000:Ann:/home/ann:/bin/sh\n", 1000), Some("ann"));
        assert_eq!(login("root:x:0:0::/:\n", 1000), None);
    }

    #[test]
    fn the_map_starts_with_oneself_and_has_no_overlap() {
        let flat = |own, ranges: &[(u32, u32)]| {
            map_of(own, ranges).iter().map(|r| (r.inside, r.outside, r.count)).collect::<Vec<_>>()
        };
        assert_eq!(
            flat(1000, &[(100000, 65536), (300000, 10)]),
            [(0, 1000, 1), (1, 100000, 65536), (65537, 300000, 10)]
        );
        assert_eq!(flat(1000, &[(900, 200), (5, 0)]), [(0, 1000, 1)]);
        assert_eq!(flat(1, &[(10, u32::MAX)]), [(0, 1, 1)]);
    }
}
