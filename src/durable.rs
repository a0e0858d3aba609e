//! What is done with the cache when nobody waits any more: a process of its own syncs the file system, so that the cache
//! survives a power cut, and removes what exceeds the cache's limit. A build that added nothing starts none.

use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    time::SystemTime,
};

use routerpack_builder::{Cache, prune};

use crate::machine;

/// The name under which the program is started to do this.
const NAME: &str = "routerpack-cache-sync";

/// Ends the process after all that, if it was started for it.
pub fn hook() {
    let mut args = std::env::args_os();
    if args.next().is_none_or(|name| name != NAME) {
        return;
    }
    let dir = args.next().unwrap_or_default();
    let limit = args.next().and_then(|limit| limit.to_str()?.parse().ok());
    // Not everybody who starts this is root of a user namespace, as it takes to remove files of any owner.
    let _ = machine::become_root();
    // What can't be synced is dropped after the next boot: nothing to report, and nobody to report to.
    let done = Cache::open(Path::new(&dir)).is_ok_and(|cache| {
        let synced = cache.sync().is_ok();
        limit.is_none_or(|limit| prune::enforce(&cache, limit, SystemTime::now()).is_ok()) && synced
    });
    std::process::exit(i32::from(!done));
}

/// Starts it, if there is something to do; `limit` is how many bytes the cache may hold. It outlives this process.
pub fn later(cache: &Cache, limit: Option<u64>) {
    // If it can't be written down, the next count finds it.
    let _ = cache.write_growth();
    if cache.needs_sync() {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(NAME).arg(cache.dir()).args(limit.map(|bytes| bytes.to_string()));
        command.env_clear().current_dir("/").process_group(0);
        // Without it, the next build after a reboot starts from an empty cache: slower, not wrong.
        let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    }
}
