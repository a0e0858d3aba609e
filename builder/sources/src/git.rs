//! Git repositories, through the `git` program: find out which commit a name means, fetch it, check it out.
//!
//! Nothing is kept between two builds but host keys: a checkout is a fresh, shallow fetch of one object, so that
//! a killed build leaves no repository half-updated. Whoever calls keeps the result by its commit, and asks the
//! server only for names (`git ls-remote`). Which name wins, and what a checksum may match, is as in BuildKit
//! (`source/git/source.go`); what a server or a repository says is untrusted, see [`program`].

mod program;
mod revision;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub use revision::Revision;

use crate::Config;
use crate::error::{Error, Result};
use program::Git;

/// Why a repository can't be had. No variant holds a credential.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no `git` here, or one that is too old to be told settings by its environment.
    #[error(
        "{url} needs the program `git` (2.31 or newer): {reason}\n  apt-get install git, or hand a clone over with --build-context NAME=DIR"
    )]
    Program {
        /// The repository.
        url: String,
        /// Why it can't be used.
        reason: String,
    },
    /// Something that can't be a repository's address or a name in one.
    #[error("{what}: {reason}")]
    Malformed {
        /// The address or name.
        what: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No such branch, tag or commit.
    #[error("{url} has no branch, tag or commit `{reference}`{}", it_has(.near))]
    NoReference {
        /// The repository.
        url: String,
        /// What was asked for.
        reference: String,
        /// Names that there are, the likeliest first.
        near: Vec<String>,
    },
    /// The name leads to another commit than the checksum says.
    #[error("{url}: expected checksum to match {expected}, got {}\n  if the change is meant, give the new commit as the checksum", .got.join(" or "))]
    Checksum {
        /// The repository.
        url: String,
        /// What was asked for.
        expected: String,
        /// The object, and the commit where that is a tag.
        got: Vec<String>,
    },
    /// The program failed.
    #[error("{url}: git can't {deed}: {words}{}", .hint.map(|h| format!("\n  {h}")).unwrap_or_default())]
    Failed {
        /// The repository.
        url: String,
        /// What it was to do.
        deed: &'static str,
        /// Its last words.
        words: String,
        /// What may help.
        hint: Option<&'static str>,
    },
    /// More came than there is room for.
    #[error("{url} takes more than the {limit} bytes that a checkout may have")]
    TooLarge {
        /// The repository.
        url: String,
        /// The bound.
        limit: u64,
    },
    /// The caller wants no more of it.
    #[error("interrupted")]
    Interrupted,
}

fn it_has(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("\n  it has: {}", names.join(", ")) }
}

/// A repository, and what it takes to get in.
#[derive(Clone)]
pub struct Remote {
    /// `https://…`, `http://…`, `git://…`, `ssh://…`, or `user@host:path`.
    pub url: String,
    /// The value of an `Authorization` header, for this repository only (and for all of github.com if it is there).
    pub authorization: Option<String>,
    /// The socket of an ssh agent.
    pub agent: Option<PathBuf>,
    /// Host keys as `known_hosts` has them; without them, a host's first key is trusted and kept.
    pub known_hosts: Option<String>,
}

impl Remote {
    /// A repository without anything.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), authorization: None, agent: None, known_hosts: None }
    }

    /// The URL without user and password of HTTP, and without a query.
    pub fn shown(&self) -> String {
        let text = match self.url.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => {
                let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
                let start = authority.rfind('@').map_or(0, |at| at + 1);
                format!("{scheme}://{}", &rest[start..])
            }
            _ => self.url.clone(),
        };
        crate::http::clean(&text)
    }
}

/// What of a revision is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkout {
    /// `.git` stays, with the history of one commit.
    pub keep_git_dir: bool,
    /// Submodules too, all the way down.
    pub submodules: bool,
}

/// Fetches repositories.
#[derive(Debug)]
pub struct GitSource {
    config: Config,
    /// What names meant, so that one build sees one state of a repository.
    known: Mutex<HashMap<(String, String), Revision>>,
}

impl GitSource {
    /// A source that keeps host keys in `config.cache`.
    pub fn new(config: &Config) -> Self {
        Self { config: config.clone(), known: Mutex::default() }
    }

    /// What a branch, tag or commit id means now; an empty name is the default branch. A commit id is taken at its
    /// word without asking. `checksum` is the object's or commit's id, or the start of it. `stop` is asked often.
    pub fn resolve(
        &self,
        remote: &Remote,
        reference: &str,
        checksum: Option<&str>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Revision> {
        revision::check_name(reference)?;
        if let Some(sum) = checksum.filter(|sum| sum.is_empty() || !sum.bytes().all(|b| b.is_ascii_hexdigit())) {
            let reason = "a checksum of a git repository is a commit's id, or the start of one, in hexadecimal";
            return Err(GitError::Malformed { what: sum.into(), reason }.into());
        }
        let key = (remote.url.clone(), reference.to_string());
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known().get(&key).cloned();
        let revision = match found {
            Some(revision) => revision,
            None if revision::is_commit(reference) => Revision::of_commit(reference),
            None => {
                let git = self.program(remote, stop)?;
                let listed = match reference {
                    "" => git.run("list its branches", None, &["ls-remote", "--symref", "--", "origin", "HEAD"])?,
                    name => {
                        let peeled = format!("{name}^{{}}");
                        git.run("list its branches and tags", None, &["ls-remote", "--", "origin", name, &peeled])?
                    }
                };
                match Revision::choose(&listed, reference) {
                    Some(revision) => revision,
                    None => return Err(self.missing(&git, remote, reference)?.into()),
                }
            }
        };
        if let Some(sum) = checksum {
            let ids = [Some(&revision.object), revision.commit.as_ref()].into_iter().flatten();
            let ids: Vec<String> = ids.cloned().collect();
            if !ids.iter().any(|id| id.starts_with(&sum.to_ascii_lowercase())) {
                return Err(GitError::Checksum { url: remote.shown(), expected: sum.into(), got: ids }.into());
            }
        }
        known().insert(key, revision.clone());
        Ok(revision)
    }

    fn missing(&self, git: &Git, remote: &Remote, reference: &str) -> Result<GitError> {
        let all = git.run("list its branches and tags", None, &["ls-remote", "--heads", "--tags", "--", "origin"])?;
        let near = revision::nearest(&all, reference);
        Ok(GitError::NoReference { url: remote.shown(), reference: reference.into(), near })
    }

    /// Fetches a revision and checks it out into `dir/tree`; `dir` is an empty directory that the caller owns, and
    /// more may be left beside. Gives the commit's time, in seconds since 1970.
    pub fn checkout(
        &self,
        remote: &Remote,
        revision: &Revision,
        wanted: &Checkout,
        dir: &Path,
        stop: &dyn Fn() -> bool,
    ) -> Result<i64> {
        let tree = dir.join("tree");
        let repository = if wanted.keep_git_dir { tree.join(".git") } else { dir.join("repository") };
        fs::create_dir(&tree).map_err(Error::file(&tree, "create"))?;
        let git = self.program(remote, stop)?.within(dir, &repository, &tree);
        let format = if revision.object.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
        // no template: it could have hooks
        git.run("start a repository", None, &["init", "--quiet", "--template=", format])?;
        self.fetch(&git, remote, revision)?;
        // The tree of whatever was fetched: of a tag that is its commit's.
        let commit = format!("{}^{{commit}}", revision.object);
        git.run("check the files out", None, &["checkout", "--quiet", "--force", "--detach", &commit])?;
        if wanted.submodules && fs::symlink_metadata(tree.join(".gitmodules")).is_ok() {
            let update = ["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"];
            if git.run("fetch the submodules", None, &update).is_err() {
                // a server that can't do shallow fetches, or not of this commit
                git.run("fetch the submodules", None, &update[..update.len() - 1])?;
            }
        }
        let time = git.run("read the commit", None, &["show", "--no-patch", "--format=%ct", &commit])?;
        if wanted.keep_git_dir {
            git.run(
                "write its settings",
                None,
                &["config", "--file", &git.config_file(), "remote.origin.url", &remote.shown()],
            )?;
            for name in ["FETCH_HEAD", "logs"] {
                let path = repository.join(name);
                let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            }
        }
        time.trim().parse().map_err(|_| Error::malformed(remote.shown(), "the commit has no time"))
    }

    /// Gets the object by its id: so it can't be another one than was resolved, whatever happened to the name since.
    /// Servers that give out named objects only are asked for the name, then for all; the id still decides.
    fn fetch(&self, git: &Git, remote: &Remote, revision: &Revision) -> Result<()> {
        let id = &revision.object;
        let by_id = match &revision.name {
            Some(name) => format!("+{id}:{name}"),
            None => id.clone(),
        };
        let by_name = revision.name.as_ref().map(|name| format!("+{name}:{name}"));
        let mut attempts = vec![vec!["--depth=1", "--no-tags", "origin", &by_id]];
        attempts.extend(by_name.iter().map(|name| vec!["--depth=1", "--no-tags", "origin", name]));
        attempts.extend(by_name.iter().map(|name| vec!["--no-tags", "origin", name]));
        attempts.push(vec!["--tags", "origin", "+refs/heads/*:refs/heads/*"]);
        let object = format!("{id}^{{commit}}");
        let mut failure = None;
        for attempt in attempts {
            let args: Vec<&str> = ["fetch", "--quiet", "--update-head-ok"].into_iter().chain(attempt).collect();
            match git.run("fetch it", None, &args) {
                Ok(_) if git.run("find the commit", None, &["cat-file", "-e", &object]).is_ok() => return Ok(()),
                Ok(_) => {}
                Err(Error::Git(error)) if error.is_about_what_may_be_asked_for() => failure = Some(error),
                Err(other) => return Err(other),
            }
        }
        let gone = || GitError::NoReference { url: remote.shown(), reference: id.clone(), near: Vec::new() };
        Err(match failure {
            Some(error) if revision.name.is_some() => Error::Git(error),
            _ => gone().into(),
        })
    }

    fn program<'a>(&'a self, remote: &'a Remote, stop: &'a dyn Fn() -> bool) -> Result<Git<'a>> {
        revision::check_url(&remote.url)?;
        Git::new(&self.config, remote, stop)
    }
}

impl GitError {
    /// Whether a server refused this way of asking, and another may do (git's `upload-pack.c`, `fetch-pack.c`,
    /// `remote-curl.c`).
    fn is_about_what_may_be_asked_for(&self) -> bool {
        const WORDS: [&str; 4] = ["not our ref", "unadvertised object", "--depth", "shallow"];
        matches!(self, Self::Failed { words, .. } if WORDS.iter().any(|w| words.contains(w)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_has_no_secret() {
        for (url, want) in [
            ("https://me:hunter2@h:8443/p@x.git", "https://h:8443/p@x.git"),
            ("https://h/p.git", "https://h/p.git"),
            ("ssh://git@h/p", "ssh://git@h/p"),
            ("git@h:p", "git@h:p"),
        ] {
            assert_eq!(Remote::new(url).shown(), want);
        }
    }
}
