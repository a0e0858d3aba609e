//! Removing records that nobody uses: the one unused for longest first, and none before those that need it.
//!
//! What builds that run meanwhile use stays, see [`ledger`]. A record vanishes by a rename, and its files go
//! afterwards: a prune that is killed leaves records or none, and the next run clears the rest.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    io,
    path::PathBuf,
    time::SystemTime,
};

use routerpack_sources::ledger::{self, Removal};

use crate::{
    cache::Cache,
    filter::Filter,
    inventory::{Inventory, Record},
};

/// So many renames at once: builds that begin to use something wait for them.
const BATCH: usize = 64;

/// What may go.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Nothing more goes once the cache holds at most so many bytes; none removes all that may go.
    pub keep: Option<u64>,
    /// Base images, too.
    pub all: bool,
    /// Only what passes all of these.
    pub filters: Vec<Filter>,
    /// Only say what would go.
    pub dry: bool,
}

/// What went.
#[derive(Debug, Default)]
pub struct Pruned {
    /// The records, in the order in which they went.
    pub removed: Vec<Record>,
    /// The bytes that they took.
    pub freed: u64,
    /// The bytes that the cache still holds.
    pub left: u64,
    /// How many records would have gone if no build used them.
    pub held: usize,
}

/// Removes what may go. `now` is what ages are counted from; `stop` is asked now and then.
pub fn prune(cache: &Cache, options: &Options, now: SystemTime, stop: &dyn Fn() -> bool) -> io::Result<Pruned> {
    // Two at once would each count what the other removes.
    let _lock = if options.dry { None } else { Some(cache.lock("prune")?) };
    let inventory = Inventory::read(cache)?;
    let pruned = remove(cache, inventory, options, now, stop)?;
    if !options.dry {
        cache.write_usage(pruned.left, now)?;
    }
    Ok(pruned)
}

/// Keeps the cache below a limit, in bytes: when it holds more, down to four fifths of it. Looks at the records only
/// if it can't be told otherwise whether there is anything to do. None if there was nothing.
pub fn enforce(cache: &Cache, limit: u64, now: SystemTime) -> io::Result<Option<Pruned>> {
    if cache.usage(now).is_some_and(|usage| usage <= limit) {
        return Ok(None);
    }
    let Some(_lock) = cache.try_lock("prune")? else { return Ok(None) };
    let inventory = Inventory::read(cache)?;
    let size = inventory.size();
    if size <= limit {
        cache.write_usage(size, now)?;
        return Ok(None);
    }
    let options = Options { keep: Some(limit / 5 * 4), all: true, ..Options::default() };
    let pruned = remove(cache, inventory, &options, now, &|| false)?;
    cache.write_usage(pruned.left, now)?;
    Ok(Some(pruned))
}

fn remove(
    cache: &Cache,
    inventory: Inventory,
    options: &Options,
    now: SystemTime,
    stop: &dyn Fn() -> bool,
) -> io::Result<Pruned> {
    let mut pruned = Pruned { left: inventory.size(), ..Pruned::default() };
    let mut order = Order::new(inventory.records);
    let goes = |record: &Record| {
        (options.all || !record.kind.base) && options.filters.iter().all(|filter| filter.passes(record, now))
    };
    let enough = |left: u64| options.keep.is_some_and(|keep| left <= keep);
    let mut done = false;
    while !done && !stop() {
        let gate =
            if options.dry { Gate::Open(ledger::held(cache.dir())?) } else { Gate::Shut(Removal::begin(cache.dir())?) };
        let mut away = Vec::new();
        while away.len() < BATCH && !done {
            let Some(record) = order.next().filter(|_| !enough(pruned.left)) else {
                done = true;
                break;
            };
            if !goes(record) {
                continue;
            }
            if record.held || gate.holds(record) {
                pruned.held += 1;
                continue;
            }
            let record = order.gone();
            if !options.dry {
                away.push(cache.take_away(&record.path)?);
            }
            pruned.left = pruned.left.saturating_sub(record.size);
            pruned.freed += record.size;
            pruned.removed.push(record);
        }
        drop(gate); // builds go on while files are removed
        cache.discard(&away)?;
    }
    Ok(pruned)
}

enum Gate {
    Open(std::collections::HashSet<PathBuf>),
    Shut(Removal),
}

impl Gate {
    fn holds(&self, record: &Record) -> bool {
        match self {
            Self::Open(held) => held.contains(&record.path),
            Self::Shut(removal) => removal.is_held(&record.path),
        }
    }
}

/// Records in the order in which they may go.
struct Order {
    records: Vec<Record>,
    places: HashMap<PathBuf, usize>,
    /// How many records need each.
    needed: Vec<usize>,
    /// What no record needs: the longest unused first, then what itself needs most.
    free: BinaryHeap<Reverse<(SystemTime, Reverse<usize>, usize)>>,
    /// The record that was given last.
    current: usize,
}

impl Order {
    fn new(records: Vec<Record>) -> Self {
        let places: HashMap<PathBuf, usize> = records.iter().enumerate().map(|(n, r)| (r.path.clone(), n)).collect();
        let mut needed = vec![0; records.len()];
        records.iter().flat_map(|r| &r.needs).for_each(|need| needed[places[need]] += 1);
        let mut order = Self { records, places, needed, free: BinaryHeap::new(), current: 0 };
        for n in 0..order.records.len() {
            if order.needed[n] == 0 {
                order.offer(n);
            }
        }
        order
    }

    fn offer(&mut self, n: usize) {
        let record = &self.records[n];
        self.free.push(Reverse((record.used, Reverse(record.needs.len()), n)));
    }

    /// The next one; it stays, and all that it needs, unless [`Self::gone`] is called.
    fn next(&mut self) -> Option<&Record> {
        let Reverse((.., n)) = self.free.pop()?;
        self.current = n;
        Some(&self.records[n])
    }

    /// The one that was given last goes.
    fn gone(&mut self) -> Record {
        let record = self.records[self.current].clone();
        for need in &record.needs {
            let n = self.places[need];
            self.needed[n] -= 1;
            if self.needed[n] == 0 {
                self.offer(n);
            }
        }
        record
    }
}
