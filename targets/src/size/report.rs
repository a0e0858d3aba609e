//! Sizes as JSON.

use serde_json::{Value, json};

use super::{Hierarchy, Sizes};

/// Everything, directories down to a depth, biggest first:
///
/// ```text
/// { bytes, files,
///   tree: { name, path, bytes, files, children: [ … ] },           directories and files; no children below the depth
///   packages: [ { manager, name, version, architecture, installed, bytes, files } ],
///   unowned: { bytes, files },                                      of no package
///   biggest: [ { path, bytes } ],                                   at most `count`
///   duplicates: { saved, groups: [ { bytes, saved, paths } ] } }    all groups
/// ```
pub fn to_json(sizes: &Sizes, depth: usize, count: usize) -> Value {
    let root = sizes.directories.root();
    let biggest = sizes.biggest(count);
    let biggest = biggest.iter().map(|file| json!({"path": sizes.directories.path(file), "bytes": file.bytes}));
    let groups = sizes.duplicates.iter().map(|d| json!({"bytes": d.bytes, "saved": d.saved(), "paths": d.paths}));
    let mut packages = Vec::new();
    let mut unowned = root;
    if let Some(by) = &sizes.packages {
        for number in by.children(0) {
            let node = &by.nodes()[*number as usize];
            match sizes.facts.get(*number as usize - 1) {
                None => unowned = node,
                Some(package) => packages.push(json!({
                    "manager": package.manager.name(), "name": package.name, "version": package.version,
                    "architecture": package.architecture, "installed": package.is_installed,
                    "bytes": node.bytes, "files": node.files,
                })),
            }
        }
    }
    json!({
        "bytes": root.bytes,
        "files": root.files,
        "tree": tree(&sizes.directories, 0, "", depth),
        "packages": packages,
        "unowned": {"bytes": unowned.bytes, "files": unowned.files},
        "biggest": biggest.collect::<Vec<_>>(),
        "duplicates": {"saved": sizes.duplicate_bytes(), "groups": groups.collect::<Vec<_>>()},
    })
}

fn tree(all: &Hierarchy, number: usize, path: &str, depth: usize) -> Value {
    let node = &all.nodes()[number];
    let shown = if path.is_empty() { "/" } else { path };
    let mut value = json!({"name": node.label, "path": shown, "bytes": node.bytes, "files": node.files});
    if depth > 0 && !all.children(number).is_empty() {
        let child = |n: &u32| {
            let n = *n as usize;
            tree(all, n, &format!("{path}/{}", all.nodes()[n].label), depth - 1)
        };
        value["children"] = all.children(number).iter().map(child).collect();
    }
    value
}
