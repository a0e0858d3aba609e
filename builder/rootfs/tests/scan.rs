//! Directories as indexes.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use routerpack_rootfs::{Entry, Index, Kind, Owners, ScanError, ScanOptions, Verdict, scan};

fn names(index: &Index) -> Vec<String> {
    index.entries().iter().map(|e| String::from_utf8_lossy(&e.path).into_owned()).collect()
}

fn tree(root: &Path, files: &[&str]) {
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
}

#[test]
fn metadata_is_as_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    tree(root, &["d/one", "d-two", "three"]);
    symlink("/nowhere/../x", root.join("link")).unwrap();
    fs::hard_link(root.join("d/one"), root.join("a")).unwrap();
    let outside = tempfile::tempdir_in(dir.path().parent().unwrap()).unwrap();
    fs::hard_link(root.join("three"), outside.path().join("elsewhere")).unwrap();
    fs::set_permissions(root.join("d"), fs::Permissions::from_mode(0o2750)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("sock")).unwrap();

    let index = scan(root, ScanOptions::default()).unwrap();
    assert_eq!(names(&index), ["a", "d", "d-two", "d/one", "link", "sock", "three"]);
    for entry in index.entries() {
        let meta = fs::symlink_metadata(root.join(String::from_utf8_lossy(&entry.path).as_ref())).unwrap();
        assert_eq!(u32::from(entry.mode), meta.mode() & 0o7777);
        assert_eq!((entry.uid, entry.gid), (meta.uid(), meta.gid()));
        assert_eq!((entry.mtime.secs, i64::from(entry.mtime.nanos)), (meta.mtime(), meta.mtime_nsec()));
        assert_eq!(entry.size, if meta.is_file() { meta.len() } else { 0 });
    }
    assert_eq!(index.get(b"link").unwrap().link(), b"/nowhere/../x");
    assert_eq!(index.get(b"sock").unwrap().kind, Kind::Socket);
    // A group is what has two names here; another name elsewhere makes none.
    let groups: Vec<_> = index.entries().iter().map(|e| e.link_group).collect();
    assert_eq!(groups, [1, 0, 0, 1, 0, 0, 0]);

    let with_root = scan(root, ScanOptions { root: true, ..Default::default() }).unwrap();
    assert_eq!(with_root.entries()[0].path.len(), 0);
    assert_eq!(with_root.entries().len(), 8);
}

#[test]
fn filters_see_paths_and_keep_parents_of_what_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path(), &["keep/a", "skip/b", "deep/x/y/want", "deep/x/no", "deep/z/no", "file", "empty/sub/no"]);
    let asked = std::sync::Mutex::new(Vec::new());
    let filter = |path: &[u8], is_dir: bool| {
        let path = String::from_utf8_lossy(path).into_owned();
        let verdict = match path.as_str() {
            "skip" | "file" => Verdict::Skip,
            p if p.starts_with("deep") || p.starts_with("empty") => match p.ends_with("want") {
                true => Verdict::Keep,
                false => Verdict::Descend,
            },
            _ => Verdict::Keep,
        };
        asked.lock().unwrap().push((path, is_dir));
        verdict
    };
    let index = scan(dir.path(), ScanOptions { filter: Some(&filter), ..Default::default() }).unwrap();
    assert_eq!(names(&index), ["deep", "deep/x", "deep/x/y", "deep/x/y/want", "keep", "keep/a"]);
    let asked = asked.into_inner().unwrap();
    assert!(asked.contains(&("skip".into(), true)) && asked.contains(&("file".into(), false)));
    assert!(!asked.iter().any(|(path, _)| path.starts_with("skip/")));
}

#[test]
fn owners_can_be_forced_or_taken_from_below() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path(), &["same", "other", "new"]);
    let own = |path: &[u8], kind| Entry { uid: 33, gid: 44, ..Entry::new(path, kind, 0o644) };
    let below = Index::new(vec![own(b"same", Kind::File), own(b"other", Kind::Symlink)]);
    let owners = |owners| {
        let index = scan(dir.path(), ScanOptions { owners, ..Default::default() }).unwrap();
        index.entries().iter().map(|e| (e.uid, e.gid)).collect::<Vec<_>>()
    };
    let meta = fs::metadata(dir.path()).unwrap();
    let me = (meta.uid(), meta.gid());
    assert_eq!(owners(Owners::OnDisk), [me; 3]);
    assert_eq!(owners(Owners::Root), [(0, 0); 3]);
    assert_eq!(owners(Owners::Below(&below)), [me, me, (33, 44)]); // new, other, same
}

#[test]
fn symlinks_are_never_followed() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path(), &["real/file"]);
    symlink("real", dir.path().join("to-dir")).unwrap();
    symlink("/etc", dir.path().join("etc")).unwrap();
    assert_eq!(names(&scan(dir.path(), ScanOptions::default()).unwrap()), ["etc", "real", "real/file", "to-dir"]);
}

#[test]
fn what_is_no_directory_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    for name in ["file", "missing"] {
        let error = scan(&dir.path().join(name), ScanOptions::default()).unwrap_err();
        assert!(matches!(&error, ScanError::Io { path, .. } if path.is_empty()), "{error}");
        assert!(error.to_string().contains(name));
    }
}

#[test]
fn a_large_tree_is_the_same_by_several_threads() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for d in 0..60 {
        let name = format!("d{d:02}");
        fs::create_dir(dir.path().join(&name)).unwrap();
        expected.push(name.clone());
        for f in 0..60 {
            let name = format!("{name}/f{f:02}");
            fs::write(dir.path().join(&name), &name[..f % 5]).unwrap();
            expected.push(name);
        }
    }
    for (name, to) in [("d00/f00", "d59/link"), ("d30/f01", "d01/link")] {
        fs::hard_link(dir.path().join(name), dir.path().join(to)).unwrap();
        expected.push(to.into());
    }
    expected.sort();
    let index = scan(dir.path(), ScanOptions { stamps: true, ..Default::default() }).unwrap();
    assert_eq!(names(&index), expected);
    let group = |path: &str| index.get(path.as_bytes()).unwrap().link_group;
    assert_eq!(
        [group("d00/f00"), group("d59/link"), group("d01/link"), group("d30/f01"), group("d02/f02")],
        [1, 1, 2, 2, 0]
    );
    for entry in index.entries() {
        let meta = fs::metadata(dir.path().join(std::str::from_utf8(&entry.path).unwrap())).unwrap();
        assert_eq!(index.stamp(&entry.path), Some(&routerpack_rootfs::Stamp::of(&meta)));
    }
    let most = |path: &[u8], _: bool| if path == b"d41/f09" { Verdict::Skip } else { Verdict::Keep };
    let without = scan(dir.path(), ScanOptions { filter: Some(&most), ..Default::default() }).unwrap();
    assert_eq!(without.entries().len(), expected.len() - 1);
    assert_eq!(without.stamp(b"d00"), None);
}
