//! `--load`: hands an archive to docker, or to podman where no docker answers.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::failure::Failure;

/// Loads a docker-archive; returns the name of the program that took it.
pub fn load(archive: &Path) -> Result<&'static str, Failure> {
    let mut reasons = Vec::new();
    for program in ["docker", "podman"] {
        match answers(program) {
            Ok(()) => {
                let mut command = Command::new(program);
                // Its own words go to standard error: standard output holds results only.
                let output = command.args(["load", "-i"]).arg(archive).stdin(Stdio::null()).output();
                let output = output.map_err(|e| Failure::new(format!("{program} load: {e}")))?;
                if output.status.success() {
                    return Ok(program);
                }
                let words = String::from_utf8_lossy(&output.stderr);
                return Err(Failure::new(format!("{program} load did not take the image: {}", words.trim())));
            }
            Err(reason) => reasons.push(format!("{program}: {reason}")),
        }
    }
    Err(Failure::new(format!(
        "--load: neither docker nor podman can take the image\n  {}\n  start one of them, or write an archive with -o type=docker,dest=FILE",
        reasons.join("\n  ")
    )))
}

fn answers(program: &str) -> Result<(), String> {
    let output = Command::new(program).arg("info").stdin(Stdio::null()).output();
    match output {
        Err(_) => Err("it is not installed".into()),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr);
            Err(words.lines().last().unwrap_or("it does not answer").trim().to_string())
        }
    }
}
