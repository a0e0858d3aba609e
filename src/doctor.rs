//! `routerpack doctor`.

use std::{os::unix::fs::MetadataExt, process::ExitCode};

use anstyle::{AnsiColor, Style};
use routerpack_builder::Cache;
use routerpack_sandbox::{doctor, enter};

use crate::{args::Cli, failure::Failure, machine};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Prints what works here, what doesn't, and what to type. Ends with 1 if something is amiss.
pub fn doctor(cli: &Cli) -> Result<ExitCode, Failure> {
    let uid = std::fs::metadata("/proc/self").map_or(0, |m| m.uid());
    let name = machine::user_name();
    let has_newuidmap = machine::path_dirs().iter().any(|dir| dir.join("newuidmap").exists());
    let ids = enter::enter(name.as_deref());
    let cache = Cache::open(&machine::cache_dir(cli)?).map_err(Failure::new)?;
    let dirs = machine::emulator_dirs();
    let findings = doctor::examine(&doctor::Patient {
        cache_dir: cache.dir(),
        emulator_dirs: &dirs,
        ids: &ids,
        uid,
        name: name.as_deref(),
        has_newuidmap,
    });
    for finding in &findings {
        let (style, mark) = if finding.ok { (GOOD, "✔") } else { (BAD, "✘") };
        anstream::println!("{style}{mark}{style:#} {}: {}", finding.what, finding.detail);
        if let Some(mend) = finding.mend.as_ref().filter(|_| !finding.ok) {
            anstream::println!("    {mend}");
        }
    }
    Ok(ExitCode::from(u8::from(findings.iter().any(|f| !f.ok))))
}
