//! The directories of `RUN --mount=type=cache`.
//!
//! `sharing=shared`: all use one directory at once; `locked`: one user at a time, the others wait;
//! `private`: a directory nobody else uses right now, a new one if need be (BuildKit,
//! `solver/llbsolver/mounts/mount.go`). Enforced between processes by locks.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use routerpack_graph::{Digest, pb::CacheSharingOpt};
use routerpack_sources::{FileLock, ledger::Stamp};

use crate::cache::{Cache, Made, STAMP};

/// A cache directory in use; others may have it when this is dropped.
pub struct CacheMount {
    /// The directory to bind.
    pub dir: PathBuf,
    _lock: Option<FileLock>,
}

/// A private mount tries so many directories before it gives up.
const MAX_PRIVATE: u32 = 1000;

/// Takes the directory of the cache `id` that began as `base` (nothing, or the name of what `from=` or an owner and a
/// mode made of it): one id with another beginning is another cache, as in BuildKit. Who takes several takes them in
/// the order of id and base, and none twice: a locked one is waited for. `seed` fills it when it is made; it must end
/// with a directory in the place that it is given.
pub fn take(
    cache: &Cache,
    id: &str,
    base: &str,
    sharing: CacheSharingOpt,
    seed: &dyn Fn(&Path) -> io::Result<()>,
) -> io::Result<CacheMount> {
    let key = Digest::of(format!("{id}\n{base}").as_bytes()).hex()[..32].to_string();
    let below = Path::new("mounts").join(&key);
    cache.hold(&below, Stamp::Inside(STAMP));
    let parent = cache.path(&below);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&parent)?;
    let lock_name = |n: u32| format!("mount-{key}-{n}");
    let (number, lock) = match sharing {
        CacheSharingOpt::Shared => (0, None),
        CacheSharingOpt::Locked => (0, Some(cache.lock(&lock_name(0))?)),
        CacheSharingOpt::Private => free_private(cache, &lock_name)?,
    };
    let dir = parent.join(number.to_string());
    if !dir.is_dir() {
        // One at a time: a rename would also replace the empty directory that another step has just begun to use.
        let _making = cache.lock(&format!("mount-{key}-new"))?;
        if !dir.is_dir() {
            let fresh = cache.temp_path();
            seed(&fresh)?;
            fs::rename(&fresh, &dir)?;
        }
    }
    // What it holds counts with or without: the stamp is for those who list the cache.
    if !parent.join(STAMP).exists() {
        let made = Made { what: id.into(), by_name: true, ..Made::default() };
        cache.write_record(below.join(STAMP), &made)?;
    }
    Ok(CacheMount { dir, _lock: lock })
}

fn free_private(cache: &Cache, lock_name: &dyn Fn(u32) -> String) -> io::Result<(u32, Option<FileLock>)> {
    for number in 0..MAX_PRIVATE {
        if let Some(lock) = cache.try_lock(&lock_name(number))? {
            return Ok((number, Some(lock)));
        }
    }
    Err(io::Error::other(format!("{MAX_PRIVATE} private copies of this cache mount are in use")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_is_alone_and_shared_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let get = |sharing| take(&cache, "/root/.cache", "", sharing, &|p| fs::create_dir(p)).unwrap();
        let (a, b) = (get(CacheSharingOpt::Shared), get(CacheSharingOpt::Shared));
        assert_eq!(a.dir, b.dir);
        let (c, d) = (get(CacheSharingOpt::Private), get(CacheSharingOpt::Private));
        assert_ne!(c.dir, d.dir);
        drop(c);
        let first = get(CacheSharingOpt::Private).dir;
        assert_eq!(first, a.dir);
        for (id, base) in [("other", ""), ("/root/.cache", "owned by 10")] {
            assert_ne!(take(&cache, id, base, CacheSharingOpt::Shared, &|p| fs::create_dir(p)).unwrap().dir, a.dir);
        }
    }
}
