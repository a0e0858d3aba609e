//! Errors and warnings of builds: their places, their causes, what to do; and the same as JSON and as SARIF.

use serde_json::Value;

use crate::support::{Outcome, Repository, Web, World, run};

fn build(world: &World, args: &[&str]) -> Outcome {
    let base = world.base_context("busybox");
    let mut command = world.command();
    run(command.args(["build", "--build-context", &base, "-o", "out.tar"]).args(args).current_dir(world.path("")))
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_slice(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"))
}

/// The context of most of these tests.
fn context(world: &World) {
    for path in ["main.go", "conf/app.conf", "debug.log", "secret/key"] {
        world.write(&format!("ctx/{path}"), "x");
    }
    world.write("ctx/.dockerignore", "# what is not for the image\n*.log\nsecret\n");
}

/// The Dockerfile behind `FROM busybox`; where (line:column, the underlined text); what is said besides.
const FAILURES: &[(&str, &str, &str, &[&str])] = &[
    // COPY and ADD
    ("COPY mian.go /", "2:6", "mian.go", &["`mian.go` is not there to be copied", "did you mean main.go?"]),
    ("COPY MAIN.GO \\\n  /x", "2:6", "MAIN.GO", &["did you mean main.go?"]),
    ("COPY main.go ./conf/app.cnf /x/", "2:14", "./conf/app.cnf", &["did you mean conf/app.conf?"]),
    ("COPY cnof/app.conf /x/", "2:6", "cnof/app.conf", &["did you mean conf/app.conf?"]),
    ("COPY main.go \\\n  nothing/like /x/", "3:3", "nothing/like", &["looked for in the build context, "]),
    (
        "COPY debug.log /",
        "2:6",
        "debug.log",
        &["the pattern `*.log`", ".dockerignore:2:1", "excluded here", "`!debug.log`"],
    ),
    ("ADD secret/key /", "2:5", "secret/key", &["the pattern `secret`", ".dockerignore:3:1"]),
    ("ARG F=mian.go\nCOPY $F /", "3:6", "$F", &["`mian.go` is not there", "did you mean main.go?"]),
    ("COPY --from=busybox /bin/bussybox /x", "2:21", "/bin/bussybox", &["did you mean bin/busybox?"]),
    ("COPY main.go /bin/busybox/x", "2:14", "/bin/busybox/x", &["/bin/busybox", "choose another destination"]),
    ("COPY --chown=nobdy main.go /", "2:14", "nobdy", &["no `nobdy` in the image's /etc/passwd", "use a number"]),
    ("COPY --chmod=9 main.go /", "2:14", "9", &["invalid chmod parameter", "0755"]),
    // RUN
    (
        "RUN echo before; \\\n  exit 3",
        "2:1",
        "RUN echo before; \\\n  exit 3",
        &["exit code 3", "its last lines", "before"],
    ),
    ("RUN true && \\\n  mkae -j 2", "3:3", "mkae", &["exit code 127", "its package in the image"]),
    ("RUN <<EOF\necho a\nmkae x\nEOF", "4:1", "mkae", &["exit code 127"]),
    (
        "RUN --mount=type=secret,id=key,required=true true",
        "2:5",
        "--mount=type=secret,id=key,required=true",
        &["the step requires the secret `key`", "--secret id=key,src=FILE"],
    ),
    (
        "RUN --mount=type=ssh,required true",
        "2:5",
        "--mount=type=ssh,required",
        &["ssh agent `default`", "--ssh default"],
    ),
    ("RUN --network=host true", "2:5", "--network=host", &["not allowed", "--allow network.host"]),
    ("RUN --security=insecure true", "2:5", "--security=insecure", &["--allow security.insecure"]),
    // stages, images
    ("FROM scratch AS build\nFROM biuld", "3:6", "biuld", &["cannot resolve biuld", "did you mean build?"]),
    ("FROM scratch AS build\nFROM scratch\nCOPY --from=biuld /a /", "4:13", "biuld", &["did you mean build?"]),
    (
        "FROM scratch AS build\nFROM busybox\nRUN --mount=from=biuld,target=/b true",
        "4:18",
        "biuld",
        &["did you mean build?"],
    ),
    ("COPY --from=2 /a /", "2:13", "2", &["invalid stage index 2", "count from 0"]),
];

#[test]
fn failures_point_at_the_words_that_are_to_blame() {
    let world = World::new();
    context(&world);
    for (lines, at, underlined, says) in FAILURES {
        let source = format!("FROM busybox\n{lines}\n");
        world.write("ctx/Dockerfile", &source);
        let outcome = build(&world, &["--format", "json", "--progress=quiet", "ctx"]).failure();
        assert_eq!(outcome.code, Some(1), "{outcome}");
        let report = json(&outcome);
        let error = report["diagnostics"].as_array().unwrap().iter().find(|d| d["severity"] == "error");
        let error = error.unwrap_or_else(|| panic!("{lines}: {report:#}"));
        let place = format!("{}:{}", error["start"]["line"], error["start"]["column"]);
        assert_eq!((place.as_str(), error["text"].as_str().unwrap()), (*at, *underlined), "{lines}: {error:#}");
        assert_eq!(error["file"], "ctx/Dockerfile");
        // what is drawn for people says the same
        let outcome = outcome.says(says).says(&[&format!("ctx/Dockerfile:{at}"), "error: ", "^"]);
        if let Some(replacement) = error["replacement"].as_str() {
            let (start, end) = (&error["start"]["offset"], &error["end"]["offset"]);
            let range = start.as_u64().unwrap() as usize..end.as_u64().unwrap() as usize;
            assert_eq!(&source[range.clone()], *underlined);
            let mut mended = source.clone();
            mended.replace_range(range, replacement);
            world.write("ctx/Dockerfile", &mended);
            let mended = build(&world, &["--format=json", "ctx"]);
            assert!(!mended.stderr.contains(says[0]), "{outcome}\n{mended}");
        }
    }
}

#[test]
fn one_run_tells_all_errors_of_a_file() {
    let world = World::new();
    context(&world);
    world.write("ctx/Dockerfile", "FROM busybox\r\nCPOY a b\r\nRUN --netwrok=none x\r\nENV\r\n");
    let outcome = build(&world, &["--format=json", "ctx"]).failure();
    let report = json(&outcome);
    assert_eq!((&report["success"], &report["errors"]), (&false.into(), &3.into()));
    let all = report["diagnostics"].as_array().unwrap();
    let lines: Vec<_> = all.iter().filter(|d| d["rule"] == "SyntaxError").map(|d| &d["start"]["line"]).collect();
    assert_eq!(lines, [2, 3, 4]);
    assert!(!outcome.stderr.contains('\r'), "{outcome}");

    // and what only shows when variables have values
    world.write(
        "ctx/Dockerfile",
        "FROM busybox\nARG M=9\nCOPY --chmod=$M main.go /\nEXPOSE 80/tpc\nSTOPSIGNAL SIGTREM\n",
    );
    build(&world, &["ctx"]).failure().says(&["Dockerfile:3:14", "Dockerfile:4:8", "Dockerfile:5:12", "SIGTERM?"]);

    world.write("ctx/Dockerfile", "FROM busybox\nRNU x\n".repeat(2000));
    let outcome = build(&world, &["--format=json", "ctx"]).failure();
    assert_eq!(json(&outcome)["errors"], 1001);
    assert!(outcome.stderr.contains("951 more of these") && outcome.stderr.len() < 20_000, "{outcome}");
}

#[test]
fn warnings_are_told_with_a_build_that_works() {
    let world = World::new();
    context(&world);
    let source = "FROM busybox AS A\nARG VERSION\nCOPY *.cfg main.go /\nCMD ['/bin/sh']\n";
    world.write("ctx/Dockerfile", source);
    let outcome = build(&world, &["--format=json", "--build-arg", "VERSOIN=1", "-q", "ctx"]).success();
    let report = json(&outcome);
    let found: Vec<(&str, &str)> = report["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| (d["rule"].as_str().unwrap(), d["severity"].as_str().unwrap()))
        .collect();
    for expected in [
        ("StageNameCasing", "warning"),
        ("JSONArgsRecommended", "warning"),
        ("SyntaxError", "warning"),
        ("UnusedBuildArg", "warning"),
        ("BuildWarning", "warning"),
    ] {
        assert!(found.contains(&expected), "{expected:?} in {report:#}");
    }
    assert_eq!(report["success"], true);
    assert!(report["imageId"].as_str().unwrap().starts_with("sha256:"));
    let text = report.to_string();
    assert!(text.contains("did you mean VERSION?") && text.contains("`*.cfg` matches nothing"), "{text}");
    // for people, without being asked
    let outcome =
        build(&world, &["--no-cache", "--build-arg", "VERSOIN=1", "--build-arg", "https_proxy=x", "ctx"]).success();
    outcome.says(&["VERSOIN", "did you mean VERSION?", "this is no JSON array", "Dockerfile:4:6", "matches nothing"]);
}

#[test]
fn a_wrong_ignore_file_shows_its_line() {
    let world = World::new();
    context(&world);
    world.write("ctx/Dockerfile", "FROM busybox\n");
    world.write("ctx/.dockerignore", "ok\n  [a-\n\n!\n");
    build(&world, &["ctx"]).failure().says(&["ctx/.dockerignore:2:3", "[a-", "ctx/.dockerignore:4:1"]);
}

#[test]
fn files_from_elsewhere_have_names() {
    let world = World::new();
    context(&world);
    let mut command = world.command();
    command.args(["build", "-f", "-", "ctx"]).current_dir(world.path(""));
    let outcome =
        crate::support::run(command.stdin(std::fs::File::open(world.write("stdin", "FROM x\nRNU\n")).unwrap()));
    outcome.failure().says(&["standard input:2:1", "did you mean RUN?"]);

    let web = Web::open();
    let repository = Repository::new(web.repositories(), "app.git");
    repository.commit(&[
        ("Dockerfile", "FROM scratch\nCOPY mian.go /\n"),
        ("main.go", "x"),
        (".dockerignore", "*.md\n"),
    ]);
    let outcome = build(&world, &["--format=json", &web.url("app.git")]).failure().says(&["did you mean main.go?"]);
    assert_eq!(json(&outcome)["diagnostics"].as_array().unwrap().last().unwrap()["file"], "Dockerfile");
}

/// What the format's schema demands, of those members that are written here.
fn assert_sarif(log: &Value) -> &Vec<Value> {
    assert_eq!((&log["version"], log["runs"].as_array().map(Vec::len)), (&"2.1.0".into(), Some(1)), "{log:#}");
    let run = &log["runs"][0];
    assert_eq!((&run["tool"]["driver"]["name"], &run["columnKind"]), (&"routerpack".into(), &"utf16CodeUnits".into()));
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let ids: std::collections::BTreeSet<_> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), rules.len(), "a rule is there twice: {log:#}");
    let region = |region: &Value| {
        let number =
            |name: &str| region[name].as_u64().filter(|n| *n > 0).unwrap_or_else(|| panic!("{name}: {region}"));
        let (start, end) = (("startLine", "startColumn"), ("endLine", "endColumn"));
        assert!((number(start.0), number(start.1)) <= (number(end.0), number(end.1)), "{region}");
    };
    let location = |location: &Value| {
        let place = &location["physicalLocation"];
        assert!(place["artifactLocation"]["uri"].as_str().is_some_and(|uri| !uri.contains([' ', '"'])), "{location}");
        if !place["region"].is_null() {
            region(&place["region"]);
        }
    };
    let results = run["results"].as_array().unwrap();
    for result in results {
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()), "{result}");
        assert!(!result["message"]["text"].as_str().unwrap().is_empty(), "{result}");
        let rule = &rules[result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], result["ruleId"]);
        for place in ["locations", "relatedLocations"].iter().filter_map(|name| result[name].as_array()).flatten() {
            location(place);
        }
        for fix in result["fixes"].as_array().into_iter().flatten() {
            for change in fix["artifactChanges"].as_array().unwrap() {
                assert!(change["artifactLocation"]["uri"].is_string());
                change["replacements"].as_array().unwrap().iter().for_each(|r| region(&r["deletedRegion"]));
            }
        }
    }
    results
}

#[test]
fn sarif_has_regions_rules_and_fixes() {
    let world = World::new();
    context(&world);
    world.write("ctx/Dockerfile", "FROM busybox AS A\nLABEL 𝄞=x\nCPOY 𝄞 y\nLABEL 𝄞=x 𝄞\n");
    let outcome = build(&world, &["--check", "--format=sarif", "ctx"]).failure();
    let log = json(&outcome);
    let results = assert_sarif(&log);
    let of = |rule: &str| results.iter().filter(|result| result["ruleId"] == rule).collect::<Vec<_>>();
    let syntax = of("SyntaxError");
    let region = |result: &Value| result["locations"][0]["physicalLocation"]["region"].clone();
    let expected = serde_json::json!({"startLine": 3, "startColumn": 1, "endLine": 3, "endColumn": 5});
    assert_eq!(region(syntax[0]), expected);
    let change = &syntax[0]["fixes"][0]["artifactChanges"][0];
    assert_eq!(change["artifactLocation"]["uri"], "ctx/Dockerfile");
    assert_eq!(change["replacements"][0]["insertedContent"]["text"], "COPY");
    // in UTF-16 the letter has two units
    let expected = serde_json::json!({"startLine": 4, "startColumn": 12, "endLine": 4, "endColumn": 14});
    assert_eq!(region(syntax[1]), expected);
    let rules = log["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    let casing = rules.iter().find(|rule| rule["id"] == "StageNameCasing").unwrap();
    assert!(casing["helpUri"].as_str().unwrap().starts_with("https://"));

    world.write("ctx/Dockerfile", "FROM busybox\nCOPY debug.log /\n");
    let log = json(&build(&world, &["--format=sarif", "ctx"]).failure());
    let failed = assert_sarif(&log).iter().find(|result| result["ruleId"] == "CopyFailed").unwrap().clone();
    let related = &failed["relatedLocations"][0];
    assert_eq!(related["physicalLocation"]["artifactLocation"]["uri"], "ctx/.dockerignore");
    assert_eq!(related["physicalLocation"]["region"]["startLine"], 2);

    // a build that works has its archive's findings
    world.write("ctx/Dockerfile", "FROM scratch\nCOPY main.go /\n");
    let log = json(&build(&world, &["--format=sarif", "ctx"]).success());
    let of_archive = assert_sarif(&log).iter().find(|result| result["ruleId"] == "no-command").unwrap().clone();
    assert_eq!(of_archive["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "out.tar");

    // and `check` writes the same form
    let checked = run(world.command().args(["check", "--format=sarif", "out.tar"]).current_dir(world.path("")));
    assert_sarif(&json(&checked));
}

#[test]
fn forms_that_would_share_standard_output_are_refused() {
    let world = World::new();
    context(&world);
    world.write("ctx/Dockerfile", "FROM scratch\nCOPY main.go /\n");
    for args in [
        &["--format=json", "--output=-", "ctx"][..],
        &["--format=sarif", "--call=outline", "ctx"],
        &["--format=json", "--call=check,format=json", "ctx"],
    ] {
        let mut command = world.command();
        let outcome = run(command.arg("build").args(args).current_dir(world.path("")));
        assert_eq!(outcome.code, Some(2), "{outcome}");
        // it is told in the form that was asked for
        assert!(outcome.text().starts_with('{'), "{outcome}");
    }
    let outcome = build(&world, &["--check", "--format=json", "ctx"]).success();
    assert_eq!(json(&outcome)["success"], true);
    // BuildKit's form is as it was
    world.write("ctx/Dockerfile", "FROM scratch\nRNU\nRNU\n");
    let report = json(&build(&world, &["--call=check,format=json", "ctx"]));
    assert!(report["buildError"]["message"].as_str().unwrap().contains("line 2"), "{report}");
    assert!(report["warnings"].is_array() && report["diagnostics"].is_null(), "{report}");
}
