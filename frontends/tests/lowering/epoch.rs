//! `SOURCE_DATE_EPOCH` by number and by name.

use routerpack_frontends::dockerfile::lower::{Context, Options};
use routerpack_graph::source::{Git, Http};

use crate::world::*;

/// What has a time here, and a context of each kind.
fn world() -> World {
    let mut world = World::new()
        .context("dir", Context::Local { name: "dir".into(), exclude: Vec::new() })
        .context("file", Context::Http(Box::new(Http::new("https://h/file"))))
        .context("repo", Context::Git(Box::new(Git::new("h/repo.git"))))
        .context("image", Context::Store { name: "s".into(), digest: digest(), config: b"{}".to_vec() });
    for (identifier, time) in [
        ("https://h/file", Some(11)),
        ("git://h/repo.git", Some(12)),
        ("https://h/src.tar", Some(13)),
        ("git://h/src.git#v1", Some(14)),
        ("https://h/undated", None),
    ] {
        world.times.insert(identifier.into(), time);
    }
    world
}

#[test]
fn names_lead_to_times() {
    let stage = |body: &str| format!("ARG U=https://h\nFROM scratch AS src\n{body}\n");
    for (written, before, epoch) in [
        ("1700000000", String::new(), Some(1_700_000_000)),
        ("-1", String::new(), Some(-1)),
        ("", String::new(), None),
        // a directory, an image and nothing at all have no time
        ("context", String::new(), None),
        ("dir", String::new(), None),
        ("image", String::new(), None),
        ("file", String::new(), Some(11)),
        ("repo", String::new(), Some(12)),
        ("docker.io/library/repo:latest", String::new(), Some(12)),
        ("src", stage("ADD $U/src.tar /"), Some(13)),
        (
            "SRC",
            stage(
                "ARG F=src.tar\nADD --checksum=sha256:0000000000000000000000000000000000000000000000000000000000000000 ${U}/$F /x",
            ),
            Some(13),
        ),
        ("src", stage("ADD $U/src.git#v1 /"), Some(14)),
        ("src", stage("ADD $U/undated /"), None),
        // a named context comes before a stage
        ("file", "FROM scratch AS file\nRUN x\n".to_string(), Some(11)),
    ] {
        let last = "FROM alpine\nARG SOURCE_DATE_EPOCH\nWORKDIR /w\n";
        let (own, stages) = before.split_once('\n').filter(|_| before.starts_with("ARG")).unwrap_or(("", &before));
        let as_argument = build(&format!("{before}{last}"), &with_args(&[("SOURCE_DATE_EPOCH", written)]), &world());
        let as_default = format!("{own}\nARG SOURCE_DATE_EPOCH={written}\n{stages}{last}");
        let as_default = build(&as_default, &options(), &world());
        for lowered in [as_argument, as_default] {
            assert_eq!(lowered.epoch, epoch, "{written} {before}");
            let history = &lowered.config.history;
            let line = history.iter().find(|line| line.created_by.starts_with("ARG")).unwrap();
            let shown = epoch.map(|seconds| format!("={seconds}")).unwrap_or_default();
            let shown = if written.is_empty() && line.created_by.ends_with('=') { "=".into() } else { shown };
            assert_eq!(line.created_by, format!("ARG SOURCE_DATE_EPOCH{shown}"), "{written}");
            let created = epoch.map(|seconds| jiff::Timestamp::from_second(seconds).unwrap().to_string());
            assert!(history[1..].iter().all(|line| line.created == created), "{history:?}");
            let timed = epoch.filter(|seconds| *seconds >= 0).map(|seconds| format!(" time={seconds}000000000"));
            let made = format!("mkdir #0/w mode=755 parents{}", timed.unwrap_or_default());
            assert_eq!(ops(&lowered).pop().unwrap(), made, "{written}");
        }
    }
}

#[test]
fn a_build_argument_wins_and_an_empty_one_takes_it_away() {
    let source = "ARG SOURCE_DATE_EPOCH=nonsense\nFROM alpine\nARG SOURCE_DATE_EPOCH\nENV A=$SOURCE_DATE_EPOCH\n";
    for (given, epoch) in [("7", Some(7)), ("file", Some(11)), ("", None)] {
        let lowered = build(source, &with_args(&[("SOURCE_DATE_EPOCH", given)]), &world());
        assert_eq!(lowered.epoch, epoch);
        let value = epoch.map(|seconds: i64| seconds.to_string()).unwrap_or_default();
        assert!(lowered.config.config.env.contains(&format!("A={value}")), "{given}");
    }
    // a stage's own default is another variable
    let source = source.replace("nonsense", "file").replace("EPOCH\nENV", "EPOCH=5\nENV");
    let lowered = build(&source, &options(), &world());
    assert_eq!(lowered.epoch, Some(11));
    assert!(lowered.config.config.env.contains(&"A=5".to_string()));
}

#[test]
fn the_main_context_may_have_a_time() {
    let context = Context::Git(Box::new(Git::new("h/repo.git")));
    let options = Options { context, ..with_args(&[("SOURCE_DATE_EPOCH", "context")]) };
    assert_eq!(build("FROM scratch\nCOPY a /\n", &options, &world()).epoch, Some(12));
}

#[test]
fn what_has_no_time_by_its_nature_is_refused() {
    let stage = |body: &str| format!("FROM scratch AS src\n{body}FROM alpine\n");
    for (name, source, blamed, message) in [
        ("nothing", stage(""), "FROM scratch AS src", "invalid SOURCE_DATE_EPOCH: nothing"),
        ("1e9", stage(""), "FROM scratch AS src", "invalid SOURCE_DATE_EPOCH: 1e9"),
        ("99999999999999", stage(""), "FROM scratch AS src", "invalid SOURCE_DATE_EPOCH: 99999999999999"),
        ("src", stage(""), "FROM scratch AS src", "must contain exactly one remote ADD"),
        ("src", "FROM alpine AS src\nADD https://h/src.tar /\n".into(), "alpine", "must use FROM scratch"),
        (
            "src",
            stage("COPY a /\n"),
            "COPY a /",
            "SOURCE_DATE_EPOCH stage does not meet source-only requirements: unsupported COPY instruction",
        ),
        ("src", stage("ADD a /\n"), "ADD a /", "source must be a single HTTP(S) or Git ADD"),
        ("src", stage("ADD https://h/a https://h/b /\n"), "ADD https://h/a https://h/b /", "one remote ADD source"),
        ("src", stage("ADD https://h/a /\nADD https://h/b /\n"), "ADD https://h/b /", "exactly one remote ADD"),
        ("src", stage("ADD --checksum=x https://h/a /\n"), "https://h/a", "\"x\" is not a checksum"),
        ("src", stage("ADD https://h/a.git?x=y /\n"), "https://h/a.git?x=y", "unexpected query"),
    ] {
        let error = try_lower(&source, &with_args(&[("SOURCE_DATE_EPOCH", name)]), &world()).err();
        let error = error.unwrap_or_else(|| panic!("no error: {name} {source}"));
        assert!(error.to_string().contains(message), "{name} {source}: {error}");
        assert_eq!(error.span.of(&source), blamed, "{error}");
    }
    let near = try_lower(&stage(""), &with_args(&[("SOURCE_DATE_EPOCH", "contxt")]), &world()).err().unwrap();
    assert!(near.diagnostic().help.unwrap().contains("did you mean context?"));
}
