//! Strata and whole trees as plain directories.

use std::path::Path;

use crate::{
    index::{Entry, Index, Kind},
    merge::{self, Put},
    path,
    place::{PlaceError, Placer, Warning},
    tree::{Stratum, Tree},
};

impl Index {
    /// Whether what [`unpack`] makes of this stratum depends on the strata below it: it deletes from them, has
    /// hard links into them, or takes the metadata of directories from them. Where not, one unpacked directory
    /// serves every image that has the layer.
    pub fn needs_below(&self) -> bool {
        let of_below = |e: &Entry| match e.kind {
            Kind::HardLink | Kind::Whiteout => true,
            _ => e.opaque && e.path.is_empty(),
        };
        self.entries().iter().any(of_below) || merge::implied_dirs(self, 0).map_or(true, |implied| !implied.is_empty())
    }
}

/// Writes one stratum as a directory that overlayfs (mounted with `userxattr`) takes as a lower layer on top of
/// those of `below`: whiteouts are character devices 0/0, opaque directories have the attribute
/// `user.overlay.opaque`. Whiteouts of what isn't there are left out: in a directory that is not
/// merged with another layer's they would show.
///
/// Hard links within the stratum are hard links; one into the strata below is a copy, as overlayfs can't link
/// across layers. `chown` says whether this process may give files away.
///
/// `dest` is made, or must be empty; after an error the caller removes it.
pub fn unpack(below: &Tree, stratum: &Stratum, dest: &Path, chown: bool) -> Result<Vec<Warning>, PlaceError> {
    let mut tree = below.clone();
    tree.push(stratum.clone())?;
    let own = stratum.index();
    let implied = merge::implied_dirs(own, below.strata.len() as u32)?;
    // Overlayfs doesn't look for the mark on a layer's root, so there it is spelled out.
    let root_hides = own.get(b"").is_some_and(|root| root.opaque);
    let mut placer = Placer::new(&tree, dest, chown)?;
    for change in merge::changes(own, &implied) {
        let Some(entry) = tree.index.get(change.path) else {
            // In a directory that hides what is below, or that is gone itself, there is nothing to delete.
            let needed = |dir| own.get(dir).is_none_or(|e| e.kind == Kind::Dir && !e.opaque);
            if below.index.get(change.path).is_some() && path::ancestors(change.path).all(needed) {
                placer.put_whiteout(change.path)?;
            }
            continue;
        };
        if matches!(change.put, Put::Lower) && entry.kind != Kind::Dir {
            continue;
        }
        placer.put(entry)?;
        let is_top = !change.path.is_empty() && !change.path.contains(&b'/');
        let hides = change.hides || is_top && root_hides;
        if entry.kind == Kind::Dir && hides && !change.path.is_empty() {
            placer.mark_opaque(change.path)?;
        }
    }
    if root_hides {
        for gone in below.index.children(b"").filter(|e| tree.index.get(&e.path).is_none()) {
            placer.put_whiteout(&gone.path)?;
        }
    }
    placer.finish()
}

/// Writes a whole tree as one plain directory: no whiteouts, no overlay attributes.
///
/// Hard links are hard links; contents are shared with their stratum where the file system can (reflink), never
/// linked. `chown`, `dest` and warnings are as for [`unpack`].
pub fn materialise(tree: &Tree, dest: &Path, chown: bool) -> Result<Vec<Warning>, PlaceError> {
    let mut placer = Placer::new(tree, dest, chown)?;
    for entry in tree.index.entries() {
        placer.put(entry)?;
    }
    placer.finish()
}
