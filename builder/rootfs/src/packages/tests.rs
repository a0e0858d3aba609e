use std::{fs, os::unix::fs::symlink, path::Path, sync::Arc};

use proptest::prelude::*;
use tempfile::TempDir;

use crate::{ScanOptions, Stratum, scan};

use super::*;

/// A tree of files with these texts; a text after `->` is a symbolic link's target.
fn tree(files: &[(&str, &str)]) -> (TempDir, Tree) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match text.strip_prefix("->") {
            Some(target) => symlink(target, path).unwrap(),
            None => fs::write(path, text).unwrap(),
        }
    }
    let tree = of(dir.path());
    (dir, tree)
}

fn of(root: &Path) -> Tree {
    let index = Arc::new(scan(root, ScanOptions::default()).unwrap());
    Tree::new(vec![Stratum::Dir { root: root.into(), index }]).unwrap()
}

/// `manager name version architecture: files`, `-` before what is only configuration.
fn shown(tree: &Tree) -> Vec<String> {
    let line = |p: &Package| {
        let files: Vec<String> = p.files.iter().map(|at| path::show(&tree.index.entries()[*at].path)).collect();
        let sign = if p.is_installed { "" } else { "-" };
        format!("{sign}{} {} {} {}: {}", p.manager.name(), p.name, p.version, p.architecture, files.join(" "))
    };
    read(tree).unwrap().iter().map(line).collect()
}

#[test]
fn dpkg_with_merged_usr_diversions_and_removed_packages() {
    let (_dir, tree) = tree(&[
        ("bin", "->usr/bin"),
        ("usr/bin/bash", "bash"),
        ("usr/bin/sh", "->dash"),
        ("usr/bin/sh.distrib", "->bash"),
        ("usr/bin/dash", "dash"),
        ("usr/lib/libc.so", "libc"),
        ("etc/old.conf", "left"),
        (
            "var/lib/dpkg/status",
            "Package: bash\nStatus: install ok installed\nVersion: 5.2-1\nArchitecture: amd64\nDescription: a\n shell\n  Version: no\n\n\n\
             package:dash\nSTATUS: install ok unpacked\r\nVersion:0.5\r\n\n\
             Package: libc6\nStatus: hold ok installed\nArchitecture: amd64\nVersion: 2\n\n\
             Package: old\nStatus: deinstall ok config-files\nVersion: 1\n\n\
             Package: gone\nStatus: unknown ok not-installed\n\n\
             Package: ../../../etc/passwd\n\nVersion: nameless\n",
        ),
        ("var/lib/dpkg/info/bash.list", "/.\n/bin\n/bin/bash\n/bin/sh\n/usr/share/doc/not-there\n"),
        ("var/lib/dpkg/info/dash.list", "/bin/dash\n/bin/sh\n/bin/bash\n/usr/../etc/old.conf\n"),
        ("var/lib/dpkg/info/libc6:amd64.list", "/usr/lib/libc.so\n"),
        ("var/lib/dpkg/info/old.list", "/etc/old.conf\n"),
        ("var/lib/dpkg/diversions", "/bin/sh\n/bin/sh.distrib\ndash\n/a\n/b\n"),
    ]);
    assert_eq!(
        shown(&tree),
        [
            "dpkg bash 5.2-1 amd64: usr/bin/bash usr/bin/sh.distrib",
            "dpkg dash 0.5 : usr/bin/dash usr/bin/sh",
            "dpkg libc6 2 amd64: usr/lib/libc.so",
            "-dpkg old 1 : etc/old.conf",
            "dpkg ../../../etc/passwd  : ",
        ]
    );
}

#[test]
fn dpkg_without_lists_and_distroless() {
    let sum = "d41d8cd98f00b204e9800998ecf8427e";
    let (_dir, tree) = tree(&[
        ("usr/bin/a", "a"),
        ("usr/lib/b", "b"),
        ("var/lib/dpkg/status", "Package: a\nVersion: 1\n"),
        ("var/lib/dpkg/info/a.md5sums", &format!("{sum}  usr/bin/a\nshort\n")),
        ("var/lib/dpkg/status.d/b", "Package: b\nVersion: 2\nArchitecture: arm64\n\nPackage: second\n"),
        ("var/lib/dpkg/status.d/b.md5sums", &format!("{sum}  usr/lib/b\n")),
        ("var/lib/dpkg/status.d/empty", ""),
    ]);
    assert_eq!(shown(&tree), ["dpkg a 1 : usr/bin/a", "dpkg b 2 arm64: usr/lib/b"]);
}

#[test]
fn apk_in_both_places() {
    let text = "C:Q1qKcZ+j23xssAXmgQhkOO8dHnbWw=\nP:musl\nV:1.2.5-r0\nA:aarch64\nS:408\nI:667\nT:the musl C library\nF:lib\n\
                R:ld-musl.so\na:0:0:755\nZ:Q1abc=\nR:libc.so\n\nP:busybox\nV:1.36\nF:\nR:top\nF:bin\nM:0:0:755\nR:busybox\nR:libc.so\n\
                R:../lib/libc.so\nR:gone\n";
    for place in ["lib/apk/db/installed", "usr/lib/apk/db/installed"] {
        let (_dir, tree) = tree(&[
            ("lib/ld-musl.so", "x"),
            ("lib/libc.so", "->ld-musl.so"),
            ("bin/busybox", "b"),
            ("top", ""),
            (place, text),
        ]);
        assert_eq!(
            shown(&tree),
            ["apk musl 1.2.5-r0 aarch64: lib/ld-musl.so lib/libc.so", "apk busybox 1.36 : bin/busybox top"]
        );
    }
}

#[test]
fn an_image_without_packages_or_with_strange_databases_has_none() {
    for files in [
        &[("a", "b")][..],
        &[("var/lib/dpkg/status", ""), ("lib/apk/db/installed", "\n\n\n")],
        &[("var/lib/dpkg/status", "->status"), ("lib/apk/db/installed/file", "")],
        &[("var/lib/dpkg/status/dir", ""), ("var/lib/dpkg/status.d", "->/")],
    ] {
        assert_eq!(shown(&tree(files).1), [""; 0], "{files:?}");
    }
}

#[test]
fn what_no_honest_image_has_is_refused() {
    let (dir, _) = tree(&[("lib/apk/db/x", "")]);
    let database = dir.path().join("lib/apk/db/installed");
    fs::File::create(&database).unwrap().set_len(MAX_BYTES + 1).unwrap();
    assert!(matches!(read(&of(dir.path())), Err(PackagesError::TooBig { what: "bytes", .. })));
    fs::write(&database, "P:a\n\n".repeat(MAX_PACKAGES + 1)).unwrap();
    assert!(matches!(read(&of(dir.path())), Err(PackagesError::TooBig { what: "packages", .. })));
    let many: String = (0..150_000).map(|n| format!("F:{n:x}\nR:x\n")).collect();
    fs::write(&database, "P:a\n".to_string() + &many).unwrap();
    let error = read(&of(dir.path())).unwrap_err();
    assert!(error.to_string().contains("`/lib/apk/db/installed` has more directories"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Any bytes, and bytes that look like a database, are read to their end.
    #[test]
    fn parsers_take_anything(text in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..400),
        "((Package|P|F|R|V|Status|version)?:[ /a.\n:]{0,6}\r?\n?){0,60}".prop_map(String::into_bytes),
    ]) {
        for record in apk::records(&text) {
            prop_assert!(record.value(b'P').is_some());
            prop_assert!(record.files().all(|(_, name)| !name.is_empty()));
        }
        for stanza in dpkg::stanzas(&text) {
            stanza.value("Package");
        }
        dpkg::diversions(&text);
        lines(&text).for_each(|line| { dpkg::summed(line); });
    }

    /// What is written in a database's form is read back.
    #[test]
    fn records_come_back(packages in prop::collection::vec(("[a-z+.0-9-]{1,12}", "[0-9a-z.:~-]{1,9}",
        prop::collection::vec(("[a-z/]{0,12}", "[ -~]{1,12}"), 0..5)), 0..8)) {
        let (mut apk, mut dpkg) = (String::new(), String::new());
        for (name, version, files) in &packages {
            apk += &format!("C:Q1=\nP:{name}\nV:{version}\n");
            files.iter().for_each(|(dir, file)| apk += &format!("F:{dir}\nR:{file}\nZ:Q1=\n"));
            apk += "\n";
            dpkg += &format!("Package: {name}\nDescription: text\n more\n .\nVersion: {version}\n\n");
        }
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
        let read: Vec<_> = apk::records(apk.as_bytes()).map(|r| {
            let files: Vec<_> = r.files().map(|(dir, file)| (text(Some(dir)), text(Some(file)))).collect();
            (text(r.value(b'P')), text(r.value(b'V')), files)
        }).collect();
        prop_assert_eq!(&read, &packages);
        let read: Vec<_> = dpkg::stanzas(dpkg.as_bytes()).map(|s| (text(s.value("package")), text(s.value("Version")))).collect();
        let want: Vec<_> = packages.into_iter().map(|(name, version, _)| (name, version)).collect();
        prop_assert_eq!(read, want);
    }
}
