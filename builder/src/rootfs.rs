//! What a vertex gives: a rootfs, by the names of its strata. Nothing is read until somebody asks.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use routerpack_graph::Digest;
use routerpack_rootfs::{Stratum, Tree};
use serde::{Deserialize, Serialize};

/// The name of a stratum that the cache keeps, or can get again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StratumId {
    /// An image layer, by diff_id.
    Layer(Digest),
    /// What a step or file op wrote.
    Snapshot(Digest),
}

impl StratumId {
    /// Its directory below the cache.
    pub fn below(&self) -> PathBuf {
        match self {
            Self::Layer(d) => Path::new("layers").join(d.hex()),
            Self::Snapshot(d) => Path::new("snapshots").join(d.hex()),
        }
    }
}

impl fmt::Display for StratumId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layer(d) => write!(f, "layer {d}"),
            Self::Snapshot(d) => write!(f, "snapshot {d}"),
        }
    }
}

/// One stratum of a rootfs.
#[derive(Clone, Debug)]
pub enum Part {
    /// In the cache.
    Kept(StratumId),
    /// A directory of the user's, read where it is: a build context. It has no name, since it may
    /// change at any time; keys are made from the content that is used.
    Live(Stratum),
}

/// A rootfs. Cheap to clone.
#[derive(Clone, Default)]
pub struct Rootfs(Arc<Inner>);

#[derive(Default)]
struct Inner {
    parts: Vec<Part>,
    tree: Mutex<Option<Arc<Tree>>>,
}

impl Rootfs {
    /// From parts, lowest first; none is scratch.
    pub fn new(parts: Vec<Part>) -> Self {
        Self(Arc::new(Inner { parts, tree: Mutex::new(None) }))
    }

    /// From kept strata, lowest first.
    pub fn kept(ids: impl IntoIterator<Item = StratumId>) -> Self {
        Self::new(ids.into_iter().map(Part::Kept).collect())
    }

    /// With a tree that is already made of these parts.
    pub fn with_tree(parts: Vec<Part>, tree: Tree) -> Self {
        Self(Arc::new(Inner { parts, tree: Mutex::new(Some(Arc::new(tree))) }))
    }

    /// The parts, lowest first.
    pub fn parts(&self) -> &[Part] {
        &self.0.parts
    }

    /// The names of the strata, if all have one.
    pub fn ids(&self) -> Option<Vec<StratumId>> {
        let id = |part: &Part| match part {
            Part::Kept(id) => Some(id.clone()),
            Part::Live(_) => None,
        };
        self.parts().iter().map(id).collect()
    }

    /// The merged view, made by `make` the first time.
    pub fn tree<E>(&self, make: impl FnOnce(&[Part]) -> Result<Tree, E>) -> Result<Arc<Tree>, E> {
        let mut slot = self.0.tree.lock().expect("no panic while holding it");
        if let Some(tree) = &*slot {
            return Ok(tree.clone());
        }
        let tree = Arc::new(make(&self.0.parts)?);
        *slot = Some(tree.clone());
        Ok(tree)
    }
}
