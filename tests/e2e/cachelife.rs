//! What becomes of the cache: it is listed, pruned beside builds and by their limit, killed in the middle, verified.

use std::{fs, path::PathBuf, process::Stdio, thread, time::Duration};

use serde_json::Value;

use crate::{
    kill,
    support::{Archive, Outcome, User, World, leftovers, run, tool},
};

fn build(world: &World, context: &str, output: &str, more: &[&str]) -> Outcome {
    let base = world.base_context("busybox");
    let mut command = world.command();
    command.args(["build", "--progress=plain", "--build-context", &base, "-o", output]).args(more).arg(context);
    let outcome = run(&mut command).success();
    leftovers::settle(world);
    outcome
}

fn cache(world: &World, arguments: &[&str]) -> Outcome {
    run(world.command().arg("cache").args(arguments))
}

fn json(world: &World, arguments: &[&str]) -> Value {
    serde_json::from_str(&cache(world, arguments).success().text()).unwrap()
}

/// Sizes by kind, of `cache du`.
fn size(world: &World, kind: &str, field: &str) -> u64 {
    let all = json(world, &["du", "--format=json"]);
    let found = all["kinds"].as_array().unwrap().iter().find(|k| k["type"] == kind);
    found.map_or(0, |k| k[field].as_u64().unwrap())
}

/// What `cache ls` says of the records that pass a filter.
fn list(world: &World, filter: &str) -> Vec<Value> {
    json(world, &["ls", "--format=json", "--filter", filter]).as_array().unwrap().clone()
}

fn stays_sound(world: &World) {
    let report = json(world, &["fsck", "--format=json"]);
    assert!(report["faults"].as_array().unwrap().iter().all(|f| f["damage"] == false), "{report:#}");
}

/// Makes the records of these kinds look as if they were last used so many hours ago, where what they are matches.
fn age(world: &World, hours: u32, matches: &str) {
    for record in list(world, &format!("description~={matches}")) {
        let id = record["id"].as_str().unwrap();
        let path = match record["type"].as_str().unwrap() {
            "snapshots" => format!("snapshots/{id}/made"),
            "results" => format!("ops/{id}.json"),
            _ => continue,
        };
        run(tool("touch").args(["-m", "-d", &format!("{hours} hours ago")]).arg(world.cache().join(path))).success();
    }
}

/// A build of which `cached` says whether a step came from the cache.
pub fn cached(outcome: &Outcome, step: &str) -> bool {
    let name = outcome.stderr.lines().find(|l| l.contains(step)).unwrap_or_else(|| panic!("no {step}: {outcome}"));
    let number = name.split(' ').next().unwrap();
    outcome.stderr.lines().any(|l| l == format!("{number} CACHED"))
}

#[test]
fn it_tells_what_is_there_and_asks_before_it_removes() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM busybox\nCOPY a /a\nRUN head -c 3000000 /dev/zero > /zeros\n");
    world.write("ctx/a", "a");
    build(&world, "ctx", "out.tar", &[]);
    let zeros = &list(&world, "description~=RUN head")[..];
    let snapshot = zeros.iter().find(|r| r["type"] == "snapshots").unwrap_or_else(|| panic!("{zeros:?}"));
    assert!((3_000_000..3_200_000).contains(&snapshot["size"].as_u64().unwrap()), "{snapshot}");
    assert_eq!((&snapshot["uses"], &snapshot["in_use"]), (&1.into(), &false.into()));
    assert!(cache(&world, &["ls"]).success().text().contains("RUN head -c 3000000"));

    // an hour later it is used again
    age(&world, 1, "RUN");
    build(&world, "ctx", "out.tar", &[]);
    build(&world, "ctx", "out.tar", &[]);
    assert_eq!(list(&world, "description~=RUN head")[0]["uses"], 2, "{:?}", list(&world, "description~=RUN"));
    assert!(list(&world, "until=30m").iter().all(|r| !r["description"].as_str().unwrap().contains("RUN")));

    let all = json(&world, &["du", "--format=json"]);
    let sum: u64 = all["kinds"].as_array().unwrap().iter().map(|k| k["size"].as_u64().unwrap()).sum();
    assert_eq!((all["size"].as_u64(), all["reclaimable"].as_u64()), (Some(sum), Some(sum)), "{all:#}");
    assert!(all["limit"].as_u64().unwrap() <= 20 << 30);

    cache(&world, &["prune"]).failure().says(&["nothing was removed", "--force"]);
    let dry = cache(&world, &["prune", "--dry-run"]).success().text();
    assert!(dry.contains("RUN head") && dry.contains("would remove"), "{dry}");
    assert_eq!(size(&world, "snapshots", "records"), 2);
    world.routerpack_with_input(["cache", "prune"], b"y\n").success();
    assert_eq!((size(&world, "snapshots", "records"), size(&world, "results", "records")), (0, 0));
    assert!(size(&world, "layers", "size") > 0, "base images stay");
    cache(&world, &["prune", "--all", "-f"]).success();
    assert_eq!(json(&world, &["du", "--format=json"])["size"], 0);

    for wrong in [
        &["prune", "--filter", "until=never"][..],
        &["ls", "--filter", "type=nonsense"],
        &["prune", "--keep-storage=much"],
    ] {
        assert_eq!(cache(&world, wrong).failure().code, Some(2));
    }
}

#[test]
fn a_build_keeps_what_it_uses_while_all_else_is_removed() {
    let world = World::new();
    world.write("other/Dockerfile", "FROM busybox\nRUN echo other > /other\n");
    build(&world, "other", "other.tar", &[]);
    world.write(
        "ctx/Dockerfile",
        "FROM busybox AS one\nRUN head -c 16 /dev/urandom | hexdump > /one\nFROM busybox\nCOPY --from=one /one /one\n\
         RUN --mount=type=cache,target=/c echo kept > /c/kept; echo started; sleep 5; cat /c/kept /one > /two\n\
         COPY --from=one /one /three\n",
    );
    let mut child = kill::start(&world, " started", &[]);
    assert!(!list(&world, "inuse").is_empty());
    assert!(size(&world, "mounts", "in_use") > 0);
    let cleared = cache(&world, &["clear", "--force"]).success().text();
    assert!(cleared.contains("since a build uses them"), "{cleared}");
    assert!(list(&world, "description~=RUN echo other").is_empty(), "nobody uses that one");
    let rest = list(&world, "inuse=false");
    assert!(rest.iter().all(|r| r["type"] == "contexts"), "{rest:?}");
    assert!(child.try_wait().unwrap().is_none(), "the build was to last longer");
    assert!(child.wait().unwrap().success());
    let archive = Archive::read(&world.path("out.tar"));
    assert_eq!(archive.text("two"), format!("kept\n{}", archive.text("one")));
    assert_eq!(archive.text("three"), archive.text("one"));
    leftovers::settle(&world);
    stays_sound(&world);

    // nobody holds anything any more
    cache(&world, &["clear", "--force"]).success();
    assert_eq!(json(&world, &["du", "--format=json"])["size"], 0);
    let again = build(&world, "ctx", "out.tar", &[]);
    assert!(!cached(&again, "RUN head"));
}

#[test]
fn builds_are_right_while_the_cache_is_cleared_all_the_time() {
    let world = World::new();
    world.write(
        "ctx/Dockerfile",
        "FROM busybox AS one\nARG N\nRUN echo $N > /one\nFROM busybox\nCOPY --from=one /one /one\nRUN cat /one > /two\n",
    );
    let clears = thread::scope(|scope| {
        let builds = scope.spawn(|| {
            for n in 0..12 {
                build(&world, "ctx", "out.tar", &["--build-arg", &format!("N={}", n % 3)]);
                let archive = Archive::read(&world.path("out.tar"));
                assert_eq!(
                    (archive.text("one"), archive.text("two")),
                    (format!("{}\n", n % 3), format!("{}\n", n % 3))
                );
            }
        });
        let mut clears = 0;
        while !builds.is_finished() {
            cache(&world, &["clear", "--force"]).success();
            clears += 1;
        }
        builds.join().unwrap();
        clears
    });
    assert!(clears > 10, "{clears}");
    stays_sound(&world);
}

#[test]
fn the_longest_unused_goes_first_and_never_what_others_are_made_of() {
    let world = World::new();
    let file =
        |name: &str| format!("FROM busybox\nRUN head -c 2000000 /dev/urandom > /shared\nRUN echo {name} > /{name}\n");
    for name in ["old", "new"] {
        world.write(&format!("{name}/Dockerfile"), file(name));
        build(&world, name, "out.tar", &[]);
    }
    // what both are made of looks oldest of all
    age(&world, 50, "RUN head");
    age(&world, 30, "RUN echo old");
    cache(&world, &["prune", "--force", "--filter=until=24h"]).success();
    assert!(cached(&build(&world, "new", "out.tar", &[]), "RUN head"));
    let old = build(&world, "old", "out.tar", &[]);
    assert!(cached(&old, "RUN head") && !cached(&old, "RUN echo old"), "{old}");

    age(&world, 30, "RUN echo new");
    let total = json(&world, &["du", "--format=json"])["size"].as_u64().unwrap();
    cache(&world, &["prune", "--force", "--keep-storage", &(total - 1).to_string()]).success();
    assert!(list(&world, "description~=RUN echo new").iter().all(|r| r["type"] != "results"));
    assert!(!list(&world, "description~=RUN echo old").is_empty());

    // a stage that others only copy from is part of the chain, too
    world.write(
        "stages/Dockerfile",
        "FROM busybox AS one\nRUN echo 1 > /one\nFROM busybox\nCOPY --from=one /one /two\n",
    );
    build(&world, "stages", "out.tar", &[]);
    age(&world, 30, "RUN echo 1");
    cache(&world, &["prune", "--force", "--filter=until=24h"]).success();
    assert!(cached(&build(&world, "stages", "out.tar", &[]), "RUN echo 1"));
    stays_sound(&world);
}

#[test]
fn what_was_made_of_a_lost_result_is_not_found_on_top_of_another() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM busybox\nRUN head -c 16 /dev/urandom | hexdump > /one\nRUN cp /one /two\n");
    build(&world, "ctx", "out.tar", &[]);
    let first = list(&world, "description~=RUN head").into_iter().find(|r| r["type"] == "snapshots").unwrap();
    fs::remove_dir_all(world.cache().join("snapshots").join(first["id"].as_str().unwrap())).unwrap();
    build(&world, "ctx", "out.tar", &[]);
    let archive = Archive::read(&world.path("out.tar"));
    assert_eq!(archive.text("one"), archive.text("two"));
}

#[test]
fn a_killed_prune_leaves_whole_records_or_none() {
    let world = World::new();
    // many files, so that there is something to be in the middle of
    let files = "for d in $(seq 20); do mkdir /$0$d; for f in $(seq 30); do echo $f > /$0$d/$f; done; done";
    let text = format!("FROM busybox\nRUN sh -c '{files}' a\nRUN sh -c '{files}' b\nRUN sh -c '{files}' c\n");
    world.write("ctx/Dockerfile", text);
    for delay in [2, 5, 10, 20, 40] {
        build(&world, "ctx", "out.tar", &[]);
        let mut child = world.command().args(["cache", "clear", "--force"]).stdout(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(delay));
        let _ = child.kill();
        let _ = child.wait();
        stays_sound(&world);
        crate::support::assert_none("files are left", &leftovers::files(&world));
    }
    build(&world, "ctx", "out.tar", &[]);
    let archive = Archive::read(&world.path("out.tar"));
    assert_eq!(["a1/1", "b20/30", "c7/15"].map(|path| archive.text(path)), ["1\n", "30\n", "15\n"]);
}

#[test]
fn damage_is_found_and_removed() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM busybox\nCOPY a /a\nRUN cp /a /b\n");
    world.write("ctx/a", "content");
    build(&world, "ctx", "out.tar", &[]);
    let sound = cache(&world, &["fsck"]).success().text();
    assert!(sound.contains("nothing is wrong"), "{sound}");

    let only =
        |dir: &str| -> PathBuf { fs::read_dir(world.cache().join(dir)).unwrap().next().unwrap().unwrap().path() };
    let copy = list(&world, "description~=COPY").into_iter().find(|r| r["type"] == "snapshots").unwrap();
    let copied = world.cache().join("snapshots").join(copy["id"].as_str().unwrap());
    fs::write(copied.join("fs/a"), "con").unwrap();
    let tar = only("layers").join("layer.tar");
    let mut bytes = fs::read(&tar).unwrap();
    bytes[700] ^= 1;
    fs::write(&tar, bytes).unwrap();
    let blob = world.cache().join("blobs/sha256").join("0".repeat(64));
    fs::write(&blob, "not that").unwrap();
    fs::write(world.cache().join("ops").join("1.json"), "{ half").unwrap();
    // nobody names this one: a build was killed between keeping it and writing so down
    let orphan = world.cache().join("snapshots").join("f".repeat(64));
    run(tool("cp").args(["-a"]).arg(&copied).arg(&orphan)).success();
    fs::write(orphan.join("fs/a"), "content").unwrap();

    let report = cache(&world, &["fsck"]).failure();
    assert_eq!(report.code, Some(4), "{report}");
    let told = report.text();
    for line in [
        "a: has another size",
        "its tar has the digest",
        "0000: has the digest",
        "1.json: can't be read",
        "no result names it",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    cache(&world, &["fsck", "--repair"]).success();
    assert!(!orphan.exists() && !blob.exists());
    let sound = cache(&world, &["fsck"]).success().text();
    assert!(sound.contains("nothing is wrong"), "{sound}");
    build(&world, "ctx", "out.tar", &[]);
    assert_eq!(Archive::read(&world.path("out.tar")).text("b"), "content");
}

#[test]
fn a_build_that_adds_something_brings_the_cache_below_its_limit() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM busybox\nARG N\nRUN echo $N; head -c 4000000 /dev/urandom > /random\n");
    let size = || json(&world, &["du", "--format=json"])["size"].as_u64().unwrap();
    for n in 0..4 {
        build(&world, "ctx", "out.tar", &["--cache-limit=12m", "--build-arg", &format!("N={n}")]);
    }
    assert!(size() < 12 << 20, "{}", size());
    assert!(cached(&build(&world, "ctx", "out.tar", &["--build-arg=N=3"]), "RUN echo"), "the newest one stays");
    build(&world, "ctx", "out.tar", &["--cache-limit=none", "--build-arg=N=5"]);
    build(&world, "ctx", "out.tar", &["--cache-limit=none", "--build-arg=N=6"]);
    build(&world, "ctx", "out.tar", &["--cache-limit=none", "--build-arg=N=7"]);
    assert!(size() > 12 << 20, "{}", size());
    stays_sound(&world);
}

#[test]
fn files_of_all_of_a_users_ids_are_removed() {
    for (user, more) in [(User::Ranges, "chown 1000:1000 /d/f /d; "), (User::SingleId, "")] {
        let world = World::of(user);
        let text =
            format!("FROM busybox\nRUN mkdir -p /d/e; echo 1 > /d/f; ln -s / /d/root; {more}chmod 0 /d/f /d/e /d\n");
        world.write("ctx/Dockerfile", text);
        build(&world, "ctx", "out.tar", &[]);
        stays_sound(&world);
        cache(&world, &["clear", "--force"]).success();
        for dir in ["snapshots", "layers", "tmp"] {
            assert_eq!(fs::read_dir(world.cache().join(dir)).unwrap().count(), 0, "{user:?}: {dir}");
        }
    }
}
