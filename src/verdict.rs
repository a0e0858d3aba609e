//! What the check says of an archive that was just made: printed, and kept, so that making the same archive again
//! need not look at it again.

use routerpack_builder::{Cache, Rootfs};
use routerpack_graph::{Digest, ImageConfig};
use routerpack_sources::ledger::Stamp;
use routerpack_targets::{
    check::{Finding, Options},
    rules::{RULE_SET, Severity},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{check::style, progress::Progress};

/// Where verdicts are kept in the cache.
const DIR: &str = "verdicts";

/// The form in which findings are kept.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    findings: T,
}

/// A place in the cache for the findings about one archive and one kind of router.
pub struct Place(String);

impl Place {
    /// By all that decides the archive's bytes and what is found in them; known before it is packed. `None` where a
    /// part of the rootfs has no name that stands for its content.
    pub fn of(
        rootfs: &Rootfs,
        config: &ImageConfig,
        tags: &[String],
        epoch: Option<i64>,
        by: &Options,
    ) -> Option<Self> {
        let key = json!([
            [env!("CARGO_PKG_VERSION"), RULE_SET],
            [by.profile.to_string(), by.device.map(|d| d.code), by.platform.as_ref().map(ToString::to_string), by.disk],
            [rootfs.ids()?, serde_json::to_value(config).ok()?, tags, epoch],
        ]);
        Some(Self(format!("{DIR}/{}.json", Digest::of(key.to_string().as_bytes()).hex())))
    }

    /// What was found the last time, if it is known.
    pub fn findings(&self, cache: &Cache) -> Option<Vec<Finding>> {
        cache.hold(&self.0, Stamp::Json);
        cache.record::<Kept<Vec<Finding>>>(&self.0).map(|kept| kept.findings)
    }

    /// Keeps what was found. That it can't be kept only costs time.
    pub fn keep(&self, cache: &Cache, findings: &[Finding]) {
        let _ = cache.write_record(&self.0, &Kept { findings });
    }
}

/// Prints what weighs anything, worst first.
pub fn print(progress: &Progress, findings: &[Finding]) {
    let mut heavy = findings.iter().filter(|f| f.severity > Severity::Info).peekable();
    if let Some(first) = heavy.peek() {
        let example = &first.rule.id;
        heavy.for_each(|finding| progress.line(&line(finding)));
        progress.line(&format!("`routerpack explain {example}` says how a finding is known and what mends it"));
    }
}

/// One finding on a line.
pub fn line(finding: &Finding) -> String {
    let style = style(finding.severity);
    let more = match (finding.places.first(), finding.count.saturating_sub(1)) {
        (None, _) => String::new(),
        (Some(place), 0) => format!(" ({place})"),
        (Some(place), more) => format!(" ({place} and {more} more)"),
    };
    format!("{style}{}[{}]{style:#}: {}{more}", finding.severity, finding.rule.id, finding.message)
}
