//! One tar member's header: USTAR, with a PAX header before it only for what USTAR can't say.
//!
//! Formats: POSIX.1-2017 `pax`, "ustar Interchange Format" and "pax Extended Header". Every byte
//! follows from the fields: no user or group names, no access times, no reader's choice anywhere.

use std::collections::BTreeMap;

use tar::{EntryType, Header};

/// Everything in a tar comes in blocks of this many bytes.
pub(crate) const BLOCK: u64 = 512;

/// The largest size of a USTAR header: 11 octal digits, one byte less than 8 GiB.
pub(crate) const MAX_SIZE: u64 = 0o77_777_777_777;
/// The largest time, likewise.
const MAX_TIME: u64 = MAX_SIZE;
/// The largest id and device number: 7 octal digits.
const MAX_7_DIGITS: u64 = 0o7_777_777;

/// What a header says.
pub(crate) struct Member<'a> {
    /// Relative, without a trailing slash (a directory gets its own here).
    pub path: &'a [u8],
    pub kind: EntryType,
    /// Permission, set-id and sticky bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970. Never a fraction: BuildKit's layers have none either.
    pub mtime: i64,
    /// Bytes that follow, 0 for all but regular files.
    pub size: u64,
    /// Target of a symlink or hard link.
    pub link: &'a [u8],
    /// Device numbers, (major, minor).
    pub rdev: (u32, u32),
    /// Written as PAX `SCHILY.xattr.*`; names with `=` can't be.
    pub xattrs: Option<&'a BTreeMap<Vec<u8>, Vec<u8>>>,
    /// Says the size in PAX even if USTAR could: for a size that isn't known when room is left for
    /// the header.
    pub wide: bool,
}

impl Default for Member<'_> {
    fn default() -> Self {
        Self {
            path: b"",
            kind: EntryType::Regular,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
            size: 0,
            link: b"",
            rdev: (0, 0),
            xattrs: None,
            wide: false,
        }
    }
}

impl Member<'_> {
    /// Appends the header's blocks.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        // A directory's name ends in a slash by custom; its type says it all where that doesn't fit.
        let slashed;
        let path = if self.kind == EntryType::Directory {
            slashed = [self.path, b"/"].concat();
            if split(&slashed).is_some() || split(self.path).is_none() { &slashed } else { self.path }
        } else {
            self.path
        };

        let mut pax: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut say = |key: &str, value: &[u8]| {
            pax.insert(key.into(), value.into());
        };
        let (prefix, name) = split(path).unwrap_or_else(|| {
            say("path", path);
            (b"", &path[..path.len().min(100)])
        });
        if self.link.len() > 100 {
            say("linkpath", self.link);
        }
        let mut number = |key: &str, value: u64, max: u64| {
            if value > max {
                say(key, value.to_string().as_bytes());
                return 0;
            }
            value
        };
        let size = number("size", self.size, if self.wide { 0 } else { MAX_SIZE });
        let uid = number("uid", self.uid.into(), MAX_7_DIGITS);
        let gid = number("gid", self.gid.into(), MAX_7_DIGITS);
        let major = number("SCHILY.devmajor", self.rdev.0.into(), MAX_7_DIGITS);
        let minor = number("SCHILY.devminor", self.rdev.1.into(), MAX_7_DIGITS);
        let mtime = match u64::try_from(self.mtime) {
            Ok(t) if t <= MAX_TIME => t,
            _ => {
                say("mtime", self.mtime.to_string().as_bytes());
                0
            }
        };
        // PAX text is UTF-8 unless it says otherwise; an attribute's value is bytes to everybody.
        if pax.values().any(|v| std::str::from_utf8(v).is_err()) {
            pax.insert("hdrcharset".into(), b"BINARY".into());
        }
        for (name, value) in self.xattrs.into_iter().flatten().filter(|(name, _)| can_carry_xattr(name)) {
            pax.insert([b"SCHILY.xattr.", &name[..]].concat(), value.clone());
        }
        if !pax.is_empty() {
            write_pax(&pax, self.path, out);
        }

        let mut h = Header::new_ustar();
        h.as_old_mut().name[..name.len()].copy_from_slice(name);
        let link = &self.link[..self.link.len().min(100)];
        h.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        if let Some(ustar) = h.as_ustar_mut() {
            ustar.prefix[..prefix.len()].copy_from_slice(prefix);
            ustar.set_device_major(major as u32);
            ustar.set_device_minor(minor as u32);
        }
        h.set_entry_type(self.kind);
        h.set_mode(self.mode);
        h.set_uid(uid);
        h.set_gid(gid);
        h.set_size(size);
        h.set_mtime(mtime);
        h.set_cksum();
        // Six digits, NUL, space: as all the tar programs write it, though POSIX takes other forms.
        let sum = h.cksum().unwrap_or_default();
        h.as_old_mut().cksum.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend_from_slice(h.as_bytes());
    }
}

/// Whether PAX can carry an attribute of this name (a keyword ends at its first `=`).
pub(crate) fn can_carry_xattr(name: &[u8]) -> bool {
    !name.contains(&b'=')
}

/// USTAR's `prefix` and `name` for a path, or `None` where no slash suits: at most 155 and 100 bytes,
/// neither empty (but no prefix at all where the path fits the name).
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= 100 {
        return Some((b"", path));
    }
    // The longest prefix, as GNU tar and Go choose it; a directory's last slash ends no prefix.
    let end = path.len().min(156);
    let slash = path[..end.min(path.len() - 1)].iter().rposition(|&b| b == b'/')?;
    let (prefix, name) = (&path[..slash], &path[slash + 1..]);
    (!prefix.is_empty() && name.len() <= 100).then_some((prefix, name))
}

/// Writes a PAX extended header (type `x`) with these records.
fn write_pax(records: &BTreeMap<Vec<u8>, Vec<u8>>, path: &[u8], out: &mut Vec<u8>) {
    let mut body = Vec::new();
    for (key, value) in records {
        // The length counts its own digits.
        let rest = key.len() + value.len() + 3;
        let mut len = rest;
        while len != rest + len.to_string().len() {
            len = rest + len.to_string().len();
        }
        body.extend_from_slice(len.to_string().as_bytes());
        body.push(b' ');
        body.extend_from_slice(key);
        body.push(b'=');
        body.extend_from_slice(value);
        body.push(b'\n');
    }
    // A name for readers that don't know PAX and unpack the header as a file.
    let base = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let name = [b"PaxHeaders.0/", &base[..base.len().min(80)]].concat();
    let head = Member { path: &name, kind: EntryType::XHeader, size: body.len() as u64, ..Member::default() };
    head.write_to(out);
    out.extend_from_slice(&body);
    out.resize(out.len() + padding(body.len() as u64), 0);
}

/// Zeros that fill the last block after so many bytes of content.
pub(crate) fn padding(size: u64) -> usize {
    (size.next_multiple_of(BLOCK) - size) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_where_ustar_allows_it() {
        let p = |n: usize| "p".repeat(n);
        // (path, prefix length, or None for PAX)
        let table = [
            (p(100), Some(0)),
            (p(101), None),
            (format!("{}/{}", p(155), p(100)), Some(155)),
            (format!("{}/{}", p(156), p(100)), None),
            (format!("{}/{}", p(155), p(101)), None),
            (format!("{}/", p(100)), None),
            (format!("{}/{}/", p(60), p(60)), Some(60)),
            (format!("{}/{}/{}", p(50), p(50), p(50)), Some(101)),
            (format!("/{}", p(101)), None),
        ];
        for (path, want) in table {
            let got = split(path.as_bytes());
            assert_eq!(got.map(|(prefix, _)| prefix.len()), want, "{path}");
            if let Some((prefix, name)) = got.filter(|(prefix, _)| !prefix.is_empty()) {
                assert_eq!([prefix, b"/", name].concat(), path.as_bytes());
                assert!(prefix.len() <= 155 && name.len() <= 100 && !name.is_empty());
            }
        }
    }

    #[test]
    fn a_plain_header_is_these_bytes() {
        let mut out = Vec::new();
        Member { path: b"bin/sh", mode: 0o4755, uid: 7, gid: 8, mtime: 9, size: 10, ..Member::default() }
            .write_to(&mut out);
        assert_eq!(out.len(), 512);
        let field = |range: std::ops::Range<usize>| String::from_utf8_lossy(&out[range]).into_owned();
        assert_eq!(field(0..7), "bin/sh\0");
        assert_eq!(field(100..157), "0004755\x000000007\x000000010\x0000000000012\x0000000000011\x00010324\0 0");
        assert_eq!(field(257..265), "ustar\x0000");
        assert!(out[265..329].iter().all(|&b| b == 0), "no user and group names");
        assert_eq!(field(329..345), "0000000\x000000000\0");
    }

    #[test]
    fn pax_appears_only_where_ustar_cannot_say_it() {
        let long = vec![b'x'; 300];
        let binary = vec![0xff; 120];
        let table: Vec<(Member, Vec<&str>)> = vec![
            (Member { mtime: 0, ..Member::default() }, vec![]),
            (Member { mtime: 8_589_934_591, size: 8_589_934_591, uid: 2_097_151, ..Member::default() }, vec![]),
            (Member { mtime: -5, ..Member::default() }, vec!["12 mtime=-5"]),
            (Member { mtime: 8_589_934_592, ..Member::default() }, vec!["20 mtime=8589934592"]),
            (Member { size: 8_589_934_592, ..Member::default() }, vec!["19 size=8589934592"]),
            (
                Member { uid: 2_097_152, gid: u32::MAX, ..Member::default() },
                vec!["18 gid=4294967295", "15 uid=2097152"],
            ),
            (Member { path: &long[..100], kind: EntryType::Directory, ..Member::default() }, vec![]),
            (Member { path: &long[..101], kind: EntryType::Directory, ..Member::default() }, vec!["path=xxx"]),
            (Member { path: &long, ..Member::default() }, vec!["path=xxx"]),
            (Member { link: &long, kind: EntryType::Symlink, ..Member::default() }, vec!["linkpath=xxx"]),
            (Member { path: &binary, ..Member::default() }, vec!["hdrcharset=BINARY", "path="]),
        ];
        for (i, (member, wanted)) in table.iter().enumerate() {
            let mut out = Vec::new();
            member.write_to(&mut out);
            assert_eq!(out.len() > 512, !wanted.is_empty(), "row {i}");
            let text = String::from_utf8_lossy(&out).into_owned();
            for w in wanted {
                assert!(text.contains(w), "row {i}: {w}");
            }
        }
    }

    #[test]
    fn a_record_counts_its_own_digits() {
        // 99 and 100 bytes: the length itself gets a digit more.
        for n in 80..110 {
            let mut out = Vec::new();
            write_pax(&BTreeMap::from([(b"k".to_vec(), vec![b'v'; n])]), b"f", &mut out);
            let body = &out[512..];
            let end = body.iter().position(|&b| b == b'\n').unwrap() + 1;
            let len: usize = String::from_utf8_lossy(&body[..end]).split(' ').next().unwrap().parse().unwrap();
            assert_eq!(len, end);
        }
    }
}
