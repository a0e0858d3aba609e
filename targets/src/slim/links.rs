//! Equal files as hard links of one another.
//!
//! A hard link shares mode, owner, time and extended attributes with its file, so files are joined only where all of
//! these are equal, too: the time as the archive has it, in seconds, since Python compares a source's time with what its
//! bytecode says. Below directories where programs write (`/etc`, `/var`, homes …) nothing is joined: who writes into
//! one file there must not change another one.

use std::collections::BTreeMap;

use routerpack_rootfs::{Entry, Kind, path};

use super::{Changed, Pass, SlimError, Work};

/// Where files are written by whoever runs the container, or are a kernel's.
const WRITTEN: [&str; 14] =
    ["etc", "var", "root", "home", "run", "tmp", "srv", "mnt", "media", "dev", "proc", "sys", "data", "config"];

/// One file with all its names, as it is after the passes before.
struct Stored<'a> {
    names: Vec<&'a Entry>,
    now: Entry,
}

/// What two files must have in common before their bytes are compared.
type Kin<'a> = (u64, u16, u32, u32, i64, Vec<(&'a [u8], &'a [u8])>);

/// Joins what is equal.
pub(super) fn link(work: &mut Work, changed: &mut Changed) -> Result<(), SlimError> {
    let tree = work.tree;
    let mut groups: BTreeMap<u32, usize> = BTreeMap::new();
    let mut files: Vec<Stored> = Vec::new();
    for entry in tree.index.entries().iter().filter(|e| e.kind == Kind::File) {
        if work.is_out_of_bounds(&entry.path) {
            continue;
        }
        if entry.link_group != 0 {
            if let Some(at) = groups.get(&entry.link_group) {
                files[*at].names.push(entry);
                continue;
            }
            groups.insert(entry.link_group, files.len());
        }
        let now = changed.entries.get(&*entry.path).unwrap_or(entry).clone();
        files.push(Stored { names: vec![entry], now });
    }
    // A file that also has a name where programs write is one of those.
    files.retain(|file| file.now.size > 0 && !file.names.iter().any(|name| is_written(&name.path)));

    let epoch = work.options.epoch;
    let mut kin: BTreeMap<Kin, Vec<&Stored>> = BTreeMap::new();
    for file in &files {
        let e = file.names[0];
        let secs = epoch.map_or(e.mtime.secs, |limit| e.mtime.secs.min(limit));
        kin.entry((file.now.size, e.mode, e.uid, e.gid, secs, e.xattrs().collect())).or_default().push(file);
    }
    for alike in kin.into_values().filter(|alike| alike.len() > 1) {
        let mut equal: BTreeMap<[u8; 32], Vec<&Stored>> = BTreeMap::new();
        for file in alike {
            work.check_stop()?;
            equal.entry(digest(work, changed, file)?).or_default().push(file);
        }
        for same in equal.into_values().filter(|same| same.len() > 1) {
            join(&same, changed);
            let extra = same.len() as u64 - 1;
            work.report.add(Pass::Dedup, extra, extra * same[0].now.size);
        }
    }
    Ok(())
}

fn is_written(name: &[u8]) -> bool {
    WRITTEN.iter().any(|dir| path::is_below(name, dir.as_bytes()))
}

fn digest(work: &Work, changed: &Changed, file: &Stored) -> Result<[u8; 32], SlimError> {
    let name = file.names[0];
    let content = match changed.entries.contains_key(&*name.path) {
        false => work.content(name)?,
        true => {
            let path = work.options.out.join(String::from_utf8_lossy(file.now.origin()).as_ref());
            let open = std::fs::File::open(&path).map_err(|source| SlimError::Write { path, source })?;
            routerpack_rootfs::Content { file: open.into(), offset: 0, len: file.now.size }
        }
    };
    content.sha256().map_err(|e| work.read_error(name, e))
}

/// All names of these files get one content: the first one's that has changed, or the first one's.
fn join(same: &[&Stored], changed: &mut Changed) {
    let is_changed = |file: &&&Stored| changed.entries.contains_key(&*file.names[0].path);
    match same.iter().find(is_changed) {
        Some(source) => {
            let link_group = changed.new_group();
            for name in same.iter().flat_map(|file| &file.names) {
                let entry = Entry { path: name.path.clone(), link_group, ..source.now.clone() };
                changed.entries.insert(name.path.to_vec(), entry);
            }
        }
        None => {
            let first = same[0].names[0];
            for name in same[1..].iter().flat_map(|file| &file.names) {
                let mut link = Entry::new(&name.path, Kind::HardLink, name.mode);
                link.extra.get_or_insert_default().link = first.path.to_vec();
                changed.entries.insert(name.path.to_vec(), link);
            }
        }
    }
}
