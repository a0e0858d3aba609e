//! Gzip whose bytes follow from the input alone: no time, no name, no system, one level; and the
//! same bytes however many threads made them.
//!
//! The input is cut into blocks of a fixed size, each compressed on its own and ended by a sync
//! flush, so that they join to one deflate stream in one gzip member (RFC 1951, 3.2; RFC 1952):
//! every reader takes that, while several members are beyond some. The blocks know nothing of each
//! other, which costs about one percent of size.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
};

use flate2::{Compress, Compression, Crc, FlushCompress};

/// zlib's default: what registries' layers mostly have.
const LEVEL: u32 = 6;
/// Large against deflate's window (32 KiB), small against the memory of a build.
const BLOCK: usize = 1 << 20;
/// Magic, deflate, no flags, no time, no hint, and "unknown" for the system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// A last block with nothing in it: final, fixed Huffman codes, end-of-block.
const LAST: [u8; 2] = [3, 0];

/// The most bytes that so many bytes can become: more than zlib's own bound, and the flushes.
pub(crate) fn bound(size: u64) -> u64 {
    size + (size >> 8) + 1024
}

/// A block on its way: what it was, then what it has become.
struct Packed {
    bytes: Vec<u8>,
    crc: Crc,
}

type Job = (Vec<u8>, Sender<io::Result<Packed>>);

/// A compressing writer; without [`Gzip::finish`] what it wrote is no gzip file.
pub(crate) struct Gzip<W> {
    out: W,
    block: Vec<u8>,
    crc: Crc,
    /// Hands blocks to the threads, which start with the second block and end with this.
    jobs: Option<Sender<Job>>,
    /// In order, at most two a thread.
    waiting: VecDeque<Receiver<io::Result<Packed>>>,
    threads: usize,
}

impl<W: Write> Gzip<W> {
    pub fn new(out: W) -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(16);
        Self::with_threads(out, threads)
    }

    fn with_threads(mut out: W, threads: usize) -> io::Result<Self> {
        out.write_all(&HEADER)?;
        let block = Vec::with_capacity(BLOCK);
        Ok(Self { out, block, crc: Crc::new(), jobs: None, waiting: VecDeque::new(), threads })
    }

    /// Writes the rest and the frame's end.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.block.is_empty() {
            self.dispatch()?;
        }
        while !self.waiting.is_empty() {
            self.collect()?;
        }
        self.out.write_all(&LAST)?;
        self.out.write_all(&self.crc.sum().to_le_bytes())?;
        self.out.write_all(&self.crc.amount().to_le_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn dispatch(&mut self) -> io::Result<()> {
        let (reply, answer) = channel();
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        // A short output is done sooner than a thread starts.
        if self.jobs.is_none() && (block.len() < BLOCK || self.threads < 2) {
            let _ = reply.send(pack(&block)); // its receiver is right here
        } else {
            let jobs = match self.jobs.take() {
                Some(jobs) => jobs,
                None => start(self.threads)?,
            };
            jobs.send((block, reply)).map_err(|_| lost())?;
            self.jobs = Some(jobs);
        }
        self.waiting.push_back(answer);
        while self.waiting.len() > 2 * self.threads {
            self.collect()?;
        }
        Ok(())
    }

    fn collect(&mut self) -> io::Result<()> {
        if let Some(answer) = self.waiting.pop_front() {
            let packed = answer.recv().map_err(|_| lost())??;
            self.crc.combine(&packed.crc);
            self.out.write_all(&packed.bytes)?;
        }
        Ok(())
    }
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.len() == BLOCK {
            self.dispatch()?;
        }
        let n = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    /// Does nothing: where blocks end must not depend on who flushes when.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lost() -> io::Error {
    io::Error::other("a compressing thread ended early")
}

fn start(threads: usize) -> io::Result<Sender<Job>> {
    let (jobs, todo) = channel::<Job>();
    let todo = Arc::new(Mutex::new(todo));
    for n in 0..threads {
        let todo = Arc::clone(&todo);
        let work = move || {
            loop {
                let job = match todo.lock() {
                    Ok(todo) => todo.recv(),
                    Err(_) => return,
                };
                let Ok((block, reply)) = job else { return };
                let _ = reply.send(pack(&block)); // a writer that gave up doesn't want it
            }
        };
        match std::thread::Builder::new().name("gzip".into()).spawn(work) {
            Err(e) if n == 0 => return Err(e),
            _ => {} // fewer threads do as well
        }
    }
    Ok(jobs)
}

/// One block as raw deflate, ended on a byte by an empty stored block (a sync flush).
fn pack(block: &[u8]) -> io::Result<Packed> {
    let mut crc = Crc::new();
    crc.update(block);
    let mut zip = Compress::new(Compression::new(LEVEL), false);
    let mut bytes = Vec::with_capacity(block.len() / 2 + 64);
    loop {
        let rest = &block[zip.total_in() as usize..];
        zip.compress_vec(rest, &mut bytes, FlushCompress::Sync).map_err(io::Error::other)?;
        // A flush is complete when it left room (zlib.h, deflate()).
        if bytes.len() < bytes.capacity() && zip.total_in() as usize == block.len() {
            return Ok(Packed { bytes, crc });
        }
        bytes.reserve(block.len() / 4 + 64);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn zip(data: &[u8], threads: usize, piece: usize) -> Vec<u8> {
        let mut gzip = Gzip::with_threads(Vec::new(), threads).unwrap();
        for piece in data.chunks(piece) {
            gzip.write_all(piece).unwrap();
            gzip.flush().unwrap();
        }
        gzip.finish().unwrap()
    }

    #[test]
    fn one_member_with_the_same_bytes_whatever_the_threads() {
        let noise = |n: usize| -> Vec<u8> {
            let mut x = 1u64;
            (0..n)
                .map(|_| {
                    x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (x >> 56) as u8
                })
                .collect()
        };
        let text: Vec<u8> = (0..600_000u32).flat_map(|i| (i % 5003).to_string().into_bytes()).collect();
        for data in [
            Vec::new(),
            b"x".to_vec(),
            vec![0; BLOCK],
            vec![0; 5 * BLOCK + 1],
            noise(BLOCK - 1),
            noise(2 * BLOCK + 77),
            text,
        ] {
            let one = zip(&data, 1, 10_000);
            assert!(one.len() as u64 <= bound(data.len() as u64));
            for threads in [2, 3, 8] {
                assert!(zip(&data, threads, 777_777) == one, "{threads} threads");
            }
            let mut back = Vec::new();
            let mut reader = flate2::bufread::GzDecoder::new(&one[..]);
            reader.read_to_end(&mut back).unwrap();
            assert!(back == data);
            assert!(reader.into_inner().is_empty(), "one member and nothing after it");
        }
    }

    #[test]
    fn an_error_of_the_output_is_told() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut gzip = Gzip::with_threads(Full(5000), 2).unwrap();
        let failed = (0..20).find_map(|_| gzip.write_all(&vec![1; BLOCK]).err());
        let e = failed.or_else(|| gzip.finish().err()).unwrap();
        assert_eq!(e.kind(), io::ErrorKind::StorageFull);
    }
}
