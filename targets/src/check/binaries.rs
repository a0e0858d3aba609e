//! Programs and libraries against the platform: machine, ARM version, page size, loader, libraries.
//!
//! What the container's command is and pulls in counts in full. Any other program may never run, so it is at most
//! a warning; a library that nothing needs is not looked into.

use std::collections::{BTreeMap, BTreeSet};

use routerpack_rootfs::path;

use super::{Subject, command::Start, report::Findings};
use crate::{
    elf::{
        self, Facts,
        loader::{Closure, Loader, Missing},
    },
    rules::Severity,
};

/// Pages that CPUs may have where the rule applies.
const PAGE: u64 = 0x10000;
/// The CPU with larger pages.
const LARGE_PAGES: &str = "AL73400";
/// Programs whose libraries are followed.
const MAX_PROGRAMS: usize = 5000;

/// Judges all of them; bytes of the command's files, its loader and libraries.
pub(super) fn check(subject: &Subject, start: Option<&Start>, findings: &mut Findings) -> u64 {
    let tree = subject.tree;
    let all = &subject.programs.elf;
    let place = |file: &[u8]| format!("/{}", path::show(file));
    for (file, why) in &subject.programs.damaged {
        let limit = if is_start(start, file) { Severity::Error } else { Severity::Info };
        findings.at_most(limit, "elf-machine", place(file), format!("a damaged ELF file: {why}"));
    }
    for (file, why) in &subject.programs.unread {
        findings.add("not-examined", place(file), format!("a file could not be read: {why}"));
    }
    let loader = Loader::new(tree, all, &subject.config.config.env);
    let mut vital: BTreeSet<Vec<u8>> = BTreeSet::new();
    for file in start.iter().flat_map(|s| &s.files) {
        vital.insert(file.clone());
        let closure = loader.closure(file);
        missing(file, all, &loader, &closure, Severity::Error, findings);
        vital.extend(closure.found);
    }
    let programs = all.iter().filter(|(file, facts)| facts.interpreter.is_some() && !is_start(start, file));
    for (file, facts) in programs.take(MAX_PROGRAMS) {
        // What can't run here at all is told once, by its machine.
        if facts.is_for(&subject.platform.architecture) {
            missing(file, all, &loader, &loader.closure(file), Severity::Warning, findings);
        }
    }
    for (file, facts) in all {
        let limit = if vital.contains(file) { Severity::Error } else { Severity::Warning };
        judge(subject, file, facts, limit, findings);
    }
    let size = |file: &Vec<u8>| tree.index.get(file).map_or(0, |e| e.size);
    vital.iter().map(size).sum()
}

fn is_start(start: Option<&Start>, file: &[u8]) -> bool {
    start.is_some_and(|s| s.files.iter().any(|f| f == file))
}

/// One file against the platform.
fn judge(subject: &Subject, file: &[u8], facts: &Facts, limit: Severity, findings: &mut Findings) {
    let platform = &subject.platform;
    let place = format!("/{}", path::show(file));
    if !facts.is_for(&platform.architecture) {
        findings.at_most(
            limit,
            "elf-machine",
            place,
            format!("a program or library for {}, not for {platform}", facts.machine_name()),
        );
        return;
    }
    match (platform.architecture.as_str(), platform.variant.as_str()) {
        ("arm", "v5") => match elf::beyond_v5(facts) {
            Some(why) if elf::chooses(facts) => {
                let message = format!("{why}, but has functions for several CPUs and takes those that fit");
                findings.at_most(Severity::Info, "arm-v5", place, message);
            }
            Some(why) => findings.at_most(limit, "arm-v5", place, why),
            None if facts.attributes.is_none() && facts.goarm.is_none() => {
                findings.at_most(Severity::Info, "arm-v5", place, "says nothing about the CPU that it needs");
            }
            None => {}
        },
        ("arm", _) => {
            if let Some(cpu) = facts.attributes.map(|a| a.cpu).filter(|cpu| *cpu >= 14) {
                findings.at_most(
                    limit,
                    "elf-machine",
                    place,
                    format!("built for {}, newer than {platform}", elf::cpu_name(cpu)),
                );
            }
        }
        ("arm64", _) if subject.options.device.is_none_or(|d| d.cpu == LARGE_PAGES) => {
            if let Some(align) = facts.align.filter(|align| *align < PAGE) {
                let message =
                    format!("aligned to {} KiB: may fail on CPUs with larger pages ({LARGE_PAGES})", align / 1024);
                findings.at_most(limit, "page-align", place, message);
            }
        }
        _ => {}
    }
}

/// A program's loader and libraries.
fn missing(
    file: &[u8],
    all: &BTreeMap<Vec<u8>, Facts>,
    loader: &Loader,
    closure: &Closure,
    limit: Severity,
    findings: &mut Findings,
) {
    let Some(facts) = all.get(file) else { return };
    let place = format!("/{}", path::show(file));
    if let Some(interpreter) = &facts.interpreter
        && loader.file(interpreter).is_none()
    {
        let name = super::command::shown(interpreter);
        findings.at_most(limit, "elf-interpreter", place, format!("the dynamic loader {name} is not in the image"));
        return; // its libraries are those of the same distribution
    }
    for Missing { name, by, uncached } in &closure.missing {
        let name = super::command::shown(name);
        let by = if by == file { String::new() } else { format!(" (needed by /{})", path::show(by)) };
        let message = match uncached {
            None => format!("the library {name} is nowhere that the loader looks{by}"),
            Some(found) => format!(
                "the library {name} is /{}, but the loader's cache does not know it{by}: run ldconfig",
                path::show(found)
            ),
        };
        findings.at_most(limit, "elf-libraries", &place, message);
    }
}
