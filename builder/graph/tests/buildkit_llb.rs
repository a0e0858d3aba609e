//! The same graphs, made with `buildkit-llb` 0.2 and with this crate, must be the same bytes.
//!
//! What that crate can't say differently is given to ours here: no worker filter, user `root`, mount
//! stubs kept, mode -1 for new files. What it does differently from BuildKit is avoided: equal inputs
//! aren't shared, a copy lists its source before its base, mounts keep their order of insertion, and
//! attributes come out of a hash map in any order, so no source has more than one. Metadata is
//! compared by name only: it asks for fewer capabilities (none for sources, and none on the terminal
//! op, where BuildKit has `constraints` and `platform`).

use std::collections::BTreeMap;

use buildkit_llb::ops::Terminal;
use buildkit_llb::prelude::{
    Command, FileSystem, LayerPath, Mount as TheirMount, MultiBorrowedLastOutput, MultiBorrowedOutput,
    OperationBuilder, OperationOutput, OutputIdx, OwnOutputIdx, ResolveMode as TheirMode, SingleBorrowedOutput, Source,
};
use routerpack_graph::exec::{CacheSharing, Exec, Mount};
use routerpack_graph::file::{Action, CopyOptions, FileOp, Place};
use routerpack_graph::source::{Git, Http, Image, Local, ResolveMode};
use routerpack_graph::{Constraints, Definition, Digest, Output};

const NAME: &str = routerpack_graph::vertex::CUSTOM_NAME;

fn plain() -> Constraints {
    Constraints { worker_filter: None, ..Constraints::default() }
}

/// Ops sorted by digest, the terminal one (which must be last in both) apart; and names by digest.
type Shape = (BTreeMap<Digest, Vec<u8>>, Vec<u8>, BTreeMap<String, String>);

fn shape(ops: Vec<Vec<u8>>, names: BTreeMap<String, String>) -> Shape {
    let (terminal, ops) = ops.split_last().expect("there is always a terminal op");
    (ops.iter().map(|op| (Digest::of(op), op.clone())).collect(), terminal.clone(), names)
}

fn theirs(output: OperationOutput<'_>) -> Shape {
    let definition = Terminal::with(output).into_definition();
    let names =
        definition.metadata.into_iter().filter_map(|(digest, mut m)| Some((digest, m.description.remove(NAME)?)));
    let names = names.collect();
    shape(definition.def, names)
}

fn ours(output: &Output) -> Shape {
    let definition = Definition::of(Some(output));
    let names =
        definition.metadata.into_iter().filter_map(|(digest, mut m)| Some((digest, m.description.remove(NAME)?)));
    let names = names.collect();
    shape(definition.ops, names)
}

#[test]
fn sources() {
    let image = |mode| Image { resolve_mode: mode, ..Image::new("docker.io/library/alpine:latest") };
    let local = || Local::new("context");
    let words = |w: &[&str]| w.iter().map(|w| w.to_string()).collect::<Vec<_>>();
    let pairs = [
        (theirs(Source::image("alpine:latest").output()), image(None).output(&plain())),
        (
            theirs(Source::image("alpine:latest").with_resolve_mode(TheirMode::ForcePull).output()),
            image(Some(ResolveMode::ForcePull)).output(&plain()),
        ),
        (
            theirs(
                Source::image("alpine:latest").with_resolve_mode(TheirMode::PreferLocal).custom_name("base").output(),
            ),
            image(Some(ResolveMode::PreferLocal)).output(&plain().named("base")),
        ),
        (theirs(Source::local("context").output()), local().output(&plain())),
        (
            theirs(Source::local("context").add_include_pattern("a/*").add_include_pattern("\"b\"").output()),
            Local { include: words(&["a/*", "\"b\""]), ..local() }.output(&plain()),
        ),
        (
            theirs(Source::local("context").add_exclude_pattern("**/*.o").output()),
            Local { exclude: words(&["**/*.o"]), ..local() }.output(&plain()),
        ),
        (theirs(Source::http("http://host/x").output()), Http::new("http://host/x").output(&plain())),
        (
            theirs(Source::http("http://host/x").with_file_name("y").output()),
            Http { filename: Some("y".into()), ..Http::new("http://host/x") }.output(&plain()),
        ),
        (theirs(Source::git("https://host/repo.git").output()), Git::new("host/repo.git").output(&plain())),
        (
            theirs(Source::git("host/repo.git").with_reference("v1").output()),
            Git { reference: Some("v1".into()), ..Git::new("host/repo.git") }.output(&plain()),
        ),
    ];
    for (theirs, our) in pairs {
        assert_eq!(ours(&our), theirs, "{our:?}");
    }
}

#[test]
fn file_ops() {
    let (image, context) = (Source::image("alpine:latest"), Source::local("context"));
    let our_image = Image::new("docker.io/library/alpine:latest").output(&plain());
    let our_context = Local::new("context").output(&plain());

    let op = FileSystem::mkdir(OutputIdx(0), LayerPath::Other(image.output(), "/srv"))
        .make_parents(true)
        .into_operation()
        .custom_name("mkdir /srv");
    let mkdir =
        |path: &str, parents| Action::Mkdir { path: path.into(), mode: -1, parents, owner: None, timestamp: None };
    let our = FileOp::on(Some(our_image.clone())).then(mkdir("/srv", true));
    assert_eq!(ours(&our.output(&plain().named("mkdir /srv")).unwrap()), theirs(op.last_output().unwrap()));

    let op = FileSystem::mkfile(OutputIdx(0), LayerPath::Scratch("/motd")).data(b"hi".to_vec()).into_operation();
    let our = FileOp::on(None).then(Action::Mkfile {
        path: "/motd".into(),
        mode: -1,
        data: b"hi".to_vec(),
        owner: None,
        timestamp: None,
    });
    assert_eq!(ours(&our.output(&plain()).unwrap()), theirs(op.last_output().unwrap()));

    // Several actions, each one's result kept, a copy out of an earlier one.
    let op = FileSystem::sequence()
        .append(
            FileSystem::copy()
                .from(LayerPath::Other(context.output(), "/src/*"))
                .to(OutputIdx(0), LayerPath::Scratch("/dst/"))
                .follow_symlinks(true)
                .recursive(true)
                .create_path(true)
                .wildcard(true),
        )
        .append(FileSystem::mkdir(OutputIdx(1), LayerPath::Own(OwnOutputIdx(0), "/dst/sub")))
        .append(
            FileSystem::copy()
                .from(LayerPath::Own(OwnOutputIdx(1), "/dst"))
                .to(OutputIdx(2), LayerPath::Other(image.output(), "/final")),
        )
        .ignore_cache(true);
    let copy = |from: Place, src: &str, dest: &str, options| Action::Copy {
        from,
        src: src.into(),
        dest: dest.into(),
        options: Box::new(options),
    };
    let options = CopyOptions {
        follow_symlink: true,
        dir_copy_contents: true,
        create_dest_path: true,
        allow_wildcard: true,
        ..CopyOptions::default()
    };
    let our = FileOp::on(None)
        .then(copy(Place::Input(Some(our_context)), "/src/*", "/dst/", options))
        .keep()
        .then(mkdir("/dst/sub", false))
        .keep()
        .then_on(Place::Input(Some(our_image)), copy(Place::Action(1), "/dst", "/final", CopyOptions::default()));
    let our = our.output(&plain().ignoring_cache(true)).unwrap();
    assert_eq!(ours(&our), theirs(op.last_output().unwrap()));
    assert!(our.vertex().metadata().ignore_cache);
}

#[test]
fn commands_in_a_chain() {
    let (image, context) = (Source::image("rust:nightly"), Source::local("context"));
    let make = Command::run("/bin/sh")
        .args(["-c", "make"])
        .env("LANG", "C")
        .cwd("/src")
        .mount(TheirMount::Layer(OutputIdx(0), image.output(), "/"))
        .mount(TheirMount::SharedCache("/cache"))
        .mount(TheirMount::Scratch(OutputIdx(1), "/out"))
        .mount(TheirMount::ReadOnlySelector(context.output(), "/src", "/sub"))
        .custom_name("make");
    let check = Command::run("true")
        .user("nobody")
        .mount(TheirMount::Layer(OutputIdx(0), make.output(0), "/"))
        .mount(TheirMount::ReadOnlyLayer(make.output(1), "/in"));

    let root = Image::new("docker.io/library/rust:nightly").output(&plain());
    let local = Local::new("context").output(&plain());
    let our_make = Exec {
        env: vec!["LANG=C".into()],
        cwd: "/src".into(),
        user: "root".into(),
        remove_mount_stubs: false,
        // Given out of order: the destination decides.
        mounts: vec![
            Mount { readonly: true, selector: "/sub".into(), ..Mount::bind("/src", Some(local)) },
            Mount::bind("/out", None),
            Mount::cache("/cache", "/cache", CacheSharing::Shared),
        ],
        ..Exec::new(Some(root), ["/bin/sh", "-c", "make"])
    };
    let made = our_make.run(&plain().named("make")).unwrap();
    let our_check = Exec {
        user: "nobody".into(),
        remove_mount_stubs: false,
        mounts: vec![Mount { readonly: true, ..Mount::bind("/in", made.mount("/out")) }],
        ..Exec::new(made.root(), ["true"])
    };
    assert_eq!(ours(&our_check.run(&plain()).unwrap().root().unwrap()), theirs(check.output(0)));
}
