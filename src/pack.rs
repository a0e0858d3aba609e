//! From a rootfs and a config to what `-o` names: what `build` and `convert` have in common.

use std::{ops::ControlFlow, process::ExitCode, time::SystemTime};

use routerpack_builder::{Part, Rootfs, Strata, StratumId, events::Events};
use routerpack_graph::{ImageConfig, Platform};
use routerpack_sources::BlobStore;
use routerpack_targets::{self as targets, Format, Summary, rules::Severity};

use crate::{
    args::{FailOn, Layers, RouterArgs},
    durable,
    failure::Failure,
    load,
    machine::{self, SignalWatch},
    made::{Made, What},
    output::{Dest, Output},
    progress::{Mode, Progress, megabytes},
    router::Router,
    source::{Opener, Source},
    verdict,
};

/// Everything that packing takes.
pub struct Packing<'a> {
    /// Form and place.
    pub output: &'a Output,
    /// Load the result into docker or podman instead.
    pub load: bool,
    /// As `--layers` says.
    pub layers: Option<Layers>,
    /// The image's names.
    pub tags: &'a [String],
    /// Whether they are the user's own words, so that a changed one is worth a note.
    pub tags_given: bool,
    /// The router that a RouterOS archive is for, by which it is judged.
    pub router: &'a Router,
    /// Findings that keep it from being written.
    pub fail_on: Option<FailOn>,
    /// `SOURCE_DATE_EPOCH`, see [`epoch`].
    pub epoch: Option<i64>,
    /// Where the rootfs is.
    pub strata: &'a Strata,
    /// Where compressed layers are kept, for an OCI archive.
    pub blobs: &'a BlobStore,
    /// Where bar and last lines go.
    pub progress: &'a Progress,
    /// Stops it.
    pub watch: &'a SignalWatch,
}

impl Packing<'_> {
    /// Writes the image (or loads it), and says what was made and what to type next.
    pub fn pack(&self, rootfs: &Rootfs, config: &ImageConfig, platform: &Platform) -> Result<Summary, Failure> {
        let loading = match self.load {
            true => Some(tempfile::tempdir().map_err(|e| Failure::new(format!("make a temporary directory: {e}")))?),
            false => None,
        };
        let (format, dest) = match &loading {
            Some(dir) => (Format::Docker, Dest::Path(dir.path().join("image.tar"))),
            None => (self.output.format, self.output.dest.clone()),
        };
        let summary = self.write(rootfs, config, platform, format, &dest)?;
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
        self.say(&summary, format, platform);
        Ok(summary)
    }

    fn write(
        &self,
        rootfs: &Rootfs,
        config: &ImageConfig,
        platform: &Platform,
        format: Format,
        dest: &Dest,
    ) -> Result<Summary, Failure> {
        let layers = match self.layers {
            None => format.default_layers(),
            Some(Layers::Flat) => targets::Layers::Flat,
            Some(Layers::Keep) => targets::Layers::Keep,
        };
        let cache = self.strata.cache();
        let spool = cache.path("tmp");
        let by = self.router.options(Some(platform.clone()), &spool);
        let place = match format {
            Format::RouterOs => verdict::Place::of(rootfs, config, self.tags, self.epoch, &by),
            _ => None,
        };
        let refuse = self.fail_on.map(FailOn::severity);
        // What was refused is not kept: it is looked at again, and refused again.
        let known = place.as_ref().and_then(|place| place.findings(cache));
        let known = known.filter(|found| found.iter().all(|f| refuse.is_none_or(|limit| f.severity < limit)));
        let archive = match dest {
            Dest::Path(path) => path.display().to_string(),
            Dest::Stdout => "standard output".into(),
        };
        let path = match dest {
            Dest::Path(path) if format != Format::Local && !self.load => Some(&**path),
            _ => None,
        };
        let what = |dest| What { rootfs, config, format, layers, dest, tags: self.tags, epoch: self.epoch };
        let made = path.and_then(|path| Some((path, Made::of(&what(path), self.strata)?)));
        let now = SystemTime::now();
        if let Some((path, made)) = &made
            && (known.is_some() || format != Format::RouterOs)
            && let Some(summary) = made.there(path).or_else(|| made.copy(path, now))
        {
            let found = known.as_deref().unwrap_or_default();
            self.progress.told.keep_findings(&archive, found);
            verdict::print(self.progress, found);
            return Ok(summary);
        }
        let tree = self.strata.tree(rootfs).map_err(Failure::new)?;
        let sources = match layers {
            targets::Layers::Flat => Vec::new(),
            targets::Layers::Keep => {
                let source = |part| layer_source(self.strata, part, self.blobs, format);
                rootfs.parts().iter().map(source).collect::<Result<_, _>>()?
            }
        };
        let image = targets::Image { tree: &tree, config, layers: &sources };
        let check = known.is_none().then_some(targets::Check { options: by, refuse });
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
            spool: &spool,
            check,
            sync: false,
            now: Some(now),
        };
        if let targets::Dest::Path(path) = &request.dest
            && let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty())
        {
            std::fs::create_dir_all(parent).map_err(|e| Failure::new(format!("{}: {e}", parent.display())))?;
        }
        let bar = self.progress.packing("packing", None);
        let mut progress = |done, total| {
            bar.set_length(total);
            bar.set_position(done);
            if self.watch.interrupt.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let written = targets::write(&image, request, &mut progress);
        bar.finish_and_clear();
        let summary = written.map_err(|error| match error {
            targets::Error::Interrupted => self.watch.failure().unwrap_or_else(|| Failure::new(error)),
            targets::Error::Refused(ref report) => {
                self.progress.told.keep_findings(&archive, &report.findings);
                let found: Vec<String> = report.findings.iter().map(verdict::line).collect();
                let code = if report.count(Severity::Error) > 0 { 2 } else { 1 };
                Failure::drawn(format!("{}\nerror: {error}", found.join("\n"))).with_code(code)
            }
            _ => Failure::new(error),
        })?;
        if let (Some(place), Some(report)) = (&place, &summary.report) {
            place.keep(cache, &report.findings);
        }
        if let Some((path, made)) = &made {
            made.remember(&summary);
            if let Some(key) = made.again() {
                durable::keep(cache, key, path);
            }
        }
        let found = summary.report.as_ref().map(|r| &r.findings).or(known.as_ref()).map_or(&[][..], |f| f);
        self.progress.told.keep_findings(&archive, found);
        verdict::print(self.progress, found);
        Ok(summary)
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
            && self.tags_given
        {
            self.progress
                .line(&format!("note: the tag is {tag} in the archive, since RouterOS shows it as it stands there"));
        }
        let base = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let name = tag_name(summary.tags.first().map_or("app", String::as_str));
        let next = match format {
            Format::RouterOs => format!(
                "routerpack run {file}    (here)\n      scp {file} admin@ROUTER:/    (then on the router:)\n      /container/add file={base} interface=veth-{} root-dir=disk1/{name} logging=yes",
                name.chars().take(9).collect::<String>()
            ),
            Format::Docker => format!("docker load -i {file}"),
            Format::Oci => format!("skopeo inspect oci-archive:{file}"),
            Format::Tar => format!("tar tvf {file}"),
            Format::Local => format!("ls {file}"),
        };
        self.progress.line(&format!("next: {next}"));
    }
}

/// Packs a source with other files or another config, and says so. Without `tags` it keeps its names.
pub fn changed(
    opener: &Opener,
    source: &Source,
    rootfs: Rootfs,
    config: &ImageConfig,
    output: &Output,
    tags: &[String],
) -> Result<ExitCode, Failure> {
    let epoch = epoch()?;
    opener.strata.tree(&rootfs).map_err(Failure::new)?;
    let tags = source.names(tags);
    let packing = Packing {
        output,
        load: false,
        layers: None,
        tags: &tags,
        tags_given: false,
        router: &Router::read(&RouterArgs::default())?,
        fail_on: None,
        epoch,
        strata: &opener.strata,
        blobs: &opener.blobs,
        progress: &Progress::new(Mode::Auto),
        watch: &SignalWatch::start()?,
    };
    packing.pack(&rootfs, config, &source.platform)?;
    Ok(ExitCode::SUCCESS)
}

/// The limit of all times in the output, in seconds since 1970: the environment's `SOURCE_DATE_EPOCH`.
pub fn epoch() -> Result<Option<i64>, Failure> {
    let text = machine::variable("SOURCE_DATE_EPOCH");
    let parse = |text: String| {
        text.parse().map_err(|_| Failure::usage(format!("SOURCE_DATE_EPOCH: `{text}` is no number of seconds")))
    };
    text.map(parse).transpose()
}

fn layer_source(
    strata: &Strata,
    part: &Part,
    blobs: &BlobStore,
    format: Format,
) -> Result<targets::LayerSource, Failure> {
    let stratum = strata.stratum(part).map_err(Failure::new)?;
    let Part::Kept(StratumId::Layer(diff_id)) = part else {
        let made = if let Part::Kept(id) = part { strata.made(id) } else { None };
        return Ok(targets::LayerSource { stratum, diff_id: None, blob: None, made });
    };
    let offered = if format == Format::Oci { strata.offered(diff_id) } else { None };
    let blob = offered.map(|(image, n)| compressed(&image, n, blobs)).transpose().map_err(Failure::new)?;
    Ok(targets::LayerSource { stratum, diff_id: Some(diff_id.clone()), blob, made: None })
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

/// A directory's name as an image's: lower case, other characters as dashes.
pub fn image_name(name: &str) -> String {
    let dashed: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
        .collect();
    let mut name = String::new();
    for c in dashed.trim_matches(|c: char| !c.is_ascii_alphanumeric()).chars() {
        // two separators in a row are not allowed in a name
        if !name.ends_with(['.', '_', '-']) || c.is_ascii_alphanumeric() {
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
