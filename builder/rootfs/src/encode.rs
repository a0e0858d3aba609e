//! An index as bytes, for the cache: compact, versioned, and checked when it is read back.
//!
//! `RPIX`, a version byte, the number of entries, the entries, a sha256 of all that. Numbers are LEB128;
//! a path is the number of bytes that it shares with the one before, and the rest.

use std::collections::BTreeMap;

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
const MIN_ENTRY: usize = 12;

/// Bytes that are no index, or one of another version, or a damaged one. Throw them away and index anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored file index is damaged or of another version; it has to be made anew")]
pub struct DecodeError;

impl Index {
    /// The same index always gives the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.entries().len() * 48);
        out.extend_from_slice(MAGIC);
        number(&mut out, self.entries().len() as u64);
        let mut last: &[u8] = b"";
        for entry in self.entries() {
            let shared = last.iter().zip(&entry.path).take_while(|(a, b)| a == b).count();
            number(&mut out, shared as u64);
            bytes(&mut out, &entry.path[shared..]);
            let opaque = if entry.opaque { OPAQUE } else { 0 };
            out.push(entry.kind as u8 | opaque | if entry.extra.is_some() { HAS_EXTRA } else { 0 });
            for value in [entry.mode.into(), entry.uid.into(), entry.gid.into(), zigzag(entry.mtime.secs)] {
                number(&mut out, value);
            }
            for value in [entry.mtime.nanos.into(), entry.size, entry.stratum.into(), entry.offset] {
                number(&mut out, value);
            }
            number(&mut out, entry.link_group.into());
            if let Some(extra) = &entry.extra {
                bytes(&mut out, &extra.link);
                bytes(&mut out, &extra.origin);
                number(&mut out, extra.rdev.0.into());
                number(&mut out, extra.rdev.1.into());
                number(&mut out, extra.xattrs.len() as u64);
                for (name, value) in &extra.xattrs {
                    bytes(&mut out, name);
                    bytes(&mut out, value);
                }
            }
            last = &entry.path;
        }
        let hash = Sha256::digest(&out);
        out.extend_from_slice(&hash);
        out
    }

    /// Reads back what [`Index::encode`] wrote. Any change to the bytes is an error.
    pub fn decode(encoded: &[u8]) -> Result<Self, DecodeError> {
        let (body, hash) = encoded.split_at(encoded.len().checked_sub(HASH).ok_or(DecodeError)?);
        if Sha256::digest(body)[..] != *hash {
            return Err(DecodeError);
        }
        let mut input = Input(body.strip_prefix(MAGIC).ok_or(DecodeError)?);
        let count = usize::try_from(input.number()?).map_err(|_| DecodeError)?;
        if count > input.0.len() / MIN_ENTRY {
            return Err(DecodeError);
        }
        let mut entries: Vec<Entry> = Vec::with_capacity(count);
        let mut path = Vec::new();
        for _ in 0..count {
            let shared = input.number()? as usize;
            if shared > path.len() {
                return Err(DecodeError);
            }
            path.truncate(shared);
            path.extend_from_slice(input.bytes()?);
            let in_order = entries.last().is_none_or(|last| *last.path < *path);
            if !in_order || !path::is_clean(&path) {
                return Err(DecodeError);
            }
            entries.push(input.entry(&path)?);
        }
        if input.0.is_empty() { Ok(Self::from_sorted(entries)) } else { Err(DecodeError) }
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

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn number(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(DecodeError)?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(DecodeError);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError)
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Result<T, DecodeError> {
        T::try_from(self.number()?).map_err(|_| DecodeError)
    }

    fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.small()?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(DecodeError)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn entry(&mut self, path: &[u8]) -> Result<Entry, DecodeError> {
        let (flags, rest) = self.0.split_first().ok_or(DecodeError)?;
        self.0 = rest;
        let kind = *KINDS.get(usize::from(flags & KIND_BITS)).ok_or(DecodeError)?;
        let mode: u16 = self.small()?;
        if mode > 0o7777 {
            return Err(DecodeError);
        }
        let (uid, gid) = (self.small()?, self.small()?);
        let secs = self.number()?;
        let secs = (secs >> 1) as i64 ^ -((secs & 1) as i64);
        let mtime = Mtime { secs, nanos: self.small()? };
        if mtime.nanos >= 1_000_000_000 {
            return Err(DecodeError);
        }
        let (size, stratum, offset, link_group) = (self.number()?, self.small()?, self.number()?, self.small()?);
        let extra = if flags & HAS_EXTRA != 0 { Some(Box::new(self.extra()?)) } else { None };
        let opaque = flags & OPAQUE != 0;
        Ok(Entry { path: path.into(), kind, mode, opaque, uid, gid, mtime, size, stratum, offset, link_group, extra })
    }

    fn extra(&mut self) -> Result<Extra, DecodeError> {
        let (link, origin) = (self.bytes()?.into(), self.bytes()?.to_vec());
        if !path::is_clean(&origin) {
            return Err(DecodeError);
        }
        let rdev = (self.small()?, self.small()?);
        let mut xattrs = BTreeMap::new();
        for _ in 0..self.number()? {
            let name = self.bytes()?.into();
            xattrs.insert(name, self.bytes()?.into());
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

    proptest! {
        #[test]
        fn what_is_written_is_read(entries in prop::collection::vec(entry(), 0..20), at: prop::sample::Index, bit in 0..8) {
            let index = Index::new(entries);
            let encoded = index.encode();
            prop_assert_eq!(Index::decode(&encoded), Ok(index));
            let mut damaged = encoded.clone();
            damaged[at.index(encoded.len())] ^= 1u8 << bit;
            prop_assert_eq!(Index::decode(&damaged), Err(DecodeError));
            prop_assert_eq!(Index::decode(&encoded[..at.index(encoded.len())]), Err(DecodeError));
        }

        /// Bytes with a right checksum but a wrong meaning: an error or a valid index, never a panic.
        #[test]
        fn nonsense_is_an_error(body in prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..200)) {
            let body = [MAGIC, &body[..]].concat();
            let encoded = [&body[..], &Sha256::digest(&body)[..]].concat();
            if let Ok(index) = Index::decode(&encoded) {
                prop_assert_eq!(Index::decode(&index.encode()), Ok(index));
            }
        }
    }
}
