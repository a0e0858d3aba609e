//! Packing needs the same memory whatever the files' sizes. Alone in its file, since the peak is the process's.

mod support;

use std::fs;

use routerpack_rootfs::{Entry, Kind};
use routerpack_targets::Format;
use support::*;

/// The process's peak, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[test]
fn the_peak_does_not_follow_the_content() {
    const SIZE: u64 = 128 << 20;
    let mut step = Step::new();
    step.file(b"large", b"").size = SIZE;
    fs::OpenOptions::new().write(true).open(step.dir.path().join("0")).unwrap().set_len(SIZE).unwrap();
    for i in 0..50_000 {
        step.put(Entry::new(format!("links/{i:06}/{}", "x".repeat(40)).as_bytes(), Kind::Symlink, 0o777));
    }
    let tree = step.tree();
    let dir = tempfile::tempdir().unwrap();
    let before = peak();
    let summary = Ask::new(Format::RouterOs, &tree).path(&dir.path().join("out.tar")).unwrap();
    assert!(summary.bytes > SIZE);
    let grown = peak() - before;
    assert!(grown < 8 << 10, "{grown} KiB more");
}
