//! Symlink resolution inside a rootfs, on its index alone.

use crate::{
    index::{Entry, Index, Kind},
    path,
};

/// Most symlinks that one resolution follows (BuildKit's copy and Go's `securejoin` stop there too).
pub const MAX_HOPS: usize = 255;

/// Why a path doesn't resolve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Too many symlinks, likely in a circle (ELOOP).
    #[error("`{}`: more than {MAX_HOPS} symbolic links on the way; do they form a circle?", path::show(.0))]
    Loop(Vec<u8>),
    /// A component that has something after it is no directory (ENOTDIR).
    #[error("`{}`: `{}` is not a directory", path::show(.path), path::show(.at))]
    NotADirectory {
        /// The path asked for.
        path: Vec<u8>,
        /// What is in the way.
        at: Vec<u8>,
    },
    /// A component or the outcome is longer than Linux allows (ENAMETOOLONG), or has a NUL.
    #[error("`{}`: {why}", path::show(.path))]
    Bad {
        /// The path asked for.
        path: Vec<u8>,
        /// What is wrong.
        why: path::BadPath,
    },
}

impl Index {
    /// Resolves a path against a merged index as the kernel would in a process whose root this is:
    /// absolute links start at the root, `..` doesn't leave it. With `follow_last` a symlink in last place
    /// is followed as well (a trailing slash means that too).
    ///
    /// What doesn't exist is no error: the rest of the path is kept as it is, `..` taken lexically. Gives a
    /// clean path; ask [`Index::get`] for what is there.
    pub fn resolve(&self, asked: &[u8], follow_last: bool) -> Result<Vec<u8>, ResolveError> {
        resolve(|path| self.get(path), asked, follow_last)
    }
}

/// The same against anything that can be asked for the entry at a path, such as a tree that is being
/// written.
pub fn resolve<'e>(
    get: impl Fn(&[u8]) -> Option<&'e Entry>,
    asked: &[u8],
    follow_last: bool,
) -> Result<Vec<u8>, ResolveError> {
    let follow_last = follow_last || asked.ends_with(b"/");
    let bad = |why| ResolveError::Bad { path: asked.into(), why };
    let mut at: Vec<u8> = Vec::new();
    // Components still to go, the next one last.
    let mut rest: Vec<Vec<u8>> = asked.rsplit(|b| *b == b'/').map(<[u8]>::to_vec).collect();
    let mut hops = 0;
    while let Some(component) = rest.pop() {
        match &component[..] {
            b"" | b"." => continue,
            b".." => {
                at.truncate(path::parent(&at).map_or(0, <[u8]>::len));
                continue;
            }
            c if c.contains(&0) => return Err(bad(path::BadPath::Nul)),
            c if c.len() > path::MAX_COMPONENT => return Err(bad(path::BadPath::TooLong)),
            c => path::push(&mut at, c),
        }
        if at.len() > path::MAX_PATH {
            return Err(bad(path::BadPath::TooLong));
        }
        let last = rest.iter().all(|c| matches!(&c[..], b"" | b"."));
        match get(&at) {
            Some(e) if e.kind == Kind::Symlink && (follow_last || !last) => {
                hops += 1;
                if hops > MAX_HOPS {
                    return Err(ResolveError::Loop(asked.into()));
                }
                at.truncate(if e.link().starts_with(b"/") { 0 } else { path::parent(&at).map_or(0, <[u8]>::len) });
                rest.extend(e.link().rsplit(|b| *b == b'/').map(<[u8]>::to_vec));
            }
            Some(e) if e.kind != Kind::Dir && !last => {
                return Err(ResolveError::NotADirectory { path: asked.into(), at });
            }
            _ => {}
        }
    }
    Ok(at)
}
