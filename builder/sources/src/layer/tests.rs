use std::io::Cursor;

use super::*;

const TAR: &[u8] = b"not really a tar, but any bytes will do here";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A reader that gives one byte at a time: the worst that a network can do.
struct Drip(Cursor<Vec<u8>>);

impl Read for Drip {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = buf.len().min(1);
        self.0.read(&mut buf[..n])
    }
}

fn open(bytes: &[u8], digest: &Digest, size: u64, diff_id: &Digest, limit: u64) -> Result<LayerReader> {
    let opened = Opened { reader: Box::new(Drip(Cursor::new(bytes.to_vec()))), sink: Sink::None };
    LayerReader::new(Verified::new(opened, "a test".into(), digest.clone(), size, None), diff_id, limit)
}

fn read(bytes: &[u8], digest: &Digest, size: u64, diff_id: &Digest, limit: u64) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut reader = open(bytes, digest, size, diff_id, limit)?;
    match reader.read_to_end(&mut out) {
        Ok(_) => Ok(out),
        Err(e) => {
            assert!(reader.read(&mut [0; 8]).is_err(), "a failed reader must not end well");
            Err(Error::from_io(e).unwrap())
        }
    }
}

#[test]
fn every_compression_gives_the_same_bytes() {
    let diff_id = Digest::of(TAR);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9][..], &zstd::encode_all(TAR, 1).unwrap()].concat();
    let (left, right) = TAR.split_at(7);
    for (blob, compression) in [
        (TAR.to_vec(), Compression::None),
        (gzip(TAR), Compression::Gzip),
        ([gzip(left), gzip(right)].concat(), Compression::Gzip),
        (zstd::encode_all(TAR, 3).unwrap(), Compression::Zstd),
        ([zstd::encode_all(left, 3).unwrap(), zstd::encode_all(right, 3).unwrap()].concat(), Compression::Zstd),
        (skippable, Compression::Zstd),
    ] {
        let (digest, size) = (Digest::of(&blob), blob.len() as u64);
        assert_eq!(open(&blob, &digest, size, &diff_id, 1000).unwrap().compression(), compression);
        assert_eq!(read(&blob, &digest, size, &diff_id, 1000).unwrap(), TAR);
    }
    let empty = Digest::of(b"");
    assert_eq!(read(b"", &empty, 0, &empty, 0).unwrap(), b"");
}

#[test]
fn what_is_wrong_is_named() {
    let diff_id = Digest::of(TAR);
    let other = Digest::of(b"other");
    let good = gzip(TAR);
    let (digest, size) = (Digest::of(&good), good.len() as u64);
    let mut flipped = good.clone();
    flipped[20] ^= 0xff;
    let cut = &good[..good.len() - 9];
    let bad_crc = [&good[..good.len() - 8], &[0; 8]].concat();
    let trailing = [&good[..], b"garbage behind the end"].concat();
    let zcut = zstd::encode_all(TAR, 1).unwrap();
    let zcut = &zcut[..zcut.len() - 3];
    for (blob, digest, size, diff_id, limit, want) in [
        (&good[..], &digest, size, &diff_id, 10, "Inflates"),
        (&good, &digest, size, &other, 1000, "WrongDiffId"),
        (&good, &other, size, &diff_id, 1000, "WrongDigest"),
        (&good, &digest, size - 1, &diff_id, 1000, "Overlong"),
        (&good, &digest, size + 1, &diff_id, 1000, "Truncated"),
        (&flipped, &digest, size, &diff_id, 1000, "WrongDigest"),
        (cut, &digest, size, &diff_id, 1000, "Truncated"),
        (&trailing, &digest, size, &diff_id, 1000, "Overlong"),
        // Right digest, but no valid stream: whoever made the image made it wrong.
        (cut, &Digest::of(cut), cut.len() as u64, &diff_id, 1000, "Corrupt"),
        (&bad_crc, &Digest::of(&bad_crc), bad_crc.len() as u64, &diff_id, 1000, "Corrupt"),
        (&trailing, &Digest::of(&trailing), trailing.len() as u64, &diff_id, 1000, "Corrupt"),
        (zcut, &Digest::of(zcut), zcut.len() as u64, &diff_id, 1000, "Corrupt"),
        (TAR, &diff_id, TAR.len() as u64, &other, 1000, "WrongDiffId"),
        (&TAR[..5], &diff_id, TAR.len() as u64, &diff_id, 1000, "Truncated"),
        (b"", &diff_id, TAR.len() as u64, &diff_id, 1000, "Truncated"),
    ] {
        let error = read(blob, digest, size, diff_id, limit).expect_err(want);
        assert!(format!("{error:?}").starts_with(want), "{want}: {error:?}");
        assert!(error.to_string().starts_with("a test"), "{error}");
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let bomb = zstd::encode_all(io::repeat(0).take(64 << 20), 3).unwrap();
    assert!(bomb.len() < 100_000);
    let any = Digest::of(b"");
    let error = read(&bomb, &Digest::of(&bomb), bomb.len() as u64, &any, 1 << 20).unwrap_err();
    assert!(matches!(error, Error::Inflates { limit: 1_048_576, .. }), "{error}");
}

#[test]
fn the_store_takes_only_what_proved_right_and_drops_what_went_bad() {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    let blob = gzip(TAR);
    let (digest, diff_id) = (Digest::of(&blob), Digest::of(TAR));
    let through = |bytes: &[u8], sink: Sink| {
        let opened = Opened { reader: Box::new(Cursor::new(bytes.to_vec())), sink };
        let raw = Verified::new(opened, "a test".into(), digest.clone(), blob.len() as u64, None);
        LayerReader::new(raw, &diff_id, 1000).and_then(LayerReader::verify)
    };
    let tee = || Sink::Store(store.writer().unwrap(), Some(store.lock(&digest).unwrap()));
    let files =
        || ["tmp", "locks"].iter().map(|d| std::fs::read_dir(dir.path().join(d)).unwrap().count()).sum::<usize>();

    let mut wrong = blob.clone();
    wrong[12] ^= 1;
    assert!(matches!(through(&wrong, tee()), Err(Error::WrongDigest { .. })));
    assert!(matches!(through(&blob[..9], tee()), Err(Error::Truncated { got: 9, .. })));
    assert!(store.get(&digest).unwrap().is_none());
    assert_eq!(files(), 0);

    assert_eq!(through(&blob, tee()).unwrap(), TAR.len() as u64);
    assert_eq!(store.read(&digest, 1000).unwrap().unwrap(), blob);
    assert_eq!(files(), 0);

    std::fs::write(store.path(&digest), &wrong).unwrap();
    assert!(matches!(through(&wrong, Sink::Cached(store.clone())), Err(Error::WrongDigest { .. })));
    assert!(store.get(&digest).unwrap().is_none(), "the damaged file must go");
}
