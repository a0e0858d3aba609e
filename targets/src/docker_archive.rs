//! The archive that `docker load`, `podman load` and RouterOS read.
//!
//! Layout (moby/docker-image-spec v1.2 and v1): `manifest.json`, `repositories`,
//! `<config sha256>.json`, and for each layer `<id>/` with `VERSION`, `json` and `layer.tar`; the id
//! is the layer's diff_id. It is the form that every RouterOS version reported takes; layers are
//! never compressed, which no RouterOS version reported takes.
//!
//! The names depend on the digests, and these are known only when the layers are written. So room
//! is left before each layer, and the parts before it, whose lengths don't depend on the digests'
//! values, are written into it afterwards. No byte of content is written twice.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::Path,
};

use routerpack_graph::{Digest, ImageConfig};
use serde::Serialize;
use tar::EntryType;

use crate::{
    Error, config,
    header::{BLOCK, Member, padding},
    layer::Layer,
    pass::Pass,
    tag::Reference,
    warning::Warnings,
};

/// What an archive is made of.
pub(crate) struct Parts<'a> {
    /// Lowest first.
    pub layers: Vec<Layer>,
    pub tags: &'a [Reference],
    /// Names as they stand in the archive, one for each of `tags`.
    pub shown: &'a [String],
    /// The config once the diff_ids are known; its length must not depend on their values.
    pub config: &'a dyn Fn(Vec<Digest>) -> Result<ImageConfig, Error>,
}

/// What was written.
pub(crate) struct Done {
    pub image_id: Digest,
    pub diff_ids: Vec<Digest>,
    pub warnings: Warnings,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestEntry<'a> {
    config: String,
    repo_tags: Option<&'a [String]>,
    layers: Vec<String>,
}

#[derive(Serialize)]
struct LayerJson<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<&'a str>,
    os: &'a str,
}

/// Writes the archive from the start of an empty, seekable file.
pub(crate) fn write(
    mut file: &File,
    parts: &Parts,
    sizes: &[u64],
    name: &Path,
    pass: &mut Pass,
) -> Result<Done, Error> {
    let failed = |e| Error::write(name)(e);
    let unknown = vec![Digest::of(b""); sizes.len()];
    let blank = (parts.config)(unknown.clone())?;
    let head_len = head(parts, &blank, &unknown).0.len() as u64;

    let mut diff_ids: Vec<Digest> = Vec::new();
    let mut warnings = Warnings::default();
    let mut at = head_len;
    for (layer, &size) in parts.layers.iter().zip(sizes) {
        let parent = diff_ids.last().cloned();
        let lead_len = lead(&unknown[0], parent.as_ref(), &blank, size).len() as u64;
        file.seek(SeekFrom::Start(at + lead_len)).map_err(failed)?;
        let (_, written) = layer.write(file, size, name, pass)?;
        if written.size != size {
            return Err(failed(io::Error::other("the layer's size is not the planned one")));
        }
        warnings.append(written.warnings);
        if !diff_ids.contains(&written.diff_id) {
            let lead = lead(&written.diff_id, parent.as_ref(), &blank, size);
            file.write_all_at(&lead, at).map_err(failed)?;
            file.seek(SeekFrom::Start(at + lead_len + size)).map_err(failed)?;
            file.write_all(&[0; BLOCK as usize][..padding(size)]).map_err(failed)?;
            at += lead_len + size + padding(size) as u64;
        } // else the same layer again, which the archive has already: the next one overwrites it
        diff_ids.push(written.diff_id);
    }

    let config = (parts.config)(diff_ids.clone())?;
    let (head, image_id) = head(parts, &config, &diff_ids);
    if head.len() as u64 != head_len {
        return Err(failed(io::Error::other("the archive's head is not as long as planned")));
    }
    file.write_all_at(&head, 0).map_err(failed)?;
    file.set_len(at).map_err(failed)?;
    file.seek(SeekFrom::Start(at)).map_err(failed)?;
    file.write_all(&[0; 2 * BLOCK as usize]).map_err(failed)?;
    Ok(Done { image_id, diff_ids, warnings })
}

/// Everything before the first layer, and the image's id.
fn head(parts: &Parts, config: &ImageConfig, diff_ids: &[Digest]) -> (Vec<u8>, Digest) {
    let config = config::to_json(config);
    let image_id = Digest::of(&config);
    let manifest = [ManifestEntry {
        config: format!("{}.json", image_id.hex()),
        repo_tags: (!parts.shown.is_empty()).then_some(parts.shown),
        layers: diff_ids.iter().map(|d| format!("{}/layer.tar", d.hex())).collect(),
    }];
    let mut repositories = serde_json::Map::new();
    for (reference, shown) in parts.tags.iter().zip(parts.shown) {
        let name = shown.strip_suffix(&format!(":{}", reference.tag)).unwrap_or(shown);
        let tags = repositories.entry(name).or_insert_with(|| serde_json::Value::Object(serde_json::Map::new()));
        if let (Some(tags), Some(top)) = (tags.as_object_mut(), diff_ids.last()) {
            tags.insert(reference.tag.clone(), top.hex().into());
        }
    }
    let mut out = Vec::new();
    let json = |value: Result<Vec<u8>, serde_json::Error>| value.unwrap_or_default(); // plain data can't fail
    put(&mut out, "manifest.json", &json(serde_json::to_vec(&manifest)));
    if !repositories.is_empty() {
        put(&mut out, "repositories", &json(serde_json::to_vec(&repositories)));
    }
    put(&mut out, &manifest[0].config, &config);
    (out, image_id)
}

/// Everything between the layer before and this layer's bytes.
fn lead(id: &Digest, parent: Option<&Digest>, config: &ImageConfig, size: u64) -> Vec<u8> {
    let id = id.hex();
    let mut out = Vec::new();
    Member { path: id.as_bytes(), kind: EntryType::Directory, mode: 0o755, ..Member::default() }.write_to(&mut out);
    put(&mut out, &format!("{id}/VERSION"), b"1.0");
    let json = LayerJson { id, parent: parent.map(Digest::hex), created: config.created.as_deref(), os: &config.os };
    put(&mut out, &format!("{id}/json"), &serde_json::to_vec(&json).unwrap_or_default());
    Member { path: format!("{id}/layer.tar").as_bytes(), size, ..Member::default() }.write_to(&mut out);
    out
}

/// A small file with its header. Outer headers have fixed owners, modes and times (0).
pub(crate) fn put(out: &mut Vec<u8>, path: &str, bytes: &[u8]) {
    Member { path: path.as_bytes(), size: bytes.len() as u64, ..Member::default() }.write_to(out);
    out.extend_from_slice(bytes);
    out.resize(out.len() + padding(bytes.len() as u64), 0);
}
