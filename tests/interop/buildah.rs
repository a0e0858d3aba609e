//! buildah builds the same Dockerfile on the same base: the file system and the config must be the same.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::podman::{containers_tool, podman};
use super::support::{Archive, World, base, contained, run, tool};
use super::tree::Tree;
use super::{RUN_HERE, build};

/// What buildah's images are called.
const NAME: &str = "localhost/probe:1.0";

/// Builds a context with buildah on the base of this name; leaves the image in podman's store under `NAME`, and returns a
/// docker-archive of it.
fn built_by_buildah(world: &World, context: &Path, base_name: &str, platform: &str) -> PathBuf {
    let buildah = |subcommand: &str| {
        let mut command = containers_tool(world, "buildah", &[]);
        command.env("BUILDAH_ISOLATION", "chroot").arg(subcommand);
        command
    };
    let architecture = platform.split('/').nth(1).unwrap();
    let root = world.root().join("containers");
    let store = format!("containers-storage:[overlay@{}+{}]", root.join("root").display(), root.join("run").display());
    let mut copy = contained("skopeo"); // opening the store mounts
    copy.args(["--insecure-policy", "--override-arch", architecture, "copy", "--quiet"]);
    copy.arg(format!("oci:{}:latest", base(base_name).display())).arg(format!("{store}localhost/{base_name}:latest"));
    podman(world); // makes the directories
    run(&mut copy).success();
    let mut bud = buildah("bud");
    bud.args(["--format=docker", "--pull-never", "--layers=false", "--platform", platform, "--tag", NAME]);
    run(bud.arg(context)).success();
    let archive = world.path("by-buildah.tar");
    let mut push = buildah("push");
    push.arg("--signature-policy").arg(root.join("policy.json"));
    run(push.arg(NAME).arg(format!("docker-archive:{}:{NAME}", archive.display()))).success();
    archive
}

/// Sets a router's archive beside what buildah makes of the same context.
fn assert_same(world: &World, ours: &Path, context: &Path, base_name: &str, platform: &str) {
    let theirs = built_by_buildah(world, context, base_name, platform);

    // podman flattens what buildah made
    let id = run(podman(world).args(["create", "--network=none", NAME])).success().text();
    let flat = world.path("by-buildah-flat.tar");
    run(podman(world).arg("export").arg("-o").arg(&flat).arg(id.trim())).success();
    // the two builds ran at different times
    let timeless = |tree: Tree| tree.map(|entry| entry.mtime = 0);
    let flat = timeless(Tree::read(std::fs::File::open(&flat).unwrap()));
    let archive = Archive::read(ours);
    let own = timeless(Tree::of(&archive.entries()));
    own.assert_is(&flat, &format!("{platform}: what differs here and by buildah"));
    assert!(own.len() > 200, "only {} entries", own.len());

    let their_config = run(podman(world).args(["image", "inspect", NAME])).success();
    let their_config = &serde_json::from_slice::<Value>(&their_config.stdout).unwrap()[0]["Config"];
    for key in ["Cmd", "Entrypoint", "Env", "ExposedPorts", "StopSignal", "User", "WorkingDir"] {
        assert_eq!(archive.config["config"][key], their_config[key], "{platform}: {key}");
    }

    second_opinion(ours, &theirs);
}

#[test]
fn buildah_makes_the_same() {
    for (platform, _) in RUN_HERE {
        let world = World::new();
        let ours = build(&world, "routeros", &["--platform", platform, "-t", "probe:1.0"]);
        assert_same(&world, &ours, &super::image(), "busybox", platform);
    }
}

/// A real distribution: set-id programs, hard links, device nodes, users that are added.
#[test]
fn buildah_makes_the_same_of_debian() {
    let world = World::new();
    let dockerfile = "FROM debian\n\
        RUN useradd --create-home --groups daemon joe && su - joe -c 'id -nG > groups'\n\
        RUN dpkg --remove --force-all mount && rm -rf /var/log/*\n\
        WORKDIR /home/joe\n";
    world.write("debian/Dockerfile", dockerfile);
    let context = world.path("debian");
    let more = ["--build-context", &world.base_context("debian")];
    let ours = world.build(&context, "debian.tar", &more);
    assert_eq!(Archive::read(&ours).text("home/joe/groups"), "joe daemon\n");
    let platform = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };
    assert_same(&world, &ours, &context, "debian", platform);
}

/// A comparison by an independent reader of archives, kept beside the reference data of the tests.
pub fn second_opinion(ours: &Path, theirs: &Path) {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let data = std::env::var_os("ROUTERPACK_CONFORMANCE_DATA").map_or_else(beside, PathBuf::from);
    let script = data.join("../tools/compare_fs.py");
    if !script.exists() {
        let required = std::env::var_os("ROUTERPACK_REQUIRE_CONFORMANCE").is_some_and(|value| value == "1");
        assert!(!required, "no {}: set ROUTERPACK_CONFORMANCE_DATA", script.display());
        eprintln!("no {}: compared without it", script.display());
        return;
    }
    let mut command = tool("python3");
    command.arg(script).arg(ours).arg(theirs).args(["--docker-runtime-files", "--skip", "run", "--no-config"]);
    run(&mut command).success();
}
