//! What holds for any tree.

mod support;

use proptest::prelude::*;
use routerpack_files::{ReadHasher, tree_digest};
use routerpack_graph::pb::{FileAction, FileActionRm, FileOp, file_action::Action};
use routerpack_rootfs::Kind;
use support::*;

/// Trees of up to a dozen entries: (parent's number, name, kind, content).
fn trees() -> impl Strategy<Value = Vec<(usize, u8, u8, Vec<u8>)>> {
    let entry = (0usize..8, 0u8..6, 0u8..4, proptest::collection::vec(any::<u8>(), 0..50));
    proptest::collection::vec(entry, 0..12)
}

fn make(spec: &[(usize, u8, u8, Vec<u8>)]) -> Made {
    let mut made = build();
    let mut dirs = vec![String::new()];
    let mut taken = Vec::new();
    for (parent, name, kind, data) in spec {
        let dir = &dirs[parent % dirs.len()];
        let name = ["a", "a-b", "a.b", "b", "é", "z z"][usize::from(*name)];
        let path = if dir.is_empty() { name.to_string() } else { format!("{dir}/{name}") };
        if taken.contains(&path) {
            continue;
        }
        taken.push(path.clone());
        made = match kind {
            0 | 1 => {
                dirs.push(path.clone());
                made.dir(&path, 0o700 | u16::from(data.len() as u8))
            }
            2 => made.file_mode(&path, 0o600 | u16::from(data.len() as u8 & 7), data),
            _ => made.symlink(&path, "some/where"),
        };
    }
    made.done()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn copying_a_tree_keeps_all_that_is_in_it(spec in trees()) {
        let from = make(&spec);
        let made = run_copy(&scratch(), &from, copy("/", "/")).unwrap();
        prop_assert_eq!(made.list(), from.list());
        for entry in from.tree.index.entries() {
            let copied = made.tree.index.get(&entry.path).unwrap();
            prop_assert_eq!(copied.mtime, entry.mtime);
        }
        // The root's own metadata is not the copy's, so the digests are compared a level below.
        for entry in from.tree.index.children(b"").filter(|e| e.kind != Kind::Symlink) {
            let digest = |made: &Made| tree_digest(&made.tree, &entry.path, &mut ReadHasher).unwrap();
            prop_assert_eq!(digest(&made), digest(&from));
        }
        // Once more over itself changes nothing.
        let again = run_copy(&made, &from, copy("/", "/")).unwrap();
        prop_assert_eq!(again.list(), from.list());
    }

    #[test]
    fn removing_what_was_copied_leaves_what_was_there(spec in trees()) {
        let from = make(&spec);
        let base = build().dir("keep", 0o755).file("keep/f", "x").done();
        let made = run_copy(&base, &from, copy("/", "/in/")).unwrap();
        let rm = Action::Rm(FileActionRm { path: "/in".into(), ..Default::default() });
        let op = FileOp { actions: vec![FileAction { input: 0, secondary_input: -1, output: 0, action: Some(rm) }] };
        let gone = run(&op, &[&made]).unwrap();
        prop_assert_eq!(gone.list(), base.list());
        prop_assert!(gone.own.entries().iter().all(|e| e.kind != Kind::File));
    }
}
