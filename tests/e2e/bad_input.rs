//! Bad input: one clear error, an exit code other than 0, and no output that looks whole.

use std::{fs, path::Path};

use crate::support::{Outcome, World, archive::Entry, leftovers, run};

fn build(world: &World, dockerfile: &str) -> Outcome {
    world.write("ctx/Dockerfile", dockerfile);
    let base = world.base_context("busybox");
    let outcome = world.routerpack(["build", "--progress=plain", "--build-context", &base, "-o", "out.tar", "ctx"]);
    let outcome = outcome.failure();
    assert!(!world.path("out.tar").exists(), "an output is there: {outcome}");
    crate::support::assert_none("files are left", &leftovers::files(world));
    outcome
}

#[test]
fn dockerfiles_that_can_not_be_built() {
    let world = World::new();
    for (dockerfile, says) in [
        ("FROM scratch\nRNU x\n", &["unknown instruction", "RUN", "Dockerfile:2"][..]),
        ("FROM scratch\nCPOY a b\nRNU x\n", &["COPY", "RUN"]),
        ("", &["no instructions"]),
        ("RUN x\n", &["no build stage"]),
        ("FROM busybox AS builder\nFROM scratch\nCOPY --from=bilder /x /\n", &["bilder"]),
        ("FROM scratch\nCOPY missing /\n", &["missing", "is not there", "Dockerfile:2"]),
        (
            "FROM busybox\nRUN echo before; echo oops >&2; exit 42\n",
            &["exit code", "42", "oops", "Dockerfile:2", "RUN echo before"],
        ),
        ("FROM busybox\nRUN nosuchprogram\n", &["127", "nosuchprogram: not found"]),
        ("FROM busybox\nRUN kill -9 $$\n", &["SIGKILL", "Dockerfile:2"]),
        ("FROM 127.0.0.1:9/none:1\n", &["127.0.0.1:9", "Dockerfile:1"]),
        ("FROM scratch\nENV\n", &["ENV", "Dockerfile:2"]),
        ("FROM scratch\nCOPY <<EOF /x\nno end\n", &["EOF", "Dockerfile:2"]),
    ] {
        let outcome = build(&world, dockerfile);
        assert_eq!(outcome.code, Some(1), "{outcome}");
        outcome.says(says);
    }
}

#[test]
fn a_missing_dockerfile_context_stage_or_device() {
    let world = World::new();
    world.write("ctx/a", "");
    world.routerpack(["build", "ctx"]).failure().says(&["no Dockerfile", "ctx"]);
    world.routerpack(["build", "nowhere"]).failure().says(&["nowhere"]);
    world.write("ctx/Dockerfile", "FROM scratch AS final\nCOPY a /\n");
    world.routerpack(["build", "--target", "finale", "ctx"]).failure().says(&["finale", "final"]);
    world.routerpack(["build", "-f", "ctx/Dockerfil", "ctx"]).failure().says(&["Dockerfil"]);
    world.routerpack(["build", "--build-context", "x=oci-layout:gone", "ctx"]).failure().says(&["gone"]);
    assert_eq!(world.routerpack(["build", "--no-such-flag", "ctx"]).code, Some(2));
    assert_eq!(world.routerpack(["build", "-o", "type=zip", "ctx"]).failure().says(&["zip"]).code, Some(2));
}

#[test]
fn a_failed_build_leaves_the_old_output_alone() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM scratch\nCOPY gone /\n");
    world.write("out.tar", "precious");
    world.routerpack(["build", "-o", "out.tar", "ctx"]).failure();
    assert_eq!(fs::read_to_string(world.path("out.tar")).unwrap(), "precious");
}

/// A layout whose one blob was changed: `change` gets the layer's path.
fn damaged(world: &World, change: impl Fn(&Path)) -> String {
    let _ = fs::remove_dir_all(world.path("damaged"));
    let layout = world.copy(&crate::support::base("busybox"), "damaged");
    let mut blobs: Vec<_> = fs::read_dir(layout.join("blobs/sha256")).unwrap().flatten().map(|e| e.path()).collect();
    blobs.retain(|p| p.metadata().unwrap().len() > 100_000);
    assert_eq!(blobs.len(), 4);
    blobs.iter().for_each(|blob| change(blob));
    format!("busybox=oci-layout:{}", layout.display())
}

#[test]
fn damaged_layers_are_named_and_nothing_of_them_stays() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM busybox\nRUN true\n");
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let cut = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    for (change, says) in [(&flip as &dyn Fn(&Path), "sha256:"), (&cut, "truncated")] {
        let context = damaged(&world, change);
        world.routerpack(["build", "--build-context", &context, "-o", "out.tar", "ctx"]).failure().says(&[says]);
        assert!(!world.path("out.tar").exists());
        for dir in ["layers", "blobs/sha256", "tmp"] {
            let left: Vec<_> = fs::read_dir(world.cache().join(dir)).unwrap().flatten().map(|e| e.path()).collect();
            // the layout's small blobs (manifest, config) may be kept: they are right
            assert!(left.iter().all(|p| p.is_file() && p.metadata().unwrap().len() < 100_000), "{left:?}");
        }
    }
}

/// A rootfs tar out of these entries.
fn rootfs(world: &World, name: &str, entries: &[(&str, tar::EntryType, &str)]) -> String {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, link) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o777);
        header.set_size(if *kind == tar::EntryType::Regular { 5 } else { 0 });
        if *kind == tar::EntryType::Char {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        }
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        builder.append(&header, &b"pwned"[..header.size().unwrap() as usize]).unwrap();
    }
    let path = world.write(&format!("{name}.tar"), builder.into_inner().unwrap());
    format!("evil={}", path.display())
}

#[test]
fn nothing_of_a_hostile_base_is_written_outside_its_snapshot() {
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    let world = World::new();
    let outside = world.root().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::set_permissions(&outside, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let target = outside.to_str().unwrap();
    let up = format!("../../../../../../../../../..{target}/up");
    world.write("ctx/Dockerfile", "FROM evil\nCOPY f /door/copied\nCOPY f /made/by/copy\n");
    world.write("ctx/f", "f");
    type Member<'a> = (&'a str, tar::EntryType, &'a str);
    let cases: [(&str, Vec<Member>); 5] = [
        ("dotdot", vec![(&up, Regular, "")]),
        ("absolute", vec![("/absolute", Regular, "")]),
        ("door", vec![("door", Symlink, target), ("door/through", Regular, "")]),
        ("hard", vec![("hard", Link, "../../../etc/passwd")]),
        ("dir", vec![("door", Symlink, target), ("door", Directory, ""), ("door/in", Regular, "")]),
    ];
    for (name, entries) in cases {
        let context = rootfs(&world, name, &entries);
        let outcome =
            world.routerpack(["build", "--progress=plain", "--build-context", &context, "-o", "out.tar", "ctx"]);
        assert!(outcome.code == Some(0) || outcome.code == Some(1), "{name}: {outcome}");
        let written: Vec<_> = fs::read_dir(&outside).unwrap().flatten().map(|e| e.path()).collect();
        assert!(written.is_empty(), "{name}: {written:?}");
        let _ = fs::remove_file(world.path("out.tar"));
    }
    // a RUN step unpacks the layer to disk
    let context = rootfs(&world, "again", &[("door", Symlink, target), ("door/through", Regular, "")]);
    world.write("ctx/Dockerfile", "FROM evil\nRUN [\"/none\"]\n");
    world.routerpack(["build", "--build-context", &context, "-o", "out.tar", "ctx"]).failure();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_full_disk_leaves_no_output() {
    if !crate::support::world::is_root() {
        panic!("a small file system has to be mounted: run ./scripts/test, which uses sudo");
    }
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM scratch\nCOPY big /\n");
    world.write("ctx/big", vec![7; 3 << 20]);
    let small = world.path("small");
    fs::create_dir(&small).unwrap();
    // in a mount namespace of its own: nothing has to be cleared away
    let script =
        "mount -t tmpfs -o size=1m none small && \"$0\" build -o small/out.tar ctx; code=$?; ls -A small; exit $code";
    let mut command = crate::support::tool("unshare");
    let program = world.command();
    command.args(["-m", "sh", "-c", script]).arg(program.get_program()).current_dir(world.path(""));
    command.env("ROUTERPACK_CACHE_DIR", world.cache());
    let outcome = run(&mut command).failure().says(&["No space left"]);
    assert_eq!(outcome.text(), "", "the directory of the output is empty");
}

#[test]
fn what_can_not_be_carried_is_named() {
    let world = World::new();
    let context = rootfs(
        &world,
        "odd",
        &[
            ("fifo", tar::EntryType::Fifo, ""),
            ("null", tar::EntryType::Char, ""),
            ("file", tar::EntryType::Regular, ""),
        ],
    );
    world.write("ctx/Dockerfile", "FROM evil\n");
    let outcome = world.routerpack(["build", "--build-context", &context, "-o", "out.tar", "ctx"]);
    outcome.success().says(&["fifo", "null"]);
    let entries = crate::support::Archive::read(&world.path("out.tar")).entries();
    assert_eq!(entries.keys().collect::<Vec<_>>(), ["file"]);
    let Entry { kind, .. } = &entries["file"];
    assert_eq!(*kind, '0');
}
