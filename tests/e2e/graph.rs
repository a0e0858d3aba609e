//! `graph`: what a build would execute, without executing it.

use serde_json::Value;

use crate::support::World;

const DOCKERFILE: &str = "\
FROM busybox AS tools
RUN --network=none echo \"<tools>\" > /made
FROM scratch
COPY --from=tools /made /made
COPY app /app
CMD [\"/app\"]
";

fn world() -> World {
    let world = World::new();
    world.write("ctx/Dockerfile", DOCKERFILE);
    world.write("ctx/app", "app");
    world
}

fn graph(world: &World, format: &str) -> String {
    let base = world.base_context("busybox");
    let outcome =
        world.routerpack(["graph", "--platform", "linux/arm64", "--build-context", &base, "--format", format, "ctx"]);
    outcome.success().text()
}

#[test]
fn the_graph_is_shown_and_nothing_is_built() {
    let world = world();
    let lines: Vec<Value> =
        graph(&world, "json").lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect();
    let digests: Vec<&str> = lines.iter().map(|l| l["Digest"].as_str().unwrap()).collect();
    for (at, line) in lines.iter().enumerate() {
        for input in line["Op"]["inputs"].as_array().into_iter().flatten() {
            let place = digests.iter().position(|d| *d == input["digest"]);
            assert!(place.is_some_and(|place| place < at), "inputs come first: {line}");
        }
    }
    let exec = lines.iter().find(|l| l["Op"]["Op"]["exec"].is_object()).expect("the step");
    assert_eq!(exec["Op"]["Op"]["exec"]["meta"]["args"][2], "echo \"<tools>\" > /made");
    assert_eq!(exec["Op"]["platform"]["Architecture"], "arm64");

    let tree = graph(&world, "tree");
    assert!(tree.contains("COPY app /app") && tree.contains("RUN --network=none echo"), "{tree}");
    let dot = graph(&world, "dot");
    assert!(dot.starts_with("digraph {") && dot.contains(" -> "), "{dot}");
    let made = std::fs::read_dir(world.cache().join("ops")).unwrap().count();
    assert_eq!(made, 0, "no step was run");
}

#[test]
fn the_same_dockerfile_gives_the_same_bytes_elsewhere() {
    let (one, other) = (world(), world());
    std::fs::rename(other.path("ctx"), other.path("moved")).unwrap();
    std::fs::create_dir(other.path("ctx")).unwrap();
    for name in ["Dockerfile", "app"] {
        std::fs::copy(other.path(&format!("moved/{name}")), other.path(&format!("ctx/{name}"))).unwrap();
    }
    for format in ["json", "dot", "tree"] {
        assert_eq!(graph(&one, format), graph(&other, format), "{format}");
    }
    one.write("ctx/Dockerfile", "FRM scratch\n");
    let outcome = one.routerpack(["graph", "ctx"]).failure();
    assert!(outcome.stdout.is_empty(), "{outcome}");
}
