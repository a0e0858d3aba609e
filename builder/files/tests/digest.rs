//! What counts for a content digest, and what doesn't.

mod support;

use std::io;

use routerpack_files::{FileHasher, ReadHasher, selection_digest, tree_digest};
use routerpack_graph::{Digest, pb::FileActionCopy};
use routerpack_rootfs::{Entry, Mtime, Tree};
use support::*;

fn digest(from: &Made, action: &FileActionCopy) -> Digest {
    selection_digest(action, &from.tree, &mut ReadHasher).unwrap()
}

fn start() -> Build {
    build().dir("d", 0o755).file("d/a", "1").file("d/b", "2").symlink("d/l", "a")
}

#[test]
fn everything_that_a_copy_would_show_counts_but_times() {
    let all = copy("d", "/");
    let same = digest(&start().done(), &all);
    let touched = build()
        .dir("d", 0o755)
        .at(NOW)
        .file("d/a", "1")
        .at(Mtime::default())
        .file("d/b", "2")
        .at(NOW)
        .symlink("d/l", "a")
        .at(NOW)
        .done();
    assert_eq!(digest(&touched, &all), same);
    // Where the copy goes, and what is not selected, does not count.
    assert_eq!(digest(&start().file("other", "x").done(), &copy("d", "/elsewhere")), same);
    let changes = [
        start().file("d/c", "").done(),
        start().dir("d/c", 0o755).done(),
        build().dir("d", 0o755).file("d/a", "2").file("d/b", "1").symlink("d/l", "a").done(),
        build().dir("d", 0o755).file("d/a", "1").file("d/bb", "2").symlink("d/l", "a").done(),
        build().dir("d", 0o755).file_mode("d/a", 0o755, "1").file("d/b", "2").symlink("d/l", "a").done(),
        build().dir("d", 0o755).file("d/a", "1").owned(1, 0).file("d/b", "2").symlink("d/l", "a").done(),
        build().dir("d", 0o755).file("d/a", "1").owned(0, 1).file("d/b", "2").symlink("d/l", "a").done(),
        build().dir("d", 0o755).file("d/a", "1").xattr("user.x", "").file("d/b", "2").symlink("d/l", "a").done(),
        build().dir("d", 0o755).file("d/a", "1").file("d/b", "2").symlink("d/l", "b").done(),
        build().dir("d", 0o755).file("d/a", "1").file("d/b", "2").file("d/l", "a").done(),
    ];
    let mut seen = vec![same];
    for made in &changes {
        let digest = digest(made, &all);
        assert!(!seen.contains(&digest), "{:?}", made.list());
        seen.push(digest);
    }
}

#[test]
fn the_top_directory_counts_where_it_is_copied_itself() {
    let closed = || build().dir("d", 0o700).file("d/a", "1").file("d/b", "2").symlink("d/l", "a").done();
    let itself = FileActionCopy { dir_copy_contents: false, ..copy("d", "/") };
    assert_eq!(digest(&start().done(), &copy("d", "/")), digest(&closed(), &copy("d", "/")));
    assert_ne!(digest(&start().done(), &itself), digest(&closed(), &itself));
}

#[test]
fn patterns_and_wildcards_limit_what_counts() {
    let without = |pattern: &str| FileActionCopy { exclude_patterns: vec![pattern.into()], ..copy("d", "/") };
    let changed = build().dir("d", 0o755).file("d/a", "1").file("d/b", "changed").symlink("d/l", "a").done();
    assert_eq!(digest(&start().done(), &without("b")), digest(&changed, &without("b")));
    assert_ne!(digest(&start().done(), &without("a")), digest(&changed, &without("a")));
    assert_eq!(digest(&start().done(), &copy("d/a*", "/")), digest(&changed, &copy("d/a*", "/")));
    assert_eq!(digest(&start().done(), &copy("d/l", "/")), digest(&changed, &copy("d/l", "/")));
    // A source's name is the copy's name.
    assert_ne!(digest(&changed, &copy("d/a", "/")), digest(&changed, &copy("d/l", "/")));
    assert!(selection_digest(&copy("none", "/"), &changed.tree, &mut ReadHasher).is_err());
}

#[test]
fn hard_links_are_not_copies() {
    let linked = build().file("a", "x").hard_link("b").done();
    let copied = build().file("a", "x").file("b", "x").done();
    let all = copy("/", "/");
    assert_ne!(digest(&linked, &all), digest(&copied, &all));
    assert_eq!(digest(&linked, &copy("b", "/")), digest(&copied, &copy("b", "/")));
}

#[test]
fn a_trees_digest_is_that_of_what_is_below() {
    let of = |made: &Made, path: &[u8]| tree_digest(&made.tree, path, &mut ReadHasher).unwrap();
    let here = start().done();
    let there = build()
        .dir("x", 0o755)
        .dir("x/y", 0o755)
        .file("x/y/a", "1")
        .file("x/y/b", "2")
        .symlink("x/y/l", "a")
        .symlink("to", "/x/y")
        .done();
    assert_eq!(of(&here, b"/d"), of(&there, b"x/y"));
    assert_eq!(of(&here, b"/d/"), of(&there, b"/to"));
    assert_ne!(of(&here, b"/"), of(&there, b"/"));
    assert_eq!(of(&scratch(), b"/"), of(&build().done(), b""));
    assert!(tree_digest(&here.tree, b"/none", &mut ReadHasher).is_err());
}

#[test]
fn files_are_hashed_through_the_callers_memory() {
    struct Counting(Vec<String>);
    impl FileHasher for Counting {
        fn hash(&mut self, tree: &Tree, entry: &Entry) -> io::Result<[u8; 32]> {
            self.0.push(String::from_utf8_lossy(&entry.path).into_owned());
            ReadHasher.hash(tree, entry)
        }
    }
    let made = start().file("d/c", "x").hard_link("d/d").done();
    let mut counting = Counting(Vec::new());
    let got = selection_digest(&copy("d", "/"), &made.tree, &mut counting).unwrap();
    assert_eq!(got, digest(&made, &copy("d", "/")));
    // One reading for the two names of one file.
    assert_eq!(counting.0, ["d/a", "d/b", "d/c"]);
}
