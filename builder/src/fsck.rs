//! Verifies the cache: bytes against digests, files against indexes, records against what they name.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use routerpack_rootfs::{Entry, Index, Kind};
use routerpack_sources::ledger::Removal;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{
    cache::{Cache, Made, STAMP},
    inventory::{Inventory, Record},
};

/// The age from which a nameless writer's file in `tmp/` counts as left behind.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// What is wrong with a record.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The record, below the cache.
    pub path: PathBuf,
    /// What is wrong.
    pub why: String,
    /// About how many bytes it takes.
    pub size: u64,
    /// A build that used it would be wrong or fail. Else it only takes room: a killed run left it, say, and no build
    /// will ever look at it.
    pub damage: bool,
    /// It was removed.
    pub mended: bool,
}

/// What was looked at, and what was found.
#[derive(Debug, Default)]
pub struct Report {
    /// How many records.
    pub records: usize,
    /// Bytes that were hashed.
    pub hashed: u64,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

impl Report {
    /// Whether something damaged is still there.
    pub fn is_damaged(&self) -> bool {
        self.faults.iter().any(|fault| fault.damage && !fault.mended)
    }
}

/// Looks at every record; with `repair`, removes what is wrong unless a build uses it.
pub fn check(cache: &Cache, repair: bool, now: SystemTime, stop: &dyn Fn() -> bool) -> io::Result<Report> {
    let inventory = Inventory::read(cache)?;
    let mut report = Report { records: inventory.records.len(), ..Report::default() };
    for record in &inventory.records {
        if stop() {
            break;
        }
        let found = match look(cache, record, &mut report.hashed) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => None, // it was removed meanwhile
            Err(e) => Some((true, format!("can't be read: {e}"))),
            Ok(found) => found,
        };
        if let Some((damage, why)) = found
            && cache.path(&record.path).symlink_metadata().is_ok()
        {
            report.faults.push(Fault { path: record.path.clone(), why, size: record.size, damage, mended: false });
        }
    }
    let bad: HashSet<PathBuf> =
        report.faults.iter().filter(|f| f.path.starts_with("snapshots")).map(|f| f.path.clone()).collect();
    for record in inventory.records.iter().filter(|r| r.needs.iter().any(|need| bad.contains(need))) {
        report.faults.push(leftover(record, "needs a snapshot that is not as it should be"));
    }
    let bad: HashSet<PathBuf> = report.faults.iter().map(|f| f.path.clone()).collect();
    let results = inventory.records.iter().filter(|r| r.kind.dir == "ops" && !bad.contains(&r.path));
    let named: HashSet<&PathBuf> = results.flat_map(|r| &r.needs).collect();
    for record in inventory.records.iter().filter(|r| r.kind.dir == "snapshots" && !r.held) {
        let of_a_step = || cache.found::<Made>(record.path.join(STAMP)).is_some_and(|made| !made.value.by_name);
        if !named.contains(&record.path) && !bad.contains(&record.path) && of_a_step() {
            report.faults.push(leftover(record, "no result names it"));
        }
    }
    report.faults.extend(abandoned(cache, now)?);
    if repair {
        mend(cache, &mut report.faults)?;
    }
    Ok(report)
}

fn leftover(record: &Record, why: &str) -> Fault {
    Fault { path: record.path.clone(), why: why.into(), size: record.size, damage: false, mended: false }
}

/// What is wrong with a record, and whether that is damage.
fn look(cache: &Cache, record: &Record, hashed: &mut u64) -> io::Result<Option<(bool, String)>> {
    let path = cache.path(&record.path);
    let stamped = matches!(record.kind.dir, "snapshots" | "layers");
    let json = if stamped { record.path.join(STAMP) } else { record.path.clone() };
    if !record.sound {
        return Ok(Some(match cache.found::<Value>(json) {
            Some(_) => (false, "was written shortly before a crash, so nothing relies on it".into()),
            None if stamped => (false, "is not finished".into()),
            None => (true, "can't be read".into()),
        }));
    }
    let id = record.id();
    let damage = |why: &str| Ok(Some((true, why.to_string())));
    match record.kind.dir {
        "blobs/sha256" => match sha256(&path, hashed)? {
            actual if actual == id => Ok(None),
            actual => Ok(Some((true, format!("has the digest {actual}")))),
        },
        "layers" => match sha256(&path.join("layer.tar"), hashed) {
            Ok(actual) if actual != id => Ok(Some((true, format!("its tar has the digest {actual}")))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => damage("has no tar"),
            Err(e) => Err(e),
            Ok(_) if index(&path)?.is_none() => damage("its index can't be read"),
            Ok(_) => Ok(None),
        },
        "snapshots" => {
            let Some(index) = index(&path)? else { return damage("its index can't be read") };
            for entry in index.entries() {
                if let Some(why) = differs(&path.join("fs"), entry)? {
                    return Ok(Some((true, format!("{}: {why}", routerpack_rootfs::path::show(&entry.path)))));
                }
            }
            Ok(None)
        }
        "ops" => {
            let missing = missing(cache, record)?;
            Ok(missing.map(|id| (false, format!("names snapshot {id}, which is not there"))))
        }
        "refs" | "http" | "files" if record.needs.is_empty() => {
            Ok(Some((false, "names a blob that is not there".into())))
        }
        _ => Ok(None),
    }
}

/// The first snapshot that a result names in vain. Layers can be had again.
fn missing(cache: &Cache, record: &Record) -> io::Result<Option<String>> {
    let Some(found) = cache.found::<crate::executor::Record>(&record.path) else { return Ok(None) };
    let absent =
        |id: &&crate::StratumId| matches!(id, crate::StratumId::Snapshot(_)) && !cache.path(id.below()).exists();
    Ok(found
        .value
        .strata
        .iter()
        .find(absent)
        .map(|id| id.below().file_name().unwrap_or_default().to_string_lossy().into()))
}

fn index(dir: &Path) -> io::Result<Option<Index>> {
    let file = match File::open(dir.join("index")) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let len = file.metadata()?.len();
    match Index::decode(file, len) {
        Ok(index) => Ok(Some(index)),
        Err(routerpack_rootfs::DecodeError::Damaged) => Ok(None),
        Err(routerpack_rootfs::DecodeError::Read(e)) => Err(e),
    }
}

/// How a snapshot's file is not what its index says. Devices and whiteouts have forms that depend on who made them.
fn differs(root: &Path, entry: &Entry) -> io::Result<Option<&'static str>> {
    if !matches!(entry.kind, Kind::File | Kind::Dir | Kind::Symlink) {
        return Ok(None);
    }
    let origin = entry.extra.as_ref().map(|extra| &extra.origin[..]).filter(|origin| !origin.is_empty());
    let path = root.join(std::ffi::OsStr::from_bytes(origin.unwrap_or(&entry.path)));
    let meta = match fs::symlink_metadata(&path) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Some("is missing"));
        }
        meta => meta?,
    };
    Ok(match entry.kind {
        Kind::File if !meta.is_file() => Some("is no file"),
        Kind::File if meta.len() != entry.size => Some("has another size"),
        Kind::Dir if !meta.is_dir() => Some("is no directory"),
        Kind::Symlink if !meta.is_symlink() || fs::read_link(&path)?.as_os_str().as_bytes() != entry.link() => {
            Some("is another symbolic link")
        }
        _ => None,
    })
}

fn sha256(path: &Path, hashed: &mut u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            n => {
                hash.update(&buffer[..n]);
                *hashed += n as u64;
            }
        }
    }
}

/// Files of writers that were killed. Folders of killed runs are cleared whenever the cache is opened.
fn abandoned(cache: &Cache, now: SystemTime) -> io::Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for dir in ["tmp", "."] {
        for entry in fs::read_dir(cache.path(dir))? {
            let entry = entry?;
            let Ok(meta) = entry.metadata() else { continue };
            let ours = dir == "tmp" || entry.file_name().as_bytes().starts_with(b"format.");
            let old = now.duration_since(meta.modified()?).is_ok_and(|age| age > ABANDONED);
            if meta.is_file() && ours && old {
                let path = Path::new(dir).join(entry.file_name());
                faults.push(Fault {
                    path,
                    why: "a killed run has left it".into(),
                    size: meta.len(),
                    damage: false,
                    mended: false,
                });
            }
        }
    }
    Ok(faults)
}

fn mend(cache: &Cache, faults: &mut [Fault]) -> io::Result<()> {
    // Results before what they name.
    faults.sort_by_key(|fault| !fault.path.starts_with("ops"));
    let gate = Removal::begin(cache.dir())?;
    let mut away = Vec::new();
    for fault in faults.iter_mut().filter(|fault| !gate.is_held(&fault.path)) {
        away.push(cache.take_away(&fault.path)?);
        fault.mended = true;
    }
    drop(gate);
    cache.discard(&away)
}
