//! An image as a value: manifest and config in memory, layers to be opened where they are.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use routerpack_graph::{Digest, ImageConfig, Platform};

use crate::Limits;
use crate::error::{Error, Result};
use crate::layer::{LayerReader, Opened, Progress, Verified};
use crate::manifest::{DOCKER_MANIFEST, Manifest, OCI_MANIFEST};

/// An image for one platform, from a registry or a local store. Cheap to clone.
#[derive(Clone)]
pub struct Image {
    /// How the user would name it, for messages.
    pub name: String,
    /// Of the manifest.
    pub digest: Digest,
    /// Of what the tag names: the index that lists this manifest, or the manifest itself.
    pub root_digest: Digest,
    /// Of the manifest.
    pub media_type: String,
    /// The manifest's exact bytes.
    pub manifest: Vec<u8>,
    /// Of the config.
    pub config_digest: Digest,
    /// The config's exact bytes.
    pub config_bytes: Vec<u8>,
    /// The config, read.
    pub config: ImageConfig,
    /// What the config says that it runs on (its index, where the config names no variant). A sole manifest is taken whatever was asked for, so
    /// compare this with what was.
    pub platform: Platform,
    /// Lowest first.
    pub layers: Vec<Layer>,
    origin: Arc<dyn Origin>,
    limits: Limits,
}

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Of the blob as it is stored, compressed or not.
    pub digest: Digest,
    /// Bytes of that blob.
    pub size: u64,
    /// What the manifest calls it. Compression is told by the bytes, not by this.
    pub media_type: String,
    /// The digest of the inflated tar.
    pub diff_id: Digest,
}

/// Where an image's layers are.
pub(crate) trait Origin: Send + Sync + fmt::Debug {
    /// A blob's bytes, unverified, with what is to become of them.
    fn open(&self, blob: &Digest, size: u64, progress: Option<Arc<dyn Progress>>) -> Result<Opened>;

    /// For messages.
    fn name(&self) -> String;
}

/// Everything from which an [`Image`] is made; checked on the way.
pub(crate) struct Parts {
    pub name: String,
    pub digest: Digest,
    pub root_digest: Digest,
    pub bytes: Vec<u8>,
    pub manifest: Manifest,
    pub config: Vec<u8>,
    /// What the index that listed the manifest says about its platform.
    pub declared: Option<Platform>,
}

impl Image {
    /// Puts an image together; digests of manifest and config are already known to be right.
    pub(crate) fn assemble(parts: Parts, origin: Arc<dyn Origin>, limits: &Limits) -> Result<Self> {
        let Parts { name, digest, root_digest, bytes, manifest, config: config_bytes, declared } = parts;
        let bad = |reason: String| Error::malformed(&name, reason);
        if manifest.layers.len() > limits.layers {
            return Err(bad(format!("{} layers are more than the {} allowed", manifest.layers.len(), limits.layers)));
        }
        let config: ImageConfig = serde_json::from_slice(&config_bytes)
            .map_err(|e| bad(format!("config {} is not an image config: {e}", manifest.config.digest)))?;
        if let Some(other) = manifest.layers.iter().find(|l| !is_layer(&l.media_type)) {
            return Err(bad(format!("it is not a container image: it holds {}", other.media_type)));
        }
        if config.os.is_empty() || config.architecture.is_empty() {
            return Err(bad("it is not a container image: its config names no os and architecture".into()));
        }
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != manifest.layers.len() {
            return Err(bad(format!(
                "the manifest has {} layers but the config has {} diff_ids; the image is inconsistent: build or push it again",
                manifest.layers.len(),
                diff_ids.len()
            )));
        }
        let layers = std::iter::zip(&manifest.layers, diff_ids)
            .map(|(layer, diff_id)| Layer {
                digest: layer.digest.clone(),
                size: layer.size,
                media_type: layer.media_type.clone(),
                diff_id: diff_id.clone(),
            })
            .collect();
        let platform = Platform::new(&config.os, &config.architecture, &config.variant);
        // Older configs lack the variant that their index entries have; what they do say counts.
        let platform = match declared {
            Some(p)
                if config.variant.is_empty() && (&p.os, &p.architecture) == (&platform.os, &platform.architecture) =>
            {
                p
            }
            _ => platform,
        };
        let media_type = match manifest.media_type.as_str() {
            "" if manifest.config.media_type.starts_with("application/vnd.docker.") => DOCKER_MANIFEST.into(),
            "" => OCI_MANIFEST.into(),
            given => given.into(),
        };
        Ok(Self {
            platform,
            name,
            digest,
            root_digest,
            media_type,
            manifest: bytes,
            config_digest: manifest.config.digest,
            config_bytes,
            config,
            layers,
            origin,
            limits: limits.clone(),
        })
    }

    /// The inflated tar of layer `n` (0 is the lowest). See [`LayerReader`] for what is verified, and
    /// when. From a registry, the blob is kept in the cache once it proved right. While a reader
    /// downloads, other readers of the same blob wait for it: finish one before opening the next on
    /// the same thread.
    ///
    /// # Panics
    /// If there is no layer `n`.
    pub fn open_layer(&self, n: usize, progress: Option<Arc<dyn Progress>>) -> Result<LayerReader> {
        let layer = &self.layers[n];
        LayerReader::new(self.verified(layer, progress)?, &layer.diff_id, self.limits.inflated)
    }

    /// The blob of layer `n` as it is stored. Its digest and size are verified when the end is read.
    ///
    /// # Panics
    /// If there is no layer `n`.
    pub fn open_blob(&self, n: usize, progress: Option<Arc<dyn Progress>>) -> Result<impl Read + Send + use<>> {
        self.verified(&self.layers[n], progress)
    }

    fn verified(&self, layer: &Layer, progress: Option<Arc<dyn Progress>>) -> Result<Verified> {
        let opened = self.origin.open(&layer.digest, layer.size, progress.clone())?;
        Ok(Verified::new(opened, self.origin.name(), layer.digest.clone(), layer.size, progress))
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .field("platform", &self.platform)
            .field("layers", &self.layers)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// Layers are tars; a signature, a chart or an attestation in an image's place is not.
fn is_layer(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.oci.image.layer.")
        || media_type.starts_with("application/vnd.docker.image.rootfs.")
        || media_type.starts_with("application/vnd.docker.container.image.rootfs.")
}
