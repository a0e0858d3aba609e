//! A layer's entries as a simple reader meets them: types, names, whiteouts, links, attributes.

use std::{
    collections::{HashSet, hash_map::RandomState},
    hash::BuildHasher,
    io,
};

use routerpack_rootfs::path;

use super::{
    archive::Range,
    report::Findings,
    walk::{Member, Stop, walk},
};

/// Names that are remembered, as eight bytes each: the limit of a layer's entries.
const MAX_NAMES: usize = routerpack_rootfs::layer::MAX_ENTRIES;

/// Looks at every entry; whether the layer is a whole tar.
pub(super) fn check(layer: usize, file: &str, bytes: &Range, findings: &mut Findings) -> io::Result<bool> {
    let mut seen = Seen::default();
    let mut count = 0u64;
    let result = walk(&bytes.file, bytes.start, bytes.end, &mut |member| {
        count += 1;
        entry(&member, &mut seen, findings);
    });
    for link in seen.pending {
        match seen.names.contains(&link.target) {
            true => findings.add("hard-link-order", link.name, "a hard link comes before its target"),
            false if layer == 0 => {
                findings.add("layer-damaged", link.name, "a hard link to what is nowhere in the layer")
            }
            false => findings.add("hard-link-order", link.name, "a hard link's target is in another layer"),
        }
    }
    let why = match result {
        Ok(()) if count == 0 && bytes.len() > 0 && bytes.len() < 512 => "it is no tar".to_string(),
        Ok(()) => return Ok(true),
        Err(Stop::Io(error)) => return Err(error),
        Err(Stop::Damaged { at: 0, .. }) => "it is no tar".to_string(),
        Err(Stop::Damaged { at, why }) => format!("at byte {at}: {why}"),
    };
    findings.add("layer-damaged", file, format!("layer {} is damaged: {why}", layer + 1));
    Ok(false)
}

/// What has gone by.
#[derive(Default)]
struct Seen {
    names: HashSet<u64>,
    hasher: RandomState,
    /// Hard links whose target hasn't come yet; the first few.
    pending: Vec<Pending>,
}

struct Pending {
    name: String,
    target: u64,
}

fn entry(member: &Member, seen: &mut Seen, findings: &mut Findings) {
    let shown = || format!("/{}", path::brief(&member.name).trim_start_matches("./").trim_start_matches('/'));
    if member.name.starts_with(b"/") {
        findings.add("unsafe-name", shown(), "an entry has an absolute name");
    }
    let Ok(name) = path::clean(&member.name) else {
        findings.add(
            "unsafe-name",
            path::brief(&member.name),
            "an entry has a name that leads out of the root, or that Linux can't have",
        );
        return;
    };
    let (dir, base) = path::split(&name).unwrap_or_default();
    let in_mark = dir.split(|b| *b == b'/').any(|c| c.starts_with(b".wh."));
    if base.starts_with(b".wh.") || in_mark {
        findings.add("whiteouts", shown(), "a whiteout, which deletes what lower layers have");
        return;
    }
    let kind = match member.kind {
        b'0' | 0 | b'7' | b'1' | b'2' | b'5' | b'V' => None,
        b'3' => Some("a character device"),
        b'4' => Some("a block device"),
        b'6' => Some("a named pipe"),
        b'S' => None,
        _ => Some("an entry of a type that no rootfs has"),
    };
    if let Some(kind) = kind {
        findings.add("entry-types", shown(), kind);
    }
    if member.sparse {
        findings.add("entry-types", shown(), "a sparse file");
    }
    for xattr in &member.xattrs {
        findings.add("xattrs", shown(), format!("the attribute {xattr}"));
    }
    let id = seen.hasher.hash_one(&name);
    if member.kind == b'1' {
        match path::clean(&member.link) {
            Err(_) => findings.add("unsafe-name", shown(), "a hard link leads out of the root"),
            Ok(target) => {
                let target = seen.hasher.hash_one(&target);
                if !seen.names.contains(&target) && seen.pending.len() < 1000 {
                    seen.pending.push(Pending { name: shown(), target });
                }
            }
        }
    }
    if seen.names.len() < MAX_NAMES && !seen.names.insert(id) && member.kind != b'5' && !name.is_empty() {
        findings.add("duplicate-name", shown(), "the layer has two entries of this name");
    }
}
