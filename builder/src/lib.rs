//! From a graph to a rootfs: looks results up, or makes them.
//!
//! ```text
//! Definition ──► solver ──► executor ──► source: image, context ──► strata
//!                (order)    (cache keys)  file:   COPY, WORKDIR … ──► a new stratum, no mount
//!                                         exec:   RUN             ──► overlay upper = a new stratum
//! ```
//!
//! [`Builder::build`] is the way in. Nothing here prints, or knows what a Dockerfile or an archive is.

mod agent;
pub mod cache;
mod cache_mounts;
pub mod container;
pub mod error;
pub mod events;
mod exec;
mod executor;
pub mod filter;
pub mod fsck;
mod ground;
mod hashes;
mod hybrid;
pub mod inventory;
mod keys;
pub mod prune;
pub mod request;
mod rootfs;
pub mod share;
mod solver;
mod source;
pub mod strata;
mod usage;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, atomic::AtomicBool},
};

pub use cache::Cache;
pub use error::{Cause, Error, Withheld};
pub use request::{Host, Interrupt, Local, Request, Secret};
pub use rootfs::{Part, Rootfs, StratumId};
use routerpack_graph::{Digest, pb};
use routerpack_sources::{GitSource, HttpSource, Image, Registry};
pub use strata::{Name, Strata};

use crate::{events::Events, executor::Executor, ground::Ground, hashes::Hashes, hybrid::Hybrid};

/// Builds graphs on this machine.
pub struct Builder {
    /// What the machine offers.
    pub host: Host,
    /// Where strata are kept.
    pub strata: Arc<Strata>,
    /// Where images come from.
    pub registry: Arc<Registry>,
    /// Where files of the web come from.
    pub web: Arc<HttpSource>,
    /// Where repositories come from.
    pub git: Arc<GitSource>,
    /// Who listens.
    pub events: Arc<dyn Events>,
}

/// What came out.
pub struct Built {
    /// The rootfs of the target.
    pub rootfs: Rootfs,
    /// When the newest step in it was made, in nanoseconds since 1970; none if no step made anything.
    pub made: Option<u64>,
    /// What each step gave, if the request wanted to know.
    pub results: share::Results,
}

impl Builder {
    /// Solves the request's definition. What turns out damaged in the cache is made anew, once; a context that changed
    /// while it was read is read again, once.
    pub fn build(&self, request: &Request) -> Result<Built, Error> {
        let lent = self.borrow(&request.caches);
        let mut built = self.solve(request, &lent);
        if let Ok(Built { rootfs, .. }) = &built
            && self.strata.lends(rootfs)
            && let Err(cause) = self.strata.tree(rootfs)
        {
            built = Err(cause.into());
        }
        // Another machine's cache makes a build faster or does nothing, but never breaks it.
        if built.is_err()
            && let Some(reason) = self.strata.give_back()
        {
            self.events.warning(&format!("the build goes on without what --cache-from names: {reason}"));
            built = self.solve(request, &HashMap::new());
        }
        match built {
            Err(Error { cause: Cause::Damaged(_) | Cause::Changed, .. }) => self.solve(request, &HashMap::new()),
            other => other,
        }
    }

    /// What the caches of other machines have, by key.
    fn borrow(&self, caches: &[Image]) -> HashMap<Digest, share::Shared> {
        let mut all = HashMap::new();
        for image in caches {
            match share::read(image) {
                Some(shared) => {
                    self.strata.lend(image);
                    all.extend(shared.into_iter().map(|one| (one.key.clone(), one)));
                }
                None => self.events.warning(&format!("{}: that is no cache that --cache-to has written", image.name)),
            }
        }
        all
    }

    fn solve(&self, request: &Request, lent: &HashMap<Digest, share::Shared>) -> Result<Built, Error> {
        let graph = request.definition.graph().map_err(Cause::from)?;
        let Some(target) = graph.target else {
            return Ok(Built { rootfs: Rootfs::default(), made: None, results: share::Results::default() }); // scratch
        };
        let inputs: Vec<Vec<usize>> = graph.nodes.iter().map(|n| n.inputs.iter().map(|e| e.node).collect()).collect();
        if graph.nodes.iter().flat_map(|n| &n.inputs).chain([&target]).any(|edge| edge.output != 0) {
            return Err(
                Cause::Unsupported("an op's second result is asked for; only first ones are made".into()).into()
            );
        }
        for node in &graph.nodes {
            if let Some(pb::op::Op::Exec(exec)) = &node.op.op {
                exec::entitled(request, exec).map_err(|cause| executor::failed_at(node, cause))?;
            }
        }
        let hashes = Hashes::open(self.strata.cache());
        let executor = Executor {
            nodes: &graph.nodes,
            request,
            ground: Ground { strata: &self.strata, host: &self.host, events: self.events.clone() },
            registry: &self.registry,
            web: &self.web,
            git: &self.git,
            hashes: &hashes,
            lent,
            given: Mutex::default(),
            warned: AtomicBool::new(false),
            hybrid: request.hybrid.then(Hybrid::default),
            told: Mutex::default(),
            newest: Mutex::new(0),
        };
        let rootfs = solver::solve(&inputs, target.node, request.jobs, &executor);
        // After a failure too: what was read need not be read again when it is mended.
        hashes.save(self.strata.cache());
        let rootfs = rootfs?;
        let made = executor.newest.into_inner().unwrap_or_else(|p| p.into_inner());
        let results = share::Results(executor.given.into_inner().unwrap_or_else(|p| p.into_inner()));
        Ok(Built { rootfs, made: (made > 0).then_some(made), results })
    }
}
