//! The one function that makes every output.

use std::{
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    path::Path,
};

use routerpack_graph::{Digest, ImageConfig};

use crate::{
    Error, config, docker_archive,
    gzip::Gzip,
    layer::{Carry, Layer},
    local, oci_archive,
    request::{Compression, Dest, Format, Image, Layers, Request, Summary},
    staged::Staged,
    tag::{InvalidTag, Reference, router_tag},
    warning::Warnings,
};

/// Makes one output. `progress` hears how many bytes are done and, roughly, of how many.
///
/// It is written under a temporary name, or none at all, and renamed: on an error nothing is left,
/// and what stood there before still does.
pub fn write(image: &Image, request: Request, progress: &mut dyn FnMut(u64, u64)) -> Result<Summary, Error> {
    let Request { format, dest, tags, layers, epoch, compression, spool, sync } = request;
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
    let outer_gzip = match compression {
        Compression::Auto => matches!(dest, Dest::Path(p) if is_gzip_name(p)),
        Compression::Gzip => format != Format::Oci,
        Compression::None => false,
    };
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

    let (mut done, total) = (0, plan.bytes * (1 + u64::from(spooled.is_some())));
    let mut step = |bytes: u64| {
        done += bytes;
        progress(done, total.max(done));
    };
    let packed = job.pack(plan, file, &mut step)?;

    let mut special;
    let bytes = match (&spooled, &staged, dest) {
        (None, ..) => file.metadata().map_err(Error::write(name))?.len(),
        (Some(from), Some(to), _) => transfer(from, &mut &to.file, outer_gzip, name, &mut step)?,
        (Some(from), None, Dest::Stream(to)) => transfer(from, to, outer_gzip, name, &mut step)?,
        (Some(from), None, Dest::Path(path)) => {
            special = fs::OpenOptions::new().write(true).open(path).map_err(Error::write(path))?;
            transfer(from, &mut special, outer_gzip, name, &mut step)?
        }
    };
    let path = staged.map(|s| s.publish(sync)).transpose().map_err(Error::write(name))?;
    let Packed { image_id, manifest, diff_ids, tags, warnings } = packed;
    Ok(Summary { path, bytes, image_id, manifest, diff_ids, tags, warnings })
}

fn is_gzip_name(path: &Path) -> bool {
    let name = path.as_os_str().as_encoded_bytes();
    name.ends_with(b".tar.gz") || name.ends_with(b".tgz")
}

/// A device, pipe or socket: written to, never replaced.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir())
}

/// Copies a finished archive to where it goes; the bytes that arrived there.
fn transfer(
    mut from: &File,
    to: &mut dyn Write,
    compress: bool,
    name: &Path,
    step: &mut dyn FnMut(u64),
) -> Result<u64, Error> {
    let mut pass = || -> io::Result<u64> {
        from.seek(SeekFrom::Start(0))?;
        let mut out = Counted { out: to, count: 0 };
        let mut buf = vec![0; 256 * 1024];
        let mut copy = |out: &mut dyn Write| -> io::Result<()> {
            loop {
                match io::Read::read(&mut from, &mut buf)? {
                    0 => return Ok(()),
                    n => {
                        out.write_all(&buf[..n])?;
                        step(n as u64);
                    }
                }
            }
        };
        if compress {
            let mut zip = Gzip::new(&mut out)?;
            copy(&mut zip)?;
            zip.finish()?;
        } else {
            copy(&mut out)?;
        }
        out.flush()?;
        Ok(out.count)
    };
    pass().map_err(Error::write(name))
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
            Layers::Keep => config::layered(self.image.config, diff_ids, self.epoch),
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

    fn pack(&self, plan: Plan, file: &File, step: &mut dyn FnMut(u64)) -> Result<Packed, Error> {
        let Plan { layers, sizes, .. } = plan;
        if self.format == Format::Tar {
            let (layer, size) = (&layers[0], sizes[0]);
            let (_, written) = layer.write(file, size, self.name, step)?;
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
            let (done, manifest) = oci_archive::write(file, &parts, self.name, step)?;
            (done, Some(manifest))
        } else {
            let parts = docker_archive::Parts { layers, tags: &tags, shown: &shown, config: &config };
            (docker_archive::write(file, &parts, &sizes, self.name, step)?, None)
        };
        let docker_archive::Done { image_id, diff_ids, warnings } = done;
        Ok(Packed { image_id: Some(image_id), manifest, diff_ids, tags: shown, warnings })
    }
}
