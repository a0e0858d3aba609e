//! A git source: the tree of a commit, kept by the commit's id.

use std::{fs, os::unix::ffi::OsStrExt, path::Path};

use routerpack_graph::{Digest, pb};
use routerpack_rootfs::{
    Entry, Index, Kind, Mtime, Stratum, Tree,
    scan::{self, Owners, ScanOptions},
};
use routerpack_sources::{Checkout, Error, GitError, Remote, Revision};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::secret::{basic, header};
use crate::{
    error::Cause,
    executor::Executor,
    rootfs::{Rootfs, StratumId},
    strata::Name,
};

/// Raised when what is made of a commit changes.
const VERSION: &str = "git checkout 1";

/// What a source op asks for (BuildKit `solver/pb/attr.go`, `source/git/identifier.go`).
struct Asked {
    remote: Remote,
    reference: String,
    subdir: String,
    checksum: Option<String>,
    wanted: Checkout,
    commit_mtime: bool,
    by_commit: bool,
}

/// The rootfs of a git source.
pub fn load(executor: &Executor, source: &pb::SourceOp) -> Result<Rootfs, Cause> {
    let asked = read(executor, source)?;
    let interrupt = &executor.request.interrupt;
    let stop = || interrupt.is_raised();
    let cause = |error: Error| match error {
        Error::Git(GitError::Interrupted) => Cause::Interrupted,
        other => other.into(),
    };
    let checksum = asked.checksum.as_deref();
    let revision = match checksum {
        Some(commit) if asked.by_commit => executor.git.resolve(&asked.remote, commit, checksum, &stop),
        _ => executor.git.resolve(&asked.remote, &asked.reference, checksum, &stop),
    };
    let revision = revision.map_err(cause)?;
    let id = name(&asked, &revision);
    let kept = StratumId::Snapshot(id.clone());
    let lock = executor.strata().cache().lock(&format!("git-{}", id.hex()));
    let _lock = lock.map_err(Cause::io("lock a checkout"))?;
    if !executor.strata().has(&kept) {
        let cache = executor.strata().cache();
        let work = cache.temp_dir().map_err(Cause::io("make a folder in the cache"))?;
        let made = executor.git.checkout(&asked.remote, &revision, &asked.wanted, &work, &stop).map_err(cause);
        let kept = made.and_then(|time| keep(executor, &asked, &work, time, id));
        // Else the next run clears it.
        let _ = fs::remove_dir_all(&work);
        kept?;
    }
    Ok(Rootfs::kept([kept]))
}

fn read(executor: &Executor, source: &pb::SourceOp) -> Result<Asked, Cause> {
    let attr = |key: &str| source.attrs.get(key).map(String::as_str).filter(|value| !value.is_empty());
    let flag = |key: &str| attr(key) == Some("true");
    let rest = source.identifier.strip_prefix("git://").unwrap_or(&source.identifier);
    let (place, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
    let url = attr("git.fullurl").map_or_else(|| format!("https://{place}"), str::to_string);
    let subdir = subdir.trim_matches('/').to_string();
    let mut remote = Remote::new(url);
    if let Some(keys) = attr("git.knownsshhosts") {
        let file = executor.strata().cache().temp_path();
        fs::write(&file, keys).map_err(Cause::io("write host keys"))?;
        remote.known_hosts = Some(file);
    }
    if let Some(id) = attr("git.mountsshsock") {
        let agent = executor.request.ssh.get(id).cloned();
        let missing = || {
            let shown = remote.shown();
            Cause::Unsupported(format!(
                "{shown} is reached by ssh, and no agent was handed over\n  start one (`eval $(ssh-agent); ssh-add`), and add --ssh {id}"
            ))
        };
        remote.agent = Some(agent.ok_or_else(missing)?);
    } else {
        // More particular secrets come first (BuildKit `source/git/source.go`, `authSecretNames`).
        let host = super::host(&remote.url);
        for suffix in [format!(".{host}"), String::new()] {
            let named = |key: &str| attr(key).map(|name| format!("{name}{suffix}"));
            remote.authorization = match header(executor, named("git.authheadersecret"))? {
                None => header(executor, named("git.authtokensecret"))?.map(|token| basic("x-access-token", &token)),
                found => found,
            };
            if remote.authorization.is_some() {
                break;
            }
        }
    }
    Ok(Asked {
        remote,
        reference: reference.to_string(),
        checksum: attr("git.checksum").map(str::to_string),
        // Of a part of the tree there is no repository (BuildKit's rule).
        wanted: Checkout {
            keep_git_dir: flag("git.keepgitdir") && subdir.is_empty(),
            submodules: !flag("git.skipsubmodules"),
        },
        subdir,
        commit_mtime: attr("git.mtime") == Some("commit"),
        by_commit: flag("git.fetchbycommit"),
    })
}

/// All that the result depends on.
fn name(asked: &Asked, revision: &Revision) -> Digest {
    let mut text =
        format!("{VERSION}\n{}\n{}\n{:?}\n{}", revision.id(), asked.subdir, asked.wanted, asked.commit_mtime);
    if asked.wanted.keep_git_dir {
        text += &format!("\n{}\n{}\n{:?}", asked.remote.shown(), revision.object, revision.name);
    }
    Digest::of(text.as_bytes())
}

/// Keeps the checkout in `work/tree`, or a directory of it, as a snapshot.
fn keep(executor: &Executor, asked: &Asked, work: &Path, time: i64, id: Digest) -> Result<(), Cause> {
    let what = || format!("the checkout of {}", asked.remote.shown());
    let root = directory(asked, &work.join("tree"))?;
    let temp = executor.strata().cache().temp_dir().map_err(Cause::io("make a folder in the cache"))?;
    let to = temp.join("fs");
    fs::rename(root, &to).map_err(Cause::io(format!("move {}", what())))?;
    executor.ground.open_to_all(&to)?;
    let index = index(&to)?;
    let mut entries = index.into_entries();
    for entry in &mut entries {
        settle(&to, entry, asked.commit_mtime.then_some(time)).map_err(Cause::io(format!("prepare {}", what())))?;
    }
    let what =
        format!("{} of {}", if asked.reference.is_empty() { "HEAD" } else { &asked.reference }, asked.remote.shown());
    executor.strata().keep(&temp, Index::new(entries), &Name { id, what, by_name: true })?;
    Ok(())
}

fn index(dir: &Path) -> Result<Index, Cause> {
    let options = ScanOptions { owners: Owners::Root, ..ScanOptions::default() };
    scan::scan(dir, options).map_err(Cause::rootfs("a checkout can't be read"))
}

/// The directory that was asked for. Links of the repository lead nowhere but into it.
fn directory(asked: &Asked, tree: &Path) -> Result<std::path::PathBuf, Cause> {
    if asked.subdir.is_empty() {
        return Ok(tree.to_path_buf());
    }
    let stratum = Stratum::Dir { root: tree.to_path_buf(), index: index(tree)?.into() };
    let merged = Tree::new(vec![stratum]).map_err(Cause::rootfs("a checkout can't be read"))?;
    let found = merged.resolve(asked.subdir.as_bytes(), true).ok();
    let found = found.filter(|p| p.is_empty() || merged.index.get(p).is_some_and(|e| e.kind == Kind::Dir));
    let path = found.ok_or_else(|| {
        let at = if asked.reference.is_empty() { String::new() } else { format!(" at `{}`", asked.reference) };
        Cause::Unsupported(format!("{} has no directory `{}`{at}", asked.remote.shown(), asked.subdir))
    })?;
    Ok(tree.join(std::ffi::OsStr::from_bytes(&path)))
}

/// Modes as git has them in a commit, 644 and 755, whatever the umask; and the commit's time, if that is wanted.
fn settle(root: &Path, entry: &mut Entry, time: Option<i64>) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let path = root.join(std::ffi::OsStr::from_bytes(&entry.path));
    if entry.kind != Kind::Symlink {
        // as with the umask 022; git's own objects can't be written to
        entry.mode = match () {
            () if entry.kind == Kind::Dir || entry.mode & 0o100 != 0 => 0o755,
            () if entry.mode & 0o200 != 0 => 0o644,
            () => 0o444,
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode.into()))?;
    }
    if let Some(secs) = time {
        entry.mtime = Mtime { secs, nanos: 0 };
        let at = Timespec { tv_sec: secs, tv_nsec: 0 };
        utimensat(CWD, &path, &Timestamps { last_access: at, last_modification: at }, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}
