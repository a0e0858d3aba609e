//! `routerpack build`: what a Dockerfile says is in the archive.

use crate::support::{PLATFORMS, World};

const MULTI_STAGE: &str = "\
FROM busybox AS build
WORKDIR /src
COPY greeting.txt .
RUN tr a-z A-Z < greeting.txt > loud.txt && mkdir -p out/bin && echo '#!/bin/sh' > out/bin/hello && chmod 755 out/bin/hello
FROM busybox AS unused
RUN exit 1
FROM scratch
COPY --from=build /src/loud.txt /loud.txt
COPY --from=build --chown=7:8 --chmod=640 /src/greeting.txt /etc/greeting
COPY --from=build /src/out /
ENV LANG=C
CMD [\"/bin/hello\"]
";

fn context(world: &World) -> std::path::PathBuf {
    world.write("app/Dockerfile", MULTI_STAGE);
    world.write("app/greeting.txt", "hello\n");
    world.path("app")
}

#[test]
fn a_multi_stage_dockerfile_becomes_one_flat_layer() {
    let world = World::new();
    let archive = world.build(&context(&world), "app.tar", &["-t", "reg.example.org:5000/team/app:1.2"]);
    let archive = crate::support::Archive::read(&archive);
    let entries = archive.entries();
    assert_eq!(archive.text("loud.txt"), "HELLO\n");
    let greeting = &entries["etc/greeting"];
    assert_eq!((greeting.uid, greeting.gid, greeting.mode, greeting.text().as_str()), (7, 8, 0o640, "hello\n"));
    assert_eq!(entries["bin/hello"].mode, 0o755);
    assert!(!entries.contains_key("src"), "nothing of the build stage");
    assert_eq!(archive.config["config"]["Cmd"], serde_json::json!(["/bin/hello"]));
    assert_eq!(archive.config["config"]["Env"][1], "LANG=C");
    assert_eq!(archive.config["history"].as_array().unwrap().len(), 1);
    assert_eq!(archive.manifest["RepoTags"], serde_json::json!(["team/app:1.2"]), "RouterOS shows the tag verbatim");
}

#[test]
fn without_flags_the_archive_has_the_directory_s_name() {
    let world = World::new();
    let app = context(&world);
    let mut command = world.command();
    command.current_dir(&app).args(["build", "--build-context", &world.base_context("busybox"), "."]);
    let outcome = crate::support::run(&mut command).success().says(&["app.tar", "/container/add"]);
    assert_eq!(outcome.text(), "", "standard output holds results only");
    let archive = crate::support::Archive::read(&app.join("app.tar"));
    assert_eq!(archive.manifest["RepoTags"], serde_json::json!(["app:latest"]));
    assert_eq!(archive.config["architecture"], if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" });
}

#[test]
fn the_output_is_never_part_of_the_context() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM scratch\nCOPY . /\n");
    world.write("ctx/file", "x");
    let ctx = world.path("ctx");
    let build = |name: &str| {
        let mut command = world.command();
        command.current_dir(&ctx).args(["build", "--progress=plain", "-o", name, "."]);
        crate::support::run(&mut command).success()
    };
    build("ctx.tar");
    let second = build("ctx.tar").says(&["CACHED", "not part of the context"]);
    assert!(!second.stderr.contains("DONE 0.0s\n#2 DONE"), "{second}");
    let entries = crate::support::Archive::read(&ctx.join("ctx.tar")).entries();
    assert_eq!(entries.keys().collect::<Vec<_>>(), ["Dockerfile", "file"]);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let (one, two) = (World::new(), World::new());
    let build = |world: &World| {
        let archive = world.path("out.tar");
        let mut command = world.command();
        command.env("SOURCE_DATE_EPOCH", crate::support::world::EPOCH);
        command.args(["build", "--build-context", &world.base_context("busybox"), "-t", "app:1", "-o"]).arg(&archive);
        crate::support::run(command.arg(context(world))).success();
        std::fs::read(archive).unwrap()
    };
    let first = build(&one);
    assert!(first == build(&two), "another cache, another time, the same bytes");
    assert!(first == build(&one), "warm");
}

#[test]
fn a_warm_build_without_an_epoch_gives_the_same_bytes_too() {
    let world = World::new();
    let context = context(&world);
    let first = std::fs::read(world.build(&context, "a.tar", &["-t", "app:1"])).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(first == std::fs::read(world.build(&context, "b.tar", &["-t", "app:1"])).unwrap());
}

#[test]
fn a_dockerfile_on_standard_input_and_quiet_output() {
    let world = World::new();
    world.write("ctx/a", "1");
    let ctx = world.path("ctx");
    let out = world.path("o.tar");
    let arguments = ["build", "-q", "-f", "-", "-o", out.to_str().unwrap(), ctx.to_str().unwrap()];
    let outcome = world.routerpack_with_input(arguments, b"FROM scratch\nCOPY a /b\n").success();
    let archive = crate::support::Archive::read(&out);
    assert_eq!(outcome.text().trim(), format!("sha256:{}", archive.id));
    assert_eq!(outcome.stderr, "");
    assert_eq!(archive.text("b"), "1");
}

#[test]
fn a_containerfile_is_found_and_its_ignore_file_is_kept_to() {
    let world = World::new();
    world.write("ctx/Containerfile", "FROM scratch\nCOPY . /\n");
    world.write("ctx/.dockerignore", "*.log\n!keep.log\nsecret/\n");
    for file in ["a.log", "keep.log", "secret/key", "sub/b.log", "sub/c"] {
        world.write(&format!("ctx/{file}"), file);
    }
    let archive = world.build(&world.path("ctx"), "o.tar", &[]);
    let entries = crate::support::Archive::read(&archive).entries();
    let names: Vec<_> = entries.keys().map(String::as_str).collect();
    assert_eq!(names, [".dockerignore", "Containerfile", "keep.log", "sub", "sub/b.log", "sub/c"]);
}

#[test]
fn a_dockerfile_of_600_instructions_builds() {
    let world = World::new();
    let mut text = String::from("FROM busybox\n");
    for n in 0..300 {
        text += &format!("COPY f /files/{n}\nRUN echo {n} >> /count\n");
    }
    world.write("long/Dockerfile", text);
    world.write("long/f", "f");
    let archive = crate::support::Archive::read(&world.build(&world.path("long"), "long.tar", &[]));
    let lines: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    assert_eq!(archive.text("count"), lines.join("\n") + "\n");
    assert_eq!(archive.entries().keys().filter(|k| k.starts_with("files/")).count(), 300);
}

#[test]
fn secrets_and_the_build_s_own_files_leave_no_trace() {
    let world = World::new();
    world.write(
        "ctx/Dockerfile",
        "FROM busybox\nRUN --mount=type=secret,id=token cat /run/secrets/token | tr a-z A-Z > /shout\n\
         RUN --mount=type=secret,id=token,env=TOKEN echo ${#TOKEN} > /length\n\
         RUN --mount=type=cache,target=/c echo x >> /c/n && cat /c/n > /seen\n\
         RUN --mount=type=tmpfs,target=/t touch /t/f\n\
         RUN --mount=type=bind,source=data,target=/d cp /d /copied\n",
    );
    world.write("ctx/data", "data");
    world.write("token", "opensesame");
    let token = format!("id=token,src={}", world.path("token").display());
    let archive = world.build(&world.path("ctx"), "s.tar", &["--secret", &token]);
    let read = crate::support::Archive::read(&archive);
    assert_eq!(read.text("shout"), "OPENSESAME");
    assert_eq!(read.text("length"), "10\n");
    assert_eq!(read.text("seen"), "x\n");
    assert_eq!(read.text("copied"), "data");
    let entries = read.entries();
    for gone in ["run/secrets", "run/secrets/token", "c", "t", "d", "etc/resolv.conf", "etc/hosts", "dev/null"] {
        assert!(!entries.contains_key(gone), "{gone} is in the image");
    }
    let cache = crate::support::run(crate::support::tool("grep").args(["-rl", "opensesame"]).arg(world.cache()));
    assert_eq!(cache.text(), "", "the secret is in the cache");
}

#[test]
fn platforms_have_devices_names() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM scratch\nCOPY f /\n");
    world.write("ctx/f", "");
    for (device, architecture, variant) in [
        ("rb5009", "arm64", None),
        ("hex-refresh", "arm", Some("v5")),
        ("hap-ac3", "arm", Some("v7")),
        ("chr", "amd64", None),
    ] {
        let out = world.path("d.tar");
        world
            .routerpack(["build", "--for", device, "-o", out.to_str().unwrap(), world.path("ctx").to_str().unwrap()])
            .success();
        let config = crate::support::Archive::read(&out).config;
        assert_eq!(config["architecture"], architecture, "{device}");
        assert_eq!(config["variant"].as_str(), variant, "{device}");
    }
    world.routerpack(["build", "--for", "hex", "ctx"]).failure().says(&["RB750Gr3", "E50UG"]);
    world.routerpack(["build", "--for", "rb5oo9", "ctx"]).failure().says(&["RB5009"]);
    assert_eq!(PLATFORMS.len(), 4);
}

#[test]
fn an_ssh_agent_is_handed_to_the_steps_that_ask_for_it() {
    let world = World::new();
    world.write(
        "ctx/Dockerfile",
        "FROM busybox\nRUN --mount=type=ssh [ -S \"$SSH_AUTH_SOCK\" ] && echo yes > /seen\nRUN [ -z \"$SSH_AUTH_SOCK\" ] && echo no > /unseen\n",
    );
    let socket = world.path("agent");
    let _agent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let ssh = format!("--ssh=default={}", socket.display());
    let archive = crate::support::Archive::read(&world.build(&world.path("ctx"), "ssh.tar", &[&ssh]));
    assert_eq!((archive.text("seen").as_str(), archive.text("unseen").as_str()), ("yes\n", "no\n"));
    assert!(!archive.entries().keys().any(|k| k.contains("ssh_agent")));
}

#[test]
fn labels_build_arguments_and_targets() {
    let world = World::new();
    world.write(
        "ctx/Dockerfile",
        "ARG WHO=nobody\nFROM scratch AS one\nLABEL a=1 b=2\nARG WHO\nENV WHO=$WHO\nFROM scratch AS two\nENV TWO=2\n",
    );
    let more = ["--target=one", "--label=b=3", "--build-arg=WHO=me"];
    let config = crate::support::Archive::read(&world.build(&world.path("ctx"), "l.tar", &more)).config;
    assert_eq!(config["config"]["Labels"], serde_json::json!({"a": "1", "b": "3"}));
    assert!(config["config"]["Env"].as_array().unwrap().contains(&serde_json::json!("WHO=me")));
}
