//! The verbs on archives: inspect, history, ls, cat, diff, cp, commit.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use crate::support::{Archive, World, archive::tar_entries, run};

/// An archive made of a directory, with a config.
fn archive(world: &World) {
    world.write("root/etc/motd", "hello\n");
    world.write("root/usr/bin/app", "binary");
    fs::set_permissions(world.path("root/usr/bin/app"), fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("/usr/bin/app", world.path("root/app")).unwrap();
    symlink("/usr", world.path("root/link")).unwrap();
    let changes = ["--change", "CMD [\"/app\", \"a b\"]", "--change", "ENV A=1 B=2", "--change", "LABEL x=y"];
    world
        .routerpack(
            ["commit", "./root", "--platform=linux/arm/v7", "-t", "team/app:1", "-o", "a.tar"].iter().chain(&changes),
        )
        .success();
}

#[test]
fn inspect_and_history() {
    let world = World::new();
    archive(&world);
    let text = world.routerpack(["inspect", "a.tar"]).success().text();
    for word in ["linux/arm/v7", "team/app:1", "[\"/app\",\"a b\"]", "A=1", "x=y", "1 layer"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let json: serde_json::Value =
        serde_json::from_slice(&world.routerpack(["inspect", "--format=json", "a.tar"]).success().stdout).unwrap();
    let read = Archive::read(&world.path("a.tar"));
    assert_eq!(json["Id"], format!("sha256:{}", read.id));
    assert_eq!(json["Layers"][0]["DiffId"], read.config["rootfs"]["diff_ids"][0]);
    assert_eq!(json["Size"], read.layers[0].len());
    let field = |format: &str| world.routerpack(["inspect", "-f", format, "a.tar"]).success().text();
    assert_eq!(field("{{.Architecture}} {{.Config.Labels.x}}"), "arm y\n");
    assert_eq!(field("{{json .Config.Cmd}}"), "[\"/app\",\"a b\"]\n");
    world.routerpack(["inspect", "-f", "{{.Nope}}", "a.tar"]).failure().says(&["Nope", "Architecture"]);
    for (format, want) in [
        ("{{range .Config.Env}}{{println .}}{{end}}", "A=1\nB=2\n\n"),
        ("{{index .RepoTags 0}} {{.Os}}/{{.Architecture}}/{{.Variant}}", "team/app:1 linux/arm/v7\n"),
        ("{{if .Config.User}}{{.Config.User}}{{else}}root{{end}}{{.Config.ExposedPorts}}", "rootmap[]\n"),
        ("{{join .Config.Cmd \"|\"}}", "/app|a b\n"),
        ("{{index .Config.Labels \"x\" | upper}}{{.Config.Healthcheck}}", "Y<nil>\n"),
    ] {
        assert_eq!(field(format), want, "{format}");
    }
    assert_eq!(field("{{.ID}} {{json .RootFS.Layers}} {{.Size}}"), {
        let (id, diff_ids) = (&read.id, &read.config["rootfs"]["diff_ids"]);
        format!("sha256:{id} {diff_ids} {}\n", read.layers[0].len())
    });
    world.routerpack(["inspect", "-f", "ok {{if .Os}}", "a.tar"]).failure().says(&["column 4", "{{end}}"]);
    let line = world.routerpack(["history", "-f", "{{.ID}} {{.CreatedBy}}", "a.tar"]).success().text();
    assert_eq!(line, format!("sha256:{} routerpack: one flat layer\n", read.id));
    assert!(world.routerpack(["history", "a.tar"]).success().text().contains("one flat layer"));
    let history: serde_json::Value =
        serde_json::from_slice(&world.routerpack(["history", "-f", "json", "a.tar"]).success().stdout).unwrap();
    assert_eq!(history[0]["Size"], read.layers[0].len());
}

#[test]
fn ls_and_cat_see_what_the_container_would() {
    let world = World::new();
    archive(&world);
    let ls = |args: &[&str]| world.routerpack(["ls"].iter().chain(args)).success().text();
    assert_eq!(ls(&["a.tar"]), "app\netc\nlink\nusr\n");
    assert_eq!(ls(&["a.tar", "/link/bin"]), "app\n", "links are followed inside");
    assert_eq!(ls(&["a.tar", "-R"]), "app\netc\netc/motd\nlink\nusr\nusr/bin\nusr/bin/app\n");
    let long = ls(&["-l", "a.tar", "/"]);
    assert!(long.contains("lrwxrwxrwx") && long.contains("app -> /usr/bin/app"), "{long}");
    assert!(ls(&["-l", "a.tar", "usr/bin/app"]).starts_with("-rwsr-xr-x         0:0          6 "));
    let json: serde_json::Value = serde_json::from_str(&ls(&["-R", "-f", "json", "a.tar", "/usr"])).unwrap();
    assert_eq!(
        (&json[1]["path"], &json[1]["mode"], &json[1]["size"]),
        (&"/usr/bin/app".into(), &"4755".into(), &6.into())
    );
    assert_eq!(world.routerpack(["cat", "a.tar", "/app", "etc/../etc/motd"]).success().text(), "binaryhello\n");
    world.routerpack(["cat", "a.tar", "/etc"]).failure().says(&["not a regular file"]);
    world.routerpack(["cat", "a.tar", "/../../etc/passwd"]).failure().says(&["no such file"]);
    world.routerpack(["ls", "a.tar", "/nope"]).failure().says(&["/nope"]);
}

#[test]
fn diff_of_files_and_config() {
    let world = World::new();
    archive(&world);
    assert_eq!(world.routerpack(["diff", "a.tar", "a.tar"]).success().text(), "");
    world.write("changes/etc/motd", "HELLO\n");
    world.write("changes/new", "new");
    let mut delete = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o644);
    delete.append_data(&mut header, "usr/bin/.wh.app", std::io::empty()).unwrap();
    world.write("delete.tar", delete.into_inner().unwrap());
    world.routerpack(["commit", "a.tar", "changes", "-c", "ENV A=3", "-o", "b.tar"]).success();
    world.routerpack(["commit", "b.tar", "delete.tar", "-c", "USER 1000", "-o", "c.tar"]).success();
    let text = world.routerpack(["diff", "a.tar", "c.tar"]).success().text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("C -rw-r--r--") && lines[0].ends_with("/etc/motd  (content)"), "{text}");
    assert!(lines[1].starts_with("A ") && lines[1].ends_with("3  /new"), "{text}");
    assert!(lines[2].starts_with("D -rwsr-xr-x") && lines[2].ends_with("6  /usr/bin/app"), "{text}");
    assert_eq!(lines[3..], [r#"config Env: ["A=1","B=2"] -> ["A=3","B=2"]"#, r#"config User: - -> "1000""#], "{text}");
    let json: serde_json::Value =
        serde_json::from_slice(&world.routerpack(["diff", "-f", "json", "a.tar", "c.tar"]).success().stdout).unwrap();
    let kinds: Vec<&str> = json["files"].as_array().unwrap().iter().map(|f| f["change"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["changed", "added", "deleted"]);
    assert_eq!(json["config"][0]["to"][0], "A=3");
}

#[test]
fn cp_into_an_archive() {
    let world = World::new();
    archive(&world);
    world.write("file", "text");
    world.write("dir/sub/f", "deep");
    let cp = |from: &str, to: &str| world.routerpack(["cp", from, to]);
    cp("file", "a.tar:/etc").success();
    cp("file", "a.tar:/etc/renamed").success();
    cp("file", "a.tar:/link/bin/through-a-link").success();
    cp("dir", "a.tar:/etc").success();
    cp("dir/.", "a.tar:/usr").success();
    cp("dir", "a.tar:/whole").success();
    cp("file", "a.tar:/etc/motd").success();
    let archive = Archive::read(&world.path("a.tar"));
    let entries = archive.entries();
    for (path, text) in [
        ("etc/file", "text"),
        ("etc/renamed", "text"),
        ("usr/bin/through-a-link", "text"),
        ("etc/dir/sub/f", "deep"),
        ("usr/sub/f", "deep"),
        ("whole/sub/f", "deep"),
        ("etc/motd", "text"),
        ("usr/bin/app", "binary"),
    ] {
        assert_eq!(entries[path].text(), text, "{path}");
    }
    assert_eq!(entries["link"].kind, '2', "a link stays one");
    assert_eq!(archive.config["config"]["Cmd"][0], "/app");
    assert_eq!(archive.manifest["RepoTags"][0], "team/app:1");
    // what goes wrong changes nothing
    let before = fs::read(world.path("a.tar")).unwrap();
    cp("file", "a.tar:/no/such/dir/x").failure().says(&["no directory"]);
    cp("file", "a.tar:/new/").failure();
    cp("dir", "a.tar:/etc/motd").failure().says(&["is a file"]);
    cp("nothing-here", "a.tar:/x").failure().says(&["nothing-here"]);
    cp("file", "dir").failure();
    assert!(fs::read(world.path("a.tar")).unwrap() == before);
    world.routerpack(["cp", "file", "a.tar:/only-there", "-o", "other.tar"]).success();
    assert!(fs::read(world.path("a.tar")).unwrap() == before);
    assert_eq!(Archive::read(&world.path("other.tar")).text("only-there"), "text");
}

#[test]
fn cp_out_of_an_archive() {
    let world = World::new();
    archive(&world);
    let cp = |from: &str, to: &str| world.routerpack(["cp", from, to]);
    let read = |path: &str| fs::read_to_string(world.path(path)).unwrap();
    cp("a.tar:/etc/motd", "motd").success();
    assert_eq!(read("motd"), "hello\n");
    fs::create_dir(world.path("here")).unwrap();
    cp("a.tar:/etc", "here").success();
    cp("a.tar:/etc/.", "here").success();
    cp("a.tar:usr/bin/app", "here/").success();
    assert_eq!(
        (read("here/etc/motd"), read("here/motd"), read("here/app")),
        ("hello\n".into(), "hello\n".into(), "binary".into())
    );
    cp("a.tar:/etc", "fresh").success();
    assert_eq!(read("fresh/motd"), "hello\n");
    cp("a.tar:/", "all").success();
    assert_eq!(read("all/usr/bin/app"), "binary");
    assert_eq!(fs::read_link(world.path("all/app")).unwrap().to_str(), Some("/usr/bin/app"));
    let stream = cp("a.tar:/etc", "-").success().stdout;
    assert_eq!(tar_entries(&stream[..])["etc/motd"].text(), "hello\n");
    cp("a.tar:/nope", "x").failure().says(&["/nope"]);
    cp("a.tar:/etc", "motd").failure().says(&["is a file"]);
    assert!(!world.path("x").exists());
}

#[test]
fn commit_takes_only_changes() {
    let world = World::new();
    archive(&world);
    world.write("changes/f", "x");
    world.routerpack(["commit", "a.tar", "changes", "-c", "RUN x", "-o", "no.tar"]).failure().says(&["RUN"]);
    world.routerpack(["commit", "a.tar", "a.tar", "-o", "no.tar"]).failure().says(&["docker-archive"]);
    world.routerpack(["commit", "a.tar", "nothing", "-o", "no.tar"]).failure().says(&["nothing"]);
    assert!(!world.path("no.tar").exists());
    world.routerpack(["commit", "a.tar", "changes", "-o", "type=docker,dest=two.tar", "-t", "x:2"]).success();
    let two = Archive::read(&world.path("two.tar"));
    assert_eq!(two.layers.len(), 2, "docker keeps layers");
    assert_eq!(tar_entries(&two.layers[1][..]).keys().collect::<Vec<_>>(), ["f"]);
    assert_eq!(two.layers[0], Archive::read(&world.path("a.tar")).layers[0]);
}

#[test]
fn cp_keeps_owners_follows_links_and_takes_tars() {
    let world = World::new();
    archive(&world);
    let file = world.write("tree/owned", "o");
    std::os::unix::fs::chown(&file, Some(123), Some(45)).unwrap();
    symlink("tree/owned", world.path("to-file")).unwrap();
    symlink("tree", world.path("to-dir")).unwrap();
    let cp = |args: &[&str]| world.routerpack(["cp"].iter().chain(args));
    cp(&["tree", "a.tar:/plain"]).success();
    cp(&["-a", "tree", "a.tar:/kept"]).success();
    cp(&["to-file", "a.tar:/etc"]).success();
    cp(&["-L", "to-file", "a.tar:/usr"]).success();
    cp(&["-aL", "to-dir", "a.tar:/usr"]).success();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o640);
    header.set_uid(7);
    tar.append_data(&mut header, "sub/in-tar", &b"tar"[..]).unwrap();
    world.write("in.tar", tar.into_inner().unwrap());
    let piped = |to: &str| {
        let stdin = fs::File::open(world.path("in.tar")).unwrap();
        let mut command = world.command();
        run(command.args(["cp", "-", to]).stdin(stdin))
    };
    piped("a.tar:/etc").success();
    piped("a.tar:/etc/motd").failure().says(&["directory"]);
    piped("a.tar:/not/there").failure().says(&["directory"]);
    let entries = Archive::read(&world.path("a.tar")).entries();
    let owner = |path: &str| (entries[path].uid, entries[path].gid);
    assert_eq!((owner("plain/owned"), owner("kept/owned")), ((0, 0), (123, 45)));
    assert_eq!((entries["etc/to-file"].kind, &*entries["etc/to-file"].link), ('2', "tree/owned"));
    assert_eq!((entries["usr/to-file"].kind, entries["usr/to-file"].text()), ('0', "o".into()));
    assert_eq!((owner("usr/to-dir/owned"), entries["usr/to-dir/owned"].text()), ((123, 45), "o".into()));
    assert_eq!((owner("etc/sub/in-tar"), entries["etc/sub/in-tar"].text()), ((7, 0), "tar".into()));

    cp(&["-a", "a.tar:/kept", "out"]).success();
    cp(&["a.tar:/kept/owned", "mine"]).success();
    let uid = |path: &str| std::os::unix::fs::MetadataExt::uid(&fs::metadata(world.path(path)).unwrap());
    assert_eq!((uid("out/owned"), uid("mine")), (123, uid("in.tar")));
    cp(&["-a", "a.tar:/usr/bin/app", "app"]).success();
    assert_eq!(fs::metadata(world.path("app")).unwrap().permissions().mode() & 0o7777, 0o4755);
    fs::create_dir(world.path("here")).unwrap();
    cp(&["a.tar:/app", "here"]).success();
    assert!(fs::symlink_metadata(world.path("here/app")).unwrap().is_symlink());
    fs::remove_file(world.path("here/app")).unwrap();
    cp(&["-L", "a.tar:/app", "here"]).success();
    assert_eq!(fs::read_to_string(world.path("here/app")).unwrap(), "binary");
}

#[test]
fn commit_says_who_and_why_and_diff_compares_times() {
    let world = World::new();
    archive(&world);
    let file = fs::File::options().write(true).open(world.write("changes/etc/motd", "hello\n")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
    let words =
        ["-m", "fixed it", "-a", "Jo", "-c", "EXPOSE 80", "-c", "VOLUME /d", "-c", "ONBUILD RUN x", "-c", "WORKDIR /w"];
    world.routerpack(["commit", "a.tar", "changes", "-c", "ENTRYPOINT [\"/e\"]"].iter().chain(&words)).success();
    world.routerpack(["commit", "a.tar", "changes", "-o", "type=docker,dest=kept.tar"].iter().chain(&words)).success();
    for name in ["a-changed.tar", "kept.tar"] {
        let config = Archive::read(&world.path(name)).config;
        let last = config["history"].as_array().unwrap().last().unwrap();
        assert_eq!(
            (&last["comment"], &last["author"], &config["author"]),
            (&"fixed it".into(), &"Jo".into(), &"Jo".into())
        );
        assert_eq!(config["config"]["OnBuild"][0], "RUN x");
    }
    let diff = |args: &[&str]| world.routerpack(["diff", "a.tar", "a-changed.tar"].iter().chain(args)).success().text();
    assert!(!diff(&[]).contains("motd"), "{}", diff(&[]));
    assert!(diff(&["--times"]).contains("/etc/motd  (time 20"), "{}", diff(&["--times"]));
}
