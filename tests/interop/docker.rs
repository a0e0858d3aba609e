//! `docker load` and `docker run`, with a daemon of the test's own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Archive, World, contained, run, tool};
use super::{RUN_HERE, build, image, probe_says, short};

/// A docker daemon without network, with its state in the world's directory; it and its containers end when this is
/// dropped.
pub struct Daemon {
    server: Child,
    /// Its `DOCKER_HOST`.
    pub socket: String,
}

impl Daemon {
    /// Starts one, and waits until it serves.
    pub fn start(world: &World) -> Self {
        let state = world.root().join("docker");
        let dir = |name: &str| state.join(name).display().to_string();
        std::fs::create_dir(&state).unwrap();
        let socket = format!("unix://{}", dir("socket"));
        let log = std::fs::File::create(dir("log")).unwrap();
        let mut command = contained("dockerd");
        command.args(["--host", &socket, "--data-root", &dir("data"), "--exec-root", &dir("exec")]);
        command.args(["--pidfile", &dir("pid"), "--config-file", &dir("none.json")]);
        // no rules, no bridge: a test leaves the machine's network alone
        command.args(["--iptables=false", "--ip6tables=false", "--bridge=none"]);
        std::fs::write(dir("none.json"), "{}").unwrap();
        let server = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut daemon = Self { server, socket };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !daemon.docker().args(["version"]).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
        {
            let ended = daemon.server.try_wait().unwrap();
            let log = std::fs::read_to_string(dir("log")).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < deadline, "dockerd doesn't serve ({ended:?}):\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        daemon
    }

    /// The client, ready for arguments.
    pub fn docker(&self) -> Command {
        let mut command = tool("docker");
        command.env("DOCKER_HOST", &self.socket);
        command
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Builds the test image with `kind` as output type, and sets it before docker, for each platform.
fn loads_and_runs(kind: &str) {
    let world = World::new();
    let daemon = Daemon::start(&world);
    for (platform, machine) in RUN_HERE {
        let name = format!("probe-{kind}:{}", short(platform));
        let archive = build(&world, kind, &["--platform", platform, "-t", &name]);
        let loaded = run(daemon.docker().arg("load").arg("-i").arg(&archive)).success();
        assert!(loaded.text().contains(&format!("Loaded image: {name}")), "{loaded}");

        let inspected = run(daemon.docker().args(["image", "inspect", &name])).success();
        let image = &serde_json::from_slice::<Value>(&inspected.stdout).unwrap()[0];
        assert_eq!(image["Id"], format!("sha256:{}", Archive::read(&archive).id));
        assert_eq!(image["Architecture"], short(platform));
        assert_eq!(image["Config"]["Cmd"], json!(["one", "two three"]));
        assert_eq!(image["Config"]["StopSignal"], "SIGINT");
        assert_eq!(image["Config"]["Labels"], json!({"kind": "probe"}));

        let ran = run(daemon.docker().args(["run", "--rm", "--network=none", "--platform", platform, &name]));
        assert_eq!(ran.success().text(), probe_says(machine));
    }
}

#[test]
fn docker_runs_a_router_archive() {
    loads_and_runs("routeros");
}

#[test]
fn docker_runs_a_layered_archive() {
    loads_and_runs("docker");
}

#[test]
fn the_example_runs_in_docker() {
    let world = World::new();
    let daemon = Daemon::start(&world);
    let context = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello-router");
    let archive = world.build(&context, "hello.tar", &["--platform=linux/arm64", "-t", "hello:1.0"]);
    run(daemon.docker().arg("load").arg("-i").arg(&archive)).success();
    let page =
        ["run", "--rm", "--network=none", "--platform=linux/arm64", "--entrypoint=/www/cgi-bin/index.cgi", "hello:1.0"];
    let page = run(daemon.docker().args(page)).success().text();
    assert!(page.contains("<tr><th>Machine<td>aarch64") && page.contains("built for linux/arm64 (aarch64)"), "{page}");
}

#[test]
fn load_hands_the_image_to_docker() {
    let world = World::new();
    let daemon = Daemon::start(&world);
    let context = world.copy(&image(), "image");
    let mut command = world.command();
    command.env("DOCKER_HOST", &daemon.socket).args(["build", "--load", "-t", "probe:loaded", "--build-context"]);
    run(command.arg(world.base_context("busybox")).arg(&context)).success();
    let ran = run(daemon.docker().args(["run", "--rm", "--network=none", "probe:loaded"])).success();
    assert_eq!(ran.text(), probe_says(std::env::consts::ARCH));
}
