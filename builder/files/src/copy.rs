//! The copy action, with the rules of BuildKit (`solver/llbsolver/file/backend.go`, `docopy`) and of
//! tonistiigi/fsutil (`copy/copy.go`):
//!
//! - The destination is a directory if it is written so (`dir/`, `dir/.`) or is one; links on the way
//!   to it are followed inside the root. Missing directories are made 0755 or with the op's octal mode, and with its owner.
//! - A directory's contents are merged. The top directory keeps its metadata if it is there already,
//!   and gets the source's time; directories below take the source's metadata.
//! - Links inside the source stay links; hard links inside one source stay hard links; a socket
//!   becomes an empty file.
//! - A file over a directory, or a directory over a file, is an error, unless the op says "replace".

use std::collections::HashMap;

use routerpack_graph::pb::FileActionCopy;
use routerpack_rootfs::{Entry, Kind, Mtime, Tree};

use crate::{
    Error, archive,
    chmod::Chmod,
    disk::Bytes,
    owner::Owner,
    path,
    select::{self, As, Filter, Source},
    upper::{self, Meta, Upper},
};

/// One copy action, ready to run.
pub(crate) struct Copy<'a> {
    action: &'a FileActionCopy,
    filter: Filter,
    owner: Owner,
    time: Option<Mtime>,
    chmod: Option<Chmod>,
}

impl<'a> Copy<'a> {
    /// Reads the action's patterns and modes.
    pub(crate) fn new(action: &'a FileActionCopy, owner: Owner, time: Option<Mtime>) -> Result<Self, Error> {
        let chmod = match (action.mode_str.as_str(), action.mode) {
            ("", -1) => None,
            ("", mode) => Some(Chmod::Octal((mode & 0o7777) as u16)),
            (text, _) => Some(Chmod::parse(text)?),
        };
        Ok(Self { action, filter: Filter::new(action)?, owner, time, chmod })
    }

    /// Copies from a tree.
    pub(crate) fn run(&self, from: &Tree, to: &mut Upper<'_>) -> Result<(), Error> {
        let dest = path::clean(self.action.dest.as_bytes());
        if !self.action.create_dest_path {
            let dest = to.resolve(&dest, true)?;
            let dir = path::split(&dest).0;
            to.get(dir).ok_or_else(|| Error::NotFound { path: path::show(dir) })?;
        }
        // These begin at the root of the tree, whatever the source is.
        let mut missing: Vec<&String> = self.action.required_paths.iter().collect();
        for source in select::sources(self.action, from)? {
            if self.action.attempt_unpack_docker_compatibility && self.unpack(from, &source, &dest, to)? {
                continue;
            }
            self.copy(from, &source, &dest, to, &mut missing)?;
        }
        match missing.first() {
            Some(path) if !self.action.include_patterns.is_empty() => {
                Err(Error::NoSuchSource { pattern: path.to_string(), near: Vec::new() })
            }
            _ => Ok(()),
        }
    }

    /// What directories that the copy needs are like: 0755, or the op's mode if it is a number.
    fn dirs(&self, to: &Upper<'_>) -> Meta {
        let (uid, gid) = self.owner.unwrap_or((0, 0));
        let mode = match self.chmod {
            Some(Chmod::Octal(mode)) => mode & 0o777,
            _ => 0o755,
        };
        Meta { mode, uid, gid, mtime: to.time(self.time), ..Meta::default() }
    }

    fn unpack(&self, from: &Tree, source: &Source, dest: &[u8], to: &mut Upper<'_>) -> Result<bool, Error> {
        let root = from.resolve(&source.name, true)?;
        let Some(entry) = from.index.get(&root).filter(|e| e.kind == Kind::File) else { return Ok(false) };
        let content = upper::read(from, entry)?;
        if !archive::is_archive(&content) {
            return Ok(false);
        }
        let dest = to.resolve(dest, true)?;
        to.make_dirs(&dest, &Meta { mode: 0o755, ..self.dirs(to) })?;
        archive::unpack(&content, &path::show(&root), &dest, self.owner, to)?;
        Ok(true)
    }

    fn copy(
        &self,
        from: &Tree,
        source: &Source,
        dest: &[u8],
        to: &mut Upper<'_>,
        missing: &mut Vec<&String>,
    ) -> Result<(), Error> {
        let needed = if path::wants_dir(self.action.dest.as_bytes()) { dest } else { path::split(dest).0 };
        let needed = to.resolve(needed, true)?;
        to.make_dirs(&needed, &self.dirs(to))?;
        let mut target = to.resolve(dest, true)?;
        let is_dir = from.index.get(&source.root).is_none_or(|e| e.kind == Kind::Dir);
        let there = to.get(&target).map(|e| e.kind == Kind::Dir);
        let into = if is_dir { !self.action.dir_copy_contents && there.is_some() } else { there == Some(true) };
        if into {
            target = path::join(&target, path::split(&source.name).1);
        }
        let contents = self.action.dir_copy_contents && is_dir && there.is_none();
        let needed = if contents { &target } else { path::split(&target).0 };
        to.make_dirs(needed, &self.dirs(to))?;
        let mut links: HashMap<u32, Vec<u8>> = HashMap::new();
        self.filter.walk(from, source, |name, entry, what| {
            let whole = path::join(&source.name, name);
            missing.retain(|path| path::clean(path.as_bytes()) != whole);
            let target = path::join(&target, name);
            match (what, entry.kind) {
                (As::Parent, _) => self.parent(&target, entry, to),
                (_, Kind::Dir) => self.dir(&target, entry, what, to),
                _ => self.file(from, &target, entry, to, &mut links),
            }
        })
    }

    /// A directory that is there for the sake of what is in it.
    fn parent(&self, target: &[u8], entry: &Entry, to: &mut Upper<'_>) -> Result<(), Error> {
        match to.get(target).map(|e| e.kind) {
            None => to.put_dir(target, self.meta(entry)),
            Some(Kind::Dir) => {
                to.edit_dir(target)?.mode = entry.mode;
                Ok(())
            }
            Some(_) => Err(Error::NotADirectory { path: path::show(target) }),
        }
    }

    fn dir(&self, target: &[u8], entry: &Entry, what: As, to: &mut Upper<'_>) -> Result<(), Error> {
        let there = to.get(target).map(|e| e.kind);
        match there {
            Some(Kind::Dir) => {
                let meta = self.meta(entry);
                let dir = to.edit_dir(target)?;
                dir.mtime = meta.mtime;
                if what == As::Entry {
                    (dir.mode, dir.uid, dir.gid) = (meta.mode, meta.uid, meta.gid);
                    if !meta.xattrs.is_empty() {
                        dir.extra.get_or_insert_default().xattrs.extend(meta.xattrs);
                    }
                }
                Ok(())
            }
            Some(_) if !self.action.always_replace_existing_dest_paths => {
                Err(Error::NotADirectory { path: path::show(target) })
            }
            _ => {
                if there.is_some() {
                    to.remove(target)?;
                }
                to.put_dir(target, self.meta(entry))
            }
        }
    }

    fn file(
        &self,
        from: &Tree,
        target: &[u8],
        entry: &Entry,
        to: &mut Upper<'_>,
        links: &mut HashMap<u32, Vec<u8>>,
    ) -> Result<(), Error> {
        if to.get(target).is_some_and(|e| e.kind == Kind::Dir) {
            if !self.action.always_replace_existing_dest_paths || target.is_empty() {
                return Err(Error::IsADirectory { path: path::show(target) });
            }
            to.remove(target)?;
        }
        if entry.kind == Kind::File && entry.link_group != 0 {
            if let Some(first) = links.get(&entry.link_group) {
                return to.link(first, target);
            }
            links.insert(entry.link_group, target.to_vec());
        }
        let kind = if entry.kind == Kind::Socket { Kind::File } else { entry.kind };
        let bytes = match entry.kind {
            Kind::File => Bytes::Content(upper::read(from, entry)?),
            _ => Bytes::Memory(b""),
        };
        to.put(self.meta(entry).entry(target, kind, entry.link(), entry.rdev()), bytes)
    }

    /// A source's metadata as the op wants it. A symbolic link's mode never changes.
    fn meta(&self, entry: &Entry) -> Meta {
        let mut meta = Meta::of(entry);
        if let Some((uid, gid)) = self.owner {
            (meta.uid, meta.gid) = (uid, gid);
        }
        if let Some(time) = self.time {
            meta.mtime = time;
        }
        if let Some(chmod) = self.chmod.as_ref().filter(|_| entry.kind != Kind::Symlink) {
            meta.mode = chmod.apply(meta.mode, entry.kind == Kind::Dir);
        }
        meta
    }
}
