//! File ops: copy, mkdir, mkfile, symlink and rm in one vertex (BuildKit `client/llb/fileop.go`).
//!
//! Paths are absolute and clean; a trailing slash on a copy's destination says "a directory".

use crate::caps::{self, Cap};
use crate::pb::{self, file_action::Action as Pb};
use crate::vertex::{Constraints, Inputs, Output, seal};

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// By number.
    Number(u32),
    /// By name, to be looked up in the `/etc/passwd` or `/etc/group` of the op's base.
    Name(String),
}

/// A new owner; what is missing stays as the executor would have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: Option<Id>,
    /// The group.
    pub group: Option<Id>,
}

impl Owner {
    /// Reads `user[:group]`; `root` and what is a number that fits 32 bits count as numbers.
    pub fn parse(text: &str) -> Self {
        let id = |text: &str| match text {
            "root" => Id::Number(0),
            _ => match text.parse::<u32>() {
                Ok(number) => Id::Number(number),
                // what BuildKit reads as a signed number is marshalled as its 32 bits
                Err(_) => text.parse::<i32>().map_or_else(|_| Id::Name(text.to_string()), |n| Id::Number(n as u32)),
            },
        };
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        // A name that is empty is no name: the id is 0 then, as BuildKit marshals it.
        let id = |text: &str| if text.is_empty() { Id::Number(0) } else { id(text) };
        Self { user: Some(id(user)), group: group.map(id) }
    }
}

/// A copy's options besides source and destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// The new owner; `None` keeps the source's.
    pub owner: Option<Owner>,
    /// Permission bits; `None` keeps the source's.
    pub mode: Option<u32>,
    /// A symbolic mode such as `u=rwX,go=rX`, instead of `mode`.
    pub mode_str: String,
    /// A source that is a symlink is followed.
    pub follow_symlink: bool,
    /// Of a directory, copy what is in it rather than itself.
    pub dir_copy_contents: bool,
    /// Unpack a source that is an archive.
    pub unpack: bool,
    /// Make the destination's missing parents.
    pub create_dest_path: bool,
    /// The source may hold `*`, `?`, `[…]`.
    pub allow_wildcard: bool,
    /// …and match nothing.
    pub allow_empty_wildcard: bool,
    /// Unix time in nanoseconds for what is made; `None` keeps or takes the present.
    pub timestamp: Option<i64>,
    /// Only what matches.
    pub include: Vec<String>,
    /// Not what matches.
    pub exclude: Vec<String>,
    /// What is in the way goes, be it of another type.
    pub replace_existing: bool,
    /// With include patterns: paths that must exist.
    pub required: Vec<String>,
}

/// One change to a file system.
#[derive(Clone, Debug)]
pub enum Action {
    /// Copies from another file system.
    Copy {
        /// The file system to copy from.
        from: Place,
        /// The path there.
        src: String,
        /// The path here.
        dest: String,
        /// The rest.
        options: Box<CopyOptions>,
    },
    /// Makes a directory.
    Mkdir {
        /// The directory.
        path: String,
        /// Permission bits.
        mode: i32,
        /// Make missing parents too.
        parents: bool,
        /// `None` is root.
        owner: Option<Owner>,
        /// Unix time in nanoseconds.
        timestamp: Option<i64>,
    },
    /// Makes a file.
    Mkfile {
        /// The file.
        path: String,
        /// Permission bits.
        mode: i32,
        /// Its content.
        data: Vec<u8>,
        /// `None` is root.
        owner: Option<Owner>,
        /// Unix time in nanoseconds.
        timestamp: Option<i64>,
    },
    /// Makes a symlink.
    Symlink {
        /// What it says.
        target: String,
        /// The link.
        path: String,
        /// `None` is root.
        owner: Option<Owner>,
        /// Unix time in nanoseconds.
        timestamp: Option<i64>,
    },
    /// Removes a file or a directory.
    Rm {
        /// What.
        path: String,
        /// Nothing there is no error.
        allow_not_found: bool,
        /// The path may hold wildcards.
        allow_wildcard: bool,
    },
}

/// A file system that an action reads or changes.
#[derive(Clone, Debug)]
pub enum Place {
    /// Another vertex's result, or scratch.
    Input(Option<Output>),
    /// What the action of that number, counted from 0 in the same op, left.
    Action(usize),
}

impl From<Option<Output>> for Place {
    fn from(output: Option<Output>) -> Self {
        Self::Input(output)
    }
}

/// A file op that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFileOp {
    /// No action.
    #[error("a file operation has no actions: give it at least one")]
    Empty,
    /// A reference to an action that isn't there yet.
    #[error("action {action} of a file operation refers to action {target}, which doesn't come before it")]
    Forward {
        /// The referring action.
        action: usize,
        /// What it refers to.
        target: usize,
    },
}

struct Step {
    on: Place,
    action: Action,
    keep: bool,
}

/// A file op under construction.
pub struct FileOp {
    base: Option<Output>,
    steps: Vec<Step>,
}

impl FileOp {
    /// Changes to `base`.
    pub fn on(base: Option<Output>) -> Self {
        Self { base, steps: Vec::new() }
    }

    /// One more action, on what the last one left (the first: on the base).
    pub fn then(self, action: Action) -> Self {
        let on = match self.steps.len() {
            0 => Place::Input(self.base.clone()),
            n => Place::Action(n - 1),
        };
        self.then_on(on, action)
    }

    /// One more action, on a file system of its own choice.
    pub fn then_on(mut self, on: Place, action: Action) -> Self {
        self.steps.push(Step { on, action, keep: false });
        self
    }

    /// What the last action left is a result of the op, even if more actions follow.
    pub fn keep(mut self) -> Self {
        if let Some(step) = self.steps.last_mut() {
            step.keep = true;
        }
        self
    }

    /// The op; the result is what the last action left.
    pub fn output(self, constraints: &Constraints) -> Result<Output, InvalidFileOp> {
        let last = self.outputs(constraints)?.pop();
        last.ok_or(InvalidFileOp::Empty)
    }

    /// The op; the results are what the kept actions left, and the last one.
    pub fn outputs(mut self, constraints: &Constraints) -> Result<Vec<Output>, InvalidFileOp> {
        self.steps.last_mut().ok_or(InvalidFileOp::Empty)?.keep = true;
        for (action, step) in self.steps.iter().enumerate() {
            let from = match &step.action {
                Action::Copy { from, .. } => Some(from),
                _ => None,
            };
            for place in [Some(&step.on), from].into_iter().flatten() {
                if let Place::Action(target) = *place
                    && target >= action
                {
                    return Err(InvalidFileOp::Forward { action, target });
                }
            }
        }

        // Slots first: a reference to an action is a number past the last input.
        let mut inputs = Inputs::default();
        let mut bases: Vec<i64> = Vec::new();
        for step in &self.steps {
            bases.push(match &step.on {
                Place::Input(output) => inputs.slot(output.as_ref()),
                Place::Action(target) => bases[*target],
            });
            if let Action::Copy { from: Place::Input(output), .. } = &step.action {
                inputs.slot(output.as_ref());
            }
        }
        let count = inputs.0.len() as i64;
        let mut index = |place: &Place| match place {
            Place::Input(output) => inputs.slot(output.as_ref()),
            Place::Action(target) => count + *target as i64,
        };
        let mut kept = 0..;
        let mut actions = Vec::new();
        for (step, base) in self.steps.iter().zip(bases) {
            actions.push(pb::FileAction {
                input: index(&step.on),
                secondary_input: match &step.action {
                    Action::Copy { from, .. } => index(from),
                    _ => -1,
                },
                output: if step.keep { kept.next().unwrap_or(-1) } else { -1 },
                action: Some(step.action.to_pb(base)),
            });
        }
        let needs = std::iter::once(caps::FILE_BASE).chain(self.steps.iter().flat_map(|s| s.action.caps()));
        let sealed = seal(pb::op::Op::File(pb::FileOp { actions }), inputs.0, constraints, false, needs);
        Ok((0..self.steps.iter().filter(|s| s.keep).count()).map(|i| sealed.at(i as i64)).collect())
    }
}

impl Action {
    fn caps(&self) -> Vec<Cap> {
        let mut needs = Vec::new();
        let mut when = |condition: bool, cap: Cap| needs.extend(condition.then_some(cap));
        match self {
            Self::Copy { options, .. } => {
                when(!options.include.is_empty() || !options.exclude.is_empty(), caps::FILE_COPY_PATTERNS);
                when(options.replace_existing, caps::FILE_COPY_REPLACE);
                when(!options.mode_str.is_empty(), caps::FILE_COPY_MODE_STRING);
            }
            Self::Rm { allow_wildcard, .. } => when(*allow_wildcard, caps::FILE_RM_WILDCARD),
            Self::Symlink { .. } => when(true, caps::FILE_SYMLINK_CREATE),
            Self::Mkdir { .. } | Self::Mkfile { .. } => {}
        }
        needs
    }

    /// The message; user names are looked up in input `base`.
    fn to_pb(&self, base: i64) -> Pb {
        let owner = |owner: &Option<Owner>| owner.as_ref().map(|o| chown(o, base));
        // -1 is "unset": 0 would be 1970.
        let time = |timestamp: &Option<i64>| timestamp.unwrap_or(-1);
        match self {
            Self::Copy { src, dest, options, .. } => Pb::Copy(pb::FileActionCopy {
                src: src.clone(),
                dest: dest.clone(),
                owner: owner(&options.owner),
                // Beside a symbolic mode the number is 0, else -1 is "unset".
                mode: options.mode.map_or(-i32::from(options.mode_str.is_empty()), |mode| mode as i32),
                follow_symlink: options.follow_symlink,
                dir_copy_contents: options.dir_copy_contents,
                attempt_unpack_docker_compatibility: options.unpack,
                create_dest_path: options.create_dest_path,
                allow_wildcard: options.allow_wildcard,
                allow_empty_wildcard: options.allow_empty_wildcard,
                timestamp: time(&options.timestamp),
                include_patterns: options.include.clone(),
                exclude_patterns: options.exclude.clone(),
                always_replace_existing_dest_paths: options.replace_existing,
                mode_str: options.mode_str.clone(),
                required_paths: options.required.clone(),
            }),
            Self::Mkdir { path, mode, parents, owner: o, timestamp } => Pb::Mkdir(pb::FileActionMkDir {
                path: path.clone(),
                mode: *mode,
                make_parents: *parents,
                owner: owner(o),
                timestamp: time(timestamp),
            }),
            Self::Mkfile { path, mode, data, owner: o, timestamp } => Pb::Mkfile(pb::FileActionMkFile {
                path: path.clone(),
                mode: *mode,
                data: data.clone(),
                owner: owner(o),
                timestamp: time(timestamp),
            }),
            Self::Symlink { target, path, owner: o, timestamp } => Pb::Symlink(pb::FileActionSymlink {
                oldpath: target.clone(),
                newpath: path.clone(),
                owner: owner(o),
                timestamp: time(timestamp),
            }),
            Self::Rm { path, allow_not_found, allow_wildcard } => Pb::Rm(pb::FileActionRm {
                path: path.clone(),
                allow_not_found: *allow_not_found,
                allow_wildcard: *allow_wildcard,
            }),
        }
    }
}

fn chown(owner: &Owner, base: i64) -> pb::ChownOpt {
    let id = |id: &Id| pb::UserOpt {
        user: Some(match id {
            Id::Number(number) => pb::user_opt::User::ById(*number),
            Id::Name(name) => pb::user_opt::User::ByName(pb::NamedUserOpt { name: name.clone(), input: base }),
        }),
    };
    pb::ChownOpt { user: owner.user.as_ref().map(id), group: owner.group.as_ref().map(id) }
}
