//! `FROM` a real registry.

use crate::support::{Archive, Registry, World, base, run};

const DOCKERFILE: &str = "ARG BASE\nFROM $BASE\nRUN uname -m > /m\n";

fn push(registry: &Registry) -> String {
    registry.push(&base("busybox"), "latest", "team/busybox:1");
    registry.reference("team/busybox:1")
}

#[test]
fn pulled_once_and_then_not_asked_again() {
    let registry = Registry::open();
    let name = push(&registry);
    let world = World::new();
    world.write("ctx/Dockerfile", DOCKERFILE);
    let base = format!("BASE={name}");
    let arguments =
        ["build", "--progress=plain", "--platform=linux/arm64", "--build-arg", &base, "-o", "out.tar", "ctx"];
    world.routerpack(arguments).success();
    assert_eq!(Archive::read(&world.path("out.tar")).text("m"), "aarch64\n");
    drop(registry);
    world.routerpack(arguments).success().says(&["CACHED"]);
    let other = ["build", "--pull", "--build-arg", &base, "-o", "out.tar", "ctx"];
    world.routerpack(other).failure().says(&["127.0.0.1", "Dockerfile:2"]);
}

#[test]
fn a_registry_that_wants_a_login() {
    let registry = Registry::locked("ann", "s3cret-word");
    let name = push(&registry);
    let world = World::new();
    world.write("ctx/Dockerfile", DOCKERFILE);
    let base = format!("BASE={name}");
    let arguments = ["build", "--build-arg", &base, "-o", "out.tar", "ctx"];
    let outcome = world.routerpack(arguments).failure().says(&["docker login"]);
    assert!(!outcome.stderr.contains("s3cret"));

    let login = "YW5uOnMzY3JldC13b3Jk"; // base64 of ann:s3cret-word
    let config = format!("{{\"auths\":{{\"{}\":{{\"auth\":\"{login}\"}}}}}}", registry.address());
    std::fs::create_dir(world.root().join("home/.docker")).unwrap();
    std::fs::write(world.root().join("home/.docker/config.json"), config).unwrap();
    let outcome = world.routerpack(arguments).success();
    assert!(!outcome.stderr.contains("s3cret") && !outcome.stderr.contains(login));
}

#[test]
fn a_platform_that_the_image_lacks() {
    let registry = Registry::open();
    let name = push(&registry);
    let world = World::new();
    world.write("ctx/Dockerfile", DOCKERFILE);
    let base = format!("BASE={name}");
    let outcome = world.routerpack(["build", "--platform=linux/riscv64", "--build-arg", &base, "-o", "out.tar", "ctx"]);
    outcome.failure().says(&["linux/riscv64", "linux/arm64", "linux/arm/v5"]);
}

#[test]
fn killed_in_the_middle_of_a_pull() {
    let registry = Registry::open();
    let name = push(&registry);
    let world = World::new();
    world.write("ctx/Dockerfile", DOCKERFILE);
    for delay in [20, 40, 60, 80, 100] {
        let mut command = world.command();
        command.args(["build", "-q", "--build-arg", &format!("BASE={name}"), "-o", "out.tar", "ctx"]);
        let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(delay));
        let _ = child.kill();
        let _ = child.wait();
        crate::support::leftovers::assert_no_processes_or_mounts(&world);
    }
    let mut command = world.command();
    run(command.args(["build", "--build-arg", &format!("BASE={name}"), "-o", "out.tar", "ctx"])).success();
    Archive::read(&world.path("out.tar"));
    crate::support::assert_none("files are left", &crate::support::leftovers::files(&world));
}
