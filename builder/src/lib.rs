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
mod solver;
mod source;
pub mod strata;
mod usage;

use std::sync::{Arc, Mutex, atomic::AtomicBool};

pub use cache::Cache;
pub use error::{Cause, Error};
pub use request::{Host, Interrupt, Local, Request, Secret};
pub use rootfs::{Part, Rootfs, StratumId};
use routerpack_graph::pb;
use routerpack_sources::{GitSource, HttpSource, Registry};
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
}

impl Builder {
    /// Solves the request's definition. What turns out damaged in the cache is made anew, once.
    pub fn build(&self, request: &Request) -> Result<Built, Error> {
        match self.solve(request) {
            Err(Error { cause: Cause::Damaged(_), .. }) => self.solve(request),
            other => other,
        }
    }

    fn solve(&self, request: &Request) -> Result<Built, Error> {
        let graph = request.definition.graph().map_err(Cause::from)?;
        let Some(target) = graph.target else {
            return Ok(Built { rootfs: Rootfs::default(), made: None }); // scratch
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
        Ok(Built { rootfs, made: (made > 0).then_some(made) })
    }
}
