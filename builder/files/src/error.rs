//! What can go wrong with a file op, in the words of the op: paths are those inside the image.

use std::io;

use routerpack_rootfs::{MergeError, ResolveError};

use crate::glob::BadPattern;

/// Why a file op failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of the op's actions failed.
    #[error("{error}")]
    Action {
        /// Its number, from 0.
        action: usize,
        /// Why.
        error: Box<Error>,
    },
    /// A copy's source is not in the source tree.
    #[error("`{pattern}` is not there to be copied{}", hint(.near))]
    NoSuchSource {
        /// The source as the op has it.
        pattern: String,
        /// Similar names that the source tree has, best first, as paths relative to its root.
        near: Vec<String>,
    },
    /// Something that has to be there isn't (a parent directory, what `rm` should remove).
    #[error("{path}: no such file or directory (an earlier step has to create it)")]
    NotFound {
        /// Path in the image.
        path: String,
    },
    /// A directory has to go where something else is.
    #[error("cannot copy to non-directory: {path} (remove it in an earlier step, or choose another destination)")]
    NotADirectory {
        /// Path in the image.
        path: String,
    },
    /// A file has to go where a directory is.
    #[error(
        "cannot replace directory {path} with a file (remove it in an earlier step, or choose another destination)"
    )]
    IsADirectory {
        /// Path in the image.
        path: String,
    },
    /// There is something already.
    #[error("{path} exists already")]
    Exists {
        /// Path in the image.
        path: String,
    },
    /// A path can't be followed: links in circles, a file where a directory should be, too long.
    #[error(transparent)]
    BadPath(#[from] ResolveError),
    /// The result can't be laid over the tree below.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// An include, exclude or source pattern can't be read.
    #[error(transparent)]
    BadPattern(#[from] BadPattern),
    /// A symbolic mode can't be read.
    #[error("`{0}` is no mode: expected octal digits or clauses such as u=rwX,go=rX")]
    BadMode(String),
    /// An owner's name is not in the image's user or group file.
    #[error("there is no `{name}` in the image's {file} (create it in an earlier step, or use a number)")]
    UnknownOwner {
        /// The name.
        name: String,
        /// `/etc/passwd` or `/etc/group`.
        file: &'static str,
    },
    /// An owner's name can't be looked up, for there is no image below.
    #[error("the owner `{0}` is a name, but the image starts from scratch and has no users (use a number)")]
    NoUsers(String),
    /// The op itself makes no sense.
    #[error("malformed file op: {0}")]
    BadOp(String),
    /// An archive that is being unpacked is broken or refused.
    #[error("cannot unpack {archive}: {reason} (pack it anew, or have it copied as a file)")]
    Archive {
        /// The archive's path in the source tree.
        archive: String,
        /// What is wrong, with the entry's name.
        reason: String,
    },
    /// The file system failed.
    #[error("{path}: cannot {doing}: {source}")]
    Io {
        /// What was tried: `create`, `read` …
        doing: &'static str,
        /// Path in the image.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// The same about one of the op's actions.
    pub fn in_action(self, action: usize) -> Self {
        Self::Action { action, error: Box::new(self) }
    }

    /// The action that failed, if it is known, and why.
    pub fn cause(&self) -> (Option<usize>, &Self) {
        match self {
            Self::Action { action, error } => (Some(*action), error.cause().1),
            other => (None, other),
        }
    }
}

fn hint(near: &[String]) -> String {
    match near {
        [] => String::new(),
        names => format!("; did you mean {}?", names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" or ")),
    }
}
