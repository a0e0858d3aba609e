//! The same Dockerfiles, built by routerpack and by a real BuildKit: file systems and image configs must be equal.
//!
//! BuildKit is the one in Debian 13's dockerd (`scripts/reference`). The Dockerfiles are those of `cases/` and the reference
//! data's (see `support::suites`). `scripts/test` runs a fixed selection; `ROUTERPACK_REFERENCE=all cargo test --test
//! reference` all of them, `ROUTERPACK_REFERENCE=WORD` those whose name holds this word.

#[path = "../support/mod.rs"]
mod support;

mod buildkit;
mod comparison;
mod deviations;
mod image;
mod own;
mod pantry;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use buildkit::Reference;
use comparison::{Built, compare, is_beyond};
use support::suites::{self, Case};

/// How many cases are built at once: both builders wait for the disk more than for the processor.
const WORKERS: usize = 4;

/// Of the reference data's cases, one in so many is in the selection.
const SELECTED: usize = 10;

/// Builds the cases with both, and lists what differs and is in no list.
#[test]
fn buildkit_builds_the_same() {
    let wanted = std::env::var("ROUTERPACK_REFERENCE").unwrap_or_default();
    let reference = Reference::start();
    let mut cases = own::cases(reference.pantry());
    let suites = [
        suites::buildah_conformance(),
        suites::contexts("buildah-bud", "bud", "buildah/tests/bud"),
        suites::contexts("kaniko", "kaniko", "kaniko/integration"),
        suites::buildkit(),
    ];
    let of_data = suites.into_iter().flatten().flatten();
    let of_data = of_data.filter(|case| deviations::NOT_BUILT.iter().all(|(id, _)| case.id != *id));
    match wanted.as_str() {
        "" => cases.extend(of_data.step_by(SELECTED)),
        "all" => cases.extend(of_data),
        word => {
            cases.extend(of_data);
            cases.retain(|case| case.id.contains(word));
        }
    }
    assert!(!cases.is_empty(), "no case's name holds {wanted:?}");

    let started = Instant::now();
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let [equal, refused, beyond, different] = [const { AtomicUsize::new(0) }; 4];
    let listed: BTreeMap<&str, &deviations::Deviation> = deviations::LIST.iter().map(|d| (d.id, d)).collect();
    assert_eq!(listed.len(), deviations::LIST.len(), "a case is listed twice");
    let wrong = suites::each(&cases, WORKERS, |case| {
        let (ours, theirs) = reference.build(case);
        if is_beyond(&theirs) {
            beyond.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let differences = compare(&ours, &theirs, epoch);
        let problem = match listed.get(case.id.as_str()) {
            Some(deviation) => {
                different.fetch_add(1, Ordering::Relaxed);
                deviation.check(&differences)
            }
            None if differences.is_empty() => {
                let counter = if matches!(ours, Built::Image(_)) { &equal } else { &refused };
                counter.fetch_add(1, Ordering::Relaxed);
                None
            }
            None => Some(some_of(&differences)),
        };
        problem.map(|problem| format!("{}:\n    {problem}", case.id))
    });
    println!(
        "{} Dockerfiles: {} images equal, {} refused by both, {} differ as listed, {} with a flag that this BuildKit hasn't; {:.0} s",
        cases.len(),
        equal.into_inner(),
        refused.into_inner(),
        different.into_inner(),
        beyond.into_inner(),
        started.elapsed().as_secs_f32()
    );
    support::assert_none("routerpack (left) and BuildKit (right) differ", &wrong);
}

/// As many differences as one reads.
fn some_of(differences: &[String]) -> String {
    let mut text = differences[..differences.len().min(12)].join("\n    ");
    if differences.len() > 12 {
        text += &format!("\n    … {} in all", differences.len());
    }
    text
}

/// The suites' cases that aren't in the whole run are listed for a reason, and each reason belongs to a case.
#[test]
fn every_listed_case_exists() {
    let mut ids: Vec<String> = own::cases(Path::new("")).into_iter().map(|case| case.id).collect();
    let Some(conformance) = suites::buildah_conformance() else { return };
    let suites = [
        Some(conformance),
        suites::contexts("buildah-bud", "bud", "buildah/tests/bud"),
        suites::contexts("kaniko", "kaniko", "kaniko/integration"),
        suites::buildkit(),
    ];
    ids.extend(suites.into_iter().flatten().flatten().map(|case: Case| case.id));
    let listed = deviations::LIST.iter().map(|d| d.id).chain(deviations::NOT_BUILT.iter().map(|(id, _)| *id));
    let missing: Vec<String> = listed.filter(|id| !ids.iter().any(|known| known == id)).map(str::to_owned).collect();
    support::assert_none("listed, but there is no such case", &missing);
}
