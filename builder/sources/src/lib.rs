//! Where images come from: registries, OCI layouts, docker-archives, rootfs tars.
//!
//! ```text
//!   Registry ──┐                    ┌── config (verified)
//!              ├──►  Image (a value) ┤
//!   Store ─────┘                    └── open_layer(n) ──► inflated tar bytes, verified while they stream
//! ```
//!
//! An [`Image`] is the same small thing wherever it came from; only its layers' bytes stay where they
//! are until somebody reads them. Whatever crosses this crate's border has been checked against its
//! digest. The API blocks; the little asynchrony that HTTP needs stays inside.
//!
//! This crate prints nothing and reads no environment: everything it needs is in [`Config`].

mod blobs;
mod context;
mod daemon;
mod error;
mod git;
mod http;
mod image;
mod layer;
pub mod ledger;
mod location;
mod lock;
mod manifest;
mod reference;
mod registry;
mod store;

use std::path::PathBuf;
use std::time::Duration;

pub use blobs::{BlobStore, BlobWriter};
pub use context::{ContextRef, InvalidContext, is_archive};
pub use daemon::DockerDaemon;
pub use error::{Error, Result};
pub use git::{Checkout, GitError, GitSource, Remote, Revision};
pub use http::{Download, HttpSource, Proxy};
pub use image::{Image, Layer};
pub use layer::{Compression, LayerReader, Progress};
pub use location::{InvalidLocation, Location};
pub use lock::FileLock;
pub use manifest::{Descriptor, Index, Manifest};
pub use reference::{InvalidReference, Reference};
pub use registry::{PullPolicy, Registry};
pub use store::{Store, StoreKind, open_store};

/// Everything the sources need from outside.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cache directory; `blobs/`, `refs/`, `locks/` and `tmp/` are made in it.
    pub cache: PathBuf,
    /// Where it is written down what of the cache is in use, and by how much it grows.
    pub ledger: Option<std::sync::Arc<ledger::Ledger>>,
    /// Docker's `config.json`, for credentials. A missing file means: anonymous.
    pub docker_config: Option<PathBuf>,
    /// PEM files with further certificate authorities, or with servers' own self-signed certificates.
    pub ca_files: Vec<PathBuf>,
    /// Hosts (`host` or `host:port`) spoken to over plain HTTP. Loopback hosts always are.
    pub insecure_hosts: Vec<String>,
    /// Where programs are looked for, as `PATH` has it: `git`, and `ssh` for it.
    pub programs: std::ffi::OsString,
    /// Keys of ssh hosts that the user knows, as `~/.ssh/known_hosts`.
    pub known_hosts: Option<PathBuf>,
    /// Proxies, as `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` would say.
    pub proxy: Proxy,
    /// How long a TCP and TLS handshake may take.
    pub connect_timeout: Duration,
    /// How long a server may stay silent in the middle of an answer.
    pub read_timeout: Duration,
    /// How often a request is tried again after a transient failure.
    pub retries: u32,
    /// The pause before the first retry; each further one is twice as long.
    pub backoff: Duration,
    /// How much an image may be.
    pub limits: Limits,
    /// Sent as `User-Agent`.
    pub user_agent: String,
}

impl Config {
    /// The defaults, for a cache directory.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            ledger: None,
            docker_config: None,
            ca_files: Vec::new(),
            insecure_hosts: Vec::new(),
            programs: "/usr/local/bin:/usr/bin:/bin".into(),
            known_hosts: None,
            proxy: Proxy::default(),
            connect_timeout: Duration::from_secs(15),
            read_timeout: Duration::from_secs(60),
            retries: 4,
            backoff: Duration::from_millis(400),
            limits: Limits::default(),
            user_agent: concat!("routerpack/", env!("CARGO_PKG_VERSION")).into(),
        }
    }
}

/// Bounds on what an untrusted image may make us hold or write, in bytes (or as counts).
#[derive(Clone, Debug)]
pub struct Limits {
    /// A manifest or an index. Registries themselves stop at 4 MiB (OCI distribution-spec, "Pushing Manifests").
    pub manifest: u64,
    /// An image config.
    pub config: u64,
    /// One layer's inflated tar: the bound on a decompression bomb.
    pub inflated: u64,
    /// Layers in one image.
    pub layers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { manifest: 4 << 20, config: 8 << 20, inflated: 64 << 30, layers: 1000 }
    }
}
