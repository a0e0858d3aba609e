//! What each instruction says, typed (BuildKit: `frontend/dockerfile/instructions/commands.go`).

use super::ast::{Heredoc, Word};
use super::span::Span;

/// An instruction's content. Words may hold variables, and quotes around values: see
/// [`super::expand`] for who expands what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `FROM [--platform=p] image [AS name]`.
    From(From),
    /// `RUN`.
    Run(Run),
    /// `CMD`. Without arguments the list is empty, which clears an inherited one.
    Cmd(CommandLine),
    /// `LABEL key=value …`.
    Label(Vec<KeyValue>),
    /// `MAINTAINER name`: deprecated.
    Maintainer(Word),
    /// `EXPOSE port[/protocol] …`, sorted by text as BuildKit does.
    Expose(Vec<Word>),
    /// `ENV key=value …`.
    Env(Vec<KeyValue>),
    /// `ADD`.
    Add(Add),
    /// `COPY`.
    Copy(Copy),
    /// `ENTRYPOINT`. Without arguments the list is empty.
    Entrypoint(CommandLine),
    /// `VOLUME path …`.
    Volume(Vec<Word>),
    /// `USER user[:group]`.
    User(Word),
    /// `WORKDIR path`.
    Workdir(Word),
    /// `ARG name[=default] …`.
    Arg(Vec<ArgDefinition>),
    /// `ONBUILD instruction`.
    Onbuild(Onbuild),
    /// `STOPSIGNAL signal`.
    Stopsignal(Word),
    /// `HEALTHCHECK`.
    Healthcheck(Healthcheck),
    /// `SHELL ["program", "argument"]`: one word at least.
    Shell(Vec<Word>),
}

impl Command {
    /// The instruction's name in capitals.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::From(_) => "FROM",
            Self::Run(_) => "RUN",
            Self::Cmd(_) => "CMD",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::Expose(_) => "EXPOSE",
            Self::Env(_) => "ENV",
            Self::Add(_) => "ADD",
            Self::Copy(_) => "COPY",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Volume(_) => "VOLUME",
            Self::User(_) => "USER",
            Self::Workdir(_) => "WORKDIR",
            Self::Arg(_) => "ARG",
            Self::Onbuild(_) => "ONBUILD",
            Self::Stopsignal(_) => "STOPSIGNAL",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Shell(_) => "SHELL",
        }
    }
}

/// `FROM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// An image reference, a stage's name, or `scratch`; with variables (global ARGs only).
    pub image: Word,
    /// The stage's name in lower case; the span shows how it is written.
    pub name: Option<Word>,
    /// The word `AS` as it is written.
    pub as_keyword: Option<Word>,
    /// `--platform`, with variables. Present and empty is an error once expanded.
    pub platform: Option<Word>,
}

/// The command of RUN, CMD, ENTRYPOINT and HEALTHCHECK CMD: shell form or exec form. Never expanded here:
/// the shell does that in the container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// The words of the exec form (JSON), or the one string of the shell form; empty when there is nothing.
    pub arguments: Vec<Word>,
    /// Shell form: the string is given to SHELL (`/bin/sh -c` by default).
    pub shell: bool,
}

/// `RUN`. Its heredocs are in [`super::statement::Statement::heredocs`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The command.
    pub command: CommandLine,
    /// The values of `--mount`, in order. [`super::mount::Mount::parse`] reads one, expanding its values.
    pub mounts: Vec<Word>,
    /// `--network`.
    pub network: Network,
    /// `--security`.
    pub security: Security,
    /// `--device`, in order.
    pub devices: Vec<Device>,
    /// Where the first of them stands.
    pub device_span: Option<Span>,
    /// The names of the flags that are there, in order.
    pub flags: Vec<String>,
}

/// `RUN --network`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Network {
    /// What the build's own setting says.
    #[default]
    Default,
    /// No network.
    None,
    /// The host's; needs the entitlement `network.host`.
    Host,
}

/// `RUN --security`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Security {
    /// The usual confinement.
    #[default]
    Sandbox,
    /// None; needs the entitlement `security.insecure`.
    Insecure,
}

/// `RUN --device`: a CDI device (a labs feature of BuildKit).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The device's qualified name or class.
    pub name: String,
    /// Whether its lack is an error.
    pub required: bool,
}

/// A pair of LABEL or ENV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key; expanded too.
    pub key: Word,
    /// The value, quotes included.
    pub value: Word,
    /// The old form `ENV key value`, one pair, whose value is the whole rest of the line.
    pub legacy: bool,
}

/// One definition of ARG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgDefinition {
    /// The argument's name.
    pub name: Word,
    /// The default, quotes included.
    pub value: Option<Word>,
}

/// What COPY and ADD take from and put to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The source paths (or URLs), in order, heredocs left out.
    pub sources: Vec<Word>,
    /// The heredocs among the sources, in order, each name once: their [`Heredoc::name`] is the file's name, and
    /// [`Heredoc::chomped`] its content (expanded with quotes kept, if [`Heredoc::expand`]).
    pub contents: Vec<Heredoc>,
    /// The destination.
    pub destination: Word,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--exclude`, in order.
    pub exclude: Vec<Word>,
}

/// `ADD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// Sources, destination and the flags it shares with COPY.
    pub transfer: Transfer,
    /// `--checksum`.
    pub checksum: Option<Word>,
    /// `--keep-git-dir`; `None` when it isn't given.
    pub keep_git_dir: Option<bool>,
    /// `--unpack`; `None` when it isn't given: then local archives are unpacked and remote ones are not.
    pub unpack: Option<bool>,
}

/// `COPY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Sources, destination and the flags it shares with ADD.
    pub transfer: Transfer,
    /// `--from`: a stage's name or number, a named context or an image. Variables are not expanded.
    pub from: Option<Word>,
    /// `--parents`.
    pub parents: bool,
}

/// `ONBUILD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onbuild {
    /// The trigger as it is kept in the image config: the joined line behind ONBUILD, and its heredocs.
    /// [`super::parser::parse_trigger`] reads it back.
    pub expression: String,
    /// The trigger's own keyword, as written.
    pub keyword: Word,
}

/// `HEALTHCHECK`. Durations are nanoseconds, 0 when not given, as the image config has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Healthcheck {
    /// The command; `None` for `HEALTHCHECK NONE`.
    pub command: Option<CommandLine>,
    /// `--interval`.
    pub interval: i64,
    /// `--timeout`.
    pub timeout: i64,
    /// `--start-period`.
    pub start_period: i64,
    /// `--start-interval`.
    pub start_interval: i64,
    /// `--retries`.
    pub retries: i64,
}
