//! `convert`: every kind of source, and the same bytes as a one-line Dockerfile.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::Stdio,
};

use crate::support::{Archive, Registry, World, archive::tar_entries, base, contained, run, tool};

/// Three layers with a whiteout, an opaque directory, a hard link across layers, and a file in a 0750 directory that
/// the upper layer has no entry for: as an OCI layout with gzip layers, at `dir`.
fn layered(world: &World, dir: &str) -> String {
    let entry = |kind: tar::EntryType, path: &str, mode: u32, link: Option<&str>, data: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1_600_000_000);
        header.set_size(data.len() as u64);
        header.set_path(path).unwrap();
        if let Some(link) = link {
            header.set_link_name(link).unwrap();
        }
        header.set_cksum();
        (header, data.to_vec())
    };
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    let layers = [
        vec![
            entry(Directory, "private", 0o750, None, b""),
            entry(Directory, "opaque", 0o755, None, b""),
            entry(Regular, "opaque/old", 0o644, None, b"old"),
            entry(Regular, "gone", 0o644, None, b"gone"),
            entry(Regular, "target", 0o4755, None, b"shared"),
        ],
        vec![
            entry(Regular, ".wh.gone", 0o644, None, b""),
            entry(Directory, "opaque", 0o700, None, b""),
            entry(Regular, "opaque/.wh..wh..opq", 0o644, None, b""),
            entry(Regular, "opaque/new", 0o644, None, b"new"),
            entry(Link, "link", 0o4755, Some("target"), b""),
        ],
        vec![
            entry(Regular, "private/file", 0o600, None, b"secret"),
            entry(Symlink, "sym", 0o777, Some("private/file"), b""),
        ],
    ];
    let mut tars = Vec::new();
    for (n, entries) in layers.into_iter().enumerate() {
        let mut builder = tar::Builder::new(Vec::new());
        for (header, data) in entries {
            builder.append(&header, &data[..]).unwrap();
        }
        tars.push(world.write(&format!("layer{n}.tar"), builder.into_inner().unwrap()));
    }
    let layout = world.path(dir);
    run(tool("umoci").arg("init").arg("--layout").arg(&layout)).success();
    let image = format!("{}:latest", layout.display());
    run(tool("umoci").args(["new", "--image", &image])).success();
    for tar in tars {
        run(tool("umoci").args(["raw", "add-layer", "--image", &image]).arg(tar)).success();
    }
    run(tool("umoci").args(["config", "--image", &image, "--architecture=arm64", "--config.cmd=/bin/x"])).success();
    image
}

/// What the three layers show together.
#[track_caller]
fn assert_flat(archive: &Path) {
    let archive = Archive::read(archive);
    let entries = archive.entries();
    let names: Vec<&str> = entries.keys().map(String::as_str).collect();
    assert_eq!(names, ["link", "opaque", "opaque/new", "private", "private/file", "sym", "target"]);
    assert_eq!(entries["private"].mode, 0o750);
    assert_eq!(entries["opaque"].mode, 0o700);
    assert_eq!((entries["private"].uid, entries["private"].gid), (7, 8));
    // in path order `link` comes first: it has the bytes, and the other name links to it
    assert_eq!((entries["link"].kind, entries["link"].text().as_str(), entries["link"].mode), ('0', "shared", 0o4755));
    assert_eq!((entries["target"].kind, entries["target"].link.as_str()), ('1', "link"));
    assert_eq!(archive.config["architecture"], "arm64");
    assert_eq!(archive.config["config"]["Cmd"][0], "/bin/x");
}

#[test]
fn convert_is_a_one_line_from() {
    let world = World::new();
    let layout = base("busybox");
    world.write("ctx/Dockerfile", "FROM busybox\n");
    for platform in ["linux/amd64", "linux/arm/v5"] {
        let context = world.base_context("busybox");
        world
            .routerpack([
                "build",
                "--build-context",
                &context,
                "--platform",
                platform,
                "-t",
                "x:1",
                "-o",
                "built.tar",
                "ctx",
            ])
            .success();
        let source = format!("oci:{}", layout.display());
        world.routerpack(["convert", &source, "--platform", platform, "-t", "x:1", "-o", "converted.tar"]).success();
        let (built, converted) =
            (fs::read(world.path("built.tar")).unwrap(), fs::read(world.path("converted.tar")).unwrap());
        assert!(built == converted, "{platform}: not the same bytes");
    }
}

#[test]
fn whiteouts_links_and_modes_from_every_kind_of_file() {
    let world = World::new();
    let image = layered(&world, "layout");
    let skopeo = |to: &str| {
        run(tool("skopeo")
            .args(["copy", "--insecure-policy", &format!("oci:{image}"), to])
            .current_dir(world.path("")))
        .success();
    };
    skopeo("docker-archive:docker.tar:app:2");
    skopeo("oci-archive:oci.tar:v1");
    run(tool("gzip").args(["-k", "docker.tar"]).current_dir(world.path(""))).success();
    let sources = [
        "oci:layout",
        "oci:layout:latest",
        "./layout",
        "docker-archive:docker.tar",
        "docker-archive:docker.tar:app:2",
        "docker.tar",
        "docker.tar.gz",
        "oci-archive:oci.tar",
        "oci.tar",
    ];
    let mut first = None;
    for source in sources {
        world.routerpack(["convert", source, "-t", "app:1", "-o", "out.tar"]).success();
        assert_flat(&world.path("out.tar"));
        let layer = Archive::read(&world.path("out.tar")).layers.remove(0);
        assert!(*first.get_or_insert_with(|| layer.clone()) == layer, "{source}: other bytes");
    }
    let bytes = fs::read(world.path("docker.tar.gz")).unwrap();
    let stream = world.routerpack_with_input(["convert", "-", "-o", "-"], &bytes).success();
    fs::write(world.path("stream.tar"), stream.stdout).unwrap();
    assert_flat(&world.path("stream.tar"));
    assert_eq!(Archive::read(&world.path("stream.tar")).manifest["RepoTags"][0], "app:2", "the archive's own name");
}

#[test]
fn names_layers_and_platforms() {
    let world = World::new();
    layered(&world, "layout");
    // the default name is never the source's file
    world.routerpack(["convert", "oci:layout", "-o", "type=docker,dest=app.tar"]).success();
    assert_eq!(Archive::read(&world.path("app.tar")).layers.len(), 3, "docker keeps layers");
    let before = fs::read(world.path("app.tar")).unwrap();
    world.routerpack(["convert", "app.tar"]).success().says(&["app-routeros.tar"]);
    assert!(fs::read(world.path("app.tar")).unwrap() == before);
    assert_flat(&world.path("app-routeros.tar"));
    // in place, when asked
    world.routerpack(["convert", "app.tar", "-o", "app.tar"]).success();
    assert_flat(&world.path("app.tar"));
    world.routerpack(["convert", "oci:layout", "--for", "rb5009", "-o", "ok.tar"]).success();
    world
        .routerpack(["convert", "oci:layout", "--platform=linux/amd64", "-o", "no.tar"])
        .failure()
        .says(&["linux/arm64", "not for linux/amd64"]);
    world.routerpack(["convert", "oci:layout", "--layers=keep", "-o", "no.tar"]).failure().says(&["one flat layer"]);
    world.routerpack(["convert", "no/such.tar", "-o", "no.tar"]).failure().says(&["no/such.tar"]);
    world.routerpack_with_input(["convert", "-", "-o", "no.tar"], b"not a tar at all").failure();
    assert!(!world.path("no.tar").exists());
    world.routerpack(["convert", "oci:layout", "-o", "type=local,dest=root"]).success();
    assert_eq!(fs::read_to_string(world.path("root/opaque/new")).unwrap(), "new");
    world.write("plain/etc/motd", "hello");
    world.routerpack(["convert", "./plain", "--platform=linux/arm/v7", "-o", "plain.tar"]).success();
    assert_eq!(Archive::read(&world.path("plain.tar")).text("etc/motd"), "hello");
}

#[test]
fn from_a_registry_without_a_cache_and_with_it() {
    let world = World::new();
    let registry = Registry::open();
    let image = layered(&world, "layout");
    let name = format!("{}/team/app:1", registry.address());
    run(tool("skopeo").args([
        "copy",
        "--insecure-policy",
        "--dest-tls-verify=false",
        &format!("oci:{image}"),
        &format!("docker://{name}"),
    ]))
    .success();
    world.routerpack(["convert", &name]).success().says(&["app.tar"]);
    assert_flat(&world.path("app.tar"));
    drop(registry);
    world.routerpack(["convert", &format!("docker://{name}"), "-o", "again.tar"]).success();
    assert!(fs::read(world.path("app.tar")).unwrap() == fs::read(world.path("again.tar")).unwrap());
}

#[test]
fn damage_is_found_and_leaves_nothing() {
    let world = World::new();
    layered(&world, "layout");
    // the largest blob is a layer: one of its bytes changes
    let blobs = world.path("layout/blobs/sha256");
    let blob = fs::read_dir(&blobs)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| fs::read(p).unwrap().starts_with(&[0x1f, 0x8b]))
        .unwrap();
    let mut bytes = fs::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(&blob, bytes).unwrap();
    world.routerpack(["convert", "oci:layout", "-o", "no.tar"]).failure();
    assert!(!world.path("no.tar").exists());
    let left: Vec<_> = fs::read_dir(world.cache().join("tmp")).unwrap().map(|e| e.unwrap().path()).collect();
    let left: Vec<_> =
        left.iter().flat_map(|run| fs::read_dir(run).into_iter().flatten()).map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "lock"), "{left:?}");
}

#[test]
fn from_a_docker_engine() {
    let world = World::new();
    let image = layered(&world, "layout");
    run(tool("skopeo")
        .args(["copy", "--insecure-policy", &format!("oci:{image}"), "docker-archive:docker.tar:app:1"])
        .current_dir(world.path("")))
    .success();
    let archive = fs::read(world.path("docker.tar")).unwrap();
    let socket = world.path("docker.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let engine = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && std::io::Read::read(&mut stream, &mut byte).unwrap() == 1 {
            request.push(byte[0]);
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        for piece in archive.chunks(100_000) {
            write!(stream, "{:x}\r\n", piece.len()).unwrap();
            stream.write_all(piece).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        String::from_utf8(request).unwrap()
    });
    let mut command = world.command();
    command.env("DOCKER_HOST", format!("unix://{}", socket.display())).args(["convert", "docker-daemon:app:1"]);
    run(&mut command).success().says(&["app.tar"]);
    assert_flat(&world.path("app.tar"));
    assert!(engine.join().unwrap().starts_with("GET /images/get?names=app%3A1 "));
    world.routerpack(["convert", "docker-daemon:app"]).failure().says(&["Docker"]);
}

#[test]
fn from_podmans_storage() {
    let world = World::new();
    let image = layered(&world, "layout");
    run(tool("skopeo")
        .args(["copy", "--insecure-policy", &format!("oci:{image}"), "docker-archive:docker.tar:app:1"])
        .current_dir(world.path("")))
    .success();
    // a storage of its own, by the configuration that podman reads
    let storage = world.write(
        "storage.conf",
        format!(
            "[storage]\ndriver = \"vfs\"\nrunroot = \"{0}/run\"\ngraphroot = \"{0}/graph\"\n",
            world.root().display()
        ),
    );
    run(contained("podman")
        .env("CONTAINERS_STORAGE_CONF", &storage)
        .args(["load", "-i"])
        .arg(world.path("docker.tar")))
    .success();
    let mut command = world.command();
    command.env("CONTAINERS_STORAGE_CONF", &storage).args(["convert", "containers-storage:docker.io/library/app:1"]);
    run(command.stderr(Stdio::piped())).success();
    assert_flat(&world.path("app.tar"));
    let mut command = world.command();
    command.env("CONTAINERS_STORAGE_CONF", &storage).args(["convert", "containers-storage:nothing"]);
    run(&mut command).failure().says(&["containers-storage:nothing"]);
}

#[test]
fn other_programs_read_what_it_makes() {
    let world = World::new();
    layered(&world, "layout");
    world.routerpack(["convert", "oci:layout", "-t", "app:1", "-o", "app.tar"]).success();
    world.routerpack(["convert", "oci:layout", "-o", "type=tar,dest=root.tar"]).success();
    let layer = Archive::read(&world.path("app.tar")).entries();
    assert_eq!(layer, tar_entries(File::open(world.path("root.tar")).unwrap()));
    run(tool("skopeo")
        .args(["copy", "--insecure-policy", "docker-archive:app.tar", "oci:back:1"])
        .current_dir(world.path("")))
    .success();
    run(tool("umoci").args(["unpack", "--image", "back:1", "bundle"]).current_dir(world.path(""))).success();
    assert_eq!(fs::read_to_string(world.path("bundle/rootfs/private/file")).unwrap(), "secret");
    use std::os::unix::fs::MetadataExt;
    let inode = |name: &str| fs::metadata(world.path("bundle/rootfs").join(name)).unwrap().ino();
    assert_eq!(inode("link"), inode("target"));
}
