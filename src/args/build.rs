//! `build` and `graph`: names and meanings of the flags are those of `docker buildx build`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Network, ReportFormat, ResultArgs};
use crate::{
    call::Call,
    share::{CacheFrom, CacheTo},
};

const CALL_HELP: &str = "\
What to do: METHOD[,format=json][,ignorestatus=true]

  build    build (the default)
  check    say what lint finds, in all stages or in what --target needs
  outline  list the arguments, secrets and agents that the target takes
  targets  list the stages
  subrequests.describe  list these methods

`check` ends with 1 where it found warnings or an error, and with 0 where it found nothing or only advice for routers. \
JSON is BuildKit's.";

const EMULATION_HELP: &str = "\
How programs of other platforms run in RUN steps:

  qemu    all through qemu-user (the default)
  hybrid  tools whose output depends on no machine (tar, gzip, sort, grep, cp, sh …) natively, all else through qemu

`hybrid` takes the tools out of the base image's own sibling for this machine, in the same index and with the same package \
versions, and only while nothing has changed them. The sibling is then mounted in /dev/.routerpack of RUN steps. With \
--progress=plain the first step says what became of it.";

const FORMAT_HELP: &str = "\
In which form errors, warnings and findings come to standard output. Standard error tells them to people all the same.

  text   not at all; --check prints them
  json   one object: success, imageId, errors, warnings (their numbers) and diagnostics. Each of these has severity, rule \
and message; where they are known file, start and end (line and column from 1, offset in bytes), text, reason, help, \
replacement (for the bytes from start to end), related places, and output (a failed step's last lines)
  sarif  SARIF 2.1.0, for code scanners and editors

BuildKit's JSON is that of --call=check,format=json.";

/// What is built, and how.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The build context: a directory, a git repository (URL[#REF[:DIR]]), the URL of a tar, or `-` for a tar on standard
    /// input (or a Dockerfile there and no context)
    #[arg(default_value = ".", value_name = "CONTEXT")]
    pub context: PathBuf,
    /// The Dockerfile [default: CONTEXT/Dockerfile, then CONTEXT/Containerfile]; `-` is standard input, a URL is fetched
    #[arg(short, long, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// Name of the image, NAME[:TAG] [default: <dirname>:latest]
    #[arg(short, long, value_name = "NAME")]
    pub tag: Vec<String>,
    /// What the image runs on, for example linux/arm64, linux/arm/v7, linux/arm/v5 [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
    /// The stage to build [default: the last one]
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// Value of an ARG; without `=VALUE` it is taken from the environment
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub build_arg: Vec<String>,
    /// A further context: NAME=DIR, NAME=oci-layout:DIR[:TAG], NAME=docker-archive:FILE, NAME=docker-image://REF,
    /// a git repository, the URL of a tar
    #[arg(long, value_name = "NAME=VALUE")]
    pub build_context: Vec<String>,
    /// Run every step again
    #[arg(long)]
    pub no_cache: bool,
    /// Run the steps of these stages again
    #[arg(long, value_name = "STAGE")]
    pub no_cache_filter: Vec<String>,
    /// Results of other machines: type=local,src=DIR, or type=registry,ref=NAME (also just NAME)
    #[arg(long, value_name = "type=…")]
    pub cache_from: Vec<CacheFrom>,
    /// Keep this build's results for other machines: type=local,dest=DIR[,mode=min|max]. `min` are those that the image
    /// is made of, `max` those of all stages
    #[arg(long, value_name = "type=…")]
    pub cache_to: Vec<CacheTo>,
    /// A secret for RUN --mount=type=secret: id=ID[,src=FILE|,env=VARIABLE]
    #[arg(long, value_name = "id=ID[,src=FILE]")]
    pub secret: Vec<String>,
    /// An SSH agent for RUN --mount=type=ssh: default, ID=SOCKET, or private keys: ID=KEY[,KEY]
    #[arg(long, value_name = "default|ID=SOCKET")]
    pub ssh: Vec<String>,
    /// A label of the image
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// Network of RUN steps
    #[arg(long, value_enum, default_value = "default", value_name = "MODE")]
    pub network: Network,
    /// How programs of other platforms run in RUN steps; long help tells more
    #[arg(long, value_enum, default_value = "qemu", value_name = "MODE", long_help = EMULATION_HELP)]
    pub emulation: EmulationMode,
    /// A further line of /etc/hosts in RUN steps
    #[arg(long, value_name = "HOST:IP")]
    pub add_host: Vec<String>,
    /// Size of /dev/shm in RUN steps, such as 64m
    #[arg(long, value_name = "BYTES")]
    pub shm_size: Option<String>,
    /// A limit in RUN steps
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub ulimit: Vec<String>,
    /// Allow a privilege that the Dockerfile asks for
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PRIVILEGE")]
    pub allow: Vec<Allow>,
    /// Limits that docker's build takes for RUN steps, and that steps here don't have
    #[command(flatten)]
    pub unlimited: UnlimitedArgs,
    /// What to do when a RUN step fails: `shell` opens one in that step's sandbox
    #[arg(long, value_enum, value_name = "shell")]
    pub on_failure: Option<OnFailure>,
    /// Say what the Dockerfile is worth, and build nothing; the same as --call=check
    #[arg(long, conflicts_with = "call")]
    pub check: bool,
    /// Build nothing, and say: check (what lint finds), outline (what the target takes), targets (the stages)
    #[arg(long, default_value = "build", value_name = "METHOD[,format=json]", long_help = CALL_HELP)]
    pub call: Call,
    /// How many steps and pulls at once [default: the number of cores, at least 2]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// What becomes of the image
    #[command(flatten)]
    pub result: ResultArgs,
}

/// `routerpack build`
#[derive(Debug, Args)]
pub struct BuildCommand {
    /// What is built
    #[command(flatten)]
    pub build: BuildArgs,
    /// In which form errors, warnings and findings come to standard output; standard error tells them to people all the
    /// same
    #[arg(long, value_enum, default_value = "text", value_name = "FORM", long_help = FORMAT_HELP)]
    pub format: ReportFormat,
}

/// Flags of `docker buildx build` that are taken and do nothing: steps are in no control group of their own.
#[derive(Debug, Args)]
pub struct UnlimitedArgs {
    #[arg(long, hide = true)]
    cgroup_parent: Option<String>,
    #[arg(short, long, hide = true)]
    memory: Option<String>,
    #[arg(long, hide = true)]
    memory_swap: Option<String>,
    #[arg(short, long, hide = true)]
    cpu_shares: Option<i64>,
    #[arg(long, hide = true)]
    cpu_period: Option<i64>,
    #[arg(long, hide = true)]
    cpu_quota: Option<i64>,
    #[arg(long, hide = true)]
    cpuset_cpus: Option<String>,
    #[arg(long, hide = true)]
    cpuset_mems: Option<String>,
}

impl UnlimitedArgs {
    /// The flags that were given.
    pub fn given(&self) -> Vec<&'static str> {
        let flags = [
            ("--cgroup-parent", self.cgroup_parent.is_some()),
            ("--memory", self.memory.is_some()),
            ("--memory-swap", self.memory_swap.is_some()),
            ("--cpu-shares", self.cpu_shares.is_some()),
            ("--cpu-period", self.cpu_period.is_some()),
            ("--cpu-quota", self.cpu_quota.is_some()),
            ("--cpuset-cpus", self.cpuset_cpus.is_some()),
            ("--cpuset-mems", self.cpuset_mems.is_some()),
        ];
        flags.into_iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| flag).collect()
    }
}

/// `routerpack graph`
#[derive(Debug, Args)]
pub struct GraphArgs {
    /// As `build` takes them; those about the output say nothing here
    #[command(flatten)]
    pub build: BuildArgs,
    /// In which form it is shown
    #[arg(long, value_enum, default_value = "tree", value_name = "FORM")]
    pub format: GraphFormat,
}

/// What `graph --format` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// For people.
    Tree,
    /// As `buildctl debug dump-llb` prints it: an op a line.
    Json,
    /// For Graphviz.
    Dot,
}

/// What `--allow` names (BuildKit's entitlements, `util/entitlements`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Allow {
    /// RUN --network=host
    #[value(name = "network.host")]
    NetworkHost,
    /// RUN --security=insecure
    #[value(name = "security.insecure")]
    SecurityInsecure,
}

/// What `--emulation` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EmulationMode {
    /// Everything through qemu.
    Qemu,
    /// Some programs natively.
    Hybrid,
}

/// What `--on-failure` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnFailure {
    /// A shell in the failed step's sandbox.
    Shell,
}
