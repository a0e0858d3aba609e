//! What the machine can't do without: each layer read, verified, inflated and hashed, and as many bytes as the archive
//! has hashed and written, by two threads, with the inflater that routerpack uses and with no file in between.

use std::{
    fs::File,
    io::{BufReader, Read, Write},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::image::Image;

const CHUNK: usize = 256 << 10;

/// Does that work; `flat` is the archive's size.
pub fn run(image: &Image, flat: u64, out: &Path) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(layer) = image.layers.get(next.fetch_add(1, Ordering::Relaxed)) {
                    inflate(layer);
                }
            });
        }
    });
    let chunk = [0x55; CHUNK];
    let sizes = || {
        std::iter::successors(Some(flat), |left| left.checked_sub(CHUNK as u64))
            .map(|left| left.min(CHUNK as u64) as usize)
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut hash = Sha256::new();
            sizes().for_each(|n| hash.update(&chunk[..n]));
            assert_ne!(hash.finalize()[..], [0; 32]);
        });
        let mut file = File::create(out).expect("a file for the floor");
        sizes().for_each(|n| file.write_all(&chunk[..n]).expect("room for the floor"));
    });
}

fn inflate(layer: &Path) {
    let raw = Hashed { from: File::open(layer).expect("a layer"), hash: Sha256::new() };
    let mut inflated = MultiGzDecoder::new(BufReader::with_capacity(CHUNK, raw));
    let (mut hash, mut buf) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match inflated.read(&mut buf).expect("gzip") {
            0 => break,
            n => hash.update(&buf[..n]),
        }
    }
    assert_ne!(hash.finalize(), inflated.into_inner().into_inner().hash.finalize());
}

struct Hashed {
    from: File,
    hash: Sha256,
}

impl Read for Hashed {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.from.read(buf)?;
        self.hash.update(&buf[..n]);
        Ok(n)
    }
}
