//! `routerpack convert`: any image as an archive that a router imports, without a Dockerfile.

use std::{path::Path, process::ExitCode, sync::Arc};

use routerpack_sources::PullPolicy;
use routerpack_targets::Format;

use crate::{
    args::{Cli, ConvertArgs},
    durable,
    failure::Failure,
    machine::{self, SignalWatch},
    output::{Dest, Output},
    pack::{self, Packing},
    progress::{Mode, Progress},
    router::Router,
    slim::Passes,
    source::{Opener, Source},
};

/// Opens, packs, and says what to type next.
pub fn convert(cli: &Cli, args: &ConvertArgs) -> Result<ExitCode, Failure> {
    let output = Output::parse(args.result.output.as_deref(), "image").map_err(Failure::usage)?;
    if args.result.router.device.as_deref() == Some("-") && args.source == "-" {
        return Err(Failure::usage("standard input can be read for one thing only: the image or --for"));
    }
    let router = Router::read(&args.result.router)?;
    let wanted = router.platform(args.platform.as_deref())?;
    let epoch = pack::epoch()?;
    let passes = Passes::new(&args.result.slim, args.result.layers)?;
    if output.format == Format::Local && !args.result.load {
        machine::become_root()?; // its files get their owners
    }
    let progress = Arc::new(Progress::new(if args.result.quiet { Mode::Quiet } else { args.result.progress }));
    let mut opener = Opener::new(&machine::cache_dir(cli)?, progress.clone(), wanted)?;
    let limit = machine::cache_limit(cli, opener.strata.cache().dir())?;
    opener.config = machine::cached_sources(opener.strata.cache(), &args.result.insecure_registry);
    opener.pull = if args.result.pull { PullPolicy::Always } else { PullPolicy::Missing };
    let source = opener.open(&args.source)?;
    let output = named(output, args, &source)?;
    // Layers come in before the watch begins: until then nothing is half done that a signal could leave behind.
    opener.strata.tree(&source.rootfs).map_err(Failure::new)?;

    let watch = SignalWatch::start()?;
    let rootfs = passes.apply(&source.rootfs, &source.config, epoch, &opener.strata, &progress, &watch)?;
    let tags = source.names(&args.tag);
    let packing = Packing {
        output: &output,
        load: args.result.load,
        layers: passes.layers(args.result.layers),
        tags: &tags,
        tags_given: !args.tag.is_empty(),
        router: &router,
        fail_on: args.result.fail_on,
        epoch,
        strata: &opener.strata,
        blobs: &opener.blobs,
        progress: &progress,
        watch: &watch,
    };
    let summary = packing.pack(&rootfs, &source.config, &source.platform)?;
    if args.result.quiet {
        println!("{}", summary.image_id.as_ref().map_or_else(String::new, |id| id.to_string()));
    }
    durable::later(opener.strata.cache(), limit);
    Ok(ExitCode::SUCCESS)
}

/// Without a name given, the source's; but never the source's own file.
fn named(parsed: Output, args: &ConvertArgs, source: &Source) -> Result<Output, Failure> {
    let Output { dest: Dest::Path(_), format } = &parsed else { return Ok(parsed) };
    if *format == Format::Local {
        return Ok(parsed);
    }
    let is_file = Path::new(&args.source).exists() || args.source.contains("-archive:");
    let name = if is_file { format!("{}-routeros", source.stem) } else { source.stem.clone() };
    Output::parse(args.result.output.as_deref(), &name).map_err(Failure::usage)
}
