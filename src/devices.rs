//! `routerpack devices`, and what `--for` names.

use std::{io::Read, process::ExitCode};

use routerpack_targets::{
    devices::{self as table, Device},
    resource::{self, Resource},
};

use crate::{args::DevicesArgs, columns, failure::Failure, ls};

/// A print of `/system/resource` is some hundred bytes long.
const MAX_PRINT: u64 = 64 << 10;

/// Prints the devices that a pattern fits. Ends with 1 where there is none.
pub fn devices(args: &DevicesArgs) -> Result<ExitCode, Failure> {
    let key = |text: &str| -> String { text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect() };
    let wanted = args.pattern.as_deref().map(key);
    let fits = |d: &&Device| match &wanted {
        None => d.platform().is_some(),
        Some(wanted) => {
            let platform = d.platform().map(|p| p.to_string()).unwrap_or_default();
            [d.name, d.code, d.cpu, d.architecture, &platform].iter().any(|text| key(text).contains(wanted))
        }
    };
    let found: Vec<&Device> = table::all().iter().filter(fits).collect();
    if found.is_empty() {
        let given = args.pattern.as_deref().unwrap_or_default();
        return match table::find(given) {
            Err(e) => Err(Failure::new(e)),
            Ok(device) => Err(Failure::new(format!("nothing fits `{given}`, but --for takes it for the {device}"))),
        };
    }
    let rows: Vec<[String; 7]> = found.iter().map(|d| row(d)).collect();
    let head = ["NAME", "CODE", "PLATFORM", "CPU", "RAM", "FLASH", "DISKS"];
    ls::finish(columns::print(&mut std::io::stdout().lock(), head, &rows))
}

fn row(d: &Device) -> [String; 7] {
    let mib = |size: Option<u32>| match size {
        None => "any".to_string(),
        Some(mib) if mib >= 1024 && mib % 1024 == 0 => format!("{} GiB", mib / 1024),
        Some(mib) => format!("{mib} MiB"),
    };
    let platform = d.platform().map_or(format!("{}: no containers", d.architecture), |p| p.to_string());
    let (ram, flash, slots) = (mib(d.ram_mib), mib(d.flash_mib), d.slots.join(" "));
    [d.name.into(), d.code.into(), platform, d.cpu.into(), ram, flash, slots]
}

/// The router that `--for` names: by product name or code, by board name, or (`-`, or the text itself) by its print
/// of `/system/resource`.
pub fn named(name: &str) -> Result<Resource, Failure> {
    let fail = |e| Failure::new(format!("--for: {e}")).with_code(2);
    let mut text = name.to_string();
    if name == "-" {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(MAX_PRINT).read_to_end(&mut bytes);
        read.map_err(|e| Failure::new(format!("--for: read standard input: {e}")))?;
        text = String::from_utf8_lossy(&bytes).into_owned();
    }
    if resource::is_resource(&text) {
        return resource::read(&text).map_err(fail);
    }
    let device = table::find(text.trim()).map_err(fail)?;
    Ok(Resource { device, version: None, free: None })
}
