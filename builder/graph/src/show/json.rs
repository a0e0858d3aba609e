//! As `buildctl debug dump-llb` prints it (BuildKit, `cmd/buildctl/debug/dumpllb.go`).

use serde_json::{Value, json};

use super::message;
use crate::{Definition, Digest, InvalidDefinition, json::to_go_json, pb};
use prost::Message as _;

/// One JSON object a line for each op, inputs first; the last one names the target.
pub fn to_json(definition: &Definition) -> Result<String, InvalidDefinition> {
    crate::graph::check_size(definition.ops.iter().map(Vec::len).sum())?;
    let mut out = String::new();
    for bytes in &definition.ops {
        let op = pb::Op::decode(bytes.as_slice())?;
        let digest = Digest::of(bytes).to_string();
        let metadata = definition.metadata.get(&digest).cloned().unwrap_or_default();
        let line = json!({ "Op": message::op(&op), "Digest": digest, "OpMetadata": message::metadata(&metadata) });
        // A value of JSON can always be written.
        out += &to_go_json(&line).unwrap_or_default();
        out.push('\n');
    }
    Ok(out)
}

/// The definition as a member of BuildKit's own JSON (`pb.Definition`): the ops in base64, and what goes beside them.
pub fn to_message(definition: &Definition) -> Value {
    message::definition(&definition.to_pb())
}
