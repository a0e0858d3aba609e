//! A strict importer's eye on an archive: what a router would make of it, before it is uploaded.
//!
//! ```text
//!  file ─► archive (members) ─► layout: manifest, index, tag ─► image (config, layers)
//!                                                                 ├─► digests: config, diff_ids, platform
//!                                                                 └─► per layer: compression, entries ─► Tree
//!                                         command: entrypoint, scripts, user ◄──┤
//!                                         binaries: machine, loader, libraries ◄┘    size: disk, memory
//! ```
//!
//! Each family of rules is one file; what a rule weighs, and how it is known, stands in [`crate::rules`]. Archives
//! are untrusted: contents stream, what is inflated goes to a spool and has a limit.

mod archive;
mod binaries;
pub(crate) mod command;
mod digests;
mod entries;
mod firewall;
mod fix;
mod image;
mod layout;
mod programs;
mod report;
mod scripts;
mod shell;
mod size;
mod walk;

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use routerpack_graph::{Digest, ImageConfig, Platform};
use routerpack_rootfs::{Stratum, Tree, read_layer};

use crate::{devices::Device, profile::Profile, rules::Severity};
use archive::{Inflate, Members, Packing, Range, Spool};
pub use fix::{FixError, Fixed, fix};
use image::Described;
pub(crate) use programs::Programs;
use report::Findings;
pub use report::{Finding, Report, sarif};
pub use size::{likely_free, peak};

/// Where an archive comes from.
pub enum Source<'a> {
    /// A file; a pipe or device is read to its end first.
    Path(&'a Path),
    /// A stream, and the name that the report gives it.
    Reader(&'a mut dyn Read, &'a str),
}

/// What an archive is judged by.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// For which RouterOS.
    pub profile: Profile,
    /// For which router: platform, memory, flash.
    pub device: Option<&'a Device>,
    /// For which platform, where no device is named. Without both the image's own is taken, which must be one
    /// that routers have.
    pub platform: Option<Platform>,
    /// Bytes free on the disk that the container goes to; exact where the device's flash is an estimate.
    pub disk: Option<u64>,
    /// A directory for what has to be inflated.
    pub spool: &'a Path,
    /// Most bytes that are put there.
    pub limit: u64,
}

impl<'a> Options<'a> {
    /// For every version and any device; at most 64 GiB inflated.
    pub fn new(spool: &'a Path) -> Self {
        Self { profile: Profile::Universal, device: None, platform: None, disk: None, spool, limit: 64 << 30 }
    }

    fn platform(&self) -> Option<Platform> {
        self.device.and_then(Device::platform).or_else(|| self.platform.clone())
    }
}

/// Why an archive could not be judged at all. Whatever is wrong inside is a finding instead.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The file could not be read.
    #[error("can't read {}: {source}", path.display())]
    Read {
        /// The archive.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory is no archive.
    #[error("{} is a directory: give an archive; an OCI layout can be packed with `tar -C DIR -cf layout.tar .`", .0.display())]
    Directory(PathBuf),
    /// No room for what has to be inflated.
    #[error("can't keep inflated data in {}: {source}; free some space there, or choose another place (TMPDIR)", dir.display())]
    Spool {
        /// The spool directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// More comes out of a stream than the limit.
    #[error("{} gives more bytes than the limit for one check allows", .0.display())]
    TooMuch(PathBuf),
}

/// Judges one archive.
pub fn check(source: Source, options: &Options) -> Result<Report, CheckError> {
    let mut spool = Spool::new(options.spool, options.limit);
    Ok(examine(source, options, &mut spool)?.report)
}

/// A report, and the image that it speaks of, as far as it could be read.
pub(crate) struct Examined {
    pub report: Report,
    pub image: Option<(Tree, ImageConfig)>,
}

/// What the families of rules share.
pub(crate) struct Subject<'a> {
    pub options: &'a Options<'a>,
    pub config: &'a ImageConfig,
    pub tree: &'a Tree,
    pub programs: &'a Programs,
    /// What it has to run on.
    pub platform: Platform,
}

/// What whoever has just packed an archive of one layer knows of it.
pub(crate) struct Made<'a> {
    /// What was packed.
    pub tree: &'a Tree,
    /// Seen while it was packed.
    pub programs: Programs,
    /// Of the layer's bytes.
    pub diff_id: Digest,
}

/// Judges an archive that has just been packed: everything that [`check`] reads of the archive is read, but for the
/// contents of files, which `made` speaks of.
pub(crate) fn check_made(name: &Path, file: &File, made: Made, options: &Options) -> Result<Report, CheckError> {
    let failed = |source| CheckError::Read { path: name.into(), source };
    let end = file.metadata().map_err(failed)?.len();
    let file = Arc::new(file.try_clone().map_err(failed)?);
    let bytes = Range { file, path: name.into(), start: 0, end };
    let mut spool = Spool::new(options.spool, 0); // nothing is compressed
    Ok(judge(name, bytes, Some(made), options, &mut spool)?.report)
}

fn examine(source: Source, options: &Options, spool: &mut Spool) -> Result<Examined, CheckError> {
    let (name, bytes) = match source {
        Source::Path(path) => (path.to_path_buf(), archive::open(path, spool)?),
        Source::Reader(reader, name) => (PathBuf::from(name), archive::keep(reader, Path::new(name), spool)?),
    };
    judge(&name, bytes, None, options, spool)
}

fn judge(
    name: &Path,
    bytes: Range,
    made: Option<Made>,
    options: &Options,
    spool: &mut Spool,
) -> Result<Examined, CheckError> {
    let io = |source| CheckError::Read { path: name.into(), source };
    let mut findings = Findings::new(options.profile);
    let mut report = Report {
        name: name.to_string_lossy().into_owned(),
        profile: options.profile,
        device: options.device.map(ToString::to_string),
        platform: None,
        image_id: None,
        tags: Vec::new(),
        bytes: bytes.len(),
        unpacked: 0,
        findings: Vec::new(),
    };
    let mut image = None;
    if let Some(bytes) = layout::outer(bytes, spool, &mut findings).map_err(Failed::at(name))? {
        let members = Members::read(bytes).map_err(io)?;
        if let Some(described) = layout::check(&members, options, &mut findings).map_err(io)? {
            report.tags = described.tags.clone();
            image = parts(&members, &described, made.as_ref(), options, spool, &mut findings, &mut report)
                .map_err(Failed::at(name))?;
        }
    }
    if image.is_none() && !findings.has("not-a-tar") && !findings.has("bare-rootfs") {
        findings.add("not-examined", "", "the image's files were not examined, so nothing is said about its programs");
    }
    if let Some((tree, config)) = &image {
        let own = config.platform().unwrap_or_default();
        let programs = made.map_or_else(|| Programs::of(tree), |made| made.programs);
        let platform = options.platform().unwrap_or(own);
        let subject = Subject { options, config, tree, programs: &programs, platform };
        let start = command::check(&subject, &mut findings);
        let memory = binaries::check(&subject, start.as_ref(), &mut findings);
        scripts::check(&subject, start.as_ref(), &mut findings);
        report.unpacked = size::check(&subject, report.bytes, memory, &mut findings);
    }
    report.findings = findings.finish();
    Ok(Examined { report, image })
}

/// Why reading went no further: a failure of the machine, not of the archive.
pub(crate) enum Failed {
    Io(io::Error),
    Check(CheckError),
}

impl Failed {
    fn at(path: &Path) -> impl Fn(Failed) -> CheckError {
        let path = path.to_path_buf();
        move |failed| match failed {
            Failed::Io(source) => CheckError::Read { path: path.clone(), source },
            Failed::Check(error) => error,
        }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Failed::Io(error)
    }
}

/// The config and the merged files, where they can be read.
fn parts(
    members: &Members,
    described: &Described,
    made: Option<&Made>,
    options: &Options,
    spool: &mut Spool,
    findings: &mut Findings,
    report: &mut Report,
) -> Result<Option<(Tree, ImageConfig)>, Failed> {
    let config = digests::config(members, described, findings)?;
    report.image_id = config.as_ref().map(|(_, id)| id.clone());
    let config = config.map(|(config, _)| config);
    report.platform = config.as_ref().and_then(ImageConfig::platform);
    if let Some(config) = &config {
        digests::platform(config, options, findings);
    }
    let mut strata = Vec::new();
    let mut whole = true;
    let mut ids = Vec::new();
    // The same bytes may be listed many times.
    let mut known: HashMap<u64, Option<(Option<Stratum>, Digest)>> = HashMap::new();
    for (at, name) in described.layers.iter().enumerate() {
        let place = image::layer(members, name).map(|range| range.start);
        let read = match place.and_then(|place| known.get(&place)) {
            Some(known) => known.clone(),
            None => layer(members, at, name, made, spool, findings)?,
        };
        known.extend(place.map(|place| (place, read.clone())));
        match read {
            Some((stratum, id)) => {
                strata.extend(stratum.filter(|_| whole));
                whole &= strata.len() == at + 1;
                ids.push(Some(id));
            }
            None => {
                whole = false;
                ids.push(None);
            }
        }
    }
    drop(known); // so that the merge has the indexes to itself
    let Some(config) = config else { return Ok(None) };
    digests::diff_ids(&config, &ids, findings);
    if let Some(made) = made {
        return Ok(Some((made.tree.clone(), config)));
    }
    if !whole || strata.is_empty() {
        return Ok(None);
    }
    match Tree::new(strata) {
        Ok(tree) => Ok(Some((tree, config))),
        Err(error) => {
            findings.add("layer-damaged", "", format!("the layers don't fit on one another: {error}"));
            Ok(None)
        }
    }
}

/// One layer: its compression, its entries as they stand, its files if it can be read, its digest.
fn layer(
    members: &Members,
    at: usize,
    name: &str,
    made: Option<&Made>,
    spool: &mut Spool,
    findings: &mut Findings,
) -> Result<Option<(Option<Stratum>, Digest)>, Failed> {
    let Some(stored) = image::layer(members, name) else {
        findings.add("layer-damaged", name, format!("layer {} is missing from the archive", at + 1));
        return Ok(None);
    };
    match stored.packing()? {
        Packing::Plain => {}
        Packing::Gzip => findings.add("layer-compression", name, format!("layer {} is compressed with gzip", at + 1)),
        other => findings.add("layer-zstd", name, format!("layer {} is compressed with {}", at + 1, other.name())),
    }
    let bytes = match spool.inflate(stored) {
        Ok(bytes) => bytes,
        Err(Inflate::Failed(error)) => return Err(Failed::Check(error)),
        Err(Inflate::Bad(why)) => {
            findings.add("layer-damaged", name, format!("layer {} can't be inflated: {why}", at + 1));
            return Ok(None);
        }
        Err(Inflate::TooMuch) => {
            findings.add(
                "layer-damaged",
                name,
                format!("layer {} inflates to more than the limit of one check", at + 1),
            );
            return Ok(None);
        }
    };
    let is_tar = entries::check(at, name, &bytes, findings)?;
    if let Some(made) = made {
        return Ok(Some((None, made.diff_id.clone())));
    }
    match read_layer(bytes.clone(), io::sink()) {
        Ok(read) => {
            let index = read.index.shifted(bytes.start);
            Ok(Some((Some(Stratum::Tar { file: bytes.path, index: Arc::new(index) }), read.diff_id)))
        }
        Err(error) => {
            // What the entries' rules have said about it need not be said twice.
            if is_tar && !["unsafe-name", "entry-types"].iter().any(|rule| findings.has(rule)) {
                findings.add("layer-damaged", name, format!("layer {} can't be extracted: {error}", at + 1));
            }
            Ok(Some((None, digests::hash(bytes)?)))
        }
    }
}

/// The highest weight of a report.
pub fn worst(reports: &[Report]) -> Option<Severity> {
    reports.iter().flat_map(|r| r.findings.iter().map(|f| f.severity)).max()
}
