//! Verified blobs on disk, by digest: `blobs/sha256/<hex>`.
//!
//! A blob gets its name last, once its digest and size are known to be right; so whoever finds a
//! file there finds all of it. After a power cut a file may still be damaged (the name can outlive
//! the data), which is why readers hash what they read and drop what is wrong.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use routerpack_graph::Digest;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};
use rustix::io::Errno;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::Config;
use crate::error::{Error, Result};
use crate::ledger::{Ledger, Stamp};
use crate::lock::FileLock;

/// Where blobs are, below the cache.
const BLOBS: &str = "blobs/sha256";

/// The directory of blobs, with its temporary files and locks beside it.
#[derive(Clone, Debug)]
pub struct BlobStore {
    blobs: PathBuf,
    tmp: PathBuf,
    locks: PathBuf,
    ledger: Option<Arc<Ledger>>,
}

impl BlobStore {
    /// Opens (and makes) the store under a cache directory. Directories are private (0700): a blob
    /// may hold set-id files and licensed content.
    pub fn open(cache: &Path) -> Result<Self> {
        let store = Self { blobs: cache.join(BLOBS), tmp: cache.join("tmp"), locks: cache.join("locks"), ledger: None };
        for dir in [&store.blobs, &store.tmp, &store.locks] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(Error::file(dir, "create"))?;
        }
        Ok(store)
    }

    /// The store of these settings' cache; what is used of it stays while the run lives whose ledger they have.
    pub fn of(config: &Config) -> Result<Self> {
        Ok(Self { ledger: config.ledger.clone(), ..Self::open(&config.cache)? })
    }

    /// See [`Ledger::hold`].
    fn hold(&self, digest: &Digest) {
        if let Some(ledger) = &self.ledger {
            ledger.hold(Path::new(BLOBS).join(digest.hex()), Stamp::Plain);
        }
    }

    /// Where a blob is, or would be. It may be removed at any time unless [`Self::get`] or a writer gave it before.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }

    /// Where temporary files go: the same file system as the blobs.
    pub fn tmp(&self) -> &Path {
        &self.tmp
    }

    /// The blob, if it is there. What is read must still be hashed.
    pub fn get(&self, digest: &Digest) -> Result<Option<File>> {
        self.hold(digest);
        let path = self.path(digest);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::file(path, "open")(e)),
        }
    }

    /// A small blob's bytes, if it is there and intact; a damaged one is removed.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.get(digest)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::file(self.path(digest), "read"))?;
        if bytes.len() as u64 > limit {
            return Err(Error::TooLarge { what: format!("blob {digest}"), limit });
        }
        if Digest::of(&bytes) == *digest {
            return Ok(Some(bytes));
        }
        self.remove(digest)?;
        Ok(None)
    }

    /// Stores bytes whose digest is known to be right because it is computed here.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        if self.get(&digest)?.is_none() {
            let mut writer = self.writer()?;
            writer.write_all(bytes).map_err(Error::file(&self.tmp, "write"))?;
            writer.commit(&digest, Some(bytes.len() as u64), "the cache")?;
        }
        Ok(digest)
    }

    /// Forgets a blob; it need not be there.
    pub fn remove(&self, digest: &Digest) -> Result<()> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::file(path, "remove")(e)),
            _ => Ok(()),
        }
    }

    /// A new blob, hashed while it is written; it vanishes unless committed, even if the process is
    /// killed.
    pub fn writer(&self) -> Result<BlobWriter> {
        Ok(BlobWriter { file: Unnamed::create(&self.tmp)?, hash: Sha256::new(), size: 0, store: self.clone() })
    }

    /// Writes a small record beside the blobs: all of it, or nothing.
    pub(crate) fn write_record(&self, path: &Path, record: &impl Serialize) -> Result<()> {
        let bytes = serde_json::to_vec(record).map_err(|e| Error::malformed(path.display().to_string(), e))?;
        let mut file = tempfile::NamedTempFile::new_in(&self.tmp).map_err(Error::file(&self.tmp, "create a file"))?;
        file.write_all(&bytes).map_err(Error::file(path, "write"))?;
        file.persist(path).map_err(|e| Error::file(path, "rename to")(e.error))?;
        Ok(())
    }

    /// Waits until nobody else, in this or another process, holds this blob's lock. Take it around a
    /// download and look for the blob again once it is held: two builds then fetch it once. Never take two
    /// at once on one thread.
    pub fn lock(&self, digest: &Digest) -> Result<FileLock> {
        let path = self.locks.join(format!("blob-{}", digest.hex()));
        FileLock::take(&path).map_err(Error::file(path, "lock"))
    }
}

/// A blob that is being written.
#[derive(Debug)]
pub struct BlobWriter {
    file: Unnamed,
    hash: Sha256,
    size: u64,
    store: BlobStore,
}

impl BlobWriter {
    /// Where it is being written, for errors.
    pub(crate) fn dir(&self) -> PathBuf {
        self.store.tmp.clone()
    }

    /// Gives the blob its name if digest and size (when known) are right; `from` names the origin in
    /// the error. On any error nothing stays.
    pub fn commit(self, expected: &Digest, size: Option<u64>, from: &str) -> Result<()> {
        let actual = Digest::from_hash(self.hash.finalize().into());
        match size {
            Some(size) if self.size < size => {
                return Err(Error::Truncated { from: from.into(), blob: expected.clone(), got: self.size, size });
            }
            Some(size) if self.size > size => {
                return Err(Error::Overlong { from: from.into(), blob: expected.clone(), size });
            }
            _ => {}
        }
        if actual != *expected {
            return Err(Error::WrongDigest { from: from.into(), expected: expected.clone(), actual });
        }
        self.store.hold(expected);
        self.file.name(&self.store.path(expected))?;
        if let Some(ledger) = &self.store.ledger {
            ledger.grow(self.size);
        }
        Ok(())
    }

    /// Gives the blob the name of whatever it turned out to be.
    pub fn finish(self) -> Result<(Digest, u64)> {
        let digest = Digest::from_hash(self.hash.clone().finalize().into());
        let size = self.size;
        self.commit(&digest, None, "")?;
        Ok((digest, size))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.file().write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.file().flush()
    }
}

/// A file that has no name before it is complete (open(2), O_TMPFILE), so that a killed process leaves
/// none; where the file system can't do that, one with a temporary name.
#[derive(Debug)]
enum Unnamed {
    Nameless(File),
    Temporary(tempfile::NamedTempFile),
}

impl Unnamed {
    fn create(dir: &Path) -> Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        match openat(CWD, dir, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => Ok(Self::Nameless(fd.into())),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => tempfile::Builder::new()
                .prefix("blob-")
                .tempfile_in(dir)
                .map(Self::Temporary)
                .map_err(Error::file(dir, "create a file")),
            Err(e) => Err(Error::file(dir, "create a file")(e.into())),
        }
    }

    fn file(&mut self) -> &mut File {
        match self {
            Self::Nameless(file) => file,
            Self::Temporary(file) => file.as_file_mut(),
        }
    }

    /// Gives the file its name.
    fn name(self, path: &Path) -> Result<()> {
        let file = match self {
            Self::Nameless(file) => file,
            Self::Temporary(file) => {
                return file.persist(path).map(drop).map_err(|e| Error::file(path, "rename to")(e.error));
            }
        };
        let size = file.metadata().map_err(Error::file(path, "write"))?.len();
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        loop {
            match linkat(CWD, &*link, CWD, path, AtFlags::SYMLINK_FOLLOW) {
                Ok(()) => return Ok(()),
                // Somebody was faster with the same content; unless theirs was damaged since.
                Err(Errno::EXIST) if fs::metadata(path).is_ok_and(|m| m.len() == size) => return Ok(()),
                Err(Errno::EXIST) => match fs::remove_file(path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::file(path, "remove")(e)),
                    _ => {}
                },
                Err(e) => return Err(Error::file(path, "link")(e.into())),
            }
        }
    }
}

/// The digest of everything that a reader gives.
pub(crate) fn digest_of(mut reader: impl Read) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(Digest::from_hash(hash.finalize().into())),
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, BlobStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        (dir, store)
    }

    fn leftovers(dir: &Path) -> usize {
        ["tmp", "locks", "blobs/sha256"].iter().map(|d| fs::read_dir(dir.join(d)).unwrap().count()).sum()
    }

    #[test]
    fn only_the_right_bytes_get_a_name() {
        let (dir, store) = store();
        let good = Digest::of(b"abc");
        for (bytes, size, want) in [
            (&b"abd"[..], 3, "WrongDigest"),
            (b"ab", 3, "Truncated"),
            (b"abcd", 3, "Overlong"),
            (b"abc", 4, "Truncated"),
        ] {
            let mut writer = store.writer().unwrap();
            writer.write_all(bytes).unwrap();
            let error = writer.commit(&good, Some(size), "a test").unwrap_err();
            assert!(format!("{error:?}").starts_with(want), "{error:?}");
            assert!(error.to_string().contains(good.as_str()) && error.to_string().contains("a test"), "{error}");
            assert!(store.get(&good).unwrap().is_none());
            assert_eq!(leftovers(dir.path()), 0, "{want}");
        }
        assert_eq!(store.put(b"abc").unwrap(), good);
        assert_eq!(store.read(&good, 3).unwrap().unwrap(), b"abc");
        assert!(matches!(store.read(&good, 2), Err(Error::TooLarge { limit: 2, .. })));
    }

    #[test]
    fn a_damaged_blob_is_forgotten() {
        let (dir, store) = store();
        let digest = store.put(b"abc").unwrap();
        fs::write(store.path(&digest), b"").unwrap();
        assert!(store.read(&digest, 10).unwrap().is_none());
        assert_eq!(leftovers(dir.path()), 0);
    }
}
