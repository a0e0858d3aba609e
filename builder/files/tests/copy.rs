//! What COPY does, a rule at a time.

mod support;

use routerpack_files::Error;
use routerpack_graph::pb::FileActionCopy;
use routerpack_rootfs::{Kind, Mtime, ScanOptions, Stratum, Tree, scan};
use support::*;

/// The paths that are new over scratch.
fn fresh(from: &Made, action: FileActionCopy) -> Vec<String> {
    run_copy(&scratch(), from, action).unwrap().paths()
}

#[test]
fn the_destinations_form_decides_where_a_file_goes() {
    let from = build().dir("d", 0o755).file("d/f", "x").done();
    for (src, dest, want) in [
        ("d/f", "/g", &["g"][..]),
        ("d/f", "/", &["f"]),
        ("d/f", "/.", &["f"]),
        ("d/f", "/new/", &["new", "new/f"]),
        ("d/f", "new/.", &["new", "new/f"]),
        ("d/f", "/new/name", &["new", "new/name"]),
        ("/d/f", "rel/name", &["rel", "rel/name"]),
        ("../../d/../d/f", "../../up", &["up"]),
        ("d", "/to", &["to", "to/f"]),
        ("d/", "/to/", &["to", "to/f"]),
        ("d", "/", &["f"]),
        (".", "/", &["d", "d/f"]),
        ("/", "/all", &["all", "all/d", "all/d/f"]),
        ("", "", &["d", "d/f"]),
    ] {
        assert_eq!(fresh(&from, copy(src, dest)), want, "COPY {src} {dest}");
    }
}

#[test]
fn an_existing_directory_takes_files_into_itself() {
    let from = build().dir("d", 0o755).file("d/f", "new").done();
    let to =
        build().dir("opt", 0o700).owned(5, 6).file("opt/f", "old").file("opt/keep", "k").symlink("o", "opt").done();
    for dest in ["/opt", "/opt/", "/o", "/o/", "o/."] {
        let made = run_copy(&to, &from, copy("d/f", dest)).unwrap();
        assert_eq!(made.list(), ["o -> opt", "opt/ 700", "opt/f 644 new", "opt/keep 644 k"], "{dest}");
        assert_eq!(made.owner("opt"), (5, 6));
        assert_eq!(made.get("opt").mtime, OLD);
    }
}

#[test]
fn contents_or_the_directory_itself() {
    let from = build().dir("d", 0o711).file("d/f", "x").done();
    let to = build().dir("there", 0o755).done();
    let itself = |dest: &str| FileActionCopy { dir_copy_contents: false, ..copy("d", dest) };
    assert_eq!(
        run_copy(&to, &from, itself("/there")).unwrap().list(),
        ["there/ 755", "there/d/ 711", "there/d/f 644 x"]
    );
    assert_eq!(run_copy(&to, &from, itself("/new")).unwrap().list(), ["new/ 711", "new/f 644 x", "there/ 755"]);
    // A new destination of contents is an ordinary new directory, but for the source's time.
    let made = run_copy(&to, &from, copy("d", "/new")).unwrap();
    assert_eq!(made.list(), ["new/ 755", "new/f 644 x", "there/ 755"]);
    assert_eq!(made.get("new").mtime, OLD);
}

#[test]
fn directories_merge_and_those_below_the_top_take_the_sources_metadata() {
    let from =
        build().dir("d", 0o711).dir("d/sub", 0o750).owned(3, 4).xattr("user.a", "1").file("d/sub/f", "new").done();
    let to = build()
        .dir("opt", 0o700)
        .owned(8, 9)
        .dir("opt/sub", 0o777)
        .xattr("user.b", "2")
        .file("opt/sub/f", "old")
        .file("opt/sub/kept", "k")
        .done();
    let made = run_copy(&to, &from, copy("d", "/opt")).unwrap();
    assert_eq!(made.list(), ["opt/ 700", "opt/sub/ 750", "opt/sub/f 644 new", "opt/sub/kept 644 k"]);
    assert_eq!((made.owner("opt"), made.owner("opt/sub")), ((8, 9), (3, 4)));
    let names: Vec<_> = made.get("opt/sub").xattrs().map(|(name, _)| name.to_vec()).collect();
    assert_eq!(names, [b"user.a".to_vec(), b"user.b".to_vec()]);
}

#[test]
fn wildcards_choose_sources() {
    let from = build()
        .file("a.txt", "1")
        .file("b.txt", "2")
        .file("arr[0].txt", "3")
        .dir("d1", 0o755)
        .file("d1/x", "4")
        .file("d1/c.txt", "5")
        .dir("d2", 0o755)
        .file("d2/x", "6")
        .symlink("l.txt", "a.txt")
        .done();
    for (src, want) in [
        ("*.txt", &["a.txt", "arr[0].txt", "b.txt", "l.txt"][..]),
        ("?.txt", &["a.txt", "b.txt", "l.txt"]),
        ("arr[[]0].txt", &["arr[0].txt"]),
        ("d*/x", &["x"]),
        ("d*", &["c.txt", "x"]),
        ("d*/*.txt", &["c.txt"]),
        ("[b-c]*", &["b.txt"]),
        ("nothing*", &[]),
    ] {
        assert_eq!(fresh(&from, copy(src, "/")), want, "{src}");
    }
    // A link among the matches is followed, and keeps its name.
    assert_eq!(run_copy(&scratch(), &from, copy("l*", "/")).unwrap().list(), ["l.txt 644 1"]);
    let strict = FileActionCopy { allow_empty_wildcard: false, ..copy("nothing*", "/") };
    assert!(matches!(run_copy(&scratch(), &from, strict), Err(Error::NoSuchSource { .. })));
    assert!(matches!(run_copy(&scratch(), &from, copy("a[", "/")), Err(Error::BadPattern(_))));
    let literal = FileActionCopy { allow_wildcard: false, ..copy("arr[0].txt", "/") };
    assert_eq!(fresh(&from, literal), ["arr[0].txt"]);
}

#[test]
fn a_missing_source_names_what_is_there() {
    let from = build().file("main.go", "").file("Makefile", "").dir("src", 0o755).file("src/app.c", "").done();
    for (src, want) in [
        ("man.go", &["main.go"][..]),
        ("makefile", &["Makefile"]),
        ("src/ap.c", &["src/app.c"]),
        ("zzz", &[]),
        ("nowhere/x", &[]),
        ("main.go/x", &[]),
    ] {
        match run_copy(&scratch(), &from, copy(src, "/")) {
            Err(Error::NoSuchSource { pattern, near }) => {
                assert_eq!((&*pattern, &*near), (src, &want.iter().map(|s| s.to_string()).collect::<Vec<_>>()[..]))
            }
            other => panic!("{src}: {other:?}"),
        }
    }
    let error = run_copy(&scratch(), &from, copy("man.go", "/")).unwrap_err().to_string();
    assert_eq!(error, "`man.go` is not there to be copied; did you mean `main.go`?");
}

#[test]
fn links_are_followed_at_the_top_only_and_never_out_of_the_tree() {
    let from = build()
        .file("f", "inside")
        .symlink("abs", "/f")
        .symlink("up", "../../../f")
        .symlink("loop", "loop")
        .symlink("gone", "nowhere")
        .dir("d", 0o755)
        .symlink("d/l", "../f")
        .symlink("dl", "d")
        .done();
    assert_eq!(run_copy(&scratch(), &from, copy("abs", "/")).unwrap().list(), ["abs 644 inside"]);
    assert_eq!(run_copy(&scratch(), &from, copy("up", "/x")).unwrap().list(), ["x 644 inside"]);
    assert_eq!(run_copy(&scratch(), &from, copy("dl", "/x")).unwrap().list(), ["x/ 755", "x/l -> ../f"]);
    assert_eq!(run_copy(&scratch(), &from, copy("dl/l", "/x")).unwrap().list(), ["x 644 inside"]);
    assert!(matches!(run_copy(&scratch(), &from, copy("loop", "/")), Err(Error::BadPath(_))));
    assert!(matches!(run_copy(&scratch(), &from, copy("gone", "/")), Err(Error::NoSuchSource { .. })));
    let kept = FileActionCopy { follow_symlink: false, ..copy("dl/l", "/x") };
    assert_eq!(run_copy(&scratch(), &from, kept).unwrap().list(), ["x -> ../f"]);
}

#[test]
fn a_destination_is_followed_inside_the_image() {
    let from = build().file("f", "x").done();
    let to = build()
        .dir("real", 0o755)
        .symlink("abs", "/real")
        .symlink("escape", "../../../../real")
        .symlink("root", "/")
        .symlink("dangling", "/made/here")
        .symlink("filelink", "real/target")
        .done();
    for (dest, want) in [
        ("/abs/", "real/f"),
        ("/abs/sub/", "real/sub/f"),
        ("/escape/", "real/f"),
        ("/root/etc/", "etc/f"),
        ("/root/../../../etc/", "etc/f"),
        ("/dangling/", "made/here/f"),
        ("/filelink", "real/target"),
        ("/../../x", "x"),
    ] {
        let made = run_copy(&to, &from, copy("f", dest)).unwrap();
        assert!(made.has(want), "{dest}: {:?}", made.paths());
        assert!(made.get("abs").kind == Kind::Symlink && made.get("root").kind == Kind::Symlink);
    }
    let looped = build().symlink("a", "b").symlink("b", "a").done();
    assert!(matches!(run_copy(&looped, &from, copy("f", "/a/")), Err(Error::BadPath(_))));
}

#[test]
fn files_and_directories_don_t_replace_each_other_unless_told() {
    let from = build().dir("d", 0o755).dir("d/x", 0o755).file("d/x/in", "1").file("f", "new").done();
    let to = build().dir("f", 0o755).file("f/old", "").dir("o", 0o755).file("o/x", "file").done();
    // A file goes into the directory of its name when that is the destination …
    assert!(run_copy(&to, &from, copy("f", "/f")).unwrap().has("f/f"));
    // … but doesn't take its place.
    assert!(matches!(run_copy(&to, &from, copy("f", "/")), Err(Error::IsADirectory { path }) if path == "/f"));
    assert!(matches!(run_copy(&to, &from, copy("d", "/o")), Err(Error::NotADirectory { path }) if path == "/o/x"));
    assert!(matches!(run_copy(&to, &from, copy("f", "/o/x/y")), Err(Error::BadPath(_) | Error::NotADirectory { .. })));
    let replace = |a| FileActionCopy { always_replace_existing_dest_paths: true, ..a };
    let made = run_copy(&to, &from, replace(copy("f", "/"))).unwrap();
    assert_eq!(made.list(), ["f 644 new", "o/ 755", "o/x 644 file"]);
    let made = run_copy(&to, &from, replace(copy("d", "/o"))).unwrap();
    assert_eq!(made.list(), ["f/ 755", "f/old 644 ", "o/ 755", "o/x/ 755", "o/x/in 644 1"]);
}

#[test]
fn owner_mode_and_time_options() {
    let from = build()
        .dir("d", 0o750)
        .file_mode("d/suid", 0o4711, "x")
        .owned(7, 8)
        .symlink("d/l", "suid")
        .dir("d/sub", 0o700)
        .done();
    let as_is = run_copy(&scratch(), &from, copy("d", "/o")).unwrap();
    assert_eq!((as_is.get("o/suid").mode, as_is.owner("o/suid")), (0o4711, (7, 8)));
    assert_eq!(as_is.get("o/suid").mtime, OLD);
    let time = Mtime { secs: -2, nanos: 999_999_999 };
    let made = run_copy(
        &scratch(),
        &from,
        FileActionCopy { owner: by_id(1, 2), mode: 0o2755, timestamp: -1_000_000_001, ..copy("d", "/new/o") },
    )
    .unwrap();
    assert_eq!(made.list(), ["new/ 755", "new/o/ 755", "new/o/l -> suid", "new/o/sub/ 2755", "new/o/suid 2755 x"]);
    for path in ["new", "new/o", "new/o/l", "new/o/sub", "new/o/suid"] {
        assert_eq!((made.owner(path), made.get(path).mtime), ((1, 2), time), "{path}");
    }
    // An octal mode is also that of directories on the way, without set-id bits; a symbolic one is not.
    for (mode, mode_str, expected) in [(0o4770, "", "new/ 770"), (0, "u=rw", "new/ 755"), (-1, "", "new/ 755")] {
        let action = FileActionCopy { mode, mode_str: mode_str.into(), ..copy("d/suid", "/new/f") };
        assert_eq!(run_copy(&scratch(), &from, action).unwrap().list()[0], expected);
    }
    let symbolic = FileActionCopy { mode_str: "u=rwX,go=rX".into(), ..copy("d", "/o") };
    let made = run_copy(&scratch(), &from, symbolic).unwrap();
    assert_eq!(made.list(), ["o/ 755", "o/l -> suid", "o/sub/ 755", "o/suid 755 x"]);
    let bad = FileActionCopy { mode_str: "u=q".into(), ..copy("d", "/o") };
    assert!(matches!(run_copy(&scratch(), &from, bad), Err(Error::BadMode(_))));
}

#[test]
fn new_parents_belong_to_the_new_owner_and_old_ones_stay() {
    let from = build().file("f", "x").done();
    let to = build().dir("a", 0o711).owned(5, 5).done();
    let made = run_copy(&to, &from, FileActionCopy { owner: by_id(1, 2), ..copy("f", "/a/b/c/f") }).unwrap();
    assert_eq!(made.list(), ["a/ 711", "a/b/ 755", "a/b/c/ 755", "a/b/c/f 644 x"]);
    assert_eq!((made.owner("a"), made.owner("a/b"), made.owner("a/b/c/f")), ((5, 5), (1, 2), (1, 2)));
    assert_eq!((made.get("a").mtime, made.get("a/b").mtime), (OLD, NOW));
    let strict = FileActionCopy { create_dest_path: false, ..copy("f", "/new/f") };
    assert!(matches!(run_copy(&to, &from, strict), Err(Error::NotFound { path }) if path == "/new"));
}

#[test]
fn names_of_owners_come_from_the_image() {
    let from = build().file("f", "x").done();
    let passwd = "root:x:0:0::/:/bin/sh\n\nbroken\nweb:x:33:44::/:/bin/sh\n";
    let to = build()
        .dir("etc", 0o755)
        .symlink("etc/passwd", "/etc/users")
        .file("etc/users", passwd)
        .file("etc/group", "adm:x:4:\nweb:x:55:web\n")
        .done();
    let with = |user, group| run_copy(&to, &from, FileActionCopy { owner: by_name(user, group, 0), ..copy("f", "/") });
    assert_eq!(with(Some("web"), None).unwrap().owner("f"), (33, 44));
    assert_eq!(with(Some("web"), Some("web")).unwrap().owner("f"), (33, 55));
    assert_eq!(with(None, Some("adm")).unwrap().owner("f"), (0, 4));
    assert!(matches!(with(Some("nobody"), None), Err(Error::UnknownOwner { file: "/etc/passwd", .. })));
    assert!(matches!(with(Some("web"), Some("no")), Err(Error::UnknownOwner { file: "/etc/group", .. })));
    let none = FileActionCopy { owner: by_name(Some("web"), None, -1), ..copy("f", "/") };
    assert!(matches!(run_copy(&to, &from, none), Err(Error::NoUsers(_))));
}

#[test]
fn hard_links_stay_together() {
    let from = build().dir("d", 0o755).file("d/a", "x").hard_link("d/b").file("d/c", "y").done();
    let made = run_copy(&scratch(), &from, copy("d", "/")).unwrap();
    assert_eq!(made.get("a").link_group, made.get("b").link_group);
    assert!(made.get("a").link_group != 0 && made.get("c").link_group == 0);
    // One name alone is no link any more.
    let made = run_copy(&scratch(), &from, copy("d/b", "/")).unwrap();
    assert_eq!(made.get("b").link_group, 0);
}

#[test]
fn other_kinds_and_names_come_along() {
    let from = build()
        .node("fifo", Kind::Fifo, (0, 0))
        .node("null", Kind::CharDev, (1, 3))
        .node("sock", Kind::Socket, (0, 0))
        .node("wh", Kind::CharDev, (0, 0))
        .file("naïve ☺", "u")
        .done();
    let made = run_copy(&scratch(), &from, copy("/", "/")).unwrap();
    assert_eq!(
        made.list(),
        ["fifo Fifo (0, 0)", "naïve ☺ 644 u", "null CharDev (1, 3)", "sock 600 ", "wh CharDev (0, 0)"]
    );
    // A device 0/0 on disk would be a whiteout.
    assert!(made.warnings.iter().any(|w| w.lost == routerpack_rootfs::Lost::Device));
}

#[test]
fn patterns_leave_out_and_take_in() {
    let from = build()
        .dir("bar", 0o750)
        .dir("bar/baz", 0o700)
        .file("bar/baz/foo3", "3")
        .file("bar/foo", "1")
        .file("foo2", "2")
        .done();
    for (include, exclude, want) in [
        (&["bar"][..], &[][..], &["bar", "bar/baz", "bar/baz/foo3", "bar/foo"][..]),
        (&["bar/foo"], &[], &["bar", "bar/foo"]),
        (&["bar", "!bar/foo"], &[], &["bar", "bar/baz", "bar/baz/foo3"]),
        (&["bar/foo", "foo*"], &[], &["bar", "bar/foo", "foo2"]),
        (&["bar/g*"], &[], &[]),
        (&["b*/f*"], &[], &["bar", "bar/foo"]),
        (&["bar/*/foo3"], &[], &["bar", "bar/baz", "bar/baz/foo3"]),
        (&["**/foo3"], &[], &["bar", "bar/baz", "bar/baz/foo3"]),
        (&[], &["bar*", "!bar/baz"], &["bar", "bar/baz", "bar/baz/foo3", "foo2"]),
        (&[], &["**", "!bar/baz"], &["bar", "bar/baz", "bar/baz/foo3"]),
        (&[], &["**", "!bar/baz", "bar/baz/foo3"], &["bar", "bar/baz"]),
        (&["bar"], &["bar/baz"], &["bar", "bar/foo"]),
        (&["bar"], &["**/foo3"], &["bar", "bar/baz", "bar/foo"]),
        (&[], &["bar/baz"], &["bar", "bar/foo", "foo2"]),
    ] {
        let strings = |list: &[&str]| list.iter().map(|s| s.to_string()).collect();
        let action =
            FileActionCopy { include_patterns: strings(include), exclude_patterns: strings(exclude), ..copy("/", "/") };
        let made = run_copy(&scratch(), &from, action).unwrap();
        assert_eq!(made.paths(), want, "{include:?} {exclude:?}");
        if made.has("bar") {
            assert_eq!(made.get("bar").mode, 0o750, "{include:?} {exclude:?}");
        }
    }
    let required = |path: &str| FileActionCopy {
        include_patterns: vec!["bar/**".into()],
        required_paths: vec![path.into()],
        ..copy("/", "/")
    };
    assert!(run_copy(&scratch(), &from, required("bar/foo")).is_ok());
    assert!(matches!(run_copy(&scratch(), &from, required("bar/none")), Err(Error::NoSuchSource { .. })));
    // `COPY --parents bar/./foo`: what is required begins at the root, what is included at the source.
    let pivot = |path: &str| FileActionCopy {
        include_patterns: vec![path.into()],
        required_paths: vec![format!("/bar/{path}")],
        dir_copy_contents: true,
        ..copy("/bar", "/to/")
    };
    assert_eq!(run_copy(&scratch(), &from, pivot("foo")).unwrap().paths(), ["to", "to/foo"]);
    assert!(matches!(run_copy(&scratch(), &from, pivot("none")), Err(Error::NoSuchSource { .. })));
    let bad = FileActionCopy { exclude_patterns: vec!["[".into()], ..copy("/", "/") };
    assert!(matches!(run_copy(&scratch(), &from, bad), Err(Error::BadPattern(_))));
}

#[test]
fn a_kept_parent_only_gets_the_sources_mode() {
    let from = build().dir("d", 0o750).owned(1, 1).file("d/f", "x").file("d/g", "y").done();
    let to = build().dir("d", 0o700).owned(9, 9).done();
    let action = FileActionCopy { include_patterns: vec!["d/f".into()], ..copy("/", "/") };
    let made = run_copy(&to, &from, action).unwrap();
    assert_eq!(made.list(), ["d/ 750", "d/f 644 x"]);
    assert_eq!((made.owner("d"), made.get("d").mtime), ((9, 9), OLD));
}

#[test]
fn copying_needs_a_tree_only_where_there_is_one() {
    assert_eq!(fresh(&scratch(), copy("/", "/")), [""; 0]);
    assert!(matches!(run_copy(&scratch(), &scratch(), copy("x", "/")), Err(Error::NoSuchSource { .. })));
}

#[test]
fn a_scanned_directory_is_a_source() {
    use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};
    let context = tempfile::tempdir().unwrap();
    let at = |path: &str| context.path().join(path);
    fs::create_dir_all(at("src/deep")).unwrap();
    fs::write(at("src/deep/main.c"), "int main;").unwrap();
    fs::write(at("run.sh"), "#!/bin/sh").unwrap();
    for (path, mode) in [("src", 0o755), ("src/deep", 0o755), ("src/deep/main.c", 0o644), ("run.sh", 0o4755)] {
        fs::set_permissions(at(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::hard_link(at("run.sh"), at("src/again")).unwrap();
    std::os::unix::fs::symlink("/src/deep", at("link")).unwrap();
    let index = scan(context.path(), ScanOptions::default()).unwrap();
    let root = context.path().into();
    let from = made(Tree::new(vec![Stratum::Dir { root, index: Arc::new(index) }]).unwrap());
    let all = run_copy(&scratch(), &from, copy(".", "/app/")).unwrap();
    assert_eq!(
        all.list()[1..],
        [
            "app/link -> /src/deep",
            "app/run.sh 4755 #!/bin/sh",
            "app/src/ 755",
            "app/src/again 4755 #!/bin/sh",
            "app/src/deep/ 755",
            "app/src/deep/main.c 644 int main;"
        ]
    );
    assert_eq!(all.get("app/run.sh").link_group, all.get("app/src/again").link_group);
    assert_eq!(run_copy(&scratch(), &from, copy("link/*.c", "/")).unwrap().paths(), ["main.c"]);
    // What changes under our hands is noticed, not half copied.
    fs::write(at("src/deep/main.c"), "longer than before").unwrap();
    assert!(matches!(run_copy(&scratch(), &from, copy("src", "/")), Err(Error::Io { .. })));
}
