//! The other forms of output, taken in by other programs where Debian has some.

use std::{collections::BTreeMap, fs};

use crate::support::{World, archive::tar_entries, run, tool};

fn context(world: &World) {
    world.write(
        "ctx/Dockerfile",
        "FROM busybox\nRUN echo 1 > /one && rm /etc/group\nRUN echo 2 > /two\nCMD [\"/bin/true\"]\n",
    );
}

fn build(world: &World, more: &[&str]) -> crate::support::Outcome {
    let base = world.base_context("busybox");
    let mut command = world.command();
    run(command.args(["build", "-t", "app:1", "--build-context", &base]).args(more).arg("ctx")).success()
}

fn inspect(world: &World, source: &str) -> serde_json::Value {
    let mut command = tool("skopeo");
    let outcome = run(command.args(["inspect", source]).current_dir(world.path(""))).success();
    serde_json::from_slice(&outcome.stdout).unwrap()
}

#[test]
fn routeros_docker_and_oci_archives_are_what_skopeo_reads() {
    let world = World::new();
    context(&world);
    build(&world, &["-o", "router.tar"]);
    build(&world, &["-o", "type=docker,dest=docker.tar"]);
    build(&world, &["-o", "type=oci,dest=oci.tar"]);
    build(&world, &["-o", "type=docker,dest=flat.tar", "--layers=flat"]);
    for (source, layers) in [
        ("docker-archive:router.tar", 1),
        ("docker-archive:docker.tar", 3),
        ("oci-archive:oci.tar", 3),
        ("docker-archive:flat.tar", 1),
    ] {
        let image = inspect(&world, source);
        assert_eq!(image["Layers"].as_array().unwrap().len(), layers, "{source}");
        assert_eq!(image["Os"], "linux", "{source}");
    }
}

#[test]
fn the_universal_layout() {
    let world = World::new();
    context(&world);
    build(&world, &["-o", "router.tar"]);
    let archive = crate::support::Archive::read(&world.path("router.tar"));
    let layer = archive.config["rootfs"]["diff_ids"][0].as_str().unwrap()[7..].to_string();
    let mut members = archive.members.clone();
    members.retain(|m| !m.ends_with('/'));
    members.sort();
    let mut want = vec![
        format!("{}.json", archive.id),
        format!("{layer}/VERSION"),
        format!("{layer}/json"),
        format!("{layer}/layer.tar"),
        "manifest.json".into(),
        "repositories".into(),
    ];
    want.sort();
    assert_eq!(members, want);
    let raw = fs::read(world.path("router.tar")).unwrap();
    assert_eq!(&raw[257..265], b"ustar\x0000", "USTAR");
    assert!(!archive.entries().contains_key("etc/group"), "a whiteout is applied");
    let listing = run(tool("tar").arg("tf").arg(world.path("router.tar"))).success().text();
    assert_eq!(listing.lines().filter(|l| !l.ends_with('/')).count(), 6, "{listing}");
}

#[test]
fn a_rootfs_as_tar_directory_and_stream() {
    let world = World::new();
    context(&world);
    build(&world, &["-o", "type=tar,dest=root.tar"]);
    let entries = tar_entries(fs::File::open(world.path("root.tar")).unwrap());
    assert_eq!(entries["two"].text(), "2\n");
    build(&world, &["-o", "type=local,dest=rootdir"]);
    assert_eq!(fs::read_to_string(world.path("rootdir/one")).unwrap(), "1\n");
    assert!(!world.path("rootdir/etc/group").exists());
    let stream = build(&world, &["-o", "-"]).stdout;
    build(&world, &["-o", "same.tar"]);
    assert!(stream == fs::read(world.path("same.tar")).unwrap(), "a stream is the file's bytes");
    let layer: BTreeMap<_, _> = crate::support::Archive::read(&world.path("same.tar")).entries();
    assert_eq!(layer, entries, "the tar is the flat layer");
}

#[test]
fn a_one_line_from_keeps_what_other_builders_lose() {
    let world = World::new();
    // lower layer: a 0750 directory; upper layer: a file in it, without an entry for the directory
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o750);
    header.set_size(0);
    header.set_path("private").unwrap();
    header.set_cksum();
    builder.append(&header, std::io::empty()).unwrap();
    let lower = world.write("lower.tar", builder.into_inner().unwrap());
    world.write("ctx/Dockerfile", "FROM lower\nCOPY f /private/f\n");
    world.write("ctx/f", "f");
    let context = format!("lower={}", lower.display());
    world.routerpack(["build", "--build-context", &context, "-o", "out.tar", "ctx"]).success();
    let entries = crate::support::Archive::read(&world.path("out.tar")).entries();
    assert_eq!(entries["private"].mode, 0o750);
}

#[test]
fn an_oci_archive_keeps_the_base_image_s_blobs() {
    let world = World::new();
    context(&world);
    build(&world, &["-o", "type=oci,dest=oci.tar"]);
    let members = tar_entries(fs::File::open(world.path("oci.tar")).unwrap());
    let base = crate::support::base("busybox").join("blobs/sha256");
    let layers: Vec<_> =
        fs::read_dir(base).unwrap().flatten().filter(|e| e.metadata().unwrap().len() > 100_000).collect();
    let name = |e: &fs::DirEntry| format!("blobs/sha256/{}", e.file_name().to_string_lossy());
    assert_eq!(layers.iter().filter(|e| members.contains_key(&name(e))).count(), 1, "the platform's layer as it was");
}

#[test]
fn a_file_of_the_web_is_added_and_its_checksum_kept_to() {
    let world = World::new();
    world.write("site/data.txt", "from the web\n");
    let mut command = crate::support::contained("python3");
    command.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0"]).current_dir(world.path("site"));
    let mut server = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.take().unwrap()), &mut line).unwrap();
    let port: u16 = line.split("port ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let file = |more: &str| format!("FROM scratch\nADD {more} http://127.0.0.1:{port}/data.txt /d/\n");
    let good = "--checksum=sha256:5a11cdd0e2dd4ea0d5ef3dd5ff1a6fad9a8e0a5f1df2f30d6c1a6a4e4d9e6c8b";
    world.write("ctx/Dockerfile", file(""));
    build(&world, &["-o", "web.tar"]);
    let entries = crate::support::Archive::read(&world.path("web.tar")).entries();
    assert_eq!(entries["d/data.txt"].text(), "from the web\n");
    assert_eq!(entries["d/data.txt"].mode, 0o600);
    world.write("ctx/Dockerfile", file(good));
    let wrong = world.routerpack(["build", "-o", "wrong.tar", "ctx"]).failure();
    wrong.says(&["sha256:5a11cdd0", "Dockerfile:2"]);
    assert!(!world.path("wrong.tar").exists());
    server.kill().unwrap();
    server.wait().unwrap();
}
