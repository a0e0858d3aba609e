//! Running a whole file op: its actions form a chain (each one's `input` is an input of the op or an
//! earlier action's result), and the chain that ends in the wanted output becomes one stratum. An
//! action whose *other* input is an action's result gets that result as a tree of its own
//! (BuildKit, `solver/llbsolver/ops/file.go`).

use std::{path::Path, sync::Arc};

use routerpack_graph::pb::{
    self, FileAction, FileActionMkDir, FileActionMkFile, FileActionRm, FileActionSymlink, file_action::Action,
};
use routerpack_rootfs::{Index, Kind, Mtime, Stratum, Tree, Warning};

use crate::{
    copy::Copy,
    disk::Bytes,
    error::Error,
    owner::{self, Owner, Unknown},
    path, select,
    upper::{Meta, Upper},
};

/// What a file op needs to know of its surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Whether owners can be set on disk; else they are in the index only.
    pub can_chown: bool,
    /// The time of what an op makes without saying when (created directories and files; a copied
    /// file keeps its own).
    pub now: Mtime,
}

/// What an op made.
#[derive(Debug)]
pub struct Output {
    /// What is in the directory: files, whiteouts, opaque directories, and every directory above them (the
    /// root only where the base has an entry for it or the op changes it).
    pub index: Index,
    /// The input that the stratum lies on; none: scratch.
    pub base: Option<usize>,
    /// What the directory can't hold; the index has it.
    pub warnings: Vec<Warning>,
    /// Whether the directory will do for an overlay. Else there are removals whose marks its file system
    /// didn't take (it is an overlay itself, say), and only the index shows them.
    pub mountable: bool,
}

/// Which input of an op its output number `output` (as in an LLB input's `index`; nearly always 0)
/// lies on; none: scratch. `inputs` is how many inputs the op has.
pub fn base_input(op: &pb::FileOp, output: i64, inputs: usize) -> Result<Option<usize>, Error> {
    let chain = chain(op, last_action(op, output)?, inputs)?;
    Ok(chain.base)
}

/// Runs an op: `inputs` are the trees of its inputs in order, `dest` is an empty directory. It becomes the
/// upper directory of an overlay over the strata of [`Output::base`]; beside it, in its parent, lie for a
/// while the results that actions look at from the side. After an error `dest` is to be thrown away.
pub fn apply(
    op: &pb::FileOp,
    output: i64,
    inputs: &[&Tree],
    dest: &Path,
    settings: &Settings,
) -> Result<Output, Error> {
    let last = last_action(op, output)?;
    let extra = side_results(op, last, inputs.len())?;
    let dir = dest.parent().unwrap_or(dest);
    let mut results: Vec<(i64, Tree, tempfile::TempDir)> = Vec::new();
    for at in extra {
        let result = tempfile::tempdir_in(dir).map_err(|source| Error::Io {
            doing: "create a directory in",
            path: dir.display().to_string(),
            source,
        })?;
        let made = run(op, at, inputs, &results, result.path(), settings)?;
        let stratum = Stratum::Dir { root: result.path().into(), index: Arc::new(made.index) };
        let below: Tree = made.base.map(|base| inputs[base].clone()).unwrap_or_default();
        let mut tree = below;
        tree.push(stratum)?;
        results.push(((inputs.len() + at) as i64, tree, result));
    }
    run(op, last, inputs, &results, dest, settings)
}

/// One chain of actions.
struct Chain {
    /// Numbers of the actions, first to last.
    actions: Vec<usize>,
    base: Option<usize>,
}

fn last_action(op: &pb::FileOp, output: i64) -> Result<usize, Error> {
    let found = op.actions.iter().position(|a| a.output == output && output >= 0);
    found.ok_or_else(|| Error::BadOp(format!("it has no output {output}")))
}

/// Goes back from an action to the input that its chain starts from.
fn chain(op: &pb::FileOp, last: usize, inputs: usize) -> Result<Chain, Error> {
    let mut actions = vec![last];
    let mut at = last;
    loop {
        let input = op.actions[at].input;
        match reference(input, at, inputs)? {
            Some(Reference::Action(before)) => {
                actions.push(before);
                at = before;
            }
            base => {
                actions.reverse();
                let base = base.map(|r| match r {
                    Reference::Input(n) | Reference::Action(n) => n,
                });
                return Ok(Chain { actions, base });
            }
        }
    }
}

/// What an input number of an action means.
enum Reference {
    Input(usize),
    Action(usize),
}

/// Reads an input number of action `at`; -1 is nothing. An action can only refer to earlier ones, so
/// there are no circles.
fn reference(number: i64, at: usize, inputs: usize) -> Result<Option<Reference>, Error> {
    match usize::try_from(number) {
        Err(_) if number == -1 => Ok(None),
        Ok(n) if n < inputs => Ok(Some(Reference::Input(n))),
        Ok(n) if n < inputs + at => Ok(Some(Reference::Action(n - inputs))),
        _ => Err(Error::BadOp(format!(
            "action {at} refers to input {number}, but there are {inputs} and earlier actions"
        ))),
    }
}

/// The actions whose results others look at from the side, in order.
fn side_results(op: &pb::FileOp, last: usize, inputs: usize) -> Result<Vec<usize>, Error> {
    let mut wanted = vec![false; op.actions.len()];
    let mut todo = vec![last];
    while let Some(end) = todo.pop() {
        for at in chain(op, end, inputs)?.actions {
            for number in sides(&op.actions[at]) {
                if let Some(Reference::Action(side)) = reference(number, at, inputs)?
                    && !std::mem::replace(&mut wanted[side], true)
                {
                    todo.push(side);
                }
            }
        }
    }
    Ok((0..wanted.len()).filter(|at| wanted[*at]).collect())
}

/// The inputs of an action other than the one it works on.
fn sides(action: &FileAction) -> Vec<i64> {
    let owner = match &action.action {
        Some(Action::Copy(a)) => &a.owner,
        Some(Action::Mkfile(a)) => &a.owner,
        Some(Action::Mkdir(a)) => &a.owner,
        Some(Action::Symlink(a)) => &a.owner,
        _ => &None,
    };
    let names = owner.iter().flat_map(|o| [&o.user, &o.group]).flatten().filter_map(|u| match &u.user {
        Some(pb::user_opt::User::ByName(named)) => Some(named.input),
        _ => None,
    });
    // A name without an input has its own error.
    names.filter(|n| *n >= 0).chain([action.secondary_input]).collect()
}

fn run(
    op: &pb::FileOp,
    last: usize,
    inputs: &[&Tree],
    results: &[(i64, Tree, tempfile::TempDir)],
    dest: &Path,
    settings: &Settings,
) -> Result<Output, Error> {
    let scratch = Tree::default();
    let chain = chain(op, last, inputs.len())?;
    let mut upper = Upper::new(chain.base.map_or(&scratch, |n| inputs[n]), dest, settings)?;
    let tree = |number: i64| {
        let input = usize::try_from(number).ok().and_then(|n| inputs.get(n).copied());
        let found = input.or_else(|| results.iter().find(|(n, ..)| *n == number).map(|(_, tree, _)| tree));
        found.ok_or_else(|| Error::BadOp(format!("there is no input {number}")))
    };
    let mut act = |at: usize| {
        let action = &op.actions[at];
        match &action.action {
            Some(Action::Copy(copy)) => {
                let owner = owner::look_up(copy.owner.as_ref(), Unknown::Error, tree)?;
                let from = if action.secondary_input == -1 { &scratch } else { tree(action.secondary_input)? };
                Copy::new(copy, owner, time(copy.timestamp))?.run(from, &mut upper)
            }
            Some(Action::Mkdir(a)) => make_dir(a, owner::look_up(a.owner.as_ref(), Unknown::Root, tree)?, &mut upper),
            Some(Action::Mkfile(a)) => {
                make_file(a, owner::look_up(a.owner.as_ref(), Unknown::Error, tree)?, &mut upper)
            }
            Some(Action::Symlink(a)) => {
                make_symlink(a, owner::look_up(a.owner.as_ref(), Unknown::Error, tree)?, &mut upper)
            }
            Some(Action::Rm(a)) => remove(a, &mut upper),
            None => Err(Error::BadOp(format!("action {at} is of an unknown kind"))),
        }
    };
    for at in chain.actions {
        act(at).map_err(|error| error.in_action(at))?;
    }
    let (index, warnings, mountable) = upper.finish()?;
    Ok(Output { index, base: chain.base, warnings, mountable })
}

/// Nanoseconds since 1970; -1 says nothing.
fn time(nanos: i64) -> Option<Mtime> {
    (nanos != -1)
        .then(|| Mtime { secs: nanos.div_euclid(1_000_000_000), nanos: nanos.rem_euclid(1_000_000_000) as u32 })
}

/// Permission bits of mkdir and mkfile: no set-id.
fn plain(mode: i32, owner: Owner, timestamp: i64, upper: &Upper<'_>) -> Meta {
    let (uid, gid) = owner.unwrap_or((0, 0));
    Meta { mode: (mode & 0o777) as u16, uid, gid, mtime: upper.time(time(timestamp)), ..Meta::default() }
}

/// The directory that something new goes to has to be there.
fn needs_parent(target: &[u8], upper: &Upper<'_>) -> Result<(), Error> {
    let dir = path::split(target).0;
    match upper.get(dir).map(|e| e.kind) {
        Some(Kind::Dir) => Ok(()),
        Some(_) => Err(Error::NotADirectory { path: path::show(dir) }),
        None => Err(Error::NotFound { path: path::show(dir) }),
    }
}

fn make_dir(action: &FileActionMkDir, owner: Owner, upper: &mut Upper<'_>) -> Result<(), Error> {
    let target = upper.resolve(&path::clean(action.path.as_bytes()), true)?;
    let meta = plain(action.mode, owner, action.timestamp, upper);
    if action.make_parents {
        upper.make_dirs(&target, &meta)
    } else if upper.get(&target).is_some() {
        Ok(()) // whatever it is: BuildKit lets EEXIST pass
    } else {
        needs_parent(&target, upper)?;
        upper.put_dir(&target, meta)
    }
}

fn make_file(action: &FileActionMkFile, owner: Owner, upper: &mut Upper<'_>) -> Result<(), Error> {
    let target = upper.resolve(&path::clean(action.path.as_bytes()), true)?;
    if upper.get(&target).is_some_and(|e| e.kind == Kind::Dir) {
        return Err(Error::IsADirectory { path: path::show(&target) });
    }
    needs_parent(&target, upper)?;
    let meta = plain(action.mode, owner, action.timestamp, upper);
    upper.put(meta.entry(&target, Kind::File, b"", (0, 0)), Bytes::Memory(&action.data))
}

fn make_symlink(action: &FileActionSymlink, owner: Owner, upper: &mut Upper<'_>) -> Result<(), Error> {
    let target = upper.resolve(&path::clean(action.newpath.as_bytes()), true)?;
    if upper.get(&target).is_some() {
        return Err(Error::Exists { path: path::show(&target) });
    }
    needs_parent(&target, upper)?;
    let meta = plain(0o777, owner, action.timestamp, upper);
    upper.put(meta.entry(&target, Kind::Symlink, action.oldpath.as_bytes(), (0, 0)), Bytes::Memory(b""))
}

fn remove(action: &FileActionRm, upper: &mut Upper<'_>) -> Result<(), Error> {
    let wanted = path::clean(action.path.as_bytes());
    let targets = match select::wildcards(&wanted) {
        (plain, Some(wild)) if action.allow_wildcard => {
            let dir = upper.resolve(plain, false)?;
            let below = upper.descendants(&dir);
            let is_dir = |p: &[u8]| upper.get(p).is_some_and(|e| e.kind == Kind::Dir);
            select::matching(below.iter().map(|p| (&**p, is_dir(p))), &dir, wild)?
        }
        _ => vec![wanted],
    };
    for target in targets {
        let (dir, name) = path::split(&target);
        if name.is_empty() {
            return Err(Error::BadOp("it would remove the root directory".into()));
        }
        let target = path::join(&upper.resolve(dir, true)?, name);
        match upper.get(&target) {
            Some(_) => upper.remove(&target)?,
            None if action.allow_not_found => {}
            None => return Err(Error::NotFound { path: path::show(&target) }),
        }
    }
    Ok(())
}
