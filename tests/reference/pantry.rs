//! The context of all own cases: whatever may lie in a context, and archives of many kinds.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use rustix::fs::{FileType, Mode, XattrFlags, lsetxattr, mknodat};

use super::support::{run, tool};

/// cap_net_raw, permitted and effective, as the kernel stores it (`struct vfs_cap_data`, version 2).
const NET_RAW: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Fills a new directory.
pub fn stock(root: &Path) {
    fs::create_dir(root).unwrap();
    for (path, mode) in [
        ("dir", 0o750),
        ("dir/sub", 0o755),
        ("dir/sub/deep", 0o2775),
        ("dir/empty", 0o1777),
        ("etc", 0o755),
        ("hard", 0o755),
        ("ignored", 0o755),
        ("odd", 0o755),
        ("odd/ünï", 0o755),
        ("tars", 0o755),
        ("tree", 0o700),
        ("tree/dir", 0o711),
    ] {
        fs::create_dir(root.join(path)).unwrap();
        fs::set_permissions(root.join(path), Permissions::from_mode(mode)).unwrap();
    }
    for (path, contents, mode) in [
        (".dockerignore", "ignored/*\n!ignored/kept\n*.log\n", 0o644),
        ("a.txt", "a\n", 0o644),
        ("b.txt", "b\n", 0o600),
        ("c.log", "c\n", 0o644),
        ("script.sh", "#!/bin/sh\necho \"$0: $*\"\n", 0o755),
        ("setuid", "u\n", 0o4755),
        ("setgid", "g\n", 0o2711),
        ("empty", "", 0o444),
        ("owned", "o\n", 0o640),
        ("dir/file", "file\n", 0o644),
        ("dir/b.txt", "b of dir\n", 0o604),
        ("dir/sub/deep/file", "deep\n", 0o640),
        (
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\napp:x:1000:2000::/home/app:/bin/sh\nlone:x:1001:1001::/:/bin/sh\n",
            0o644,
        ),
        ("etc/group", "root:x:0:\napp:x:2000:\nlone:x:1001:\nextra:x:3000:app\nmore:x:3001:lone,app\n", 0o644),
        ("hard/one", "linked\n", 0o644),
        ("ignored/gone", "gone\n", 0o644),
        ("ignored/kept", "kept\n", 0o644),
        ("odd/with space.txt", "space\n", 0o644),
        ("odd/[x].txt", "brackets\n", 0o644),
        ("odd/x.txt", "x\n", 0o644),
        ("odd/ünï/ß", "unicode\n", 0o644),
        ("noted", "noted\n", 0o644),
        ("capable", "capable\n", 0o755),
        ("tree/dir/file", "another\n", 0o600),
        ("tree/a.txt", "a of tree\n", 0o640),
    ] {
        fs::write(root.join(path), contents).unwrap();
        fs::set_permissions(root.join(path), Permissions::from_mode(mode)).unwrap();
    }
    fs::hard_link(root.join("hard/one"), root.join("hard/two")).unwrap();
    fs::hard_link(root.join("hard/one"), root.join("dir/three")).unwrap();
    for (target, path) in [
        ("a.txt", "link"),
        ("dir", "dirlink"),
        ("/etc/passwd", "absolute"),
        ("../../../outside", "outside"),
        ("nowhere", "dangling"),
        ("file", "dir/link"),
        ("/a.txt", "dir/rooted"),
        ("../b.txt", "dir/up"),
        ("sub", "dir/sublink"),
    ] {
        symlink(target, root.join(path)).unwrap();
    }
    chown(root.join("owned"), Some(1234), Some(5678)).unwrap();
    lsetxattr(root.join("noted"), "user.note", b"a note\0", XattrFlags::empty()).unwrap();
    lsetxattr(root.join("capable"), "security.capability", &NET_RAW, XattrFlags::empty()).unwrap();
    mknodat(rustix::fs::CWD, root.join("odd/fifo"), FileType::Fifo, Mode::from_raw_mode(0o620), 0).unwrap();
    archives(&root.join("tars"));
    // one file of another time than the rest
    run(tool("touch").args(["-d", "@1500000000"]).arg(root.join("dir/file"))).success();
}

fn archives(dir: &Path) {
    let plain = members(&[
        Member::directory("d/", 0o2770),
        Member::file("d/file", 0o640, b"in a tar\n"),
        Member::file("top", 0o4711, b"top\n"),
        Member::link("d/link", "../top", tar::EntryType::Symlink),
        Member::link("d/hard", "top", tar::EntryType::Link),
    ]);
    fs::write(dir.join("plain.tar"), &plain).unwrap();
    fs::write(dir.join("misnamed.txt"), &plain).unwrap();
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    fs::write(dir.join("plain.tgz"), gzip(&plain)).unwrap();
    fs::write(dir.join("text.gz"), gzip(b"no archive\n")).unwrap();
    fs::write(dir.join("text.tar"), b"no archive\n").unwrap();
    fs::write(dir.join("empty.tar"), members(&[])).unwrap();
    fs::write(dir.join("cut.tar"), &plain[..1400]).unwrap();
    for (program, suffix) in [("bzip2", "bz2"), ("xz", "xz"), ("zstd", "zst")] {
        let out = File::create(dir.join(format!("plain.tar.{suffix}"))).unwrap();
        let status = tool(program).arg("-c").arg(dir.join("plain.tar")).stdout(out).status().unwrap();
        assert!(status.success(), "{program}");
    }
    let xattr = Some(("security.capability", &NET_RAW[..]));
    fs::write(dir.join("capable.tar"), members(&[Member { xattr, ..Member::file("capable", 0o755, b"capable\n") }]))
        .unwrap();
    let device = |path, kind, major, minor| Member { device: (major, minor), ..Member::link(path, "", kind) };
    fs::write(
        dir.join("odd.tar"),
        members(&[
            Member::file("./dotted", 0o600, b"dotted\n"),
            Member::file("implied/parent/file", 0o644, b"implied\n"),
            Member::file("twice", 0o644, b"first\n"),
            Member::file("twice", 0o600, b"second\n"),
            Member::directory("becomes", 0o700),
            Member::file("becomes/file", 0o644, b"in it\n"),
            device("null", tar::EntryType::Char, 1, 3),
            device("block", tar::EntryType::Block, 7, 1),
            device("pipe", tar::EntryType::Fifo, 0, 0),
            Member::link("dangling", "/no/where", tar::EntryType::Symlink),
            Member { xattr: Some(("user.note", b"from a tar")), ..Member::file("noted", 0o644, b"noted\n") },
        ]),
    )
    .unwrap();
    fs::write(dir.join("absolute.tar"), members(&[Member::file("/rooted/file", 0o644, b"rooted\n")])).unwrap();
    fs::write(dir.join("climbs.tar"), members(&[Member::file("../climbed", 0o644, b"climbed\n")])).unwrap();
    fs::write(
        dir.join("through.tar"),
        members(&[
            Member::link("way", "/d2", tar::EntryType::Symlink),
            Member::file("way/file", 0o644, b"through a link\n"),
        ]),
    )
    .unwrap();
}

struct Member<'a> {
    path: &'a str,
    kind: tar::EntryType,
    mode: u32,
    data: &'a [u8],
    target: &'a str,
    device: (u32, u32),
    xattr: Option<(&'a str, &'a [u8])>,
}

impl<'a> Member<'a> {
    fn file(path: &'a str, mode: u32, data: &'a [u8]) -> Self {
        Self { path, kind: tar::EntryType::Regular, mode, data, target: "", device: (0, 0), xattr: None }
    }

    fn directory(path: &'a str, mode: u32) -> Self {
        Self { kind: tar::EntryType::Directory, ..Self::file(path, mode, b"") }
    }

    fn link(path: &'a str, target: &'a str, kind: tar::EntryType) -> Self {
        Self { kind, target, ..Self::file(path, 0o777, b"") }
    }
}

/// A tar of these, each a second younger than the one before, with owners that are nobody's.
fn members(members: &[Member]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (at, member) in members.iter().enumerate() {
        if let Some((name, value)) = member.xattr {
            builder.append_pax_extensions([(format!("SCHILY.xattr.{name}").as_str(), value)]).unwrap();
        }
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(member.kind);
        header.set_mode(member.mode);
        header.set_uid(100 + at as u64);
        header.set_gid(200 + at as u64);
        header.set_mtime(1_400_000_000 + at as u64);
        header.set_size(member.data.len() as u64);
        header.set_device_major(member.device.0).unwrap();
        header.set_device_minor(member.device.1).unwrap();
        // by the bytes: the crate's own setters refuse `..` and absolute paths
        let fields = header.as_ustar_mut().unwrap();
        fields.name[..member.path.len()].copy_from_slice(member.path.as_bytes());
        fields.linkname[..member.target.len()].copy_from_slice(member.target.as_bytes());
        header.set_cksum();
        builder.append(&header, member.data).unwrap();
    }
    builder.into_inner().unwrap()
}
