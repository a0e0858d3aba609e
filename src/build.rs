//! `routerpack build`.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use routerpack_builder::{Builder, Built, Cache, Request, Secret, Strata, request};
use routerpack_frontends::dockerfile::{
    Diagnostic, Dockerfile,
    lower::{self, Context, Lowered, Options},
    parse_bool,
};
use routerpack_graph::{Definition, ImageConfig, Platform, exec, pb, show};
use routerpack_sources::PullPolicy;
use routerpack_targets::profile::Profile;

use crate::{
    agent,
    args::{
        Allow, BuildArgs, BuildCommand, Cli, EmulationMode, GraphArgs, GraphFormat, Network, OnFailure, ReportFormat,
    },
    blame::Scene,
    call::{self, Call, Linting, Method},
    context::{self, Kinds, Opened, Opener, Source},
    durable,
    failure::Failure,
    fetcher::{self, Fetcher},
    flags, lint,
    machine::{self, SignalWatch},
    notice::{self, Notice},
    output::{Dest, Output},
    pack::{self, Packing},
    progress::{Mode, Progress},
    resolver::SourceResolver,
    router::Router,
    share,
    slim::Passes,
};

/// The argument that sets all times.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// Builds, writes, and says what to type next.
pub fn build(cli: &Cli, command: &BuildCommand) -> Result<ExitCode, Failure> {
    let args = &command.build;
    let progress = progress(args);
    let form = match command.format {
        ReportFormat::Text => return run(cli, args, None, false, &progress),
        form => form,
    };
    let result = agree(args).and_then(|()| run(cli, args, None, true, &progress));
    let code = result.unwrap_or_else(|failure| {
        let (code, notices) = failure.told();
        notices.into_iter().for_each(|notice| progress.told.keep(notice));
        code
    });
    let value = match form {
        ReportFormat::Sarif => progress.told.sarif(),
        _ => progress.told.json(code == ExitCode::SUCCESS),
    };
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{value:#}").and_then(|()| out.flush());
    written.map_err(|e| Failure::new(format!("write to standard output: {e}")))?;
    Ok(code)
}

/// Refuses what would share standard output with `--format json` and `sarif`.
fn agree(args: &BuildArgs) -> Result<(), Failure> {
    let output = Output::parse(args.result.output.as_deref(), "image").map_err(Failure::usage)?;
    if matches!(output.dest, Dest::Stdout) && !args.check {
        return Err(Failure::usage("--format writes to standard output, and so does this --output: name a file"));
    }
    let Call { method, json, .. } = args.call;
    match method {
        Method::Outline | Method::Targets | Method::Describe => Err(Failure::usage(
            "--format is about errors and warnings; what --call lists comes as JSON with --call=METHOD,format=json",
        )),
        _ if json => Err(Failure::usage("--call=…,format=json is BuildKit's JSON, --format another one: choose one")),
        _ => Ok(()),
    }
}

fn progress(args: &BuildArgs) -> Arc<Progress> {
    Arc::new(Progress::new(if args.result.quiet { Mode::Quiet } else { args.result.progress }))
}

/// `routerpack graph`: what a build would execute, and nothing of it done.
pub fn graph(cli: &Cli, args: &GraphArgs) -> Result<ExitCode, Failure> {
    run(cli, &args.build, Some(args.format), false, &progress(&args.build))
}

/// With `as_data`, standard output is left to what was told.
fn run(
    cli: &Cli,
    args: &BuildArgs,
    shown: Option<GraphFormat>,
    as_data: bool,
    progress: &Arc<Progress>,
) -> Result<ExitCode, Failure> {
    let kind = Kinds::of(&args.context)?;
    let name = kind.base_name();
    let output = Output::parse(args.result.output.as_deref(), &name).map_err(Failure::usage)?;
    let flags = Flags::read(args)?;
    let passes = Passes::new(&args.result.slim, args.result.layers)?;
    if args.result.router.device.as_deref() == Some("-") && context::takes_stdin(args) {
        return Err(Failure::usage(
            "standard input can be read for one thing only: the context, the Dockerfile or --for",
        ));
    }
    let router = Router::read(&args.result.router)?;
    let platform = router.platform(args.platform.as_deref())?;
    let can_chown = machine::become_root()?;
    let watch = SignalWatch::start()?;

    let cache = Arc::new(Cache::open(&machine::cache_dir(cli)?).map_err(Failure::new)?);
    let limit = machine::cache_limit(cli, cache.dir())?;
    let config = machine::cached_sources(&cache, &args.result.insecure_registry);
    let registry = machine::registry(&config)?;
    let pull = if args.result.pull { PullPolicy::Always } else { PullPolicy::Missing };
    let host = machine::host(&cache);
    let strata = Arc::new(Strata::new(cache.clone(), progress.clone(), can_chown, watch.interrupt.clone()));
    let (web, git) = (machine::web(&config)?, machine::git(&config));
    let (ssh, _agents) = agent::sockets(&flags.ssh)?;
    let builder = Arc::new(Builder { host, strata: strata.clone(), registry, web, git, events: progress.clone() });
    let fetcher = Arc::new(Fetcher {
        builder: builder.clone(),
        secrets: flags.secrets.clone(),
        ssh: ssh.clone(),
        pull,
        interrupt: watch.interrupt.clone(),
    });
    let outside = never(&output, &cache)?;
    let mut resolver = SourceResolver::new(fetcher.clone(), &args.build_context, &config).map_err(Failure::new)?;
    for local in resolver.locals.values_mut() {
        local.never = outside.clone();
    }
    let arg = |name: &str| flags.build_args.get(name).map(String::as_str).unwrap_or_default();
    let opener = Opener {
        args,
        fetcher: &fetcher,
        cache: &cache,
        never: outside,
        limit: config.limits.inflated,
        keep_git_dir: parse_bool(arg("BUILDKIT_CONTEXT_KEEP_GIT_DIR")) == Some(true),
        commit_mtime: !arg(EPOCH).is_empty(),
    };
    let opened = opener.open(&kind).map_err(|failure| watch.failure().unwrap_or(failure))?;
    if opened.locals.get("context").is_some_and(|l| l.never.iter().any(|p| p.starts_with(&l.dir) && p.is_file())) {
        progress.line("note: the output lies in the context's directory; it is not part of the context");
    }
    resolver.locals.extend(opened.locals.clone());

    for flag in args.unlimited.given() {
        progress.line(&format!(
            "warning: {flag} has no effect: steps are in no control group of their own, so nothing limits them\n  for a limit run the whole \
             build in one, for example: systemd-run --user --scope -p MemoryMax=2G routerpack build …"
        ));
    }
    if !can_chown {
        progress.line(
            "note: this user has no ids in /etc/subuid, so steps see root's only: chown and USER in RUN fail, owners of COPY and of \
             base images are kept in the archive all the same\n  more ids: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER",
        );
    }
    let mut options = options(args, &flags, &opened, &resolver, &builder.host.platform, platform);
    // It shows in the names of steps only: an output has one image, and says its platform in any case.
    let multi = arg("BUILDKIT_MULTI_PLATFORM");
    if !multi.is_empty() {
        let wrong = || Failure::usage(format!("--build-arg BUILDKIT_MULTI_PLATFORM={multi} is neither true nor false"));
        options.multi_platform = parse_bool(multi).ok_or_else(wrong)?;
    }
    let excludes = if let Context::Local { exclude, .. } = &opened.context { exclude.as_slice() } else { &[] };
    let method = if args.check { Method::Check } else { args.call.method };
    let linting = Linting::new(&resolver, excludes, method != Method::Build);
    if method != Method::Build {
        let call = Call { method, ..args.call };
        let told = as_data.then_some(&progress.told);
        return call::call(call, &opened.source, &options, &linting, router.profile, told);
    }
    let lowered = lower(&opened.source, &options, &linting, router.profile, progress)?;
    for warning in &lowered.warnings {
        progress.tell(Notice::of(notice::SYNTAX, &opened.source, warning));
    }
    for (name, near) in &lowered.unused_args {
        let message = format!("--build-arg {name} is given, but the Dockerfile has no ARG {name}");
        let help = match near {
            Some(near) => format!("did you mean {near}?"),
            None => format!("add `ARG {name}` to the stage that uses it, or leave it out"),
        };
        progress.tell(Notice { help: vec![help], ..Notice::error(notice::UNUSED, message).into_warning() });
    }
    if let Some(format) = shown {
        print(&lowered.definition, format)?;
        return Ok(ExitCode::SUCCESS);
    }

    let wanted = &lowered.platform;
    let caches = share::open(&args.cache_from, &builder.registry, &config, wanted, progress);
    let request = Request {
        caches,
        share: !args.cache_to.is_empty(),
        locals: resolver.locals,
        stores: resolver.stores,
        secrets: flags.secrets,
        ssh,
        pull,
        jobs: args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, |n| n.get()).max(2)),
        allow_host_network: args.network == Network::Host || args.allow.contains(&Allow::NetworkHost),
        allow_insecure: args.allow.contains(&Allow::SecurityInsecure),
        hybrid: args.emulation == EmulationMode::Hybrid,
        on_failure: args.on_failure.map(|OnFailure::Shell| shell(progress.clone())),
        interrupt: watch.interrupt.clone(),
        ..Request::new(lowered.definition.clone())
    };
    let epoch = lowered.epoch;
    let built = builder.build(&request).map_err(|error| {
        let scene = Scene {
            source: &opened.source,
            definition: &lowered.definition,
            ignore: opened.ignore.as_ref(),
            context: opened.locals.get("context"),
        };
        watch.failure().unwrap_or_else(|| Failure::of(vec![scene.notice(&error)]))
    })?;
    if let Some(interrupted) = watch.failure() {
        return Err(interrupted);
    }

    let tags = if args.tag.is_empty() { vec![format!("{}:latest", pack::image_name(&name))] } else { args.tag.clone() };
    let packing = Packing {
        output: &output,
        load: args.result.load,
        layers: passes.layers(args.result.layers),
        tags: &tags,
        tags_given: !args.tag.is_empty(),
        router: &router,
        fail_on: args.result.fail_on,
        epoch,
        strata: &strata,
        blobs: builder.registry.blobs(),
        progress,
        watch: &watch,
    };
    let source_config = config;
    let config = ImageConfig { created: created(&lowered.config, &built), ..lowered.config.clone() };
    let rootfs = passes.apply(&built.rootfs, &config, epoch, &strata, progress, &watch)?;
    let summary = packing.pack(&rootfs, &config, &lowered.platform)?;
    for to in &args.cache_to {
        // The image is made: that others can't have what it was made of is no failure.
        if let Err(failure) = share::write(to, &built, &strata, &lowered.platform, &source_config) {
            progress.line(&format!("warning: --cache-to: {failure}"));
        }
    }
    progress.told.keep_image(summary.image_id.as_ref().map(ToString::to_string));
    if args.result.quiet && !as_data {
        println!("{}", summary.image_id.as_ref().map_or_else(String::new, |id| id.to_string()));
    }
    durable::later(&cache, limit);
    Ok(ExitCode::SUCCESS)
}

/// Flags that are read before anything is done.
struct Flags {
    build_args: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    secrets: BTreeMap<String, Secret>,
    ssh: BTreeMap<String, Vec<PathBuf>>,
    hosts: Vec<(String, String)>,
    ulimits: Vec<pb::Ulimit>,
    shm_size: i64,
}

impl Flags {
    fn read(args: &BuildArgs) -> Result<Self, Failure> {
        let secret = |source: flags::SecretSource| match source {
            flags::SecretSource::File(path) => Secret::File(path),
            flags::SecretSource::Env(name) => {
                Secret::Bytes(std::env::var_os(name).unwrap_or_default().into_encoded_bytes())
            }
        };
        let secrets = flags::secrets(&args.secret, |name| std::env::var_os(name).is_some()).map_err(Failure::usage)?;
        let agent = machine::variable("SSH_AUTH_SOCK").map(PathBuf::from);
        let ulimit = |text: &String| flags::ulimit(text).map(|(name, soft, hard)| pb::Ulimit { name, soft, hard });
        let collect = |e: flags::InvalidFlag| Failure::usage(e);
        let mut build_args = flags::build_args(&args.build_arg, machine::variable).map_err(collect)?;
        if let Some(epoch) = machine::variable(EPOCH) {
            build_args.entry(EPOCH.into()).or_insert(epoch);
        }
        let mut ssh = flags::ssh(&args.ssh, agent.as_deref()).map_err(collect)?;
        if let Some(agent) = agent
            && args.ssh.is_empty()
            && agent::is_socket(&agent)
            && fetcher::is_git_over_ssh(&args.context.to_string_lossy())
        {
            ssh.insert("default".into(), vec![agent]);
        }
        Ok(Self {
            build_args,
            labels: flags::labels(&args.label).map_err(collect)?,
            secrets: secrets.into_iter().map(|(id, source)| (id, secret(source))).collect(),
            ssh,
            hosts: args.add_host.iter().map(|h| flags::add_host(h)).collect::<Result<_, _>>().map_err(collect)?,
            ulimits: args.ulimit.iter().map(ulimit).collect::<Result<_, _>>().map_err(collect)?,
            shm_size: args.shm_size.as_deref().map_or(Ok(0), |s| flags::bytes("--shm-size", s)).map_err(collect)?,
        })
    }
}

/// What never belongs to a context: the output (with its temporary files), and the cache.
fn never(output: &Output, cache: &Cache) -> Result<Vec<PathBuf>, Failure> {
    let mut never = vec![cache.dir().to_path_buf()];
    if let Dest::Path(path) = &output.dest {
        let absolute = std::path::absolute(path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
        let parent = absolute.parent().and_then(|p| p.canonicalize().ok());
        never.push(parent.zip(absolute.file_name()).map(|(parent, name)| parent.join(name)).unwrap_or(absolute));
    }
    Ok(never)
}

/// Parses and lowers; what lint finds is said even if that fails.
fn lower(
    source: &Source,
    options: &Options,
    resolver: &Linting<'_>,
    profile: Profile,
    progress: &Progress,
) -> Result<Lowered, Failure> {
    let wrong = |kind, diagnostics: &[Diagnostic]| call::failure(kind, source, diagnostics);
    let mut lint = call::lint(source, options).map_err(|error| wrong(notice::DEFINITION, &[error]))?;
    let parsed = Dockerfile::parse(&source.text);
    lint.syntax(&source.text, &parsed);
    let result = match &parsed {
        Err(diagnostics) => Err(wrong(notice::SYNTAX, diagnostics)),
        Ok(dockerfile) => lower::lower_and_lint(dockerfile, &source.text, options, resolver, &mut lint)
            .map_err(|error| wrong(notice::DEFINITION, &error.diagnostics())),
    };
    for finding in &lint.findings {
        progress.told.keep(lint::notice(source, finding, profile));
    }
    if let Some(text) = lint::short(&lint.findings, profile) {
        progress.line(&text);
    }
    result
}

fn options(
    args: &BuildArgs,
    flags: &Flags,
    opened: &Opened,
    resolver: &SourceResolver,
    host: &Platform,
    platform: Option<Platform>,
) -> Options {
    let mut options = Options::new(host.clone());
    options.filename = opened.source.file.clone();
    options.target = args.target.clone();
    options.platform = platform;
    options.build_args = flags.build_args.clone();
    options.labels = flags.labels.clone();
    options.context = opened.context.clone();
    options.contexts = resolver.names().collect();
    options.no_cache = args.no_cache;
    options.no_cache_stages = args.no_cache_filter.iter().flat_map(|f| f.split(',')).map(str::to_string).collect();
    options.network = match args.network {
        Network::Default => exec::Network::Unset,
        Network::Host => exec::Network::Host,
        Network::None => exec::Network::None,
    };
    options.extra_hosts = flags.hosts.clone();
    options.ulimits = flags.ulimits.clone();
    options.shm_size = flags.shm_size;
    options
}

/// A graph on standard output.
fn print(definition: &Definition, format: GraphFormat) -> Result<(), Failure> {
    let graph = || definition.graph().map_err(Failure::new);
    let text = match format {
        GraphFormat::Tree => show::to_tree(&graph()?),
        GraphFormat::Json => show::to_json(definition).map_err(Failure::new)?,
        GraphFormat::Dot => show::to_dot(&graph()?),
    };
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|e| Failure::new(format!("write to standard output: {e}")))
}

/// Opens a shell where a step failed.
fn shell(progress: Arc<Progress>) -> request::OnFailure {
    Arc::new(move |run| {
        if !std::io::stdin().is_terminal() {
            progress.line("note: --on-failure=shell needs a terminal");
            return;
        }
        progress.suspend(|| {
            eprintln!("the step failed; this is a shell in its place. What you change here is thrown away; `exit` ends the build.");
            if let Err(error) = run(&["/bin/sh"]) {
                eprintln!("no shell could be started there: {error}");
            }
        });
    })
}

/// When the image was made: with its newest step, so that a build out of the cache gives the same image.
fn created(config: &ImageConfig, built: &Built) -> Option<String> {
    let Some(nanos) = built.made else { return config.created.clone() };
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanos)).ok()?;
    Some(time.to_string())
}
