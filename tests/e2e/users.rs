//! Root and ordinary users: the same program, the same bytes.

use crate::support::{Archive, World, world::User};

const COPIES_AND_RUNS_AS_ROOT: &str = "\
FROM busybox AS build
WORKDIR /w
COPY f .
RUN cat f f > twice && chmod 4755 twice && rm -r /home && mkdir /tmp/x && id -u > who
FROM busybox
COPY --from=build --chown=33:44 /w /w
COPY --from=build /tmp/x /x
RUN echo $(id -u):$(id -g) > /id && rm /etc/group
";

const OTHER_OWNERS: &str = "\
FROM busybox
COPY --chown=33:44 f /f
RUN chown 100:101 /etc/passwd && adduser -D -H -u 1234 joe; touch /home/j && chown 1234 /home/j
USER nobody
RUN id -u > /tmp/nobody
";

fn bytes(user: User, dockerfile: &str) -> (Vec<u8>, String) {
    let world = World::of(user);
    world.write("ctx/Dockerfile", dockerfile);
    world.write("ctx/f", "f");
    let mut command = world.command();
    command.env("SOURCE_DATE_EPOCH", crate::support::world::EPOCH).args(["build", "--progress=plain", "-t", "app"]);
    let base = world.base_context("busybox");
    let outcome = crate::support::run(command.args(["--build-context", &base, "-o", "out.tar", "ctx"])).success();
    Archive::read(&world.path("out.tar"));
    (std::fs::read(world.path("out.tar")).unwrap(), outcome.stderr)
}

#[test]
fn root_and_a_user_with_ranges_give_the_same_bytes() {
    for dockerfile in [COPIES_AND_RUNS_AS_ROOT, OTHER_OWNERS] {
        let (root, _) = bytes(User::Caller, dockerfile);
        let (user, _) = bytes(User::Ranges, dockerfile);
        assert!(root == user, "{dockerfile}");
    }
}

#[test]
fn a_user_with_a_single_id_gives_them_too_where_all_is_root_s() {
    let (root, _) = bytes(User::Caller, COPIES_AND_RUNS_AS_ROOT);
    let (user, log) = bytes(User::SingleId, COPIES_AND_RUNS_AS_ROOT);
    assert!(root == user);
    assert!(log.contains("subuid"), "a word on what a single id means: {log}");
}
