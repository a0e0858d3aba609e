//! `routerpack emulators`.

use std::process::ExitCode;

use routerpack_sandbox::emulators;

use crate::{failure::Failure, machine};

/// Prints a line a platform: what runs it, and where that is.
pub fn emulators() -> Result<ExitCode, Failure> {
    let host = machine::platform();
    println!("{:<16} native", host.to_string());
    let found = emulators::find(&machine::emulator_dirs());
    for emulator in &found {
        for platform in emulator.platforms().iter().filter(|p| **p != host) {
            let note = if emulator.is_static { "" } else { "  (dynamically linked: can't be used inside an image)" };
            println!("{:<16} {}{note}", platform.to_string(), emulator.path.display());
        }
    }
    if found.is_empty() {
        println!("no emulator was found\n  sudo apt-get install qemu-user-static");
    }
    Ok(ExitCode::SUCCESS)
}
