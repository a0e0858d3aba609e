//! The consumer's side of a definition: decoded ops in execution order, every reference checked.
//!
//! A definition may come from anywhere. After [`Graph::read`] an executor can index inputs, mounts
//! and actions without looking twice. Cycles need no check: an op names its inputs by the hash of
//! their bytes.

use std::collections::{BTreeMap, HashMap};

use prost::Message;

use crate::Digest;
use crate::definition::Definition;
use crate::pb;
use crate::vertex::CUSTOM_NAME;

/// The most that a definition may weigh, in bytes. BuildKit's gRPC limit is 16 MiB.
pub const MAX_BYTES: usize = 64 << 20;

/// The most inputs, mounts or actions that one op may have.
pub const MAX_FAN_IN: usize = 10_000;

/// What is wrong with a definition.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDefinition {
    /// Not protobuf.
    #[error("the definition isn't an LLB message: {0}")]
    Encoding(#[from] prost::DecodeError),
    /// Beyond [`MAX_BYTES`].
    #[error("the definition has {0} bytes; at most {MAX_BYTES} are taken")]
    TooLarge(usize),
    /// The last op isn't a terminal one.
    #[error("the definition's last op must have exactly one input and nothing else: it names the target")]
    NoTarget,
    /// An edge into nowhere.
    #[error("op {op} has input {input}, which the definition doesn't contain")]
    MissingInput {
        /// The op.
        op: Digest,
        /// Its input.
        input: String,
    },
    /// Something inside an op.
    #[error("op {op}: {what}")]
    Op {
        /// The op.
        op: Digest,
        /// What is wrong.
        what: String,
    },
}

/// A result of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Edge {
    /// The node's place in [`Graph::nodes`].
    pub node: usize,
    /// Which of its results.
    pub output: usize,
}

/// A decoded op.
#[derive(Clone, Debug)]
pub struct Node {
    /// sha256 of the op's bytes.
    pub digest: Digest,
    /// The op.
    pub op: pb::Op,
    /// Its inputs, one for each of the op's `inputs`.
    pub inputs: Vec<Edge>,
    /// How many results it has.
    pub outputs: usize,
    /// What goes beside it.
    pub metadata: pb::OpMetadata,
    /// Where it comes from, within [`Graph::sources`].
    pub locations: Vec<pb::Location>,
}

impl Node {
    /// The name to show: the custom one, else one made from the op.
    pub fn name(&self) -> String {
        if let Some(name) = self.metadata.description.get(CUSTOM_NAME) {
            return name.clone();
        }
        match &self.op.op {
            Some(pb::op::Op::Source(source)) => source.identifier.clone(),
            Some(pb::op::Op::Exec(exec)) => exec.meta.as_ref().map(|m| m.args.join(" ")).unwrap_or_default(),
            Some(pb::op::Op::File(_)) => "file".into(),
            Some(pb::op::Op::Merge(_)) => "merge".into(),
            Some(pb::op::Op::Diff(_)) => "diff".into(),
            Some(pb::op::Op::Build(_)) | None => "build".into(),
        }
    }
}

/// A checked graph.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// What the target needs, inputs before their users.
    pub nodes: Vec<Node>,
    /// The result that was asked for; `None` is scratch.
    pub target: Option<Edge>,
    /// The texts that the ops come from.
    pub sources: Vec<pb::SourceInfo>,
}

pub(crate) fn check_size(bytes: usize) -> Result<(), InvalidDefinition> {
    if bytes > MAX_BYTES { Err(InvalidDefinition::TooLarge(bytes)) } else { Ok(()) }
}

impl Graph {
    /// Decodes a definition. Ops that the target doesn't need are dropped, unread.
    pub fn read(definition: &Definition) -> Result<Self, InvalidDefinition> {
        check_size(definition.ops.iter().map(Vec::len).sum())?;
        let Some((terminal, ops)) = definition.ops.split_last() else { return Ok(Self::default()) };
        let terminal = pb::Op::decode(terminal.as_slice())?;
        let ([target], None) = (&terminal.inputs[..], &terminal.op) else { return Err(InvalidDefinition::NoTarget) };
        let bytes: HashMap<Digest, &[u8]> = ops.iter().map(|op| (Digest::of(op), op.as_slice())).collect();

        let mut graph = Self::default();
        let mut places: HashMap<Digest, usize> = HashMap::new();
        let root = Digest::parse(&target.digest).map_err(|_| InvalidDefinition::NoTarget)?;
        let mut stack = vec![Pending::open(root, None, &bytes)?];
        while let Some(mut pending) = stack.pop() {
            if let Some(input) = pending.op.inputs.get(pending.next) {
                pending.next += 1;
                let missing =
                    || InvalidDefinition::MissingInput { op: pending.digest.clone(), input: input.digest.clone() };
                let digest = Digest::parse(&input.digest).map_err(|_| missing())?;
                let child = (!places.contains_key(&digest))
                    .then(|| Pending::open(digest, Some(&pending.digest), &bytes))
                    .transpose()?;
                stack.push(pending);
                stack.extend(child);
            } else if !places.contains_key(&pending.digest) {
                places.insert(pending.digest.clone(), graph.nodes.len());
                let node = graph.node(pending, &places, definition)?;
                graph.nodes.push(node);
            }
        }

        let node = graph.nodes.len() - 1;
        match usize::try_from(target.index) {
            Ok(output) if output < graph.nodes[node].outputs => graph.target = Some(Edge { node, output }),
            _ => return Err(InvalidDefinition::NoTarget),
        }
        graph.sources = definition.source.iter().flat_map(|s| s.infos.iter().cloned()).collect();
        Ok(graph)
    }

    /// The secrets that the graph's commands ask for, by id, and whether a build without them must fail.
    pub fn secrets(&self) -> BTreeMap<&str, bool> {
        let mut secrets = BTreeMap::new();
        for exec in self.execs() {
            let files = exec.mounts.iter().filter_map(|m| m.secret_opt.as_ref()).map(|s| (s.id.as_str(), s.optional));
            let variables = exec.secretenv.iter().map(|s| (s.id.as_str(), s.optional));
            for (id, optional) in files.chain(variables) {
                *secrets.entry(id).or_default() |= !optional;
            }
        }
        secrets
    }

    /// The SSH agents that the graph's commands ask for, by id (empty: the default one), and whether a build
    /// without them must fail.
    pub fn ssh_agents(&self) -> BTreeMap<&str, bool> {
        let mut agents = BTreeMap::new();
        for agent in self.execs().flat_map(|exec| &exec.mounts).filter_map(|mount| mount.ssh_opt.as_ref()) {
            *agents.entry(agent.id.as_str()).or_default() |= !agent.optional;
        }
        agents
    }

    fn execs(&self) -> impl Iterator<Item = &pb::ExecOp> {
        self.nodes.iter().filter_map(|node| match &node.op.op {
            Some(pb::op::Op::Exec(exec)) => Some(exec),
            _ => None,
        })
    }

    /// A node from its op, once its inputs have theirs.
    fn node(
        &self,
        pending: Pending,
        places: &HashMap<Digest, usize>,
        definition: &Definition,
    ) -> Result<Node, InvalidDefinition> {
        let Pending { digest, op, .. } = pending;
        let fail = |what: String| InvalidDefinition::Op { op: digest.clone(), what };
        let mut inputs = Vec::new();
        for input in &op.inputs {
            let place = Digest::parse(&input.digest).ok().and_then(|digest| places.get(&digest).copied());
            let node = place.ok_or_else(|| fail(format!("input {} isn't there", input.digest)))?;
            let output = usize::try_from(input.index).ok().filter(|index| *index < self.nodes[node].outputs);
            let output = output.ok_or_else(|| fail(format!("{} has no result {}", input.digest, input.index)))?;
            inputs.push(Edge { node, output });
        }
        let outputs = crate::check::outputs(&op).map_err(&fail)?;
        let metadata = definition.metadata.get(digest.as_str()).cloned().unwrap_or_default();
        let located = definition.source.as_ref().and_then(|s| Some((s, s.locations.get(digest.as_str())?)));
        let locations = located.map_or_else(Vec::new, |(source, locations)| {
            let known = |l: &&pb::Location| usize::try_from(l.source_index).is_ok_and(|i| i < source.infos.len());
            locations.locations.iter().filter(known).cloned().collect()
        });
        Ok(Node { digest, op, inputs, outputs, metadata, locations })
    }
}

/// An op whose inputs are being visited.
struct Pending {
    digest: Digest,
    op: pb::Op,
    next: usize,
}

impl Pending {
    fn open(digest: Digest, user: Option<&Digest>, ops: &HashMap<Digest, &[u8]>) -> Result<Self, InvalidDefinition> {
        let bytes = ops.get(&digest).ok_or_else(|| match user {
            Some(op) => InvalidDefinition::MissingInput { op: op.clone(), input: digest.to_string() },
            None => InvalidDefinition::NoTarget,
        })?;
        Ok(Self { op: pb::Op::decode(*bytes)?, digest, next: 0 })
    }
}
