//! `routerpack build`.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Read},
    panic,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use routerpack_builder::{
    Builder, Built, Cache, Local, Part, Request, Secret, Strata, StratumId, events::Events, request,
};
use routerpack_frontends::dockerfile::{
    Diagnostic, Dockerfile, Severity,
    lower::{self, Context, Lowered, Options},
};
use routerpack_graph::{ImageConfig, Platform, exec, pb};
use routerpack_sources::{BlobStore, PullPolicy};
use routerpack_targets::{self as targets, Format, Summary, devices};

use crate::{
    args::{BuildArgs, Cli, Layers, Network, OnFailure},
    durable,
    excerpt::Excerpt,
    failure::Failure,
    flags, load, machine,
    machine::SignalWatch,
    output::{Dest, Output},
    progress::{Mode, Progress, megabytes},
    resolver::{self, SourceResolver},
};

/// A Dockerfile may be this large, in bytes: far above any that a person wrote.
const MAX_DOCKERFILE: u64 = 16 << 20;

/// Builds, writes, and says what to type next.
pub fn build(cli: &Cli, args: &BuildArgs) -> Result<ExitCode, Failure> {
    let name = base_name(&args.context);
    let output = Output::parse(args.output.as_deref(), &name).map_err(Failure::usage)?;
    let flags = Flags::read(args)?;
    let platform = platform(args)?;
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
    let epoch = epoch(&flags.build_args)?;
    let lowered = lower(args, &flags, &source, &resolver, &host.platform, platform)?;
    for warning in &lowered.warnings {
        progress.line(&draw(&source, warning));
    }

    let strata = Arc::new(Strata::new(cache.clone(), progress.clone(), can_chown));
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

    let tags = if args.tag.is_empty() { vec![format!("{}:latest", image_name(&name))] } else { args.tag.clone() };
    let packing = Packing {
        args,
        output: &output,
        tags: &tags,
        epoch,
        strata: &strata,
        blobs: builder.registry.blobs(),
        progress: &progress,
        watch: &watch,
    };
    let summary = packing.pack(&lowered, &built)?;
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
            flags::SecretSource::Env(name) => Secret::Bytes(std::env::var(name).unwrap_or_default().into_bytes()),
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

fn platform(args: &BuildArgs) -> Result<Option<Platform>, Failure> {
    if let Some(name) = &args.device {
        let device = devices::find(name).map_err(|e| Failure::new(format!("--for: {e}")))?;
        let platform = device.platform();
        return platform
            .map(Some)
            .ok_or_else(|| Failure::new(format!("--for: the {} has no container package", device.name)));
    }
    let parse = |text: &String| Platform::parse(text, &machine::platform()).map_err(Failure::usage);
    args.platform.as_ref().map(parse).transpose()
}

/// A Dockerfile and where it came from.
struct Source {
    file: String,
    /// None for standard input.
    path: Option<PathBuf>,
    text: String,
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

fn epoch(build_args: &BTreeMap<String, String>) -> Result<Option<i64>, Failure> {
    let text = build_args.get("SOURCE_DATE_EPOCH").cloned().or_else(|| machine::variable("SOURCE_DATE_EPOCH"));
    let parse = |text: String| {
        text.parse().map_err(|_| Failure::usage(format!("SOURCE_DATE_EPOCH: `{text}` is no number of seconds")))
    };
    text.map(parse).transpose()
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

fn lower(
    args: &BuildArgs,
    flags: &Flags,
    source: &Source,
    resolver: &SourceResolver,
    host: &Platform,
    platform: Option<Platform>,
) -> Result<Lowered, Failure> {
    let all = |diagnostics: Vec<Diagnostic>| {
        let drawn: Vec<String> = diagnostics.iter().map(|d| draw(source, d)).collect();
        Failure::drawn(drawn.join("\n\n"))
    };
    let dockerfile = Dockerfile::parse(&source.text).map_err(all)?;
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
    lower::lower(&dockerfile, &source.text, &options, resolver)
        .map_err(|e| Failure::drawn(draw(source, &e.diagnostic())))
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

/// Everything that packing takes.
struct Packing<'a> {
    args: &'a BuildArgs,
    output: &'a Output,
    tags: &'a [String],
    epoch: Option<i64>,
    strata: &'a Strata,
    blobs: &'a BlobStore,
    progress: &'a Progress,
    watch: &'a SignalWatch,
}

/// Carries an interrupt out of the packer's progress callback; nothing else unwinds with this.
struct Interrupted;

impl Packing<'_> {
    fn pack(&self, lowered: &Lowered, built: &Built) -> Result<Summary, Failure> {
        let loading = match self.args.load {
            true => Some(tempfile::tempdir().map_err(|e| Failure::new(format!("make a temporary directory: {e}")))?),
            false => None,
        };
        let (format, dest) = match &loading {
            Some(dir) => (Format::Docker, Dest::Path(dir.path().join("image.tar"))),
            None => (self.output.format, self.output.dest.clone()),
        };
        let summary = self.write(lowered, built, format, &dest)?;
        for warning in &summary.warnings.list {
            self.progress.warning(&warning.to_string());
        }
        let unlisted = summary.warnings.count - summary.warnings.list.len() as u64;
        if unlisted > 0 {
            self.progress.warning(&format!("{unlisted} more of this kind"));
        }
        if let (Some(_), Dest::Path(path)) = (&loading, &dest) {
            let by = load::load(path)?;
            self.progress.line(&format!("{by} has {}", summary.tags.join(", ")));
            return Ok(summary);
        }
        self.say(&summary, format, &lowered.platform);
        Ok(summary)
    }

    fn write(&self, lowered: &Lowered, built: &Built, format: Format, dest: &Dest) -> Result<Summary, Failure> {
        let layers = match self.args.layers {
            None => format.default_layers(),
            Some(Layers::Flat) => targets::Layers::Flat,
            Some(Layers::Keep) => targets::Layers::Keep,
        };
        let tree = self.strata.tree(&built.rootfs).map_err(Failure::new)?;
        let sources = match layers {
            targets::Layers::Flat => Vec::new(),
            targets::Layers::Keep => {
                let source = |part| layer_source(self.strata, part, self.blobs, format);
                built.rootfs.parts().iter().map(source).collect::<Result<_, _>>()?
            }
        };
        let config = ImageConfig { created: created(&lowered.config, built), ..lowered.config.clone() };
        let image = targets::Image { tree: &tree, config: &config, layers: &sources };
        let mut stdout = std::io::stdout().lock();
        let request = targets::Request {
            format,
            dest: match dest {
                Dest::Path(path) => targets::Dest::Path(path),
                Dest::Stdout => targets::Dest::Stream(&mut stdout),
            },
            tags: self.tags,
            layers,
            epoch: self.epoch,
            compression: targets::Compression::Auto,
            spool: &self.strata.cache().path("tmp"),
            sync: false,
        };
        if let targets::Dest::Path(path) = &request.dest
            && let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty())
        {
            std::fs::create_dir_all(parent).map_err(|e| Failure::new(format!("{}: {e}", parent.display())))?;
        }
        let bar = self.progress.packing("packing", None);
        let mut progress = |done, total| {
            if self.watch.interrupt.is_raised() {
                panic::resume_unwind(Box::new(Interrupted));
            }
            bar.set_length(total);
            bar.set_position(done);
        };
        let written = panic::catch_unwind(panic::AssertUnwindSafe(|| targets::write(&image, request, &mut progress)));
        bar.finish_and_clear();
        match written {
            Ok(result) => result.map_err(Failure::new),
            Err(payload) if payload.is::<Interrupted>() => {
                Err(self.watch.failure().unwrap_or_else(|| Failure::new("interrupted")))
            }
            Err(payload) => panic::resume_unwind(payload),
        }
    }

    /// The last lines: what was made, and what to type next.
    fn say(&self, summary: &Summary, format: Format, platform: &Platform) {
        let Some(path) = &summary.path else { return };
        let file = path.display().to_string();
        let tags = summary.tags.join(", ");
        self.progress.line(&format!("{file}  {}  {platform}  {tags}", megabytes(summary.bytes)));
        if format == Format::RouterOs
            && let (Some(given), Some(tag)) = (self.tags.first(), summary.tags.first())
            && given != tag
            && self.args.tag.first() == Some(given)
        {
            self.progress
                .line(&format!("note: the tag is {tag} in the archive, since RouterOS shows it as it stands there"));
        }
        let base = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let name = tag_name(summary.tags.first().map_or("app", String::as_str));
        let next = match format {
            Format::RouterOs => format!(
                "routerpack run {file}    (here)\n      scp {file} admin@ROUTER:/    (then on the router:)\n      /container/add file={base} interface=veth-{} root-dir=disk1/{name} logging=yes",
                &name[..name.len().min(9)]
            ),
            Format::Docker => format!("docker load -i {file}"),
            Format::Oci => format!("skopeo inspect oci-archive:{file}"),
            Format::Tar => format!("tar tvf {file}"),
            Format::Local => format!("ls {file}"),
        };
        self.progress.line(&format!("next: {next}"));
    }
}

/// A kept layer. An OCI archive takes a base image's blobs as they are, so that a registry knows them.
fn layer_source(
    strata: &Strata,
    part: &Part,
    blobs: &BlobStore,
    format: Format,
) -> Result<targets::LayerSource, Failure> {
    let stratum = strata.stratum(part).map_err(Failure::new)?;
    let Part::Kept(StratumId::Layer(diff_id)) = part else {
        return Ok(targets::LayerSource { stratum, diff_id: None, blob: None });
    };
    let offered = if format == Format::Oci { strata.offered(diff_id) } else { None };
    let blob = offered.map(|(image, n)| compressed(&image, n, blobs)).transpose().map_err(Failure::new)?;
    Ok(targets::LayerSource { stratum, diff_id: Some(diff_id.clone()), blob })
}

/// A layer's blob as its source has it, in the cache.
fn compressed(
    image: &routerpack_sources::Image,
    n: usize,
    blobs: &BlobStore,
) -> routerpack_sources::Result<targets::Blob> {
    let layer = &image.layers[n];
    if blobs.get(&layer.digest)?.is_none() {
        let mut writer = blobs.writer()?;
        let copied = std::io::copy(&mut image.open_blob(n, None)?, &mut writer);
        copied.map_err(|e| {
            routerpack_sources::Error::from_io(e).unwrap_or_else(|source| routerpack_sources::Error::File {
                path: blobs.path(&layer.digest),
                what: "keep a layer's blob",
                source,
            })
        })?;
        // The registry's own blobs are here already; a store's are read again where they lie if this fails.
        if blobs.get(&layer.digest)?.is_none() {
            writer.commit(&layer.digest, Some(layer.size), &image.name)?;
        }
    }
    Ok(targets::Blob {
        digest: layer.digest.clone(),
        size: layer.size,
        media_type: layer.media_type.clone(),
        path: blobs.path(&layer.digest),
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

/// A directory's name as an image's: lower case, other characters as dashes.
fn image_name(name: &str) -> String {
    let dashed: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
        .collect();
    let mut name = String::new();
    for c in dashed.trim_matches(|c: char| !c.is_ascii_alphanumeric()).chars() {
        // two separators in a row are not allowed in a name
        if !(name.ends_with(['.', '_', '-']) && !c.is_ascii_alphanumeric()) {
            name.push(c);
        }
    }
    if name.is_empty() { "image".into() } else { name }
}

/// The last component of a tag's name: a veth, a directory.
fn tag_name(tag: &str) -> String {
    let name = tag.rsplit('/').next().unwrap_or(tag);
    name.split(':').next().unwrap_or(name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_become_image_names() {
        for (dir, name) in
            [("My App", "my-app"), ("a__b", "a_b"), (".hidden.", "hidden"), ("Ünï", "n"), ("...", "image")]
        {
            assert_eq!(image_name(dir), name, "{dir}");
        }
        assert_eq!(tag_name("team/app:1.2"), "app");
    }
}
