//! Trees made by hand, and an independent reading of what was written.
#![allow(dead_code)] // each test file uses its part

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    ops::ControlFlow,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use routerpack_graph::{Digest, ImageConfig};
use routerpack_rootfs::{Entry, Extra, Index, Kind, Mtime, Stratum, Tree};
use routerpack_targets::{Compression, Dest, Error, Format, Image, LayerSource, Layers, Request, Summary, write};

/// A step's directory: index by hand, the files' bytes on disk.
pub struct Step {
    pub dir: tempfile::TempDir,
    pub entries: Vec<Entry>,
}

impl Step {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), entries: Vec::new() }
    }

    pub fn put(&mut self, entry: Entry) -> &mut Entry {
        self.entries.push(entry);
        self.entries.last_mut().unwrap()
    }

    pub fn dir(&mut self, path: &str) -> &mut Entry {
        self.put(Entry::new(path.as_bytes(), Kind::Dir, 0o755))
    }

    /// The bytes lie under a number, so that any path can be tried.
    pub fn file(&mut self, path: &[u8], bytes: &[u8]) -> &mut Entry {
        let origin = self.entries.len().to_string();
        fs::write(self.dir.path().join(&origin), bytes).unwrap();
        let extra = Extra { origin: origin.into_bytes(), ..Extra::default() };
        let entry =
            Entry { size: bytes.len() as u64, extra: Some(Box::new(extra)), ..Entry::new(path, Kind::File, 0o644) };
        self.put(entry)
    }

    /// Another name of the file that was put last.
    pub fn link(&mut self, path: &[u8], group: u32) -> &mut Entry {
        let first = self.entries.last_mut().unwrap();
        first.link_group = group;
        let entry = Entry { path: path.into(), ..first.clone() };
        self.put(entry)
    }

    pub fn symlink(&mut self, path: &str, to: &[u8]) -> &mut Entry {
        let extra = Extra { link: to.into(), ..Extra::default() };
        self.put(Entry { extra: Some(Box::new(extra)), ..Entry::new(path.as_bytes(), Kind::Symlink, 0o777) })
    }

    pub fn stratum(&self) -> Stratum {
        Stratum::Dir { root: self.dir.path().into(), index: Arc::new(Index::new(self.entries.clone())) }
    }

    pub fn tree(&self) -> Tree {
        Tree::new(vec![self.stratum()]).unwrap()
    }
}

pub fn xattr(entry: &mut Entry, name: &[u8], value: &[u8]) {
    entry.extra.get_or_insert_default().xattrs.insert(name.to_vec(), value.to_vec());
}

/// A small rootfs with one of everything that every format carries, and its times.
pub fn rootfs() -> Step {
    let mut s = Step::new();
    s.dir("").mode = 0o755;
    s.dir("bin");
    s.file(b"bin/hello", b"#!/bin/sh\necho hello\n").mode = 0o755;
    s.link(b"bin/again", 1);
    s.dir("etc").mode = 0o700;
    let e = s.file(b"etc/conf", b"a=1\n");
    (e.uid, e.gid, e.mtime) = (33, 44, Mtime { secs: 1_600_000_000, nanos: 5 });
    s.symlink("link", b"/etc/conf");
    s.file(b"big", &vec![7; 1_000_003]);
    s.dir("tmp").mode = 0o1777;
    s
}

pub fn config() -> ImageConfig {
    let mut config =
        ImageConfig { os: "linux".into(), architecture: "arm".into(), variant: "v7".into(), ..Default::default() };
    config.created = Some("2024-01-02T03:04:05Z".into());
    config.config.entrypoint = vec!["/bin/hello".into()];
    config.config.env = vec!["A=b".into()];
    config
}

/// A request with the usual answers.
pub struct Ask<'a> {
    pub format: Format,
    pub tree: &'a Tree,
    pub config: ImageConfig,
    pub layers: &'a [LayerSource],
    pub keep: Layers,
    pub tags: Vec<String>,
    pub epoch: Option<i64>,
    pub compression: Compression,
}

impl<'a> Ask<'a> {
    pub fn new(format: Format, tree: &'a Tree) -> Self {
        Self {
            format,
            tree,
            config: config(),
            layers: &[],
            keep: Layers::Flat,
            tags: vec!["hello:1.0".into()],
            epoch: None,
            compression: Compression::Auto,
        }
    }

    pub fn keep(format: Format, tree: &'a Tree, layers: &'a [LayerSource]) -> Self {
        Self { layers, keep: Layers::Keep, ..Self::new(format, tree) }
    }

    pub fn to(&self, dest: Dest) -> Result<Summary, Error> {
        let spool = tempfile::tempdir().unwrap();
        let image = Image { tree: self.tree, config: &self.config, layers: self.layers };
        let request = Request {
            format: self.format,
            dest,
            tags: &self.tags,
            layers: self.keep,
            epoch: self.epoch,
            compression: self.compression,
            spool: spool.path(),
            check: None,
            sync: false,
            now: None,
        };
        let mut last = (0, 0);
        let summary = write(&image, request, &mut |done, total| {
            assert!(done >= last.0 && done <= total, "{done} of {total} after {last:?}");
            last = (done, total);
            ControlFlow::Continue(())
        });
        assert!(fs::read_dir(spool.path()).unwrap().next().is_none(), "the spool is left");
        summary
    }

    pub fn path(&self, path: &Path) -> Result<Summary, Error> {
        self.to(Dest::Path(path))
    }

    pub fn bytes(&self) -> (Vec<u8>, Summary) {
        let mut out = Vec::new();
        let summary = self.to(Dest::Stream(&mut out)).unwrap();
        assert_eq!(summary.bytes, out.len() as u64);
        (out, summary)
    }
}

/// One member as the `tar` crate sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub path: Vec<u8>,
    pub kind: tar::EntryType,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: i64,
    pub link: Vec<u8>,
    pub rdev: (u32, u32),
    pub data: Vec<u8>,
    pub pax: BTreeMap<String, Vec<u8>>,
}

/// Reads a tar with the `tar` crate, and walks its raw blocks beside: every header's checksum and
/// magic, nothing between members, two zero blocks and nothing more at the end.
pub fn members(bytes: &[u8]) -> Vec<Member> {
    assert_eq!(bytes.len() % 512, 0);
    assert!(bytes.len() >= 1024 && bytes[bytes.len() - 1024..].iter().all(|b| *b == 0));
    let mut at = 0;
    let mut archive = tar::Archive::new(bytes);
    let mut list = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut pax = BTreeMap::new();
        if let Some(extensions) = entry.pax_extensions().unwrap() {
            for extension in extensions {
                let extension = extension.unwrap();
                pax.insert(extension.key().unwrap().to_string(), extension.value_bytes().to_vec());
            }
        }
        let number = |key: &str| pax.get(key).map(|v| String::from_utf8(v.clone()).unwrap().parse::<i64>().unwrap());
        let header = entry.header().clone();
        let trimmed = entry.path_bytes().strip_suffix(b"/").map_or(entry.path_bytes().to_vec(), <[u8]>::to_vec);
        let mut data = Vec::new();
        let link = entry.link_name_bytes().map(|l| l.to_vec()).unwrap_or_default();
        entry.read_to_end(&mut data).unwrap();
        list.push(Member {
            path: trimmed,
            kind: header.entry_type(),
            mode: header.mode().unwrap(),
            uid: number("uid").map_or(header.uid().unwrap(), |n| n as u64),
            gid: number("gid").map_or(header.gid().unwrap(), |n| n as u64),
            mtime: number("mtime").unwrap_or(header.mtime().unwrap() as i64),
            link,
            rdev: (header.device_major().unwrap().unwrap(), header.device_minor().unwrap().unwrap()),
            data,
            pax,
        });
    }
    let mut headers = 0;
    while bytes[at..at + 512].iter().any(|b| *b != 0) {
        let block = &bytes[at..at + 512];
        let header = tar::Header::from_byte_slice(block);
        let sum: u32 =
            block.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) }).sum();
        assert_eq!(&block[148..156], format!("{sum:06o}\0 ").as_bytes());
        assert_eq!(&block[257..265], b"ustar\x0000");
        assert!(block[265..329].iter().all(|b| *b == 0), "user and group names");
        headers += usize::from(!header.entry_type().is_pax_local_extensions());
        at += 512 + (header.entry_size().unwrap() as usize).next_multiple_of(512);
    }
    assert_eq!(at + 1024, bytes.len());
    assert_eq!(headers, list.len());
    list
}

/// The bytes of one member.
pub fn member<'a>(list: &'a [Member], path: &str) -> &'a Member {
    list.iter().find(|m| m.path == path.as_bytes()).unwrap_or_else(|| panic!("no {path} in {:?}", paths(list)))
}

pub fn paths(list: &[Member]) -> Vec<String> {
    list.iter().map(|m| String::from_utf8_lossy(&m.path).into_owned()).collect()
}

pub fn json(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).unwrap()
}

pub fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

/// A base image's layer: a tar on disk, indexed by the reader of layers.
pub fn tar_stratum(dir: &Path, bytes: &[u8]) -> (Stratum, Digest) {
    let path: PathBuf = dir.join(Digest::of(bytes).hex());
    let mut spool = fs::File::create(&path).unwrap();
    let index = routerpack_rootfs::read_layer(bytes, &mut spool).unwrap().index;
    (Stratum::Tar { file: path, index: Arc::new(index) }, Digest::of(bytes))
}

/// Names in a directory.
pub fn names(dir: &Path) -> Vec<String> {
    let mut v: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| String::from_utf8_lossy(e.unwrap().file_name().as_bytes()).into_owned())
        .collect();
    v.sort();
    v
}
