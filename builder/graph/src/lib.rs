//! The narrow waist: what every frontend produces and every executor consumes.
//!
//! A [`Definition`] is BuildKit's LLB (a content-addressed DAG of protobuf ops), an [`ImageConfig`]
//! is what `docker inspect` would show. This crate knows no Dockerfile, no file system and no network.

pub mod digest;
pub mod image;
pub mod platform;

pub use bollard_buildkit_proto::pb;
pub use digest::Digest;
pub use image::ImageConfig;
pub use platform::Platform;
