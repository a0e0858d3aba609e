//! What can go wrong with a source: what happened, where, why, and what to do next.

use std::io;
use std::path::PathBuf;

use routerpack_graph::digest::InvalidDigest;
use routerpack_graph::{Digest, Platform};

use crate::context::InvalidContext;
use crate::git::GitError;
use crate::reference::InvalidReference;

/// Shorthand for this crate's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of a source. No variant ever holds a credential or a URL's query.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are not what their digest says.
    #[error(
        "{from}: wrong content: blob {expected} has the digest {actual}; nothing of it was kept. \
         The source is damaged or was tampered with: fetch or write the image again"
    )]
    WrongDigest {
        /// Where the bytes came from.
        from: String,
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// Fewer bytes came than the descriptor says.
    #[error(
        "{from}: blob {blob} is truncated: {got} of {size} bytes; nothing of it was kept. \
         Try again, or fetch or write the image again"
    )]
    Truncated {
        /// Where the bytes came from.
        from: String,
        /// The blob.
        blob: Digest,
        /// Bytes that came.
        got: u64,
        /// Bytes that the descriptor promises.
        size: u64,
    },
    /// More bytes came than the descriptor says.
    #[error("{from}: blob {blob} is longer than the {size} bytes that its descriptor says; nothing of it was kept")]
    Overlong {
        /// Where the bytes came from.
        from: String,
        /// The blob.
        blob: Digest,
        /// Bytes that the descriptor promises.
        size: u64,
    },
    /// The right bytes, but no valid gzip or zstd stream.
    #[error("{from}: layer {blob} can't be decompressed: {reason}. The image was published damaged: build it again")]
    Corrupt {
        /// Where the bytes came from.
        from: String,
        /// The blob.
        blob: Digest,
        /// The decompressor's words.
        reason: String,
    },
    /// The inflated layer is not what the config's diff_id says.
    #[error(
        "{from}: layer {blob}: its uncompressed content has the digest {actual}, but the image config says {expected}. \
         The image is inconsistent: build or push it again"
    )]
    WrongDiffId {
        /// Where the bytes came from.
        from: String,
        /// The compressed blob.
        blob: Digest,
        /// The config's diff_id.
        expected: Digest,
        /// The digest of the inflated bytes.
        actual: Digest,
    },
    /// A bound was reached.
    #[error("{what} is over the limit of {limit} bytes")]
    TooLarge {
        /// What it is, with where it came from.
        what: String,
        /// The bound.
        limit: u64,
    },
    /// More comes out of compressed bytes than [`crate::Limits::inflated`] allows.
    #[error(
        "{what} is over the limit of {limit} bytes: that is 64 GiB, or less where the disk of the cache has less room. \
         A decompression bomb? If it is honest, free some space there, or keep the cache on another disk (--cache-dir)"
    )]
    Inflates {
        /// What it is, with where it came from.
        what: String,
        /// The bound.
        limit: u64,
    },
    /// JSON or structure that is not what the format says.
    #[error("{what}: {reason}")]
    Malformed {
        /// What it is, with where it came from.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No entry of an index runs on the platform.
    #[error("{image} has no image for {wanted}; it has: {}. Choose one of these with --platform, or another image", list(.available))]
    NoPlatform {
        /// The image.
        image: String,
        /// The platform asked for.
        wanted: Platform,
        /// The platforms there are.
        available: Vec<String>,
    },
    /// A local store has no such image, or several and none was named.
    #[error("{}: {problem}; it has: {}", .store.display(), list(.available))]
    NoImage {
        /// The store.
        store: PathBuf,
        /// What was asked for.
        problem: String,
        /// Tags or digests there are.
        available: Vec<String>,
    },
    /// A path that holds no image.
    #[error(
        "{}: {reason}. Expected an OCI layout (directory or tar), a docker-archive, or a root file system (directory or tar)",
        .path.display()
    )]
    NotAnImage {
        /// The path.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// No answer from a server.
    #[error("can't reach {host}: {reason}. {hint}")]
    Unreachable {
        /// `host[:port]`.
        host: String,
        /// The transport's words.
        reason: String,
        /// What to try.
        hint: String,
        /// A connection there was, and it broke: trying again soon may help.
        broke: bool,
    },
    /// The server refuses.
    #[error(
        "{host} refuses access to {what}: {reason}. The name may be wrong, the image private, or a login missing: \
         `docker login {host}` (or `podman login --compat-auth-file`) stores one"
    )]
    Denied {
        /// `host[:port]`.
        host: String,
        /// The repository or URL.
        what: String,
        /// The server's words.
        reason: String,
    },
    /// The server refuses to give out a file.
    #[error(
        "{host} refuses access to {what}: {reason}. If it wants a token, hand it over: \
         --secret id=HTTP_AUTH_TOKEN_{host},src=FILE"
    )]
    Locked {
        /// `host[:port]`.
        host: String,
        /// The URL.
        what: String,
        /// The server's words.
        reason: String,
    },
    /// The server has no such thing.
    #[error("{what} does not exist on {host}: {reason}. Check the name and the tag")]
    NotFound {
        /// `host[:port]`.
        host: String,
        /// The reference, digest or URL.
        what: String,
        /// The server's words.
        reason: String,
    },
    /// An answer that is neither success nor one of the above.
    #[error("{host} answered {status} to a request for {what}: {reason}")]
    Answer {
        /// `host[:port]`.
        host: String,
        /// The reference, digest or URL.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The server's words.
        reason: String,
    },
    /// Not in the cache, and the network is not to be used.
    #[error("{what} is not in the cache, and the network is not to be used; fetch it once with the network")]
    Offline {
        /// The reference.
        what: String,
    },
    /// Docker's config.json or a credential helper failed.
    #[error("no credentials for {host}: {reason}")]
    Credentials {
        /// The registry.
        host: String,
        /// Why, without the secret.
        reason: String,
    },
    /// A certificate file or the TLS set-up.
    #[error(
        "TLS can't be set up: {reason}. Install the certificate authorities (`apt-get install ca-certificates`) or name a CA file"
    )]
    Tls {
        /// Why.
        reason: String,
    },
    /// Text that is no image reference.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// Text that is no digest.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
    /// A git repository.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Text that is no build context.
    #[error(transparent)]
    Context(#[from] InvalidContext),
    /// A file can't be read or written.
    #[error("{}: {what}: {source}{}", .path.display(), remedy(.source))]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What was being done.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

impl Error {
    /// Wraps a system error with the file and the deed.
    pub(crate) fn file(path: impl Into<PathBuf>, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::from_io(source).unwrap_or_else(|source| Self::File { path, what, source })
    }

    /// Gets the error of this crate back out of what a reader returned, or gives the plain one back.
    pub fn from_io(error: io::Error) -> Result<Self, io::Error> {
        error.downcast::<Self>()
    }

    pub(crate) fn malformed(what: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Malformed { what: what.into(), reason: reason.to_string() }
    }

    /// Whether trying again could help.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { broke, .. } => *broke,
            Self::Truncated { .. } => true,
            Self::Answer { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::File { source, .. } => source.kind(),
            Error::NotFound { .. } => io::ErrorKind::NotFound,
            Error::Denied { .. } => io::ErrorKind::PermissionDenied,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// What to do about a system error, where that is known.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ". Free some space, or use another cache directory"
        }
        io::ErrorKind::PermissionDenied => ". Check the owner and the permissions",
        _ => "",
    }
}

/// At most twenty names, as the user would type them.
fn list(names: &[String]) -> String {
    match names.len() {
        0 => "none".into(),
        1..=20 => names.join(", "),
        n => format!("{} and {} more", names[..20].join(", "), n - 20),
    }
}
