//! `build` and `convert` judge what they made as `check` would, before it has its name.

use std::fs;

use serde_json::Value;

use crate::support::{Outcome, World};

/// What a build or conversion printed of its findings, as `(severity, rule, message)`.
fn told(outcome: &Outcome) -> Vec<(String, String, String)> {
    let parse = |line: &str| {
        let (head, message) = line.split_once("]: ")?;
        let (severity, rule) = head.split_once('[')?;
        matches!(severity, "error" | "warning").then(|| (severity.into(), rule.into(), message.into()))
    };
    outcome.stderr.lines().filter_map(parse).collect()
}

/// What `check` finds in an archive, but for what is only good to know, in the words of [`told`].
fn found(world: &World, archive: &str, more: &[&str]) -> Vec<(String, String, String)> {
    let outcome = world.routerpack(["check", "--format", "json", archive].iter().chain(more));
    let reports: Value = serde_json::from_slice(&outcome.stdout).unwrap_or_else(|e| panic!("{e}: {outcome}"));
    let text = |value: &Value| value.as_str().unwrap().to_string();
    let findings = reports[0]["findings"].as_array().unwrap().iter().filter(|f| f["severity"] != "info");
    let line = |f: &Value| {
        let place = f["places"].get(0).map(text);
        let message = match (place, f["count"].as_u64().unwrap() - 1) {
            (None, _) => text(&f["message"]),
            (Some(place), 0) => format!("{} ({place})", text(&f["message"])),
            (Some(place), more) => format!("{} ({place} and {more} more)", text(&f["message"])),
        };
        (text(&f["severity"]), text(&f["rule"]), message)
    };
    findings.map(line).collect()
}

/// A program of this machine's, in an image for another one; twice by a hard link; and a script without interpreter.
fn faulty(world: &World) {
    world.write("ctx/app", fs::read("/bin/true").unwrap());
    fs::hard_link(world.path("ctx/app"), world.path("ctx/also")).unwrap();
    world.write("ctx/start", "#!/bin/none\nip addr show eth0\n");
    world.write("ctx/Dockerfile", "FROM scratch\nCOPY --chmod=755 . /bin/\nUSER nobody\nENTRYPOINT [\"/bin/start\"]\n");
}

#[test]
fn a_build_tells_what_check_finds_in_its_archive() {
    let world = World::new();
    faulty(&world);
    for (output, platform) in [("out.tar", "linux/arm64"), ("out.tar.gz", "linux/arm/v5")] {
        let outcome = world.routerpack(["build", "--platform", platform, "-o", output, "ctx"]).success();
        let told = told(&outcome);
        assert_eq!(told, found(&world, output, &["--platform", platform]), "{outcome}");
        for rule in ["elf-machine", "shebang", "user", "eth0"] {
            assert!(told.iter().any(|(_, r, _)| r == rule), "{rule}: {told:?}");
        }
    }
    let converted = world.routerpack(["convert", "--platform", "linux/arm64", "-o", "again.tar", "out.tar"]).success();
    assert_eq!(told(&converted), found(&world, "out.tar", &["--platform", "linux/arm64"]));
}

#[test]
fn flags_say_for_which_router_it_is_judged() {
    let world = World::new();
    faulty(&world);
    let build = |more: &[&str]| {
        let outcome = world.routerpack(["build", "-o", "out.tar", "ctx"].iter().chain(more)).success();
        let told = told(&outcome);
        assert_eq!(told, found(&world, "out.tar", more), "{more:?}: {outcome}");
        told.into_iter().map(|(_, rule, _)| rule).collect::<Vec<_>>()
    };
    assert!(!build(&["--for", "rb5009"]).contains(&"size".into()));
    assert!(build(&["--for", "rb5009", "--disk-size", "100k"]).contains(&"size".into()));
    assert!(!build(&["--for", "rb5009", "--routeros", "7.19.6"]).contains(&"eth0".into()));
    assert!(build(&["--for", "rb5009", "--routeros", "7.20"]).contains(&"eth0".into()));
}

#[test]
fn an_archive_at_fault_is_not_written_if_that_is_wanted() {
    let world = World::new();
    faulty(&world);
    let good = world.write("out.tar", "what was there");
    let outcome =
        world.routerpack(["build", "--platform", "linux/arm64", "--fail-on", "error", "-o", "out.tar", "ctx"]);
    assert_eq!(outcome.code, Some(2), "{outcome}");
    let outcome = outcome.says(&["error[shebang]", "not written"]);
    assert_eq!(fs::read(&good).unwrap(), b"what was there", "{outcome}");
    assert_eq!(fs::read_dir(world.path("")).unwrap().filter(|e| is_left(e.as_ref().unwrap())).count(), 0);
    let piped = world.routerpack(["build", "--platform", "linux/arm64", "--fail-on", "error", "-o", "-", "ctx"]);
    assert_eq!((piped.code, piped.stdout.len()), (Some(2), 0), "{piped}");

    world.write("ctx/Dockerfile", "FROM busybox\nCMD [\"/bin/sh\"]\nUSER daemon\n");
    let base = world.base_context("busybox");
    let build = |limit: &str| {
        world.routerpack([
            "build",
            "--for",
            "hex-refresh",
            "--build-context",
            &base,
            "--fail-on",
            limit,
            "-o",
            "b.tar",
            "ctx",
        ])
    };
    assert_eq!(build("error").success().code, Some(0));
    assert_eq!(build("warning").code, Some(1), "the kept verdict counts as well");
}

fn is_left(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().contains("tmp-routerpack")
}

#[test]
fn what_was_found_is_kept_for_the_same_archive_and_router_only() {
    let world = World::new();
    faulty(&world);
    let build = |more: &[&str]| {
        let arguments = ["build", "--platform", "linux/arm64", "-o", "out.tar", "ctx"];
        told(&world.routerpack(arguments.iter().chain(more)).success())
    };
    let first = build(&[]);
    let kept: Vec<_> = fs::read_dir(world.cache().join("verdicts")).unwrap().map(|e| e.unwrap().path()).collect();
    let [kept] = &kept[..] else { panic!("{kept:?}") };
    let text = fs::read_to_string(kept).unwrap();
    fs::write(kept, text.replace("which /etc/passwd of the image does not have", "as it was found before")).unwrap();

    let again = build(&[]);
    assert!(again.iter().any(|(_, _, message)| message.contains("as it was found before")), "{again:?}");
    assert_eq!(build(&["--label", "a=b"]), first, "another config");
    assert_eq!(build(&["-t", "other"]), first, "another name");
    assert_eq!(build(&["--disk-size", "9g"]), first, "another disk");
    world.write("ctx/more", "another file");
    assert_eq!(build(&[]), first, "other files");
    fs::write(kept, "{").unwrap();
    fs::remove_file(world.path("ctx/more")).unwrap();
    assert_eq!(build(&[]), first, "a damaged record");
}
