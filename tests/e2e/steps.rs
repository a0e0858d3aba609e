//! RUN: what is run, as whom, and with which rights and limits.

use crate::support::{Archive, Outcome, World, run};

fn build(world: &World, dockerfile: &str, more: &[&str]) -> Outcome {
    world.write("ctx/Dockerfile", dockerfile);
    let mut command = world.command();
    command.args(["build", "--progress=plain", "--build-context", &world.base_context("busybox"), "-o", "out.tar"]);
    run(command.args(more).arg("ctx"))
}

fn built(world: &World, dockerfile: &str, more: &[&str]) -> Archive {
    build(world, dockerfile, more).success();
    Archive::read(&world.path("out.tar"))
}

#[track_caller]
fn holds(archive: &Archive, files: &[(&str, &str)]) {
    for (name, text) in files {
        assert_eq!(archive.text(name), *text, "{name}");
    }
}

#[test]
fn shell_and_exec_form() {
    let world = World::new();
    let archive = built(
        &world,
        "FROM scratch\nCOPY --from=busybox / /\nENTRYPOINT [\"/bin/false\"]\n\
         RUN echo \"$0 $PATH\" > /shell\n\
         RUN [\"sh\", \"-c\", \"echo $0 '$HOME' > /exec\", \"zero\"]\n\
         RUN [ \"sh\" = 'sh' ] && echo no json > /word\n\
         RUN [\"/bin/touch\", \"/a b\", \"/$HOME\"]\n\
         SHELL [\"/bin/sh\", \"-fc\"]\nRUN echo * $- > /set\nRUN [\"sh\", \"-c\", \"echo /bi* > /unset\"]\n",
        &[],
    );
    holds(
        &archive,
        &[
            ("shell", "/bin/sh /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"),
            ("exec", "zero $HOME\n"),
            ("word", "no json\n"),
            ("a b", ""),
            ("$HOME", ""),
            ("unset", "/bin\n"),
        ],
    );
    assert!(archive.text("set").starts_with("* ") && archive.text("set").contains('f'));
    for (line, says) in [
        ("RUN []", "no arguments"),
        ("RUN [\"nothing\"]", "`nothing`"),
        ("RUN [\"sh\", 1]", "strings"),
        ("RUN exit 41", "exit code 41"),
        ("RUN kill -11 $$", "SIGSEGV"),
    ] {
        build(&world, &format!("FROM busybox\n{line}\n"), &[]).failure().says(&["Dockerfile:2", says]);
    }
}

/// `echo failed` is reached through the shell's own `||`, so its heredoc is none that is run by itself.
const DOCUMENTS: &str = r##"FROM busybox
ENV V=env
RUN <<EOF
echo "$V $0" > /plain
false
echo still > /goes-on
EOF
RUN <<-"EOF"
	cat > /chomped <<-X
		inner	$V
	X
	EOF
RUN <<script
#!/bin/busybox ash
echo "$0 $(stat -c %a "$0") $V" > /shebang
! touch "$0.new"
script
RUN cat <<A > /two && cat <<B >> /two
one $V
A
two
B
RUN <<EOF sh -s arg
echo "$1 from stdin" > /piped
EOF
RUN cat 3<<THREE 4<<'FOUR' /dev/fd/3 /dev/fd/4 > /fds
three $V
THREE
four $V
FOUR
RUN --mount=type=tmpfs,target=/t <<EOF
touch /t/x && ls /t > /mounted
EOF
"##;

#[test]
fn documents_are_scripts() {
    let world = World::new();
    let archive = built(&world, DOCUMENTS, &[]);
    holds(
        &archive,
        &[
            ("plain", "env /bin/sh\n"),
            ("goes-on", "still\n"),
            ("chomped", "inner\tenv\n"),
            ("shebang", "/dev/pipes/script 755 env\n"),
            ("two", "one env\ntwo\n"),
            ("piped", " from stdin\n"),
            ("fds", "three env\nfour $V\n"),
            ("mounted", "x\n"),
        ],
    );
    assert!(!archive.entries().keys().any(|name| name.starts_with("dev/")));
    for (script, says) in
        [("#!/no/such\nx", "not found"), ("#!/bin/false\nx", "exit code 1"), ("exit 5", "exit code 5")]
    {
        let file = format!("FROM busybox\nRUN <<EOF\n{script}\nEOF\n");
        build(&world, &file, &[]).failure().says(&["Dockerfile:2", says]);
    }
    let file = "FROM busybox\nSHELL [\"/bin/sh\", \"-ec\"]\nRUN <<EOF\nfalse\ntrue\nEOF\n";
    build(&world, file, &[]).failure().says(&["Dockerfile:3"]);
}

#[test]
fn networks_and_who_may_have_them() {
    let world = World::new();
    let show = "readlink /proc/self/ns/net";
    let file = format!(
        "FROM busybox\nRUN {show} > /plain\nRUN --network=default {show} > /default\n\
         RUN --network=none {show} > /none && grep -c : /proc/net/dev > /interfaces && ifconfig lo | grep -c 127.0.0.1 >> /interfaces\n"
    );
    let archive = built(&world, &file, &[]);
    let machine = format!("{}\n", std::fs::read_link("/proc/self/ns/net").unwrap().display());
    holds(&archive, &[("plain", &machine), ("default", &machine), ("interfaces", "1\n1\n")]);
    assert_ne!(archive.text("none"), machine);
    // The flag is for steps that say nothing, or `default`.
    let archive = built(&world, &file, &["--network=none"]);
    for name in ["plain", "default", "none"] {
        assert_ne!(archive.text(name), machine, "{name}");
    }
    let host = format!("FROM busybox\nRUN --network=host {show} > /host\n");
    build(&world, &host, &[]).failure().says(&["Dockerfile:2", "--allow network.host"]);
    build(&world, &host, &["--network=none"]).failure().says(&["--allow network.host"]);
    build(&world, &host, &["--allow", "security.insecure"]).failure().says(&["--allow network.host"]);
    for more in [&["--allow", "network.host"][..], &["--allow=network.host", "--network=none"], &["--network=host"]] {
        holds(&built(&world, &host, more), &[("host", &machine)]);
    }
    build(&world, &host, &[]).failure().says(&["--allow network.host"]);
    build(&world, "FROM busybox\nRUN --network=lan true\n", &[]).failure().says(&["Dockerfile:2", "lan"]);
    build(&world, &host, &["--network=bridge"]).failure();
    let outcome = build(&world, &host, &["--allow", "network.hots"]).failure();
    assert!(outcome.code == Some(2) && outcome.stderr.contains("network.host"), "{outcome}");
}

#[test]
fn all_rights_are_for_who_may_have_them() {
    let world = World::new();
    let file = |flag: &str| {
        format!(
            "FROM busybox\nRUN {flag} grep -E 'CapEff|Seccomp:' /proc/self/status > /rights; \
             mkdir /m; mount -t tmpfs x /m && echo yes > /mounts || echo no > /mounts\n"
        )
    };
    let archive = built(&world, &file("--security=sandbox"), &["--allow", "security.insecure"]);
    holds(&archive, &[("mounts", "no\n"), ("rights", "CapEff:\t00000000a80425fb\nSeccomp:\t2\n")]);
    for more in [&[][..], &["--allow", "network.host"]] {
        let outcome = build(&world, &file("--security=insecure"), more).failure();
        outcome.says(&["Dockerfile:2", "--allow security.insecure"]);
    }
    for _ in 0..2 {
        let archive = built(&world, &file("--security=insecure"), &["--allow", "security.insecure,network.host"]);
        holds(&archive, &[("mounts", "yes\n")]);
        assert!(archive.text("rights").ends_with("Seccomp:\t0\n"));
    }
    // A result that was made with it is no way around it.
    build(&world, &file("--security=insecure"), &[]).failure().says(&["--allow security.insecure"]);
    build(&world, &file("--security=none"), &[]).failure().says(&["Dockerfile:2", "none"]);
}

#[test]
fn devices_are_refused_with_a_reason() {
    let world = World::new();
    for flag in ["vendor1.com/device=foo", "vendor1.com/device,required", "name=x,required=false"] {
        let outcome = build(&world, &format!("FROM busybox\nRUN --device={flag} true\n"), &[]).failure();
        outcome.says(&["Dockerfile:2", "RUN --device", "remove --device"]);
    }
    for (flag, says) in [("x,y=z", "y=z"), ("x,required=maybe", "maybe"), ("", "--device")] {
        let file = format!("FROM busybox\nRUN --device={flag} true\n");
        build(&world, &file, &[]).failure().says(&["Dockerfile:2", says]);
    }
}

#[test]
fn names_hosts_and_limits() {
    let world = World::new();
    let file = "FROM busybox\n\
         RUN hostname > /name && cat /etc/hosts > /hosts && ulimit -n > /files && ulimit -Hn >> /files && ulimit -c > /core\n\
         RUN df -k /dev/shm | tail -n 1 | awk '{print $2}' > /shm\n";
    let archive = built(&world, file, &[]);
    holds(&archive, &[("name", "buildkitsandbox\n"), ("core", "0\n"), ("shm", "65536\n")]);
    assert!(archive.text("hosts").contains("buildkitsandbox"));
    let flags = [
        "--build-arg=BUILDKIT_SANDBOX_HOSTNAME=box",
        "--add-host=db:10.0.0.1",
        "--add-host=six=[2001:db8::1]",
        "--ulimit=nofile=100:200",
        "--shm-size=2m",
    ];
    let archive = built(&world, file, &flags);
    holds(&archive, &[("name", "box\n"), ("files", "100\n200\n"), ("shm", "2048\n")]);
    let hosts = archive.text("hosts");
    for (address, name) in [("10.0.0.1", "db"), ("2001:db8::1", "six"), ("127.0.0.1", "localhost")] {
        let is_it = |line: &str| line.split_whitespace().collect::<Vec<_>>().starts_with(&[address, name]);
        assert!(hosts.lines().any(is_it), "{hosts}");
    }
    assert!(!archive.entries().contains_key("etc/hosts"), "a step's own");
    // Taken, as docker's build takes them, and said to be without effect.
    let limits =
        ["--memory=1g", "--memory-swap=-1", "--cpu-shares=2", "--cpu-period=1", "--cpu-quota=1", "--cpuset-cpus=0"];
    let more = ["--cpuset-mems=0", "--cgroup-parent=x"];
    let said: Vec<String> =
        limits.iter().chain(&more).map(|f| f.split('=').next().unwrap().to_string() + " has no effect").collect();
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    build(&world, file, &[&limits[..], &more].concat()).success().says(&said);
    build(&world, file, &["-m", "1g", "-c", "2"])
        .success()
        .says(&["--memory has no effect", "--cpu-shares has no effect"]);
    for bad in ["--add-host=db", "--ulimit=files=1", "--ulimit=nofile=x", "--shm-size=much"] {
        build(&world, file, &[bad]).failure();
    }
}

#[test]
fn users_are_the_image_s_with_all_their_groups() {
    let world = World::new();
    world.write("ctx/passwd", "root:x:0:0::/root:\nweb:x:33:34::/var/www:\n");
    world.write("ctx/group", "root:x:0:\nweb:x:34:\naudio:x:29:pulse,web\nvideo:x:44:web\n");
    let show = "(id -u; id -g; id -G; echo $HOME) | tr '\\n' ';'";
    let archive = built(
        &world,
        &format!(
            "FROM busybox\nCOPY passwd group /etc/\nRUN mkdir -m 1777 /out\nRUN {show} > /out/0\n\
             USER web\nRUN {show} > /out/1\nUSER 33\nRUN {show} > /out/2\nUSER web:audio\nRUN {show} > /out/3\n\
             USER 1000:1001\nRUN {show} > /out/4\nUSER 7\nRUN {show} > /out/5\n"
        ),
        &[],
    );
    holds(
        &archive,
        &[
            ("out/0", "0;0;0;/root;"),
            ("out/1", "33;34;34 29 44;/var/www;"),
            ("out/2", "33;34;34 29 44;/var/www;"),
            ("out/3", "33;29;29;/var/www;"),
            ("out/4", "1000;1001;1001;/;"),
            ("out/5", "7;0;0;/;"),
        ],
    );
    let entries = archive.entries();
    assert_eq!((entries["out/1"].uid, entries["out/1"].gid), (33, 34));
    for (user, says) in
        [("ghost", "no user `ghost` in /etc/passwd"), ("root:ghosts", "no group `ghosts` in /etc/group")]
    {
        let file = format!("FROM busybox\nCOPY passwd group /etc/\nUSER {user}\nRUN true\n");
        build(&world, &file, &[]).failure().says(&["Dockerfile:4", says]);
    }
}

#[test]
fn what_the_sandbox_brings_is_not_the_image_s() {
    let world = World::new();
    let plain = built(&world, "FROM busybox\n", &[]).entries();
    let file =
        "FROM busybox\nRUN ls /dev /proc /sys > /dev/null && cat /etc/hosts /etc/resolv.conf && echo > /dev/shm/x\n";
    let after = built(&world, file, &[]).entries();
    assert_eq!(after.keys().collect::<Vec<_>>(), plain.keys().collect::<Vec<_>>());
    for (name, entry) in &plain {
        assert_eq!(&after[name], entry, "{name}");
    }
    // What an image has in those places itself stays as it is.
    let own = "FROM scratch AS own\nCOPY --from=busybox / /\nCOPY <<hosts <<resolv.conf /etc/\nmine\nhosts\nours\nresolv.conf\n\
               COPY <<f /dev/sub/f\nx\nf\nFROM own\nRUN grep -q buildkitsandbox /etc/hosts && [ ! -e /dev/sub ]\n";
    let archive = built(&world, own, &[]);
    holds(&archive, &[("etc/hosts", "mine\n"), ("etc/resolv.conf", "ours\n"), ("dev/sub/f", "x\n")]);
}
