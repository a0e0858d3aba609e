//! jemalloc in an arm64 program, and the page size that it was built for: with larger pages it says
//! `<jemalloc>: Unsupported system page size` and gives no memory.
//!
//! The page size is a constant of the code (`PAGE`), and nothing else of the file tells it. Its mask is all over the
//! allocator, so the mask that is used most is it: Debian's library (64 KiB) has 135 of 64 KiB and 5 of 4 KiB; a
//! library of polars 0.14 (4 KiB; it fails under an emulator with pages of 64 KiB) has 23 and 172.

use std::io::{self, Read};

use routerpack_rootfs::Content;

/// What every jemalloc has for the case.
const MESSAGE: &[u8] = b"<jemalloc>: Unsupported system page size";
/// The page sizes of arm64, as powers of two.
const PAGES: [u32; 3] = [12, 14, 16];
/// With fewer masks than this nothing is said.
const ENOUGH: usize = 16;
/// Bytes that are read at a time; a multiple of an instruction's.
const CHUNK: usize = 1 << 20;

/// The page size that the jemalloc of a file was built for; `None` if there is none, or that can't be told.
pub(super) fn page_size(content: &Content) -> io::Result<Option<u64>> {
    let mut is_there = false;
    chunks(content, |bytes, _| {
        is_there = contains(bytes);
        !is_there
    })?;
    if !is_there {
        return Ok(None);
    }
    let mut counts = [0usize; PAGES.len()];
    chunks(content, |bytes, kept| {
        let (words, _) = bytes[kept..].as_chunks::<4>();
        for (count, page) in counts.iter_mut().zip(PAGES) {
            let mask = and_mask(page);
            *count += words.iter().filter(|word| u32::from_le_bytes(**word) & 0xffff_fc00 == mask).count();
        }
        true
    })?;
    let most = counts.iter().zip(PAGES).max_by_key(|(count, _)| **count).filter(|(count, _)| **count >= ENOUGH);
    Ok(most.map(|(_, page)| 1 << page))
}

/// Reads a file from its start; each time the visitor gets the last bytes of the time before (how many, it is told)
/// and new ones behind them, until it wants no more.
fn chunks(content: &Content, mut visit: impl FnMut(&[u8], usize) -> bool) -> io::Result<()> {
    let mut reader = content.reader();
    let (mut buf, mut kept) = (vec![0; MESSAGE.len() + CHUNK], 0);
    loop {
        let end = kept + fill(&mut reader, &mut buf[kept..kept + CHUNK])?;
        if end == kept || !visit(&buf[..end], kept) {
            return Ok(());
        }
        let keep = end.min(MESSAGE.len() - 1);
        buf.copy_within(end - keep..end, 0);
        kept = keep;
    }
}

/// `and x0, x0, #~(2^page - 1)`, without its registers (Arm ARM, "AND (immediate)": N = 1, immr = 64 - page,
/// imms = 63 - page).
fn and_mask(page: u32) -> u32 {
    0x9240_0000 | (64 - page) << 16 | (63 - page) << 10
}

fn contains(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| *b == MESSAGE[0]) {
        rest = &rest[at..];
        if rest.starts_with(MESSAGE) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

fn fill(reader: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < buf.len() {
        match reader.read(&mut buf[n..])? {
            0 => break,
            more => n += more,
        }
    }
    Ok(n)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Write, sync::Arc};

    use super::*;

    fn judge(parts: &[(u32, usize)], message_at: Option<usize>) -> Option<u64> {
        let mut bytes: Vec<u8> = Vec::new();
        for (word, times) in parts {
            (0..*times).for_each(|_| bytes.extend(word.to_le_bytes()));
        }
        if let Some(at) = message_at {
            bytes.resize(bytes.len().max(at), 0);
            bytes.splice(at..at, MESSAGE.iter().copied());
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let file = Arc::new(File::open(file.path()).unwrap());
        page_size(&Content { file, offset: 0, len: bytes.len() as u64 }).unwrap()
    }

    #[test]
    fn the_mask_that_is_used_most_tells_the_page_size() {
        // and x3, x19, #0xfffffffffffff000 and and x1, x8, #0xffffffffffff0000, as an assembler writes them
        let (small, large) = (0x9274_ce63, 0x9270_bd01);
        assert_eq!(judge(&[(small, 40), (large, 20)], Some(400)), Some(4096));
        assert_eq!(judge(&[(small, 5), (large, 40)], Some(0)), Some(65536));
        assert_eq!(judge(&[(small, 40)], None), None);
        assert_eq!(judge(&[(small, 3)], Some(12)), None);
        // the message lies over the border of what is read at once
        for shift in 0..4 {
            assert_eq!(judge(&[(small, 40)], Some(CHUNK - 3 + shift)), Some(4096));
        }
    }
}
