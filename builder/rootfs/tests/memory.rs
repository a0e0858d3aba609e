//! What an index weighs.

use routerpack_rootfs::{Entry, Index, Kind};

/// Bytes of memory that this process has in use.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap() * 1024
}

/// 200 bytes an entry is what packing a rootfs may take, the path and the allocator's share included. The paths
/// here are as long as a Debian system's, 45 bytes in the mean. One test a file: no other may allocate meanwhile.
#[test]
fn an_entry_takes_at_most_200_bytes() {
    assert!(size_of::<Entry>() <= 80, "{}", size_of::<Entry>());
    const COUNT: usize = 300_000;
    let before = resident();
    let mut entries = Vec::with_capacity(COUNT);
    for n in 0..COUNT {
        let path = format!("usr/share/doc/package-{:04}/examples/file-{n:07}.txt", n / 100);
        entries.push(Entry::new(path.as_bytes(), Kind::File, 0o644));
    }
    let index = Index::new(entries);
    let each = (resident() - before) / COUNT;
    assert_eq!(index.entries().len(), COUNT);
    assert!((100..=200).contains(&each), "{each} bytes an entry");
}
