//! A look into archives that owes nothing to the program under test: the `tar` crate, `serde_json` and `sha2`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// One entry of a tar, without the bytes of its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The type as USTAR has it: `0` file, `1` hard link, `2` symbolic link, `5` directory …
    pub kind: char,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Target of a link, or empty.
    pub link: String,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// Extended attributes, as pax records have them.
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// What a file holds.
    pub data: Vec<u8>,
}

impl Entry {
    /// A file's contents as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }
}

/// Every entry of a tar by its path (without `./` in front and `/` behind). A path that comes twice fails the test.
#[track_caller]
pub fn tar_entries(tar: impl Read) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let path = path.trim_start_matches("./").trim_end_matches('/').to_owned();
        let link =
            entry.link_name_bytes().map(|name| String::from_utf8(name.into_owned()).unwrap()).unwrap_or_default();
        // the names that GNU tar and umoci write start with `./`, a hard link's target as well
        let link = match header.entry_type() {
            tar::EntryType::Link => link.trim_start_matches("./").to_owned(),
            _ => link,
        };
        let mut read = Entry {
            kind: char::from(header.entry_type().as_byte()),
            mode: header.mode().unwrap() & 0o7777,
            uid: header.uid().unwrap(),
            gid: header.gid().unwrap(),
            mtime: header.mtime().unwrap(),
            link,
            device: header
                .entry_type()
                .is_character_special()
                .then_some(())
                .or(header.entry_type().is_block_special().then_some(()))
                .map(|()| (header.device_major().unwrap().unwrap_or(0), header.device_minor().unwrap().unwrap_or(0))),
            xattrs: BTreeMap::new(),
            data: Vec::new(),
        };
        for record in entry.pax_extensions().unwrap().into_iter().flatten() {
            let record = record.unwrap();
            if let Some(name) = record.key().unwrap().strip_prefix("SCHILY.xattr.") {
                read.xattrs.insert(name.to_owned(), record.value_bytes().to_vec());
            }
        }
        entry.read_to_end(&mut read.data).unwrap();
        if !path.is_empty() {
            assert!(entries.insert(path.clone(), read).is_none(), "{path} comes twice");
        }
    }
    entries
}

/// A docker-archive, read whole and checked: one manifest entry, the config's digest is its name, each layer is a plain
/// tar whose digest is its `diff_id`.
#[derive(Debug)]
pub struct Archive {
    /// The one entry of `manifest.json`.
    pub manifest: Value,
    /// The image's config.
    pub config: Value,
    /// sha256 of the config's bytes, in hex: the image's id.
    pub id: String,
    /// The layers, base first.
    pub layers: Vec<Vec<u8>>,
    /// Names of the outer tar's members, in its order.
    pub members: Vec<String>,
}

impl Archive {
    /// Reads an archive; whatever is wrong with it fails the test.
    #[track_caller]
    pub fn read(path: &Path) -> Self {
        let mut files = BTreeMap::new();
        let mut members = Vec::new();
        let mut outer = tar::Archive::new(fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())));
        for entry in outer.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            members.push(name.clone());
            files.insert(name, bytes);
        }
        let file = |name: &Value| files.get(name.as_str().unwrap()).unwrap_or_else(|| panic!("no member {name}"));
        let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        let [manifest] = &manifest.as_array().unwrap()[..] else { panic!("manifest.json has not one entry") };
        let config_bytes = file(&manifest["Config"]);
        let id = hex::encode(Sha256::digest(config_bytes));
        assert!(manifest["Config"].as_str().unwrap().contains(&id), "the config's name isn't its digest");
        let config: Value = serde_json::from_slice(config_bytes).unwrap();
        let layers: Vec<Vec<u8>> =
            manifest["Layers"].as_array().unwrap().iter().map(|name| file(name).clone()).collect();
        let digests = layers.iter().map(|layer| Value::from(format!("sha256:{}", hex::encode(Sha256::digest(layer)))));
        assert_eq!(config["rootfs"]["diff_ids"], digests.collect::<Value>(), "diff_ids aren't the layers' digests");
        Self { manifest: manifest.clone(), config, id, layers, members }
    }

    /// The entries of an archive that must have exactly one layer.
    #[track_caller]
    pub fn entries(&self) -> BTreeMap<String, Entry> {
        assert_eq!(self.layers.len(), 1, "not one layer");
        tar_entries(&self.layers[0][..])
    }

    /// The text of a file in the one layer.
    #[track_caller]
    pub fn text(&self, path: &str) -> String {
        let entries = self.entries();
        entries.get(path).unwrap_or_else(|| panic!("no {path} in {:?}", entries.keys())).text()
    }
}
