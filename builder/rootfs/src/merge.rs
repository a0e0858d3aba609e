//! Laying one stratum's index over the merged index of those below it.
//!
//! The rules are overlayfs's and the OCI image-spec's (layer.md, "Whiteouts"): a whiteout removes the path
//! and all below it; an opaque directory hides what the lower strata have in it; anything that is not a
//! directory hides a directory; of two directories the upper's metadata wins and the contents join.
//!
//! A directory that the upper stratum only implies (it has `a/b` but no `a`) keeps the lower's metadata.
//! Where no lower has it either (or has something else there), it is 0755, root's, of 1970.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    index::{Entry, Index, Kind},
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
}

/// Lays `upper`, which becomes stratum number `layer`, over the merged index `lower`.
///
/// The result has no whiteout, opaque mark or unresolved hard link; it has a directory entry for every
/// parent (but an entry for the root only when a stratum has one); its link groups are numbered from 1 in
/// path order, and each has two members at least.
pub fn merge(mut lower: Index, upper: &Index, layer: u32) -> Result<Index, MergeError> {
    let implied = implied_dirs(upper, layer)?;
    let changes = changes(upper, &implied);
    let mut hidden = vec![false; lower.entries().len()];
    for change in changes.iter().filter(|c| c.hides) {
        hidden[lower.descendant_range(change.path)].fill(true);
    }
    let mut links = Links::resolve(&mut lower, upper, layer)?;
    let mut merged = Vec::with_capacity(lower.entries().len() + changes.len());
    let mut lower = lower.into_entries().into_iter();
    let mut hidden = hidden.into_iter();
    // In step with `lower`: each entry that is taken from there takes its flag.
    let mut visible = |_: &Entry| !hidden.next().unwrap_or_default();
    for change in changes {
        // A step changes little of a large tree, so what lies between is taken over in runs.
        let before = run_before(lower.as_slice(), change.path);
        merged.extend(lower.by_ref().take(before).filter(&mut visible));
        let same = lower.as_slice().first().is_some_and(|e| *e.path == *change.path);
        let entry = lower.by_ref().take(same.into()).find(&mut visible);
        merged.extend(change.over(entry, &mut links));
    }
    merged.extend(lower.filter(visible));
    number_groups(&mut merged);
    Ok(Index::from_sorted(merged))
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
    pub put: Put<'a>,
    /// What the lower has below this path goes.
    pub hides: bool,
}

pub(crate) enum Put<'a> {
    /// This entry.
    Entry(&'a Entry),
    /// A directory with the lower's metadata where the lower has one, else a new one.
    ImpliedDir,
    /// A directory that owes nothing to the lower.
    NewDir,
    /// Nothing: the path is gone.
    Nothing,
    /// The lower's own, if any.
    Lower,
}

impl Change<'_> {
    /// What the merged index has at this path, given what is visible there below.
    fn over(&self, lower: Option<Entry>, links: &mut Links<'_>) -> Option<Entry> {
        match self.put {
            Put::Entry(entry) => Some(links.place(entry)),
            Put::ImpliedDir => match lower {
                Some(lower) if lower.kind == Kind::Dir => Some(lower),
                _ => Some(Entry { stratum: links.layer, ..Entry::new_dir(self.path) }),
            },
            Put::NewDir => Some(Entry { stratum: links.layer, ..Entry::new_dir(self.path) }),
            Put::Nothing => None,
            Put::Lower => lower,
        }
    }
}

/// The directories that have entries in this stratum, but none of their own.
pub(crate) fn implied_dirs(upper: &Index, layer: u32) -> Result<BTreeSet<&[u8]>, MergeError> {
    let mut implied = BTreeSet::new();
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

/// The upper's entries and implied directories in one list, in path order.
pub(crate) fn changes<'a>(upper: &'a Index, implied: &BTreeSet<&'a [u8]>) -> Vec<Change<'a>> {
    let mut changes = Vec::with_capacity(upper.entries().len() + implied.len());
    let mut implied = implied.iter().copied().peekable();
    for entry in upper.entries() {
        while let Some(path) = implied.next_if(|dir| **dir < *entry.path) {
            changes.push(Change { path, put: Put::ImpliedDir, hides: false });
        }
        let has_content = implied.next_if(|dir| **dir == *entry.path).is_some();
        let (put, hides) = match entry.kind {
            Kind::Dir => (Put::Entry(entry), entry.opaque),
            Kind::Whiteout if entry.opaque && has_content => (Put::ImpliedDir, true),
            Kind::Whiteout if entry.opaque => (Put::Lower, true),
            Kind::Whiteout if has_content => (Put::NewDir, true),
            Kind::Whiteout => (Put::Nothing, true),
            _ => (Put::Entry(entry), true),
        };
        changes.push(Change { path: &entry.path, put, hides });
    }
    changes.extend(implied.map(|path| Change { path, put: Put::ImpliedDir, hides: false }));
    changes
}

/// The upper's hard links with their targets' metadata, and the numbers of link groups.
struct Links<'a> {
    layer: u32,
    /// By path: a hard link as the entry that it stands for.
    resolved: HashMap<&'a [u8], Entry>,
    /// By path: upper entries that have become members of a group because a [`Kind::HardLink`] names them.
    joined: HashMap<&'a [u8], u32>,
    /// The upper's group numbers to merged ones.
    groups: BTreeMap<u32, u32>,
    last_group: u32,
}

impl<'a> Links<'a> {
    /// Finds every [`Kind::HardLink`]'s target: below first, since within its own layer the reader has
    /// joined those links whose target came before; then in the layer itself.
    fn resolve(lower: &mut Index, upper: &'a Index, layer: u32) -> Result<Self, MergeError> {
        let last_group = lower.entries().iter().map(|e| e.link_group).max().unwrap_or(0);
        let mut links =
            Self { layer, resolved: HashMap::new(), joined: HashMap::new(), groups: BTreeMap::new(), last_group };
        for entry in upper.entries().iter().filter(|e| e.kind == Kind::HardLink) {
            let target = links.target(lower, upper, entry).map_err(|why| MergeError {
                layer,
                path: entry.path.to_vec(),
                why,
            })?;
            links.resolved.insert(&entry.path, linked(&entry.path, target));
        }
        Ok(links)
    }

    fn target(&mut self, lower: &mut Index, upper: &'a Index, entry: &Entry) -> Result<Entry, MergeFault> {
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
            match upper.get(&name).or_else(|| upper.get(&real)) {
                None => return Err(MergeFault::DanglingLink(name)),
                Some(e) => match e.kind {
                    Kind::Whiteout => return Err(MergeFault::DanglingLink(name)),
                    Kind::Dir => return Err(MergeFault::LinkToDirectory(name)),
                    Kind::HardLink => name = e.link().to_vec(),
                    _ => {
                        let group = self.group_of(e).unwrap_or_else(|| {
                            self.last_group += 1;
                            self.joined.insert(&e.path, self.last_group);
                            self.last_group
                        });
                        return Ok(Entry { link_group: group, stratum: self.layer, ..e.clone() });
                    }
                },
            }
        }
        Err(MergeFault::LinkLoop(name))
    }

    /// The merged group number of an upper entry.
    fn group_of(&mut self, entry: &Entry) -> Option<u32> {
        match entry.link_group {
            0 => self.joined.get(&*entry.path).copied(),
            group => Some(*self.groups.entry(group).or_insert_with(|| {
                self.last_group += 1;
                self.last_group
            })),
        }
    }

    /// An upper entry as it stands in the merged index.
    fn place(&mut self, entry: &Entry) -> Entry {
        match self.resolved.remove(&*entry.path) {
            Some(resolved) => resolved,
            None => Entry {
                stratum: self.layer,
                opaque: false,
                link_group: self.group_of(entry).unwrap_or(0),
                ..entry.clone()
            },
        }
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
