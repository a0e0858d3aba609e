//! What is done when nobody waits any more, by a process of its own after the build has ended: the file system is synced,
//! so that the cache survives a power cut, what exceeds the cache's limit is removed, and an archive is kept. A build that
//! added nothing to the cache starts none.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    time::SystemTime,
};

use routerpack_builder::{Cache, prune};

use crate::{machine, made};

/// The name under which the program is started to sync and to prune.
const SYNC: &str = "routerpack-cache-sync";

/// The name under which it is started to keep an archive.
const KEEP: &str = "routerpack-cache-keep";

/// Ends the process after its work, if it was started for one of these.
pub fn hook() {
    let mut args = std::env::args_os();
    let Some(name) = args.next().filter(|name| name == SYNC || name == KEEP) else { return };
    let dir = args.next().unwrap_or_default();
    // Not everybody who starts this is root of a user namespace, as it takes to remove files of any owner.
    let _ = machine::become_root();
    // What can't be synced is dropped after the next boot, and what can't be kept is packed again: nothing to report,
    // and nobody to report to.
    let done = Cache::open(Path::new(&dir)).is_ok_and(|cache| match name == SYNC {
        true => sync(&cache, args.next()),
        false => args.next().is_some_and(|key| made::keep(&cache, &key).is_ok()),
    });
    std::process::exit(i32::from(!done));
}

fn sync(cache: &Cache, limit: Option<OsString>) -> bool {
    let synced = cache.sync().is_ok();
    let limit = limit.and_then(|limit| limit.to_str()?.parse().ok());
    limit.is_none_or(|limit| prune::enforce(cache, limit, SystemTime::now()).is_ok()) && synced
}

/// Starts the sync, if there is something to sync; `limit` is how many bytes the cache may hold. It outlives this process.
pub fn later(cache: &Cache, limit: Option<u64>) {
    // If it can't be written down, the next count finds it.
    let _ = cache.write_growth();
    if cache.needs_sync() {
        // Without it, the next build after a reboot starts from an empty cache: slower, not wrong.
        let limit = limit.map(|bytes| bytes.to_string());
        start(SYNC, cache, &limit.iter().map(OsStr::new).collect::<Vec<_>>(), Stdio::null());
    }
}

/// Starts [`made::keep`]. The file is handed over open, since its name may soon be gone.
pub fn keep(cache: &Cache, key: &str, file: &Path) {
    if let Ok(file) = File::open(file) {
        start(KEEP, cache, &[key.as_ref()], file.into());
    }
}

fn start(name: &str, cache: &Cache, args: &[&OsStr], input: Stdio) {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(name).arg(cache.dir()).args(args).env_clear().current_dir("/").process_group(0);
    let _ = command.stdin(input).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
}
