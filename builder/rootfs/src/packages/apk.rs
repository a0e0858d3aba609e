//! apk's database: one file, records between empty lines, a letter, a colon and a value a line.
//!
//! The letters are those of apk-tools (`src/package.c` and `apk_db_fdb_read` in `src/database.c`): `P` name, `V` version,
//! `A` architecture, `F` a directory without leading slash, `R` a file in it; others (checksums, owners) don't matter here.

use crate::path;

use super::{Manager, Package, PackagesError, Reader, lines};

/// Before and after apk-tools 3, which follows a merged `/usr`.
const PLACES: [&[u8]; 2] = [b"lib/apk/db/installed", b"usr/lib/apk/db/installed"];

pub(super) fn read(reader: &mut Reader) -> Result<(), PackagesError> {
    let Some(entry) = PLACES.iter().find_map(|place| reader.find(place)) else { return Ok(()) };
    let text = reader.bytes(entry)?;
    for record in records(&text) {
        let value = |letter| record.value(letter).map(path::show).unwrap_or_default();
        let package = Package {
            manager: Manager::Apk,
            name: value(b'P'),
            version: value(b'V'),
            architecture: value(b'A'),
            is_installed: true,
            files: Vec::new(),
        };
        reader.add(package, entry)?;
        record.files().try_for_each(|(dir, name)| reader.claim(&path::join(dir, name), entry))?;
    }
    Ok(())
}

/// One package's lines.
pub(super) struct Record<'a> {
    lines: Vec<&'a [u8]>,
}

/// The records that have a name. As apk does, a line of less than two bytes ends a record.
pub(super) fn records(text: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut rest = lines(text);
    std::iter::from_fn(move || {
        let mut record = Record { lines: Vec::new() };
        for line in rest.by_ref() {
            match line.len() {
                0 | 1 if record.value(b'P').is_some() => return Some(record),
                0 | 1 => record.lines.clear(),
                _ => record.lines.push(line),
            }
        }
        record.value(b'P').is_some().then_some(record)
    })
}

impl<'a> Record<'a> {
    /// The first value of a letter.
    pub fn value(&self, letter: u8) -> Option<&'a [u8]> {
        self.lines.iter().find_map(|line| line.strip_prefix(&[letter, b':']))
    }

    /// Directories and names of all files.
    pub fn files(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut dir: &[u8] = b"";
        self.lines.iter().filter_map(move |line| match *line {
            [b'F', b':', new @ ..] => {
                dir = new;
                None
            }
            [b'R', b':', name @ ..] if !name.is_empty() => Some((dir, name)),
            _ => None,
        })
    }
}
