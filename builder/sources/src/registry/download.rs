//! A blob as a stream of bytes that survives cut connections.

use std::io::{self, Read};
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use routerpack_graph::Digest;

use super::Registry;
use crate::error::{Error, Result};
use crate::http::{Answer, Call};
use crate::image::Origin;
use crate::layer::{Opened, Progress, Sink};
use crate::reference::Reference;

/// The layers of an image in a registry.
#[derive(Debug)]
pub(super) struct RegistryOrigin {
    registry: Registry,
    reference: Reference,
}

impl RegistryOrigin {
    pub fn new(registry: Registry, reference: Reference) -> Self {
        Self { registry, reference }
    }

    fn cached(&self, blob: &Digest, size: u64) -> Result<Option<Opened>> {
        let blobs = self.registry.blobs();
        let Some(file) = blobs.get(blob)? else { return Ok(None) };
        if file.metadata().is_ok_and(|m| m.len() != size) {
            // Cut by a power failure: fetch it again.
            blobs.remove(blob)?;
            return Ok(None);
        }
        Ok(Some(Opened { reader: Box::new(file), sink: Sink::Cached(blobs.clone()) }))
    }
}

impl Origin for RegistryOrigin {
    fn open(&self, blob: &Digest, size: u64, _: Option<Arc<dyn Progress>>) -> Result<Opened> {
        if let Some(opened) = self.cached(blob, size)? {
            return Ok(opened);
        }
        let blobs = self.registry.blobs();
        let lock = blobs.lock(blob)?;
        if let Some(opened) = self.cached(blob, size)? {
            return Ok(opened);
        }
        let stream = BlobStream {
            registry: self.registry.clone(),
            reference: self.reference.clone(),
            blob: blob.clone(),
            size,
            got: 0,
            answer: None,
            failures: 0,
            failed_at: 0,
        };
        Ok(Opened { reader: Box::new(stream), sink: Sink::Store(blobs.writer()?, Some(lock)) })
    }

    fn name(&self) -> String {
        self.reference.familiar()
    }
}

/// How far a download must have got for its earlier failures to be forgotten.
const PROGRESS: u64 = 1 << 20;

struct BlobStream {
    registry: Registry,
    reference: Reference,
    blob: Digest,
    size: u64,
    got: u64,
    answer: Option<Answer>,
    failures: u32,
    failed_at: u64,
}

impl BlobStream {
    /// Asks for the blob from where we are on.
    fn connect(&self) -> Result<Answer> {
        let inner = &self.registry.inner;
        let what = format!("{} (layer {})", self.reference.familiar(), self.blob);
        let mut call = Call::new(Method::GET, inner.url(&self.reference, &format!("blobs/{}", self.blob))?);
        if self.got > 0 {
            call = call.header("range", format!("bytes={}-", self.got));
        }
        let mut answer = inner.send(&self.reference, call, &what)?;
        let resumes = answer.status() == StatusCode::PARTIAL_CONTENT
            && answer.header("content-range").is_some_and(|r| r.starts_with(&format!("bytes {}-", self.got)));
        if self.got > 0 && !resumes {
            // The server knows no ranges: skip what we have.
            if answer.status() != StatusCode::OK {
                return Err(Error::malformed(what, "the registry answered a range request with another range"));
            }
            let skipped =
                io::copy(&mut (&mut answer).take(self.got), &mut io::sink()).map_err(Error::file(&what, "read"))?;
            if skipped < self.got {
                let (blob, size) = (self.blob.clone(), self.size);
                return Err(Error::Truncated { from: self.reference.familiar(), blob, got: skipped, size });
            }
        }
        Ok(answer)
    }

    fn step(&mut self, buf: &mut [u8]) -> Result<usize> {
        if self.answer.is_none() {
            self.answer = Some(self.connect()?);
        }
        let Some(answer) = &mut self.answer else { return Ok(0) };
        let n = answer.read(buf).map_err(Error::file(self.reference.familiar(), "read"))?;
        if n == 0 && self.got < self.size {
            let (blob, got, size) = (self.blob.clone(), self.got, self.size);
            return Err(Error::Truncated { from: self.reference.familiar(), blob, got, size });
        }
        Ok(n)
    }
}

impl BlobStream {
    /// A connection that keeps breaking leaves a truncated blob, whatever else the transport calls it.
    fn give_up(&self, error: Error) -> Error {
        match error {
            Error::Unreachable { reason, .. } if self.got > 0 => Error::Truncated {
                from: format!("{} (the connection breaks: {reason})", self.reference.familiar()),
                blob: self.blob.clone(),
                got: self.got,
                size: self.size,
            },
            other => other,
        }
    }
}

impl Read for BlobStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.step(buf) {
                Ok(n) => {
                    self.got += n as u64;
                    return Ok(n);
                }
                Err(error) => {
                    self.answer = None;
                    if self.got >= self.failed_at + PROGRESS {
                        self.failures = 0;
                    }
                    let http = &self.registry.inner.http;
                    // In the middle of a download, the network may be gone for a moment.
                    let may_pass = error.is_transient() || (self.got > 0 && matches!(error, Error::Unreachable { .. }));
                    if !may_pass || self.failures == http.config().retries {
                        return Err(self.give_up(error).into());
                    }
                    http.pause(self.failures);
                    self.failures += 1;
                    self.failed_at = self.got;
                }
            }
        }
    }
}
