//! `type=local`: files in a directory.

mod support;

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use routerpack_rootfs::{Entry, Kind, Origin, Stratum, Tree};
use routerpack_targets::{Dest, Dropped, Format};
use support::*;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn files_modes_times_and_links_are_there() {
    let mut step = rootfs();
    step.file(b"bin/su", b"su").mode = 0o6755;
    step.put(Entry::new(b"dev/null", Kind::CharDev, 0o666));
    step.put(Entry::new(b"pipe", Kind::Fifo, 0o640));
    step.file(b"ro/deep/file", b"x").mode = 0o400;
    step.dir("ro").mode = 0o555;
    let tree = step.tree();
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("new/out");
    let summary = Ask::new(Format::Local, &tree).path(&dest).unwrap();

    assert_eq!(names(&dest), ["big", "bin", "dev", "etc", "link", "pipe", "ro", "tmp"]);
    assert_eq!(fs::read(dest.join("big")).unwrap().len(), 1_000_003);
    assert_eq!(fs::read(dest.join("ro/deep/file")).unwrap(), b"x");
    let modes = ["bin/hello", "bin/su", "etc", "tmp", "ro", "ro/deep", "ro/deep/file", "pipe"];
    let modes = modes.map(|p| mode(&dest.join(p)));
    assert_eq!(modes, [0o755, 0o755, 0o700, 0o1777, 0o555, 0o755, 0o400, 0o640]);
    assert_eq!(fs::read_link(dest.join("link")).unwrap(), Path::new("/etc/conf"));
    let (a, b) = (fs::metadata(dest.join("bin/hello")).unwrap(), fs::metadata(dest.join("bin/again")).unwrap());
    assert_eq!((a.ino(), a.nlink()), (b.ino(), 2));
    let conf = fs::metadata(dest.join("etc/conf")).unwrap();
    assert_eq!((conf.mtime(), conf.mtime_nsec()), (1_600_000_000, 5));
    assert_eq!(conf.uid(), fs::metadata(dir.path()).unwrap().uid(), "yours, whoever owns it in the image");
    assert!(fs::metadata(dest.join("pipe")).unwrap().file_type().is_fifo());
    let lost: Vec<_> = summary.warnings.list.iter().map(|w| (w.path.as_str(), w.what)).collect();
    assert_eq!(lost, [("bin/su", Dropped::SetId), ("dev/null", Dropped::Device)]);
    assert_eq!(summary.bytes, 1_000_003 + 21 + 4 + 2 + 1);
}

#[test]
fn times_are_limited_by_the_epoch() {
    let step = rootfs();
    let tree = step.tree();
    let dir = tempfile::tempdir().unwrap();
    Ask { epoch: Some(1_500_000_000), ..Ask::new(Format::Local, &tree) }.path(dir.path()).unwrap();
    let times = ["etc/conf", "bin"].map(|p| fs::metadata(dir.path().join(p)).unwrap().mtime());
    assert_eq!(times, [1_500_000_000, 0]);
}

#[test]
fn what_is_there_is_merged_into_and_nothing_else_touched() {
    let step = rootfs();
    let tree = step.tree();
    let dir = tempfile::tempdir().unwrap();
    let at = |p: &str| dir.path().join(p);
    fs::create_dir(at("etc")).unwrap();
    fs::write(at("etc/mine"), b"mine").unwrap();
    fs::write(at("etc/conf"), b"old and longer than the new one").unwrap();
    fs::write(at("outside"), b"outside").unwrap();
    // A link where the image has a file is replaced, not written through.
    symlink(at("outside"), at("big")).unwrap();
    for _ in 0..2 {
        Ask::new(Format::Local, &tree).path(dir.path()).unwrap();
        assert_eq!(names(dir.path()), ["big", "bin", "etc", "link", "outside", "tmp"]);
        assert_eq!(names(&at("etc")), ["conf", "mine"]);
        assert_eq!(fs::read(at("etc/conf")).unwrap(), b"a=1\n");
        assert_eq!(fs::read(at("outside")).unwrap(), b"outside");
        assert_eq!(fs::symlink_metadata(at("big")).unwrap().len(), 1_000_003);
    }
}

#[test]
fn conflicts_are_refused_before_anything_is_written() {
    let step = rootfs();
    let tree = step.tree();
    let elsewhere = tempfile::tempdir().unwrap();
    type Setup = fn(&Path, &Path);
    let setups: [(&str, Setup); 3] = [
        ("big is a directory, but a file in the image", |d, _| fs::create_dir(d.join("big")).unwrap()),
        ("etc is no directory", |d, _| fs::write(d.join("etc"), b"x").unwrap()),
        ("etc is no directory", |d, e| symlink(e, d.join("etc")).unwrap()),
    ];
    for (part, setup) in setups {
        let dir = tempfile::tempdir().unwrap();
        setup(dir.path(), elsewhere.path());
        let before = names(dir.path());
        let e = Ask::new(Format::Local, &tree).path(dir.path()).unwrap_err().to_string();
        assert!(e.contains(part), "{e}");
        assert_eq!(names(dir.path()), before);
    }
    assert!(names(elsewhere.path()).is_empty());
}

#[test]
fn a_tree_that_lies_cannot_leave_the_directory() {
    // No merged tree has children below a symlink; should one ever, they must not land elsewhere.
    let elsewhere = tempfile::tempdir().unwrap();
    let mut step = Step::new();
    step.symlink("a", elsewhere.path().as_os_str().as_encoded_bytes());
    step.file(b"a/b", b"x");
    let mut tree = Tree::default();
    let Stratum::Dir { root, index } = step.stratum() else { unreachable!("a step leaves a directory") };
    tree.strata.push(Origin::Dir(root));
    tree.index = index;
    let dir = tempfile::tempdir().unwrap();
    assert!(Ask::new(Format::Local, &tree).path(dir.path()).is_err());
    assert!(names(elsewhere.path()).is_empty());
    assert!(names(dir.path()).is_empty(), "nothing is left");
}

#[test]
fn an_error_leaves_nothing_and_a_stream_is_refused() {
    let step = rootfs();
    let tree = step.tree();
    let big = tree.index.get(b"big").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ask = Ask::new(Format::Local, &tree);
    assert!(ask.to(Dest::Stream(&mut Vec::new())).unwrap_err().to_string().contains("directory"));
    fs::remove_file(step.dir.path().join(String::from_utf8(big.origin().to_vec()).unwrap())).unwrap();
    assert!(ask.path(&dir.path().join("new")).unwrap_err().to_string().contains("big"));
    assert!(names(dir.path()).is_empty());
    // What a killed writer left goes with the next one.
    fs::create_dir_all(dir.path().join(".routerpack-tmp-dead/x")).unwrap();
    assert!(ask.path(dir.path()).is_err());
    assert!(names(dir.path()).is_empty());
}
