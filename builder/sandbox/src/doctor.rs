//! What this machine can do for a build, what it can't, and the command that mends that: data for `routerpack doctor`.

use std::path::{Path, PathBuf};

use routerpack_graph::platform::Platform;

use crate::emulators::{self, Emulator};
use crate::error::Error;
use crate::idmap::IdMap;
use crate::probe::{self, Facts};
use crate::step::Isolation;
use crate::{enter, sys};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What, in a few words.
    pub what: String,
    /// Whether all is well.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to type if it is not well.
    pub mend: Option<String>,
}

/// What the examination has to know; the library reads no environment.
#[derive(Debug)]
pub struct Patient<'a> {
    /// Where snapshots will be; must exist.
    pub cache_dir: &'a Path,
    /// Where qemu is looked for.
    pub emulator_dirs: &'a [PathBuf],
    /// What [`enter::enter`] said.
    pub ids: &'a Result<IdMap, Error>,
    /// The user's real number (before `enter`) and name.
    pub uid: u32,
    /// The user's name, if it has one.
    pub name: Option<&'a str>,
    /// `newuidmap` was found in the user's `PATH`.
    pub has_newuidmap: bool,
}

fn finding(what: &str, result: Result<String, (String, &str)>) -> Finding {
    match result {
        Ok(detail) => Finding { what: what.into(), ok: true, detail, mend: None },
        Err((detail, mend)) => {
            Finding { what: what.into(), ok: false, detail, mend: (!mend.is_empty()).then(|| mend.to_string()) }
        }
    }
}

/// Looks at everything.
pub fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let facts = probe::probe(patient.cache_dir);
    let mut findings = Vec::new();
    match &facts {
        Ok(facts) => findings.extend(from_facts(facts)),
        Err(e) => findings.push(finding("sandbox", Err((e.to_string(), "")))),
    }
    findings.push(apparmor(patient.uid));
    if patient.uid != 0 {
        findings.extend(ranges(patient));
    }
    findings.push(reflink(patient.cache_dir));
    if let Ok(facts) = &facts {
        findings.extend(platforms(facts, patient.emulator_dirs));
    }
    findings
}

fn from_facts(facts: &Facts) -> Vec<Finding> {
    let kernel = match version(&facts.kernel) {
        Some(version) if version >= (6, 7) => Ok(facts.kernel.clone()),
        Some(version) if version >= (5, 12) => Err((
            format!("{}: steps for other platforms need the machine's own registration before 6.7", facts.kernel),
            "sudo apt-get install qemu-user-static binfmt-support",
        )),
        _ => Err((format!("{}: 5.12 is the oldest that will do", facts.kernel), "install a newer kernel")),
    };
    let isolation = match facts.isolation {
        Isolation::UserNamespace => Ok("user namespaces work".to_string()),
        _ => Err((
            facts.isolation_reason.clone().unwrap_or_default(),
            "steps run with less isolation; the reason names what mends it",
        )),
    };
    let overlay = match &facts.overlay {
        Ok(()) => Ok("works with the cache directory".to_string()),
        Err(e) => Err((
            format!("{e}; steps copy their root filesystem instead"),
            "put the cache on ext4, xfs, btrfs or tmpfs: --cache-dir",
        )),
    };
    let binfmt = match &facts.private_binfmt {
        Ok(()) => Ok("steps for other platforms need nothing from the machine but qemu".to_string()),
        Err(e) => Err((e.clone(), "sudo apt-get install qemu-user-static binfmt-support")),
    };
    let seccomp = if facts.seccomp {
        Ok("available".to_string())
    } else {
        Err(("the kernel has none".to_string(), "use a kernel with CONFIG_SECCOMP_FILTER"))
    };
    let proc = if facts.own_proc {
        Ok("steps have their own".to_string())
    } else {
        Err((
            "steps see the machine's processes: parts of /proc are hidden here, as in a container".to_string(),
            "docker run --security-opt systempaths=unconfined …",
        ))
    };
    vec![
        finding("kernel", kernel),
        finding("user namespaces", isolation),
        finding("overlay", overlay),
        finding("private binfmt_misc", binfmt),
        finding("seccomp", seccomp),
        finding("/proc", proc),
    ]
}

/// `6.18` of `6.18.44-fc`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn apparmor(uid: u32) -> Finding {
    let value = std::fs::read_to_string("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    let result = match value.as_deref().map(str::trim) {
        Ok("1") if uid != 0 => Err((
            "user namespaces of ordinary users are restricted".to_string(),
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )),
        Ok("1") => Ok("restricts ordinary users only".to_string()),
        _ => Ok("no restriction of user namespaces".to_string()),
    };
    finding("AppArmor", result)
}

fn ranges(patient: &Patient<'_>) -> Vec<Finding> {
    const MEND: &str = "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER";
    let mut findings = Vec::new();
    for file in ["/etc/subuid", "/etc/subgid"] {
        let ranges = enter::ranges(Path::new(file), patient.name, patient.uid);
        let count: u64 = ranges.iter().map(|r| u64::from(r.1)).sum();
        findings.push(finding(
            file,
            if count >= 65536 {
                Ok(format!("{count} ids"))
            } else {
                Err((format!("{count} ids: files of other users can't be made by steps"), MEND))
            },
        ));
    }
    findings.push(finding(
        "newuidmap",
        if patient.has_newuidmap {
            Ok("found".into())
        } else {
            Err(("not found in PATH".into(), "sudo apt-get install uidmap"))
        },
    ));
    findings.push(finding(
        "ids of a build",
        match patient.ids {
            Ok(ids) if ids.is_single() => Err((format!("{ids}: root is the only user"), MEND)),
            Ok(ids) => Ok(ids.to_string()),
            Err(e) => Err((e.to_string(), "")),
        },
    ));
    findings
}

fn reflink(dir: &Path) -> Finding {
    let result = tempfile::tempfile_in(dir).and_then(|mut from| {
        std::io::Write::write_all(&mut from, b"x")?;
        let to = tempfile::tempfile_in(dir)?;
        sys::clone_file(&from, &to)
    });
    // Its absence costs time and space only.
    finding(
        "reflink",
        Ok(match result {
            Ok(()) => "files of the cache share their data".to_string(),
            Err(_) => "this filesystem has none: files are copied (btrfs and xfs have it)".to_string(),
        }),
    )
}

fn platforms(facts: &Facts, dirs: &[PathBuf]) -> Vec<Finding> {
    let found: Vec<Emulator> = emulators::find(dirs);
    ["amd64", "arm64", "arm/v7", "arm/v6", "arm/v5"]
        .iter()
        .filter_map(|name| Platform::parse(&format!("linux/{name}"), &emulators::host_platform()).ok())
        .map(|platform| {
            let what = format!("platform {platform}");
            match emulators::choose(&platform, facts, &found, dirs) {
                Ok(crate::Emulation::None) => finding(&what, Ok("runs natively".into())),
                Ok(crate::Emulation::Private { qemu, target }) => {
                    finding(&what, Ok(format!("{} as {}", qemu.display(), target.cpu)))
                }
                Ok(crate::Emulation::Registered) => {
                    finding(&what, Ok("the machine's own registration, with its CPU model".into()))
                }
                Err(e) => finding(&what, Err((e.to_string(), "sudo apt-get install qemu-user-static"))),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_releases() {
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version("5.10"), Some((5, 10)));
        assert_eq!(version("odd"), None);
    }
}
