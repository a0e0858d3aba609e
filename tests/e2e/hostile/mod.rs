//! Archives that were made to do harm, set before every subcommand that reads one: a clear error or a safe result, in
//! bounded memory and time, and nothing written where it wasn't asked for.

mod entries;
mod images;
mod sizes;

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::support::{Archive, Outcome, World, assert_none, leftovers, run, tool};

/// Memory that the program may take, whatever an archive of few entries says (`RLIMIT_DATA`, which counts what may be
/// written, not what is mapped). What asks for more is killed, which fails the test.
const MEMORY: u64 = 128 << 20;
/// The time that one run may take, on a slow machine with other tests beside it.
const TIME: Duration = Duration::from_secs(60);

/// What is to become of an archive.
enum Fate {
    /// `convert` says this and writes nothing.
    Refused(&'static str),
    /// `convert` makes an archive of these paths, and nothing is wrong with it.
    Safe(&'static [&'static str]),
}

/// The program within bounds.
fn bounded(world: &World, memory: u64, arguments: &[&str]) -> Outcome {
    let plain = world.command();
    let mut command: Command = tool("prlimit");
    command.arg(format!("--data={memory}")).arg("--core=0").arg(plain.get_program()).args(arguments);
    command.env_clear().current_dir(world.path(""));
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let start = Instant::now();
    let outcome = run(&mut command);
    assert!(start.elapsed() < TIME, "{:?}: {outcome}", start.elapsed());
    // 101 is a panic, none is a signal: out of memory, say
    assert!(outcome.code.is_some_and(|code| code != 101), "{outcome}");
    assert!(!outcome.stderr.contains("panicked"), "{outcome}");
    let control = |text: &str| text.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
    assert!(!control(&outcome.stderr), "the terminal gets what the archive says: {outcome:?}");
    outcome
}

/// Sets a file, or an OCI layout's directory, before everything; nothing but what is asked for may be written.
fn endure(world: &World, name: &str, file: &str, fate: &Fate) {
    let clear = || {
        for made in ["out.tar", "fixed.tar", "again.tar"] {
            let _ = fs::remove_file(world.path(made));
        }
        let _ = fs::remove_dir_all(world.path("got"));
    };
    clear();
    let converted = bounded(world, MEMORY, &["convert", "--quiet", file, "-o", "out.tar"]);
    match fate {
        Fate::Refused(word) => {
            assert_eq!(converted.code, Some(1), "{name}: {converted}");
            assert!(converted.stderr.contains(word), "{name}: no `{word}`: {converted}");
            assert!(converted.stderr.len() < 4096, "{name}: {} bytes of error", converted.stderr.len());
            assert!(!world.path("out.tar").exists(), "{name}: an output");
        }
        Fate::Safe(paths) => {
            let converted = converted.success();
            let entries = Archive::read(&world.path("out.tar")).entries();
            assert_eq!(entries.keys().map(String::as_str).collect::<Vec<_>>(), *paths, "{name}: {converted}");
            let report = bounded(world, MEMORY, &["check", "--format=json", "out.tar"]);
            for rule in ["damaged", "unsafe", "duplicate", "digest", "diff-ids", "entry-types", "hard-link-order"] {
                assert!(!report.text().contains(&format!("{rule}\"")), "{name}: {report}");
            }
        }
    }
    let is_file = world.path(file).is_file();
    if is_file {
        let checked = bounded(world, MEMORY, &["check", file]);
        let is_found = ["error[", "warning["].iter().any(|weight| checked.text().contains(weight));
        assert!(is_found || matches!(fate, Fate::Safe(_)), "{name}: check is content: {checked}");
        assert!(checked.text().len() < 64 << 10, "{name}: {} bytes of report", checked.text().len());
        let mended = bounded(world, MEMORY, &["check", "--fix", "-o", "fixed.tar", file]);
        assert!(mended.code == Some(2) || world.path("fixed.tar").exists(), "{name}: {mended}");
        if world.path("fixed.tar").exists() {
            bounded(world, MEMORY, &["convert", "fixed.tar", "-o", "again.tar"]).success();
        }
    }
    for arguments in [
        &["inspect", file][..],
        &["history", file],
        &["ls", "-R", "-l", file, "/"],
        &["cat", file, "/app"],
        &["cp", &format!("{file}:/"), "got"],
    ] {
        let outcome = bounded(world, MEMORY, arguments);
        assert!(outcome.code.is_some_and(|code| code < 3), "{name}: {outcome}");
    }
    clear();
}

/// A world with a directory beside it in which nothing may ever appear, and that directory.
fn guarded() -> (World, std::path::PathBuf) {
    let world = World::new();
    let outside = world.root().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "kept").unwrap();
    (world, outside)
}

/// Nothing came, nothing changed, nothing is left.
fn assert_untouched(world: &World, outside: &Path) {
    let there: Vec<_> = fs::read_dir(outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(there, ["kept"]);
    assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "kept");
    assert_none("files are left", &leftovers::files(world));
}
