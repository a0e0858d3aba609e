//! GNU tar lists the archives.

use super::build;
use super::support::{Archive, World, run, tool};

#[test]
fn tar_lists_archive_and_layer() {
    let world = World::new();
    let archive = build(&world, "routeros", &["--platform=linux/arm/v5", "-t", "probe:1.0"]);
    let outer = run(tool("tar").arg("-tf").arg(&archive)).success();
    assert_eq!(outer.stderr, "", "tar warns");
    let read = Archive::read(&archive);
    assert_eq!(outer.text().lines().map(|line| line.trim_end_matches('/')).collect::<Vec<_>>(), {
        read.members.iter().map(|name| name.trim_end_matches('/')).collect::<Vec<_>>()
    });

    let layer = world.path("layer.tar");
    std::fs::write(&layer, &read.layers[0]).unwrap();
    let listed = run(tool("tar").args(["--numeric-owner", "-tvf"]).arg(&layer)).success();
    assert_eq!(listed.stderr, "", "tar warns");
    let line = |end: &str| {
        let text = listed.text();
        text.lines().find(|line| line.ends_with(end)).unwrap_or_else(|| panic!("no {end} in {listed}")).to_owned()
    };
    assert!(line(" made/machine").starts_with("-rws--x--x 12/34"), "{}", line(" made/machine"));
    assert!(line(" data/").starts_with("drwxr-s--- 1000/1000"), "{}", line(" data/"));
    assert!(line(" home/notes/kept").starts_with("-rw-r--r-- 1000/1000"), "{}", line(" home/notes/kept"));
    assert!(line(" made/deep/pointer -> ../machine").starts_with('l'));
    assert!(line(" made/b link to made/a").starts_with('h'));
    assert!(line(" made/deep/c link to made/a").starts_with('h'));
    assert!(!listed.text().contains("bin/vi\n") && !listed.text().contains(".wh."), "{listed}");
}
