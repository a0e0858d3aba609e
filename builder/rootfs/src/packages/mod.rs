//! Which packages an image's package manager has installed, and which of its files are theirs.
//!
//! Read are the databases of dpkg (Debian, Ubuntu, and the variant of distroless images) and apk (Alpine). They are the
//! image's own words, so untrusted: paths are resolved in its index alone, and what they cost is bounded.

mod apk;
mod claims;
mod dpkg;

use std::io;

use crate::{Entry, Kind, Tree, path};

use claims::Claims;

/// Most bytes of all databases together. A full Debian desktop has half of it.
const MAX_BYTES: u64 = 64 << 20;
/// Most packages.
const MAX_PACKAGES: usize = 100_000;

/// Whose database a package is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Manager {
    /// Debian's, `/var/lib/dpkg`.
    Dpkg,
    /// Alpine's, `/lib/apk/db`.
    Apk,
}

impl Manager {
    /// `dpkg` or `apk`.
    pub fn name(self) -> &'static str {
        match self {
            Manager::Dpkg => "dpkg",
            Manager::Apk => "apk",
        }
    }
}

/// A package. Its texts are as the database has them, control characters and what isn't UTF-8 escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Whose database it is in.
    pub manager: Manager,
    /// Its name, without architecture.
    pub name: String,
    /// Its version; empty where the database has none.
    pub version: String,
    /// In the manager's words (`amd64`, `armel`, `all`, `x86_64`, `noarch`); empty where the database has none.
    pub architecture: String,
    /// Whether it is unpacked; else it was removed and only its configuration is left.
    pub is_installed: bool,
    /// Positions in the tree's index of what is its own and really there, directories and links to them left out, in
    /// ascending order. A position is one package's only: of several that claim it, the first one's.
    pub files: Vec<usize>,
}

/// A package database that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// Its bytes could not be read.
    #[error("can't read the package database `/{path}`: {source}")]
    Read {
        /// Path inside the image.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// More than any honest image has.
    #[error("the package database `/{path}` has more {what} than are read ({limit})")]
    TooBig {
        /// Path inside the image.
        path: String,
        /// Of what there are too many.
        what: &'static str,
        /// Most that are read.
        limit: u64,
    },
}

/// All packages, in the order of their databases. An image without any has none.
pub fn read(tree: &Tree) -> Result<Vec<Package>, PackagesError> {
    let mut reader = Reader { tree, left: MAX_BYTES, claims: Claims::new(&tree.index), packages: Vec::new() };
    dpkg::read(&mut reader)?;
    apk::read(&mut reader)?;
    for package in &mut reader.packages {
        package.files.sort_unstable();
    }
    Ok(reader.packages)
}

/// What the managers' readers share.
struct Reader<'t> {
    tree: &'t Tree,
    left: u64,
    claims: Claims<'t>,
    packages: Vec<Package>,
}

impl<'t> Reader<'t> {
    /// The regular file at a path, links followed inside the image.
    fn find(&self, path: &[u8]) -> Option<&'t Entry> {
        let resolved = self.tree.resolve(path, true).ok()?;
        self.tree.index.get(&resolved).filter(|e| e.kind == Kind::File)
    }

    /// A database's bytes, within the bound of all of them.
    fn bytes(&mut self, entry: &Entry) -> Result<Vec<u8>, PackagesError> {
        let name = || path::show(&entry.path);
        if entry.size > self.left {
            return Err(PackagesError::TooBig { path: name(), what: "bytes", limit: MAX_BYTES });
        }
        self.left -= entry.size;
        self.tree.read(entry, MAX_BYTES).map_err(|source| PackagesError::Read { path: name(), source })
    }

    /// A package, of which files can then be claimed. `database` is for messages.
    fn add(&mut self, package: Package, database: &Entry) -> Result<(), PackagesError> {
        if self.packages.len() == MAX_PACKAGES {
            let path = path::show(&database.path);
            return Err(PackagesError::TooBig { path, what: "packages", limit: MAX_PACKAGES as u64 });
        }
        self.packages.push(package);
        Ok(())
    }

    /// Gives the file at a path to the package that was added last, if it is there and nobody's.
    fn claim(&mut self, file: &[u8], database: &Entry) -> Result<(), PackagesError> {
        let position = self.claims.claim(file).map_err(|claims::TooMany(limit)| PackagesError::TooBig {
            path: path::show(&database.path),
            what: "directories",
            limit: limit as u64,
        })?;
        if let (Some(position), Some(package)) = (position, self.packages.last_mut()) {
            package.files.push(position);
        }
        Ok(())
    }
}

/// The lines of a text, without their ends.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

#[cfg(test)]
mod tests;
