//! `--slim`: the passes that make an image smaller before it is packed, and what is said about them.

use std::{collections::BTreeSet, fs, io, path::Path};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use routerpack_builder::{Name, Part, Rootfs, Strata, StratumId};
use routerpack_graph::{Digest, ImageConfig};
use routerpack_rootfs::{Index, Stratum};
use routerpack_sources::ledger::Stamp;
use routerpack_targets::slim::{self, Options, Pass, Report};
use serde::{Deserialize, Serialize};

use crate::{
    args::Layers,
    failure::Failure,
    machine::SignalWatch,
    progress::{Progress, megabytes},
};

/// What a word of `--slim` names: a pass, or all.
#[derive(Clone, Debug)]
pub struct Slim(Vec<Pass>);

impl Slim {
    /// Reads a word; `--help` lists them all.
    pub fn parser() -> impl TypedValueParser<Value = Self> {
        let all = PossibleValue::new("all").help("All of the following");
        let each = Pass::ALL.map(|pass| PossibleValue::new(pass.name()).help(pass.about()));
        PossibleValuesParser::new([all].into_iter().chain(each))
            .map(|word| Slim(Pass::ALL.into_iter().filter(|pass| word == "all" || word == pass.name()).collect()))
    }
}

/// The passes that were asked for.
pub struct Passes(BTreeSet<Pass>);

/// What an earlier run has made of the same rootfs.
#[derive(Serialize, Deserialize)]
struct Record {
    strata: Vec<StratumId>,
    report: Report,
    /// What it is, and what it was made of, for those who list the cache.
    what: String,
    inputs: Vec<StratumId>,
}

impl Passes {
    /// From the command line. A layer takes nothing away from those below it: what is to be smaller is one layer.
    pub fn new(given: &[Slim], layers: Option<Layers>) -> Result<Self, Failure> {
        match (given, layers) {
            ([_, ..], Some(Layers::Keep)) => Err(Failure::usage(
                "--slim and --layers=keep don't go together: files of kept layers stay in the archive, removed or not\n  leave --layers away: the slimmed image is one layer",
            )),
            _ => Ok(Self(given.iter().flat_map(|word| word.0.clone()).collect())),
        }
    }

    /// What `--layers` means with these passes.
    pub fn layers(&self, given: Option<Layers>) -> Option<Layers> {
        if self.0.is_empty() { given } else { Some(Layers::Flat) }
    }

    /// The rootfs made smaller; what was done is printed.
    pub fn apply(
        &self,
        rootfs: &Rootfs,
        config: &ImageConfig,
        epoch: Option<i64>,
        strata: &Strata,
        progress: &Progress,
        watch: &SignalWatch,
    ) -> Result<Rootfs, Failure> {
        if self.0.is_empty() {
            return Ok(rootfs.clone());
        }
        let made = match self.key(rootfs, config, epoch)? {
            None => self.make(rootfs, config, epoch, strata, watch, None)?,
            Some(key) => {
                let cache = strata.cache();
                let file = format!("ops/{}.json", key.hex());
                let lock = cache.lock(&format!("op-{}", key.hex()));
                let _lock = lock.map_err(|e| Failure::new(format!("lock a result: {e}")))?;
                cache.hold(&file, Stamp::Json);
                let known = cache.record::<Record>(&file).filter(|r| r.strata.iter().all(|id| strata.has(id)));
                match known {
                    Some(record) => (record.strata.into_iter().map(Part::Kept).collect(), record.report),
                    None => {
                        let (parts, report) = self.make(rootfs, config, epoch, strata, watch, Some(&key))?;
                        let ids = Rootfs::new(parts.clone()).ids().unwrap_or_default();
                        let inputs = rootfs.ids().and_then(|ids| ids.last().cloned()).into_iter().collect();
                        let record = Record { strata: ids, report: report.clone(), what: self.what(), inputs };
                        let written = cache.write_record(&file, &record);
                        written.map_err(|e| Failure::new(format!("record a result: {e}")))?;
                        (parts, report)
                    }
                }
            }
        };
        let (parts, report) = made;
        say(&report, progress);
        Ok(Rootfs::new(rootfs.parts().iter().cloned().chain(parts).collect()))
    }

    fn keep(&self, strata: &Strata, temp: &Path, index: Index, id: &Digest) -> Result<StratumId, Failure> {
        let name = Name { id: id.clone(), what: self.what(), by_name: false };
        strata.keep(temp, index, &name).map_err(Failure::new)
    }

    fn what(&self) -> String {
        format!("slim {}", self.0.iter().map(|pass| pass.name()).collect::<Vec<_>>().join(","))
    }

    /// Names all that the result depends on; none for a rootfs that has no name itself.
    fn key(&self, rootfs: &Rootfs, config: &ImageConfig, epoch: Option<i64>) -> Result<Option<Digest>, Failure> {
        let Some(ids) = rootfs.ids() else { return Ok(None) };
        let facts = serde_json::to_vec(&("slim", slim::VERSION, &self.0, epoch, ids, &config.config));
        facts.map(|facts| Some(Digest::of(&facts))).map_err(Failure::new)
    }

    /// Does the passes; the result is kept under a name, or for this run only.
    fn make(
        &self,
        rootfs: &Rootfs,
        config: &ImageConfig,
        epoch: Option<i64>,
        strata: &Strata,
        watch: &SignalWatch,
        name: Option<&Digest>,
    ) -> Result<(Vec<Part>, Report), Failure> {
        let tree = strata.tree(rootfs).map_err(Failure::new)?;
        let fail = |e: io::Error| Failure::new(format!("make a folder in the cache: {e}"));
        let temp = strata.cache().temp_dir().map_err(fail)?;
        let out = temp.join("fs");
        fs::create_dir(&out).map_err(fail)?;
        let stop = || watch.interrupt.is_raised();
        let options = Options { passes: &self.0, epoch, out: &out, stop: &stop };
        let slimmed = slim::slim(&tree, config, &options)
            .map_err(|error| watch.failure().unwrap_or_else(|| Failure::new(error)))?;
        let part = match name {
            Some(name) => Part::Kept(self.keep(strata, &temp, slimmed.index, name)?),
            None => Part::Live(Stratum::Dir { root: out, index: slimmed.index.into() }),
        };
        Ok((vec![part], slimmed.report))
    }
}

/// A line for each pass, and one for what had to stay.
fn say(report: &Report, progress: &Progress) {
    for pass in &report.passes {
        let name = pass.pass.name();
        progress.line(&match pass.files {
            0 => format!("slim {name}: nothing to be done"),
            _ => format!("slim {name}: {}, {} less", pass.done(), megabytes(pass.bytes)),
        });
        if let Some(stayed) = pass.stayed() {
            progress.line(&format!("slim {name}: {stayed}"));
        }
    }
}
