//! Builds cases, several at a time, all with one cache.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::suites::{Case, Context};
use super::support::archive::tar_entries;
use super::support::{Outcome, World, run};

/// The images that the cases begin with, all played by the test's busybox; those that need a distribution are listed as
/// deviations.
const IMAGES: [&str; 24] = [
    "alpine",
    "alpine:3.8",
    "alpine:3.9",
    "alpine@sha256:5ce5f501c457015c4b91f91a15ac69157d9b06f1a75cf9107bf2b62e0843983a",
    "busybox",
    "busybox:latest@sha256:b26cd013274a657b86e706210ddd5cc1f82f50155791199d29b9e86e935ce135",
    "busybox@sha256:1bd6df27274fef1dd36eb529d0f4c8033f61c675d6b04213dd913f902f7cafb5",
    "debian",
    "debian:10.13",
    "debian:10.2",
    "debian:12",
    "debian:bullseye-slim",
    "fedora",
    "google/cloud-sdk:256.0.0-alpine",
    "mirror.gcr.io/alpine",
    "mirror.gcr.io/busybox",
    "phusion/baseimage:0.11",
    "quay.io/fedora/python-311",
    "quay.io/libpod/busybox",
    "quay.io/libpod/centos:7",
    "quay.io/libpod/testimage:20241011",
    "ubuntu",
    "ubuntu:18.04",
    "ubuntu@sha256:04d48df82c938587820d7b6006f5071dbbffceb7ca01d2814f81857c631d44df",
];

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

    /// Does something to every case, as many at a time as there are cores, and collects what is not in order.
    pub fn each(&self, cases: &[Case], problem: impl Fn(&Case) -> Option<String> + Sync) -> Vec<String> {
        let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let workers = std::thread::available_parallelism().map_or(2, |n| n.get());
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                        found.lock().unwrap().extend(problem(case));
                    }
                });
            }
        });
        found.into_inner().unwrap()
    }

    /// Builds a case.
    pub fn build(&self, case: &Case) -> Built {
        let place = self.world.path(&self.next.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&place).unwrap();
        let (dockerfile, archive) = (place.join("Dockerfile"), place.join("image.tar"));
        fs::write(&dockerfile, &case.dockerfile).unwrap();
        let context = match &case.context {
            Context::Directory(directory) if directory.is_dir() => directory.clone(),
            Context::Directory(_) => directory(place.join("context")),
            Context::Made(entries) => made(directory(place.join("context")), entries),
        };
        let mut command = self.world.command();
        command.args(["build", "--progress=plain", "--network=none"]).args(&self.images).args(&case.arguments);
        if let Context::Directory(_) = case.context {
            command.arg("--file").arg(&dockerfile);
        }
        // one cache for all, but no case sees the cache mounts of another
        let test = case.id.split('#').next().unwrap_or_default();
        command.arg(format!("--build-arg=BUILDKIT_CACHE_MOUNT_NS={test}"));
        command.arg(format!("--output=type=tar,dest={}", archive.display()));
        Built { outcome: run(command.arg(context)), archive }
    }
}

fn directory(path: PathBuf) -> PathBuf {
    fs::create_dir(&path).unwrap();
    path
}

fn made(root: PathBuf, entries: &[(String, String, String, u32)]) -> PathBuf {
    for (kind, name, what, mode) in entries {
        let path = root.join(name);
        match kind.as_str() {
            "CreateFile" => fs::write(&path, what).unwrap(),
            "CreateDir" => fs::create_dir_all(&path).unwrap(),
            "Symlink" => symlink(what, &path).unwrap(),
            "CreateSocket" => drop(std::os::unix::net::UnixListener::bind(&path).unwrap()),
            other => panic!("{other} is new"),
        }
        if kind.starts_with("CreateF") || kind.starts_with("CreateD") {
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
    }
    root
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
