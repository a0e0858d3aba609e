//! Which image an archive holds: by `manifest.json` (Docker image specification 1.2, "Combined Image JSON"), or by
//! `index.json` (OCI image-spec, image-layout.md).

use std::io;

use routerpack_graph::Platform;
use serde::Deserialize;

use super::archive::{Members, Range};

/// A manifest, index or config longer than this is no honest one.
const MAX_JSON: u64 = 4 << 20;
/// Indexes in indexes.
const MAX_DEPTH: usize = 4;
/// Indexes and manifests that are read in all: an index can list another as often as it likes.
const MAX_DOCUMENTS: usize = 256;
/// Layers of one image; the sources that `convert` reads from have the same. Docker itself stops at 127.
pub(crate) const MAX_LAYERS: usize = 1000;

/// One line of `manifest.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DockerEntry {
    pub config: String,
    #[serde(default)]
    pub repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub layers: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OciPlatform {
    os: String,
    architecture: String,
    variant: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    platform: Option<OciPlatform>,
    #[serde(default)]
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OciDocument {
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

/// An image's parts, by the names that they have in the archive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Described {
    pub config: String,
    pub layers: Vec<String>,
    pub tags: Vec<String>,
}

/// What an OCI index says.
#[derive(Debug, Default)]
pub(crate) struct Oci {
    /// Its images, attestations left out.
    pub images: Vec<(Described, Option<Platform>)>,
    /// How many manifests are attestations.
    pub attestations: usize,
    /// What could not be read.
    pub problems: Vec<String>,
    /// Documents that were read.
    read: usize,
}

/// A JSON document of the archive; an error says what is wrong with it.
pub(crate) fn json<T: serde::de::DeserializeOwned>(members: &Members, name: &str) -> io::Result<Result<T, String>> {
    Ok(match members.small(name, MAX_JSON)? {
        None if members.has(name) => Err(format!("`{name}` is longer than {MAX_JSON} bytes")),
        None => Err(format!("`{name}` is missing")),
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|e| format!("`{name}` is damaged: {e}")),
    })
}

/// A config's bytes.
pub(crate) fn config(members: &Members, name: &str) -> io::Result<Option<Vec<u8>>> {
    members.small(name, MAX_JSON)
}

/// Reads `index.json` and what it leads to.
pub(crate) fn oci(members: &Members) -> io::Result<Oci> {
    let mut oci = Oci::default();
    index(members, "index.json", &[], MAX_DEPTH, &mut oci)?;
    Ok(oci)
}

fn index(members: &Members, name: &str, tags: &[String], depth: usize, oci: &mut Oci) -> io::Result<()> {
    let Some(document) = read_document(members, name, oci)? else { return Ok(()) };
    for manifest in document.manifests.unwrap_or_default().into_iter().take(256) {
        let annotation = |key: &str| manifest.annotations.as_ref().and_then(|a| a.get(key));
        let is_unknown = manifest.platform.as_ref().is_some_and(|p| p.os == "unknown" || p.architecture == "unknown");
        if is_unknown || annotation("vnd.docker.reference.type").is_some_and(|t| t == "attestation-manifest") {
            oci.attestations += 1;
            continue;
        }
        let name = annotation("io.containerd.image.name").or_else(|| annotation("org.opencontainers.image.ref.name"));
        let tags: Vec<String> = name.cloned().into_iter().chain(tags.iter().cloned()).take(1).collect();
        let Some(file) = blob(&manifest.digest) else {
            oci.problems.push(format!("`{}` is no digest", manifest.digest.chars().take(80).collect::<String>()));
            continue;
        };
        if manifest.media_type.contains("index") || manifest.media_type.contains("manifest.list") {
            match depth {
                0 => oci.problems.push("indexes lead to indexes without end".into()),
                _ => index(members, &file, &tags, depth - 1, oci)?,
            }
            continue;
        }
        let Some(document) = read_document(members, &file, oci)? else { continue };
        let parts = document.layers.unwrap_or_default();
        if parts.len() > MAX_LAYERS {
            oci.problems.push(format!("`{file}` has {} layers: more than {MAX_LAYERS} are not read", parts.len()));
            continue;
        }
        let layers: Vec<String> = parts.iter().filter_map(|l| blob(&l.digest)).collect();
        match document.config.and_then(|c| blob(&c.digest)) {
            Some(config) if layers.len() == parts.len() => {
                let platform = manifest.platform.map(|p| Platform::new(&p.os, &p.architecture, &p.variant));
                oci.images.push((Described { config, layers, tags }, platform));
            }
            _ => oci.problems.push(format!("`{file}` is no image manifest")),
        }
    }
    Ok(())
}

/// An index or a manifest, unless too many were read or this one is damaged, which is noted.
fn read_document(members: &Members, name: &str, oci: &mut Oci) -> io::Result<Option<OciDocument>> {
    oci.read += 1;
    let problem = match oci.read <= MAX_DOCUMENTS {
        true => match json(members, name)? {
            Ok(document) => return Ok(Some(document)),
            Err(problem) => problem,
        },
        false => format!("there are more than {MAX_DOCUMENTS} indexes and manifests, which are not read"),
    };
    if oci.problems.last() != Some(&problem) {
        oci.problems.push(problem);
    }
    Ok(None)
}

/// Where a layout keeps a blob.
fn blob(digest: &str) -> Option<String> {
    let (algorithm, hex) = digest.split_once(':')?;
    let good =
        matches!(algorithm, "sha256" | "sha512") && hex.len() >= 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    good.then(|| format!("blobs/{algorithm}/{hex}"))
}

/// A layer of the image, where it lies.
pub(crate) fn layer(members: &Members, name: &str) -> Option<Range> {
    members.find(name)
}
