//! LLB's file ops (copy, mkdir, mkfile, rm, symlink) over trees.
//!
//! ```text
//! FileOp + input trees ──► apply ──► one stratum: a directory in overlay's upper form + its index
//!              copy action + source tree ──► selection_digest ──► what a cache key needs
//! ```
//!
//! Nothing is mounted: destinations are resolved in the merged index of the tree below, contents are
//! reflinked or copied into a directory that is opened once and never left. This crate may know LLB
//! and trees, but no cache, no Dockerfile and no clock.

mod archive;
mod chmod;
mod copy;
pub mod digest;
mod disk;
mod error;
pub mod glob;
pub mod near;
mod op;
mod owner;
mod path;
pub mod pattern;
mod select;
mod upper;

pub use digest::{FileHasher, ReadHasher, selection_digest, tree_digest};
pub use error::Error;
pub use op::{Output, Settings, apply, base_input};
pub use select::is_empty_match;
