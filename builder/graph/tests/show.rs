//! A definition as text: JSON as `buildctl debug dump-llb` prints it, DOT, and a tree.

use routerpack_graph::{
    Constraints, Definition, Output, Platform,
    exec::{Exec, Mount, Network},
    file::{Action, CopyOptions, FileOp, Id, Owner, Place},
    merge::merge,
    show,
    source::{Image, Local},
};

/// image → mkdir → RUN with the context at /ctx; merged with a copy out of the same context.
fn sample() -> Output {
    let on = Constraints::on(&Platform::new("linux", "arm", "v7"));
    let context = Local::new("context").output(&on);
    let base = Image::new("docker.io/library/alpine:latest").output(&on);
    let mkdir = Action::Mkdir { path: "/a\"<b>".into(), mode: 0o755, parents: true, owner: None, timestamp: None };
    let dir = FileOp::on(Some(base)).then(mkdir).output(&on).unwrap();
    let mounts = vec![Mount { readonly: true, ..Mount::bind("/ctx", Some(context.clone())) }];
    let exec = Exec { mounts, network: Network::None, ..Exec::new(Some(dir), ["echo", "a & b"]) };
    let ran = exec.run(&on.clone().named("RUN echo \"a\nb\"")).unwrap().root();
    let owner = Owner { user: Some(Id::Number(0)), group: Some(Id::Number(7)) };
    let options = CopyOptions { owner: Some(owner), ..CopyOptions::default() };
    let (from, src, dest) = (Place::Input(Some(context)), "/x".into(), "/y".into());
    let copied =
        FileOp::on(None).then(Action::Copy { from, src, dest, options: Box::new(options) }).output(&on).unwrap();
    merge([ran, Some(copied)], &on).unwrap()
}

#[test]
fn json_is_a_line_an_op_with_go_s_keys_and_defaults_left_out() {
    let definition = Definition::of(Some(&sample()));
    let text = show::to_json(&definition).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), definition.ops.len());
    let find = |part: &str| *lines.iter().find(|l| l.contains(part)).unwrap_or_else(|| panic!("{part}: {text}"));
    for part in [
        r#""Op":{"source":{"identifier":"docker-image://docker.io/library/alpine:latest"}},"platform":{"Architecture":"arm","OS":"linux","Variant":"v7"}"#,
        r#""Op":{"file":{"actions":[{"input":0,"secondaryInput":-1,"output":0,"Action":{"mkdir":{"path":"/a\"\u003cb\u003e","mode":493,"makeParents":true,"timestamp":-1}}}]}}"#,
        r#""exec":{"meta":{"args":["echo","a \u0026 b"],"cwd":"/""#,
        r#"{"input":1,"dest":"/ctx","output":-1,"readonly":true}"#,
        r#""network":2"#,
        r#""owner":{"user":{"User":{}},"group":{"User":{"byId":7}}}"#,
        r#""Op":{"merge":{"inputs":[{},{"input":1}]}}"#,
    ] {
        find(part);
    }
    assert!(find("docker-image").starts_with(r#"{"Op":{"Op":{"source""#), "{text}");
    assert!(find("RUN echo").contains(r#""description":{"llb.customname":"RUN echo \"a\nb\""}"#), "{text}");
    let last = lines.last().unwrap();
    assert!(last.starts_with(r#"{"Op":{"inputs":[{"digest":"sha256:"#) && last.contains(r#"}],"Op":{}}"#), "{last}");
    assert_eq!(show::to_json(&Definition::of(Some(&sample()))).unwrap(), text, "equal graphs, equal texts");
    assert_eq!(show::to_json(&Definition::default()).unwrap(), "");
    let damaged = Definition { ops: vec![vec![0xff; 9]], ..Definition::default() };
    assert!(show::to_json(&damaged).is_err());
}

#[test]
fn dot_has_nodes_edges_and_no_way_out_of_a_string() {
    let graph = Definition::of(Some(&sample())).graph().unwrap();
    let dot = show::to_dot(&graph);
    let (nodes, edges): (Vec<&str>, Vec<&str>) =
        dot.lines().filter(|l| l.starts_with("  ")).partition(|line| !line.contains(" -> "));
    assert_eq!((nodes.len(), edges.len()), (graph.nodes.len(), 6), "{dot}");
    assert!(dot.starts_with("digraph {\n") && dot.ends_with("}\n"), "{dot}");
    assert!(dot.contains(r#"label="RUN echo \"a\nb\"\nrun" shape="#), "{dot}");
    assert!(dot.contains(r#"[label="/ctx"]"#) && dot.contains(r#"mkdir /a\"<b>"#), "{dot}");
}

#[test]
fn a_tree_tells_each_op_once() {
    let graph = Definition::of(Some(&sample())).graph().unwrap();
    let tree = show::to_tree(&graph);
    let expected = "\
#6 merge
├─ #4 RUN echo \"a⏎b\"  [run, linux/arm/v7]
│  ├─ #2 file  [mkdir /a\"<b>]
│  │  └─ #1 docker-image://docker.io/library/alpine:latest  [linux/arm/v7]
│  └─ at /ctx: #3 local://context
└─ #5 file  [copy /x → /y]
   └─ #3 local://context
";
    assert_eq!(tree, expected);
    assert_eq!(show::to_tree(&Default::default()), "scratch\n");
}
