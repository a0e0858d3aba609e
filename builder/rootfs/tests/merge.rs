//! The rules of laying strata over one another, as tables.

use std::sync::Arc;

use routerpack_rootfs::{Entry, Extra, Index, Kind, MergeFault, Stratum, Tree, merge};

/// One entry a word or line: `d a` directory, `o a` opaque directory, `O a` content deleted, `f a` file,
/// `w a` whiteout, `l a>b` symlink, `h a>b` hard link, `g1 a` file of link group 1. A number after the
/// letter of a directory or file is its mode (default 755 and 644).
fn index(text: &str) -> Index {
    let entry = |line: &str| {
        let (kind, rest) = line.trim().split_once(' ').unwrap();
        let (path, link) = rest.split_once('>').unwrap_or((rest, ""));
        let path = path.trim_start_matches('/').as_bytes();
        let number = |default: u32| u32::from_str_radix(&kind[1..], 8).unwrap_or(default);
        let mut entry = match &kind[..1] {
            "d" => Entry::new(path, Kind::Dir, number(0o755) as u16),
            "o" => Entry { opaque: true, ..Entry::new(path, Kind::Dir, number(0o755) as u16) },
            "O" => Entry { opaque: true, ..Entry::new(path, Kind::Whiteout, 0) },
            "f" => Entry::new(path, Kind::File, number(0o644) as u16),
            "g" => Entry { link_group: number(0), ..Entry::new(path, Kind::File, 0o644) },
            "w" => Entry::new(path, Kind::Whiteout, 0),
            "l" => Entry::new(path, Kind::Symlink, 0o777),
            "h" => Entry::new(path, Kind::HardLink, 0),
            other => panic!("{other}"),
        };
        if !link.is_empty() {
            entry.extra = Some(Box::new(Extra { link: link.into(), ..Extra::default() }));
        }
        entry
    };
    Index::new(text.split(',').filter(|l| !l.trim().is_empty()).map(entry).collect())
}

/// `kind path@stratum`, with the mode where it's unusual and the link group where there is one.
fn show(index: &Index) -> String {
    let line = |e: &Entry| {
        let (letter, usual) = match e.kind {
            Kind::Dir => ("d", 0o755),
            Kind::File => ("f", 0o644),
            Kind::Symlink => ("l", 0o777),
            other => panic!("{other:?} in a merged index"),
        };
        assert!(!e.opaque);
        let mode = if e.mode == usual { String::new() } else { format!("{:o}", e.mode) };
        let group = if e.link_group == 0 { String::new() } else { format!("#{}", e.link_group) };
        let origin = e.extra.as_ref().map_or(String::new(), |x| String::from_utf8_lossy(&x.origin).into_owned());
        let origin = if origin.is_empty() { origin } else { format!("={origin}") };
        format!("{letter}{mode} {}@{}{group}{origin}", String::from_utf8_lossy(&e.path), e.stratum)
    };
    index.entries().iter().map(line).collect::<Vec<_>>().join(", ")
}

fn merged(layers: &[&str]) -> Result<String, MergeFault> {
    let mut result = Index::default();
    for (number, layer) in layers.iter().enumerate() {
        result = merge(result, index(layer), number as u32).map_err(|e| e.why)?;
    }
    Ok(show(&result))
}

#[test]
fn layers_hide_replace_and_join() {
    let table: &[(&[&str], &str)] = &[
        // Plain union; the order is by bytes, and `a-b` lies between `a` and `a/x`.
        (&["d a, f a/x, f a-b", "f a/y, f b"], "d a@0, f a-b@0, f a/x@0, f a/y@1, f b@1"),
        // Whiteouts: of a file, of a directory with all below, of nothing; not of a name that only starts alike.
        (&["d a, f a/x, f ab, f a-b", "w a"], "f a-b@0, f ab@0"),
        (&["d a, f a/x, f a/y", "d a, w a/x, w a/no"], "d a@1, f a/y@0"),
        (&["d a, f a/x", "w a", "d a, f a/y"], "d a@2, f a/y@2"),
        (&["w a, f b"], "f b@0"),
        // Opaque directories.
        (&["d a, d a/s, f a/s/x, f a-b, f a0", "o700 a, f a/y"], "d700 a@1, f a-b@0, f a/y@1, f a0@0"),
        (&["d a, f a/x", "o a, w a/x"], "d a@1"),
        (&["d750 a, f a/x", "O a"], "d750 a@0"),
        (&["d750 a, f a/x", "O a, f a/y"], "d750 a@0, f a/y@1"),
        (&["f x, d a, f a/y", "O /, f z"], "f z@1"),
        (&["d /, f x", "o700 /"], "d700 @1"),
        // A directory that isn't one any more, and the reverse.
        (&["d a, f a/x, d a/b, f a/b/c, f a.b", "f a"], "f a@1, f a.b@0"),
        (&["d a, f a/x", "l a>etc"], "l a@1"),
        (&["f a", "d a, f a/x"], "d a@1, f a/x@1"),
        (
            &["l lib>usr/lib, d usr, d usr/lib, f usr/lib/x", "f lib/y"],
            "d lib@1, f lib/y@1, d usr@0, d usr/lib@0, f usr/lib/x@0",
        ),
        (&["d a, f a/x", "f a", "d a, f a/y"], "d a@2, f a/y@2"),
        // Metadata of directories: the upper's wins, an implied one keeps the lower's or is 0755.
        (&["d700 a, f a/x", "d711 a"], "d711 a@1, f a/x@0"),
        (&["d750 a, d700 a/b", "f a/b/x"], "d750 a@0, d700 a/b@0, f a/b/x@1"),
        (&["f a/b/c", "f a-b"], "d a@0, f a-b@1, d a/b@0, f a/b/c@0"),
        (&["d750 a", "w a, f a/x"], "d a@1, f a/x@1"),
        (&["d750 a, d700 a/b, f a/b/c", "o a, f a/b/d"], "d a@1, d a/b@1, f a/b/d@1"),
        // Nested hiding: what is hidden twice stays hidden, and only there.
        (&["d a, d a/b, f a/b/c, f a/d", "o a, o a/b, f a/b/e"], "d a@1, d a/b@1, f a/b/e@1"),
    ];
    for (layers, expected) in table {
        assert_eq!(merged(layers).as_deref(), Ok(*expected), "{layers:?}");
    }
}

#[test]
fn hard_links_join_across_layers() {
    let table: &[(&[&str], &str)] = &[
        (&["g1 a, g1 b"], "f a@0#1, f b@0#1"),
        // One member left is no group; groups are renumbered in path order.
        (&["g1 a, g1 b, g2 c, g2 d", "w a"], "f b@0, f c@0#1, f d@0#1"),
        (&["g7 a, g7 d, g3 b, g3 c"], "f a@0#1, f b@0#2, f c@0#2, f d@0#1"),
        // Writing to one name leaves the others.
        (&["g1 a, g1 b, g1 c", "f600 b"], "f a@0#1, f600 b@1, f c@0#1"),
        // Groups of two layers stay apart.
        (&["g1 a, g1 b", "g1 c, g1 d"], "f a@0#1, f b@0#1, f c@1#2, f d@1#2"),
        // A link to a lower layer's file: same metadata, stratum and origin.
        (&["f600 a", "h b>a"], "f600 a@0#1, f600 b@0#1=a"),
        (&["g1 a, g1 b", "h c>b", "h d>c"], "f a@0#1, f b@0#1, f c@0#1=b, f d@0#1=b"),
        (&["f600 a", "h b>a, f a"], "f a@1, f600 b@0=a"),
        (&["f600 a", "h b>a, w a"], "f600 b@0=a"),
        (
            &["d usr, d usr/lib, f usr/lib/x, l lib>usr/lib", "h y>lib/x"],
            "l lib@0, d usr@0, d usr/lib@0, f usr/lib/x@0#1, f y@0#1=usr/lib/x",
        ),
        (&["l a>x", "h b>a"], "l a@0#1, l b@0#1"),
        // Forward and chained within one layer.
        (&["h a>b, f600 b"], "f600 a@0#1=b, f600 b@0#1"),
        (&["h a>b, h b>c, f600 c"], "f600 a@0#1=c, f600 b@0#1=c, f600 c@0#1"),
        (&["h a>b, g1 b, g1 c"], "f a@0#1=b, f b@0#1, f c@0#1"),
    ];
    for (layers, expected) in table {
        assert_eq!(merged(layers).as_deref(), Ok(*expected), "{layers:?}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let table: &[(&[&str], MergeFault)] = &[
        (&["f x", "h a>b"], MergeFault::DanglingLink(b"b".into())),
        (&["f b", "w b", "h a>b"], MergeFault::DanglingLink(b"b".into())),
        (&["h a>b, w b"], MergeFault::DanglingLink(b"b".into())),
        (&["d b", "h a>b"], MergeFault::LinkToDirectory(b"b".into())),
        (&["h a>b, h b>a"], MergeFault::LinkLoop(b"a".into())),
        (&["f a, f a/b"], MergeFault::ParentNotDirectory(b"a".into())),
        (&["l a>etc, f a/passwd"], MergeFault::ParentNotDirectory(b"a".into())),
    ];
    for (layers, expected) in table {
        assert_eq!(merged(layers).as_ref(), Err(expected), "{layers:?}");
    }
    let error = merge(index("f x"), index("h a>b"), 3).unwrap_err();
    assert_eq!(
        error.to_string(),
        "layer 3, entry `a`: a hard link to `b`, which neither this layer nor one below it has"
    );
}

#[test]
fn a_clean_single_stratum_shares_its_index() {
    let stratum = |text| Stratum::Dir { root: "/nonexistent".into(), index: Arc::new(index(text)) };
    for (text, shared) in [
        ("d a, f a/b, g1 c, g1 d", true),
        ("", true),
        ("f a/b", false),
        ("w a", false),
        ("o a", false),
        ("h a>b, f b", false),
        ("g1 c", false),
        ("g2 c, g2 d", false),
        ("g2 a, g2 b, g1 c, g1 d", false),
    ] {
        let stratum = stratum(text);
        let tree = Tree::new(vec![stratum.clone()]).unwrap();
        assert_eq!(Arc::ptr_eq(&tree.index, stratum.index()), shared, "{text}");
        assert_eq!(*tree.index, merge(Index::default(), Index::clone(stratum.index()), 0).unwrap(), "{text}");
    }
}

#[test]
fn children_and_descendants() {
    let index = index("d /, d a, f a-b, d a/b, f a/b/c, f a/b0, f a/c, f a/b-, f a0");
    let names = |dir: &str| {
        index.children(dir.as_bytes()).map(|e| String::from_utf8_lossy(&e.path).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(""), ["a", "a-b", "a0"]);
    assert_eq!(names("a"), ["a/b", "a/b-", "a/b0", "a/c"]);
    assert_eq!(names("a/b"), ["a/b/c"]);
    assert_eq!(names("a/c"), [""; 0]);
    assert_eq!(names("none"), [""; 0]);
    assert_eq!(index.descendants(b"a").len(), 5);
    assert_eq!(index.descendants(b"").len(), 8);
}

#[test]
fn resolution_stays_inside() {
    let index = index(
        "d a, f a/f, l a/up>../../../etc, l abs>/a/f, l rel>a/f, d etc, f etc/passwd, l loop>loop2, l loop2>loop, \
         l dir>/a, l dot>., l chain>dir/f",
    );
    for (path, follow, expected) in [
        ("/", true, Ok("")),
        ("a/f", false, Ok("a/f")),
        ("abs", true, Ok("a/f")),
        ("abs", false, Ok("abs")),
        ("../../abs", true, Ok("a/f")),
        ("a/up/passwd", false, Ok("etc/passwd")),
        ("dir/f", false, Ok("a/f")),
        ("dir", false, Ok("dir")),
        ("dir/", false, Ok("a")),
        ("dir/..", false, Ok("")),
        ("chain", true, Ok("a/f")),
        ("dot/dot/rel", true, Ok("a/f")),
        ("no/such/../path", true, Ok("no/path")),
        ("loop", false, Ok("loop")),
        ("loop", true, Err(())),
        ("loop/x", false, Err(())),
        ("a/f/x", true, Err(())),
        ("rel/x", true, Err(())),
        ("a\0b", true, Err(())),
    ] {
        let found = index.resolve(path.as_bytes(), follow).map_err(|_| ());
        assert_eq!(found, expected.map(|p| p.as_bytes().to_vec()), "{path}");
    }
}
