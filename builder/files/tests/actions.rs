//! mkdir, mkfile, symlink, rm, and chains of actions.

mod support;

use routerpack_files::{Error, apply, base_input};
use routerpack_graph::pb::{
    FileAction, FileActionMkDir, FileActionMkFile, FileActionRm, FileActionSymlink, FileOp, file_action::Action,
};
use routerpack_rootfs::{Kind, Mtime};
use support::*;

fn mkdir(path: &str, make_parents: bool) -> Action {
    Action::Mkdir(FileActionMkDir { path: path.into(), mode: 0o1750, make_parents, owner: by_id(3, 4), timestamp: -1 })
}

fn mkfile(path: &str, data: &str) -> Action {
    Action::Mkfile(FileActionMkFile {
        path: path.into(),
        mode: 0o4640,
        data: data.into(),
        owner: None,
        timestamp: 1_500_000_002,
    })
}

fn symlink(target: &str, path: &str) -> Action {
    Action::Symlink(FileActionSymlink { oldpath: target.into(), newpath: path.into(), owner: None, timestamp: -1 })
}

fn rm(path: &str) -> Action {
    Action::Rm(FileActionRm { path: path.into(), allow_not_found: false, allow_wildcard: false })
}

/// Actions that each work on what the one before left, the first on input 0.
fn chain(actions: Vec<Action>) -> FileOp {
    let last = actions.len() - 1;
    let actions = actions.into_iter().enumerate().map(|(at, action)| FileAction {
        input: at as i64, // input 0, then action 0 (numbered 1 behind one input), …
        secondary_input: -1,
        output: if at == last { 0 } else { -1 },
        action: Some(action),
    });
    FileOp { actions: actions.collect() }
}

fn on(base: &Made, actions: Vec<Action>) -> Result<Made, Error> {
    run(&chain(actions), &[base])
}

#[test]
fn directories() {
    let base = build().dir("a", 0o700).file("f", "").symlink("l", "a").symlink("out", "../../../a").done();
    let made = on(&base, vec![mkdir("/a/b/c", true)]).unwrap();
    assert_eq!(made.list()[..3], ["a/ 700", "a/b/ 750", "a/b/c/ 750"]);
    assert_eq!((made.owner("a"), made.owner("a/b"), made.get("a/b").mtime), ((0, 0), (3, 4), NOW));
    // Something that is there is fine, whatever it is; links are followed, inside the image.
    for there in ["/a", "/l", "/f", "/"] {
        assert_eq!(on(&base, vec![mkdir(there, false)]).unwrap().list(), base.list(), "{there}");
    }
    assert!(on(&base, vec![mkdir("/l/x", false)]).unwrap().has("a/x"));
    assert!(on(&base, vec![mkdir("/out/x", false)]).unwrap().has("a/x"));
    assert!(on(&base, vec![mkdir("/../../x", false)]).unwrap().has("x"));
    assert!(matches!(on(&base, vec![mkdir("/no/x", false)]), Err(Error::NotFound { path }) if path == "/no"));
    assert!(on(&base, vec![mkdir("/f/x", true)]).is_err());
}

/// WORKDIR's directory belongs to USER, which an image without user files may name all the same.
#[test]
fn a_directory_of_an_unknown_user_is_roots() {
    let base = build().dir("etc", 0o755).file("etc/passwd", "web:x:33:44::/:/bin/sh\n").done();
    for (input, user, group, expected) in [
        (0, "web", None, (33, 44)),
        (0, "nobody", None, (0, 0)),
        (0, "web", Some("nobody"), (33, 44)),
        (-1, "web", None, (0, 0)),
    ] {
        let Action::Mkdir(action) = mkdir("/w", true) else { unreachable!() };
        let action = Action::Mkdir(FileActionMkDir { owner: by_name(Some(user), group, input), ..action });
        assert_eq!(on(&base, vec![action]).unwrap().owner("w"), expected, "{user} {group:?} {input}");
    }
}

#[test]
fn files() {
    let base = build().dir("a", 0o755).file("a/f", "old").owned(7, 7).symlink("l", "a/f").done();
    let made = on(&base, vec![mkfile("/l", "new"), mkfile("/a/g", "")]).unwrap();
    assert_eq!(made.list(), ["a/ 755", "a/f 640 new", "a/g 640 ", "l -> a/f"]);
    assert_eq!((made.owner("a/f"), made.get("a/f").mtime), ((0, 0), Mtime { secs: 1, nanos: 500_000_002 }));
    assert!(matches!(on(&base, vec![mkfile("/a", "")]), Err(Error::IsADirectory { .. })));
    assert!(matches!(on(&base, vec![mkfile("/", "")]), Err(Error::IsADirectory { .. })));
    assert!(matches!(on(&base, vec![mkfile("/no/f", "")]), Err(Error::NotFound { .. })));
}

#[test]
fn links() {
    let base = build().dir("a", 0o755).done();
    let made = on(&base, vec![symlink("/anything at all", "/a/l")]).unwrap();
    assert_eq!(made.list(), ["a/ 755", "a/l -> /anything at all"]);
    assert_eq!(made.get("a/l").mtime, NOW);
    assert!(matches!(on(&base, vec![symlink("x", "/a")]), Err(Error::Exists { .. })));
    assert!(matches!(on(&base, vec![symlink("x", "/b/l")]), Err(Error::NotFound { .. })));
    // A later action goes through the link that an earlier one made, but never outside.
    let made =
        on(&base, vec![symlink("../../..", "/out"), mkdir("/out/etc", false), mkfile("/out/etc/f", "x")]).unwrap();
    assert!(made.has("etc/f") && made.get("out").kind == Kind::Symlink);
}

#[test]
fn removal() {
    let base = build()
        .dir("a", 0o755)
        .file("a/f", "1")
        .dir("a/sub", 0o755)
        .file("a/sub/g", "2")
        .file("a-b", "3")
        .symlink("l", "a")
        .file("x.log", "")
        .file("y.log", "")
        .done();
    let made = on(&base, vec![rm("/a")]).unwrap();
    assert_eq!(made.paths(), ["a-b", "l", "x.log", "y.log"]);
    let own: Vec<_> = made.own.entries().iter().map(|e| (String::from_utf8_lossy(&e.path), e.kind)).collect();
    assert_eq!(own, [("a".into(), Kind::Whiteout)]);
    // The link, not what it names; and through the link, what it names.
    assert_eq!(on(&base, vec![rm("/l")]).unwrap().list().len(), base.list().len() - 1);
    assert!(!on(&base, vec![rm("/l/f")]).unwrap().has("a/f"));
    for wrong in ["/", "..", "", "a/.."] {
        assert!(matches!(on(&base, vec![rm(wrong)]), Err(Error::BadOp(_))), "{wrong}");
    }
    assert!(matches!(on(&base, vec![rm("/none")]), Err(Error::NotFound { .. })));
    let lenient =
        |path: &str| Action::Rm(FileActionRm { path: path.into(), allow_not_found: true, allow_wildcard: true });
    assert_eq!(on(&base, vec![lenient("/none")]).unwrap().list(), base.list());
    assert_eq!(on(&base, vec![lenient("/*.log")]).unwrap().paths(), ["a", "a-b", "a/f", "a/sub", "a/sub/g", "l"]);
    assert_eq!(on(&base, vec![lenient("/a/*")]).unwrap().paths(), ["a", "a-b", "l", "x.log", "y.log"]);
}

#[test]
fn what_was_removed_stays_hidden_below_what_comes_after() {
    let base = build().dir("a", 0o755).file("a/f", "1").dir("a/sub", 0o755).file("a/sub/g", "2").done();
    let made = on(&base, vec![rm("/a"), mkdir("/a/sub", true), mkfile("/a/new", "n")]).unwrap();
    assert_eq!(made.list(), ["a/ 750", "a/new 640 n", "a/sub/ 750"]);
    assert!(made.own.get(b"a").unwrap().opaque && !made.own.get(b"a/sub").unwrap().opaque);
    // A file in a directory's place, and a directory in that file's place again.
    let made = on(&base, vec![rm("/a/sub"), mkfile("/a/sub", "file")]).unwrap();
    assert_eq!(made.list(), ["a/ 755", "a/f 644 1", "a/sub 640 file"]);
    let made = on(&base, vec![rm("/a/sub"), mkfile("/a/sub", "x"), rm("/a/sub"), mkdir("/a/sub", false)]).unwrap();
    assert_eq!(made.list(), ["a/ 755", "a/f 644 1", "a/sub/ 750"]);
    // Made and removed again: no trace, where the base has nothing there.
    let made = on(&base, vec![mkdir("/n/m", true), mkfile("/n/m/f", ""), rm("/n")]).unwrap();
    assert_eq!((made.list(), made.own.entries().len()), (base.list(), 0));
    // A removal inside a directory that is gone as a whole needs no mark of its own.
    let made = on(&base, vec![rm("/a/f"), rm("/a")]).unwrap();
    assert_eq!(made.own.entries().iter().filter(|e| e.kind == Kind::Whiteout).count(), 1);
}

#[test]
fn results_can_be_looked_at_from_the_side() {
    let base = build().dir("etc", 0o755).file("etc/passwd", "old:x:1:1::/:\n").done();
    let action =
        |input, secondary_input, output, action| FileAction { input, secondary_input, output, action: Some(action) };
    // Action 1 builds a tree from scratch; action 3 copies it over what action 2 left of input 0; the
    // owner's name is looked up in action 2's result.
    let mut from_side = copy("/", "/got/");
    from_side.owner = by_name(Some("new"), None, 3);
    let op = FileOp {
        actions: vec![
            action(-1, -1, -1, mkdir("/d", false)),
            action(1, -1, -1, mkfile("/d/f", "made")),
            action(0, -1, -1, mkfile("/etc/passwd", "new:x:5:6::/:\n")),
            action(3, 2, 0, Action::Copy(from_side)),
        ],
    };
    let made = run(&op, &[&base]).unwrap();
    assert_eq!(
        made.list(),
        ["etc/ 755", "etc/passwd 640 new:x:5:6::/:\n", "got/ 755", "got/d/ 750", "got/d/f 640 made"]
    );
    assert_eq!(made.owner("got/d/f"), (5, 6));
    assert_eq!(base_input(&op, 0, 1).unwrap(), Some(0));
}

#[test]
fn malformed_ops_are_refused() {
    let base = build().done();
    let dir = tempfile::tempdir().unwrap();
    let settings = routerpack_files::Settings { can_chown: true, now: NOW };
    let with = |input, secondary_input, output, action: Option<Action>| {
        let op = FileOp { actions: vec![FileAction { input, secondary_input, output, action }] };
        apply(&op, 0, &[&base.tree], dir.path(), &settings).map(|_| ())
    };
    let make = || Some(mkdir("/a", false));
    for bad in [
        with(1, -1, 0, make()),
        with(7, -1, 0, make()),
        with(-2, -1, 0, make()),
        with(i64::MIN, -1, 0, make()),
        with(0, -1, -1, make()),
        with(0, -1, 1, make()),
        with(0, -1, 0, None),
        with(0, 5, 0, Some(Action::Copy(copy("/", "/")))),
    ] {
        let bad = bad.unwrap_err();
        assert!(matches!(bad.cause().1, Error::BadOp(_)), "{bad:?}");
    }
    assert!(apply(&FileOp::default(), 0, &[], dir.path(), &settings).is_err());
    assert!(apply(&chain(vec![mkdir("a\0b", false)]), 0, &[&base.tree], dir.path(), &settings).is_err());
    let long = "x".repeat(300);
    assert!(apply(&chain(vec![mkdir(&long, false)]), 0, &[&base.tree], dir.path(), &settings).is_err());
}

#[test]
fn an_op_that_changes_nothing_leaves_at_most_the_root() {
    let base = build().dir("", 0o711).owned(1, 2).dir("work", 0o700).done();
    let made = on(&base, vec![mkdir("/work", true)]).unwrap();
    assert_eq!(made.own.entries().len(), 1);
    assert_eq!((made.get("").mode, made.owner(""), made.get("").mtime), (0o711, (1, 2), OLD));
    let op = FileOp {
        actions: vec![FileAction { input: -1, secondary_input: -1, output: 0, action: Some(mkdir("/", true)) }],
    };
    // Nobody has said anything about the root of scratch.
    assert_eq!(run(&op, &[]).unwrap().own.entries().len(), 0);
}
