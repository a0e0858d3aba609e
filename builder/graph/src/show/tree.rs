//! For people: the target at the top, below each op what it takes.

use std::fmt::Write;

use crate::{Edge, Graph, Node, pb};

/// The graph as a tree. An op that several others take is written out once; elsewhere its number stands for it.
pub fn to_tree(graph: &Graph) -> String {
    let Some(target) = graph.target else { return "scratch\n".into() };
    let mut out = String::new();
    let mut written = vec![false; graph.nodes.len()];
    // From the target down; what stands deeper is indented. No recursion: a build may have thousands of steps.
    let mut stack = vec![(target, Vec::<bool>::new(), String::new())];
    while let Some((Edge { node: at, .. }, last, role)) = stack.pop() {
        let node = &graph.nodes[at];
        let known = std::mem::replace(&mut written[at], true);
        let mut line = branch(&last);
        let _ = write!(line, "{}#{} {}", role, at + 1, node.name().replace('\n', "⏎"));
        if known && !node.inputs.is_empty() {
            let _ = writeln!(out, "{line} (above)");
            continue;
        }
        let details = [Some(what(node)).filter(|what| *what != node.name()), platform(node)];
        let details: Vec<String> = details.into_iter().flatten().collect();
        let details = if details.is_empty() { String::new() } else { format!("  [{}]", details.join(", ")) };
        let _ = writeln!(out, "{line}{details}");
        let count = node.inputs.len();
        for (n, input) in node.inputs.iter().enumerate().rev() {
            let deeper = last.iter().copied().chain([n + 1 == count]).collect();
            stack.push((*input, deeper, role_of(node, n)));
        }
    }
    out
}

/// The lines that lead to an entry: for each level whether it is the last of its siblings.
fn branch(last: &[bool]) -> String {
    let Some((own, above)) = last.split_last() else { return String::new() };
    let above: String = above.iter().map(|last| if *last { "   " } else { "│  " }).collect();
    above + if *own { "└─ " } else { "├─ " }
}

/// What an op does, in short.
pub(super) fn what(node: &Node) -> String {
    use pb::{file_action::Action, op::Op};
    match &node.op.op {
        Some(Op::Source(source)) => source.identifier.clone(),
        Some(Op::Exec(_)) => "run".into(),
        Some(Op::File(file)) => {
            let action = |action: &pb::FileAction| match &action.action {
                Some(Action::Copy(copy)) => format!("copy {} → {}", copy.src, copy.dest),
                Some(Action::Mkfile(file)) => format!("write {}", file.path),
                Some(Action::Mkdir(dir)) => format!("mkdir {}", dir.path),
                Some(Action::Rm(rm)) => format!("rm {}", rm.path),
                Some(Action::Symlink(link)) => format!("link {} → {}", link.newpath, link.oldpath),
                None => "nothing".into(),
            };
            file.actions.iter().map(action).collect::<Vec<_>>().join(", ")
        }
        Some(Op::Merge(_)) => "merge".into(),
        Some(Op::Diff(_)) => "diff".into(),
        Some(Op::Build(_)) | None => "build".into(),
    }
}

fn platform(node: &Node) -> Option<String> {
    let p = node.op.platform.as_ref()?;
    let parts = [&p.os, &p.architecture, &p.variant].map(String::as_str);
    Some(parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("/"))
}

/// What an input is to its user, where that is not its root file system.
fn role_of(node: &Node, input: usize) -> String {
    let Some(pb::op::Op::Exec(exec)) = &node.op.op else { return String::new() };
    let mut mounts = exec.mounts.iter().filter(|m| usize::try_from(m.input) == Ok(input));
    match mounts.clone().any(|m| m.dest == "/") {
        true => String::new(),
        false => mounts.next().map_or(String::new(), |m| format!("at {}: ", m.dest)),
    }
}
