//! A rootfs is an ordered list of strata and a metadata index over them.
//!
//! A [`Stratum`] is an inflated layer tar or a directory; an [`Index`] has the metadata of every
//! entry; a [`Tree`] is the merged view. Whoever packs, copies or hashes a rootfs reads a `Tree`,
//! never a mount. This crate knows no LLB, no cache policy and no network.

pub mod index;
pub mod tree;

pub use index::{Entry, Extra, Index, Kind, Mtime};
pub use tree::{Content, Stratum, Tree};
