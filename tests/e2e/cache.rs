//! What is done again and what is not.

use std::fs;

use crate::support::{Archive, World, run};

fn plain(world: &World, context: &str, more: &[&str]) -> crate::support::Outcome {
    let base = world.base_context("busybox");
    let mut command = world.command();
    command.args(["build", "--progress=plain", "--build-context", &base, "-o", "out.tar"]).args(more).arg(context);
    run(&mut command)
}

/// The instructions that ran, in the order of the plain log.
fn ran(log: &str) -> Vec<String> {
    let name = |number: &str| {
        let line = log.lines().find(|l| l.starts_with(&format!("{number} [")))?;
        Some(line.split("] ").nth(1)?.to_string())
    };
    let done = |l: &str| l.split_once(" DONE ").map(|(number, _)| number.to_string());
    let named = log.lines().filter_map(done).filter_map(|n| name(&n));
    named.filter(|n| n.starts_with("RUN") || n.starts_with("COPY") || n.starts_with("WORKDIR")).collect()
}

#[test]
fn touching_reruns_nothing_and_a_changed_file_reruns_what_depends_on_it() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM busybox\nCOPY a /a\nRUN cat /a > /x\nCOPY b /b\nRUN cat /b > /y\n");
    world.write("ctx/a", "a");
    world.write("ctx/b", "b");
    world.write("ctx/unrelated", "1");
    let first = plain(&world, "ctx", &[]).success();
    assert_eq!(ran(&first.stderr), ["COPY a /a", "RUN cat /a > /x", "COPY b /b", "RUN cat /b > /y"]);

    run(crate::support::tool("touch").arg(world.path("ctx/a")).arg(world.path("ctx/b"))).success();
    world.write("ctx/unrelated", "2");
    assert_eq!(ran(&plain(&world, "ctx", &[]).success().stderr), [""; 0]);

    world.write("ctx/b", "B");
    assert_eq!(ran(&plain(&world, "ctx", &[]).success().stderr), ["COPY b /b", "RUN cat /b > /y"]);
    assert_eq!(Archive::read(&world.path("out.tar")).text("y"), "B");

    let all = ran(&plain(&world, "ctx", &["--no-cache"]).success().stderr);
    assert_eq!(all.len(), 4, "{all:?}");
}

#[test]
fn a_rebuilt_stage_with_the_same_files_reruns_nothing_after_it() {
    let world = World::new();
    let file = |comment: &str| {
        format!(
            "FROM busybox AS one\nRUN echo {comment}; echo same > /f\nFROM busybox\nCOPY --from=one /f /f\nRUN cat /f > /g\n"
        )
    };
    world.write("ctx/Dockerfile", file("first"));
    plain(&world, "ctx", &[]).success();
    world.write("ctx/Dockerfile", file("second"));
    let second = ran(&plain(&world, "ctx", &[]).success().stderr);
    assert_eq!(second, ["RUN echo second; echo same > /f"]);
}

#[test]
fn one_stage_can_be_run_again() {
    let world = World::new();
    world.write(
        "ctx/Dockerfile",
        "FROM busybox AS a\nRUN echo 1 > /a\nFROM busybox\nRUN echo 2 > /b\nCOPY --from=a /a /a\n",
    );
    plain(&world, "ctx", &[]).success();
    let again = ran(&plain(&world, "ctx", &["--no-cache-filter", "a"]).success().stderr);
    assert_eq!(again, ["RUN echo 1 > /a"]);
}

#[test]
fn a_mounted_file_counts_and_the_rest_of_the_context_does_not() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM busybox\nRUN --mount=type=bind,source=a,target=/m cat /m > /x\n");
    world.write("ctx/a", "a");
    world.write("ctx/b", "b");
    plain(&world, "ctx", &[]).success();
    world.write("ctx/b", "B");
    assert_eq!(ran(&plain(&world, "ctx", &[]).success().stderr), [""; 0]);
    world.write("ctx/a", "A");
    assert_eq!(ran(&plain(&world, "ctx", &[]).success().stderr).len(), 1);
    assert_eq!(Archive::read(&world.path("out.tar")).text("x"), "A");
}

#[test]
fn two_builds_share_one_cache() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM busybox\nRUN sleep 0.3; head -c 16 /dev/urandom | hexdump > /random\n");
    let base = world.base_context("busybox");
    let start = |name: &str| {
        let mut command = world.command();
        command.args(["build", "--progress=plain", "--build-context", &base, "-o", name, "ctx"]);
        command.stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    let mut builds: Vec<_> = (0..4).map(|n| start(&format!("{n}.tar"))).collect();
    for build in &mut builds {
        assert!(build.wait().unwrap().success());
    }
    let random: Vec<String> = (0..4).map(|n| Archive::read(&world.path(&format!("{n}.tar"))).text("random")).collect();
    assert!(random.iter().all(|r| *r == random[0]), "the step ran more than once: {random:?}");
}

#[test]
fn a_damaged_cache_is_mended() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM busybox\nRUN echo 1 > /a\n");
    plain(&world, "ctx", &[]).success();
    for dir in ["ops", "contexts"] {
        for file in fs::read_dir(world.cache().join(dir)).unwrap().flatten() {
            fs::write(file.path(), "{ half").unwrap();
        }
    }
    for dir in ["snapshots", "layers"] {
        for entry in fs::read_dir(world.cache().join(dir)).unwrap().flatten() {
            fs::write(entry.path().join("index"), "garbage").unwrap();
        }
    }
    plain(&world, "ctx", &[]).success();
    assert_eq!(Archive::read(&world.path("out.tar")).text("a"), "1\n");
}

#[test]
fn the_cache_is_made_durable_after_the_build() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM scratch\nCOPY a /\n");
    world.write("ctx/a", "a");
    plain(&world, "ctx", &[]).success();
    let mark = world.cache().join("synced");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !mark.exists() {
        assert!(std::time::Instant::now() < deadline, "no sync came");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
