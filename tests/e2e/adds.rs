//! ADD: archives of the context, files of the web, and repositories.

use std::collections::BTreeMap;

use crate::support::{Archive, Outcome, Repository, Web, World, archive::Entry, run, tool};

fn build(world: &World, dockerfile: &str) -> Outcome {
    world.write("Dockerfile", dockerfile);
    let mut command = world.command();
    command.args(["build", "--progress=plain", "-f", "Dockerfile", "-o", "type=docker,dest=out.tar", "--layers=flat"]);
    run(command.arg("ctx"))
}

fn entries(world: &World, instructions: &str) -> BTreeMap<String, Entry> {
    build(world, &format!("FROM scratch\n{instructions}\n")).success();
    Archive::read(&world.path("out.tar")).entries()
}

fn names(entries: &BTreeMap<String, Entry>) -> Vec<&str> {
    entries.keys().map(String::as_str).collect()
}

#[track_caller]
fn refused(world: &World, cases: &[(&str, &str)]) {
    for (instruction, says) in cases {
        build(world, &format!("FROM scratch\n{instruction}\n")).failure().says(&["Dockerfile:2", says]);
    }
}

/// A tar of `(name, type, link or contents)`, owned by 7:8, of 2001.
fn tar(members: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, text) in members {
        let is_file = *kind == tar::EntryType::Regular;
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(if *kind == tar::EntryType::Directory { 0o711 } else { 0o4750 });
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(981_173_106);
        header.set_size(if is_file { text.len() as u64 } else { 0 });
        if matches!(kind, tar::EntryType::Char | tar::EntryType::Block) {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        } else if !is_file {
            header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_cksum();
        builder.append(&header, if is_file { text.as_bytes() } else { b"" }).unwrap();
    }
    builder.into_inner().unwrap()
}

const FILE: tar::EntryType = tar::EntryType::Regular;
const DIR: tar::EntryType = tar::EntryType::Directory;
const LINK: tar::EntryType = tar::EntryType::Symlink;
const HARD: tar::EntryType = tar::EntryType::Link;

#[test]
fn archives_are_known_by_their_content() {
    let world = World::new();
    let plain = tar(&[("d/", DIR, ""), ("d/f", FILE, "hello"), ("top", FILE, "t")]);
    world.write("ctx/plain", &plain);
    for (program, name) in [("gzip", "gz"), ("bzip2", "bz2"), ("xz", "xz"), ("zstd", "zst")] {
        let packed = run(tool(program).arg("-c").arg(world.path("ctx/plain"))).success().stdout;
        world.write(&format!("ctx/{name}.txt"), packed);
    }
    world.write("ctx/no.tar", "no archive");
    world.write("ctx/text.gz", run(tool("gzip").arg("-c").arg(world.path("ctx/no.tar"))).success().stdout);
    world.write("ctx/empty.tar", "");
    world.write("ctx/dir/in.tar", &plain);
    let whole = ["o", "o/d", "o/d/f", "o/top"];
    for source in ["plain", "gz.txt", "bz2.txt", "xz.txt", "zst.txt", "*z2.txt", "[\"plain\", \"/o/\"]#"] {
        let instruction = match source.strip_suffix('#') {
            Some(json) => format!("ADD {json}"),
            None => format!("ADD {source} /o"),
        };
        let made = entries(&world, &instruction);
        assert_eq!(names(&made), whole, "{source}");
        let (dir, file) = (&made["o/d"], &made["o/d/f"]);
        assert_eq!((dir.mode, dir.uid, dir.gid, dir.mtime), (0o711, 7, 8, 981_173_106), "{source}");
        assert_eq!((file.mode, file.uid, file.text().as_str()), (0o4750, 7, "hello"), "{source}");
        assert_eq!((made["o"].mode, made["o"].uid), (0o755, 0));
    }
    // What is none, is in a directory, comes by COPY, or is to stay, is a file.
    for (instruction, wanted) in [
        ("ADD no.tar /o", &["o"][..]),
        ("ADD no.tar text.gz empty.tar /o/", &["o", "o/empty.tar", "o/no.tar", "o/text.gz"]),
        ("ADD dir /o/", &["o", "o/in.tar"]),
        ("COPY plain /o/", &["o", "o/plain"]),
        ("ADD --unpack=false plain gz.txt /o/", &["o", "o/gz.txt", "o/plain"]),
        ("ADD --unpack=true plain /o/", &whole),
        ("ADD --unpack plain no.tar /o/", &["o", "o/d", "o/d/f", "o/no.tar", "o/top"]),
        ("ADD --link plain /o/", &whole),
        ("FROM scratch AS s\nCOPY plain /\nFROM scratch\nCOPY --from=s /plain /o/", &["o", "o/plain"]),
    ] {
        assert_eq!(names(&entries(&world, instruction)), wanted, "{instruction}");
    }
    let made = entries(&world, "ADD --chown=3:4 --chmod=600 plain /o/");
    assert_eq!((made["o/d/f"].uid, made["o/d/f"].gid, made["o/d/f"].mode), (3, 4, 0o4750), "a mode is the archive's");
    assert_eq!(entries(&world, "ADD *.t[xa][tr] /o/").len(), 6, "several at once");
    // Cut off, or bent.
    let packed = run(tool("gzip").arg("-c").arg(world.path("ctx/plain"))).success().stdout;
    world.write("ctx/cut.tar", &plain[..1024 + 100]);
    world.write("ctx/cut.tgz", &packed[..packed.len() - 12]);
    for name in ["cut.tar", "cut.tgz"] {
        refused(&world, &[(&format!("ADD {name} /o/"), name)]);
    }
}

#[test]
fn an_archive_s_entries_stay_below_the_destination() {
    let world = World::new();
    let write =
        |name: &str, members: &[(&str, tar::EntryType, &str)]| world.write(&format!("ctx/{name}"), tar(members));
    write(
        "kinds",
        &[
            ("f", FILE, "x"),
            ("hard", HARD, "f"),
            ("abs", LINK, "/etc/f"),
            ("up", LINK, "../../f"),
            ("pipe", tar::EntryType::Fifo, ""),
            ("null", tar::EntryType::Char, ""),
            ("disk", tar::EntryType::Block, ""),
            ("a/b/c", FILE, "implied"),
            (".wh.f", FILE, "no whiteout"),
        ],
    );
    // In a layer a name with .wh. would delete something, so no image can hold that file.
    let made = entries(&world, "ADD kinds /o/");
    assert_eq!(
        names(&made),
        ["o", "o/a", "o/a/b", "o/a/b/c", "o/abs", "o/disk", "o/f", "o/hard", "o/null", "o/pipe", "o/up"]
    );
    let kinds: String = ["hard", "abs", "pipe", "null", "disk"].iter().map(|n| made[&format!("o/{n}")].kind).collect();
    assert_eq!(
        (kinds.as_str(), made["o/abs"].link.as_str(), made["o/up"].link.as_str()),
        ("12634", "/etc/f", "../../f")
    );
    assert_eq!((made["o/a/b"].mode, made["o/a/b"].uid), (0o755, 0));
    // Links that are there are followed, below the destination.
    write("into", &[("l/f", FILE, "new")]);
    write("links", &[("l", LINK, "/real")]);
    let made = entries(&world, "ADD links /o/\nADD into /o/");
    assert_eq!(names(&made), ["o", "o/l", "o/real", "o/real/f"]);
    write("replace", &[("l", FILE, "a file now")]);
    assert_eq!(entries(&world, "ADD links /o/\nADD replace /o/")["o/l"].kind, '0');
    write("over", &[("o", FILE, "a file now")]);
    assert_eq!(names(&entries(&world, "ADD into /o/\nADD over /")), ["o"]);
    // A destination that is a link.
    let made = entries(&world, "ADD links /\nCOPY into /real/x\nADD into /l");
    assert_eq!(names(&made), ["l", "real", "real/l", "real/l/f", "real/x"]);
    for (name, members) in [
        ("dots", &[("../f", FILE, "x")][..]),
        ("inner", &[("a/../../f", FILE, "x")]),
        ("hardout", &[("h", HARD, "../f")]),
        ("hardnone", &[("h", HARD, "gone")]),
        ("through", &[("l", LINK, "../../etc"), ("l/f", FILE, "x")]),
    ] {
        write(name, members);
        refused(&world, &[(&format!("ADD {name} /o/"), name)]);
    }
}

#[test]
fn files_of_the_web() {
    let (world, web) = (World::new(), Web::open());
    world.write("ctx/f", "local");
    let url = web.put("dir/file.bin", "remote");
    let archive = web.put("a.tar", tar(&[("in", FILE, "x")]));
    let moved = web.redirect("latest", &url);
    web.put("", "the root");
    web.put("a%20b", "spaced");
    for (instruction, wanted) in [
        (format!("ADD {url} /o/"), &["o", "o/file.bin"][..]),
        (format!("ADD {url}?q=/x#y /o/"), &["o", "o/file.bin"]),
        (format!("ADD {url} /o"), &["o"]),
        (format!("ADD {url} f /o/"), &["o", "o/f", "o/file.bin"]),
        (format!("ADD {moved} /o/"), &["o", "o/latest"]),
        (format!("ADD {} /o/", web.url("")), &["o", "o/__unnamed__"]),
        (format!("ADD {} /o/", web.url("a%20b")), &["o", "o/a b"]),
        (format!("ADD {archive} /o/"), &["o", "o/a.tar"]),
        (format!("ADD --unpack {archive} /o/"), &["o", "o/in"]),
        (format!("ADD --unpack=true {archive} {url} /o/"), &["o", "o/file.bin", "o/in"]),
        (format!("WORKDIR /w\nADD {url} x"), &["w", "w/x"]),
        (format!("ARG U={url}\nADD $U /o/"), &["o", "o/file.bin"]),
    ] {
        assert_eq!(names(&entries(&world, &instruction)), wanted, "{instruction}");
    }
    let made = entries(&world, &format!("ADD {url} /o/\nADD --chmod=755 --chown=3:4 {url} /p/"));
    let facts = |name: &str| (made[name].mode, made[name].uid, made[name].gid, made[name].mtime);
    assert_eq!(
        (facts("o/file.bin"), facts("p/file.bin")),
        ((0o600, 0, 0, 1_577_934_245), (0o755, 3, 4, 1_577_934_245))
    );
    let sum = |bytes: &[u8]| hex::encode(<sha2::Sha256 as sha2::Digest>::digest(bytes));
    let good = format!("ADD --checksum=sha256:{} {moved} /o/", sum(b"remote"));
    assert_eq!(entries(&world, &good)["o/latest"].text(), "remote");
    let wrong = format!("ADD --checksum=sha256:{} {url} /o/", sum(b"else"));
    let refusals = [
        (wrong.clone(), sum(b"remote")),
        (format!("ADD --checksum=md5:00 {url} /"), "md5:00".into()),
        (format!("ADD --checksum=sha256:{} f /", sum(b"x")), "checksum requires HTTP(S) or Git sources".into()),
        (format!("ADD --checksum=sha256:{} {url} {url} /o/", sum(b"x")), "multiple sources".into()),
        (format!("ADD {} /", web.url("absent")), "absent".into()),
        (format!("ADD {} /", web.redirect("loop", &web.url("loop"))), "redirect".into()),
        ("ADD http://127.0.0.1:1/x /".into(), "127.0.0.1:1".into()),
    ];
    for (instruction, says) in &refusals {
        refused(&world, &[(instruction, says)]);
    }
    // What didn't match is no later build's.
    refused(&world, &[(&wrong, &sum(b"remote"))]);
}

#[test]
fn repositories_by_fragment_and_by_query() {
    let (world, web) = (World::new(), Web::open());
    world.write("ctx/f", "local");
    let repository = Repository::new(web.repositories(), "app.git");
    let first = repository.commit(&[("a", "one"), ("sub/b", "b"), ("sub/deep/c", "c")]);
    repository.git(&["tag", "v1"]);
    let second = repository.commit(&[("a", "two")]);
    repository.git(&["checkout", "-q", "-b", "dev"]);
    let third = repository.commit(&[("a", "three")]);
    let url = web.url("app.git");
    let short = &first[..8];
    for (query, text) in [
        ("", "two"),
        ("#v1", "one"),
        ("#dev", "three"),
        ("#refs/heads/dev", "three"),
        (&format!("#{first}"), "one"),
        ("?ref=dev", "three"),
        ("?branch=dev", "three"),
        ("?tag=v1", "one"),
        (&format!("?commit={first}"), "one"),
        (&format!("?tag=v1&checksum={first}"), "one"),
        (&format!("?tag=v1&commit={short}"), "one"),
        (&format!("?checksum={first}&fetch-by-commit=true"), "one"),
        (&format!("?checksum={third}&fetch-by-commit"), "three"),
        ("?ref=dev#dev", "three"),
    ] {
        let made = entries(&world, &format!("ADD {url}{query} /r/"));
        assert_eq!(made["r/a"].text(), text, "{query}");
        assert!(!made.contains_key("r/.git"));
        assert_eq!((made["r/a"].mode, made["r/sub"].mode, made["r/a"].uid), (0o644, 0o755, 0));
    }
    for query in ["#:sub", "#main:sub/", "?subdir=sub", "?ref=main&subdir=/sub", "?subdir=sub#:sub"] {
        assert_eq!(
            names(&entries(&world, &format!("ADD {url}{query} /r/"))),
            ["r", "r/b", "r/deep", "r/deep/c"],
            "{query}"
        );
    }
    for (flags, query, kept) in [
        ("--keep-git-dir", "", true),
        ("--keep-git-dir=true", "", true),
        ("--keep-git-dir=false", "", false),
        ("", "?keep-git-dir=1", true),
        ("--keep-git-dir", "?keep-git-dir", true),
        ("", "?keep-git-dir=false", false),
    ] {
        let made = entries(&world, &format!("ADD {flags} {url}{query} /r/"));
        assert_eq!(made.contains_key("r/.git/HEAD"), kept, "{flags} {query}");
    }
    // Times are no content, here as in BuildKit: a copy of the same files is taken from the cache. So both start afresh.
    for (query, is_commit) in [("?mtime=commit", true), ("?mtime=checkout", false)] {
        let world = World::new();
        world.write("ctx/f", "");
        let made = entries(&world, &format!("ADD {url}{query} /r/"));
        assert_eq!(made["r/a"].mtime == 1_600_000_000, is_commit, "{query}");
    }
    let made = entries(&world, &format!("ADD --chown=3:4 --chmod=700 --exclude=sub {url} f /r/"));
    assert_eq!((names(&made), made["r/a"].uid, made["r/a"].mode), (vec!["r", "r/a", "r/f"], 3, 0o700));
    assert_eq!(entries(&world, &format!("ADD --checksum={second} {url} /r/"))["r/a"].text(), "two");
    let refusals = [
        (format!("ADD {url}?ref=dev#main /r"), "conflicts".to_string()),
        (format!("ADD {url}?subdir=sub#main:other /r"), "conflicts".into()),
        (format!("ADD {url}?branch=dev&tag=v1 /r"), "conflicts".into()),
        (format!("ADD {url}?what=ever /r"), "unexpected query".into()),
        (format!("ADD {url}?mtime=never /r"), "mtime".into()),
        (format!("ADD --keep-git-dir {url}?keep-git-dir=0 /r"), "keep-git-dir".into()),
        (format!("ADD --checksum={first} {url}?checksum={second} /r"), "checksum mismatch".into()),
        (format!("ADD --checksum={first} {url}#dev /r"), first.clone()),
        (format!("ADD {url}#gone /r"), "gone".into()),
        (format!("ADD {url}#:gone /r"), "no directory `gone`".into()),
        (format!("ADD {} /r", web.url("absent.git")), "absent.git".into()),
        (format!("COPY {url} /r"), "source can't be a git ref for COPY".into()),
    ];
    for (instruction, says) in &refusals {
        refused(&world, &[(instruction, says)]);
    }
}
