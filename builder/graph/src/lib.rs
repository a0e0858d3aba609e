//! The narrow waist: what every frontend produces and every executor consumes.
//!
//! A [`Definition`] is BuildKit's LLB (a content-addressed DAG of protobuf ops), an [`ImageConfig`]
//! is what `docker inspect` would show. A producer makes [`Output`]s bottom-up ([`source`], [`exec`],
//! [`file`], [`merge`]) and closes them with [`Definition::of`]; a consumer reads a [`Graph`].
//! This crate knows no Dockerfile, no file system and no network.

pub mod caps;
mod check;
pub mod definition;
pub mod digest;
pub mod exec;
pub mod file;
pub mod graph;
pub mod image;
pub mod json;
pub mod merge;
pub mod platform;
pub mod show;
pub mod source;
pub mod source_map;
pub mod vertex;

pub use bollard_buildkit_proto::pb;
pub use definition::Definition;
pub use digest::Digest;
pub use graph::{Edge, Graph, InvalidDefinition, Node};
pub use image::ImageConfig;
pub use platform::Platform;
pub use source_map::{SourceLocation, SourceMap};
pub use vertex::{Constraints, Output, Vertex};
