//! The stratum that an op writes, seen together with the tree below it: what a mount of an overlay
//! would show, without one.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    path::Path,
};

use routerpack_rootfs::{Content, Entry, Extra, Index, Kind, Mtime, Tree, Warning, is_overlay_mark, resolve::resolve};

use crate::{
    Settings,
    disk::{Bytes, Disk},
    error::Error,
    path,
};

/// Owner, permissions, time and xattrs of something new.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meta {
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Mtime,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Meta {
    /// What an existing entry has, but overlayfs's own marks: on disk they would hide things.
    pub(crate) fn of(entry: &Entry) -> Self {
        let mut xattrs = entry.extra.as_ref().map(|x| x.xattrs.clone()).unwrap_or_default();
        xattrs.retain(|name, _| !is_overlay_mark(name));
        Self { mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: entry.mtime, xattrs }
    }

    /// An entry with these. `link` and `rdev` as in [`Extra`].
    pub(crate) fn entry(self, path: &[u8], kind: Kind, link: &[u8], rdev: (u32, u32)) -> Entry {
        let extra = Extra { link: link.to_vec(), xattrs: self.xattrs, rdev, origin: Vec::new() };
        Entry {
            path: path.into(),
            kind,
            mode: self.mode,
            opaque: false,
            uid: self.uid,
            gid: self.gid,
            mtime: self.mtime,
            size: 0,
            stratum: 0,
            offset: 0,
            link_group: 0,
            extra: (extra != Extra::default()).then(|| Box::new(extra)),
        }
    }
}

/// See the module. Paths are clean and already resolved: a symbolic link on the way is an error of
/// whoever calls.
pub(crate) struct Upper<'t> {
    base: &'t Tree,
    /// What this stratum has, whiteouts included; all of it (but what the disk refused) is on disk.
    own: BTreeMap<Box<[u8]>, Entry>,
    disk: Disk,
    groups: u32,
    /// The time of what is made without one.
    now: Mtime,
}

impl<'t> Upper<'t> {
    /// An empty stratum over a tree, to be written to an empty directory.
    pub(crate) fn new(base: &'t Tree, dir: &Path, settings: &Settings) -> Result<Self, Error> {
        let disk = Disk::new(dir, settings.can_chown)?;
        let mut upper = Self { base, own: BTreeMap::new(), disk, groups: 0, now: settings.now };
        // There is always a root, even on scratch.
        upper.own_dir(b"")?;
        Ok(upper)
    }

    /// The given time, or that of things without one.
    pub(crate) fn time(&self, given: Option<Mtime>) -> Mtime {
        given.unwrap_or(self.now)
    }

    /// What is visible at a path.
    pub(crate) fn get(&self, path: &[u8]) -> Option<&Entry> {
        match self.own.get(path) {
            Some(entry) => (entry.kind != Kind::Whiteout).then_some(entry),
            None => self.below(path),
        }
    }

    /// What the tree below shows at a path through this stratum's directories; the path's own entry
    /// in this stratum doesn't count.
    fn below(&self, path: &[u8]) -> Option<&Entry> {
        let hides = |e: &Entry| e.kind != Kind::Dir || e.opaque;
        if path::ancestors(path).any(|dir| self.own.get(dir).is_some_and(hides)) {
            return None;
        }
        self.base.index.get(path)
    }

    /// Follows symbolic links in what is visible.
    pub(crate) fn resolve(&self, path: &[u8], follow_last: bool) -> Result<Vec<u8>, Error> {
        Ok(resolve(|p| self.get(p), path, follow_last)?)
    }

    /// The visible paths below a directory, in path order.
    pub(crate) fn descendants(&self, dir: &[u8]) -> Vec<Vec<u8>> {
        let base = self.base.index.descendants(dir).iter();
        let mut found: Vec<Vec<u8>> = base.map(|e| e.path.to_vec()).chain(self.own_below(dir)).collect();
        found.sort();
        found.dedup();
        found.retain(|p| self.get(p).is_some());
        found
    }

    fn own_below(&self, dir: &[u8]) -> Vec<Vec<u8>> {
        let start = [dir, b"/"].concat();
        let (from, prefix) = if dir.is_empty() { (&b""[..], &b""[..]) } else { (&start[..], &start[..]) };
        let range = (Bound::Excluded(from), Bound::Unbounded);
        let paths = self.own.range::<[u8], _>(range).map(|(p, _)| p.to_vec());
        paths.take_while(|p| p.starts_with(prefix)).collect()
    }

    /// Makes sure that this stratum itself has the directories above a path: those of the tree below
    /// as they are, missing ones as 0755 of root's.
    fn own_parents(&mut self, path: &[u8]) -> Result<(), Error> {
        let dirs: Vec<&[u8]> = path::ancestors(path).collect();
        let have = dirs.iter().rposition(|dir| self.own.get(*dir).is_some_and(|e| e.kind == Kind::Dir));
        for dir in &dirs[have.map_or(0, |at| at + 1)..] {
            self.own_dir(dir)?;
        }
        Ok(())
    }

    /// Makes sure that this stratum itself has a directory; its parents are there.
    fn own_dir(&mut self, dir: &[u8]) -> Result<&mut Entry, Error> {
        if self.own.get(dir).is_none_or(|e| e.kind != Kind::Dir) {
            let entry = match self.get(dir) {
                Some(entry) if entry.kind == Kind::Dir => {
                    let mut entry = entry.clone();
                    (entry.stratum, entry.offset) = (0, 0);
                    entry
                }
                Some(_) => return Err(Error::NotADirectory { path: path::show(dir) }),
                None => self.implied_dir(dir),
            };
            self.new_dir(entry)?;
        }
        Ok(self.own.get_mut(dir).expect("made above"))
    }

    /// A directory that nothing is known of.
    fn implied_dir(&self, path: &[u8]) -> Entry {
        Meta { mode: 0o755, mtime: self.now, ..Meta::default() }.entry(path, Kind::Dir, b"", (0, 0))
    }

    /// Puts a directory where this stratum has none (but perhaps a whiteout).
    fn new_dir(&mut self, mut entry: Entry) -> Result<(), Error> {
        let path = entry.path.clone();
        if self.own.get(&path).is_some_and(|e| e.kind == Kind::Whiteout) {
            self.disk.unlink(&path, false)?;
            // What was deleted must not show again inside the new directory.
            entry.opaque = self.below(&path).is_some_and(|e| e.kind == Kind::Dir);
        }
        if !path.is_empty() {
            self.disk.make_dir(&path)?;
        }
        self.own.insert(path, entry);
        Ok(())
    }

    /// Makes a directory and the missing ones above it (fsutil's `MkdirAll`): existing ones stay as
    /// they are, new ones get the mode, owner and time.
    pub(crate) fn make_dirs(&mut self, path: &[u8], meta: &Meta) -> Result<(), Error> {
        let all: Vec<&[u8]> = path::ancestors(path).chain([path]).collect();
        for dir in all {
            match self.get(dir) {
                Some(entry) if entry.kind == Kind::Dir => {}
                Some(_) => return Err(Error::NotADirectory { path: path::show(dir) }),
                None => self.put_dir(dir, meta.clone())?,
            }
        }
        Ok(())
    }

    /// Makes a directory where nothing is visible.
    pub(crate) fn put_dir(&mut self, path: &[u8], meta: Meta) -> Result<(), Error> {
        self.own_parents(path)?;
        self.new_dir(meta.entry(path, Kind::Dir, b"", (0, 0)))
    }

    /// A visible directory's entry, to change its metadata.
    pub(crate) fn edit_dir(&mut self, path: &[u8]) -> Result<&mut Entry, Error> {
        self.own_parents(path)?;
        self.own_dir(path)
    }

    /// Makes something that is no directory, in place of what is there, which is no directory
    /// either. A file's size is what has been written.
    pub(crate) fn put(&mut self, mut entry: Entry, bytes: Bytes<'_>) -> Result<(), Error> {
        self.own_parents(&entry.path)?;
        self.drop_own(&entry.path.clone())?;
        match entry.kind {
            Kind::File => entry.size = self.disk.make_file(&entry, bytes)?,
            _ => self.disk.make_node(&entry)?,
        }
        self.own.insert(entry.path.clone(), entry);
        Ok(())
    }

    /// Makes `to` a hard link of this stratum's own `from`; `to` as in [`Upper::put`].
    pub(crate) fn link(&mut self, from: &[u8], to: &[u8]) -> Result<(), Error> {
        if from == to {
            return Ok(());
        }
        self.own_parents(to)?;
        self.drop_own(to)?;
        let entry = self.own.get_mut(from).ok_or_else(|| Error::NotFound { path: path::show(from) })?;
        if entry.link_group == 0 {
            self.groups += 1;
            entry.link_group = self.groups;
        }
        let entry = Entry { path: to.into(), ..entry.clone() };
        // A node that the disk refused has no first name there, so it gets no second one.
        self.disk.make_link(from, to, entry.kind != Kind::File)?;
        self.own.insert(to.into(), entry);
        Ok(())
    }

    /// Makes this stratum hold a file that so far only the tree below has.
    pub(crate) fn copy_up(&mut self, path: &[u8]) -> Result<(), Error> {
        if self.own.contains_key(path) {
            return Ok(());
        }
        let Some(entry) = self.get(path).cloned() else {
            return Err(Error::NotFound { path: path::show(path) });
        };
        let bytes = match entry.kind {
            Kind::File => Bytes::Content(read(self.base, &entry)?),
            _ => Bytes::Memory(b""),
        };
        let copy = Meta::of(&entry).entry(path, entry.kind, entry.link(), entry.rdev());
        self.put(copy, bytes)
    }

    /// Removes a path and all below it.
    pub(crate) fn remove(&mut self, path: &[u8]) -> Result<(), Error> {
        self.drop_own(path)?;
        if self.below(path).is_some() {
            self.own_parents(path)?;
            self.disk.make_whiteout(path)?;
            let entry = Meta::default().entry(path, Kind::Whiteout, b"", (0, 0));
            self.own.insert(path.into(), entry);
        }
        Ok(())
    }

    /// Forgets what this stratum has at and below a path, whiteouts included.
    fn drop_own(&mut self, path: &[u8]) -> Result<(), Error> {
        for gone in self.own_below(path).into_iter().rev() {
            self.drop_one(&gone)?;
        }
        self.drop_one(path)
    }

    fn drop_one(&mut self, path: &[u8]) -> Result<(), Error> {
        let Some(entry) = self.own.remove(path) else { return Ok(()) };
        self.disk.unlink(path, entry.kind == Kind::Dir)
    }

    /// Puts the directories' metadata on disk. Gives the stratum's index, what the disk has not taken,
    /// and whether every removal is marked there.
    pub(crate) fn finish(mut self) -> Result<(Index, Vec<Warning>, bool), Error> {
        for entry in self.own.values().rev().filter(|e| e.kind == Kind::Dir) {
            self.disk.finish_dir(entry)?;
        }
        let mut members: HashMap<u32, usize> = HashMap::new();
        for entry in self.own.values().filter(|e| e.link_group != 0) {
            *members.entry(entry.link_group).or_default() += 1;
        }
        // A root that neither the tree below nor the op has said anything about stays unsaid: laid over
        // another tree, this stratum must not change that one's root.
        let implied = self.base.index.get(b"").is_none() && self.own.get(&b""[..]) == Some(&self.implied_dir(b""));
        let mut entries: Vec<Entry> = self.own.into_values().skip(usize::from(implied)).collect();
        for entry in entries.iter_mut().filter(|e| members.get(&e.link_group) == Some(&1)) {
            entry.link_group = 0;
        }
        let (warnings, marked) = self.disk.into_results();
        Ok((Index::new(entries), warnings, marked))
    }
}

/// Opens a file of a tree.
pub(crate) fn read(tree: &Tree, entry: &Entry) -> Result<Content, Error> {
    tree.content(entry).map_err(|source| Error::Io { doing: "read", path: path::show(&entry.path), source })
}
