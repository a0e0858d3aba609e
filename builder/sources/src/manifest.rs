//! Manifests and indexes, in OCI's and Docker's media types, and the choice of a platform.
//!
//! OCI image-spec `manifest.md`, `image-index.md`, `descriptor.md`; Docker's are distribution's
//! `manifest-v2-2.md`, which has the same members.

use std::collections::BTreeMap;

use routerpack_graph::{Digest, Platform};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// `application/vnd.oci.image.manifest.v1+json`
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// `application/vnd.oci.image.index.v1+json`
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's index.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// An image config.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Layers; with `+gzip` or `+zstd` when compressed.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What points at a blob: its type, digest and size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Of the content.
    #[serde(default)]
    pub media_type: String,
    /// Of the bytes.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// In an index: what it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<DeclaredPlatform>,
    /// In a layout's index: the tag, among others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// A platform as an index writes it; not normalised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredPlatform {
    /// `linux`
    #[serde(default)]
    pub os: String,
    /// `arm`
    #[serde(default)]
    pub architecture: String,
    /// `v7`
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl Descriptor {
    /// An annotation's text.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// The normalised platform, if one is declared.
    pub fn platform(&self) -> Option<Platform> {
        let p = self.platform.as_ref()?;
        Some(Platform::new(&p.os, &p.architecture, &p.variant))
    }

    /// BuildKit's attestations lie in an index as images of `unknown/unknown` (BuildKit
    /// `docs/attestations/attestation-storage.md`).
    fn is_attestation(&self) -> bool {
        self.annotation("vnd.docker.reference.type").is_some()
            || self.platform.as_ref().is_some_and(|p| p.os == "unknown" || p.architecture == "unknown")
    }

    pub(crate) fn is_index(&self) -> bool {
        self.media_type == OCI_INDEX || self.media_type == DOCKER_INDEX
    }
}

/// One image for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2
    pub schema_version: u32,
    /// Its own type; may be left out in OCI's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// The image config.
    pub config: Descriptor,
    /// Lowest first.
    pub layers: Vec<Descriptor>,
}

/// Images of several platforms; in a layout, of several tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// 2
    pub schema_version: u32,
    /// Its own type; may be left out in OCI's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// The entries.
    pub manifests: Vec<Descriptor>,
}

/// Either of the two.
#[derive(Clone, Debug)]
pub(crate) enum Document {
    Manifest(Manifest),
    Index(Index),
}

impl Document {
    /// Reads a manifest or an index; `what` names it in errors. The kind is what the members say, and
    /// a document that could be read as both is refused (image-spec CVE-2021-41190).
    pub fn parse(bytes: &[u8], what: &str) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Shape {
            schema_version: Option<u32>,
            #[serde(default)]
            media_type: String,
            manifests: Option<serde::de::IgnoredAny>,
            config: Option<serde::de::IgnoredAny>,
            layers: Option<serde::de::IgnoredAny>,
        }
        let bad = |e: serde_json::Error| Error::malformed(what, format!("not a valid manifest: {e}"));
        let shape: Shape = serde_json::from_slice(bytes).map_err(bad)?;
        if shape.schema_version != Some(2) {
            return Err(Error::malformed(
                what,
                "it has not schema version 2 (Docker's version 1 ended in 2017): pull and push the image again with a newer tool",
            ));
        }
        let is_manifest = shape.config.is_some() || shape.layers.is_some();
        match (shape.manifests.is_some(), is_manifest) {
            (true, true) => Err(Error::malformed(what, "it claims to be an index and a manifest at once")),
            (true, false) if [OCI_INDEX, DOCKER_INDEX, ""].contains(&shape.media_type.as_str()) => {
                Ok(Self::Index(serde_json::from_slice(bytes).map_err(bad)?))
            }
            (false, true) if [OCI_MANIFEST, DOCKER_MANIFEST, ""].contains(&shape.media_type.as_str()) => {
                Ok(Self::Manifest(serde_json::from_slice(bytes).map_err(bad)?))
            }
            _ => Err(Error::malformed(what, format!("`{}` is no image manifest or index", shape.media_type))),
        }
    }
}

/// What can hand out small blobs: manifests, indexes and configs, verified.
pub(crate) trait Documents {
    /// The bytes behind a descriptor: the right ones, or an error.
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>>;
}

/// How deep indexes may point at indexes, and how many entries are followed for want of a declared platform.
const MAX_DEPTH: usize = 4;
const MAX_FOLLOWED: usize = 64;

/// From some descriptors to the one that fits best: `Platform::candidates` in order, the first entry
/// of each. A sole manifest is taken as it is, whatever it runs on, as Docker does (the caller compares).
pub(crate) fn choose(
    from: &dyn Documents,
    entries: &[Descriptor],
    platform: &Platform,
    image: &str,
) -> Result<Descriptor> {
    let mut leaves = self::leaves(from, entries, image)?;
    if let [(None, only)] = &leaves[..] {
        return Ok(only.clone());
    }
    for (declared, descriptor) in &mut leaves {
        if declared.is_none() {
            let Document::Manifest(manifest) = Document::parse(&from.document(descriptor)?, image)? else {
                continue;
            };
            let config: DeclaredPlatform = serde_json::from_slice(&from.document(&manifest.config)?)
                .map_err(|e| Error::malformed(format!("{image}: config {}", manifest.config.digest), e))?;
            *declared = Some(Platform::new(&config.os, &config.architecture, &config.variant));
        }
    }
    for candidate in platform.candidates() {
        if let Some((_, found)) = leaves.iter().find(|(p, _)| p.as_ref() == Some(&candidate)) {
            return Ok(found.clone());
        }
    }
    let mut available: Vec<String> = leaves.iter().filter_map(|(p, _)| Some(p.as_ref()?.to_string())).collect();
    available.sort();
    available.dedup();
    Err(Error::NoPlatform { image: image.into(), wanted: platform.clone(), available })
}

/// The manifests that descriptors lead to, and the platforms that are declared for them.
pub(crate) fn leaves(
    from: &dyn Documents,
    entries: &[Descriptor],
    image: &str,
) -> Result<Vec<(Option<Platform>, Descriptor)>> {
    let mut leaves = Vec::new();
    let mut budget = MAX_FOLLOWED;
    collect(from, entries, image, 0, &mut budget, &mut leaves)?;
    Ok(leaves)
}

fn collect(
    from: &dyn Documents,
    entries: &[Descriptor],
    image: &str,
    depth: usize,
    budget: &mut usize,
    leaves: &mut Vec<(Option<Platform>, Descriptor)>,
) -> Result<()> {
    for entry in entries.iter().filter(|e| !e.is_attestation()) {
        let known_manifest = entry.platform.is_some() && !entry.is_index();
        if !known_manifest {
            if depth == MAX_DEPTH || *budget == 0 {
                return Err(Error::malformed(image, "its indexes are nested too deeply or have too many entries"));
            }
            *budget -= 1;
        }
        if entry.is_index() {
            let Document::Index(index) = Document::parse(&from.document(entry)?, image)? else {
                return Err(Error::malformed(image, format!("{} is announced as an index but is none", entry.digest)));
            };
            collect(from, &index.manifests, image, depth + 1, budget, leaves)?;
        } else {
            leaves.push((entry.platform(), entry.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    struct Table(HashMap<Digest, Vec<u8>>);

    impl Documents for Table {
        fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
            Ok(self.0[&descriptor.digest].clone())
        }
    }

    impl Table {
        fn put(&mut self, media_type: &str, bytes: Vec<u8>) -> Descriptor {
            let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
            self.0.insert(digest.clone(), bytes);
            Descriptor { media_type: media_type.into(), digest, size, platform: None, annotations: None }
        }
    }

    fn entry(platform: &str) -> Descriptor {
        let mut parts = platform.split('/').map(String::from);
        let mut part = || parts.next().unwrap_or_default();
        let platform_ = DeclaredPlatform { os: part(), architecture: part(), variant: part() };
        Descriptor {
            media_type: OCI_MANIFEST.into(),
            digest: Digest::of(platform.as_bytes()),
            size: 1,
            platform: Some(platform_),
            annotations: None,
        }
    }

    #[test]
    fn the_best_entry_that_runs_here_is_taken_and_never_a_newer_one() {
        let arms = ["linux/amd64", "linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8", "unknown/unknown"];
        for (has, wants, gets) in [
            (&arms[..], "linux/arm/v7", "linux/arm/v7"),
            (&arms, "linux/arm/v6", "linux/arm/v6"),
            (&arms, "linux/arm/v5", "linux/arm/v5"),
            (&arms, "linux/arm64", "linux/arm64/v8"),
            (&arms, "linux/amd64", "linux/amd64"),
            (&["linux/arm/v6", "linux/arm/v5"], "linux/arm/v7", "linux/arm/v6"),
            (&["linux/arm/v5", "linux/amd64"], "linux/arm/v7", "linux/arm/v5"),
            (&["linux/arm", "linux/arm/v6"], "linux/arm/v6", "linux/arm/v6"),
            (&["linux/arm/v7", "linux/arm64"], "linux/arm/v5", ""),
            (&["linux/arm/v7", "linux/arm64"], "linux/arm/v6", ""),
            (&["linux/arm64", "windows/amd64"], "linux/amd64", ""),
            (&["linux/arm64", "linux/amd64"], "linux/arm/v7", ""),
            (&["unknown/unknown"], "linux/amd64", ""),
            (&[], "linux/amd64", ""),
        ] {
            let entries: Vec<Descriptor> = has.iter().map(|p| entry(p)).collect();
            let wanted = Platform::parse(wants, &Platform::default()).unwrap();
            match choose(&Table(HashMap::new()), &entries, &wanted, "an image") {
                Ok(found) => assert_eq!(found.digest, Digest::of(gets.as_bytes()), "{has:?} for {wants}"),
                Err(Error::NoPlatform { available, .. }) => {
                    assert_eq!(gets, "", "{has:?} for {wants}");
                    assert!(!available.iter().any(|p| p.contains("unknown")));
                }
                Err(e) => panic!("{e}"),
            }
        }
    }

    #[test]
    fn entries_without_a_platform_are_asked_for_their_config() {
        let mut table = Table(HashMap::new());
        let mut image = |arch: &str| {
            let config = table.put(OCI_CONFIG, format!(r#"{{"os":"linux","architecture":"{arch}"}}"#).into_bytes());
            let manifest = Manifest { schema_version: 2, media_type: OCI_MANIFEST.into(), config, layers: Vec::new() };
            table.put(OCI_MANIFEST, serde_json::to_vec(&manifest).unwrap())
        };
        let (amd64, arm64) = (image("amd64"), image("arm64"));
        let inner =
            Index { schema_version: 2, media_type: OCI_INDEX.into(), manifests: vec![amd64.clone(), arm64.clone()] };
        let nested = table.put(OCI_INDEX, serde_json::to_vec(&inner).unwrap());
        let wanted = Platform::new("linux", "arm64", "");
        for entries in [vec![amd64.clone(), arm64.clone()], vec![nested]] {
            assert_eq!(choose(&table, &entries, &wanted, "x").unwrap().digest, arm64.digest);
        }
        // A sole manifest is taken as it is.
        assert_eq!(choose(&table, std::slice::from_ref(&amd64), &wanted, "x").unwrap().digest, amd64.digest);
    }

    #[test]
    fn endless_nesting_ends() {
        let mut table = Table(HashMap::new());
        let mut inner = table.put(OCI_INDEX, br#"{"schemaVersion":2,"manifests":[]}"#.to_vec());
        for _ in 0..10 {
            let index = Index { schema_version: 2, media_type: String::new(), manifests: vec![inner] };
            inner = table.put(OCI_INDEX, serde_json::to_vec(&index).unwrap());
        }
        let error = choose(&table, &[inner], &Platform::new("linux", "arm", "v7"), "x").unwrap_err();
        assert!(error.to_string().contains("nested"), "{error}");
    }

    #[test]
    fn what_is_neither_manifest_nor_index_says_so() {
        let d = r#"{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0}"#;
        for (text, word) in [
            ("", "valid"),
            ("[]", "valid"),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#, "version 2"),
            (r#"{"schemaVersion":2}"#, "no image manifest"),
            (&format!(r#"{{"schemaVersion":2,"manifests":[],"config":{d},"layers":[]}}"#), "at once"),
            (
                &format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","config":{d},"layers":[]}}"#),
                "no image manifest",
            ),
            (r#"{"schemaVersion":2,"config":{"digest":"sha512:00","size":1},"layers":[]}"#, "not a digest"),
            (r#"{"schemaVersion":2,"config":{"digest":"sha256:00","size":-1},"layers":[]}"#, "valid"),
        ] {
            let error = Document::parse(text.as_bytes(), "x").expect_err(text).to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
