//! Kills and interruptions: nothing half-written is used later, and nothing is left behind.

use std::{
    io::Read,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::support::{Archive, World, leftovers, run, tool};

/// Starts a build and waits until its log says `sign`.
pub fn start(world: &World, sign: &str, arguments: &[&str]) -> Child {
    let base = world.base_context("busybox");
    let mut command = world.command();
    command.args(["build", "--progress=plain", "--build-context", &base, "-o", "out.tar"]).args(arguments).arg("ctx");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = child.stderr.take().unwrap();
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while !seen.contains(sign) {
        let n = log.read(&mut buffer).unwrap();
        assert!(n > 0, "it ended before {sign:?}: {seen}");
        seen += &String::from_utf8_lossy(&buffer[..n]);
    }
    thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    child
}

fn signal(child: &Child, name: &str) {
    run(tool("kill").arg(format!("-{name}")).arg(child.id().to_string())).success();
}

fn build_again(world: &World, more: &[&str]) {
    let base = world.base_context("busybox");
    let mut command = world.command();
    run(command.args(["build", "--build-context", &base, "-o", "out.tar"]).args(more).arg("ctx")).success();
    crate::support::assert_none("files are left", &leftovers::files(world));
}

#[test]
fn killed_in_the_middle_of_a_run() {
    let world = World::new();
    // the secret is no part of the cache key: later it is the same step, only faster
    let slow = "FROM busybox\nRUN --mount=type=secret,id=fast echo half > /result; echo started; \
                [ -e /run/secrets/fast ] || sleep 60; echo whole > /result\n";
    let fast = format!("--secret=id=fast,src={}", world.write("fast", "").display());
    world.write("ctx/Dockerfile", slow);
    for (name, code) in [("KILL", None), ("INT", Some(130)), ("TERM", Some(143))] {
        let mut child = start(&world, " started", &[]);
        signal(&child, name);
        let began = Instant::now();
        let status = child.wait().unwrap();
        assert!(began.elapsed() < Duration::from_secs(30), "{name}: it waited for the step");
        assert_eq!(status.code(), code, "{name}");
        leftovers::assert_no_processes_or_mounts(&world);
        assert!(!world.path("out.tar").exists());
        if name != "KILL" {
            crate::support::assert_none("files are left", &leftovers::files(&world));
        }
    }
    build_again(&world, &[&fast]);
    assert_eq!(Archive::read(&world.path("out.tar")).text("result"), "whole\n");
}

#[test]
fn killed_while_it_packs_and_while_it_unpacks() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM busybox\nCOPY big /big\nRUN echo done\n");
    world.write("ctx/big", vec![b'x'; 64 << 20]);
    // at many different moments, with a cache that grows from nothing to everything
    for delay in [5, 10, 20, 40, 60, 80, 120, 160, 240] {
        let mut child = start(&world, "#1 ", &[]);
        thread::sleep(Duration::from_millis(delay));
        let _ = child.kill();
        let _ = child.wait();
        leftovers::assert_no_processes_or_mounts(&world);
        if world.path("out.tar").exists() {
            assert_eq!(Archive::read(&world.path("out.tar")).entries()["big"].data.len(), 64 << 20, "half an output");
            std::fs::remove_file(world.path("out.tar")).unwrap();
        }
    }
    build_again(&world, &[]);
    assert_eq!(Archive::read(&world.path("out.tar")).entries()["big"].data.len(), 64 << 20);
}

#[test]
fn who_waits_for_another_build_can_be_interrupted() {
    let world = World::new();
    let step =
        |n: u8| format!("FROM busybox\nRUN --mount=type=cache,target=/c,sharing=locked echo started; sleep 60 # {n}\n");
    world.write("ctx/Dockerfile", step(1));
    let mut first = start(&world, " started", &[]);
    // For the very step, and for the cache that another one has locked.
    for (number, sign) in [(1, "RUN"), (2, "RUN")] {
        world.write("ctx/Dockerfile", step(number));
        let mut second = start(&world, sign, &[]);
        thread::sleep(Duration::from_millis(300));
        let began = Instant::now();
        signal(&second, "INT");
        assert_eq!(second.wait().unwrap().code(), Some(130));
        assert!(began.elapsed() < Duration::from_secs(5), "it waited");
    }
    signal(&first, "INT");
    assert_eq!(first.wait().unwrap().code(), Some(130));
    leftovers::assert_no_processes_or_mounts(&world);
}
