//! The shape of whole graphs.

use crate::world::*;

#[test]
fn a_small_file_is_a_chain() {
    let source = "FROM alpine\nWORKDIR /srv\nCOPY a b/ ./\nRUN make all\nUSER nobody\nCMD [\"./x\"]\n";
    let lowered = simple(source);
    assert_eq!(
        ops(&lowered),
        [
            "docker-image://docker.io/library/alpine:latest@DIGEST on linux/amd64",
            "mkdir #0/srv mode=755 parents",
            "local://context local.followpaths=[\"a\",\"b\"]",
            "copy #2/a to #1/srv/ follow contents wildcard parents; copy #2/b to ^0/srv/ follow contents wildcard parents",
            "exec [\"/bin/sh\", \"-c\", \"make all\"] env=[\"PATH=/bin\"] cwd=/srv [/=#3] on linux/amd64",
        ]
    );
    assert_eq!(
        names(&lowered),
        [
            format!("[1/4] FROM docker.io/library/alpine:latest@{}", digest()),
            "[2/4] WORKDIR /srv".into(),
            "[internal] load build context".into(),
            "[3/4] COPY a b/ ./".into(),
            "[4/4] RUN make all".into(),
        ]
    );
    let graph = lowered.definition.graph().unwrap();
    assert_eq!(graph.sources[0].filename, "Dockerfile");
    assert_eq!(graph.sources[0].data, source.as_bytes());
    let line = |node: usize| graph.nodes[node].locations.first().map(|l| l.ranges[0].start.unwrap().line);
    assert_eq!([line(0), line(1), line(2), line(3), line(4)], [Some(1), Some(2), None, Some(3), Some(4)]);
    assert_eq!(graph.nodes[4].metadata.description["com.docker.dockerfile.v1.command"], "RUN make all");
    assert_eq!(graph.target.unwrap().node, 4);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let source = "ARG V=1\nFROM alpine AS a\nRUN --mount=type=cache,target=/c x\nFROM alpine AS b\nCOPY --link x y\n\
                  FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\nLABEL z=1 a=2\n";
    let (one, two) = (simple(source), simple(source));
    assert_eq!(one.definition.to_bytes(), two.definition.to_bytes());
    assert_eq!(one.config.to_json().unwrap(), two.config.to_json().unwrap());
    assert_eq!(one.stages, ["a", "b", "2"]);
}

#[test]
fn nothing_is_a_definition_too() {
    let lowered = simple("FROM scratch\nENV A=1\n");
    assert!(lowered.definition.ops.is_empty());
    assert_eq!(lowered.config.config.env, ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=1"]);
    assert_eq!(lowered.config.architecture, "amd64");
}

#[test]
fn a_long_file_is_lowered_without_recursion() {
    let mut source = String::from("FROM scratch AS s0\nCOPY a /\n");
    for i in 1..2_000 {
        source.push_str(&format!("FROM s{} AS s{i}\nCOPY f{i} /\nCOPY --from=s0 /a /b{i}\n", i - 1));
    }
    let lowered = simple(&source);
    assert_eq!(lowered.definition.graph().unwrap().nodes.len(), 1 + 1 + 2 * 1_999);
}

#[test]
fn the_context_is_asked_for_what_is_used() {
    for (copies, expected) in [
        ("COPY a /\nCOPY ./b/../c* /", r#" local.followpaths=["a","c*"]"#),
        ("COPY a /\nCOPY . /", ""),
        ("COPY /a /\nADD ../b /", r#" local.followpaths=["a","b"]"#),
        ("COPY --parents a/./b /", r#" local.followpaths=["a/b"]"#),
        ("RUN --mount=source=x,target=/x true", r#" local.followpaths=["x"]"#),
        ("RUN --mount=target=/x true", ""),
        ("ADD https://host/f /\nCOPY a /", r#" local.followpaths=["a"]"#),
        ("ARG D=dir\nCOPY $D/${D:+x} /", r#" local.followpaths=["dir/x"]"#),
    ] {
        let lowered = simple(&format!("FROM alpine\n{copies}\n"));
        let local = ops(&lowered).into_iter().find(|op| op.starts_with("local://")).unwrap();
        assert_eq!(local, format!("local://context{expected}"), "{copies}");
    }
}

#[test]
fn what_a_context_excludes_is_part_of_its_source() {
    use routerpack_frontends::dockerfile::lower::{Context, Options};
    let context = Context::Local { name: "context".into(), exclude: vec!["*.o".into(), "!keep.o".into()] };
    let options = Options { context, ..options() };
    let lowered = build("FROM scratch\nCOPY . /\n", &options, &World::new());
    assert_eq!(ops(&lowered)[0], r#"local://context local.excludepatterns=["*.o","!keep.o"]"#);

    let options = Options { context: Context::Empty, ..options };
    let lowered = build("FROM scratch\nCOPY x /\n", &options, &World::new());
    assert_eq!(ops(&lowered), ["copy scratch/x to scratch/ follow contents wildcard parents"]);
}
