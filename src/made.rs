//! What was made out of what: a file that is still as it was made is not made again.
//!
//! `outputs/<key>.json` in the cache names the files into which the output of one key was written, by their stamps.
//! It counts in one boot only: what a power cut has done to the files, nobody knows. An archive that was asked for
//! again after its file had gone is kept in `archives/<key>`, so that the third time it is copied (see [`keep`]).

use std::{
    ffi::OsStr,
    fs::{self, File, Metadata},
    io,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use routerpack_builder::{Cache, Part, Rootfs, Strata, StratumId};
use routerpack_graph::{Digest, ImageConfig};
use routerpack_rootfs::{Content, Stamp};
use routerpack_targets::{self as targets, Compression, Format, Layers, Summary, Warnings};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::machine;

/// Raised when the same key gives other bytes than before.
const VERSION: u32 = 1;

/// One output may stand in so many places at once.
const MAX_PLACES: usize = 16;

/// Kept archives take so many bytes together, and no more than this part of what is free on their disk.
const MAX_KEPT: u64 = 4 << 30;
const MAX_KEPT_PART: u64 = 10;

/// All that decides the bytes of an output.
pub struct What<'a> {
    /// The files.
    pub rootfs: &'a Rootfs,
    /// The config.
    pub config: &'a ImageConfig,
    /// The format.
    pub format: Format,
    /// How many layers.
    pub layers: Layers,
    /// Where it goes: the name decides the compression.
    pub dest: &'a Path,
    /// The names.
    pub tags: &'a [String],
    /// The limit of all times.
    pub epoch: Option<i64>,
}

/// An output that has been made, or will be.
pub struct Made<'a> {
    cache: &'a Cache,
    key: String,
    known: Option<Record>,
}

/// What is kept of it.
#[derive(Clone, Serialize, Deserialize)]
struct Record {
    bytes: u64,
    image_id: Option<Digest>,
    manifest: Option<Digest>,
    diff_ids: Vec<Digest>,
    tags: Vec<String>,
    warnings: Warnings,
    /// The files that were made, the last one first.
    places: Vec<Stamp>,
    /// The copy in the cache.
    kept: Option<Stamp>,
}

impl<'a> Made<'a> {
    /// Looks for what is known of an output; `None` where a part of the rootfs has no name that stands for its content.
    pub fn of(what: &What, strata: &'a Strata) -> Option<Self> {
        let cache = strata.cache();
        // An OCI archive takes a layer's compressed bytes, and one layer can be had in several forms.
        let blob = |part: &Part| match part {
            Part::Kept(StratumId::Layer(d)) if what.format == Format::Oci && what.layers == Layers::Keep => {
                strata.offered(d).map(|(image, n)| image.layers[n].digest.clone())
            }
            _ => None,
        };
        let blobs: Vec<_> = what.rootfs.parts().iter().map(blob).collect();
        let gzip = Compression::Auto.is_outer(what.format, what.dest);
        let key = json!([
            [
                VERSION.to_string(),
                env!("CARGO_PKG_VERSION").to_string(),
                format!("{:?}", (what.format, what.layers, gzip))
            ],
            [what.rootfs.ids()?, serde_json::to_value(what.config).ok()?, what.tags, what.epoch, blobs],
        ]);
        let key = Digest::of(key.to_string().as_bytes()).hex().to_string();
        let known = cache.note(record(&key));
        Some(Self { cache, key, known })
    }

    /// What was written, if the file of this name is still that.
    pub fn there(&self, dest: &Path) -> Option<Summary> {
        let known = self.known.as_ref()?;
        let stamp = stamp(dest)?;
        known.places.contains(&stamp).then_some(())?;
        // A link's own name is not the file's.
        let path = if dest.is_symlink() { dest.canonicalize().ok()? } else { dest.to_path_buf() };
        Some(known.summary(path, stamp))
    }

    /// Writes the file out of the archive that is kept, if it is.
    pub fn copy(&self, dest: &Path, now: SystemTime) -> Option<Summary> {
        let known = self.known.as_ref()?;
        let from = File::open(archive(self.cache, &self.key)).ok()?;
        (Some(Stamp::of(&from.metadata().ok()?)) == known.kept).then_some(())?;
        let (path, stamp) = targets::copy_archive(from, dest, now).ok()??;
        let summary = known.summary(path, stamp?);
        self.remember(&summary);
        Some(summary)
    }

    /// Takes note of what was written. That this fails only costs time.
    pub fn remember(&self, summary: &Summary) {
        let Some(stamp) = summary.stamp else { return };
        let mut places = vec![stamp];
        places.extend(self.known.iter().flat_map(|known| &known.places).copied().filter(|p| *p != stamp));
        places.truncate(MAX_PLACES);
        let record = Record {
            bytes: summary.bytes,
            image_id: summary.image_id.clone(),
            manifest: summary.manifest.clone(),
            diff_ids: summary.diff_ids.clone(),
            tags: summary.tags.clone(),
            warnings: summary.warnings.clone(),
            places,
            kept: self.known.as_ref().and_then(|known| known.kept),
        };
        let _ = fs::create_dir_all(self.cache.path("outputs")); // a cache that is older than this program
        let _ = self.cache.write_note(self::record(&self.key), &record);
    }

    /// The name to give to [`keep`], if this was made before: whoever asks for it a second time may do so a third.
    pub fn again(&self) -> Option<&str> {
        self.known.is_some().then_some(&*self.key)
    }
}

impl Record {
    fn summary(&self, path: PathBuf, stamp: Stamp) -> Summary {
        Summary {
            path: Some(path),
            bytes: self.bytes,
            image_id: self.image_id.clone(),
            manifest: self.manifest.clone(),
            diff_ids: self.diff_ids.clone(),
            tags: self.tags.clone(),
            warnings: self.warnings.clone(),
            report: None,
            stamp: Some(stamp),
        }
    }
}

fn record(key: &str) -> String {
    format!("outputs/{key}.json")
}

fn archive(cache: &Cache, key: &str) -> PathBuf {
    cache.path("archives").join(key)
}

/// A regular file's. It is opened for it, since a file system of the network looks at its server then.
fn stamp(path: &Path) -> Option<Stamp> {
    fs::metadata(path).ok().filter(|meta| meta.is_file())?;
    Some(Stamp::of(&File::open(path).ok()?.metadata().ok()?))
}

/// Keeps an archive: a copy of the file on standard input, which was made of it, that shares its blocks where the file
/// system can. The oldest ones go until all together are within their limit; what is larger by itself is not kept.
pub fn keep(cache: &Cache, key: &OsStr) -> io::Result<()> {
    let not_it = || io::Error::from(io::ErrorKind::NotFound);
    let key = key.to_str().filter(|key| key.bytes().all(|b| b.is_ascii_hexdigit())).ok_or_else(not_it)?;
    let _lock = cache.try_lock(&format!("archive-{key}"))?.ok_or_else(not_it)?; // one copy is enough
    let known: Record = cache.note(record(key)).ok_or_else(not_it)?;
    let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    // A file that has lost its name since has another ctime, and is the same.
    let is_it = |made: &Stamp, meta: &Metadata| {
        let now = Stamp::of(meta);
        *made == if meta.nlink() == 0 { Stamp { ctime: made.ctime, ..now } } else { now }
    };
    let meta = file.metadata()?;
    let made = known.places.iter().find(|made| is_it(made, &meta)).ok_or_else(not_it)?;
    let folder = cache.path("archives");
    fs::create_dir_all(&folder)?;
    let free = machine::free(&folder)?;
    make_room(&folder, made.size, MAX_KEPT.min(free / MAX_KEPT_PART))?;

    let temp = cache.temp_path();
    let copy = File::options().read(true).write(true).create_new(true).open(&temp)?;
    let content = Content { file: Arc::new(file), offset: 0, len: made.size };
    content.copy_to(&copy)?;
    // It was the file in question before and after, so it was all the time.
    if !is_it(made, &content.file.metadata()?) {
        return Err(not_it());
    }
    fs::rename(&temp, archive(cache, key))?;
    // Builds may have written it to further places meanwhile.
    let latest = cache.note(record(key)).unwrap_or(known);
    cache.write_note(record(key), &Record { kept: Some(Stamp::of(&copy.metadata()?)), ..latest })
}

fn make_room(folder: &Path, wanted: u64, limit: u64) -> io::Result<()> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        all.push((meta.modified()?, meta.len(), entry.path()));
    }
    all.sort();
    let mut sum = wanted.saturating_add(all.iter().map(|(_, len, _)| len).sum());
    for (_, len, path) in all {
        if sum <= limit {
            break;
        }
        fs::remove_file(path)?;
        sum -= len;
    }
    if sum <= limit { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
}
