//! What the tools that people have say of our archives.

mod support;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use routerpack_rootfs::{Entry, Kind};
use routerpack_targets::Format;
use support::*;

/// Runs a program of a Debian package; without it the test fails and says how to get it.
fn run(package: &str, args: &[&str], dir: &Path) -> Output {
    let out = Command::new(args[0]).args(&args[1..]).current_dir(dir).env("TZ", "UTC").output();
    let out = out.unwrap_or_else(|e| panic!("{}: {e}; mend it with: apt-get install -y {package}", args[0]));
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    out
}

fn text(out: &Output) -> String {
    String::from_utf8(out.stdout.clone()).unwrap()
}

/// Names that need every form of header, and one of everything.
fn hard_rootfs() -> Step {
    let mut step = rootfs();
    let long = format!("long/{}/{}", "d".repeat(90), "f".repeat(90));
    step.file(long.as_bytes(), b"split");
    step.file("x".repeat(180).as_bytes(), b"pax");
    step.file("ümlaut".as_bytes(), b"utf-8");
    let e = step.file(b"owned", b"");
    (e.uid, e.gid) = (3_000_000, 4_000_000);
    step.put(Entry::new(b"pipe", Kind::Fifo, 0o600));
    step.file(b"several-gzip-blocks", &(0..900_000u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    step
}

#[test]
fn gnu_tar_lists_and_unpacks_a_rootfs() {
    let step = hard_rootfs();
    let tree = step.tree();
    let dir = tempfile::tempdir().unwrap();
    Ask::new(Format::Tar, &tree).path(&dir.path().join("rootfs.tar")).unwrap();
    let out = run("tar", &["tar", "--quoting-style=literal", "-tvf", "rootfs.tar", "--numeric-owner"], dir.path());
    assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    let list = text(&out);
    assert_eq!(list.lines().count(), tree.index.entries().len() - 1);
    for part in [
        "drwxrwxrwt 0/0",
        "-rw-r--r-- 33/44",
        "2020-09-13 12:26 etc/conf",
        "3000000/4000000",
        "link -> /etc/conf",
        "ümlaut",
    ] {
        assert!(list.contains(part), "{part}: {list}");
    }
    assert!(list.contains("bin/hello link to bin/again"), "{list}");
    fs::create_dir(dir.path().join("out")).unwrap();
    run("tar", &["tar", "-xf", "rootfs.tar", "-C", "out", "--no-same-owner"], dir.path());
    assert_eq!(fs::read(dir.path().join("out").join("x".repeat(180))).unwrap(), b"pax");
}

#[test]
fn gnu_tar_takes_the_outer_archives_without_a_word() {
    let step = rootfs();
    let tree = step.tree();
    let dir = tempfile::tempdir().unwrap();
    for format in [Format::RouterOs, Format::Docker, Format::Oci] {
        Ask::new(format, &tree).path(&dir.path().join("a.tar.gz")).unwrap();
        let out = run("tar", &["tar", "-tzf", "a.tar.gz"], dir.path());
        assert!(out.stderr.is_empty() && !text(&out).contains("./"), "{}", text(&out));
    }
}

#[test]
fn skopeo_reads_every_archive_and_copies_it() {
    let step = hard_rootfs();
    let tree = step.tree();
    let dir = tempfile::tempdir().unwrap();
    for (format, transport) in
        [(Format::RouterOs, "docker-archive"), (Format::Docker, "docker-archive"), (Format::Oci, "oci-archive")]
    {
        let summary = Ask::new(format, &tree).path(&dir.path().join("a.tar")).unwrap();
        let from = format!("{transport}:a.tar");
        let raw =
            run("skopeo", &["skopeo", "inspect", "--override-arch", "arm", "--config", "--raw", &from], dir.path());
        assert_eq!(Some(routerpack_graph::Digest::of(&raw.stdout)), summary.image_id);
        let about = run("skopeo", &["skopeo", "inspect", "--override-arch", "arm", &from], dir.path());
        let about = json(&about.stdout);
        assert_eq!(about["Architecture"], "arm");
        assert_eq!(about["Created"], "2024-01-02T03:04:05Z");
        assert_eq!(about["Layers"].as_array().unwrap().len(), 1);
        // The copy reads every blob and checks it against its digest.
        let to = format!("dir:{transport}-copy");
        run("skopeo", &["skopeo", "--insecure-policy", "copy", "-q", &from, &to], dir.path());
    }
}

#[test]
fn umoci_unpacks_an_oci_archive_to_the_same_tree() {
    let step = rootfs();
    let tree = step.tree();
    let dir = tempfile::tempdir().unwrap();
    Ask::new(Format::Oci, &tree).path(&dir.path().join("a.tar")).unwrap();
    fs::create_dir(dir.path().join("layout")).unwrap();
    run("tar", &["tar", "-xf", "a.tar", "-C", "layout"], dir.path());
    run("umoci", &["umoci", "unpack", "--rootless", "--image", "layout:1.0", "bundle"], dir.path());
    let root = dir.path().join("bundle/rootfs");
    for entry in tree.index.entries().iter().filter(|e| !e.path.is_empty()) {
        let path = root.join(String::from_utf8(entry.path.to_vec()).unwrap());
        let meta = fs::symlink_metadata(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(meta.is_dir(), entry.kind == Kind::Dir);
        if entry.kind == Kind::File {
            assert!(fs::read(&path).unwrap() == tree.read(entry, 1 << 24).unwrap());
        }
    }
    use std::os::unix::fs::MetadataExt;
    let ino = |p: &str| fs::metadata(root.join(p)).unwrap().ino();
    assert_eq!(ino("bin/hello"), ino("bin/again"));
}
