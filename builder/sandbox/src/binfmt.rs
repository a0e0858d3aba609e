//! A `binfmt_misc` of the step's own user namespace (Linux 6.7): it hides what the host has registered and is
//! never attached to any tree; it lives as long as its descriptor.

use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::mount::MountAttrFlags;

use crate::emulators::Target;
use crate::error::{Doing, Error};
use crate::interpreter;
use crate::mount;

/// An empty one.
pub fn mount() -> Result<OwnedFd, Error> {
    mount::filesystem("binfmt_misc", &[], MountAttrFlags::empty())
        .doing(|| "mount a binfmt_misc of the step's own".into())
        .map_err(|e| e.with_hint("this takes Linux 6.7 or newer; with an older one, register qemu on the host: `sudo apt-get install qemu-user-static`"))
}

/// One in which binaries for `target` are run by `qemu`.
pub fn register(qemu: &Path, target: &Target) -> Result<OwnedFd, Error> {
    let binfmt = mount()?;
    let program = interpreter::with_cpu(qemu, &target.cpu).doing(|| format!("prepare {}", qemu.display()))?;
    let line = target.registration(&format!("/proc/self/fd/{}", program.as_raw_fd()));
    let register = rustix::fs::openat(&binfmt, "register", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    register
        .map(std::fs::File::from)
        .map_err(std::io::Error::from)
        .and_then(|mut file| file.write_all(&line))
        .doing(|| format!("register {} in the step's binfmt_misc", qemu.display()))?;
    Ok(binfmt)
}
