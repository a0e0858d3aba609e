//! Source ops: images out of registries and local stores, build contexts, files of the web, git repositories.

mod git;
mod secret;

use std::{os::unix::ffi::OsStrExt, sync::Arc};

use routerpack_files::{self as files, pattern::Matcher};
use routerpack_graph::{Digest, Platform, pb};
use routerpack_rootfs::{
    Entry, Index, Kind, Mtime, Stratum, path,
    scan::{self, Owners, ScanOptions, Verdict},
};
use routerpack_sources::{PullPolicy, Reference};

use crate::{
    error::Cause,
    executor::{Executor, platform_of},
    hybrid::Origin,
    request::Local,
    rootfs::{Part, Rootfs, StratumId},
    strata::Name,
};

/// How the temporary names of an output go on (routerpack-targets).
const TEMPORARY: &[u8] = b".tmp-";

/// A download may be this large, in bytes.
const MAX_DOWNLOAD: u64 = 16 << 30;

/// The rootfs of a source.
pub fn load(executor: &Executor, op: &pb::Op, source: &pb::SourceOp) -> Result<Rootfs, Cause> {
    let platform = platform_of(op, &executor.ground.host.platform);
    let (scheme, rest) = source
        .identifier
        .split_once("://")
        .ok_or_else(|| Cause::Unsupported(format!("`{}` is no source", source.identifier)))?;
    match scheme {
        "docker-image" => image(executor, rest, &platform),
        "oci-layout" => stored(executor, rest, &platform),
        "local" => local(executor, rest, source),
        "http" | "https" => http(executor, source),
        "git" => git::load(executor, source),
        other => Err(Cause::Unsupported(format!("unknown kind of source: {other}"))),
    }
}

fn image(executor: &Executor, name: &str, platform: &Platform) -> Result<Rootfs, Cause> {
    let reference = Reference::parse(name).map_err(routerpack_sources::Error::from)?;
    // The frontend has asked the registry already, if it was to be asked, and pinned the digest.
    let policy = if reference.digest().is_some() { PullPolicy::Missing } else { executor.request.pull };
    let image = executor.registry.image(&reference, platform, policy)?;
    if let Some(hybrid) = &executor.hybrid {
        let pinned = reference.with_digest(&image.root_digest);
        hybrid.offer(&image, Origin::Registry(executor.registry.clone(), pinned));
    }
    Ok(executor.image(&image))
}

fn stored(executor: &Executor, name: &str, platform: &Platform) -> Result<Rootfs, Cause> {
    // A store goes by the name of the context that it is, which may have a digest itself.
    let (store, digest) = name
        .rsplit_once('@')
        .and_then(|(store, digest)| Some((store, Digest::parse(digest).ok()?)))
        .ok_or_else(|| Cause::Unsupported(format!("`oci-layout://{name}` has no digest")))?;
    let found = executor.request.stores.get(store);
    let found = found.ok_or_else(|| Cause::Unsupported(format!("no local store has the name `{store}`")))?;
    let image = found.image(None, Some(&digest), platform)?;
    if let Some(hybrid) = &executor.hybrid {
        hybrid.offer(&image, Origin::Store(found.clone(), image.digest.clone()));
    }
    Ok(executor.image(&image))
}

/// A file of the web: mode 0600 unless said otherwise, its time from the server (BuildKit, `source/http`).
fn http(executor: &Executor, source: &pb::SourceOp) -> Result<Rootfs, Cause> {
    let attr = |key: &str| source.attrs.get(key).map(String::as_str);
    let bad = |key: &str| Cause::Unsupported(format!("{}: {key} can't be read", source.identifier));
    let checksum =
        attr("http.checksum").map(|c| Digest::parse(c).map_err(routerpack_sources::Error::from)).transpose()?;
    let number = |key: &str| attr(key).map(|v| v.parse::<u32>().map_err(|_| bad(key))).transpose();
    let mode = attr("http.perm").map(|v| u16::from_str_radix(v, 8).map_err(|_| bad("http.perm"))).transpose()?;
    let authorization = authorization(executor, source)?;
    let got = executor.web.fetch(
        &source.identifier,
        checksum.as_ref(),
        executor.request.pull,
        MAX_DOWNLOAD,
        authorization.as_deref(),
        None,
    )?;
    let name = attr("http.filename").unwrap_or(&got.name);
    if !routerpack_rootfs::path::is_clean(name.as_bytes()) || name.contains('/') {
        return Err(Cause::Unsupported(format!("{}: `{name}` is no file's name", source.identifier)));
    }
    let entry = Entry {
        uid: number("http.uid")?.unwrap_or(0),
        gid: number("http.gid")?.unwrap_or(0),
        size: got.size,
        mtime: Mtime { secs: got.mtime().unwrap_or(0), nanos: 0 },
        ..Entry::new(name.as_bytes(), Kind::File, mode.unwrap_or(0o600) & 0o7777)
    };
    let id = Digest::of(format!("download {entry:?} {}", got.digest).as_bytes());
    let kept = StratumId::Snapshot(id.clone());
    if !executor.strata().has(&kept) {
        let temp = executor.strata().cache().temp_dir().map_err(Cause::io("make a folder in the cache"))?;
        let dir = temp.join("fs");
        let blob = executor.web.blobs().path(&got.digest);
        std::fs::create_dir(&dir)
            .and_then(|()| std::fs::copy(&blob, dir.join(name)))
            .map_err(Cause::io(format!("keep {}", source.identifier)))?;
        let what = format!("{name} of {}", host(&source.identifier));
        executor.strata().keep(&temp, Index::new(vec![entry]), &Name { id, what, by_name: true })?;
    }
    Ok(Rootfs::kept([kept]))
}

/// The header for a download: of the secret that the op names, or else those of its host (BuildKit `source/http`).
fn authorization(executor: &Executor, source: &pb::SourceOp) -> Result<Option<String>, Cause> {
    if let Some(name) = source.attrs.get("http.authheadersecret") {
        return secret::header(executor, Some(name.clone()));
    }
    let host = host(&source.identifier);
    if let Some(header) = secret::header(executor, Some(format!("HTTP_AUTH_HEADER_{host}")))? {
        return Ok(Some(header));
    }
    let token = secret::header(executor, Some(format!("HTTP_AUTH_TOKEN_{host}")))?;
    Ok(token.map(|token| format!("Bearer {token}")))
}

/// `host[:port]` of a URL.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    authority.rsplit('@').next().unwrap_or(authority)
}

fn local(executor: &Executor, name: &str, source: &pb::SourceOp) -> Result<Rootfs, Cause> {
    let local = executor.request.locals.get(name);
    let local = local.ok_or_else(|| Cause::Unsupported(format!("no build context has the name `{name}`")))?;
    let patterns = |key: &str| -> Result<Vec<String>, Cause> {
        match source.attrs.get(key) {
            None => Ok(Vec::new()),
            Some(json) => serde_json::from_str(json)
                .map_err(|_| Cause::Unsupported(format!("{key} of a local source is no list"))),
        }
    };
    // What the frontend knows of the ignore file, or else what the program does.
    let excludes = match patterns("local.excludepatterns")? {
        given if given.is_empty() => local.excludes.clone(),
        given => given,
    };
    let wanted = Wanted::new(&patterns("local.followpaths")?);
    let mut stratum = scanned(executor, local, &excludes, &wanted)?;
    if !wanted.suffices(stratum.index()) {
        stratum = scanned(executor, local, &excludes, &Wanted::new(&[]))?;
    }
    Ok(Rootfs::new(vec![Part::Live(stratum)]))
}

/// The paths of a context that its graph uses, so that the rest need not be looked at (BuildKit's
/// `local.followpaths`). None: all of it.
struct Wanted(Vec<Vec<u8>>);

impl Wanted {
    fn new(paths: &[String]) -> Self {
        let plain =
            |p: &String| path::clean(p.as_bytes()).ok().filter(|p| !p.is_empty() && !files::glob::has_wildcard(p));
        Self(paths.iter().map(plain).collect::<Option<_>>().unwrap_or_default())
    }

    /// A link may lead anywhere in the context; and where something is missing, the names beside it help.
    fn suffices(&self, index: &Index) -> bool {
        let linked = || index.entries().iter().any(|e| e.kind == Kind::Symlink);
        self.is_all() || self.0.iter().all(|w| index.get(w).is_some()) && !linked()
    }

    fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    fn verdict(&self, path: &[u8]) -> Verdict {
        let inside = |p: &[u8], dir: &[u8]| p == dir || p.strip_prefix(dir).is_some_and(|rest| rest.starts_with(b"/"));
        match () {
            () if self.is_all() || self.0.iter().any(|w| inside(path, w)) => Verdict::Keep,
            () if self.0.iter().any(|w| inside(w, path)) => Verdict::Descend,
            () => Verdict::Skip,
        }
    }
}

/// A directory as a stratum: owners are root, as in every build context (BuildKit, `session/filesync`).
fn scanned(executor: &Executor, local: &Local, excludes: &[String], wanted: &Wanted) -> Result<Stratum, Cause> {
    let what = || format!("the context {}", local.dir.display());
    let matcher = Matcher::new(excludes).map_err(Cause::rootfs(what()))?;
    let never: Vec<Vec<u8>> = local
        .never
        .iter()
        .filter_map(|p| p.strip_prefix(&local.dir).ok())
        .map(|p| p.as_os_str().as_bytes().to_vec())
        .collect();
    let is_output = |path: &[u8]| {
        never
            .iter()
            .any(|n| path.strip_prefix(&n[..]).is_some_and(|rest| rest.is_empty() || rest.starts_with(TEMPORARY)))
    };
    let filter = |path: &[u8], is_dir: bool| {
        if is_output(path) {
            return Verdict::Skip;
        }
        match matcher.matches(path) {
            false => wanted.verdict(path),
            // A negated pattern may bring back something inside.
            true if is_dir && matcher.has_negation() && wanted.verdict(path) != Verdict::Skip => Verdict::Descend,
            true => Verdict::Skip,
        }
    };
    let plain = executor.hashes.plain(&local.dir);
    let options = ScanOptions {
        owners: Owners::Root,
        filter: Some(&filter),
        xattrs: true,
        stamps: true,
        plain: Some(&plain),
        ..ScanOptions::default()
    };
    let index = scan::scan(&local.dir, options).map_err(Cause::rootfs(what()))?;
    Ok(Stratum::Dir { root: local.dir.clone(), index: Arc::new(index) })
}
