//! What a tar's entries add up to when they are taken in the tar's order: later ones replace earlier ones, names
//! go through the symlinks that the layer itself has planted (inside the root, and on paper only), whiteouts
//! speak of the layers below and never of this one.

use super::{EntryFault, shelf::Shelf};
use crate::{
    index::{Entry, Extra, Index, Kind},
    merge, path,
    resolve::{ResolveError, resolve},
};

/// The entries so far.
#[derive(Default)]
pub(super) struct Order {
    entries: Shelf,
    /// Names' directories as the tar has them and where they are: neighbours mostly share theirs.
    last_dir: Option<(Vec<u8>, Vec<u8>)>,
    last_group: u32,
}

impl Order {
    /// Any entry but a whiteout or a hard link.
    pub fn put(&mut self, mut entry: Entry) -> Result<(), EntryFault> {
        let path = self.place(&entry.path)?;
        if path.is_empty() && entry.kind != Kind::Dir {
            return Err(EntryFault::Root);
        }
        if entry.kind == Kind::Dir {
            // A directory in the place of something else, or of nothing, shows nothing from below.
            entry.opaque = self.entries.get(&path).is_some_and(|old| old.kind != Kind::Dir || old.opaque);
        } else {
            self.clear_below(&path);
        }
        self.insert(path, entry);
        Ok(())
    }

    /// A further name of what `target` is in this layer, or else in those below.
    pub fn hard_link(&mut self, name: &[u8], target: &[u8]) -> Result<(), EntryFault> {
        let path = self.place(name)?;
        let target = self.place(target)?;
        if path == target {
            return Err(EntryFault::LinkToItself);
        }
        if path.is_empty() {
            return Err(EntryFault::Root);
        }
        let entry = match self.entries.get_mut(&target) {
            None => None,
            Some(old) => match old.kind {
                Kind::Dir => return Err(EntryFault::LinkToDirectory),
                Kind::Whiteout => None,
                Kind::HardLink => Some(old.clone()),
                _ => {
                    if old.link_group == 0 {
                        self.last_group += 1;
                        old.link_group = self.last_group;
                    }
                    Some(old.clone())
                }
            },
        };
        let below = || Entry {
            extra: Some(Box::new(Extra { link: target.clone(), ..Extra::default() })),
            ..Entry::new(b"", Kind::HardLink, 0)
        };
        let entry = entry.unwrap_or_else(below);
        self.clear_below(&path);
        self.insert(path, entry);
        Ok(())
    }

    /// `path` is gone from the layers below.
    pub fn whiteout(&mut self, path: &[u8]) -> Result<(), EntryFault> {
        let path = self.place(path)?;
        if path.is_empty() {
            return Err(EntryFault::Root);
        }
        match self.entries.get_mut(&path) {
            Some(old) if old.kind == Kind::Dir => old.opaque = true,
            Some(old) if old.kind != Kind::Whiteout => {}
            _ => {
                let entry = match self.entries.has_below(&path) {
                    true => Entry { opaque: true, ..Entry::new_dir(&path) },
                    false => Entry::new(&path, Kind::Whiteout, 0),
                };
                self.entries.insert(entry);
            }
        }
        Ok(())
    }

    /// What the layers below have in `dir` is gone.
    pub fn opaque(&mut self, dir: &[u8]) -> Result<(), EntryFault> {
        let dir = self.directory(dir)?;
        match self.entries.get_mut(&dir) {
            Some(old) => old.opaque = true, // a directory, or directory() would have failed
            None => {
                self.entries.insert(Entry { opaque: true, ..Entry::new(&dir, Kind::Whiteout, 0) });
            }
        }
        Ok(())
    }

    fn insert(&mut self, path: Vec<u8>, entry: Entry) {
        let old = self.entries.insert(Entry { path: path.into(), ..entry });
        if old.is_some_and(|old| old.kind == Kind::Symlink) {
            self.last_dir = None; // it may have led there
        }
    }

    pub fn into_index(self) -> Index {
        let mut entries = self.entries.into_sorted();
        merge::number_groups(&mut entries);
        Index::from_sorted(entries)
    }

    /// Where a name leads: its parents are followed through this layer's symlinks, the last component is not. A
    /// parent that this layer has deleted becomes a new directory.
    fn place(&mut self, name: &[u8]) -> Result<Vec<u8>, EntryFault> {
        let Some((dir, base)) = path::split(name) else { return Ok(Vec::new()) };
        let real = match &self.last_dir {
            Some((last, real)) if last == dir => real.clone(),
            _ => {
                let real = self.directory(dir)?;
                self.last_dir = Some((dir.into(), real.clone()));
                real
            }
        };
        let path = path::join(&real, base);
        if path.len() > path::MAX_PATH {
            return Err(EntryFault::Name(path::BadPath::TooLong));
        }
        Ok(path)
    }

    fn directory(&mut self, dir: &[u8]) -> Result<Vec<u8>, EntryFault> {
        let present = |path: &[u8]| self.entries.get(path).filter(|e| e.kind != Kind::Whiteout);
        let real = resolve(present, dir, true).map_err(|error| match error {
            ResolveError::Loop(_) => EntryFault::SymlinkLoop,
            ResolveError::NotADirectory { at, .. } => EntryFault::ParentNotDirectory(at),
            ResolveError::Bad { why, .. } => EntryFault::Name(why),
        })?;
        if present(&real).is_some_and(|e| e.kind != Kind::Dir) {
            return Err(EntryFault::ParentNotDirectory(real));
        }
        // A symlink could lead to such a name, though no entry can have it.
        if real.split(|b| *b == b'/').any(|c| c.starts_with(b".wh.")) {
            return Err(EntryFault::ReservedName);
        }
        for dir in std::iter::once(&*real).chain(path::ancestors(&real)) {
            if let Some(entry) = self.entries.get_mut(dir).filter(|e| e.is_whiteout()) {
                *entry = Entry { opaque: true, ..Entry::new_dir(dir) };
            }
        }
        Ok(real)
    }

    /// Something that is no directory takes this place: nothing of this layer can be below it.
    fn clear_below(&mut self, path: &[u8]) {
        if self.last_dir.as_ref().is_some_and(|(_, real)| *real == *path || path::is_below(real, path)) {
            self.last_dir = None;
        }
        self.entries.remove_below(path);
    }
}
