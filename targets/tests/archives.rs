//! The archives' layouts, read back piece by piece.

mod support;

use std::fs;

use routerpack_graph::{Digest, ImageConfig, image::History};
use routerpack_rootfs::{Entry, Kind, Tree};
use routerpack_targets::{Blob, Compression, Error, Format, LayerSource, Layers};
use support::*;
use tar::EntryType;

#[test]
fn a_router_archive_is_the_universal_layout() {
    let step = rootfs();
    let tree = step.tree();
    let ask = Ask {
        tags: vec!["ghcr.io/acme/hello:1.0".into()],
        epoch: Some(1_700_000_000),
        ..Ask::new(Format::RouterOs, &tree)
    };
    let (bytes, summary) = ask.bytes();
    let list = members(&bytes);

    let (image, layer) = (summary.image_id.unwrap(), summary.diff_ids[0].clone());
    let id = layer.hex();
    assert_eq!(
        paths(&list),
        [
            "manifest.json".to_string(),
            "repositories".into(),
            format!("{}.json", image.hex()),
            id.into(),
            format!("{id}/VERSION"),
            format!("{id}/json"),
            format!("{id}/layer.tar"),
        ]
    );
    for m in &list {
        let mode = if m.kind == EntryType::Directory { 0o755 } else { 0o644 };
        assert_eq!((m.mode, m.uid, m.gid, m.mtime, m.pax.len()), (mode, 0, 0, 0, 0));
    }
    assert_eq!(member(&list, &format!("{id}/VERSION")).data, b"1.0");
    assert_eq!(json(&member(&list, &format!("{id}/json")).data)["id"], id);
    assert_eq!(json(&member(&list, "repositories").data), serde_json::json!({"acme/hello": {"1.0": id}}));
    assert_eq!(
        json(&member(&list, "manifest.json").data),
        serde_json::json!([{
            "Config": format!("{}.json", image.hex()),
            "RepoTags": ["acme/hello:1.0"],
            "Layers": [format!("{id}/layer.tar")],
        }])
    );
    assert_eq!(summary.tags, ["acme/hello:1.0"]);

    let config = &member(&list, &format!("{}.json", image.hex())).data;
    assert_eq!(Digest::of(config), image);
    let config: ImageConfig = serde_json::from_slice(config).unwrap();
    assert_eq!((&*config.architecture, &*config.variant, &*config.os), ("arm", "v7", "linux"));
    assert_eq!(config.config, support::config().config);
    assert_eq!(config.created.as_deref(), Some("2023-11-14T22:13:20Z"));
    assert_eq!(config.history.len(), 1);
    assert!(!config.history[0].empty_layer);

    let tar = &member(&list, &format!("{id}/layer.tar")).data;
    assert_eq!(Digest::of(tar), layer);
    assert_eq!(config.rootfs.diff_ids, [layer]);
    let inner = members(tar);
    assert_eq!(paths(&inner), ["big", "bin", "bin/again", "etc", "etc/conf", "link", "tmp", "bin/hello"]);
    assert_eq!(member(&inner, "bin/hello").link, b"bin/again");
    assert_eq!(member(&inner, "bin/again").data, b"#!/bin/sh\necho hello\n");
    let conf = member(&inner, "etc/conf");
    assert_eq!((conf.uid, conf.gid, conf.mtime, conf.pax.len()), (33, 44, 1_600_000_000, 0));
    assert_eq!(member(&inner, "etc").mode, 0o700);
}

#[test]
fn a_file_and_a_stream_get_the_same_bytes_and_gzip_wraps_them() {
    let (step, dir) = (rootfs(), tempfile::tempdir().unwrap());
    let tree = step.tree();
    for format in [Format::RouterOs, Format::Docker, Format::Oci, Format::Tar] {
        let ask = Ask::new(format, &tree);
        let (bytes, _) = ask.bytes();
        let plain = dir.path().join("x.tar");
        let summary = ask.path(&plain).unwrap();
        assert_eq!(summary.path.as_deref(), Some(&*plain));
        assert_eq!(summary.bytes, bytes.len() as u64);
        assert!(fs::read(&plain).unwrap() == bytes);
        for name in ["x.tar.gz", "x.tgz"] {
            let zipped = dir.path().join(name);
            let summary = ask.path(&zipped).unwrap();
            let found = fs::read(&zipped).unwrap();
            assert_eq!(summary.bytes, found.len() as u64);
            assert_eq!(found[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], "no time, no name, no system");
            assert!(gunzip(&found) == bytes);
            let ask = Ask { compression: Compression::None, ..Ask::new(format, &tree) };
            assert!(format == Format::Oci || ask.path(&zipped).is_ok_and(|s| s.bytes == bytes.len() as u64));
        }
    }
    assert_eq!(names(dir.path()), ["x.tar", "x.tar.gz", "x.tgz"]);
}

fn base_layer() -> Vec<u8> {
    // Not as this project would write it, and to be kept so: GNU, unsorted, odd times.
    let mut builder = tar::Builder::new(Vec::new());
    for (path, data) in [("z", "last"), ("dir/", ""), ("dir/old", "old"), ("dir/gone", "gone")] {
        let mut h = tar::Header::new_gnu();
        h.set_path(path).unwrap();
        h.set_size(data.len() as u64);
        h.set_mode(if path.ends_with('/') { 0o750 } else { 0o640 });
        h.set_entry_type(if path.ends_with('/') { EntryType::Directory } else { EntryType::Regular });
        h.set_uid(1);
        h.set_gid(2);
        h.set_mtime(3);
        h.set_cksum();
        builder.append(&h, data.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A base layer, a step with whiteouts, an empty step, and the same empty step again.
struct Kept {
    _dir: tempfile::TempDir,
    _steps: Vec<Step>,
    tree: Tree,
    layers: Vec<LayerSource>,
    base: Vec<u8>,
}

fn kept() -> Kept {
    let dir = tempfile::tempdir().unwrap();
    let base = base_layer();
    let (stratum, diff_id) = tar_stratum(dir.path(), &base);
    let mut one = Step::new();
    one.dir("dir").mode = 0o750;
    one.put(Entry::new(b"dir/gone", Kind::Whiteout, 0));
    one.file(b"dir/!new", b"new");
    let opaque = one.dir("fresh");
    opaque.opaque = true;
    one.file(b"fresh/f", b"f");
    one.link(b"fresh/g", 9);
    let steps = vec![one, Step::new(), Step::new()];
    let mut layers = vec![LayerSource { stratum, diff_id: Some(diff_id), blob: None, made: None }];
    layers.extend(steps.iter().map(|s| LayerSource { stratum: s.stratum(), diff_id: None, blob: None, made: None }));
    let tree = Tree::new(layers.iter().map(|l| l.stratum.clone()).collect()).unwrap();
    Kept { _dir: dir, _steps: steps, tree, layers, base }
}

#[test]
fn a_docker_archive_keeps_base_layers_as_they_are() {
    let k = kept();
    let mut ask = Ask::keep(Format::Docker, &k.tree, &k.layers);
    ask.tags = vec!["hello:1".into(), "ghcr.io/acme/hello:2".into()];
    ask.config.history = vec![
        History { created_by: "base".into(), ..Default::default() },
        History { created_by: "ENV".into(), empty_layer: true, ..Default::default() },
        History { created_by: "RUN".into(), ..Default::default() },
    ];
    let (bytes, summary) = ask.bytes();
    assert_eq!(ask.bytes().0, bytes);
    let list = members(&bytes);
    let manifest = json(&member(&list, "manifest.json").data);
    assert_eq!(manifest[0]["RepoTags"], serde_json::json!(["hello:1", "ghcr.io/acme/hello:2"]));
    let layers: Vec<_> = manifest[0]["Layers"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
    assert_eq!(layers.len(), 4);
    assert_eq!(layers[2], layers[3], "the same layer twice is one member");
    assert_eq!(list.len(), 3 + 3 * 4);
    for (path, id) in layers.iter().zip(&summary.diff_ids) {
        assert_eq!(Digest::of(&member(&list, path).data), *id);
    }
    assert!(member(&list, layers[0]).data == k.base);
    let json_of = |i: usize| json(&member(&list, &layers[i].replace("layer.tar", "json")).data);
    assert_eq!(json_of(1)["parent"], summary.diff_ids[0].hex());
    assert!(json_of(0).get("parent").is_none());

    let step = members(&member(&list, layers[1]).data);
    // Whiteouts before what they don't hide, the file at last, then the links.
    assert_eq!(paths(&step), ["dir", "dir/.wh.gone", "fresh", "fresh/.wh..wh..opq", "dir/!new", "fresh/f", "fresh/g"]);
    assert!(member(&step, "dir/.wh.gone").data.is_empty());
    assert_eq!(step[6].kind, EntryType::Link);

    let config: ImageConfig = serde_json::from_slice(&list[2].data).unwrap();
    assert_eq!(config.rootfs.diff_ids, summary.diff_ids);
    assert_eq!(config.history.iter().filter(|h| !h.empty_layer).count(), 4);
    assert_eq!(config.history[1].created_by, "ENV");
    // What the layers show is what was packed.
    let dir = tempfile::tempdir().unwrap();
    let strata = layers.iter().map(|l| tar_stratum(dir.path(), &member(&list, l).data).0).collect();
    let again = Tree::new(strata).unwrap();
    let shown = |t: &Tree| {
        let entries = t.index.entries().iter().filter(|e| !e.path.is_empty());
        entries.map(|e| (e.path.clone(), e.kind, e.mode, e.uid, e.size)).collect::<Vec<_>>()
    };
    assert_eq!(shown(&again), shown(&k.tree));
}

#[test]
fn an_oci_archive_takes_base_blobs_unchanged_and_compresses_the_rest() {
    let mut k = kept();
    // Zipped by somebody else, with a name and a time in it.
    let zipped = {
        let zip = flate2::GzBuilder::new().filename("layer").mtime(77);
        let mut zip = zip.write(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut zip, &k.base).unwrap();
        zip.finish().unwrap()
    };
    let path = k._dir.path().join("blob");
    fs::write(&path, &zipped).unwrap();
    k.layers[0].blob = Some(Blob {
        digest: Digest::of(&zipped),
        size: zipped.len() as u64,
        media_type: "application/vnd.docker.image.rootfs.diff.tar.gzip".into(),
        path,
    });
    for compression in [Compression::Auto, Compression::None] {
        let ask = Ask {
            tags: vec!["hello:1.0".into(), "hello:2.0".into()],
            compression,
            ..Ask::keep(Format::Oci, &k.tree, &k.layers)
        };
        let (bytes, summary) = ask.bytes();
        assert_eq!(ask.bytes().0, bytes);
        let list = members(&bytes);
        assert_eq!(paths(&list)[..3], ["oci-layout", "blobs", "blobs/sha256"]);
        assert_eq!(paths(&list).last().unwrap(), "index.json");
        assert_eq!(json(&list[0].data), serde_json::json!({"imageLayoutVersion": "1.0.0"}));
        let blob = |d: &serde_json::Value| {
            let digest = Digest::parse(d["digest"].as_str().unwrap()).unwrap();
            let data = member(&list, &format!("blobs/sha256/{}", digest.hex())).data.clone();
            assert_eq!(Digest::of(&data), digest);
            assert_eq!(d["size"], data.len());
            data
        };
        let index = json(&list.last().unwrap().data);
        let names: Vec<_> = index["manifests"].as_array().unwrap().iter().map(|m| m["annotations"].clone()).collect();
        assert_eq!(names[0]["org.opencontainers.image.ref.name"], "1.0");
        assert_eq!(names[1]["io.containerd.image.name"], "docker.io/library/hello:2.0");
        assert_eq!(index["manifests"][0]["digest"], summary.manifest.as_ref().unwrap().as_str());
        let manifest = json(&blob(&index["manifests"][0]));
        let config: ImageConfig = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        assert_eq!(manifest["config"]["digest"], summary.image_id.as_ref().unwrap().as_str());
        assert_eq!(config.rootfs.diff_ids, summary.diff_ids);

        let layers = manifest["layers"].as_array().unwrap();
        assert!(blob(&layers[0]) == zipped);
        assert_eq!(layers[0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
        for (layer, diff_id) in layers.iter().zip(&config.rootfs.diff_ids).skip(1) {
            let data = blob(layer);
            let is_gzip = layer["mediaType"].as_str().unwrap().ends_with("+gzip");
            assert_eq!(is_gzip, compression == Compression::Auto);
            assert_eq!(Digest::of(&if is_gzip { gunzip(&data) } else { data }), *diff_id);
        }
        assert_eq!(layers[2], layers[3]);
        assert_eq!(list.iter().filter(|m| m.path.starts_with(b"blobs/sha256/")).count(), 3 + 2);
    }
}

#[test]
fn flat_and_kept_differ_in_layers_alone() {
    let k = kept();
    let flat = Ask { layers: &k.layers, ..Ask::new(Format::Oci, &k.tree) };
    let (_, summary) = flat.bytes();
    assert_eq!(summary.diff_ids.len(), 1);
    let (_, router) = Ask::new(Format::Docker, &k.tree).bytes();
    assert_eq!(router.diff_ids, summary.diff_ids, "the same flat layer in every format");
    assert_eq!(router.image_id, summary.image_id);
}

#[test]
fn damaged_stores_and_bad_requests_are_told_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("out.tar");
    fs::write(&dest, b"what was there").unwrap();
    let k = kept();
    let check = |ask: &Ask, part: &str| {
        let e = ask.path(&dest).unwrap_err();
        assert!(e.to_string().contains(part), "{e}");
        assert_eq!(names(dir.path()), ["out.tar"]);
        assert_eq!(fs::read(&dest).unwrap(), b"what was there");
        e
    };

    let mut wrong = k.layers.clone();
    wrong[0].diff_id = Some(Digest::of(b"another"));
    for format in [Format::Docker, Format::Oci] {
        let e = check(&Ask::keep(format, &k.tree, &wrong), "the cache is damaged");
        assert!(matches!(e, Error::Digest { .. }));
    }
    let blob = dir.path().join("../blob-that-lies");
    fs::write(&blob, &k.base).unwrap();
    let mut wrong = k.layers.clone();
    wrong[0].blob = Some(Blob {
        digest: Digest::of(b"x"),
        size: k.base.len() as u64,
        media_type: String::new(),
        path: blob.clone(),
    });
    check(&Ask::keep(Format::Oci, &k.tree, &wrong), "the cache is damaged");
    wrong[0].blob.as_mut().unwrap().size += 1;
    check(&Ask::keep(Format::Oci, &k.tree, &wrong), "ends after");
    fs::remove_file(blob).unwrap();
    check(&Ask::keep(Format::Oci, &k.tree, &wrong), "can't read");

    let step = rootfs();
    let tree = step.tree();
    check(&Ask { tags: vec![], ..Ask::new(Format::RouterOs, &tree) }, "needs a name");
    check(&Ask { tags: vec!["A b".into()], ..Ask::new(Format::Docker, &tree) }, "no image name");
    check(&Ask { keep: Layers::Keep, ..Ask::new(Format::RouterOs, &tree) }, "one flat layer");
    check(&Ask { epoch: Some(i64::MAX), ..Ask::new(Format::Docker, &tree) }, "SOURCE_DATE_EPOCH");
    let mut ask = Ask::new(Format::Oci, &tree);
    ask.config.architecture.clear();
    check(&ask, "--platform");

    // A file that changed since it was indexed, one that is gone.
    let big = tree.index.get(b"big").unwrap();
    let file = step.dir.path().join(String::from_utf8(big.origin().to_vec()).unwrap());
    fs::write(&file, b"short").unwrap();
    check(&Ask::new(Format::RouterOs, &tree), "big");
    fs::remove_file(&file).unwrap();
    check(&Ask::new(Format::RouterOs, &tree), "can't read `big`");
}

#[test]
fn places_that_cannot_be_written_are_told() {
    let step = rootfs();
    let tree = step.tree();
    let dir = tempfile::tempdir().unwrap();
    let ask = Ask::new(Format::RouterOs, &tree);
    for (path, part) in [
        (dir.path().join("missing/out.tar"), "create the directory first"),
        (dir.path().to_path_buf(), "directory"),
        ("/dev/full".into(), "free some space"),
    ] {
        let e = ask.path(&path).unwrap_err().to_string();
        assert!(e.contains(part) && e.contains(&*path.to_string_lossy()), "{e}");
    }
    assert!(names(dir.path()).is_empty());
    // A device is written to, not replaced.
    let summary = ask.path("/dev/null".as_ref()).unwrap();
    assert!(summary.path.is_none() && summary.bytes > 1_000_000);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn an_image_without_files_is_an_image() {
    let tree = Tree::default();
    for format in [Format::RouterOs, Format::Docker, Format::Oci] {
        let (bytes, summary) = Ask::new(format, &tree).bytes();
        members(&bytes);
        assert_eq!(summary.diff_ids, [Digest::of(&[0; 1024])]);
    }
    let (bytes, summary) = Ask::keep(Format::Docker, &tree, &[]).bytes();
    assert!(summary.diff_ids.is_empty());
    assert_eq!(json(&members(&bytes)[0].data)[0]["Layers"], serde_json::json!([]));
}
