//! The parser of Dockerfiles.
#![no_main]

use libfuzzer_sys::fuzz_target;
use routerpack_frontends::dockerfile::Dockerfile;
use routerpack_fuzz::{invariants, shapes, work};

fuzz_target!(
    init: work::curve("Dockerfiles", shapes::DOCKERFILES, |text| drop(Dockerfile::parse(text))),
    |data: &[u8]| {
        let Ok(source) = std::str::from_utf8(data) else { return };
        work::bounded(source.len(), 200_000, 2_000, || drop(Dockerfile::parse(source)));
        invariants::reading(source);
        invariants::printing(source);
    }
);
