//! What tells, without reading it, that a file is still as it was.

use std::{fs::Metadata, os::unix::fs::MetadataExt, time::Duration};

use rustix::fs::{Statx, makedev};
use serde::{Deserialize, Serialize};

/// Device, inode, size, mtime and ctime of a file. While all of them stay, so do its bytes: whoever changes a file
/// changes its ctime, which nobody can set. Only a change within one tick of the file system's clock could leave
/// the same one, see [`Stamp::is_settled`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// Of the file system, as `stat` numbers it.
    pub device: u64,
    /// Of the file in it.
    pub inode: u64,
    /// In bytes.
    pub size: u64,
    /// Last change of the bytes, in nanoseconds since 1970.
    pub mtime: i64,
    /// Last change of anything, in nanoseconds since 1970.
    pub ctime: i64,
}

/// The kernel's clock ticks every 10 ms at least, and file systems of the last decades keep nanoseconds.
const TICK: Duration = Duration::from_millis(100);
/// For those that keep whole seconds, or every second one (FAT).
const COARSE_TICK: Duration = Duration::from_millis(2100);

impl Stamp {
    /// Of a file's metadata.
    pub fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            mtime: nanos(meta.mtime(), meta.mtime_nsec()),
            ctime: nanos(meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// The same by `statx`.
    pub(crate) fn of_statx(stat: &Statx) -> Self {
        Self {
            device: makedev(stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            size: stat.stx_size,
            mtime: nanos(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec.into()),
            ctime: nanos(stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec.into()),
        }
    }

    /// Whether any change from `now` (in nanoseconds since 1970) on gives another stamp. Where this is false, what was
    /// read of the file at that time must not be remembered by its stamp: it is what git calls racily clean.
    pub fn is_settled(&self, now: i64) -> bool {
        let tick = if self.ctime % 1_000_000_000 == 0 { COARSE_TICK } else { TICK };
        now.saturating_sub(self.ctime) > tick.as_nanos() as i64
    }
}

/// Wraps around after the year 2262, which does no harm where equality is asked for.
fn nanos(secs: i64, nanos: i64) -> i64 {
    secs.wrapping_mul(1_000_000_000).wrapping_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_settled_once_the_clock_has_gone_on() {
        let at = |ctime| Stamp { ctime, ..Stamp::default() };
        let second = 1_000_000_000;
        for (ctime, now, settled) in [
            (5 * second + 1, 5 * second + 1, false),
            (5 * second + 1, 5 * second + 50_000_000, false),
            (5 * second + 1, 5 * second + 200_000_000, true),
            (5 * second, 6 * second, false), // may be a file system of whole seconds
            (5 * second, 8 * second, true),
            (9 * second + 1, 5 * second, false), // the clock was set back
        ] {
            assert_eq!(at(ctime).is_settled(now), settled, "{ctime} {now}");
        }
    }

    #[test]
    fn both_calls_tell_the_same() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stat = rustix::fs::statx(
            rustix::fs::CWD,
            file.path(),
            rustix::fs::AtFlags::empty(),
            rustix::fs::StatxFlags::BASIC_STATS,
        );
        assert_eq!(Stamp::of_statx(&stat.unwrap()), Stamp::of(&file.as_file().metadata().unwrap()));
    }
}
