//! `check`, `explain`, `diagnose`, `devices`: on archives as other programs write them.

use std::{fs, process::Stdio};

use crate::support::{World, run, tool};

/// An image of the layout in a form of skopeo's.
fn copy(world: &World, to: &str, more: &[&str]) {
    let layout = format!("oci:{}", crate::support::base("busybox").display());
    let mut command = tool("skopeo");
    command.args(["--insecure-policy", "copy", "-q", "--override-arch", "arm", "--override-variant", "v5"]);
    run(command.args(more).arg(layout).arg(to).current_dir(world.path(""))).success();
}

fn check(world: &World, args: &[&str]) -> crate::support::Outcome {
    let mut command = world.command();
    run(command.arg("check").args(args))
}

#[test]
fn what_skopeo_writes_is_judged_and_mended() {
    let world = World::new();
    copy(&world, "oci-archive:oci.tar:box", &[]);
    copy(&world, "docker-archive:docker.tar:box:1", &[]);

    let outcome = check(&world, &["oci.tar"]);
    assert_eq!(outcome.code, Some(2), "{outcome}");
    let text = outcome.text();
    assert!(text.contains("error[oci-layout]") && text.contains("error[layer-compression]"), "{text}");
    // on one version of RouterOS, what sources disagree on is no error; gzip'd layers are
    let outcome = check(&world, &["--routeros", "7.23", "--format", "json", "oci.tar"]);
    let reports: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    let findings = reports[0]["findings"].as_array().unwrap();
    let severity = |rule: &str| findings.iter().find(|f| f["rule"] == rule).map(|f| f["severity"].clone());
    assert_eq!(severity("oci-layout"), Some("warning".into()), "{reports}");
    assert_eq!(severity("layer-compression"), Some("error".into()), "{reports}");

    // a warning ends with 1 only if it is asked for
    assert_eq!(check(&world, &["docker.tar"]).code, Some(0));
    assert_eq!(check(&world, &["--strict", "docker.tar"]).code, Some(1));

    let before = fs::read(world.path("oci.tar")).unwrap();
    check(&world, &["--fix", "-o", "fixed.tar", "oci.tar"]).success();
    assert_eq!(fs::read(world.path("oci.tar")).unwrap(), before);
    check(&world, &["--strict", "--for", "hex-refresh", "fixed.tar"]).success();
    check(&world, &["--fix", "--in-place", "oci.tar"]).success();
    assert_eq!(fs::read(world.path("oci.tar")).unwrap(), fs::read(world.path("fixed.tar")).unwrap());
    // skopeo, which verifies digests, takes it
    let mut command = tool("skopeo");
    command.args(["--insecure-policy", "copy", "-q", "docker-archive:fixed.tar", "dir:out"]);
    run(command.current_dir(world.path(""))).success();
}

#[test]
fn what_a_build_makes_passes_for_its_device_only() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM busybox\nCMD [\"/bin/sh\"]\n");
    let base = world.base_context("busybox");
    let mut command = world.command();
    run(command.args([
        "build",
        "-t",
        "app:1",
        "--platform",
        "linux/arm64",
        "--build-context",
        &base,
        "-o",
        "app.tar",
        "ctx",
    ]))
    .success();
    check(&world, &["--strict", "--for", "rb5009", "app.tar"]).success();
    let outcome = check(&world, &["--for", "rb4011", "app.tar"]);
    assert_eq!(outcome.code, Some(2), "{outcome}");
    assert!(outcome.text().contains("config-architecture"), "{outcome}");
}

#[test]
fn archives_and_routers_come_on_standard_input() {
    let world = World::new();
    copy(&world, "docker-archive:docker.tar:box:1", &[]);
    let stdin = |file: &str| Stdio::from(fs::File::open(world.path(file)).unwrap());
    let mut command = world.command();
    let outcome = run(command.args(["check", "-"]).stdin(stdin("docker.tar"))).success();
    assert!(outcome.text().contains("linux/arm/v5"), "{outcome}");
    world.write(
        "router.txt",
        "  version: 7.21.3 (stable)\n  architecture-name: arm\n  cpu: EN7562CT\n  board-name: hEX\n",
    );
    let mut command = world.command();
    let outcome = run(command.args(["check", "--for", "-", "docker.tar"]).stdin(stdin("router.txt"))).success();
    assert!(outcome.text().contains("RouterOS 7.21.3, on hEX refresh"), "{outcome}");
}

#[test]
fn a_print_of_the_router_picks_the_platform_of_what_is_made() {
    let world = World::new();
    copy(&world, "docker-archive:docker.tar:box:1", &[]);
    world.write("ctx/Dockerfile", "FROM scratch\nCOPY Dockerfile /\nCMD [\"/x\"]\n");
    world.write(
        "router.txt",
        "  version: 7.21.3 (stable)\n  architecture-name: arm\n  cpu: EN7562CT\n  board-name: hEX\n",
    );
    let stdin = || Stdio::from(fs::File::open(world.path("router.txt")).unwrap());
    for (args, out) in [
        (&["build", "--for", "-", "-o", "built.tar", "ctx"][..], "built.tar"),
        (&["convert", "--for", "-", "-o", "converted.tar", "docker.tar"], "converted.tar"),
    ] {
        let mut command = world.command();
        run(command.args(args).stdin(stdin())).success();
        let config = crate::support::Archive::read(&world.path(out)).config;
        assert_eq!((&config["architecture"], &config["variant"]), (&"arm".into(), &"v5".into()), "{args:?}: {config}");
    }
    for args in [
        &["build", "--for", "-", "-f", "-", "-o", "no.tar", "ctx"][..],
        &["build", "--for", "-", "-o", "no.tar", "-"],
        &["convert", "--for", "-", "-o", "no.tar", "-"],
    ] {
        let mut command = world.command();
        let outcome = run(command.args(args).stdin(stdin())).failure().says(&["one thing only"]);
        assert_eq!(outcome.code, Some(2), "{outcome}");
    }
    for (device, texts) in [("hex-s", ["RB760iGS", "E60iUGS"]), ("hap-lite", ["hAP lite", "no container package"])] {
        world.routerpack(["build", "--for", device, "-o", "no.tar", "ctx"]).failure().says(&texts);
    }
    assert!(!world.path("no.tar").exists());
}

#[test]
fn wrong_use_and_unreadable_archives_end_with_2() {
    let world = World::new();
    world.write("junk.tar", "no tar");
    for args in [
        &["absent.tar"][..],
        &["junk.tar"],
        &["--fix", "-o", "out.tar", "junk.tar"],
        &["--fix", "junk.tar"],
        &["--routeros", "6.49", "junk.tar"],
        &["--for", "hex", "junk.tar"],
        &["--for", "toaster", "junk.tar"],
        &["--disk-size", "much", "junk.tar"],
        &[],
    ] {
        let outcome = check(&world, args);
        assert_eq!(outcome.code, Some(2), "{args:?}: {outcome}");
    }
    assert!(!world.path("out.tar").exists());
}

#[test]
fn rules_failures_and_devices_are_told() {
    let world = World::new();
    let text = |args: &[&str]| {
        let mut command = world.command();
        run(command.args(args)).success().text()
    };
    assert!(text(&["explain"]).lines().count() > 40);
    assert!(text(&["explain", "layer-compression"]).contains("check --fix"));
    world.routerpack(["explain", "layer-gzip"]).failure().says(&["layer-compression"]);
    assert!(text(&["diagnose", "could not load next layer"]).contains("gzip"));
    world.routerpack(["diagnose", "all is well"]).failure().says(&["check"]);
    let list = text(&["devices", "EN7562CT"]);
    assert!(list.contains("E50UG") && list.contains("linux/arm/v5"), "{list}");
    world.routerpack(["devices", "toaster"]).failure().says(&["toaster"]);
}
