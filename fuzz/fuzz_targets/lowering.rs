//! Dockerfiles on their way to a graph: expansion in its place, ports, git references, mounts, stages, lint.
#![no_main]

use libfuzzer_sys::fuzz_target;
use routerpack_fuzz::{shapes, work, world};

fuzz_target!(
    init: work::curve("builds", shapes::BUILDS, |text| drop(world::lower(text))),
    |data: &[u8]| {
        let Ok(source) = std::str::from_utf8(data) else { return };
        let _ = world::lower(source);
    }
);
