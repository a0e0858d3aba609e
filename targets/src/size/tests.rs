use std::sync::Arc;

use routerpack_rootfs::{Entry, ScanOptions, Stratum, scan};

use super::*;
use routerpack_rootfs::packages::Manager;

fn file(path: &str, size: u64, link_group: u32) -> Entry {
    Entry { size, link_group, ..Entry::new(path.as_bytes(), Kind::File, 0o644) }
}

fn package(name: &str, files: &[usize]) -> Package {
    Package {
        manager: Manager::Apk,
        name: name.into(),
        version: "1".into(),
        architecture: "noarch".into(),
        is_installed: true,
        files: files.into(),
    }
}

/// `path bytes files`, a line a node.
fn lines(tree: &Hierarchy) -> Vec<String> {
    tree.nodes().iter().map(|n| format!("{} {} {}", tree.path(n), n.bytes, n.files)).collect()
}

#[test]
fn directories_add_up_and_hard_links_count_once() {
    let index = Index::new(vec![
        Entry::new_dir(b"a"),
        file("a/x", 10, 7),
        Entry::new_dir(b"a-b"),
        file("a-b/x", 10, 7),
        Entry::new(b"a/link", Kind::Symlink, 0o777),
        file("a/\x1b\u{fc}", 5, 0),
        file("no/parents/here", 3, 0),
        file("empty", 0, 0),
    ]);
    let tree = by_directory(&index);
    let mut got = lines(&tree);
    got.sort();
    assert_eq!(
        got,
        [
            " 18 4",
            "/a 5 1",
            "/a-b 10 1",
            "/a-b/x 10 1",
            "/a/\\u{1b}\u{fc} 5 1",
            "/empty 0 1",
            "/no 3 1",
            "/no/parents 3 1",
            "/no/parents/here 3 1",
        ]
    );
    let names: Vec<&str> = tree.children(0).iter().map(|n| &*tree.nodes()[*n as usize].label).collect();
    assert_eq!(names, ["a-b", "a", "no", "empty"], "biggest first");
    let kept = tree.biggest(3);
    assert!(kept[0] && kept.iter().filter(|k| **k).count() == 3);
}

#[test]
fn a_hard_link_is_its_package_s_by_any_of_its_names() {
    let index = Index::new(vec![file("a", 10, 1), file("b", 10, 1), file("c", 4, 0), file("d", 1, 0)]);
    let tree = by_package(&index, &[package("p", &[1]), package("q", &[3]), package("meta", &[])]);
    assert_eq!(
        lines(&tree),
        [
            " 15 3",
            "/p 1 10 1",
            "/q 1 1 1",
            "/meta 1 0 0",
            "/no package 4 1",
            "/p 1//b 10 1",
            "/no package//c 4 1",
            "/q 1//d 1 1"
        ]
    );
}

#[test]
fn an_empty_image_has_no_bytes() {
    let sizes = measure(&Tree::default(), Vec::new()).unwrap();
    assert_eq!((sizes.directories.root().bytes, sizes.directories.root().files), (0, 0));
    assert!(sizes.packages.is_none() && sizes.biggest(3).is_empty() && sizes.duplicates.is_empty());
    let json = to_json(&sizes, 9, 9);
    assert_eq!(json["tree"], serde_json::json!({"name": "/", "path": "/", "bytes": 0, "files": 0}));
}

#[test]
fn duplicates_have_the_same_content_owner_and_mode() {
    use std::{fs, os::unix::fs::PermissionsExt};
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    let (one, two) = ("1".repeat(5000), "2".repeat(5000));
    ["a", "b", "c", "mode"].iter().for_each(|name| write(name, &one));
    ["d", "e"].iter().for_each(|name| write(name, &two[..3000]));
    write("other", &two);
    ["tiny", "tiny2"].iter().for_each(|name| write(name, "same"));
    fs::set_permissions(dir.path().join("mode"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::hard_link(dir.path().join("a"), dir.path().join("linked")).unwrap();
    let index = Arc::new(scan(dir.path(), ScanOptions::default()).unwrap());
    let tree = Tree::new(vec![Stratum::Dir { root: dir.path().into(), index }]).unwrap();
    let sizes = measure(&tree, Vec::new()).unwrap();
    let found: Vec<_> = sizes.duplicates.iter().map(|d| (d.bytes, d.saved(), d.paths.join(" "))).collect();
    assert_eq!(found, [(5000, 10_000, "/a /b /c".into()), (3000, 3000, "/d /e".into())]);
    assert_eq!(sizes.duplicate_bytes(), 13_000);
    assert_eq!(sizes.biggest(2).iter().map(|n| &*n.label).collect::<Vec<_>>(), ["a", "b"]);
    fs::write(dir.path().join("a"), "changed").unwrap();
    assert!(measure(&tree, Vec::new()).unwrap_err().to_string().starts_with("/a: "));
}

#[test]
fn json_has_the_documented_members() {
    let index = Index::new(vec![Entry::new_dir(b"d"), file("d/f", 10, 0), file("g", 20, 0)]);
    let packages = vec![package("p", &[1])];
    let sizes = Sizes {
        directories: by_directory(&index),
        packages: Some(by_package(&index, &packages)),
        facts: packages,
        duplicates: vec![Duplicate { bytes: 5, paths: vec!["/x".into(), "/y".into()] }],
    };
    assert_eq!(
        to_json(&sizes, 1, 1),
        serde_json::json!({
            "bytes": 30, "files": 2,
            "tree": {"name": "/", "path": "/", "bytes": 30, "files": 2, "children": [
                {"name": "g", "path": "/g", "bytes": 20, "files": 1}, {"name": "d", "path": "/d", "bytes": 10, "files": 1}]},
            "packages": [{"manager": "apk", "name": "p", "version": "1", "architecture": "noarch", "installed": true, "bytes": 10, "files": 1}],
            "unowned": {"bytes": 20, "files": 1},
            "biggest": [{"path": "/g", "bytes": 20}],
            "duplicates": {"saved": 5, "groups": [{"bytes": 5, "saved": 5, "paths": ["/x", "/y"]}]},
        })
    );
    assert_eq!(to_json(&sizes, 2, 1)["tree"]["children"][1]["children"][0]["path"], "/d/f");
}

#[test]
fn no_name_becomes_part_of_the_page() {
    let index = Index::new(vec![file("</script><script>alert(1)</script>", 10, 0), file("<!--", 5, 0)]);
    let sizes = Sizes { directories: by_directory(&index), packages: None, facts: Vec::new(), duplicates: Vec::new() };
    let page = html("<img src=x>{{script}}", "linux/arm64", &sizes);
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script>").count(), 2);
    assert!(
        !page.contains("<img") && !page.contains("<!--") && !page.contains("http://") && !page.contains("https://")
    );
    let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["name"], "<img src=x>{{script}}");
    assert_eq!(data["views"][0]["nodes"][1][1], "<!--");
    // The policy's hashes are of exactly what stands between the tags.
    for (open, close) in [("<style>", "</style>"), ("<script>", "</script>")] {
        let text = page.split(open).nth(1).unwrap().split(close).next().unwrap();
        assert!(text == include_str!("page/page.css") || text == include_str!("page/page.js"));
    }
}

#[test]
fn a_page_of_many_files_stays_small() {
    let files = (0..30_000u64).map(|n| file(&format!("usr/share/{}/file-{n}", n % 700), 1 + n % 5000, 0));
    let index = Index::new(files.collect());
    let sizes = Sizes { directories: by_directory(&index), packages: None, facts: Vec::new(), duplicates: Vec::new() };
    let page = html("many", "linux/arm64", &sizes);
    assert!(page.len() < 1 << 20, "{}", page.len());
}
