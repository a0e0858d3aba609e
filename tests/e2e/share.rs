//! `--cache-to` and `--cache-from`: what one machine has made, another one need not.

use std::fs;

use crate::{
    cachelife::cached,
    support::{Archive, Outcome, Registry, World, leftovers, run, world::EPOCH},
};

const STEPS: &str = "FROM busybox AS one\nRUN head -c 16 /dev/urandom | hexdump > /one; mkdir /d; rm /bin/true; ln /one /same\n\
                     FROM busybox\nCOPY --from=one /one /copied\nCOPY a /a\nRUN head -c 16 /dev/urandom | hexdump > /two; rm /a\n\
                     RUN --mount=type=secret,id=token cat /run/secrets/token | wc -c > /length\n";

/// A build by the machine whose cache has this name, into the archive of that name.
fn build(world: &World, machine: &str, more: &[&str]) -> Outcome {
    let base = world.base_context("busybox");
    let mut command = world.command();
    command.env("SOURCE_DATE_EPOCH", EPOCH).arg("--cache-dir").arg(world.root().join("cache").join(machine));
    command.args(["build", "--progress=plain", "--secret=id=token,src=token", "-t", "same:1", "-o"]);
    command.arg(format!("{machine}.tar")).args(["--build-context", &base]).args(more).arg("ctx");
    let outcome = run(&mut command).success();
    leftovers::settle(world);
    outcome
}

fn bytes(world: &World, machine: &str) -> Vec<u8> {
    fs::read(world.path(&format!("{machine}.tar"))).unwrap()
}

fn world() -> World {
    let world = World::new();
    world.write("ctx/Dockerfile", STEPS);
    world.write("ctx/a", "a");
    world.write("token", "very-secret-token");
    world
}

const MAX: &str = "--cache-to=type=local,dest=share,mode=max";
const FROM: &str = "--cache-from=type=local,src=share";

fn layers(world: &World, machine: &str) -> usize {
    fs::read_dir(world.cache().join(machine).join("layers")).unwrap().count()
}

#[test]
fn a_machine_with_an_empty_cache_reruns_nothing_and_pulls_what_the_archive_needs() {
    let world = world();
    build(&world, "first", &[MAX]);
    let second = build(&world, "second", &[FROM]);
    for step in ["RUN head -c 16 /dev/urandom | hexdump > /one", "COPY --from=one", "COPY a", "RUN --mount=type=secret"]
    {
        assert!(cached(&second, step), "{step}: {second}");
    }
    assert!(bytes(&world, "first") == bytes(&world, "second"));
    // the base's layer and what four steps wrote; not what the first stage did
    assert_eq!(layers(&world, "second"), 1 + 4);

    // now it has them itself, and what it has not made it hands on all the same
    build(&world, "second", &[FROM, "--cache-to=type=local,dest=again,mode=max"]);
    fs::rename(world.path("share"), world.path("gone")).unwrap();
    assert!(cached(&build(&world, "second", &[]), "RUN --mount=type=secret"));
    let third = build(&world, "third", &["--cache-from=type=local,src=again"]);
    assert!(cached(&third, "COPY --from=one") && cached(&third, "RUN --mount=type=secret"), "{third}");
    assert!(bytes(&world, "first") == bytes(&world, "third"));

    // a later change reruns what depends on it
    world.write("ctx/Dockerfile", STEPS.replace("wc -c > /length", "wc -c > /count"));
    let fourth = build(&world, "fourth", &["--cache-from=type=local,src=again"]);
    assert!(cached(&fourth, "/two") && !cached(&fourth, "RUN --mount=type=secret"), "{fourth}");
    let archive = |machine| Archive::read(&world.path(&format!("{machine}.tar")));
    assert_eq!(archive("fourth").text("two"), archive("first").text("two"));
    assert_eq!(archive("fourth").text("count"), "17\n");
}

#[test]
fn a_registry_holds_a_cache_like_any_image_and_no_secret_is_in_it() {
    let world = world();
    build(&world, "first", &[MAX]);
    let registry = Registry::open();
    registry.push(&world.path("share"), "latest", "team/cache:latest");
    let from = format!("--cache-from=type=registry,ref={}", registry.reference("team/cache:latest"));
    let second = build(&world, "second", &[&from]);
    assert!(cached(&second, "/one; mkdir") && cached(&second, "RUN --mount=type=secret"), "{second}");
    assert!(bytes(&world, "first") == bytes(&world, "second"));

    for file in fs::read_dir(world.path("share/blobs/sha256")).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        let mut inflated = Vec::new();
        let _ = std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut inflated);
        for bytes in [bytes, inflated] {
            assert!(!bytes.windows(17).any(|w| w == b"very-secret-token"));
        }
    }
}

#[test]
fn a_spoilt_or_absent_cache_is_a_warning_and_the_build_is_right() {
    let world = world();
    build(&world, "first", &[MAX]);
    // layers are the blobs that are no JSON
    for file in fs::read_dir(world.path("share/blobs/sha256")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        if bytes[0] == 0x1f {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x55;
            fs::write(&path, bytes).unwrap();
        }
    }
    let second = build(&world, "second", &[FROM]).says(&["the build goes on without what --cache-from names"]);
    let archive = Archive::read(&world.path("second.tar"));
    assert_eq!(archive.text("length"), "17\n", "{second}");
    assert_ne!(archive.text("two"), Archive::read(&world.path("first.tar")).text("two"), "made here");

    fs::write(world.path("share/index.json"), "{ half").unwrap();
    build(&world, "third", &[FROM]).says(&["--cache-from"]);
    build(&world, "fourth", &["--cache-from=type=local,src=nowhere", "--cache-from=127.0.0.1:1/x/y"])
        .says(&["nowhere", "127.0.0.1:1"]);
    let context = world.base_context("busybox");
    let base = format!("--cache-from=type=local,src={}", context.split_once(':').unwrap().1);
    build(&world, "fifth", &[&base]).says(&["that is no cache that --cache-to has written"]);
}

#[test]
fn results_are_of_one_platform_and_min_keeps_what_the_image_is_made_of() {
    let world = world();
    world.write("ctx/Dockerfile", "FROM scratch AS one\nCOPY a /x\nFROM scratch\nCOPY a /y\nCOPY --from=one /x /z\n");
    build(&world, "first", &["--cache-to=type=local,dest=share"]);
    let second = build(&world, "second", &[FROM]);
    assert!(cached(&second, "COPY a /y") && !cached(&second, "COPY a /x"), "{second}");
    assert!(bytes(&world, "first") == bytes(&world, "second"));

    world.write("ctx/Dockerfile", "FROM busybox\nRUN uname -m > /machine\n");
    build(&world, "first", &["--cache-to=type=local,dest=share"]);
    assert!(cached(&build(&world, "third", &[FROM]), "RUN uname"));
    let other = build(&world, "fourth", &[FROM, "--platform=linux/arm64"]);
    assert!(!cached(&other, "RUN uname"), "{other}");
    assert_eq!(Archive::read(&world.path("fourth.tar")).text("machine"), "aarch64\n");

    let mut command = world.command();
    let refused =
        run(command.args(["build", "--cache-to=type=inline", "ctx"])).failure().says(&["type=inline is not supported"]);
    assert_eq!(refused.code, Some(2));
}
