//! COPY and ADD.

use routerpack_graph::{Digest, pb};

use crate::world::*;

/// The ops behind the image.
fn copy(source: &str) -> Vec<String> {
    ops(&simple(&format!("FROM alpine\n{source}\n")))[1..].to_vec()
}

#[test]
fn options_of_a_copy() {
    const USUAL: &str = "follow contents wildcard parents";
    for (source, expected) in [
        ("COPY a /b", format!("copy #1/a to #0/b {USUAL}")),
        ("COPY a b", format!("copy #1/a to #0/b {USUAL}")),
        ("COPY [\"a b\", \"/c d/\"]", format!("copy #1/a b to #0/c d/ {USUAL}")),
        ("COPY ../../a/./b* .", format!("copy #1/a/b* to #0/ {USUAL}")),
        ("ENV D=/x U=me\nCOPY --chown=$U:0 a $D", format!("copy #1/a to #0/x owner=me@#0:0 {USUAL}")),
        ("COPY --chown=1000 a /", format!("copy #1/a to #0/ owner=1000:- {USUAL}")),
        ("COPY --chmod=0755 a /", format!("copy #1/a to #0/ mode=755 {USUAL}")),
        ("COPY --chmod=u=rwX,go=rX a /", format!("copy #1/a to #0/ {USUAL} mode=u=rwX,go=rX (0)")),
        ("COPY --exclude=*.o --exclude=**/t a /", format!("copy #1/a to #0/ {USUAL} exclude=[\"*.o\", \"**/t\"]")),
        ("COPY --parents a/./b/c /", format!("copy #1/a to #0/ {USUAL} include=[\"b/c\"] require=[\"/a/b/c\"]")),
        ("COPY --parents x/*.c /", format!("copy #1/ to #0/ {USUAL} include=[\"x/*.c\"]")),
        ("ADD a.tar /", "copy #1/a.tar to #0/ follow contents unpack wildcard parents".into()),
        ("ADD --unpack=false a.tar /", format!("copy #1/a.tar to #0/ {USUAL}")),
    ] {
        assert_eq!(copy(source).pop().unwrap(), expected, "{source}");
    }
}

#[test]
fn a_linked_copy_stands_beside_its_base() {
    let lowered = simple("FROM alpine AS x\nCOPY --link --chown=me a /b/\n");
    assert_eq!(
        ops(&lowered)[1..],
        [
            r#"local://context local.followpaths=["a"]"#,
            "copy #1/a to scratch/b/ owner=me@scratch:- follow contents wildcard parents",
            "merge #0 #2",
        ]
    );
    let graph = lowered.definition.graph().unwrap();
    assert_eq!(graph.nodes[2].name(), "[2/2] COPY --link --chown=me a /b/");
    assert_eq!(graph.nodes[3].name(), "[2/2] LINK COPY --link --chown=me a /b/");
    let group = |node: usize| graph.nodes[node].metadata.progress_group.clone().unwrap();
    assert_eq!((group(2).id == group(3).id, group(2).weak, group(3).weak), (true, true, false));
    // On nothing there is nothing to merge with; a mode needs the files themselves.
    assert_eq!(ops(&simple("FROM scratch\nCOPY --link a /\n")).len(), 2);
    assert!(copy("COPY --link --chmod=1 a /").pop().unwrap().starts_with("copy #1/a to #0/"));
}

#[test]
fn documents_are_files() {
    for (source, file, target) in [
        ("ENV V=1\nCOPY <<EOF /a\nx=$V \"q\" \\$V\nEOF", r#"mkfile scratch/EOF mode=644 "x=1 \"q\" $V\n""#, "/a"),
        ("COPY <<'EOF' /a/\n$V\nEOF", r#"mkfile scratch/EOF mode=644 "$V\n""#, "/a/"),
        ("ADD <<-conf.ini /etc/\n\ta\n\t b\n\tconf.ini", r#"mkfile scratch/conf.ini mode=644 "a\n b\n""#, "/etc/"),
    ] {
        let ops = copy(source);
        assert_eq!(ops[0], file, "{source}");
        let name = file.split(['/', ' ']).nth(2).unwrap();
        assert_eq!(ops[1], format!("copy #1/{name} to #0{target} parents"), "{source}");
    }
    // Several, with files among them, and the flags on all.
    let ops = copy("COPY --chown=1:2 <<A f <<B /d/\na\nA\nb\nB");
    let last = ops.last().unwrap();
    assert_eq!(
        *last,
        "copy #1/f to #0/d/ owner=1:2 follow contents wildcard parents; \
         copy #2/A to ^0/d/ owner=1:2 parents; copy #3/B to ^1/d/ owner=1:2 parents"
    );
}

#[test]
fn remote_sources_of_add() {
    let sum = Digest::of(b"x");
    for (source, expected) in [
        (
            "ADD https://host/a/f.tar?x#y /d/".to_string(),
            vec!["https://host/a/f.tar?x#y http.filename=f.tar".to_string(), "copy #1/f.tar to #0/d/ parents".into()],
        ),
        (
            "ADD https://host /d/".into(),
            vec!["https://host http.filename=__unnamed__".into(), "copy #1/__unnamed__ to #0/d/ parents".into()],
        ),
        (
            "ADD https://host/a%2Fb%20c+d?x=/y /d/".into(),
            vec!["https://host/a%2Fb%20c+d?x=/y http.filename=b c+d".into(), "copy #1/b c+d to #0/d/ parents".into()],
        ),
        (
            format!("ADD --checksum={sum} --unpack --chmod=600 https://host/f /"),
            vec![
                format!("https://host/f http.checksum={sum} http.filename=f"),
                "copy #1/f to #0/ mode=600 unpack parents".into(),
            ],
        ),
        (
            "ADD https://host/r.git#v1:sub /r".into(),
            vec!["git://host/r.git#v1:sub git.fullurl=https://host/r.git".into(), "copy #1/ to #0/r parents".into()],
        ),
        (
            "ADD --keep-git-dir --checksum=abc git@host:a/r.git?tag=v2 /r".into(),
            vec![
                "git://host/a/r.git#refs/tags/v2 git.checksum=abc git.fullurl=git@host:a/r.git git.keepgitdir=true \
                 git.mountsshsock=default"
                    .into(),
                "copy #1/ to #0/r parents".into(),
            ],
        ),
    ] {
        assert_eq!(copy(&source), expected, "{source}");
    }
}

#[test]
fn the_epoch_is_on_all_that_is_made() {
    let lowered = build(
        "FROM alpine\nCOPY a /\nWORKDIR /w\nRUN x\nCMD y\n",
        &with_args(&[("SOURCE_DATE_EPOCH", "1700000000")]),
        &World::new(),
    );
    assert_eq!(lowered.epoch, Some(1_700_000_000));
    let times = |op: &pb::file_action::Action| match op {
        pb::file_action::Action::Copy(copy) => copy.timestamp,
        pb::file_action::Action::Mkdir(mkdir) => mkdir.timestamp,
        other => panic!("{other:?}"),
    };
    let mut seen = 0;
    for node in lowered.definition.graph().unwrap().nodes {
        if let Some(pb::op::Op::File(file)) = node.op.op {
            for action in file.actions {
                assert_eq!(times(&action.action.unwrap()), 1_700_000_000_000_000_000);
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 2);
    let created: Vec<_> = lowered.config.history.iter().map(|h| h.created.as_deref()).collect();
    assert_eq!(
        created,
        [
            None,
            Some("2023-11-14T22:13:20Z"),
            Some("2023-11-14T22:13:20Z"),
            Some("2023-11-14T22:13:20Z"),
            Some("2023-11-14T22:13:20Z")
        ]
    );
    // A default before the first FROM counts as well.
    let lowered = simple("ARG SOURCE_DATE_EPOCH=5\nFROM alpine\n");
    assert_eq!(lowered.epoch, Some(5));
}
