//! A layer as tar members, in the one order that this project writes.
//!
//! Directories and files by path bytes, so parents come first; then all hard links by path, so a
//! link's target stands before it; the first name of a link group carries the bytes. The root
//! directory itself has no member. A step's own layer starts with its directories and whiteouts,
//! since those should stand before what they don't hide (OCI image-spec, layer.md, "Whiteouts").

use std::{
    collections::HashMap,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use routerpack_graph::Digest;
use routerpack_rootfs::{Entry, Kind, Origin, Stratum, Tree};
use tar::EntryType;

use crate::{
    Error,
    header::{BLOCK, Member, can_carry_xattr, padding},
    pass::Pass,
    sink::{CopyError, Sink},
    warning::{Dropped, Warnings},
};

/// What a format's readers take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carry {
    /// Files, directories, links: RouterOS' handling of anything else is publicly unknown.
    Plain,
    /// Extended attributes, devices and pipes too.
    All,
    /// As `All`, and `.wh.` names too: a rootfs tar is no layer.
    Rootfs,
}

/// One layer to be written.
pub(crate) enum Layer {
    /// Members made from an index.
    Made { tree: Tree, carry: Carry, epoch: Option<i64> },
    /// An image's own layer, byte for byte.
    Copied { file: PathBuf, diff_id: Option<Digest> },
}

/// What was written.
pub(crate) struct Written {
    pub diff_id: Digest,
    pub size: u64,
    pub warnings: Warnings,
}

impl Layer {
    /// Everything that a tree shows, as one layer.
    pub fn flat(tree: &Tree, carry: Carry, epoch: Option<i64>) -> Self {
        Layer::Made { tree: tree.clone(), carry, epoch }
    }

    /// One stratum alone: a tar as it is, a step's directory with its whiteouts.
    pub fn of_stratum(stratum: &Stratum, diff_id: Option<Digest>, epoch: Option<i64>) -> Self {
        match stratum {
            Stratum::Tar { file, .. } => Layer::Copied { file: file.clone(), diff_id },
            Stratum::Dir { root, index } => {
                let mut tree = Tree::default();
                tree.strata.push(Origin::Dir(root.clone()));
                tree.index = Arc::clone(index); // not merged with anything: its whiteouts are wanted
                Layer::Made { tree, carry: Carry::All, epoch }
            }
        }
    }

    /// Exactly how many bytes the tar will have.
    pub fn size(&self) -> Result<u64, Error> {
        match self {
            Layer::Copied { file, .. } => {
                std::fs::metadata(file).map(|m| m.len()).map_err(Error::read(file.as_os_str().as_encoded_bytes()))
            }
            Layer::Made { tree, carry, epoch } => {
                let mut size = 2 * BLOCK;
                let mut header = Vec::new();
                members(tree, *carry, *epoch, &mut Warnings::default(), &mut |member, _| {
                    header.clear();
                    member.write_to(&mut header);
                    size += header.len() as u64 + member.size + padding(member.size) as u64;
                    Ok(())
                })?;
                Ok(size)
            }
        }
    }

    /// Writes the tar. `name` is what an error calls the destination; `pass` sees each
    /// member.
    pub fn write<W: Write>(&self, out: W, expected: u64, name: &Path, pass: &mut Pass) -> Result<(W, Written), Error> {
        let mut sink = Sink::new(out, expected);
        let mut warnings = Warnings::default();
        match self {
            Layer::Copied { file, .. } => {
                let shown = file.as_os_str().as_encoded_bytes();
                let content = File::open(file).map_err(Error::read(shown))?;
                copy(&mut sink, &content, 0, expected, shown, name, pass)?;
            }
            Layer::Made { tree, carry, epoch } => {
                let mut header = Vec::new();
                members(tree, *carry, *epoch, &mut warnings, &mut |member, entry| {
                    header.clear();
                    member.write_to(&mut header);
                    sink.write_all(&header).map_err(Error::write(name))?;
                    let Some(entry) = entry else {
                        return pass.step(header.len() as u64);
                    };
                    let content = tree.content(entry).map_err(Error::read(&entry.path))?;
                    if content.len != entry.size {
                        let path = String::from_utf8_lossy(&entry.path).into_owned();
                        return Err(Error::Length { path, expected: entry.size, found: content.len });
                    }
                    pass.step(header.len() as u64)?;
                    copy(&mut sink, &content.file, content.offset, content.len, &entry.path, name, pass)?;
                    pass.file(entry, &content);
                    sink.zeros(padding(entry.size)).map_err(Error::write(name))
                })?;
                sink.zeros(2 * BLOCK as usize).map_err(Error::write(name))?;
            }
        }
        let (out, digest, size) = sink.finish().map_err(Error::write(name))?;
        if let Layer::Copied { diff_id: Some(expected), .. } = self
            && *expected != digest
        {
            return Err(Error::Digest { expected: expected.clone(), found: digest });
        }
        Ok((out, Written { diff_id: digest, size, warnings }))
    }
}

/// How much is copied between two progress reports.
const STEP: u64 = 4 << 20;

/// Copies file content to a sink in steps, so that progress moves inside a large file.
pub(crate) fn copy<W: Write>(
    sink: &mut Sink<W>,
    file: &File,
    offset: u64,
    len: u64,
    path: &[u8],
    name: &Path,
    pass: &mut Pass,
) -> Result<(), Error> {
    let mut done = 0;
    while done < len {
        let step = STEP.min(len - done);
        sink.copy(file, offset + done, step).map_err(|e| match e {
            CopyError::Read(source) => Error::read(path)(source),
            CopyError::Write(source) => Error::write(name)(source),
            CopyError::Short(found) => {
                Error::Length { path: String::from_utf8_lossy(path).into_owned(), expected: len, found: done + found }
            }
        })?;
        done += step;
        pass.step(step)?;
    }
    Ok(())
}

/// Takes a member, and the entry whose content follows it.
type Emit<'a> = dyn FnMut(&Member, Option<&Entry>) -> Result<(), Error> + 'a;

/// Gives every member in order; with the entry where its content follows.
fn members(
    tree: &Tree,
    carry: Carry,
    epoch: Option<i64>,
    warnings: &mut Warnings,
    emit: &mut Emit,
) -> Result<(), Error> {
    let entries = tree.index.entries();
    let leads = |e: &Entry| matches!(e.kind, Kind::Dir | Kind::Whiteout);
    let of_a_step = entries.iter().any(|e| e.opaque || e.kind == Kind::Whiteout);
    let passes: &[&dyn Fn(&Entry) -> bool] = if of_a_step { &[&leads, &|e| !leads(e)] } else { &[&|_| true] };

    let mut first: HashMap<u32, usize> = HashMap::new();
    let mut links = false;
    for in_this_pass in passes {
        for (at, entry) in entries.iter().enumerate().filter(|(_, e)| in_this_pass(e)) {
            if let Some(what) = dropped(entry, carry) {
                warnings.push(&entry.path, what, b"");
                continue;
            }
            if is_linked(entry) && *first.entry(entry.link_group).or_insert(at) != at {
                links = true;
                continue;
            }
            for name in entry.extra.iter().flat_map(|x| x.xattrs.keys()) {
                if carry == Carry::Plain || !can_carry_xattr(name) {
                    warnings.push(&entry.path, Dropped::Xattr, name);
                }
            }
            emit_one(entry, carry, epoch, emit)?;
        }
    }
    if !links {
        return Ok(());
    }
    for (at, entry) in entries.iter().enumerate().filter(|(_, e)| is_linked(e) && dropped(e, carry).is_none()) {
        if let Some(&target) = first.get(&entry.link_group).filter(|&&target| target != at) {
            let link = &*entries[target].path;
            // A link shares its target's attributes, so it repeats none.
            let member = Member { kind: EntryType::Link, size: 0, link, xattrs: None, ..member(entry, carry, epoch) };
            emit(&member, None)?;
        }
    }
    Ok(())
}

fn is_linked(entry: &Entry) -> bool {
    entry.link_group != 0 && entry.kind != Kind::Dir
}

/// Metadata of whiteouts and opaque marks, which no reader keeps.
const MARK: Member = Member {
    path: b"",
    kind: EntryType::Regular,
    mode: 0,
    uid: 0,
    gid: 0,
    mtime: 0,
    size: 0,
    link: b"",
    rdev: (0, 0),
    xattrs: None,
    wide: false,
};

fn emit_one(entry: &Entry, carry: Carry, epoch: Option<i64>, emit: &mut Emit) -> Result<(), Error> {
    if entry.path.is_empty() {
        // The root has no member, but a step can hide all that is below it.
        return if entry.opaque { emit(&Member { path: b".wh..wh..opq", ..MARK }, None) } else { Ok(()) };
    }
    if entry.kind == Kind::Whiteout && !entry.opaque {
        let slash = entry.path.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
        let path = [&entry.path[..slash], b".wh.", &entry.path[slash..]].concat();
        return emit(&Member { path: &path, ..MARK }, None);
    }
    if entry.kind != Kind::Whiteout {
        emit(&member(entry, carry, epoch), (entry.kind == Kind::File).then_some(entry))?;
    }
    if entry.opaque {
        let path = [&entry.path, &b"/.wh..wh..opq"[..]].concat();
        emit(&Member { path: &path, ..MARK }, None)?;
    }
    Ok(())
}

fn member<'a>(entry: &'a Entry, carry: Carry, epoch: Option<i64>) -> Member<'a> {
    Member {
        path: &entry.path,
        kind: match entry.kind {
            Kind::Dir => EntryType::Directory,
            Kind::Symlink => EntryType::Symlink,
            Kind::CharDev => EntryType::Char,
            Kind::BlockDev => EntryType::Block,
            Kind::Fifo => EntryType::Fifo,
            Kind::HardLink => EntryType::Link,
            Kind::File | Kind::Socket | Kind::Whiteout => EntryType::Regular,
        },
        mode: entry.mode.into(),
        uid: entry.uid,
        gid: entry.gid,
        mtime: epoch.map_or(entry.mtime.secs, |limit| entry.mtime.secs.min(limit)),
        size: if entry.kind == Kind::File { entry.size } else { 0 },
        link: entry.link(),
        rdev: entry.rdev(),
        xattrs: entry.extra.as_ref().map(|x| &x.xattrs).filter(|_| carry != Carry::Plain),
        wide: false,
    }
}

/// Why a format doesn't carry this entry, if it doesn't.
fn dropped(entry: &Entry, carry: Carry) -> Option<Dropped> {
    match entry.kind {
        Kind::Socket => Some(Dropped::Socket),
        Kind::CharDev | Kind::BlockDev if carry == Carry::Plain => Some(Dropped::Device),
        Kind::Fifo if carry == Carry::Plain => Some(Dropped::Fifo),
        _ if carry != Carry::Rootfs && is_reserved(&entry.path) => Some(Dropped::ReservedName),
        _ => None,
    }
}

/// Whether a component starts with `.wh.`, which makes it a whiteout to every reader of layers.
fn is_reserved(path: &[u8]) -> bool {
    path.starts_with(b".wh.") || path.windows(5).any(|w| w == b"/.wh.")
}
