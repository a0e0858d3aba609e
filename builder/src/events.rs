//! What a build reports while it runs. The library prints nothing; whoever wants lines implements [`Events`].

use std::time::Duration;

use routerpack_graph::Digest;

/// One unit of work as a person sees it: an op, a pull, an unpack, the packing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Task {
    /// A vertex of the graph.
    Vertex(Digest),
    /// A blob that is downloaded or read, by digest.
    Blob(Digest),
    /// A layer that is unpacked for a step, by diff_id.
    Unpack(Digest),
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It ran.
    Done,
    /// Its result was in the cache.
    Cached,
    /// It failed; the error comes back from the build.
    Failed,
    /// Another task failed first, or the build was interrupted.
    Canceled,
}

/// Listens to a build. Called from several threads at once.
pub trait Events: Send + Sync {
    /// Work on a task begins; `name` is its line, such as `[build 2/3] RUN make`.
    fn started(&self, task: &Task, name: &str);
    /// Bytes done so far, and how many there will be if that is known.
    fn progress(&self, task: &Task, done: u64, total: Option<u64>);
    /// Output of the step, as it came: any bytes, not whole lines.
    fn output(&self, task: &Task, bytes: &[u8]);
    /// The task is over after `took`.
    fn ended(&self, task: &Task, ending: Ending, took: Duration);
    /// Something that the user should know and that stops nothing.
    fn warning(&self, text: &str);
}

/// Listens to nothing.
pub struct Silent;

impl Events for Silent {
    fn started(&self, _: &Task, _: &str) {}
    fn progress(&self, _: &Task, _: u64, _: Option<u64>) {}
    fn output(&self, _: &Task, _: &[u8]) {}
    fn ended(&self, _: &Task, _: Ending, _: Duration) {}
    fn warning(&self, _: &str) {}
}
