//! The strata that the cache keeps: image layers and snapshots, as index, as tar, as directory.
//!
//! A layer is pulled and inflated when its bytes are first needed, and unpacked when a step first
//! needs it as a directory; neither happens for a build that is all cache hits.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use routerpack_graph::Digest;
use routerpack_rootfs::{DecodeError, Entry, Index, Kind, Stratum, Tree, layer};
use routerpack_sources::{Image, ledger::Stamp};

use crate::{
    cache::{Cache, Made, STAMP},
    error::Cause,
    events::{Ending, Events, Task},
    request::Interrupt,
    rootfs::{Part, Rootfs, StratumId},
};

/// So many layers are pulled at once even by a machine with fewer cores: a registry's answer has pauses.
const MIN_PULLS: usize = 3;

/// Every step of a build asks for the strata below it, so their indexes stay in memory up to so many entries in all,
/// which take eight megabytes. Those of larger ones are read again: beside a merged index they would double what an
/// entry takes.
const KEPT_ENTRIES: usize = 1 << 16;

/// The name of a snapshot that is to be kept.
#[derive(Clone, Debug)]
pub struct Name {
    /// Its name.
    pub id: Digest,
    /// What it is, for people.
    pub what: String,
    /// See [`Made::by_name`].
    pub by_name: bool,
}

/// Gives strata by name.
pub struct Strata {
    cache: Arc<Cache>,
    events: Arc<dyn Events>,
    /// Whether this process may give files to any owner of an image.
    can_chown: bool,
    /// Ends pulls.
    interrupt: Arc<Interrupt>,
    /// Where a layer can be had, by diff_id.
    offers: Mutex<HashMap<Digest, (Image, usize)>>,
    /// Manifests of images that are other machines' caches, and why one of them could not be read.
    lent: Mutex<(HashSet<Digest>, Option<String>)>,
    /// Strata whose indexes are kept in memory, see [`KEPT_ENTRIES`].
    loaded: Mutex<HashMap<StratumId, Stratum>>,
    /// Found whole in the cache: every step of a long build asks for all strata below it.
    whole: Mutex<HashSet<StratumId>>,
}

impl Strata {
    /// Over a cache.
    pub fn new(cache: Arc<Cache>, events: Arc<dyn Events>, can_chown: bool, interrupt: Arc<Interrupt>) -> Self {
        Self {
            cache,
            events,
            can_chown,
            interrupt,
            offers: Mutex::default(),
            lent: Mutex::default(),
            loaded: Mutex::default(),
            whole: Mutex::default(),
        }
    }

    /// The cache below.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// Whether files can be given to any owner.
    pub fn can_chown(&self) -> bool {
        self.can_chown
    }

    /// An image's rootfs. Its layers are read when they are needed.
    pub fn offer(&self, image: &Image) -> Rootfs {
        let mut offers = self.offers.lock().expect("no panic while holding it");
        for (n, layer) in image.layers.iter().enumerate() {
            offers.entry(layer.diff_id.clone()).or_insert_with(|| (image.clone(), n));
        }
        Rootfs::kept(image.layers.iter().map(|l| StratumId::Layer(l.diff_id.clone())))
    }

    /// Offers the layers of another machine's cache, until [`Self::give_back`].
    pub(crate) fn lend(&self, image: &Image) {
        self.lent.lock().expect("no panic while holding it").0.insert(image.digest.clone());
        self.offer(image);
    }

    /// Whether a stratum is a layer that a base image of this build has.
    pub(crate) fn is_of_base(&self, id: &StratumId) -> bool {
        let StratumId::Layer(diff_id) = id else { return false };
        self.offered(diff_id).is_some_and(|(image, _)| !self.is_lent(&image))
    }

    fn is_lent(&self, image: &Image) -> bool {
        self.lent.lock().expect("no panic while holding it").0.contains(&image.digest)
    }

    /// Whether a part of a rootfs is to be had from another machine's cache only.
    pub(crate) fn lends(&self, rootfs: &Rootfs) -> bool {
        let lent = |part: &Part| match part {
            Part::Kept(id @ StratumId::Layer(d)) => {
                self.offered(d).is_some_and(|(image, _)| self.is_lent(&image)) && !self.is_whole(id)
            }
            _ => false,
        };
        rootfs.parts().iter().any(lent)
    }

    /// Why a layer of another machine's cache could not be had, if that happened; none of them is offered any more then.
    pub(crate) fn give_back(&self) -> Option<String> {
        let reason = self.lent.lock().expect("no panic while holding it").1.take()?;
        self.offers.lock().expect("no panic while holding it").retain(|_, (image, _)| !self.is_lent(image));
        Some(reason)
    }

    /// The image and the number of the layer that were offered with this diff_id.
    pub fn offered(&self, diff_id: &Digest) -> Option<(Image, usize)> {
        self.offers.lock().expect("no panic while holding it").get(diff_id).cloned()
    }

    /// Whether a stratum can be had: a record that names one that can't is no result.
    pub fn has(&self, id: &StratumId) -> bool {
        matches!(id, StratumId::Layer(diff_id) if self.offered(diff_id).is_some()) || self.is_whole(id)
    }

    /// Whether a stratum is in the cache as it was put there.
    fn is_whole(&self, id: &StratumId) -> bool {
        let known = || self.whole.lock().expect("no panic while holding it");
        if known().contains(id) {
            return true;
        }
        let below = id.below();
        self.cache.hold(&below, Stamp::Inside(STAMP));
        let whole = self.cache.has_dir(below);
        if whole {
            known().insert(id.clone());
        }
        whole
    }

    /// When a step made a stratum, nanoseconds since 1970; none of a layer that came with an image.
    pub fn made(&self, id: &StratumId) -> Option<i64> {
        let is_step = matches!(id, StratumId::Snapshot(_));
        is_step.then(|| self.cache.kept_at(self.dir_of(id))).flatten()?.try_into().ok()
    }

    fn dir_of(&self, id: &StratumId) -> PathBuf {
        self.cache.path(id.below())
    }

    /// The stratum of a part, with its index; a layer is pulled if need be.
    pub fn stratum(&self, part: &Part) -> Result<Stratum, Cause> {
        let id = match part {
            Part::Live(stratum) => return Ok(stratum.clone()),
            Part::Kept(id) => id,
        };
        if let Some(stratum) = self.loaded.lock().expect("no panic while holding it").get(id) {
            return Ok(stratum.clone());
        }
        let dir = self.dir_of(id);
        let index = match id {
            StratumId::Layer(diff_id) => self.layer_index(id, diff_id)?,
            StratumId::Snapshot(_) => match self.index(id)? {
                Some(index) => index,
                None => {
                    // Out of the way, so that the step runs again.
                    self.discard(id).map_err(Cause::io("remove a damaged snapshot"))?;
                    return Err(Cause::Damaged(id.to_string()));
                }
            },
        };
        let stratum = match id {
            StratumId::Layer(_) => Stratum::Tar { file: dir.join("layer.tar"), index },
            StratumId::Snapshot(_) => Stratum::Dir { root: dir.join("fs"), index },
        };
        let mut loaded = self.loaded.lock().expect("no panic while holding it");
        let entries: usize = loaded.values().chain([&stratum]).map(|s| s.index().entries().len()).sum();
        if entries <= KEPT_ENTRIES {
            loaded.insert(id.clone(), stratum.clone());
        }
        Ok(stratum)
    }

    /// The index of a stratum that is whole in the cache.
    fn index(&self, id: &StratumId) -> Result<Option<Arc<Index>>, Cause> {
        if !self.is_whole(id) {
            return Ok(None);
        }
        let file = self.dir_of(id).join("index");
        let failed = |e| Cause::io(format!("read {}", file.display()))(e);
        let open = match fs::File::open(&file) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            open => open.map_err(failed)?,
        };
        let len = open.metadata().map_err(failed)?.len();
        match Index::decode(open, len) {
            Ok(index) => Ok(Some(Arc::new(index))),
            Err(DecodeError::Damaged) => Ok(None),
            Err(DecodeError::Read(e)) => Err(failed(e)),
        }
    }

    /// Removes what is not as it was put there.
    pub(crate) fn discard(&self, id: &StratumId) -> io::Result<()> {
        self.whole.lock().expect("no panic while holding it").remove(id);
        self.cache.remove(id.below())
    }

    fn layer_index(&self, id: &StratumId, diff_id: &Digest) -> Result<Arc<Index>, Cause> {
        if let Some(index) = self.index(id)? {
            return Ok(index);
        }
        let _lock = self.cache.lock(&format!("layer-{}", diff_id.hex())).map_err(Cause::io("lock a layer"))?;
        if let Some(index) = self.index(id)? {
            return Ok(index); // another build has just made it
        }
        self.discard(id).map_err(Cause::io("remove a damaged layer"))?;
        let (image, n) = self.offered(diff_id).ok_or_else(|| {
            Cause::Unsupported(format!("layer {diff_id} is neither in the cache nor in an image of this build"))
        })?;
        self.pull(id, &image, n)
    }

    fn pull(&self, id: &StratumId, image: &Image, n: usize) -> Result<Arc<Index>, Cause> {
        let layer = &image.layers[n];
        let task = Task::Blob(layer.digest.clone());
        let start = Instant::now();
        self.events.started(&task, &format!("{} {}", short(&layer.digest), image.name));
        let told = (self.events.clone(), task.clone());
        let progress = move |_: &Digest, done: u64, total: u64| told.0.progress(&told.1, done, Some(total));
        let spooled = self.spool(id, image, n, Arc::new(progress));
        if let Err(cause) = &spooled
            && self.is_lent(image)
            && !self.interrupt.is_raised()
        {
            self.lent.lock().expect("no panic while holding it").1 = Some(cause.to_string());
        }
        let ending = if spooled.is_ok() { Ending::Done } else { Ending::Failed };
        self.events.ended(&task, ending, start.elapsed());
        spooled
    }

    fn spool(
        &self,
        id: &StratumId,
        image: &Image,
        n: usize,
        progress: Arc<dyn routerpack_sources::Progress>,
    ) -> Result<Arc<Index>, Cause> {
        let what = || format!("layer {} of {}", image.layers[n].digest, image.name);
        let temp = self.cache.temp_dir().map_err(Cause::io("make a folder in the cache"))?;
        // The index's reader hashes the tar anyway; it is compared below.
        let mut tar = Interruptible { from: image.open_layer(n, Some(progress))?.leave_diff_id(), by: &self.interrupt };
        let file = fs::File::create(temp.join("layer.tar")).map_err(Cause::io("make a file in the cache"))?;
        let read = layer::read_layer(&mut tar, &file).map_err(|e| layer_cause(what(), e))?;
        // The reader compares diff_id and blob digest at the end of its bytes, which the tar's own end may precede.
        io::copy(&mut tar, &mut io::sink()).map_err(Cause::io(what()))?;
        if read.diff_id != image.layers[n].diff_id {
            let (layer, actual) = (&image.layers[n], read.diff_id);
            return Err(Cause::from(routerpack_sources::Error::WrongDiffId {
                from: image.name.clone(),
                blob: layer.digest.clone(),
                expected: layer.diff_id.clone(),
                actual,
            }));
        }
        let size = write_index(&temp, &read.index)? + read.bytes;
        let made = Made { what: image.name.clone(), size: Some(size), by_name: true };
        self.cache.keep_dir(&temp, id.below(), &made).map_err(Cause::io("keep a layer"))?;
        Ok(Arc::new(read.index))
    }

    /// Keeps what a step or a file op has left in `temp` (its `fs/` is there already) under a name.
    pub fn keep(&self, temp: &Path, index: Index, name: &Name) -> Result<StratumId, Cause> {
        let id = StratumId::Snapshot(name.id.clone());
        let size = write_index(temp, &index)? + room(&index);
        if self.is_whole(&id) && self.index(&id)?.is_none() {
            self.discard(&id).map_err(Cause::io("remove a damaged snapshot"))?;
        }
        let made = Made { what: name.what.clone(), size: Some(size), by_name: name.by_name };
        self.cache.keep_dir(temp, id.below(), &made).map_err(Cause::io("keep a snapshot"))?;
        Ok(id)
    }

    /// The merged view of a rootfs.
    pub fn tree(&self, rootfs: &Rootfs) -> Result<Arc<Tree>, Cause> {
        rootfs.tree(|parts| {
            let strata = self.load(&parts.iter().collect::<Vec<_>>())?;
            Tree::new(strata).map_err(Cause::rootfs("the strata can't be merged"))
        })
    }

    /// The strata of parts. What is not there yet is pulled, inflated and indexed, several layers at once and the
    /// largest first: the last one to end then leaves the other cores idle for the shortest time.
    fn load(&self, parts: &[&Part]) -> Result<Vec<Stratum>, Cause> {
        let size = |part: &Part| match part {
            Part::Kept(StratumId::Layer(d)) => self.offered(d).map_or(0, |(image, n)| image.layers[n].size),
            _ => 0,
        };
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(size(parts[*at])));
        let missing = parts.iter().filter(|part| self.is_to_be_loaded(part)).count();
        let workers = match missing {
            0 | 1 => missing,
            _ => thread::available_parallelism().map_or(1, |n| n.get()).max(MIN_PULLS).min(missing),
        };
        let loaded: Vec<OnceLock<Stratum>> = parts.iter().map(|_| OnceLock::new()).collect();
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || {
            while !failed.load(Ordering::Relaxed)
                && let Some(&at) = order.get(next.fetch_add(1, Ordering::Relaxed))
            {
                let stratum = self.stratum(parts[at]).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
                let _ = loaded[at].set(stratum); // each is taken once
            }
            Ok(())
        };
        thread::scope(|scope| {
            let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
            let mine: Result<(), Cause> = work();
            let results = others.into_iter().map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            results.fold(mine, Result::and)
        })?;
        Ok(loaded.into_iter().filter_map(OnceLock::into_inner).collect())
    }

    fn is_to_be_loaded(&self, part: &Part) -> bool {
        matches!(part, Part::Kept(id @ StratumId::Layer(_)) if !self.loaded.lock().expect("no panic while holding it").contains_key(id))
    }

    /// Directories to mount as overlay lowers, lowest first. Layers are unpacked if need be.
    pub fn dirs(&self, rootfs: &Rootfs) -> Result<Vec<PathBuf>, Cause> {
        let parts = rootfs.parts();
        let absent = |part: &&Part| matches!(part, Part::Kept(id @ StratumId::Layer(_)) if !self.is_whole(id));
        self.load(&parts.iter().filter(absent).collect::<Vec<_>>())?;
        (0..parts.len())
            .map(|at| match &parts[at] {
                Part::Live(Stratum::Dir { root, .. }) => Ok(root.clone()),
                Part::Live(Stratum::Tar { .. }) => Err(Cause::Unsupported("a tar can't be mounted".into())),
                Part::Kept(id @ StratumId::Snapshot(_)) => Ok(self.dir_of(id).join("fs")),
                Part::Kept(StratumId::Layer(diff_id)) => self.unpacked(&parts[..at], &parts[at], diff_id),
            })
            .collect()
    }

    /// A layer's directory also holds the directories that the layer only implies, with the metadata that
    /// they have below, and copies of files below that it links to. So it depends on what is below.
    fn unpacked(&self, below: &[Part], part: &Part, diff_id: &Digest) -> Result<PathBuf, Cause> {
        let dir = StratumId::Layer(diff_id.clone()).below();
        let chain: Vec<String> = below.iter().map(|p| format!("{p:?}")).collect();
        let name = format!("fs-{}", &Digest::of(chain.join("\n").as_bytes()).hex()[..16]);
        let to = dir.join(name);
        let unpacked = self.cache.path(to.join("fs"));
        if self.cache.has_dir(&to) {
            return Ok(unpacked);
        }
        let _lock = self.cache.lock(&format!("unpack-{}", diff_id.hex())).map_err(Cause::io("lock a layer"))?;
        if self.cache.has_dir(&to) {
            return Ok(unpacked);
        }
        let task = Task::Unpack(diff_id.clone());
        let start = Instant::now();
        self.events.started(&task, &format!("unpack {}", short(diff_id)));
        let result = self.stratum(part).and_then(|stratum| self.unpack(below, &stratum, &to));
        self.events.ended(&task, if result.is_ok() { Ending::Done } else { Ending::Failed }, start.elapsed());
        result.map(|()| unpacked)
    }

    fn unpack(&self, below: &[Part], stratum: &Stratum, to: &Path) -> Result<(), Cause> {
        let below = self.tree(&Rootfs::new(below.to_vec()))?;
        let temp = self.cache.temp_dir().map_err(Cause::io("make a folder in the cache"))?;
        let warnings = routerpack_rootfs::unpack(&below, stratum, &temp.join("fs"), self.can_chown)
            .map_err(Cause::rootfs("a layer can't be unpacked"))?;
        warnings.iter().for_each(|w| self.events.warning(&w.to_string()));
        let made = Made { size: Some(room(stratum.index())), ..Made::default() };
        self.cache.keep_dir(&temp, to, &made).map_err(Cause::io("keep an unpacked layer"))
    }
}

/// A reader that ends with an error when the build is interrupted.
struct Interruptible<'a, R> {
    from: R,
    by: &'a Interrupt,
}

impl<R: io::Read> io::Read for Interruptible<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.by.is_raised() {
            true => Err(io::Error::other("interrupted")),
            false => self.from.read(buffer),
        }
    }
}

/// Gives the bytes that it takes.
fn write_index(dir: &Path, index: &Index) -> Result<u64, Cause> {
    let write = || {
        let file = fs::File::create(dir.join("index"))?;
        index.encode(&file)?;
        Ok(file.metadata()?.len())
    };
    write().map_err(Cause::io("write an index"))
}

/// About how many bytes the files of a stratum take on a disk: what their blocks would, if none were shared.
fn room(index: &Index) -> u64 {
    const BLOCK: u64 = 4096;
    let mut links = HashSet::new();
    let takes = |entry: &Entry| match entry.kind {
        Kind::Dir => BLOCK,
        Kind::File if entry.link_group == 0 || links.insert(entry.link_group) => entry.size.next_multiple_of(BLOCK),
        _ => 0,
    };
    index.entries().iter().map(takes).sum()
}

fn layer_cause(what: String, error: layer::LayerError) -> Cause {
    match error {
        // What the source says (wrong digest, truncated) is the better message.
        layer::LayerError::Read { error, .. } => Cause::io(what)(error),
        layer::LayerError::Spool(error) => Cause::io(format!("store {what}"))(error),
        other => Cause::rootfs(what)(other),
    }
}

/// Twelve hex digits, as docker shows them.
pub fn short(digest: &Digest) -> &str {
    &digest.hex()[..12]
}
