//! An OCI image layout as a tar (image-spec, `image-layout.md`).
//!
//! `oci-layout`, then the blobs (layers, config, manifest), then `index.json`. A base image's layers
//! keep the compressed bytes that they came with, where these are at hand, so that a registry which
//! has them needs no upload; all others are compressed here, or plain on request. A blob's name and
//! size are known when it is written: its header is put into the room left before it.

use std::{
    collections::HashMap,
    fs::File,
    io::{Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::Path,
};

use oci_spec::{
    OciSpecError,
    image::{
        Descriptor, ImageIndex, ImageIndexBuilder, ImageManifestBuilder, MediaType, OciLayoutBuilder, Sha256Digest,
    },
};
use routerpack_graph::{Digest, ImageConfig};
use tar::EntryType;

use crate::{
    Error, config,
    docker_archive::{Done, put},
    gzip::{self, Gzip},
    header::{BLOCK, MAX_SIZE, Member, padding},
    layer::{self, Layer},
    pass::Pass,
    request::Blob,
    sink::Sink,
    tag::Reference,
    warning::Warnings,
};

/// One layer, and the compressed bytes that it came with.
pub(crate) struct Source<'a> {
    pub layer: Layer,
    pub size: u64,
    pub blob: Option<&'a Blob>,
}

/// What an archive is made of.
pub(crate) struct Parts<'a> {
    /// Lowest first.
    pub layers: Vec<Source<'a>>,
    pub tags: &'a [Reference],
    /// Whether layers without a blob of their own are compressed.
    pub gzip: bool,
    /// The config once the diff_ids are known.
    pub config: &'a dyn Fn(Vec<Digest>) -> Result<ImageConfig, Error>,
}

/// Writes the archive from the start of an empty, seekable file; also the manifest's digest.
pub(crate) fn write(file: &File, parts: &Parts, name: &Path, pass: &mut Pass) -> Result<(Done, Digest), Error> {
    let mut archive = Archive { file, at: 0, name, blobs: HashMap::new() };
    archive.start()?;

    let mut warnings = Warnings::default();
    let mut diff_ids = Vec::new();
    let mut layers = Vec::new();
    for source in &parts.layers {
        let (diff_id, descriptor) = archive.layer(source, parts.gzip, &mut warnings, pass)?;
        diff_ids.push(diff_id);
        layers.push(descriptor);
    }

    let config = config::to_json(&(parts.config)(diff_ids.clone())?);
    let image_id = Digest::of(&config);
    let config = archive.small_blob(&config, MediaType::ImageConfig)?;

    let manifest = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers(layers)
        .build()
        .map_err(incomplete)?;
    let manifest = serde_json::to_vec(&manifest).unwrap_or_default(); // plain data can't fail
    let manifest_digest = Digest::of(&manifest);
    let descriptor = archive.small_blob(&manifest, MediaType::ImageManifest)?;

    // One entry a name, with the annotations that BuildKit's OCI exporter writes and containerd reads.
    let mut manifests: Vec<Descriptor> = parts
        .tags
        .iter()
        .map(|tag| {
            let annotations = [
                ("io.containerd.image.name".to_string(), tag.to_string()),
                ("org.opencontainers.image.ref.name".to_string(), tag.tag.clone()),
            ];
            let mut named = descriptor.clone();
            named.set_annotations(Some(HashMap::from(annotations)));
            named
        })
        .collect();
    if manifests.is_empty() {
        manifests.push(descriptor);
    }
    let index = ImageIndexBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageIndex)
        .manifests(manifests)
        .build()
        .map_err(incomplete)?;
    archive.finish(&index)?;
    Ok((Done { image_id, diff_ids, warnings }, manifest_digest))
}

struct Archive<'a> {
    file: &'a File,
    /// End of what is complete.
    at: u64,
    name: &'a Path,
    /// Sizes of the blobs in it, by digest.
    blobs: HashMap<Digest, u64>,
}

impl Archive<'_> {
    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all_at(bytes, self.at).map_err(Error::write(self.name))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn start(&mut self) -> Result<(), Error> {
        let layout = OciLayoutBuilder::default().image_layout_version("1.0.0").build().map_err(incomplete)?;
        let mut head = Vec::new();
        put(&mut head, "oci-layout", &serde_json::to_vec(&layout).unwrap_or_default());
        for path in ["blobs", "blobs/sha256"] {
            let dir = Member { path: path.as_bytes(), kind: EntryType::Directory, mode: 0o755, ..Member::default() };
            dir.write_to(&mut head);
        }
        self.append(&head)
    }

    fn finish(&mut self, index: &ImageIndex) -> Result<(), Error> {
        // A value's maps are sorted by key here, so the annotations' order is always the same.
        let value = serde_json::to_value(index).map(sorted).unwrap_or_default();
        let mut tail = Vec::new();
        put(&mut tail, "index.json", value.to_string().as_bytes());
        tail.resize(tail.len() + 2 * BLOCK as usize, 0);
        self.append(&tail)?;
        self.file.set_len(self.at).map_err(Error::write(self.name)) // cuts what a repeated blob left
    }

    fn small_blob(&mut self, bytes: &[u8], media_type: MediaType) -> Result<Descriptor, Error> {
        let digest = Digest::of(bytes);
        if !self.blobs.contains_key(&digest) {
            let mut out = Vec::new();
            put(&mut out, &format!("blobs/sha256/{}", digest.hex()), bytes);
            self.append(&out)?;
            self.blobs.insert(digest.clone(), bytes.len() as u64);
        }
        descriptor(media_type, &digest, bytes.len() as u64)
    }

    fn layer(
        &mut self,
        source: &Source,
        compress: bool,
        warnings: &mut Warnings,
        pass: &mut Pass,
    ) -> Result<(Digest, Descriptor), Error> {
        let name = self.name;
        if let (Some(blob), Layer::Copied { diff_id: Some(diff_id), .. }) = (source.blob, &source.layer) {
            let shown = blob.path.as_os_str().as_encoded_bytes();
            let content = File::open(&blob.path).map_err(Error::read(shown))?;
            let (digest, _) = self.large_blob(blob.size, |out| {
                let mut sink = Sink::new(out, blob.size);
                layer::copy(&mut sink, &content, 0, blob.size, shown, name, pass)?;
                let (_, digest, size) = sink.finish().map_err(Error::write(name))?;
                match digest == blob.digest {
                    true => Ok((digest, size)),
                    false => Err(Error::Digest { expected: blob.digest.clone(), found: digest }),
                }
            })?;
            return Ok((diff_id.clone(), descriptor(oci_type(&blob.media_type), &digest, blob.size)?));
        }

        let mut diff_id = None;
        let bound = if compress { gzip::bound(source.size) } else { source.size };
        let (digest, size) = self.large_blob(bound, |out| {
            let sink = Sink::new(out, source.size);
            let (sink, written) = if compress {
                let (zip, written) =
                    source.layer.write(Gzip::new(sink).map_err(Error::write(name))?, source.size, name, pass)?;
                (zip.finish().map_err(Error::write(name))?, written)
            } else {
                source.layer.write(sink, source.size, name, pass)?
            };
            warnings.append(written.warnings);
            diff_id = Some(written.diff_id);
            let (_, digest, size) = sink.finish().map_err(Error::write(name))?;
            Ok((digest, size))
        })?;
        let media_type = if compress { MediaType::ImageLayerGzip } else { MediaType::ImageLayer };
        let diff_id = diff_id.unwrap_or_else(|| digest.clone());
        Ok((diff_id, descriptor(media_type, &digest, size)?))
    }

    /// Writes a blob of at most `bound` bytes, then the header before it.
    fn large_blob(
        &mut self,
        bound: u64,
        write: impl FnOnce(&File) -> Result<(Digest, u64), Error>,
    ) -> Result<(Digest, u64), Error> {
        let header = |digest: &Digest, size| {
            let path = format!("blobs/sha256/{}", digest.hex());
            let mut out = Vec::new();
            Member { path: path.as_bytes(), size, wide: bound > MAX_SIZE, ..Member::default() }.write_to(&mut out);
            out
        };
        let content = self.at + header(&Digest::of(b""), bound).len() as u64;
        (&mut &*self.file).seek(SeekFrom::Start(content)).map_err(Error::write(self.name))?;
        let (digest, size) = write(self.file)?;
        if self.blobs.insert(digest.clone(), size).is_none() {
            (&mut &*self.file).write_all(&[0; BLOCK as usize][..padding(size)]).map_err(Error::write(self.name))?;
            self.append(&header(&digest, size))?;
            self.at = content + size + padding(size) as u64;
        } // else the archive has it: the next blob overwrites this one
        Ok((digest, size))
    }
}

fn incomplete(e: OciSpecError) -> Error {
    Error::Layers(format!("the image's manifest can't be made: {e}"))
}

fn descriptor(media_type: MediaType, digest: &Digest, size: u64) -> Result<Descriptor, Error> {
    let digest: Sha256Digest = digest.hex().parse().map_err(incomplete)?;
    Ok(Descriptor::new(media_type, size, digest))
}

/// OCI's name for a layer's type, where Docker has another one for the same bytes (moby's
/// distribution spec v2.2, "Media Types").
fn oci_type(media_type: &str) -> MediaType {
    match media_type {
        "application/vnd.docker.image.rootfs.diff.tar" => MediaType::ImageLayer,
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => MediaType::ImageLayerGzip,
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => MediaType::ImageLayerZstd,
        other => MediaType::from(other),
    }
}

fn sorted(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(pairs.into_iter().collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_blob_that_may_pass_8_gib_says_its_size_in_pax() {
        for (bound, has_pax) in [(MAX_SIZE, false), (MAX_SIZE + 1, true)] {
            let file = tempfile::tempfile().unwrap();
            let mut archive = Archive { file: &file, at: 0, name: Path::new("x"), blobs: HashMap::new() };
            let put = |mut out: &File, text: &str| {
                out.write_all(text.as_bytes()).unwrap();
                Ok((Digest::of(text.as_bytes()), text.len() as u64))
            };
            // Written, repeated (and so overwritten), another.
            for text in ["one", "one", "another"] {
                archive.large_blob(bound, |out| put(out, text)).unwrap();
            }
            archive.append(&[0; 1024]).unwrap();
            let mut bytes = Vec::new();
            (&file).seek(SeekFrom::Start(0)).unwrap();
            (&file).read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes[156] == b'x', has_pax);
            let mut tar = tar::Archive::new(&bytes[..]);
            let found: Vec<_> = tar
                .entries()
                .unwrap()
                .map(|e| {
                    let mut e = e.unwrap();
                    let mut text = String::new();
                    e.read_to_string(&mut text).unwrap();
                    (e.path().unwrap().to_string_lossy().into_owned(), text)
                })
                .collect();
            let want =
                ["one", "another"].map(|t| (format!("blobs/sha256/{}", Digest::of(t.as_bytes()).hex()), t.into()));
            assert_eq!(found, want);
        }
    }

    #[test]
    fn docker_names_of_layers_become_oci_names() {
        for (docker, oci) in [
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.oci.image.layer.v1.tar+gzip"),
            ("application/vnd.docker.image.rootfs.diff.tar", "application/vnd.oci.image.layer.v1.tar"),
            ("application/vnd.oci.image.layer.v1.tar+zstd", "application/vnd.oci.image.layer.v1.tar+zstd"),
            ("application/x-other", "application/x-other"),
        ] {
            assert_eq!(oci_type(docker).to_string(), oci);
        }
    }
}
