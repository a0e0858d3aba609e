//! RUN.

use routerpack_frontends::dockerfile::lower::Options;
use routerpack_graph::exec::Network;
use routerpack_graph::pb;

use crate::world::*;

/// The ops behind the image, with the parts that are always the same cut off.
fn run(source: &str) -> Vec<String> {
    let lowered = simple(&format!("FROM alpine\n{source}"));
    let cut = |op: &String| op.replace(" env=[\"PATH=/bin\"] cwd=/", "").replace(" on linux/amd64", "");
    ops(&lowered).iter().map(cut).collect()
}

#[test]
fn commands_in_both_forms() {
    for (source, expected) in [
        ("RUN echo \"$HOME\" '#x'\n", r##"exec ["/bin/sh", "-c", "echo \"$HOME\" '#x'"] [/=#0]"##),
        ("RUN [\"echo\", \"$HOME\"]\n", r#"exec ["echo", "$HOME"] [/=#0]"#),
        ("RUN a && \\\n  b\n", r#"exec ["/bin/sh", "-c", "a &&   b"] [/=#0]"#),
        ("SHELL [\"/bin/bash\", \"-ec\"]\nRUN x\n", r#"exec ["/bin/bash", "-ec", "x"] [/=#0]"#),
        ("SHELL [\"/bin/bash\", \"-ec\"]\nRUN [\"x\"]\n", r#"exec ["x"] [/=#0]"#),
        ("RUN --network=none x\n", r#"exec ["/bin/sh", "-c", "x"] network=2 security=0 [/=#0]"#),
        ("RUN --network=host --security=insecure x\n", r#"exec ["/bin/sh", "-c", "x"] network=1 security=1 [/=#0]"#),
        ("RUN <<EOF\na\nb\nEOF\n", r#"exec ["/bin/sh", "-c", "a\nb\n"] [/=#0]"#),
        ("RUN <<-EOF\n\ta\n\tEOF\n", r#"exec ["/bin/sh", "-c", "a\n"] [/=#0]"#),
        ("RUN cat <<A <<B\n1\nA\n2\nB\n", r#"exec ["/bin/sh", "-c", "cat <<A <<B\n1\nA\n2\nB"] [/=#0]"#),
        ("RUN python3 <<EOF\nprint(1)\nEOF\n", r#"exec ["/bin/sh", "-c", "python3 <<EOF\nprint(1)\nEOF"] [/=#0]"#),
    ] {
        assert_eq!(run(source).pop().unwrap(), expected, "{source}");
    }
}

#[test]
fn a_script_with_an_interpreter_is_a_file() {
    assert_eq!(
        run("RUN <<EOF\n#!/usr/bin/env python\nprint(1)\nEOF\n")[1..],
        [
            r##"mkfile scratch/EOF mode=755 "#!/usr/bin/env python\nprint(1)\n""##,
            r#"exec ["/bin/sh", "-c", "/dev/pipes/EOF"] [/=#0] [/dev/pipes/=#1/ ro]"#,
        ]
    );
    let lowered = simple("FROM alpine\nRUN <<EOF\n#!/bin/x\ny\nEOF\n");
    assert_eq!(names(&lowered)[1..], ["[internal] preparing inline document", "[2/2] RUN <<EOF (#!/bin/x...)"]);
}

#[test]
fn mounts_of_every_kind() {
    for (flags, expected) in [
        ("type=bind,source=a,target=b", vec!["local://context local.followpaths=[\"a\"]", "[/=#0] [/b=#1/a ro]"]),
        ("target=/b,rw", vec!["local://context", "[/=#0] [/b=#1 discard]"]),
        ("type=cache,target=/root/.cache/", vec!["[/=#0] [/root/.cache=scratch cache id=//root/.cache sharing=0]"]),
        ("type=cache,id=c,target=/c,sharing=locked,ro", vec!["[/=#0] [/c=scratch cache ro id=/c sharing=2]"]),
        (
            "type=cache,target=/c,uid=5,mode=0700",
            vec!["mkdir scratch/cache mode=700 owner=5:0", "[/=#0] [/c=#1/cache cache id=//c sharing=0]"],
        ),
        ("type=tmpfs,target=/t,size=1m", vec!["[/=#0] [/t=scratch tmpfs size=1048576]"]),
        ("type=secret,id=k", vec!["[/=#0] [/run/secrets/k=scratch secret id=k 0:0 400 optional]"]),
        (
            "type=secret,id=a/k,target=/k,required,uid=1,gid=2,mode=0440",
            vec!["[/=#0] [/k=scratch secret id=a/k 1:2 440]"],
        ),
        ("type=secret,target=/etc/k", vec!["[/=#0] [/etc/k=scratch secret id=k 0:0 400 optional]"]),
        ("type=secret,id=k,target=f", vec!["[/=#0] [/f=scratch secret id=k 0:0 400 optional]"]),
        ("type=secret,id=k,env=K", vec!["[/=#0] $K=k optional"]),
        ("type=secret,id=k,env=K,target=/k", vec!["[/=#0] [/k=scratch secret id=k 0:0 400 optional] $K=k optional"]),
    ] {
        let ops = run(&format!("RUN --mount={flags} x\n"));
        let cut = |op: &String| op.replace(r#"exec ["/bin/sh", "-c", "x"] "#, "");
        assert_eq!(ops[1..].iter().map(cut).collect::<Vec<_>>(), expected, "{flags}");
    }
    let ssh = run("RUN --mount=type=ssh --mount=type=ssh,id=o,target=/s,required,mode=0666 x\n").pop().unwrap();
    let agents = "[/run/buildkit/ssh_agent.0=scratch ssh id= 600 optional] [/s=scratch ssh id=o 666]";
    assert!(ssh.ends_with(agents), "{ssh}");
    assert!(ssh.contains("SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0"), "{ssh}");
}

#[test]
fn mounts_of_stages_and_images_with_variables() {
    let source = "FROM alpine AS tools\nRUN t\nFROM alpine\nARG WHERE=/w\nWORKDIR /d\n\
                  RUN --mount=from=tools,source=/bin,target=$WHERE/bin --mount=from=other,target=o x\n";
    let world = World::new().image("docker.io/library/other:latest", "{}");
    let lowered = build(source, &options(), &world);
    let last = ops(&lowered).pop().unwrap();
    assert!(last.contains("[/=#1] [/d/o=#2 ro] [/w/bin=#3/bin ro]"), "{last}");
    assert_eq!(lowered.stages, ["tools", "1"]);
}

#[test]
fn the_environment_of_a_command() {
    let source = "FROM alpine\nARG A=1\nENV B=2 PATH=/x:$PATH\nARG A\nARG C\nARG D=4\nENV D=5\nRUN x\n";
    let lowered =
        build(source, &with_args(&[("C", "3"), ("http_proxy", "http://p"), ("NO_PROXY", "n")]), &World::new());
    let last = ops(&lowered).pop().unwrap();
    assert!(last.contains(r#"env=["A=1", "B=2", "PATH=/x:/bin", "C=3", "D=5"]"#), "{last}");
    // ARG A without a value later leaves the variable, but the history says what is defined.
    assert_eq!(lowered.config.history.last().unwrap().created_by, "RUN |3 A=1 C=3 D=5 /bin/sh -c x # buildkit");
    assert_eq!(lowered.config.config.env, ["PATH=/x:/bin", "B=2", "D=5"]);
    let graph = lowered.definition.graph().unwrap();
    let Some(pb::op::Op::Exec(exec)) = &graph.nodes.last().unwrap().op.op else { panic!("an exec") };
    let proxy = exec.meta.as_ref().unwrap().proxy_env.as_ref().unwrap();
    assert_eq!((&*proxy.http_proxy, &*proxy.no_proxy, &*proxy.ftp_proxy), ("http://p", "n", ""));
}

#[test]
fn what_the_build_says_of_every_command() {
    let options = Options {
        network: Network::None,
        hostname: "box".into(),
        extra_hosts: vec![("db".into(), "10.0.0.1".into())],
        ulimits: vec![pb::Ulimit { name: "nofile".into(), soft: 1, hard: 2 }],
        shm_size: 4096,
        no_cache_stages: ["b".to_string()].into(),
        ..options()
    };
    let source = "FROM alpine AS a\nRUN x\nFROM alpine AS B\nRUN --network=host y\nFROM a\nCOPY --from=b /y /\n";
    let lowered = build(source, &options, &World::new());
    let ops = ops(&lowered);
    assert!(ops[1].contains("hostname=box network=2 security=0 [/=#0] [/dev/shm=scratch tmpfs size=4096]"), "{ops:?}");
    let graph = lowered.definition.graph().unwrap();
    let by_name = |text: &str| graph.nodes.iter().find(|node| node.name().contains(text)).unwrap();
    assert!(!by_name("RUN x").metadata.ignore_cache);
    assert!(by_name("RUN --network=host y").metadata.ignore_cache);
    let Some(pb::op::Op::Exec(exec)) = &by_name("RUN x").op.op else { panic!("an exec") };
    let meta = exec.meta.as_ref().unwrap();
    assert_eq!(meta.extra_hosts, [pb::HostIp { host: "db".into(), ip: "10.0.0.1".into() }]);
    assert_eq!(meta.ulimit.len(), 1);
    assert_eq!(exec.network, 2);
}

#[test]
fn titles_show_variables_but_no_secrets() {
    let source = "FROM alpine AS x\nARG V=1\nENV T=env\n\
                  RUN --mount=type=secret,id=t,env=T echo \"$V\" ${U:-u} $T $UNKNOWN\nWORKDIR /$V\ncopy $V /\n";
    let lowered = simple(source);
    let secret = "[2/4] RUN --mount=type=secret,id=t,env=T echo \"1\" ${U:-u} **** $UNKNOWN";
    let names: Vec<String> = names(&lowered).into_iter().filter(|name| !name.contains("internal")).collect();
    assert_eq!(names[1..], [secret, "[3/4] WORKDIR /1", "[4/4] COPY 1 /"]);
    let options = Options { multi_platform: true, ..options() };
    let lowered = build("FROM alpine\nARG TARGETARCH=arm64\nRUN x\n", &options, &World::new());
    assert_eq!(crate::world::names(&lowered)[1], "[linux/amd64->arm64 2/2] RUN x");
}
