//! Makes the cache survive a power cut, when nobody waits any more: a process of its own syncs the
//! file system after the build has ended.

use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use routerpack_builder::Cache;

/// The name under which the program is started to do this.
const NAME: &str = "routerpack-cache-sync";

/// Ends the process after the sync, if it was started for that.
pub fn hook() {
    let mut args = std::env::args_os();
    if args.next().is_none_or(|name| name != NAME) {
        return;
    }
    let dir = args.next().unwrap_or_default();
    // What can't be synced is dropped after the next boot: nothing to report, and nobody to report to.
    let done = Cache::open(Path::new(&dir)).is_ok_and(|cache| cache.sync().is_ok());
    std::process::exit(i32::from(!done));
}

/// Starts the sync, if there is something to sync. It outlives this process.
pub fn later(cache: &Cache) {
    if cache.needs_sync() {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(NAME).arg(cache.dir()).env_clear().current_dir("/").process_group(0);
        // Without it, the next build after a reboot starts from an empty cache: slower, not wrong.
        let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    }
}
