//! Stages, bases, arguments, named contexts, triggers.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use routerpack_frontends::dockerfile::Dockerfile;
use routerpack_frontends::dockerfile::lower::{Context, Options, ResolveError, ResolvedImage, Resolver, lower};
use routerpack_graph::Platform;

use crate::world::*;

#[test]
fn only_what_the_target_needs_is_resolved() {
    let source = "FROM nowhere AS unused\nFROM alpine AS base\nRUN a\nFROM base AS one\nRUN b\nFROM alpine AS two\nRUN c\n\
                  FROM scratch\nCOPY --from=one /x /\nCOPY --from=other /y /\n";
    let world = World::new().image("docker.io/library/other:latest", "{}");
    let lowered = build(source, &options(), &world);
    let mut asked = world.asked.lock().unwrap().clone();
    asked.sort();
    assert_eq!(asked, ["docker.io/library/alpine:latest linux/amd64", "docker.io/library/other:latest linux/amd64"]);
    assert_eq!(lowered.stages, ["base", "one", "4"]);
    assert_eq!(
        names(&lowered),
        [
            &format!("[base 1/2] FROM docker.io/library/alpine:latest@{}", digest()),
            "[base 2/2] RUN a",
            "[one 1/1] RUN b",
            "[stage-4 1/2] COPY --from=one /x /",
            &format!("FROM docker.io/library/other:latest@{}", digest()),
            "[stage-4 2/2] COPY --from=other /y /",
        ]
    );
}

#[test]
fn targets_are_names_or_numbers() {
    let source = "FROM alpine AS One\nENV A=1\nFROM alpine\nENV A=2\nFROM alpine AS three\nENV A=3\n";
    for (target, expected) in
        [(None, "3"), (Some("one"), "1"), (Some("ONE"), "1"), (Some("1"), "2"), (Some("three"), "3")]
    {
        let options = Options { target: target.map(str::to_string), ..options() };
        let env = build(source, &options, &World::new()).config.config.env;
        assert_eq!(env[1], format!("A={expected}"), "{target:?}");
    }
}

#[test]
fn a_stage_goes_on_where_its_base_ended() {
    let lowered = simple(
        "FROM alpine AS a\nARG X=1\nENV Y=2\nWORKDIR /a\nUSER me\nSHELL [\"/bin/ash\",\"-c\"]\nCMD x\n\
         FROM a\nWORKDIR b\nRUN echo\nENTRYPOINT [\"e\"]\n",
    );
    let last = ops(&lowered).pop().unwrap();
    assert_eq!(
        last,
        "exec [\"/bin/ash\", \"-c\", \"echo\"] env=[\"X=1\", \"PATH=/bin\", \"Y=2\"] cwd=/a/b user=me [/=#2] on linux/amd64"
    );
    // The user owns the directories that WORKDIR makes.
    assert_eq!(ops(&lowered)[2], "mkdir #1/a/b mode=755 parents owner=me@#1:-");
    assert!(lowered.config.config.cmd.is_empty(), "ENTRYPOINT drops an inherited CMD");
    let history: Vec<&str> = lowered.config.history.iter().map(|h| h.created_by.as_str()).collect();
    assert_eq!(
        history,
        [
            "base",
            "ARG X=1",
            "ENV Y=2",
            "WORKDIR /a",
            "USER me",
            "SHELL [/bin/ash -c]",
            "CMD [\"/bin/ash\" \"-c\" \"x\"]",
            "WORKDIR /a/b",
            "RUN |1 X=1 /bin/ash -c echo # buildkit",
            "ENTRYPOINT [\"e\"]",
        ]
    );
}

#[test]
fn arguments_have_scopes() {
    for (source, args, expected) in [
        // Before FROM only FROM sees them; a bare ARG takes them over.
        ("ARG V=1\nFROM alpine\nENV A=$V\n", &[][..], "A="),
        ("ARG V=1\nFROM alpine\nARG V\nENV A=$V\n", &[], "A=1"),
        ("ARG V=1\nFROM alpine\nARG V=2\nENV A=$V\n", &[], "A=2"),
        ("ARG V=1\nFROM alpine\nARG V\nENV A=$V\n", &[("V", "3")], "A=3"),
        ("FROM alpine\nARG V=2\nENV A=$V\n", &[("V", "3")], "A=3"),
        ("FROM alpine\nENV A=$V\n", &[("V", "3")], "A="),
        // Defaults see earlier ones; all of one line of ENV see the same.
        ("ARG V=1 W=$V-${X:-x}\nFROM alpine\nARG W\nENV A=$W\n", &[], "A=1-x"),
        ("FROM alpine\nENV B=1\nENV A=0 B=2\nENV A=$B B=3\n", &[], "A=2"),
        ("FROM alpine\nARG V=0\nARG V=1 W=$V\nENV A=$W\n", &[], "A=0"),
        // Names may be made of variables.
        ("FROM alpine\nENV N=V\nARG $N=2\nENV A=$V\n", &[], "A=2"),
        ("FROM alpine\nENV N=V\nARG ${N}=2\nENV A=$V\n", &[("V", "3")], "A=3"),
        // A default that isn't needed isn't looked at.
        ("FROM alpine\nARG V=${U:?missing}\nENV A=$V\n", &[("V", "3")], "A=3"),
        // ENV wins over ARG.
        ("FROM alpine\nENV V=env\nARG V2\nARG U=arg\nENV U=env\nENV A=$V$U\n", &[], "A=envenv"),
        // Automatic ones need a definition too.
        ("FROM alpine\nENV A=$TARGETARCH\n", &[], "A="),
        (
            "FROM alpine\nARG TARGETARCH TARGETOS BUILDPLATFORM\nENV A=$TARGETOS/$TARGETARCH:$BUILDPLATFORM\n",
            &[],
            "A=linux/amd64:linux/amd64",
        ),
        ("FROM alpine\nARG TARGETARCH\nENV A=$TARGETARCH\n", &[("TARGETARCH", "z80")], "A=z80"),
        ("FROM alpine AS fin\nARG TARGETSTAGE\nENV A=$TARGETSTAGE\n", &[], "A=fin"),
        ("FROM alpine\nARG TARGETSTAGE\nENV A=$TARGETSTAGE\n", &[], "A=default"),
    ] {
        let lowered = build(source, &with_args(args), &World::new());
        let env = &lowered.config.config.env;
        assert!(env.iter().any(|pair| pair == expected), "{source}: {env:?}");
    }
}

#[test]
fn from_takes_variables_and_platforms() {
    let arm = Platform::new("linux", "arm", "v5");
    let world = || World::new().image("docker.io/library/debian:12", "{}").image("host:5000/x:1", "{}");
    for (source, expected) in [
        ("FROM alpine\n", "docker-image://docker.io/library/alpine:latest@DIGEST on linux/arm/v5"),
        ("ARG I=debian:12\nFROM $I\n", "docker-image://docker.io/library/debian:12@DIGEST on linux/arm/v5"),
        ("ARG T\nFROM host:5000/x:${T:-1}\n", "docker-image://host:5000/x:1@DIGEST on linux/arm/v5"),
        (
            "FROM --platform=$BUILDPLATFORM alpine\n",
            "docker-image://docker.io/library/alpine:latest@DIGEST on linux/amd64",
        ),
        (
            "FROM --platform=linux/arm64 alpine\n",
            "docker-image://docker.io/library/alpine:latest@DIGEST on linux/arm64",
        ),
        (
            "FROM --platform=linux/riscv64 alpine AS linux-armv5\nFROM ${TARGETOS}-${TARGETARCH}${TARGETVARIANT}\n",
            "docker-image://docker.io/library/alpine:latest@DIGEST on linux/riscv64",
        ),
    ] {
        let options = Options { platform: Some(arm.clone()), ..options() };
        let lowered = build(source, &options, &world());
        assert_eq!(ops(&lowered)[0], expected, "{source}");
        // The image is for the platform that was asked for.
        let config = &lowered.config;
        assert_eq!((&*config.architecture, &*config.variant), ("arm", "v5"));
    }
}

#[test]
fn without_a_wish_the_image_decides_what_it_is() {
    let world = World::new();
    let lowered = build("FROM --platform=linux/arm64 alpine\nRUN x\n", &options(), &world);
    assert_eq!(lowered.platform.to_string(), "linux/arm64");
    assert!(ops(&lowered)[1].ends_with("on linux/arm64"));
    assert_eq!(lowered.config.architecture, "amd64", "the image's own word");
}

#[test]
fn an_image_without_layers_is_scratch() {
    let mut world = World::new();
    let config =
        r#"{"architecture":"amd64","os":"linux","config":{"Env":["A=1"]},"rootfs":{"type":"layers","diff_ids":[]}}"#;
    world.images.insert("docker.io/library/empty:latest".into(), config.into());
    let lowered = build("FROM empty\nCOPY a /\n", &options(), &world);
    assert_eq!(ops(&lowered)[1], "copy #0/a to scratch/ follow contents wildcard parents");
    assert_eq!(lowered.config.config.env[0], "A=1");
}

#[test]
fn named_contexts_take_the_place_of_images_and_stages() {
    let local = Context::Local { name: "ctx-src".into(), exclude: vec!["x".into()] };
    let store = |name: &str| {
        let config = r#"{"architecture":"amd64","os":"linux","config":{"Env":["S=1"],"OnBuild":["RUN hook"]}}"#;
        Context::Store { name: name.into(), digest: digest(), config: config.into() }
    };
    let world = World::new()
        .context("docker.io/library/busybox", store("bb"))
        .context("src", local)
        .context("alpine::linux/arm64", store("alp-arm"))
        .context("other", Context::Empty);
    for (source, expected) in [
        // An image, by whatever name; its triggers run.
        (
            "FROM busybox:latest\nRUN true\n",
            vec![
                "oci-layout://bb@DIGEST on linux/amd64",
                "exec [\"/bin/sh\", \"-c\", \"hook\"] env=[\"S=1\", \"PATH=P\"] cwd=/ [/=#0] on linux/amd64",
                "exec [\"/bin/sh\", \"-c\", \"true\"] env=[\"S=1\", \"PATH=P\"] cwd=/ [/=#1] on linux/amd64",
            ],
        ),
        // A directory, from which only what is copied is asked for.
        (
            "FROM scratch\nCOPY --from=src a b /\n",
            vec![
                "local://ctx-src local.excludepatterns=[\"x\"] local.followpaths=[\"a\",\"b\"]",
                "copy #0/a to scratch/ follow contents wildcard parents; copy #0/b to ^0/ follow contents wildcard parents",
            ],
        ),
        // In a stage's place: its instructions are not looked at.
        (
            "FROM nowhere AS src\nRUN never\nFROM scratch\nCOPY --from=src a /\n",
            vec![
                "local://ctx-src local.excludepatterns=[\"x\"] local.followpaths=[\"a\"]",
                "copy #0/a to scratch/ follow contents wildcard parents",
            ],
        ),
        // As the base of a stage that runs something: all of it.
        (
            "FROM src\nRUN true\n",
            vec![
                "local://ctx-src local.excludepatterns=[\"x\"]",
                "exec [\"/bin/sh\", \"-c\", \"true\"] env=[\"PATH=P\"] cwd=/ [/=#0] on linux/amd64",
            ],
        ),
        // One of another platform is not meant.
        ("FROM alpine\n", vec!["docker-image://docker.io/library/alpine:latest@DIGEST on linux/amd64"]),
        (
            "FROM --platform=linux/arm64 docker.io/library/alpine\n",
            vec![
                "oci-layout://alp-arm@DIGEST on linux/arm64",
                "exec [\"/bin/sh\", \"-c\", \"hook\"] env=[\"S=1\", \"PATH=P\"] cwd=/ [/=#0] on linux/arm64",
            ],
        ),
        (
            "FROM other\nCOPY --from=busybox /x /\n",
            vec!["oci-layout://bb@DIGEST on linux/amd64", "copy #0/x to scratch/ follow contents wildcard parents"],
        ),
    ] {
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let lowered = build(source, &options(), &world);
        let ops: Vec<String> = ops(&lowered).iter().map(|op| op.replace(path, "PATH=P")).collect();
        assert_eq!(ops, expected, "{source}");
    }
    assert_eq!(
        names(&build("FROM busybox\n", &options(), &world))[0],
        "[context docker.io/library/busybox] OCI load from client"
    );
}

#[test]
fn triggers_run_where_they_are_inherited() {
    let world = World::new()
        .image("docker.io/library/hook:latest", r#"{"OnBuild":["COPY . /src","COPY --from=late /l /l","ENV H=1"]}"#)
        .image("docker.io/library/late:latest", "{}");
    let lowered = build("FROM hook AS x\nRUN make\n", &options(), &world);
    assert_eq!(
        names(&lowered),
        [
            &format!("[x 1/4] FROM docker.io/library/hook:latest@{}", digest()),
            "[internal] load build context",
            "[x 2/4] ONBUILD COPY . /src",
            &format!("FROM docker.io/library/late:latest@{}", digest()),
            "[x 3/4] ONBUILD COPY --from=late /l /l",
            "[x 4/4] RUN make",
        ]
    );
    assert!(lowered.config.config.on_build.is_empty());
    assert!(lowered.config.config.env.contains(&"H=1".to_string()));

    // From a stage to the stage that starts from it, not further; kept by the image itself.
    let source = "FROM alpine AS a\nONBUILD ENV T=1\nFROM a AS b\nENV B=1\nFROM b\nENV C=1\n";
    let env = |target: &str| {
        let options = Options { target: Some(target.into()), ..options() };
        let config = build(source, &options, &World::new()).config.config;
        (config.env[1..].join(" "), config.on_build.join(" "))
    };
    assert_eq!(env("a"), (String::new(), "ENV T=1".into()));
    assert_eq!(env("b"), ("T=1 B=1".into(), String::new()));
    assert_eq!(env("2"), ("T=1 B=1 C=1".into(), String::new()));
}

#[test]
fn a_relative_directory_of_a_base_counts_from_the_root() {
    let world = World::new().image("docker.io/library/rel:latest", r#"{"WorkingDir":"w"}"#);
    for (source, dir) in [("", "/w"), ("WORKDIR $NONE\n", "/w"), ("WORKDIR x\n", "/w/x")] {
        let lowered = build(&format!("FROM rel\n{source}RUN a\n"), &options(), &world);
        assert!(ops(&lowered).pop().unwrap().contains(&format!("cwd={dir} ")), "{source}");
        assert_eq!(lowered.config.config.working_dir, dir);
    }
}

/// Answers only when two are asking.
#[derive(Default)]
struct Together {
    asking: Mutex<usize>,
    arrived: Condvar,
}

impl Resolver for Together {
    fn image(&self, reference: &str, platform: &Platform) -> Result<ResolvedImage, ResolveError> {
        let mut asking = self.asking.lock().unwrap();
        *asking += 1;
        self.arrived.notify_all();
        let wait = self.arrived.wait_timeout_while(asking, Duration::from_secs(20), |asking| *asking < 2);
        if wait.unwrap().1.timed_out() {
            return Err("nobody else is asking".into());
        }
        Resolver::image(&World::new().image(reference, "{}"), reference, platform)
    }

    fn context(&self, name: &str, _: &Platform) -> Result<Context, ResolveError> {
        Err(format!("no context {name}").into())
    }
}

#[test]
fn bases_are_resolved_at_the_same_time() {
    let source = "FROM one AS a\nFROM two\nCOPY --from=a /x /\n";
    let file = Dockerfile::parse(source).unwrap();
    let lowered = lower(&file, source, &options(), &Together::default()).unwrap();
    assert_eq!(ops(&lowered).len(), 3);
}

#[test]
fn an_image_that_several_stages_name_is_asked_for_once() {
    let world = World::new();
    build("FROM alpine AS a\nFROM alpine AS b\nCOPY --from=a x y\nCOPY --from=alpine x z\n", &options(), &world);
    assert_eq!(world.asked.lock().unwrap().len(), 1);
}
