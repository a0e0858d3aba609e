//! Contexts that are not on this machine: which op they are, and a look into them before the build.

use std::{collections::BTreeMap, io::Read, path::PathBuf, sync::Arc};

use routerpack_builder::{Builder, Interrupt, Local, Request, Secret};
use routerpack_frontends::dockerfile::lower::git_source;
use routerpack_graph::{
    Constraints, Definition, Output,
    file::{Action, CopyOptions, FileOp},
    pb,
    source::{self, Http},
};
use routerpack_rootfs::{Kind, Tree};
use routerpack_sources::{PullPolicy, Remote, is_archive};

use crate::{blame, context::SPOOLED, failure::Failure};

/// The name of a context that is one file (BuildKit `frontend/dockerui/context.go`, `DetectHTTPContext`).
pub const FILE: &str = "context";

/// As much of a file as tells an archive from a Dockerfile.
pub const HEAD: u64 = 1024;

/// Fetches contexts, by the builder's own means: what it has looked at is in the cache when the build needs it.
pub struct Fetcher {
    /// Does the work.
    pub builder: Arc<Builder>,
    /// Tokens for repositories and downloads.
    pub secrets: BTreeMap<String, Secret>,
    /// Agents for repositories.
    pub ssh: BTreeMap<String, PathBuf>,
    /// When a server is asked.
    pub pull: PullPolicy,
    /// Stops it.
    pub interrupt: Arc<Interrupt>,
}

/// What a context's file turned out to be.
pub enum Fetched {
    /// An archive, unpacked.
    Archive(Output),
    /// Another file, under the name [`FILE`].
    File(Output),
}

impl Fetcher {
    /// The rootfs of an op, made or out of the cache.
    pub fn tree(&self, output: &Output, locals: BTreeMap<String, Local>) -> Result<Arc<Tree>, Failure> {
        let request = Request {
            locals,
            secrets: self.secrets.clone(),
            ssh: self.ssh.clone(),
            pull: self.pull,
            interrupt: self.interrupt.clone(),
            ..Request::new(Definition::of(Some(output)))
        };
        let built = self.builder.build(&request).map_err(|e| Failure::of(vec![blame::placeless(&e)]))?;
        self.builder.strata.tree(&built.rootfs).map_err(Failure::new)
    }

    /// The op for a file of the web. It is fetched, since only its content says what it is.
    pub fn download(&self, url: &str, name: Option<&str>) -> Result<Fetched, Failure> {
        let http = Http { filename: Some(FILE.into()), ..Http::new(url) };
        let file = http.output(&named(name, "load remote build context"));
        let tree = self.tree(&file, BTreeMap::new())?;
        let head = head(&tree).map_err(|e| Failure::new(format!("{}: {e}", Remote::new(url).shown())))?;
        Ok(match is_archive(&head) {
            true => Fetched::Archive(unpacked(file, name)?),
            false => Fetched::File(file),
        })
    }

    /// When a source was last changed (BuildKit `dockerfile2llb/epoch.go`, `resolveSourceDateEpochFromState`): a
    /// repository when its commit was made; a file of the web when its server says; and without such a word, or out of
    /// standard input, an archive with its newest file.
    pub fn changed(&self, source: &pb::SourceOp, locals: &BTreeMap<String, Local>) -> Result<Option<i64>, Failure> {
        let mut source = source.clone();
        let (scheme, place) = source.identifier.split_once("://").unwrap_or_default();
        let output = |source| source::output(source, &named(None, "look up SOURCE_DATE_EPOCH"));
        match scheme {
            "git" => {
                source.attrs.remove("git.keepgitdir");
                source.attrs.insert("git.mtime".into(), "commit".into());
                let tree = self.tree(&output(source), BTreeMap::new())?;
                Ok(tree.index.entries().iter().map(|entry| entry.mtime.secs).max())
            }
            "local" if place != SPOOLED => Ok(None),
            "http" | "https" | "local" => {
                let is_download = scheme != "local";
                if is_download {
                    source.attrs.insert("http.filename".into(), FILE.into());
                }
                let shown = Remote::new(source.identifier.clone()).shown();
                let file = output(source);
                let tree = self.tree(&file, locals.clone())?;
                let told = tree.index.get(FILE.as_bytes()).map(|entry| entry.mtime.secs);
                if let Some(time) = told.filter(|time| is_download && *time != 0) {
                    return Ok(Some(time));
                }
                if !is_archive(&head(&tree).map_err(|e| Failure::new(format!("{shown}: {e}")))?) {
                    return Ok(None);
                }
                let tree = self.tree(&unpacked(file, None)?, locals.clone())?;
                let files = tree.index.entries().iter().filter(|entry| entry.kind == Kind::File);
                Ok(files.map(|entry| entry.mtime.secs).max())
            }
            _ => Ok(None),
        }
    }
}

/// The op for a repository; none if the text means something else.
pub fn git(text: &str, name: Option<&str>, keep_git_dir: bool, commit_mtime: bool) -> Option<Result<Output, String>> {
    let parsed = git_source(text, keep_git_dir, commit_mtime)?;
    Some(parsed.map(|git| {
        // Without what may be a password in the URL.
        let shown = Remote::new(git.full_url.as_deref().unwrap_or(&git.remote)).shown();
        let reference = git.reference.as_ref().map(|r| format!("#{r}")).unwrap_or_default();
        git.output(&named(name, &format!("load git source {shown}{reference}")))
    }))
}

/// Whether a context is a repository that is reached by ssh: then the user's agent is handed over unasked, as buildx
/// does it.
pub fn is_git_over_ssh(text: &str) -> bool {
    matches!(git_source(text, false, false), Some(Ok(source::Git { ssh_sock: Some(_), .. })))
}

/// The contents of an archive that is the file [`FILE`] of another op.
pub fn unpacked(file: Output, name: Option<&str>) -> Result<Output, Failure> {
    let options = CopyOptions { unpack: true, create_dest_path: true, ..CopyOptions::default() };
    copy(file, &format!("/{FILE}"), options, named(name, "unpack build context"))
}

/// The first bytes of the file [`FILE`].
fn head(tree: &Tree) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    if let Some(entry) = tree.index.get(FILE.as_bytes()).filter(|entry| entry.kind == Kind::File) {
        tree.content(entry)?.reader().take(HEAD).read_to_end(&mut head)?;
    }
    Ok(head)
}

fn copy(from: Output, src: &str, options: CopyOptions, constraints: Constraints) -> Result<Output, Failure> {
    let action =
        Action::Copy { from: Some(from).into(), src: src.into(), dest: "/".into(), options: Box::new(options) };
    FileOp::on(None).then(action).output(&constraints).map_err(Failure::new)
}

fn named(name: Option<&str>, title: &str) -> Constraints {
    Constraints::default().named(match name {
        Some(name) => format!("[context {name}] {title}"),
        None => format!("[internal] {title}"),
    })
}
