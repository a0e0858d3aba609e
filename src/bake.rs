//! `--bake-command`: the image's command in a script of the image.
//!
//! RouterOS' fields for a command are split at spaces and know no quoting, so `sh -c "a b"` can't be said in them. A
//! script can say it, and the script's own name has no space.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use routerpack_graph::{ImageConfig, image::RunConfig};
use routerpack_rootfs::{
    Kind, Stratum, Tree,
    scan::{Owners, ScanOptions, scan},
};
use tempfile::TempDir;

use crate::failure::Failure;

/// The script's name at the root of the image.
const SCRIPT: &str = "routerpack-command";

/// The image's entrypoint and arguments become a script, and that its entrypoint. Gives what is to be laid on top; the
/// directory has to live as long as it is read.
pub fn bake(tree: &Tree, config: &mut ImageConfig) -> Result<(Stratum, TempDir), Failure> {
    let run = &mut config.config;
    let own = format!("/{SCRIPT}");
    let fail = |why: &str| Failure::new(format!("--bake-command: {why}"));
    if run.entrypoint.first() == Some(&own) {
        return Err(fail("it is baked in already"));
    }
    if run.entrypoint.is_empty() && run.cmd.is_empty() {
        return Err(fail("the image has no command; give it one with --change 'CMD …'"));
    }
    let shell = tree.resolve(b"/bin/sh", true).map_err(Failure::new)?;
    if tree.index.get(&shell).is_none_or(|e| e.kind != Kind::File || e.mode & 0o111 == 0) {
        return Err(fail("the image has no /bin/sh that could run a script"));
    }
    if tree.index.get(SCRIPT.as_bytes()).is_some() {
        return Err(fail(&format!("{own} is in the image already, and not as its command")));
    }
    let dir = tempfile::tempdir().map_err(|e| Failure::new(format!("make a temporary directory: {e}")))?;
    let path = dir.path().join(SCRIPT);
    let write =
        fs::write(&path, script(run)).and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
    write.map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
    let root = dir.path().canonicalize().map_err(Failure::new)?;
    let index = scan(&root, ScanOptions { owners: Owners::Root, ..ScanOptions::default() }).map_err(Failure::new)?;
    run.entrypoint = vec![own];
    run.cmd = Vec::new();
    Ok((Stratum::Dir { root, index: Arc::new(index) }, dir))
}

/// Runs the same argv as the config: arguments given from outside take the place of CMD, as they would.
fn script(run: &RunConfig) -> String {
    let words = |argv: &[String]| argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    let default = match run.cmd.is_empty() {
        true => String::new(),
        false => format!("[ $# -gt 0 ] || set -- {}\n", words(&run.cmd)),
    };
    let entrypoint = match run.entrypoint.is_empty() {
        true => String::new(),
        false => words(&run.entrypoint) + " ",
    };
    format!("#!/bin/sh\n{default}exec {entrypoint}\"$@\"\n")
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What a shell makes of the script, with `printf` as the program.
    fn run(entrypoint: &[&str], cmd: &[&str], given: &[&str]) -> String {
        let strings = |words: &[&str]| words.iter().map(|w| w.to_string()).collect::<Vec<_>>();
        let run = RunConfig { entrypoint: strings(entrypoint), cmd: strings(cmd), ..RunConfig::default() };
        let out = Command::new("/bin/sh").arg("-c").arg(script(&run)).arg("sh").args(given).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    #[test]
    fn the_script_runs_the_same_argv() {
        let odd = ["a b; c", "", "it's", "\"$x\" `y` \\", "new\nline", "*", "é"];
        let shown: String = odd.iter().map(|w| format!("<{w}>")).collect();
        let print = ["printf", "<%s>"];
        assert_eq!(run(&print, &odd, &[]), shown);
        assert_eq!(run(&[&print[..], &odd].concat(), &[], &[]), shown);
        assert_eq!(run(&[], &[&print[..], &odd].concat(), &[]), shown);
        assert_eq!(run(&print, &odd, &["given"]), "<given>");
    }
}
