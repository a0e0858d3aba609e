//! OCI image layouts, as directories or tars (OCI image-spec, `image-layout.md`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use routerpack_graph::{Digest, Platform};

use super::files::Files;
use super::{image_name, select};
use crate::Limits;
use crate::error::{Error, Result};
use crate::image::{Image, Origin, Parts};
use crate::layer::{Opened, Progress, Sink};
use crate::manifest::{self, Descriptor, Document, Documents, Index, OCI_INDEX};

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// A layout with its index read.
#[derive(Debug)]
pub(super) struct Layout {
    path: PathBuf,
    files: Files,
    index: Index,
    limits: Limits,
}

impl Layout {
    pub fn open(path: &Path, files: Files, limits: &Limits) -> Result<Self> {
        let what = |name: &str| format!("{}: {name}", path.display());
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Marker {
            image_layout_version: String,
        }
        let marker = files.read(path, "oci-layout", limits.manifest)?.unwrap_or_default();
        let marker: Marker = serde_json::from_slice(&marker).map_err(|e| Error::malformed(what("oci-layout"), e))?;
        if !marker.image_layout_version.starts_with("1.") {
            return Err(Error::malformed(
                what("oci-layout"),
                format!("version {} is unknown", marker.image_layout_version),
            ));
        }
        let index = files.read(path, "index.json", limits.manifest)?.unwrap_or_default();
        let Document::Index(index) = Document::parse(&index, &what("index.json"))? else {
            return Err(Error::malformed(what("index.json"), "it is not an index"));
        };
        Ok(Self { path: path.into(), files, index, limits: limits.clone() })
    }

    pub fn tags(&self) -> Vec<String> {
        self.index.manifests.iter().flat_map(names).collect()
    }

    pub fn image(
        self: &Arc<Self>,
        tag: Option<&str>,
        digest: Option<&Digest>,
        platform: &Platform,
        limits: &Limits,
    ) -> Result<Image> {
        let entries = match digest {
            Some(digest) => vec![self.descriptor(digest)?],
            None => self.entries(tag)?,
        };
        self.of(entries, image_name(&self.path, tag), platform, limits)
    }

    /// The image for another platform out of the index, or the entries of one name, that lists a manifest.
    pub fn sibling(self: &Arc<Self>, manifest: &Digest, platform: &Platform, limits: &Limits) -> Result<Option<Image>> {
        let all = &self.index.manifests;
        let name = image_name(&self.path, None);
        for entry in all {
            let family: Vec<Descriptor> = match entry.is_index() {
                true => vec![entry.clone()],
                false => all.iter().filter(|e| !e.is_index() && names(e) == names(entry)).cloned().collect(),
            };
            if manifest::leaves(&**self, &family, &name)?.iter().any(|(_, leaf)| leaf.digest == *manifest) {
                return match self.of(family, name, platform, limits) {
                    Err(Error::NoPlatform { .. }) => Ok(None),
                    other => other.map(Some),
                };
            }
        }
        Ok(None)
    }

    fn of(
        self: &Arc<Self>,
        entries: Vec<Descriptor>,
        name: String,
        platform: &Platform,
        limits: &Limits,
    ) -> Result<Image> {
        let chosen = match &entries[..] {
            // A sole image is taken whatever platform it declares.
            [only] if !only.is_index() => only.clone(),
            _ => manifest::choose(&**self, &entries, platform, &name)?,
        };
        let root_digest = if let [only] = &entries[..] { only.digest.clone() } else { chosen.digest.clone() };
        let bytes = self.document(&chosen)?;
        let Document::Manifest(manifest) = Document::parse(&bytes, &name)? else {
            return Err(Error::malformed(
                name,
                format!("{} is announced as a manifest but is an index", chosen.digest),
            ));
        };
        let config = self.document(&manifest.config)?;
        let declared = chosen.platform();
        let parts = Parts { name, declared, digest: chosen.digest, root_digest, bytes, manifest, config };
        Image::assemble(parts, self.clone(), limits)
    }

    /// The entries that a tag means.
    fn entries(&self, tag: Option<&str>) -> Result<Vec<Descriptor>> {
        let all = &self.index.manifests;
        let names: Vec<Vec<String>> = all.iter().map(names).collect();
        let found = select::select(&self.path, &names, tag)?;
        let found: Vec<Descriptor> = found.into_iter().map(|i| all[i].clone()).collect();
        let twice = |(n, entry): (usize, &Descriptor)| found[..n].iter().any(|other| other.platform == entry.platform);
        if found.iter().enumerate().any(twice) {
            return Err(Error::NoImage {
                store: self.path.clone(),
                problem: "it holds several images of the same name and platform: append @DIGEST to choose one".into(),
                available: found.iter().map(|m| m.digest.to_string()).collect(),
            });
        }
        Ok(found)
    }

    /// The descriptor of a manifest or index that need not be listed.
    fn descriptor(&self, digest: &Digest) -> Result<Descriptor> {
        let missing = || Error::NoImage {
            store: self.path.clone(),
            problem: format!("it has no {digest}"),
            available: self.index.manifests.iter().map(|m| m.digest.to_string()).collect(),
        };
        let size = self.files.open(&blob_name(digest))?.ok_or_else(missing)?.size;
        let mut descriptor =
            Descriptor { media_type: String::new(), digest: digest.clone(), size, platform: None, annotations: None };
        let bytes = self.document(&descriptor)?;
        if let Document::Index(_) = Document::parse(&bytes, &image_name(&self.path, Some(digest.as_str())))? {
            descriptor.media_type = OCI_INDEX.into();
        }
        Ok(descriptor)
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// An entry's names: the plain tag of the spec, and the complete name that containerd and BuildKit add.
fn names(entry: &Descriptor) -> Vec<String> {
    [REF_NAME, CONTAINERD_NAME].iter().filter_map(|key| entry.annotation(key)).map(crate::http::clean).collect()
}

impl Documents for Layout {
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let from = self.path.display().to_string();
        let (blob, size) = (descriptor.digest.clone(), descriptor.size);
        let limit = self.limits.manifest.max(self.limits.config);
        let bytes = self.files.read(&self.path, &blob_name(&blob), limit)?.ok_or_else(|| absent(&from, &blob))?;
        match bytes.len() as u64 {
            got if got < size => Err(Error::Truncated { from, blob, got, size }),
            got if got > size => Err(Error::Overlong { from, blob, size }),
            _ => match Digest::of(&bytes) {
                actual if actual != blob => Err(Error::WrongDigest { from, expected: blob, actual }),
                _ => Ok(bytes),
            },
        }
    }
}

fn absent(from: &str, blob: &Digest) -> Error {
    Error::malformed(from, format!("blob {blob} is missing; the layout is incomplete: copy or write it again"))
}

impl Origin for Layout {
    fn open(&self, blob: &Digest, _: u64, _: Option<Arc<dyn Progress>>) -> Result<Opened> {
        let file = self.files.open(&blob_name(blob))?.ok_or_else(|| absent(&self.name(), blob))?;
        Ok(Opened { reader: file.reader, sink: Sink::None })
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}
