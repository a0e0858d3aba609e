//! `cache`: what is kept for later builds. Flags are named as those of `docker buildx du` and `prune`.

use clap::{Args, Subcommand, ValueEnum};
use routerpack_builder::filter::Filter;

const FILTER_HELP: &str = "\
Only records that pass all filters:

  until=24h                  not used for so long (1h30m, 90s, 7d); unused-for=… is the same
  type=mounts                by kind, as `cache du` lists them; BuildKit's names regular, exec.cachemount … do as well
  id=1f0c…                   by the beginning of an id
  description~=EXPRESSION    by what it is; `=` and `!=` compare, `~=` searches
  inuse, inuse=false         whether a build uses it just now

`type`, `id` and `description` take =, != and ~=.";

/// How `cache fsck` ends.
pub const FSCK_CODES: &str = "\
Exit codes:
  0  nothing is damaged, or all that was is removed (--repair); what killed runs have left is told, and is no damage
  1  the cache couldn't be looked at
  2  the command line is wrong
  4  something is damaged and still there";

/// `routerpack cache`
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// What to do
    #[command(subcommand)]
    pub action: CacheAction,
}

/// What is done with the cache.
#[derive(Debug, Subcommand)]
pub enum CacheAction {
    /// Show how much the cache holds, by kind, and how much of it could go
    Du {
        /// As a table, or as JSON with sizes in bytes
        #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
        format: CacheFormat,
    },
    /// List what the cache holds, the last used first
    Ls {
        /// Which records
        #[arg(long, value_parser = Filter::parse, value_name = "NAME=VALUE", long_help = FILTER_HELP)]
        filter: Vec<Filter>,
        /// Also the small records that only say something about others
        #[arg(short, long)]
        all: bool,
        /// As a table, or as JSON with sizes in bytes
        #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
        format: CacheFormat,
    },
    /// Remove what no build uses, the longest unused first; base images stay unless --all is given
    Prune(PruneArgs),
    /// Remove everything that no build uses just now
    Clear {
        /// Don't ask
        #[arg(short, long)]
        force: bool,
    },
    /// Verify everything: digests of blobs and layers, files of snapshots, what records name
    #[command(after_help = FSCK_CODES)]
    Fsck {
        /// Remove what is damaged or of no use, unless a build uses it just now
        #[arg(long)]
        repair: bool,
        /// As text, or as JSON
        #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
        format: CacheFormat,
    },
}

/// `routerpack cache prune`
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Stop when the cache holds no more than so many bytes, such as 10g
    #[arg(long, alias = "reserved-space", alias = "max-used-space", value_name = "BYTES")]
    pub keep_storage: Option<String>,
    /// Which records
    #[arg(long, value_parser = Filter::parse, value_name = "NAME=VALUE", long_help = FILTER_HELP)]
    pub filter: Vec<Filter>,
    /// Base images, too
    #[arg(short, long)]
    pub all: bool,
    /// Don't ask
    #[arg(short, long)]
    pub force: bool,
    /// Only list what would go
    #[arg(long)]
    pub dry_run: bool,
}

/// What `--format` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CacheFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}
