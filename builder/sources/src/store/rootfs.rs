//! A tar of a root file system, as an image of one uncompressed layer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use routerpack_graph::image::History;
use routerpack_graph::{Digest, ImageConfig, Platform};

use super::archive::descriptor;
use super::image_name;
use super::inflated::Tar;
use super::members::Range;
use crate::error::{Error, Result};
use crate::image::{Image, Origin, Parts};
use crate::layer::{Opened, Progress, Sink};
use crate::manifest::{Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};
use crate::{Config, Limits};

/// An opened rootfs tar.
#[derive(Debug)]
pub(super) struct Rootfs {
    path: PathBuf,
    tar: Tar,
    digest: Digest,
}

impl Rootfs {
    pub fn new(path: &Path, tar: Tar, config: &Config) -> Result<Self> {
        let digest = tar.digest(path, config)?;
        Ok(Self { path: path.into(), tar, digest })
    }

    pub fn image(
        self: &Arc<Self>,
        tag: Option<&str>,
        digest: Option<&Digest>,
        platform: &Platform,
        limits: &Limits,
    ) -> Result<Image> {
        let name = image_name(&self.path, None);
        let none = |problem: String| Error::NoImage { store: self.path.clone(), problem, available: Vec::new() };
        if let Some(tag) = tag {
            return Err(none(format!("it is a rootfs tar, where nothing is named `{tag}`")));
        }
        let mut config = ImageConfig {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone(),
            ..Default::default()
        };
        config.rootfs.diff_ids = vec![self.digest.clone()];
        config.history = vec![History { created_by: "import of a root file system".into(), ..Default::default() }];
        let config = serde_json::to_vec(&config).map_err(|e| Error::malformed(&name, e))?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: OCI_MANIFEST.into(),
            config: descriptor(OCI_CONFIG, Digest::of(&config), config.len() as u64),
            layers: vec![descriptor(OCI_LAYER, self.digest.clone(), self.tar.size)],
        };
        let bytes = serde_json::to_vec(&manifest).map_err(|e| Error::malformed(&name, e))?;
        let made = Digest::of(&bytes);
        if digest.is_some_and(|wanted| *wanted != made) {
            return Err(none(format!("as an image for {platform} it is {made}, not what was asked for")));
        }
        let parts = Parts { name, digest: made.clone(), root_digest: made, bytes, manifest, config, declared: None };
        Image::assemble(parts, self.clone(), limits)
    }
}

impl Origin for Rootfs {
    fn open(&self, _: &Digest, _: u64, _: Option<Arc<dyn Progress>>) -> Result<Opened> {
        let range = Range::new(self.tar.file.clone(), 0, self.tar.size);
        Ok(Opened { reader: Box::new(range), sink: Sink::None })
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}
