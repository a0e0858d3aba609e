//! Merge and diff ops (BuildKit `client/llb/merge.go`, `diff.go`).

use crate::caps;
use crate::pb;
use crate::vertex::{Constraints, Output, seal};

/// The inputs laid over each other, the last on top. Scratch inputs don't count: none left gives
/// scratch, and one left is the result itself.
pub fn merge(inputs: impl IntoIterator<Item = Option<Output>>, constraints: &Constraints) -> Option<Output> {
    let mut inputs: Vec<Output> = inputs.into_iter().flatten().collect();
    if inputs.len() < 2 {
        return inputs.pop();
    }
    // One slot an input, even for equal ones: position is meaning here.
    let op = pb::MergeOp { inputs: (0..inputs.len() as i64).map(|input| pb::MergeInput { input }).collect() };
    Some(seal(pb::op::Op::Merge(op), inputs, constraints, false, [caps::MERGE_OP]))
}

/// What turns `lower` into `upper`. Over scratch that is `upper` itself.
pub fn diff(lower: Option<&Output>, upper: Option<&Output>, constraints: &Constraints) -> Option<Output> {
    let Some(lower) = lower else { return upper.cloned() };
    let mut inputs = vec![lower.clone()];
    let at = match upper {
        Some(upper) => {
            inputs.push(upper.clone());
            1
        }
        None => -1,
    };
    let op = pb::DiffOp { lower: Some(pb::LowerDiffInput { input: 0 }), upper: Some(pb::UpperDiffInput { input: at }) };
    Some(seal(pb::op::Op::Diff(op), inputs, constraints, false, [caps::DIFF_OP]))
}
