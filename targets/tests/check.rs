//! A broken archive for every rule, and good ones that no rule complains about.

use std::{collections::BTreeSet, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use routerpack_graph::{Digest, Platform};
use routerpack_targets::{
    check::{Finding, FixError, Options, Report, Source, check, fix, sarif},
    devices,
    rules::{self, Severity},
};
use serde_json::{Value, json};
use tar::{EntryType, Header};

/// A layer's tar, entry by entry.
#[derive(Clone, Default)]
struct Layer(Vec<u8>);

impl Layer {
    fn put(mut self, kind: EntryType, name: &str, mode: u32, link: &str, data: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn dir(self, name: &str) -> Self {
        self.put(EntryType::Directory, name, 0o755, "", b"")
    }

    fn file(self, name: &str, mode: u32, data: impl AsRef<[u8]>) -> Self {
        self.put(EntryType::Regular, name, mode, "", data.as_ref())
    }

    fn link(self, kind: EntryType, name: &str, to: &str) -> Self {
        self.put(kind, name, 0o777, to, b"")
    }

    fn pax(self, key: &str, value: &str) -> Self {
        let body = format!(" {key}={value}\n");
        let length = (body.len()..).find(|n| n.to_string().len() + body.len() == *n).unwrap();
        self.put(EntryType::XHeader, "pax", 0o644, "", format!("{length}{body}").as_bytes())
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// An ELF file with what a loader reads of it.
#[derive(Clone)]
struct Elf {
    machine: u16,
    is_64: bool,
    flags: u32,
    align: u64,
    interpreter: &'static str,
    needed: &'static [&'static str],
    runpath: &'static str,
    attributes: &'static [(u8, u8)],
}

const AMD64: Elf =
    Elf { machine: 62, is_64: true, flags: 0, align: 4096, interpreter: "", needed: &[], runpath: "", attributes: &[] };
const ARM: Elf = Elf { machine: 40, is_64: false, flags: 0x500_0200, align: 0x10000, attributes: &[(6, 4)], ..AMD64 };
const ARM64: Elf = Elf { machine: 183, align: 0x10000, ..AMD64 };

impl Elf {
    fn bytes(&self) -> Vec<u8> {
        let word = |out: &mut Vec<u8>, v: u64| match self.is_64 {
            true => out.extend(v.to_le_bytes()),
            false => out.extend((v as u32).to_le_bytes()),
        };
        let mut strings = vec![0u8];
        let mut dynamic = Vec::new();
        let mut named = |strings: &mut Vec<u8>, tag: u64, text: &str| {
            word(&mut dynamic, tag);
            word(&mut dynamic, strings.len() as u64);
            strings.extend(text.as_bytes());
            strings.push(0);
        };
        self.needed.iter().for_each(|n| named(&mut strings, 1, n));
        if !self.runpath.is_empty() {
            named(&mut strings, 29, self.runpath);
        }
        const AT: u64 = 0x400;
        let interp_at = AT;
        let strings_at = interp_at + self.interpreter.len() as u64 + 1;
        let dynamic_at = (strings_at + strings.len() as u64).next_multiple_of(8);
        word(&mut dynamic, 5);
        word(&mut dynamic, strings_at);
        word(&mut dynamic, 0);
        word(&mut dynamic, 0);
        let attributes_at = dynamic_at + dynamic.len() as u64;
        let attributes = attributes(self.attributes);
        let sections_at = (attributes_at + attributes.len() as u64).next_multiple_of(8);

        let mut out = b"\x7fELF".to_vec();
        out.extend([if self.is_64 { 2 } else { 1 }, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.extend(3u16.to_le_bytes());
        out.extend(self.machine.to_le_bytes());
        out.extend(1u32.to_le_bytes());
        let (header, segment, section) = if self.is_64 { (64u16, 56u16, 64u16) } else { (52, 32, 40) };
        let mut segments = vec![(1u32, 0, sections_at, self.align)];
        if !self.interpreter.is_empty() {
            segments.push((3, interp_at, self.interpreter.len() as u64 + 1, 1));
        }
        if !self.needed.is_empty() {
            segments.push((2, dynamic_at, dynamic.len() as u64, 8));
        }
        for value in [0, u64::from(header), sections_at] {
            word(&mut out, value);
        }
        out.extend(self.flags.to_le_bytes());
        let sections = if self.attributes.is_empty() { 0u16 } else { 2 };
        for half in [header, segment, segments.len() as u16, section, sections, 0] {
            out.extend(half.to_le_bytes());
        }
        for (kind, at, size, align) in segments {
            out.extend(kind.to_le_bytes());
            if self.is_64 {
                out.extend(5u32.to_le_bytes());
            }
            for value in [at, at, at, size, size] {
                word(&mut out, value);
            }
            if !self.is_64 {
                out.extend(5u32.to_le_bytes());
            }
            word(&mut out, align);
        }
        assert!(out.len() as u64 <= AT);
        out.resize(AT as usize, 0);
        out.extend(self.interpreter.as_bytes());
        out.push(0);
        out.extend(strings);
        out.resize(dynamic_at as usize, 0);
        out.extend(dynamic);
        out.extend(&attributes);
        out.resize(sections_at as usize, 0);
        if sections == 2 {
            out.resize(out.len() + usize::from(section), 0);
            out.extend(0u32.to_le_bytes());
            out.extend(0x7000_0003u32.to_le_bytes());
            for value in [0, 0, attributes_at, attributes.len() as u64] {
                word(&mut out, value);
            }
            out.resize(sections_at as usize + 2 * usize::from(section), 0);
        }
        out
    }
}

/// `.ARM.attributes` with numbers of the file.
fn attributes(pairs: &[(u8, u8)]) -> Vec<u8> {
    let pairs: Vec<u8> = pairs.iter().flat_map(|(tag, value)| [*tag, *value]).collect();
    let mut part = vec![1u8];
    part.extend((pairs.len() as u32 + 5).to_le_bytes());
    part.extend(pairs);
    let mut section = b"A".to_vec();
    section.extend((part.len() as u32 + 10).to_le_bytes());
    section.extend(b"aeabi\0");
    section.extend(part);
    section
}

/// An image to be packed, and what of the archive is to be wrong.
#[derive(Clone)]
struct Image {
    layers: Vec<Vec<u8>>,
    config: Value,
    tags: Vec<&'static str>,
    diff_ids: Option<Vec<Digest>>,
    config_name: Option<String>,
    /// Further members: before all others.
    extra: Vec<(String, Vec<u8>)>,
    blobs: bool,
    oci: bool,
}

impl Image {
    /// The smallest that nothing is wrong with.
    fn good() -> Self {
        Self::of(base().end())
    }

    fn of(layer: Vec<u8>) -> Self {
        let run = json!({ "Cmd": ["/bin/app"], "Env": ["PATH=/bin"] });
        Self {
            layers: vec![layer],
            config: json!({ "os": "linux", "architecture": "amd64", "config": run }),
            tags: vec!["app:1"],
            diff_ids: None,
            config_name: None,
            extra: Vec::new(),
            blobs: false,
            oci: false,
        }
    }

    fn run(mut self, key: &str, value: Value) -> Self {
        self.config["config"][key] = value;
        self
    }

    fn platform(mut self, architecture: &str, variant: &str) -> Self {
        self.config["architecture"] = architecture.into();
        self.config["variant"] = variant.into();
        self
    }

    fn pack(&self) -> Vec<u8> {
        let ids: Vec<Digest> = self.layers.iter().map(|l| Digest::of(&plain(l))).collect();
        let mut config = self.config.clone();
        config["rootfs"] = json!({ "type": "layers", "diff_ids": self.diff_ids.as_ref().unwrap_or(&ids) });
        let config = serde_json::to_vec(&config).unwrap();
        let id = Digest::of(&config).hex().to_string();
        let mut members: Vec<(String, Vec<u8>)> = self.extra.clone();
        if self.oci {
            let blob = |bytes: &[u8], kind: &str| json!({ "mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len() });
            let layers: Vec<Value> =
                self.layers.iter().map(|l| blob(l, "application/vnd.oci.image.layer.v1.tar")).collect();
            let manifest = json!({ "schemaVersion": 2, "config": blob(&config, "application/vnd.oci.image.config.v1+json"), "layers": layers });
            let manifest = serde_json::to_vec(&manifest).unwrap();
            let index = json!({ "schemaVersion": 2, "manifests": [blob(&manifest, "application/vnd.oci.image.manifest.v1+json")] });
            members.push(("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
            members.push(("index.json".into(), serde_json::to_vec(&index).unwrap()));
            for bytes in self.layers.iter().chain([&config, &manifest]) {
                members.push((format!("blobs/sha256/{}", Digest::of(bytes).hex()), bytes.clone()));
            }
            return pack(&members);
        }
        let name = |at: usize| match self.blobs {
            true => format!("blobs/sha256/{}", ids[at].hex()),
            false => format!("{}/layer.tar", ids[at].hex()),
        };
        let names: Vec<String> = (0..ids.len()).map(name).collect();
        let config_name = self.config_name.clone().unwrap_or(format!("{id}.json"));
        members.push((config_name.clone(), config));
        for (at, layer) in self.layers.iter().enumerate() {
            if !self.blobs {
                members.push((format!("{}/VERSION", ids[at].hex()), b"1.0".to_vec()));
                members.push((format!("{}/json", ids[at].hex()), b"{}".to_vec()));
            }
            members.push((names[at].clone(), layer.clone()));
        }
        let manifest = json!([{ "Config": config_name, "RepoTags": self.tags, "Layers": names }]);
        members.push(("manifest.json".into(), serde_json::to_vec(&manifest).unwrap()));
        members.push(("repositories".into(), b"{}".to_vec()));
        pack(&members)
    }
}

fn pack(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut layer = Layer::default();
    for (name, bytes) in members {
        layer = layer.file(name, 0o644, bytes);
    }
    layer.end()
}

fn plain(layer: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if layer.starts_with(&[0x1f, 0x8b]) {
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(layer), &mut out).unwrap();
    } else if layer.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        out = zstd::decode_all(layer).unwrap();
    } else {
        out = layer.to_vec();
    }
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn base() -> Layer {
    Layer::default().dir("bin").file("bin/app", 0o755, AMD64.bytes()).dir("etc").file(
        "etc/passwd",
        0o644,
        "app:x:1:1::/:\n",
    )
}

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn options(&self) -> Options<'_> {
        Options::new(self.dir.path())
    }

    fn check(&self, bytes: &[u8], options: &Options) -> Report {
        check(Source::Reader(&mut &*bytes, "test.tar"), options).unwrap()
    }
}

fn found<'a>(report: &'a Report, rule: &str) -> Option<&'a Finding> {
    report.findings.iter().find(|f| f.rule.id == rule)
}

fn named(report: &Report) -> Vec<String> {
    report.findings.iter().map(|f| format!("{}[{}] {}", f.severity, f.rule.id, f.message)).collect()
}

#[test]
fn a_good_archive_has_no_findings() {
    let bench = Bench::new();
    let image = Image::good();
    for bytes in [image.pack(), gzip(&image.pack())] {
        let report = bench.check(&bytes, &bench.options());
        assert_eq!(named(&report), Vec::<String>::new());
        assert_eq!(report.platform, Some(Platform::new("linux", "amd64", "")));
        assert_eq!((report.tags, report.bytes), (vec!["app:1".to_string()], bytes.len() as u64));
    }
}

/// Each rule with an archive that breaks it, and a word of what is said about it.
fn broken() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = Image::good;
    let with = |layer: Layer| Image::of(layer.end()).pack();
    let mut cases: Vec<(&'static str, Vec<u8>, &'static str)> = Vec::new();
    let mut case = |rule, bytes, word| cases.push((rule, bytes, word));
    case("not-a-tar", b"hello".repeat(1000), "no tar");
    case("not-a-tar", Vec::new(), "empty");
    case("outer-compression", zstd::encode_all(&*good().pack(), 1).unwrap(), "zstd");
    case("outer-compression", b"\xfd7zXZ\0rest".to_vec(), "xz");
    let whole = good().pack();
    case("archive-damaged", whole[..whole.len() - 3000].to_vec(), "at byte");
    case("archive-damaged", pack(&[("manifest.json".into(), b"[{".to_vec())]), "damaged");
    case("bare-rootfs", base().end(), "no manifest.json");
    case("manifest-entries", pack(&[("manifest.json".into(), b"[]".to_vec())]), "0 images");
    case("oci-layout", Image { oci: true, ..good() }.pack(), "OCI layout");
    let index = |body: Value| Image { extra: vec![("index.json".into(), body.to_string().into_bytes())], ..good() };
    case("index-leftover", index(json!({ "manifests": [] })).pack(), "beside manifest.json");
    let attestation =
        json!({ "manifests": [{ "digest": "sha256:0", "platform": { "os": "unknown", "architecture": "unknown" } }] });
    case("attestation", index(attestation).pack(), "attestation");
    case("layer-compression", Image::of(gzip(&base().end())).pack(), "gzip");
    case("layer-zstd", Image::of(zstd::encode_all(&*base().end(), 1).unwrap()).pack(), "zstd");
    case("layer-zstd", Image::of(b"BZh9junk".to_vec()).pack(), "bzip2");
    case("layer-damaged", Image::of(b"junk".repeat(300)).pack(), "no tar");
    case("layer-damaged", Image::of(gzip(&base().end())[..60].to_vec()).pack_raw(), "inflated");
    case("layer-damaged", with(base().link(EntryType::Link, "bin/x", "bin/none")), "nowhere");
    case("layer-paths", Image { blobs: true, ..good() }.pack(), "blobs/sha256");
    let upper = Layer::default().file("bin/.wh.other", 0o644, "").end();
    case("multi-layer", Image { layers: vec![base().end(), upper.clone()], ..good() }.pack(), "2 layers");
    case("whiteouts", Image { layers: vec![base().end(), upper], ..good() }.pack(), "whiteout");
    case("entry-types", with(base().put(EntryType::Char, "null", 0o666, "", b"")), "character device");
    case("entry-types", with(base().put(EntryType::Fifo, "pipe", 0o666, "", b"")), "pipe");
    case("entry-types", with(base().pax("GNU.sparse.major", "1").file("s", 0o644, "x")), "sparse");
    case("unsafe-name", with(base().file("../etc/x", 0o644, "x")), "leads out");
    case("unsafe-name", with(base().file("/etc/x", 0o644, "x")), "absolute");
    case("unsafe-name", with(base().link(EntryType::Link, "x", "../../etc/passwd")), "hard link leads out");
    case("duplicate-name", with(base().file("a", 0o644, "1").file("./a", 0o644, "2")), "two entries");
    case(
        "xattrs",
        with(base().pax("SCHILY.xattr.security.capability", "x").file("x", 0o644, "x")),
        "security.capability",
    );
    case("hard-link-order", with(base().link(EntryType::Link, "a", "z").file("z", 0o644, "x")), "before its target");
    case(
        "config-missing",
        pack(&[("manifest.json".into(), br#"[{"Config":"x.json","Layers":[]}]"#.to_vec())]),
        "missing",
    );
    case(
        "config-digest",
        Image { config_name: Some(format!("{}.json", "0".repeat(64))), ..good() }.pack(),
        "not its digest",
    );
    case("diff-ids", Image { diff_ids: Some(vec![Digest::of(b"other")]), ..good() }.pack(), "config says");
    case("diff-ids", Image { diff_ids: Some(vec![]), ..good() }.pack(), "0 layers");
    let mut windows = good();
    windows.config["os"] = "windows".into();
    case("config-os", windows.pack(), "windows");
    case("config-architecture", good().platform("s390x", "").pack(), "s390x");
    let bare = Image { extra: Vec::new(), ..good() }.without(&["repositories"]);
    case("legacy-files", bare, "repositories");
    case("tag", Image { tags: vec!["ghcr.io/a/b:1"], ..good() }.pack(), "registry's host");
    case("tag", Image { tags: vec!["a:1", "b:1"], ..good() }.pack(), "2 tags");
    case("tag", Image { tags: vec![], ..good() }.pack(), "no tag");
    case("tag", Image { tags: vec!["A B"], ..good() }.pack(), "no image name");
    case("elf-machine", good().platform("arm64", "").pack(), "for amd64");
    let v7 = Elf { attributes: &[(6, 10), (9, 2), (10, 3)], ..ARM };
    let arm = |elf: Elf| {
        Image::of(Layer::default().dir("bin").file("bin/app", 0o755, elf.bytes()).end()).platform("arm", "v5").pack()
    };
    case("arm-v5", arm(v7), "ARMv7");
    case("arm-v5", arm(Elf { flags: 0x500_0400, ..ARM }), "hard-float");
    let dynamic = Elf { interpreter: "/lib/ld.so", needed: &["libx.so.1"], ..AMD64 };
    let app = |elf: &Elf| Layer::default().dir("bin").file("bin/app", 0o755, elf.bytes()).dir("lib");
    case("elf-interpreter", with(app(&dynamic)), "/lib/ld.so");
    case("elf-libraries", with(app(&dynamic).file("lib/ld.so", 0o755, AMD64.bytes())), "libx.so.1");
    // a library of another machine is none
    case(
        "elf-libraries",
        with(app(&dynamic).file("lib/ld.so", 0o755, AMD64.bytes()).file("lib/libx.so.1", 0o755, ARM64.bytes())),
        "libx.so.1",
    );
    let aligned = Layer::default().dir("bin").file("bin/app", 0o755, Elf { align: 4096, ..ARM64 }.bytes()).end();
    case("page-align", Image::of(aligned).platform("arm64", "").pack(), "4 KiB");
    case("no-command", good().run("Cmd", json!([])).pack(), "neither");
    case("command-missing", good().run("Cmd", json!(["/bin/none"])).pack(), "not in the image");
    case("command-missing", good().run("Cmd", json!(["none"])).pack(), "PATH");
    case("command-missing", good().run("Cmd", json!(["/etc/passwd"])).pack(), "x bit");
    case("command-missing", good().run("Cmd", json!(["/bin"])).pack(), "directory");
    let script = |text: &str| Layer::default().dir("bin").file("bin/app", 0o755, text);
    case("shebang", with(script("#!/bin/none -e\n")), "`/bin/none`");
    case("shebang", with(script("#!/bin/sh\r\n").file("bin/sh", 0o755, AMD64.bytes())), "\\r");
    case("shebang", with(script("#!/bin/env python3\n").file("bin/env", 0o755, AMD64.bytes())), "`python3`");
    case("command-words", good().run("Cmd", json!(["/bin/app", "a b"])).pack(), "a b");
    case("user", good().run("User", json!("app")).pack(), "name `app`");
    case("user", good().run("User", json!("nobody")).pack(), "does not have");
    case("user", good().run("User", json!("1000")).run("Volumes", json!({ "/data": {} })).pack(), "mounted");
    case("healthcheck", good().run("Healthcheck", json!({ "Test": ["CMD", "x"] })).pack(), "HEALTHCHECK");
    case("volumes-ports", good().run("ExposedPorts", json!({ "80/tcp": {} })).pack(), "EXPOSE 80/tcp");
    case("eth0", with(script("#!/bin/sh\nip addr show dev eth0\n").file("bin/sh", 0o755, AMD64.bytes())), "script");
    case("eth0", good().run("Env", json!(["PATH=/bin", "IFACE=eth0"])).pack(), "config");
    case("not-examined", Image::of(b"junk".repeat(300)).pack(), "not examined");
    cases
}

impl Image {
    /// A layer whose bytes have no digest to be had.
    fn pack_raw(&self) -> Vec<u8> {
        let layer = self.layers[0].clone();
        let config = serde_json::to_vec(&json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [Digest::of(b"")] } })).unwrap();
        let manifest =
            json!([{ "Config": "c.json", "RepoTags": ["a:1"], "Layers": ["l.tar"] }]).to_string().into_bytes();
        pack(&[("c.json".into(), config), ("l.tar".into(), layer), ("manifest.json".into(), manifest)])
    }

    /// The archive without these members.
    fn without(&self, names: &[&str]) -> Vec<u8> {
        let bytes = self.pack();
        let mut kept = Vec::new();
        for entry in tar::Archive::new(&*bytes).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut data = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut data).unwrap();
            if !names.contains(&name.as_str()) {
                kept.push((name, data));
            }
        }
        pack(&kept)
    }
}

#[test]
fn every_rule_finds_what_breaks_it() {
    let bench = Bench::new();
    let mut tried = BTreeSet::from(["config-variant", "size", "memory"]); // with a device: below
    for (rule, bytes, word) in broken() {
        let report = bench.check(&bytes, &bench.options());
        let hit = report.findings.iter().find(|f| f.rule.id == rule && f.message.contains(word));
        let hit = hit.unwrap_or_else(|| panic!("{rule} ({word}): {:#?}", named(&report)));
        let (severity, _) = hit.rule.level(report.profile);
        assert_eq!(hit.severity, severity, "{rule}: the command's own findings count in full");
        tried.insert(rule);
    }
    let rules: BTreeSet<&str> = rules::all().iter().map(|r| r.id.as_str()).collect();
    assert_eq!(rules.difference(&tried).collect::<Vec<_>>(), Vec::<&&str>::new(), "no fixture");
}

#[test]
fn a_device_decides() {
    let bench = Bench::new();
    let on = |device: &str, image: &Image| {
        let options = Options { device: Some(devices::find(device).unwrap()), ..bench.options() };
        bench.check(&image.pack(), &options)
    };
    let arm = |variant: &str, elf: Elf| {
        Image::of(Layer::default().dir("bin").file("bin/app", 0o755, elf.bytes()).end()).platform("arm", variant)
    };
    // v5 programs are fine whatever variant the config says, and v7 programs are not
    let report = on("E50UG", &arm("v7", ARM));
    assert_eq!(found(&report, "config-variant").unwrap().severity, Severity::Warning, "{:?}", named(&report));
    assert!(found(&report, "arm-v5").is_none(), "{:?}", named(&report));
    let report = on("E50UG", &arm("v5", Elf { attributes: &[(6, 10)], ..ARM }));
    assert_eq!(found(&report, "arm-v5").unwrap().severity, Severity::Error);
    assert_eq!(named(&on("rb4011", &arm("v7", Elf { attributes: &[(6, 10)], ..ARM }))), Vec::<String>::new());
    assert!(
        found(&on("E50UG", &arm("v5", Elf { attributes: &[], ..ARM })), "arm-v5")
            .is_some_and(|f| f.severity == Severity::Info)
    );
    assert!(found(&on("rb5009", &Image::good()), "config-architecture").is_some());
    // pages matter on the CPU that has large ones
    let pages =
        Image::of(Layer::default().dir("bin").file("bin/app", 0o755, Elf { align: 4096, ..ARM64 }.bytes()).end());
    let pages = pages.platform("arm64", "");
    assert!(
        found(&on("ccr2116", &pages), "page-align").is_some() && found(&on("rb5009", &pages), "page-align").is_none()
    );
    // 16 MB of flash hold nothing of 4 MB, and 128 MB of RAM no program of 70
    let large = Image::of(base().file("data", 0o644, vec![1; 4 << 20]).end()).platform("arm", "v7");
    let size = on("hap-ac2", &large);
    assert!(found(&size, "size").unwrap().message.contains("16 MiB"), "{:?}", named(&size));
    let mut program = ARM.bytes();
    program.resize(70 << 20, 0);
    let heavy = Image::of(Layer::default().dir("bin").file("bin/app", 0o755, program).end()).platform("arm", "v7");
    assert!(found(&on("hap-ac2", &heavy), "memory").is_some());
    let options = Options { disk: Some(2 << 30), device: Some(devices::find("hap-ac2").unwrap()), ..bench.options() };
    assert!(found(&bench.check(&large.pack(), &options), "size").is_none(), "a disk counts instead of the flash");
}

#[test]
fn what_is_not_certain_is_no_error_for_one_version() {
    let bench = Bench::new();
    for version in ["7.9", "7.20", "7.21", "7.24", "7.30"] {
        let options = Options { profile: version.parse().unwrap(), ..bench.options() };
        for (rule, bytes, _) in broken() {
            for finding in bench.check(&bytes, &options).findings {
                assert!(
                    finding.severity < Severity::Error || finding.evidence.is_firm(),
                    "{rule} on {version}: {finding:?}"
                );
            }
        }
    }
    let oci = Image { oci: true, extra: vec![("ros-container.json".into(), b"{}".to_vec())], ..Image::good() }.pack();
    let at = |version: &str| bench.check(&oci, &Options { profile: version.parse().unwrap(), ..bench.options() });
    assert!(found(&at("7.24"), "oci-layout").is_none(), "made by the router itself");
    assert!(found(&at("7.23"), "oci-layout").is_some() && found(&at("universal"), "oci-layout").is_some());
}

#[test]
fn libraries_are_found_where_the_loader_looks() {
    let bench = Bench::new();
    let program = Elf { interpreter: "/lib/ld-linux.so.2", needed: &["libx.so.1"], ..AMD64 };
    let layer = |elf: &Elf| {
        Layer::default().dir("bin").file("bin/app", 0o755, elf.bytes()).dir("lib").file(
            "lib/ld-linux.so.2",
            0o755,
            AMD64.bytes(),
        )
    };
    let library = |path: &str| (path.to_string(), AMD64.bytes());
    let ok = |layer: Layer, env: &str| {
        let image = Image::of(layer.end()).run("Env", json!(["PATH=/bin", env]));
        let report = bench.check(&image.pack(), &bench.options());
        assert!(found(&report, "elf-libraries").is_none(), "{env}: {:?}", named(&report));
    };
    for path in ["lib/libx.so.1", "usr/lib/libx.so.1", "lib/x86_64-linux-gnu/libx.so.1", "usr/lib64/libx.so.1"] {
        let (path, bytes) = library(path);
        ok(layer(&program).file(&path, 0o755, bytes), "A=1");
    }
    let (path, bytes) = library("opt/x/libx.so.1");
    ok(layer(&program).file(&path, 0o755, &bytes), "LD_LIBRARY_PATH=/nowhere:/opt/x");
    ok(layer(&Elf { runpath: "$ORIGIN/../opt/x", ..program.clone() }).file(&path, 0o755, &bytes), "A=1");
    ok(layer(&Elf { runpath: "${ORIGIN}/../opt/x", ..program.clone() }).file(&path, 0o755, &bytes), "A=1");
    let conf = layer(&program).dir("etc").file("etc/ld.so.conf", 0o644, "# own\ninclude /etc/ld.so.conf.d/*.conf\n");
    ok(conf.file("etc/ld.so.conf.d/x.conf", 0o644, "/opt/x\n").file(&path, 0o755, &bytes), "A=1");
    // a link of the usual kind, and a library's own library
    let chain = layer(&program).file("lib/libx.so.1.2", 0o755, Elf { needed: &["liby.so"], ..AMD64 }.bytes());
    let chain = chain.link(EntryType::Symlink, "lib/libx.so.1", "libx.so.1.2");
    ok(chain.clone().file("lib/liby.so", 0o755, AMD64.bytes()), "A=1");
    let report = bench.check(&Image::of(chain.end()).pack(), &bench.options());
    assert!(found(&report, "elf-libraries").unwrap().message.contains("liby.so"), "{:?}", named(&report));
    // musl's loader is its own libc, and has its own file of directories
    let musl =
        Elf { interpreter: "/lib/ld-musl-x86_64.so.1", needed: &["libc.musl-x86_64.so.1", "libx.so.1"], ..AMD64 };
    let alpine = |more: Layer| more.file("lib/ld-musl-x86_64.so.1", 0o755, AMD64.bytes());
    let (path, bytes) = library("usr/local/lib/libx.so.1");
    ok(alpine(layer(&musl)).file(&path, 0o755, &bytes), "A=1");
    let configured = alpine(layer(&musl)).dir("etc").file("etc/ld-musl-x86_64.path", 0o644, "/opt/x\n");
    ok(configured.clone().file("opt/x/libx.so.1", 0o755, &bytes), "A=1");
    let report = bench.check(&Image::of(configured.file(&path, 0o755, &bytes).end()).pack(), &bench.options());
    assert!(found(&report, "elf-libraries").is_some(), "the file replaces the defaults");
}

#[test]
fn mending_makes_an_archive_that_nothing_is_wrong_with() {
    let bench = Bench::new();
    let upper = Layer::default().file("etc/.wh.passwd", 0o644, "").file("new", 0o644, "new").end();
    let layers =
        vec![gzip(&base().put(EntryType::Fifo, "pipe", 0o666, "", b"").end()), zstd::encode_all(&*upper, 1).unwrap()];
    let bad = Image { layers, tags: vec!["ghcr.io/a/app:1"], blobs: true, ..Image::good() };
    let out = bench.dir.path().join("out.tar");
    for (bytes, tag) in [(bad.pack(), "a/app:1"), (Image { oci: true, ..bad.clone() }.pack(), "own-name:latest")] {
        let fixed = fix(Source::Reader(&mut &*bytes, "x"), &bench.options(), &out, "own-name", false).unwrap();
        assert!(fixed.before.count(Severity::Error) > 0);
        let report = check(Source::Path(&out), &bench.options()).unwrap();
        assert_eq!(named(&report), Vec::<String>::new());
        assert_eq!(report.tags, [tag]);
        assert_eq!(report.image_id, fixed.summary.image_id);
    }
    // in place
    std::fs::write(&out, bad.pack()).unwrap();
    fix(Source::Path(&out), &bench.options(), &out, "x", false).unwrap();
    assert_eq!(named(&check(Source::Path(&out), &bench.options()).unwrap()), Vec::<String>::new());
}

#[test]
fn what_is_not_what_it_says_is_not_mended() {
    let bench = Bench::new();
    let out = bench.dir.path().join("out.tar");
    for bytes in [
        Image { diff_ids: Some(vec![Digest::of(b"other")]), ..Image::good() }.pack(),
        Image::of(base().file("../x", 0o644, "x").end()).pack(),
        base().end(),
        b"nothing".to_vec(),
    ] {
        let result = fix(Source::Reader(&mut &*bytes, "x"), &bench.options(), &out, "x", false);
        assert!(matches!(result, Err(FixError::Beyond(_))), "{result:?}");
        assert!(!out.exists());
    }
}

#[test]
fn hostile_archives_are_reports_not_troubles() {
    let bench = Bench::new();
    // inflates to more than the limit
    let bomb = Image::of(gzip(&vec![0; 32 << 20])).pack_raw();
    let options = Options { limit: 16 << 20, ..bench.options() };
    assert!(found(&bench.check(&bomb, &options), "layer-damaged").unwrap().message.contains("limit"));
    let outer = gzip(&vec![0; 32 << 20]);
    assert!(found(&bench.check(&outer, &options), "archive-damaged").unwrap().message.contains("limit"));
    // names that are no text, circles, and sizes that lie
    let circle = Layer::default().dir("bin").link(EntryType::Symlink, "bin/app", "app");
    assert!(found(&bench.check(&Image::of(circle.end()).pack(), &bench.options()), "command-missing").is_some());
    let mut program = AMD64.bytes();
    program[32..40].copy_from_slice(&u64::MAX.to_le_bytes()); // the segments' place
    let damaged = Image::of(Layer::default().dir("bin").file("bin/app", 0o755, program).end()).pack();
    assert!(found(&bench.check(&damaged, &bench.options()), "elf-machine").unwrap().message.contains("damaged"));
    // whatever byte is wrong, wherever it is cut: a report
    let good =
        Image::of(base().file("bin/d", 0o755, Elf { interpreter: "/x", needed: &["y"], ..AMD64 }.bytes()).end()).pack();
    for at in (0..good.len()).step_by(97) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x55;
        let _ = bench.check(&bytes, &bench.options());
        let _ = bench.check(&good[..at], &bench.options());
    }
    // files are not left behind
    assert_eq!(std::fs::read_dir(bench.dir.path()).unwrap().count(), 0);
}

#[test]
fn sarif_names_rules_and_places() {
    let bench = Bench::new();
    let report = bench.check(&Image::of(gzip(&base().end())).pack(), &bench.options());
    let sarif = sarif(std::slice::from_ref(&report), "1.2.3");
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let result = &run["results"][0];
    assert_eq!((result["ruleId"].as_str(), result["level"].as_str()), (Some("layer-compression"), Some("error")));
    let at = result["ruleIndex"].as_u64().unwrap() as usize;
    assert_eq!(run["tool"]["driver"]["rules"][at]["id"], "layer-compression");
    assert_eq!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "test.tar");
    let json = report.to_json();
    assert_eq!((json["errors"].as_u64(), json["findings"][0]["evidence"].as_str()), (Some(1), Some("tested")));
}

#[test]
fn a_missing_file_and_a_directory_say_what_to_do() {
    let bench = Bench::new();
    let e = check(Source::Path(Path::new("/nonexistent.tar")), &bench.options()).unwrap_err();
    assert!(e.to_string().contains("/nonexistent.tar"), "{e}");
    let e = check(Source::Path(bench.dir.path()), &bench.options()).unwrap_err();
    assert!(e.to_string().contains("tar -C"), "{e}");
}
