//! What takes an image, wherever it is, and makes another one of it or shows it.

use std::path::PathBuf;

use clap::Args;

use super::{Network, OUTPUT_HELP, ResultArgs, SOURCE_HELP};

pub(super) const SIZE_JSON: &str = "\
Members of --format (bytes of content; hard links count once, under their first name):
  source, platform, bytes, files
  tree        name, path, bytes, files, children: biggest first, down to --depth
  packages    manager, name, version, architecture, installed, bytes, files
  unowned     bytes, files of no package
  biggest     path, bytes: as many as --top says
  duplicates  saved, groups: bytes, saved, paths
  device      with --for: name, code, flash, free, needed";

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
    /// What becomes of the image
    #[command(flatten)]
    pub result: ResultArgs,
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
