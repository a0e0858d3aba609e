//! Vertices: one marshalled op each, made bottom-up, immutable, shared by reference.
//!
//! A vertex never changes after it is made, so its bytes and its digest are computed once. An
//! [`Output`] is an edge's end: a vertex and the number of one of its results. A missing output
//! (`None` wherever an `Option<Output>` is taken) is `scratch`, the empty file system.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;

use crate::caps;
use crate::pb;
use crate::source_map::SourceLocation;
use crate::{Digest, Platform};

/// The description key under which progress displays look for a vertex's name (BuildKit
/// `client/llb/state.go`, `WithCustomName`).
pub const CUSTOM_NAME: &str = "llb.customname";

/// What every op may carry besides its own fields.
///
/// Only the platform and the worker filter are part of the op's bytes and thus of its digest; the
/// rest is metadata beside the graph (BuildKit `client/llb/marshal.go`, `MarshalConstraints`).
#[derive(Clone, Debug)]
pub struct Constraints {
    /// Where the op runs, or which variant of an image it means. Kept by exec ops and by image and
    /// OCI layout sources; the other ops mean the same everywhere and leave it out.
    pub platform: Option<Platform>,
    /// Worker filters. BuildKit writes the field even when it is empty, so the default is an empty
    /// list; `None` leaves it out, as producers from before 2019 did.
    pub worker_filter: Option<Vec<String>>,
    /// Run the op even if a cached result exists.
    pub ignore_cache: bool,
    /// Free-form texts; [`CUSTOM_NAME`] among them.
    pub description: BTreeMap<String, String>,
    /// Whether a remote cache takes the result; `None` leaves it to the builder.
    pub export_cache: Option<bool>,
    /// Vertices that a progress display shows as one.
    pub progress_group: Option<pb::ProgressGroup>,
    /// Where in a source text the op comes from.
    pub locations: Vec<SourceLocation>,
}

impl Default for Constraints {
    fn default() -> Self {
        Self {
            platform: None,
            worker_filter: Some(Vec::new()),
            ignore_cache: false,
            description: BTreeMap::new(),
            export_cache: None,
            progress_group: None,
            locations: Vec::new(),
        }
    }
}

impl Constraints {
    /// Constraints that say just the platform.
    pub fn on(platform: &Platform) -> Self {
        Self { platform: Some(platform.clone()), ..Self::default() }
    }

    /// The same, shown under this name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.description.insert(CUSTOM_NAME.into(), name.into());
        self
    }

    /// The same, with one more description.
    pub fn described(mut self, key: &str, text: impl Into<String>) -> Self {
        self.description.insert(key.into(), text.into());
        self
    }

    /// The same, with one more origin.
    pub fn located(mut self, location: SourceLocation) -> Self {
        self.locations.push(location);
        self
    }

    /// The same, with the cache switched off or on.
    pub fn ignoring_cache(mut self, ignore: bool) -> Self {
        self.ignore_cache = ignore;
        self
    }
}

/// One op of the graph.
pub struct Vertex {
    digest: Digest,
    bytes: Vec<u8>,
    inputs: Vec<Output>,
    metadata: pb::OpMetadata,
    locations: Vec<SourceLocation>,
}

/// A result of a vertex, to be used as another one's input.
#[derive(Clone)]
pub struct Output {
    vertex: Arc<Vertex>,
    index: i64,
}

impl Vertex {
    /// The sha256 of [`Vertex::bytes`]: the vertex's identity.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The marshalled `pb::Op`.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The inputs, in the order of the op's `inputs`.
    pub fn inputs(&self) -> &[Output] {
        &self.inputs
    }

    /// What goes beside the op: name, capabilities, cache policy.
    pub fn metadata(&self) -> &pb::OpMetadata {
        &self.metadata
    }

    /// Where the op comes from.
    pub fn locations(&self) -> &[SourceLocation] {
        &self.locations
    }
}

impl std::fmt::Debug for Vertex {
    /// The digest alone: a vertex holds its whole ancestry.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vertex({})", self.digest)
    }
}

impl Drop for Vertex {
    /// Takes a long chain of sole owners apart in a loop; the default would recurse once a vertex.
    fn drop(&mut self) {
        let mut inputs = std::mem::take(&mut self.inputs);
        while let Some(output) = inputs.pop() {
            if let Some(mut vertex) = Arc::into_inner(output.vertex) {
                inputs.append(&mut vertex.inputs);
            }
        }
    }
}

impl Output {
    /// The vertex that this is a result of.
    pub fn vertex(&self) -> &Arc<Vertex> {
        &self.vertex
    }

    /// Which of the vertex's results this is.
    pub fn index(&self) -> i64 {
        self.index
    }

    /// Another result of the same vertex.
    pub(crate) fn at(&self, index: i64) -> Self {
        Self { vertex: self.vertex.clone(), index }
    }

    /// The edge as an op's `inputs` has it.
    pub fn to_input(&self) -> pb::Input {
        pb::Input { digest: self.vertex.digest.to_string(), index: self.index }
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.vertex.digest, self.index)
    }
}

impl PartialEq for Output {
    /// The same result of the same op (by content, not by address).
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.vertex.digest == other.vertex.digest
    }
}

impl Eq for Output {}

/// The inputs of an op under construction; equal edges share a slot.
#[derive(Default)]
pub(crate) struct Inputs(pub(crate) Vec<Output>);

impl Inputs {
    /// The slot of `output`: an existing one or a new one at the end; -1 for scratch (BuildKit
    /// `solver/pb/const.go`, `Empty`).
    pub(crate) fn slot(&mut self, output: Option<&Output>) -> i64 {
        let Some(output) = output else { return -1 };
        let at = self.0.iter().position(|o| o == output).unwrap_or_else(|| {
            self.0.push(output.clone());
            self.0.len() - 1
        });
        at as i64
    }
}

/// Marshals an op and wraps it up; the result is output 0.
pub(crate) fn seal(
    op: pb::op::Op,
    inputs: Vec<Output>,
    constraints: &Constraints,
    with_platform: bool,
    capabilities: impl IntoIterator<Item = caps::Cap>,
) -> Output {
    let message = pb::Op {
        inputs: inputs.iter().map(Output::to_input).collect(),
        op: Some(op),
        platform: constraints.platform.as_ref().filter(|_| with_platform).map(Platform::to_pb),
        constraints: constraints.worker_filter.clone().map(|filter| pb::WorkerConstraints { filter }),
    };
    let bytes = message.encode_to_vec();
    let metadata = pb::OpMetadata {
        ignore_cache: constraints.ignore_cache,
        description: constraints.description.clone(),
        export_cache: constraints.export_cache.map(|value| pb::ExportCache { value }),
        caps: capabilities.into_iter().map(|cap| (cap.to_string(), true)).collect(),
        progress_group: constraints.progress_group.clone(),
    };
    let vertex =
        Vertex { digest: Digest::of(&bytes), bytes, inputs, metadata, locations: constraints.locations.clone() };
    Output { vertex: Arc::new(vertex), index: 0 }
}
