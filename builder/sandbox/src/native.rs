//! Hybrid emulation: native programs in the place of emulated ones that do the very same.
//!
//! Who starts a step says which programs have a native twin and what must hold ([`Native`]). The twins stand in a file system
//! mounted below the step's own `/dev`, under no path of the image. When the step begins, the looks of all files that count are
//! taken down in a table for the dispatcher (`dispatcher/main.rs`), which runs before qemu in each process, compares, and
//! either becomes the twin or leaves it to qemu. A twin is started by its own loader with its own libraries, since
//! the image's are for another machine:
//!
//! ```text
//! /dev/.routerpack/sort --inhibit-cache --library-path /dev/.routerpack/root/lib/… --argv0 sort /dev/.routerpack/root/usr/bin/sort …
//! └─ a link to the loader, so that the process is called `sort`
//! ```
//!
//! What shows: `/proc/PID/exe` and `cmdline` are the loader's.

use std::io;
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, StatxFlags};
use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error};
use crate::step::{Mount, Source};

#[path = "../dispatcher/table.rs"]
mod table;

use table::{Identity, Table, Tool, Witness, letter};

/// Where links to the loader are made, by the programs' names.
const PLACE: &str = "/dev/.routerpack";
/// Where the native file system is mounted.
const ROOT: &str = "/dev/.routerpack/root";

/// Beginnings of variables that leave a process to qemu. The loader's and the C library's own; options for the programs, which
/// would get past [`Twin::letters`]; and those that qemu itself obeys.
const REFUSED: [&str; 12] = [
    "LD_",
    "GCONV_PATH=",
    "LOCPATH=",
    "LANGUAGE=",
    "GLIBC_TUNABLES=",
    "MALLOC_",
    "QEMU_",
    "GZIP=",
    "BZIP",
    "XZ_",
    "ZSTD_",
    "TAR_OPTIONS=",
];

/// As many files as a table has bits for.
pub const MAX_WITNESSES: usize = 128;

/// Native programs for a step of another platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Native {
    /// The layers of the native file system, lowest first.
    pub lowers: Vec<PathBuf>,
    /// Its dynamic loader, a path in it without the slash at the beginning, links resolved.
    pub loader: String,
    /// Directories with its libraries, likewise.
    pub libraries: Vec<String>,
    /// Values of `LANG` and `LC_…` (besides none) with which both do the same.
    pub locales: Vec<String>,
    /// Files of the step's root that decide what its programs do: libraries, settings. Paths without the slash at the
    /// beginning, links resolved where they are there; at most [`MAX_WITNESSES`].
    pub witnesses: Vec<String>,
    /// The programs.
    pub twins: Vec<Twin>,
}

/// One program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Twin {
    /// Its path in the step's root, without the slash at the beginning, links resolved.
    pub path: String,
    /// The native one's path in the native file system, likewise.
    pub native: String,
    /// Letters that leave it to qemu, anywhere in an argument that begins with `-`, `+` or a digit.
    pub letters: String,
    /// Beginnings of arguments that leave it to qemu.
    pub prefixes: Vec<String>,
    /// Positions of its witnesses.
    pub witnesses: Vec<usize>,
}

impl Native {
    /// The mount that a step with this needs.
    pub fn mount(&self) -> Mount {
        let source = Source::Layers { lowers: self.lowers.clone(), scratch: None, subpath: String::new() };
        Mount { target: ROOT.into(), source, readonly: true }
    }

    /// Makes the links, and takes down how everything looks. In the step's root, before anything of the step runs.
    pub(crate) fn table(&self) -> Result<Vec<u8>, Error> {
        for twin in &self.twins {
            let link = format!("{PLACE}/{}", name(&twin.native));
            std::os::unix::fs::symlink(format!("root/{}", self.loader), &link).doing(|| format!("make {link}"))?;
        }
        self.encode(&|path| look(&format!("/{path}"))).doing(|| "look at the step's programs".into())
    }

    /// The table, with what `look` says of each path; none where nothing is.
    fn encode(&self, look: &dyn Fn(&str) -> io::Result<Option<Identity>>) -> io::Result<Vec<u8>> {
        let libraries: Vec<String> = self.libraries.iter().map(|dir| format!("{ROOT}/{dir}")).collect();
        // A program that isn't there (any more) has no twin, and one of two names of a file is enough.
        let mut twins: Vec<(Identity, &Twin)> = Vec::new();
        for twin in &self.twins {
            if let Some(identity) = look(&twin.path)?
                && twins.iter().all(|(other, _)| *other != identity)
            {
                twins.push((identity, twin));
            }
        }
        let tools = size_of::<Table>();
        let witnesses = tools + twins.len() * size_of::<Tool>();
        let mut texts = Texts { bytes: Vec::new(), at: witnesses + self.witnesses.len() * size_of::<Witness>() };
        let head = Table {
            tools,
            count: twins.len(),
            witnesses,
            refused: texts.list(&REFUSED),
            locales: texts.list(&self.locales),
            library_path: texts.one("--library-path"),
            libraries: texts.one(&libraries.join(":")),
            argv0: texts.one("--argv0"),
            inhibit_cache: texts.one("--inhibit-cache"),
        };
        let mut words: Vec<u64> = [
            head.tools,
            head.count,
            head.witnesses,
            head.refused,
            head.locales,
            head.library_path,
            head.libraries,
            head.argv0,
            head.inhibit_cache,
        ]
        .map(|n| n as u64)
        .to_vec();
        for (identity, twin) in twins {
            words.extend(identity_words(&identity));
            words.push(texts.one(&format!("{PLACE}/{}", name(&twin.native))) as u64);
            words.push(texts.one(&format!("{ROOT}/{}", twin.native)) as u64);
            words.push(twin.letters.bytes().fold(0, |mask, b| mask | letter(b)));
            words.push(texts.list(&twin.prefixes) as u64);
            let mut mask = [0; 2];
            for n in &twin.witnesses {
                mask[n / 64] |= 1 << (n % 64);
            }
            words.extend(mask);
        }
        for path in &self.witnesses {
            words.extend(identity_words(&look(path)?.unwrap_or_default()));
            words.push(texts.one(&format!("/{path}")) as u64);
        }
        Ok(words.iter().flat_map(|w| w.to_le_bytes()).chain(texts.bytes).collect())
    }
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn identity_words(i: &Identity) -> [u64; 7] {
    [i.device, i.inode, i.size, i.mtime[0], i.mtime[1], i.ctime[0], i.ctime[1]]
}

/// What is at a path, links followed.
fn look(path: &str) -> io::Result<Option<Identity>> {
    match rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS) {
        Ok(s) => Ok(Some(Identity {
            device: u64::from(s.stx_dev_major) | u64::from(s.stx_dev_minor) << 32,
            inode: s.stx_ino,
            size: s.stx_size,
            mtime: [s.stx_mtime.tv_sec as u64, s.stx_mtime.tv_nsec.into()],
            ctime: [s.stx_ctime.tv_sec as u64, s.stx_ctime.tv_nsec.into()],
        })),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The texts behind the table's records.
struct Texts {
    bytes: Vec<u8>,
    /// Where they begin.
    at: usize,
}

impl Texts {
    fn one(&mut self, text: &str) -> usize {
        let at = self.at + self.bytes.len();
        self.bytes.extend(text.bytes());
        self.bytes.push(0);
        at
    }

    fn list(&mut self, texts: &[impl AsRef<str>]) -> usize {
        let at = self.at + self.bytes.len();
        for text in texts {
            self.one(text.as_ref());
        }
        self.bytes.push(0);
        at
    }
}
