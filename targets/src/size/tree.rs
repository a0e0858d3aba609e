//! Sizes that add up from the leaves to a root.

use std::ops::Range;

/// What a node stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A directory, or the root of all packages.
    Dir,
    /// A regular file.
    File,
    /// A package.
    Package,
    /// All files that no package owns.
    Rest,
}

/// One place that has a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Name within its parent, escaped for printing.
    pub label: Box<str>,
    /// Number of its parent, which is smaller than its own; the root is its own parent.
    pub parent: u32,
    /// What it is.
    pub kind: NodeKind,
    /// Bytes of the files in it.
    pub bytes: u64,
    /// How many files these are.
    pub files: u64,
}

impl Node {
    pub(super) fn new(label: &str, parent: u32, kind: NodeKind) -> Self {
        Self { label: label.into(), parent, kind, bytes: 0, files: u64::from(kind == NodeKind::File) }
    }
}

/// Nodes, parents before children, the root first.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    nodes: Vec<Node>,
    /// Every node but the root: parent by parent, biggest first.
    order: Vec<u32>,
    /// Where `order` has a node's children.
    children: Vec<Range<usize>>,
}

impl Hierarchy {
    /// Adds up nodes of which only leaves have a size. There must be at least one, and parents must come first.
    pub(super) fn new(mut nodes: Vec<Node>) -> Self {
        for child in (1..nodes.len()).rev() {
            let (bytes, files, parent) = (nodes[child].bytes, nodes[child].files, nodes[child].parent as usize);
            nodes[parent].bytes = nodes[parent].bytes.saturating_add(bytes);
            nodes[parent].files += files;
        }
        let mut order: Vec<u32> = (1..nodes.len() as u32).collect();
        order.sort_by_key(|n| {
            let node = &nodes[*n as usize];
            (node.parent, std::cmp::Reverse(node.bytes), *n)
        });
        let mut children = vec![0..0; nodes.len()];
        for (at, number) in order.iter().enumerate() {
            let range: &mut Range<usize> = &mut children[nodes[*number as usize].parent as usize];
            *range = if range.start == range.end { at..at + 1 } else { range.start..at + 1 };
        }
        Self { nodes, order, children }
    }

    /// All of them.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The one that has all bytes.
    pub fn root(&self) -> &Node {
        &self.nodes[0]
    }

    /// Numbers of a node's children, biggest first.
    pub fn children(&self, number: usize) -> &[u32] {
        &self.order[self.children[number].clone()]
    }

    /// A node's path: `/usr/bin`.
    pub fn path(&self, node: &Node) -> String {
        let mut labels = Vec::new();
        let mut at = node;
        while !std::ptr::eq(at, self.root()) {
            labels.push(&*at.label);
            at = &self.nodes[at.parent as usize];
        }
        labels.iter().rev().fold(String::new(), |path, label| path + "/" + label)
    }

    /// Which nodes belong to the `count` biggest ones. No parent is left out whose child is in.
    pub(super) fn biggest(&self, count: usize) -> Vec<bool> {
        let mut numbers: Vec<usize> = (0..self.nodes.len()).collect();
        numbers.sort_by_key(|n| (std::cmp::Reverse(self.nodes[*n].bytes), *n));
        let mut is_in = vec![false; self.nodes.len()];
        numbers.into_iter().take(count).for_each(|n| is_in[n] = true);
        is_in
    }
}
