//! Laying one stratum's index over the merged index of those below it.
//!
//! The rules are overlayfs's and the OCI image-spec's (layer.md, "Whiteouts"): a whiteout removes the path
//! and all below it; an opaque directory hides what the lower strata have in it; anything that is not a
//! directory hides a directory; of two directories the upper's metadata wins and the contents join.
//!
//! A directory that the upper stratum only implies (it has `a/b` but no `a`) keeps the lower's metadata.
//! Where no lower has it either (or has something else there), it is 0755, root's, of 1970.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    iter,
};

use crate::{
    index::{Entry, Index, Kind},
    layer::{MAX_ENTRIES, MAX_METADATA},
    path,
};

/// Most hops from hard link to hard link inside one layer.
const MAX_LINK_CHAIN: usize = 64;

/// What makes a stratum unfit to lie on those below it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("layer {layer}, entry `{}`: {why}", path::show(.path))]
pub struct MergeError {
    /// Number of the stratum, from 0, lowest first.
    pub layer: u32,
    /// The entry at fault.
    pub path: Vec<u8>,
    /// What is wrong with it.
    pub why: MergeFault,
}

/// See [`MergeError`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeFault {
    /// A hard link to nothing.
    #[error("a hard link to `{}`, which neither this layer nor one below it has", path::show(.0))]
    DanglingLink(Vec<u8>),
    /// A hard link to a directory.
    #[error("a hard link to the directory `{}`", path::show(.0))]
    LinkToDirectory(Vec<u8>),
    /// Hard links that name each other in a circle, or in a chain without a reasonable end.
    #[error("hard links in a circle or a long chain, by way of `{}`", path::show(.0))]
    LinkLoop(Vec<u8>),
    /// An ancestor of the entry is no directory in the very same stratum.
    #[error("its parent `{}` is not a directory in the same layer", path::show(.0))]
    ParentNotDirectory(Vec<u8>),
    /// Names that go through more directories, which have no entries, than a layer may have entries.
    #[error("the layer's names go through more directories than any honest layer has")]
    TooMuch,
}

/// Lays `upper`, which becomes stratum number `layer`, over the merged index `lower`.
///
/// The result has no whiteout, opaque mark or unresolved hard link; it has a directory entry for every
/// parent (but an entry for the root only when a stratum has one); its link groups are numbered from 1 in
/// path order, and each has two members at least.
///
/// The entries of both move to the result, so that memory never holds more than them once.
pub fn merge(mut lower: Index, upper: Index, layer: u32) -> Result<Index, MergeError> {
    let implied = implied_dirs(&upper, layer)?;
    let mut gone = vec![false; lower.entries().len()];
    for change in changes(&upper, &implied).filter(|c| c.hides) {
        gone[lower.descendant_range(change.path)].fill(true);
    }
    let links = Links::resolve(&mut lower, &upper, layer)?;
    let mut dirs = Vec::new();
    let mut at = 0;
    for change in changes(&upper, &implied) {
        // A step changes little of a large tree, so what lies between is jumped over.
        at += run_before(&lower.entries()[at..], change.path);
        let there = lower.entries().get(at).filter(|e| *e.path == *change.path);
        let is_dir = there.is_some_and(|e| e.kind == Kind::Dir && !gone[at]);
        let (stays, new_dir) = match change.put {
            Put::Entry | Put::Nothing => (false, false),
            Put::ImpliedDir => (is_dir, !is_dir),
            Put::NewDir => (false, true),
            Put::Lower => (true, false),
        };
        if there.is_some() && !stays {
            gone[at] = true;
        }
        if new_dir {
            dirs.push(Entry { stratum: layer, ..Entry::new_dir(change.path) });
        }
    }
    drop(implied);
    let mut entries = lower.into_entries();
    let mut gone = gone.into_iter();
    entries.retain(|_| !gone.next().unwrap_or_default());
    let upper = join(links.into_entries(upper), dirs);
    let mut entries = join(entries, upper);
    number_groups(&mut entries);
    Ok(Index::from_sorted(entries))
}

/// Two lists in path order as one, in the longer one's memory. No path is in both.
fn join(a: Vec<Entry>, b: Vec<Entry>) -> Vec<Entry> {
    let (mut all, mut few) = if a.len() < b.len() { (b, a) } else { (a, b) };
    let mut from = all.len();
    all.reserve_exact(few.len());
    all.resize_with(from + few.len(), || Entry::new(b"", Kind::File, 0));
    // From the end, where there is room.
    let mut to = all.len();
    while let Some(entry) = few.pop() {
        while from > 0 && all[from - 1].path > entry.path {
            (from, to) = (from - 1, to - 1);
            all.swap(from, to);
        }
        to -= 1;
        all[to] = entry;
    }
    all
}

/// How many entries come before a path, in time that goes by that number's logarithm.
fn run_before(entries: &[Entry], path: &[u8]) -> usize {
    let mut end = 1;
    while entries.get(end - 1).is_some_and(|e| *e.path < *path) {
        end *= 2;
    }
    let start = end / 2;
    start + entries[start..end.min(entries.len())].partition_point(|e| *e.path < *path)
}

/// Whether an index, as stratum 0, is what [`merge`] would make of it, so that it may be shared.
pub(crate) fn is_merged(index: &Index) -> bool {
    let mut last_dir: &[u8] = b"";
    index.entries().iter().all(|entry| {
        let dir = path::parent(&entry.path).unwrap_or_default();
        let known = dir.is_empty() || dir == last_dir || index.get(dir).is_some_and(|e| e.kind == Kind::Dir);
        last_dir = dir;
        known && !entry.opaque && !matches!(entry.kind, Kind::Whiteout | Kind::HardLink) && entry.stratum == 0
    }) && groups_are_numbered(index.entries())
}

/// What the upper stratum says about one path.
pub(crate) struct Change<'a> {
    pub path: &'a [u8],
    pub put: Put,
    /// What the lower has below this path goes.
    pub hides: bool,
}

pub(crate) enum Put {
    /// The upper's entry.
    Entry,
    /// A directory with the lower's metadata where the lower has one, else a new one.
    ImpliedDir,
    /// A directory that owes nothing to the lower.
    NewDir,
    /// Nothing: the path is gone.
    Nothing,
    /// The lower's own, if any.
    Lower,
}

/// The directories that have entries in this stratum, but none of their own.
pub(crate) fn implied_dirs(upper: &Index, layer: u32) -> Result<BTreeSet<&[u8]>, MergeError> {
    let mut implied = BTreeSet::new();
    let mut bytes = 0;
    let mut last: &[u8] = b"";
    for entry in upper.entries().iter().filter(|e| e.kind != Kind::Whiteout) {
        if path::parent(&entry.path) == Some(last) {
            continue;
        }
        for dir in path::ancestors(&entry.path).filter(|dir| !dir.is_empty()) {
            match upper.get(dir).map(|e| e.kind) {
                Some(Kind::Dir) => break,
                None | Some(Kind::Whiteout) => {
                    if !implied.insert(dir) {
                        break;
                    }
                    bytes += dir.len();
                    if implied.len() > MAX_ENTRIES || bytes > MAX_METADATA {
                        return Err(MergeError { layer, path: entry.path.to_vec(), why: MergeFault::TooMuch });
                    }
                }
                Some(_) => {
                    let why = MergeFault::ParentNotDirectory(dir.into());
                    return Err(MergeError { layer, path: entry.path.to_vec(), why });
                }
            }
        }
        last = path::parent(&entry.path).unwrap_or_default();
    }
    Ok(implied)
}

/// The upper's entries and implied directories in path order.
pub(crate) fn changes<'a>(upper: &'a Index, implied: &BTreeSet<&'a [u8]>) -> impl Iterator<Item = Change<'a>> {
    let mut implied = implied.iter().copied().peekable();
    let mut entries = upper.entries().iter().peekable();
    iter::from_fn(move || {
        let entry = entries.peek();
        if let Some(path) = implied.next_if(|dir| entry.is_none_or(|e| **dir < *e.path)) {
            return Some(Change { path, put: Put::ImpliedDir, hides: false });
        }
        let entry = entries.next()?;
        let has_content = implied.next_if(|dir| **dir == *entry.path).is_some();
        let (put, hides) = match entry.kind {
            Kind::Dir => (Put::Entry, entry.opaque),
            Kind::Whiteout if entry.opaque && has_content => (Put::ImpliedDir, true),
            Kind::Whiteout if entry.opaque => (Put::Lower, true),
            Kind::Whiteout if has_content => (Put::NewDir, true),
            Kind::Whiteout => (Put::Nothing, true),
            _ => (Put::Entry, true),
        };
        Some(Change { path: &entry.path, put, hides })
    })
}

/// The upper's hard links with their targets' metadata, and the numbers of link groups. Positions are the upper's.
struct Links {
    layer: u32,
    /// Hard links as the entries that they stand for.
    resolved: Vec<(usize, Entry)>,
    /// Entries that have become members of a group because a [`Kind::HardLink`] names them.
    joined: HashMap<usize, u32>,
    /// The upper's group numbers to merged ones.
    groups: BTreeMap<u32, u32>,
    last_group: u32,
}

impl Links {
    /// Finds every [`Kind::HardLink`]'s target: below first, since within its own layer the reader has
    /// joined those links whose target came before; then in the layer itself.
    fn resolve(lower: &mut Index, upper: &Index, layer: u32) -> Result<Self, MergeError> {
        let last_group = lower.entries().iter().map(|e| e.link_group).max().unwrap_or(0);
        let mut links =
            Self { layer, resolved: Vec::new(), joined: HashMap::new(), groups: BTreeMap::new(), last_group };
        for (at, entry) in upper.entries().iter().enumerate().filter(|(_, e)| e.kind == Kind::HardLink) {
            let target = links.target(lower, upper, entry).map_err(|why| MergeError {
                layer,
                path: entry.path.to_vec(),
                why,
            })?;
            links.resolved.push((at, linked(&entry.path, target)));
        }
        Ok(links)
    }

    fn target(&mut self, lower: &mut Index, upper: &Index, entry: &Entry) -> Result<Entry, MergeFault> {
        let mut name = entry.link().to_vec();
        for _ in 0..MAX_LINK_CHAIN {
            if name == *entry.path {
                return Err(MergeFault::LinkLoop(name));
            }
            // The parents of a target may be symlinks below, as `lib` is in a usr-merged system.
            let real = lower.resolve(&name, false).unwrap_or_else(|_| name.clone());
            if let Some(at) = lower.position(&name).or_else(|| lower.position(&real)) {
                let found = &mut lower.entries_mut()[at];
                if found.kind == Kind::Dir {
                    return Err(MergeFault::LinkToDirectory(name));
                }
                if found.link_group == 0 {
                    self.last_group += 1;
                    found.link_group = self.last_group;
                }
                return Ok(found.clone());
            }
            let Some(at) = upper.position(&name).or_else(|| upper.position(&real)) else {
                return Err(MergeFault::DanglingLink(name));
            };
            let found = &upper.entries()[at];
            match found.kind {
                Kind::Whiteout => return Err(MergeFault::DanglingLink(name)),
                Kind::Dir => return Err(MergeFault::LinkToDirectory(name)),
                Kind::HardLink => name = found.link().to_vec(),
                _ => {
                    let group = self.group_of(at, found).unwrap_or_else(|| {
                        self.last_group += 1;
                        self.joined.insert(at, self.last_group);
                        self.last_group
                    });
                    return Ok(Entry { link_group: group, stratum: self.layer, ..found.clone() });
                }
            }
        }
        Err(MergeFault::LinkLoop(name))
    }

    /// The merged group number of an upper entry.
    fn group_of(&mut self, at: usize, entry: &Entry) -> Option<u32> {
        match entry.link_group {
            0 => self.joined.get(&at).copied(),
            group => Some(*self.groups.entry(group).or_insert_with(|| {
                self.last_group += 1;
                self.last_group
            })),
        }
    }

    /// The upper entries as they stand in the merged index.
    fn into_entries(mut self, upper: Index) -> Vec<Entry> {
        let mut entries = upper.into_entries();
        for (at, entry) in entries.iter_mut().enumerate() {
            entry.link_group = self.group_of(at, entry).unwrap_or(0);
            (entry.stratum, entry.opaque) = (self.layer, false);
        }
        for (at, entry) in self.resolved {
            entries[at] = entry;
        }
        entries.retain(|e| e.kind != Kind::Whiteout);
        entries
    }
}

/// Another name of the same file.
fn linked(name: &[u8], target: Entry) -> Entry {
    let mut entry = target;
    // A tar's contents start behind a header, so offset 0 means that the bytes are found by name.
    if entry.kind == Kind::File && entry.offset == 0 {
        let origin = entry.origin().to_vec();
        entry.extra.get_or_insert_default().origin = origin;
    }
    entry.path = name.into();
    entry
}

/// Numbers link groups from 1 in path order; a group with one member is none.
pub(crate) fn number_groups(entries: &mut [Entry]) {
    let mut members: HashMap<u32, u32> = HashMap::new();
    for entry in entries.iter().filter(|e| e.link_group != 0) {
        *members.entry(entry.link_group).or_default() += 1;
    }
    let mut numbers = HashMap::new();
    for entry in entries.iter_mut().filter(|e| e.link_group != 0) {
        entry.link_group = match members[&entry.link_group] {
            1 => 0,
            _ => {
                let next = numbers.len() as u32 + 1;
                *numbers.entry(entry.link_group).or_insert(next)
            }
        };
    }
}

fn groups_are_numbered(entries: &[Entry]) -> bool {
    let mut members: Vec<u32> = Vec::new();
    for group in entries.iter().map(|e| e.link_group as usize).filter(|g| *g != 0) {
        match group.cmp(&(members.len() + 1)) {
            std::cmp::Ordering::Less => members[group - 1] += 1,
            std::cmp::Ordering::Equal => members.push(1),
            std::cmp::Ordering::Greater => return false,
        }
    }
    members.iter().all(|count| *count > 1)
}
