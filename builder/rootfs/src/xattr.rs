//! Extended attributes: which ones are part of a rootfs, and reading and writing them.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, AsRawFd},
};

use rustix::{
    buffer::spare_capacity,
    fs::{self, XattrFlags},
    io::Errno,
};

/// File capabilities (capabilities(7), "File capability extended attribute versioning").
pub(crate) const CAPABILITY: &[u8] = b"security.capability";
/// Overlayfs's mark of an opaque directory, in mounts with `userxattr`.
pub(crate) const OPAQUE: &[u8] = b"user.overlay.opaque";

/// What a scan of a directory finds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The attributes that are part of a rootfs.
    pub kept: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Overlayfs's mark of an opaque directory.
    pub opaque: bool,
}

/// Attributes that overlayfs keeps its own state in.
pub fn is_overlay_mark(name: &[u8]) -> bool {
    name.starts_with(b"user.overlay.") || name.starts_with(b"trusted.overlay.")
}

/// Of a host's file, only these belong to the image: the rest is the host's (labels, ACLs, integrity), or is to
/// be seen by the host's root alone, so that a build's result would depend on who builds.
fn is_kept(name: &[u8]) -> bool {
    name == CAPABILITY || name.starts_with(b"user.") && !is_overlay_mark(name)
}

/// Reads an entry's attributes, not following a symlink. Where the file system has none, there are none.
pub(crate) fn read(dir: impl AsFd, name: &[u8]) -> io::Result<Found> {
    let path = at(dir, name);
    let mut found = Found::default();
    let Some(names) = sized(|| fs::llistxattr_query(&*path), |buf| fs::llistxattr(&*path, spare_capacity(buf)))? else {
        return Ok(found);
    };
    for name in names.split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let opaque = name == OPAQUE || name == b"trusted.overlay.opaque";
        if !opaque && !is_kept(name) {
            continue;
        }
        let query = || fs::lgetxattr_query(&*path, name);
        let Some(value) = sized(query, |buf| fs::lgetxattr(&*path, name, spare_capacity(buf)))? else { continue };
        if opaque {
            found.opaque |= value == b"y";
        } else {
            let value = if name == CAPABILITY { plain_capability(value) } else { value };
            found.kept.insert(name.into(), value);
        }
    }
    Ok(found)
}

/// A value whose size must be asked for first, and may change in between. `None` where there is none.
fn sized(
    query: impl Fn() -> Result<usize, Errno>,
    read: impl Fn(&mut Vec<u8>) -> Result<usize, Errno>,
) -> io::Result<Option<Vec<u8>>> {
    for _ in 0..4 {
        let size = match query() {
            Ok(0) => return Ok(Some(Vec::new())),
            Ok(size) => size,
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut value = Vec::with_capacity(size + 1);
        match read(&mut value) {
            Ok(_) => return Ok(Some(value)),
            Err(Errno::RANGE) => continue,
            Err(Errno::NODATA) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::RANGE.into())
}

/// Sets one attribute of an entry, not following a symlink.
pub(crate) fn write(dir: impl AsFd, name: &[u8], attribute: &[u8], value: &[u8]) -> io::Result<()> {
    Ok(fs::lsetxattr(&*at(dir, name), attribute, value, XattrFlags::empty())?)
}

/// The kernel has no `lsetxattrat` before 6.13; through the directory's own descriptor no symlink but the
/// last name can be met, and the `l` calls don't follow that one.
fn at(dir: impl AsFd, name: &[u8]) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(if name.is_empty() { b"." } else { name });
    path
}

/// Revision 3 says which user namespace's root the capabilities were given by; an image has revision 2, which
/// is the same without that (linux/capability.h, `struct vfs_ns_cap_data`).
fn plain_capability(value: Vec<u8>) -> Vec<u8> {
    const REVISION: usize = 3;
    match value.len() == 24 && value[REVISION] == 3 {
        true => {
            let mut plain = value[..20].to_vec();
            plain[REVISION] = 2;
            plain
        }
        false => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_lose_their_namespace() {
        let v3 = [1, 0, 0, 3, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xa0, 0x86, 1, 0];
        let v2 = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(plain_capability(v3.to_vec()), v2);
        for other in [&v2[..], &v3[..12], b""] {
            assert_eq!(plain_capability(other.to_vec()), other);
        }
    }
}
