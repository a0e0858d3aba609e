//! Does the work of the vertices: looks a result up, or makes it and records it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, atomic::AtomicBool},
    time::Instant,
};

use routerpack_files as files;
use routerpack_graph::{Digest, Platform, graph::Node, pb};
use routerpack_rootfs::{Mtime, Tree};
use routerpack_sources::{GitSource, HttpSource, Image, Registry, ledger::Stamp};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Cause, Error, Vertex},
    events::{Ending, Task},
    exec,
    ground::Ground,
    hashes::Hashes,
    hybrid::Hybrid,
    keys::{self, InputKey},
    request::Request,
    rootfs::{Part, Rootfs, StratumId},
    share::{Given, Shared},
    solver::Work,
    source,
    strata::{Name, Strata},
};

/// The executor of one build.
pub struct Executor<'a> {
    /// The graph's vertices.
    pub nodes: &'a [Node],
    /// What was asked.
    pub request: &'a Request,
    /// What steps stand on.
    pub ground: Ground<'a>,
    /// Where images come from.
    pub registry: &'a Registry,
    /// Where files of the web come from.
    pub web: &'a HttpSource,
    /// Where repositories come from.
    pub git: &'a GitSource,
    /// Content hashes of context files.
    pub hashes: &'a Hashes,
    /// Other machines' results, by key.
    pub lent: &'a HashMap<Digest, Shared>,
    /// What each step gave, if that is wanted.
    pub given: Mutex<Vec<Given>>,
    /// It was said what is less here than it should be.
    pub warned: AtomicBool,
    /// The bases of native programs, with hybrid emulation.
    pub hybrid: Option<Hybrid>,
    /// What was said about hybrid emulation.
    pub told: Mutex<BTreeSet<String>>,
    /// The time of the newest result used, in nanoseconds since 1970: the image's `created`.
    pub newest: Mutex<u64>,
}

/// An op's result in the cache, in `ops/`.
#[derive(Serialize, Deserialize)]
pub struct Record {
    /// Its rootfs, lowest stratum first.
    pub strata: Vec<StratumId>,
    /// When it was made, nanoseconds since 1970.
    #[serde(default)]
    pub made: u64,
    /// What made it, for people.
    #[serde(default)]
    pub what: String,
    /// The newest strata of its inputs.
    #[serde(default)]
    pub inputs: Vec<StratumId>,
}

/// A failure of a vertex.
pub fn failed_at(node: &Node, cause: Cause) -> Error {
    let vertex = Vertex { digest: node.digest.clone(), name: node.name() };
    Error { vertex: Some(Box::new(vertex)), cause }
}

impl Work for Executor<'_> {
    type Output = Rootfs;
    type Error = Error;

    fn run(&self, at: usize, inputs: Vec<Rootfs>) -> Result<Rootfs, Error> {
        let node = &self.nodes[at];
        let task = Task::Vertex(node.digest.clone());
        let name = node.name();
        let at_vertex = |cause| failed_at(node, cause);
        if self.request.interrupt.is_raised() {
            return Err(at_vertex(Cause::Interrupted));
        }
        let start = Instant::now();
        self.ground.events.started(&task, &name);
        let result = self.vertex(node, &inputs, &task);
        let ending = match &result {
            Ok((_, true)) => Ending::Cached,
            Ok((_, false)) => Ending::Done,
            Err(Cause::Interrupted) => Ending::Canceled,
            Err(_) => Ending::Failed,
        };
        self.ground.events.ended(&task, ending, start.elapsed());
        result.map(|(rootfs, _)| rootfs).map_err(at_vertex)
    }
}

impl Executor<'_> {
    /// The result, and whether it was in the cache.
    fn vertex(&self, node: &Node, inputs: &[Rootfs], task: &Task) -> Result<(Rootfs, bool), Cause> {
        match &node.op.op {
            Some(pb::op::Op::Source(op)) => source::load(self, &node.op, op).map(|rootfs| (rootfs, false)),
            Some(pb::op::Op::Merge(op)) => merge(op, inputs).map(|rootfs| (rootfs, false)),
            Some(pb::op::Op::Diff(op)) => diff(op, inputs).map(|rootfs| (rootfs, false)),
            Some(pb::op::Op::Exec(op)) => {
                let facts = exec::facts(self, &node.op)?;
                let keys = [self.exec_keys(op, inputs, &mut self.hashes.hasher())?];
                self.cached(node, &facts, &keys, inputs, |name| {
                    let frozen = inputs.iter().map(|input| exec::frozen(self, input)).collect::<Result<Vec<_>, _>>()?;
                    if self.exec_keys(op, inputs, &mut self.hashes.checker())? != keys[0] {
                        return Err(Cause::Changed);
                    }
                    exec::run(self, &node.op, op, &frozen, task, name)
                })
            }
            Some(pb::op::Op::File(op)) => self.file(node, op, inputs),
            Some(pb::op::Op::Build(_)) => Err(Cause::Unsupported("nested builds are not supported".into())),
            None => inputs
                .first()
                .cloned()
                .map(|rootfs| (rootfs, true))
                .ok_or_else(|| Cause::Unsupported("an op without content".into())),
        }
    }

    /// Looks for a result under each key in turn, and makes it under the last one if there is none; a
    /// result found is then recorded under the keys before.
    fn cached(
        &self,
        node: &Node,
        facts: &str,
        keys: &[Vec<InputKey>],
        inputs: &[Rootfs],
        make: impl FnOnce(&Name) -> Result<Rootfs, Cause>,
    ) -> Result<(Rootfs, bool), Cause> {
        let parts = keys;
        let keys: Vec<Digest> = keys.iter().map(|inputs| keys::key(&node.op, facts, inputs)).collect();
        let cache = self.strata().cache();
        let last = keys.last().expect("every op has a key");
        if let Some(rootfs) = self.known(node, facts, parts, &keys, inputs)? {
            return Ok((rootfs, true));
        }
        // Another build may be making the very same.
        let stop = || self.request.interrupt.is_raised();
        let lock = cache.lock_unless(&format!("op-{}", last.hex()), &stop);
        let _lock = lock.map_err(Cause::io("lock a result"))?;
        if let Some(rootfs) = self.known(node, facts, parts, &keys, inputs)? {
            return Ok((rootfs, true));
        }
        // Not the key: what a step writes may differ each time, and what was made on top of an earlier result, now
        // removed or unwanted (`--no-cache`), must not be found on top of this one.
        let id = Digest::of(format!("{last} {}", now()).as_bytes());
        let rootfs = make(&Name { id, what: described(node), by_name: false })?;
        let made = now();
        for key in &keys {
            self.record(key, &rootfs, made, node, inputs)?;
        }
        self.give(node, facts, parts, &rootfs, made);
        Ok((rootfs, false))
    }

    /// The result that is recorded under one of the keys, and from then on under those before it as well.
    fn known(
        &self,
        node: &Node,
        facts: &str,
        parts: &[Vec<InputKey>],
        keys: &[Digest],
        inputs: &[Rootfs],
    ) -> Result<Option<Rootfs>, Cause> {
        if node.metadata.ignore_cache {
            return Ok(None);
        }
        let Some((n, (rootfs, made))) = keys.iter().enumerate().find_map(|(n, key)| Some((n, self.recorded(key)?)))
        else {
            return Ok(None);
        };
        keys[..n].iter().try_for_each(|earlier| self.record(earlier, &rootfs, made, node, inputs))?;
        self.give(node, facts, parts, &rootfs, made);
        Ok(Some(rootfs))
    }

    fn recorded(&self, key: &Digest) -> Option<(Rootfs, u64)> {
        let file = format!("ops/{}.json", key.hex());
        self.strata().cache().hold(&file, Stamp::Json);
        let whole = |record: &Record| record.strata.iter().all(|id| self.strata().has(id));
        let own = self.strata().cache().record(&file).filter(whole);
        let record = own.or_else(|| {
            let lent = self.lent.get(key)?;
            let strata = lent.layers.iter().cloned().map(StratumId::Layer).collect();
            let record = Record { strata, made: lent.made, what: lent.what.clone(), inputs: Vec::new() };
            let record = Some(record).filter(whole)?;
            // Once its layers are here, it is found without the other machine's cache, too.
            let _ = self.strata().cache().write_record(&file, &record);
            Some(record)
        })?;
        self.used(record.made);
        Some((Rootfs::kept(record.strata), record.made))
    }

    /// Keeps a result for other machines.
    fn give(&self, node: &Node, facts: &str, keys: &[Vec<InputKey>], rootfs: &Rootfs, made: u64) {
        if self.request.share {
            let (op, facts, keys, rootfs) = (node.op.clone(), facts.to_string(), keys.to_vec(), rootfs.clone());
            let given = Given { op, facts, keys, rootfs, made, what: described(node) };
            self.given.lock().expect("no panic while holding it").push(given);
        }
    }

    fn record(&self, key: &Digest, rootfs: &Rootfs, made: u64, node: &Node, inputs: &[Rootfs]) -> Result<(), Cause> {
        self.used(made);
        let Some(strata) = rootfs.ids() else {
            return Ok(()); // a live context has no name to be found under
        };
        let newest = |input: &Rootfs| match input.parts().last() {
            Some(Part::Kept(id @ StratumId::Snapshot(_))) => Some(id.clone()),
            _ => None,
        };
        let inputs = inputs.iter().filter_map(newest).collect();
        let record = Record { strata, made, what: described(node), inputs };
        let written = self.strata().cache().write_record(format!("ops/{}.json", key.hex()), &record);
        written.map_err(Cause::io("write a result to the cache"))
    }

    fn used(&self, made: u64) {
        let mut newest = self.newest.lock().expect("no panic while holding it");
        *newest = made.max(*newest);
    }

    /// A live context counts by the content that the step's mounts show of it.
    fn exec_keys(
        &self,
        exec: &pb::ExecOp,
        inputs: &[Rootfs],
        hasher: &mut dyn files::FileHasher,
    ) -> Result<Vec<InputKey>, Cause> {
        let mut key = |(n, input): (usize, &Rootfs)| {
            if let Some(ids) = input.ids() {
                return Ok(InputKey::Strata(ids));
            }
            let shown = exec.mounts.iter().filter(|m| m.input == n as i64).map(|m| &m.selector[..]);
            let selectors: std::collections::BTreeSet<&str> = shown.collect();
            let digests =
                selectors.into_iter().map(|s| self.content_digest(input, s, hasher).map(|d| format!("{s}\n{d}")));
            let all: Vec<String> = digests.collect::<Result<_, _>>()?;
            Ok(InputKey::Content(Digest::of(all.join("\n").as_bytes())))
        };
        inputs.iter().enumerate().map(&mut key).collect()
    }

    /// The digest of all content below a path.
    pub fn content_digest(
        &self,
        rootfs: &Rootfs,
        path: &str,
        hasher: &mut dyn files::FileHasher,
    ) -> Result<Digest, Cause> {
        let tree = self.strata().tree(rootfs)?;
        files::tree_digest(&tree, path.as_bytes(), hasher).map_err(|e| Cause::File(Box::new(e)))
    }

    fn file(&self, node: &Node, op: &pb::FileOp, inputs: &[Rootfs]) -> Result<(Rootfs, bool), Cause> {
        let fail = |e| Cause::File(Box::new(e));
        let base = files::base_input(op, 0, inputs.len()).map_err(fail)?;
        let frozen = base.map(|n| exec::frozen(self, &inputs[n])).transpose()?;
        let inputs: Vec<Rootfs> = inputs
            .iter()
            .enumerate()
            .map(|(n, input)| if Some(n) == base { frozen.clone().unwrap_or_default() } else { input.clone() })
            .collect();
        let base = frozen.unwrap_or_default();
        let facts = format!("owners={}\n", self.strata().can_chown());
        // First by the names of all strata, which costs nothing; then by the content that is copied, which
        // finds the result again after an earlier stage was rebuilt to the same files.
        let mut keys = Vec::new();
        if let Some(strata) = inputs.iter().map(Rootfs::ids).collect::<Option<Vec<_>>>() {
            let key: Vec<InputKey> = strata.into_iter().map(InputKey::Strata).collect();
            if !node.metadata.ignore_cache
                && let Some((rootfs, made)) = self.recorded(&keys::key(&node.op, &facts, &key))
            {
                self.give(node, &facts, &[key], &rootfs, made);
                return Ok((rootfs, true));
            }
            keys.push(key);
        }
        // Of what is not copied from, nothing need be known, or pulled, to find a result.
        let taken = self.selected(op, &inputs, &mut self.hashes.hasher())?;
        if let Some(selected) = taken.clone() {
            let base = base.ids().ok_or_else(|| Cause::Unsupported("a copy onto a live context".into()))?;
            keys.push(vec![InputKey::Strata(base), InputKey::Content(selected)]);
        }
        if keys.is_empty() {
            let key = |input| match Rootfs::ids(input) {
                Some(ids) => Ok(InputKey::Strata(ids)),
                None => self.content_digest(input, "/", &mut self.hashes.hasher()).map(InputKey::Content),
            };
            keys.push(inputs.iter().map(key).collect::<Result<_, _>>()?);
        }
        self.cached(node, &facts, &keys, &inputs, |name| {
            let trees = inputs.iter().map(|i| self.strata().tree(i)).collect::<Result<Vec<_>, _>>()?;
            let trees: Vec<&Tree> = trees.iter().map(|t| &**t).collect();
            let temp = self.strata().cache().temp_dir().map_err(Cause::io("make a folder in the cache"))?;
            let (to, now) = (temp.join("fs"), now());
            std::fs::create_dir(&to).map_err(Cause::io("make a folder in the cache"))?;
            self.ground.open_to_all(&to)?;
            let now = Mtime { secs: (now / 1_000_000_000) as i64, nanos: (now % 1_000_000_000) as u32 };
            let settings = files::Settings { can_chown: self.strata().can_chown(), now };
            let made = files::apply(op, 0, &trees, &to, &settings).map_err(fail)?;
            // What was copied from a directory of the user's must be what the key says.
            let live = inputs.iter().any(|input| input.ids().is_none());
            if live && self.selected(op, &inputs, &mut self.hashes.checker())? != taken {
                return Err(Cause::Changed);
            }
            made.warnings.iter().for_each(|w| self.ground.events.warning(&w.to_string()));
            for action in &op.actions {
                let tree = usize::try_from(action.secondary_input).ok().and_then(|n| trees.get(n));
                if let (Some(pb::file_action::Action::Copy(copy)), Some(tree)) = (&action.action, tree)
                    && files::is_empty_match(copy, tree)
                {
                    let (name, source) = (node.name(), copy.src.trim_start_matches('/'));
                    self.ground.events.warning(&format!("{name}: `{source}` matches nothing, so nothing was copied"));
                }
            }
            let id = self.strata().keep(&temp, made.index, name)?;
            Ok(Rootfs::new(base.parts().iter().cloned().chain([Part::Kept(id)]).collect()))
        })
    }

    /// The digest of all that an op's copies take from its inputs; none where a copy takes from another
    /// action's result, whose content isn't known before the op ran.
    fn selected(
        &self,
        op: &pb::FileOp,
        inputs: &[Rootfs],
        hasher: &mut dyn files::FileHasher,
    ) -> Result<Option<Digest>, Cause> {
        let mut digests = Vec::new();
        for (at, action) in op.actions.iter().enumerate() {
            if let Some(pb::file_action::Action::Copy(copy)) = &action.action {
                let Some(from) = usize::try_from(action.secondary_input).ok().and_then(|n| inputs.get(n)) else {
                    return Ok(None);
                };
                let tree = self.strata().tree(from)?;
                let digest = files::selection_digest(copy, &tree, hasher)
                    .map_err(|error| Cause::File(Box::new(error.in_action(at))))?;
                digests.push(digest.to_string());
            }
        }
        Ok(Some(Digest::of(digests.join("\n").as_bytes())))
    }

    /// Where strata come from.
    pub fn strata(&self) -> &Strata {
        self.ground.strata
    }

    /// An image's rootfs.
    pub fn image(&self, image: &Image) -> Rootfs {
        self.strata().offer(image)
    }
}

/// The platform of an op; the machine's own where it names none.
pub fn platform_of(op: &pb::Op, host: &Platform) -> Platform {
    op.platform.as_ref().map_or_else(|| host.clone(), Platform::from_pb)
}

/// What a vertex does, in words; of a URL in them, the part that may hold a password is left out.
fn described(node: &Node) -> String {
    let name = node.name();
    let mut parts = name.split("://");
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let authority = part.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(part.len());
        let host = part[..authority].rfind('@').map_or(0, |at| at + 1);
        out += "://";
        out += &part[host..];
    }
    out
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| d.as_nanos() as u64)
}

fn input(inputs: &[Rootfs], at: i64) -> Result<Rootfs, Cause> {
    match usize::try_from(at) {
        Err(_) => Ok(Rootfs::default()),
        Ok(n) => inputs.get(n).cloned().ok_or_else(|| Cause::Unsupported(format!("the op has no input {n}"))),
    }
}

/// The inputs on top of one another. Strata are diffs, so nothing has to be made.
fn merge(op: &pb::MergeOp, inputs: &[Rootfs]) -> Result<Rootfs, Cause> {
    let mut parts = Vec::new();
    for each in &op.inputs {
        parts.extend(input(inputs, each.input)?.parts().iter().cloned());
    }
    Ok(Rootfs::new(parts))
}

/// What the upper has above the lower.
fn diff(op: &pb::DiffOp, inputs: &[Rootfs]) -> Result<Rootfs, Cause> {
    let lower = input(inputs, op.lower.as_ref().map_or(-1, |l| l.input))?;
    let upper = input(inputs, op.upper.as_ref().map_or(-1, |u| u.input))?;
    let (Some(below), Some(above)) = (lower.ids(), upper.ids()) else {
        return Err(Cause::Unsupported("a diff of a live context".into()));
    };
    match above.strip_prefix(&below[..]) {
        Some(rest) => Ok(Rootfs::kept(rest.iter().cloned())),
        None => Err(Cause::Unsupported("a diff is only to be had where its upper was made from its lower".into())),
    }
}
