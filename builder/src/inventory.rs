//! What is in the cache: every record with its size, its times, and what it needs.
//!
//! A record's size stands in its stamp, so the files of a snapshot are not looked at; only cache mounts, which change
//! at any time, are measured.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use routerpack_graph::Digest;
use routerpack_sources::ledger;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    cache::{Cache, Made, STAMP},
    executor,
    rootfs::StratumId,
};

/// A folder of the cache and what its entries are.
#[derive(Debug)]
pub struct Kind {
    /// The name by which it is listed and filtered.
    pub name: &'static str,
    /// The folder below the cache.
    pub dir: &'static str,
    /// What it holds, for people.
    pub about: &'static str,
    /// Needed to start from the same base images again: goes only with `--all`.
    pub base: bool,
    /// Worth a line in a list; else it only says something about other records.
    pub listed: bool,
    form: Form,
}

/// How a record is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A directory with a stamp, and perhaps further ones in it.
    Stamped,
    /// A directory with a stamp, whose content changes.
    Measured,
    /// JSON with [`executor::Record`]'s fields.
    Result,
    /// JSON that names a blob; it is as recent as the blob.
    Pointer,
    /// A file that says nothing of itself.
    File,
}

/// Every kind of record. A folder that isn't here is never removed from.
pub const KINDS: [Kind; 12] = [
    Kind {
        name: "snapshots",
        dir: "snapshots",
        about: "what steps wrote; checkouts, downloads",
        base: false,
        listed: true,
        form: Form::Stamped,
    },
    Kind {
        name: "layers",
        dir: "layers",
        about: "layers of base images, as tar and unpacked",
        base: true,
        listed: true,
        form: Form::Stamped,
    },
    Kind {
        name: "blobs",
        dir: "blobs/sha256",
        about: "manifests, layers and downloads as they came",
        base: true,
        listed: true,
        form: Form::File,
    },
    Kind {
        name: "mounts",
        dir: "mounts",
        about: "RUN --mount=type=cache",
        base: false,
        listed: true,
        form: Form::Measured,
    },
    Kind {
        name: "results",
        dir: "ops",
        about: "which step gave which snapshots",
        base: false,
        listed: false,
        form: Form::Result,
    },
    Kind {
        name: "verdicts",
        dir: "verdicts",
        about: "what the check found in archives",
        base: false,
        listed: false,
        form: Form::File,
    },
    Kind {
        name: "outputs",
        dir: "outputs",
        about: "which files outputs were written to",
        base: false,
        listed: false,
        form: Form::File,
    },
    Kind {
        name: "archives",
        dir: "archives",
        about: "copies of archives that were asked for again",
        base: false,
        listed: true,
        form: Form::File,
    },
    Kind {
        name: "contexts",
        dir: "contexts",
        about: "hashes of build contexts' files",
        base: false,
        listed: false,
        form: Form::File,
    },
    Kind {
        name: "refs",
        dir: "refs",
        about: "what registries said of tags",
        base: true,
        listed: false,
        form: Form::Pointer,
    },
    Kind {
        name: "http",
        dir: "http",
        about: "what servers said of URLs",
        base: false,
        listed: false,
        form: Form::Pointer,
    },
    Kind {
        name: "files",
        dir: "files",
        about: "digests of local tars",
        base: true,
        listed: false,
        form: Form::Pointer,
    },
];

/// One record.
#[derive(Clone, Debug)]
pub struct Record {
    /// What it is.
    pub kind: &'static Kind,
    /// Where it is, below the cache.
    pub path: PathBuf,
    /// What it is, for people; may be empty.
    pub what: String,
    /// About how many bytes it takes on the disk.
    pub size: u64,
    /// When it was made.
    pub made: SystemTime,
    /// When it was last used, to ten minutes.
    pub used: SystemTime,
    /// How many runs used it, those within ten minutes counted once; 0 where that isn't counted.
    pub uses: u64,
    /// A run that lives uses it.
    pub held: bool,
    /// Records that must stay as long as this one, by their paths; those that are not there are left out.
    pub needs: Vec<PathBuf>,
    /// It counts: it can be read, and was not written just before a crash.
    pub sound: bool,
}

impl Record {
    /// A record of which nothing is known yet.
    pub(crate) fn at(kind: &'static Kind, path: PathBuf) -> Self {
        let (never, nothing) = (SystemTime::UNIX_EPOCH, String::new());
        Self {
            kind,
            path,
            what: nothing,
            size: 0,
            made: never,
            used: never,
            uses: 0,
            held: false,
            needs: Vec::new(),
            sound: true,
        }
    }

    /// Its name within its kind.
    pub fn id(&self) -> Cow<'_, str> {
        self.path.file_stem().unwrap_or_default().to_string_lossy()
    }
}

/// All records.
pub struct Inventory {
    /// In no particular order.
    pub records: Vec<Record>,
}

impl Inventory {
    /// Reads the cache. What comes or goes meanwhile is there or not.
    pub fn read(cache: &Cache) -> io::Result<Self> {
        let mut records = Vec::new();
        for kind in &KINDS {
            let entries = match fs::read_dir(cache.path(kind.dir)) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let path = Path::new(kind.dir).join(entry?.file_name());
                records.extend(record(cache, kind, path)?);
            }
        }
        // Read last, so that what a build has just made is known to be in use.
        let held = ledger::held(cache.dir())?;
        records.iter_mut().for_each(|record| record.held = held.contains(&record.path));
        link(&mut records);
        Ok(Self { records })
    }

    /// The bytes of all records.
    pub fn size(&self) -> u64 {
        self.records.iter().map(|record| record.size).sum()
    }
}

/// Reads one record; none if it has just been removed.
fn record(cache: &Cache, kind: &'static Kind, path: PathBuf) -> io::Result<Option<Record>> {
    let file = match kind.form {
        Form::Stamped | Form::Measured => path.join(STAMP),
        _ => path.clone(),
    };
    let mut record = Record::at(kind, path);
    let Some(meta) = there(fs::symlink_metadata(cache.path(&record.path)))? else { return Ok(None) };
    let stamp = there(fs::symlink_metadata(cache.path(&file)))?;
    record.used = stamp.as_ref().unwrap_or(&meta).modified()?;
    record.made = meta.created().unwrap_or(record.used).min(record.used);
    record.size = if meta.is_dir() { 0 } else { meta.blocks() * 512 };
    match kind.form {
        Form::Stamped | Form::Measured => match cache.found::<Made>(&file) {
            Some(made) => {
                record.what = made.value.what;
                record.made = time(made.time);
                record.uses = made.uses;
                record.sound = made.counts;
                record.size = match made.value.size {
                    Some(size) => size + unpacked(cache, &record.path)?,
                    None => measured(&cache.path(&record.path))?,
                };
            }
            None => {
                // A cache mount of an earlier version has no stamp.
                record.sound = kind.form == Form::Measured;
                record.size = measured(&cache.path(&record.path))?;
            }
        },
        Form::Result => match cache.found::<executor::Record>(&file) {
            Some(found) => {
                record.what = found.value.what;
                record.made = time(found.time);
                record.uses = found.uses;
                record.sound = found.counts;
                let needs = found.value.strata.iter().chain(&found.value.inputs);
                record.needs = needs.map(StratumId::below).collect();
                // The newest stratum of its own first: see `link`.
                if let Some(own) = found.value.strata.len().checked_sub(1) {
                    record.needs.swap(0, own);
                }
            }
            None => record.sound = false,
        },
        Form::Pointer => match pointer(&cache.path(&file)) {
            Some((digest, what)) => {
                record.what = what;
                record.needs = vec![Path::new("blobs/sha256").join(digest.hex())];
            }
            None => record.sound = false,
        },
        Form::File => {}
    }
    Ok(Some(record))
}

/// Fills in what one record says about another: what results need of each other, how recent a pointer is, what a blob is.
fn link(records: &mut [Record]) {
    let places: HashMap<PathBuf, usize> = records.iter().enumerate().map(|(n, r)| (r.path.clone(), n)).collect();
    // Results by the stratum that each made.
    let mut makers: HashMap<PathBuf, Vec<PathBuf>> = HashMap::new();
    for record in records.iter().filter(|r| r.kind.form == Form::Result) {
        if let Some(own) = record.needs.first() {
            makers.entry(own.clone()).or_default().push(record.path.clone());
        }
    }
    for n in 0..records.len() {
        let mut needs: HashSet<PathBuf> = records[n].needs.iter().cloned().collect();
        if records[n].kind.form == Form::Result {
            // Without an input's result its step would run again, so that this one would not be found.
            let inputs = records[n].needs.iter().skip(1).filter_map(|need| makers.get(need));
            let own = records[n].needs.first().and_then(|own| makers.get(own));
            let inputs: Vec<&PathBuf> = inputs.flatten().filter(|p| own.is_none_or(|own| !own.contains(p))).collect();
            needs.extend(inputs.into_iter().cloned());
        }
        if records[n].kind.form == Form::Pointer
            && let Some(&blob) = records[n].needs.first().and_then(|need| places.get(need))
        {
            records[n].used = records[n].used.max(records[blob].used);
            records[n].held |= records[blob].held;
            if records[blob].what.is_empty() {
                records[blob].what = records[n].what.clone();
            }
        }
        records[n].needs = needs.into_iter().filter(|need| places.contains_key(need)).collect();
    }
}

/// What a pointer names, and what it says of itself (routerpack-sources: `registry`, `http`, `store`).
fn pointer(file: &Path) -> Option<(Digest, String)> {
    let value: Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    let digest = Digest::deserialize(value.get("digest")?).ok()?;
    let text = ["reference", "name"].iter().find_map(|key| value.get(key)?.as_str());
    Some((digest, text.unwrap_or_default().to_string()))
}

fn time(nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
}

/// The sizes that stamps within a record's folders tell: a layer's unpacked forms.
fn unpacked(cache: &Cache, path: &Path) -> io::Result<u64> {
    let mut sum = 0;
    let Some(entries) = there(fs::read_dir(cache.path(path)))? else { return Ok(0) };
    for entry in entries {
        let inner = path.join(entry?.file_name()).join(STAMP);
        sum += cache.found::<Made>(inner).and_then(|made| made.value.size).unwrap_or(0);
    }
    Ok(sum)
}

/// The bytes that a directory's files take on the disk, by looking at each. Links are not followed.
fn measured(dir: &Path) -> io::Result<u64> {
    let mut seen = HashSet::new();
    let (mut sum, mut todo) = (0, vec![dir.to_path_buf()]);
    while let Some(dir) = todo.pop() {
        let Some(entries) = there(fs::read_dir(&dir))? else { continue };
        for entry in entries {
            let entry = entry?;
            let Some(meta) = there(entry.metadata())? else { continue };
            if meta.nlink() == 1 || meta.is_dir() || seen.insert(meta.ino()) {
                sum += meta.blocks() * 512;
            }
            if meta.is_dir() {
                todo.push(entry.path());
            }
        }
    }
    Ok(sum)
}

/// None for what has just been removed, or never was.
fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        other => other.map(Some),
    }
}
