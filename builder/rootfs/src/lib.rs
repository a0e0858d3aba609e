//! A rootfs is an ordered list of strata and a metadata index over them.
//!
//! A [`Stratum`] is an inflated layer tar or a directory; an [`Index`] has the metadata of every
//! entry; a [`Tree`] is the merged view. Whoever packs, copies or hashes a rootfs reads a `Tree`,
//! never a mount. This crate knows no LLB, no cache policy and no network.

mod confine;
pub mod index;
pub mod layer;
pub mod merge;
pub mod path;
pub mod resolve;
pub mod tree;

pub use index::{Entry, Extra, Index, Kind, Mtime};
pub use layer::{LayerError, LayerIndex, read_layer};
pub use merge::{MergeError, MergeFault, merge};
pub use resolve::ResolveError;
pub use tree::{Content, ContentReader, Stratum, Tree};
