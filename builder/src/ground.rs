//! What a command stands on: a rootfs made ready to be mounted, and the emulator for its platform.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use routerpack_graph::{Digest, Platform};
use routerpack_rootfs::{Entry, Index, Tree};
use routerpack_sandbox::{Emulation, Isolation, Root, emulators};

use crate::{
    error::Cause,
    events::Events,
    request::Host,
    rootfs::{Part, Rootfs, StratumId},
    strata::{Name, Strata},
};

/// More strata than this are joined before they are mounted: overlay takes some 400 lowers, and every
/// one costs a look-up.
const MAX_LOWERS: usize = 128;

/// Prepares root file systems on this machine.
pub struct Ground<'a> {
    /// Where strata come from.
    pub strata: &'a Strata,
    /// What the machine offers.
    pub host: &'a Host,
    /// Who listens.
    pub events: Arc<dyn Events>,
}

impl Ground<'_> {
    /// How programs of a platform run here; an error with the cure where they can't.
    pub fn emulation(&self, platform: &Platform) -> Result<Emulation, Cause> {
        let host = self.host;
        if *platform == host.platform {
            return Ok(Emulation::None); // needs no look at the machine
        }
        let (dirs, found) = &*host.emulators;
        emulators::choose(platform, host.facts()?, found, dirs).map_err(|e| Cause::Unsupported(e.to_string()))
    }

    /// Whether steps run on copies, since nothing can be stacked here.
    pub fn copies(&self) -> Result<bool, Cause> {
        let facts = self.host.facts()?;
        Ok(facts.overlay.is_err() || facts.isolation == Isolation::Chroot)
    }

    /// A root file system to write on, below `temp`: what is written ends in `temp/fs`. With
    /// [`Self::copies`], that holds all the rest as well.
    pub fn root(&self, rootfs: &Rootfs, temp: &Path) -> Result<Root, Cause> {
        let upper = temp.join("fs");
        if self.copies()? {
            self.copy_tree(&*self.strata.tree(rootfs)?, &upper)?;
            return Ok(Root::Dir(upper));
        }
        let work = temp.join("work");
        for dir in [&upper, &work] {
            fs::create_dir(dir).map_err(Cause::io("make a folder in the cache"))?;
        }
        self.open_to_all(&upper)?;
        Ok(Root::Overlay { lowers: self.lowers(rootfs)?, upper, work })
    }

    /// The root of an image's tree is not 0700 as all else in the cache.
    pub fn open_to_all(&self, dir: &Path) -> Result<(), Cause> {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).map_err(Cause::io("make a folder in the cache"))
    }

    /// A tree as a plain directory.
    pub fn copy_tree(&self, tree: &Tree, to: &Path) -> Result<(), Cause> {
        let warnings = routerpack_rootfs::materialise(tree, to, self.strata.can_chown())
            .map_err(Cause::rootfs("a rootfs can't be copied"))?;
        warnings.iter().for_each(|w| self.events.warning(&w.to_string()));
        Ok(())
    }

    /// Directories to mount, lowest first, at most [`MAX_LOWERS`]. The lower part of a longer chain is joined
    /// at fixed places, so that the next steps find it joined.
    pub fn lowers(&self, rootfs: &Rootfs) -> Result<Vec<PathBuf>, Cause> {
        let parts = rootfs.parts();
        if parts.len() <= MAX_LOWERS {
            return self.strata.dirs(rootfs);
        }
        let half = MAX_LOWERS / 2;
        let at = (parts.len() - half) / half * half;
        let below = Rootfs::new(parts[..at].to_vec());
        let name = Digest::of(format!("joined\n{:?}", below.ids()).as_bytes());
        let joined = Part::Kept(self.joined(&below, name)?);
        self.strata.dirs(&Rootfs::new([joined].into_iter().chain(parts[at..].iter().cloned()).collect()))
    }

    /// One snapshot of a whole rootfs.
    pub fn joined(&self, rootfs: &Rootfs, name: Digest) -> Result<StratumId, Cause> {
        let id = StratumId::Snapshot(name.clone());
        if !self.strata.has(&id) {
            let tree = self.strata.tree(rootfs)?;
            let temp = self.strata.cache().temp_dir().map_err(Cause::io("make a folder in the cache"))?;
            self.copy_tree(&tree, &temp.join("fs"))?;
            let name = Name { id: name, what: "files of one context, or of many steps".into(), by_name: true };
            self.strata.keep(&temp, single(&tree), &name)?;
        }
        Ok(id)
    }
}

/// The merged index as that of a single directory stratum.
fn single(tree: &Tree) -> Index {
    let alone = |entry: &Entry| {
        let mut entry = Entry { stratum: 0, offset: 0, ..entry.clone() };
        if let Some(extra) = &mut entry.extra {
            extra.origin.clear();
        }
        entry
    };
    Index::new(tree.index.entries().iter().map(alone).collect())
}
