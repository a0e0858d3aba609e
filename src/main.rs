//! The program: reads the command line, wires frontends, builder and targets, prints.

mod args;
mod build;
mod doctor;
mod durable;
mod emulators;
mod excerpt;
mod failure;
mod flags;
mod load;
mod machine;
mod output;
mod progress;
mod recipe;
mod resolver;
mod run;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    // A step's runner is this program again: it never comes back from here.
    routerpack_sandbox::runner::hook();
    durable::hook();
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Build(args) => build::build(&cli, args),
        Command::Run(args) => run::run(&cli, args),
        Command::Recipe(args) => recipe::recipe(&cli, args),
        Command::Doctor => doctor::doctor(&cli),
        Command::Emulators => emulators::emulators(),
    };
    result.unwrap_or_else(|failure| failure.report())
}
