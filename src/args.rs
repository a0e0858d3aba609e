//! The command line, as clap reads it. Names and meanings of `build`'s flags are those of `docker buildx build`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use routerpack_targets::rules::Severity;

use crate::{progress::Mode, slim::Slim};

/// Builds container images for MikroTik RouterOS: a Dockerfile in, an archive that the router imports out.
#[derive(Debug, Parser)]
#[command(name = "routerpack", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
    /// Where blobs, layers and results are kept [default: $XDG_CACHE_HOME/routerpack]
    #[arg(long, global = true, env = "ROUTERPACK_CACHE_DIR", value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    it worked
  1    it failed; standard error says what, where, why and what to do
  2    the command line is wrong; or, with --fail-on, the check found errors in the archive (1: warnings)
  130  interrupted (Ctrl-C); 143 terminated (TERM)
  `routerpack run` ends with the code of the command that it ran";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build an image from a Dockerfile and write it as an archive
    Build(Box<BuildArgs>),
    /// Make any image into an archive that a router imports, without a Dockerfile
    Convert(ConvertArgs),
    /// Show config, layers, size and platform of an image
    Inspect(InspectArgs),
    /// Show how an image came to be
    History(HistoryArgs),
    /// List files of an image
    Ls(LsArgs),
    /// Print files of an image
    Cat(CatArgs),
    /// Show what changed between two images, files and config
    Diff(DiffArgs),
    /// Show where an image's bytes are: by directory, by package, the biggest files, duplicates
    #[command(after_help = SIZE_JSON)]
    Size(SizeArgs),
    /// Copy files into an archive or out of an image
    Cp(CpArgs),
    /// Make a new archive of an image and changes to its files or config
    Commit(CommitArgs),
    /// Run an archive here, with the CPU that the router has, before it is uploaded
    Run(RunArgs),
    /// Write the script that installs, updates or removes a container on a router
    #[command(visible_alias = "rsc")]
    Recipe(Box<RecipeArgs>),
    /// Say what this machine can do and how to mend the rest
    Doctor,
    /// List the emulators found, where they are, and the platforms they run
    Emulators,
    /// Judge archives as a router's importer would, before they are uploaded
    #[command(after_help = CHECK_CODES)]
    Check(CheckArgs),
    /// Say what a rule of `check` means, how it is known, and what mends it
    Explain(ExplainArgs),
    /// Say what a router's log means, and what mends it
    Diagnose(DiagnoseArgs),
    /// List routers: platform, memory, flash, places for a disk
    Devices(DevicesArgs),
}

const CHECK_CODES: &str = "\
Exit codes:
  0  nothing found, or only what is good to know (and warnings, without --strict)
  1  warnings, with --strict
  2  errors, or an archive that can't be read or mended
`routerpack explain RULE` tells more about a finding.";

const SIZE_JSON: &str = "\
Members of --format (bytes of content; hard links count once, under their first name):
  source, platform, bytes, files
  tree        name, path, bytes, files, children: biggest first, down to --depth
  packages    manager, name, version, architecture, installed, bytes, files
  unowned     bytes, files of no package
  biggest     path, bytes: as many as --top says
  duplicates  saved, groups: bytes, saved, paths
  device      with --for: name, code, flash, free, needed";

const OUTPUT_HELP: &str = "\
Where and in which form the result goes: `type=routeros|docker|oci|tar|local,dest=PATH`, or just a PATH.

A bare PATH is the archive's file (`docker buildx build` would make it a directory: here it differs on purpose, since \
an archive is what a router wants). An existing directory, or a PATH that ends in `/`, means a file inside it; `-` is \
standard output. Without -o: type=routeros, ./<dirname>.tar";

/// `routerpack build`
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
    /// The router that it is for
    #[command(flatten)]
    pub router: RouterArgs,
    /// Write no archive that the check finds at fault, and end as `routerpack check` would
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub fail_on: Option<FailOn>,
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
    /// Ask the registry for newer base images
    #[arg(long)]
    pub pull: bool,
    /// How progress is shown
    #[arg(long, value_enum, default_value = "auto", value_name = "MODE")]
    pub progress: Mode,
    /// Where and in which form the result goes
    #[arg(short, long, value_name = "PATH|type=…,dest=…", long_help = OUTPUT_HELP)]
    pub output: Option<String>,
    /// Base layers and steps in one layer, or kept [default: flat for routeros and tar, keep for docker and oci]
    #[arg(long, value_enum)]
    pub layers: Option<Layers>,
    /// Make the image smaller, and say by what; it gets one layer
    #[arg(long, value_parser = Slim::parser(), value_delimiter = ',', value_name = "PASS[,PASS]")]
    pub slim: Vec<Slim>,
    /// Load the image into docker, or podman where no docker answers
    #[arg(long, conflicts_with = "output")]
    pub load: bool,
    /// A secret for RUN --mount=type=secret: id=ID[,src=FILE|,env=VARIABLE]
    #[arg(long, value_name = "id=ID[,src=FILE]")]
    pub secret: Vec<String>,
    /// An SSH agent for RUN --mount=type=ssh: default, or ID=SOCKET
    #[arg(long, value_name = "default|ID=SOCKET")]
    pub ssh: Vec<String>,
    /// A label of the image
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// Network of RUN steps
    #[arg(long, value_enum, default_value = "default", value_name = "MODE")]
    pub network: Network,
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
    #[arg(long, value_name = "network.host|security.insecure")]
    pub allow: Vec<String>,
    /// What to do when a RUN step fails: `shell` opens one in that step's sandbox
    #[arg(long, value_enum, value_name = "shell")]
    pub on_failure: Option<OnFailure>,
    /// Print only the image's id
    #[arg(short, long)]
    pub quiet: bool,
    /// How many steps and pulls at once [default: the number of cores, at least 2]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// A registry host that speaks plain HTTP, or HTTPS with a certificate nobody knows
    #[arg(long, value_name = "HOST[:PORT]")]
    pub insecure_registry: Vec<String>,
}

const SOURCE_HELP: &str = "\
An image, wherever it is:
  NAME[:TAG], docker://NAME[:TAG]   in a registry
  PATH                              an archive, OCI layout, rootfs tar or directory: its content says which
  docker-archive:PATH[:NAME]        what `docker save` and `podman save` write
  oci-archive:PATH[:TAG]            an OCI layout in a tar
  oci:DIR[:TAG]                     an OCI layout
  docker-daemon:NAME[:TAG]          held by Docker (DOCKER_HOST names another socket)
  containers-storage:NAME[:TAG]     held by podman
  -                                 an archive on standard input

A name without prefix is one of a registry unless it is written like a path (./NAME, NAME.tar) or a file has it.";

/// `routerpack convert`
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// An image: a name in a registry, a PATH, docker-daemon:NAME … (see --help)
    #[arg(long_help = SOURCE_HELP)]
    pub source: String,
    /// Name of the image, NAME[:TAG] [default: the source's]
    #[arg(short, long, value_name = "NAME")]
    pub tag: Vec<String>,
    /// Which of the source's platforms, for example linux/arm64 [default: this machine's, or the only one there is]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
    /// The router that it is for
    #[command(flatten)]
    pub router: RouterArgs,
    /// Write no archive that the check finds at fault, and end as `routerpack check` would
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub fail_on: Option<FailOn>,
    /// Where and in which form the result goes [default: ./<name>.tar]
    #[arg(short, long, value_name = "PATH|type=…,dest=…", long_help = OUTPUT_HELP)]
    pub output: Option<String>,
    /// One layer, or the source's [default: flat for routeros and tar, keep for docker and oci]
    #[arg(long, value_enum)]
    pub layers: Option<Layers>,
    /// Make the image smaller, and say by what; it gets one layer
    #[arg(long, value_parser = Slim::parser(), value_delimiter = ',', value_name = "PASS[,PASS]")]
    pub slim: Vec<Slim>,
    /// Load the image into docker, or podman where no docker answers
    #[arg(long, conflicts_with = "output")]
    pub load: bool,
    /// Ask the registry for a newer image
    #[arg(long)]
    pub pull: bool,
    /// How progress is shown
    #[arg(long, value_enum, default_value = "auto", value_name = "MODE")]
    pub progress: Mode,
    /// Print only the image's id
    #[arg(short, long)]
    pub quiet: bool,
    /// A registry host that speaks plain HTTP, or HTTPS with a certificate nobody knows
    #[arg(long, value_name = "HOST[:PORT]")]
    pub insecure_registry: Vec<String>,
}

/// `routerpack inspect`
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// An image: a PATH, a name in a registry, docker-daemon:NAME … (see `routerpack convert --help`)
    pub source: String,
    /// `json`, or a template as `docker inspect` takes it: `{{.Config.Env}}`, `{{json .RootFS}}`, `{{range .RepoTags}}…{{end}}`
    #[arg(short, long, value_name = "json|TEMPLATE")]
    pub format: Option<String>,
    /// Which of the source's platforms [default: this machine's, or the only one there is]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
}

/// `routerpack history`
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// An image: a PATH, a name in a registry, docker-daemon:NAME … (see `routerpack convert --help`)
    pub source: String,
    /// `json`, or a template for each line: `{{.CreatedBy}}`, `{{.ID}}`, `{{.CreatedAt}}`, `{{.Size}}`, `{{.Comment}}`
    #[arg(short, long, value_name = "json|TEMPLATE")]
    pub format: Option<String>,
    /// Show instructions whole
    #[arg(long)]
    pub no_trunc: bool,
    /// Which of the source's platforms [default: this machine's, or the only one there is]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
}

/// `routerpack ls`
#[derive(Debug, Args)]
pub struct LsArgs {
    /// An image: a PATH, a name in a registry, docker-daemon:NAME … (see `routerpack convert --help`)
    pub source: String,
    /// A directory or file of the image
    #[arg(default_value = "/")]
    pub path: String,
    /// Mode, owner, size and time, too
    #[arg(short, long)]
    pub long: bool,
    /// Everything below
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// `json`: type, mode, owner, size, time, target and path of each
    #[arg(short, long, value_name = "json", value_parser = ["json"])]
    pub format: Option<String>,
    /// Which of the source's platforms [default: this machine's, or the only one there is]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
}

/// `routerpack cat`
#[derive(Debug, Args)]
pub struct CatArgs {
    /// An image: a PATH, a name in a registry, docker-daemon:NAME … (see `routerpack convert --help`)
    pub source: String,
    /// Files of the image
    #[arg(required = true)]
    pub paths: Vec<String>,
    /// Which of the source's platforms [default: this machine's, or the only one there is]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
}

/// `routerpack diff`
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The older image, any source
    pub a: String,
    /// The newer image, any source
    pub b: String,
    /// `json`
    #[arg(short, long, value_name = "json")]
    pub format: Option<String>,
    /// Compare modification times, too
    #[arg(long)]
    pub times: bool,
    /// Which of the source's platforms [default: this machine's, or the only one there is]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
}

/// `routerpack size`
#[derive(Debug, Args)]
pub struct SizeArgs {
    /// An image: a PATH, a name in a registry, docker-daemon:NAME … (see `routerpack convert --help`)
    pub source: String,
    /// Levels of directories that are shown
    #[arg(long, value_name = "N", default_value = "2")]
    pub depth: usize,
    /// Lines of each directory and list; the rest is summed up
    #[arg(long, value_name = "N", default_value = "10")]
    pub top: usize,
    /// `json`, or a text with fields: `{{.bytes}}`, `{{json .packages}}`
    #[arg(short, long, value_name = "json|TEXT")]
    pub format: Option<String>,
    /// Write a page with a treemap, for a browser, in place of the text
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Which of the source's platforms [default: this machine's, or the only one there is]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
    /// The router, by product name, code or board name: picks the platform, and says whether it fits; `-` reads
    /// `/system/resource/print` from standard input
    #[arg(long = "for", value_name = "DEVICE", conflicts_with = "platform")]
    pub device: Option<String>,
}

/// `routerpack cp`
#[derive(Debug, Args)]
pub struct CpArgs {
    /// A path here, or ARCHIVE:PATH; `-`: a tar on standard input, for an existing directory of ARCHIVE
    pub from: String,
    /// ARCHIVE:PATH, or a path here (`-`: a tar on standard output)
    pub to: String,
    /// Keep owners, and coming out set-id bits [default: root's inside, the user's own outside]
    #[arg(short, long)]
    pub archive: bool,
    /// Where FROM is a symbolic link, copy what it points to
    #[arg(short = 'L', long)]
    pub follow_link: bool,
    /// Where the changed archive goes [default: it replaces ARCHIVE, once it is whole]
    #[arg(short, long, value_name = "PATH|type=…,dest=…", long_help = OUTPUT_HELP)]
    pub output: Option<String>,
    /// Which of the source's platforms [default: this machine's, or the only one there is]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
}

/// `routerpack commit`
#[derive(Debug, Args)]
pub struct CommitArgs {
    /// An image: a PATH, a name in a registry, docker-daemon:NAME … (see `routerpack convert --help`)
    pub source: String,
    /// A directory of files to be added or replaced, or a layer's tar (its whiteouts delete)
    pub changes: Option<PathBuf>,
    /// A Dockerfile instruction about the config: 'CMD ["/app"]', 'ENV A=1' …
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub change: Vec<String>,
    /// Put the command into a script of the image, for RouterOS' fields hold no argument with a space or quote
    #[arg(long)]
    pub bake_command: bool,
    /// Name of the image, NAME[:TAG] [default: the source's]
    #[arg(short, long, value_name = "NAME")]
    pub tag: Vec<String>,
    /// What is said about it in the image's history
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
    /// Who made it
    #[arg(short, long, value_name = "NAME")]
    pub author: Option<String>,
    /// Where and in which form the result goes [default: ./<source>-changed.tar]
    #[arg(short, long, value_name = "PATH|type=…,dest=…", long_help = OUTPUT_HELP)]
    pub output: Option<String>,
    /// Which of the source's platforms [default: this machine's, or the only one there is]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
}

/// The router that an archive is for.
#[derive(Debug, Default, Args)]
pub struct RouterArgs {
    /// The router, by product name, code or board name (rb5009, hap-ax3, hex-refresh …): picks the platform. `-` reads what
    /// its `/system/resource/print` says from standard input
    #[arg(long = "for", value_name = "DEVICE", conflicts_with = "platform")]
    pub device: Option<String>,
    /// RouterOS version, such as 7.21; `universal` suits all of them [default: universal, or the version that --for - reads]
    #[arg(long, value_name = "VERSION")]
    pub routeros: Option<String>,
    /// Bytes free on the disk that the container goes to, such as 900M
    #[arg(long, value_name = "BYTES")]
    pub disk_size: Option<String>,
}

/// What `--fail-on` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// What fails by all that is known: exit code 2.
    Error,
    /// What may fail, too: exit code 1.
    Warning,
}

impl FailOn {
    /// The lightest finding that it means.
    pub fn severity(self) -> Severity {
        match self {
            Self::Error => Severity::Error,
            Self::Warning => Severity::Warning,
        }
    }
}

/// What `--layers` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Layers {
    /// One layer.
    Flat,
    /// The base's layers and one a step.
    Keep,
}

/// What `--network` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Network {
    /// The machine's network.
    Default,
    /// The machine's network; needs `--allow network.host`.
    Host,
    /// Loopback only.
    None,
}

/// What `--on-failure` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnFailure {
    /// A shell in the failed step's sandbox.
    Shell,
}

/// `routerpack run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A docker-archive, OCI archive, OCI layout or rootfs
    pub archive: PathBuf,
    /// Instead of the image's CMD
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub command: Vec<String>,
    /// Instead of the image's ENTRYPOINT; empty for none
    #[arg(long, value_name = "COMMAND")]
    pub entrypoint: Option<String>,
    /// A variable of the environment
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub env: Vec<String>,
    /// A directory or file of this machine inside the container
    #[arg(short, long, value_name = "SRC:DST[:ro]")]
    pub volume: Vec<String>,
    /// Instead of the image's USER
    #[arg(short, long)]
    pub user: Option<String>,
    /// Instead of the image's WORKDIR
    #[arg(short, long)]
    pub workdir: Option<String>,
    /// Network of the container
    #[arg(long, value_enum, default_value = "default", value_name = "MODE")]
    pub network: Network,
    /// The platform to choose where the archive holds several, and the CPU to run with
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
}

/// `routerpack recipe`
#[derive(Debug, Args)]
pub struct RecipeArgs {
    /// The archive to upload, or docker://IMAGE for one that the router pulls from a registry
    #[arg(value_name = "ARCHIVE|docker://IMAGE")]
    pub source: String,
    /// RouterOS version that the script is for, such as 7.21; `universal` branches by version on the router
    #[arg(long, value_name = "VERSION")]
    pub routeros: Option<String>,
    /// What importing the script does; the word stands at its top
    #[arg(long, value_enum, default_value = "install", value_name = "ACTION")]
    pub action: RecipeAction,
    /// The script's file, or `-` [default: NAME.rsc]
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Name of the container [default: the image's]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The platform to choose where there are several
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
    /// The router that it is for, by product name, code or board name: picks the platform; `-` reads
    /// `/system/resource/print` from standard input, and takes the version from it, too
    #[arg(long = "for", value_name = "DEVICE", conflicts_with = "platform")]
    pub device: Option<String>,
    /// Slot of the disk to use, or `internal` [default: the router's only disk with ext4 or btrfs]
    #[arg(long, value_name = "SLOT")]
    pub disk: Option<String>,
    /// Space to leave free on it [default: 256m, internal 16m]
    #[arg(long, value_name = "BYTES")]
    pub reserve: Option<String>,
    /// Network of the containers' bridge [default: 172.31.200.0/24]
    #[arg(long, value_name = "ADDRESS/LENGTH")]
    pub subnet: Option<String>,
    /// Its IPv6 network
    #[arg(long, value_name = "ADDRESS/64")]
    pub subnet6: Option<String>,
    /// A port of the router that leads to one of the container; reached from the LAN only
    #[arg(short, long, value_name = "[ROUTER:]CONTAINER[/udp]")]
    pub port: Vec<String>,
    /// The interface from which ports are reached, instead of the interface list LAN
    #[arg(long, value_name = "INTERFACE")]
    pub lan: Option<String>,
    /// Ports are reached from the Internet too
    #[arg(long, conflicts_with = "lan")]
    pub publish_wan: bool,
    /// A name server of the container [default: the router's]
    #[arg(long, value_name = "IP")]
    pub dns: Vec<std::net::IpAddr>,
    /// A variable of the environment; without `=VALUE` it is taken from the environment here
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub env: Vec<String>,
    /// A file of KEY=VALUE lines
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// A directory of the router in the container: SRC is a path there, or a name among the container's data
    #[arg(short, long, value_name = "[SRC:]DST[:ro]")]
    pub volume: Vec<String>,
    /// Instead of the image's ENTRYPOINT: words, or a JSON array
    #[arg(long, value_name = "COMMAND")]
    pub entrypoint: Option<String>,
    /// Instead of the image's CMD: words, or a JSON array
    #[arg(long, value_name = "COMMAND")]
    pub cmd: Option<String>,
    /// Instead of the image's USER
    #[arg(short, long)]
    pub user: Option<String>,
    /// Instead of the image's WORKDIR
    #[arg(short, long)]
    pub workdir: Option<String>,
    /// Name of the machine in the container [default: NAME]
    #[arg(long)]
    pub hostname: Option<String>,
    /// Memory from which the container is slowed down (7.20 and newer)
    #[arg(long, value_name = "BYTES")]
    pub memory_high: Option<String>,
    /// Memory at which it is killed (7.23 and newer)
    #[arg(long, value_name = "BYTES")]
    pub memory_max: Option<String>,
    /// Swap (7.24 and newer)
    #[arg(long, value_name = "BYTES")]
    pub swap_max: Option<String>,
    /// Cores, such as 0,2-3 (7.21 and newer)
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<String>,
    /// Size of /dev/shm (7.21.2 and newer)
    #[arg(long, value_name = "BYTES")]
    pub shm_size: Option<String>,
    /// A directory in memory (7.21.2 and newer)
    #[arg(long, value_name = "DIRECTORY:SIZE")]
    pub tmpfs: Vec<String>,
    /// A device, as RouterOS spells it (7.20 and newer)
    #[arg(long = "device", value_name = "DEVICE")]
    pub device_node: Vec<String>,
    /// A further line of /etc/hosts (7.21 and newer)
    #[arg(long, value_name = "HOST:IP")]
    pub add_host: Vec<String>,
    /// Whether a container that ended is started again (7.20 and newer)
    #[arg(long, value_enum, default_value = "no", value_name = "POLICY")]
    pub restart: RestartPolicy,
    /// Seconds before that
    #[arg(long, default_value = "10", value_name = "SECONDS")]
    pub restart_interval: u32,
    /// How often at most (7.23 and newer)
    #[arg(long, value_name = "N")]
    pub restart_max: Option<u32>,
    /// Instead of the image's HEALTHCHECK (7.22 and newer)
    #[arg(long, value_name = "COMMAND")]
    pub health_cmd: Option<String>,
    /// Between two checks
    #[arg(long, value_name = "SECONDS", requires = "health_cmd")]
    pub health_interval: Option<u32>,
    /// For one check
    #[arg(long, value_name = "SECONDS", requires = "health_cmd")]
    pub health_timeout: Option<u32>,
    /// Failures in a row
    #[arg(long, value_name = "N", requires = "health_cmd")]
    pub health_retries: Option<u32>,
    /// In which failures do not count
    #[arg(long, value_name = "SECONDS", requires = "health_cmd")]
    pub health_start_period: Option<u32>,
    /// From the stop signal to the kill (7.21 and newer)
    #[arg(long, value_name = "SECONDS")]
    pub stop_time: Option<u32>,
    /// Full rights (7.24 and newer)
    #[arg(long)]
    pub privileged: bool,
    /// Keep the container's output out of the router's log
    #[arg(long)]
    pub no_logging: bool,
    /// Don't start it with the router
    #[arg(long)]
    pub no_start_on_boot: bool,
    /// Delete the archive from the router once the container runs
    #[arg(long)]
    pub remove_archive: bool,
    /// After an update keep the former container, stopped, until the next one: rollback can go back to it at any time
    #[arg(long)]
    pub keep_former: bool,
    /// A registry host that speaks plain HTTP, or HTTPS with a certificate nobody knows
    #[arg(long, value_name = "HOST[:PORT]")]
    pub insecure_registry: Vec<String>,
}

/// What `--action` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RecipeAction {
    /// Install; a second time changes nothing.
    Install,
    /// Replace the installed image by this one.
    Update,
    /// The former container again: after an update that broke off, or one with --keep-former.
    Rollback,
    /// Remove all but the data.
    Uninstall,
}

/// What `--restart` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RestartPolicy {
    /// Never.
    No,
    /// When its command failed.
    OnFailure,
    /// Whenever it ended.
    Always,
}

/// `routerpack check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Archives; `-` is standard input
    #[arg(required = true, value_name = "ARCHIVE")]
    pub archives: Vec<PathBuf>,
    /// The router that they are for
    #[command(flatten)]
    pub router: RouterArgs,
    /// The platform, where no device is named [default: the image's own]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
    /// End with exit code 1 where there are warnings
    #[arg(long)]
    pub strict: bool,
    /// In which form findings are printed
    #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
    pub format: ReportFormat,
    /// Write the archive anew as a router wants it
    #[arg(long, requires = "fixed")]
    pub fix: bool,
    /// Where the mended archive goes
    #[arg(short, long, value_name = "PATH", group = "fixed", requires = "fix")]
    pub output: Option<PathBuf>,
    /// The mended archive takes the place of the old one
    #[arg(long, group = "fixed", requires = "fix")]
    pub in_place: bool,
}

/// What `check --format` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people.
    Text,
    /// An array with one object an archive.
    Json,
    /// SARIF 2.1.0, for code scanners.
    Sarif,
}

/// `routerpack explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The rule; without one all are listed
    pub rule: Option<String>,
    /// RouterOS version that the weight is told for
    #[arg(long, value_name = "VERSION", default_value = "universal")]
    pub routeros: String,
}

/// `routerpack diagnose`
#[derive(Debug, Args)]
pub struct DiagnoseArgs {
    /// What the router said; without it standard input is read
    pub text: Vec<String>,
    /// The router's RouterOS version
    #[arg(long, value_name = "VERSION", default_value = "universal")]
    pub routeros: String,
}

/// `routerpack devices`
#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// A part of the name, code, CPU, architecture or platform [default: every device that runs containers]
    pub pattern: Option<String>,
}
