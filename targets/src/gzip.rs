//! Gzip whose bytes follow from the input alone: no time, no name, no system, one level.

use std::io::Write;

use flate2::{Compression, GzBuilder, write::GzEncoder};

/// zlib's default: what registries' layers mostly have.
const LEVEL: u32 = 6;
/// RFC 1952, "OS": unknown.
const NO_SYSTEM: u8 = 255;

/// A compressing writer; call `finish`.
pub(crate) fn writer<W: Write>(out: W) -> GzEncoder<W> {
    GzBuilder::new().mtime(0).operating_system(NO_SYSTEM).write(out, Compression::new(LEVEL))
}

/// The most bytes that so many bytes can become: stored blocks of 16 KiB at worst, and the frame.
pub(crate) fn bound(size: u64) -> u64 {
    size + size / 16_383 * 5 + 64
}
