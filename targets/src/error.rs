//! Why an output could not be written.

use std::{io, path::PathBuf};

use routerpack_graph::Digest;

use crate::{
    check::{CheckError, Report},
    tag::InvalidTag,
};

/// Why an output could not be written. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The destination, or its directory, could not be written.
    #[error("can't write {}: {source}{}", path.display(), hint(source))]
    Write {
        /// The destination.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the rootfs could not be read.
    #[error("can't read `{path}` of the image while packing it: {source}; build again with --no-cache if it persists")]
    Read {
        /// Path inside the image (or the layer's file).
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file's length differs from the index.
    #[error(
        "`{path}` of the image should have {expected} bytes but its data ends after {found}; \
         something changed the cache while it was packed: build again with --no-cache"
    )]
    Length {
        /// Path inside the image.
        path: String,
        /// Bytes by the index.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// A stored layer or blob isn't what its digest says.
    #[error(
        "a stored layer should be {expected} but its bytes are {found}; the cache is damaged: build with --no-cache"
    )]
    Digest {
        /// By the image.
        expected: Digest,
        /// By its bytes.
        found: Digest,
    },
    /// A tag can't stand in an archive.
    #[error(transparent)]
    Tag(#[from] InvalidTag),
    /// The image config lacks what every reader wants.
    #[error("the image has no {0} in its config; choose the platform with --platform")]
    Config(&'static str),
    /// The layers don't belong to the config.
    #[error("{0}")]
    Layers(String),
    /// The request contradicts itself.
    #[error("{0}")]
    Request(String),
    /// The check of the archive found what it must not have; it was not put in its place.
    #[error("the archive would be no good on the router, so it was not written")]
    Refused(Box<Report>),
    /// The archive could not be checked.
    #[error("the archive could not be checked: {0}")]
    Check(#[from] CheckError),
    /// Whoever asked for the output wants it no more.
    #[error("interrupted")]
    Interrupted,
    /// An epoch outside of the years that RFC 3339 can write.
    #[error("SOURCE_DATE_EPOCH {0} is no time that an image can carry: give seconds since 1970, up to the year 9999")]
    Epoch(i64),
}

fn hint(e: &io::Error) -> &'static str {
    match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space there or use another place",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "; use another place",
        io::ErrorKind::NotFound => "; create the directory first",
        _ => "",
    }
}

impl Error {
    pub(crate) fn write(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Error::Write { path, source }
    }

    pub(crate) fn read(path: &[u8]) -> impl FnOnce(io::Error) -> Self {
        let path = String::from_utf8_lossy(path).into_owned();
        move |source| Error::Read { path, source }
    }
}
