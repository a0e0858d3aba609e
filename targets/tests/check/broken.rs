//! For each rule the archives that break it, by family.

use routerpack_graph::Digest;
use serde_json::{Value, json};
use tar::EntryType;

use crate::{
    elf::{AMD64, ARM, ARM64, Elf},
    image::{Image, base, bzip2, gzip, pack, xz},
    layer::Layer,
};

/// An archive that breaks a rule.
pub struct Broken {
    pub rule: &'static str,
    pub archive: Vec<u8>,
    /// A part of what is said about it.
    pub word: &'static str,
    /// The router that it is judged for, where it takes one to break the rule.
    pub device: Option<&'static str>,
}

/// All of them.
pub fn broken() -> Vec<Broken> {
    let families = [outside, manifest, layers, entries, config, programs, command, sizes];
    families.iter().flat_map(|family| family()).collect()
}

fn case(rule: &'static str, archive: Vec<u8>, word: &'static str) -> Broken {
    Broken { rule, archive, word, device: None }
}

fn good() -> Image {
    Image::good()
}

fn with(layer: Layer) -> Vec<u8> {
    Image::of(layer.end()).pack()
}

/// The outer tar.
fn outside() -> Vec<Broken> {
    let whole = good().pack();
    vec![
        case("not-a-tar", b"hello".repeat(1000), "no tar"),
        case("not-a-tar", Vec::new(), "empty"),
        case("outer-compression", zstd::encode_all(&*good().pack(), 1).unwrap(), "zstd"),
        case("outer-compression", b"\xfd7zXZ\0rest".to_vec(), "xz"),
        case("archive-damaged", b"\xfd7zXZ\0rest".to_vec(), "inflated"),
        case("outer-compression", bzip2(&good().pack()), "bzip2"),
        case("archive-damaged", whole[..whole.len() - 3000].to_vec(), "at byte"),
        case("archive-damaged", pack(&[("manifest.json".into(), b"[{".to_vec())]), "damaged"),
        case("unsafe-name", Image { extra: vec![("../x".into(), b"x".to_vec())], ..good() }.pack(), "leads out of it"),
        case("duplicate-name", Image { extra: vec![("repositories".into(), vec![])], ..good() }.pack(), "two members"),
        case("bare-rootfs", base().end(), "no manifest.json"),
        case("not-examined", Image::of(b"junk".repeat(300)).pack(), "not examined"),
    ]
}

/// What describes the image.
fn manifest() -> Vec<Broken> {
    let index = |body: Value| Image { extra: vec![("index.json".into(), body.to_string().into_bytes())], ..good() };
    let attestation =
        json!({ "manifests": [{ "digest": "sha256:0", "platform": { "os": "unknown", "architecture": "unknown" } }] });
    let bare = Image { extra: Vec::new(), ..good() }.without(&["repositories"]);
    vec![
        case("manifest-entries", pack(&[("manifest.json".into(), b"[]".to_vec())]), "0 images"),
        case(
            "manifest-entries",
            pack(&[("manifest.json".into(), br#"[{"Config":"a"},{"Config":"b"}]"#.to_vec())]),
            "2 images",
        ),
        case("oci-layout", Image { oci: true, ..good() }.pack(), "OCI layout"),
        case("index-leftover", index(json!({ "manifests": [] })).pack(), "beside manifest.json"),
        case("attestation", index(attestation).pack(), "attestation"),
        case("layer-paths", Image { blobs: true, ..good() }.pack(), "blobs/sha256"),
        case("legacy-files", bare, "repositories"),
        case("layer-damaged", Image { layers: vec![], ..good() }.pack(), "no layers"),
        case("tag", Image { tags: vec!["ghcr.io/a/b:1"], ..good() }.pack(), "registry's host"),
        case("tag", Image { tags: vec!["a:1", "b:1"], ..good() }.pack(), "2 tags"),
        case("tag", Image { tags: vec![], ..good() }.pack(), "no tag"),
        case("tag", Image { tags: vec!["A B"], ..good() }.pack(), "no image name"),
    ]
}

/// Layers as a whole.
fn layers() -> Vec<Broken> {
    let upper = Layer::default().file("bin/.wh.other", 0o644, "").end();
    vec![
        case("layer-compression", Image::of(gzip(&base().end())).pack(), "gzip"),
        case("layer-zstd", Image::of(zstd::encode_all(&*base().end(), 1).unwrap()).pack(), "zstd"),
        case("layer-zstd", Image::of(bzip2(&base().end())).pack(), "bzip2"),
        case("layer-zstd", Image::of(xz(&base().end())).pack(), "xz"),
        case("layer-damaged", Image::of(b"BZh9junk".to_vec()).pack(), "inflated"),
        case("layer-damaged", Image::of(b"junk".repeat(300)).pack(), "no tar"),
        case("layer-damaged", Image::of(gzip(&base().end())[..60].to_vec()).pack_raw(), "inflated"),
        case("layer-damaged", with(base().link(EntryType::Link, "bin/x", "bin/none")), "nowhere"),
        case("multi-layer", Image { layers: vec![base().end(), upper.clone()], ..good() }.pack(), "2 layers"),
        case("whiteouts", Image { layers: vec![base().end(), upper], ..good() }.pack(), "whiteout"),
    ]
}

/// A layer's entries.
fn entries() -> Vec<Broken> {
    vec![
        case("entry-types", with(base().put(EntryType::Char, "null", 0o666, "", b"")), "character device"),
        case("entry-types", with(base().put(EntryType::Fifo, "pipe", 0o666, "", b"")), "pipe"),
        case("entry-types", with(base().pax("GNU.sparse.major", "1").file("s", 0o644, "x")), "sparse"),
        case("entry-types", with(base().put(EntryType::new(b'Z'), "z", 0o644, "", b"")), "no rootfs has"),
        case(
            "hard-link-order",
            Image {
                layers: vec![base().end(), Layer::default().link(EntryType::Link, "l", "bin/app").end()],
                ..good()
            }
            .pack(),
            "another layer",
        ),
        case("unsafe-name", with(base().file("../etc/x", 0o644, "x")), "leads out"),
        case(
            "unsafe-name",
            // a value that looks like further records is none
            with(base().pax("SCHILY.xattr.user.a", "\n11 path=ok\n").pax("path", "../x").file("x", 0o644, "x")),
            "leads out",
        ),
        case("unsafe-name", with(base().file("/etc/x", 0o644, "x")), "absolute"),
        case("unsafe-name", with(base().link(EntryType::Link, "x", "../../etc/passwd")), "hard link leads out"),
        case("duplicate-name", with(base().file("a", 0o644, "1").file("./a", 0o644, "2")), "two entries"),
        case(
            "xattrs",
            with(base().pax("SCHILY.xattr.security.capability", "x").file("x", 0o644, "x")),
            "security.capability",
        ),
        case(
            "hard-link-order",
            with(base().link(EntryType::Link, "a", "z").file("z", 0o644, "x")),
            "before its target",
        ),
    ]
}

/// The config: its digests, and the platform that it names.
fn config() -> Vec<Broken> {
    let mut windows = good();
    windows.config["os"] = "windows".into();
    vec![
        case(
            "config-missing",
            pack(&[("manifest.json".into(), br#"[{"Config":"x.json","Layers":[]}]"#.to_vec())]),
            "missing",
        ),
        case(
            "config-missing",
            pack(&[
                ("manifest.json".into(), br#"[{"Config":"x.json","Layers":["l"]}]"#.to_vec()),
                ("x.json".into(), br#"{"os":1}"#.to_vec()),
                ("l".into(), base().end()),
            ]),
            "can't be read",
        ),
        case(
            "config-digest",
            Image { config_name: Some(format!("{}.json", "0".repeat(64))), ..good() }.pack(),
            "not its digest",
        ),
        case("diff-ids", Image { diff_ids: Some(vec![Digest::of(b"other")]), ..good() }.pack(), "config says"),
        case("diff-ids", Image { diff_ids: Some(vec![]), ..good() }.pack(), "0 layers"),
        case("config-os", windows.pack(), "windows"),
        case("config-architecture", good().platform("s390x", "").pack(), "s390x"),
    ]
}

/// Programs, and what they load.
fn programs() -> Vec<Broken> {
    let v7 = Elf { attributes: &[(6, 10), (9, 2), (10, 3)], ..ARM };
    let arm = |elf: Elf| {
        Image::of(Layer::default().dir("bin").file("bin/app", 0o755, elf.bytes()).end()).platform("arm", "v5").pack()
    };
    let dynamic = Elf { interpreter: "/lib/ld.so", needed: &["libx.so.1"], ..AMD64 };
    let app = |elf: &Elf| Layer::default().dir("bin").file("bin/app", 0o755, elf.bytes()).dir("lib");
    let aligned = Layer::default().dir("bin").file("bin/app", 0o755, Elf { align: 4096, ..ARM64 }.bytes()).end();
    vec![
        case("elf-machine", good().platform("arm64", "").pack(), "for amd64"),
        case("arm-v5", arm(v7), "ARMv7"),
        case("arm-v5", arm(Elf { flags: 0x500_0400, ..ARM }), "hard-float"),
        case("elf-interpreter", with(app(&dynamic)), "/lib/ld.so"),
        case("elf-libraries", with(app(&dynamic).file("lib/ld.so", 0o755, AMD64.bytes())), "libx.so.1"),
        // a library of another machine is none
        case(
            "elf-libraries",
            with(app(&dynamic).file("lib/ld.so", 0o755, AMD64.bytes()).file("lib/libx.so.1", 0o755, ARM64.bytes())),
            "libx.so.1",
        ),
        case("page-align", Image::of(aligned).platform("arm64", "").pack(), "4 KiB"),
    ]
}

/// What is run, as whom, and what it takes for granted.
fn command() -> Vec<Broken> {
    let script = |text: &str| Layer::default().dir("bin").file("bin/app", 0o755, text);
    let shell = |operands: &[&str]| {
        let layer = base().file("bin/sh", 0o755, AMD64.bytes()).file("bin/other", 0o755, ARM64.bytes());
        let layer = layer.file("plain.sh", 0o644, "ip addr show dev eth0\n");
        let words: Vec<&str> = ["sh"].iter().chain(operands).copied().collect();
        Image::of(layer.end()).run("Cmd", json!(words)).pack()
    };
    vec![
        case("no-command", good().run("Cmd", json!([])).pack(), "neither"),
        case("command-missing", good().run("Cmd", json!(["/bin/none"])).pack(), "not in the image"),
        case("command-missing", good().run("Cmd", json!(["none"])).pack(), "PATH"),
        case("command-missing", good().run("Cmd", json!(["/etc/passwd"])).pack(), "x bit"),
        case("command-missing", good().run("Cmd", json!(["/bin"])).pack(), "directory"),
        case("command-missing", shell(&["-c", "exec none"]), "`none` is in no directory of PATH"),
        case("command-missing", shell(&["-c", "cd /srv && ./none"]), "`/srv/./none`"),
        case("command-missing", shell(&["/none.sh"]), "the script `/none.sh`"),
        case("elf-machine", shell(&["-c", "exec other"]), "for arm64"),
        case("eth0", shell(&["/plain.sh"]), "script"),
        case("eth0", shell(&["-c", "app -i eth0"]), "config"),
        case("shebang", with(script("#!/bin/none -e\n")), "`/bin/none`"),
        case("shebang", with(script("#!/bin/sh\r\n").file("bin/sh", 0o755, AMD64.bytes())), "\\r"),
        case("shebang", with(script("#!/bin/env python3\n").file("bin/env", 0o755, AMD64.bytes())), "`python3`"),
        case("command-words", good().run("Cmd", json!(["/bin/app", "a b"])).pack(), "a b"),
        case("user", good().run("User", json!("app")).pack(), "name `app`"),
        case("user", good().run("User", json!("nobody")).pack(), "does not have"),
        case("user", good().run("User", json!("1000")).run("Volumes", json!({ "/data": {} })).pack(), "mounted"),
        case("healthcheck", good().run("Healthcheck", json!({ "Test": ["CMD", "x"] })).pack(), "HEALTHCHECK"),
        case("volumes-ports", good().run("ExposedPorts", json!({ "80/tcp": {} })).pack(), "EXPOSE 80/tcp"),
        case("eth0", with(script("#!/bin/sh\nip addr show dev eth0\n").file("bin/sh", 0o755, AMD64.bytes())), "script"),
        case("eth0", good().run("Env", json!(["PATH=/bin", "IFACE=eth0"])).pack(), "config"),
        case("iptables-nft", with(firewall("ip6tables -A INPUT -j DROP")), "calls ip6tables"),
        case("iptables-nft", with(firewall("nft add table x")), "calls nft"),
        case("ipset", with(firewall("iptables-legacy -m set --match-set x src")), "sets"),
        case("ipset", with(firewall("if true; then ipset create x hash:ip; fi")), "sets"),
    ]
}

/// A script that sets rules, and the programs for it.
fn firewall(text: &str) -> Layer {
    let layer = Layer::default().dir("bin").file("bin/sh", 0o755, AMD64.bytes());
    let layer = layer.file("bin/app", 0o755, format!("#!/bin/sh\n{text}\n"));
    let programs = ["xtables-nft-multi", "xtables-legacy-multi", "nft", "ipset"];
    let layer = programs.iter().fold(layer, |l, name| l.file(&format!("bin/{name}"), 0o755, AMD64.bytes()));
    let links = [("iptables", "nft"), ("ip6tables", "nft"), ("iptables-legacy", "legacy")];
    links.iter().fold(layer, |l, (name, kind)| {
        l.link(EntryType::Symlink, &format!("bin/{name}"), &format!("xtables-{kind}-multi"))
    })
}

/// What doesn't fit a router. Sizes are the images' alone: nothing of the device's disk is known.
fn sizes() -> Vec<Broken> {
    let arm = |layer: Layer| Image::of(layer.end()).platform("arm", "v7");
    let app = |program: Vec<u8>| Layer::default().dir("bin").file("bin/app", 0o755, program);
    let mut heavy = ARM.bytes();
    heavy.resize(70 << 20, 0);
    let on = |device, case| Broken { device: Some(device), ..case };
    vec![
        on("E50UG", case("config-variant", arm(app(ARM.bytes())).pack(), "arm/v7")),
        on("hap-ac2", case("size", arm(app(ARM.bytes()).file("data", 0o644, vec![1; 4 << 20])).pack(), "16 MiB")),
        on("hap-ac2", case("memory", arm(app(heavy)).pack(), "of RAM")),
    ]
}
