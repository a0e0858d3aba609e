//! Layer tars as tables: what their entries add up to, and what is refused.

use std::io::Read;

use routerpack_graph::Digest;
use routerpack_rootfs::{Index, Kind, LayerError, Stratum, Tree, layer::EntryFault, read_layer};

/// A tar of `type name>link` words (`f` has its own name as bytes); types are tar's flags but `f` for `0`.
fn tar(text: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
        let (kind, rest) = word.split_once(' ').unwrap();
        let (name, link) = rest.split_once('>').unwrap_or((rest, ""));
        let kind = kind.as_bytes()[0];
        let data = if kind == b'f' { name.as_bytes() } else { b"" };
        builder.append(&header(if kind == b'f' { b'0' } else { kind }, name, link, data.len()), data).unwrap();
    }
    builder.into_inner().unwrap()
}

fn header(kind: u8, name: &str, link: &str, size: usize) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    let bytes = header.as_mut_bytes();
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes[157..157 + link.len()].copy_from_slice(link.as_bytes());
    bytes[156] = kind;
    header.set_mode(0o4755);
    header.set_uid(7);
    header.set_gid(8);
    header.set_mtime(9);
    header.set_size(size as u64);
    header.set_device_major(if name == "white" { 0 } else { 1 }).unwrap();
    header.set_device_minor(if name == "white" { 0 } else { 3 }).unwrap();
    header.set_cksum();
    header
}

fn read(tar: &[u8]) -> Result<Index, LayerError> {
    let mut spool = Vec::new();
    let layer = read_layer(tar, &mut spool)?;
    assert!(spool == tar, "the spool has other bytes");
    assert_eq!(layer.bytes, tar.len() as u64);
    assert_eq!(layer.diff_id, Digest::of(tar));
    Ok(layer.index)
}

fn show(index: &Index) -> String {
    let lines = index.entries().iter().map(|e| {
        let letter = match (e.kind, e.opaque) {
            (Kind::Dir, false) => "d",
            (Kind::Dir, true) => "o",
            (Kind::File, _) => "f",
            (Kind::Symlink, _) => "l",
            (Kind::HardLink, _) => "h",
            (Kind::CharDev, _) => "c",
            (Kind::BlockDev, _) => "b",
            (Kind::Fifo, _) => "p",
            (Kind::Socket, _) => "s",
            (Kind::Whiteout, false) => "w",
            (Kind::Whiteout, true) => "O",
        };
        let link = if e.link().is_empty() { String::new() } else { format!(">{}", e.link().escape_ascii()) };
        let group = if e.link_group == 0 { String::new() } else { format!("#{}", e.link_group) };
        format!("{letter} {}{link}{group}", e.path.escape_ascii())
    });
    lines.collect::<Vec<_>>().join(", ")
}

#[test]
fn entries_add_up_in_tar_order() {
    for (entries, expected) in [
        ("", ""),
        ("5 ./, 5 ./a/, f ./a/b, f /c, f .//d", "d , d a, f a/b, f c, f d"),
        ("f a, 2 a>x", "l a>x"),
        ("2 s>../../etc, 3 dev, 4 blk, 6 pipe, 7 cont", "b blk, f cont, c dev, p pipe, l s>../../etc"),
        // Whiteouts speak of the layers below only.
        ("f .wh.a, 5 d, f d/.wh..wh..opq", "w a, o d"),
        ("f d/.wh..wh..opq", "O d"),
        ("f d/.wh..wh..opq, 5 d", "o d"),
        ("f .wh..wh..opq, f x", "O , f x"),
        ("f a, f .wh.a", "f a"),
        ("f .wh.a, f a", "f a"),
        ("5 a, f a/b, f .wh.a", "o a, f a/b"),
        ("f .wh.a, 5 a, f a/b", "o a, f a/b"),
        ("f .wh.a, f a/b", "o a, f a/b"),
        ("f a/b, f .wh.a", "o a, f a/b"),
        ("3 white", "w white"),
        ("f .wh..wh.aufs, 5 .wh..wh.plnk, f .wh..wh.plnk/1.2", ""),
        // A later entry takes the place of an earlier one with all below it.
        ("5 a, f a/b, 5 a/c, f a/c/d, f a-b, f a", "f a, f a-b"),
        ("f a, 5 a, f a/b", "o a, f a/b"),
        ("5 a, f a/b, f a, 5 a", "o a"),
        ("f d/.wh..wh..opq, 5 d, 5 d", "o d"),
        // Names lead through the layer's own symlinks, inside the root.
        ("2 lib>usr/lib, f lib/x", "l lib>usr/lib, f usr/lib/x"),
        ("2 a>/etc, f a/passwd", "l a>/etc, f etc/passwd"),
        ("2 a>../../../etc, f a/passwd, f a/group", "l a>../../../etc, f etc/group, f etc/passwd"),
        ("2 a>b, 2 b>/c/d, f a/x, f a/.wh.y, f a/.wh..wh..opq", "l a>b, l b>/c/d, O c/d, f c/d/x, w c/d/y"),
        ("2 a>b, f a/x, 5 a, f a/y", "o a, f a/y, f b/x"),
        ("2 a>b, f a/x, 2 a>c, f a/y", "l a>c, f b/x, f c/y"),
        // Hard links: to this layer's, in a group; else left for the merge.
        ("f a, 1 b>a, 1 c>./b", "f a#1, f b#1, f c#1"),
        ("f a, 1 b>/a, f a", "f a, f b"),
        ("1 b>a", "h b>a"),
        ("1 b>a, f a", "f a, h b>a"),
        ("f .wh.a, 1 b>a", "w a, h b>a"),
        ("1 b>a, 1 c>b", "h b>a, h c>a"),
        ("2 s>x, 1 t>s", "l s>x#1, l t>x#1"),
        ("2 l>d, f l/x, 1 y>l/x", "f d/x#1, l l>d, f y#1"),
    ] {
        assert_eq!(show(&read(&tar(entries)).unwrap_or_else(|e| panic!("{entries}: {e}"))), expected, "{entries}");
    }
}

#[test]
fn hostile_entries_are_named() {
    for (entries, expected) in [
        ("f a/../../etc/passwd", r#"Name(DotDot)"#),
        ("f ..", r#"Name(DotDot)"#),
        ("1 a>../x", r#"LinkTarget(DotDot)"#),
        ("f .wh.", "ReservedName"),
        ("f .wh..", "ReservedName"),
        ("f .wh...", "ReservedName"),
        ("f .wh.a/b", "ReservedName"),
        ("2 a", "SymlinkTarget"),
        ("5 a, 1 b>a", "LinkToDirectory"),
        ("1 a>a", "LinkToItself"),
        ("f a, f a/b", r#"ParentNotDirectory([97])"#),
        ("2 a>b, 2 b>a, f a/x", "SymlinkLoop"),
        ("f ./", "Root"),
        ("2 /> x", "Root"),
        ("1 .>x", "Root"),
        ("S a", "Sparse"),
        ("D a", "Type(68)"),
        ("M a", "Type(77)"),
    ] {
        match read(&tar(&format!("f fine, {entries}"))) {
            Err(LayerError::Entry { at, why, .. }) => {
                assert_eq!(format!("{why:?}"), expected, "{entries}");
                assert!(at >= 1024);
            }
            other => panic!("{entries}: {other:?}"),
        }
    }
    let EntryFault::Name(_) = (match read(&tar("f ../x")) {
        Err(error) => {
            assert_eq!(error.to_string(), "layer entry `../x` (at byte 0): bad name: it has a `..` component");
            let LayerError::Entry { why, .. } = error else { panic!() };
            why
        }
        Ok(_) => panic!(),
    }) else {
        panic!()
    };
}

#[test]
fn damaged_tars_are_errors() {
    let whole = tar("f a, f b");
    for cut in [1, 511, 513, 1023, 1025, 2047] {
        assert!(matches!(read(&whole[..cut]), Err(LayerError::Truncated { at, .. }) if at == cut as u64), "{cut}");
    }
    // Some writers leave the end mark out, or half of it; some pad behind it.
    for cut in [0, 1024, 2048, 2560, 3072] {
        assert_eq!(read(&whole[..cut]).unwrap().entries().len(), (cut / 1024).min(2));
    }
    assert_eq!(read(&[&whole[..], &[7; 700]].concat()).unwrap().entries().len(), 2);
    let mut lone_zeros = whole.clone();
    lone_zeros[1024..1536].fill(0);
    assert!(matches!(read(&lone_zeros), Err(LayerError::Header { at: 1024, .. })));
    let mut flipped = whole.clone();
    flipped[1030] ^= 1;
    assert!(matches!(read(&flipped), Err(LayerError::Header { at: 1024, .. })));

    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("digest mismatch"))
        }
    }
    let error = read_layer(whole[..1024].chain(Failing), std::io::sink()).unwrap_err();
    assert!(matches!(&error, LayerError::Read { at: 1024, .. }), "{error}");
}

#[test]
fn a_tree_reads_contents_out_of_tars_and_directories() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("layer.tar");
    let layer =
        read_layer(&tar("5 d, f d/one, f two, 1 d/link>two")[..], std::fs::File::create(&file).unwrap()).unwrap();
    let upper = read_layer(&tar("f two, 1 again>d/one")[..], std::io::sink()).unwrap().index;
    let root = dir.path().join("upper");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("two"), "new").unwrap();
    let mut entries = upper.into_entries();
    for entry in &mut entries {
        (entry.offset, entry.size) = (0, if entry.kind == Kind::File { 3 } else { 0 });
    }
    let tree = Tree::new(vec![
        Stratum::Tar { file, index: layer.index.into() },
        Stratum::Dir { root: root.clone(), index: Index::new(entries).into() },
    ])
    .unwrap();
    let text = |path: &str| {
        let mut text = String::new();
        let content = tree.content(tree.index.get(path.as_bytes()).unwrap()).unwrap();
        content.reader().read_to_string(&mut text).unwrap();
        assert_eq!(tree.read(tree.index.get(path.as_bytes()).unwrap(), 10).unwrap(), text.as_bytes());
        text
    };
    assert_eq!(text("d/one"), "d/one");
    assert_eq!(text("again"), "d/one");
    assert_eq!(text("d/link"), "two");
    assert_eq!(text("two"), "new");
    assert!(tree.read(tree.index.get(b"two").unwrap(), 2).is_err());
    assert!(tree.content(tree.index.get(b"d").unwrap()).is_err());

    // A tar that has lost its tail.
    let whole = std::fs::read(dir.path().join("layer.tar")).unwrap();
    std::fs::write(dir.path().join("layer.tar"), &whole[..1024]).unwrap();
    let error = tree.content(tree.index.get(b"d/one").unwrap()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);

    // What has been swapped for something else since is never followed or misread.
    std::fs::remove_file(root.join("two")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", root.join("two")).unwrap();
    assert!(tree.content(tree.index.get(b"two").unwrap()).is_err());
    std::fs::remove_file(root.join("two")).unwrap();
    std::fs::write(root.join("two"), "longer").unwrap();
    assert!(tree.content(tree.index.get(b"two").unwrap()).is_err());
}
