//! Source ops: images out of registries and local stores, build contexts, files of the web.

use std::{os::unix::ffi::OsStrExt, sync::Arc};

use routerpack_files::pattern::Matcher;
use routerpack_graph::{Digest, Platform, pb};
use routerpack_rootfs::{
    Stratum,
    scan::{self, Owners, ScanOptions, Verdict},
};
use routerpack_sources::{PullPolicy, Reference};

use crate::{
    error::Cause,
    executor::{Executor, parse_platform},
    request::Local,
    rootfs::{Part, Rootfs},
};

/// How the temporary names of an output go on (routerpack-targets).
const TEMPORARY: &[u8] = b".tmp-";

/// The rootfs of a source.
pub fn load(executor: &Executor, op: &pb::Op, source: &pb::SourceOp) -> Result<Rootfs, Cause> {
    let platform = parse_platform(op, &executor.ground.host.platform);
    let (scheme, rest) = source
        .identifier
        .split_once("://")
        .ok_or_else(|| Cause::Unsupported(format!("`{}` is no source", source.identifier)))?;
    match scheme {
        "docker-image" => image(executor, rest, &platform),
        "oci-layout" => stored(executor, rest, &platform),
        "local" => local(executor, rest, source),
        "http" | "https" | "git" => Err(Cause::Unsupported(format!("{scheme} sources are not supported yet: {}", source.identifier))),
        other => Err(Cause::Unsupported(format!("unknown kind of source: {other}"))),
    }
}

fn image(executor: &Executor, name: &str, platform: &Platform) -> Result<Rootfs, Cause> {
    let reference = Reference::parse(name).map_err(routerpack_sources::Error::from)?;
    // The frontend has asked the registry already, if it was to be asked, and pinned the digest.
    let policy = if reference.digest().is_some() { PullPolicy::Missing } else { executor.request.pull };
    Ok(executor.image(&executor.registry.image(&reference, platform, policy)?))
}

fn stored(executor: &Executor, name: &str, platform: &Platform) -> Result<Rootfs, Cause> {
    let (store, digest) = name
        .split_once('@')
        .and_then(|(store, digest)| Some((store, Digest::parse(digest).ok()?)))
        .ok_or_else(|| Cause::Unsupported(format!("`oci-layout://{name}` has no digest")))?;
    let found = executor.request.stores.get(store);
    let found = found.ok_or_else(|| Cause::Unsupported(format!("no local store has the name `{store}`")))?;
    Ok(executor.image(&found.image(None, Some(&digest), platform)?))
}

fn local(executor: &Executor, name: &str, source: &pb::SourceOp) -> Result<Rootfs, Cause> {
    let local = executor.request.locals.get(name);
    let local = local.ok_or_else(|| Cause::Unsupported(format!("no build context has the name `{name}`")))?;
    let patterns = |key: &str| -> Result<Vec<String>, Cause> {
        match source.attrs.get(key) {
            None => Ok(Vec::new()),
            Some(json) => serde_json::from_str(json).map_err(|_| Cause::Unsupported(format!("{key} of a local source is no list"))),
        }
    };
    // What the frontend knows of the ignore file, or else what the program does.
    let excludes = match patterns("local.excludepatterns")? {
        given if given.is_empty() => local.excludes.clone(),
        given => given,
    };
    Ok(Rootfs::new(vec![Part::Live(scanned(local, &excludes)?)]))
}

/// A directory as a stratum: owners are root, as in every build context (BuildKit, `session/filesync`).
fn scanned(local: &Local, excludes: &[String]) -> Result<Stratum, Cause> {
    let what = || format!("the context {}", local.dir.display());
    let matcher = Matcher::new(excludes).map_err(Cause::rootfs(what()))?;
    let never: Vec<Vec<u8>> =
        local.never.iter().filter_map(|p| p.strip_prefix(&local.dir).ok()).map(|p| p.as_os_str().as_bytes().to_vec()).collect();
    let is_output = |path: &[u8]| {
        never.iter().any(|n| path.strip_prefix(&n[..]).is_some_and(|rest| rest.is_empty() || rest.starts_with(TEMPORARY)))
    };
    let mut filter = |path: &[u8], is_dir: bool| {
        if is_output(path) {
            return Verdict::Skip;
        }
        match matcher.matches(path) {
            false => Verdict::Keep,
            // A negated pattern may bring back something inside.
            true if is_dir && matcher.has_negation() => Verdict::Descend,
            true => Verdict::Skip,
        }
    };
    let options = ScanOptions { owners: Owners::Root, filter: Some(&mut filter), ..ScanOptions::default() };
    let index = scan::scan(&local.dir, options).map_err(Cause::rootfs(what()))?;
    Ok(Stratum::Dir { root: local.dir.clone(), index: Arc::new(index) })
}
