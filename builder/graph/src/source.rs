//! Source ops: what a graph starts from (BuildKit `client/llb/source.go`; the attributes' names are
//! those of `solver/pb/attr.go`).

use std::collections::BTreeMap;

use crate::Digest;
use crate::caps::{self, Cap};
use crate::pb;
use crate::vertex::{Constraints, Output, seal};

type Attrs = BTreeMap<String, String>;

/// Attributes and capabilities as they come together.
#[derive(Default)]
struct Draft {
    attrs: Attrs,
    caps: Vec<Cap>,
}

impl Draft {
    /// Sets an attribute unless its value is missing, and asks for the capability with it.
    fn set(&mut self, key: &str, value: Option<impl ToString>, cap: Option<Cap>) {
        if let Some(value) = value {
            self.attrs.insert(key.into(), value.to_string());
            self.caps.extend(cap);
        }
    }

    fn flag(&mut self, key: &str, on: bool, cap: Option<Cap>) {
        self.set(key, on.then_some("true"), cap);
    }

    fn list(&mut self, key: &str, values: &[String], cap: Cap) {
        // A list of strings always has a JSON form.
        let json = || crate::json::to_go_json(values).unwrap_or_default();
        self.set(key, (!values.is_empty()).then(json), Some(cap));
    }

    fn output(self, identifier: String, constraints: &Constraints) -> Output {
        let with_platform = identifier.starts_with("docker-image://") || identifier.starts_with("oci-layout://");
        let op = pb::SourceOp { identifier, attrs: self.attrs };
        seal(pb::op::Op::Source(op), Vec::new(), constraints, with_platform, self.caps)
    }
}

/// The result of a source op that was read from a graph, or changed since.
pub fn output(op: pb::SourceOp, constraints: &Constraints) -> Output {
    Draft { attrs: op.attrs, ..Draft::default() }.output(op.identifier, constraints)
}

/// Whether an image may come out of a local store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResolveMode {
    /// The executor decides.
    #[default]
    Default,
    /// Always ask the registry.
    ForcePull,
    /// Take a local one when there is one.
    PreferLocal,
}

impl ResolveMode {
    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::ForcePull => "pull",
            Self::PreferLocal => "local",
        }
    }
}

/// An image of a registry.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// The full reference: host, repository, tag or digest or both.
    pub reference: String,
    /// `None` leaves the attribute out.
    pub resolve_mode: Option<ResolveMode>,
    /// For the builder's own records: `internal`, `frontend`.
    pub record_type: Option<String>,
    /// Only so many of the lowest layers.
    pub layer_limit: Option<u32>,
}

impl Image {
    /// An image by its full reference.
    pub fn new(reference: impl Into<String>) -> Self {
        Self { reference: reference.into(), ..Self::default() }
    }

    /// The op's result: the image's file system for the constraints' platform.
    pub fn output(&self, constraints: &Constraints) -> Output {
        let mut draft = Draft { caps: vec![caps::SOURCE_IMAGE], ..Draft::default() };
        let forced = (self.resolve_mode == Some(ResolveMode::ForcePull)).then_some(caps::SOURCE_IMAGE_RESOLVE_MODE);
        draft.set("image.resolvemode", self.resolve_mode.map(ResolveMode::as_str), forced);
        draft.set("image.recordtype", self.record_type.as_ref(), None);
        draft.set("image.layerlimit", self.layer_limit, Some(caps::SOURCE_IMAGE_LAYER_LIMIT));
        draft.output(format!("docker-image://{}", self.reference), constraints)
    }
}

/// An image of a local store: an OCI layout, or something that is read like one.
#[derive(Clone, Debug, Default)]
pub struct OciLayout {
    /// `NAME@sha256:…`.
    pub reference: String,
    /// The client session that has the store.
    pub session: Option<String>,
    /// The store's name in that session.
    pub store: Option<String>,
    /// Only so many of the lowest layers.
    pub layer_limit: Option<u32>,
}

impl OciLayout {
    /// The manifest `digest` of the store `name`.
    pub fn new(name: &str, digest: &Digest) -> Self {
        Self { reference: format!("{name}@{digest}"), ..Self::default() }
    }

    /// The op's result: the image's file system for the constraints' platform.
    pub fn output(&self, constraints: &Constraints) -> Output {
        let mut draft = Draft { caps: vec![caps::SOURCE_OCI_LAYOUT], ..Draft::default() };
        draft.set("oci.session", self.session.as_ref(), None);
        draft.set("oci.store", self.store.as_ref(), None);
        draft.set("oci.layerlimit", self.layer_limit, None);
        draft.output(format!("oci-layout://{}", self.reference), constraints)
    }
}

/// A directory of the client.
#[derive(Clone, Debug, Default)]
pub struct Local {
    /// The name under which the client offers it: `context`, `dockerfile` …
    pub name: String,
    /// Take only these paths, and what symlinks among them lead to. Empty: everything.
    pub follow_paths: Vec<String>,
    /// Take only what matches.
    pub include: Vec<String>,
    /// Leave out what matches.
    pub exclude: Vec<String>,
    /// Same hint, same transfer cache.
    pub shared_key: Option<String>,
    /// The client's session.
    pub session: Option<String>,
    /// Tells this source apart from equal ones of other builds (BuildKit sets one whenever there
    /// is no session).
    pub unique: Option<String>,
    /// `none` or `metadata`: how changed files are found.
    pub differ: Option<String>,
}

impl Local {
    /// The whole directory.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The op's result: the directory's tree.
    pub fn output(&self, constraints: &Constraints) -> Output {
        let mut draft = Draft { caps: vec![caps::SOURCE_LOCAL], ..Draft::default() };
        draft.list("local.followpaths", &self.follow_paths, caps::SOURCE_LOCAL_FOLLOW);
        draft.list("local.includepattern", &self.include, caps::SOURCE_LOCAL_INCLUDE);
        draft.list("local.excludepatterns", &self.exclude, caps::SOURCE_LOCAL_EXCLUDE);
        draft.set("local.sharedkeyhint", self.shared_key.as_ref(), Some(caps::SOURCE_LOCAL_SHARED_KEY));
        draft.set("local.session", self.session.as_ref(), Some(caps::SOURCE_LOCAL_SESSION));
        draft.set("local.unique", self.unique.as_ref(), Some(caps::SOURCE_LOCAL_UNIQUE));
        draft.set("local.differ", self.differ.as_ref(), Some(caps::SOURCE_LOCAL_DIFFER));
        draft.output(format!("local://{}", self.name), constraints)
    }
}

/// A file fetched by URL.
#[derive(Clone, Debug, Default)]
pub struct Http {
    /// `http://…` or `https://…`.
    pub url: String,
    /// What it must hash to.
    pub checksum: Option<Digest>,
    /// The file's name; without one the server's word or the URL's last part.
    pub filename: Option<String>,
    /// Permission bits; default 0600.
    pub perm: Option<u32>,
    /// Owner; 0 is the default.
    pub uid: u32,
    /// Group; 0 is the default.
    pub gid: u32,
    /// The secret with the Authorization header's value.
    pub auth_header_secret: Option<String>,
    /// Request headers by lower-case name; BuildKit knows `accept` and `user-agent`.
    pub headers: BTreeMap<String, String>,
}

impl Http {
    /// A file by its URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// The op's result: a tree with that one file.
    pub fn output(&self, constraints: &Constraints) -> Output {
        let mut draft = Draft { caps: vec![caps::SOURCE_HTTP], ..Draft::default() };
        let owner = |id: u32| (id != 0).then_some(id);
        draft.set("http.checksum", self.checksum.as_ref(), Some(caps::SOURCE_HTTP_CHECKSUM));
        draft.set("http.filename", self.filename.as_ref(), None);
        draft.set("http.perm", self.perm.map(|p| format!("0{p:o}")), Some(caps::SOURCE_HTTP_PERM));
        draft.set("http.uid", owner(self.uid), Some(caps::SOURCE_HTTP_UID_GID));
        draft.set("http.gid", owner(self.gid), Some(caps::SOURCE_HTTP_UID_GID));
        draft.set("http.authheadersecret", self.auth_header_secret.as_ref(), Some(caps::SOURCE_HTTP_AUTH));
        for (name, value) in &self.headers {
            draft.set(&format!("http.header.{name}"), Some(value), Some(caps::SOURCE_HTTP_HEADER));
        }
        draft.output(self.url.clone(), constraints)
    }
}

/// The secret that a git source asks for by default to get a token.
pub const GIT_AUTH_TOKEN: &str = "GIT_AUTH_TOKEN";

/// The secret that a git source asks for by default to get an Authorization header.
pub const GIT_AUTH_HEADER: &str = "GIT_AUTH_HEADER";

/// A checkout of a git repository.
#[derive(Clone, Debug, Default)]
pub struct Git {
    /// `HOST/PATH`, the same for every protocol that leads there.
    pub remote: String,
    /// The URL as given.
    pub full_url: Option<String>,
    /// Branch, tag or commit; `None` is the remote's HEAD.
    pub reference: Option<String>,
    /// Only this directory.
    pub subdir: Option<String>,
    /// The commit, or a prefix of it, that `reference` must lead to.
    pub checksum: Option<String>,
    /// Keep `.git`.
    pub keep_git_dir: bool,
    /// Don't fetch submodules.
    pub skip_submodules: bool,
    /// Files get the commit's time.
    pub commit_mtime: bool,
    /// Fetch the commit named by `checksum` rather than the reference.
    pub fetch_by_commit: bool,
    /// The secret with the Authorization header's value.
    pub auth_header_secret: Option<String>,
    /// The secret with a token.
    pub auth_token_secret: Option<String>,
    /// SSH host keys, as `known_hosts` has them.
    pub known_ssh_hosts: Option<String>,
    /// The id of the SSH agent.
    pub ssh_sock: Option<String>,
}

impl Git {
    /// A repository by `HOST/PATH`.
    pub fn new(remote: impl Into<String>) -> Self {
        Self { remote: remote.into(), ..Self::default() }
    }

    /// The op's result: the checked-out tree.
    pub fn output(&self, constraints: &Constraints) -> Output {
        let mut draft = Draft { caps: vec![caps::SOURCE_GIT], ..Draft::default() };
        draft.flag("git.keepgitdir", self.keep_git_dir, Some(caps::SOURCE_GIT_KEEP_DIR));
        draft.set("git.fullurl", self.full_url.as_ref(), Some(caps::SOURCE_GIT_FULL_URL));
        // The usual names are always there; only names of one's own need an executor that knows of them.
        let own = |secret: &Option<String>, usual: &str| {
            secret.as_ref().is_some_and(|secret| secret != usual).then_some(caps::SOURCE_GIT_HTTP_AUTH)
        };
        let (token, header) = (&self.auth_token_secret, &self.auth_header_secret);
        draft.set("git.authtokensecret", token.as_ref(), own(token, GIT_AUTH_TOKEN));
        draft.set("git.authheadersecret", header.as_ref(), own(header, GIT_AUTH_HEADER));
        draft.set("git.knownsshhosts", self.known_ssh_hosts.as_ref(), Some(caps::SOURCE_GIT_KNOWN_HOSTS));
        draft.set("git.mountsshsock", self.ssh_sock.as_ref(), Some(caps::SOURCE_GIT_SSH_SOCK));
        draft.set("git.checksum", self.checksum.as_ref(), Some(caps::SOURCE_GIT_CHECKSUM));
        draft.flag("git.skipsubmodules", self.skip_submodules, Some(caps::SOURCE_GIT_SKIP_SUBMODULES));
        draft.set("git.mtime", self.commit_mtime.then_some("commit"), Some(caps::SOURCE_GIT_MTIME));
        draft.flag("git.fetchbycommit", self.fetch_by_commit, Some(caps::SOURCE_GIT_FETCH_BY_COMMIT));
        let mut identifier = format!("git://{}", self.remote);
        let (reference, subdir) =
            (self.reference.as_deref().unwrap_or_default(), self.subdir.as_deref().unwrap_or_default());
        if !reference.is_empty() || !subdir.is_empty() {
            identifier = format!("{identifier}#{reference}");
        }
        if !subdir.is_empty() {
            identifier = format!("{identifier}:{subdir}");
        }
        draft.output(identifier, constraints)
    }
}
