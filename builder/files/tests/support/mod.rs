//! Trees made from a few words, and a look at what an op made of them.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use routerpack_files::{Error, Settings, apply, base_input};
use routerpack_graph::pb::{self, FileAction, FileActionCopy, FileOp, file_action::Action};
use routerpack_rootfs::{Entry, Extra, Index, Kind, Mtime, Stratum, Tree, Warning};
use tempfile::TempDir;

pub const NOW: Mtime = Mtime { secs: 1_700_000_000, nanos: 5 };
pub const OLD: Mtime = Mtime { secs: 1_000_000_000, nanos: 7 };

/// A tree on disk that is written a line at a time.
pub struct Build {
    dir: TempDir,
    entries: Vec<Entry>,
}

pub fn build() -> Build {
    Build { dir: tempfile::tempdir().unwrap(), entries: Vec::new() }
}

impl Build {
    fn add(mut self, path: &str, kind: Kind, mode: u16, change: impl FnOnce(&mut Entry)) -> Self {
        let mut entry = Entry { mtime: OLD, ..Entry::new(path.as_bytes(), kind, mode) };
        change(&mut entry);
        self.entries.push(entry);
        self
    }

    pub fn dir(self, path: &str, mode: u16) -> Self {
        fs::create_dir_all(self.dir.path().join(path)).unwrap();
        self.add(path, Kind::Dir, mode, |_| {})
    }

    pub fn file(self, path: &str, data: impl AsRef<[u8]>) -> Self {
        self.file_mode(path, 0o644, data)
    }

    pub fn file_mode(self, path: &str, mode: u16, data: impl AsRef<[u8]>) -> Self {
        fs::write(self.dir.path().join(path), &data).unwrap();
        self.add(path, Kind::File, mode, |e| e.size = data.as_ref().len() as u64)
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.add(path, Kind::Symlink, 0o777, |e| e.extra.get_or_insert_default().link = target.into())
    }

    pub fn node(self, path: &str, kind: Kind, rdev: (u32, u32)) -> Self {
        self.add(path, kind, 0o600, |e| e.extra = Some(Box::new(Extra { rdev, ..Extra::default() })))
    }

    /// A second name of the last file.
    pub fn hard_link(mut self, path: &str) -> Self {
        let first = self.entries.last_mut().unwrap();
        first.link_group = first.link_group.max(first.size as u32 + 1000);
        let mut entry = first.clone();
        fs::hard_link(self.dir.path().join(std::str::from_utf8(&entry.path).unwrap()), self.dir.path().join(path))
            .unwrap();
        entry.path = path.as_bytes().into();
        self.entries.push(entry);
        self
    }

    /// Changes the last entry.
    pub fn owned(mut self, uid: u32, gid: u32) -> Self {
        let last = self.entries.last_mut().unwrap();
        (last.uid, last.gid) = (uid, gid);
        self
    }

    /// Changes the last entry.
    pub fn xattr(mut self, name: &str, value: &str) -> Self {
        let last = self.entries.last_mut().unwrap();
        last.extra.get_or_insert_default().xattrs.insert(name.into(), value.into());
        self
    }

    /// Changes the last entry.
    pub fn at(mut self, mtime: Mtime) -> Self {
        self.entries.last_mut().unwrap().mtime = mtime;
        self
    }

    pub fn done(self) -> Made {
        let stratum = Stratum::Dir { root: self.dir.path().into(), index: Arc::new(Index::new(self.entries)) };
        Made {
            tree: Tree::new(vec![stratum]).unwrap(),
            _dirs: vec![self.dir],
            warnings: Vec::new(),
            own: Index::default(),
        }
    }
}

/// A tree and what keeps it on disk.
#[derive(Debug)]
pub struct Made {
    pub tree: Tree,
    /// The last op's stratum.
    pub own: Index,
    pub warnings: Vec<Warning>,
    _dirs: Vec<TempDir>,
}

impl Made {
    /// Every path with kind, mode and (for files) content or (for links) target.
    pub fn list(&self) -> Vec<String> {
        self.tree.index.entries().iter().filter(|e| !e.path.is_empty()).map(|e| self.line(e)).collect()
    }

    pub fn line(&self, e: &Entry) -> String {
        let path = String::from_utf8_lossy(&e.path);
        match e.kind {
            Kind::Dir => format!("{path}/ {:o}", e.mode),
            Kind::File => format!("{path} {:o} {}", e.mode, self.read(&path)),
            Kind::Symlink => format!("{path} -> {}", String::from_utf8_lossy(e.link())),
            kind => format!("{path} {kind:?} {:?}", e.rdev()),
        }
    }

    pub fn paths(&self) -> Vec<String> {
        let entries = self.tree.index.entries().iter();
        entries.filter(|e| !e.path.is_empty()).map(|e| String::from_utf8_lossy(&e.path).into_owned()).collect()
    }

    pub fn get(&self, path: &str) -> &Entry {
        self.tree.index.get(path.as_bytes()).unwrap_or_else(|| panic!("no {path} in {:?}", self.paths()))
    }

    pub fn has(&self, path: &str) -> bool {
        self.tree.index.get(path.as_bytes()).is_some()
    }

    pub fn read(&self, path: &str) -> String {
        String::from_utf8_lossy(&self.tree.read(self.get(path), 1 << 20).unwrap()).into_owned()
    }

    pub fn owner(&self, path: &str) -> (u32, u32) {
        (self.get(path).uid, self.get(path).gid)
    }
}

/// A tree whose directories somebody else keeps.
pub fn made(tree: Tree) -> Made {
    Made { tree, own: Index::default(), warnings: Vec::new(), _dirs: Vec::new() }
}

pub fn scratch() -> Made {
    made(Tree::default())
}

/// What the Dockerfile frontend asks for with `COPY src dest`.
pub fn copy(src: &str, dest: &str) -> FileActionCopy {
    FileActionCopy {
        src: src.into(),
        dest: dest.into(),
        mode: -1,
        timestamp: -1,
        follow_symlink: true,
        dir_copy_contents: true,
        create_dest_path: true,
        allow_wildcard: true,
        allow_empty_wildcard: true,
        ..Default::default()
    }
}

pub fn by_id(uid: u32, gid: u32) -> Option<pb::ChownOpt> {
    let id = |id| Some(pb::UserOpt { user: Some(pb::user_opt::User::ById(id)) });
    Some(pb::ChownOpt { user: id(uid), group: id(gid) })
}

pub fn by_name(user: Option<&str>, group: Option<&str>, input: i64) -> Option<pb::ChownOpt> {
    let name = |name: Option<&str>| {
        name.map(|name| pb::UserOpt {
            user: Some(pb::user_opt::User::ByName(pb::NamedUserOpt { name: name.into(), input })),
        })
    };
    Some(pb::ChownOpt { user: name(user), group: name(group) })
}

/// An op of one action on input 0, from input 1.
pub fn op(action: Action) -> FileOp {
    FileOp { actions: vec![FileAction { input: 0, secondary_input: 1, output: 0, action: Some(action) }] }
}

/// Copies `from` over `to`.
pub fn run_copy(to: &Made, from: &Made, action: FileActionCopy) -> Result<Made, Error> {
    run(&op(Action::Copy(action)), &[to, from])
}

/// Runs an op, checks that the directory is what its index says, and lays it over its base.
pub fn run(op: &FileOp, inputs: &[&Made]) -> Result<Made, Error> {
    let work = tempfile::tempdir().unwrap();
    let dest = work.path().join("fs");
    fs::create_dir(&dest).unwrap();
    let trees: Vec<&Tree> = inputs.iter().map(|m| &m.tree).collect();
    let settings = Settings { can_chown: rustix::process::geteuid().is_root(), now: NOW };
    let result = apply(op, 0, &trees, &dest, &settings);
    let left: Vec<PathBuf> = fs::read_dir(work.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left, [dest.as_path()], "something was left or written outside of the directory");
    // Which action failed is not what most tests ask.
    let output = result.map_err(|error| match error {
        Error::Action { error, .. } => *error,
        other => other,
    })?;
    assert!(output.mountable, "the tests' temporary directory has to be fit for an overlay");
    assert_eq!(base_input(op, 0, inputs.len()).unwrap(), output.base);
    assert_disk_is(&dest, &output.index, settings.can_chown, &output.warnings);
    let mut tree = output.base.map(|n| trees[n].clone()).unwrap_or_default();
    let own = output.index.clone();
    tree.push(Stratum::Dir { root: dest, index: Arc::new(output.index) }).unwrap();
    for entry in tree.index.entries().iter().filter(|e| e.kind == Kind::File) {
        tree.content(entry).unwrap_or_else(|e| panic!("{}: {e}", String::from_utf8_lossy(&entry.path)));
    }
    Ok(Made { tree, own, warnings: output.warnings, _dirs: vec![work] })
}

fn assert_disk_is(dest: &Path, index: &Index, can_chown: bool, warnings: &[Warning]) {
    let mut on_disk = BTreeMap::new();
    let mut todo = vec![(Vec::new(), dest.to_path_buf())];
    while let Some((name, path)) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            for entry in fs::read_dir(&path).unwrap().map(Result::unwrap) {
                let below =
                    [&name[..], if name.is_empty() { b"" } else { b"/" }, entry.file_name().as_bytes()].concat();
                todo.push((below, entry.path()));
            }
        }
        on_disk.insert(name, (path, meta));
    }
    let mut inodes: BTreeMap<u32, u64> = BTreeMap::new();
    for entry in index.entries() {
        let shown = String::from_utf8_lossy(&entry.path);
        let Some((path, meta)) = on_disk.remove(&*entry.path) else {
            assert!(!warnings.is_empty(), "{shown} is not on disk");
            continue;
        };
        assert_eq!((entry.stratum, entry.offset), (0, 0), "{shown}");
        let kind = meta.file_type();
        if entry.kind == Kind::Whiteout {
            assert!(kind.is_char_device() && meta.rdev() == 0, "{shown} is no whiteout on disk");
            continue;
        }
        let right = match entry.kind {
            Kind::Dir => kind.is_dir(),
            Kind::File => kind.is_file() && meta.len() == entry.size,
            Kind::Symlink => kind.is_symlink() && fs::read_link(&path).unwrap().as_os_str().as_bytes() == entry.link(),
            Kind::Fifo => kind.is_fifo(),
            Kind::CharDev => kind.is_char_device(),
            Kind::BlockDev => kind.is_block_device(),
            _ => false,
        };
        assert!(right, "{shown} is {kind:?} on disk");
        if entry.kind != Kind::Symlink {
            assert_eq!(meta.mode() & 0o7777, u32::from(entry.mode), "{shown}'s mode");
        }
        if can_chown {
            assert_eq!((meta.uid(), meta.gid()), (entry.uid, entry.gid), "{shown}'s owner");
        }
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (entry.mtime.secs, entry.mtime.nanos.into()), "{shown}'s time");
        let mut value = [0; 16];
        let opaque = rustix::fs::lgetxattr(&path, "user.overlay.opaque", &mut value[..]).is_ok();
        assert_eq!(opaque, entry.opaque, "{shown}'s opaque mark");
        if entry.link_group != 0 {
            assert_eq!(*inodes.entry(entry.link_group).or_insert(meta.ino()), meta.ino(), "{shown}'s inode");
        }
        for dir in entry.path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| &entry.path[..at]) {
            assert!(index.get(dir).is_some_and(|e| e.kind == Kind::Dir), "{shown}'s parents are not in the index");
        }
    }
    on_disk.remove(&b""[..]); // the directory itself, which the index may leave unsaid
    assert!(on_disk.is_empty(), "on disk, but not in the index: {:?}", on_disk.keys());
}
