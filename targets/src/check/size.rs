//! Whether it fits: on the disk while it is imported, in memory while it runs.

use std::collections::HashSet;

use routerpack_rootfs::Kind;

use super::{Subject, report::Findings};

const MIB: u64 = 1 << 20;
/// What stays free on a disk (a third party's rule from experience on 7.23); less on disks so small that nothing would fit.
fn reserve(disk: u64) -> u64 {
    (256 * MIB).min(disk / 8)
}

/// Most bytes that an import takes: the archive, and its content twice.
pub fn peak(archive: u64, unpacked: u64) -> u64 {
    archive.saturating_add(unpacked.saturating_mul(2))
}

/// Bytes of a flash that may be free: RouterOS itself takes a quarter or so of 128 MB; of 16 MB nearly all.
pub fn likely_free(flash: u64) -> u64 {
    flash.saturating_sub(flash / 4).min(flash.saturating_sub(24 * MIB))
}

/// Judges the sizes; bytes of all files, hard links once.
pub(super) fn check(subject: &Subject, archive: u64, running: u64, findings: &mut Findings) -> u64 {
    let mut groups = HashSet::new();
    let files = subject.tree.index.entries().iter().filter(|e| e.kind == Kind::File);
    let files = files.filter(|e| e.link_group == 0 || groups.insert(e.link_group));
    let unpacked = files.fold(0u64, |sum, e| sum.saturating_add(e.size));
    let peak = peak(archive, unpacked);
    let device = subject.options.device;
    if let Some(disk) = subject.options.disk {
        let need = peak.saturating_add(reserve(disk));
        if need > disk {
            let message = format!(
                "needs up to {} (archive {} + 2 × {} unpacked + {} reserve), the disk has {}",
                mib(need),
                mib(archive),
                mib(unpacked),
                mib(reserve(disk)),
                mib(disk)
            );
            findings.add("size", "", message);
        }
    } else if let Some((device, flash)) = device.and_then(|d| Some((d, u64::from(d.flash_mib?) * MIB))) {
        let free = likely_free(flash);
        if peak > free {
            let disk = match device.slots.is_empty() {
                true => String::new(),
                false => format!("; it has a place for a disk ({})", device.slots.join(", ")),
            };
            let message = format!(
                "needs up to {} (archive {} + 2 × {} unpacked); the flash of the {device} has {} in all, of which some {} may be free{disk}",
                mib(peak),
                mib(archive),
                mib(unpacked),
                mib(flash),
                mib(free)
            );
            findings.add("size", "", message);
        }
    }
    if let Some((device, ram)) = device.and_then(|d| Some((d, u64::from(d.ram_mib?) * MIB)))
        && running > ram / 2
    {
        let message =
            format!("the command and its libraries are {}, the {device} has {} of RAM", mib(running), mib(ram));
        findings.add("memory", "", message);
    }
    unpacked
}

/// In MiB, small sizes with a decimal.
fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10).div_ceil(MIB);
    match tenths {
        0..100 => format!("{}.{} MiB", tenths / 10, tenths % 10),
        _ => format!("{} MiB", bytes.div_ceil(MIB)),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_are_rounded_up() {
        for (bytes, text) in [(0, "0.0 MiB"), (1, "0.1 MiB"), (10 << 20, "10 MiB"), ((128 << 20) - 1, "128 MiB")] {
            assert_eq!(super::mib(bytes), text);
        }
    }
}
