//! The one thing that lowering asks the outside world for: what is behind a name.

use routerpack_graph::source::{Git, Http};
use routerpack_graph::{Digest, ImageConfig, Output, Platform, pb};

/// Why a name leads nowhere. The message should say what to do.
pub type ResolveError = Box<dyn std::error::Error + Send + Sync>;

/// An image that was found.
#[derive(Clone, Debug)]
pub struct ResolvedImage {
    /// The full reference, `docker.io/library/alpine:latest`. A resolver may answer with another one than
    /// it was asked for (a mirror, a policy).
    pub reference: String,
    /// What the reference is pinned to: the digest of the manifest or of the index above it. `None` keeps
    /// the reference as it is.
    pub digest: Option<Digest>,
    /// The config file's bytes.
    pub config: Vec<u8>,
}

/// What a build context is: a directory, an image, a repository.
#[derive(Clone, Debug)]
pub enum Context {
    /// Nothing.
    Empty,
    /// A directory of the client.
    Local {
        /// The name under which the executor is handed it.
        name: String,
        /// The patterns of its ignore file.
        exclude: Vec<String>,
    },
    /// An image of a registry.
    Image(ResolvedImage),
    /// An image of a local store: an OCI layout, a docker-archive, a root file system.
    Store {
        /// The store's name; the executor is handed it under this name.
        name: String,
        /// The manifest.
        digest: Digest,
        /// The config file's bytes.
        config: Vec<u8>,
    },
    /// A checkout.
    Git(Box<Git>),
    /// A file.
    Http(Box<Http>),
    /// What another definition makes.
    Output(Option<Output>, Option<Box<ImageConfig>>),
}

/// Finds images and contexts. Called from several threads at once, with each question at most once per
/// lowering.
pub trait Resolver: Sync {
    /// The image behind a full reference, for a platform.
    fn image(&self, reference: &str, platform: &Platform) -> Result<ResolvedImage, ResolveError>;

    /// The named context of this name, one of [`super::Options::contexts`], for a platform.
    fn context(&self, name: &str, platform: &Platform) -> Result<Context, ResolveError>;

    /// When a source of the web or a repository was last changed, in seconds since 1970: what its commit or its server
    /// says, or else the newest file of an archive. `None`: it has no such time. Asked for `SOURCE_DATE_EPOCH` only.
    fn changed(&self, _source: &pb::SourceOp) -> Result<Option<i64>, ResolveError> {
        Ok(None)
    }

    /// Whether the main context's ignore file leaves a path out for certain: one that has exceptions (`!`) says
    /// nothing for certain of a directory. Only lint asks. The path is relative and cleaned.
    fn is_ignored(&self, _path: &str) -> bool {
        false
    }
}
