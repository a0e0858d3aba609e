//! `recipe`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
