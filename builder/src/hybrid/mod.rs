//! Hybrid emulation: which programs of a step for another platform this machine runs itself.
//!
//! A program is replaced by its native twin only where that makes no difference but time:
//!
//! * it is one of a list ([`tools`]) whose output doesn't depend on the machine;
//! * the base image has a sibling for this machine in the same index, and there it comes, as all its libraries do, out of the
//!   package of the same name and version ([`twins`]);
//! * it and its libraries are still the base's own when the step begins, and when the program starts (the sandbox compares them
//!   each time);
//! * nothing in its environment or arguments asks for what differs, see `routerpack_sandbox::native`.
//!
//! All else, and a step for whose base nothing of this can be said, is left to qemu.

mod tools;
mod twins;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
};

use routerpack_graph::{Digest, Platform};
use routerpack_rootfs::{Kind, Tree, path};
use routerpack_sandbox::native::{MAX_WITNESSES, Native, Twin};
use routerpack_sources::{Image, PullPolicy, Reference, Registry, Store};

use crate::{
    error::Cause,
    ground::Ground,
    rootfs::{Rootfs, StratumId},
};
use twins::{Pair, Twins};

/// Longer settings are not read.
const MAX_SETTINGS: u64 = 64 << 10;
const PRELOAD: &str = "etc/ld.so.preload";
const CACHE: &str = "etc/ld.so.cache";
const SWITCH: &str = "etc/nsswitch.conf";

/// Where an image came from, and its sibling can be had.
pub enum Origin {
    /// A registry; the reference names the index.
    Registry(Registry, Reference),
    /// A local store; the digest is the image's manifest's.
    Store(Arc<Store>, Digest),
}

impl Origin {
    fn sibling(&self, platform: &Platform) -> Result<Option<Image>, routerpack_sources::Error> {
        match self {
            Self::Registry(registry, reference) => {
                registry.image(reference, platform, PullPolicy::Missing).map(Some).or_else(|e| match e {
                    routerpack_sources::Error::NoPlatform { .. } => Ok(None),
                    other => Err(other),
                })
            }
            Self::Store(store, manifest) => store.sibling(manifest, platform),
        }
    }
}

/// The bases of one build.
#[derive(Default)]
pub struct Hybrid(Mutex<Vec<Arc<Base>>>);

struct Base {
    layers: Vec<StratumId>,
    platform: Platform,
    origin: Origin,
    found: OnceLock<Result<Found, String>>,
}

/// The sibling of a base, made ready.
struct Found {
    lowers: Vec<PathBuf>,
    twins: Twins,
    tree: Arc<Tree>,
}

impl Hybrid {
    /// Notes an image that steps may stand on.
    pub fn offer(&self, image: &Image, origin: Origin) {
        let layers = image.layers.iter().map(|l| StratumId::Layer(l.diff_id.clone())).collect();
        let base = Base { layers, platform: image.platform.clone(), origin, found: OnceLock::new() };
        self.0.lock().expect("no panic while holding it").push(Arc::new(base));
    }

    /// What a step for `platform` on this rootfs can have natively; or why it can't have anything.
    pub fn native(&self, ground: &Ground, rootfs: &Rootfs, platform: &Platform) -> Result<Native, String> {
        let ids = rootfs.ids().ok_or("the root file system has no name")?;
        let fits = |base: &&Arc<Base>| base.platform == *platform && ids.starts_with(&base.layers);
        let bases = self.0.lock().expect("no panic while holding it").clone();
        let base = bases.iter().filter(fits).max_by_key(|base| base.layers.len());
        let base = base.ok_or("the step stands on no image for its platform")?;
        let found = base.found.get_or_init(|| base.find(ground)).as_ref().map_err(Clone::clone)?;
        let tree = ground.strata.tree(rootfs).map_err(|e| e.to_string())?;
        found.native(&tree, base.layers.len())
    }
}

impl Base {
    fn find(&self, ground: &Ground) -> Result<Found, String> {
        let host = &ground.host.platform;
        let shown = |e: Cause| e.to_string();
        let sibling = self.origin.sibling(host).map_err(|e| e.to_string())?;
        let sibling = sibling
            .filter(|image| (&image.platform.os, &image.platform.architecture) == (&host.os, &host.architecture));
        let sibling = sibling.ok_or_else(|| format!("the base image's index has none for {host}"))?;
        let native = ground.strata.offer(&sibling);
        let base = Rootfs::kept(self.layers.iter().cloned());
        let tree = ground.strata.tree(&base).map_err(shown)?;
        let is_32_bit = matches!(self.platform.architecture.as_str(), "arm" | "386");
        let twins = Twins::find(&tree, &*ground.strata.tree(&native).map_err(shown)?, is_32_bit)?;
        Ok(Found { lowers: ground.lowers(&native).map_err(shown)?, twins, tree })
    }
}

impl Found {
    /// What is left of the twins on this rootfs, whose lowest strata are the base's.
    fn native(&self, tree: &Tree, strata: usize) -> Result<Native, String> {
        if tree.index.get(PRELOAD.as_bytes()).is_some() {
            return Err(format!("/{PRELOAD} is there"));
        }
        let is_own = |path: &[u8]| {
            let real = |tree: &Tree| tree.resolve(path, true).ok();
            let (now, then) = (real(tree), real(&self.tree));
            let entries =
                now.as_ref().and_then(|p| tree.index.get(p)).zip(then.as_ref().and_then(|p| self.tree.index.get(p)));
            now == then && entries.is_some_and(|(a, b)| (a.stratum, a.offset, a.mode) == (b.stratum, b.offset, b.mode))
        };
        // A library of the same name elsewhere may be found first.
        let added: BTreeSet<&[u8]> = tree
            .index
            .entries()
            .iter()
            .filter(|e| e.stratum as usize >= strata && e.kind != Kind::Dir)
            .filter_map(|e| path::split(&e.path).map(|(_, name)| name))
            .filter(|name| name.windows(3).any(|w| w == b".so"))
            .collect();
        let knows_names = only_files(tree);
        let mut witnesses: Vec<String> = [PRELOAD, CACHE, SWITCH].map(String::from).into();
        let mut twin = |pair: &Pair| -> Option<Twin> {
            if pair.tool.names && !knows_names {
                return None;
            }
            let is_kept = |(name, file): (&Vec<u8>, &Vec<u8>)| is_own(file) && !added.contains(&name[..]);
            if !is_own(&pair.path) || !pair.libraries.iter().all(is_kept) {
                return None;
            }
            let mut positions = if pair.tool.names { vec![0, 1, 2] } else { vec![0, 1] };
            for file in pair.libraries.values() {
                let file = std::str::from_utf8(file).ok()?;
                positions.push(witnesses.iter().position(|w| w == file).unwrap_or_else(|| {
                    witnesses.push(file.into());
                    witnesses.len() - 1
                }));
            }
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
            Some(Twin {
                path: text(&pair.path)?,
                native: text(&pair.native)?,
                letters: pair.tool.letters.into(),
                prefixes: pair.tool.prefixes.iter().map(|p| p.to_string()).collect(),
                witnesses: positions,
            })
        };
        let twins: Vec<Twin> = self.twins.pairs.iter().filter_map(&mut twin).collect();
        let has_utf8 = self.twins.utf8.as_ref().is_some_and(|files| files.iter().all(|f| is_own(f)));
        match twins.is_empty() || witnesses.len() > MAX_WITNESSES {
            true => Err("none of the base's programs and libraries is as it was".into()),
            false => Ok(Native {
                lowers: self.lowers.clone(),
                loader: self.twins.loader.clone(),
                libraries: self.twins.libraries.clone(),
                locales: locales(has_utf8),
                witnesses,
                twins,
            }),
        }
    }
}

fn locales(has_utf8: bool) -> Vec<String> {
    let names: &[&str] = if has_utf8 { &["C", "POSIX", "C.UTF-8", "C.utf8"] } else { &["C", "POSIX"] };
    names.iter().map(|n| n.to_string()).collect()
}

/// Users and groups are looked up in files alone: for anything else the C library loads a module (nsswitch.conf(5)).
fn only_files(tree: &Tree) -> bool {
    let Some(entry) = tree.resolve(SWITCH.as_bytes(), true).ok().and_then(|real| tree.index.get(&real)) else {
        return true;
    };
    let Ok(bytes) = tree.read(entry, MAX_SETTINGS) else { return false };
    String::from_utf8_lossy(&bytes).lines().all(|line| {
        let line = line.split('#').next().unwrap_or_default();
        match line.split_once(':') {
            Some((what, services)) if matches!(what.trim(), "passwd" | "group" | "initgroups") => {
                services.split_whitespace().all(|service| service == "files")
            }
            _ => true,
        }
    })
}
