//! What is asked for, and what comes out.

use std::{
    io::Write,
    path::{Path, PathBuf},
    str::FromStr,
    time::SystemTime,
};

use routerpack_graph::{Digest, ImageConfig};
use routerpack_rootfs::{Stamp, Stratum, Tree};

use crate::{
    check::{Options, Report},
    rules::Severity,
    warning::Warnings,
};

/// What kind of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A docker-archive with one flat, uncompressed layer: what RouterOS imports.
    RouterOs,
    /// A docker-archive for `docker load` and `podman load`.
    Docker,
    /// An OCI image layout in a tar.
    Oci,
    /// The rootfs alone, as a tar.
    Tar,
    /// The rootfs' files in a directory.
    Local,
}

impl Format {
    /// All of them, by the names that `type=` takes.
    pub const NAMES: [(&str, Format); 5] = [
        ("routeros", Format::RouterOs),
        ("docker", Format::Docker),
        ("oci", Format::Oci),
        ("tar", Format::Tar),
        ("local", Format::Local),
    ];

    /// Whether layers are kept unless asked otherwise: other builders and registries want them, a
    /// router doesn't.
    pub fn default_layers(self) -> Layers {
        match self {
            Format::Docker | Format::Oci => Layers::Keep,
            Format::RouterOs | Format::Tar | Format::Local => Layers::Flat,
        }
    }
}

/// A word that names no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no output type; there are routeros, docker, oci, tar and local")]
pub struct UnknownFormat(pub String);

impl FromStr for Format {
    type Err = UnknownFormat;
    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, format)| *format).ok_or_else(|| UnknownFormat(text.to_string()))
    }
}

/// One layer, or the image's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// One layer.
    Flat,
    /// The base image's layers unchanged, and one for each step.
    Keep,
}

/// Gzip around (docker, routeros, tar) or inside (oci layers) an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As the destination's name says: `.tar.gz` and `.tgz` are compressed; an OCI archive's layers
    /// are, too. A RouterOS archive's layer never is.
    #[default]
    Auto,
    /// Never.
    None,
    /// Always.
    Gzip,
}

impl Compression {
    /// Whether an archive is compressed as a whole; by the file's name, where nothing else is said.
    pub fn is_outer(self, format: Format, dest: &Path) -> bool {
        let name = dest.as_os_str().as_encoded_bytes();
        match self {
            Self::Auto => name.ends_with(b".tar.gz") || name.ends_with(b".tgz"),
            Self::Gzip => format != Format::Oci,
            Self::None => false,
        }
    }
}

/// Where to.
pub enum Dest<'out> {
    /// A file, or the directory of [`Format::Local`]. A device or pipe there is written to.
    Path(&'out Path),
    /// A stream, written once the output is whole.
    Stream(&'out mut dyn Write),
}

/// A layer's compressed bytes as they came from a registry or layout.
#[derive(Clone, Debug)]
pub struct Blob {
    /// Of the compressed bytes.
    pub digest: Digest,
    /// Compressed bytes.
    pub size: u64,
    /// As the manifest had it, Docker's or OCI's name.
    pub media_type: String,
    /// Where they are.
    pub path: PathBuf,
}

/// One layer of an image that keeps its layers.
#[derive(Clone, Debug)]
pub struct LayerSource {
    /// A [`Stratum::Tar`] is taken byte for byte; a directory becomes a tar with whiteouts.
    pub stratum: Stratum,
    /// Of a tar, as the base image's config has it; it is verified.
    pub diff_id: Option<Digest>,
    /// The same layer compressed; an OCI archive takes it unchanged if the diff_id is known.
    pub blob: Option<Blob>,
    /// When a step made it, nanoseconds since 1970; none of a base image's layer, whose config knows it.
    pub made: Option<i64>,
}

/// What is packed.
pub struct Image<'a> {
    /// The merged rootfs.
    pub tree: &'a Tree,
    /// As the frontend left it; its history and diff_ids are made to fit the layers.
    pub config: &'a ImageConfig,
    /// Lowest first; only [`Layers::Keep`] reads them.
    pub layers: &'a [LayerSource],
}

/// How an archive is judged before it counts as made.
#[derive(Clone, Debug)]
pub struct Check<'a> {
    /// For which routers.
    pub options: Options<'a>,
    /// An archive with a finding that weighs so much or more is not written: [`crate::Error::Refused`].
    pub refuse: Option<Severity>,
}

/// What is asked for.
pub struct Request<'a, 'out> {
    /// The output's kind.
    pub format: Format,
    /// Where to.
    pub dest: Dest<'out>,
    /// Names, `[HOST/]NAME[:TAG]`. A RouterOS archive takes the first, without its host, and needs one.
    pub tags: &'a [String],
    /// See [`Format::default_layers`].
    pub layers: Layers,
    /// `SOURCE_DATE_EPOCH`: no time in the output is later, and the image is created then.
    pub epoch: Option<i64>,
    /// Gzip or not.
    pub compression: Compression,
    /// A directory for what can't be written in place: a stream's, or an uncompressed archive that is
    /// compressed as a whole.
    pub spool: &'a Path,
    /// Judge a RouterOS archive before it is put in its place.
    pub check: Option<Check<'a>>,
    /// Wait until the bytes are on the disk. Without, a power cut soon after may lose the output.
    pub sync: bool,
    /// The time that a file gets, for [`Summary::stamp`]. To the nanosecond: the kernel's own times are those of a clock
    /// that ticks every few milliseconds, so that a write right afterwards could leave the same time.
    pub now: Option<SystemTime>,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The file or directory; `None` for a stream.
    pub path: Option<PathBuf>,
    /// Bytes written (for a directory: of the files).
    pub bytes: u64,
    /// sha256 of the config: Docker's image id, and RouterOS' `image-id` without `sha256:`.
    pub image_id: Option<Digest>,
    /// sha256 of an OCI archive's manifest.
    pub manifest: Option<Digest>,
    /// The layers.
    pub diff_ids: Vec<Digest>,
    /// Names as they stand in the archive.
    pub tags: Vec<String>,
    /// What was left out.
    pub warnings: Warnings,
    /// What the check found, where one was asked for and the format is RouterOS'.
    pub report: Option<Report>,
    /// Of the file, for as long as nobody changes it; `None` where that can't be told (a stream, a device, a
    /// directory, a file system with coarse times, a request without [`Request::now`]).
    pub stamp: Option<Stamp>,
}
