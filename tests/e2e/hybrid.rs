//! `--emulation=hybrid` where nothing can run natively: it says why, and gives what qemu gives.

use crate::support::{World, world::EPOCH};

#[test]
fn a_base_without_packages_is_left_to_qemu() {
    let world = World::new();
    world.write(
        "ctx/Dockerfile",
        "FROM busybox\nRUN uname -m >/machine && ls -a /dev >/dev-before\nRUN gzip -9 /machine\n",
    );
    let base = world.base_context("busybox");
    let build = |mode: &str| {
        let (mode, to) = (format!("--emulation={mode}"), format!("{mode}.tar"));
        let epoch = format!("SOURCE_DATE_EPOCH={EPOCH}");
        let arguments = ["build", "--progress=plain", &mode, "--platform=linux/arm64", "--build-arg", &epoch];
        let outcome =
            world.routerpack([&arguments[..], &["--build-context", &base, "-o", &to, "ctx"]].concat()).success();
        (outcome, std::fs::read(world.path(&to)).unwrap())
    };
    let (qemu, expected) = build("qemu");
    assert!(!qemu.stderr.contains("hybrid emulation"), "{qemu}");
    let (hybrid, bytes) = build("hybrid");
    let why = "hybrid emulation: all of linux/arm64 runs through qemu, since there is no package database";
    assert_eq!(hybrid.stderr.matches(why).count(), 1, "said once, and not out of the other mode's cache: {hybrid}");
    assert!(bytes == expected, "the archives differ");
}
