//! Why a build failed.

use std::{fmt, io};

use routerpack_graph::{Digest, graph::InvalidDefinition};

use crate::cache::CacheError;

/// A failed build: the vertex at which it failed, if at one, and the cause.
#[derive(Debug)]
pub struct Error {
    /// The vertex; the definition's source map tells its place in the Dockerfile.
    pub vertex: Option<Box<Vertex>>,
    /// What happened.
    pub cause: Cause,
}

/// Where it happened.
#[derive(Debug)]
pub struct Vertex {
    /// The op's digest.
    pub digest: Digest,
    /// Its line, such as `[build 2/3] RUN make`.
    pub name: String,
}

/// What happened.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The step ran and ended badly.
    #[error("{command}\n  {how}{}", .hint.as_ref().map(|h| format!("\n  {h}")).unwrap_or_default())]
    Step {
        /// The command line.
        command: String,
        /// `exit code 2`, `killed by SIGILL (illegal instruction)` …
        how: String,
        /// What that may mean and what to do.
        hint: Option<String>,
        /// The last lines of its output.
        tail: Vec<String>,
    },
    /// The step could not be started.
    #[error(transparent)]
    Sandbox(#[from] routerpack_sandbox::Error),
    /// The step asks for something that it was not given.
    #[error("{0}\n  {help}", help = .0.help())]
    Withheld(Withheld),
    /// An image or its bytes.
    #[error(transparent)]
    Source(Box<routerpack_sources::Error>),
    /// COPY, ADD, WORKDIR …
    #[error(transparent)]
    File(Box<routerpack_files::Error>),
    /// A layer or a directory that can't be read as a rootfs.
    #[error("{what}: {source}")]
    Rootfs {
        /// Which.
        what: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The graph asks for something that is not here.
    #[error("{0}")]
    Unsupported(String),
    /// Something in the cache is not what was put there; it has been removed.
    #[error("{0} was damaged in the cache and has been removed\n  build again to make it anew")]
    Damaged(String),
    /// A directory that is read changes all the time.
    #[error("the build context has changed while it was copied\n  build again once nothing writes to it")]
    Changed,
    /// The graph is no graph.
    #[error(transparent)]
    Definition(#[from] InvalidDefinition),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A system call.
    #[error("{what}: {source}{}", no_space(.source))]
    Io {
        /// What was done, to what.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Ctrl-C or TERM.
    #[error("interrupted")]
    Interrupted,
}

/// What a step asks for, and has to be handed over or allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Withheld {
    /// A secret, by its id.
    #[error("the step requires the secret `{0}`")]
    Secret(String),
    /// An ssh agent, by its id.
    #[error("the step needs the ssh agent `{0}`")]
    Agent(String),
    /// `--network=host`.
    #[error("the step asks for --network=host, which is not allowed")]
    HostNetwork,
    /// `--security=insecure`.
    #[error("the step asks for --security=insecure, which is not allowed")]
    Insecure,
}

impl Withheld {
    /// The flag that hands it over.
    pub fn help(&self) -> String {
        match self {
            Self::Secret(id) => format!("hand it over with --secret id={id},src=FILE"),
            Self::Agent(id) => format!("hand it over with --ssh {id}"),
            Self::HostNetwork => "allow it with --allow network.host".into(),
            Self::Insecure => "allow it with --allow security.insecure".into(),
        }
    }
}

impl From<routerpack_sources::Error> for Cause {
    fn from(error: routerpack_sources::Error) -> Self {
        Self::Source(Box::new(error))
    }
}

fn no_space(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "\n  free some space, or put the cache on another disk with --cache-dir"
        }
        _ => "",
    }
}

impl Cause {
    /// A failed system call, with what was done. One that was ended by an interrupt is no failure.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| match routerpack_sources::Error::from_io(source) {
            Ok(inner) => inner.into(),
            Err(source) if source.kind() == io::ErrorKind::Interrupted => Self::Interrupted,
            Err(source) => Self::Io { what, source },
        }
    }

    /// Something about a rootfs, with its name.
    pub fn rootfs<E: std::error::Error + Send + Sync + 'static>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| Self::Rootfs { what, source: Box::new(source) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.vertex {
            Some(vertex) => write!(f, "{}: {}", vertex.name, self.cause),
            None => self.cause.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

impl<C: Into<Cause>> From<C> for Error {
    fn from(cause: C) -> Self {
        Self { vertex: None, cause: cause.into() }
    }
}
