//! Tars as no honest program writes them: every byte of a header is the caller's.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A tar that grows entry by entry.
#[derive(Clone, Default)]
pub struct Raw(Vec<u8>);

impl Raw {
    /// An entry of this type flag. A name of more than 100 bytes is cut.
    pub fn entry(self, kind: u8, name: &[u8], link: &[u8], data: &[u8]) -> Self {
        self.odd(kind, name, link, data, |_| {})
    }

    /// An entry whose header is changed before its checksum is taken.
    pub fn odd(mut self, kind: u8, name: &[u8], link: &[u8], data: &[u8], change: impl FnOnce(&mut [u8])) -> Self {
        let mut header = [0u8; 512];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &name[..name.len().min(100)]);
        put(100, if kind == b'5' { b"0000755\0" } else { b"0000644\0" });
        put(108, b"0000000\x000000000\0");
        put(124, format!("{:011o}\0{:011o}\0", data.len(), 1_600_000_000).as_bytes());
        put(156, &[kind]);
        put(157, &link[..link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(329, b"0000001\x000000003\0");
        change(&mut header);
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend(header);
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// A file of one word.
    pub fn file(self, name: &[u8]) -> Self {
        self.entry(b'0', name, b"", b"bytes")
    }

    /// A link (`1` hard, `2` symbolic).
    pub fn link(self, kind: u8, name: &[u8], to: &[u8]) -> Self {
        self.entry(kind, name, to, b"")
    }

    /// A pax header with one record.
    pub fn pax(self, key: &str, value: &[u8]) -> Self {
        let body = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
        let length = (body.len()..).find(|n| n.to_string().len() + body.len() == *n).unwrap();
        let record = [length.to_string().as_bytes(), &body].concat();
        self.entry(b'x', b"pax", b"", &record)
    }

    /// The tar with its end.
    pub fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }

    /// What there is so far.
    pub fn bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The digest of some bytes, as `sha256:…`.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// An image config that names these digests of layers.
pub fn config(diff_ids: &[String]) -> Vec<u8> {
    let value: Value = json!({
        "os": "linux",
        "architecture": "arm64",
        "config": { "Cmd": ["/app"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    value.to_string().into_bytes()
}

/// A docker-archive with one plain layer.
pub fn docker_archive(layer: &[u8]) -> Vec<u8> {
    docker_archive_of(&config(&[digest(layer)]), &["layer.tar"], &[("layer.tar", layer)])
}

/// A docker-archive of this config, with layers by the names of members.
pub fn docker_archive_of(config: &[u8], layers: &[&str], members: &[(&str, &[u8])]) -> Vec<u8> {
    let name = format!("{}.json", &digest(config)[7..]);
    let manifest = json!([{ "Config": name, "RepoTags": ["app:1"], "Layers": layers }]).to_string();
    let raw = Raw::default().entry(b'0', name.as_bytes(), b"", config);
    let raw = members.iter().fold(raw, |raw, (name, bytes)| raw.entry(b'0', name.as_bytes(), b"", bytes));
    raw.entry(b'0', b"manifest.json", b"", manifest.as_bytes()).end()
}
