//! Local stores: OCI layouts, docker-archives, rootfs tars, directories, told apart by what is in them.

mod archive;
mod files;
mod inflated;
mod layout;
mod members;
mod rootfs;
mod select;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use routerpack_graph::{Digest, Platform};

use crate::Config;
use crate::Limits;
use crate::error::{Error, Result};
use crate::image::Image;
use archive::DockerArchive;
use files::{Beneath, Files};
use layout::Layout;
use members::Members;
use rootfs::Rootfs;

/// What a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreKind {
    /// An OCI image layout, as a directory or a tar (OCI image-spec, `image-layout.md`).
    OciLayout,
    /// What `docker save`, `podman save`, `skopeo copy … docker-archive:` and routerpack write.
    DockerArchive,
    /// A tar of a root file system: an image of one layer.
    RootfsTar,
    /// A directory that is no layout. It holds no image: scan it.
    Directory,
}

impl std::fmt::Display for StoreKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OciLayout => "OCI layout",
            Self::DockerArchive => "docker-archive",
            Self::RootfsTar => "rootfs tar",
            Self::Directory => "directory",
        })
    }
}

/// An opened store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
    limits: Limits,
    inner: Inner,
}

#[derive(Clone, Debug)]
enum Inner {
    Layout(Arc<Layout>),
    Docker(Arc<DockerArchive>),
    Rootfs(Arc<Rootfs>),
    Directory,
}

/// Opens whatever is at `path`: [`Store::open`] without an expectation.
pub fn open_store(path: &Path, config: &Config) -> Result<Store> {
    Store::open(path, None, config)
}

impl Store {
    /// Opens a store. With a `kind` it must be that one (an archive that is both a docker-archive and
    /// an OCI layout, as Docker writes since version 25, is then read as what was asked for); without,
    /// the content decides. Tars may be compressed (gzip, zstd, bzip2, xz): the inflated one is kept in the cache.
    pub fn open(path: &Path, kind: Option<StoreKind>, config: &Config) -> Result<Self> {
        let not = |reason: String| Error::NotAnImage { path: path.into(), reason };
        let metadata = fs::metadata(path).map_err(Error::file(path, "open"))?;
        let inner = if metadata.is_dir() {
            let files = Files::Dir(Beneath::open(path)?);
            if files.has("oci-layout")? && files.has("index.json")? {
                Inner::Layout(Arc::new(Layout::open(path, files, &config.limits)?))
            } else {
                Inner::Directory
            }
        } else if metadata.is_file() {
            let tar = inflated::open(path, config)?;
            let members = Members::scan(path, tar.file.clone())?;
            let is_layout = members.has("oci-layout") && members.has("index.json");
            let is_docker = members.has("manifest.json");
            if is_docker && (kind == Some(StoreKind::DockerArchive) || !is_layout) {
                Inner::Docker(Arc::new(DockerArchive::open(path, members, &config.limits)?))
            } else if is_layout {
                Inner::Layout(Arc::new(Layout::open(path, Files::Tar(members), &config.limits)?))
            } else if members.is_empty() {
                return Err(not("it is an empty tar".into()));
            } else {
                Inner::Rootfs(Arc::new(Rootfs::new(path, tar, config)?))
            }
        } else {
            return Err(not("it is neither a file nor a directory".into()));
        };
        let store = Self { path: path.into(), limits: config.limits.clone(), inner };
        match kind {
            Some(wanted) if wanted != store.kind() => {
                Err(not(format!("it is no {wanted} (by its content: {})", store.kind())))
            }
            _ => Ok(store),
        }
    }

    /// What it is.
    pub fn kind(&self) -> StoreKind {
        match &self.inner {
            Inner::Layout(_) => StoreKind::OciLayout,
            Inner::Docker(_) => StoreKind::DockerArchive,
            Inner::Rootfs(_) => StoreKind::RootfsTar,
            Inner::Directory => StoreKind::Directory,
        }
    }

    /// As it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tags and names in it, sorted.
    pub fn tags(&self) -> Vec<String> {
        let mut tags = match &self.inner {
            Inner::Layout(layout) => layout.tags(),
            Inner::Docker(archive) => archive.tags(),
            Inner::Rootfs(_) | Inner::Directory => Vec::new(),
        };
        tags.sort();
        tags.dedup();
        tags
    }

    /// An image out of the store: by the digest of its manifest or index, or else by tag (or complete
    /// name), or else the only one there is, or the one tagged `latest`. Where several platforms are to
    /// be had, the best for `platform`; a sole image is given as it is: compare [`Image::platform`].
    /// For a rootfs tar, which says nothing about that, `platform` is taken at its word. Images out
    /// of docker-archives and rootfs tars have a manifest that is made here, always the same.
    pub fn image(&self, tag: Option<&str>, digest: Option<&Digest>, platform: &Platform) -> Result<Image> {
        match &self.inner {
            Inner::Layout(layout) => layout.image(tag, digest, platform, &self.limits),
            Inner::Docker(archive) => archive.image(tag, digest, platform, &self.limits),
            Inner::Rootfs(rootfs) => rootfs.image(tag, digest, platform, &self.limits),
            Inner::Directory => Err(Error::NotAnImage {
                path: self.path.clone(),
                reason: "it is a directory of files, not a store of images".into(),
            }),
        }
    }
}

impl Store {
    /// The image for another platform that goes by the same name as the one with this manifest; none where there is
    /// none. As with [`Self::image`], compare [`Image::platform`]: a sole image is given as it is.
    pub fn sibling(&self, manifest: &Digest, platform: &Platform) -> Result<Option<Image>> {
        match &self.inner {
            Inner::Layout(layout) => layout.sibling(manifest, platform, &self.limits),
            Inner::Docker(_) | Inner::Rootfs(_) | Inner::Directory => Ok(None),
        }
    }
}

/// How an image of a store is named in messages.
fn image_name(path: &Path, tag: Option<&str>) -> String {
    match tag {
        Some(tag) => format!("{}:{tag}", path.display()),
        None => path.display().to_string(),
    }
}
