//! W4's image: an OCI layout of gzip'd layers, the same on every machine.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::random::Random;

/// Layers of the image.
const LAYERS: u64 = 8;
/// Directories of a layer, and files of each.
const DIRS: u64 = 30;
const FILES: u64 = 125;

/// The image on disk.
pub struct Image {
    /// The layout.
    pub dir: PathBuf,
    /// The layers' blobs.
    pub layers: Vec<PathBuf>,
}

/// Makes the image in `dir`, or finds it there.
pub fn make(dir: &Path) -> Image {
    let layout = dir.join("image");
    let blobs = layout.join("blobs/sha256");
    if !layout.join("index.json").exists() {
        eprintln!("making the image (once) …");
        fs::create_dir_all(&blobs).expect("a directory for the image");
        write(&layout, &blobs);
    }
    let manifest = blob_of(&layout, &read(&layout.join("index.json"))["manifests"][0]);
    let manifest = read(&manifest);
    let layers: Vec<PathBuf> =
        manifest["layers"].as_array().expect("layers").iter().map(|l| blob_of(&layout, l)).collect();
    Image { dir: layout, layers }
}

fn read(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).expect("a file of the image")).expect("JSON")
}

fn blob_of(layout: &Path, descriptor: &serde_json::Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().expect("a digest");
    layout.join("blobs").join(digest.replace(':', "/"))
}

fn write(layout: &Path, blobs: &Path) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let text: Vec<u8> = (0..1 << 20).flat_map(|_| random.word()).take(16 << 20).collect();
    let (mut layers, mut diff_ids, mut bytes) = (Vec::new(), Vec::new(), 0);
    for n in 0..LAYERS {
        let temporary = blobs.join("new");
        let file = BufWriter::with_capacity(1 << 20, File::create(&temporary).expect("a blob"));
        let gzip = GzEncoder::new(file, Compression::new(6));
        let tee = Tee { to: gzip, hash: Sha256::new(), bytes: 0 };
        let mut tar = Builder::new(tee);
        layer(&mut tar, n, &mut random, &text);
        let tee = tar.into_inner().expect("the end of a layer");
        tee.to.finish().and_then(|mut f| f.flush()).expect("the end of a blob");
        bytes += tee.bytes;
        diff_ids.push(format!("sha256:{}", hex::encode(tee.hash.finalize())));
        let blob = fs::read(&temporary).expect("a blob");
        let digest = hex::encode(Sha256::digest(&blob));
        fs::rename(&temporary, blobs.join(&digest)).expect("a blob's name");
        layers.push(json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": format!("sha256:{digest}"), "size": blob.len(),
        }));
    }
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": { "Cmd": ["/data/l0/d000/f000"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = put(blobs, "application/vnd.oci.image.config.v1+json", &config);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": layers, "annotations": { "tar": bytes.to_string() },
    });
    let mut manifest = put(blobs, "application/vnd.oci.image.manifest.v1+json", &manifest);
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("the layout's mark");
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(layout.join("index.json"), index.to_string()).expect("the layout's index");
}

fn put(blobs: &Path, media_type: &str, value: &serde_json::Value) -> serde_json::Value {
    let bytes = value.to_string();
    let digest = hex::encode(Sha256::digest(&bytes));
    fs::write(blobs.join(&digest), &bytes).expect("a blob");
    json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() })
}

/// A layer: directories of its own, files that replace older ones, whiteouts, an opaque directory, hard links.
fn layer<W: Write>(tar: &mut Builder<W>, n: u64, random: &mut Random, text: &[u8]) {
    let dir = |tar: &mut Builder<W>, name: &str, mode| entry(tar, name, EntryType::Directory, mode, &[]);
    dir(tar, &format!("data/l{n}"), 0o755);
    for d in 0..DIRS {
        dir(tar, &format!("data/l{n}/d{d:03}"), if d % 2 == 0 { 0o755 } else { 0o750 });
    }
    if n > 0 {
        let below = n - 1;
        for f in 0..FILES / 2 {
            entry(tar, &format!("data/l{below}/d007/.wh.f{f:03}"), EntryType::Regular, 0, &[]);
        }
        entry(tar, &format!("data/l{below}/.wh.d009"), EntryType::Regular, 0, &[]);
        entry(tar, &format!("data/l{below}/d011/.wh..wh..opq"), EntryType::Regular, 0, &[]);
        for d in 12..14 {
            for f in 0..FILES {
                let content = random.content(text);
                entry(tar, &format!("data/l{below}/d{d:03}/f{f:03}"), EntryType::Regular, 0o600, &content);
            }
        }
    }
    for d in 0..DIRS {
        for f in 0..FILES {
            let content = random.content(text);
            let mode = [0o644, 0o644, 0o755, 0o4755][random.below(4) as usize];
            entry(tar, &format!("data/l{n}/d{d:03}/f{f:03}"), EntryType::Regular, mode, &content);
        }
        for f in 0..8 {
            let mut header = header(EntryType::Link, 0o644, 0);
            let (name, target) = (format!("data/l{n}/d{d:03}/h{f}"), format!("data/l{n}/d{d:03}/f{:03}", f * 9));
            tar.append_link(&mut header, name, target).expect("a hard link");
        }
    }
}

fn entry<W: Write>(tar: &mut Builder<W>, name: &str, kind: EntryType, mode: u32, content: &[u8]) {
    tar.append_data(&mut header(kind, mode, content.len() as u64), name, content).expect("an entry");
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(1_704_067_200);
    header
}

/// Counts and hashes what goes into a blob's compressor.
struct Tee<W> {
    to: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.to.write_all(bytes)?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}
