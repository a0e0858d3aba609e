//! The `/dev`, `/proc` and `/sys` of a step. Device nodes are binds of the host's, since a user namespace may
//! not make its own; which ones, and what is hidden, is Docker's choice (moby `oci/defaults.go`).

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use crate::error::{Doing, Error};
use crate::mount::{self, NO_DEV, NO_EXEC, NO_SUID, READ_ONLY};
use crate::walk::{Missing, walk};

/// Nodes every step has.
pub const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
    ("core", KCORE),
];

const KCORE: &str = "/proc/kcore";

const HIDDEN: [&str; 11] = [
    "proc/acpi",
    "proc/asound",
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/timer_list",
    "proc/timer_stats",
    "sys/firmware",
];

const FROZEN: [&str; 5] = ["proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"];

/// Copies of the host's mounts, taken before the host's tree goes out of sight.
pub struct HostDevices {
    nodes: Vec<(&'static str, OwnedFd)>,
    sys: Option<OwnedFd>,
    proc: Option<OwnedFd>,
}

fn copy_if_there(path: &str) -> Result<Option<OwnedFd>, Errno> {
    match mount::open_path(Path::new(path)) {
        Ok(place) => mount::copy_of(place).map(Some),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(e) => Err(e),
    }
}

impl HostDevices {
    /// Takes the copies.
    pub fn take() -> Result<Self, Error> {
        let mut nodes = Vec::new();
        for name in NODES {
            if let Some(copy) =
                copy_if_there(&format!("/dev/{name}")).doing(|| format!("bind the host's /dev/{name}"))?
            {
                nodes.push((name, copy));
            }
        }
        let sys = copy_if_there("/sys").doing(|| "bind the host's /sys".into())?;
        let proc = copy_if_there("/proc").doing(|| "bind the host's /proc".into())?;
        Ok(Self { nodes, sys, proc })
    }

    /// A `/dev` on the directory `target`.
    pub fn mount_dev(&self, target: &OwnedFd, shm_size: u64, has_tty_group: bool) -> Result<(), Error> {
        let what = |part: &str| format!("mount {part} of the step");
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOATIME;
        let dev =
            mount::filesystem("tmpfs", &[("mode", "0755"), ("size", "65536k")], attributes).doing(|| what("/dev"))?;
        mount::attach(&dev, target).doing(|| what("/dev"))?;
        for (name, copy) in &self.nodes {
            let node = mount::make_file(&dev, name, b"", 0o666).doing(|| what(name))?;
            drop(node);
            mount::attach(copy, mount::entry(&dev, name).doing(|| what(name))?)
                .doing(|| what(&format!("/dev/{name}")))?;
        }
        for (name, to) in LINKS {
            // a kernel may come without it; runc then makes no link, either
            if to == KCORE && !Path::new(KCORE).exists() {
                continue;
            }
            rustix::fs::symlinkat(to, &dev, name).doing(|| format!("make /dev/{name}"))?;
        }
        let strict = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let group: &[(&str, &str)] = if has_tty_group { &[("gid", "5")] } else { &[] };
        let pts_options = [&[("ptmxmode", "0666"), ("mode", "0620")], group].concat();
        let part = |name: &str, kind: &str, options: &[(&str, &str)], attributes| {
            let dir = mount::make_dir(&dev, name)?;
            mount::attach(mount::filesystem(kind, options, attributes)?, dir)
        };
        part("pts", "devpts", &pts_options, strict).doing(|| what("/dev/pts"))?;
        let strict = strict | MountAttrFlags::MOUNT_ATTR_NODEV;
        part("shm", "tmpfs", &[("mode", "1777"), ("size", &shm_size.to_string())], strict)
            .doing(|| what("/dev/shm"))?;
        // A kernel without POSIX queues is no reason to stop.
        let _ = part("mqueue", "mqueue", &[], strict);
        Ok(())
    }

    /// A `/proc` of the step's own pid namespace; where the kernel refuses it (parts of the surrounding container's
    /// are hidden), the host's.
    pub fn mount_proc(&self, target: &OwnedFd) -> Result<(), Error> {
        let strict =
            MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        match (mount::filesystem("proc", &[], strict), &self.proc) {
            (Ok(own), _) => mount::attach(own, target).doing(|| "mount /proc of the step".into()),
            (Err(Errno::PERM | Errno::ACCESS), Some(host)) => {
                mount::attach(host, target).doing(|| "bind the host's /proc into the step".into())
            }
            (Err(e), _) => Err(e).doing(|| "mount /proc of the step".into()),
        }
    }

    /// The host's `/sys`: its own would need a network namespace of its own.
    pub fn mount_sys(&self, target: &OwnedFd, writable: bool) -> Result<(), Error> {
        let Some(sys) = &self.sys else { return Ok(()) };
        let read_only = if writable { 0 } else { READ_ONLY };
        mount::restrict(sys, read_only | NO_SUID | NO_DEV | NO_EXEC)?;
        mount::attach(sys, target).doing(|| "bind /sys into the step".into())
    }
}

/// Hides what tells too much about the machine and freezes what changes it.
pub fn mask(root: impl AsFd) -> Result<(), Error> {
    let find = |path: &str| walk(&root, Path::new(path), Missing::Fail).ok().map(|place| place.fd);
    for path in FROZEN {
        let Some(place) = find(path) else { continue };
        let copy = mount::copy_of(&place).doing(|| format!("freeze /{path}"))?;
        mount::restrict(&copy, READ_ONLY | NO_SUID | NO_DEV | NO_EXEC)?;
        mount::attach(copy, place).doing(|| format!("freeze /{path}"))?;
    }
    for path in HIDDEN {
        let Some(place) = find(path) else { continue };
        let cover = if crate::walk::is_dir(&place).doing(|| format!("hide /{path}"))? {
            let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
            mount::filesystem("tmpfs", &[("mode", "0755"), ("size", "0")], attributes)
        } else if let Some(null) = find("dev/null") {
            mount::copy_of(null)
        } else {
            continue;
        };
        cover.and_then(|cover| mount::attach(cover, place)).doing(|| format!("hide /{path}"))?;
    }
    Ok(())
}
