//! What is wrong, where, and what to do.

use routerpack_frontends::dockerfile::lower::{LowerError, Options};

use crate::world::*;

#[test]
fn all_faults_come_at_once() {
    let source = "FROM alpine AS a\nCOPY --chmod=9 x y\nEXPOSE 0-x\nSTOPSIGNAL SIGTREM\nFROM alpine\nCOPY --from=a x y\nVOLUME $X\nENV A=${B\nWORKDIR ${C\n";
    let error = try_lower(source, &options(), &World::new()).err().unwrap();
    let found: Vec<_> = error.diagnostics().iter().map(|d| (d.span.of(source), d.replacement.clone())).collect();
    // What stands behind an ENV with a fault may only be wrong because of it.
    let plain = |text| (text, None);
    assert_eq!(found, [plain("9"), plain("0-x"), ("SIGTREM", Some("SIGTERM".into())), plain("$X"), plain("${B")]);

    let source = "FROM nowhere:1\nFROM Alpine\nFROM $X\nFROM --platform=amr64 alpine\n";
    let error = try_lower(source, &options(), &World::new()).err().unwrap();
    let blamed = |error: &LowerError| error.diagnostics().iter().map(|d| d.span.of(source)).collect::<Vec<_>>();
    assert_eq!(blamed(&error), ["$X", "amr64"]);
    assert_eq!(error.others[0].replacement.as_deref(), Some("arm64"));

    let source = "FROM nowhere:1 AS a\nFROM there:2\nCOPY --from=a x y\n";
    let error = try_lower(source, &options(), &World::new()).err().unwrap();
    let names = error.diagnostics().iter().map(|d| d.span.of(source).to_string()).collect::<Vec<_>>();
    assert_eq!(names, ["nowhere:1", "there:2"]);

    let source = format!("FROM alpine\n{}", "EXPOSE x\n".repeat(500));
    let error = try_lower(&source, &options(), &World::new()).err().unwrap();
    assert_eq!(error.diagnostics().len(), 101);
    assert!(error.others.last().unwrap().to_string().contains("too many errors"));
}

/// Source, the text that is blamed, the message, and the help (or a part of it).
#[test]
fn faults_point_at_their_place() {
    for (source, blamed, message, help) in [
        ("FROM $X\n", "$X", "base name ($X) should not be blank", "--build-arg"),
        ("ARG BASE=alpine\nFROM $BSAE\n", "$BSAE", "should not be blank", "did you mean $BASE?"),
        ("FROM alpine\nARG A='x\nRUN y\n", "'x", "matching single-quote", "close the quote"),
        ("FROM alpine\nENV A=b C=x${D:?}y\n", "${D:?}", "D: is not allowed to be unset", "--build-arg D=…"),
        ("FROM alpine\nCOPY <<E /x\na\nb ${c\nE\n", "${c\n", "unsupported modifier", "behind the name"),
        (
            "FROM alpine\nRUN --mount=type=cache,target=/c,sharing=lokced x\n",
            "lokced",
            "unsupported sharing value",
            "did you mean locked?",
        ),
        ("FROM alpine\nRUN --mount=type=bind,targte=/c x\n", "targte", "unexpected key", "did you mean target?"),
        ("FROM alpine\nRUN --mount=type=cache,target=/c,mode=9 x\n", "9", "invalid value 9 for mode", "0700"),
        ("FROM alpine\nRUN --mount=target=/c,size=1 x\n", "size", "unexpected key 'size'", "type=tmpfs"),
        ("FROM alpine\nRUN --mount=type=tmpfs,target=/c,size=x y\n", "x", "invalid value for size", "64m"),
        ("FROM alpine\nRUN --mount=target=/c,mode=1 x\n", "mode=1", "mode not allowed", "keeps its own"),
        ("FROM alpine\nRUN --mount=target=/c,ro=x y\n", "x", "invalid value for ro", "true or false"),
        ("FROM alpine\nRUN --mount=target y\n", "target", "must be a key=value pair", "target=…"),
        ("FROM alpine\nRUN --mount=type=secret y\n", "type=secret", "one of source, target required", "id=NAME"),
        ("FROM alpine\nRUN --mount=target=/c,sharing=shared y\n", "sharing=shared", "invalid cache sharing", "remove"),
        ("FROM alpine\nRUN --mount=target=/c,src=${A y\n", "${A", "missing '}'", "close the substitution"),
        ("FROM alpine\nEXPOSE 80/tpc\n", "80/tpc", "invalid proto: tpc", "tcp, udp or sctp"),
        ("FROM ${X:?lost}\n", "${X:?lost}", "X: lost", ""),
        ("FROM --platform=$P alpine\n", "$P", "empty platform value from expression $P", ""),
        ("FROM --platform=a/b/c/d alpine\n", "a/b/c/d", "failed to parse platform a/b/c/d", ""),
        ("FROM Alpine\n", "Alpine", "failed to parse stage name \"Alpine\"", "did you mean alpine?"),
        ("FROM a:b:c\n", "a:b:c", "failed to parse stage name \"a:b:c\"", ""),
        ("FROM alpine AS builder\nFROM buidler\n", "buidler", "cannot resolve buidler", "did you mean builder?"),
        ("FROM alpine\nCOPY --from=5 a b\n", "5", "invalid stage index 5", "from 0 to 0"),
        (
            "FROM alpine AS a\nCOPY --from=b x y\nFROM alpine AS b\nFROM a\n",
            "b",
            "cannot copy from stage \"b\", it needs to be defined before current stage \"a\"",
            "before this one",
        ),
        (
            "FROM alpine AS a\nRUN --mount=from=b,target=/b x\nFROM alpine AS b\nFROM a\n",
            "b",
            "cannot mount from stage \"b\" to \"/b\", stage needs to be defined before current command",
            "",
        ),
        ("FROM alpine AS a\nCOPY --from=a x y\n", "a", "circular dependency detected on stage", "take from itself"),
        (
            "FROM alpine AS a\nCOPY --from=b x y\nFROM alpine AS b\nCOPY --from=a x y\n",
            "a",
            "circular dependency detected on stage: a",
            "need each other",
        ),
        ("FROM alpine\nRUN --device=x y\n", "x", "RUN --device isn't supported", "remove --device"),
        ("FROM alpine\nRUN --mount=target=/ x\n", "target=/", "invalid mount target \"/\"", "below /"),
        (
            "FROM alpine\nARG T=cahce\nRUN --mount=type=$T,target=/x y\n",
            "$T",
            "unsupported mount type \"cahce\"",
            "did you mean cache?",
        ),
        ("FROM alpine\nCOPY --chmod=999 a b\n", "999", "invalid chmod parameter: '999'", "0755"),
        ("FROM alpine\nCOPY https://h/x b\n", "https://h/x", "source can't be a URL for COPY", ""),
        ("FROM alpine\nCOPY https://h/x.git b\n", "https://h/x.git", "source can't be a git ref for COPY", ""),
        ("FROM alpine\nADD --checksum=x a b\n", "x", "checksum requires HTTP(S) or Git sources", ""),
        (
            "FROM alpine\nADD --checksum=x http://h/a c b/\n",
            "x",
            "checksum can't be specified for multiple sources",
            "",
        ),
        ("FROM alpine\nADD --checksum=x http://h/a b\n", "x", "\"x\" is not a checksum", ""),
        (
            "FROM alpine\nADD https://h/x.git?a=b c\n",
            "https://h/x.git?a=b",
            "https://h/x.git?a=b: unexpected query \"a\"",
            "",
        ),
        ("FROM alpine\nEXPOSE 99999\n", "99999", "invalid containerPort: 99999", ""),
        ("FROM alpine\nSTOPSIGNAL SIGNOTHING\n", "SIGNOTHING", "invalid signal: SIGNOTHING", "SIGTERM"),
        ("FROM alpine\nVOLUME $X\n", "$X", "VOLUME specified can not be an empty string", ""),
        ("FROM alpine\nENV A=${B\n", "${B", "failed to process \"${B\": syntax error: missing '}'", ""),
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
        let to_do = diagnostic.help.as_deref().unwrap_or_default();
        assert!(to_do.contains(help), "{source}: {to_do:?}");
        assert!(!to_do.is_empty() || message.starts_with("cannot resolve"), "nothing to do: {source}");
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
        assert_eq!(error.span.of(&source), base);
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
