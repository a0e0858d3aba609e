//! Images made on the spot, as blobs and as OCI layouts.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use routerpack_graph::{Digest, Platform};
use routerpack_sources::{Config, Error, Image};
use serde_json::{Value, json};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

type Compress = fn(&[u8]) -> Vec<u8>;

/// Blobs by digest, and what to call them.
#[derive(Clone, Default)]
pub struct Sample {
    pub blobs: BTreeMap<Digest, Vec<u8>>,
    /// Entries of `index.json`.
    pub entries: Vec<Value>,
}

/// A tar with one file of that name and content.
pub fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    builder.append_data(&mut header, name, content).unwrap();
    builder.into_inner().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// Bytes that don't compress, always the same.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

impl Sample {
    pub fn put(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = Digest::of(&bytes);
        let descriptor = json!({"mediaType": media_type, "digest": digest.as_str(), "size": bytes.len()});
        self.blobs.insert(digest, bytes);
        descriptor
    }

    /// An image of layers given as (uncompressed tar, blob); its descriptor declares the platform.
    pub fn image(&mut self, platform: &str, layers: &[(Vec<u8>, Vec<u8>)]) -> Value {
        let (os, arch, variant) = split(platform);
        let diff_ids: Vec<String> = layers.iter().map(|(tar, _)| Digest::of(tar).to_string()).collect();
        let mut config = json!({
            "architecture": arch, "os": os,
            "config": {"Cmd": [platform]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        if !variant.is_empty() {
            config["variant"] = json!(variant);
        }
        let config = self.put("application/vnd.oci.image.config.v1+json", serde_json::to_vec(&config).unwrap());
        let layers: Vec<Value> = layers
            .iter()
            .map(|(_, blob)| {
                let suffix = match &blob[..4] {
                    [0x1f, 0x8b, ..] => "+gzip",
                    [0x28, 0xb5, ..] => "+zstd",
                    _ => "",
                };
                self.put(&format!("{LAYER}{suffix}"), blob.clone())
            })
            .collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        let mut descriptor = self.put(MANIFEST, serde_json::to_vec(&manifest).unwrap());
        descriptor["platform"] = json!({"os": os, "architecture": arch});
        if !variant.is_empty() {
            descriptor["platform"]["variant"] = json!(variant);
        }
        descriptor
    }

    /// Lists a descriptor under a tag.
    pub fn tag(&mut self, mut descriptor: Value, tag: &str) {
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        self.entries.push(descriptor);
    }

    /// A three-layer image (gzip, zstd, plain) for amd64, tagged `1.0`.
    pub fn three_layers() -> Self {
        Self::layers([gzip, zstd, <[u8]>::to_vec])
    }

    /// The same without zstd, which skopeo doesn't write into docker-archives.
    pub fn three_older_layers() -> Self {
        Self::layers([gzip, gzip, <[u8]>::to_vec])
    }

    fn layers(compress: [Compress; 3]) -> Self {
        let mut sample = Self::default();
        let tars = ["a", "b", "c"].map(|name| tar(name, &noise(3000)));
        let blobs: Vec<_> = std::iter::zip(&tars, compress).map(|(tar, with)| with(tar)).collect();
        let layers: Vec<_> = std::iter::zip(tars, blobs).collect();
        let image = sample.image("linux/amd64", &layers);
        sample.tag(image, "1.0");
        sample
    }

    /// One image for each platform, in one index, with BuildKit's attestations; tagged `multi`.
    pub fn for_platforms(platforms: &[&str]) -> Self {
        let mut sample = Self::default();
        let mut entries = Vec::new();
        for platform in platforms {
            let tar = tar("platform", platform.as_bytes());
            let image = sample.image(platform, &[(tar.clone(), gzip(&tar))]);
            let of = image["digest"].clone();
            entries.push(image);
            let statement = tar_of_nothing();
            let mut attestation = sample.image("unknown/unknown", &[(statement.clone(), statement)]);
            attestation["annotations"] =
                json!({"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": of});
            entries.push(attestation);
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        let index = sample.put(INDEX, serde_json::to_vec(&index).unwrap());
        sample.tag(index, "multi");
        sample
    }

    pub fn digest(&self, entry: usize) -> Digest {
        Digest::parse(self.entries[entry]["digest"].as_str().unwrap()).unwrap()
    }

    pub fn json(&self, digest: &Digest) -> Value {
        serde_json::from_slice(&self.blobs[digest]).unwrap()
    }

    /// Writes it as an OCI layout.
    pub fn write(&self, dir: &Path) {
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let index = json!({"schemaVersion": 2, "manifests": self.entries});
        fs::write(dir.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
        for (digest, bytes) in &self.blobs {
            fs::write(dir.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        }
    }
}

fn tar_of_nothing() -> Vec<u8> {
    tar("statement", b"{}")
}

fn split(platform: &str) -> (&str, &str, &str) {
    let mut parts = platform.split('/');
    let mut part = || parts.next().unwrap_or_default();
    (part(), part(), part())
}

pub fn platform(text: &str) -> Platform {
    let (os, arch, variant) = split(text);
    Platform::new(os, arch, variant)
}

/// A config that fails fast.
pub fn config(cache: &Path) -> Config {
    let mut config = Config::new(cache);
    config.retries = 2;
    config.backoff = std::time::Duration::from_millis(5);
    config.connect_timeout = std::time::Duration::from_secs(5);
    config.read_timeout = std::time::Duration::from_secs(5);
    config
}

/// The inflated tar of a layer.
pub fn layer(image: &Image, n: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    match image.open_layer(n, None)?.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(e) => Err(Error::from_io(e).expect("a typed error")),
    }
}

/// Every file below a directory, but for its tag and file records.
pub fn leftovers(cache: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for dir in ["tmp", "locks"] {
        for entry in fs::read_dir(cache.join(dir)).into_iter().flatten() {
            found.push(entry.unwrap().path().display().to_string());
        }
    }
    found
}
