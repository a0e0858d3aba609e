//! Definitions: a whole graph as bytes, made from a target and read back with care.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use prost::Message;

use crate::caps;
use crate::graph::{Graph, InvalidDefinition};
use crate::pb;
use crate::source_map::SourceMap;
use crate::{Digest, vertex::Output, vertex::Vertex};

/// A graph in BuildKit's exchange form (`solver/pb/ops.proto`, `Definition`).
///
/// Ops come inputs first; the last op has no content but one input, which is the target. No op at
/// all is the definition of scratch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definition {
    /// The marshalled ops.
    pub ops: Vec<Vec<u8>>,
    /// What goes beside the ops, by their digests.
    pub metadata: BTreeMap<String, pb::OpMetadata>,
    /// Where the ops come from.
    pub source: Option<pb::Source>,
}

impl Definition {
    /// Everything that `target` needs. Equal graphs give equal bytes.
    pub fn of(target: Option<&Output>) -> Self {
        let mut definition = Self::default();
        let Some(target) = target else { return definition };
        let mut locations = Locations::default();
        for vertex in inputs_first(target.vertex()) {
            let metadata = definition.metadata.entry(vertex.digest().to_string()).or_default();
            merge_metadata(metadata, vertex.metadata());
            locations.add(vertex);
            definition.ops.push(vertex.bytes().to_vec());
        }

        let terminal = pb::Op { inputs: vec![target.to_input()], ..Default::default() }.encode_to_vec();
        let mut needs = vec![caps::CONSTRAINTS, caps::PLATFORM];
        let metadata = definition.metadata.values();
        for (used, cap) in [
            (metadata.clone().any(|m| m.ignore_cache), caps::META_IGNORE_CACHE),
            (metadata.clone().any(|m| !m.description.is_empty()), caps::META_DESCRIPTION),
            (metadata.clone().any(|m| m.export_cache.is_some()), caps::META_EXPORT_CACHE),
        ] {
            needs.extend(used.then_some(cap));
        }
        let caps = needs.into_iter().map(|cap| (cap.to_string(), true)).collect();
        let metadata = pb::OpMetadata { caps, ..Default::default() };
        definition.metadata.insert(Digest::of(&terminal).to_string(), metadata);
        definition.ops.push(terminal);
        definition.source = Some(locations.0);
        definition
    }

    /// The message.
    pub fn to_pb(&self) -> pb::Definition {
        pb::Definition { def: self.ops.clone(), metadata: self.metadata.clone(), source: self.source.clone() }
    }

    /// From the message; nothing is checked before [`Definition::graph`].
    pub fn from_pb(message: pb::Definition) -> Self {
        Self { ops: message.def, metadata: message.metadata, source: message.source }
    }

    /// The message's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_pb().encode_to_vec()
    }

    /// From the message's bytes; nothing but the encoding is checked before [`Definition::graph`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidDefinition> {
        crate::graph::check_size(bytes.len())?;
        Ok(Self::from_pb(pb::Definition::decode(bytes)?))
    }

    /// The decoded and validated graph.
    pub fn graph(&self) -> Result<Graph, InvalidDefinition> {
        Graph::read(self)
    }
}

/// The distinct vertices below and including `target`, inputs before their users, in the order in
/// which a depth-first walk leaves them.
fn inputs_first(target: &Arc<Vertex>) -> Vec<&Vertex> {
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    let mut stack: Vec<(&Vertex, usize)> = vec![(target, 0)];
    while let Some((vertex, next)) = stack.pop() {
        match vertex.inputs().get(next) {
            Some(input) => {
                stack.push((vertex, next + 1));
                if !seen.contains(input.vertex().digest()) {
                    stack.push((input.vertex(), 0));
                }
            }
            None if seen.insert(vertex.digest()) => order.push(vertex),
            None => {}
        }
    }
    order
}

/// Equal ops made in two places may be described twice; the later word counts, flags add up.
fn merge_metadata(into: &mut pb::OpMetadata, from: &pb::OpMetadata) {
    into.ignore_cache |= from.ignore_cache;
    into.description.extend(from.description.clone());
    into.caps.extend(from.caps.clone());
    if from.export_cache.is_some() {
        into.export_cache = from.export_cache;
    }
    if from.progress_group.is_some() {
        into.progress_group = from.progress_group.clone();
    }
}

/// Source maps, each once, and where the ops are in them.
#[derive(Default)]
struct Locations(pb::Source, HashMap<*const SourceMap, usize>);

impl Locations {
    fn add(&mut self, vertex: &Vertex) {
        for location in vertex.locations() {
            let infos = &mut self.0.infos;
            let index = *self.1.entry(Arc::as_ptr(&location.map)).or_insert_with(|| {
                infos.push(pb::SourceInfo {
                    filename: location.map.filename.clone(),
                    data: location.map.data.clone(),
                    definition: None,
                    language: location.map.language.clone(),
                });
                infos.len() - 1
            });
            let entry = self.0.locations.entry(vertex.digest().to_string()).or_default();
            entry.locations.push(pb::Location { source_index: index as i32, ranges: location.ranges.clone() });
        }
    }
}
