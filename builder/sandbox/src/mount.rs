//! Mounts by descriptor (`fsopen(2)`, `open_tree(2)`, `move_mount(2)`): sources are opened before anything
//! moves, targets are directories and files already walked to, so no path is looked up twice.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags};

use crate::error::{Doing, Error};
use crate::sys;

/// `MOUNT_ATTR_RDONLY` …, for [`restrict`].
pub const READ_ONLY: u64 = 0x1;
/// Set-id bits and file capabilities have no effect.
pub const NO_SUID: u64 = 0x2;
/// Device nodes have no effect.
pub const NO_DEV: u64 = 0x4;
/// Nothing can be executed.
pub const NO_EXEC: u64 = 0x8;

/// The overlay options that are always given: extended attributes in the `user.` namespace (a rmdir over a lower
/// directory fails with EIO in a user namespace otherwise), and nothing that would make an upper directory
/// depend on the layers below it. `redirect_dir=off` would mean `follow` on kernels built that way, which
/// contradicts `userxattr`.
const OVERLAY: [(&str, &str); 3] = [("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off")];

/// Opens a place of the host as a mount source or layer.
pub fn open_path(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// A detached mount of a filesystem that needs no source.
pub fn filesystem(kind: &str, options: &[(&str, &str)], attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    // What the first column of a mount table shows.
    rustix::mount::fsconfig_set_string(&context, "source", kind)?;
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(&context, *key, *value)?;
    }
    rustix::mount::fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// A detached copy of the mount at a place, with the mounts below it (in a new mount namespace they are locked to
/// each other, so the kernel refuses a copy without them).
pub fn copy_of(place: impl AsFd) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(place, c"", flags)
}

/// A detached read-only mount of one file: what is opened through it can't be written to by anybody.
pub fn read_only(file: impl AsFd) -> std::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let mount = rustix::mount::open_tree(file, c"", flags)?;
    sys::mount_setattr(mount.as_fd(), false, READ_ONLY | NO_SUID | NO_DEV)?;
    Ok(mount)
}

/// Attaches a detached mount on top of a directory or file.
pub fn attach(mount: impl AsFd, target: impl AsFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", target, c"", flags)
}

/// Takes rights away from a mount and all mounts below it.
pub fn restrict(mount: impl AsFd, attributes: u64) -> Result<(), Error> {
    sys::mount_setattr(mount.as_fd(), true, attributes).doing(|| "take rights away from a mount".into())
}

/// Mounts an overlay on the directory `target`: `layers` lowest first; without `upper` (and its work directory) it
/// is read-only, and then there must be two layers at least.
pub fn overlay(layers: &[OwnedFd], upper: Option<(&OwnedFd, &OwnedFd)>, target: &OwnedFd) -> Result<(), Error> {
    let result = overlay_by_descriptor(layers, upper, target);
    let result = match result {
        // `lowerdir+` is of Linux 6.7.
        Err(Errno::INVAL) => overlay_by_options(layers, upper, target),
        other => other,
    };
    result.doing(|| format!("mount an overlay of {} layers", layers.len())).map_err(|e| match e.errno() {
        Some(libc::EINVAL) if layers.len() > 400 => e.with_hint("the kernel stacks at most 500 layers: squash some"),
        Some(libc::EINVAL | libc::EPERM | libc::ENODEV | libc::EOPNOTSUPP) => e.with_hint(
            "this filesystem or kernel gives no overlay in a user namespace; put the cache on ext4, xfs, btrfs or tmpfs (--cache-dir)",
        ),
        _ => e,
    })
}

fn overlay_by_descriptor(
    layers: &[OwnedFd],
    upper: Option<(&OwnedFd, &OwnedFd)>,
    target: &OwnedFd,
) -> Result<(), Errno> {
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let set = |key: &str, value: &str| rustix::mount::fsconfig_set_string(&context, key, value);
    set("source", "overlay")?;
    rustix::mount::fsconfig_set_flag(&context, "userxattr")?;
    for (key, value) in OVERLAY {
        set(key, value)?;
    }
    // Values are cut at 256 bytes, so every layer is named by its descriptor.
    let name = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    for layer in layers.iter().rev() {
        set("lowerdir+", &name(layer))?;
    }
    if let Some((upper, work)) = upper {
        set("upperdir", &name(upper))?;
        set("workdir", &name(work))?;
    }
    rustix::mount::fsconfig_create(&context)?;
    let mount = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    attach(mount, target)
}

/// The classic call has one page for all options; relative names from `/proc/self/fd` make 400 layers fit.
fn overlay_by_options(layers: &[OwnedFd], upper: Option<(&OwnedFd, &OwnedFd)>, target: &OwnedFd) -> Result<(), Errno> {
    let before = rustix::fs::open(".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    rustix::process::chdir("/proc/self/fd")?;
    let names: Vec<String> = layers.iter().rev().map(|fd| fd.as_raw_fd().to_string()).collect();
    let mut data = format!("userxattr,lowerdir={}", names.join(":"));
    for (key, value) in OVERLAY {
        data.push_str(&format!(",{key}={value}"));
    }
    if let Some((upper, work)) = upper {
        data.push_str(&format!(",upperdir={},workdir={}", upper.as_raw_fd(), work.as_raw_fd()));
    }
    let data = CString::new(data).map_err(|_| Errno::INVAL)?;
    let target = format!("/proc/self/fd/{}", target.as_raw_fd());
    let result = rustix::mount::mount("overlay", target, "overlay", MountFlags::empty(), data.as_c_str());
    rustix::process::fchdir(&before)?;
    result
}

/// Mount changes of this namespace stay in it and none come in.
pub fn make_private() -> Result<(), Errno> {
    use rustix::mount::MountPropagationFlags as P;
    rustix::mount::mount_change("/", P::PRIVATE | P::REC)
}

/// Makes `root` (a mount in a directory that lies over the present `/`) the root of the mount namespace and drops
/// all else.
pub fn enter_root(root: &OwnedFd) -> Result<(), Errno> {
    rustix::process::fchdir(root)?;
    rustix::process::pivot_root(".", ".")?;
    // Three mounts are stacked at this place now: on top the directory that lay over the old root, then the old
    // root, then the new one.
    for _ in 0..2 {
        rustix::mount::unmount(".", rustix::mount::UnmountFlags::DETACH)?;
    }
    rustix::process::chdir("/")
}

/// Opens an entry of a directory for mounting on it.
pub fn entry(dir: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Makes a directory and opens it for mounting on it.
pub fn make_dir(dir: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::mkdirat(&dir, name, Mode::from_raw_mode(0o755))?;
    entry(dir, name)
}

/// Makes a file with content.
pub fn make_file(dir: impl AsFd, name: &str, content: &[u8], mode: u32) -> Result<OwnedFd, Errno> {
    use std::io::Write;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600))?;
    let mut file = std::fs::File::from(file);
    file.write_all(content).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// What kernels before 6.7 get; needs root. A thread may have a mount namespace of its own.
    #[test]
    fn four_hundred_layers_by_options() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let layers: Vec<_> = (0..400)
            .map(|n| {
                let path = make(&format!("{n:0100}"));
                fs::write(path.join("top"), n.to_string()).unwrap();
                path
            })
            .collect();
        let [upper, work, merged] = ["upper", "work", "merged"].map(make);
        std::thread::scope(|scope| {
            let mounter = scope.spawn(|| {
                sys::unshare(libc::CLONE_NEWNS).unwrap();
                make_private().unwrap();
                let open = |path: &Path| open_path(path).unwrap();
                let layers: Vec<_> = layers.iter().map(|l| open(l)).collect();
                let (upper, work, target) = (open(&upper), open(&work), open(&merged));
                overlay_by_options(&layers, Some((&upper, &work)), &target).unwrap();
                fs::write(merged.join("new"), "").unwrap();
                fs::read_to_string(merged.join("top")).unwrap()
            });
            assert_eq!(mounter.join().unwrap(), "399");
        });
        assert!(upper.join("new").exists());
        assert_eq!(fs::read_dir(&merged).unwrap().count(), 0);
    }

    #[test]
    fn what_is_opened_through_a_read_only_mount_cannot_be_written() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mount = read_only(file.as_file()).expect("this takes root");
        let through = format!("/proc/self/fd/{}", mount.as_raw_fd());
        let refused = std::fs::OpenOptions::new().write(true).open(&through).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
        std::fs::OpenOptions::new().write(true).open(file.path()).unwrap();
    }
}
