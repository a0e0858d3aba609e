//! The router that an archive is for, as `--for`, `--routeros` and `--disk-size` name it.

use std::path::Path;

use routerpack_graph::Platform;
use routerpack_targets::{check::Options, devices::Device, profile::Profile};

use crate::{args::RouterArgs, devices, failure::Failure, flags, machine};

/// What is known of the router.
pub struct Router {
    /// Which RouterOS it has: as given, or as its own print says; else every version has to be suited.
    pub profile: Profile,
    /// Which device it is.
    pub device: Option<&'static Device>,
    /// Bytes free on the disk that the container goes to.
    pub disk: Option<u64>,
}

impl Router {
    /// Reads the flags; `--for -` reads standard input.
    pub fn read(args: &RouterArgs) -> Result<Self, Failure> {
        let named = args.device.as_deref().map(devices::named).transpose()?;
        let version = named.as_ref().and_then(|r| r.version).map(Profile::Version);
        let profile = match &args.routeros {
            Some(text) => text.parse().map_err(|e| Failure::usage(format!("--routeros: {e}")))?,
            None => version.unwrap_or_default(),
        };
        let disk = args.disk_size.as_deref().map(|text| flags::bytes("--disk-size", text)).transpose();
        let disk = disk.map_err(Failure::usage)?.and_then(|bytes| u64::try_from(bytes).ok());
        let free = named.as_ref().and_then(|r| r.free);
        Ok(Self { profile, device: named.map(|r| r.device), disk: disk.or(free) })
    }

    /// The platform that was asked for: the device's, or what `--platform` names.
    pub fn platform(&self, given: Option<&str>) -> Result<Option<Platform>, Failure> {
        if let Some(device) = self.device {
            return Ok(device.platform());
        }
        machine::platform_named(given)
    }

    /// By what an archive for it is judged. What has to be inflated goes to `spool`.
    pub fn options<'a>(&self, platform: Option<Platform>, spool: &'a Path) -> Options<'a> {
        let Self { profile, device, disk } = *self;
        Options { profile, device, platform, disk, limit: machine::room(spool), ..Options::new(spool) }
    }
}
