//! A `binfmt_misc` of the step's own user namespace (Linux 6.7): it hides what the host has registered and is
//! never attached to any tree; it lives as long as its descriptor.

use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::MountAttrFlags;

use crate::emulators::Target;
use crate::error::{Doing, Error};
use crate::interpreter::{Before, Qemu};
use crate::mount;

/// An empty one.
pub fn mount() -> Result<OwnedFd, Error> {
    mount::filesystem("binfmt_misc", &[], MountAttrFlags::empty())
        .doing(|| "mount a binfmt_misc of the step's own".into())
        .map_err(|e| e.with_hint("this takes Linux 6.7 or newer; with an older one, register qemu on the host: `sudo apt-get install qemu-user-static`"))
}

/// One in which binaries for a target will be run by a qemu.
pub struct Registration {
    binfmt: OwnedFd,
    path: PathBuf,
    qemu: Qemu,
    target: Target,
}

impl Registration {
    /// Opens what is the host's.
    pub fn open(qemu: &Path, target: &Target) -> Result<Self, Error> {
        let binfmt = mount()?;
        let open = Qemu::open(qemu).doing(|| format!("open {}", qemu.display()))?;
        Ok(Self { binfmt, path: qemu.into(), qemu: open, target: target.clone() })
    }

    /// Registers it. `before` runs first in each process.
    pub fn complete(self, before: Option<Before>) -> Result<OwnedFd, Error> {
        let shown = self.path.display();
        let program = self.qemu.with_cpu(&self.target.cpu, before).doing(|| format!("prepare {shown}"))?;
        let line = self.target.registration(&format!("/proc/self/fd/{}", program.as_raw_fd()));
        let register = rustix::fs::openat(&self.binfmt, "register", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        register
            .map(std::fs::File::from)
            .map_err(std::io::Error::from)
            .and_then(|mut file| file.write_all(&line))
            .doing(|| format!("register {shown} in the step's binfmt_misc"))?;
        Ok(self.binfmt)
    }
}
