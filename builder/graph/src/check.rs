//! What must hold inside one op of an untrusted definition.

use std::collections::HashSet;

use crate::graph::MAX_FAN_IN;
use crate::pb::{self, file_action::Action, op::Op};

/// How many results an op has; or what is wrong with it. After this, every index in the op points
/// at something, every enumeration has a known value, and every required part is there.
pub(crate) fn outputs(op: &pb::Op) -> Result<usize, String> {
    let inputs = op.inputs.len();
    limit("inputs", inputs)?;
    match op.op.as_ref().ok_or("it has no content")? {
        Op::Source(source) if source.identifier.is_empty() => Err("the source has no identifier".into()),
        Op::Source(_) if inputs > 0 => Err("a source has no inputs".into()),
        Op::Source(_) => Ok(1),
        Op::Exec(exec) => exec_outputs(exec, inputs),
        Op::File(file) => file_outputs(file, inputs),
        Op::Merge(merge) => {
            limit("merge inputs", merge.inputs.len())?;
            if merge.inputs.len() < 2 {
                return Err("a merge takes at least two inputs".into());
            }
            merge.inputs.iter().try_for_each(|i| input(i.input, inputs))?;
            Ok(1)
        }
        Op::Diff(diff) => {
            input(diff.lower.as_ref().map_or(-1, |l| l.input), inputs)?;
            input(diff.upper.as_ref().map_or(-1, |u| u.input), inputs)?;
            Ok(1)
        }
        Op::Build(_) => Err("nested builds aren't supported".into()),
    }
}

fn limit(what: &str, count: usize) -> Result<(), String> {
    if count > MAX_FAN_IN { Err(format!("{count} {what}; at most {MAX_FAN_IN} are taken")) } else { Ok(()) }
}

/// -1 (scratch) or the number of an input.
fn input(index: i64, inputs: usize) -> Result<(), String> {
    match usize::try_from(index) {
        Ok(index) if index < inputs => Ok(()),
        Err(_) if index == -1 => Ok(()),
        _ => Err(format!("it uses input {index} of {inputs}")),
    }
}

/// Results must be numbered 0, 1, 2 … without gaps or repetition.
fn numbered(outputs: impl IntoIterator<Item = i64>) -> Result<usize, String> {
    let mut seen = HashSet::new();
    for output in outputs {
        if output < -1 || (output >= 0 && !seen.insert(output)) {
            return Err(format!("result number {output} is negative or taken twice"));
        }
    }
    let count = seen.len();
    match seen.into_iter().find(|output| *output >= count as i64) {
        Some(output) => Err(format!("result number {output} leaves a gap")),
        None => Ok(count),
    }
}

fn exec_outputs(exec: &pb::ExecOp, inputs: usize) -> Result<usize, String> {
    limit("mounts", exec.mounts.len())?;
    let meta = exec.meta.as_ref().ok_or("the command has no meta")?;
    if meta.args.is_empty() {
        return Err("the command has no arguments".into());
    }
    if !meta.cwd.starts_with('/') {
        return Err(format!("the working directory `{}` isn't absolute", meta.cwd));
    }
    if pb::NetMode::try_from(exec.network).is_err() || pb::SecurityMode::try_from(exec.security).is_err() {
        return Err("unknown network or security mode".into());
    }
    if !exec.mounts.iter().any(|m| m.dest == "/") {
        return Err("no mount at /: there is no root file system".into());
    }
    let mut outputs = Vec::new();
    for mount in &exec.mounts {
        input(mount.input, inputs)?;
        if !mount.dest.starts_with('/') {
            return Err(format!("the mount point `{}` isn't absolute", mount.dest));
        }
        let kind = pb::MountType::try_from(mount.mount_type).map_err(|_| "unknown kind of mount")?;
        let complete = match kind {
            pb::MountType::Bind | pb::MountType::Tmpfs => true,
            pb::MountType::Secret => mount.secret_opt.is_some(),
            pb::MountType::Ssh => mount.ssh_opt.is_some(),
            pb::MountType::Cache => mount
                .cache_opt
                .as_ref()
                .is_some_and(|c| !c.id.is_empty() && pb::CacheSharingOpt::try_from(c.sharing).is_ok()),
        };
        if !complete {
            return Err(format!("the mount at `{}` lacks its options", mount.dest));
        }
        // Secret and SSH mounts carry a meaningless 0 there.
        if !matches!(kind, pb::MountType::Secret | pb::MountType::Ssh) {
            outputs.push(mount.output);
        }
    }
    numbered(outputs)
}

fn file_outputs(file: &pb::FileOp, inputs: usize) -> Result<usize, String> {
    limit("actions", file.actions.len())?;
    for (index, action) in file.actions.iter().enumerate() {
        // An action may use what an earlier one left: its number comes after those of the inputs.
        let reachable = inputs + index;
        input(action.input, reachable)?;
        let owner = match action.action.as_ref().ok_or("a file action has no content")? {
            Action::Copy(copy) => {
                input(action.secondary_input, reachable)?;
                copy.owner.as_ref()
            }
            Action::Mkfile(mkfile) => mkfile.owner.as_ref(),
            Action::Mkdir(mkdir) => mkdir.owner.as_ref(),
            Action::Symlink(symlink) => symlink.owner.as_ref(),
            Action::Rm(_) => None,
        };
        for id in owner.into_iter().flat_map(|o| [&o.user, &o.group]).flatten() {
            if let Some(pb::user_opt::User::ByName(name)) = &id.user {
                input(name.input, inputs)?;
            }
        }
    }
    numbered(file.actions.iter().map(|a| a.output))
}
