//! The Dockerfiles of other builders' test suites, built: what they expect and what can be read without running them must
//! come true, and every case that fails here is listed with its reason.
//!
//! The cases are public reference data: `$ROUTERPACK_CONFORMANCE_DATA`, else `../shared/data` beside the workspace.
//! Without them the tests pass with a note, unless `ROUTERPACK_REQUIRE_CONFORMANCE=1` is set.

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod deviations;
mod workshop;

use std::collections::BTreeMap;

use deviations::Deviation;
use support::suites::{self, Case, Expected};
use workshop::Workshop;

/// Builds all cases, and compares what came of each with what its suite or the list of deviations says.
#[track_caller]
fn conforms(cases: Vec<Case>, deviations: &[Deviation]) {
    let (waits, cases): (Vec<Case>, Vec<Case>) =
        cases.into_iter().partition(|case| deviations::NOT_BUILT.iter().any(|(id, _)| case.id == *id));
    for case in waits {
        println!(
            "{} is not built: {}",
            case.id,
            deviations::NOT_BUILT.iter().find(|(id, _)| case.id == *id).unwrap().1
        );
    }
    let listed: BTreeMap<&str, &Deviation> = deviations.iter().map(|d| (d.id, d)).collect();
    assert_eq!(listed.len(), deviations.len(), "a case is listed twice");
    let workshop = Workshop::new();
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get());
    let mut wrong = suites::each(&cases, workers, |case| {
        let deviation = listed.get(case.id.as_str());
        let built = workshop.build(case);
        let problem = match (deviation, &case.expected) {
            (Some(deviation), _) => deviation.check(&built),
            (None, Expected::Failure(texts)) => built.fails_with(texts),
            (None, Expected::Success(files)) => built.holds(files),
        };
        problem.map(|problem| format!("{}: {problem}", case.id))
    });
    for id in listed.keys().filter(|id| !cases.iter().any(|case| case.id == **id)) {
        wrong.push(format!("{id}: is listed as a deviation, but there is no such case"));
    }
    support::assert_none("not as it should be", &wrong);
}

#[test]
fn buildah_conformance() {
    let Some(cases) = suites::buildah_conformance() else { return };
    assert!(cases.len() > 100, "{}", cases.len());
    conforms(cases, deviations::BUILDAH_CONFORMANCE);
}

#[test]
fn buildah_bud() {
    let Some(cases) = suites::contexts("buildah-bud", "bud", "buildah/tests/bud") else { return };
    assert!(cases.len() > 150, "{}", cases.len());
    conforms(cases, deviations::BUILDAH_BUD);
}

#[test]
fn kaniko() {
    let Some(cases) = suites::contexts("kaniko", "kaniko", "kaniko/integration") else { return };
    assert!(cases.len() > 45, "{}", cases.len());
    conforms(cases, deviations::KANIKO);
}

#[test]
fn buildkit_integration() {
    let Some(cases) = suites::buildkit() else { return };
    assert!(cases.len() > 40, "{}", cases.len());
    conforms(cases, deviations::BUILDKIT);
}
