//! `routerpack cache`: what is kept for later builds, and how it goes.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Write},
    process::ExitCode,
    time::SystemTime,
};

use routerpack_builder::{
    Cache,
    filter::Filter,
    fsck,
    inventory::{Inventory, KINDS, Record},
    prune::{self, Options, Pruned},
};
use serde_json::{Value, json};

use crate::{
    args::{CacheAction, CacheArgs, CacheFormat, Cli, PruneArgs},
    columns,
    failure::Failure,
    flags,
    ls::finish,
    machine::{self, SignalWatch},
    progress::megabytes,
};

/// Something damaged was found and is still there, as fsck(8) has it.
const DAMAGED: u8 = 4;

/// So many characters of an id are shown.
const SHORT: usize = 12;

/// Does what is asked for.
pub fn cache(cli: &Cli, args: &CacheArgs) -> Result<ExitCode, Failure> {
    let keep = match &args.action {
        CacheAction::Prune(args) => args.keep_storage.as_deref().map(|text| flags::bytes("--keep-storage", text)),
        _ => None,
    };
    let keep = keep.transpose().map_err(Failure::usage)?.map(i64::unsigned_abs);
    // Files of snapshots belong to all ids of an ordinary user.
    machine::become_root()?;
    let watch = SignalWatch::start()?;
    let cache = Cache::open(&machine::cache_dir(cli)?).map_err(Failure::new)?;
    let result = match &args.action {
        CacheAction::Du { format } => du(cli, &cache, *format),
        CacheAction::Ls { filter, all, format } => ls(&cache, filter, *all, *format),
        CacheAction::Prune(args) => {
            let PruneArgs { filter, all, force, dry_run, .. } = args;
            let options = Options { keep, all: *all, filters: filter.clone(), dry: *dry_run };
            prune(&cache, &options, *force, &watch)
        }
        CacheAction::Clear { force } => {
            let options = Options { all: true, ..Options::default() };
            prune(&cache, &options, *force, &watch)
        }
        CacheAction::Fsck { repair, format } => fsck(&cache, *repair, *format, &watch),
    };
    match watch.failure() {
        Some(interrupted) => Err(interrupted),
        None => result,
    }
}

fn failed(cache: &Cache) -> impl Fn(io::Error) -> Failure + '_ {
    |e| Failure::new(format!("the cache {}: {e}", cache.dir().display()))
}

/// What a table or JSON tells of one kind.
#[derive(Default)]
struct Total {
    records: usize,
    size: u64,
    used: u64,
    reclaimable: u64,
}

fn du(cli: &Cli, cache: &Cache, format: CacheFormat) -> Result<ExitCode, Failure> {
    let now = SystemTime::now();
    let mut totals: BTreeMap<&str, Total> = BTreeMap::new();
    for record in Inventory::read(cache).map_err(failed(cache))?.records {
        let total = totals.entry(record.kind.name).or_default();
        total.records += 1;
        total.size += record.size;
        total.used += if record.held { record.size } else { 0 };
    }
    let all = Options { all: true, dry: true, ..Options::default() };
    let could_go = prune::prune(cache, &all, now, &|| false).map_err(failed(cache))?;
    for record in &could_go.removed {
        totals.entry(record.kind.name).or_default().reclaimable += record.size;
    }
    let limit = machine::cache_limit(cli, cache.dir())?;
    let sum = |of: fn(&Total) -> u64| totals.values().map(of).sum::<u64>();
    let (size, used, reclaimable) = (sum(|t| t.size), sum(|t| t.used), sum(|t| t.reclaimable));
    let mut out = io::stdout().lock();
    let kinds = KINDS.iter().filter_map(|kind| Some((kind, totals.get(kind.name)?)));
    finish(match format {
        CacheFormat::Json => {
            let kind = |(kind, t): (&routerpack_builder::inventory::Kind, &Total)| json!({"type": kind.name, "records": t.records, "size": t.size, "in_use": t.used, "reclaimable": t.reclaimable});
            let all = json!({
                "directory": cache.dir(), "size": size, "in_use": used, "reclaimable": reclaimable, "limit": limit,
                "kinds": kinds.map(kind).collect::<Vec<_>>(),
            });
            writeln!(out, "{all:#}")
        }
        CacheFormat::Text => {
            let row = |name: &str, records: usize, t: [u64; 3], about: &str| {
                let [size, used, reclaimable] = t.map(megabytes);
                [name.into(), records.to_string(), size, used, reclaimable, about.into()]
            };
            let mut rows: Vec<[String; 6]> =
                kinds.map(|(k, t)| row(k.name, t.records, [t.size, t.used, t.reclaimable], k.about)).collect();
            let limit = limit.map_or("no limit".into(), |limit| format!("limit {}", megabytes(limit)));
            let records = totals.values().map(|t| t.records).sum();
            rows.push(row("total", records, [size, used, reclaimable], &limit));
            columns::print(&mut out, ["TYPE", "RECORDS", "SIZE", "IN USE", "RECLAIMABLE", "WHAT"], &rows)
        }
    })
}

fn ls(cache: &Cache, filters: &[Filter], all: bool, format: CacheFormat) -> Result<ExitCode, Failure> {
    let now = SystemTime::now();
    let mut records = Inventory::read(cache).map_err(failed(cache))?.records;
    records.retain(|r| (all || r.kind.listed || !filters.is_empty()) && filters.iter().all(|f| f.passes(r, now)));
    records.sort_by(|a, b| (b.used, &a.path).cmp(&(a.used, &b.path)));
    let mut out = io::stdout().lock();
    finish(match format {
        CacheFormat::Json => writeln!(out, "{:#}", Value::from(records.iter().map(object).collect::<Vec<_>>())),
        CacheFormat::Text => list(&mut out, &records, now),
    })
}

fn object(record: &Record) -> Value {
    let time = |time| jiff::Timestamp::try_from(time).unwrap_or_default().to_string();
    json!({
        "type": record.kind.name, "id": record.id(), "description": record.what, "size": record.size,
        "created": time(record.made), "last_used": time(record.used), "uses": record.uses, "in_use": record.held,
    })
}

fn list(out: &mut dyn Write, records: &[Record], now: SystemTime) -> io::Result<()> {
    let row = |r: &Record| {
        let id: String = r.id().chars().take(SHORT).collect();
        let uses = if r.uses == 0 { "-".into() } else { r.uses.to_string() };
        let held = if r.held { "yes" } else { "" };
        let what = crate::progress::printable(r.what.as_bytes());
        [r.kind.name.into(), id, megabytes(r.size), ago(r.made, now), ago(r.used, now), uses, held.into(), what]
    };
    let rows: Vec<[String; 8]> = records.iter().map(row).collect();
    columns::print(out, ["TYPE", "ID", "SIZE", "CREATED", "LAST USED", "USES", "IN USE", "WHAT"], &rows)
}

/// How long ago, in the largest unit that says something.
fn ago(then: SystemTime, now: SystemTime) -> String {
    let seconds = now.duration_since(then).unwrap_or_default().as_secs();
    let (number, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86400, "day"),
    };
    format!("{number} {unit}{} ago", if number == 1 { "" } else { "s" })
}

fn prune(cache: &Cache, options: &Options, force: bool, watch: &SignalWatch) -> Result<ExitCode, Failure> {
    if !force && !options.dry {
        confirm(cache, options)?;
    }
    let now = SystemTime::now();
    let pruned = prune::prune(cache, options, now, &|| watch.interrupt.is_raised()).map_err(failed(cache))?;
    let mut out = io::stdout().lock();
    let written = match options.dry {
        true => list(&mut out, &pruned.removed, now).and_then(|()| writeln!(out)),
        false => Ok(()),
    };
    finish(written.and_then(|()| writeln!(out, "{}", summary(&pruned, options.dry))))
}

fn summary(pruned: &Pruned, dry: bool) -> String {
    let records = pruned.removed.len();
    let held = match pruned.held {
        0 => String::new(),
        n => format!("; {n} stay, since a build uses them"),
    };
    let verb = if dry { "would remove" } else { "removed" };
    let left = if dry { "would be left" } else { "are left" };
    format!("{verb} {records} records, {}; {} {left}{held}", megabytes(pruned.freed), megabytes(pruned.left))
}

/// Asks on the terminal, as docker does; whoever doesn't say yes has said no.
fn confirm(cache: &Cache, options: &Options) -> Result<(), Failure> {
    let what = match options {
        Options { filters, .. } if !filters.is_empty() => "what these filters name",
        Options { all: true, keep: None, .. } => "everything",
        Options { all: true, .. } => "results, cache mounts and base images, the longest unused first,",
        _ => "results and cache mounts, the longest unused first,",
    };
    eprint!("This removes {what} from {}, except what a build uses just now. Go on? [y/N] ", cache.dir().display());
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    match answer.trim() {
        "y" | "Y" | "yes" if read.is_ok() => Ok(()),
        _ => Err(Failure::new("nothing was removed\n  --force removes without asking")),
    }
}

fn fsck(cache: &Cache, repair: bool, format: CacheFormat, watch: &SignalWatch) -> Result<ExitCode, Failure> {
    let stop = || watch.interrupt.is_raised();
    let report = fsck::check(cache, repair, SystemTime::now(), &stop).map_err(failed(cache))?;
    let mut out = io::stdout().lock();
    let written = match format {
        CacheFormat::Json => {
            let fault = |f: &fsck::Fault| json!({"path": f.path, "reason": f.why, "size": f.size, "damage": f.damage, "removed": f.mended});
            let faults: Vec<Value> = report.faults.iter().map(fault).collect();
            let all = json!({"records": report.records, "bytes_hashed": report.hashed, "faults": faults});
            writeln!(out, "{all:#}")
        }
        CacheFormat::Text => {
            let told = report.faults.iter().try_for_each(|f| {
                let weight = if f.damage { "damaged" } else { "left over" };
                let end = if f.mended { " (removed)" } else { "" };
                writeln!(out, "{weight}: {}: {}, {}{end}", f.path.display(), f.why, megabytes(f.size))
            });
            let found = match report.faults.len() {
                0 => "nothing is wrong".into(),
                n if report.faults.iter().all(|f| f.mended) => format!("{n} removed"),
                n if repair => format!("{n} found; what stays is in use"),
                n => format!("{n} found; --repair removes them"),
            };
            told.and_then(|()| {
                writeln!(out, "{} records, {} hashed: {found}", report.records, megabytes(report.hashed))
            })
        }
    };
    finish(written)?;
    Ok(ExitCode::from(if report.is_damaged() { DAMAGED } else { 0 }))
}
