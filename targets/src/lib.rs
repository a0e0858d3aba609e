//! From a rootfs and an image config to an archive: what `--output` writes.
//!
//! [`write()`] is the one door: a [`Request`] names the [`Format`], a [`Summary`] says what came out.
//! [`devices`] knows which router takes which platform; [`check`] judges an archive for a router by [`rules`] and
//! [`profile`]; [`diagnose`] knows what a router's log means; [`sarif`] writes
//! findings for code scanners; [`size`] tells where an image's bytes are, [`routerpack_rootfs::packages`] which
//! package they are of, and [`slim`] makes a rootfs smaller. This crate reads a rootfs through its index only, knows no
//! Dockerfile, no cache and no network, prints nothing and reads no clock.
//!
//! ```text
//!  Tree ──► layer (tar members) ──► sink (write + sha256) ──► docker archive, OCI archive, tar
//!     └───► local (files in a directory)
//! ```

pub mod check;
mod config;
pub mod devices;
pub mod diagnose;
mod docker_archive;
mod elf;
mod error;
mod gzip;
mod header;
mod layer;
pub mod local;
mod oci_archive;
mod output;
mod pass;
pub mod profile;
pub mod recipe;
mod request;
pub mod resource;
pub mod rules;
pub mod sarif;
mod sink;
pub mod size;
pub mod slim;
mod staged;
mod tag;
mod warning;

pub use error::Error;
pub use output::{copy_archive, write};
pub use pass::Progress;
pub use request::{
    Blob, Check, Compression, Dest, Format, Image, LayerSource, Layers, Request, Summary, UnknownFormat,
};
pub use tag::{InvalidTag, Reference, RouterTag, router_tag};
pub use warning::{Dropped, Warning, Warnings};
