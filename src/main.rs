//! The program: reads the command line, wires frontends, builder and targets, prints.

mod agent;
mod args;
mod bake;
mod blame;
mod build;
mod cache;
mod call;
mod cat;
mod check;
mod columns;
mod commit;
mod context;
mod convert;
mod cp;
mod devices;
mod diagnose;
mod diff;
mod doctor;
mod durable;
mod emulators;
mod explain;
mod facts;
mod failure;
mod fetcher;
mod flags;
mod history;
mod inspect;
mod lint;
mod load;
mod ls;
mod machine;
mod made;
mod notice;
mod outline;
mod output;
mod pack;
mod progress;
mod recipe;
mod resolver;
mod router;
mod run;
mod share;
mod size;
mod slim;
mod source;

mod template;
mod told;
mod verdict;

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
        Command::Graph(args) => build::graph(&cli, args),
        Command::Convert(args) => convert::convert(&cli, args),
        Command::Inspect(args) => inspect::inspect(&cli, args),
        Command::History(args) => history::history(&cli, args),
        Command::Ls(args) => ls::ls(&cli, args),
        Command::Cat(args) => cat::cat(&cli, args),
        Command::Diff(args) => diff::diff(&cli, args),
        Command::Size(args) => size::size(&cli, args),
        Command::Cp(args) => cp::cp(&cli, args),
        Command::Commit(args) => commit::commit(&cli, args),
        Command::Run(args) => run::run(&cli, args),
        Command::Recipe(args) => recipe::recipe(&cli, args),
        Command::Cache(args) => cache::cache(&cli, args),
        Command::Doctor => doctor::doctor(&cli),
        Command::Emulators => emulators::emulators(),
        Command::Check(args) => check::check(args),
        Command::Explain(args) => explain::explain(args),
        Command::Diagnose(args) => diagnose::diagnose(args),
        Command::Devices(args) => devices::devices(args),
    };
    result.unwrap_or_else(|failure| failure.report())
}
