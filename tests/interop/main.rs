//! Other programs take in what routerpack makes: skopeo, docker, podman, umoci with runc, tar; and buildah makes the same
//! out of the same Dockerfile.
//!
//! Foreign images need emulators registered on the machine, so these tests aren't part of a plain `cargo test`:
//! `scripts/test` runs them as its second phase, `cargo test --test interop` by themselves.

#[path = "../support/mod.rs"]
mod support;

mod buildah;
mod docker;
mod fixtures;
mod listing;
mod oci;
mod podman;
mod tree;

use std::path::{Path, PathBuf};

use support::World;

/// The platforms that docker and podman run here: this machine's own, and one under emulation.
const RUN_HERE: [(&str, &str); 2] = [("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")];

/// The test image's context.
fn image() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/image")
}

/// Builds the test image with routerpack as output type `kind`; returns where the archive is.
fn build(world: &World, kind: &str, arguments: &[&str]) -> PathBuf {
    let context = world.path("image");
    if !context.exists() {
        world.copy(&image(), "image");
    }
    world.build_as(kind, &context, &format!("{kind}.tar"), arguments)
}

/// What the test image prints when it runs on a machine of this name.
fn probe_says(machine: &str) -> String {
    format!("{machine}\n1000:1000\n/data\nhello world\n<one><two three>\nshared\nshared\nlinked\nkept\n")
}

/// `linux/arm64` → `arm64`: the name of an image's tag, say.
fn short(platform: &str) -> String {
    platform.trim_start_matches("linux/").replace('/', "")
}
