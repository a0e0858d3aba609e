//! `routerpack recipe`: an archive or an image of a registry in, a private script out.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::{Archive, Registry, World, base, run};

fn archive(world: &World) -> Archive {
    world.write("ctx/Dockerfile", "FROM busybox\nVOLUME /data\nENTRYPOINT [\"/bin/httpd\"]\nCMD [\"-f\"]\n");
    let context = world.base_context("busybox");
    let mut command = world.command();
    let arguments = [
        "build",
        "-q",
        "-t",
        "web:1",
        "--platform",
        "linux/arm64",
        "-o",
        "web.tar",
        "--build-context",
        &context,
        "ctx",
    ];
    run(command.args(arguments)).success();
    Archive::read(&world.path("web.tar"))
}

#[test]
fn an_archive_becomes_a_private_script_and_no_secret_is_shown() {
    let world = World::new();
    let archive = archive(&world);
    let mut command = world.command();
    let arguments = ["recipe", "web.tar", "-p", "80", "-e", "TOKEN=sesame\"$x", "-v", "logs:/logs", "--disk", "usb1"];
    let outcome = run(command.args(arguments)).success();
    let shown = outcome.text() + &outcome.stderr;
    assert!(!shown.contains("sesame"), "{shown}");
    assert!(shown.contains("port 80 is one of the router's own services"), "{shown}");
    let name = format!("web-{}.tar", &archive.id[..12]);
    assert!(shown.contains(&format!("put \"web.tar\" \"usb1/{name}\"")), "{shown}");
    assert!(shown.contains("/import file-name=\"web.rsc\""), "{shown}");

    let path = world.path("web.rsc");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let script = fs::read_to_string(&path).unwrap();
    let size = fs::metadata(world.path("web.tar")).unwrap().len();
    for text in [
        &archive.id[..],
        &name,
        "value=\"sesame\\\"\\$x\"",
        "routerpack-data/web/logs",
        "routerpack-data/web/data",
        &format!("!= {size})"),
        "entrypoint=\\\"/bin/httpd\\\" cmd=\\\"-f\\\"",
    ] {
        assert!(script.contains(text), "{text} is not in\n{script}");
    }
}

#[test]
fn an_image_of_a_registry_is_pulled_by_the_router() {
    let world = World::new();
    let registry = Registry::open();
    registry.push(&base("busybox"), "latest", "acme/web:2");
    let source = format!("docker://{}", registry.reference("acme/web:2"));
    let mut command = world.command();
    let host = ["--insecure-registry", registry.address()];
    let outcome = run(command
        .args(["rsc", &source, "--platform", "linux/arm64", "--routeros", "7.21", "--cmd", "httpd -f"])
        .args(host))
    .success();
    assert!(!outcome.text().contains("put \"docker"), "{}", outcome.text());
    let script = fs::read_to_string(world.path("web.rsc")).unwrap();
    assert!(script.contains(&format!("remote-image=\"{}\"", registry.reference("acme/web:2"))), "{script}");
    assert!(!script.contains(":parse"), "a script for one version has its commands as they are");
}

#[test]
fn wrong_wishes_are_refused_and_nothing_is_written() {
    let world = World::new();
    archive(&world);
    for (arguments, texts) in [
        (&["--routeros", "7.8"][..], &["the oldest version is 7.9"][..]),
        (&["--subnet", "10.0.0.0/31"], &["--subnet 10.0.0.0/31", "length of 8 to 29"]),
        (&["--name", "No Name"], &["can't name a container"]),
        (&["--cmd", "[\"a b\"]"], &["--cmd", "splits the field at spaces"]),
        (&["--port", "x"], &["--port x"]),
        (&["-v", "a:b"], &["absolute path"]),
    ] {
        let mut command = world.command();
        run(command.args(["recipe", "web.tar"]).args(arguments)).failure().says(texts);
    }
    let scripts = fs::read_dir(world.path(""))
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains(".rsc"));
    assert_eq!(scripts.count(), 0);
}

#[test]
fn a_command_that_the_router_cannot_say_is_baked_into_the_image() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM busybox\nENTRYPOINT [\"printf\", \"<%s>\"]\nCMD [\"a b; c\", \"it's\"]\n");
    let context = world.base_context("busybox");
    world.routerpack(["build", "-q", "-t", "odd:1", "-o", "odd.tar", "--build-context", &context, "ctx"]).success();
    world.routerpack(["recipe", "odd.tar"]).success().says(&["--bake-command"]);
    world.routerpack(["commit", "--bake-command", "odd.tar", "-o", "baked.tar"]).success();
    let outcome = world.routerpack(["recipe", "baked.tar", "-o", "baked.rsc"]).success();
    assert!(!outcome.stderr.contains("--bake-command"), "{outcome}");
    let script = fs::read_to_string(world.path("baked.rsc")).unwrap();
    assert!(script.contains("entrypoint=\\\"/routerpack-command\\\""), "{script}");
    let entry = &Archive::read(&world.path("baked.tar")).entries()["routerpack-command"];
    assert_eq!((entry.mode & 0o7777, entry.uid), (0o755, 0));
    assert_eq!(world.routerpack(["run", "baked.tar"]).success().text(), "<a b; c><it's>");
    world.routerpack(["commit", "--bake-command", "baked.tar"]).failure().says(&["already"]);
    // without a shell there is nothing to bake it into
    world.write("bare/app", "x");
    world.routerpack(["commit", "--bake-command", "-c", "CMD [\"/app\"]", "./bare"]).failure().says(&["/bin/sh"]);
}

#[test]
fn the_version_and_platform_come_from_the_routers_own_print() {
    let world = World::new();
    archive(&world);
    world.write(
        "router.txt",
        "  version: 7.21.3 (stable)\n  architecture-name: arm64\n  cpu: ARM64\n  board-name: RB5009UG+S+\n",
    );
    let stdin = fs::File::open(world.path("router.txt")).unwrap();
    let mut command = world.command();
    run(command.args(["recipe", "--for", "-", "--keep-former", "web.tar"]).stdin(stdin)).success();
    let script = fs::read_to_string(world.path("web.rsc")).unwrap();
    assert!(script.contains("RouterOS 7.21.2 and newer, before 7.22"), "{script}");
    assert!(script.contains("the former container is kept"), "{script}");
    world.routerpack(["recipe", "--for", "hex", "web.tar"]).failure().says(&["RB750Gr3", "E50UG"]);
}
