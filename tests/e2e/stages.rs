//! Stages, arguments and named contexts, as the program takes them.

use serde_json::{Value, json};

use crate::support::archive::tar_entries;
use crate::support::{Archive, Outcome, Registry, World, base, run};

fn try_build(world: &World, dockerfile: &str, args: &[&str]) -> Outcome {
    world.write("ctx/Dockerfile", dockerfile);
    let mut command = world.command();
    command.args(["build", "--progress=plain", "--layers=keep", "-o", "type=docker,dest=out.tar"]);
    run(command.args(args).arg("ctx"))
}

#[track_caller]
fn build(world: &World, dockerfile: &str, args: &[&str]) -> Archive {
    try_build(world, dockerfile, args).success();
    Archive::read(&world.path("out.tar"))
}

/// The labels of an image.
#[track_caller]
fn labels(world: &World, dockerfile: &str, args: &[&str]) -> Value {
    build(world, dockerfile, args).config["config"]["Labels"].clone()
}

const AUTOMATIC: [&str; 11] = [
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDOSVERSION",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETOSVERSION",
    "TARGETARCH",
    "TARGETVARIANT",
    "TARGETSTAGE",
];

#[test]
fn platforms_and_the_target_are_there_without_being_given() {
    let world = World::new();
    let machine = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let shown = AUTOMATIC.map(|name| format!("LABEL {name}=${name}")).join("\n");
    let defined = format!(
        "FROM scratch AS one\nARG {}\n{shown}\nFROM one AS two\nARG TARGETSTAGE\n{shown}\n",
        AUTOMATIC.join(" ")
    );
    let expected = |platform: &str, variant: &str, stage: &str| {
        let architecture = platform.split('/').nth(1).unwrap();
        json!({
            "BUILDPLATFORM": format!("linux/{machine}"), "BUILDOS": "linux", "BUILDOSVERSION": "", "BUILDARCH": machine,
            "BUILDVARIANT": "", "TARGETPLATFORM": platform, "TARGETOS": "linux", "TARGETOSVERSION": "",
            "TARGETARCH": architecture, "TARGETVARIANT": variant, "TARGETSTAGE": stage,
        })
    };
    for (args, platform, variant, stage) in [
        (&[][..], format!("linux/{machine}"), "", "two"),
        (&["--platform=linux/arm/v5", "--target=one"], "linux/arm/v5".into(), "v5", "one"),
        (&["--platform=linux/arm64/v8", "--target=TWO"], "linux/arm64".into(), "", "TWO"),
        (&["--platform=linux/arm"], "linux/arm/v7".into(), "v7", "two"),
    ] {
        assert_eq!(labels(&world, &defined, args), expected(&platform, variant, stage), "{args:?}");
    }
    // undefined they are nothing; a default takes their place, and a build argument that of both
    let nothing: serde_json::Map<String, Value> = AUTOMATIC.iter().map(|name| (name.to_string(), "".into())).collect();
    assert_eq!(labels(&world, &format!("FROM scratch\n{shown}\n"), &[]), Value::from(nothing));
    let own = "ARG TARGETARCH=global\nFROM scratch\nARG TARGETARCH\nLABEL a=$TARGETARCH\nARG TARGETARCH=stage\nLABEL b=$TARGETARCH\n";
    assert_eq!(labels(&world, own, &[]), json!({"a": "global", "b": "stage"}));
    let given = ["--build-arg=TARGETARCH=given"];
    assert_eq!(labels(&world, own, &given), json!({"a": "given", "b": "given"}));
}

#[test]
fn froms_and_froms_of_copies_find_their_stage() {
    let world = World::new();
    world.write("ctx/f", "f");
    let variants = "FROM scratch AS linux-armv5\nLABEL a=5\nFROM scratch AS linux-armv7\nLABEL a=7\nFROM scratch AS linux-arm64\nLABEL a=64\n\
        FROM ${TARGETOS}-${TARGETARCH}${TARGETVARIANT}\n";
    for (platform, label) in [("linux/arm/v5", "5"), ("linux/arm/v7", "7"), ("linux/arm64", "64")] {
        assert_eq!(labels(&world, variants, &["--platform", platform]), json!({"a": label}));
    }
    let stages = "FROM scratch AS A\nCOPY f /a\nFROM scratch\nCOPY f /b\nFROM scratch AS last\n\
        COPY --from=a /a /1\nCOPY --from=0 /a /2\nCOPY --from=1 /b /3\n";
    let archive = build(&world, stages, &[]);
    assert_eq!(archive.layers.len(), 3);
    assert_eq!(build(&world, stages, &["--target=1"]).config["history"].as_array().unwrap().len(), 1);
    assert_eq!(build(&world, stages, &["--target=LAST"]).layers.len(), 3);
    // what isn't needed isn't looked at, whatever it says
    build(&world, "FROM registry.invalid/none AS no\nRUN exit 1\nFROM scratch\nCOPY f /\n", &[]);
    // a name that only comes later is an image's; a number has to be a stage's
    try_build(&world, "FROM later.invalid/x\nFROM scratch AS later.invalid/x\n", &[]).failure();
    let out_of_order =
        try_build(&world, "FROM target\nFROM scratch AS build\nFROM scratch AS target\n", &["--target=0"]);
    out_of_order.failure().says(&["target", "Dockerfile:1"]);
    for (dockerfile, args, words) in [
        ("FROM scratch\nCOPY --from=7 a b\n", &[][..], &["invalid stage index 7", "Dockerfile:2"][..]),
        (
            "FROM scratch AS build\n",
            &["--target=biuld"],
            &["target stage \"biuld\" could not be found", "did you mean build?"],
        ),
        ("FROM scratch AS a\nCOPY --from=a x y\n", &[], &["circular dependency detected on stage", "Dockerfile:2"]),
        ("FROM --platform=$NONE scratch\n", &[], &["empty platform value from expression $NONE", "Dockerfile:1"]),
        ("ARG E\nFROM $E\n", &[], &["base name ($E) should not be blank", "Dockerfile:2"]),
        ("FROM scratch AS 1a\n", &[], &["invalid name for build stage: \"1a\"", "Dockerfile:1"]),
        ("FROM scratch a b c\n", &[], &["FROM requires either one or three arguments"]),
    ] {
        try_build(&world, dockerfile, args).failure().says(words);
    }
}

#[test]
fn an_empty_image_has_buildkit_s_own_config() {
    let world = World::new();
    let archive = build(&world, "FROM scratch\n", &["--platform=linux/arm/v6"]);
    assert_eq!(archive.layers.len(), 0);
    let mut config = archive.config.clone();
    config.as_object_mut().unwrap().remove("created");
    let expected = json!({
        "architecture": "arm", "os": "linux", "variant": "v6",
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": []},
    });
    config.as_object_mut().unwrap().retain(|name, value| name != "history" || !value.as_array().unwrap().is_empty());
    assert_eq!(config, expected);
}

#[test]
fn arguments_that_the_builder_knows_leave_no_trace() {
    let world = World::new();
    let busybox = world.base_context("busybox");
    let known = [
        "BUILDKIT_SANDBOX_HOSTNAME=router",
        "BUILDKIT_MULTI_PLATFORM=1",
        "BUILDKIT_INLINE_CACHE=1",
        "BUILDKIT_CACHE_MOUNT_NS=ns",
        "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1",
        "BUILDKIT_BUILD_NAME=name",
        "BUILDKIT_SYNTAX=registry.invalid/frontend",
        "BUILDKIT_DOCKERFILE_CHECK=skip=all",
        "http_proxy=http://127.0.0.1:1",
        "NO_PROXY=nowhere",
        "undeclared=x",
    ];
    let dockerfile = "FROM busybox\nRUN cat /proc/sys/kernel/hostname > /h && echo \"$http_proxy $no_proxy\" >> /h && env | grep -c ILDKIT_ >> /h || true\n";
    let mut args = vec!["--build-context", &busybox];
    args.extend(known.iter().flat_map(|known| ["--build-arg", known]));
    let outcome = try_build(&world, dockerfile, &args).success();
    let machine = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    assert!(outcome.stderr.contains(&format!("[linux/{machine} 1/2] RUN cat")), "{outcome}");
    let archive = Archive::read(&world.path("out.tar"));
    let config = archive.config.to_string();
    for word in ["BUILDKIT_", "127.0.0.1", "undeclared", "nowhere"] {
        assert!(!config.contains(word), "{config}");
    }
    let made = tar_entries(&archive.layers.last().unwrap()[..]);
    assert_eq!(made["h"].text(), "router\nhttp://127.0.0.1:1 nowhere\n0\n");
    // another proxy is no reason to run anything again
    let other: Vec<&str> = args
        .iter()
        .map(|arg| if arg.starts_with("http_proxy") { "http_proxy=http://127.0.0.2:2" } else { arg })
        .collect();
    try_build(&world, dockerfile, &other).success().says(&["CACHED"]);
    let outline = try_build(&world, dockerfile, &[&args[..], &["--call=outline,format=json"]].concat()).success();
    let outline: Value = serde_json::from_slice(&outline.stdout).unwrap();
    assert_eq!(outline.get("args"), None);
    let wrong = try_build(&world, dockerfile, &["--build-arg=BUILDKIT_MULTI_PLATFORM=x", "--build-context", &busybox]);
    wrong.failure().says(&["BUILDKIT_MULTI_PLATFORM=x"]);
    // a foreign frontend isn't fetched, it is this one
    build(&world, "# syntax=registry.invalid/dockerfile:1.99-labs\nFROM scratch\n", &[]);
}

#[test]
fn named_contexts_of_every_kind() {
    let (world, registry) = (World::new(), Registry::open());
    registry.push(&base("busybox"), "latest", "team/busybox:1");
    let image = format!("docker-image://{}", registry.reference("team/busybox:1"));
    let layout = base("busybox");
    let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let (layout, dir) = (layout.display(), world.path("dir"));
    for (name, text) in
        [("dir/.dockerignore", "*.log\n!keep.log\n"), ("dir/a", "a"), ("dir/a.log", "l"), ("dir/keep.log", "k")]
    {
        world.write(name, text);
    }
    let has = |dockerfile: &str, context: &str| {
        let args = if context.is_empty() { vec![] } else { vec!["--build-context", context] };
        let archive = build(&world, dockerfile, &args);
        let last = archive.layers.last().map(|layer| tar_entries(&layer[..])).unwrap_or_default();
        last.keys().cloned().collect::<Vec<_>>().join(" ")
    };
    let take = |from: &str, what: &str| format!("FROM scratch\nCOPY --from={from} {what} /\n");
    let busybox = "bin/busybox";
    for (from, context) in [
        ("x", format!("x={image}")),
        ("x", format!("x=oci-layout:{layout}")),
        ("x", format!("x=oci-layout://{layout}:latest")),
        ("x", format!("x=oci-layout://{layout}@{digest}")),
        // an image goes by all of its names
        ("busybox", format!("docker.io/library/busybox={image}")),
        ("docker.io/library/busybox:latest", format!("busybox={image}")),
        ("busybox:latest", format!("busybox={image}")),
        ("index.docker.io/library/busybox", format!("busybox:latest={image}")),
        ("busybox:1.2", format!("busybox:1.2={image}")),
        ("ghcr.io/me/x", format!("ghcr.io/me/x:latest={image}")),
        ("X", format!("x={image}")),
    ] {
        if from == "X" {
            // what is no name of an image may be none of a context
            try_build(&world, &take(from, busybox), &["--build-context", &context]).failure().says(&["Dockerfile:2"]);
            continue;
        }
        assert_eq!(has(&take(from, busybox), &context), "busybox", "{from} {context}");
    }
    // a directory, its ignore file kept to
    let local = format!("dir={}", dir.display());
    assert_eq!(has(&take("dir", "."), &local), ".dockerignore a keep.log");
    try_build(&world, &take("dir", "a.log"), &["--build-context", &local]).failure().says(&["a.log"]);
    assert_eq!(has("FROM dir\n", &local), ".dockerignore a keep.log");
    // in a stage's place: its instructions count for nothing
    assert_eq!(has("FROM scratch AS dir\nCOPY nothing /\nFROM dir\nCOPY --from=dir a /b\n", &local), "b");
    let replaced =
        build(&world, "FROM scratch AS dir\nENV A=1\nFROM dir\nENV B=2\n", &["--build-context", &local]).config;
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(
        replaced["config"],
        json!({"Env": ["B=2", path]}).as_object().map(|_| json!({"Env": [path, "B=2"]})).unwrap()
    );
    // nothing, and one for each platform
    assert_eq!(has("FROM busybox\nWORKDIR /d\n", "busybox=docker-image://scratch"), "d");
    let arm = format!("base::linux/arm64={}", dir.display());
    let args = ["--build-context", &arm, "--build-context", "base=docker-image://scratch"];
    assert_eq!(build(&world, "FROM base\nLABEL a=b\n", &args).layers.len(), 0);
    let both = [&args[..], &["--platform=linux/arm64"]].concat();
    assert_eq!(build(&world, "FROM base\nLABEL a=b\n", &both).layers.len(), 1);
    assert_eq!(build(&world, "FROM --platform=linux/arm64 base\n", &args).layers.len(), 1);
    for (context, word) in [
        ("x", "NAME=VALUE"),
        ("=x", "name"),
        ("Upper=dir", "lowercase"),
        ("x=target:other", "bake"),
        ("x=ftp://h/x", "ftp://"),
        ("x=missing", "missing"),
        ("x=oci-layout:missing", "missing"),
    ] {
        try_build(&world, "FROM scratch\n", &["--build-context", context]).failure().says(&["--build-context", word]);
    }
}
