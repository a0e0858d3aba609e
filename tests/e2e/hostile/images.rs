//! What an archive, a layout and their documents can say.

use std::{fs, os::unix::fs::symlink};

use serde_json::{Value, json};

use super::{
    Fate::{self, Refused, Safe},
    assert_untouched, bounded, endure, guarded,
};
use crate::support::{
    World,
    raw::{Raw, config, digest, docker_archive_of},
    run, tool,
};

/// A layer of one file, called `f`.
fn layer() -> Vec<u8> {
    layer_of("f")
}

fn layer_of(name: &str) -> Vec<u8> {
    Raw::default().file(name.as_bytes()).end()
}

const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Files of an OCI layout.
type Files = Vec<(String, Vec<u8>)>;

fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest(bytes), "size": bytes.len() })
}

fn blob(bytes: &[u8]) -> (String, Vec<u8>) {
    (format!("blobs/sha256/{}", &digest(bytes)[7..]), bytes.to_vec())
}

fn index(of: &[Value]) -> Vec<u8> {
    json!({ "schemaVersion": 2, "manifests": of }).to_string().into_bytes()
}

/// A layout whose index lists these.
fn layout(manifests: &[Value], blobs: Vec<(String, Vec<u8>)>) -> Files {
    let marker = ("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
    [vec![marker, ("index.json".into(), index(manifests))], blobs].concat()
}

/// A good image of one file: its manifest's descriptor, and its blobs, the layer first.
fn image(file: &str, kind: &str) -> (Value, Files) {
    let layer = layer_of(file);
    let config = config(&[digest(&layer)]);
    let mut layers = [descriptor("layer.v1.tar", &layer)];
    layers[0]["mediaType"] = kind.into();
    let manifest = json!({ "schemaVersion": 2, "config": descriptor("config.v1+json", &config), "layers": layers });
    let manifest = manifest.to_string().into_bytes();
    (descriptor("manifest.v1+json", &manifest), vec![blob(&layer), blob(&config), blob(&manifest)])
}

fn pack(files: &Files) -> Vec<u8> {
    files.iter().fold(Raw::default(), |raw, (name, bytes)| raw.entry(b'0', name.as_bytes(), b"", bytes)).end()
}

/// Archives with their names and fates.
fn archives() -> Vec<(&'static str, Vec<u8>, Fate)> {
    let (one, good) = (layer(), config(&[digest(&layer())]));
    let docker = |config: &[u8], layers: &[&str]| docker_archive_of(config, layers, &[("layer.tar", &one)]);
    let manifest = |text: &str| Raw::default().entry(b'0', b"manifest.json", b"", text.as_bytes()).end();
    let lying = Raw::default()
        .entry(b'0', "0".repeat(64).as_bytes(), b"", &good)
        .entry(b'0', b"layer.tar", b"", &one)
        .entry(
            b'0',
            b"manifest.json",
            b"",
            json!([{ "Config": "0".repeat(64), "Layers": ["layer.tar"] }]).to_string().as_bytes(),
        )
        .end();
    let linked = |to: &[u8]| {
        let head = Raw::default().link(b'2', b"layer.tar", to).bytes();
        [head, docker_archive_of(&good, &["layer.tar"], &[])].concat()
    };
    let tagged = |tag: &str| {
        let head = docker(&good, &["layer.tar"]);
        let name = format!("{}.json", &digest(&good)[7..]);
        let text = json!([{ "Config": name, "RepoTags": [tag], "Layers": ["layer.tar"] }]).to_string();
        // a second manifest.json: the last one counts
        let last = Raw::default().entry(b'0', b"manifest.json", b"", text.as_bytes()).end();
        [&head[..head.len() - 1024], &last].concat()
    };
    let (sole, blobs) = image("f", OCI_LAYER);
    // not one that an earlier image has brought into the cache
    let (other, mut swapped) = image("changed", OCI_LAYER);
    swapped[0].1[600] ^= 1;
    let (attestation, statement) = image("f", "application/vnd.in-toto+json");

    // an index that lists itself, which only a wrong digest can
    let claimed = format!("sha256:{}", "a".repeat(64));
    let itself = json!({ "mediaType": "application/vnd.oci.image.index.v1+json", "digest": claimed, "size": 1 });
    let itself = vec![itself; 256];
    let circle = layout(&itself[..1], vec![(format!("blobs/sha256/{}", "a".repeat(64)), index(&itself))]);
    // indexes that list the next 256 times, all with the right digests
    let mut wide = (vec![sole.clone()], blobs.clone());
    for _ in 0..5 {
        let document = index(&wide.0);
        wide.0 = vec![descriptor("index.v1+json", &document); 256];
        wide.1.push(blob(&document));
    }
    wide.0.truncate(1);
    let mut short = layout(std::slice::from_ref(&sole), blobs.clone());
    short.last_mut().unwrap().1.pop();

    vec![
        ("nothing", Vec::new(), Refused("empty")),
        ("no manifest", Raw::default().entry(b'0', b"manifest.json", b"", b"").end(), Refused("manifest.json")),
        ("no images", manifest("[]"), Refused("no image")),
        ("a million images", manifest(&format!("[{}{{}}]", "{},".repeat(1_300_000))), Refused("manifest.json")),
        ("another shape", manifest(r#"{"a":1}"#), Refused("manifest.json")),
        ("a nested manifest", manifest(&"[".repeat(1 << 20)), Refused("manifest.json")),
        ("a nested config", docker(&b"[".repeat(1 << 20), &["layer.tar"]), Refused("config")),
        ("a config that is a list", docker(b"[]", &["layer.tar"]), Refused("config")),
        ("a config of another digest", lying, Refused("digest")),
        ("a layer of another digest", docker(&config(&[digest(b"other")]), &["layer.tar"]), Refused("digest")),
        ("a layer that is missing", docker(&good, &["gone.tar"]), Refused("missing")),
        ("a layer outside", docker(&good, &["../../etc/passwd"]), Refused("missing")),
        ("a link outside", linked(b"../../../../etc/passwd"), Refused("missing")),
        ("a link to itself", linked(b"layer.tar"), Refused("missing")),
        (
            "a layer ten thousand times",
            docker(&config(&vec![digest(&one); 10_000]), &vec!["layer.tar"; 10_000]),
            Refused("1000"),
        ),
        ("a layer 100 times", docker(&config(&vec![digest(&one); 100]), &vec!["layer.tar"; 100]), Safe(&["f"])),
        ("a tag that clears the screen", tagged("\x1b[2J\n\u{202e}"), Refused("name")),
        ("a tag of a megabyte", tagged(&"a".repeat(1 << 20)), Refused("name")),
        ("a good layout", pack(&layout(std::slice::from_ref(&sole), blobs.clone())), Safe(&["f"])),
        ("an index that lists itself", pack(&circle), Refused("longer than")),
        ("indexes without end", pack(&layout(&wide.0, wide.1)), Refused("nested")),
        ("a layer that was changed", pack(&layout(&[other], swapped)), Refused("digest")),
        ("a manifest that was cut", pack(&short), Refused("truncated")),
        ("nothing but an attestation", pack(&layout(&[attestation], statement)), Refused("in-toto")),
    ]
}

#[test]
fn documents_are_believed_only_as_far_as_they_are_right() {
    let (world, outside) = guarded();
    for (name, archive, fate) in archives() {
        world.write("x.tar", archive);
        endure(&world, name, "x.tar", &fate);
        assert_untouched(&world, &outside);
    }
}

/// Writes a good layout, and lets `change` make it bad.
fn directory(world: &World, change: impl FnOnce(&std::path::Path)) {
    for old in [world.path("layout"), world.cache()] {
        let _ = fs::remove_dir_all(old); // what an earlier one has brought into the cache isn't read again
    }
    let (sole, blobs) = image("f", OCI_LAYER);
    for (name, bytes) in layout(&[sole], blobs) {
        world.write(&format!("layout/{name}"), bytes);
    }
    change(&world.path("layout"));
}

#[test]
fn a_layouts_links_stay_inside_and_its_pipes_do_not_block() {
    let (world, outside) = guarded();
    let first = blob(&layer()).0;
    directory(&world, |_| {});
    endure(&world, "a good layout", "./layout", &Safe(&["f"]));
    // blobs may be shared inside of the layout, not with what is outside
    directory(&world, |dir| {
        fs::rename(dir.join("blobs"), dir.join("shared")).unwrap();
        symlink("shared", dir.join("blobs")).unwrap();
    });
    endure(&world, "links inside", "./layout", &Safe(&["f"]));
    directory(&world, |dir| {
        let _ = fs::remove_dir_all(world.path("elsewhere"));
        fs::rename(dir.join("blobs"), world.path("elsewhere")).unwrap();
        symlink("../elsewhere", dir.join("blobs")).unwrap();
    });
    endure(&world, "blobs outside", "./layout", &Refused("leads out"));
    directory(&world, |dir| {
        fs::remove_file(dir.join(&first)).unwrap();
        symlink("/etc/passwd", dir.join(&first)).unwrap();
    });
    endure(&world, "a layer outside", "./layout", &Refused("leads out"));
    directory(&world, |dir| {
        fs::remove_dir_all(dir.join("blobs")).unwrap();
        symlink("blobs", dir.join("blobs")).unwrap();
    });
    endure(&world, "a loop", "./layout", &Refused("symbolic links"));
    directory(&world, |dir| {
        fs::remove_file(dir.join(&first)).unwrap();
        run(tool("mkfifo").arg(dir.join(&first))).success();
    });
    endure(&world, "a pipe", "./layout", &Refused("regular file"));
    directory(&world, |dir| {
        fs::remove_file(dir.join(&first)).unwrap();
        symlink("/dev/zero", dir.join(&first)).unwrap();
    });
    endure(&world, "a device outside", "./layout", &Refused("leads out"));
    assert_untouched(&world, &outside);
    // check takes archives alone, and says so
    bounded(&world, super::MEMORY, &["check", "layout"]).says(&["tar -C"]);
}
