//! What a definition holds, and what a reader takes and refuses.

use std::sync::Arc;

use proptest::prelude::*;
use prost::Message;
use routerpack_graph::exec::{CacheSharing, Exec, Mount, Network, Secret, Security, Ssh};
use routerpack_graph::file::{Action, CopyOptions, FileOp, Id, InvalidFileOp, Owner, Place};
use routerpack_graph::merge::{diff, merge};
use routerpack_graph::source::{Git, Http, Image, Local, OciLayout};
use routerpack_graph::{
    Constraints, Definition, Digest, Graph, InvalidDefinition, Output, Platform, SourceLocation, SourceMap, pb,
};

fn arm64() -> Constraints {
    Constraints::on(&Platform::new("linux", "arm64", ""))
}

fn mkdir(path: &str) -> Action {
    Action::Mkdir { path: path.into(), mode: 0o755, parents: true, owner: None, timestamp: None }
}

fn copy(from: Option<Output>, src: &str, dest: &str, owner: Option<Owner>) -> Action {
    let options = CopyOptions { owner, ..CopyOptions::default() };
    Action::Copy { from: Place::Input(from), src: src.into(), dest: dest.into(), options: Box::new(options) }
}

fn op(output: &Output) -> pb::Op {
    pb::Op::decode(output.vertex().bytes()).unwrap()
}

fn caps(output: &Output) -> Vec<String> {
    output.vertex().metadata().caps.keys().cloned().collect()
}

/// image → mkdir → RUN with the context, a cache, a secret and an agent; merged with a copy onto scratch.
fn sample() -> Output {
    let image = Image::new("docker.io/library/alpine:latest").output(&arm64());
    let context = Local::new("context").output(&arm64());
    let dir = FileOp::on(Some(image)).then(mkdir("/src")).output(&arm64()).unwrap();
    let exec = Exec {
        mounts: vec![
            Mount { readonly: true, ..Mount::bind("/ctx", Some(context.clone())) },
            Mount::cache("/cache", "c", CacheSharing::Locked),
            Mount::tmpfs("/tmp", 1 << 20),
        ],
        secrets: vec![Secret { env: Some("TOKEN".into()), ..Secret::file("token", "/run/secrets/token") }],
        ssh: vec![Ssh::agent("default")],
        network: Network::None,
        security: Security::Insecure,
        ..Exec::new(Some(dir), ["true"])
    };
    let ran = exec.run(&arm64().named("RUN true")).unwrap().root();
    let copied = FileOp::on(None).then(copy(Some(context), "/a", "/b", None)).output(&arm64()).ok();
    merge([ran, copied], &arm64()).unwrap()
}

#[test]
fn platform_and_constraints_are_where_buildkit_has_them() {
    let target = sample();
    let graph = Definition::of(Some(&target)).graph().unwrap();
    for node in &graph.nodes {
        let specific = match node.op.op.as_ref().unwrap() {
            pb::op::Op::Source(source) => source.identifier.starts_with("docker-image://"),
            pb::op::Op::Exec(_) => true,
            _ => false,
        };
        assert_eq!(node.op.platform.is_some(), specific, "{}", node.name());
        assert_eq!(node.op.constraints, Some(pb::WorkerConstraints::default()));
    }
    let layout = OciLayout::new("base", &Digest::of(b"x")).output(&arm64());
    assert_eq!(op(&layout).platform.unwrap().architecture, "arm64");
    assert_eq!(caps(&layout), ["source.ocilayout"]);
}

#[test]
fn sources_say_their_attributes_and_capabilities() {
    let words = |w: &[&str]| w.iter().map(|w| w.to_string()).collect::<Vec<_>>();
    let local = Local {
        follow_paths: words(&["a<b", "c"]),
        exclude: words(&["*.o"]),
        shared_key: Some("k".into()),
        session: Some("s".into()),
        ..Local::new("context")
    };
    let http = Http {
        checksum: Some(Digest::of(b"")),
        filename: Some("f".into()),
        perm: Some(0o644),
        gid: 5,
        ..Http::new("https://host/f")
    };
    let git = Git {
        subdir: Some("sub".into()),
        keep_git_dir: true,
        auth_token_secret: Some("T".into()),
        ..Git::new("host/r.git")
    };
    type Case<'a> = (Output, &'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: [Case; 3] = [
        (
            local.output(&arm64()),
            "local://context",
            &[
                ("local.excludepatterns", r#"["*.o"]"#),
                ("local.followpaths", r#"["a\u003cb","c"]"#),
                ("local.session", "s"),
                ("local.sharedkeyhint", "k"),
            ],
            &[
                "source.local",
                "source.local.excludepatterns",
                "source.local.followpaths",
                "source.local.sessionid",
                "source.local.sharedkeyhint",
            ],
        ),
        (
            http.output(&arm64()),
            "https://host/f",
            &[
                ("http.checksum", "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
                ("http.filename", "f"),
                ("http.gid", "5"),
                ("http.perm", "0644"),
            ],
            &["soruce.http.uidgid", "source.http", "source.http.checksum", "source.http.perm"],
        ),
        (
            git.output(&arm64()),
            "git://host/r.git#:sub",
            &[("git.authtokensecret", "T"), ("git.keepgitdir", "true")],
            &["source.git", "source.git.httpauth", "source.git.keepgitdir"],
        ),
    ];
    for (output, identifier, attrs, needs) in cases {
        let Some(pb::op::Op::Source(source)) = op(&output).op else { panic!("a source") };
        assert_eq!(source.identifier, identifier);
        assert_eq!(source.attrs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), attrs);
        assert_eq!(caps(&output), needs);
    }
}

#[test]
fn an_exec_numbers_inputs_and_results_by_destination() {
    let image = Image::new("i").output(&arm64());
    let exec = Exec {
        mounts: vec![
            Mount::bind("/z", Some(image.clone())),
            Mount { discard: true, ..Mount::bind("/b", Some(image.clone())) },
            Mount { readonly: true, ..Mount::bind("/a", Some(image.clone())) },
        ],
        env: vec!["A=1".into()],
        ssh: vec![Ssh::agent("x"), Ssh::agent("y")],
        ..Exec::new(Some(image.clone()), ["true"])
    };
    let ran = exec.run(&arm64()).unwrap();
    assert_eq!(ran.root().unwrap().index(), 0);
    assert_eq!(ran.mount("/z").unwrap().index(), 1);
    assert_eq!(ran.mount("/a"), Some(image));
    assert_eq!((ran.mount("/b"), ran.mount("/nowhere")), (None, None));
    let message = op(&ran.root().unwrap());
    assert_eq!(message.inputs.len(), 1, "equal inputs share a slot");
    let Some(pb::op::Op::Exec(op)) = message.op else { panic!("an exec") };
    let mounts: Vec<_> = op.mounts.iter().map(|m| (m.dest.as_str(), m.input, m.output)).collect();
    let agents = [("/run/buildkit/ssh_agent.0", -1, 0), ("/run/buildkit/ssh_agent.1", -1, 0)];
    assert_eq!(mounts[..4], [("/", 0, 0), ("/a", 0, -1), ("/b", 0, -1), ("/z", 0, 1)]);
    assert_eq!(mounts[4..], agents);
    assert_eq!(op.meta.unwrap().env, ["A=1", "SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0"]);

    assert!(Exec::new(None, Vec::<String>::new()).run(&arm64()).is_err());
    let bad = |mount| Exec { mounts: vec![mount], ..Exec::new(None, ["x"]) }.run(&arm64()).is_err();
    assert!(bad(Mount::cache("/c", "", CacheSharing::Shared)));
    assert!(bad(Mount { source: ran.root(), ..Mount::tmpfs("/t", 0) }));
}

#[test]
fn a_file_op_counts_owners_and_earlier_actions_from_its_inputs() {
    let (base, from) = (Image::new("a").output(&arm64()), Image::new("b").output(&arm64()));
    let output = FileOp::on(Some(base))
        .then(mkdir("/d"))
        .then(copy(Some(from), "/x", "/d/", Some(Owner::parse("app:33"))))
        .then(Action::Rm { path: "/d/y*".into(), allow_not_found: true, allow_wildcard: true })
        .output(&arm64())
        .unwrap();
    let Some(pb::op::Op::File(file)) = op(&output).op else { panic!("a file op") };
    let edges: Vec<_> = file.actions.iter().map(|a| (a.input, a.secondary_input, a.output)).collect();
    assert_eq!(edges, [(0, -1, -1), (2, 1, -1), (3, -1, 0)]);
    let Some(pb::file_action::Action::Copy(copy)) = &file.actions[1].action else { panic!("a copy") };
    let owner = copy.owner.clone().unwrap();
    let named = pb::user_opt::User::ByName(pb::NamedUserOpt { name: "app".into(), input: 0 });
    assert_eq!(owner.user.unwrap().user, Some(named));
    assert_eq!(owner.group.unwrap().user, Some(pb::user_opt::User::ById(33)));
    assert_eq!((copy.mode, copy.timestamp), (-1, -1));
    assert_eq!(caps(&output), ["file.base", "file.rm.wildcard"]);

    assert_eq!(FileOp::on(None).output(&arm64()), Err(InvalidFileOp::Empty));
    let forward = FileOp::on(None).then_on(Place::Action(0), mkdir("/x")).output(&arm64());
    assert_eq!(forward, Err(InvalidFileOp::Forward { action: 0, target: 0 }));
}

#[test]
fn owners_are_read_as_buildkit_reads_them() {
    let number = |n| Some(Id::Number(n));
    let name = |n: &str| Some(Id::Name(n.into()));
    for (text, user, group) in [
        ("0:0", number(0), number(0)),
        ("root", number(0), None),
        ("1000", number(1000), None),
        ("app:root", name("app"), number(0)),
        (":staff", number(0), name("staff")),
        // larger than BuildKit's own parser takes, but an id all the same
        ("4000000000:4294967294", number(4_000_000_000), number(4_294_967_294)),
        ("4294967296", name("4294967296"), None),
    ] {
        assert_eq!(Owner::parse(text), Owner { user, group }, "{text}");
    }
}

#[test]
fn merges_and_diffs_of_scratch_vanish() {
    let image = Some(Image::new("a").output(&arm64()));
    assert_eq!(merge([None, None], &arm64()), None);
    assert_eq!(merge([None, image.clone()], &arm64()), image);
    assert_eq!(diff(None, image.as_ref(), &arm64()), image);
    let twice = merge([image.clone(), image.clone()], &arm64()).unwrap();
    assert_eq!(op(&twice).inputs.len(), 2);
    let gone = diff(image.as_ref(), None, &arm64()).unwrap();
    let Some(pb::op::Op::Diff(diff)) = op(&gone).op else { panic!("a diff") };
    assert_eq!((diff.lower.unwrap().input, diff.upper.unwrap().input), (0, -1));
}

#[test]
fn a_definition_lists_inputs_first_and_ends_in_its_target() {
    let target = sample();
    let definition = Definition::of(Some(&target));
    let graph = definition.graph().unwrap();
    let names: Vec<_> = graph.nodes.iter().map(|n| n.name()).collect();
    let expected = ["docker-image://docker.io/library/alpine:latest", "file", "local://context", "RUN true"];
    assert_eq!(names[..4], expected);
    assert_eq!(names[4..], ["file", "merge"]);
    assert_eq!(graph.target.unwrap().node, 5);
    let terminal = Digest::of(definition.ops.last().unwrap());
    let needs: Vec<_> = definition.metadata[terminal.as_str()].caps.keys().cloned().collect();
    assert_eq!(needs, ["constraints", "meta.description", "platform"]);
    assert_eq!(Definition::of(Some(&sample())).to_bytes(), definition.to_bytes(), "equal graphs, equal bytes");
    assert_eq!(Definition::from_bytes(&definition.to_bytes()).unwrap(), definition);
    let scratch = Definition::of(None);
    assert!(scratch.ops.is_empty() && scratch.graph().unwrap().target.is_none());
}

#[test]
fn a_graph_says_what_it_asks_of_the_client() {
    let optional = Exec {
        secrets: vec![Secret { optional: true, ..Secret::file("key", "/key") }],
        ssh: vec![Ssh { optional: true, ..Ssh::agent("") }],
        ..Exec::new(None, ["x"])
    };
    let first = optional.run(&arm64()).unwrap().root();
    let both = Exec {
        secrets: vec![Secret { optional: true, env: Some("B".into()), ..Secret::file("b", "/b") }],
        ssh: vec![Ssh::agent("deploy")],
        ..Exec::new(first.clone(), ["y"])
    };
    let graph = Definition::of(both.run(&arm64()).unwrap().root().as_ref()).graph().unwrap();
    assert_eq!(graph.secrets().into_iter().collect::<Vec<_>>(), [("b", false), ("key", false)]);
    assert_eq!(graph.ssh_agents().into_iter().collect::<Vec<_>>(), [("", false), ("deploy", true)]);
    // Needed once is needed.
    let needed = Exec { secrets: vec![Secret::file("key", "/k")], ..Exec::new(first, ["z"]) };
    let graph = Definition::of(needed.run(&arm64()).unwrap().root().as_ref()).graph().unwrap();
    assert_eq!(graph.secrets().into_iter().collect::<Vec<_>>(), [("key", true)]);
}

#[test]
fn a_definition_shows_where_ops_come_from() {
    let map = Arc::new(SourceMap {
        filename: "Dockerfile".into(),
        language: "Dockerfile".into(),
        data: b"FROM a\nRUN b\n".to_vec(),
    });
    let image = Image::new("a").output(&arm64().located(SourceLocation::lines(&map, 1, 1)));
    let exec = Exec::new(Some(image), ["b"]);
    let ran = exec.run(&arm64().located(SourceLocation::lines(&map, 2, 2))).unwrap();
    let mut definition = Definition::of(ran.root().as_ref());
    let graph = definition.graph().unwrap();
    assert_eq!(graph.sources.len(), 1);
    let line = |n: usize| graph.nodes[n].locations[0].ranges[0].start.unwrap().line;
    assert_eq!((line(0), line(1)), (1, 2));
    // A location that points past the texts is dropped, not believed.
    let source = definition.source.as_mut().unwrap();
    source.locations.values_mut().for_each(|l| l.locations[0].source_index = 7);
    assert!(definition.graph().unwrap().nodes[0].locations.is_empty());
}

#[test]
fn a_very_long_chain_is_walked_and_dropped_without_recursion() {
    let mut state = Some(Image::new("a").output(&arm64()));
    for i in 0..50_000 {
        state = FileOp::on(state).then(mkdir(&format!("/{i}"))).output(&arm64()).ok();
    }
    let graph = Definition::of(state.as_ref()).graph().unwrap();
    assert_eq!(graph.nodes.len(), 50_001);
}

/// A definition of these ops, each referring to the one before, with a proper end.
fn crafted(op: pb::Op) -> Definition {
    let bytes = op.encode_to_vec();
    let input = pb::Input { digest: Digest::of(&bytes).to_string(), index: 0 };
    let terminal = pb::Op { inputs: vec![input], ..Default::default() }.encode_to_vec();
    Definition { ops: vec![bytes, terminal], ..Default::default() }
}

#[test]
fn bad_definitions_are_refused_with_a_reason() {
    let good = Definition::of(Some(&sample()));
    let mut missing = good.clone();
    missing.ops.remove(0);
    assert!(matches!(missing.graph(), Err(InvalidDefinition::MissingInput { .. })));
    let mut endless = good.clone();
    endless.ops.pop();
    assert!(matches!(endless.graph(), Err(InvalidDefinition::NoTarget)));
    let mut shuffled = good.clone();
    shuffled.ops[..6].reverse();
    assert_eq!(shuffled.graph().unwrap().nodes.len(), 6, "order doesn't matter to a reader");
    let mut garbage = good.clone();
    garbage.ops[0] = vec![0xff; 9];
    assert!(garbage.graph().is_err());

    let exec = |mounts: Vec<pb::Mount>, cwd: &str| {
        let meta = pb::Meta { args: vec!["x".into()], cwd: cwd.into(), ..Default::default() };
        pb::op::Op::Exec(pb::ExecOp { meta: Some(meta), mounts, ..Default::default() })
    };
    let mount = |dest: &str, input, output, mount_type| pb::Mount {
        dest: dest.into(),
        input,
        output,
        mount_type,
        ..Default::default()
    };
    let file = |input, output| {
        let action = pb::file_action::Action::Rm(pb::FileActionRm::default());
        let action = pb::FileAction { input, secondary_input: -1, output, action: Some(action) };
        pb::op::Op::File(pb::FileOp { actions: vec![action] })
    };
    let cases = [
        ("no identifier", pb::op::Op::Source(pb::SourceOp::default())),
        ("no root", exec(vec![], "/")),
        ("relative cwd", exec(vec![mount("/", -1, 0, 0)], "src")),
        ("input out of range", exec(vec![mount("/", 0, 0, 0)], "/")),
        ("negative input", exec(vec![mount("/", -2, 0, 0)], "/")),
        ("relative mount point", exec(vec![mount("/", -1, 0, 0), mount("x", -1, -1, 0)], "/")),
        ("unknown mount", exec(vec![mount("/", -1, 0, 99)], "/")),
        ("cache without id", exec(vec![mount("/", -1, 0, 0), mount("/c", -1, -1, 3)], "/")),
        ("results with a gap", exec(vec![mount("/", -1, 1, 0)], "/")),
        ("a result twice", exec(vec![mount("/", -1, 0, 0), mount("/b", -1, 0, 0)], "/")),
        ("no result at all", exec(vec![mount("/", -1, -1, 0)], "/")),
        ("an action that uses itself", file(0, 0)),
        ("a far result", file(-1, 1 << 40)),
        ("merge of one", pb::op::Op::Merge(pb::MergeOp { inputs: vec![pb::MergeInput { input: -1 }] })),
        ("nested build", pb::op::Op::Build(pb::BuildOp::default())),
    ];
    for (why, op) in cases {
        let graph = crafted(pb::Op { op: Some(op), ..Default::default() }).graph();
        assert!(graph.is_err(), "{why}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_definitions_never_panic(flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = Definition::of(Some(&sample())).to_bytes();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(definition) = Definition::from_bytes(&bytes) {
            let _: Result<Graph, _> = definition.graph();
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let definition = Definition { ops: vec![bytes.clone(), bytes], ..Default::default() };
        let _: Result<Graph, _> = definition.graph();
    }
}
