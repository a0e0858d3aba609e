//! `SOURCE_DATE_EPOCH` by the name of what has a time.

use crate::contexts::{repository, tar};
use crate::support::{Archive, Outcome, Web, World, run};

/// When the commits of the tests' repositories are made.
const COMMIT: i64 = 1_600_000_000;

/// When the files of the tests' archives were changed.
const PACKED: i64 = 1_500_000_000;

/// What the tests' server says of its files: 2020-01-02T03:04:05Z.
const SERVER: i64 = 1_577_934_245;

/// Later than all of these.
const LATER: i64 = 1_700_000_000;

/// The times that an image tells: of all history lines, of the image, and of its file `f`.
#[track_caller]
fn times(world: &World, outcome: Outcome) -> Option<i64> {
    outcome.success();
    let archive = Archive::read(&world.path("out.tar"));
    let config = &archive.config;
    let seconds =
        |value: &serde_json::Value| value.as_str().map(|text| text.parse::<jiff::Timestamp>().unwrap().as_second());
    let lines = config["history"].as_array().unwrap();
    let mut told: Vec<i64> = lines.iter().filter_map(|line| seconds(&line["created"])).collect();
    told.dedup();
    // without a time of its own, the image was made just now
    let [told] = told[..] else { panic!("{config}") };
    if told > LATER {
        return None;
    }
    assert_eq!(seconds(&config["created"]), Some(told), "{config}");
    assert!(archive.entries().values().all(|entry| entry.mtime as i64 <= told));
    Some(told)
}

#[test]
fn contexts_have_the_time_of_their_commit_their_server_or_their_newest_file() {
    let (world, web) = (World::new(), Web::open());
    let (_repository, _) = repository(&web);
    let packed = tar(&world, "--gzip", &[("Dockerfile", "FROM scratch\nCOPY f /\n"), ("f", "f")]);
    let build = |args: &[&str]| {
        let mut command = world.command();
        command.args(["build", "--layers=keep", "-o", "type=docker,dest=out.tar"]).args(args);
        run(&mut command)
    };
    let context = ["--build-arg", "SOURCE_DATE_EPOCH=context"];
    for (url, time) in [
        (web.url("app.git#:sub"), COMMIT),
        (web.put("dated.tgz", packed.clone()), SERVER),
        (web.put_undated("undated.tgz", packed.clone()), PACKED),
    ] {
        assert_eq!(times(&world, build(&[&context[..], &[&url]].concat())), Some(time), "{url}");
    }
    let args = ["build", "--layers=keep", "-o", "type=docker,dest=out.tar", context[0], context[1], "-"];
    assert_eq!(times(&world, world.routerpack_with_input(args, &packed)), Some(PACKED));
    // a directory has no time, and that is no error
    world.write("ctx/Dockerfile", "FROM scratch\nCOPY f /\n");
    world.write("ctx/f", "f");
    assert_eq!(times(&world, build(&[&context[..], &["ctx"]].concat())), None);
    // nor have the environment's words more weight than the command line's
    let mut command = world.command();
    command.args(["build", "--layers=keep", "-o", "type=docker,dest=out.tar", "ctx"]).env("SOURCE_DATE_EPOCH", "77");
    assert_eq!(times(&world, run(&mut command)), Some(77));
    let outcome = run(command.args(["--build-arg", "SOURCE_DATE_EPOCH=78"]));
    assert_eq!(times(&world, outcome), Some(78));
}

#[test]
fn a_dockerfile_names_a_stage_or_a_context_that_has_a_time() {
    let (world, web) = (World::new(), Web::open());
    let (_repository, _) = repository(&web);
    let packed = tar(&world, "--xz", &[("f", "f")]);
    let (dated, undated) = (web.put("dated.txz", packed.clone()), web.put_undated("undated.txz", packed));
    let (text, git) = (web.put_undated("text", "no archive"), web.url("app.git"));
    world.write("ctx/f", "f");
    let build = |stage: &str, args: &[&str]| {
        let last = "FROM scratch\nARG SOURCE_DATE_EPOCH\nLABEL time=$SOURCE_DATE_EPOCH\nCOPY f /\n";
        world.write("ctx/Dockerfile", format!("ARG SOURCE_DATE_EPOCH=src\n{stage}{last}"));
        let mut command = world.command();
        command.args(["build", "--layers=keep", "-o", "type=docker,dest=out.tar"]).args(args).arg("ctx");
        run(&mut command)
    };
    for (source, time) in [(&dated, Some(SERVER)), (&undated, Some(PACKED)), (&text, None), (&git, Some(COMMIT))] {
        let stage = format!("FROM scratch AS src\nADD {source} /\n");
        assert_eq!(times(&world, build(&stage, &[])), time, "{source}");
        let label = Archive::read(&world.path("out.tar")).config["config"]["Labels"]["time"].clone();
        assert_eq!(label, time.map(|time| time.to_string()).unwrap_or_default());
        let named = format!("src={source}");
        assert_eq!(times(&world, build("", &["--build-context", &named])), time, "{source}");
    }
    let local = ["--build-context", "src=ctx"];
    assert_eq!(times(&world, build("", &local)), None);
    assert_eq!(times(&world, build("", &["--build-arg", "SOURCE_DATE_EPOCH=9"])), Some(9));
    build("", &[]).failure().says(&["Dockerfile:1", "invalid SOURCE_DATE_EPOCH: src"]);
    build("FROM scratch AS src\nCOPY f /\n", &[]).failure().says(&["Dockerfile:3", "source-only requirements"]);
    let gone = format!("FROM scratch AS src\nADD {} /\n", web.url("absent"));
    build(&gone, &[]).failure().says(&["Dockerfile:1", "absent"]);
}
