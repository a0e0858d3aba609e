//! What is wrong, where, and what to do.

use routerpack_frontends::dockerfile::lower::Options;

use crate::world::*;

/// Source, the text that is blamed, the message, and the help (or a part of it).
#[test]
fn faults_point_at_their_place() {
    for (source, blamed, message, help) in [
        ("FROM $X\n", "$X", "base name ($X) should not be blank", "--build-arg"),
        ("FROM ${X:?lost}\n", "${X:?lost}", "X: lost", ""),
        ("FROM --platform=$P alpine\n", "--platform=$P", "empty platform value from expression $P", ""),
        ("FROM --platform=a/b/c/d alpine\n", "--platform=a/b/c/d", "failed to parse platform a/b/c/d", ""),
        ("FROM Alpine\n", "FROM Alpine", "failed to parse stage name \"Alpine\"", ""),
        ("FROM a:b:c\n", "FROM a:b:c", "failed to parse stage name \"a:b:c\"", ""),
        ("FROM alpine AS builder\nFROM buidler\n", "FROM buidler", "cannot resolve buidler", "did you mean builder?"),
        ("FROM alpine\nCOPY --from=5 a b\n", "--from=5", "invalid stage index 5", "from 0 to 0"),
        (
            "FROM alpine AS a\nCOPY --from=b x y\nFROM alpine AS b\nFROM a\n",
            "COPY --from=b x y",
            "cannot copy from stage \"b\", it needs to be defined before current stage \"a\"",
            "before this one",
        ),
        (
            "FROM alpine AS a\nRUN --mount=from=b,target=/b x\nFROM alpine AS b\nFROM a\n",
            "RUN --mount=from=b,target=/b x",
            "cannot mount from stage \"b\" to \"/b\", stage needs to be defined before current command",
            "",
        ),
        (
            "FROM alpine AS a\nCOPY --from=a x y\n",
            "COPY --from=a x y",
            "circular dependency detected on stage",
            "take from itself",
        ),
        (
            "FROM alpine AS a\nCOPY --from=b x y\nFROM alpine AS b\nCOPY --from=a x y\n",
            "COPY --from=a x y",
            "circular dependency detected on stage: a",
            "need each other",
        ),
        ("FROM alpine\nRUN --device=x y\n", "RUN --device=x y", "RUN --device isn't supported", "remove --device"),
        ("FROM alpine\nRUN --mount=target=/ x\n", "RUN --mount=target=/ x", "invalid mount target \"/\"", "below /"),
        (
            "FROM alpine\nARG T=cahce\nRUN --mount=type=$T,target=/x y\n",
            "RUN --mount=type=$T,target=/x y",
            "unsupported mount type \"cahce\"",
            "did you mean cache?",
        ),
        ("FROM alpine\nCOPY --chmod=999 a b\n", "COPY --chmod=999 a b", "invalid chmod parameter: '999'", ""),
        ("FROM alpine\nCOPY https://h/x b\n", "COPY https://h/x b", "source can't be a URL for COPY", ""),
        ("FROM alpine\nCOPY https://h/x.git b\n", "COPY https://h/x.git b", "source can't be a git ref for COPY", ""),
        ("FROM alpine\nADD --checksum=x a b\n", "ADD --checksum=x a b", "checksum requires HTTP(S) or Git sources", ""),
        (
            "FROM alpine\nADD --checksum=x http://h/a c b/\n",
            "ADD --checksum=x http://h/a c b/",
            "checksum can't be specified for multiple sources",
            "",
        ),
        (
            "FROM alpine\nADD --checksum=x http://h/a b\n",
            "ADD --checksum=x http://h/a b",
            "\"x\" is not a checksum",
            "",
        ),
        (
            "FROM alpine\nADD https://h/x.git?a=b c\n",
            "ADD https://h/x.git?a=b c",
            "https://h/x.git?a=b: unexpected query \"a\"",
            "",
        ),
        ("FROM alpine\nEXPOSE 99999\n", "EXPOSE 99999", "invalid containerPort: 99999", ""),
        ("FROM alpine\nSTOPSIGNAL SIGNO\n", "STOPSIGNAL SIGNO", "invalid signal: SIGNO", "SIGTERM"),
        ("FROM alpine\nVOLUME $X\n", "VOLUME $X", "VOLUME specified can not be an empty string", ""),
        ("FROM alpine\nENV A=${B\n", "ENV A=${B", "failed to process \"${B\": syntax error: missing '}'", ""),
        (
            "ARG SOURCE_DATE_EPOCH=now\nFROM alpine\n",
            "ARG SOURCE_DATE_EPOCH=now",
            "invalid SOURCE_DATE_EPOCH: now",
            "seconds",
        ),
    ] {
        let error = try_lower(source, &options(), &World::new()).err().unwrap_or_else(|| panic!("no error: {source}"));
        let diagnostic = error.diagnostic();
        assert!(diagnostic.message.contains(message), "{source}: {}", diagnostic.message);
        assert_eq!(error.span.of(source), blamed, "{source}: {}", diagnostic.message);
        assert!(diagnostic.help.clone().unwrap_or_default().contains(help), "{source}: {:?}", diagnostic.help);
    }
}

#[test]
fn an_unknown_target_lists_the_known_ones() {
    let error = |source: &str, target: &str| {
        let options = Options { target: Some(target.into()), ..options() };
        try_lower(source, &options, &World::new()).err().unwrap().diagnostic().to_string()
    };
    let source = "FROM alpine AS build\nFROM alpine AS final\n";
    assert_eq!(error(source, "biuld"), "target stage \"biuld\" could not be found: did you mean build?");
    assert!(error(source, "nothing").ends_with("the stages are: build, final"));
    assert!(error(source, "2").contains("could not be found"));
    assert!(error("FROM alpine\n", "x").contains("no stage has a name"));
}

#[test]
fn faults_in_a_bases_triggers_are_its_froms() {
    let world = World::new()
        .image("docker.io/library/bad:latest", r#"{"OnBuild":["FORM x"]}"#)
        .image("docker.io/library/two:latest", r#"{"OnBuild":["RUN a\nRUN b"]}"#)
        .image("docker.io/library/port:latest", r#"{"OnBuild":["EXPOSE x"]}"#);
    for (base, message) in [
        ("bad", "ONBUILD trigger of the base, `FORM x`"),
        ("two", "ONBUILD trigger of the base"),
        ("port", "invalid containerPort: x"),
    ] {
        let source = format!("FROM {base}\nRUN x\n");
        let error = try_lower(&source, &options(), &world).err().unwrap();
        assert_eq!(error.span.of(&source), format!("FROM {base}"));
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn a_broken_config_names_its_image() {
    let mut world = World::new();
    world.images.insert("docker.io/library/x:latest".into(), "{".into());
    let error = try_lower("FROM x\n", &options(), &world).err().unwrap();
    assert!(error.to_string().contains("failed to parse the image config of x"), "{error}");
    assert!(error.diagnostic().reason.unwrap().contains("EOF"));
}

#[test]
fn values_that_double_stop_in_time() {
    let source = format!("FROM alpine\nENV A=0123456789\n{}", "ENV A=$A$A\n".repeat(40));
    let error = try_lower(&source, &options(), &World::new()).err().unwrap();
    assert!(error.to_string().contains("too large"), "{error}");
    let label = format!("FROM alpine\nENV A={}\n{}", "x".repeat(60_000), "LABEL l=$A$A$A$A$A$A$A$A$A$A\n".repeat(120));
    assert!(try_lower(&label, &options(), &World::new()).is_err());
}
