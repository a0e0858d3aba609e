//! RUN's mounts: what a step sees of them, and that nothing of them stays.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Archive, Outcome, User, World, finish, run, tool};

fn command(world: &World, name: &str, dockerfile: &str, more: &[&str]) -> Command {
    world.write(&format!("{name}/Dockerfile"), dockerfile);
    let mut command = world.command();
    let out = format!("--output=type=routeros,dest={name}.tar");
    command.args(["build", "--progress=plain", "--build-context", &world.base_context("busybox"), &out]);
    command.args(more).arg(name);
    command
}

/// Builds the context `ctx`.
fn build(world: &World, dockerfile: &str, more: &[&str]) -> Outcome {
    run(&mut command(world, "ctx", dockerfile, more))
}

fn built(world: &World, dockerfile: &str, more: &[&str]) -> Archive {
    build(world, dockerfile, more).success();
    Archive::read(&world.path("ctx.tar"))
}

#[test]
fn binds_show_files_of_contexts_stages_and_images() {
    let world = World::new();
    world.write("ctx/dir/sub/f", "from the context");
    world.write("other/f", "from another context");
    let other = format!("other={}", world.path("other").display());
    let archive = built(
        &world,
        "FROM busybox AS tools\nRUN mkdir -p /t/in && echo stage > /t/in/f && ln -s in /t/link\n\
         FROM busybox\nARG WHERE=/v\nENV SUB=sub\nWORKDIR /w/d\n\
         RUN --mount=target=/all cat /all/dir/sub/f > /0\n\
         RUN --mount=type=bind,source=dir/$SUB,target=rel cat /w/d/rel/f > /1 && ! touch rel/new && ! touch rel/f\n\
         RUN --mount=src=dir,dst=$WHERE,rw echo changed > /v/sub/f && touch /v/new && rm -r /v/sub && ls /v > /2\n\
         RUN --mount=source=dir,target=/v,readwrite=true ls /v /v/sub > /3\n\
         RUN --mount=from=tools,source=/t/link/f,target=/file cat /file > /4 && [ ! -d /file ]\n\
         RUN --mount=from=other,target=/o --mount=from=busybox,source=/bin,target=/b cat /o/f > /5 && [ -x /b/busybox ]\n\
         RUN --mount=source=dir,\\\"target=/with,comma\\\" cat /with,comma/sub/f > /6\n",
        &["--build-context", &other],
    );
    for (file, text) in [
        ("0", "from the context"),
        ("1", "from the context"),
        ("2", "new\n"),
        ("3", "/v:\nsub\n\n/v/sub:\nf\n"),
        ("4", "stage\n"),
        ("5", "from another context"),
        ("6", "from the context"),
    ] {
        assert_eq!(archive.text(file), text, "{file}");
    }
    let entries = archive.entries();
    for gone in ["all", "w/d/rel", "v", "file", "o", "b", "with,comma"] {
        assert!(!entries.contains_key(gone), "{gone} is in the image");
    }
    assert_eq!(std::fs::read_to_string(world.path("ctx/dir/sub/f")).unwrap(), "from the context");
    for (flag, says) in [
        ("from=$X,target=/x", "'from' doesn't support variable expansion"),
        ("source=absent,target=/x", "absent"),
        ("target=/", "invalid mount target"),
        ("type=bind", "invalid mount target"),
    ] {
        build(&world, &format!("FROM busybox\nRUN --mount={flag} true\n"), &[]).failure().says(&["Dockerfile:2", says]);
    }
}

#[test]
fn a_tmpfs_holds_what_it_may_and_no_more() {
    let world = World::new();
    let archive = built(
        &world,
        "FROM busybox\n\
         RUN --mount=type=tmpfs,target=/t,size=1m stat -f -c '%T %b %S' /t > /kind && dd if=/dev/zero of=/t/a bs=64k count=15 && ! dd if=/dev/zero of=/t/b bs=64k count=2\n\
         RUN --mount=type=tmpfs,target=/t [ -z \"$(ls -A /t)\" ] && stat -c %a /t > /mode\n",
        &[],
    );
    let kind = archive.text("kind");
    let words: Vec<&str> = kind.split_whitespace().collect();
    let bytes = words[1].parse::<u64>().unwrap() * words[2].parse::<u64>().unwrap();
    assert_eq!((words[0], bytes), ("tmpfs", 1 << 20));
    assert_eq!(archive.text("mode"), "1777\n");
    assert!(!archive.entries().contains_key("t"));
}

/// Two builds at once, each a process: what the caches' sharing says is kept to between them.
struct Pair<'w> {
    world: &'w World,
    /// What a step is, with `$ME` and `$OTHER` being 1 and 2 or the other way round, and `/meet` a shared cache.
    step: &'static str,
}

impl Pair<'_> {
    fn start(&self, me: u8, mount: &str) -> (Command, Child) {
        let dockerfile = format!(
            "FROM busybox\nARG ME\nARG OTHER\n\
             RUN --mount=type=cache,id=meet,target=/meet --mount=type=cache,target=/c{mount} set -e; \
             await() {{ n=0; until [ -e $1 ]; do n=$((n+1)); [ $n -lt 600 ] || exit 7; sleep 0.05; done; }}; {}\n",
            self.step
        );
        let (me_arg, other) = (format!("ME={me}"), format!("OTHER={}", 3 - me));
        let mut command =
            command(self.world, &format!("ctx{me}"), &dockerfile, &["--build-arg", &me_arg, "--build-arg", &other]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        (command, child)
    }

    /// Runs both with these options of the mount; each has left `/seen`.
    fn run(&self, mounts: [&str; 2]) -> [String; 2] {
        let started = [self.start(1, mounts[0]), self.start(2, mounts[1])];
        let ended = started.map(|(command, child)| finish(&command, child));
        ended.into_iter().for_each(|outcome| drop(outcome.success()));
        [1, 2].map(|me| Archive::read(&self.world.path(&format!("ctx{me}.tar"))).text("seen"))
    }
}

#[test]
fn shared_caches_are_used_by_both_at_once() {
    let world = World::new();
    let pair = Pair { world: &world, step: "touch /c/$ME; await /c/$OTHER; ls /c > /seen" };
    assert_eq!(pair.run(["", ",sharing=shared"]), ["1\n2\n", "1\n2\n"]);
}

#[test]
fn private_caches_are_never_used_by_two() {
    let world = World::new();
    let step = "touch /c/$ME /meet/$ME; await /meet/$OTHER; ls /c > /seen; touch /meet/done$ME; await /meet/done$OTHER";
    let pair = Pair { world: &world, step };
    assert_eq!(pair.run([",sharing=private", ",sharing=private"]), ["1\n", "2\n"]);
    // Alone, a build finds what one of them has left; a shared one would not disturb a private one either.
    let again = "ls /c > /seen";
    let seen = Pair { world: &world, step: again }.start(1, ",sharing=private");
    finish(&seen.0, seen.1).success();
    assert_eq!(Archive::read(&world.path("ctx1.tar")).text("seen").lines().count(), 1);
    let world = World::new();
    assert_eq!(Pair { world: &world, step }.run([",sharing=private", ",sharing=shared"]), ["1\n", "2\n"]);
}

#[test]
fn a_locked_cache_is_waited_for() {
    let world = World::new();
    // Whoever is inside would see the other one's sign, and makes it wait for a second at least.
    let step = "mkdir /c/inside; touch /meet/$ME; sleep 1; rmdir /c/inside; echo $ME >> /c/log; cp /c/log /seen";
    let pair = Pair { world: &world, step };
    let start = Instant::now();
    let mut seen = pair.run([",sharing=locked", ",sharing=locked"]);
    assert!(start.elapsed() >= Duration::from_secs(2), "they ran at once");
    seen.sort_by_key(String::len);
    assert_eq!(seen[0].lines().count(), 1);
    assert!(seen[1].starts_with(&seen[0]) && seen[1].lines().count() == 2, "{seen:?}");
    // Who waits for a killed build goes on.
    let hangs = Pair { world: &world, step: "touch /meet/hangs; sleep 1000" };
    let (killed, mut child) = hangs.start(1, ",sharing=locked");
    let sign = || run(tool("find").arg(world.cache().join("mounts")).args(["-name", "hangs"])).text();
    while sign().is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(50));
    }
    let next = Pair { world: &world, step: "echo next > /seen" }.start(2, ",sharing=locked");
    std::thread::sleep(Duration::from_millis(500));
    child.kill().unwrap();
    finish(&killed, child);
    finish(&next.0, next.1).success().says(&["waits for the cache //c, which another step or build has locked"]);
}

#[test]
fn a_locked_cache_is_not_shared_with_those_who_would() {
    let world = World::new();
    let step = "touch /c/$ME /meet/$ME; await /meet/$OTHER; ls /c > /seen; touch /meet/done$ME; await /meet/done$OTHER";
    // The shared one may not come into a locked one, so it gets another directory.
    let pair = Pair { world: &world, step };
    let first = pair.start(1, ",sharing=locked");
    let sign = || run(tool("find").arg(world.cache()).args(["-path", "*mounts*", "-name", "1"])).text();
    while sign().is_empty() {
        std::thread::sleep(Duration::from_millis(50));
    }
    let second = pair.start(2, "");
    finish(&first.0, first.1).success();
    finish(&second.0, second.1).success();
    assert_eq!([1, 2].map(|me| Archive::read(&world.path(&format!("ctx{me}.tar"))).text("seen")), ["1\n", "2\n"]);
}

#[test]
fn caches_have_ids_beginnings_and_owners() {
    let world = World::new();
    world.write("ctx/seed/f", "seed");
    let archive = built(
        &world,
        "FROM busybox AS base\nRUN mkdir -p /s/a /s/b && echo a > /s/a/f && echo b > /s/b/f\n\
         FROM busybox\nWORKDIR /w\n\
         RUN --mount=type=cache,target=/c echo 1 > /c/f\n\
         RUN --mount=type=cache,target=/c/ cat /c/f > /same && stat -c '%a %u %g' /c > /plain\n\
         RUN --mount=type=cache,id=/c,target=other/place cat other/place/f > /byid\n\
         RUN --mount=type=cache,target=c [ ! -e /w/c/f ] && touch /w/c/relative\n\
         RUN --mount=type=cache,id=c,target=/x ls /x > /relative\n\
         RUN --mount=type=cache,target=/c,ro ! touch /c/x && cat /c/f > /ro\n\
         RUN --mount=type=cache,target=/o,mode=0711,uid=7,gid=8 stat -c '%a %u %g' /o > /owner\n\
         RUN --mount=type=cache,id=s,from=base,source=/s/a,target=/a --mount=type=cache,id=s,from=base,source=/s/b,target=/b cat /a/f /b/f > /seeds && echo more > /a/g\n\
         RUN --mount=type=cache,id=s,from=base,source=/s/a,target=/z ls /z > /kept\n\
         RUN --mount=type=cache,id=ctx,from=seeds,source=seed,target=/z cat /z/f > /context\n",
        &["--build-context", &format!("seeds={}", world.path("ctx").display())],
    );
    for (file, text) in [
        ("same", "1\n"),
        ("plain", "755 0 0\n"),
        ("byid", "1\n"),
        ("relative", "relative\n"),
        ("ro", "1\n"),
        ("owner", "711 7 8\n"),
        ("seeds", "a\nb\n"),
        ("kept", "f\ng\n"),
        ("context", "seed"),
    ] {
        assert_eq!(archive.text(file), text, "{file}");
    }
    // A namespace keeps builds apart; without one, the caches are the machine's.
    let file = "FROM busybox\nRUN --mount=type=cache,target=/c ls /c > /seen\n";
    assert_eq!(built(&world, file, &[]).text("seen"), "f\n");
    assert_eq!(built(&world, file, &["--build-arg", "BUILDKIT_CACHE_MOUNT_NS=mine"]).text("seen"), "");
}

const TOKEN: &str = "open-sesame-0815";

/// Fails if the text is anywhere in a directory, names of files included.
#[track_caller]
fn nowhere(text: &str, directory: &Path) {
    let found = run(tool("grep").args(["-rlaF", text]).arg(directory)).text();
    assert_eq!(found, "", "{text} is in {}", directory.display());
    let names = run(tool("find").arg(directory).args(["-name", &format!("*{text}*")])).text();
    assert_eq!(names, "");
}

#[test]
fn secrets_come_as_files_and_variables_and_leave_nothing() {
    let world = World::new();
    world.write("token", TOKEN);
    let given = [
        format!("id=token,src={}", world.path("token").display()),
        "id=FROM_ENV".into(),
        "id=named,env=FROM_ENV".into(),
        "type=env,id=typed,src=FROM_ENV".into(),
    ];
    let mut more: Vec<&str> = given.iter().flat_map(|flag| ["--secret", flag]).collect();
    more.extend(["--build-arg", "WHO=typed"]);
    let file = "FROM busybox\nARG WHO\nWORKDIR /w\n\
         RUN --mount=type=secret,id=token stat -c '%n %a %u %g' /run/secrets/token > /0 && wc -c < /run/secrets/token >> /0\n\
         RUN --mount=type=secret,id=token,target=/etc/deep/er/t,mode=0440,uid=7,gid=8,required=true stat -c '%n %a %u %g' /etc/deep/er/t > /1\n\
         RUN --mount=type=secret,source=FROM_ENV,target=rel test -s /rel && test ! -e /w/rel && ls -l /run/secrets 2>&1 | wc -l > /2\n\
         RUN --mount=type=secret,id=named,env=N --mount=type=secret,id=$WHO,env=T,target=/t [ \"$N\" = \"$T\" ] && [ -n \"$N\" ] && [ \"$N\" = \"$(cat /t)\" ] && [ ! -e /run/secrets ] && echo ${#N} > /3\n\
         RUN --mount=type=secret,id=absent --mount=type=secret,id=absent,env=A [ ! -e /run/secrets/absent ] && [ -z \"${A+x}\" ] && echo none > /4\n\
         RUN --mount=type=secret,target=/x/token cat /x/token | wc -c > /5\n\
         RUN [ ! -e /run/secrets ] && [ -z \"$N\" ] && ! grep -q secret /proc/self/mountinfo && echo gone > /6\n\
         USER 7\nRUN --mount=type=secret,id=token ! cat /run/secrets/token 2> /dev/null\n\
         RUN --mount=type=secret,id=token,uid=7 test -r /run/secrets/token\n";
    let mut command = command(&world, "ctx", file, &more);
    let outcome = run(command.env("FROM_ENV", TOKEN)).success();
    let archive = Archive::read(&world.path("ctx.tar"));
    for (name, text) in [
        ("0", "/run/secrets/token 400 0 0\n16\n"),
        ("1", "/etc/deep/er/t 440 7 8\n"),
        ("2", "1\n"),
        ("3", "16\n"),
        ("4", "none\n"),
        ("5", "16\n"),
        ("6", "gone\n"),
    ] {
        assert_eq!(archive.text(name), text, "{name}");
    }
    let entries = archive.entries();
    for gone in ["run/secrets", "etc/deep", "rel", "t", "x"] {
        assert!(!entries.contains_key(gone), "{gone} is in the image");
    }
    assert!(!outcome.stderr.contains(TOKEN), "{outcome}");
    nowhere(TOKEN, &world.cache());
    nowhere(TOKEN, &world.root().join("tmp"));
    nowhere(TOKEN, &world.path("ctx.tar"));
    // Another value is no other build.
    let outcome = run(command.env("FROM_ENV", "something else")).success();
    assert!(!outcome.stderr.contains("[6/11] RUN --mount=type=secret,id=named DONE"), "{outcome}");
    for (flag, says) in [
        ("id=absent,required", "requires the secret `absent`"),
        ("id=absent,required,env=A", "requires the secret `absent`"),
        ("id=a,source=b", "both source and id can't be set"),
        ("", "one of source, target required"),
    ] {
        let flag = format!("type=secret{}{flag}", if flag.is_empty() { "" } else { "," });
        build(&world, &format!("FROM busybox\nRUN --mount={flag} true\n"), &[]).failure().says(&["Dockerfile:2", says]);
    }
    build(&world, "FROM busybox\nRUN --mount=type=secret,id=gone true\n", &["--secret", "id=gone,src=/nowhere"])
        .failure()
        .says(&["/nowhere"]);
}

#[test]
fn a_failing_step_does_not_tell_its_secret() {
    let world = World::new();
    world.write("token", TOKEN);
    let secret = format!("id=token,src={}", world.path("token").display());
    for step in [
        "cat /run/secrets/token > /leak; exit 3",
        "set -x; exec 2>&1; test -n \"$(cat /run/secrets/token | wc -c)\"; false",
        "sh -c 'kill -9 $$' /run/secrets/token",
    ] {
        for progress in ["plain", "auto"] {
            let file =
                format!("FROM busybox\nRUN --mount=type=secret,id=token --mount=type=secret,id=token,env=T {step}\n");
            let progress = format!("--progress={progress}");
            let outcome = build(&world, &file, &["--secret", &secret, &progress]).failure();
            assert!(!outcome.stderr.contains(TOKEN) && !outcome.text().contains(TOKEN), "{outcome}");
            nowhere(TOKEN, &world.cache());
            nowhere(TOKEN, &world.root().join("tmp"));
        }
    }
}

/// Nobody else on the machine sees it either: not in arguments, and not in the environment of what isn't the step.
#[test]
fn secrets_are_in_no_command_line() {
    let world = World::new();
    let file = "FROM busybox\n\
         RUN --mount=type=cache,id=meet,target=/meet --mount=type=secret,id=t --mount=type=secret,id=t,env=T touch /meet/up && sleep 3\n";
    let mut command = command(&world, "ctx", file, &["--secret", "id=t,src=token"]);
    world.write("token", TOKEN);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let up = || run(tool("find").arg(world.cache().join("mounts")).args(["-name", "up"])).text();
    while up().is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut seen = 0;
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let of = |name: &str| std::fs::read(process.path().join(name)).unwrap_or_default();
        let has = |bytes: Vec<u8>| bytes.windows(TOKEN.len()).any(|w| w == TOKEN.as_bytes());
        assert!(!has(of("cmdline")), "{:?}", process.path());
        seen += usize::from(has(of("environ")));
    }
    assert!(seen >= 1, "the step's own environment has it");
    nowhere(TOKEN, &world.cache());
    finish(&command, child).success();
}

/// A real agent with a real key.
struct Agent {
    socket: std::path::PathBuf,
    child: Child,
}

impl Agent {
    fn start(world: &World) -> Self {
        let (socket, key) = (world.path("agent.sock"), world.path("key"));
        let child = tool("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        run(tool("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "the-comment", "-f"]).arg(&key)).success();
        let agent = Self { socket, child };
        while !agent.socket.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        agent.add(&["-q", key.to_str().unwrap()]).success();
        agent
    }

    fn add(&self, args: &[&str]) -> Outcome {
        run(tool("ssh-add").env("SSH_AUTH_SOCK", &self.socket).args(args))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn ordinary_users_have_them_all() {
    for user in [User::Ranges, User::SingleId] {
        let world = World::of(user);
        world.write("token", TOKEN);
        world.write("ctx/f", "context");
        let script = "#!/bin/sh\nssh-agent -D -a agent.sock &\nuntil [ -S agent.sock ]; do sleep 0.1; done\n\
                      \"$@\" && status=0 || status=$?\nkill $!\nexit $status\n";
        world.write("with-agent", script);
        let steps = "FROM busybox\n\
             RUN --mount=target=/b cat /b/f > /0\n\
             RUN --mount=target=/b,rw echo > /b/new && ls /b > /1\n\
             RUN --mount=type=cache,target=/c,mode=0711 stat -c '%a %u %g' /c > /2 && touch /c/x\n\
             RUN --mount=type=cache,target=/c,mode=0711,sharing=locked ls /c > /3\n\
             RUN --mount=type=secret,id=t stat -c '%a %u %g' /run/secrets/t > /4 && wc -c < /run/secrets/t >> /4\n\
             RUN --mount=type=ssh stat -c '%a %u %g' $SSH_AUTH_SOCK > /5\n\
             RUN --mount=type=tmpfs,target=/t,size=64k touch /t/f && ! dd if=/dev/zero of=/t/f bs=64k count=2\n";
        let run_with = |dockerfile: &str| {
            let inner =
                command(&world, "ctx", dockerfile, &["--secret", "id=t,src=token", "--ssh", "default=agent.sock"]);
            // The agent is the user's own, as the program is.
            let mut words = inner.get_args().map(std::ffi::OsStr::to_owned).collect::<Vec<_>>();
            let program = words.iter().position(|word| word.as_encoded_bytes().ends_with(b"/routerpack")).unwrap();
            words.splice(program..program, ["/bin/sh".into(), "with-agent".into()]);
            let mut outer = Command::new(inner.get_program());
            outer.args(words).env_clear().current_dir(world.path("")).stdin(Stdio::null());
            run(outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))))
        };
        run(tool("chown").arg(format!("--reference={}", world.path("token").display())).arg(world.path(""))).success();
        run_with(steps).success();
        let archive = Archive::read(&world.path("ctx.tar"));
        for (name, text) in [
            ("0", "context"),
            ("1", "Dockerfile\nf\nnew\n"),
            ("2", "711 0 0\n"),
            ("3", "x\n"),
            ("4", "400 0 0\n16\n"),
            ("5", "600 0 0\n"),
        ] {
            assert_eq!(archive.text(name), text, "{user:?} {name}");
        }
        nowhere(TOKEN, &world.cache());
        for option in ["ssh", "secret,id=t"] {
            let outcome = run_with(&format!("FROM busybox\nRUN --mount=type={option},uid=7,gid=8 true\n"));
            match user {
                User::SingleId => drop(outcome.failure().says(&["Dockerfile:2", "7:8"])),
                _ => drop(outcome.success()),
            }
        }
    }
}

/// This machine's ssh-add, with its loader and libraries, as a context.
fn ssh_add(world: &World) -> std::path::PathBuf {
    let program = tool("ssh-add");
    let program = program.get_program();
    let libraries = run(tool("ldd").arg(program)).success().text();
    world.write("tools/empty", "");
    run(tool("cp").arg(program).arg(world.path("tools"))).success();
    for path in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        let name = path.rsplit('/').next().unwrap();
        let name = if name.starts_with("ld-") { "loader" } else { name };
        run(tool("cp").arg("-L").arg(path).arg(world.path("tools").join(name))).success();
    }
    world.path("tools")
}

#[test]
fn an_agent_is_lent_with_owner_and_mode() {
    let world = World::new();
    let agent = Agent::start(&world);
    let ssh = format!("default={}", agent.socket.display());
    let other = format!("other={}", agent.socket.display());
    let tools = format!("tools={}", ssh_add(&world).display());
    let add = "/tools/loader --library-path /tools /tools/ssh-add";
    let list = format!("{add} -l | grep -c the-comment");
    let file = format!(
        "FROM busybox\n\
         RUN --mount=from=tools,target=/tools --mount=type=ssh {list} > /0 && stat -c '%n %a %u %g' $SSH_AUTH_SOCK >> /0\n\
         RUN --mount=type=ssh,id=other,target=/s,mode=0660,uid=7,gid=8 [ $SSH_AUTH_SOCK = /s ] && stat -c '%a %u %g' /s > /1\n\
         RUN --mount=type=ssh --mount=type=ssh,id=other ls /run/buildkit > /2\n\
         RUN --mount=type=ssh,id=absent [ ! -e /run/buildkit ] && echo none > /3\n\
         RUN --mount=from=tools,target=/tools --mount=type=ssh {add} -D 2> /4; {list} >> /4; chmod 1777 /tmp\n\
         RUN [ -z \"$SSH_AUTH_SOCK\" ] && [ ! -e /run/buildkit ]\n\
         USER 7:8\nRUN --mount=from=tools,target=/tools --mount=type=ssh,uid=7,gid=8 {list} > /tmp/5\n\
         RUN --mount=from=tools,target=/tools --mount=type=ssh {add} -l 2> /tmp/6 || true\n"
    );
    let archive = built(&world, &file, &["--ssh", &ssh, "--ssh", &other, "--build-context", &tools]);
    for (name, text) in [
        ("0", "1\n/run/buildkit/ssh_agent.0 600 0 0\n"),
        ("1", "660 7 8\n"),
        ("2", "ssh_agent.0\nssh_agent.1\n"),
        ("3", "none\n"),
        ("4", "Failed to remove all identities.\n1\n"),
        ("tmp/5", "1\n"),
        ("tmp/6", "Error connecting to agent: Permission denied\n"),
    ] {
        assert_eq!(archive.text(name), text, "{name}");
    }
    assert!(agent.add(&["-l"]).success().text().contains("the-comment"), "a step can't take keys away");
    let traces = |name: &String| name.contains("ssh_agent") || name == "run/buildkit" || name == "s";
    assert!(!archive.entries().keys().any(traces));
    for kind in ["s", "p"] {
        assert_eq!(run(tool("find").arg(world.cache()).args(["-type", kind])).text(), "", "the cache has a socket");
    }
    nowhere("the-comment", &world.cache().join("blobs"));
    // Keys in place of an agent: one is started for the build, and ends with it.
    let keys = format!("default={}", world.path("key").display());
    let file =
        format!("FROM busybox\nRUN --mount=from=tools,target=/tools --mount=type=ssh {list} > /0 && echo keys >> /0\n");
    assert_eq!(built(&world, &file, &["--ssh", &keys, "--build-context", &tools]).text("0"), "1\nkeys\n");
    assert_eq!(std::fs::read_dir(world.root().join("tmp")).unwrap().count(), 0);
    build(&world, &file, &["--ssh", "default=absent", "--build-context", &tools])
        .failure()
        .says(&["absent", "private keys"]);
    world.write("nokey", "no key");
    let nokey = format!("default={}", world.path("nokey").display());
    build(&world, &file, &["--ssh", &nokey, "--build-context", &tools]).failure().says(&["--ssh default", "nokey"]);
    for (flag, says) in [("id=absent,required", "--ssh absent"), ("source=x", "ssh does not support source")] {
        let file = format!("FROM busybox\nRUN --mount=type=ssh,{flag} true\n");
        build(&world, &file, &[]).failure().says(&["Dockerfile:2", says]);
    }
}
