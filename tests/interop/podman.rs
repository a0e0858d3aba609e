//! `podman load` and `podman run`, with a store of the test's own.

use std::process::Command;

use serde_json::Value;

use super::support::{Archive, World, contained, run};
use super::{RUN_HERE, build, probe_says, short};

/// podman as root with its store in the world's directory.
pub fn podman(world: &World) -> Command {
    containers_tool(
        world,
        "podman",
        &["--tmpdir", "--runtime=runc", "--cgroup-manager=cgroupfs", "--events-backend=file"],
    )
}

/// A program of the containers family; `--tmpdir` among the options gets its value here.
pub fn containers_tool(world: &World, name: &str, options: &[&str]) -> Command {
    let state = world.root().join("containers");
    std::fs::create_dir_all(&state).unwrap();
    // What the machine's own settings say doesn't count: trust any image, have no registries
    let policy = state.join("policy.json");
    std::fs::write(&policy, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).unwrap();
    std::fs::write(state.join("registries.conf"), "unqualified-search-registries = []\n").unwrap();
    let mut command = contained(name);
    command.env("CONTAINERS_REGISTRIES_CONF", state.join("registries.conf"));
    command.arg("--root").arg(state.join("root")).arg("--runroot").arg(state.join("run"));
    command.args(["--storage-driver", "overlay"]);
    for option in options {
        command.arg(option);
        if *option == "--tmpdir" {
            command.arg(state.join("tmp"));
        }
    }
    command
}

#[test]
fn podman_runs_router_and_layered_archives() {
    let world = World::new();
    for kind in ["routeros", "docker"] {
        for (platform, machine) in RUN_HERE {
            let name = format!("probe-{kind}:{}", short(platform));
            let archive = build(&world, kind, &["--platform", platform, "-t", &name]);
            let loaded = run(podman(&world).arg("load").arg("-i").arg(&archive)).success();
            assert!(loaded.text().contains(&name), "{loaded}");

            let inspected = run(podman(&world).args(["image", "inspect", &name])).success();
            let image = &serde_json::from_slice::<Value>(&inspected.stdout).unwrap()[0];
            assert_eq!(image["Id"], Archive::read(&archive).id.as_str());
            assert_eq!(image["Architecture"], short(platform));

            let ran = run(podman(&world).args(["run", "--rm", "--network=none", "--log-driver=none", &name]));
            assert_eq!(ran.success().text(), probe_says(machine));
        }
    }
}

#[test]
fn inspect_fills_in_templates_as_podman_does() {
    let world = World::new();
    world.write("root/f", "x");
    let changes = ["CMD [\"/x\", \"a b\"]", "LABEL a.b=c d=e", "ENV A=1 B=2", "EXPOSE 80"];
    let mut words = vec!["commit", "./root", "--platform=linux/amd64", "-t", "localhost/same:1"];
    words.extend(changes.iter().flat_map(|change| ["--change", change]));
    words.extend(["-o", "type=docker,dest=same.tar"]);
    world.routerpack(words).success();
    run(podman(&world).args(["load", "-i"]).arg(world.path("same.tar"))).success();
    for template in [
        "{{.Config.Env}} {{.Config.Labels}} {{.Config.ExposedPorts}} {{json .Config.Cmd}}",
        "{{range $i, $v := .Config.Env}}{{if $i}}, {{end}}{{$v}}{{else}}none{{end}}",
        "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}{{with .Config}}{{.WorkingDir}}|{{len .Cmd}}{{end}}",
        "{{index .Config.Labels \"a.b\"}}{{index .Config.Labels \"none\"}} {{slice .Os 1 3}}",
        "{{if eq .Os \"linux\" \"x\"}}yes{{end}}{{- \" a \" -}} b {{and 1 0}} {{or 0 \"x\"}} {{not true}} {{lt 1 2}}",
        "{{printf \"%q %v %5d|%-5d|%05d %x %t %s %d %6.2f\" .Os .Config.Env 7 7 -7 \"hi\" true 3 \"x\" 3.14159}}",
        "{{print 1 2 \"a\" \"b\" 3}}{{println \"x\" 1}}{{\"a\" | printf \"%s-%s\" \"b\"}} {{html \"<a>\"}} {{urlquery \"a b\"}}",
        "{{join .Config.Env \",\"}} {{upper \"a\"}} {{lower \"A\"}} {{title \"ab cd\"}} {{split \"a,b\" \",\"}}",
        "{{$x := 1}}{{range .Config.Env}}{{$x = 2}}{{break}}{{end}}{{$x}} {{.RootFS.Type}} {{len .RootFS.Layers}}",
    ] {
        let theirs = run(podman(&world).args(["image", "inspect", "-f", template, "localhost/same:1"])).success();
        let ours = world.routerpack(["inspect", "-f", template, "same.tar"]).success();
        assert_eq!(ours.text(), theirs.text(), "{template}");
    }
}
