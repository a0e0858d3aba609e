//! The merged view of strata.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use rustix::{fs, io::Errno};
use sha2::{Digest as _, Sha256};

use crate::{
    confine,
    index::{Entry, Index, Kind},
    merge::{self, MergeError},
    path,
    resolve::ResolveError,
};

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

    fn into_parts(self) -> (Origin, Arc<Index>) {
        match self {
            Stratum::Tar { file, index } => (Origin::Tar(file), index),
            Stratum::Dir { root, index } => (Origin::Dir(root), index),
        }
    }
}

/// Where a stratum's contents are, which is all that a [`Tree`] needs of it once its entries are in the merged index.
#[derive(Clone, Debug)]
pub enum Origin {
    /// As [`Stratum::Tar`].
    Tar(PathBuf),
    /// As [`Stratum::Dir`].
    Dir(PathBuf),
}

/// A file's bytes: a range of a regular file, ready for `copy_file_range`, `pread` or `mmap`. The file may
/// be shared with other contents: use positioned reads, never its cursor.
#[derive(Clone, Debug)]
pub struct Content {
    /// Open for reading.
    pub file: Arc<File>,
    /// First byte.
    pub offset: u64,
    /// How many.
    pub len: u64,
}

impl Content {
    /// A reader of these bytes, from the first. It fails with `UnexpectedEof` where the file turns out shorter.
    pub fn reader(&self) -> ContentReader {
        ContentReader { content: self.clone(), at: 0 }
    }

    /// The sha256 of these bytes.
    pub fn sha256(&self) -> io::Result<[u8; 32]> {
        let mut reader = self.reader();
        let mut hash = Sha256::new();
        let mut buffer = vec![0; self.len.clamp(1, 128 << 10) as usize];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(hash.finalize().into()),
                got => hash.update(&buffer[..got]),
            }
        }
    }

    /// Writes these bytes to an empty file: shares them where the file system can (a reflink), else lets the
    /// kernel copy, else copies through memory. Never a hard link.
    pub fn copy_to(&self, to: &File) -> io::Result<()> {
        if self.len == 0 {
            return Ok(());
        }
        // Whole files clone whatever their length; a piece of a tar is never aligned to blocks.
        if self.offset == 0 && self.file.metadata()?.len() == self.len && fs::ioctl_ficlone(to, &*self.file).is_ok() {
            return Ok(());
        }
        // For a few pages the kernel's own copy costs more than it saves.
        if self.len <= 64 << 10 {
            return self.copy_through_memory(to, 0);
        }
        let (mut from, mut at) = (self.offset, 0);
        while at < self.len {
            let want = usize::try_from(self.len - at).unwrap_or(usize::MAX).min(1 << 30);
            match fs::copy_file_range(&*self.file, Some(&mut from), to, Some(&mut at), want) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                // Different file systems before Linux 5.3, FUSE, and others that can't.
                Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM) => {
                    return self.copy_through_memory(to, at);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn copy_through_memory(&self, to: &File, mut at: u64) -> io::Result<()> {
        let mut buf = vec![0; usize::try_from(self.len).unwrap_or(usize::MAX).min(128 << 10)];
        while at < self.len {
            let want = usize::try_from(self.len - at).unwrap_or(usize::MAX).min(buf.len());
            self.file.read_exact_at(&mut buf[..want], self.offset + at)?;
            to.write_all_at(&buf[..want], at)?;
            at += want as u64;
        }
        Ok(())
    }
}

/// See [`Content::reader`].
#[derive(Debug)]
pub struct ContentReader {
    content: Content,
    at: u64,
}

impl Read for ContentReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.content.len - self.at;
        let want = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let got = self.content.file.read_at(&mut buf[..want], self.content.offset + self.at)?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += got as u64;
        Ok(got)
    }
}

/// Strata, lowest first, and the index of what they show together.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// Lowest first.
    pub strata: Vec<Origin>,
    /// Merged: no whiteouts, no opaque marks, no unresolved hard links.
    pub index: Arc<Index>,
    /// Tar strata that have been read from stay open: they are few, and their files many.
    open: Vec<OnceLock<Arc<File>>>,
}

impl Tree {
    /// Merges strata, lowest first. A single stratum that has nothing to merge shares its index; of others each index
    /// that nobody else holds is used up, so that the entries are in memory once.
    pub fn new(strata: Vec<Stratum>) -> Result<Self, MergeError> {
        strata.into_iter().try_fold(Self::default(), |mut tree, stratum| {
            let below = std::mem::take(&mut tree.index);
            tree.lay(below, stratum).map(|()| tree)
        })
    }

    /// Lays one more stratum on top. After an error the tree is as it was.
    pub fn push(&mut self, stratum: Stratum) -> Result<(), MergeError> {
        self.lay(self.index.clone(), stratum)
    }

    fn lay(&mut self, below: Arc<Index>, stratum: Stratum) -> Result<(), MergeError> {
        let (origin, upper) = stratum.into_parts();
        self.index = match self.strata.len() {
            0 if merge::is_merged(&upper) => upper,
            layer => Arc::new(merge::merge(Arc::unwrap_or_clone(below), Arc::unwrap_or_clone(upper), layer as u32)?),
        };
        self.strata.push(origin);
        self.open.push(OnceLock::new());
        Ok(())
    }

    /// Opens a regular file's bytes. Never follows a symlink inside the stratum.
    ///
    /// Fails with `InvalidInput` for an entry that is no regular file or not of this tree, and with
    /// `InvalidData` where the stratum's file is not (or no longer) what the index says.
    pub fn content(&self, entry: &Entry) -> io::Result<Content> {
        let name = || path::show(&entry.path);
        let bad = |kind, what: String| io::Error::new(kind, what);
        if entry.kind != Kind::File {
            return Err(bad(io::ErrorKind::InvalidInput, format!("`{}` is not a regular file", name())));
        }
        let at = entry.stratum as usize;
        let file = match self.strata.get(at) {
            None => return Err(bad(io::ErrorKind::InvalidInput, format!("`{}` is of no stratum here", name()))),
            Some(Origin::Tar(file)) => self.open_tar(at, file)?,
            Some(Origin::Dir(root)) => {
                let root = confine::open_root(root).map_err(|e| confine::at(e, &root.to_string_lossy()))?;
                Arc::new(confine::open_file(&root, entry.origin()).map_err(|e| confine::at(e, &name()))?)
            }
        };
        let len = file.metadata()?.len();
        let whole = match self.strata[at] {
            Origin::Tar(_) => entry.offset.checked_add(entry.size).is_some_and(|end| end <= len),
            Origin::Dir(_) => entry.offset == 0 && entry.size == len,
        };
        if !whole {
            let what = format!("`{}` is not as long as it was when it was indexed; did something write to it?", name());
            return Err(bad(io::ErrorKind::InvalidData, what));
        }
        Ok(Content { file, offset: entry.offset, len: entry.size })
    }

    fn open_tar(&self, at: usize, file: &std::path::Path) -> io::Result<Arc<File>> {
        let cell = self.open.get(at);
        if let Some(open) = cell.and_then(OnceLock::get) {
            return Ok(open.clone());
        }
        let opened = Arc::new(File::open(file).map_err(|e| confine::at(e, &file.to_string_lossy()))?);
        Ok(cell.map_or(opened.clone(), |cell| cell.get_or_init(|| opened).clone()))
    }

    /// A regular file's bytes in memory; `InvalidInput` where they are more than `limit`.
    pub fn read(&self, entry: &Entry, limit: u64) -> io::Result<Vec<u8>> {
        if entry.size > limit {
            let what = format!("`{}` has {} bytes, more than the {limit} allowed", path::show(&entry.path), entry.size);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let content = self.content(entry)?;
        let mut bytes = vec![0; content.len as usize];
        content.file.read_exact_at(&mut bytes, content.offset)?;
        Ok(bytes)
    }

    /// See [`Index::resolve`].
    pub fn resolve(&self, path: &[u8], follow_last: bool) -> Result<Vec<u8>, ResolveError> {
        self.index.resolve(path, follow_last)
    }
}
