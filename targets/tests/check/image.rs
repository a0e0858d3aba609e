//! Archives of images, right but for what a test makes wrong.

use std::io::{Read, Write};

use flate2::{Compression, write::GzEncoder};
use routerpack_graph::Digest;
use serde_json::{Value, json};

use crate::{elf::AMD64, layer::Layer};

/// An image to be packed, and what of the archive is to be wrong.
#[derive(Clone)]
pub struct Image {
    pub layers: Vec<Vec<u8>>,
    pub config: Value,
    pub tags: Vec<&'static str>,
    pub diff_ids: Option<Vec<Digest>>,
    pub config_name: Option<String>,
    /// Further members: before all others.
    pub extra: Vec<(String, Vec<u8>)>,
    pub blobs: bool,
    pub oci: bool,
}

impl Image {
    /// The smallest that nothing is wrong with.
    pub fn good() -> Self {
        Self::of(base().end())
    }

    pub fn of(layer: Vec<u8>) -> Self {
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

    pub fn run(mut self, key: &str, value: Value) -> Self {
        self.config["config"][key] = value;
        self
    }

    pub fn platform(mut self, architecture: &str, variant: &str) -> Self {
        self.config["architecture"] = architecture.into();
        self.config["variant"] = variant.into();
        self
    }

    pub fn pack(&self) -> Vec<u8> {
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

    /// A layer whose bytes have no digest to be had.
    pub fn pack_raw(&self) -> Vec<u8> {
        let layer = self.layers[0].clone();
        let config = serde_json::to_vec(&json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [Digest::of(b"")] } })).unwrap();
        let manifest =
            json!([{ "Config": "c.json", "RepoTags": ["a:1"], "Layers": ["l.tar"] }]).to_string().into_bytes();
        pack(&[("c.json".into(), config), ("l.tar".into(), layer), ("manifest.json".into(), manifest)])
    }

    /// The archive without these members.
    pub fn without(&self, names: &[&str]) -> Vec<u8> {
        let bytes = self.pack();
        let mut kept = Vec::new();
        for entry in tar::Archive::new(&*bytes).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut data = Vec::new();
            entry.read_to_end(&mut data).unwrap();
            if !names.contains(&name.as_str()) {
                kept.push((name, data));
            }
        }
        pack(&kept)
    }
}

pub fn pack(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut layer = Layer::default();
    for (name, bytes) in members {
        layer = layer.file(name, 0o644, bytes);
    }
    layer.end()
}

fn plain(layer: &[u8]) -> Vec<u8> {
    let mut reader: Box<dyn Read> = match layer {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::GzDecoder::new(layer)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::new(layer).unwrap()),
        [0xfd, b'7', ..] => Box::new(lzma_rust2::XzReader::new(layer, true)),
        [b'B', b'Z', b'h', b'1', ..] => Box::new(bzip2::read::BzDecoder::new(layer)),
        _ => Box::new(layer),
    };
    let mut out = Vec::new();
    reader.read_to_end(&mut out).unwrap();
    out
}

pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub fn base() -> Layer {
    Layer::default().dir("bin").file("bin/app", 0o755, AMD64.bytes()).dir("etc").file(
        "etc/passwd",
        0o644,
        "app:x:1:1::/:\n",
    )
}
