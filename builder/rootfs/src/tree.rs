//! The merged view of strata.

use std::{fs::File, io, path::PathBuf, sync::Arc};

use crate::index::{Entry, Index};

/// One source of content.
#[derive(Clone, Debug)]
pub enum Stratum {
    /// An inflated layer tar; the index's offsets point into it.
    Tar {
        /// The tar file.
        file: PathBuf,
        /// Its own entries, whiteouts included.
        index: Arc<Index>,
    },
    /// A directory: a step's upper, a copied or unpacked tree, a build context.
    Dir {
        /// The directory.
        root: PathBuf,
        /// Its own entries, whiteouts included.
        index: Arc<Index>,
    },
}

impl Stratum {
    /// Its own entries, whiteouts included.
    pub fn index(&self) -> &Arc<Index> {
        match self {
            Stratum::Tar { index, .. } | Stratum::Dir { index, .. } => index,
        }
    }
}

/// A file's bytes: a range of a regular file, ready for `copy_file_range`, `pread` or `mmap`.
#[derive(Debug)]
pub struct Content {
    /// Open for reading.
    pub file: File,
    /// First byte.
    pub offset: u64,
    /// How many.
    pub len: u64,
}

/// Strata, lowest first, and the index of what they show together.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// Lowest first.
    pub strata: Vec<Stratum>,
    /// Merged: no whiteouts, no opaque marks, no unresolved hard links.
    pub index: Arc<Index>,
}

impl Tree {
    /// Opens a regular file's bytes. Never follows a symlink inside the stratum.
    pub fn content(&self, entry: &Entry) -> io::Result<Content> {
        let _ = entry;
        Err(io::ErrorKind::Unsupported.into())
    }
}
