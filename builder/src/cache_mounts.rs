//! The directories of `RUN --mount=type=cache`.
//!
//! `sharing=shared`: all use one directory at once; `locked`: one user at a time, the others wait;
//! `private`: a directory nobody else uses right now, a new one if need be. A directory that somebody has for
//! himself, locked or private, is not shared: who would share it gets another (BuildKit,
//! `solver/llbsolver/mounts/mount.go`). Enforced between processes by locks.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use routerpack_graph::{Digest, pb::CacheSharingOpt};
use routerpack_sources::{FileLock, ledger::Stamp};

use crate::cache::{Cache, Made, STAMP};

/// A cache directory in use; others may have it when this is dropped.
pub struct CacheMount {
    /// The directory to bind.
    pub dir: PathBuf,
    _lock: FileLock,
}

/// How often a locked cache is asked for, as in BuildKit.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes the directory of the cache `id` that began as `base` (nothing, or the name of what `from=` or an owner and a
/// mode made of it): one id with another beginning is another cache, as in BuildKit. Who takes several takes them in
/// the order of id and base, and none twice: a locked one is waited for, until `stop`, which is asked each time, says
/// so. `seed` fills it when it is made; it must end with a directory in the place that it is given.
pub fn take(
    cache: &Cache,
    id: &str,
    base: &str,
    sharing: CacheSharingOpt,
    stop: &dyn Fn() -> bool,
    seed: &dyn Fn(&Path) -> io::Result<()>,
) -> io::Result<CacheMount> {
    let key = Digest::of(format!("{id}\n{base}").as_bytes()).hex()[..32].to_string();
    let below = Path::new("mounts").join(&key);
    cache.hold(&below, Stamp::Inside(STAMP));
    let parent = cache.path(&below);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&parent)?;
    let name = |number: usize| format!("mount-{key}-{number}");
    loop {
        // One chooses at a time, and makes what is missing.
        let choosing = cache.lock(&format!("mount-{key}-choose"))?;
        let there = (0..).take_while(|number| parent.join(number.to_string()).is_dir()).count();
        let is_taken = |number: &usize| cache.try_lock(&name(*number)).map_or(true, |lock| lock.is_none());
        let candidates: Vec<usize> = match sharing {
            // Where others are already comes first.
            CacheSharingOpt::Shared => {
                let (taken, free): (Vec<_>, Vec<_>) = (0..there).partition(is_taken);
                taken.into_iter().chain(free).chain([there]).collect()
            }
            CacheSharingOpt::Private => (0..=there).collect(),
            CacheSharingOpt::Locked => (0..there.max(1)).collect(),
        };
        for number in candidates {
            let lock = match sharing {
                CacheSharingOpt::Shared => cache.try_share(&name(number))?,
                CacheSharingOpt::Private | CacheSharingOpt::Locked => cache.try_lock(&name(number))?,
            };
            let Some(lock) = lock else { continue };
            let dir = parent.join(number.to_string());
            if number == there {
                let fresh = cache.temp_path();
                seed(&fresh)?;
                fs::rename(&fresh, &dir)?;
            }
            // What it holds counts with or without: the stamp is for those who list the cache.
            if !parent.join(STAMP).exists() {
                let made = Made { what: id.into(), by_name: true, ..Made::default() };
                cache.write_record(below.join(STAMP), &made)?;
            }
            return Ok(CacheMount { dir, _lock: lock });
        }
        if stop() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        drop(choosing);
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_is_alone_and_shared_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let of = |id, base, sharing| take(&cache, id, base, sharing, &|| true, &|p| fs::create_dir(p));
        let get = |sharing| of("/root/.cache", "", sharing).unwrap();
        let (a, b) = (get(CacheSharingOpt::Shared), get(CacheSharingOpt::Shared));
        assert_eq!(a.dir, b.dir);
        let (c, d) = (get(CacheSharingOpt::Private), get(CacheSharingOpt::Private));
        assert!(c.dir != a.dir && d.dir != a.dir && c.dir != d.dir);
        assert_eq!(get(CacheSharingOpt::Shared).dir, a.dir);
        let first = a.dir.clone();
        drop((a, b));
        let locked = get(CacheSharingOpt::Locked);
        assert_eq!(locked.dir, first);
        drop(c);
        // What is somebody's alone is not shared, and all that share are in one place.
        let (e, f) = (get(CacheSharingOpt::Shared), get(CacheSharingOpt::Shared));
        assert!(e.dir != first && e.dir == f.dir);
        assert_eq!(of("/root/.cache", "", CacheSharingOpt::Locked).err().unwrap().kind(), io::ErrorKind::Interrupted);
        for (id, base) in [("other", ""), ("/root/.cache", "owned by 10")] {
            assert_ne!(of(id, base, CacheSharingOpt::Shared).unwrap().dir, first);
        }
    }
}
