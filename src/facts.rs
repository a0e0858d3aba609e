//! What the sandbox can be made of here, found out once and kept until the next boot: a probe takes as long as a step.
//!
//! Kept is only that everything works. What doesn't, somebody may mend at any time, and is looked at anew. Other
//! namespaces, as a container with the same cache has them, or another user have an answer of their own.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    sync::{Arc, OnceLock},
};

use routerpack_builder::Cache;
use routerpack_sandbox::{
    Error, Isolation,
    probe::{self, Facts},
};
use serde::{Deserialize, Serialize};

/// Where this process began, before it made itself namespaces.
static PLACE: OnceLock<String> = OnceLock::new();

/// Notes where this process is. Before it becomes root of a namespace of its own.
pub fn note_place() {
    let namespace = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap_or_default();
    let uid = fs::metadata("/proc/self").map_or(u32::MAX, |meta| meta.uid());
    let (user, mounts) = (namespace("user"), namespace("mnt"));
    let _ = PLACE.set(format!("{uid} {} {} {}", user.display(), mounts.display(), env!("CARGO_PKG_VERSION")));
}

/// The note in one cache.
pub struct Kept(pub Arc<Cache>);

/// Its name.
const NOTE: &str = "facts.json";

#[derive(Serialize, Deserialize)]
struct Record {
    place: String,
    facts: Facts,
}

impl Kept {
    /// What works here: as it was found before, or by a look.
    pub fn facts(&self) -> Result<Facts, Error> {
        let known = self.0.note::<Record>(NOTE).filter(|known| Some(&known.place) == PLACE.get());
        if let Some(known) = known {
            return Ok(known.facts);
        }
        let facts = probe::probe(self.0.dir())?;
        let all = facts.isolation == Isolation::UserNamespace
            && facts.overlay.is_ok()
            && facts.private_binfmt.is_ok()
            && facts.own_proc
            && facts.seccomp;
        if let (true, Some(place)) = (all, PLACE.get()) {
            // Without it, the next build looks again.
            let _ = self.0.write_note(NOTE, &Record { place: place.clone(), facts: facts.clone() });
        }
        Ok(facts)
    }

    /// Forgets it: the kernel has refused what was found to work.
    pub fn forget(&self) {
        let _ = fs::remove_file(self.0.path(NOTE));
    }
}
