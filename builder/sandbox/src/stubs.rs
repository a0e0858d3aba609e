//! Mount points that had to be made in the root filesystem, and their removal after the step, so that they do
//! not end in the image (what BuildKit's `MountStubsCleaner` is for).

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Timespec, Timestamps};
use rustix::io::Errno;

use crate::walk::{Made, Missing, mtime, walk};

/// Removes what was made for mounts below `base`, if it is still as it was made: an empty file or directory.
/// A parent that nothing else has changed gets its former time back.
///
/// `base` is the directory that took the changes: an overlay's upper, or the root filesystem itself.
pub fn remove(base: impl AsFd, made: &[Made]) -> Result<(), Errno> {
    for stub in made.iter().rev() {
        let (Some(parent), Some(name)) = (stub.path.parent(), stub.path.file_name()) else { continue };
        let parent = match walk(&base, parent, Missing::Fail) {
            Ok(place) if place.path == parent => place.fd,
            // The step removed or replaced it.
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Err(e) => return Err(e),
        };
        let Ok(stat) = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let now = mtime(&parent)?;
        let removed = match (stub.is_dir, kind) {
            (true, FileType::Directory) => rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR),
            (false, FileType::RegularFile) if stat.st_size == 0 => {
                rustix::fs::unlinkat(&parent, name, AtFlags::empty())
            }
            _ => continue,
        };
        match removed {
            Ok(()) => set_mtime(&parent, if now == stub.parent_after { stub.parent_before } else { now })?,
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Sets the modification time (seconds, nanoseconds) of an open file or directory (`O_PATH` will do).
pub fn set_mtime(file: impl AsFd, (seconds, nanoseconds): (i64, i64)) -> Result<(), Errno> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT as _ },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds as _ },
    };
    rustix::fs::utimensat(file, c"", &times, AtFlags::EMPTY_PATH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn untouched_stubs_go_and_used_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let old = (1_000_000_000, 5);
        let fd = fs::File::open(dir.path()).unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        let etc = fs::File::open(dir.path().join("etc")).unwrap();
        set_mtime(&etc, old).unwrap();
        let mut made = Vec::new();
        for (path, missing) in [
            ("etc/hosts", Missing::MakeFile),
            ("used/cache", Missing::MakeDir),
            ("written", Missing::MakeFile),
            ("gone/x", Missing::MakeDir),
        ] {
            made.extend(walk(&fd, Path::new(path), missing).unwrap().made);
        }
        fs::write(dir.path().join("used/other"), "kept").unwrap();
        fs::write(dir.path().join("written"), "kept").unwrap();
        fs::remove_dir_all(dir.path().join("gone")).unwrap();
        remove(&fd, &made).unwrap();
        assert!(!dir.path().join("etc/hosts").exists());
        assert_eq!(mtime(&etc).unwrap(), old);
        assert!(dir.path().join("used/other").exists() && !dir.path().join("used/cache").exists());
        assert_eq!(fs::read(dir.path().join("written")).unwrap(), b"kept");
    }
}
