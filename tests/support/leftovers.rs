//! What a killed or failed program may leave behind: processes, mounts and temporary files.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::World;

/// The processes that have to do with this world (by command line, environment, directory or program), other than this one.
pub fn processes(world: &World) -> Vec<String> {
    let needle = world.root().as_os_str().as_encoded_bytes();
    let me = std::process::id().to_string();
    let holds = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|b| b.is_ascii_digit()) || name == me {
            continue;
        }
        let dir = entry.path();
        let read = |file: &str| fs::read(dir.join(file)).unwrap_or_default();
        let link = |file: &str| fs::read_link(dir.join(file)).unwrap_or_default().into_os_string().into_encoded_bytes();
        // a process that has ended and waits for its parent has none of these
        if [read("cmdline"), read("environ"), link("cwd"), link("exe"), link("root")].iter().any(|b| holds(b)) {
            found.push(format!("{name} {}", String::from_utf8_lossy(&read("cmdline")).replace('\0', " ")));
        }
    }
    found
}

/// The mounts below this world's directory, in any mount namespace that still lives.
pub fn mounts(world: &World) -> Vec<String> {
    let needle = world.root().to_string_lossy().into_owned();
    let mut found: Vec<String> = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let table = fs::read_to_string(entry.path().join("mountinfo")).unwrap_or_default();
        found.extend(table.lines().filter(|line| line.contains(&needle)).map(str::to_owned));
    }
    found.sort();
    found.dedup();
    found
}

/// Waits, at most ten seconds, for this world's processes to end: a killed tree takes the kernel a moment, and the cache
/// is synced by a process that outlives the program.
pub fn settle(world: &World) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline && !processes(world).is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// When all has settled: files of the program's temporary directory, of the cache's `tmp/`, and temporary files beside outputs.
pub fn files(world: &World) -> Vec<String> {
    settle(world);
    let list = |dir: &Path| -> Vec<String> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().display().to_string()).collect()
    };
    let mut found = list(&world.root().join("tmp"));
    found.extend(list(&world.cache().join("tmp")));
    found.extend(list(&world.path("")).into_iter().filter(|path| path.contains(".tmp") || path.contains(".part")));
    found
}

/// Fails the test if a process or a mount of this world is still there when all had time to settle.
#[track_caller]
pub fn assert_no_processes_or_mounts(world: &World) {
    settle(world);
    super::assert_none("processes are left", &processes(world));
    super::assert_none("mounts are left", &mounts(world));
}
