//! The last resort: `chroot` without mounts, for a root that may not mount (a CI job's container). Device nodes
//! and the files about names are made in the root filesystem and removed after the step.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::devices::NODES;
use crate::error::{Doing, Error};
use crate::step::{Emulation, Network, Root, Step};
use crate::stubs;
use crate::walk::{self, Made, Missing, walk};

/// What to put back after the step.
pub struct Undo {
    root: OwnedFd,
    made: Vec<Made>,
    nodes: Vec<PathBuf>,
    /// `/dev` and its former time.
    dev: Option<(PathBuf, (i64, i64))>,
    files: Vec<Exchanged>,
    done: bool,
}

/// A file with another content for the time of the step.
struct Exchanged {
    path: PathBuf,
    former: Vec<u8>,
    mtime: (i64, i64),
}

/// Checks that the step can do without mounts, and prepares its directory. The command has to `chroot` into
/// the descriptor.
pub fn prepare(step: &Step) -> Result<(OwnedFd, Undo), Error> {
    let needs = |what: &str| Err(Error::NeedsMounts { what: what.into() });
    let Root::Dir(dir) = &step.root else { return needs("an overlay") };
    if let Some(mount) = step.mounts.first() {
        return needs(&format!("the mount at {}", mount.target));
    }
    if step.network == Network::None {
        return needs("a step without network");
    }
    if matches!(step.emulation, Emulation::Private { .. }) {
        return needs("emulation");
    }
    let root = rustix::fs::open(dir, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .doing(|| format!("open {}", dir.display()))?;
    let again = root.try_clone().doing(|| "duplicate a descriptor".into())?;
    let mut undo = Undo { root: again, made: Vec::new(), nodes: Vec::new(), dev: None, files: Vec::new(), done: false };
    undo.devices()?;
    undo.exchange("/etc/resolv.conf", &step.resolv_conf)?;
    undo.exchange("/etc/hosts", &crate::names::hosts(&step.hostname, &step.extra_hosts))?;
    Ok((root, undo))
}

impl Undo {
    fn devices(&mut self) -> Result<(), Error> {
        let dev = walk(&self.root, Path::new("/dev"), Missing::MakeDir).doing(|| "make /dev".into())?;
        if dev.made.is_empty() {
            self.dev = Some((dev.path.clone(), walk::mtime(&dev.fd).doing(|| "look at /dev".into())?));
        }
        self.made.extend(dev.made);
        for name in NODES {
            let Ok(host) = rustix::fs::stat(format!("/dev/{name}")) else { continue };
            let mode = Mode::from_raw_mode(0o666);
            match rustix::fs::mknodat(&dev.fd, name, FileType::CharacterDevice, mode, host.st_rdev) {
                Ok(()) => self.nodes.push(dev.path.join(name)),
                // There already, or not ours to make: programs that need it will say so.
                Err(Errno::EXIST | Errno::PERM) => {}
                Err(e) => return Err(e).doing(|| format!("make /dev/{name}")),
            }
        }
        Ok(())
    }

    fn exchange(&mut self, path: &str, content: &str) -> Result<(), Error> {
        let doing = || format!("write {path} for the step");
        let former = match walk::read(&self.root, path, 1 << 20) {
            Ok(bytes) => bytes,
            Err(Errno::NOENT) => Vec::new(),
            Err(e) => return Err(e).doing(doing),
        };
        let place = walk(&self.root, Path::new(path), Missing::MakeFile).doing(doing)?;
        self.made.extend(place.made);
        self.files.push(Exchanged { path: place.path, former, mtime: walk::mtime(&place.fd).doing(doing)? });
        write(place.fd.as_fd(), content.as_bytes()).doing(doing)
    }

    /// Puts everything back that the step has not changed itself.
    pub fn undo(&mut self) -> Result<(), Error> {
        self.done = true;
        for Exchanged { path, former, mtime } in &self.files {
            let doing = || format!("restore {}", path.display());
            if let Some(place) = self.unmoved(path) {
                write(place.as_fd(), former).doing(doing)?;
                stubs::set_mtime(&place, *mtime).doing(doing)?;
            }
        }
        for path in &self.nodes {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
            if let Some(parent) = self.unmoved(parent)
                && rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)
                    .is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::CharacterDevice)
            {
                rustix::fs::unlinkat(&parent, name, AtFlags::empty()).doing(|| format!("remove {}", path.display()))?;
            }
        }
        if let Some((path, mtime)) = &self.dev
            && let Some(dev) = self.unmoved(path)
        {
            stubs::set_mtime(&dev, *mtime).doing(|| "restore the time of /dev".into())?;
        }
        stubs::remove(&self.root, &self.made).doing(|| "remove what was made for the step".into())
    }

    /// What is at a path that had no symlinks, if it still has none.
    fn unmoved(&self, path: &Path) -> Option<OwnedFd> {
        walk(&self.root, path, Missing::Fail).ok().filter(|place| place.path == path).map(|place| place.fd)
    }
}

impl Drop for Undo {
    /// After an error on the way, which is the one to be told.
    fn drop(&mut self) {
        if !self.done {
            let _ = self.undo();
        }
    }
}

fn write(place: rustix::fd::BorrowedFd<'_>, content: &[u8]) -> std::io::Result<()> {
    use std::os::fd::AsRawFd;
    std::fs::write(format!("/proc/self/fd/{}", place.as_raw_fd()), content)
}
