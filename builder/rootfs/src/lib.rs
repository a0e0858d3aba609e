//! A rootfs is an ordered list of strata and a metadata index over them.
//!
//! ```text
//!  layer tar ──read_layer──► spool + Index ─┐                          ┌─► content, read, resolve
//!                                           ├─► Stratum… ─merge─► Tree ─┤
//!  directory ──scan───────────────► Index ──┘                          └─► unpack, materialise ─► directory
//! ```
//!
//! A [`Stratum`] is an inflated layer tar or a directory; an [`Index`] has the metadata of every
//! entry; a [`Tree`] is the merged view. Whoever packs, copies or hashes a rootfs reads a `Tree`,
//! never a mount. This crate knows no LLB, no cache policy and no network.
//!
//! All that a tar or a directory says is untrusted: names are cleaned or refused, symlinks are followed on the
//! index alone, and what is opened or written is so beneath one directory, a component at a time.

pub mod compare;
pub mod confine;
mod encode;
mod graft;
pub mod index;
pub mod layer;
mod made;
pub mod merge;
pub mod packages;
pub mod path;
mod place;
pub mod resolve;
pub mod scan;
pub mod stamp;
pub mod tree;
mod unpack;
mod xattr;

pub use compare::{Aspects, Difference, compare};
pub use encode::DecodeError;
pub use index::{Entry, Extra, Index, Kind, Mtime};
pub use layer::{LayerError, LayerIndex, read_layer};
pub use made::Maker;
pub use merge::{MergeError, MergeFault, merge};
pub use place::{Lost, PlaceError, Warning};
pub use resolve::ResolveError;
pub use scan::{Filter, Owners, ScanError, ScanOptions, Verdict, scan};
pub use stamp::Stamp;
pub use tree::{Content, ContentReader, Origin, Stratum, Tree};
pub use unpack::{materialise, unpack};
pub use xattr::is_overlay_mark;
