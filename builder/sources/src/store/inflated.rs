//! A tar file as an uncompressed one: a compressed one is inflated into the blob store, once.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use routerpack_graph::Digest;
use serde::{Deserialize, Serialize};

use crate::Config;
use crate::blobs::{BlobStore, digest_of};
use crate::error::{Error, Result};

/// An uncompressed tar.
#[derive(Debug)]
pub(super) struct Tar {
    pub file: Arc<File>,
    pub size: u64,
    /// Known if it had to be inflated, or was hashed before and has not changed since.
    pub digest: Option<Digest>,
    record: PathBuf,
    stamp: String,
}

/// What a file held when it was last read, and how to tell that it hasn't changed.
#[derive(Serialize, Deserialize)]
struct Record {
    stamp: String,
    digest: Digest,
}

/// What `xz -9` needs to unpack is 65 MiB; a file that wants more memory than this is refused.
const XZ_MEMORY_KIB: u32 = 256 << 10;

/// Longer than any file system's clock takes to advance.
const TICK: Duration = Duration::from_millis(20);

/// How a tar file may be packed, told by its first bytes. People pack root file systems in more ways
/// than registries take layers in.
enum Packing {
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Packing {
    fn of(start: &[u8]) -> Option<Self> {
        match start {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            [b'B', b'Z', b'h', ..] => Some(Self::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Some(Self::Xz),
            _ => None,
        }
    }
}

pub(super) fn open(path: &Path, config: &Config) -> Result<Tar> {
    let blobs = BlobStore::of(config)?;
    let mut file = File::open(path).map_err(Error::file(path, "open"))?;
    let metadata = file.metadata().map_err(Error::file(path, "open"))?;
    // Inode and change time change with every write and every replacement; neither can be set back by
    // ordinary means, as an mtime can.
    let stamp = format!(
        "{}:{}:{}:{}.{:09}:{}.{:09}",
        metadata.dev(),
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec()
    );
    let records = config.cache.join("files");
    fs::create_dir_all(&records).map_err(Error::file(&records, "create"))?;
    let record = records.join(Digest::of(path.as_os_str().as_encoded_bytes()).hex());
    let changed = SystemTime::UNIX_EPOCH
        + Duration::new(metadata.ctime().try_into().unwrap_or(0), metadata.ctime_nsec().try_into().unwrap_or(0));
    let known = read(&record, &stamp, changed);
    let mut start = Vec::new();
    (&mut file).take(6).read_to_end(&mut start).map_err(Error::file(path, "read"))?;
    let Some(packing) = Packing::of(&start) else {
        return Ok(Tar { file: Arc::new(file), size: metadata.len(), digest: known, record, stamp });
    };
    let digest = match known {
        Some(digest) if blobs.get(&digest)?.is_some() => digest,
        _ => {
            let input = io::Cursor::new(start).chain(file);
            let digest = inflate(path, input, packing, &blobs, config.limits.inflated)?;
            blobs.write_record(&record, &Record { stamp: stamp.clone(), digest: digest.clone() })?;
            digest
        }
    };
    let blob = blobs.path(&digest);
    let file = File::open(&blob).map_err(Error::file(&blob, "open"))?;
    let size = file.metadata().map_err(Error::file(&blob, "open"))?.len();
    Ok(Tar { file: Arc::new(file), size, digest: Some(digest), record, stamp })
}

impl Tar {
    /// The digest of the uncompressed tar; the file is read if that isn't known yet.
    pub fn digest(&self, path: &Path, config: &Config) -> Result<Digest> {
        if let Some(digest) = &self.digest {
            return Ok(digest.clone());
        }
        let whole = super::members::Range::new(self.file.clone(), 0, self.size);
        let digest = digest_of(whole).map_err(Error::file(path, "read"))?;
        let record = Record { stamp: self.stamp.clone(), digest: digest.clone() };
        BlobStore::of(config)?.write_record(&self.record, &record)?;
        Ok(digest)
    }
}

fn inflate(path: &Path, input: impl Read, packing: Packing, blobs: &BlobStore, limit: u64) -> Result<Digest> {
    let input = io::BufReader::with_capacity(128 << 10, input);
    let decoder: Box<dyn Read + '_> = match packing {
        Packing::Gzip => Box::new(MultiGzDecoder::new(input)),
        Packing::Bzip2 => Box::new(MultiBzDecoder::new(input)),
        Packing::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, XZ_MEMORY_KIB)),
        Packing::Zstd => Box::new(zstd::Decoder::with_buffer(input).map_err(Error::file(path, "decompress"))?),
    };
    let mut writer = blobs.writer()?;
    let mut buffer = vec![0; 128 << 10];
    let mut limited = decoder.take(limit + 1);
    let mut size = 0;
    loop {
        let n = limited.read(&mut buffer).map_err(Error::file(path, "decompress"))?;
        if n == 0 {
            break;
        }
        size += n as u64;
        writer.write_all(&buffer[..n]).map_err(Error::file(blobs.tmp(), "write"))?;
    }
    if size > limit {
        return Err(Error::Inflates { what: format!("{}: the uncompressed content", path.display()), limit });
    }
    Ok(writer.finish()?.0)
}

fn read(path: &Path, stamp: &str, changed: SystemTime) -> Option<Digest> {
    // A record written right after the file changed may be from before a second change that the file
    // system's clock (a tick of up to 10 ms) can't tell from the first.
    if fs::metadata(path).ok()?.modified().ok()? < changed + TICK {
        return None;
    }
    let record: Record = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (record.stamp == stamp).then_some(record.digest)
}
