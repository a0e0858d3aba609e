//! Where an image's bytes are: by directory, by package, the biggest files, and files that are there twice.
//!
//! ```text
//!  Tree ─┬─► tree (bytes of every directory) ──┬─► text and JSON
//!        ├─► packages ─► tree (of packages) ───┤
//!        ├─► duplicates (same content)         └─► html (one page with a treemap)
//! ```
//!
//! A size is that of the content: what a file system adds in blocks, and a tar in headers, is left out. Hard links are one
//! file, counted under the first of their names.

mod duplicates;
mod html;
mod report;
mod tree;

use std::{collections::HashMap, io};

use routerpack_rootfs::{Index, Kind, Tree, path};

pub use duplicates::Duplicate;
pub use html::{html, write_html};
pub use report::to_json;
use routerpack_rootfs::packages::Package;
pub use tree::{Hierarchy, Node, NodeKind};

/// What was measured.
#[derive(Clone, Debug)]
pub struct Sizes {
    /// By directory; its root has the image's bytes and files.
    pub directories: Hierarchy,
    /// By package; none where the image has no packages.
    pub packages: Option<Hierarchy>,
    /// What is known of the packages: `facts[n]` is the package of node `n + 1`. After the packages comes one more node, for
    /// the files of none.
    pub facts: Vec<Package>,
    /// Files with the same content, owner and mode, those that cost most first.
    pub duplicates: Vec<Duplicate>,
}

impl Sizes {
    /// The biggest files, biggest first.
    pub fn biggest(&self, count: usize) -> Vec<&Node> {
        let mut files: Vec<&Node> = self.directories.nodes().iter().filter(|n| n.kind == NodeKind::File).collect();
        files.sort_by_key(|file| std::cmp::Reverse(file.bytes)); // stable: of equal ones, by path
        files.truncate(count);
        files
    }

    /// Bytes that hard links in place of all duplicates would save.
    pub fn duplicate_bytes(&self) -> u64 {
        self.duplicates.iter().fold(0, |sum, d| sum.saturating_add(d.saved()))
    }
}

/// Measures an image. Its contents are read only where files of one size may be the same.
pub fn measure(tree: &Tree, packages: Vec<Package>) -> io::Result<Sizes> {
    Ok(Sizes {
        directories: by_directory(&tree.index),
        packages: (!packages.is_empty()).then(|| by_package(&tree.index, &packages)),
        facts: packages,
        duplicates: duplicates::find(tree)?,
    })
}

/// Positions of all regular files, in ascending order, hard links once: the first name that is `preferred`, else the first.
fn files(index: &Index, preferred: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut groups: HashMap<u32, usize> = HashMap::new();
    let mut files: Vec<usize> = Vec::new();
    for (position, entry) in index.entries().iter().enumerate().filter(|(_, e)| e.kind == Kind::File) {
        if entry.link_group == 0 {
            files.push(position);
            continue;
        }
        groups
            .entry(entry.link_group)
            .and_modify(|first| {
                if !preferred(*first) && preferred(position) {
                    *first = position;
                }
            })
            .or_insert(position);
    }
    files.extend(groups.into_values());
    files.sort_unstable();
    files
}

fn by_directory(index: &Index) -> Hierarchy {
    let mut nodes = vec![Node::new("/", 0, NodeKind::Dir)];
    let mut dirs: HashMap<&[u8], u32> = HashMap::from([(&b""[..], 0)]);
    let files = files(index, |_| true);
    let mut next = files.iter().copied().peekable();
    for (position, entry) in index.entries().iter().enumerate() {
        let is_file = next.next_if_eq(&position).is_some();
        if !is_file && entry.kind != Kind::Dir {
            continue;
        }
        let Some((dir, name)) = path::split(&entry.path) else { continue };
        // A directory that no entry is there for gets a node all the same.
        let missing = std::iter::once(dir).chain(path::ancestors(dir)).take_while(|d| !dirs.contains_key(d));
        for dir in missing.collect::<Vec<_>>().into_iter().rev() {
            let (parent, name) = path::split(dir).unwrap_or_default();
            nodes.push(Node::new(&path::show(name), dirs[parent], NodeKind::Dir));
            dirs.insert(dir, nodes.len() as u32 - 1);
        }
        let (kind, bytes) = if is_file { (NodeKind::File, entry.size) } else { (NodeKind::Dir, 0) };
        if !is_file {
            if dirs.contains_key(&*entry.path) {
                continue;
            }
            dirs.insert(&entry.path, nodes.len() as u32);
        }
        nodes.push(Node { bytes, ..Node::new(&path::show(name), dirs[dir], kind) });
    }
    Hierarchy::new(nodes)
}

fn by_package(index: &Index, packages: &[Package]) -> Hierarchy {
    let none = packages.len();
    let mut owner = vec![none; index.entries().len()];
    let mut nodes = vec![Node::new("packages", 0, NodeKind::Dir)];
    for (package, number) in packages.iter().zip(0..) {
        package.files.iter().for_each(|position| owner[*position] = number);
        let label = match package.version.is_empty() {
            true => package.name.clone(),
            false => format!("{} {}", package.name, package.version),
        };
        nodes.push(Node::new(&label, 0, NodeKind::Package));
    }
    nodes.push(Node::new("no package", 0, NodeKind::Rest));
    for position in files(index, |position| owner[position] != none) {
        let entry = &index.entries()[position];
        let label = format!("/{}", path::show(&entry.path));
        nodes.push(Node { bytes: entry.size, ..Node::new(&label, owner[position] as u32 + 1, NodeKind::File) });
    }
    Hierarchy::new(nodes)
}

#[cfg(test)]
mod tests;
