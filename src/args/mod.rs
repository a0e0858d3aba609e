//! The command line, as clap reads it. Names and meanings of `build`'s flags are those of `docker buildx build`.

mod build;
mod cache;
mod check;
mod image;
mod recipe;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use routerpack_targets::rules::Severity;

use crate::{progress::Mode, slim::Slim};

use check::CHECK_CODES;
use image::SIZE_JSON;

pub use build::{Allow, BuildArgs, BuildCommand, EmulationMode, GraphArgs, GraphFormat, OnFailure};
pub use cache::{CacheAction, CacheArgs, CacheFormat, PruneArgs};
pub use check::{CheckArgs, DevicesArgs, DiagnoseArgs, ExplainArgs, ReportFormat};
pub use image::{
    CatArgs, CommitArgs, ConvertArgs, CpArgs, DiffArgs, HistoryArgs, InspectArgs, LsArgs, RunArgs, SizeArgs,
};
pub use recipe::{RecipeAction, RecipeArgs, RestartPolicy};

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
    /// After a build, remove what was unused for longest until the cache holds no more than this; `none` for no limit
    /// [default: a tenth of the disk, at most 20g]
    #[arg(long, global = true, env = "ROUTERPACK_CACHE_LIMIT", value_name = "BYTES")]
    pub cache_limit: Option<String>,
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
    Build(Box<BuildCommand>),
    /// Show what a build would execute: its graph (LLB), and build nothing
    Graph(Box<GraphArgs>),
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
    /// Show, verify and remove what is kept for later builds
    Cache(CacheArgs),
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

const OUTPUT_HELP: &str = "\
Where and in which form the result goes: `type=routeros|docker|oci|tar|local,dest=PATH`, or just a PATH.

A bare PATH is the archive's file (`docker buildx build` would make it a directory: here it differs on purpose, since \
an archive is what a router wants). An existing directory, or a PATH that ends in `/`, means a file inside it; `-` is \
standard output. Without -o: type=routeros, ./<dirname>.tar";

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

/// What `build` and `convert` do with the image that they have made.
#[derive(Debug, Args)]
pub struct ResultArgs {
    /// The router that it is for
    #[command(flatten)]
    pub router: RouterArgs,
    /// Write no archive that the check finds at fault, and end as `routerpack check` would
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub fail_on: Option<FailOn>,
    /// Where and in which form the result goes [default: ./<name>.tar]
    #[arg(short, long, value_name = "PATH|type=…,dest=…", long_help = OUTPUT_HELP)]
    pub output: Option<String>,
    /// One layer, or the base's layers and one a step [default: flat for routeros and tar, keep for docker and oci]
    #[arg(long, value_enum)]
    pub layers: Option<Layers>,
    /// Make the image smaller, and say by what; it gets one layer
    #[arg(long, value_parser = Slim::parser(), value_delimiter = ',', value_name = "PASS[,PASS]")]
    pub slim: Vec<Slim>,
    /// Load the image into docker, or podman where no docker answers
    #[arg(long, conflicts_with = "output")]
    pub load: bool,
    /// Ask the registry for newer images
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
