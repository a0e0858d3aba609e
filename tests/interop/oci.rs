//! OCI outputs: `umoci unpack` and `runc run`; skopeo reads and copies them.

use std::fs::{self, File};
use std::path::Path;

use serde_json::Value;

use super::support::{World, contained, run, tool};
use super::{RUN_HERE, build, probe_says, short};

#[test]
fn runc_runs_what_umoci_unpacks() {
    let world = World::new();
    for (platform, machine) in RUN_HERE {
        let archive = build(&world, "oci", &["--platform", platform, "-t", "probe:oci"]);
        let layout = world.path(&format!("layout-{}", short(platform)));
        fs::create_dir(&layout).unwrap();
        tar::Archive::new(File::open(&archive).unwrap()).unpack(&layout).unwrap();
        let tag = reference(&layout);
        let bundle = world.path(&format!("bundle-{}", short(platform)));
        let image = format!("{}:{tag}", layout.display());
        run(tool("umoci").args(["unpack", "--image", &image]).arg(&bundle)).success();
        for (path, mode) in [("rootfs/made/machine", 0o4711), ("rootfs/data", 0o2750)] {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(bundle.join(path)).unwrap().permissions().mode() & 0o7777, mode, "{path}");
        }
        assert!(!bundle.join("rootfs/home/notes/draft").exists());

        let config = bundle.join("config.json");
        let mut spec: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
        spec["process"]["terminal"] = false.into();
        fs::write(&config, spec.to_string()).unwrap();
        let mut command = contained("runc");
        command.arg("--root").arg(world.root().join("runc")).arg("run").arg("--bundle").arg(&bundle);
        let id = format!("probe-{}-{}", short(platform), std::process::id());
        assert_eq!(run(command.arg(id)).success().text(), probe_says(machine));
    }
}

/// The tag of a layout's one image.
fn reference(layout: &Path) -> String {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let [image] = &index["manifests"].as_array().unwrap()[..] else { panic!("not one image: {index}") };
    image["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap().to_owned()
}

#[test]
fn skopeo_reads_every_archive() {
    let world = World::new();
    for (platform, _) in super::support::PLATFORMS {
        for (kind, transport) in [("routeros", "docker-archive"), ("docker", "docker-archive"), ("oci", "oci-archive")]
        {
            let archive = build(&world, kind, &["--platform", platform, "-t", "probe:1.0"]);
            let source = format!("{transport}:{}", archive.display());
            let inspected = run(tool("skopeo").args(["inspect", &source])).success();
            let image: Value = serde_json::from_slice(&inspected.stdout).unwrap();
            assert_eq!(image["Os"], "linux");
            assert_eq!(image["Architecture"], platform.split('/').nth(1).unwrap());
            let layers = image["Layers"].as_array().unwrap().len();
            assert_eq!(layers == 1, kind == "routeros", "{layers} layers in {kind}");
            assert!(image["Env"].as_array().unwrap().contains(&"GREETING=hello world".into()), "{image}");

            // Reading it all makes skopeo check every layer against its digest.
            let copy = world.path(&format!("copy-{}-{kind}", short(platform)));
            let target = format!("dir:{}", copy.display());
            run(tool("skopeo").args(["--insecure-policy", "copy", "--quiet", &source, &target])).success();
            assert!(copy.join("manifest.json").exists());
        }
    }
}
