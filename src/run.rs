//! `routerpack run`: an archive, started here as it would be on the router.

use std::{io::IsTerminal, os::fd::AsFd, path::PathBuf, process::ExitCode, sync::Arc};

use routerpack_builder::{Builder, Cache, Strata, container::Container, events::Silent};
use routerpack_graph::{ImageConfig, Platform};
use routerpack_sandbox::{Network as SandboxNetwork, Status, Streams};
use routerpack_sources::Store;

use crate::{
    args::{Cli, Network, RunArgs},
    failure::Failure,
    machine::{self, SignalWatch},
};

/// Runs it; the exit code is the command's.
pub fn run(cli: &Cli, args: &RunArgs) -> Result<ExitCode, Failure> {
    let volumes = args.volume.iter().map(|v| volume(v)).collect::<Result<Vec<_>, _>>()?;
    let can_chown = machine::become_root()?;
    let watch = SignalWatch::start()?;
    let cache = Arc::new(Cache::open(&machine::cache_dir(cli)?).map_err(Failure::new)?);
    let config = machine::cached_sources(&cache, &[]);
    let store = Store::open(&args.archive, None, &config).map_err(Failure::new)?;
    let wanted = match &args.platform {
        Some(text) => Platform::parse(text, &machine::platform()).map_err(Failure::usage)?,
        None => machine::platform(),
    };
    let image = store.image(None, None, &wanted).map_err(Failure::new)?;
    // An archive for a router holds one image: its own platform is the one to run.
    let platform = if args.platform.is_some() { wanted } else { image.platform.clone() };

    let events = Arc::new(Silent);
    let host = machine::host(&cache);
    let strata = Arc::new(Strata::new(cache, events.clone(), can_chown, watch.interrupt.clone()));
    let rootfs = strata.offer(&image);
    let builder = Builder {
        host,
        strata,
        registry: machine::registry(&config)?,
        web: machine::web(&config)?,
        git: machine::git(&config),
        events,
    };
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let container = Container {
        args: command(args, &image.config)?,
        env: environment(args, &image.config),
        cwd: args.workdir.clone().unwrap_or_else(|| or_root(&image.config.config.working_dir)),
        user: args.user.clone().unwrap_or_else(|| image.config.config.user.clone()),
        platform,
        network: match args.network {
            Network::Default | Network::Host => SandboxNetwork::Default,
            Network::None => SandboxNetwork::None,
        },
        volumes,
        terminal,
    };
    let copy = |fd: std::os::fd::BorrowedFd| {
        fd.try_clone_to_owned().map_err(|e| Failure::new(format!("copy a standard stream: {e}")))
    };
    let streams = Streams {
        stdin: Some(copy(std::io::stdin().as_fd())?),
        stdout: copy(std::io::stdout().as_fd())?,
        stderr: copy(std::io::stderr().as_fd())?,
    };
    let status = builder.run(&rootfs, &container, streams, &watch.interrupt).map_err(Failure::new)?;
    if let Some(interrupted) = watch.failure() {
        return Err(interrupted);
    }
    if status.illegal_instruction() {
        eprintln!(
            "note: it died of an instruction that {} does not have, as it would on the router: it is built for a newer CPU",
            container.platform
        );
    }
    Ok(match status {
        Status::Exited(code) => ExitCode::from(code as u8),
        Status::Signaled(_) => ExitCode::from(status.code() as u8),
    })
}

fn or_root(dir: &str) -> String {
    if dir.is_empty() { "/".into() } else { dir.into() }
}

fn command(args: &RunArgs, config: &ImageConfig) -> Result<Vec<String>, Failure> {
    let entrypoint = match &args.entrypoint {
        Some(given) if given.is_empty() => Vec::new(),
        Some(given) => vec![given.clone()],
        None => config.config.entrypoint.clone(),
    };
    // As docker run: another entrypoint makes the image's CMD meaningless.
    let default = if args.entrypoint.is_some() { Vec::new() } else { config.config.cmd.clone() };
    let rest = if args.command.is_empty() { default } else { args.command.clone() };
    let all: Vec<String> = entrypoint.into_iter().chain(rest).collect();
    if all.is_empty() {
        return Err(Failure::new(
            "the image has neither ENTRYPOINT nor CMD\n  name a command: routerpack run ARCHIVE COMMAND\n  (a router would say: no command specified, set cmd or entrypoint)",
        ));
    }
    Ok(all)
}

/// The image's variables, PATH and TERM where it has none, then those of the command line.
fn environment(args: &RunArgs, config: &ImageConfig) -> Vec<String> {
    let mut env = config.config.env.clone();
    let has = |env: &[String], key: &str| env.iter().any(|e| e.split('=').next() == Some(key));
    if !has(&env, "PATH") {
        env.push("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    }
    if !has(&env, "TERM")
        && let Some(term) = machine::variable("TERM")
    {
        env.push(format!("TERM={term}"));
    }
    for given in &args.env {
        let (key, value) = match given.split_once('=') {
            Some((key, value)) => (key, Some(value.to_string())),
            None => (given.as_str(), machine::variable(given)),
        };
        env.retain(|e| e.split('=').next() != Some(key));
        env.extend(value.map(|value| format!("{key}={value}")));
    }
    env
}

fn volume(given: &str) -> Result<(PathBuf, String, bool), Failure> {
    let fail = |why: &str| Failure::usage(format!("--volume {given}: {why}"));
    let parts: Vec<&str> = given.split(':').collect();
    let (from, to, readonly) = match parts[..] {
        [from, to] | [from, to, "rw"] => (from, to, false),
        [from, to, "ro"] => (from, to, true),
        _ => return Err(fail("expected SRC:DST or SRC:DST:ro")),
    };
    if !to.starts_with('/') {
        return Err(fail("the place in the container must be an absolute path"));
    }
    let from = std::path::Path::new(from).canonicalize().map_err(|e| fail(&format!("{from}: {e}")))?;
    Ok((from, to.to_string(), readonly))
}
