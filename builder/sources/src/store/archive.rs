//! docker-archives: `manifest.json`, config files, and layers as tars, under whatever names.
//!
//! moby/moby `image/tarexport` (legacy `<id>/layer.tar` with symlinks, and `blobs/sha256/<hex>` since
//! Docker 25); containers/image `docker/internal/tarfile`.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use routerpack_graph::{Digest, Platform};
use serde::Deserialize;

use super::members::Members;
use super::{files::Files, image_name, select};
use crate::Limits;
use crate::blobs::digest_of;
use crate::error::{Error, Result};
use crate::image::{Image, Origin, Parts};
use crate::layer::{Compression, Opened, Progress, Sink};
use crate::manifest::{Descriptor, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};

/// One image of `manifest.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// An opened docker-archive.
#[derive(Debug)]
pub(super) struct DockerArchive {
    path: PathBuf,
    files: Files,
    entries: Vec<Entry>,
    // Digests of compressed members, which have to be read to be known.
    hashed: Mutex<Vec<(String, Digest)>>,
}

impl DockerArchive {
    pub fn open(path: &Path, members: Members, limits: &Limits) -> Result<Self> {
        let files = Files::Tar(members);
        let bytes = files.read(path, "manifest.json", limits.manifest)?.unwrap_or_default();
        let entries = serde_json::from_slice(&bytes)
            .map_err(|e| Error::malformed(format!("{}: manifest.json", path.display()), e))?;
        Ok(Self { path: path.into(), files, entries, hashed: Mutex::default() })
    }

    pub fn tags(&self) -> Vec<String> {
        self.entries.iter().flat_map(names).collect()
    }

    pub fn image(
        self: &Arc<Self>,
        tag: Option<&str>,
        digest: Option<&Digest>,
        platform: &Platform,
        limits: &Limits,
    ) -> Result<Image> {
        let all_names: Vec<Vec<String>> = self.entries.iter().map(names).collect();
        let meant = match digest {
            Some(_) => (0..self.entries.len()).collect(),
            None => select::select(&self.path, &all_names, tag)?,
        };
        let images = meant
            .into_iter()
            .map(|i| self.assemble(&self.entries[i], image_name(&self.path, tag), limits))
            .collect::<Result<Vec<_>>>()?;
        if let Some(digest) = digest {
            let available = images.iter().map(|i| i.digest.to_string()).collect();
            return images.into_iter().find(|i| i.digest == *digest).ok_or_else(|| Error::NoImage {
                store: self.path.clone(),
                problem: format!("it has no {digest}"),
                available,
            });
        }
        if let [only] = &images[..] {
            return Ok(only.clone());
        }
        platform.candidates().iter().find_map(|p| images.iter().find(|i| i.platform == *p)).cloned().ok_or_else(|| {
            Error::NoPlatform {
                image: image_name(&self.path, tag),
                wanted: platform.clone(),
                available: images.iter().map(|i| i.platform.to_string()).collect(),
            }
        })
    }

    /// The image of an entry, with the manifest that it would have had.
    fn assemble(self: &Arc<Self>, entry: &Entry, name: String, limits: &Limits) -> Result<Image> {
        let missing =
            |member: &str| Error::malformed(&name, format!("`{member}` is missing; the archive is incomplete"));
        let config =
            self.files.read(&self.path, &entry.config, limits.config)?.ok_or_else(|| missing(&entry.config))?;
        let config_digest = Digest::of(&config);
        // A config's file name is its digest, in either form; anything else claims nothing.
        let claimed = entry.config.trim_end_matches(".json").rsplit('/').next().unwrap_or_default();
        if let Ok(expected) = Digest::parse(&format!("sha256:{claimed}"))
            && expected != config_digest
        {
            return Err(Error::WrongDigest { from: name, expected, actual: config_digest });
        }
        let read: routerpack_graph::ImageConfig =
            serde_json::from_slice(&config).map_err(|e| Error::malformed(&name, format!("its config: {e}")))?;
        let paths = entry.layers.as_deref().unwrap_or_default();
        let diff_ids = &read.rootfs.diff_ids;
        if paths.len() != diff_ids.len() {
            return Err(Error::malformed(
                &name,
                format!("it has {} layers but the config has {} diff_ids", paths.len(), diff_ids.len()),
            ));
        }
        let mut layers = Vec::new();
        let mut members = Vec::new();
        for (path, diff_id) in std::iter::zip(paths, diff_ids) {
            let layer = self.layer(path, diff_id)?.ok_or_else(|| missing(path))?;
            members.push((layer.digest.clone(), path.clone()));
            layers.push(layer);
        }
        let manifest = Manifest {
            schema_version: 2,
            media_type: OCI_MANIFEST.into(),
            config: descriptor(OCI_CONFIG, config_digest, config.len() as u64),
            layers,
        };
        let bytes = serde_json::to_vec(&manifest).map_err(|e| Error::malformed(&name, e))?;
        let digest = Digest::of(&bytes);
        let origin = Arc::new(ArchiveOrigin { archive: self.clone(), members });
        Image::assemble(
            Parts { name, digest: digest.clone(), root_digest: digest, bytes, manifest, config, declared: None },
            origin,
            limits,
        )
    }

    /// A layer's descriptor. A plain tar's digest is its diff_id, verified when it is read; a
    /// compressed one is read here, once.
    fn layer(&self, path: &str, diff_id: &Digest) -> Result<Option<Descriptor>> {
        let Some(mut file) = self.files.open(path)? else { return Ok(None) };
        let failed = || Error::file(self.path.join(path), "read");
        let mut start = Vec::new();
        (&mut file.reader).take(4).read_to_end(&mut start).map_err(failed())?;
        let suffix = match Compression::of(&start) {
            Compression::None => return Ok(Some(descriptor(OCI_LAYER, diff_id.clone(), file.size))),
            Compression::Gzip => "+gzip",
            Compression::Zstd => "+zstd",
        };
        let mut hashed = self.hashed.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = match hashed.iter().find(|(p, _)| p == path) {
            Some((_, digest)) => digest.clone(),
            None => {
                let whole = io::Cursor::new(start).chain(file.reader);
                let digest = digest_of(whole).map_err(failed())?;
                hashed.push((path.into(), digest.clone()));
                digest
            }
        };
        Ok(Some(descriptor(&format!("{OCI_LAYER}{suffix}"), digest, file.size)))
    }
}

fn names(entry: &Entry) -> Vec<String> {
    entry.repo_tags.iter().flatten().map(|name| crate::http::clean(name)).collect()
}

pub(super) fn descriptor(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor { media_type: media_type.into(), digest, size, platform: None, annotations: None }
}

/// One image's layers: their members by the digests of the made manifest.
#[derive(Debug)]
struct ArchiveOrigin {
    archive: Arc<DockerArchive>,
    members: Vec<(Digest, String)>,
}

impl Origin for ArchiveOrigin {
    fn open(&self, blob: &Digest, _: u64, _: Option<Arc<dyn Progress>>) -> Result<Opened> {
        let member = self.members.iter().find(|(digest, _)| digest == blob);
        let file = match member {
            Some((_, path)) => self.archive.files.open(path)?,
            None => None,
        };
        let file = file.ok_or_else(|| Error::malformed(self.name(), format!("layer {blob} is missing")))?;
        Ok(Opened { reader: file.reader, sink: Sink::None })
    }

    fn name(&self) -> String {
        self.archive.path.display().to_string()
    }
}
