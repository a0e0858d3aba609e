//! What a recipe is made of: the image, and what its owner wants.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use routerpack_graph::{Digest, ImageConfig};

use crate::profile::Version;

/// The image that a recipe installs.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its config.
    pub config: ImageConfig,
    /// Digest of the config's bytes. RouterOS calls it `image-id` and shows it without `sha256:`
    /// (tested by a third party on 7.23).
    pub id: Digest,
    /// Where the router gets it from.
    pub source: Source,
    /// Bytes of the unpacked rootfs, or a guess.
    pub unpacked: u64,
}

/// Where the router gets an image from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An archive that is uploaded.
    Archive {
        /// Bytes of the file.
        size: u64,
        /// Whether the whole file is gzip'd.
        gzip: bool,
    },
    /// A registry; `host/path:tag`.
    Registry {
        /// As `remote-image=` has it.
        reference: String,
        /// Bytes to download.
        size: u64,
    },
}

/// What the script does when it is imported as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Install; a second time changes nothing.
    #[default]
    Install,
    /// Replace the installed image by this one.
    Update,
    /// The former container again: after an update that broke off, or one that kept it.
    Rollback,
    /// Remove all but the data.
    Uninstall,
}

impl Action {
    /// As the script spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Update => "update",
            Self::Rollback => "rollback",
            Self::Uninstall => "uninstall",
        }
    }
}

/// Where a container lives on the router.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Disk {
    /// The only suitable disk there is.
    #[default]
    Only,
    /// The router's own flash.
    Internal,
    /// A slot of `/disk`: `usb1`, `nvme1-part1`.
    Slot(String),
}

/// An IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// All host bits zero.
    pub network: Ipv4Addr,
    /// 8 to 29.
    pub length: u8,
}

/// Not the whole of Docker's 172.17.0.0/16, which half of the world has somewhere.
impl Default for Subnet {
    fn default() -> Self {
        Self { network: Ipv4Addr::new(172, 31, 200, 0), length: 24 }
    }
}

impl Subnet {
    /// Reads `ADDRESS/LENGTH`; host bits are cleared. `None` unless the length is 8 to 29.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let (address, length): (Ipv4Addr, u8) = (address.parse().ok()?, length.parse().ok()?);
        let mask = (8..=29).contains(&length).then(|| u32::MAX << (32 - length))?;
        Some(Self { network: Ipv4Addr::from(u32::from(address) & mask), length })
    }

    /// The router's address in it: the first.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.network) + 1)
    }

    /// How many container addresses are tried, from the second one.
    pub fn last_host(self) -> u32 {
        ((1u32 << (32 - self.length)) - 2).min(254)
    }
}

/// `tcp` or `udp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// As RouterOS spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A port of the router that leads to one of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// On the router.
    pub outside: u16,
    /// In the container.
    pub inside: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// A directory of the router in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// With a `/`: a path on the router. Without: a name below the container's data directory.
    /// `None`: a name made from `dst`.
    pub src: Option<String>,
    /// An absolute path in the container.
    pub dst: String,
    /// Not to be written.
    pub read_only: bool,
}

/// When a container that ended is started again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Only after a failure.
    pub on_failure: bool,
    /// Seconds between the end and the start.
    pub interval: u32,
    /// How often at most.
    pub max_count: Option<u32>,
}

/// A check of the container's health; seconds. `None` leaves RouterOS' default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Its command, run without a shell.
    pub cmd: Vec<String>,
    /// Between two checks.
    pub interval: Option<u32>,
    /// For one check.
    pub timeout: Option<u32>,
    /// Failures in a row.
    pub retries: Option<u32>,
    /// Failures that do not count, at the start.
    pub start_period: Option<u32>,
}

/// What a recipe's owner wants.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the container: up to 32 lower-case letters, digits and `-`.
    pub name: String,
    /// The version; `None` branches by version on the router.
    pub routeros: Option<Version>,
    /// What importing does.
    pub action: Action,
    /// Where the container lives.
    pub disk: Disk,
    /// Network of the bridge.
    pub subnet: Subnet,
    /// Also this /64.
    pub subnet6: Option<Ipv6Addr>,
    /// Ports that lead to the container.
    pub ports: Vec<Port>,
    /// The interface from which ports are reached, instead of the list `LAN`.
    pub lan: Option<String>,
    /// Ports are reached from everywhere.
    pub publish_wan: bool,
    /// Name servers of the container; empty: those of the router.
    pub dns: Vec<IpAddr>,
    /// Variables.
    pub env: Vec<(String, String)>,
    /// Beside the image's volumes.
    pub mounts: Vec<Mount>,
    /// Instead of the image's ENTRYPOINT; its CMD counts no more then.
    pub entrypoint: Option<Vec<String>>,
    /// Instead of the image's CMD.
    pub cmd: Option<Vec<String>>,
    /// Instead of the image's USER.
    pub user: Option<String>,
    /// Instead of the image's WORKDIR.
    pub workdir: Option<String>,
    /// Name of the machine in the container.
    pub hostname: Option<String>,
    /// Bytes from which memory is throttled.
    pub memory_high: Option<u64>,
    /// Bytes at which a process is killed.
    pub memory_max: Option<u64>,
    /// Bytes of swap.
    pub swap_max: Option<u64>,
    /// `0,2-3`.
    pub cpu_list: Option<String>,
    /// Bytes of /dev/shm.
    pub shm_size: Option<u64>,
    /// Bytes and directory.
    pub tmpfs: Vec<(u64, String)>,
    /// As RouterOS spells them.
    pub devices: Vec<String>,
    /// Further lines of /etc/hosts.
    pub hosts: Vec<(String, IpAddr)>,
    /// Start again.
    pub restart: Option<Restart>,
    /// Instead of the image's HEALTHCHECK.
    pub health: Option<Health>,
    /// Seconds from the stop signal to the kill.
    pub stop_time: Option<u32>,
    /// Full rights.
    pub privileged: bool,
    /// Its output goes into the router's log.
    pub logging: bool,
    /// Starts with the router.
    pub start_on_boot: bool,
    /// The archive is deleted once the container runs.
    pub remove_archive: bool,
    /// An update leaves the former container there, stopped, until the next update.
    pub keep_former: bool,
    /// Bytes of the disk to leave free; `None`: 256 MiB on a disk, 16 MiB of internal flash.
    pub reserve: Option<u64>,
}

impl Options {
    /// Everything at its default.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            routeros: None,
            action: Action::Install,
            disk: Disk::Only,
            subnet: Subnet::default(),
            subnet6: None,
            ports: Vec::new(),
            lan: None,
            publish_wan: false,
            dns: Vec::new(),
            env: Vec::new(),
            mounts: Vec::new(),
            entrypoint: None,
            cmd: None,
            user: None,
            workdir: None,
            hostname: None,
            memory_high: None,
            memory_max: None,
            swap_max: None,
            cpu_list: None,
            shm_size: None,
            tmpfs: Vec::new(),
            devices: Vec::new(),
            hosts: Vec::new(),
            restart: None,
            health: None,
            stop_time: None,
            privileged: false,
            logging: true,
            start_on_boot: true,
            remove_archive: false,
            keep_former: false,
            reserve: None,
        }
    }
}
