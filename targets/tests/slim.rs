//! `slim`: what goes, what stays, and that what has changed is the same to whoever uses it.

mod support;
#[path = "../../tests/support/tiny_elf.rs"]
mod tiny_elf;

use std::{collections::BTreeSet, process::Command, sync::Arc};

use proptest::prelude::*;
use routerpack_graph::{ImageConfig, image::Empty};
use routerpack_rootfs::{Kind, Mtime, Stratum, Tree};
use routerpack_targets::slim::{self, Options, Pass, PassReport, Report, SlimError};
use support::*;

/// The tree with the passes done, and what they did. The directory holds changed files.
fn slimmed(step: &Step, config: &ImageConfig, passes: &[Pass]) -> (Tree, Report, tempfile::TempDir) {
    let out = tempfile::tempdir().unwrap();
    let mut tree = step.tree();
    let options = Options { passes: &passes.iter().copied().collect(), epoch: None, out: out.path(), stop: &|| false };
    let slimmed = slim::slim(&tree, config, &options).unwrap();
    tree.push(Stratum::Dir { root: out.path().into(), index: Arc::new(slimmed.index) }).unwrap();
    (tree, slimmed.report, out)
}

fn paths(tree: &Tree) -> Vec<String> {
    tree.index.entries().iter().map(|e| String::from_utf8(e.path.to_vec()).unwrap()).collect()
}

fn bytes(tree: &Tree, path: &str) -> Vec<u8> {
    tree.read(tree.index.get(path.as_bytes()).unwrap(), 1 << 30).unwrap()
}

fn of(report: &Report, pass: Pass) -> &PassReport {
    report.passes.iter().find(|p| p.pass == pass).unwrap()
}

fn command(words: &[&str]) -> ImageConfig {
    let mut config = ImageConfig::default();
    config.config.cmd = words.iter().map(|w| w.to_string()).collect();
    config
}

#[test]
fn directories_that_a_pass_empties_go_but_for_those_that_programs_expect() {
    let mut step = Step::new();
    for dir in ["usr", "usr/share", "usr/share/doc", "usr/share/doc/a", "usr/share/doc/a/deep", "usr/share/doc/b"] {
        step.dir(dir);
    }
    step.dir("usr/share/doc/empty");
    step.file(b"usr/share/doc/a/deep/README", b"12345");
    step.file(b"usr/share/doc/b/copyright", b"free");
    step.file(b"usr/share/doc/b/README", b"123");
    step.file(b"usr/share/doc/last", b"1");
    step.dir("usr/share/man");
    step.dir("usr/share/man/man1");
    step.file(b"usr/share/man/man1/a.1", b"page");
    let (tree, report, _out) = slimmed(&step, &ImageConfig::default(), &[Pass::Docs]);
    assert_eq!(
        paths(&tree),
        [
            "usr",
            "usr/share",
            "usr/share/doc",
            "usr/share/doc/b",
            "usr/share/doc/b/copyright",
            "usr/share/doc/empty",
            "usr/share/man",
            "usr/share/man/man1",
            "usr/share/man/man1/a.1"
        ]
    );
    assert_eq!((of(&report, Pass::Docs).files, report.bytes()), (3, 9));
    let mut config = ImageConfig::default();
    config.config.working_dir = "/usr/share/doc/a/deep".into();
    let (tree, _, _out) = slimmed(&step, &config, &[Pass::Docs, Pass::Man]);
    assert!(paths(&tree).contains(&"usr/share/doc/a/deep".to_string()), "the command starts there");
    assert!(!paths(&tree).contains(&"usr/share/man/man1".to_string()));
}

#[test]
fn what_the_command_needs_stays() {
    let mut step = Step::new();
    step.file(b"usr/share/doc/app/run", b"#!/usr/include/interpreter -x\n").mode = 0o755;
    step.file(b"usr/include/interpreter", &tiny_elf::program("arm64")).mode = 0o755;
    step.file(b"usr/include/other", b"header");
    step.file(b"usr/share/doc/site/index.html", b"<html>");
    step.file(b"usr/share/doc/other/index.html", b"<html>");
    step.file(b"usr/share/man/conf", b"a=1");
    step.symlink("usr/include/link", b"/opt");
    step.symlink("usr/include/loose", b"/nowhere");
    step.file(b"opt/tool", b"tool").mode = 0o755;
    step.dir("var/cache/apk");
    step.file(b"var/cache/apk/data", b"mounted");
    let words = ["/usr/share/doc/app/run", "--config=/usr/share/man/conf", "sh -c '/usr/include/link/tool; ls'"];
    let mut config = command(&words);
    config.config.entrypoint = vec!["serve".into(), "/usr/share/doc/site".into()];
    config.config.volumes.insert("/var/cache".into(), Empty {});
    let (tree, report, _out) = slimmed(&step, &config, &Pass::ALL);
    let left = paths(&tree);
    for path in [
        "usr/share/doc/app/run",
        "usr/include/interpreter",
        "usr/share/doc/site/index.html",
        "usr/share/man/conf",
        "usr/include/link",
        "var/cache/apk/data",
    ] {
        assert!(left.contains(&path.to_string()), "{path}: {left:?}");
    }
    for path in ["usr/include/other", "usr/include/loose", "usr/share/doc/other"] {
        assert!(!left.contains(&path.to_string()), "{path}");
    }
    assert_eq!(of(&report, Pass::Dev).kept_names, ["/usr/include/interpreter", "/usr/include/link"]);
    assert!(of(&report, Pass::Docs).stayed().unwrap().contains("/usr/share/doc/app/run"));
    assert_eq!(of(&report, Pass::Man).kept, 1);
    assert_eq!(of(&report, Pass::Pycache).stayed(), None);
}

#[test]
fn a_file_is_gone_with_its_last_name() {
    let mut step = Step::new();
    step.file(b"usr/share/doc/x", b"0123456789");
    step.link(b"usr/lib/x", 1);
    step.file(b"usr/share/doc/y", b"0123456789");
    step.link(b"usr/share/doc/z", 2);
    let (tree, report, _out) = slimmed(&step, &ImageConfig::default(), &[Pass::Docs]);
    assert_eq!(bytes(&tree, "usr/lib/x"), b"0123456789");
    assert_eq!(tree.index.get(b"usr/lib/x").unwrap().link_group, 0);
    assert_eq!((of(&report, Pass::Docs).files, of(&report, Pass::Docs).bytes), (3, 10));
}

#[test]
fn equal_files_become_links_only_where_all_about_them_is_equal() {
    let mut step = Step::new();
    let time = Mtime { secs: 1_600_000_000, nanos: 1 };
    for (path, change) in [
        ("usr/a", 0),
        ("usr/b", 0),
        ("usr/mode", 1),
        ("usr/owner", 2),
        ("usr/time", 3),
        ("usr/nanos", 4),
        ("usr/xattr", 5),
        ("etc/a", 0),
        ("usr/empty1", 6),
        ("usr/empty2", 6),
        ("vol/a", 0),
    ] {
        let file = step.file(path.as_bytes(), if change == 6 { b"" } else { b"same bytes" });
        file.mtime = time;
        match change {
            1 => file.mode = 0o4755,
            2 => file.uid = 1,
            3 => file.mtime.secs += 1,
            4 => file.mtime.nanos += 1,
            5 => xattr(file, b"security.capability", b"x"),
            _ => {}
        }
    }
    step.file(b"usr/differs", b"same_bytes").mtime = time;
    step.file(b"usr/linked", b"same bytes").mtime = time;
    step.link(b"usr/linked2", 1);
    let mut config = ImageConfig::default();
    config.config.volumes.insert("/vol".into(), Empty {});
    let (tree, report, _out) = slimmed(&step, &config, &[Pass::Dedup]);
    let group = |path: &str| tree.index.get(path.as_bytes()).unwrap().link_group;
    assert_ne!(group("usr/a"), 0);
    for path in ["usr/b", "usr/nanos", "usr/linked", "usr/linked2"] {
        assert_eq!(group(path), group("usr/a"), "{path}");
        assert_eq!(bytes(&tree, path), b"same bytes");
    }
    let alone = ["mode", "owner", "time", "xattr", "differs", "empty1"].map(|name| format!("usr/{name}"));
    for path in alone.iter().map(String::as_str).chain(["etc/a", "vol/a"]) {
        assert_eq!(group(path), 0, "{path}");
    }
    assert_eq!((of(&report, Pass::Dedup).files, report.bytes()), (3, 30));
}

#[test]
fn stripped_programs_are_the_same_programs() {
    let mut step = Step::new();
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let file = step.file(b"bin/test", &program);
    (file.mode, file.uid, file.mtime) = (0o4755, 33, Mtime { secs: 9, nanos: 8 });
    xattr(file, b"security.capability", b"cap");
    step.link(b"bin/again", 1);
    step.file(b"bin/arm", &tiny_elf::program("arm")).mode = 0o755;
    step.file(b"opt/arm", &tiny_elf::program("arm")).mode = 0o755;
    step.file(b"opt/appended", &[tiny_elf::program("arm"), b"payload".to_vec()].concat());
    step.file(b"opt/short", &tiny_elf::program("arm64")[..700]);
    step.file(b"opt/text", &[b'x'; 200]);
    let before = step.tree();
    let (tree, report, _out) = slimmed(&step, &ImageConfig::default(), &[Pass::Strip, Pass::Dedup]);
    let (old, new) = (before.index.get(b"bin/test").unwrap(), tree.index.get(b"bin/test").unwrap());
    assert!(new.size < old.size, "{} bytes of {}", new.size, old.size);
    assert_eq!((new.mode, new.uid, new.mtime, new.kind), (old.mode, old.uid, old.mtime, Kind::File));
    assert!(new.xattrs().eq(old.xattrs()));
    assert_eq!(tree.index.get(b"bin/again").unwrap().link_group, new.link_group);
    assert_eq!(bytes(&tree, "bin/again"), bytes(&tree, "bin/test"));
    for path in ["opt/appended", "opt/short", "opt/text"] {
        assert_eq!(bytes(&tree, path), bytes(&before, path), "{path}");
    }
    assert_eq!(of(&report, Pass::Strip).kept_names, ["/opt/appended"]);
    assert_eq!(of(&report, Pass::Strip).files, 3);
    // two that are equal only now, or still
    assert_eq!(of(&report, Pass::Dedup).files, 1);
    let arm = bytes(&tree, "bin/arm");
    assert_eq!((arm.len() < 400, &arm, arm.ends_with(&[7; 8])), (true, &bytes(&tree, "opt/arm"), false));
    let mut second = Step::new();
    second.file(b"bin/arm", &arm).mode = 0o755;
    let (again, report, _out) = slimmed(&second, &ImageConfig::default(), &[Pass::Strip]);
    assert_eq!((bytes(&again, "bin/arm"), of(&report, Pass::Strip).files), (arm, 0), "nothing is left to strip");

    // and it runs: another process copies it, so that no file of ours is open for writing when it starts
    let dir = tempfile::tempdir().unwrap();
    let (raw, copy) = (dir.path().join("raw"), dir.path().join("copy"));
    std::fs::write(&raw, bytes(&tree, "bin/test")).unwrap();
    assert!(Command::new("install").args(["-m", "755"]).args([&raw, &copy]).status().unwrap().success());
    let listed = Command::new(&copy).arg("--list").output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("stripped_programs_are_the_same_programs"));
}

#[test]
fn it_stops_when_it_is_told_to() {
    let mut step = Step::new();
    step.file(b"bin/arm", &tiny_elf::program("arm"));
    let out = tempfile::tempdir().unwrap();
    let passes = BTreeSet::from([Pass::Strip]);
    let options = Options { passes: &passes, epoch: None, out: out.path(), stop: &|| true };
    let stopped = slim::slim(&step.tree(), &ImageConfig::default(), &options);
    assert!(matches!(stopped, Err(SlimError::Stopped)));
}

/// The part of a tiny program that is loaded, but for the place of the section table.
fn loaded(program: &[u8], is_64: bool) -> Vec<u8> {
    let (table, counts, end) = if is_64 { (40..48, 58..64, 132) } else { (32..36, 46..52, 96) };
    let mut loaded = program[..end].to_vec();
    loaded[table].fill(0);
    loaded[counts].fill(0);
    loaded
}

proptest! {
    #[test]
    fn damaged_programs_are_left_alone_or_stay_what_they_are(
        is_64: bool, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), cut in 0usize..300,
    ) {
        let mut program = tiny_elf::program(if is_64 { "arm64" } else { "arm" });
        // the middle is the debug information's own bytes: changes there test nothing
        let middle = 200..program.len() - 480;
        for (at, byte) in changes {
            let at = at.index(program.len() - middle.len());
            program[if at < middle.start { at } else { at + middle.len() }] = byte;
        }
        program.truncate(program.len() - cut.saturating_sub(250));
        let mut step = Step::new();
        step.file(b"x", &program);
        let (tree, report, _out) = slimmed(&step, &ImageConfig::default(), &[Pass::Strip]);
        let new = bytes(&tree, "x");
        if of(&report, Pass::Strip).files == 0 {
            prop_assert!(new == program);
        } else {
            prop_assert!(new.len() < program.len());
            prop_assert_eq!(loaded(&new, is_64), loaded(&program, is_64));
        }
    }
}
