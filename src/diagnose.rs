//! `routerpack diagnose`.

use std::{
    io::{IsTerminal, Read},
    process::ExitCode,
};

use anstyle::{Effects, Style};
use routerpack_targets::diagnose::{self as dictionary, MAX_TEXT};

use crate::{args::DiagnoseArgs, explain, failure::Failure};

const BOLD: Style = Style::new().effects(Effects::BOLD);

/// Prints what the text means. Ends with 1 where nothing of it is known.
pub fn diagnose(args: &DiagnoseArgs) -> Result<ExitCode, Failure> {
    let profile = explain::profile(&args.routeros)?;
    let text = if args.text.is_empty() { from_stdin()? } else { args.text.join(" ") };
    let found = dictionary::diagnose(&text, profile);
    if found.is_empty() {
        return Err(Failure::new(
            "nothing of this is known\n  the router's own words help: /log/print where topics~\"container\"\n  and `routerpack check ARCHIVE` looks for what is known to fail",
        ));
    }
    for (at, hit) in found.iter().enumerate() {
        if at > 0 {
            anstream::println!();
        }
        anstream::println!("{BOLD}{}{BOLD:#}", hit.line);
        anstream::println!("  seen on: {}", hit.failure.seen);
        if !hit.in_version {
            anstream::println!("  (not reported on {profile}: the cause may be another there)");
        }
        for cause in &hit.causes {
            anstream::println!("  - {}", cause.cause);
            anstream::println!("    known by: {}", cause.evidence);
            anstream::println!("    try: {}", cause.cure);
            if !cause.rules.is_empty() {
                anstream::println!("    more: routerpack explain {}", cause.rules.join(" | "));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn from_stdin() -> Result<String, Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::usage("give what the router said: routerpack diagnose 'TEXT', or on standard input"));
    }
    let mut bytes = Vec::new();
    let read = stdin.lock().take(MAX_TEXT as u64).read_to_end(&mut bytes);
    read.map_err(|e| Failure::new(format!("read standard input: {e}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
