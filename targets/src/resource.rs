//! What a router prints of itself: the text of `/system/resource/print`.
//!
//! Its board name is a product's name (`hAP ax^3`, `RB5009UG+S+`) or code; where an older and a newer product share a name
//! (`hEX`), its architecture and CPU tell which. Free flash and the version come with it.

use crate::{
    devices::{self, Device, NotFound},
    profile::Version,
};

/// A router by its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Which product it is.
    pub device: &'static Device,
    /// Its RouterOS.
    pub version: Option<Version>,
    /// Bytes free on its internal storage.
    pub free: Option<u64>,
}

/// Whether a text is such a print rather than a name.
pub fn is_resource(text: &str) -> bool {
    field(text, "board-name").is_some() || field(text, "architecture-name").is_some()
}

/// Reads the print: `name: value` a line, or `name=value` with `;` between (`as-value`).
pub fn read(text: &str) -> Result<Resource, NotFound> {
    let board = field(text, "board-name").unwrap_or_default();
    let architecture = match field(text, "architecture-name") {
        Some("x86_64" | "x86") => "x86",
        Some(other) => other,
        None => "",
    };
    let cpu = field(text, "cpu").unwrap_or_default();
    let device = match devices::find(board) {
        Ok(device) if architecture.is_empty() || device.architecture == architecture => Ok(device),
        Err(NotFound::Ambiguous { name, candidates }) => pick(name, candidates, architecture, cpu),
        // A machine of any make (`x86`, `CHR QEMU …`), or a board that the list names by another code.
        _ if architecture == "x86" => devices::find(if board.starts_with("CHR") { "CHR" } else { "x86" }),
        _ if architecture == "arm64" && board.starts_with("CHR") => devices::find("CHR arm64"),
        found => found,
    }?;
    Ok(Resource {
        device,
        version: field(text, "version").and_then(Version::parse),
        free: field(text, "free-hdd-space").and_then(size),
    })
}

/// The one of several products that has this architecture and CPU.
fn pick(
    name: String,
    candidates: Vec<&'static Device>,
    architecture: &str,
    cpu: &str,
) -> Result<&'static Device, NotFound> {
    let fits = |d: &&'static Device| {
        (architecture.is_empty() || d.architecture == architecture) && (cpu.is_empty() || !is_soc(cpu) || d.cpu == cpu)
    };
    let left: Vec<&'static Device> = candidates.iter().copied().filter(|d| fits(d)).collect();
    match left[..] {
        [device, ..] if left.iter().all(|d| d.platform() == device.platform()) => match device.platform() {
            Some(_) => Ok(device),
            None => Err(NotFound::NoContainers { device }),
        },
        _ => Err(NotFound::Ambiguous { name, candidates }),
    }
}

/// Whether the list has such a CPU; most routers print its kind instead (`ARM`, `ARM64`).
fn is_soc(cpu: &str) -> bool {
    devices::all().iter().any(|d| d.cpu == cpu)
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(['\n', ';']).take(1000).find_map(|part| {
        let (key, value) = part.split_once([':', '='])?;
        (key.trim() == name).then(|| value.trim()).filter(|v| !v.is_empty())
    })
}

/// `95.1MiB`, `512KiB`, `1.2GiB`, or bytes.
fn size(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    let unit: u64 = match &text[end..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    Some((number * unit as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(board: &str, architecture: &str, cpu: &str) -> String {
        format!(
            "             uptime: 1w2d\n            version: 7.21.3 (stable)\n     free-hdd-space: 95.5MiB\n\
             \x20               cpu: {cpu}\n  architecture-name: {architecture}\n         board-name: {board}\n           platform: MikroTik\n"
        )
    }

    #[test]
    fn a_router_is_known_by_its_print() {
        for (board, architecture, cpu, code) in [
            ("hAP ax^3", "arm64", "ARM64", "C53UiG+5HPaxD2HPaxD"),
            ("RB5009UG+S+IN", "arm64", "ARM64", "RB5009UG+S+IN"),
            ("hEX", "arm", "EN7562CT", "E50UG"),
            ("hEX S", "arm", "EN7562CT", "E60iUGS"),
            ("CHR QEMU Standard PC", "x86_64", "QEMU", "CHR"),
            ("x86", "x86", "Intel", "x86"),
        ] {
            let text = print(board, architecture, cpu);
            assert!(is_resource(&text));
            let found = read(&text).unwrap_or_else(|e| panic!("{board}: {e}"));
            assert_eq!(found.device.code, code, "{board}");
            assert_eq!(found.version.unwrap().to_string(), "7.21.3");
            assert_eq!(found.free, Some(95 * (1 << 20) + (1 << 19)));
        }
        let as_value = "architecture-name=arm64;board-name=hAP ax^3;free-hdd-space=1000;version=7.23 (stable)";
        assert_eq!(read(as_value).unwrap().free, Some(1000));
    }

    #[test]
    fn an_old_hex_has_no_containers_and_nonsense_is_refused() {
        assert!(matches!(read(&print("hEX", "mmips", "MIPS 1004Kc")), Err(NotFound::NoContainers { .. })));
        assert!(matches!(read(&print("toaster", "arm", "ARM")), Err(NotFound::Unknown { .. })));
        assert!(matches!(read("board-name: hEX"), Err(NotFound::Ambiguous { .. })));
        assert!(read("").is_err() && !is_resource("hap-ax3"));
        assert_eq!(size("12parsecs"), None);
    }
}
