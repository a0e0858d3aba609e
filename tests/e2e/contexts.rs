//! Contexts that are no directory: tars on standard input and by URL, git repositories; named ones; ADD of both.

use std::process::Command;

use crate::support::{Archive, Outcome, Repository, Speaks, User, Web, World, leftovers, run, tool};

const COPY_ALL: &str = "FROM scratch\nCOPY . /\n";

/// Builds to `out.tar` and gives its names and contents.
fn build(world: &World, args: &[&str]) -> Outcome {
    run(&mut command(world, args))
}

fn command(world: &World, args: &[&str]) -> Command {
    let mut command = world.command();
    command.args(["build", "--progress=plain", "-o", "out.tar"]).args(args);
    command
}

fn names(world: &World) -> Vec<String> {
    Archive::read(&world.path("out.tar")).entries().keys().cloned().collect()
}

fn text(world: &World, name: &str) -> String {
    Archive::read(&world.path("out.tar")).text(name)
}

/// A tar of files, with tar's `flags` (how it is compressed).
pub fn tar(world: &World, flag: &str, files: &[(&str, &str)]) -> Vec<u8> {
    for (name, text) in files {
        world.write(&format!("packed/{name}"), text);
    }
    let mut command = tool("tar");
    command
        .args(["--owner=7", "--group=8", "--mtime=@1500000000", "-c", flag, "-C"])
        .arg(world.path("packed"))
        .arg(".");
    let bytes = run(&mut command).success().stdout;
    std::fs::remove_dir_all(world.path("packed")).unwrap();
    bytes
}

const PACKED: [(&str, &str); 6] = [
    ("Dockerfile", COPY_ALL),
    ("other/My.dockerfile", "FROM scratch\nCOPY a.log keep.log /\n"),
    ("other/My.dockerfile.dockerignore", "keep.log\n"),
    (".dockerignore", "*.log\n!keep.log\nother\nDockerfile\n.dockerignore\n"),
    ("a.log", "a"),
    ("keep.log", "keep"),
];

/// What is in it.
const ALL: [&str; 7] = [
    ".dockerignore",
    "Dockerfile",
    "a.log",
    "keep.log",
    "other",
    "other/My.dockerfile",
    "other/My.dockerfile.dockerignore",
];

#[test]
fn a_tar_on_standard_input_in_every_compression() {
    for flag in ["--format=gnu", "--gzip", "--bzip2", "--xz", "--zstd", "--format=pax"] {
        let world = World::new();
        let bytes = tar(&world, flag, &PACKED);
        world.routerpack_with_input(["build", "-o", "out.tar", "-"], &bytes).success();
        assert_eq!(names(&world), ALL, "{flag}: an ignore file hides nothing here");
        let again = world.routerpack_with_input(["build", "--progress=plain", "-o", "out.tar", "-"], &bytes).success();
        again.says(&["CACHED"]);
        assert!(leftovers::files(&world).is_empty(), "the spooled tar is gone");
    }
}

#[test]
fn a_dockerfile_inside_a_tar_or_beside_it() {
    let world = World::new();
    let bytes = tar(&world, "--gzip", &PACKED);
    let build = |args: &[&str]| {
        let args: Vec<&str> = ["build", "-o", "out.tar"].iter().chain(args).copied().collect();
        world.routerpack_with_input(args, &bytes)
    };
    build(&["-f", "other/My.dockerfile", "-"]).success();
    assert_eq!(names(&world), ["a.log", "keep.log"]);
    build(&["-f", "missing", "-"]).failure().says(&["standard input", "`missing`"]);
    // an absolute path is this machine's file
    let local = world.write("Local", "FROM scratch\nCOPY . /\n");
    build(&["-f", local.to_str().unwrap(), "-"]).success();
    assert_eq!(names(&world), ALL);
    build(&["-f", "-", "-"]).failure().says(&["both"]);
    let text = world.routerpack_with_input(["build", "-o", "o.tar", "-f", "x", "-"], b"FROM scratch\n");
    text.failure().says(&["-f x"]);
    world.routerpack_with_input(["build", "-o", "o.tar", "-"], b"FROM scratch\nLABEL a=b\n").success();
    world.routerpack_with_input(["build", "-o", "o.tar", "-"], &bytes[..bytes.len() / 2]).failure();
    world.routerpack_with_input(["build", "-o", "o.tar", "-"], b"").failure();
}

#[test]
fn nothing_in_a_tar_leads_out_of_it() {
    let world = World::new();
    world.write("secret", "hunter2");
    world.write("packed/Dockerfile", "");
    std::fs::remove_file(world.path("packed/Dockerfile")).unwrap();
    std::os::unix::fs::symlink(world.path("secret"), world.path("packed/Dockerfile")).unwrap();
    let bytes = run(tool("tar").arg("-c").arg("-C").arg(world.path("packed")).arg("Dockerfile")).success().stdout;
    let outcome = world.routerpack_with_input(["build", "-o", "out.tar", "-"], &bytes).failure();
    assert!(!outcome.stderr.contains("hunter2"), "{outcome}");
}

#[test]
fn a_tar_and_a_dockerfile_by_url_are_asked_for_again_but_not_sent_again() {
    let (world, web) = (World::new(), Web::open());
    let url = web.put("ctx.tar.xz", tar(&world, "--xz", &PACKED));
    build(&world, &[&url]).success();
    assert_eq!(names(&world), ALL);
    web.log();
    build(&world, &[&url]).success().says(&["CACHED"]);
    assert!(web.log().iter().all(|line| line.ends_with("304")), "revalidated by ETag");

    // a plain file is the Dockerfile, and all that is in the context
    let plain = web.put("Dockerfile", "FROM scratch\nCOPY context /x\n");
    build(&world, &[&plain]).success();
    assert_eq!(text(&world, "x"), "FROM scratch\nCOPY context /x\n");

    // -f URL, with a context here
    world.write("ctx/a", "1");
    let remote = web.put("df", "FROM scratch\nCOPY a /b\n");
    build(&world, &["-f", &remote, "ctx"]).success();
    assert_eq!(text(&world, "b"), "1");
    build(&world, &[&web.url("absent.tar")]).failure().says(&["absent.tar"]);
}

#[test]
fn add_of_a_url_with_checksum_and_unpack() {
    let (world, web) = (World::new(), Web::open());
    let bytes = tar(&world, "--gzip", &[("dir/f", "f")]);
    let url = web.put("a.tgz", bytes.clone());
    let sum = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&bytes));
    world.write(
        "ctx/Dockerfile",
        format!("FROM scratch\nADD --unpack --checksum=sha256:{sum} {url} /u/\nADD {url} /f/\n"),
    );
    build(&world, &["ctx"]).success();
    let archive = Archive::read(&world.path("out.tar"));
    assert_eq!(archive.text("u/dir/f"), "f");
    assert_eq!(archive.entries()["f/a.tgz"].mode, 0o600);
    let wrong = format!("FROM scratch\nADD --checksum=sha256:{} {url} /\n", "0".repeat(64));
    world.write("ctx/Dockerfile", wrong);
    build(&world, &["ctx"]).failure().says(&["Dockerfile:2", &sum]);

    // a header by secret, and never in the log
    web.lock("Bearer hunter2");
    world.write("ctx/Dockerfile", format!("FROM scratch\nADD {url}?private /p\n"));
    build(&world, &["ctx"]).failure().says(&["HTTP_AUTH_TOKEN_127.0.0.1", "Dockerfile:2"]);
    world.write("token", "hunter2\n");
    let secret = format!("id=HTTP_AUTH_TOKEN_{},src=token", web.address());
    let outcome = build(&world, &["--secret", &secret, "ctx"]).success();
    assert!(!outcome.stderr.contains("hunter2"));
}

/// A repository with a branch, a tag and a subdirectory.
pub fn repository(web: &Web) -> (Repository, [String; 2]) {
    let repository = Repository::new(web.repositories(), "app.git");
    let first = repository.commit(&[
        ("Dockerfile", COPY_ALL),
        (".dockerignore", "*.log\nDockerfile\n.dockerignore\n"),
        ("a", "one"),
        ("a.log", "log"),
        ("sub/Dockerfile", "FROM scratch\nCOPY b /b\n"),
        ("sub/b", "b"),
    ]);
    repository.git(&["tag", "-a", "v1", "-m", "v1"]);
    std::os::unix::fs::symlink("/etc", repository.work().join("etc")).unwrap();
    std::os::unix::fs::symlink("sub", repository.work().join("link")).unwrap();
    let second = repository.commit(&[("a", "two")]);
    (repository, [first, second])
}

#[test]
fn a_repository_is_a_context_by_branch_tag_and_commit() {
    let (world, web) = (World::new(), Web::open());
    let (_repository, [first, second]) = repository(&web);
    let url = web.url("app.git");
    for (rest, a) in [
        ("", "two"),
        ("#main", "two"),
        ("#v1", "one"),
        ("#refs/tags/v1", "one"),
        (&format!("#{first}"), "one"),
        ("?branch=main", "two"),
        ("?tag=v1", "one"),
        (&format!("?tag=v1&checksum={first}"), "one"),
        (&format!("?ref=main&commit={}", &second[..12]), "two"),
        (&format!("?fetch-by-commit&checksum={first}"), "one"),
    ] {
        build(&world, &[&format!("{url}{rest}")]).success();
        assert_eq!(text(&world, "a"), a, "{rest}");
        assert!(!names(&world).iter().any(|name| name.starts_with(".git")), "{rest}");
        assert!(names(&world).contains(&"a.log".to_owned()), "{rest}: an ignore file hides nothing here");
    }
    build(&world, &[&format!("{url}#:sub")]).success();
    assert_eq!(names(&world), ["b"]);
    build(&world, &["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", &url]).success();
    assert!(names(&world).contains(&".git/HEAD".to_string()));
    build(&world, &[&format!("{url}?subdir=link")]).success();
    assert_eq!(names(&world), ["b"], "a link inside the repository");
    build(&world, &["-f", "sub/Dockerfile", &url]).failure().says(&["b"]);
    for (rest, words) in [
        ("#mian", &["mian", "main"][..]),
        ("#:nowhere", &["nowhere"]),
        ("#:etc", &["etc"]),
        ("#v1:a", &["no directory `a`"]),
        ("#--upload-pack=touch x", &["can't begin"]),
        (&format!("?ref=main&checksum={first}"), &["checksum", &first, &second]),
        ("?ref=main&checksum=xyz", &["xyz"]),
        ("?nonsense=1", &["nonsense"]),
        (&format!("#{}", "0".repeat(40)), &["no branch, tag or commit"]),
    ] {
        build(&world, &[&format!("{url}{rest}")]).failure().says(words);
    }
    build(&world, &[&web.url("absent.git")]).failure().says(&["absent.git"]);
    leftovers::assert_no_processes_or_mounts(&world);
}

#[test]
fn a_repository_is_fetched_once_a_commit() {
    let (world, web) = (World::new(), Web::open());
    let (repository, [first, _]) = repository(&web);
    let url = web.url("app.git");
    build(&world, &[&url]).success();
    assert!(web.log().iter().any(|line| line.contains("POST") && line.contains("upload-pack")));
    let fetches = |log: Vec<String>| log.iter().filter(|line| line.starts_with("POST")).count();
    build(&world, &[&url]).success().says(&["CACHED"]);
    assert!(fetches(web.log()) <= 1, "the list of names (protocol 2 asks by POST), no objects");
    build(&world, &[&format!("{url}#{first}")]).success();
    web.log();
    build(&world, &[&format!("{url}#{first}")]).success();
    assert_eq!(web.log(), Vec::<String>::new(), "a commit that is here needs nobody");
    repository.commit(&[("a", "three")]);
    build(&world, &[&url]).success();
    assert_eq!(text(&world, "a"), "three");
}

#[test]
fn servers_that_give_out_less_are_asked_for_more() {
    let (world, web) = (World::new(), Web::open());
    let (_repository, [first, second]) = repository(&web);
    for speaks in [Speaks::Zero, Speaks::Files] {
        let _ = std::fs::remove_dir_all(world.cache());
        web.speak(speaks);
        for (rest, a) in [("#main", "two"), ("#v1", "one"), (&format!("#{first}"), "one"), ("?keep-git-dir=1", "two")] {
            build(&world, &[&format!("{}{rest}", web.url("app.git"))]).success();
            assert_eq!(text(&world, "a"), a, "{rest} {speaks:?}");
        }
        let wrong = format!("{}?ref=main&checksum={first}", web.url("app.git"));
        build(&world, &[&wrong]).failure().says(&["checksum", &second]);
    }
}

#[test]
fn a_repository_of_longer_hashes() {
    let (world, web) = (World::new(), Web::open());
    let repository = Repository::hashed(web.repositories(), "long.git", "sha256");
    let first = repository.commit(&[("Dockerfile", COPY_ALL), ("a", "one")]);
    assert_eq!(first.len(), 64);
    repository.commit(&[("a", "two")]);
    for (rest, a) in [("", "two"), (&format!("#{first}"), "one")] {
        build(&world, &[&format!("{}{rest}", web.url("long.git"))]).success();
        assert_eq!(text(&world, "a"), a);
    }
}

#[test]
fn an_interrupt_ends_git_too() {
    let (world, web) = (World::new(), Web::open());
    web.speak(Speaks::Silence);
    let mut child = command(&world, &[&web.url("app.git")]).stderr(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "it waits for the server");
    run(tool("kill").args(["-TERM", &child.id().to_string()])).success();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    leftovers::assert_no_processes_or_mounts(&world);
    assert!(leftovers::files(&world).is_empty());
    // and so does a kill, which nobody can answer
    let mut child = command(&world, &[&web.url("app.git")]).stderr(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    child.kill().unwrap();
    child.wait().unwrap();
    leftovers::assert_no_processes_or_mounts(&world);
}

#[test]
fn an_ordinary_user_needs_nothing_more() {
    let web = Web::open();
    let (_repository, _) = repository(&web);
    for user in [User::Ranges, User::SingleId] {
        let world = World::of(user);
        build(&world, &[&web.url("app.git")]).success();
        let entry = &Archive::read(&world.path("out.tar")).entries()["a"];
        assert_eq!((entry.uid, entry.gid, entry.mode), (0, 0, 0o644), "{user:?}");
    }
}

#[test]
fn modes_and_times_are_the_commit_s() {
    let (one, two, web) = (World::new(), World::new(), Web::open());
    let (_repository, _) = repository(&web);
    let url = web.url("app.git");
    let bytes = |world: &World, umask: &str| {
        let inner = command(world, &["--build-arg", "SOURCE_DATE_EPOCH=context", "-t", "a:1", &url]);
        let mut shell = tool("sh");
        shell.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(world.path(""));
        shell
            .args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"])
            .arg(inner.get_program())
            .args(inner.get_args());
        run(&mut shell).success();
        std::fs::read(world.path("out.tar")).unwrap()
    };
    assert!(bytes(&one, "077") == bytes(&two, "002"), "the same bytes on every machine");
    let entries = Archive::read(&one.path("out.tar")).entries();
    assert_eq!((entries["a"].mode, entries["a"].mtime), (0o644, 1_600_000_000));
}

#[test]
fn add_of_a_repository() {
    let (world, web) = (World::new(), Web::open());
    let (repository, [first, second]) = repository(&web);
    let inner = Repository::new(web.repositories(), "inner.git");
    inner.commit(&[("deep", "deep")]);
    repository.git(&["submodule", "-q", "add", &web.url("inner.git"), "mod"]);
    repository.git(&["config", "-f", ".gitmodules", "submodule.mod.url", "../inner.git"]);
    repository.commit(&[]);
    let url = web.url("app.git");
    world.write(
        "ctx/Dockerfile",
        format!(
            "FROM busybox\nADD {url}#v1 /v1\nADD --checksum={second} {url}?ref={second} /c\nADD --keep-git-dir {url} /kept\n\
             ADD {url}?submodules=false /bare\nADD {url}#main:sub /sub\nRUN cat /kept/.git/HEAD > /head\n"
        ),
    );
    build(&world, &["--build-context", &world.base_context("busybox"), "ctx"]).success();
    let archive = Archive::read(&world.path("out.tar"));
    assert_eq!(
        (archive.text("v1/a"), archive.text("c/a"), archive.text("sub/b")),
        ("one".into(), "two".into(), "b".into())
    );
    assert_eq!(archive.text("kept/mod/deep"), "deep", "submodules come along");
    let entries = archive.entries();
    assert!(!entries.contains_key("bare/mod/deep") && !entries.keys().any(|k| k.starts_with("v1/.git")));
    let kept = world.path("kept");
    std::fs::create_dir(&kept).unwrap();
    let layer = world.write("layer.tar", &archive.layers[0]);
    run(tool("tar").arg("-xf").arg(layer).arg("-C").arg(&kept).arg("kept")).success();
    let mut git = tool("git");
    git.args(["-c", "safe.directory=*", "status", "--porcelain"]).current_dir(kept.join("kept"));
    assert_eq!(run(&mut git).success().text(), "", "a repository that is as its commit");
    let wrong = format!("FROM scratch\nADD --checksum={first} {url}#main /\n");
    world.write("ctx/Dockerfile", wrong);
    build(&world, &["ctx"]).failure().says(&["Dockerfile:2", "expected checksum to match", &first]);
}

#[test]
fn a_repository_can_not_read_this_machine() {
    let (world, web) = (World::new(), Web::open());
    let victim = Repository::new(&world.path(""), "victim.git");
    victim.commit(&[("secret", "hunter2")]);
    let evil = Repository::new(web.repositories(), "evil.git");
    evil.git(&["submodule", "-q", "add", world.path("victim.git").to_str().unwrap(), "mod"]);
    evil.commit(&[("Dockerfile", COPY_ALL)]);
    build(&world, &[&web.url("evil.git")]).failure().says(&["submodule"]);
    assert!(!world.path("out.tar").exists());
}

#[test]
fn a_private_repository_takes_a_token_that_nobody_sees() {
    let (world, web) = (World::new(), Web::open());
    let (_repository, _) = repository(&web);
    web.lock("basic eC1hY2Nlc3MtdG9rZW46aHVudGVyMg==");
    let url = web.url("app.git");
    build(&world, &[&url]).failure().says(&["GIT_AUTH_TOKEN"]);
    world.write("token", "hunter2\n");
    for id in ["GIT_AUTH_TOKEN".to_string(), format!("GIT_AUTH_TOKEN.{}", web.address())] {
        let outcome = build(&world, &["--secret", &format!("id={id},src=token"), &url]).success();
        assert!(!outcome.stderr.contains("hunter2") && !outcome.stderr.contains("eC1hY2Nlc3"), "{outcome}");
    }
    world.write("header", "basic eC1hY2Nlc3MtdG9rZW46aHVudGVyMg==");
    build(&world, &["--secret", "id=GIT_AUTH_HEADER,src=header", &url]).success();
    for needle in ["hunter2", "eC1hY2Nlc3"] {
        let found = tool("grep").args(["-rl", needle]).arg(world.cache()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "the cache has the secret");
    }
}

#[test]
fn ssh_wants_an_agent_and_gets_it() {
    let (world, served) = (World::new(), tempfile::tempdir().unwrap());
    let repository = Repository::new(served.path(), "app.git");
    repository.commit(&[("Dockerfile", COPY_ALL), ("a", "one")]);
    // ssh of its own: runs the command here, and tells what it was called with
    let script = format!(
        "#!/bin/sh\necho \"$SSH_AUTH_SOCK $*\" >> {log}\nfor last; do :; done\nexport GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'\nexec sh -c \"$last\"\n",
        log = world.path("ssh.log").display()
    );
    let ssh = world.write("bin/ssh", script);
    run(tool("chmod").arg("755").arg(&ssh)).success();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", world.path("bin").display());
    let url = format!("git@example.org:{}", served.path().join("app.git").display());
    let mut bare = command(&world, &[&url]);
    run(bare.env("PATH", &path)).failure().says(&["ssh", "--ssh default"]);
    let agent = std::os::unix::net::UnixListener::bind(world.path("agent")).unwrap();
    let socket = world.path("agent");
    run(command(&world, &["--ssh", &format!("default={}", socket.display()), &url]).env("PATH", &path)).success();
    assert_eq!(text(&world, "a"), "one");
    run(command(&world, &["--no-cache", &url]).env("PATH", &path).env("SSH_AUTH_SOCK", &socket)).success();
    let log = std::fs::read_to_string(world.path("ssh.log")).unwrap();
    assert!(log.contains(socket.to_str().unwrap()) && log.contains("StrictHostKeyChecking=accept-new"), "{log}");
    drop(agent);
}

#[test]
fn without_git_it_says_what_to_install() {
    let world = World::new();
    std::fs::create_dir(world.path("bin")).unwrap();
    let mut command = command(&world, &["https://127.0.0.1:1/app.git"]);
    run(command.env("PATH", world.path("bin"))).failure().says(&["apt-get install git", "--build-context"]);
}

#[test]
fn named_contexts_of_the_web_and_of_git() {
    let (world, web) = (World::new(), Web::open());
    let (_repository, _) = repository(&web);
    let archive = web.put("src.tar.zst", tar(&world, "--zstd", &[("x/y", "y")]));
    let plain = web.put("plain", "plain");
    world.write(
        "ctx/Dockerfile",
        "FROM scratch\nCOPY --from=src x/y /y\nCOPY --from=repo a /a\nCOPY --from=one context /p\n",
    );
    let git = format!("repo={}#v1", web.url("app.git"));
    let unused = format!("unused={}", web.url("absent.tar"));
    let contexts = [&format!("src={archive}"), &git, &format!("one={plain}"), &unused];
    let mut args: Vec<&str> = contexts.iter().flat_map(|c| ["--build-context", c.as_str()]).collect();
    args.push("ctx");
    build(&world, &args).success();
    assert_eq!((text(&world, "y"), text(&world, "a"), text(&world, "p")), ("y".into(), "one".into(), "plain".into()));
    assert!(!web.log().iter().any(|line| line.contains("absent")), "what nobody uses isn't fetched");
    world.write("ctx/Dockerfile", "FROM scratch\nCOPY --from=unused x /\n");
    build(&world, &["--build-context", &unused, "ctx"]).failure().says(&["absent.tar", "Dockerfile:2"]);
}
