//! `routerpack build`.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use routerpack_builder::{Builder, Built, Cache, Local, Request, Secret, Strata, request};
use routerpack_frontends::dockerfile::{
    Diagnostic, Dockerfile, Severity,
    lower::{self, Context, Lowered, Options},
};
use routerpack_graph::{ImageConfig, Platform, exec, pb};
use routerpack_sources::PullPolicy;
use routerpack_targets::profile::Profile;

use crate::{
    args::{BuildArgs, Cli, Network, OnFailure},
    call::{self, Call, File, Linting, Method},
    durable,
    excerpt::Excerpt,
    failure::Failure,
    flags, lint,
    machine::{self, SignalWatch},
    output::{Dest, Output},
    pack::{self, Packing},
    progress::{Mode, Progress},
    resolver::{self, SourceResolver},
    router::Router,
    slim::Passes,
};

/// A Dockerfile may be this large, in bytes: far above any that a person wrote.
const MAX_DOCKERFILE: u64 = 16 << 20;

/// Builds, writes, and says what to type next.
pub fn build(cli: &Cli, args: &BuildArgs) -> Result<ExitCode, Failure> {
    let name = base_name(&args.context);
    let output = Output::parse(args.output.as_deref(), &name).map_err(Failure::usage)?;
    let flags = Flags::read(args)?;
    let passes = Passes::new(&args.slim, args.layers)?;
    if args.router.device.as_deref() == Some("-") && takes_stdin(args) {
        return Err(Failure::usage("standard input can be read for one thing only: the Dockerfile or --for"));
    }
    let router = Router::read(&args.router)?;
    let platform = router.platform(args.platform.as_deref())?;
    let can_chown = machine::become_root()?;
    let watch = SignalWatch::start()?;
    let progress = Arc::new(Progress::new(if args.quiet { Mode::Quiet } else { args.progress }));

    let cache = Arc::new(Cache::open(&machine::cache_dir(cli)?).map_err(Failure::new)?);
    let source = read_dockerfile(args)?;
    let config = machine::sources(cache.dir(), &args.insecure_registry);
    let registry = machine::registry(&config)?;
    let pull = if args.pull { PullPolicy::Always } else { PullPolicy::Missing };
    let mut resolver =
        SourceResolver::new(registry.clone(), pull, &args.build_context, &config).map_err(Failure::new)?;
    for local in resolver.locals.values_mut() {
        local.never = never(&output, &cache)?;
    }
    let context = main_context(args, &source, &output, &cache, &progress)?;
    resolver.locals.extend(context.map(|local| ("context".to_string(), local)));

    let host = machine::host(&cache);
    if !can_chown {
        progress.line(
            "note: this user has no ids in /etc/subuid, so steps see root's only: chown and USER in RUN fail, owners of COPY and of \
             base images are kept in the archive all the same\n  more ids: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER",
        );
    }
    let epoch = pack::epoch(flags.build_args.get("SOURCE_DATE_EPOCH"))?;
    let options = options(args, &flags, &source, &resolver, &host.platform, platform);
    let excludes = resolver.locals.get("context").map(|local| local.excludes.clone()).unwrap_or_default();
    let method = if args.check { Method::Check } else { args.call.method };
    let linting = Linting::new(&resolver, &excludes, method != Method::Build);
    if method != Method::Build {
        let call = Call { method, ..args.call };
        return call::call(call, source.as_file(), &options, &linting, router.profile, &|d| draw(&source, d));
    }
    let lowered = lower(&source, &options, &linting, router.profile, &progress)?;
    for warning in &lowered.warnings {
        progress.line(&draw(&source, warning));
    }

    let strata = Arc::new(Strata::new(cache.clone(), progress.clone(), can_chown, watch.interrupt.clone()));
    let web = machine::web(&config)?;
    let builder = Builder { host, strata: strata.clone(), registry, web, events: progress.clone() };
    let request = Request {
        definition: lowered.definition.clone(),
        locals: resolver.locals,
        stores: resolver.stores,
        secrets: flags.secrets,
        ssh: flags.ssh,
        pull,
        jobs: args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, |n| n.get()).max(2)),
        allow_host_network: args.network == Network::Host || args.allow.iter().any(|a| a == "network.host"),
        allow_insecure: args.allow.iter().any(|a| a == "security.insecure"),
        on_failure: args.on_failure.map(|OnFailure::Shell| shell(progress.clone())),
        interrupt: watch.interrupt.clone(),
    };
    let built = builder
        .build(&request)
        .map_err(|error| watch.failure().unwrap_or_else(|| Failure::build(&error, &lowered.definition)))?;
    if let Some(interrupted) = watch.failure() {
        return Err(interrupted);
    }

    let tags = if args.tag.is_empty() { vec![format!("{}:latest", pack::image_name(&name))] } else { args.tag.clone() };
    let packing = Packing {
        output: &output,
        load: args.load,
        layers: passes.layers(args.layers),
        tags: &tags,
        tags_given: !args.tag.is_empty(),
        router: &router,
        fail_on: args.fail_on,
        epoch,
        strata: &strata,
        blobs: builder.registry.blobs(),
        progress: &progress,
        watch: &watch,
    };
    let config = ImageConfig { created: created(&lowered.config, &built), ..lowered.config.clone() };
    let rootfs = passes.apply(&built.rootfs, &config, epoch, &strata, &progress, &watch)?;
    let summary = packing.pack(&rootfs, &config, &lowered.platform)?;
    if args.quiet {
        println!("{}", summary.image_id.as_ref().map_or_else(String::new, |id| id.to_string()));
    }
    durable::later(&cache);
    Ok(ExitCode::SUCCESS)
}

/// Flags that are read before anything is done.
struct Flags {
    build_args: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    secrets: BTreeMap<String, Secret>,
    ssh: BTreeMap<String, PathBuf>,
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
        Ok(Self {
            build_args: flags::build_args(&args.build_arg, machine::variable).map_err(collect)?,
            labels: flags::labels(&args.label).map_err(collect)?,
            secrets: secrets.into_iter().map(|(id, source)| (id, secret(source))).collect(),
            ssh: flags::ssh(&args.ssh, agent.as_deref()).map_err(collect)?,
            hosts: args.add_host.iter().map(|h| flags::add_host(h)).collect::<Result<_, _>>().map_err(collect)?,
            ulimits: args.ulimit.iter().map(ulimit).collect::<Result<_, _>>().map_err(collect)?,
            shm_size: args.shm_size.as_deref().map_or(Ok(0), |s| flags::bytes("--shm-size", s)).map_err(collect)?,
        })
    }
}

/// Whether the Dockerfile comes from standard input.
fn takes_stdin(args: &BuildArgs) -> bool {
    let stdin = Path::new("-");
    args.file.as_deref().map_or(args.context == stdin, |file| file == stdin)
}

/// A Dockerfile and where it came from.
struct Source {
    file: String,
    /// None for standard input.
    path: Option<PathBuf>,
    text: String,
}

impl Source {
    fn as_file(&self) -> File<'_> {
        File { name: &self.file, text: &self.text }
    }
}

fn read_dockerfile(args: &BuildArgs) -> Result<Source, Failure> {
    let stdin = Path::new("-");
    let fail = |path: &Path, why: String| Failure::new(format!("{}: {why}", path.display()));
    if args.context != stdin && !args.context.is_dir() {
        let why = if args.context.exists() {
            "the build context is not a directory"
        } else {
            "there is no such build context"
        };
        return Err(fail(&args.context, why.into()));
    }
    let path = match &args.file {
        Some(file) if file == stdin => None,
        Some(file) => Some(file.clone()),
        None if args.context == stdin => None,
        None => {
            let found = ["Dockerfile", "Containerfile"].map(|f| args.context.join(f)).into_iter().find(|f| f.exists());
            Some(found.ok_or_else(|| {
                fail(&args.context, "there is no Dockerfile (nor a Containerfile) here\n  name one with -f".into())
            })?)
        }
    };
    let mut bytes = Vec::new();
    match &path {
        None => std::io::stdin()
            .lock()
            .take(MAX_DOCKERFILE + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| fail(stdin, e.to_string()))?,
        Some(path) => std::fs::File::open(path)
            .and_then(|f| f.take(MAX_DOCKERFILE + 1).read_to_end(&mut bytes))
            .map_err(|e| fail(path, e.to_string()))?,
    };
    let file = path.as_deref().map_or("standard input".into(), |p| p.display().to_string());
    if bytes.len() as u64 > MAX_DOCKERFILE {
        return Err(Failure::new(format!("{file}: it is larger than {MAX_DOCKERFILE} bytes, so it is no Dockerfile")));
    }
    // BuildKit takes any bytes; what is not UTF-8 can only be inside a word, and shows as a replacement.
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Source { file, path, text })
}

/// The context directory, without the output and the cache; none for a Dockerfile on standard input.
fn main_context(
    args: &BuildArgs,
    source: &Source,
    output: &Output,
    cache: &Cache,
    progress: &Progress,
) -> Result<Option<Local>, Failure> {
    if args.context == Path::new("-") {
        return Ok(None);
    }
    let dir = args.context.canonicalize().map_err(|e| Failure::new(format!("{}: {e}", args.context.display())))?;
    let excludes = resolver::excludes(source.path.as_deref(), &args.context).map_err(Failure::new)?;
    let outside = never(output, cache)?;
    if outside.iter().any(|path| path.starts_with(&dir) && path.is_file()) {
        progress.line("note: the output lies in the context's directory; it is not part of the context");
    }
    Ok(Some(Local { dir, excludes, never: outside }))
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

fn draw(source: &Source, diagnostic: &Diagnostic) -> String {
    Excerpt {
        file: &source.file,
        text: &source.text,
        span: diagnostic.span.start..diagnostic.span.end,
        title: &diagnostic.message,
        notes: diagnostic.reason.iter().chain(&diagnostic.help).cloned().collect(),
        warning: diagnostic.severity == Severity::Warning,
    }
    .draw()
}

/// Parses and lowers; what lint finds is said even if that fails.
fn lower(
    source: &Source,
    options: &Options,
    resolver: &Linting<'_>,
    profile: Profile,
    progress: &Progress,
) -> Result<Lowered, Failure> {
    let all = |diagnostics: &[Diagnostic]| {
        let drawn: Vec<String> = diagnostics.iter().map(|d| draw(source, d)).collect();
        Failure::drawn(drawn.join("\n\n"))
    };
    let mut lint = call::lint(source.as_file(), options).map_err(|error| all(&[error]))?;
    let parsed = Dockerfile::parse(&source.text);
    lint.syntax(&source.text, &parsed);
    let result = match &parsed {
        Err(diagnostics) => Err(all(diagnostics)),
        Ok(dockerfile) => lower::lower_and_lint(dockerfile, &source.text, options, resolver, &mut lint)
            .map_err(|error| all(&[error.diagnostic()])),
    };
    if let Some(text) = lint::short(&lint.findings, profile) {
        progress.line(&text);
    }
    result
}

fn options(
    args: &BuildArgs,
    flags: &Flags,
    source: &Source,
    resolver: &SourceResolver,
    host: &Platform,
    platform: Option<Platform>,
) -> Options {
    let mut options = Options::new(host.clone());
    options.filename = source.file.clone();
    options.target = args.target.clone();
    options.platform = platform;
    options.build_args = flags.build_args.clone();
    if let Some(epoch) = machine::variable("SOURCE_DATE_EPOCH") {
        options.build_args.entry("SOURCE_DATE_EPOCH".into()).or_insert(epoch);
    }
    options.labels = flags.labels.clone();
    options.context = match resolver.locals.get("context") {
        // The executor has the ignore patterns: they are no part of the graph's bytes.
        Some(local) => Context::Local { name: "context".into(), exclude: local.excludes.clone() },
        None => Context::Empty,
    };
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

/// The name of the context's directory, for the archive and the tag.
fn base_name(context: &Path) -> String {
    let name = context.canonicalize().ok().and_then(|dir| dir.file_name().map(|n| n.to_string_lossy().into_owned()));
    name.filter(|n| context != Path::new("-") && !n.is_empty()).unwrap_or_else(|| "image".into())
}
