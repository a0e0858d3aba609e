//! An image out of an OCI archive: its config, and the file system that its layers make. Independent of routerpack's own
//! readers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::support::archive::{Entry, tar_entries};

/// An image, verified: every digest on the way to it is that of its bytes.
pub struct Image {
    /// The config.
    pub config: Value,
    /// How many layers there are.
    pub layers: usize,
    /// The entries by path; all names of one file have equal entries.
    pub files: BTreeMap<String, Entry>,
    /// The groups of names that are one file.
    pub links: BTreeSet<BTreeSet<String>>,
}

/// A place in the file system while layers are applied: an entry, and which file it is.
struct Node {
    entry: Entry,
    file: usize,
}

impl Image {
    /// Reads an OCI archive with one image; whatever is wrong with it fails the test.
    pub fn read(archive: &Path) -> Self {
        let mut members = BTreeMap::new();
        let mut outer = tar::Archive::new(File::open(archive).unwrap_or_else(|e| panic!("{}: {e}", archive.display())));
        for entry in outer.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            members.insert(name, bytes);
        }
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let bytes = &members[&format!("blobs/sha256/{digest}")];
            assert_eq!(hex::encode(Sha256::digest(bytes)), digest, "a blob's digest");
            bytes
        };
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let mut manifest = json(&members["index.json"]);
        while let Some(manifests) = manifest["manifests"].as_array() {
            let [image] = &manifests[..] else { panic!("not one image: {manifest}") };
            manifest = json(blob(image));
        }
        let config = json(blob(&manifest["config"]));
        let mut tree = Tree::default();
        let mut ids = Vec::new();
        for descriptor in manifest["layers"].as_array().into_iter().flatten() {
            let mut layer = blob(descriptor).clone();
            if layer.starts_with(&[0x1f, 0x8b]) {
                let mut plain = Vec::new();
                GzDecoder::new(&layer[..]).read_to_end(&mut plain).unwrap();
                layer = plain;
            }
            ids.push(Value::from(format!("sha256:{}", hex::encode(Sha256::digest(&layer)))));
            tree.apply(tar_entries(&layer[..]));
        }
        assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap_or(&Vec::new()), &ids, "diff_ids");
        let (files, links) = tree.finish();
        Self { config, layers: ids.len(), files, links }
    }
}

#[derive(Default)]
struct Tree {
    nodes: BTreeMap<String, Node>,
    next: usize,
}

impl Tree {
    /// Puts a layer on top (layer.md of the OCI image specification).
    fn apply(&mut self, layer: BTreeMap<String, Entry>) {
        for path in layer.keys() {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            let below = |name: &str| if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") };
            if name == ".wh..wh..opq" {
                self.remove(&below(""), false);
            } else if let Some(gone) = name.strip_prefix(".wh.") {
                self.remove(&below(gone), true);
            }
        }
        let is_whiteout = |path: &str| path.rsplit('/').next().unwrap().starts_with(".wh.");
        let (links, others): (Vec<_>, Vec<_>) =
            layer.into_iter().filter(|(path, _)| !is_whiteout(path)).partition(|(_, entry)| entry.kind == '1');
        for (path, entry) in others {
            if entry.kind != '5' || self.nodes.get(&path).is_some_and(|old| old.entry.kind != '5') {
                self.remove(&path, true);
            }
            self.next += 1;
            self.nodes.insert(path, Node { entry, file: self.next });
        }
        for (path, link) in links {
            let target =
                &self.nodes.get(&link.link).unwrap_or_else(|| panic!("{path} links to nothing: {}", link.link));
            let node = Node { entry: target.entry.clone(), file: target.file };
            self.remove(&path, true);
            self.nodes.insert(path, node);
        }
    }

    /// Removes what is below a path, and perhaps itself.
    fn remove(&mut self, path: &str, itself: bool) {
        let below = if path.is_empty() || path.ends_with('/') { path.to_owned() } else { format!("{path}/") };
        self.nodes.retain(|name, _| !(name.starts_with(&below) || itself && name == path));
    }

    fn finish(self) -> (BTreeMap<String, Entry>, BTreeSet<BTreeSet<String>>) {
        let mut names: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        for (path, node) in &self.nodes {
            names.entry(node.file).or_default().insert(path.clone());
        }
        let files = self.nodes.into_iter().map(|(path, node)| (path, node.entry)).collect();
        (files, names.into_values().filter(|names| names.len() > 1).collect())
    }
}
