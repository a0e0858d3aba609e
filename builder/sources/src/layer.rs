//! Reading a blob so that nothing wrong gets through: digest, size, diff_id and bounds, while it streams.

use std::io::{self, BufReader, Read, Write};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use routerpack_graph::Digest;
use sha2::{Digest as _, Sha256};

use crate::blobs::{BlobStore, BlobWriter};
use crate::error::{Error, Result};
use crate::lock::FileLock;

/// Told how far a blob has come.
pub trait Progress: Send + Sync {
    /// `done` of `total` bytes of this blob have been read. Called often.
    fn progress(&self, blob: &Digest, done: u64, total: u64);
}

impl<F: Fn(&Digest, u64, u64) + Send + Sync> Progress for F {
    fn progress(&self, blob: &Digest, done: u64, total: u64) {
        self(blob, done, total)
    }
}

/// How a blob is compressed, told by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
    /// Neither of them.
    None,
}

impl Compression {
    /// Looks at the first four bytes (or what there is).
    pub fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame may come first, as estargz's sibling zstd:chunked does.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// The bound on zstd's window (128 MiB, the format's recommended limit for decoders without `--long`).
const ZSTD_WINDOW_LOG: u32 = 27;
const BUFFER: usize = 128 << 10;

/// Unverified bytes, and what is to become of them.
pub(crate) struct Opened {
    pub reader: Box<dyn Read + Send>,
    pub sink: Sink,
}

/// What happens to a blob's bytes beside being read.
pub(crate) enum Sink {
    /// Nothing: they lie in the user's own file.
    None,
    /// They go to the blob store, which takes them if they are right. The lock ends with it.
    Store(BlobWriter, Option<FileLock>),
    /// They came from the blob store, and are removed from there if they are wrong.
    Cached(BlobStore),
}

/// A blob as it is stored; the end is only reached if digest and size are right.
pub(crate) struct Verified {
    reader: Box<dyn Read + Send>,
    sink: Sink,
    from: String,
    blob: Digest,
    size: u64,
    got: u64,
    hash: Sha256,
    progress: Option<Arc<dyn Progress>>,
    done: bool,
}

impl Verified {
    /// Looks at the first bytes without reading past them.
    fn sniff(&mut self) -> io::Result<Compression> {
        let mut start = Vec::with_capacity(4);
        (&mut self.reader).take(4).read_to_end(&mut start)?;
        let compression = Compression::of(&start);
        let rest = std::mem::replace(&mut self.reader, Box::new(io::empty()));
        self.reader = Box::new(io::Cursor::new(start).chain(rest));
        Ok(compression)
    }

    pub fn new(opened: Opened, from: String, blob: Digest, size: u64, progress: Option<Arc<dyn Progress>>) -> Self {
        let Opened { reader, sink } = opened;
        Self { reader, sink, from, blob, size, got: 0, hash: Sha256::new(), progress, done: false }
    }

    fn finish(&mut self) -> Result<()> {
        self.done = true;
        let (from, blob) = (self.from.as_str(), &self.blob);
        match std::mem::replace(&mut self.sink, Sink::None) {
            // The store's writer has hashed the bytes; this happens once.
            Sink::Store(writer, lock) => {
                let result = writer.commit(blob, Some(self.size), from);
                drop(lock);
                return result;
            }
            sink => self.sink = sink,
        }
        if self.got < self.size {
            let (got, size) = (self.got, self.size);
            return Err(Error::Truncated { from: from.into(), blob: blob.clone(), got, size });
        }
        let actual = Digest::from_hash(std::mem::take(&mut self.hash).finalize().into());
        if actual != *blob {
            return Err(Error::WrongDigest { from: from.into(), expected: blob.clone(), actual });
        }
        Ok(())
    }

    fn step(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.done || buf.is_empty() {
            return Ok(0);
        }
        // One byte more than there should be, to see that there is none.
        let room = self.size.saturating_sub(self.got).saturating_add(1);
        let room = buf.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let n = loop {
            match self.reader.read(&mut buf[..room]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => break other?,
            }
        };
        self.got += n as u64;
        if n == 0 {
            self.finish()?;
            return Ok(0);
        }
        if self.got > self.size {
            return Err(Error::Overlong { from: self.from.clone(), blob: self.blob.clone(), size: self.size }.into());
        }
        match &mut self.sink {
            Sink::Store(writer, _) => {
                let tmp = writer.dir();
                writer.write_all(&buf[..n]).map_err(Error::file(tmp, "write a blob"))?;
            }
            _ => self.hash.update(&buf[..n]),
        }
        if let Some(progress) = &self.progress {
            progress.progress(&self.blob, self.got, self.size);
        }
        Ok(n)
    }
}

impl Read for Verified {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let result = self.step(buf);
        if result.is_err() {
            // Nothing of a wrong blob stays, and nobody reads on.
            self.done = true;
            if let Sink::Cached(store) = std::mem::replace(&mut self.sink, Sink::None) {
                let _ = store.remove(&self.blob);
            }
        }
        result
    }
}

enum Decoder {
    Plain(BufReader<Verified>),
    Gzip(Box<MultiGzDecoder<BufReader<Verified>>>),
    Zstd(zstd::Decoder<'static, BufReader<Verified>>),
}

impl Decoder {
    fn raw(&mut self) -> &mut BufReader<Verified> {
        match self {
            Self::Plain(raw) => raw,
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.get_mut(),
        }
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(raw) => raw.read(buf),
            Self::Gzip(decoder) => decoder.read(buf),
            Self::Zstd(decoder) => decoder.read(buf),
        }
    }
}

/// The inflated tar of a layer. Bytes come out before the whole is verified, so put them where they
/// can be thrown away: only a read that returns 0 says that blob digest, size and diff_id are right.
/// Any error means that what was read is to be discarded; [`Error::from_io`] gets the typed one back.
/// Memory is bounded whatever the layer says.
pub struct LayerReader {
    decoder: Decoder,
    compression: Compression,
    from: String,
    blob: Digest,
    diff_id: Digest,
    hash: Sha256,
    inflated: u64,
    limit: u64,
    ended: Option<bool>,
    /// Whether the inflated bytes are hashed here.
    hashes: bool,
}

impl LayerReader {
    pub(crate) fn new(mut raw: Verified, diff_id: &Digest, limit: u64) -> Result<Self> {
        let (from, blob) = (raw.from.clone(), raw.blob.clone());
        let failed = |e: io::Error| Error::file(from.as_str(), "read a layer")(e);
        let compression = raw.sniff().map_err(failed)?;
        if compression == Compression::None && blob != *diff_id {
            // What isn't compressed is its own diff_id: no need to read it to know.
            return Err(Error::WrongDiffId { from, expected: diff_id.clone(), actual: blob.clone(), blob });
        }
        let raw = BufReader::with_capacity(BUFFER, raw);
        let decoder = match compression {
            Compression::None => Decoder::Plain(raw),
            Compression::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(raw))),
            Compression::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(raw).map_err(failed)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(failed)?;
                Decoder::Zstd(decoder)
            }
        };
        let diff_id = diff_id.clone();
        let (hash, inflated) = (Sha256::new(), 0);
        let hashes = compression != Compression::None;
        Ok(Self { decoder, compression, from, blob, diff_id, hash, inflated, limit, ended: None, hashes })
    }

    /// Leaves it to the caller to compare the digest of the inflated bytes with the diff_id: for one who
    /// hashes them anyway. All else is verified as ever.
    #[must_use]
    pub fn leave_diff_id(mut self) -> Self {
        self.hashes = false;
        self
    }

    /// How the blob is stored.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Reads to the end and throws the bytes away: for what the reading does on the way, verifying
    /// and storing the blob. Gives the number of bytes of the inflated tar.
    pub fn verify(mut self) -> Result<u64> {
        let from = self.from.clone();
        io::copy(&mut self, &mut io::sink()).map_err(Error::file(from, "read a layer"))
    }

    fn step(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = match self.decoder.read(buf) {
            Ok(n) => n,
            Err(e) => return Err(self.explain(e)),
        };
        if n == 0 && !buf.is_empty() {
            // Whatever follows the compressed stream belongs to the blob, and its digest.
            io::copy(self.decoder.raw(), &mut io::sink())?;
            if self.hashes {
                let actual = Digest::from_hash(std::mem::take(&mut self.hash).finalize().into());
                if actual != self.diff_id {
                    let (from, blob, expected) = (self.from.clone(), self.blob.clone(), self.diff_id.clone());
                    return Err(Error::WrongDiffId { from, blob, expected, actual }.into());
                }
            }
            return Ok(0);
        }
        self.inflated += n as u64;
        if self.inflated > self.limit {
            let what = format!("{}: the uncompressed content of layer {}", self.from, self.blob);
            return Err(Error::Inflates { what, limit: self.limit }.into());
        }
        if self.hashes {
            self.hash.update(&buf[..n]);
        }
        Ok(n)
    }

    /// A decompressor stumbles over damaged bytes before the blob's end shows that they are damaged:
    /// the rest is read to tell that from a blob that was made wrong.
    fn explain(&mut self, error: io::Error) -> io::Error {
        let error = match Error::from_io(error) {
            Ok(ours) => return ours.into(),
            Err(plain) => plain,
        };
        if let Err(worse) = io::copy(self.decoder.raw(), &mut io::sink()) {
            return worse;
        }
        let (from, blob) = (self.from.clone(), self.blob.clone());
        Error::Corrupt { from, blob, reason: error.to_string() }.into()
    }
}

impl Read for LayerReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.ended {
            Some(true) => return Ok(0),
            Some(false) => return Err(io::Error::other(format!("layer {} has already failed", self.blob))),
            None => {}
        }
        let result = self.step(buf);
        match &result {
            Ok(0) if !buf.is_empty() => self.ended = Some(true),
            Err(_) => self.ended = Some(false),
            _ => {}
        }
        result
    }
}

#[cfg(test)]
mod tests;
