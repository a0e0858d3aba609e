//! What a build has told, kept for `--format json` and `--format sarif`.

use std::sync::Mutex;

use routerpack_frontends::dockerfile::lint::rules as lint;
use routerpack_targets::{
    check::Finding,
    rules::{self, Severity},
    sarif,
};
use serde_json::{Value, json};

use crate::notice::{KINDS, Notice};

/// Collects what is told. Several threads may tell at once.
#[derive(Default)]
pub struct Told {
    notices: Mutex<Vec<Notice>>,
    /// What the finished archive's check found, by the archive's name.
    archives: Mutex<Vec<(String, Vec<Finding>)>>,
    image_id: Mutex<Option<String>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl Told {
    /// Keeps a notice.
    pub fn keep(&self, notice: Notice) {
        locked(&self.notices).push(notice);
    }

    /// Keeps what an archive's check found.
    pub fn keep_findings(&self, archive: &str, findings: &[Finding]) {
        locked(&self.archives).push((archive.to_string(), findings.to_vec()));
    }

    /// Keeps the image's id.
    pub fn keep_image(&self, id: Option<String>) {
        *locked(&self.image_id) = id;
    }

    /// All of it as one JSON object.
    pub fn json(&self, success: bool) -> Value {
        let (notices, archives) = (locked(&self.notices), locked(&self.archives));
        let found = archives.iter().flat_map(|(name, findings)| findings.iter().map(move |f| (name, f)));
        let found: Vec<(&String, &Finding)> = found.collect();
        let weights = notices.iter().map(|n| n.weight).chain(found.iter().map(|(_, f)| f.severity));
        let weights: Vec<Severity> = weights.collect();
        let count = |wanted: Severity| weights.iter().filter(|weight| **weight == wanted).count();
        let of_archives = found.iter().map(|(name, finding)| {
            let mut object = finding.to_json();
            object["file"] = name.as_str().into();
            object
        });
        json!({
            "success": success,
            "imageId": *locked(&self.image_id),
            "errors": count(Severity::Error),
            "warnings": count(Severity::Warning),
            "diagnostics": notices.iter().map(Notice::json).chain(of_archives).collect::<Vec<_>>(),
        })
    }

    /// All of it as a log of SARIF.
    pub fn sarif(&self) -> Value {
        let (notices, archives) = (locked(&self.notices), locked(&self.archives));
        let of_archives = archives.iter().flat_map(|(name, all)| all.iter().map(move |f| f.for_sarif(name)));
        let findings: Vec<sarif::Finding> = notices.iter().map(Notice::sarif).chain(of_archives).collect();
        let mut rules = known_rules();
        rules.retain(|rule| findings.iter().any(|finding| finding.rule == rule.id));
        sarif::log(env!("CARGO_PKG_VERSION"), &rules, &findings)
    }
}

/// All rules that something told may be of.
fn known_rules() -> Vec<sarif::Rule> {
    let kinds = KINDS.iter().map(|kind| (kind.id, kind.title, String::new()));
    let buildkit = lint::ALL.iter().filter(|rule| !rule.is_for_routers());
    let buildkit = buildkit.map(|rule| (rule.name, rule.description, rule.url()));
    let plain = kinds.chain(buildkit).map(|(id, title, url)| sarif::Rule {
        id: id.into(),
        title: title.into(),
        why: String::new(),
        help: String::new(),
        url,
    });
    let routers = rules::dockerfile().iter().chain(rules::all()).map(rules::Rule::for_sarif);
    plain.chain(routers).collect()
}
