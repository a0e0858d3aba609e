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
    let outcome = world.routerpack(["run", "--entrypoint", "/bin/echo", "-e", "A=b", "run.tar", "one", "two"]).success();
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
