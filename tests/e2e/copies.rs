//! COPY: which files come, where they go, and what they are there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::support::{Archive, Outcome, World, archive::Entry, run, tool};

fn build(world: &World, dockerfile: &str, more: &[&str]) -> Outcome {
    world.write("Dockerfile", dockerfile);
    let mut command = world.command();
    command.args(["build", "--progress=plain", "-f", "Dockerfile", "-o", "type=docker,dest=out.tar", "--layers=flat"]);
    run(command.args(more).arg("ctx"))
}

fn entries(world: &World, dockerfile: &str) -> BTreeMap<String, Entry> {
    build(world, dockerfile, &[]).success();
    Archive::read(&world.path("out.tar")).entries()
}

/// `a/` for a directory, `a->b` for a link, `a*` for a second name, `a|` for a pipe, and what a file holds behind `a=`.
fn listing(entries: &BTreeMap<String, Entry>) -> String {
    let show = |(name, entry): (&String, &Entry)| match entry.kind {
        '5' => format!("{name}/"),
        '2' => format!("{name}->{}", entry.link),
        '1' => format!("{name}*{}", entry.link),
        '6' => format!("{name}|"),
        _ => format!("{name}={}", entry.text()),
    };
    entries.iter().map(show).collect::<Vec<_>>().join(" ")
}

/// Instructions onto scratch, and what is there afterwards.
#[track_caller]
fn table(world: &World, cases: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (instructions, wanted) in cases {
        let outcome = build(world, &format!("FROM scratch\n{instructions}\n"), &[]);
        let found = match outcome.code {
            Some(0) => listing(&Archive::read(&world.path("out.tar")).entries()),
            _ => outcome.to_string(),
        };
        if found != *wanted {
            wrong.push(format!("{instructions}\n    wanted {wanted}\n    found  {found}"));
        }
    }
    crate::support::assert_none("copied in another way", &wrong);
}

/// Instructions onto scratch that fail, and what is said.
#[track_caller]
fn refused(world: &World, cases: &[(&str, &str)]) {
    for (instructions, says) in cases {
        build(world, &format!("FROM scratch\n{instructions}\n"), &[]).failure().says(&["Dockerfile:", says]);
    }
}

/// A context with files of these names, which hold their names' last parts.
fn context(world: &World, names: &[&str]) {
    fs::create_dir_all(world.path("ctx")).unwrap();
    for name in names {
        world.write(&format!("ctx/{name}"), name.rsplit('/').next().unwrap());
    }
}

#[test]
fn a_destination_s_form_decides() {
    let world = World::new();
    context(&world, &["f", "g", "d/a", "d/s/b", "sp ace", "naïve ☺"]);
    table(
        &world,
        &[
            ("COPY f /x", "x=f"),
            ("COPY f /x/", "x/ x/f=f"),
            ("COPY f /x/.", "x/ x/f=f"),
            ("COPY f .", "f=f"),
            ("COPY f ./", "f=f"),
            ("COPY f \"\"", "f=f"),
            ("COPY f /", "f=f"),
            ("WORKDIR /w\nCOPY f x", "w/ w/x=f"),
            ("WORKDIR /w\nCOPY f ../x/", "w/ x/ x/f=f"),
            ("WORKDIR /w\nCOPY f .", "w/ w/f=f"),
            ("WORKDIR /w/v\nCOPY f ../../../../x", "w/ w/v/ x=f"),
            ("ENV D=/e/\nCOPY f g ${D}x/", "e/ e/x/ e/x/f=f e/x/g=g"),
            // BuildKit's source asks for no directory here, as its reference does: one comes after the other.
            ("COPY f g /x", "x=g"),
            ("COPY d /x", "x/ x/a=a x/s/ x/s/b=b"),
            ("COPY d/ /x/", "x/ x/a=a x/s/ x/s/b=b"),
            ("COPY d f /x/", "x/ x/a=a x/f=f x/s/ x/s/b=b"),
            ("COPY d/s/../a /x", "x=a"),
            ("COPY /f ../../g ./d/a /x/", "x/ x/a=a x/f=f x/g=g"),
            ("COPY [\"sp ace\", \"naïve ☺\", \"/to here/\"]", "to here/ to here/naïve ☺=naïve ☺ to here/sp ace=sp ace"),
            ("COPY f /x/\nCOPY g /x", "x/ x/f=f x/g=g"),
            ("COPY d /x\nCOPY g /x/s", "x/ x/a=a x/s/ x/s/b=b x/s/g=g"),
            ("COPY d /x\nCOPY g /x/a", "x/ x/a=g x/s/ x/s/b=b"),
            ("COPY d/s /x\nCOPY d /x", "x/ x/a=a x/b=b x/s/ x/s/b=b"),
        ],
    );
    refused(
        &world,
        &[
            ("COPY f", "at least"),
            ("COPY absent /x", "`absent` is not there"),
            ("COPY f/x /x", "is not there"),
            ("COPY d /x\nCOPY f /x/a/b", "a"),
            ("COPY f /x\nCOPY d /x", "cannot copy to non-directory: /x"),
            ("COPY d/s /s/\nCOPY d/s/b /a\nCOPY d /\nCOPY f /s/b/", "/s/b"),
            ("COPY d /x/f\nCOPY f /x/", "cannot replace directory /x/f"),
        ],
    );
}

#[test]
fn wildcards_are_go_s() {
    let world = World::new();
    context(&world, &["a1", "a2", "ab", "b*", "c[0]", "d1/x", "d1/y.c", "d2/x", "d2/z/y.c", "é", "e-f"]);
    table(
        &world,
        &[
            ("COPY a* /", "a1=a1 a2=a2 ab=ab"),
            ("COPY a? /", "a1=a1 a2=a2 ab=ab"),
            ("COPY a[0-9] /", "a1=a1 a2=a2"),
            ("COPY a[^0-9] /", "ab=ab"),
            ("COPY a[!0-9] /", "a1=a1 a2=a2"),
            ("COPY [ab]? /", "a1=a1 a2=a2 ab=ab b*=b*"),
            ("COPY b\\* /x", "x=b*"),
            ("COPY [\"b\\\\*\", \"/x\"]", "x=b*"),
            ("COPY c[[]0] /", "c[0]=c[0]"),
            ("COPY ? /", "é=é"),
            ("COPY e[\\\\-]f /", "e-f=e-f"),
            ("COPY d*/x /", "x=x"),
            ("COPY d?/*.c /", "y.c=y.c"),
            ("COPY d* /o/", "o/ o/x=x o/y.c=y.c o/z/ o/z/y.c=y.c"),
            ("COPY d1* /o/", "o/ o/x=x o/y.c=y.c"),
            ("COPY */*/y.c /", "y.c=y.c"),
            ("COPY zz* /x/", ""),
            ("COPY zz* a1 /x/", "x/ x/a1=a1"),
            (
                "COPY * /o/",
                "o/ o/a1=a1 o/a2=a2 o/ab=ab o/b*=b* o/c[0]=c[0] o/e-f=e-f o/x=x o/y.c=y.c o/z/ o/z/y.c=y.c o/é=é",
            ),
        ],
    );
    refused(
        &world,
        &[
            ("COPY a[ /", "no valid pattern"),
            ("COPY a[] /", "no valid pattern"),
            ("COPY e[-]f /", "no valid pattern"),
            ("COPY a[2-] /", "no valid pattern"),
            ("COPY zz /", "is not there"),
            ("COPY zz*/ zz /x/", "`zz` is not there"),
            ("COPY --exclude=a[ a1 /", "no valid pattern"),
        ],
    );
}

#[test]
fn links_are_followed_at_the_top_and_stay_inside() {
    let world = World::new();
    context(&world, &["f", "d/a", "real/x"]);
    for (target, name) in [
        ("f", "l"),
        ("/f", "abs"),
        ("../../../../f", "up"),
        ("d", "dl"),
        ("../f", "d/in"),
        ("/etc/passwd", "passwd"),
        ("nowhere", "d/gone"),
        ("loop", "loop"),
    ] {
        symlink(target, world.path(&format!("ctx/{name}"))).unwrap();
    }
    table(
        &world,
        &[
            ("COPY l /x", "x=f"),
            ("COPY l /", "l=f"),
            ("COPY abs up /", "abs=f up=f"),
            ("COPY dl /x", "x/ x/a=a x/gone->nowhere x/in->../f"),
            ("COPY dl/in /x", "x=f"),
            ("COPY d[l]/a /x/", ""),
        ],
    );
    refused(
        &world,
        &[
            ("COPY passwd /x", "is not there"),
            ("COPY loop /x", "loop"),
            ("COPY d/* /x/", "is not there"),
            ("COPY l* /x/", "loop"),
            ("COPY d/gone /x", "is not there"),
        ],
    );
    // A destination's links are followed, inside the image; with --link they are not known.
    let links = "COPY d/a /real/a\nCOPY --from=links / /\n";
    let stage = |instruction: &str| format!("FROM scratch AS links\nCOPY in /\nFROM scratch\n{links}{instruction}\n");
    fs::create_dir(world.path("ctx/in")).unwrap();
    for (target, name) in
        [("real", "to"), ("/real", "abs"), ("../../real", "up"), ("/new/place", "dangling"), ("real/a", "file")]
    {
        symlink(target, world.path(&format!("ctx/in/{name}"))).unwrap();
    }
    let rest = "abs->/real dangling->/new/place file->real/a";
    for (instruction, wanted) in [
        ("COPY f /to/", format!("{rest} real/ real/a=a real/f=f to->real up->../../real")),
        ("COPY f /abs", format!("{rest} real/ real/a=a real/f=f to->real up->../../real")),
        ("COPY f /up/z/", format!("{rest} real/ real/a=a real/z/ real/z/f=f to->real up->../../real")),
        (
            "COPY f /dangling/",
            "abs->/real dangling->/new/place file->real/a new/ new/place/ new/place/f=f real/ real/a=a to->real up->../../real".to_string(),
        ),
        ("COPY f /file", format!("{rest} real/ real/a=f to->real up->../../real")),
        ("COPY --link f /to/", format!("{rest} real/ real/a=a to/ to/f=f up->../../real")),
        ("COPY --link=false f /to/", format!("{rest} real/ real/a=a real/f=f to->real up->../../real")),
    ] {
        assert_eq!(listing(&entries(&world, &stage(instruction))), wanted, "{instruction}");
    }
}

#[test]
fn owners_are_names_of_the_image_or_numbers() {
    let world = World::new();
    context(&world, &["f", "d/a"]);
    world.write("ctx/etc/passwd", "root:x:0:0::/:\nweb:x:33:34::/:\nodd:x:5:\n");
    world.write("ctx/etc/group", "root:x:0:\nweb:x:35:\nadm:x:4:\n");
    let base = "FROM scratch\nCOPY etc /etc/\nARG U=web\n";
    for (flag, owner) in [
        ("", (0, 0)),
        ("--chown=7", (7, 7)),
        ("--chown=7:8", (7, 8)),
        ("--chown=4294967294:0", (4294967294, 0)),
        ("--chown=web", (33, 34)),
        ("--chown=web:web", (33, 35)),
        ("--chown=web:adm", (33, 4)),
        ("--chown=7:adm", (7, 4)),
        ("--chown=:adm", (0, 4)),
        ("--chown=web:", (33, 0)),
        ("--chown=root", (0, 0)),
        ("--chown=$U:${G:-adm}", (33, 4)),
        ("--chown=\"$U\"", (33, 34)),
        ("--link --chown=7:8", (7, 8)),
    ] {
        let made = entries(&world, &format!("{base}COPY {flag} d /new/deep/\n"));
        // Directories that were made for it are its owner's as well.
        for name in ["new", "new/deep", "new/deep/a"] {
            let entry = &made[name];
            assert_eq!((entry.uid, entry.gid), owner, "{flag} {name}");
        }
        assert_eq!(made["etc"].uid, 0);
    }
    for (flag, says) in [
        ("--chown=ghost", "no `ghost` in the image's /etc/passwd"),
        ("--chown=web:ghosts", "no `ghosts` in the image's /etc/group"),
        ("--link --chown=web", "is a name"),
    ] {
        build(&world, &format!("{base}COPY {flag} f /\n"), &[]).failure().says(&["Dockerfile:4", says]);
    }
    build(&world, "FROM scratch\nCOPY --chown=web f /\n", &[]).failure().says(&["`web`", "use a number"]);
    // From another stage owners come along, unless a new one is named.
    let made = entries(
        &world,
        "FROM scratch AS a\nCOPY --chown=7:8 f /f\nFROM scratch\nCOPY --from=a /f /\nCOPY --from=0 --chown=9 /f /g\n",
    );
    assert_eq!([("f", 7, 8), ("g", 9, 9)].map(|(n, u, g)| (made[n].uid, made[n].gid) == (u, g)), [true, true]);
}

#[test]
fn modes_are_octal_or_symbolic() {
    let world = World::new();
    context(&world, &["d/plain", "d/tool", "d/secret"]);
    for (name, mode) in [("d", 0o750), ("d/plain", 0o644), ("d/tool", 0o4755), ("d/secret", 0o600)] {
        fs::set_permissions(world.path(&format!("ctx/{name}")), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(world.path("ctx/d/sub")).unwrap();
    fs::set_permissions(world.path("ctx/d/sub"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("plain", world.path("ctx/d/link")).unwrap();
    for (flag, [plain, tool, secret, sub, parent]) in [
        ("", [0o644, 0o4755, 0o600, 0o700, 0o755]),
        ("--chmod=640", [0o640, 0o640, 0o640, 0o640, 0o640]),
        ("--chmod=0755", [0o755, 0o755, 0o755, 0o755, 0o755]),
        ("--chmod=0", [0, 0, 0, 0, 0]),
        ("--chmod=6711", [0o6711, 0o6711, 0o6711, 0o6711, 0o711]),
        ("--chmod=+x", [0o755, 0o4755, 0o711, 0o711, 0o755]),
        ("--chmod=u=rwX,go=rX", [0o644, 0o755, 0o644, 0o755, 0o755]),
        ("--chmod=g=u", [0o664, 0o4775, 0o660, 0o770, 0o755]),
        ("--chmod=a-w", [0o444, 0o4555, 0o400, 0o500, 0o755]),
        ("--chmod=u-s,o=", [0o640, 0o750, 0o600, 0o700, 0o755]),
        ("--chmod=$M", [0o604, 0o604, 0o604, 0o604, 0o604]),
        ("--link --chmod=604", [0o604, 0o604, 0o604, 0o604, 0o604]),
    ] {
        let made = entries(&world, &format!("FROM scratch\nARG M=0604\nCOPY {flag} d /new/d/\n"));
        let found = ["plain", "tool", "secret", "sub"].map(|name| made[&format!("new/d/{name}")].mode);
        assert_eq!(found, [plain, tool, secret, sub], "{flag}: {found:?}");
        assert_eq!(made["new"].mode, parent, "{flag}");
        assert_eq!((made["new/d/link"].kind, made["new/d/link"].link.as_str()), ('2', "plain"));
    }
    refused(
        &world,
        &[
            ("COPY --chmod=888 d /", "invalid chmod parameter: '888'"),
            ("COPY --chmod=10000 d /", "invalid chmod parameter"),
            ("COPY --chmod=u=q d /", "invalid chmod parameter"),
            ("COPY --chmod=rwx d /", "invalid chmod parameter"),
            ("COPY --chmod d /", "missing a value on flag: --chmod"),
        ],
    );
}

#[test]
fn linked_copies_stand_on_their_own() {
    let world = World::new();
    context(&world, &["f", "g", "d/a"]);
    table(
        &world,
        &[
            ("COPY f /x/f\nCOPY --link g /x/g", "x/ x/f=f x/g=g"),
            ("COPY d /x\nCOPY --link f /x/", "x/ x/a=a x/f=f"),
            ("COPY f /x\nCOPY --link d /x", "x/ x/a=a"),
            ("COPY d /x\nCOPY --link f /x", "x=f"),
            ("COPY --link f /\nCOPY --link=true g /\nCOPY --link=FALSE d /d", "d/ d/a=a f=f g=g"),
            ("WORKDIR /w\nCOPY --link f x", "w/ w/x=f"),
        ],
    );
    // A directory on the way gets what a fresh one has.
    let made = entries(&world, "FROM scratch\nCOPY --chmod=700 d /x/\nCOPY --link f /x/\n");
    assert_eq!((made["x"].mode, made["x/a"].mode), (0o755, 0o700));
    build(&world, "FROM scratch\nCOPY --link=maybe f /\n", &[]).failure().says(&["Dockerfile:2", "link"]);
}

#[test]
fn parents_are_kept() {
    let world = World::new();
    context(&world, &["x/a", "x/s/b", "x/s/t/c.txt", "y/a", "y/s/d.txt", "top.txt"]);
    fs::set_permissions(world.path("ctx/x/s"), fs::Permissions::from_mode(0o711)).unwrap();
    table(
        &world,
        &[
            ("COPY --parents x/a y/a /o/", "o/ o/x/ o/x/a=a o/y/ o/y/a=a"),
            ("COPY --parents x/s /o/", "o/ o/x/ o/x/s/ o/x/s/b=b o/x/s/t/ o/x/s/t/c.txt=c.txt"),
            ("COPY --parents ./x/s/b /", "x/ x/s/ x/s/b=b"),
            ("COPY --parents x/./s/b /o/", "o/ o/s/ o/s/b=b"),
            ("COPY --parents x/s/./t/c.txt /", "t/ t/c.txt=c.txt"),
            ("COPY --parents */a /", "x/ x/a=a y/ y/a=a"),
            ("COPY --parents **/*.txt /", "top.txt=top.txt x/ x/s/ x/s/t/ x/s/t/c.txt=c.txt y/ y/s/ y/s/d.txt=d.txt"),
            ("COPY --parents x/./**/*.txt /", "s/ s/t/ s/t/c.txt=c.txt"),
            ("COPY --parents ./*/./s/*.txt /o/", "o/ o/s/ o/s/d.txt=d.txt o/top.txt=top.txt"),
            ("COPY --parents --exclude=x/s/t x /", "x/ x/a=a x/s/ x/s/b=b"),
            ("COPY --parents=false x/a /o/", "o/ o/a=a"),
            ("COPY --parents zz* /o/", "o/"),
            ("COPY --parents --link x/a /", "x/ x/a=a"),
            (
                "FROM scratch AS s\nCOPY . /in/\nFROM scratch\nCOPY --parents --from=s /in/./x/a /in/y/a /",
                "in/ in/y/ in/y/a=a x/ x/a=a",
            ),
        ],
    );
    let made = entries(&world, "FROM scratch\nCOPY --parents --chown=7:8 x/s/b /\n");
    assert_eq!((made["x/s"].mode, made["x/s"].uid, made["x/s/b"].gid), (0o711, 7, 8));
    refused(&world, &[("COPY --parents x/gone /", "is not there"), ("COPY --parents x/./gone /", "is not there")]);
}

#[test]
fn excludes_are_relative_to_the_source() {
    let world = World::new();
    context(&world, &["d/a.txt", "d/b.md", "d/s/a.txt", "d/s/c.md", "d/s/keep.txt", "e.txt"]);
    table(
        &world,
        &[
            ("COPY --exclude=*.txt d /o/", "o/ o/b.md=b.md o/s/ o/s/a.txt=a.txt o/s/c.md=c.md o/s/keep.txt=keep.txt"),
            ("COPY --exclude=**/*.txt d /o/", "o/ o/b.md=b.md o/s/ o/s/c.md=c.md"),
            ("COPY --exclude=s d /o/", "o/ o/a.txt=a.txt o/b.md=b.md"),
            (
                "COPY --exclude=d/s d /o/",
                "o/ o/a.txt=a.txt o/b.md=b.md o/s/ o/s/a.txt=a.txt o/s/c.md=c.md o/s/keep.txt=keep.txt",
            ),
            ("COPY --exclude=d/s . /", "d/ d/a.txt=a.txt d/b.md=b.md e.txt=e.txt"),
            (
                "COPY --exclude=**/*.txt --exclude=!s/keep.txt d /o/",
                "o/ o/b.md=b.md o/s/ o/s/c.md=c.md o/s/keep.txt=keep.txt",
            ),
            ("COPY --exclude=*.md --exclude=s d /o/", "o/ o/a.txt=a.txt"),
            ("COPY --exclude=e.txt e.txt /o/", "o/ o/e.txt=e.txt"),
            ("COPY --exclude=* d /o/", "o/"),
            ("ENV P=s\nCOPY --exclude=$P d /o/", "o/ o/a.txt=a.txt o/b.md=b.md"),
            ("COPY --exclude=a.txt d/* /o/", "o/ o/a.txt=a.txt o/b.md=b.md o/c.md=c.md o/keep.txt=keep.txt"),
            ("ADD --exclude=s d /o/", "o/ o/a.txt=a.txt o/b.md=b.md"),
        ],
    );
}

#[test]
fn documents_are_files() {
    let world = World::new();
    context(&world, &["f"]);
    table(
        &world,
        &[
            ("COPY <<EOF /a\nx\nEOF", "a=x\n"),
            ("COPY <<EOF /d/\nx\nEOF", "d/ d/EOF=x\n"),
            ("COPY <<one <<two f /d/\n1\none\n2\ntwo", "d/ d/f=f d/one=1\n d/two=2\n"),
            ("ENV V=v\nCOPY <<EOF /a\n$V ${W:-w} \\$V 'q' \"$V\"\nEOF", "a=v w $V 'q' \"v\"\n"),
            ("ENV V=v\nCOPY <<'EOF' /a\n$V \\$V\nEOF", "a=$V \\$V\n"),
            ("COPY <<-EOF /a\n\tx\n\t\ty\n\tEOF", "a=x\ny\n"),
            ("COPY <<EOF /a\nEOF", "a="),
            ("COPY <<\"with.dot-x\" /\nx\nwith.dot-x", "with.dot-x=x\n"),
            ("ADD <<EOF /a\nx\nEOF", "a=x\n"),
            ("WORKDIR /w\nCOPY <<EOF b\nx\nEOF", "w/ w/b=x\n"),
            ("COPY --link <<EOF /l/a\nx\nEOF", "l/ l/a=x\n"),
        ],
    );
    let made =
        entries(&world, "FROM scratch\nCOPY <<EOF /p/a\nx\nEOF\nCOPY --chmod=755 --chown=7:8 <<EOF /b\nx\nEOF\n");
    assert_eq!((made["p/a"].mode, made["p/a"].uid, made["p"].mode), (0o644, 0, 0o755));
    assert_eq!((made["b"].mode, made["b"].uid, made["b"].gid), (0o755, 7, 8));
    refused(&world, &[("COPY <<EOF /a\nx", "EOF"), ("COPY f <<EOF\nx\nEOF", "destination")]);
}

#[test]
fn every_kind_of_file_comes_as_it_is() {
    let world = World::new();
    context(&world, &["d/a", "d/suid"]);
    let at = |name: &str| world.path("ctx").join(name);
    fs::hard_link(at("d/a"), at("d/b")).unwrap();
    run(tool("mkfifo").arg(at("d/pipe"))).success();
    let _socket = std::os::unix::net::UnixListener::bind(at("d/sock")).unwrap();
    run(tool("chown").arg("1234:5678").arg(at("d/a")).arg(at("d"))).success();
    fs::set_permissions(at("d/suid"), fs::Permissions::from_mode(0o6755)).unwrap();
    let set = "import os, sys; os.setxattr(sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3]))";
    // vfs_cap_data (linux/capability.h): revision 2, effective, CAP_NET_RAW
    let raw = "0100000200200000000000000000000000000000";
    for (name, attribute, value) in [("d/a", "user.note", "6b657074"), ("d/suid", "security.capability", raw)] {
        run(tool("python3").args(["-c", set]).arg(at(name)).args([attribute, value])).success();
    }
    run(tool("touch").args(["-h", "-d", "2001-02-03T04:05:06Z"]).args([at("d/a"), at("d/suid")])).success();
    let made = entries(&world, "FROM scratch\nCOPY d /d\n");
    assert_eq!(listing(&made), "d/ d/a=a d/b*d/a d/pipe| d/sock= d/suid=suid");
    assert!(made.values().all(|entry| (entry.uid, entry.gid) == (0, 0)), "a context's files are root's");
    assert_eq!((made["d/suid"].mode, made["d/suid"].mtime, made["d/a"].mtime), (0o6755, 981_173_106, 981_173_106));
    assert_eq!(made["d/a"].xattrs["user.note"], b"kept");
    assert!(made["d/suid"].xattrs.contains_key("security.capability"));
    // A new owner takes what would be his rights away, as chown(2) does.
    let made = entries(&world, "FROM scratch\nCOPY d /d\nCOPY --chown=7 d /e\n");
    assert_eq!((made["e/suid"].uid, made["e/suid"].mode), (7, 0o6755));
}

#[test]
fn sources_are_stages_by_name_and_number_images_and_contexts() {
    let world = World::new();
    context(&world, &["f"]);
    world.write("more/g", "g");
    world.write("Dockerfile", "FROM scratch AS One\nCOPY f /f\nFROM scratch\nCOPY f /second\nFROM scratch\n\
        COPY --from=one /f /a\nCOPY --from=1 /second /b\nCOPY --from=more g /c\nCOPY --from=busybox /bin/busybox /d\nCOPY --from=ONE . /e/\n");
    let mut command = world.command();
    command.args(["build", "-f", "Dockerfile", "-o", "out.tar", "--build-context", &world.base_context("busybox")]);
    run(command.args(["--build-context", "more=more", "ctx"])).success();
    let made = Archive::read(&world.path("out.tar")).entries();
    assert_eq!(made.keys().collect::<Vec<_>>(), ["a", "b", "c", "d", "e", "e/f"]);
    assert!(made["d"].data.starts_with(b"\x7fELF"));
    refused(
        &world,
        &[
            ("COPY --from=$X f /", "variable expansion is not supported for --from"),
            ("COPY --from=7 f /", "invalid stage index 7"),
            ("COPY --from=0 f /", "circular dependency"),
            ("COPY https://example.org/f /", "source can't be a URL for COPY"),
            ("COPY git@example.org:f.git /", "source can't be a git ref for COPY"),
            ("COPY --checksum=sha256:00 f /", "checksum"),
            ("COPY --keep-git-dir f /", "keep-git-dir"),
            ("COPY --unpack f /", "unpack"),
            ("ADD --from=0 f /", "from"),
        ],
    );
}
