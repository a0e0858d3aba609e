//! Machines and CI containers that give less, made out of this one with util-linux's `unshare` and `setpriv`: what can
//! be done is done, with the same bytes, and the rest is refused before it starts.

use std::fs;

use crate::support::{Outcome, World, run, tool, world::EPOCH};

const DOCKERFILE: &str = "\
FROM busybox AS build
WORKDIR /w
COPY f .
RUN cat f f > twice && rm /etc/group && mkdir -p new/dir && touch new/dir/file
RUN rm -r new && mv twice once && ln once hard && chmod 700 /home
FROM busybox
COPY --from=build /w /w
RUN rm -r /var && echo $(ls /w) > /seen
";

fn world() -> World {
    let world = World::new();
    world.write("ctx/Dockerfile", DOCKERFILE);
    world.write("ctx/f", "f");
    world
}

/// Builds behind a shell script that takes something away first; `$@` is the program with its arguments.
fn build(world: &World, unshare: &[&str], script: &str, more: &[&str]) -> Outcome {
    let base = world.base_context("busybox");
    let program = world.command();
    let mut command = tool("unshare");
    command.args(unshare).args(["sh", "-e", "-c", script, "sh"]).arg(program.get_program());
    command
        .args(["build", "--progress=plain", "-t", "app", "--build-context", &base, "-o", "out.tar"])
        .args(more)
        .arg("ctx");
    command.current_dir(world.path("")).env("ROUTERPACK_CACHE_DIR", world.cache()).env("SOURCE_DATE_EPOCH", EPOCH);
    run(&mut command)
}

fn reference() -> Vec<u8> {
    let world = world();
    build(&world, &[], "exec \"$@\"", &[]).success();
    fs::read(world.path("out.tar")).unwrap()
}

const NO_USER_NAMESPACES: &str = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$@\"";
const NO_RIGHT_TO_MOUNT: &str = "echo 0 > /proc/sys/user/max_user_namespaces; \
     exec setpriv --bounding-set -sys_admin --inh-caps -sys_admin \"$@\"";
const OVERLAY_ON_OVERLAY: &str = "mkdir l u w m; mount -t overlay -o lowerdir=l,upperdir=u,workdir=w o m; \
     exec \"$@\" --cache-dir m/cache";

#[test]
fn the_bytes_are_the_same_without_overlay_and_without_user_namespaces() {
    let reference = reference();
    for (what, unshare, script, says) in [
        ("no user namespaces", &["--user", "--map-root-user"][..], NO_USER_NAMESPACES, &["max_user_namespaces"][..]),
        ("no right to mount", &["--user", "--map-root-user"], NO_RIGHT_TO_MOUNT, &["chroot", "copies"]),
        ("overlay on overlay", &["--mount"], OVERLAY_ON_OVERLAY, &[]),
    ] {
        let world = world();
        let outcome = build(&world, unshare, script, &[]).success().says(says);
        assert!(fs::read(world.path("out.tar")).unwrap() == reference, "{what}: {outcome}");
    }
}

#[test]
fn a_foreign_platform_is_refused_before_the_step_starts() {
    let world = world();
    let outcome =
        build(&world, &["--user", "--map-root-user"], NO_RIGHT_TO_MOUNT, &["--platform=linux/arm64"]).failure();
    let outcome = outcome.says(&["linux/arm64", "apt-get install qemu-user-static", "Dockerfile:4"]);
    assert!(!outcome.stderr.contains("Exec format error"), "{outcome}");
    assert!(!world.path("out.tar").exists());
}
