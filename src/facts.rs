//! What the sandbox can be made of here, found out once and kept until the next boot: a probe takes as long as a step.
//!
//! Kept is only that everything works. What doesn't, somebody may mend at any time, and is looked at anew. Other
//! namespaces, as a container with the same cache has them, or another user have an answer of their own.

use std::{fs, io, os::unix::fs::MetadataExt, path::PathBuf, sync::OnceLock};

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
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let namespace = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap_or_default();
    let uid = fs::metadata("/proc/self").map_or(u32::MAX, |meta| meta.uid());
    let place = format!(
        "{} {uid} {} {} {}",
        text("/proc/sys/kernel/random/boot_id").trim(),
        namespace("user").display(),
        namespace("mnt").display(),
        env!("CARGO_PKG_VERSION"),
    );
    let _ = PLACE.set(place);
}

/// The file of one cache.
pub struct Kept {
    cache: PathBuf,
    temporary: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Record {
    place: String,
    facts: Facts,
}

impl Kept {
    /// The one of this cache.
    pub fn of(cache: &Cache) -> Self {
        Self { cache: cache.dir().to_path_buf(), temporary: cache.temp_path() }
    }

    /// What works here: as it was found before, or by a look.
    pub fn facts(&self) -> Result<Facts, Error> {
        if let Some(facts) = self.read() {
            return Ok(facts);
        }
        let facts = probe::probe(&self.cache)?;
        let all = facts.isolation == Isolation::UserNamespace
            && facts.overlay.is_ok()
            && facts.private_binfmt.is_ok()
            && facts.own_proc
            && facts.seccomp;
        if let (true, Some(place)) = (all, PLACE.get()) {
            // Without it, the next build looks again.
            let _ = self.write(&Record { place: place.clone(), facts: facts.clone() });
        }
        Ok(facts)
    }

    /// Forgets it: the kernel has refused what was found to work.
    pub fn forget(&self) {
        let _ = fs::remove_file(self.path());
    }

    fn read(&self) -> Option<Facts> {
        let record: Record = serde_json::from_slice(&fs::read(self.path()).ok()?).ok()?;
        (Some(&record.place) == PLACE.get()).then_some(record.facts)
    }

    fn write(&self, record: &Record) -> io::Result<()> {
        fs::write(&self.temporary, serde_json::to_vec(record)?)?;
        fs::rename(&self.temporary, self.path())
    }

    fn path(&self) -> PathBuf {
        self.cache.join("facts.json")
    }
}
