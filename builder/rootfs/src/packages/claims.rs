//! Who owns which entry of an index.

use std::collections::HashMap;

use crate::{Index, Kind, path};

/// Most different directories that paths are looked up in: symbolic links make a look-up dear.
const MAX_DIRS: usize = 100_000;

/// More than [`MAX_DIRS`].
#[derive(Debug)]
pub(super) struct TooMany(pub usize);

/// Which entries have an owner already.
pub(super) struct Claims<'t> {
    index: &'t Index,
    taken: Vec<bool>,
    /// Directories as they were named, and what they are; `None` where there is no such directory.
    dirs: HashMap<Vec<u8>, Option<&'t [u8]>>,
}

impl<'t> Claims<'t> {
    pub fn new(index: &'t Index) -> Self {
        Self { index, taken: vec![false; index.entries().len()], dirs: HashMap::new() }
    }

    /// The position of what is at a path, if that is no directory (or a link to one) and was not claimed before. Links on
    /// the way are followed, as those of a merged `/usr` (`/bin` is `usr/bin`) must be; one in the last place is itself
    /// the file.
    pub fn claim(&mut self, file: &[u8]) -> Result<Option<usize>, TooMany> {
        let Ok(clean) = path::clean(file) else { return Ok(None) };
        let Some((dir, name)) = path::split(&clean) else { return Ok(None) };
        let Some(dir) = self.dir(dir)? else { return Ok(None) };
        let Some(position) = self.index.position(&path::join(dir, name)) else { return Ok(None) };
        if self.taken[position] || self.is_dir(position) {
            return Ok(None);
        }
        self.taken[position] = true;
        Ok(Some(position))
    }

    /// A link to a directory counts as one: packages that ship files in it name it as such.
    fn is_dir(&self, position: usize) -> bool {
        let entry = &self.index.entries()[position];
        let leads_to = |real: Vec<u8>| real.is_empty() || self.index.get(&real).is_some_and(|e| e.kind == Kind::Dir);
        match entry.kind {
            Kind::Dir => true,
            Kind::Symlink => self.index.resolve(&entry.path, true).is_ok_and(leads_to),
            _ => false,
        }
    }

    fn dir(&mut self, dir: &[u8]) -> Result<Option<&'t [u8]>, TooMany> {
        if let Some(known) = self.dirs.get(dir) {
            return Ok(*known);
        }
        if self.dirs.len() == MAX_DIRS {
            return Err(TooMany(MAX_DIRS));
        }
        let found = match self.index.resolve(dir, true) {
            Ok(root) if root.is_empty() => Some(&b""[..]),
            Ok(real) => self.index.get(&real).filter(|e| e.kind == Kind::Dir).map(|e| &*e.path),
            Err(_) => None,
        };
        self.dirs.insert(dir.to_vec(), found);
        Ok(found)
    }
}
