//! The values of `RUN --mount` and `--device`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use routerpack_fuzz::{invariants, shapes, work};

fuzz_target!(
    init: work::curve("mounts", shapes::MOUNTS, invariants::mounting),
    |data: &[u8]| {
        let Ok(value) = std::str::from_utf8(data) else { return };
        work::bounded(value.len(), 50_000, 2_000, || invariants::mounting(value));
    }
);
