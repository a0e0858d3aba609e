//! `--slim`: on images of real distributions and programs of a real compiler.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::support::{Archive, Outcome, World, base, run, tiny_elf, tool};

/// A context with something for every pass on top of busybox.
fn everything(world: &World) {
    let files: [(&str, &[u8]); 15] = [
        ("usr/share/doc/app/README", b"read me"),
        ("usr/share/doc/app/copyright", b"free"),
        ("usr/share/man/man1/app.1", b"page"),
        ("usr/share/locale/de/LC_MESSAGES/app.mo", b"Hallo"),
        ("usr/share/locale/fr/LC_MESSAGES/app.mo", b"Salut"),
        ("var/lib/apt/lists/list", b"Package: app"),
        ("lib/apk/db/installed", b"P:app"),
        ("app/main.py", b"print()"),
        ("app/__pycache__/main.cpython-311.pyc", b"bytecode"),
        ("app/__pycache__/lost.cpython-311.pyc", b"bytecode"),
        ("app/two", b"the very same text"),
        ("app/three", b"the very same text"),
        ("usr/include/app.h", b"#define A"),
        ("usr/include/start.sh", b"#!/bin/sh\necho started\n"),
        ("usr/lib/libapp.a", b"!<arch>\n"),
    ];
    for (path, bytes) in files {
        world.write(&format!("ctx/root/{path}"), bytes);
    }
    for name in ["bin/arm", "usr/lib/arm-copy"] {
        let path = world.write(&format!("ctx/root/{name}"), tiny_elf::program("arm"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(world.path("ctx/root/usr/include/start.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    world.write("ctx/Dockerfile", "FROM busybox\nCOPY root /\nENV LANG=de_DE.UTF-8\nCMD [\"/usr/include/start.sh\"]\n");
}

fn build(world: &World, archive: &str, more: &[&str]) -> Outcome {
    let context = world.base_context("busybox");
    let arguments = ["build", "--build-context", &context, "--platform=linux/arm/v5", "-t", "app:1", "-o", archive];
    run(world.command().env("SOURCE_DATE_EPOCH", crate::support::world::EPOCH).args(arguments).args(more).arg("ctx"))
        .success()
}

fn same(world: &World, a: &str, b: &str) -> bool {
    fs::read(world.path(a)).unwrap() == fs::read(world.path(b)).unwrap()
}

#[test]
fn each_pass_says_what_it_did_and_the_image_runs() {
    let world = World::new();
    everything(&world);
    build(&world, "plain.tar", &[]);
    build(&world, "all.tar", &["--slim=all"]).says(&[
        "slim docs: 1 file removed from /usr/share/doc, 0.0 kB less",
        "slim man: 1 file removed",
        "slim locales: 1 file removed",
        "slim caches: 1 file removed",
        "slim pycache: 1 file removed",
        "slim dev: 2 files removed from /usr/include, /usr/lib, ",
        "slim dev: kept, the image's command needs them: /usr/include/start.sh",
        "slim strip: 2 files without symbols now, 1.4 kB less",
        "slim dedup: 2 files stored as hard links",
    ]);
    let (plain, all) =
        (Archive::read(&world.path("plain.tar")).entries(), Archive::read(&world.path("all.tar")).entries());
    let gone: Vec<&str> = plain.keys().filter(|path| !all.contains_key(*path)).map(String::as_str).collect();
    assert_eq!(
        gone,
        [
            "app/__pycache__/main.cpython-311.pyc",
            "usr/include/app.h",
            "usr/lib/libapp.a",
            "usr/share/doc/app/README",
            "usr/share/locale/fr",
            "usr/share/locale/fr/LC_MESSAGES",
            "usr/share/locale/fr/LC_MESSAGES/app.mo",
            "usr/share/man/man1",
            "usr/share/man/man1/app.1",
            "var/lib/apt/lists/list",
        ]
    );
    assert!(all.keys().all(|path| plain.contains_key(path)), "nothing has come");
    // in path order `app/three` has the bytes; the other one links to it
    assert_eq!((all["app/three"].text().as_str(), all["app/two"].kind), ("the very same text", '1'));
    assert_eq!((all["usr/lib/arm-copy"].link.as_str(), all["bin/arm"].mode), ("bin/arm", 0o755));
    assert!(all["bin/arm"].data.len() < 400 && plain["bin/arm"].data.len() > 900);

    assert_eq!(world.routerpack(["run", "all.tar"]).success().text(), "started\n");
    assert_eq!(world.routerpack(["run", "all.tar", "/bin/arm"]).code, Some(42), "the stripped program is what it was");
    world.routerpack(["check", "--strict", "all.tar"]).success();
}

#[test]
fn build_and_convert_give_the_same_bytes_warm_and_cold() {
    let world = World::new();
    everything(&world);
    build(&world, "plain.tar", &[]);
    let cold = build(&world, "a.tar", &["--slim", "docs,strip", "--slim", "dedup"]);
    let warm = build(&world, "b.tar", &["--slim", "dedup,docs,docs", "--slim", "strip"]);
    assert!(same(&world, "a.tar", "b.tar"));
    let lines = |outcome: &Outcome| {
        outcome.stderr.lines().filter(|l| l.starts_with("slim ")).map(str::to_string).collect::<Vec<_>>()
    };
    assert_eq!(lines(&cold), lines(&warm), "a report is kept, too");
    assert_eq!(lines(&cold).len(), 3);
    let convert = |source: &str, more: &[&str]| {
        let mut command = world.command();
        command.env("SOURCE_DATE_EPOCH", crate::support::world::EPOCH).args(["convert", source, "-o", "c.tar"]);
        run(command.args(["--slim=docs", "--slim=strip", "--slim=dedup"]).args(more)).success()
    };
    convert("plain.tar", &[]);
    assert!(same(&world, "a.tar", "c.tar"));
    let quiet = convert("plain.tar", &["-q"]);
    assert_eq!(quiet.stderr, "");
    assert!(same(&world, "a.tar", "c.tar"));

    // layers of another form are flattened; what can't be is refused before anything is done
    build(&world, "type=docker,dest=docker.tar", &["--slim=docs"]);
    assert!(!Archive::read(&world.path("docker.tar")).entries().contains_key("usr/share/doc/app/README"));
    let refused = world.routerpack(["convert", "plain.tar", "--slim=docs", "--layers=keep", "-o", "d.tar"]);
    assert_eq!(refused.code, Some(2), "{refused}");
    refused.says(&["--layers=keep"]);
    let unknown = world.routerpack(["convert", "plain.tar", "--slim=nothing", "-o", "d.tar"]);
    assert_eq!(unknown.code, Some(2), "{unknown}");
    unknown.says(&["docs", "pycache", "dedup"]);
    assert!(!world.path("d.tar").exists());
}

#[test]
fn programs_of_a_compiler_run_without_their_symbols() {
    let world = World::new();
    world.write("main.c", MAIN);
    world.write(
        "lib.c",
        "#include <stdexcept>\nint twice(int x) { if (x > 9) throw std::runtime_error(\"large\"); return 2 * x; }\n",
    );
    let cc = |words: &str| run(tool("c++").args(words.split(' ')).current_dir(world.path(""))).success();
    fs::create_dir_all(world.path("ctx/bin")).unwrap();
    cc("-g -fPIC -shared -x c++ lib.c -o ctx/bin/libtwice.so");
    for (name, flags) in [
        ("dynamic", "-Lctx/bin -ltwice -Wl,-rpath,/opt/bin"),
        ("static", "lib.c -static"),
        ("no-pie", "lib.c -no-pie -static-libstdc++ -static-libgcc -Wl,--emit-relocs"),
        ("compressed", "lib.c -gz=zlib -static-libstdc++ -static-libgcc"),
        ("large-pages", "lib.c -static -Wl,-z,max-page-size=65536"),
    ] {
        cc(&format!("-g -x c++ main.c {flags} -o ctx/bin/{name}"));
    }
    cc("-g -c -x c++ lib.c -o ctx/bin/object.o");
    // whoever reads its own end would be broken
    let program = fs::read(world.path("ctx/bin/static")).unwrap();
    world.write("ctx/bin/appended", [&program[..], b"#!payload"].concat());
    fs::set_permissions(world.path("ctx/bin/appended"), fs::Permissions::from_mode(0o755)).unwrap();
    world.write("ctx/Dockerfile", "FROM debian\nCOPY --from=libs / /opt/libs\nENV LD_LIBRARY_PATH=/opt/libs\nCOPY --chown=7:8 --chmod=4755 bin /opt/bin\nCMD [\"/opt/bin/dynamic\"]\n");
    libraries(&world);
    let context = world.base_context("debian");
    let mut command = world.command();
    command.args(["build", "--build-context", &context, "--build-context", "libs=libs", "-o", "a.tar", "--slim=strip"]);
    let outcome = run(command.arg("ctx")).success().says(&["left as they are, not safe to strip: /opt/bin/appended"]);
    assert!(outcome.stderr.contains("slim strip: 6 files without symbols now"), "{outcome}");

    let entries = Archive::read(&world.path("a.tar")).entries();
    for name in ["appended", "object.o"] {
        assert!(
            entries[&format!("opt/bin/{name}")].data == fs::read(world.path("ctx/bin").join(name)).unwrap(),
            "{name}"
        );
    }
    for name in ["dynamic", "static", "no-pie", "compressed", "large-pages", "libtwice.so"] {
        let entry = &entries[&format!("opt/bin/{name}")];
        assert_eq!((entry.mode, entry.uid, entry.gid), (0o4755, 7, 8));
        let stripped = world.write(&format!("stripped/{name}"), &entry.data);
        let sections = run(tool("readelf").arg("-SW").arg(&stripped)).success();
        assert!(!sections.text().contains(".symtab") && !sections.text().contains(".debug_"), "{name}: {sections}");
        assert_eq!(sections.stderr, "", "{name}: readelf has nothing to complain of");
        assert_eq!(notes(&stripped), notes(&world.path("ctx/bin").join(name)), "{name}: build id and all");
        if name != "libtwice.so" {
            let outcome = world.routerpack(["run", "a.tar", &format!("/opt/bin/{name}")]).success();
            assert_eq!(outcome.text(), "hello 42, then large\n", "{name}");
        }
    }
}

const MAIN: &str = r#"
#include <cstdio>
#include <stdexcept>
int twice(int);
static thread_local int own = 20;
int main() {
    std::printf("hello %d, ", twice(1) + twice(0) + 2 * own);
    try { twice(10); } catch (const std::runtime_error &error) { std::printf("then %s\n", error.what()); }
}
"#;

/// This machine's own C and C++ libraries, since its compiler may be newer than the image's.
fn libraries(world: &World) {
    fs::create_dir_all(world.path("libs")).unwrap();
    for name in ["libstdc++.so.6", "libgcc_s.so.1", "libm.so.6", "libc.so.6"] {
        let path = run(tool("c++").arg(format!("-print-file-name={name}"))).success().text();
        fs::copy(Path::new(path.trim()), world.path("libs").join(name)).unwrap();
    }
}

/// A file's notes, as readelf prints them.
fn notes(file: &Path) -> String {
    run(tool("readelf").arg("-nW").arg(file)).success().text()
}

#[test]
fn a_distribution_is_whole_without_what_it_does_not_need() {
    let world = World::new();
    let source = format!("oci:{}", base("debian").display());
    world.routerpack(["convert", &source, "-o", "plain.tar"]).success();
    world.routerpack(["convert", &source, "--slim=all", "-o", "slim.tar"]).success().says(&["slim caches: "]);
    let size = |name: &str| fs::metadata(world.path(name)).unwrap().len();
    assert!(size("slim.tar") < size("plain.tar"));
    let script = "set -e; perl -e 'print 6*7, \"\\n\"'; dpkg --verify || echo changed; apt-get --version | head -n1; test -d /var/lib/apt/lists";
    let outcome = world.routerpack(["run", "slim.tar", "/bin/bash", "-c", script]).success();
    assert!(outcome.text().starts_with("42\n"), "{outcome}");
    assert!(outcome.text().contains("\napt "), "{outcome}");
    world.routerpack(["check", "--strict", "slim.tar"]).success();
}
