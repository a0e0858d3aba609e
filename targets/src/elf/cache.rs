//! `/etc/ld.so.cache`: what `ldconfig` found in the directories of `/etc/ld.so.conf`, and all that glibc's loader knows
//! of them (glibc, `sysdeps/generic/dl-cache.h`).

use std::collections::HashMap;

/// How the table begins, in a file of its own or behind the old table.
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
/// How the old table begins, which older versions of `ldconfig` put in front.
const OLD_MAGIC: &[u8] = b"ld.so-1.7.0";
/// Sizes of the old table's header and lines.
const OLD_HEADER: usize = 16;
const OLD_LINE: usize = 12;
/// Sizes of the table's header and lines.
const HEADER: usize = 48;
const LINE: usize = 24;
/// Lines that are read.
const MAX_LINES: usize = 1 << 16;

/// The libraries' paths by the names that programs ask for, several for several CPUs or machines.
pub(super) fn read(bytes: &[u8]) -> Option<HashMap<Vec<u8>, Vec<Vec<u8>>>> {
    let table = match bytes.strip_prefix(OLD_MAGIC) {
        None => bytes,
        Some(_) => {
            let lines = usize::try_from(word(bytes, 12)?).ok()?;
            let end = lines.checked_mul(OLD_LINE)?.checked_add(OLD_HEADER)?;
            bytes.get(end.next_multiple_of(8)..)?
        }
    };
    if !table.starts_with(MAGIC) {
        return None;
    }
    let lines = usize::try_from(word(table, 20)?).ok()?;
    let mut libraries: HashMap<Vec<u8>, Vec<Vec<u8>>> = HashMap::new();
    for line in table.get(HEADER..)?.chunks_exact(LINE).take(lines.min(MAX_LINES)) {
        let (Some(name), Some(path)) = (text(table, line, 4), text(table, line, 8)) else { continue };
        libraries.entry(name).or_default().push(path);
    }
    Some(libraries)
}

/// All machines that routers have are little-endian.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)
}

/// A text whose place stands in a line.
fn text(table: &[u8], line: &[u8], at: usize) -> Option<Vec<u8>> {
    let rest = table.get(usize::try_from(word(line, at)?).ok()?..)?;
    let end = rest.iter().take(4096).position(|b| *b == 0)?;
    Some(rest[..end].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(libraries: &[(&str, &str)]) -> Vec<u8> {
        let mut table = MAGIC.to_vec();
        table.extend((libraries.len() as u32).to_le_bytes());
        table.resize(HEADER, 0);
        let mut strings = Vec::new();
        let start = HEADER + libraries.len() * LINE;
        for (name, path) in libraries {
            table.extend(0x303u32.to_le_bytes());
            for text in [name, path] {
                table.extend(((start + strings.len()) as u32).to_le_bytes());
                strings.extend(text.bytes());
                strings.push(0);
            }
            table.extend([0; 12]);
        }
        table.extend(strings);
        table
    }

    #[test]
    fn a_table_is_read_alone_and_behind_an_old_one() {
        let new = table(&[("libx.so.1", "/opt/x/libx.so.1"), ("libx.so.1", "/opt/y/libx.so.1"), ("liby.so", "/y")]);
        let mut both = OLD_MAGIC.to_vec();
        both.push(0);
        both.extend(1u32.to_le_bytes());
        both.resize((OLD_HEADER + OLD_LINE).next_multiple_of(8), 0);
        both.extend(&new);
        for bytes in [new.clone(), both] {
            let read = read(&bytes).unwrap();
            assert_eq!(read[&b"libx.so.1"[..]], [b"/opt/x/libx.so.1", b"/opt/y/libx.so.1"]);
            assert_eq!((read.len(), &read[&b"liby.so"[..]]), (2, &vec![b"/y".to_vec()]));
        }
        for cut in 0..new.len() {
            let _ = read(&new[..cut]);
        }
        assert!(read(b"no table").is_none());
    }
}
