//! The program: reads the command line, wires frontends, builder and targets, prints.

mod args;
mod build;
mod convert;
mod doctor;
mod emulators;
mod excerpt;
mod failure;
mod flags;
mod load;
mod machine;
mod output;
mod pack;
mod progress;
mod resolver;
mod run;
mod source;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    // A step's runner is this program again: it never comes back from here.
    routerpack_sandbox::runner::hook();
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Build(args) => build::build(&cli, args),
        Command::Convert(args) => convert::convert(&cli, args),
        Command::Run(args) => run::run(&cli, args),
        Command::Doctor => doctor::doctor(&cli),
        Command::Emulators => emulators::emulators(),
    };
    result.unwrap_or_else(|failure| failure.report())
}
