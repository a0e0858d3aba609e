//! An archive's members by name, whatever the archive is compressed with.
//!
//! A compressed archive, and a layer that is compressed, are inflated into files of the spool directory, and never
//! beyond a limit in all: a small file can claim to hold terabytes.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Seek, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use routerpack_rootfs::path::{self, within};
use tempfile::NamedTempFile;

use super::{
    CheckError,
    walk::{Member, Stop, walk},
};

/// An archive of images has far fewer members; a bare rootfs may have more, which are only counted.
const MAX_NAMED: usize = 1 << 16;
/// Links that lead to links.
const MAX_LINKS: usize = 8;
/// The bound on zstd's window (128 MiB: the format's recommended limit).
const ZSTD_WINDOW_LOG: u32 = 27;
/// What `xz -9` needs to unpack is 65 MiB; a stream that wants more memory than this is refused.
const XZ_MEMORY_KIB: u32 = 256 << 10;

/// How bytes are compressed, told by the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Packing {
    pub fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', ..] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ => Self::Plain,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "nothing",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        }
    }
}

/// A piece of a file.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub file: Arc<File>,
    /// Where the file can be opened again.
    pub path: PathBuf,
    pub start: u64,
    pub end: u64,
}

impl Range {
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    pub fn packing(&self) -> io::Result<Packing> {
        let mut start = [0; 6];
        let n = start.len().min(usize::try_from(self.len()).unwrap_or(usize::MAX));
        self.file.read_exact_at(&mut start[..n], self.start)?;
        Ok(Packing::of(&start[..n]))
    }
}

impl Read for Range {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = buf.len().min(usize::try_from(self.len()).unwrap_or(usize::MAX));
        let n = self.file.read_at(&mut buf[..n], self.start)?;
        self.start += n as u64;
        Ok(n)
    }
}

/// The spool directory, and how much may still be put there.
#[derive(Debug)]
pub(crate) struct Spool<'a> {
    dir: &'a Path,
    left: u64,
    files: Vec<NamedTempFile>,
}

/// Why something could not be inflated.
#[derive(Debug)]
pub(crate) enum Inflate {
    /// The compressed bytes are damaged, or of a form that isn't read.
    Bad(String),
    /// More than the limit comes out.
    TooMuch,
    Failed(CheckError),
}

impl<'a> Spool<'a> {
    pub fn new(dir: &'a Path, limit: u64) -> Self {
        Self { dir, left: limit, files: Vec::new() }
    }

    /// Puts what comes out of a reader into a file.
    pub fn keep(&mut self, from: impl Read) -> Result<Range, Inflate> {
        let failed = |e| Inflate::Failed(CheckError::Spool { dir: self.dir.into(), source: e });
        let mut file = NamedTempFile::new_in(self.dir).map_err(failed)?;
        let mut limited = from.take(self.left.saturating_add(1));
        let (mut buf, mut len) = (vec![0; 256 << 10], 0u64);
        loop {
            let n = match limited.read(&mut buf) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Inflate::Bad(e.to_string())),
            };
            len += n as u64;
            if len > self.left {
                return Err(Inflate::TooMuch);
            }
            file.write_all(&buf[..n]).map_err(failed)?;
        }
        self.left -= len;
        let open = Arc::new(file.reopen().map_err(failed)?);
        let path = file.path().to_path_buf();
        self.files.push(file);
        Ok(Range { file: open, path, start: 0, end: len })
    }

    /// The bytes uncompressed: themselves where they are.
    pub fn inflate(&mut self, bytes: Range) -> Result<Range, Inflate> {
        let io = |e: io::Error| Inflate::Bad(e.to_string());
        let packing = bytes.packing().map_err(io)?;
        let input = || io::BufReader::with_capacity(128 << 10, bytes.clone());
        match packing {
            Packing::Plain => Ok(bytes),
            Packing::Gzip => self.keep(MultiGzDecoder::new(input())),
            Packing::Bzip2 => self.keep(MultiBzDecoder::new(input())),
            Packing::Xz => self.keep(XzReader::new_mem_limit(input(), true, XZ_MEMORY_KIB)),
            Packing::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(input()).map_err(io)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(io)?;
                self.keep(decoder)
            }
        }
    }
}

/// The members of the outer tar.
#[derive(Debug)]
pub(crate) struct Members {
    bytes: Range,
    named: HashMap<Vec<u8>, Member>,
    /// How many there are, named or not.
    pub count: u64,
    /// Names that lead out of the archive, the first few.
    pub unsafe_names: Vec<String>,
    /// Names that come twice, the first few.
    pub twice: Vec<String>,
    /// Why the walk ended before the end, if it did.
    pub damage: Option<(u64, &'static str)>,
}

impl Members {
    pub fn read(bytes: Range) -> Result<Self, io::Error> {
        let (file, start, end) = (bytes.file.clone(), bytes.start, bytes.end);
        let mut members =
            Self { bytes, named: HashMap::new(), count: 0, unsafe_names: Vec::new(), twice: Vec::new(), damage: None };
        match walk(&file, start, end, &mut |member| members.take(member)) {
            Ok(()) => {}
            Err(Stop::Io(error)) => return Err(error),
            Err(Stop::Damaged { at, why }) => members.damage = Some((at, why)),
        }
        Ok(members)
    }

    fn take(&mut self, member: Member) {
        self.count += 1;
        let climbs = member.name.split(|b| *b == b'/').any(|c| c == b"..");
        if (member.name.starts_with(b"/") || climbs) && self.unsafe_names.len() < 5 {
            self.unsafe_names.push(path::brief(&member.name));
        }
        let Some(name) = within(b"", &member.name).filter(|name| !name.is_empty()) else { return };
        if self.named.len() >= MAX_NAMED {
            return;
        }
        let is_file = member.kind != b'5';
        if self.named.insert(name.clone(), member).is_some() && is_file && self.twice.len() < 5 {
            self.twice.push(path::brief(&name));
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A file's bytes. Links are followed inside the archive.
    pub fn find(&self, name: &str) -> Option<Range> {
        let mut name = within(b"", name.as_bytes())?;
        for _ in 0..MAX_LINKS {
            let member = self.named.get(&name)?;
            name = match member.kind {
                b'0' | 0 | b'7' => {
                    let end = member.offset.checked_add(member.size)?;
                    return Some(Range { start: member.offset, end, ..self.bytes.clone() });
                }
                b'1' => within(b"", &member.link)?,
                b'2' => within(path::parent(&name).unwrap_or_default(), &member.link)?,
                _ => return None,
            };
        }
        None
    }

    /// A small file whole; `None` if it is absent or larger than `limit`.
    pub fn small(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(range) = self.find(name).filter(|r| r.len() <= limit) else { return Ok(None) };
        let mut bytes = vec![0; range.len() as usize];
        range.file.read_exact_at(&mut bytes, range.start)?;
        Ok(Some(bytes))
    }
}

/// Opens a file, or keeps what a pipe or device gives in the spool.
pub(crate) fn open(path: &Path, spool: &mut Spool) -> Result<Range, CheckError> {
    let failed = |source| CheckError::Read { path: path.into(), source };
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(CheckError::Directory(path.into()));
    }
    if metadata.is_file() {
        let end = file.seek(io::SeekFrom::End(0)).map_err(failed)?;
        return Ok(Range { file: Arc::new(file), path: path.into(), start: 0, end });
    }
    keep(file, path, spool)
}

/// Keeps a stream in the spool.
pub(crate) fn keep(from: impl Read, name: &Path, spool: &mut Spool) -> Result<Range, CheckError> {
    spool.keep(from).map_err(|e| match e {
        Inflate::Failed(error) => error,
        Inflate::TooMuch => CheckError::TooMuch(name.into()),
        Inflate::Bad(why) => CheckError::Read { path: name.into(), source: io::Error::other(why) },
    })
}
