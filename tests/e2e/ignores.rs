//! What of a directory is its context: ignore files, and where the Dockerfile may lie.

use crate::support::{Archive, Outcome, World, assert_none, run};

fn try_build(world: &World, args: &[&str]) -> Outcome {
    let mut command = world.command();
    run(command.args(["build", "--progress=plain", "-o", "type=docker,dest=out.tar"]).args(args))
}

/// The files in the image, directories left out.
#[track_caller]
fn files(world: &World, args: &[&str]) -> String {
    try_build(world, args).success();
    let entries = Archive::read(&world.path("out.tar")).entries();
    let names = entries.iter().filter(|(_, entry)| entry.kind != '5').map(|(name, _)| name.as_str());
    names.collect::<Vec<_>>().join(" ")
}

fn context(files: &[(&str, &str)]) -> World {
    let world = World::new();
    for (name, text) in files {
        world.write(&format!("ctx/{name}"), text);
    }
    world
}

const ALL: &str = "FROM scratch\nCOPY . /\n";

#[test]
fn patterns_are_those_of_the_reference() {
    let names = ["a.md", "b.txt", "d/a.md", "d/e/a.md", "d/e/f", "d.md/x", "sp ace", "#hash", "!bang", "foo"];
    let world = context(&names.map(|name| (name, "")));
    world.write("Dockerfile", ALL);
    let mut wrong = Vec::new();
    for (patterns, left) in [
        ("", "!bang #hash a.md b.txt d.md/x d/a.md d/e/a.md d/e/f foo sp ace"),
        ("*.md", "!bang #hash b.txt d/a.md d/e/a.md d/e/f foo sp ace"),
        ("**/*.md", "!bang #hash b.txt d/e/f foo sp ace"),
        ("*/*.md", "!bang #hash a.md b.txt d.md/x d/e/a.md d/e/f foo sp ace"),
        ("**\n!d/e/f", "d/e/f"),
        ("*\n!d\nd/e", "d/a.md"),
        ("!a.md\n*.md", "!bang #hash b.txt d/a.md d/e/a.md d/e/f foo sp ace"),
        ("*.md\n!a.md", "!bang #hash a.md b.txt d/a.md d/e/a.md d/e/f foo sp ace"),
        ("/d/", "!bang #hash a.md b.txt d.md/x foo sp ace"),
        ("./d/../foo", "!bang #hash a.md b.txt d.md/x d/a.md d/e/a.md d/e/f sp ace"),
        ("d/**", "!bang #hash a.md b.txt d.md/x foo sp ace"),
        ("**/e", "!bang #hash a.md b.txt d.md/x d/a.md foo sp ace"),
        ("  foo  \n\n \n", "!bang #hash a.md b.txt d.md/x d/a.md d/e/a.md d/e/f sp ace"),
        ("# foo\n#hash\n\\#hash", "!bang a.md b.txt d.md/x d/a.md d/e/a.md d/e/f foo sp ace"),
        ("sp ace\n\\!bang", "#hash a.md b.txt d.md/x d/a.md d/e/a.md d/e/f foo"),
        ("?oo\n[a-c].*", "!bang #hash d.md/x d/a.md d/e/a.md d/e/f sp ace"),
        ("[^a]*", "a.md"),
        ("*\n!*.md\n! d/e/*", "a.md d.md/x d/e/a.md d/e/f"),
        (".", "!bang #hash a.md b.txt d.md/x d/a.md d/e/a.md d/e/f foo sp ace"),
        ("\u{feff}foo\r\n*.md\r\n", "!bang #hash b.txt d/a.md d/e/a.md d/e/f sp ace"),
        ("..\n../foo\nnowhere/", "!bang #hash a.md b.txt d.md/x d/a.md d/e/a.md d/e/f foo sp ace"),
    ] {
        world.write("Dockerfile.dockerignore", patterns);
        let found = files(&world, &["-f", "Dockerfile", "ctx"]);
        if found != left {
            wrong.push(format!("{patterns:?} leaves {found:?}, not {left:?}"));
        }
    }
    assert_none("not as the reference", &wrong);
    for patterns in ["[", "a/[b-", "!"] {
        let world = context(&[("Dockerfile", ALL), (".dockerignore", patterns)]);
        try_build(&world, &["ctx"]).failure().says(&[patterns]);
    }
}

#[test]
fn a_dockerfile_that_is_ignored_is_read_all_the_same() {
    for ignored in ["Dockerfile\n.dockerignore", "*\n!a", "**\n!a"] {
        let world = context(&[("Dockerfile", ALL), (".dockerignore", ignored), ("a", "a")]);
        assert_eq!(files(&world, &["ctx"]), "a", "{ignored}");
        world.write("ctx/Dockerfile", "FROM scratch\nCOPY a Dockerfile /\n");
        try_build(&world, &["ctx"]).failure().says(&["`Dockerfile`", "Dockerfile:2"]);
    }
}

#[test]
fn the_dockerfile_s_own_ignore_file_comes_first() {
    let world = context(&[
        (".dockerignore", "a"),
        ("a", "a"),
        ("b", "b"),
        ("Dockerfile", ALL),
        ("sub/Other", ALL),
        ("sub/Other.dockerignore", "b\n**/*Dockerfile*\nsub\n.dockerignore"),
        ("sub/Empty", ALL),
        ("sub/Empty.dockerignore", ""),
    ]);
    world.write("outside/Dockerfile", ALL);
    let sub = "sub/Empty sub/Empty.dockerignore sub/Other sub/Other.dockerignore";
    assert_eq!(files(&world, &["ctx"]), format!(".dockerignore Dockerfile b {sub}"));
    // -f counts from here, not from the context, and may lie outside of it
    assert_eq!(files(&world, &["-f", "ctx/sub/Other", "ctx"]), "a");
    assert_eq!(files(&world, &["-f", "ctx/sub/Empty", "ctx"]), format!(".dockerignore Dockerfile a b {sub}"));
    assert_eq!(files(&world, &["-f", "outside/Dockerfile", "ctx"]), format!(".dockerignore Dockerfile b {sub}"));
    world.write("outside/Dockerfile.dockerignore", "*\n!b");
    assert_eq!(files(&world, &["-f", "outside/Dockerfile", "ctx"]), "b");
    let absolute = world.path("outside/Dockerfile");
    assert_eq!(files(&world, &["-f", absolute.to_str().unwrap(), "ctx"]), "b");
    try_build(&world, &["-f", "sub/Other", "ctx"]).failure().says(&["sub/Other"]);
    // from standard input it has none of its own
    let args = ["build", "-o", "type=docker,dest=out.tar", "-f", "-", "ctx"];
    world.routerpack_with_input(args, ALL.as_bytes()).success();
    assert!(!Archive::read(&world.path("out.tar")).entries().contains_key("a"));
}

#[test]
fn dockerfiles_have_other_names_too() {
    let world = context(&[("dockerfile", ALL), ("Containerfile", "FROM scratch\nCOPY Container* /\n")]);
    assert_eq!(files(&world, &["ctx"]), "Containerfile dockerfile");
    // BuildKit takes the small one where the large one is asked for
    assert_eq!(files(&world, &["-f", "ctx/Dockerfile", "ctx"]), "Containerfile dockerfile");
    world.write("ctx/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    assert_eq!(files(&world, &["ctx"]), "Dockerfile");
    std::fs::remove_file(world.path("ctx/Dockerfile")).unwrap();
    std::fs::remove_file(world.path("ctx/dockerfile")).unwrap();
    assert_eq!(files(&world, &["ctx"]), "Containerfile");
    std::fs::remove_file(world.path("ctx/Containerfile")).unwrap();
    try_build(&world, &["ctx"]).failure().says(&["no Dockerfile", "-f"]);
    // a link is followed, even out of the context: it is this machine's own
    world.write("real", ALL);
    std::os::unix::fs::symlink("../real", world.path("ctx/Dockerfile")).unwrap();
    assert_eq!(files(&world, &["ctx"]), "Dockerfile");
}
