//! What the passes did.

use std::collections::BTreeSet;

use routerpack_rootfs::path;
use serde::{Deserialize, Serialize};

use super::Pass;

/// Kept files that are named; more are counted only.
const NAMED: usize = 5;

/// What the passes that were asked for did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// One for each pass that was asked for, in the order of [`Pass::ALL`].
    pub passes: Vec<PassReport>,
}

/// What one pass did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassReport {
    /// Which one.
    pub pass: Pass,
    /// Files that were removed, stripped or made links.
    pub files: u64,
    /// Bytes of content that this saves.
    pub bytes: u64,
    /// Directories that the rules of the pass are about and that lost files, absolute, sorted; none for a pass that looks
    /// everywhere.
    pub places: BTreeSet<String>,
    /// Files that the pass' rules name, but that had to stay: the command needs them, or they can't be changed
    /// safely.
    pub kept: u64,
    /// The first of them, as absolute paths.
    pub kept_names: Vec<String>,
}

impl Report {
    pub(super) fn new(passes: &BTreeSet<Pass>) -> Self {
        let empty = |pass: &Pass| PassReport {
            pass: *pass,
            files: 0,
            bytes: 0,
            places: BTreeSet::new(),
            kept: 0,
            kept_names: Vec::new(),
        };
        Self { passes: passes.iter().map(empty).collect() }
    }

    /// Bytes of content that all passes save.
    pub fn bytes(&self) -> u64 {
        self.passes.iter().map(|p| p.bytes).sum()
    }

    pub(super) fn add(&mut self, pass: Pass, files: u64, bytes: u64) {
        if let Some(report) = self.of(pass) {
            report.files += files;
            report.bytes += bytes;
        }
    }

    pub(super) fn place(&mut self, pass: Pass, dir: &str) {
        if let Some(report) = self.of(pass).filter(|_| !dir.is_empty()) {
            report.places.insert(format!("/{dir}"));
        }
    }

    pub(super) fn keep(&mut self, pass: Pass, file: &[u8]) {
        if let Some(report) = self.of(pass) {
            report.kept += 1;
            if report.kept_names.len() < NAMED {
                report.kept_names.push(format!("/{}", path::show(file)));
            }
        }
    }

    fn of(&mut self, pass: Pass) -> Option<&mut PassReport> {
        self.passes.iter_mut().find(|p| p.pass == pass)
    }
}

impl PassReport {
    /// What was done, in a few words: `1 file removed from /usr/share/doc`.
    pub fn done(&self) -> String {
        let files = if self.files == 1 { "1 file".to_string() } else { format!("{} files", self.files) };
        match self.pass {
            Pass::Strip => format!("{files} without symbols now"),
            Pass::Dedup => format!("{files} stored as hard links"),
            _ if self.places.is_empty() => format!("{files} removed"),
            _ => {
                let named: Vec<&str> = self.places.iter().take(NAMED).map(String::as_str).collect();
                let more = if self.places.len() > NAMED { " …" } else { "" };
                format!("{files} removed from {}{more}", named.join(", "))
            }
        }
    }

    /// What had to stay, and why; none if nothing had to.
    pub fn stayed(&self) -> Option<String> {
        if self.kept == 0 {
            return None;
        }
        let why = match self.pass {
            Pass::Strip => "left as they are, not safe to strip",
            _ => "kept, the image's command needs them",
        };
        let more = self.kept - self.kept_names.len() as u64;
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Some(format!("{why}: {}{more}", self.kept_names.join(", ")))
    }
}
