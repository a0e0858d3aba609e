//! Results that machines share: what a build gave, under keys that other machines compute as well.
//!
//! A shared cache is an OCI image that nobody runs. Its layers are what steps wrote, each a tar on its own, in the order
//! in which they were made; its config has, under the label [`LABEL`], a JSON array of [`Shared`]. So every registry and
//! layout can hold it, its bytes are verified as any image's are, and a layer is fetched when something needs it.
//!
//! Here a step's stratum is a snapshot with a name that nobody else knows; there it is a layer. Keys are therefore
//! computed again with the layers' diff_ids in the snapshots' places: that is what a machine sees which starts from the
//! shared cache. The keys hold all that [`crate::keys`] lists, so another platform's results are not found.
//!
//! BuildKit's own cache manifests name results by digests of its solver's, over facts that differ from ours, so neither
//! could find the other's results; what both read is the image.

use std::collections::{HashMap, HashSet};

use routerpack_graph::{Digest, pb};
use routerpack_sources::Image;
use serde::{Deserialize, Serialize};

use crate::{
    keys::{self, InputKey},
    rootfs::{Rootfs, StratumId},
    strata::Strata,
};

/// The label of a cache image's config.
pub const LABEL: &str = "routerpack.cache.v1";

/// One result in a shared cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// See [`crate::keys`].
    pub key: Digest,
    /// The diff_ids of its rootfs, lowest first; those of base images are not in the cache.
    pub layers: Vec<Digest>,
    /// When it was made, nanoseconds since 1970.
    pub made: u64,
    /// What made it, for people.
    pub what: String,
}

/// One result of a build, with all that its keys are made of.
pub(crate) struct Given {
    pub op: pb::Op,
    pub facts: String,
    pub keys: Vec<Vec<InputKey>>,
    pub rootfs: Rootfs,
    pub made: u64,
    pub what: String,
}

/// All results of a build.
#[derive(Default)]
pub struct Results(pub(crate) Vec<Given>);

impl Results {
    /// The strata that a cache has to hold for them, each once and what lies below first: those that no base image
    /// has. With `within`, only what that rootfs is made of (BuildKit's `mode=min`).
    pub fn strata(&self, strata: &Strata, within: Option<&Rootfs>) -> Vec<StratumId> {
        let wanted: Option<HashSet<StratumId>> = within.map(|rootfs| rootfs.ids().into_iter().flatten().collect());
        let mut seen = HashSet::new();
        let all = self.0.iter().filter_map(|given| given.rootfs.ids()).flatten();
        all.filter(|id| wanted.as_ref().is_none_or(|wanted| wanted.contains(id)))
            .filter(|id| !strata.is_of_base(id) && seen.insert(id.clone()))
            .collect()
    }

    /// The results that can be had from a cache that holds these strata under these diff_ids.
    pub fn shared(&self, strata: &Strata, names: &HashMap<StratumId, Digest>) -> Vec<Shared> {
        let name = |id: &StratumId| match id {
            StratumId::Layer(diff_id) if strata.is_of_base(id) => Some(diff_id.clone()),
            _ => names.get(id).cloned(),
        };
        let mut all = Vec::new();
        for given in &self.0 {
            let layers: Option<Vec<Digest>> = given.rootfs.ids().and_then(|ids| ids.iter().map(name).collect());
            let Some(layers) = layers else { continue };
            for inputs in &given.keys {
                let renamed = |input: &InputKey| match input {
                    InputKey::Content(digest) => Some(InputKey::Content(digest.clone())),
                    InputKey::Strata(ids) => {
                        ids.iter().map(|id| name(id).map(StratumId::Layer)).collect::<Option<_>>().map(InputKey::Strata)
                    }
                };
                if let Some(inputs) = inputs.iter().map(renamed).collect::<Option<Vec<_>>>() {
                    let key = keys::key(&given.op, &given.facts, &inputs);
                    all.push(Shared { key, layers: layers.clone(), made: given.made, what: given.what.clone() });
                }
            }
        }
        all
    }
}

/// What a cache image says that it has; none if it is no such image.
pub(crate) fn read(image: &Image) -> Option<Vec<Shared>> {
    serde_json::from_str(image.config.config.labels.get(LABEL)?).ok()
}
