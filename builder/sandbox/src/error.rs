//! What can go wrong before the command runs, and what to do about it.

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// Why a step could not be started (or its runner was lost). The command's own failure is no error
/// but a [`Status`](crate::Status).
///
/// It crosses from the sandbox to the caller as JSON, so it holds plain data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Error {
    /// A system call of the set-up was refused.
    #[error("cannot {doing}: {}{}", errno_text(*errno), hint.as_ref().map(|h| format!("; {h}")).unwrap_or_default())]
    Setup {
        /// What was being done, as an infinitive: `mount the overlay of 3 layers`.
        doing: String,
        /// The error number of the kernel.
        errno: i32,
        /// What to do about it, where that is known.
        hint: Option<String>,
    },
    /// No user namespace can be had here.
    #[error("no user namespace can be created here: {reason}; {mend}")]
    UserNamespace {
        /// What the kernel or the configuration says.
        reason: String,
        /// What mends it.
        mend: String,
    },
    /// The `user` of the step is in no file of the rootfs and no number.
    #[error("user `{user}`: {reason}")]
    User {
        /// As the step has it.
        user: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The user exists, but this user namespace has no such id.
    #[error(
        "id {id} (of user `{user}`) does not exist here: this build runs with the ids {ranges}; \
         give the account a range: `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER`"
    )]
    UnmappedId {
        /// As the step has it.
        user: String,
        /// The numeric id.
        id: u32,
        /// The ids there are, as `0-0, 1-65536`.
        ranges: String,
    },
    /// A mount whose source or target does not fit.
    #[error("mount at `{target}`: {reason}")]
    Mount {
        /// The target inside the rootfs.
        target: String,
        /// What is wrong.
        reason: String,
    },
    /// There is nothing to run.
    #[error("`{0}` is not in the root filesystem (searched PATH={1})")]
    CommandNotFound(String, String),
    /// It is there, but cannot be executed.
    #[error("cannot execute `{command}`: {reason}")]
    NotExecutable {
        /// The path inside the rootfs.
        command: String,
        /// What the kernel says, in words.
        reason: String,
    },
    /// The step needs a thing that this machine's isolation cannot give.
    #[error(
        "{what} cannot be had without mounts (isolation `chroot`); run as root outside of a container, or as an ordinary user where user namespaces are allowed"
    )]
    NeedsMounts {
        /// Which part of the step.
        what: String,
    },
    /// A step description that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The process between the caller and the step is gone.
    #[error("the sandbox ended without a result: {0}")]
    Lost(String),
}

/// `No such file or directory (ENOENT)`-like text for an error number.
pub(crate) fn errno_text(errno: i32) -> String {
    std::io::Error::from_raw_os_error(errno).to_string()
}

/// Gives a refused system call its context.
pub(crate) trait Doing<T> {
    /// `doing` is an infinitive: what was refused.
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Doing<T> for Result<T, Errno> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|e| Error::Setup { doing: doing(), errno: e.raw_os_error(), hint: None })
    }
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|e| Error::Setup {
            doing: if e.raw_os_error().is_some() { doing() } else { format!("{}: {e}", doing()) },
            errno: e.raw_os_error().unwrap_or(libc::EIO),
            hint: None,
        })
    }
}

impl Error {
    /// Adds what to do about it to a refused system call.
    pub(crate) fn with_hint(self, text: &str) -> Self {
        match self {
            Error::Setup { doing, errno, .. } => Error::Setup { doing, errno, hint: Some(text.into()) },
            other => other,
        }
    }

    /// The kernel's error number of a refused system call.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::Setup { errno, .. } => Some(*errno),
            _ => None,
        }
    }
}
