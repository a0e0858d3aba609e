//! Bytes on their way out: buffered, counted and hashed.
//!
//! Large outputs are hashed on a second thread: reading, hashing and writing then overlap. Memory is
//! a handful of buffers whatever the size.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    sync::mpsc::{Receiver, Sender, channel},
    thread::JoinHandle,
};

use routerpack_graph::Digest;
use sha2::{Digest as _, Sha256};

/// Bytes gathered before they are written and hashed.
const CHUNK: usize = 256 * 1024;
/// Buffers in flight: one being filled, the others at the hasher.
const BUFFERS: usize = 4;
/// Outputs below this aren't worth a thread.
const THREAD_FROM: u64 = 4 << 20;

/// Which side of a copy failed.
#[derive(Debug)]
pub(crate) enum CopyError {
    Read(io::Error),
    /// The source ended after so many bytes.
    Short(u64),
    Write(io::Error),
}

/// A writer that counts and hashes what passes.
pub(crate) struct Sink<W> {
    out: W,
    buf: Vec<u8>,
    filled: usize,
    written: u64,
    hasher: Hasher,
}

impl<W: Write> Sink<W> {
    /// `expected` bytes, roughly; decides whether a thread pays.
    pub fn new(out: W, expected: u64) -> Self {
        let hasher = if expected >= THREAD_FROM { Hasher::thread() } else { Hasher::Inline(Sha256::new()) };
        Self { out, buf: vec![0; CHUNK], filled: 0, written: 0, hasher }
    }

    /// Takes `len` bytes of a file.
    pub fn copy(&mut self, file: &File, offset: u64, len: u64) -> Result<(), CopyError> {
        let mut done = 0;
        while done < len {
            if self.filled == self.buf.len() {
                self.pass_on().map_err(CopyError::Write)?;
            }
            let room = (self.buf.len() - self.filled).min(usize::try_from(len - done).unwrap_or(usize::MAX));
            match file.read_at(&mut self.buf[self.filled..self.filled + room], offset + done) {
                Ok(0) => return Err(CopyError::Short(done)),
                Ok(n) => {
                    self.filled += n;
                    done += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(CopyError::Read(e)),
            }
        }
        Ok(())
    }

    /// Takes so many zeros.
    pub fn zeros(&mut self, count: usize) -> io::Result<()> {
        const ZEROS: [u8; 1024] = [0; 1024];
        let mut left = count;
        while left > 0 {
            let n = left.min(ZEROS.len());
            self.write_all(&ZEROS[..n])?;
            left -= n;
        }
        Ok(())
    }

    /// Writes what is gathered; the writer, the digest and the count.
    pub fn finish(mut self) -> io::Result<(W, Digest, u64)> {
        self.pass_on()?;
        self.out.flush()?;
        Ok((self.out, Digest::from_hash(self.hasher.finish()), self.written))
    }

    fn pass_on(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buf[..self.filled])?;
        self.written += self.filled as u64;
        self.buf = self.hasher.update(std::mem::take(&mut self.buf), self.filled);
        self.filled = 0;
        Ok(())
    }
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.filled == self.buf.len() {
            self.pass_on()?;
        }
        let n = bytes.len().min(self.buf.len() - self.filled);
        self.buf[self.filled..self.filled + n].copy_from_slice(&bytes[..n]);
        self.filled += n;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on()?;
        self.out.flush()
    }
}

enum Hasher {
    Inline(Sha256),
    Thread { full: Sender<(Vec<u8>, usize)>, empty: Receiver<Vec<u8>>, thread: JoinHandle<[u8; 32]> },
}

impl Hasher {
    fn thread() -> Self {
        let (full, todo) = channel::<(Vec<u8>, usize)>();
        let (done, empty) = channel();
        for _ in 1..BUFFERS {
            let _ = done.send(vec![0; CHUNK]);
        }
        let work = move || {
            let mut hash = Sha256::new();
            for (buf, n) in todo {
                hash.update(&buf[..n]);
                let _ = done.send(buf); // nobody waits for the last ones
            }
            hash.finalize().into()
        };
        match std::thread::Builder::new().name("sha256".into()).spawn(work) {
            Ok(thread) => Hasher::Thread { full, empty, thread },
            Err(_) => Hasher::Inline(Sha256::new()), // no more threads to be had: slower, no less right
        }
    }

    /// Takes a full buffer, gives an empty one.
    fn update(&mut self, buf: Vec<u8>, n: usize) -> Vec<u8> {
        match self {
            Hasher::Inline(hash) => {
                hash.update(&buf[..n]);
                buf
            }
            Hasher::Thread { full, empty, .. } => {
                let _ = full.send((buf, n)); // the thread ends only after this sender is dropped
                empty.recv().unwrap_or_else(|_| vec![0; CHUNK])
            }
        }
    }

    fn finish(self) -> [u8; 32] {
        match self {
            Hasher::Inline(hash) => hash.finalize().into(),
            Hasher::Thread { full, thread, .. } => {
                drop(full);
                match thread.join() {
                    Ok(hash) => hash,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_and_count_are_those_of_the_bytes_with_and_without_thread() {
        let data: Vec<u8> = (0..3_000_001u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&data).unwrap();
        for expected in [0, THREAD_FROM] {
            let mut sink = Sink::new(Vec::new(), expected);
            sink.write_all(&data[..1000]).unwrap();
            sink.copy(&file, 1000, data.len() as u64 - 1000).unwrap();
            sink.zeros(1500).unwrap();
            let (out, digest, len) = sink.finish().unwrap();
            assert_eq!(len, out.len() as u64);
            assert_eq!(digest, Digest::of(&out));
            assert!(out.starts_with(&data) && out[data.len()..].iter().all(|&b| b == 0));
        }
    }

    #[test]
    fn a_short_source_is_told() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let mut sink = Sink::new(Vec::new(), 0);
        assert!(matches!(sink.copy(&file, 4, 7), Err(CopyError::Short(6))));
    }
}
