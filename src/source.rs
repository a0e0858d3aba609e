//! What a command line calls SOURCE: opened, wherever it is, as a rootfs with a config.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use routerpack_builder::{
    Cache, Part, Rootfs, Strata,
    events::{Events, Silent},
};
use routerpack_graph::{ImageConfig, Platform};
use routerpack_rootfs::{ScanOptions, Stratum, scan};
use routerpack_sources::{BlobStore, Config, DockerDaemon, Image, Location, PullPolicy, Store, StoreKind};

use crate::{args::Cli, failure::Failure, machine};

/// An opened source.
pub struct Source {
    /// As given, for messages.
    pub name: String,
    /// Its files. Layers are read when they are needed.
    pub rootfs: Rootfs,
    /// Its config; for a plain directory, nothing but the platform.
    pub config: ImageConfig,
    /// What it runs on.
    pub platform: Platform,
    /// The image; none for a plain directory.
    pub image: Option<Image>,
    /// Its own names, `NAME:TAG`.
    pub tags: Vec<String>,
    /// A short name for a file that is made of it.
    pub stem: String,
    /// What kind of store it is in; a registry's images count as [`StoreKind::OciLayout`].
    pub kind: StoreKind,
    /// The docker-archive that it was read from, which a changed one may replace.
    pub archive: Option<PathBuf>,
}

/// Opens sources over one cache.
pub struct Opener {
    /// Where layers are kept.
    pub strata: Arc<Strata>,
    /// Where compressed layers are kept.
    pub blobs: BlobStore,
    /// Settings of registries and local stores.
    pub config: Config,
    /// When a registry is asked.
    pub pull: PullPolicy,
    /// The platform that was asked for, if any was.
    pub wanted: Option<Platform>,
}

impl Opener {
    /// Over the cache in `dir`.
    pub fn new(dir: &Path, events: Arc<dyn Events>, wanted: Option<Platform>) -> Result<Self, Failure> {
        let cache = Arc::new(Cache::open(dir).map_err(Failure::new)?);
        let config = machine::cached_sources(&cache, &[]);
        // Nothing here unpacks a layer, so nobody has to own its files.
        let strata = Arc::new(Strata::new(cache, events, false, Arc::default()));
        let blobs = BlobStore::of(&config).map_err(Failure::new)?;
        Ok(Self { strata, blobs, config, pull: PullPolicy::Missing, wanted })
    }

    /// For the platform of `--platform`, without any word about progress.
    pub fn quiet(cli: &Cli, platform: Option<&str>) -> Result<Self, Failure> {
        let wanted = machine::platform_named(platform)?;
        Self::new(&machine::cache_dir(cli)?, Arc::new(Silent), wanted)
    }

    /// Opens what is at a path: for a tar of files, the platform is whatever else says.
    pub fn open_path(&self, path: &Path) -> Result<Source, Failure> {
        self.of_path(path, &self.wanted.clone().unwrap_or_else(machine::platform))
    }

    /// Reads and opens a place.
    pub fn open(&self, text: &str) -> Result<Source, Failure> {
        let location = Location::parse(text, Path::is_file).map_err(Failure::usage)?;
        let wanted = self.wanted.clone().unwrap_or_else(machine::platform);
        let source = match &location {
            Location::Registry(reference) => {
                let image =
                    machine::registry(&self.config)?.image(reference, &wanted, self.pull).map_err(Failure::new)?;
                let tags = vec![reference.familiar()];
                let stem = last_component(reference.repository());
                self.of_image(image, text, tags, stem)
            }
            Location::Store { kind, path, tag, digest } => {
                let store = Store::open(path, Some(*kind), &self.config).map_err(Failure::new)?;
                let image = store.image(tag.as_deref(), digest.as_ref(), &wanted).map_err(Failure::new)?;
                let tags = self.tags(&store, tag.as_deref(), path);
                self.of_image(image, text, tags, stem(path)).in_store(&store)
            }
            Location::Path(path) => self.of_path(path, &wanted)?,
            Location::DockerDaemon(name) => {
                let engine = DockerDaemon::new(&docker_socket()?);
                let save = |out: &mut File| engine.save(name, out, self.config.limits.inflated).map_err(Failure::new);
                self.of_stream(text, &wanted, last_component(name), save)?
            }
            Location::ContainersStorage(name) => {
                let save = |out: &mut File| podman_save(name, out, self.config.limits.inflated);
                self.of_stream(text, &wanted, last_component(name), save)?
            }
            Location::Stdin => {
                let save = |out: &mut File| {
                    copy(&mut io::stdin().lock(), out, self.config.limits.inflated)
                        .map_err(|e| Failure::new(format!("standard input: {e}")))
                };
                self.of_stream(text, &wanted, "image".into(), save)?
            }
        };
        self.suits(source)
    }

    /// Refuses what doesn't run on a platform that was asked for in so many words.
    fn suits(&self, source: Source) -> Result<Source, Failure> {
        match &self.wanted {
            Some(wanted) if !wanted.candidates().contains(&source.platform) => Err(Failure::new(format!(
                "{} is for {}, not for {wanted}\n  name a source for {wanted}, or leave out --platform and --for",
                source.name, source.platform
            ))),
            _ => Ok(source),
        }
    }

    fn of_path(&self, path: &Path, wanted: &Platform) -> Result<Source, Failure> {
        let store = Store::open(path, None, &self.config).map_err(Failure::new)?;
        if store.kind() != StoreKind::Directory {
            let image = store.image(None, None, wanted).map_err(Failure::new)?;
            let tags = self.tags(&store, None, path);
            return Ok(self.of_image(image, &path.display().to_string(), tags, stem(path)).in_store(&store));
        }
        let root = path.canonicalize().map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
        let index = scan(&root, ScanOptions::default()).map_err(Failure::new)?;
        let config = ImageConfig {
            os: wanted.os.clone(),
            architecture: wanted.architecture.clone(),
            variant: wanted.variant.clone(),
            ..ImageConfig::default()
        };
        Ok(Source {
            name: path.display().to_string(),
            stem: stem(&root),
            rootfs: Rootfs::new(vec![Part::Live(Stratum::Dir { root, index: Arc::new(index) })]),
            config,
            platform: wanted.clone(),
            image: None,
            tags: Vec::new(),
            kind: StoreKind::Directory,
            archive: None,
        })
    }

    /// An archive that comes as a stream: it is kept, without a name, while it is read.
    fn of_stream(
        &self,
        text: &str,
        wanted: &Platform,
        stem: String,
        save: impl FnOnce(&mut File) -> Result<u64, Failure>,
    ) -> Result<Source, Failure> {
        let spool = self.strata.cache().temp_path();
        let fail = |e: io::Error| Failure::new(format!("{}: {e}", spool.display()));
        let mut file = File::create(&spool).map_err(fail)?;
        let opened = save(&mut file)
            .and_then(|_| Store::open(&spool, None, &self.config).map_err(Failure::new))
            .and_then(|store| {
                let image = store.image(None, None, wanted).map_err(Failure::new)?;
                Ok((self.tags(&store, None, Path::new(&stem)), image, store.kind()))
            });
        // The store keeps it open.
        fs::remove_file(&spool).map_err(fail)?;
        let (tags, mut image, kind) = opened.map_err(|failure| failure.in_place_of(&spool, text))?;
        image.name = text.to_string();
        Ok(Source { kind, ..self.of_image(image, text, tags, stem) })
    }

    fn of_image(&self, image: Image, name: &str, tags: Vec<String>, stem: String) -> Source {
        Source {
            name: name.to_string(),
            rootfs: self.strata.offer(&image),
            config: image.config.clone(),
            platform: image.platform.clone(),
            image: Some(image),
            tags,
            stem,
            kind: StoreKind::OciLayout,
            archive: None,
        }
    }

    /// The names of the image that was chosen: what was asked for, or the only ones there are. An OCI
    /// layout often holds a bare tag; the file then gives the name.
    fn tags(&self, store: &Store, chosen: Option<&str>, path: &Path) -> Vec<String> {
        let all = store.tags();
        let tags = match chosen {
            Some(tag) => vec![tag.to_string()],
            None => all,
        };
        let complete = |tag: String| match tag.contains([':', '/']) {
            true => tag,
            false => format!("{}:{tag}", crate::pack::image_name(&stem(path))),
        };
        tags.into_iter().map(complete).collect()
    }
}

impl Source {
    /// The names of what is made of it: those given, or its own, or one made of the file's.
    pub fn names(&self, given: &[String]) -> Vec<String> {
        match (given, &self.tags[..]) {
            ([], []) => vec![format!("{}:latest", crate::pack::image_name(&self.stem))],
            ([], own) => own.to_vec(),
            (given, _) => given.to_vec(),
        }
    }

    fn in_store(self, store: &Store) -> Self {
        let is_archive = store.kind() == StoreKind::DockerArchive;
        Self { kind: store.kind(), archive: is_archive.then(|| store.path().to_path_buf()), ..self }
    }
}

/// Copies at most `limit` bytes; more is an error.
fn copy(from: &mut dyn Read, to: &mut dyn Write, limit: u64) -> io::Result<u64> {
    match io::copy(&mut from.take(limit + 1), to)? {
        bytes if bytes > limit => Err(io::Error::other(format!("it is over the limit of {limit} bytes"))),
        bytes => Ok(bytes),
    }
}

/// The socket of `DOCKER_HOST`, or Docker's own.
fn docker_socket() -> Result<PathBuf, Failure> {
    match machine::variable("DOCKER_HOST") {
        None => Ok("/var/run/docker.sock".into()),
        Some(host) => host.strip_prefix("unix://").map(PathBuf::from).ok_or_else(|| {
            Failure::new(format!("DOCKER_HOST is {host}: only unix:// sockets are spoken to\n  save the image with `docker save`, and name the file"))
        }),
    }
}

/// podman alone knows how its storage is laid out.
fn podman_save(name: &str, out: &mut File, limit: u64) -> Result<u64, Failure> {
    let mut command = Command::new("podman");
    command.args(["save", "--quiet", "--format", "docker-archive", name]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|e| {
            Failure::new(format!(
                "containers-storage:{name}: podman can't be started: {e}\n  install podman, or save the image to a file"
            ))
        })?;
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let words = std::thread::spawn(move || {
        let mut words = String::new();
        let _ = stderr.as_mut().map(|pipe| pipe.take(64 << 10).read_to_string(&mut words));
        words
    });
    let copied = match &mut stdout {
        Some(pipe) => copy(pipe, out, limit),
        None => Err(io::ErrorKind::BrokenPipe.into()),
    };
    drop(stdout); // ends a podman that has more to say than we take
    let status = child.wait();
    let words = words.join().unwrap_or_default();
    let fail = |why: String| Failure::new(format!("containers-storage:{name}: {why}"));
    match status {
        Ok(status) if status.success() => copied.map_err(|e| fail(e.to_string())),
        Ok(_) => Err(fail(crate::progress::printable(
            words.trim().lines().last().unwrap_or("podman save failed").as_bytes(),
        ))),
        Err(e) => Err(fail(e.to_string())),
    }
}

/// The last component of a name, without its tag and digest.
fn last_component(name: &str) -> String {
    let name = name.split('@').next().unwrap_or(name);
    let last = name.rsplit('/').next().unwrap_or(name);
    last.split(':').next().unwrap_or(last).to_string()
}

/// A file's name without what says that it is an archive.
fn stem(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let base = [".gz", ".zst", ".xz", ".bz2"].iter().find_map(|s| name.strip_suffix(s)).unwrap_or(&name);
    let base = [".tar", ".tgz", ".txz", ".oci"].iter().find_map(|s| base.strip_suffix(s)).unwrap_or(base);
    if base.is_empty() { "image".into() } else { base.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_files() {
        for (path, want) in [("/a/app.tar", "app"), ("/a/app.tar.gz", "app"), ("/a/b.c", "b.c"), ("/a/.tar", "image")] {
            assert_eq!(stem(Path::new(path)), want);
        }
        for (name, want) in [("h:5000/a/b:1", "b"), ("b", "b"), ("a/b@sha256:12", "b")] {
            assert_eq!(last_component(name), want);
        }
    }
}
