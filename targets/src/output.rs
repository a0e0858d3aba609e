//! The one function that makes every output.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use routerpack_graph::{Digest, ImageConfig};
use routerpack_rootfs::{Content, Stamp, Tree};

use crate::{
    Error,
    check::{Made, Programs, Report, check_made},
    config, docker_archive,
    gzip::Gzip,
    layer::{Carry, Layer},
    local, oci_archive,
    pass::{Pass, Progress},
    request::{Check, Compression, Dest, Format, Image, Layers, Request, Summary},
    staged::Staged,
    tag::{InvalidTag, Reference, router_tag},
    warning::Warnings,
};

/// Makes one output, and tells `progress` how far it has come.
///
/// It is written under a temporary name, or none at all, and renamed: on an error nothing is left,
/// and what stood there before still does.
pub fn write(image: &Image, request: Request, progress: &mut Progress) -> Result<Summary, Error> {
    let Request { format, dest, tags, layers, epoch, compression, spool, check, sync, now } = request;
    if format == Format::Local {
        return match dest {
            Dest::Path(dir) => local::write(image.tree, dir, epoch, false, progress),
            Dest::Stream(_) => Err(Error::Request("type=local writes files: give it a directory, dest=DIR".into())),
        };
    }

    let name = match &dest {
        Dest::Path(path) => *path,
        Dest::Stream(_) => Path::new("standard output"),
    };
    let outer_gzip = compression.is_outer(format, name);
    // Names depend on digests, so an archive is written where one can go back: right into its own
    // file where possible.
    let staged = match dest {
        Dest::Path(path) if !is_special(path) => Some(Staged::new(path).map_err(Error::write(path))?),
        _ => None,
    };
    let spooled = match &staged {
        Some(_) if !outer_gzip => None,
        _ => Some(tempfile::tempfile_in(spool).map_err(Error::write(spool))?),
    };
    let place = if spooled.is_some() { spool } else { name };
    let job = Job { image, format, tags, layers, epoch, gzip_layers: compression != Compression::None, name: place };
    let plan = job.plan()?;
    let file = spooled.as_ref().or(staged.as_ref().map(|s| &s.file));
    let Some(file) = file else { return Err(Error::Request("nowhere to write to".into())) };

    let check = check.filter(|_| format == Format::RouterOs);
    let mut pass = Pass::new(progress, plan.bytes * (1 + u64::from(spooled.is_some())));
    pass.programs = check.as_ref().map(|_| Programs::default());
    let packed = job.pack(plan, file, &mut pass)?;
    let report = match (check, pass.programs.take(), packed.diff_ids.first()) {
        (Some(check), Some(programs), Some(diff_id)) => {
            Some(judge(&check, image.tree, programs, diff_id.clone(), file, name)?)
        }
        _ => None,
    };

    let mut special;
    let bytes = match (&spooled, &staged, dest) {
        (None, ..) => file.metadata().map_err(Error::write(name))?.len(),
        (Some(from), Some(to), _) => transfer(from, &mut &to.file, outer_gzip, name, &mut pass)?,
        (Some(from), None, Dest::Stream(to)) => transfer(from, to, outer_gzip, name, &mut pass)?,
        (Some(from), None, Dest::Path(path)) => {
            special = fs::OpenOptions::new().write(true).open(path).map_err(Error::write(path))?;
            transfer(from, &mut special, outer_gzip, name, &mut pass)?
        }
    };
    let (path, stamp) = staged.map(|s| s.publish(sync, now)).transpose().map_err(Error::write(name))?.unzip();
    let stamp = stamp.flatten();
    let Packed { image_id, manifest, diff_ids, tags, warnings } = packed;
    Ok(Summary { path, bytes, image_id, manifest, diff_ids, tags, warnings, report, stamp })
}

/// A copy of an archive that was made before, under its name as by [`write()`]; the blocks are shared where the file
/// system can do that. `None` where the destination is a device or pipe: it is to be written to.
pub fn copy_archive(from: File, dest: &Path, now: SystemTime) -> Result<Option<(PathBuf, Option<Stamp>)>, Error> {
    if is_special(dest) {
        return Ok(None);
    }
    let failed = |e| Error::write(dest)(e);
    let staged = Staged::new(dest).map_err(failed)?;
    let len = from.metadata().map_err(failed)?.len();
    Content { file: Arc::new(from), offset: 0, len }.copy_to(&staged.file).map_err(failed)?;
    staged.publish(false, Some(now)).map(Some).map_err(failed)
}

/// A device, pipe or socket: written to, never replaced.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir())
}

/// Copies a finished archive to where it goes; the bytes that arrived there.
fn transfer(mut from: &File, to: &mut dyn Write, compress: bool, name: &Path, pass: &mut Pass) -> Result<u64, Error> {
    let failed = |e| Error::write(name)(e);
    from.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut out = Counted { out: to, count: 0 };
    if compress {
        let mut zip = Gzip::new(&mut out).map_err(failed)?;
        copy(from, &mut zip, name, pass)?;
        zip.finish().map_err(failed)?;
    } else {
        copy(from, &mut out, name, pass)?;
    }
    out.flush().map_err(failed)?;
    Ok(out.count)
}

fn copy(mut from: &File, to: &mut dyn Write, name: &Path, pass: &mut Pass) -> Result<(), Error> {
    let mut buf = vec![0; 256 * 1024];
    loop {
        let n = from.read(&mut buf).map_err(Error::write(name))?;
        if n == 0 {
            return Ok(());
        }
        to.write_all(&buf[..n]).map_err(Error::write(name))?;
        pass.step(n as u64)?;
    }
}

/// What the routers of a check make of an archive that is written but has no name yet.
fn judge(
    check: &Check,
    tree: &Tree,
    mut programs: Programs,
    diff_id: Digest,
    file: &File,
    name: &Path,
) -> Result<Report, Error> {
    programs.share(&tree.index);
    let report = check_made(name, file, Made { tree, programs, diff_id }, &check.options)?;
    let worst = report.findings.iter().map(|f| f.severity).max();
    match check.refuse.is_some_and(|limit| worst >= Some(limit)) {
        true => Err(Error::Refused(Box::new(report))),
        false => Ok(report),
    }
}

struct Counted<'a> {
    out: &'a mut dyn Write,
    count: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.count += n as u64;
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// An archive to be made.
struct Job<'a> {
    image: &'a Image<'a>,
    format: Format,
    tags: &'a [String],
    layers: Layers,
    epoch: Option<i64>,
    gzip_layers: bool,
    name: &'a Path,
}

/// The layers, the size of each, and their sum.
struct Plan {
    layers: Vec<Layer>,
    sizes: Vec<u64>,
    bytes: u64,
}

struct Packed {
    image_id: Option<Digest>,
    manifest: Option<Digest>,
    diff_ids: Vec<Digest>,
    tags: Vec<String>,
    warnings: Warnings,
}

impl Job<'_> {
    fn plan(&self) -> Result<Plan, Error> {
        let layers = match (self.format, self.layers) {
            (Format::RouterOs, Layers::Keep) => {
                return Err(Error::Request("type=routeros has one flat layer: use type=docker to keep layers".into()));
            }
            (Format::RouterOs, _) => vec![Layer::flat(self.image.tree, Carry::Plain, self.epoch)],
            (Format::Tar | Format::Local, _) => vec![Layer::flat(self.image.tree, Carry::Rootfs, self.epoch)],
            (_, Layers::Flat) => vec![Layer::flat(self.image.tree, Carry::All, self.epoch)],
            (_, Layers::Keep) => {
                self.image.layers.iter().map(|l| Layer::of_stratum(&l.stratum, l.diff_id.clone(), self.epoch)).collect()
            }
        };
        let sizes = layers.iter().map(Layer::size).collect::<Result<Vec<_>, _>>()?;
        let bytes = sizes.iter().sum();
        Ok(Plan { layers, sizes, bytes })
    }

    fn config(&self, diff_ids: Vec<Digest>) -> Result<ImageConfig, Error> {
        match self.layers {
            Layers::Flat => config::flat(self.image.config, diff_ids, self.epoch),
            Layers::Keep => {
                let made: Vec<Option<i64>> = self.image.layers.iter().map(|layer| layer.made).collect();
                config::layered(self.image.config, diff_ids, &made, self.epoch)
            }
        }
    }

    /// The names, parsed, and as they stand in a docker-archive.
    fn names(&self) -> Result<(Vec<Reference>, Vec<String>), Error> {
        if self.format == Format::RouterOs {
            let text =
                self.tags.first().ok_or_else(|| Error::Request("a RouterOS archive needs a name: -t NAME".into()))?;
            return Ok((vec![Reference::parse(text)?], vec![router_tag(text)?.text]));
        }
        let tags = self.tags.iter().map(|t| Reference::parse(t)).collect::<Result<Vec<_>, InvalidTag>>()?;
        let shown = tags.iter().map(Reference::familiar).collect();
        Ok((tags, shown))
    }

    fn pack(&self, plan: Plan, file: &File, pass: &mut Pass) -> Result<Packed, Error> {
        let Plan { layers, sizes, .. } = plan;
        if self.format == Format::Tar {
            let (layer, size) = (&layers[0], sizes[0]);
            let (_, written) = layer.write(file, size, self.name, pass)?;
            let (diff_ids, tags) = (vec![written.diff_id], Vec::new());
            return Ok(Packed { image_id: None, manifest: None, diff_ids, tags, warnings: written.warnings });
        }
        config::check(self.image.config)?;
        let (tags, shown) = self.names()?;
        let config = |ids| self.config(ids);
        let (done, manifest) = if self.format == Format::Oci {
            let blobs = self.image.layers.iter().map(|l| l.blob.as_ref());
            let blobs = blobs.filter(|_| self.layers == Layers::Keep).chain(std::iter::repeat(None));
            let layers = layers.into_iter().zip(sizes).zip(blobs);
            let layers = layers.map(|((layer, size), blob)| oci_archive::Source { layer, size, blob }).collect();
            let parts = oci_archive::Parts { layers, tags: &tags, gzip: self.gzip_layers, config: &config };
            let (done, manifest) = oci_archive::write(file, &parts, self.name, pass)?;
            (done, Some(manifest))
        } else {
            let parts = docker_archive::Parts { layers, tags: &tags, shown: &shown, config: &config };
            (docker_archive::write(file, &parts, &sizes, self.name, pass)?, None)
        };
        let docker_archive::Done { image_id, diff_ids, warnings } = done;
        Ok(Packed { image_id: Some(image_id), manifest, diff_ids, tags: shown, warnings })
    }
}
