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
        (&["--routeros", "7.8"][..], &["recipes begin at RouterOS 7.9"][..]),
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
