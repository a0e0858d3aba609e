//! `routerpack run`, `doctor` and `emulators`.

use crate::support::World;

#[test]
fn an_archive_runs_as_on_the_router() {
    let world = World::new();
    world.write(
        "ctx/Dockerfile",
        "FROM busybox\nENV GREETING=hello\nWORKDIR /data\nRUN echo x > here\nENTRYPOINT [\"/bin/sh\", \"-c\"]\nCMD [\"echo $GREETING $(uname -m) $(pwd) $(ls)\"]\n",
    );
    for (platform, machine) in crate::support::PLATFORMS {
        world.build(&world.path("ctx"), "run.tar", &["--platform", platform]);
        let outcome = world.routerpack(["run", "run.tar"]).success();
        assert_eq!(outcome.text(), format!("hello {machine} /data here\n"));
    }
    assert_eq!(world.routerpack(["run", "run.tar", "exit 7"]).code, Some(7));
    let outcome =
        world.routerpack(["run", "--entrypoint", "/bin/echo", "-e", "A=b", "run.tar", "one", "two"]).success();
    assert_eq!(outcome.text(), "one two\n");
    world.routerpack(["run", "gone.tar"]).failure().says(&["gone.tar"]);
}

#[test]
fn the_machine_is_described() {
    let world = World::new();
    let doctor = world.routerpack(["doctor"]);
    assert!(doctor.text().contains("qemu") || doctor.text().contains("emulat"), "{doctor}");
    let emulators = world.routerpack(["emulators"]).success().text();
    for platform in ["linux/arm64", "linux/arm/v7", "linux/arm/v5"] {
        assert!(emulators.contains(platform), "{emulators}");
    }
}

#[test]
fn a_failed_step_can_be_looked_at_in_its_place() {
    let world = World::new();
    world.write("ctx/Dockerfile", "FROM busybox\nRUN expr 6 '*' 7 > /half; exit 3\n");
    let program = world.command().get_program().to_str().unwrap().to_string();
    let build = format!(
        "{program} build --progress=plain --on-failure=shell --build-context {} -o out.tar ctx",
        world.base_context("busybox")
    );
    // `script` gives the program a terminal; what is typed waits there until the shell reads it
    let mut command = crate::support::tool("script");
    command.args(["-qec", &build, "/dev/null"]).current_dir(world.path("")).env("ROUTERPACK_CACHE_DIR", world.cache());
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut keyboard, b"echo seen $(cat /half)\nexit\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("seen 42"), "{shown}");
    assert!(shown.contains("exit code 3"), "{shown}");
    assert_eq!(output.status.code(), Some(1), "the build has failed all the same");
    drop(keyboard);
}
