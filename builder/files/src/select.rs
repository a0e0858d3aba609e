//! What a copy takes from its source tree: the sources that a pattern names, and the entries below
//! each that the include and exclude patterns leave (fsutil, `copy/copy.go`). Copying and digesting
//! walk the very same selection.

use std::collections::{HashMap, HashSet};

use routerpack_graph::pb::FileActionCopy;
use routerpack_rootfs::{Entry, Kind, ResolveError, Tree};

use crate::{
    Error,
    glob::{Glob, has_wildcard},
    near, path,
    pattern::{Matcher, Parent},
};

/// One source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// As it was named or matched; its last component is what a copy into a directory is called.
    pub(crate) name: Vec<u8>,
    /// Where it is in the tree.
    pub(crate) root: Vec<u8>,
}

/// The sources of a copy, in path order. None only if a wildcard matches nothing and that is allowed.
pub(crate) fn sources(action: &FileActionCopy, tree: &Tree) -> Result<Vec<Source>, Error> {
    let wanted = path::clean(action.src.as_bytes());
    let none = || Error::NoSuchSource { pattern: action.src.clone(), near: near::similar(&tree.index, &wanted) };
    let there = |name: &[u8]| root_of(tree, name, action.follow_symlink)?.ok_or_else(none);
    let names = match wildcards(&wanted) {
        (plain, Some(wild)) if action.allow_wildcard => {
            let names = matches(tree, &there(plain)?, wild)?;
            if names.is_empty() && !action.allow_empty_wildcard {
                return Err(none());
            }
            names
        }
        _ => vec![wanted.clone()],
    };
    names.into_iter().map(|name| Ok(Source { root: there(&name)?, name })).collect()
}

/// Whether the source of a copy has wildcards that match nothing, so that nothing is copied.
pub fn is_empty_match(action: &FileActionCopy, tree: &Tree) -> bool {
    sources(action, tree).is_ok_and(|sources| sources.is_empty())
}

/// Where a source is, if there is one: links of its directories are followed, its own only if the op
/// says so. The root is always there.
fn root_of(tree: &Tree, name: &[u8], follow: bool) -> Result<Option<Vec<u8>>, Error> {
    match tree.resolve(name, follow) {
        Ok(root) => Ok((root.is_empty() || tree.index.get(&root).is_some()).then_some(root)),
        // Below a file there is nothing.
        Err(ResolveError::NotADirectory { .. }) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// A path up to its first component with a wildcard, and the rest.
pub(crate) fn wildcards(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut start = 0;
    for part in path.split(|b| *b == b'/') {
        if has_wildcard(part) {
            return (&path[..start.max(1) - 1], Some(&path[start..]));
        }
        start += part.len() + 1;
    }
    (path, None)
}

/// The paths below a directory that match; nothing below a directory that matches itself.
pub(crate) fn matches(tree: &Tree, dir: &[u8], pattern: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let found = tree.index.descendants(dir).iter();
    matching(found.map(|e| (&*e.path, e.kind == Kind::Dir)), dir, pattern)
}

/// The same for any list of paths in order; the flag says which are directories.
pub(crate) fn matching<'p>(
    paths: impl Iterator<Item = (&'p [u8], bool)>,
    dir: &[u8],
    pattern: &[u8],
) -> Result<Vec<Vec<u8>>, Error> {
    let glob = Glob::new(&String::from_utf8_lossy(pattern))?;
    // Only a class can match a slash, so else the number of components is known.
    let depth = |path: &[u8]| path.iter().filter(|b| **b == b'/').count();
    let exact = (!pattern.contains(&b'[')).then(|| depth(pattern));
    let mut taken: HashSet<&[u8]> = HashSet::new();
    let mut out = Vec::new();
    for (path, is_dir) in paths {
        let name = path::relative(dir, path);
        if exact.is_some_and(|depth_of| depth_of != depth(name))
            || !taken.is_empty() && path::ancestors(name).any(|above| taken.contains(above))
            || !glob.matches(name)
        {
            continue;
        }
        if is_dir {
            taken.insert(name);
        }
        out.push(path.to_vec());
    }
    Ok(out)
}

/// The include and exclude patterns of a copy.
pub(crate) struct Filter {
    include: Option<Matcher>,
    exclude: Option<Matcher>,
}

/// How far a directory has come.
struct Dir<'t> {
    entry: &'t Entry,
    include: Parent,
    exclude: Parent,
    /// Whether it has been visited, itself or as a parent.
    visited: bool,
}

/// What a visited entry is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum As {
    /// The source itself.
    Source,
    /// Something below it that the patterns take.
    Entry,
    /// A directory that they don't take, but something below it.
    Parent,
}

impl Filter {
    /// Reads the patterns.
    pub(crate) fn new(action: &FileActionCopy) -> Result<Self, Error> {
        let matcher = |patterns: &[String]| match patterns {
            [] => Ok(None),
            _ => Matcher::new(patterns).map(Some),
        };
        Ok(Self { include: matcher(&action.include_patterns)?, exclude: matcher(&action.exclude_patterns)? })
    }

    /// Visits what is taken of a source, parents first: `visit(path relative to the source, entry,
    /// what for)`. The source's own path is empty, and it is always taken.
    pub(crate) fn walk<'t>(
        &self,
        tree: &'t Tree,
        source: &Source,
        mut visit: impl FnMut(&[u8], &'t Entry, As) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let root = tree.index.get(&source.root);
        if let Some(root) = root {
            visit(b"", root, As::Source)?;
        }
        if root.is_some_and(|e| e.kind != Kind::Dir) {
            return Ok(());
        }
        let filters = self.include.is_some() || self.exclude.is_some();
        let mut dirs: HashMap<&[u8], Dir<'t>> = HashMap::new();
        for entry in tree.index.descendants(&source.root) {
            let name = path::relative(&source.root, &entry.path);
            if !filters {
                visit(name, entry, As::Entry)?;
                continue;
            }
            let (included, include, exclude) = {
                let above = dirs.get(path::split(name).0);
                let ask = |matcher: &Option<Matcher>, none, parent: Option<&Parent>| match matcher {
                    Some(matcher) => matcher.matches_below(name, parent.unwrap_or(&Parent::default())),
                    None => (none, Parent::default()),
                };
                let (included, include) = ask(&self.include, true, above.map(|d| &d.include));
                let (excluded, exclude) = ask(&self.exclude, false, above.map(|d| &d.exclude));
                (included && !excluded, include, exclude)
            };
            if included {
                for dir in path::ancestors(name).skip(1) {
                    if let Some(parent) = dirs.get_mut(dir).filter(|d| !d.visited) {
                        parent.visited = true;
                        visit(dir, parent.entry, As::Parent)?;
                    }
                }
                visit(name, entry, As::Entry)?;
            }
            if entry.kind == Kind::Dir {
                dirs.insert(name, Dir { entry, include, exclude, visited: included });
            }
        }
        Ok(())
    }
}
