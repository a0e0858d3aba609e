//! Builds the root filesystem of a step in a fresh mount namespace and moves into it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::mount::MountAttrFlags;

use crate::devices::{self, HostDevices};
use crate::error::{Doing, Error};
use crate::idmap::IdMap;
use crate::mount::{self, NO_DEV, NO_EXEC, NO_SUID, READ_ONLY};
use crate::step::{Mount, Root, Scratch, Security, Source, Step};
use crate::walk::{self, Made, Missing, walk};

/// Mounts everything that the step asks for and makes it `/`. `made` gets the mount points that had to be made in
/// the root filesystem itself, after an error too.
pub fn enter(step: &Step, ids: &IdMap, made: &mut Vec<Made>) -> Result<(), Error> {
    mount::make_private().doing(|| "make the step's mounts private".into())?;
    let sources = Sources::open(step)?;
    // A place in memory for what must be on no disk, and to build things in. It lies over `/`, where paths don't
    // reach it.
    let staging = mount::filesystem("tmpfs", &[("mode", "0700")], MountAttrFlags::MOUNT_ATTR_NODEV)
        .and_then(|tmpfs| mount::open_path(Path::new("/")).and_then(|root| mount::attach(&tmpfs, root)).map(|()| tmpfs))
        .doing(|| "mount a directory in memory".into())?;
    let place = mount::make_dir(&staging, "root").doing(|| "make a mount point".into())?;
    match (&step.root, sources.root) {
        (Root::Overlay { .. }, RootSource::Overlay { mut layers, upper, work }) => {
            layers.insert(0, stub_layer(&staging, step)?);
            mount::overlay(&layers, Some((&upper, &work)), &place)?;
        }
        (_, RootSource::Dir(copy)) => mount::attach(copy, &place).doing(|| "bind the root filesystem".into())?,
        (Root::Dir(_), RootSource::Overlay { .. }) => unreachable!("opened from the same value"),
    }
    let root = mount::entry(&staging, "root").doing(|| "open the step's root".into())?;
    let mut builder =
        Builder { staging, mount_id: walk::mount_id(&root).doing(|| "look at the root".into())?, root, made, parts: 0 };
    builder.system(step, ids, &sources.devices)?;
    let mut order: Vec<_> = step.mounts.iter().zip(sources.mounts).collect();
    order.sort_by_key(|(mount, _)| walk::depth(&mount.target));
    for (mount, source) in order {
        builder.add(mount, source, ids)?;
    }
    if step.readonly_root {
        // The mount alone: what is mounted over it keeps its own mode.
        crate::sys::mount_setattr(builder.root.as_fd(), false, READ_ONLY)
            .doing(|| "make the root filesystem read-only".into())?;
    }
    mount::enter_root(&builder.root).doing(|| "make the step's root filesystem `/`".into())
}

/// A lowest layer that holds every mount point a step is known to need, so that none has to be made in `upper`.
fn stub_layer(staging: &OwnedFd, step: &Step) -> Result<OwnedFd, Error> {
    let layer = mount::make_dir(staging, "stubs").doing(|| "make the layer of mount points".into())?;
    let fixed = [("etc/resolv.conf", false), ("etc/hosts", false)];
    let asked = step.mounts.iter().map(|m| {
        let is_dir = match &m.source {
            Source::Secret { .. } | Source::Socket { .. } => false,
            Source::Bind { path, subpath } => subpath.is_empty() && path.is_dir(),
            Source::Tmpfs { .. } => true,
            // Known only once it is mounted.
            Source::Layers { subpath, .. } => subpath.is_empty(),
        };
        (m.target.as_str(), is_dir)
    });
    let unclear = |m: &Mount| match &m.source {
        Source::Bind { subpath, .. } | Source::Layers { subpath, .. } => !subpath.is_empty(),
        _ => false,
    };
    let asked = asked.zip(&step.mounts).filter(|(_, m)| !unclear(m)).map(|(stub, _)| stub);
    for (path, is_dir) in fixed.into_iter().chain(asked) {
        let missing = if is_dir { Missing::MakeDir } else { Missing::MakeFile };
        // Targets that get in each other's way show themselves when they are mounted.
        let _ = walk(&layer, &lexical(path), missing);
    }
    Ok(layer)
}

/// The path without `.` and `..`, as Docker cleans mount targets.
fn lexical(path: &str) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean
}

/// Everything that comes from the host, opened while its paths are still the host's.
struct Sources {
    root: RootSource,
    mounts: Vec<MountSource>,
    devices: HostDevices,
}

enum RootSource {
    Overlay { layers: Vec<OwnedFd>, upper: OwnedFd, work: OwnedFd },
    Dir(OwnedFd),
}

enum MountSource {
    Place(OwnedFd),
    Layers { layers: Vec<OwnedFd>, scratch: Option<(OwnedFd, OwnedFd)> },
    Nothing,
}

fn open(path: &Path) -> Result<OwnedFd, Error> {
    mount::open_path(path).doing(|| format!("open {}", path.display()))
}

impl Sources {
    fn open(step: &Step) -> Result<Self, Error> {
        let all = |paths: &[PathBuf]| paths.iter().map(|p| open(p)).collect::<Result<Vec<_>, _>>();
        let root = match &step.root {
            Root::Overlay { lowers, upper, work } => {
                RootSource::Overlay { layers: all(lowers)?, upper: open(upper)?, work: open(work)? }
            }
            Root::Dir(dir) => RootSource::Dir(
                mount::copy_of(open(dir)?).doing(|| format!("bind the root filesystem {}", dir.display()))?,
            ),
        };
        let mounts = step.mounts.iter().map(|m| match &m.source {
            Source::Bind { path, subpath } => {
                let base = open(path)?;
                if subpath.is_empty() {
                    return Ok(MountSource::Place(base));
                }
                find(&base, subpath, &m.target).map(MountSource::Place)
            }
            Source::Socket { path } => open(path).map(MountSource::Place),
            Source::Layers { lowers, scratch, .. } => Ok(MountSource::Layers {
                layers: all(lowers)?,
                scratch: match scratch {
                    Some(Scratch { upper, work }) => Some((open(upper)?, open(work)?)),
                    None => None,
                },
            }),
            Source::Tmpfs { .. } | Source::Secret { .. } => Ok(MountSource::Nothing),
        });
        Ok(Self { root, mounts: mounts.collect::<Result<_, Error>>()?, devices: HostDevices::take()? })
    }
}

/// A place below a mount's source, resolved inside it.
fn find(base: &OwnedFd, subpath: &str, target: &str) -> Result<OwnedFd, Error> {
    match walk(base, Path::new(subpath), Missing::Fail) {
        Ok(place) => Ok(place.fd),
        Err(e) => Err(Error::Mount {
            target: target.into(),
            reason: format!("its source has no `{subpath}` ({})", crate::error::errno_text(e.raw_os_error())),
        }),
    }
}

struct Builder<'a> {
    staging: OwnedFd,
    root: OwnedFd,
    mount_id: u64,
    made: &'a mut Vec<Made>,
    parts: usize,
}

impl Builder<'_> {
    /// A fresh directory in memory.
    fn part(&mut self) -> Result<OwnedFd, Error> {
        self.parts += 1;
        mount::make_dir(&self.staging, &format!("part{}", self.parts)).doing(|| "make a directory in memory".into())
    }

    /// The place to mount on, made if it is missing.
    fn target(&mut self, path: &str, is_dir: bool) -> Result<OwnedFd, Error> {
        let bad = |reason: String| Error::Mount { target: path.into(), reason };
        let missing = if is_dir { Missing::MakeDir } else { Missing::MakeFile };
        let clean = lexical(path);
        if clean.as_os_str().is_empty() {
            return Err(bad("the root itself can't be a mount's target".into()));
        }
        let place = walk(&self.root, &clean, missing)
            .map_err(|e| bad(format!("no place to mount on: {}", crate::error::errno_text(e.raw_os_error()))))?;
        self.made.extend(place.made.into_iter().filter(|m| m.mount == self.mount_id));
        if walk::is_dir(&place.fd).doing(|| format!("look at {path}"))? != is_dir {
            let (what, there) = if is_dir { ("directory", "file") } else { ("file", "directory") };
            return Err(bad(format!("a {what} can't be mounted on a {there}")));
        }
        Ok(place.fd)
    }

    /// `/proc`, `/sys`, `/dev` and the files about names.
    /// A directory that every root filesystem should have: if it is missing, a step makes it, and it stays, as in BuildKit
    /// (whose `executor/stubs.go` clears only other mount points).
    fn system_directory(&mut self, path: &str) -> Result<OwnedFd, Error> {
        let before = self.made.len();
        let place = self.target(path, true);
        self.made.truncate(before);
        place
    }

    fn system(&mut self, step: &Step, ids: &IdMap, devices: &HostDevices) -> Result<(), Error> {
        let insecure = step.security == Security::Insecure;
        let place = self.system_directory("/proc")?;
        devices.mount_proc(&place)?;
        let place = self.system_directory("/sys")?;
        devices.mount_sys(&place, insecure)?;
        let place = self.system_directory("/dev")?;
        devices.mount_dev(&place, step.shm_size, ids.has_gid(5))?;
        if !insecure {
            devices::mask(&self.root)?;
        }
        let hosts = crate::names::hosts(&step.hostname, &step.extra_hosts);
        for (path, content) in [("/etc/resolv.conf", &step.resolv_conf), ("/etc/hosts", &hosts)] {
            let dir = self.part()?;
            mount::make_file(&dir, "file", content.as_bytes(), 0o644).doing(|| format!("write the step's {path}"))?;
            let file =
                mount::entry(&dir, "file").and_then(mount::copy_of).doing(|| format!("bind {path} into the step"))?;
            mount::restrict(&file, READ_ONLY)?;
            let place = self.target(path, false)?;
            mount::attach(file, place).doing(|| format!("bind {path} into the step"))?;
        }
        Ok(())
    }

    fn add(&mut self, m: &Mount, source: MountSource, ids: &IdMap) -> Result<(), Error> {
        let (tree, mut attributes) = self.tree(m, source, ids)?;
        if m.readonly {
            attributes |= READ_ONLY;
        }
        mount::restrict(&tree, attributes)?;
        let is_dir = walk::is_dir(&tree).doing(|| format!("look at the source of {}", m.target))?;
        let place = self.target(&m.target, is_dir)?;
        mount::attach(tree, place).doing(|| format!("mount {}", m.target))
    }

    /// The detached mount for one entry, and what it must not do.
    fn tree(&mut self, m: &Mount, source: MountSource, ids: &IdMap) -> Result<(OwnedFd, u64), Error> {
        let doing = || format!("mount {}", m.target);
        match (&m.source, source) {
            (Source::Tmpfs { size }, _) => {
                let mut options = vec![("mode", "1777".to_string())];
                options.extend(size.map(|bytes| ("size", bytes.to_string())));
                let options: Vec<_> = options.iter().map(|(k, v)| (*k, v.as_str())).collect();
                let tree = mount::filesystem("tmpfs", &options, MountAttrFlags::empty()).doing(doing)?;
                Ok((tree, NO_SUID | NO_DEV))
            }
            (Source::Secret { content, mode, uid, gid }, _) => {
                if !ids.has_uid(*uid) || !ids.has_gid(*gid) {
                    return Err(Error::Mount {
                        target: m.target.clone(),
                        reason: format!(
                            "the owner {uid}:{gid} does not exist here: this build runs with the ids {ids}"
                        ),
                    });
                }
                let dir = self.part()?;
                let file = mount::make_file(&dir, "file", content, *mode & 0o7777).doing(doing)?;
                let (owner, group) = (rustix::fs::Uid::from_raw(*uid), rustix::fs::Gid::from_raw(*gid));
                rustix::fs::fchown(&file, Some(owner), Some(group)).doing(doing)?;
                let tree = mount::entry(&dir, "file").and_then(mount::copy_of).doing(doing)?;
                Ok((tree, READ_ONLY | NO_SUID | NO_DEV | NO_EXEC))
            }
            (Source::Layers { subpath, .. }, MountSource::Layers { mut layers, scratch }) => {
                let dir = self.part()?;
                // An overlay without an upper needs two layers, and the lowest one's whiteouts something to hide.
                layers.insert(0, mount::make_dir(&dir, "empty").doing(doing)?);
                let place = mount::make_dir(&dir, "merged").doing(doing)?;
                let writable = scratch.is_some();
                mount::overlay(&layers, scratch.as_ref().map(|(upper, work)| (upper, work)), &place)?;
                let merged = mount::entry(&dir, "merged").doing(doing)?;
                let source = if subpath.is_empty() { merged } else { find(&merged, subpath, &m.target)? };
                Ok((mount::copy_of(source).doing(doing)?, NO_DEV | if writable { 0 } else { READ_ONLY }))
            }
            (Source::Bind { .. } | Source::Socket { .. }, MountSource::Place(place)) => {
                Ok((mount::copy_of(place).doing(doing)?, NO_DEV))
            }
            _ => Err(Error::Invalid(format!("the mount at {} was opened as another kind", m.target))),
        }
    }
}

/// Makes the working directory if it is missing (it stays in the image, as runc does it) and goes there.
pub fn enter_cwd(root: &OwnedFd, cwd: &str) -> Result<(), Error> {
    let place = walk(root, Path::new(cwd), Missing::MakeDir).doing(|| format!("make the working directory {cwd}"))?;
    rustix::process::fchdir(&place.fd).doing(|| format!("enter the working directory {cwd}"))
}
