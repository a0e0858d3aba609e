//! Runs an image, as a router would: the same sandbox as a step's, on a rootfs whose changes are thrown away.

use std::{
    fs,
    path::{Path, PathBuf},
};

use routerpack_graph::Platform;
use routerpack_sandbox::{self as sandbox, Mount, Network, Source, Status, Step, Streams};

use crate::{Builder, Error, Interrupt, error::Cause, ground::Ground, rootfs::Rootfs};

/// What is run.
pub struct Container {
    /// The whole command.
    pub args: Vec<String>,
    /// The whole environment.
    pub env: Vec<String>,
    /// Where it starts.
    pub cwd: String,
    /// As whom.
    pub user: String,
    /// Whose CPU it gets.
    pub platform: Platform,
    /// What network.
    pub network: Network,
    /// Directories and files of the machine: from, to, read-only.
    pub volumes: Vec<(PathBuf, String, bool)>,
    /// It is on a terminal.
    pub terminal: bool,
}

impl Builder {
    /// Runs it to its end, on the caller's standard streams.
    pub fn run(
        &self,
        rootfs: &Rootfs,
        container: &Container,
        streams: Streams,
        interrupt: &Interrupt,
    ) -> Result<Status, Error> {
        let ground = Ground { strata: &self.strata, host: &self.host, events: self.events.clone() };
        let temp = self.strata.cache().temp_dir().map_err(Cause::io("make a folder in the cache"))?;
        let status = run_in(&ground, rootfs, container, streams, interrupt, &temp);
        let _ = fs::remove_dir_all(&temp);
        Ok(status?)
    }
}

fn run_in(
    ground: &Ground,
    rootfs: &Rootfs,
    container: &Container,
    streams: Streams,
    interrupt: &Interrupt,
    temp: &Path,
) -> Result<Status, Cause> {
    let mut step = Step::new(ground.root(rootfs, temp)?, container.args.clone());
    step.emulation = ground.emulation(&container.platform)?;
    step.isolation = ground.host.facts()?.isolation;
    step.env = container.env.clone();
    step.cwd = container.cwd.clone();
    step.user = container.user.clone();
    step.network = container.network;
    step.hostname = "routerpack".into();
    step.resolv_conf = ground.host.resolv_conf.clone();
    step.terminal = container.terminal;
    for (from, to, readonly) in &container.volumes {
        let source = Source::Bind { path: from.clone(), subpath: String::new() };
        step.mounts.push(Mount { target: to.clone(), source, readonly: *readonly });
    }
    let mut child = sandbox::spawn(&step, streams)?;
    let _watched = interrupt.watch(child.signaller());
    Ok(child.wait()?)
}
