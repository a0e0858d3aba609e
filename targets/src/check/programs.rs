//! What the programs and scripts of an image say about themselves: each file's start is read once.
//!
//! A check of a finished archive reads them out of its tree; a check of what is being packed sees each file as its
//! bytes go by, when they are in memory anyway.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Read},
};

use routerpack_rootfs::{Content, Entry, Index, Kind, Tree};

use crate::elf::{self, Facts};

/// Linux reads this much of a script's first line (BINPRM_BUF_SIZE).
const FIRST_LINE: u64 = 256;

/// Programs, libraries and scripts by their clean paths.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    /// ELF files.
    pub elf: BTreeMap<Vec<u8>, Facts>,
    /// Files that begin as ELF files do and are damaged, and why.
    pub damaged: BTreeMap<Vec<u8>, String>,
    /// Files that could not be read, and why.
    pub unread: BTreeMap<Vec<u8>, String>,
    /// The first line of executable scripts, after `#!`.
    pub scripts: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Programs {
    /// Of all files of a tree.
    pub fn of(tree: &Tree) -> Self {
        let mut programs = Self::default();
        for entry in tree.index.entries().iter().filter(|e| e.kind == Kind::File) {
            match tree.content(entry) {
                Ok(content) => programs.see(entry, &content),
                Err(error) => drop(programs.unread.insert(entry.path.to_vec(), error.to_string())),
            }
        }
        programs
    }

    /// Looks at one file.
    pub fn see(&mut self, entry: &Entry, content: &Content) {
        if let Err(error) = self.look(entry, content) {
            self.unread.insert(entry.path.to_vec(), error.to_string());
        }
    }

    fn look(&mut self, entry: &Entry, content: &Content) -> io::Result<()> {
        let start = start_of(content)?;
        if let Some(line) = script_line(&start) {
            if entry.mode & 0o111 != 0 {
                self.scripts.insert(entry.path.to_vec(), line.to_vec());
            }
        } else if start.starts_with(elf::MAGIC) {
            match elf::read(content)? {
                None => {}
                Some(Ok(facts)) => drop(self.elf.insert(entry.path.to_vec(), facts)),
                Some(Err(why)) => drop(self.damaged.insert(entry.path.to_vec(), why)),
            }
        }
        Ok(())
    }

    /// Of hard links only one name goes by; the others say the same.
    pub fn share(&mut self, index: &Index) {
        let linked = || index.entries().iter().filter(|e| e.kind == Kind::File && e.link_group != 0);
        let mut known: HashMap<u32, &[u8]> = HashMap::new();
        for entry in linked().filter(|e| self.has(&e.path)) {
            known.entry(entry.link_group).or_insert(&entry.path);
        }
        for entry in linked() {
            if let Some(of) = known.get(&entry.link_group).filter(|of| ***of != *entry.path) {
                copy(&mut self.elf, of, &entry.path);
                copy(&mut self.damaged, of, &entry.path);
                copy(&mut self.unread, of, &entry.path);
                copy(&mut self.scripts, of, &entry.path);
            }
        }
    }

    fn has(&self, path: &[u8]) -> bool {
        self.elf.contains_key(path)
            || self.scripts.contains_key(path)
            || self.damaged.contains_key(path)
            || self.unread.contains_key(path)
    }
}

fn copy<T: Clone>(map: &mut BTreeMap<Vec<u8>, T>, of: &[u8], to: &[u8]) {
    if let Some(value) = map.get(of).cloned() {
        map.insert(to.to_vec(), value);
    }
}

/// The first line of a script after `#!`; `None` for what is no script, or can't be read.
pub(crate) fn first_line(tree: &Tree, entry: &Entry) -> Option<Vec<u8>> {
    let start = start_of(&tree.content(entry).ok()?).ok()?;
    script_line(&start).map(<[u8]>::to_vec)
}

fn start_of(content: &Content) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    if content.len > 2 {
        content.reader().take(FIRST_LINE).read_to_end(&mut start)?; // shorter is no script, and many files are empty
    }
    Ok(start)
}

fn script_line(start: &[u8]) -> Option<&[u8]> {
    start.strip_prefix(b"#!")?.split(|b| *b == b'\n').next()
}
