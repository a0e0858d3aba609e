//! An index as bytes, for the cache: compact, versioned, and checked when it is read back.
//!
//! `RPIX`, a version byte, the number of entries, the entries, a sha256 of all that. Numbers are LEB128;
//! a path is the number of bytes that it shares with the one before, and the rest.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};

use sha2::{Digest as _, Sha256};

use crate::{
    index::{Entry, Extra, Index, Kind, Mtime},
    path,
};

const MAGIC: &[u8; 5] = b"RPIX\x01";
const HASH: usize = 32;
/// In the order of their declaration, so that the position is the number; to change it is to change the version.
const KINDS: [Kind; 9] = [
    Kind::Dir,
    Kind::File,
    Kind::Symlink,
    Kind::CharDev,
    Kind::BlockDev,
    Kind::Fifo,
    Kind::Socket,
    Kind::HardLink,
    Kind::Whiteout,
];
const KIND_BITS: u8 = 0x0f;
const OPAQUE: u8 = 0x40;
const HAS_EXTRA: u8 = 0x80;
/// No entry takes fewer bytes: two of path, kind, mode, two ids, two of time, size, stratum, offset, group.
const MIN_ENTRY: u64 = 12;
/// Bytes that are read, hashed and written at once.
const CHUNK: usize = 64 << 10;

/// Why bytes can't be read as an index.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// They are no index, or one of another version, or a damaged one. Throw them away and index anew.
    #[error("the stored file index is damaged or of another version; it has to be made anew")]
    Damaged,
    /// The source failed.
    #[error("reading a stored file index: {0}")]
    Read(#[from] io::Error),
}

impl Index {
    /// Writes the index. The same index always gives the same bytes.
    pub fn encode(&self, mut to: impl Write) -> io::Result<()> {
        let mut hash = Sha256::new();
        let mut out = Vec::with_capacity(CHUNK + 1024);
        out.extend_from_slice(MAGIC);
        number(&mut out, self.entries().len() as u64);
        let mut last: &[u8] = b"";
        for entry in self.entries() {
            put(&mut out, entry, last);
            last = &entry.path;
            if out.len() >= CHUNK {
                hash.update(&out);
                to.write_all(&out)?;
                out.clear();
            }
        }
        hash.update(&out);
        out.extend_from_slice(&hash.finalize());
        to.write_all(&out)
    }

    /// Reads back what [`Index::encode`] wrote, all of `len` bytes. Any change to the bytes is an error.
    pub fn decode(from: impl Read, len: u64) -> Result<Self, DecodeError> {
        let left = len.checked_sub(HASH as u64).ok_or(DecodeError::Damaged)?;
        let mut input = Input { from, hash: Sha256::new(), chunk: Vec::new(), given: 0, left };
        for byte in MAGIC {
            input.expect(*byte)?;
        }
        let count = input.number()?;
        if count > input.remaining() / MIN_ENTRY {
            return Err(DecodeError::Damaged);
        }
        let mut entries: Vec<Entry> = Vec::with_capacity(count as usize);
        let mut path = Vec::new();
        for _ in 0..count {
            let shared = input.small()?;
            if shared > path.len() {
                return Err(DecodeError::Damaged);
            }
            path.truncate(shared);
            input.bytes(&mut path)?;
            let in_order = entries.last().is_none_or(|last| *last.path < *path);
            if !in_order || !path::is_clean(&path) {
                return Err(DecodeError::Damaged);
            }
            entries.push(input.entry(&path)?);
        }
        input.end()?;
        Ok(Self::from_sorted(entries))
    }
}

fn put(out: &mut Vec<u8>, entry: &Entry, last: &[u8]) {
    let shared = last.iter().zip(&entry.path).take_while(|(a, b)| a == b).count();
    number(out, shared as u64);
    bytes(out, &entry.path[shared..]);
    let opaque = if entry.opaque { OPAQUE } else { 0 };
    out.push(entry.kind as u8 | opaque | if entry.extra.is_some() { HAS_EXTRA } else { 0 });
    for value in [entry.mode.into(), entry.uid.into(), entry.gid.into(), zigzag(entry.mtime.secs)] {
        number(out, value);
    }
    for value in [entry.mtime.nanos.into(), entry.size, entry.stratum.into(), entry.offset] {
        number(out, value);
    }
    number(out, entry.link_group.into());
    if let Some(extra) = &entry.extra {
        bytes(out, &extra.link);
        bytes(out, &extra.origin);
        number(out, extra.rdev.0.into());
        number(out, extra.rdev.1.into());
        number(out, extra.xattrs.len() as u64);
        for (name, value) in &extra.xattrs {
            bytes(out, name);
            bytes(out, value);
        }
    }
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    number(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Small numbers of both signs to small ones of none.
fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// Encoded bytes on their way in.
struct Input<R> {
    from: R,
    hash: Sha256,
    chunk: Vec<u8>,
    /// What of the chunk is given away.
    given: usize,
    /// Bytes before the hash that are not in the chunk yet.
    left: u64,
}

impl<R: Read> Input<R> {
    /// The next bytes, at least one.
    fn fill(&mut self) -> Result<&[u8], DecodeError> {
        if self.given == self.chunk.len() {
            let want = self.left.min(CHUNK as u64);
            if want == 0 {
                return Err(DecodeError::Damaged);
            }
            self.chunk.resize(want as usize, 0);
            self.given = 0;
            self.from.read_exact(&mut self.chunk).map_err(|e| match e.kind() {
                io::ErrorKind::UnexpectedEof => DecodeError::Damaged,
                _ => DecodeError::Read(e),
            })?;
            self.hash.update(&self.chunk);
            self.left -= want;
        }
        Ok(&self.chunk[self.given..])
    }

    fn remaining(&self) -> u64 {
        self.left + (self.chunk.len() - self.given) as u64
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = self.fill()?[0];
        self.given += 1;
        Ok(byte)
    }

    fn expect(&mut self, byte: u8) -> Result<(), DecodeError> {
        if self.byte()? == byte { Ok(()) } else { Err(DecodeError::Damaged) }
    }

    /// There is nothing more, and the hash is that of what there was.
    fn end(mut self) -> Result<(), DecodeError> {
        if self.remaining() > 0 {
            return Err(DecodeError::Damaged);
        }
        let actual = std::mem::take(&mut self.hash).finalize();
        (self.left, self.chunk, self.given) = (HASH as u64, Vec::new(), 0);
        if *self.fill()? == *actual { Ok(()) } else { Err(DecodeError::Damaged) }
    }

    fn number(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(DecodeError::Damaged);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Damaged)
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Result<T, DecodeError> {
        T::try_from(self.number()?).map_err(|_| DecodeError::Damaged)
    }

    /// Appends a string of bytes.
    fn bytes(&mut self, to: &mut Vec<u8>) -> Result<(), DecodeError> {
        let mut want = self.number()?;
        if want > self.remaining() {
            return Err(DecodeError::Damaged);
        }
        while want > 0 {
            let there = self.fill()?;
            let got = usize::try_from(want).unwrap_or(usize::MAX).min(there.len());
            to.extend_from_slice(&there[..got]);
            self.given += got;
            want -= got as u64;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Vec<u8>, DecodeError> {
        let mut string = Vec::new();
        self.bytes(&mut string)?;
        Ok(string)
    }

    fn entry(&mut self, path: &[u8]) -> Result<Entry, DecodeError> {
        let flags = self.byte()?;
        let kind = *KINDS.get(usize::from(flags & KIND_BITS)).ok_or(DecodeError::Damaged)?;
        let mode: u16 = self.small()?;
        if mode > 0o7777 {
            return Err(DecodeError::Damaged);
        }
        let (uid, gid) = (self.small()?, self.small()?);
        let secs = self.number()?;
        let secs = (secs >> 1) as i64 ^ -((secs & 1) as i64);
        let mtime = Mtime { secs, nanos: self.small()? };
        if mtime.nanos >= 1_000_000_000 {
            return Err(DecodeError::Damaged);
        }
        let (size, stratum, offset, link_group) = (self.number()?, self.small()?, self.number()?, self.small()?);
        let extra = if flags & HAS_EXTRA != 0 { Some(Box::new(self.extra()?)) } else { None };
        let opaque = flags & OPAQUE != 0;
        Ok(Entry { path: path.into(), kind, mode, opaque, uid, gid, mtime, size, stratum, offset, link_group, extra })
    }

    fn extra(&mut self) -> Result<Extra, DecodeError> {
        let (link, origin) = (self.string()?, self.string()?);
        if !path::is_clean(&origin) {
            return Err(DecodeError::Damaged);
        }
        let rdev = (self.small()?, self.small()?);
        let mut xattrs = BTreeMap::new();
        for _ in 0..self.number()? {
            let name = self.string()?;
            xattrs.insert(name, self.string()?);
        }
        Ok(Extra { link, xattrs, rdev, origin })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let extra = (
            prop::collection::vec(any::<u8>(), 0..20),
            prop::collection::btree_map(
                prop::collection::vec(any::<u8>(), 0..9),
                prop::collection::vec(any::<u8>(), 0..30),
                0..3,
            ),
            any::<(u32, u32)>(),
            "[a-c]{0,3}",
        )
            .prop_map(|(link, xattrs, rdev, origin)| Extra { link, xattrs, rdev, origin: origin.into() });
        let numbers = (any::<(u32, u32, u32, u32)>(), any::<(i64, u64, u64)>(), 0u32..1_000_000_000);
        ("[a-c]{1,2}(/[a-c]{1,3}){0,3}", 0..KINDS.len(), 0u16..0o10000, any::<bool>(), numbers, prop::option::of(extra))
            .prop_map(
                |(path, kind, mode, opaque, ((uid, gid, stratum, link_group), (secs, size, offset), nanos), extra)| {
                    Entry {
                        path: path.as_bytes().into(),
                        kind: KINDS[kind],
                        mode,
                        opaque,
                        uid,
                        gid,
                        mtime: Mtime { secs, nanos },
                        size,
                        stratum,
                        offset,
                        link_group,
                        extra: extra.map(Box::new),
                    }
                },
            )
    }

    fn encoded(index: &Index) -> Vec<u8> {
        let mut bytes = Vec::new();
        index.encode(&mut bytes).unwrap();
        bytes
    }

    fn decoded(bytes: &[u8]) -> Option<Index> {
        Index::decode(bytes, bytes.len() as u64).ok()
    }

    /// Longer than a chunk, with something across each border.
    #[test]
    fn long_ones_too() {
        let index = Index::new((0..20_000).map(|n| Entry::new(format!("{n:x}").as_bytes(), Kind::File, 0)).collect());
        let mut bytes = encoded(&index);
        assert!(bytes.len() > 3 * CHUNK);
        assert_eq!(decoded(&bytes).as_ref(), Some(&index));
        assert!(matches!(Index::decode(&bytes[..], bytes.len() as u64 + 1), Err(DecodeError::Damaged)));
        bytes[2 * CHUNK] ^= 1;
        assert_eq!(decoded(&bytes), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entries in prop::collection::vec(entry(), 0..20), at: prop::sample::Index, bit in 0..8) {
            let index = Index::new(entries);
            let encoded = encoded(&index);
            prop_assert_eq!(decoded(&encoded), Some(index));
            let mut damaged = encoded.clone();
            damaged[at.index(encoded.len())] ^= 1u8 << bit;
            prop_assert_eq!(decoded(&damaged), None);
            prop_assert_eq!(decoded(&encoded[..at.index(encoded.len())]), None);
        }

        /// Bytes with a right checksum but a wrong meaning: an error or a valid index, never a panic.
        #[test]
        fn nonsense_is_an_error(body in prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..200)) {
            let body = [MAGIC, &body[..]].concat();
            let bytes = [&body[..], &Sha256::digest(&body)[..]].concat();
            if let Some(index) = decoded(&bytes) {
                prop_assert_eq!(decoded(&encoded(&index)), Some(index));
            }
        }
    }
}
