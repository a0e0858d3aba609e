//! `build --check`, `build --call`, and what lint says while an image is built.

use serde_json::Value;

use crate::support::{Outcome, World, run};

fn build(world: &World, args: &[&str]) -> Outcome {
    let base = world.base_context("busybox");
    run(world.command().args(["build", "--build-context", &base]).args(args).current_dir(world.path("")))
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_slice(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"))
}

fn rules(report: &Value) -> Vec<(&str, u64)> {
    let warnings = report["warnings"].as_array().unwrap();
    let line = |warning: &Value| warning["location"]["ranges"][0]["start"]["line"].as_u64().unwrap();
    warnings.iter().map(|warning| (warning["ruleName"].as_str().unwrap(), line(warning))).collect()
}

#[test]
fn a_check_says_what_it_found_and_ends_with_it() {
    let world = World::new();
    world.write("clean/Dockerfile", "FROM busybox\nCMD [\"/bin/sh\"]\n");
    let outcome = build(&world, &["--check", "clean"]).success();
    assert_eq!(outcome.text(), "Check complete, no warnings found.\n");

    world.write("ctx/.dockerignore", "secret\n");
    world.write("ctx/Dockerfile", "FROM busybox AS one\nCOPY secret $foo /\nEXPOSE 80\nFROM busybox\nCMD run\n");
    let outcome = build(&world, &["--check", "ctx"]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    let text = outcome.text();
    assert!(text.starts_with("Check complete, 3 warnings have been found!\n\nwarning[CopyIgnoredFile]: "), "{text}");
    let copied = "Attempting to Copy file \"secret\" that is excluded by .dockerignore\n --> ctx/Dockerfile:2:6\n  |\n2 | COPY secret $foo /\n  |      ^^^^^^\n";
    assert!(text.contains(copied), "{text}");

    let report = json(&build(&world, &["--call=check,format=json", "ctx"]));
    assert_eq!(rules(&report), [("UndefinedVar", 2), ("CopyIgnoredFile", 2), ("JSONArgsRecommended", 5)]);
    assert_eq!(report["sources"][0]["filename"], "Dockerfile");
    // where it is read from: one op, and the terminal one
    let definition = &report["sources"][0]["definition"];
    assert_eq!(definition["def"].as_array().unwrap().len(), 2);
    let mut metadata = definition["metadata"].as_object().unwrap().values();
    let title = "[internal] load build definition from Dockerfile";
    assert!(metadata.any(|beside| beside["description"]["llb.customname"] == title), "{definition:#}");
    assert_eq!(report["warnings"][2]["url"], "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/");
    build(&world, &["--call=check,ignorestatus=true", "ctx"]).success();
    // a target is what is looked at, and its ports are advice
    let report = json(&build(&world, &["--call=lint,format=json", "--target", "one", "ctx"]));
    assert_eq!(rules(&report), [("UndefinedVar", 2), ("CopyIgnoredFile", 2), ("RouterExposeNeedsNat", 3)]);
    assert_eq!(report["warnings"][2]["severity"], "info");
    let argument = "BUILDKIT_DOCKERFILE_CHECK=skip=all";
    build(&world, &["--check", "--build-arg", argument, "ctx"]).success();
}

#[test]
fn a_check_needs_no_image_and_reports_errors() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM registry.invalid/none AS A\nRUN x\nMAINTAINER me\n");
    let outcome = build(&world, &["--check", "ctx"]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(outcome.text().contains("2 warnings") && outcome.stderr.contains("registry.invalid/none"), "{outcome}");

    world.write("ctx/Dockerfile", "FROM busybox AS A\nRNU x\nBADCMD y\n");
    let outcome = build(&world, &["--check", "ctx"]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(outcome.text().contains("warning[StageNameCasing]"), "{outcome}");
    assert!(outcome.stderr.contains("unknown instruction: RNU") && outcome.stderr.contains("BADCMD"), "{outcome}");
    let report = json(&build(&world, &["--call=check,format=json", "ctx"]));
    let message = "dockerfile parse error on line 2: unknown instruction: RNU (did you mean RUN?)";
    assert_eq!((rules(&report), &report["buildError"]["message"]), (vec![("StageNameCasing", 1)], &message.into()));
}

#[test]
fn a_build_lists_warnings_and_fails_where_the_file_says_so() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM busybox AS A\nWORKDIR x\n");
    let outcome = build(&world, &["-o", "a.tar", "ctx"]).success();
    let listed = "2 warnings found (use --check to expand):\n - StageNameCasing: Stage name 'A' should be lowercase (line 1)\n - WorkdirRelativePath:";
    assert!(outcome.stderr.contains(listed), "{outcome}");

    world.write("ctx/Dockerfile", "# check=error=true;skip=StageNameCasing\nFROM busybox AS A\nWORKDIR x\n");
    let outcome = build(&world, &["-o", "b.tar", "ctx"]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(outcome.stderr.contains("lint violation found for rules: WorkdirRelativePath"), "{outcome}");
    assert!(!world.path("b.tar").exists());
    world.write("ctx/Dockerfile", "# check=error=perhaps\nFROM busybox\n");
    let outcome = build(&world, &["-o", "b.tar", "ctx"]);
    assert!(outcome.code == Some(1) && outcome.stderr.contains("failed to parse check option"), "{outcome}");
    assert_eq!(build(&world, &["--call=nothing", "ctx"]).code, Some(2));
}

#[test]
fn targets_and_their_parameters_are_listed() {
    let world = World::new();
    let source = "# V is a version\nARG V=1\n# build compiles\nFROM busybox AS build\nARG V\nRUN --mount=type=secret,id=key,required=true x\n\nFROM --platform=$BUILDPLATFORM scratch\nCOPY --from=build /a /\n";
    world.write("ctx/Dockerfile", source);
    let outcome = build(&world, &["--call=targets", "ctx"]).success();
    assert_eq!(outcome.text(), "TARGET    DESCRIPTION\nbuild     compiles\n(default) \n");
    let list = json(&build(&world, &["--call=targets,format=json", "ctx"]).success());
    let range = |line: u32| serde_json::json!({"ranges": [{"start": {"line": line}, "end": {"line": line}}]});
    assert_eq!(
        list["targets"],
        serde_json::json!([
            {"name": "build", "description": "compiles", "base": "busybox", "location": range(4)},
            {"default": true, "base": "scratch", "platform": "$BUILDPLATFORM", "location": range(8)},
        ])
    );
    let outcome = build(&world, &["--call=outline", "--target=build", "ctx"]).success();
    assert_eq!(
        outcome.text(),
        "TARGET:      build\nDESCRIPTION: compiles\n\nBUILD ARG   VALUE   DESCRIPTION\nV           1       is a version\n\nSECRET   REQUIRED\nkey      true\n\n"
    );
    let outline = json(&build(&world, &["--call=outline,format=json", "ctx"]).success());
    assert_eq!(outline["args"][0]["name"], "V");
    assert_eq!(outline["secrets"], serde_json::json!([{"name": "key", "required": true, "location": range(6)}]));
    assert_eq!(outline.get("name"), None);
}

#[test]
fn the_methods_of_call_are_listed() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM scratch\n");
    let expected = "\
NAME                 VERSION DESCRIPTION
outline              1.0.0   List all parameters current build target supports
targets              1.0.0   List all targets current build supports
subrequests.describe 1.0.0   List available subrequest types
";
    assert_eq!(build(&world, &["--call=subrequests.describe", "ctx"]).success().text(), expected);
    let list = json(&build(&world, &["--call=subrequests.describe,format=json", "ctx"]).success());
    let named = |name: &str| serde_json::json!({"name": name, "description": ""});
    let outline = serde_json::json!({
        "name": "frontend.outline", "version": "1.0.0", "type": "rpc",
        "description": "List all parameters current build target supports",
        "opts": [{"name": "target", "description": "Target build stage"}], "inputs": null,
        "metadata": [named("result.json"), named("result.txt")], "refs": null,
    });
    assert_eq!((&list[0], list.as_array().unwrap().len()), (&outline, 3));
}

#[test]
fn every_rule_for_routers_is_explained() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM scratch\nVOLUME /d\nUSER 5\nCMD [\"nft\", \"list\", \"eth0\"]\n");
    let report = json(&build(&world, &["--call=check,format=json", "ctx"]));
    let found: Vec<&str> = rules(&report).into_iter().map(|(rule, _)| rule).collect();
    assert_eq!(found, ["RouterVolumeNeedsMount", "RouterHardcodedEth0", "RouterNonRootMount"]);
    for rule in found {
        let text = world.routerpack(["explain", rule]).success().text();
        assert!(text.contains("known by:") && text.contains("cure:"), "{text}");
    }
    // before 7.20 the interface was eth0
    let outcome = build(&world, &["--check", "--routeros", "7.19", "ctx"]);
    assert!(outcome.text().contains("advice[RouterHardcodedEth0]"), "{outcome}");
}
