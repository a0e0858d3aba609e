//! File systems as different programs hand them out, made comparable.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
};

use super::support::{archive::Entry, archive::tar_entries, assert_none};

/// What a container engine leaves of its own where it ran or exported something; empty or absent in a clean image.
const ENGINES_OWN: [&str; 11] = [
    ".dockerenv",
    "dev/",
    "etc/hostname",
    "etc/hosts",
    "etc/mtab",
    "etc/resolv.conf",
    "proc",
    "proc/",
    "run",
    "run/",
    "sys/",
];

/// A file system: its entries, in which all names of one file are equal, and the groups of such names. Which of them a
/// tar calls the file, and which the links, is its writer's choice.
#[derive(Clone, Debug)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
    links: BTreeSet<BTreeSet<String>>,
}

impl Tree {
    /// Of a tar's entries, without what is an engine's own.
    pub fn of(entries: &BTreeMap<String, Entry>) -> Self {
        let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut files = BTreeMap::new();
        for (path, entry) in entries {
            if ENGINES_OWN.iter().any(|own| path == own || own.ends_with('/') && path.starts_with(own)) {
                continue;
            }
            let mut same = entry.clone();
            if entry.kind == '1' {
                same = entries[&entry.link].clone();
                groups.entry(entry.link.clone()).or_insert_with(|| [entry.link.clone()].into()).insert(path.clone());
            }
            files.insert(path.clone(), same);
        }
        Self { entries: files, links: groups.into_values().collect() }
    }

    /// Of a tar.
    pub fn read(tar: impl Read) -> Self {
        Self::of(&tar_entries(tar))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The same with entries changed.
    pub fn map(mut self, change: impl Fn(&mut Entry)) -> Self {
        self.entries.values_mut().for_each(change);
        self
    }

    /// The same with only these entries.
    pub fn only(mut self, keep: impl Fn(&str, &Entry) -> bool) -> Self {
        self.entries.retain(|path, entry| keep(path, entry));
        self
    }

    /// The paths that the two don't have alike.
    pub fn differing(&self, other: &Self) -> Vec<String> {
        let paths: BTreeSet<&String> = self.entries.keys().chain(other.entries.keys()).collect();
        paths.into_iter().filter(|path| self.entries.get(*path) != other.entries.get(*path)).cloned().collect()
    }

    /// Fails the test, saying what differs.
    #[track_caller]
    pub fn assert_is(&self, other: &Self, what: &str) {
        let show = |entry: Option<&Entry>| {
            entry.map_or("nothing".into(), |e| {
                let data = String::from_utf8_lossy(&e.data[..e.data.len().min(40)]).into_owned();
                let (attributes, bytes) = (&e.xattrs, e.data.len());
                format!(
                    "{} {:o} {}:{} {} {:?} {bytes} bytes {data:?} {attributes:?}",
                    e.kind, e.mode, e.uid, e.gid, e.mtime, e.link
                )
            })
        };
        let differing = self.differing(other).into_iter().map(|path| {
            format!("{path}: {}\n    but {}", show(self.entries.get(&path)), show(other.entries.get(&path)))
        });
        assert_none(what, &differing.collect::<Vec<_>>());
        assert_eq!(self.links, other.links, "{what}: hard links");
    }
}
