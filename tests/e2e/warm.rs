//! A build whose result is known: what is written again, and what is not.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::support::{Archive, Registry, World, base, run, world::EPOCH};

const DOCKERFILE: &str = "FROM busybox\nCOPY . /app\nRUN echo step > /step\nCMD [\"/bin/sh\"]\n";

/// What changes if a file is written or replaced.
fn identity(path: &Path) -> (u64, i64, i64) {
    let meta = fs::metadata(path).unwrap();
    (meta.ino(), meta.mtime_nsec(), meta.ctime_nsec())
}

fn world() -> World {
    let world = World::new();
    world.write("ctx/Dockerfile", DOCKERFILE);
    world.write("ctx/file", "one");
    world
}

fn build(world: &World, more: &[&str]) -> crate::support::Outcome {
    let base = world.base_context("busybox");
    let mut command = world.command();
    run(command.args(["build", "--progress=plain", "--build-context", &base]).args(more).arg("ctx")).success()
}

#[test]
fn an_output_that_is_there_is_not_written_again_whatever_its_type() {
    let world = world();
    for output in
        ["out.tar", "out.tar.gz", "type=oci,dest=oci.tar", "type=docker,dest=docker.tar", "type=tar,dest=t.tar"]
    {
        let path = world.path(output.split("dest=").last().unwrap());
        let first = build(&world, &["-o", output]);
        let before = (identity(&path), fs::read(&path).unwrap());
        let second = build(&world, &["-o", output]);
        assert_eq!(identity(&path), before.0, "{output}: {second}");
        // All that is told of it the first time is told again.
        let told = |log: &str| log.lines().filter(|l| !l.starts_with('#')).map(str::to_string).collect::<Vec<_>>();
        assert_eq!(told(&second.stderr), told(&first.stderr), "{output}");
        // Another one is, and so is the first one after it.
        world.write("ctx/file", "two");
        build(&world, &["-o", output]);
        let other = fs::read(&path).unwrap();
        assert!(other != before.1, "{output}");
        world.write("ctx/file", "one");
        build(&world, &["-o", output]);
        assert!(fs::read(&path).unwrap() == before.1, "{output}");
    }
    for archive in ["out.tar", "docker.tar"] {
        Archive::read(&world.path(archive));
    }
}

#[test]
fn what_somebody_did_to_an_output_is_mended() {
    let world = world();
    let out = world.path("out.tar");
    build(&world, &["-o", "out.tar"]);
    let whole = fs::read(&out).unwrap();
    let put_back = |was: &fs::Metadata| {
        let file = fs::File::options().write(true).open(&out).unwrap();
        file.set_times(fs::FileTimes::new().set_modified(was.modified().unwrap())).unwrap();
    };
    let same_size = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let tampered: [(&str, &dyn Fn()); 8] = [
        ("removed", &|| fs::remove_file(&out).unwrap()),
        ("cut", &|| fs::File::options().write(true).open(&out).unwrap().set_len(1000).unwrap()),
        ("emptied", &|| fs::write(&out, "").unwrap()),
        ("one bit", &|| fs::write(&out, same_size(5000)).unwrap()),
        ("one bit, and the time put back", &|| {
            thread::sleep(Duration::from_millis(20)); // nobody can do that within the tick in which the file came
            let was = fs::metadata(&out).unwrap();
            fs::write(&out, same_size(5000)).unwrap();
            put_back(&was);
        }),
        ("another file in its place", &|| {
            let was = fs::metadata(&out).unwrap();
            fs::write(world.path("new"), same_size(7000)).unwrap();
            fs::rename(world.path("new"), &out).unwrap();
            put_back(&was);
        }),
        ("a link to a copy", &|| {
            fs::write(world.path("copy"), same_size(9000)).unwrap();
            fs::remove_file(&out).unwrap();
            symlink("copy", &out).unwrap();
        }),
        ("appended to", &|| fs::write(&out, [&whole[..], b"more"].concat()).unwrap()),
    ];
    for (what, tamper) in tampered {
        tamper();
        build(&world, &["-o", "out.tar"]);
        assert!(fs::read(&out).unwrap() == whole, "{what}");
    }
    // Nor is the copy that the cache keeps believed if it has changed.
    fs::remove_file(&out).unwrap();
    build(&world, &["-o", "out.tar"]);
    let kept = kept(&world);
    crate::support::leftovers::settle(&world);
    let mut bytes = whole.clone();
    bytes[3000] ^= 1;
    fs::write(&kept, bytes).unwrap();
    fs::remove_file(&out).unwrap();
    build(&world, &["-o", "out.tar"]);
    assert!(fs::read(&out).unwrap() == whole, "the kept copy");
}

/// The archive that the cache keeps; it comes after the build has ended.
fn kept(world: &World) -> std::path::PathBuf {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(file) = fs::read_dir(world.cache().join("archives")).into_iter().flatten().flatten().next() {
            return file.path();
        }
        assert!(Instant::now() < deadline, "nothing is kept");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_archive_that_was_made_twice_is_copied_the_third_time() {
    let world = world();
    let out = world.path("out.tar");
    build(&world, &["-o", "out.tar"]);
    let whole = fs::read(&out).unwrap();
    fs::remove_file(&out).unwrap();
    build(&world, &["-o", "out.tar"]);
    let kept = kept(&world);
    assert!(fs::read(&kept).unwrap() == whole);
    assert!(fs::metadata(&kept).unwrap().ino() != fs::metadata(&out).unwrap().ino(), "never a hard link");
    // The note of it may come a little later than the file.
    crate::support::leftovers::settle(&world);
    fs::remove_file(&out).unwrap();
    // Packing again would fail: a layer's bytes are gone.
    for layer in fs::read_dir(world.cache().join("layers")).unwrap().flatten() {
        fs::rename(layer.path().join("layer.tar"), layer.path().join("away")).unwrap();
    }
    build(&world, &["-o", "out.tar"]);
    assert!(fs::read(&out).unwrap() == whole);
    build(&world, &["-o", "elsewhere.tar"]);
    assert!(fs::read(world.path("elsewhere.tar")).unwrap() == whole);
}

#[test]
fn what_else_decides_the_bytes_counts() {
    let world = world();
    let bytes = |more: &[&str]| {
        build(&world, &[more, &["-o", "out.tar"]].concat());
        fs::read(world.path("out.tar")).unwrap()
    };
    let plain = bytes(&["-t", "a:1"]);
    assert!(bytes(&["-t", "b:1"]) != plain, "a tag");
    assert!(bytes(&["-t", "a:1", "--label", "x=y"]) != plain, "a label");
    assert!(bytes(&["-t", "a:1", "--build-arg", &format!("SOURCE_DATE_EPOCH={EPOCH}")]) != plain, "the epoch");
    fs::set_permissions(world.path("ctx/file"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(bytes(&["-t", "a:1"]) != plain, "a mode");
}

#[test]
fn a_refused_archive_is_refused_again() {
    let world = World::new();
    world.write("ctx/app", fs::read("/bin/true").unwrap());
    world.write("ctx/Dockerfile", "FROM scratch\nCOPY --chmod=755 app /\nENTRYPOINT [\"/app\"]\n");
    let arguments = ["build", "--platform=linux/arm64", "-o", "out.tar", "ctx"];
    world.routerpack(arguments).success();
    for _ in 0..2 {
        let refused = world.routerpack([&["build", "--fail-on=error"], &arguments[1..]].concat());
        assert_eq!(refused.code, Some(2), "{refused}");
    }
    world.routerpack(arguments).success().says(&["elf-machine"]);
}

#[test]
fn the_registry_is_not_asked_and_with_pull_by_one_request() {
    let registry = Registry::open();
    registry.push(&base("busybox"), "latest", "busybox:1");
    let world = World::new();
    world.write("ctx/Dockerfile", "ARG BASE\nFROM $BASE\nRUN echo 1 > /x\n");
    let name = format!("BASE={}", registry.reference("busybox:1"));
    let build = |more: &[&str]| {
        let before = registry.requests().len();
        world.routerpack([&["build", "--build-arg", &name, "-o", "out.tar"], more, &["ctx"]].concat()).success();
        registry.requests().split_off(before)
    };
    assert!(!build(&[]).is_empty(), "the first build pulls");
    assert_eq!(build(&[]), [""; 0]);
    fs::remove_file(world.path("out.tar")).unwrap();
    assert_eq!(build(&[]), [""; 0]);
    assert_eq!(build(&["--pull"]), ["HEAD /v2/busybox/manifests/1"]);
}
