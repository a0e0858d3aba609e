//! Recipes: one RouterOS script that installs, updates, rolls back or removes a container.
//!
//! [`generate()`] takes plain data and gives text. The script's shape follows from how RouterOS reads
//! one (public command trees and reports of other projects; nothing here was tried on a router by
//! this project):
//!
//! - A word that a version doesn't know is an error of *parsing*: it ends the whole enclosing block and
//!   `on-error` doesn't catch it. So the first block, which has to speak whatever is missing, has no
//!   word of the container package in it, and commands that differ between versions are strings that
//!   `[:parse]` reads on the router, each only on its versions; or direct ones, where the recipe is for
//!   one version.
//! - Variables of one block are not seen in the next; what has to pass is global and cleared at the end.
//! - `:break` and `:continue` are refused by some builds: loops have flags.
//! - Objects are found by their comment alone, the one selector that every version has.
//! - State is read from `/container/print detail as-value`; a key that isn't there means unknown.
//!
//! Values reach the script through [`quote()`] only.

mod band;
mod container;
mod error;
mod names;
mod network;
mod options;
mod quote;
mod validate;

use routerpack_graph::ImageConfig;

use crate::profile::{OLDEST, Version};

pub use band::{BANDS, NEWEST, Range};
pub use error::Error;
pub use names::name_of;
pub use options::{Action, Disk, Health, Mount, Options, Port, Protocol, Restart, Source, Subject, Subnet};
pub use quote::quote;

use names::{DATA, Names, ROOTS};
use quote::fill;

/// Scripts stay below this many bytes: the contents of longer files can't be handled on a router
/// (tested by a third party on 7.23).
pub const LIMIT: usize = 60_000;

/// A script and what goes with it.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The script's text: ASCII. It may hold secrets, in the variables' values.
    pub script: String,
    /// What its owner should know; no secrets.
    pub notes: Vec<String>,
    /// Where the archive is to be uploaded, `usb1/hello-….tar`; `DISK/…` where the router chooses.
    pub upload: Option<String>,
}

/// Makes the script.
pub fn generate(subject: &Subject, options: &Options) -> Result<Recipe, Error> {
    validate::validate(subject, options)?;
    let names = Names::new(subject, &options.name);
    let mounts = mounts(&subject.config, options);
    let maker = Maker { subject, options, names: &names, mounts: &mounts, range: options.routeros.map(Range::of) };
    let mut notes = maker.notes();
    let upload = names.file.as_ref().map(|file| match &options.disk {
        Disk::Only => format!("DISK/{file}"),
        Disk::Internal => file.clone(),
        Disk::Slot(slot) => format!("{slot}/{file}"),
    });
    let script = maker.script(&notes)?;
    if script.len() >= LIMIT {
        return Err(Error::TooLong { bytes: script.len(), limit: LIMIT });
    }
    if options.routeros.is_some_and(|v| v >= Version::new(NEWEST.minor + 1, 0)) {
        notes.push(format!("the commands of this version are not published yet: those of {NEWEST} are used"));
    }
    Ok(Recipe { script, notes, upload })
}

/// The image's volumes, unless an option puts something there, then the options' mounts.
fn mounts(config: &ImageConfig, options: &Options) -> Vec<Mount> {
    let same = |a: &str, b: &str| a.trim_end_matches('/') == b.trim_end_matches('/');
    let asked = &options.mounts;
    let volume = |dst: &String| Mount { src: None, dst: dst.clone(), read_only: false };
    let free = |dst: &&String| {
        dst.starts_with('/')
            && !dst.contains('\0')
            && !asked.iter().any(|m| same(&m.dst, dst))
            && !options.tmpfs.iter().any(|(_, dir)| same(dir, dst))
    };
    config.config.volumes.keys().filter(free).map(volume).chain(asked.iter().cloned()).collect()
}

struct Maker<'a> {
    subject: &'a Subject,
    options: &'a Options,
    names: &'a Names,
    mounts: &'a [Mount],
    /// `None`: every version.
    range: Option<Range>,
}

impl Maker<'_> {
    fn script(&self, notes: &[String]) -> Result<String, Error> {
        let tag = quote(self.names.tag.as_bytes());
        let root = quote(format!("{ROOTS}/{}", self.names.root).as_bytes());
        let root_name = quote(self.names.root.as_bytes());
        let range = self.range.map_or("7.9 and newer".into(), |r| r.to_string());
        let comments: String = notes.iter().map(|note| format!("# Note: {note}\n")).collect();
        let platform = self.platform()?;
        let data = match &self.options.disk {
            Disk::Slot(slot) => format!("{slot}/{DATA}/{}", self.names.name),
            _ => format!("{DATA}/{}", self.names.name),
        };
        let data = quote(data.as_bytes());
        let remove = match self.options.remove_archive && self.names.file.is_some() {
            true => "    :if ([:len $routerpackFile] > 0) do={ /file/remove [/file/find where name=$routerpackFile] }",
            false => "",
        };
        let former = match self.options.keep_former {
            true => {
                "        $routerpackEnd id=($row->\".id\") remove=\"no\"\n        /container/set ($row->\".id\") start-on-boot=no\n        :put \"routerpack: the former container is kept, stopped: the action rollback starts it again\""
            }
            false => "        $routerpackEnd id=($row->\".id\") remove=\"yes\"",
        };
        let (ipv6_rules, ipv6_addresses) = match self.options.subnet6 {
            Some(_) => (
                format!("    /ipv6/firewall/filter/remove [/ipv6/firewall/filter/find where comment={tag}]"),
                "      /ipv6/address/remove [/ipv6/address/find where comment=\"routerpack\" interface=\"routerpack\"]",
            ),
            None => (String::new(), ""),
        };
        let holes: &[(&str, &str)] = &[
            ("NAME", &self.names.name),
            ("ID", self.subject.id.hex()),
            ("PLATFORM", &platform),
            ("RANGE", &range),
            ("COMMENTS", &comments),
            ("ACTION", self.options.action.word()),
            ("TAG", &tag),
            ("ROOT", &root),
            ("ROOT_NAME", &root_name),
            // Without its quotes: it stands inside of a string.
            ("DATA", &data[1..data.len() - 1]),
            ("ADD", &self.add()),
            ("REMOVE_ARCHIVE", remove),
            ("FORMER", former),
            ("BOOT", if self.options.start_on_boot { "yes" } else { "no" }),
            ("IPV6", &ipv6_rules),
            ("IPV6_BRIDGE", ipv6_addresses),
        ];
        let mut script = fill(include_str!("templates/head.rsc"), holes);
        script += &self.checks(&platform, &root);
        script += &self.network(&tag);
        for part in [
            include_str!("templates/tools.rsc"),
            include_str!("templates/container.rsc"),
            include_str!("templates/back.rsc"),
        ] {
            script += &fill(part, holes);
        }
        script += include_str!("templates/tail.rsc");
        script += &self.usage();
        // Empty holes leave empty lines.
        Ok(script.lines().filter(|line| line.trim() != "" || line.is_empty()).collect::<Vec<_>>().join("\n") + "\n")
    }

    fn platform(&self) -> Result<String, Error> {
        let config = &self.subject.config;
        let platform = config.platform().map(|p| p.to_string()).unwrap_or_default();
        match (config.os.as_str(), config.architecture.as_str()) {
            ("linux", "arm64" | "arm" | "amd64") if plain(&config.variant) => Ok(platform),
            _ => Err(Error::Platform(platform.chars().filter(|c| !c.is_control()).take(60).collect())),
        }
    }

    /// Block 1. The names of architectures are those of `/system/resource` (`x86_64` on CHR, `x86` on
    /// PCs); EN7562CT calls itself arm and runs arm/v5 only (vendor's container page).
    fn checks(&self, platform: &str, root: &str) -> String {
        let v5 = matches!(self.subject.config.variant.as_str(), "v5");
        let wrong_arch = match self.subject.config.architecture.as_str() {
            "arm64" => r#"($arch != "arm64")"#,
            "amd64" => r#"(($arch != "x86_64") and ($arch != "x86"))"#,
            _ if v5 => r#"($arch != "arm")"#,
            _ => r#"(($arch != "arm") or ([:typeof [:find $cpu "EN7562CT"]] = "num"))"#,
        };
        let version = match self.range {
            Some(range) => format!(
                "  :if (!{}) do={{ :error (\"routerpack: this recipe is for RouterOS {range}, and here is \" . $text . \"; make it again with --routeros\") }}",
                range.test("code")
            ),
            None => format!(
                "  :if ($code < {}) do={{ :error (\"routerpack: RouterOS {OLDEST} or newer is needed, and here is \" . $text) }}\n  \
                 :if ($code >= {}) do={{ :put (\"routerpack: the commands of \" . $text . \" are not published yet: those of {NEWEST} are used\") }}",
                OLDEST.code(),
                Version::new(NEWEST.minor + 1, 0).code()
            ),
        };
        let slot;
        let disk = match &self.options.disk {
            Disk::Only => include_str!("templates/disk-only.rsc"),
            Disk::Internal => include_str!("templates/disk-internal.rsc"),
            Disk::Slot(name) => {
                slot = fill(include_str!("templates/disk-slot.rsc"), &[("SLOT", &quote(name.as_bytes()))]);
                &slot
            }
        };
        let archive = match (&self.subject.source, &self.names.file) {
            (Source::Archive { size, .. }, Some(file)) => {
                let name = quote(file.as_bytes());
                let holes: &[(&str, &str)] =
                    &[("AT_DISK", &name), ("FILE", &name), ("FILE_TEXT", file), ("SIZE", &size.to_string())];
                fill(include_str!("templates/archive.rsc"), holes)
            }
            _ => String::new(),
        };
        let dns = match self.options.dns.is_empty() {
            // "the container will not start" without any (vendor's container page).
            true => {
                "    :if (([:len [/ip/dns/get servers]] = 0) and ([:len [/ip/dns/get dynamic-servers]] = 0)) do={ :error \"routerpack: this router has no name servers, and a container does not start without: make the recipe again with --dns\" }"
            }
            false => "",
        };
        let list = match self.options.ports.is_empty() || self.options.publish_wan || self.options.lan.is_some() {
            true => "",
            false => {
                "    :if ([:len [/interface/list/find where name=\"LAN\"]] = 0) do={ :error \"routerpack: this router has no interface list LAN: make the recipe again with --lan INTERFACE\" }"
            }
        };
        let need = self.need();
        let subnet = self.options.subnet;
        let holes: &[(&str, &str)] = &[
            ("VERSION", &version),
            ("WRONG_ARCH", wrong_arch),
            ("PLATFORM", platform),
            ("DISK", disk.trim_end()),
            ("ROOT", root),
            ("NEED", &need.to_string()),
            ("NEED_TEXT", &format!("{} MiB", need.div_ceil(1 << 20))),
            ("ARCHIVE", archive.trim_end()),
            ("DNS", dns),
            ("LIST", list),
            ("LENGTH", &subnet.length.to_string()),
            ("NETWORK", &subnet.network.to_string()),
            ("SUBNET", &format!("{}/{}", subnet.network, subnet.length)),
        ];
        fill(include_str!("templates/check.rsc"), holes)
    }

    /// Bytes that must be free: two times the unpacked size and a reserve (a third party's rule, after
    /// tests on 7.23); what is downloaded too, where nothing was uploaded.
    fn need(&self) -> u64 {
        let reserve = self.options.reserve.unwrap_or(match self.options.disk {
            Disk::Internal => 16 << 20,
            _ => 256 << 20,
        });
        let download = match self.subject.source {
            Source::Archive { .. } => 0,
            Source::Registry { size, .. } => size,
        };
        // RouterOS' numbers are signed.
        let need = self.subject.unpacked.saturating_mul(2).saturating_add(reserve).saturating_add(download);
        need.min(i64::MAX as u64)
    }

    /// The function `$add`, by version.
    fn add(&self) -> String {
        let of = |version| container::add(self.subject, self.options, self.names, self.mounts.len(), version);
        self.function("add", "      ", |version| of(version).command, |version| of(version).missing)
    }

    /// A local function whose text depends on the version.
    fn function(
        &self,
        name: &str,
        indent: &str,
        text: impl Fn(Version) -> String,
        missing: impl Fn(Version) -> Vec<String>,
    ) -> String {
        if let Some(range) = self.range {
            return format!("{indent}:local {name} do={{ {} }}", text(range.first));
        }
        let mut ranges: Vec<(Range, String, Vec<String>)> = Vec::new();
        for band in Range::bands() {
            let (text, missing) = (text(band.first), missing(band.first));
            match ranges.last_mut() {
                Some((range, same, lacks)) if *same == text && *lacks == missing => range.end = band.end,
                _ => ranges.push((band, text, missing)),
            }
        }
        let mut out = format!("{indent}:local {name}");
        for (range, text, missing) in ranges {
            let test = range.test("routerpackVersion");
            let notes: String =
                missing.iter().map(|m| format!(" ; :put {}", quote(format!("routerpack: {m}").as_bytes()))).collect();
            let parsed = quote(text.as_bytes());
            out += &format!(
                "\n{indent}:if {test} do={{ :do {{ :set {name} [:parse {parsed}] }} on-error={{ :error \"routerpack: this RouterOS does not know the commands of its version\" }}{notes} }}"
            );
        }
        out
    }

    /// What its owner should know beforehand.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(range) = self.range {
            notes
                .extend(container::add(self.subject, self.options, self.names, self.mounts.len(), range.first).missing);
            if self.mounts.iter().any(|m| m.read_only) && range.first < Version::new(20, 0) {
                notes.push("a read-only mount needs RouterOS 7.20: the container can write to it".into());
            }
            if self.options.subnet6.is_some() && range.first < Version::new(11, 0) {
                notes.push("IPv6 of a container needs RouterOS 7.11".into());
            }
        }
        let (entrypoint, cmd) = container::argv(&self.subject.config.config, self.options);
        if self.range.is_none() && (container::spelled(entrypoint).is_none() || container::spelled(cmd).is_none()) {
            notes.push(container::UNSPELLABLE.into());
        }
        for port in &self.options.ports {
            if matches!(port.outside, 22 | 53 | 80 | 443 | 8291) {
                notes.push(format!(
                    "port {} is one of the router's own services: it is not reached there any more from where the container is",
                    port.outside
                ));
            }
        }
        if self.options.publish_wan && !self.options.ports.is_empty() {
            notes.push("the published ports are open to the Internet".into());
        }
        if let (Source::Archive { .. }, Disk::Only) = (&self.subject.source, &self.options.disk) {
            notes.push("DISK is the one disk of the router with ext4 or btrfs; see /disk/print".into());
        }
        notes
    }

    fn usage(&self) -> String {
        let disk = match &self.options.disk {
            Disk::Slot(slot) if plain(slot) => format!("{slot}/"),
            Disk::Internal => String::new(),
            _ => "DISK/".into(),
        };
        let put = match &self.names.file {
            Some(file) => format!("#   sftp> put ARCHIVE {disk}{file}\n"),
            None => String::new(),
        };
        format!(
            "# To use it: sftp admin@ROUTER\n{put}#   sftp> put {0}.rsc\n# and then on the router: /import file-name={0}.rsc\n",
            self.names.name
        )
    }
}

/// Fit for a comment and a message.
fn plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}
