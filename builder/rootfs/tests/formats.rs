//! Layers as other programs write them, and as nobody should.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::Path,
    process::Command,
};

use proptest::prelude::*;
use routerpack_rootfs::{Entry, Extra, Index, Kind, Mtime, ScanOptions, Stratum, Tree, merge, read_layer, scan};

fn run(program: &str, args: &[&str], dir: &Path) {
    let out = Command::new(program).args(args).current_dir(dir).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// Names of every length around the fields' limits (100 and 155 bytes), links, odd bytes, an old file.
fn sample(root: &Path, longest: usize) {
    fs::create_dir(root).unwrap();
    for len in [1, 50, 98, 99, 100, 101, 150, 154, 155, 156, 200, 254, 255].into_iter().filter(|len| *len <= longest) {
        let name = "n".repeat(len);
        fs::write(root.join(&name), &name).unwrap();
    }
    let mut deep = root.to_owned();
    for _ in 0..(longest / 50).min(8) {
        deep.push("d".repeat(40));
        fs::create_dir(&deep).unwrap();
        fs::write(deep.join("file"), vec![7; 513]).unwrap();
    }
    fs::write(root.join("a \u{e4}\u{1f4e6}\n\\"), "odd").unwrap();
    fs::hard_link(root.join("n"), root.join("z-hard")).unwrap();
    symlink("t".repeat(longest.min(99)), root.join("link")).unwrap();
    if longest > 100 {
        symlink("t".repeat(1000), root.join("long-link")).unwrap();
        fs::hard_link(root.join("n".repeat(200)), root.join("z-long-hard")).unwrap();
    }
    run("mkfifo", &["pipe"], root);
    run("touch", &["-d", "2001-02-03 04:05:06.789012345 UTC", "n"], root);
    run("chmod", &["4711", "n"], root);
}

fn lines(index: &Index, fractions: bool) -> Vec<String> {
    let line = |e: &Entry| {
        let nanos = if fractions { e.mtime.nanos } else { 0 };
        let mode = if e.kind == Kind::Symlink { 0o777 } else { e.mode };
        let (path, link) = (e.path.escape_ascii(), e.link().escape_ascii());
        let (owner, time) = ((e.uid, e.gid), (e.mtime.secs, nanos));
        format!("{:?} {path}>{link} {mode:o} {owner:?} {time:?} {} #{}", e.kind, e.size, e.link_group)
    };
    index.entries().iter().filter(|e| !e.path.is_empty()).map(line).collect()
}

fn read(tar: &Path) -> Tree {
    let store = tar.with_extension("store");
    let layer = read_layer(File::open(tar).unwrap(), File::create(&store).unwrap()).unwrap();
    assert!(fs::read(tar).unwrap() == fs::read(&store).unwrap());
    Tree::new(vec![Stratum::Tar { file: store, index: layer.index.into() }]).unwrap()
}

#[test]
fn every_format_of_gnu_tar() {
    let dir = tempfile::tempdir().unwrap();
    for (format, longest, fractions) in
        [("v7", 98, false), ("ustar", 98, false), ("oldgnu", 255, false), ("gnu", 255, false), ("posix", 255, true)]
    {
        let root = dir.path().join(format);
        sample(&root, longest);
        if format == "v7" {
            fs::remove_file(root.join("pipe")).unwrap(); // it had no such type
        }
        let tar = dir.path().join(format!("{format}.tar"));
        let out = tar.display().to_string();
        run(
            "tar",
            &["-cf", &out, &format!("--format={format}"), "--numeric-owner", "-C", root.to_str().unwrap(), "."],
            dir.path(),
        );
        let tree = read(&tar);
        let scanned = scan(&root, ScanOptions::default()).unwrap();
        assert_eq!(lines(&tree.index, fractions), lines(&scanned, fractions), "{format}");
        let disk = Tree::new(vec![Stratum::Dir { root, index: scanned.into() }]).unwrap();
        for entry in tree.index.entries().iter().filter(|e| e.kind == Kind::File) {
            let same = disk.index.get(&entry.path).unwrap();
            assert_eq!(tree.read(entry, 10_000).unwrap(), disk.read(same, 10_000).unwrap());
        }
    }
}

#[test]
fn every_format_of_python() {
    let dir = tempfile::tempdir().unwrap();
    for (format, longest, fractions) in [("USTAR", 98, false), ("GNU", 255, false), ("PAX", 255, true)] {
        let root = dir.path().join(format);
        sample(&root, longest);
        let tar = dir.path().join(format!("{format}.tar"));
        // Python keeps times as floating point numbers; one half is one that they have.
        run("find", &[".", "-exec", "touch", "-h", "-d", "@1700000000.5", "{}", "+"], &root);
        let script = "import sys, tarfile\n\
                      with tarfile.open(sys.argv[1], 'w', format=getattr(tarfile, sys.argv[2] + '_FORMAT')) as t:\n  \
                      t.add(sys.argv[3], '.')";
        run("python3", &["-c", script, tar.to_str().unwrap(), format, root.to_str().unwrap()], dir.path());
        let scanned = scan(&root, ScanOptions::default()).unwrap();
        assert_eq!(lines(&read(&tar).index, fractions), lines(&scanned, fractions), "{format}");
    }
}

#[test]
fn large_numbers_and_attributes() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("f"), "").unwrap();
    for format in ["gnu", "posix"] {
        let tar = dir.path().join(format!("{format}.tar"));
        let owner = ["--owner=:3000000000", "--group=:4000000000", "--mtime=@-86400"];
        run(
            "tar",
            &[&["-cf", tar.to_str().unwrap(), &format!("--format={format}")], &owner[..], &["f"]].concat(),
            &root,
        );
        let index = read(&tar).index.clone();
        let entry = &index.entries()[0];
        assert_eq!((entry.uid, entry.gid, entry.mtime.secs), (3_000_000_000, 4_000_000_000, -86400), "{format}");
    }
    let stratum = Index::new(vec![Entry {
        extra: Some(Box::new(Extra {
            xattrs: [(b"user.note".to_vec(), b"a\0b\n=c".to_vec())].into(),
            ..Extra::default()
        })),
        ..Entry::new(b"f", Kind::File, 0o644)
    }]);
    let unpacked = dir.path().join("attributes");
    let stratum = Stratum::Dir { root, index: stratum.into() };
    let warnings =
        routerpack_rootfs::materialise(&Tree::new(vec![stratum.clone()]).unwrap(), &unpacked, false).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let tar = dir.path().join("xattrs.tar");
    run("tar", &["-cf", tar.to_str().unwrap(), "--xattrs", "--format=posix", "f"], &unpacked);
    assert_eq!(read(&tar).index.entries()[0].extra, stratum.index().entries()[0].extra);
}

#[test]
fn sparse_files_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    File::create(dir.path().join("holes")).unwrap().set_len(1 << 20).unwrap();
    for args in [
        &["--format=gnu"][..],
        &["--format=posix", "--sparse-version=1.0"],
        &["--format=posix", "--sparse-version=0.1"],
    ] {
        run("tar", &[args, &["--sparse", "-cf", "t.tar", "holes"]].concat(), dir.path());
        let error = read_layer(File::open(dir.path().join("t.tar")).unwrap(), std::io::sink()).unwrap_err();
        assert!(error.to_string().contains("holes") && error.to_string().contains("sparse"), "{error}");
    }
}

#[test]
fn extensions_are_bounded() {
    let header = |kind: u8, size: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_path("big").unwrap();
        plain(&mut header, 0, 0);
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    for kind in *b"xLK" {
        // A claim is enough: nothing is set aside for it.
        for size in [(1 << 20) + 1, 1 << 40, i64::MAX as u64] {
            let error = read_layer(&header(kind, size)[..], std::io::sink()).unwrap_err();
            assert!(error.to_string().contains("larger than a megabyte"), "{error}");
        }
        let cut = [header(kind, 1000), vec![b'a'; 600]].concat();
        assert!(read_layer(&cut[..], std::io::sink()).unwrap_err().to_string().contains("cut off"));
    }
    for size in [1 << 63, u64::MAX - 511, u64::MAX] {
        assert!(read_layer(&header(b'0', size)[..], std::io::sink()).is_err());
    }
    assert!(
        read_layer(&header(b'0', i64::MAX as u64)[..], std::io::sink()).unwrap_err().to_string().contains("cut off")
    );
}

/// Root's, of these bits and this time.
fn plain(header: &mut tar::Header, mode: u32, mtime: u64) {
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(mtime);
}

/// A tar of arbitrary entries, names and types drawn so that they meet one another.
fn any_tar() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec![
        "a",
        "b",
        "a/b",
        "a/b/c",
        "a/c",
        "b/a",
        "./a/",
        "/b/",
        ".wh.a",
        "a/.wh.b",
        "a/.wh..wh..opq",
        ".wh..wh..opq",
        "b/x",
        "../a",
        "",
        "a/b/.wh.c",
        "a/.wh..wh.plnk/x",
        ".",
    ]);
    let kind = prop::sample::select(b"0000555212347\x00gxLK".to_vec());
    let data = prop::collection::vec(any::<u8>(), 0..40);
    prop::collection::vec((name.clone(), kind, name, data, any::<u16>()), 0..12).prop_map(|entries| {
        let mut tar = Vec::new();
        for (name, kind, link, mut data, mode) in entries {
            if kind == b'L' || kind == b'K' {
                data = [link.as_bytes(), b"\0"].concat();
            }
            let mut header = tar::Header::new_ustar();
            let bytes = header.as_mut_bytes();
            bytes[..name.len()].copy_from_slice(name.as_bytes());
            bytes[157..157 + link.len()].copy_from_slice(link.as_bytes());
            bytes[156] = kind;
            header.set_size(if matches!(kind, b'1'..=b'6') { 0 } else { data.len() as u64 });
            plain(&mut header, mode.into(), 0);
            header.set_cksum();
            tar.extend_from_slice(header.as_bytes());
            if !matches!(kind, b'1'..=b'6') {
                tar.extend_from_slice(&data);
                tar.resize(tar.len().next_multiple_of(512), 0);
            }
        }
        tar
    })
}

/// Whatever was read: sorted, clean, whole in the spool, fit to be stored; and no merge of it panics.
fn check(tar: &[u8], below: &Index) -> Result<(), TestCaseError> {
    let mut spool = Vec::new();
    let Ok(layer) = read_layer(tar, &mut spool) else { return Ok(()) };
    prop_assert!(spool == tar);
    let index = layer.index;
    prop_assert!(index.entries().is_sorted_by(|a, b| a.path < b.path));
    for entry in index.entries() {
        prop_assert!(routerpack_rootfs::path::is_clean(&entry.path));
        prop_assert!(entry.offset + entry.size <= tar.len() as u64);
        prop_assert!(!entry.path.split(|b| *b == b'/').any(|c| c.starts_with(b".wh.")));
        let parent = routerpack_rootfs::path::parent(&entry.path).and_then(|p| index.get(p));
        prop_assert!(
            parent.is_none_or(|p| p.kind == Kind::Dir || p.kind == Kind::Whiteout && (p.opaque || entry.is_whiteout()))
        );
    }
    let mut encoded = Vec::new();
    index.encode(&mut encoded).unwrap();
    prop_assert_eq!(Index::decode(&encoded[..], encoded.len() as u64).ok(), Some(index.clone()));
    if let Ok(merged) = merge(below.clone(), index.clone(), 1) {
        for entry in merged.entries() {
            prop_assert!(!matches!(entry.kind, Kind::HardLink | Kind::Whiteout) && !entry.opaque);
            let parent = routerpack_rootfs::path::parent(&entry.path).unwrap_or_default();
            prop_assert!(parent.is_empty() || merged.get(parent).is_some_and(|p| p.kind == Kind::Dir));
        }
        // Laid over nothing, a merged index is itself.
        prop_assert_eq!(lines(&merge(Index::default(), merged.clone(), 1).unwrap(), true), lines(&merged, true));
    }
    Ok(())
}

fn below() -> Index {
    let dirs = ["a", "a/b", "c"].map(|p| Entry::new(p.as_bytes(), Kind::Dir, 0o700));
    let files = ["a/b/c", "b", "c/x"].map(|p| Entry { link_group: 1, ..Entry::new(p.as_bytes(), Kind::File, 0o600) });
    Index::new(dirs.into_iter().chain(files).collect())
}

/// What a merge means, said the slow way: a map, and every change applied to all of it.
fn slow_merge(lower: &Index, upper: &Index) -> std::collections::BTreeMap<Vec<u8>, (Kind, u16, u32)> {
    let is_below = routerpack_rootfs::path::is_below;
    let mut all: std::collections::BTreeMap<Vec<u8>, (Kind, u16, u32)> =
        lower.entries().iter().map(|e| (e.path.to_vec(), (e.kind, e.mode, 0))).collect();
    for e in upper.entries() {
        if e.kind != Kind::Dir || e.opaque {
            all.retain(|p, _| !is_below(p, &e.path));
        }
        if e.is_whiteout() {
            all.remove(&*e.path);
        }
    }
    for e in upper.entries().iter().filter(|e| e.kind != Kind::Whiteout) {
        for dir in routerpack_rootfs::path::ancestors(&e.path).filter(|d| !d.is_empty()) {
            if upper.get(dir).is_none_or(|d| d.kind == Kind::Whiteout) && all.get(dir).is_none_or(|d| d.0 != Kind::Dir)
            {
                all.insert(dir.to_vec(), (Kind::Dir, 0o755, 1));
            }
        }
        all.insert(e.path.to_vec(), (e.kind, e.mode, 1));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_entries(tar in any_tar()) {
        check(&tar, &below())?;
    }

    #[test]
    fn damaged_headers(tar in any_tar(), hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut: prop::sample::Index) {
        let mut tar = tar;
        if tar.is_empty() { return Ok(()) }
        for (at, byte) in hits {
            let at = at.index(tar.len());
            tar[at] = byte;
            // With a right checksum, so that the damage is looked at.
            let block = at / 512 * 512;
            if let Some(header) = tar.get_mut(block..block + 512) {
                let mut fixed = tar::Header::new_old();
                fixed.as_mut_bytes().copy_from_slice(header);
                fixed.set_cksum();
                header.copy_from_slice(fixed.as_bytes());
            }
        }
        check(&tar, &below())?;
        check(&tar[..cut.index(tar.len())], &below())?;
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        check(&bytes, &below())?;
    }

    #[test]
    fn any_pax_records(body in "([0-9]{1,2} (path|size|uid|mtime|linkpath|SCHILY.xattr.user.x|GNU.sparse.major)=[a-z0-9./-]{0,6}\n){0,4}[0-9]{0,3}") {
        let mut header = tar::Header::new_ustar();
        let mut tar = Vec::new();
        for (kind, data) in [(b'x', body.as_bytes()), (b'0', b"data")] {
            header.set_entry_type(tar::EntryType::new(kind));
            plain(&mut header, 0o644, 0);
            header.set_size(data.len() as u64);
            header.set_path("f").unwrap();
            header.set_cksum();
            tar.extend_from_slice(header.as_bytes());
            tar.extend_from_slice(data);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        check(&tar, &below())?;
    }

    #[test]
    fn merging_is_what_the_slow_way_says(entries in prop::collection::vec(
        ("[ab](/[ab-]{1,2}){0,3}", prop::sample::select(vec![Kind::Dir, Kind::Dir, Kind::File, Kind::Symlink, Kind::Whiteout]), any::<bool>(), 0u16..0o1000, any::<bool>()),
        0..14,
    )) {
        let side = |upper: bool| Index::new(entries.iter().filter(|e| e.4 == upper).map(|(path, kind, opaque, mode, _)| Entry {
            opaque: *opaque && upper && *kind == Kind::Dir,
            ..Entry::new(path.as_bytes(), if upper || *kind != Kind::Whiteout { *kind } else { Kind::File }, *mode)
        }).collect());
        let Ok(lower) = merge(Index::default(), side(false), 0) else { return Ok(()) };
        let upper = side(true);
        let Ok(merged) = merge(lower.clone(), upper.clone(), 1) else { return Ok(()) };
        let merged: std::collections::BTreeMap<_, _> = merged.entries().iter().map(|e| (e.path.to_vec(), (e.kind, e.mode, e.stratum))).collect();
        prop_assert_eq!(merged, slow_merge(&lower, &upper));
    }
}

#[test]
fn times_before_1970_and_fractions() {
    let pax = |value: &str| {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_pax_extensions([("mtime", value.as_bytes())]).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_path("f").unwrap();
        plain(&mut header, 0o644, 1);
        header.set_size(0);
        header.set_cksum();
        builder.append(&header, &b""[..]).unwrap();
        let index = read_layer(&builder.into_inner().unwrap()[..], std::io::sink()).unwrap().index;
        index.entries()[0].mtime
    };
    assert_eq!(pax("-0.25"), Mtime { secs: -1, nanos: 750_000_000 });
    assert_eq!(pax("1700000000.5"), Mtime { secs: 1_700_000_000, nanos: 500_000_000 });
    assert_eq!(pax(""), Mtime { secs: 1, nanos: 0 });
}
