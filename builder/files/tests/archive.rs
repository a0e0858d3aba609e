//! ADD's archives.

mod support;

use std::io::{self, Write};

use routerpack_files::Error;
use routerpack_graph::pb::FileActionCopy;
use routerpack_rootfs::{Kind, Mtime};
use support::*;
use tar::{EntryType, Header};

fn add(src: &str, dest: &str) -> FileActionCopy {
    FileActionCopy { attempt_unpack_docker_compatibility: true, ..copy(src, dest) }
}

struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// Writes the name as it is: `..` and all.
    fn add(self, name: &str, kind: EntryType, link: &str, data: &[u8]) -> Self {
        self.write(name, kind, link, data, 11)
    }

    fn owned(self, name: &str, kind: EntryType, link: &str, uid: u64) -> Self {
        self.write(name, kind, link, b"", uid)
    }

    fn write(mut self, name: &str, kind: EntryType, link: &str, data: &[u8], uid: u64) -> Self {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        header.set_mode(if kind == EntryType::Directory { 0o750 } else { 0o640 });
        header.set_uid(uid);
        header.set_gid(12);
        header.set_mtime(1234);
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }

    fn file(self, name: &str, data: &str) -> Self {
        self.add(name, EntryType::Regular, "", data.as_bytes())
    }

    fn dir(self, name: &str) -> Self {
        self.add(name, EntryType::Directory, "", b"")
    }

    fn link(self, name: &str, target: &str) -> Self {
        self.add(name, EntryType::Symlink, target, b"")
    }

    fn hard(self, name: &str, target: &str) -> Self {
        self.add(name, EntryType::Link, target, b"")
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    /// ADDs it to `base` at `dest`.
    fn onto(self, base: &Made, dest: &str) -> Result<Made, Error> {
        let from = build().file("a.bin", self.bytes()).done();
        run_copy(base, &from, add("a.bin", dest))
    }
}

#[test]
fn compressions_are_told_by_content() {
    let plain = Archive::new().dir("d/").file("d/f", "hello").bytes();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&plain).unwrap();
    let mut bz = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bz.write_all(&plain).unwrap();
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    xz.write_all(&plain).unwrap();
    let zst = zstd::encode_all(&plain[..], 1).unwrap();
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2][..], &zst].concat();
    for (name, bytes) in [
        ("plain", plain.clone()),
        ("gzip", gz.finish().unwrap()),
        ("bzip2", bz.finish().unwrap()),
        ("xz", xz.finish().unwrap()),
        ("zstd", zst),
        ("zstd behind a skippable frame", skippable),
    ] {
        let from = build().file("data.txt", bytes).done();
        let made = run_copy(&scratch(), &from, add("data.txt", "/new/dir")).unwrap();
        assert_eq!(made.list(), ["new/ 755", "new/dir/ 755", "new/dir/d/ 750", "new/dir/d/f 640 hello"], "{name}");
        assert_eq!(
            (made.owner("new/dir/d/f"), made.get("new/dir/d/f").mtime),
            ((11, 12), Mtime { secs: 1234, nanos: 0 })
        );
    }
}

#[test]
fn what_is_no_archive_is_copied() {
    let gz = |data: &[u8]| {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(data).unwrap();
        gz.finish().unwrap()
    };
    let empty_tar = vec![0; 10240];
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("text.tar", b"not a tar".to_vec()),
        ("text.gz", gz(b"just text")),
        ("magic only", vec![0x1f, 0x8b, 0x08]),
        ("no entries", empty_tar),
        ("xz magic", vec![0xfd, b'7', b'z', b'X', b'Z', 0]),
    ] {
        let from = build().file("f", &bytes).done();
        let made = run_copy(&scratch(), &from, add("f", "/")).unwrap();
        assert_eq!(made.get("f").size, bytes.len() as u64, "{name}");
    }
    // Nor is anything unpacked that COPY takes, nor a directory's content.
    let tar = Archive::new().file("x", "").bytes();
    let from = build().file("f.tar", &tar).dir("d", 0o755).file("d/g.tar", &tar).symlink("l", "f.tar").done();
    assert_eq!(run_copy(&scratch(), &from, copy("f.tar", "/")).unwrap().paths(), ["f.tar"]);
    assert_eq!(run_copy(&scratch(), &from, add("d", "/")).unwrap().paths(), ["g.tar"]);
    assert_eq!(run_copy(&scratch(), &from, add("l", "/")).unwrap().paths(), ["x"]);
    assert_eq!(run_copy(&scratch(), &from, add("*.tar", "/")).unwrap().paths(), ["x"]);
}

#[test]
fn entries_go_over_what_is_there() {
    let base = build()
        .dir("usr", 0o755)
        .dir("usr/lib", 0o711)
        .file("usr/lib/old", "o")
        .symlink("lib", "usr/lib")
        .dir("was", 0o755)
        .file("was/in", "")
        .file("file", "old")
        .done();
    let made = Archive::new()
        .dir("./")
        .dir("lib/")
        .file("lib/new", "n")
        .file("was", "a file now")
        .dir("file/")
        .file("file/implied/f", "i")
        .file(".wh.file", "no whiteout")
        .onto(&base, "/")
        .unwrap();
    assert_eq!(
        made.list(),
        [
            ".wh.file 640 no whiteout",
            "file/ 750",
            "file/implied/ 755",
            "file/implied/f 640 i",
            "lib -> usr/lib",
            "usr/ 755",
            "usr/lib/ 750",
            "usr/lib/new 640 n",
            "usr/lib/old 644 o",
            "was 640 a file now",
        ]
    );
    assert_eq!((made.owner("file/implied"), made.get("file/implied").mtime), ((0, 0), NOW));
}

#[test]
fn links_and_other_kinds() {
    let base = build().dir("bin", 0o755).file("bin/sh", "shell").done();
    let made = Archive::new()
        .file("a", "x")
        .hard("b", "a")
        .link("c", "/etc/passwd")
        .hard("d", "c")
        .hard("ash", "bin/sh")
        .add("fifo", EntryType::Fifo, "", b"")
        .onto(&base, "/")
        .unwrap();
    assert_eq!(made.get("a").link_group, made.get("b").link_group);
    assert!(made.get("a").link_group != 0);
    assert_eq!(made.get("ash").link_group, made.get("bin/sh").link_group);
    assert_eq!(
        (made.read("ash"), made.get("d").kind, made.get("fifo").kind),
        ("shell".into(), Kind::Symlink, Kind::Fifo)
    );
    // A link's own header goes over the file's, under every name.
    let from = |archive: Archive| archive.onto(&base, "/").unwrap();
    let made = from(Archive::new().file("a", "x").owned("b", EntryType::Link, "a", 21).link("l", "a"));
    assert_eq!((made.owner("a"), made.owner("b"), made.owner("l")), ((21, 12), (21, 12), (11, 12)));
    for (name, target) in [("h", "nothing"), ("h", "../up"), ("h", "bin"), ("h", "/")] {
        assert!(matches!(Archive::new().hard(name, target).onto(&base, "/"), Err(Error::Archive { .. })), "{target}");
    }
}

#[test]
fn nothing_leaves_the_destination() {
    let base =
        build().dir("opt", 0o755).dir("etc", 0o755).symlink("opt/up", "../etc").symlink("opt/abs", "/etc").done();
    let safe = |archive: Archive| archive.onto(&base, "/opt").unwrap().paths();
    assert!(safe(Archive::new().file("/absolute", "x")).contains(&"opt/absolute".into()));
    assert!(safe(Archive::new().file("a/../b", "x")).contains(&"opt/b".into()));
    // An absolute link leads to below the destination.
    assert!(safe(Archive::new().file("abs/f", "x")).contains(&"opt/etc/f".into()));
    assert!(safe(Archive::new().link("l", "/etc").file("l/f", "x")).contains(&"opt/etc/f".into()));
    assert!(safe(Archive::new().link("self", ".").file("self/f", "x")).contains(&"opt/f".into()));
    // A file takes a link's place instead of going through it.
    assert_eq!(Archive::new().file("up", "x").onto(&base, "/opt").unwrap().get("opt/up").kind, Kind::File);
    for bad in [
        Archive::new().file("../x", "x"),
        Archive::new().file("a/../../x", "x"),
        Archive::new().file("up/f", "x"),
        Archive::new().dir("up/"),
        Archive::new().link("l", "../../etc").file("l/f", "x"),
        Archive::new().link("a", "b").link("b", "a").file("a/f", "x"),
    ] {
        let error = bad.onto(&base, "/opt").unwrap_err();
        assert!(matches!(error, Error::Archive { .. } | Error::BadPath(_)), "{error}");
    }
}

/// tar writes `./` first when it packs a directory; some tools write a file without a name.
#[test]
fn the_destination_keeps_what_it_is() {
    let base = build().dir("opt", 0o711).done();
    for odd in [
        Archive::new().dir("./"),
        Archive::new().dir("/"),
        Archive::new().file("", ""),
        Archive::new().add(".", EntryType::Symlink, "/etc", b""),
        Archive::new().link("here", ".").dir("here/"),
    ] {
        let made = odd.file("f", "x").onto(&base, "/opt").unwrap();
        assert_eq!((made.get("opt").mode, made.owner("opt"), made.read("opt/f")), (0o711, (0, 0), "x".into()));
    }
}

#[test]
fn an_owner_goes_over_the_archives() {
    let from = build().file("a.tar", Archive::new().file("d/f", "").bytes()).done();
    let made = run_copy(&scratch(), &from, FileActionCopy { owner: by_id(1, 2), ..add("a.tar", "/o/") }).unwrap();
    assert_eq!((made.owner("o"), made.owner("o/d"), made.owner("o/d/f")), ((1, 2), (0, 0), (1, 2)));
}

#[test]
fn extended_headers_count() {
    let mut archive = Archive::new();
    let long = format!("{}/name", "long".repeat(60));
    archive
        .0
        .append_pax_extensions([
            ("path", long.as_bytes()),
            ("mtime", b"5.25"),
            ("uid", b"70000"),
            ("SCHILY.xattr.user.a", b"v"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ])
        .unwrap();
    let made = archive.file("short", "x").onto(&scratch(), "/").unwrap();
    let entry = made.get(&long);
    assert_eq!((entry.uid, entry.gid, entry.mtime), (70000, 12, Mtime { secs: 5, nanos: 250_000_000 }));
    assert_eq!(entry.xattrs().collect::<Vec<_>>(), [(&b"user.a"[..], &b"v"[..])]);
}

#[test]
fn an_attributes_value_may_have_any_bytes() {
    let value = b"\n12 uid=9\n\0\xff\n";
    let mut archive = Archive::new().file("before", &"y".repeat(700));
    archive.0.append_pax_extensions([("SCHILY.xattr.user.a", &value[..]), ("uid", b"70000")]).unwrap();
    let made = archive.file("with", "x").file("after", "z").onto(&scratch(), "/").unwrap();
    let entry = made.get("with");
    assert_eq!((entry.uid, entry.xattrs().collect::<Vec<_>>()), (70000, vec![(&b"user.a"[..], &value[..])]));
    for plain in ["before", "after"] {
        assert_eq!((made.get(plain).uid, made.get(plain).xattrs().count()), (11, 0), "{plain}");
    }
}

#[test]
fn broken_archives_are_refused() {
    let whole = Archive::new().file("a", "x").file("b", &"y".repeat(5000)).bytes();
    for cut in [1024 + 100, 1024 + 512, 1024 + 512 + 3000] {
        let from = build().file("a.tar", &whole[..cut]).done();
        assert!(run_copy(&scratch(), &from, add("a.tar", "/")).is_err(), "{cut}");
    }
    let mut noise = whole.clone();
    noise[1024 + 10] ^= 1;
    let from = build().file("a.tar", &noise).done();
    assert!(matches!(run_copy(&scratch(), &from, add("a.tar", "/")), Err(Error::Archive { .. })));
    let odd = Archive::new().file("a", "").add("b", EntryType::new(b'Z'), "", b"");
    assert!(matches!(odd.onto(&scratch(), "/"), Err(Error::Archive { .. })));
    // An extension header of any size would be read into memory.
    let mut archive = Archive::new().file("a", "");
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(64 << 20);
    header.set_cksum();
    archive.0.append(&header, io::repeat(b'x').take(64 << 20)).unwrap();
    let error = archive.file("b", "").onto(&scratch(), "/").unwrap_err();
    assert!(error.to_string().contains("bytes of headers"), "{error}");
}

use std::io::Read as _;
