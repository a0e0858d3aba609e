//! Source ops: images out of registries and local stores, build contexts, files of the web.

use routerpack_graph::{Digest, Platform, pb};
use routerpack_rootfs::{Stratum, scan};
use routerpack_sources::{PullPolicy, Reference};

use crate::{
    error::Cause,
    executor::{Executor, parse_platform},
    request::Local,
    rootfs::{Part, Rootfs},
};

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
    let mut excludes = local.excludes.clone();
    excludes.extend(patterns("local.excludepatterns")?);
    let includes = patterns("local.includepattern")?;
    Ok(Rootfs::new(vec![Part::Live(scanned(local, &excludes, &includes)?)]))
}

/// A directory as a stratum: owners are root, as in every build context (BuildKit, `session/filesync`).
fn scanned(local: &Local, excludes: &[String], includes: &[String]) -> Result<Stratum, Cause> {
    let what = || format!("the context {}", local.dir.display());
    let matcher = routerpack_files::pattern::ContextFilter::new(excludes, includes).map_err(Cause::rootfs(what()))?;
    let never: Vec<Vec<u8>> = local
        .never
        .iter()
        .filter_map(|p| p.strip_prefix(&local.dir).ok())
        .map(|p| std::os::unix::ffi::OsStrExt::as_bytes(p.as_os_str()).to_vec())
        .collect();
    let filter = |path: &[u8], is_dir: bool| match never.iter().any(|n| n == path) {
        true => scan::Verdict::Skip,
        false => matcher.verdict(path, is_dir),
    };
    let settings = scan::Settings { owners: scan::Owners::Root, filter: Some(&filter), ..scan::Settings::default() };
    let report = scan::scan(&local.dir, &settings).map_err(Cause::rootfs(what()))?;
    Ok(Stratum::Dir { root: local.dir.clone(), index: std::sync::Arc::new(report.index) })
}
