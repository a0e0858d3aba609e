//! Which router takes which platform.
//!
//! The table is `data/devices.csv`: one device a line, with where the line comes from. RouterOS calls
//! every 32-bit ARM `arm`; but devices with CPU EN7562CT run arm/v5 alone (vendor documentation), so
//! the CPU decides. The container package exists for arm, arm64 and x86 only (vendor documentation).

use std::{fmt, sync::OnceLock};

use routerpack_graph::Platform;

/// One router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Product name, ASCII (`hAP ax3`).
    pub name: &'static str,
    /// Product code; a revision's suffix such as `r2` included.
    pub code: &'static str,
    /// RouterOS' word: `arm64`, `arm`, `x86`, `mipsbe`, `mmips`, `smips`, `ppc`, `tile`.
    pub architecture: &'static str,
    /// The SoC; empty where unknown, `any` for virtual and PC machines.
    pub cpu: &'static str,
    /// RAM in MiB; `None` where it is the owner's choice.
    pub ram_mib: Option<u32>,
    /// Built-in flash in MiB, RouterOS' own part included; `None` likewise.
    pub flash_mib: Option<u32>,
    /// Where a disk can go: `usb`, `microsd`, `m2`, `sata`, `nvme`.
    pub slots: Vec<&'static str>,
    /// Where the line's facts come from.
    pub source: &'static str,
}

impl Device {
    /// What its containers run on, or `None` if it runs none.
    pub fn platform(&self) -> Option<Platform> {
        match self.architecture {
            "arm64" => Some(Platform::new("linux", "arm64", "")),
            "x86" => Some(Platform::new("linux", "amd64", "")),
            "arm" => Some(Platform::new("linux", "arm", if self.is_v5_only() { "v5" } else { "v7" })),
            _ => None,
        }
    }

    /// EN7562CT by the vendor's documentation. AN7563PT is the same maker's next one and nothing is
    /// published about it, so it gets what runs on every 32-bit ARM.
    fn is_v5_only(&self) -> bool {
        matches!(self.cpu, "EN7562CT" | "AN7563PT")
    }
}

/// `hEX refresh (E50UG)`.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name == self.code { f.write_str(self.name) } else { write!(f, "{} ({})", self.name, self.code) }
    }
}

/// No single device that runs containers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// Several devices of that name, on different platforms (or some without containers).
    #[error("`{name}` can be {}; name one of them", list(candidates))]
    Ambiguous {
        /// As given.
        name: String,
        /// The devices.
        candidates: Vec<&'static Device>,
    },
    /// The device's architecture has no container package.
    #[error(
        "{device} is {}, for which RouterOS has no container package; containers run on arm, arm64 and x86 devices",
        device.architecture
    )]
    NoContainers {
        /// The device.
        device: &'static Device,
    },
    /// No such device.
    #[error("no device `{name}` is known{}; see `routerpack devices`, or give --platform", similar(suggestions))]
    Unknown {
        /// As given.
        name: String,
        /// The nearest names.
        suggestions: Vec<&'static Device>,
    },
}

/// How many devices an error names.
const LISTED: usize = 8;

fn list(devices: &[&'static Device]) -> String {
    let one = |d: &&Device| match d.platform() {
        Some(platform) => format!("{d}, {platform}"),
        None => format!("{d}, {} without containers", d.architecture),
    };
    let more = devices.len().saturating_sub(LISTED);
    let rest = if more > 0 { format!("; or one of {more} more") } else { String::new() };
    devices.iter().take(LISTED).map(one).collect::<Vec<_>>().join("; ") + &rest
}

fn similar(devices: &[&'static Device]) -> String {
    match devices {
        [] => String::new(),
        _ => format!(" (similar: {})", devices.iter().map(|d| d.to_string()).collect::<Vec<_>>().join(", ")),
    }
}

/// Every known device, by architecture and name.
pub fn all() -> &'static [Device] {
    static TABLE: OnceLock<Vec<Device>> = OnceLock::new();
    TABLE.get_or_init(|| include_str!("../data/devices.csv").lines().skip(1).filter_map(parse).collect())
}

fn parse(line: &'static str) -> Option<Device> {
    let fields: Vec<&'static str> = line.split(',').collect();
    let [name, code, architecture, cpu, ram, flash, slots, source] = fields[..] else { return None };
    Some(Device {
        name,
        code,
        architecture,
        cpu,
        ram_mib: ram.parse().ok(),
        flash_mib: flash.parse().ok(),
        slots: slots.split_whitespace().collect(),
        source,
    })
}

/// The one device that a name means, and it runs containers.
///
/// Product names, product codes and the beginning of either are understood, in any case and with any
/// punctuation: `RB5009`, `hex-refresh`, `hap-ax3`, `E50UG`, `chr`. Devices that only differ in what
/// doesn't matter here (case, radio, ports) may share a name; the first one is given then. A name
/// that an older and a newer product share (`hex`, `hex-s`) is refused, even where it is one product's
/// full name: its owner may have either.
pub fn find(name: &str) -> Result<&'static Device, NotFound> {
    let wanted = key(name);
    let unknown = |suggestions| NotFound::Unknown { name: name.chars().take(100).collect(), suggestions };
    if wanted.is_empty() {
        return Err(unknown(Vec::new()));
    }
    let by = |test: &dyn Fn(&Device) -> bool| all().iter().filter(|d| test(d)).collect::<Vec<_>>();

    let exact = by(&|d| key(d.code) == wanted || (key(d.name) == wanted && !is_shared(&wanted)));
    let starts = |text: &str| key(text).starts_with(&wanted);
    let found = match exact.is_empty() {
        false => exact,
        // `hex` is not to bring in `hEX lite` and `hEX PoE`, which nobody calls so.
        true if is_shared(&wanted) => by(&|d| shares(&d.name.to_ascii_lowercase(), &wanted)),
        true => by(&|d| starts(d.name) || starts(d.code) || starts(d.code.trim_start_matches("RB"))),
    };
    match found[..] {
        [] => Err(unknown(nearest(&wanted))),
        [first, ..] if found.iter().all(|d| d.platform() == first.platform()) => match first.platform() {
            Some(_) => Ok(first),
            None => Err(NotFound::NoContainers { device: first }),
        },
        _ => Err(NotFound::Ambiguous { name: name.into(), candidates: found }),
    }
}

/// Lower-case letters and digits alone.
fn key(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '²' => '2',
            '³' => '3',
            c => c.to_ascii_lowercase(),
        })
        .filter(char::is_ascii_alphanumeric)
        .collect()
}

/// Names of an older product that a newer one on another platform is sold by, too.
fn is_shared(wanted: &str) -> bool {
    matches!(wanted, "hex" | "hexs")
}

fn shares(name: &str, wanted: &str) -> bool {
    match wanted {
        "hex" => matches!(name, "hex" | "hex refresh"),
        _ => matches!(name, "hex s" | "hex s (2025)"),
    }
}

/// Up to five devices whose names or codes are a few letters off.
fn nearest(wanted: &str) -> Vec<&'static Device> {
    if wanted.len() > 64 {
        return Vec::new();
    }
    let off = |d: &Device| {
        let (name, code) = (key(d.name), key(d.code));
        // A short form of a long code is no typing error, so only as much of it counts.
        let head = |s: &str| s.chars().take(wanted.len() + 1).collect::<String>();
        [
            strsim::levenshtein(wanted, &name),
            strsim::levenshtein(wanted, &head(&name)),
            strsim::levenshtein(wanted, &head(&code)),
        ]
        .into_iter()
        .min()
    };
    let mut scored: Vec<_> = all().iter().map(|d| (off(d).unwrap_or(usize::MAX), d)).collect();
    scored.sort_by_key(|(off, d)| (*off, d.platform().is_none()));
    scored.into_iter().filter(|(off, _)| *off <= wanted.len() / 3 + 1).take(5).map(|(_, d)| d).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_device_with_a_source() {
        let text = include_str!("../data/devices.csv");
        assert_eq!(all().len(), text.lines().count() - 1, "a line has not eight fields");
        for d in all() {
            assert!(!d.name.is_empty() && d.name.is_ascii() && !d.code.is_empty() && !d.source.is_empty(), "{d:?}");
            assert!(
                ["arm64", "arm", "x86", "mipsbe", "mmips", "smips", "ppc", "tile"].contains(&d.architecture),
                "{d:?}"
            );
            assert!(d.slots.iter().all(|s| ["usb", "microsd", "m2", "sata", "nvme"].contains(s)), "{d:?}");
            assert_eq!(d.ram_mib.is_none(), d.cpu == "any", "{d:?}");
            // A code names exactly its device.
            match find(d.code) {
                Ok(found) => assert_eq!(found.code, d.code),
                Err(NotFound::NoContainers { device }) => assert_eq!(device.code, d.code),
                Err(e) => panic!("{d}: {e}"),
            }
        }
    }

    #[test]
    fn names_people_type() {
        for (name, device, platform) in [
            ("rb5009", "RB5009", "linux/arm64"),
            ("RB5009UG+S+IN", "RB5009UG+S+IN", "linux/arm64"),
            ("hex-refresh", "hEX refresh", "linux/arm/v5"),
            ("E50UG", "hEX refresh", "linux/arm/v5"),
            ("hex s 2025", "hEX S (2025)", "linux/arm/v5"),
            ("E60iUGS", "hEX S (2025)", "linux/arm/v5"),
            ("hap-ax-s", "hAP ax S", "linux/arm/v5"),
            ("hap-ax3", "hAP ax3", "linux/arm64"),
            ("hAP ax³", "hAP ax3", "linux/arm64"),
            ("hap-ax-lite", "hAP ax lite", "linux/arm/v7"),
            ("hap ac2", "hAP ac2", "linux/arm/v7"),
            ("rb4011", "RB4011", "linux/arm/v7"),
            ("rb3011", "RB3011", "linux/arm/v7"),
            ("L009", "L009", "linux/arm/v7"),
            ("ccr2116", "CCR2116", "linux/arm64"),
            ("rds2216", "ROSE", "linux/arm64"),
            ("rb1100ahx4", "RB1100AHx4", "linux/arm/v7"),
            ("chr", "CHR", "linux/amd64"),
            ("chr-arm64", "CHR arm64", "linux/arm64"),
            ("x86", "x86", "linux/amd64"),
            ("hAP ac^2", "hAP ac2", "linux/arm/v7"), // as /system/resource has it
            ("hap-be-lite", "hAP be lite", "linux/arm/v5"),
        ] {
            let found = find(name).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(found.name.starts_with(device), "{name}: {found}");
            assert_eq!(found.platform().unwrap().to_string(), platform, "{name}");
        }
    }

    #[test]
    fn a_name_of_an_old_and_a_new_product_is_refused_with_both() {
        for (name, old, new) in
            [("hex", "RB750Gr3", "E50UG"), ("hEX", "RB750Gr3", "E50UG"), ("hex-s", "RB760iGS", "E60iUGS")]
        {
            let e = find(name).unwrap_err();
            let NotFound::Ambiguous { candidates, .. } = &e else { panic!("{name}: {e}") };
            let mut codes: Vec<_> = candidates.iter().map(|d| d.code).collect();
            codes.sort_unstable();
            let mut want = [old, new];
            want.sort_unstable();
            assert_eq!(codes, want);
            assert!(e.to_string().contains("linux/arm/v5") && e.to_string().contains("without containers"), "{e}");
        }
    }

    #[test]
    fn a_beginning_of_many_names_lists_some_of_them() {
        let e = find("crs3").unwrap_err();
        assert!(matches!(&e, NotFound::Ambiguous { candidates, .. } if candidates.len() > LISTED), "{e}");
        assert!(e.to_string().contains("more"), "{e}");
    }

    #[test]
    fn devices_without_containers_are_refused_by_name() {
        for name in ["RB750Gr3", "hap-lite", "rb2011", "ccr1036", "RB1100AHx2", "hex-poe"] {
            let e = find(name).unwrap_err();
            assert!(matches!(e, NotFound::NoContainers { .. }), "{name}: {e}");
            assert!(e.to_string().contains("no container package"), "{e}");
        }
    }

    #[test]
    fn a_typing_error_gets_suggestions() {
        for (name, near) in [("rb5090", "RB5009"), ("hap-ax33", "hAP ax3"), ("hex-refersh", "hEX refresh")] {
            let Err(NotFound::Unknown { suggestions, .. }) = find(name) else { panic!("{name}") };
            assert!(suggestions.iter().any(|d| d.name.starts_with(near)), "{name}: {suggestions:?}");
        }
        for name in ["", "  ", "toaster oven", &"x".repeat(10_000)] {
            assert!(
                matches!(find(name), Err(NotFound::Unknown { suggestions, .. }) if suggestions.is_empty()),
                "{name}"
            );
        }
    }
}
