//! Builds cases, all with one cache. The test's busybox plays every image that they begin with; those that need a
//! distribution are listed as deviations.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::archive::tar_entries;
use super::support::suites::{Case, IMAGES};
use super::support::{Outcome, World, run};

/// A place to build in.
pub struct Workshop {
    world: World,
    images: Vec<String>,
    next: AtomicUsize,
}

/// What came of a build.
pub struct Built {
    outcome: Outcome,
    archive: PathBuf,
}

impl Workshop {
    pub fn new() -> Self {
        let world = World::new();
        let layout = world.base_context("busybox");
        let layout = layout.strip_prefix("busybox=").unwrap();
        let images = IMAGES.iter().map(|name| format!("--build-context={name}={layout}")).collect();
        Self { world, images, next: AtomicUsize::new(0) }
    }

    /// Builds a case.
    pub fn build(&self, case: &Case) -> Built {
        let place = self.world.path(&self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let (dockerfile, context) = case.lay_out(&place);
        let archive = place.join("image.tar");
        let mut command = self.world.command();
        command.args(["build", "--progress=plain", "--network=none"]).args(&self.images).args(&case.arguments);
        command.arg("--file").arg(dockerfile).arg(case.cache_namespace());
        command.arg(format!("--output=type=tar,dest={}", archive.display()));
        Built { outcome: run(command.arg(context)), archive }
    }
}

impl Built {
    /// None if it failed in order, and said these texts.
    pub fn fails_with(&self, texts: &[impl AsRef<str>]) -> Option<String> {
        let Outcome { code, stderr, .. } = &self.outcome;
        if *code != Some(1) || stderr.contains("panicked at") {
            return Some(format!("did not fail as it should: {}", self.outcome));
        }
        if self.archive.exists() {
            return Some("failed, but left an archive".to_owned());
        }
        let missing = texts.iter().find(|text| !stderr.contains(text.as_ref()))?;
        Some(format!("standard error lacks {:?}: {}", missing.as_ref(), self.outcome))
    }

    /// None if it worked, and the image has these files with these contents.
    pub fn holds(&self, files: &[(String, String)]) -> Option<String> {
        if self.outcome.code != Some(0) {
            return Some(format!("failed: {}", self.outcome));
        }
        let entries = tar_entries(open(&self.archive));
        let wrong = |(path, contents): &&(String, String)| entries.get(path).is_none_or(|e| e.text() != *contents);
        let (path, contents) = files.iter().find(wrong)?;
        Some(format!("{path} should hold {contents:?}, but there is {:?}", entries.get(path)))
    }
}

fn open(archive: &Path) -> fs::File {
    fs::File::open(archive).unwrap_or_else(|e| panic!("{}: {e}", archive.display()))
}
