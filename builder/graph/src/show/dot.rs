//! For Graphviz (its language: <https://graphviz.org/doc/info/lang.html>).

use std::fmt::Write;

use super::tree::what;
use crate::{Graph, Node, pb};

/// The graph as DOT: sources as ellipses, steps as boxes, file operations as notes, an edge from each input to its
/// user, with the place where a step has it mounted unless that is its root.
pub fn to_dot(graph: &Graph) -> String {
    let mut out = String::from("digraph {\n");
    for node in &graph.nodes {
        let (id, label) = (node.digest.as_str(), format!("{}\n{}", node.name(), what(node)));
        let _ = writeln!(out, "  {} [label={} shape={}];", quoted(id), quoted(&label), shape(node));
    }
    for node in &graph.nodes {
        for (at, input) in node.inputs.iter().enumerate() {
            let from = graph.nodes[input.node].digest.as_str();
            let (from, to, label) = (quoted(from), quoted(node.digest.as_str()), quoted(&mounted(node, at)));
            let _ = writeln!(out, "  {from} -> {to} [label={label}];");
        }
    }
    out + "}\n"
}

fn shape(node: &Node) -> &'static str {
    match &node.op.op {
        Some(pb::op::Op::Source(_)) => "ellipse",
        Some(pb::op::Op::Exec(_)) => "box",
        Some(pb::op::Op::File(_)) => "note",
        Some(pb::op::Op::Merge(_)) => "invtriangle",
        Some(pb::op::Op::Diff(_)) => "doublecircle",
        Some(pb::op::Op::Build(_)) | None => "box3d",
    }
}

/// Where a step sees this input, if that says more than the edge.
fn mounted(node: &Node, input: usize) -> String {
    let Some(pb::op::Op::Exec(exec)) = &node.op.op else { return String::new() };
    let mounts = exec.mounts.iter().filter(|m| usize::try_from(m.input) == Ok(input) && m.dest != "/");
    mounts.map(|m| m.dest.as_str()).collect::<Vec<_>>().join(", ")
}

/// A double-quoted string: a quote and a backslash are escaped, a line break is one of a label.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\n' => out += "\\n",
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out + "\""
}
