//! `--cache-from` and `--cache-to`: results that machines share, as an OCI image in a directory or a registry.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use routerpack_builder::{Built, Part, Strata, StratumId, events::Events, share::LABEL};
use routerpack_graph::{Digest, ImageConfig, Platform};
use routerpack_rootfs::Tree;
use routerpack_sources::{Config, Image, PullPolicy, Reference, Registry, Store, StoreKind};
use routerpack_targets as targets;
use serde_json::{Value, json};

use crate::{failure::Failure, progress::Progress};

/// The one tag in a cache's layout.
const TAG: &str = "latest";

/// A read `--cache-from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheFrom {
    /// A directory that `--cache-to type=local` has written, or any copy of it.
    Local(PathBuf),
    /// The same in a registry.
    Registry(String),
}

/// A read `--cache-to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheTo {
    dir: PathBuf,
    /// Results of all stages, not only what the image is made of.
    all: bool,
}

/// A value that can't be read or is not supported.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidShare(String);

fn fields(text: &str) -> Result<HashMap<&str, &str>, InvalidShare> {
    let field = |field| str::split_once(field, '=').ok_or_else(|| InvalidShare(format!("`{field}` is not NAME=VALUE")));
    text.split(',').map(field).collect()
}

impl FromStr for CacheFrom {
    type Err = InvalidShare;

    /// As buildx reads it: without `=`, a registry's reference.
    fn from_str(text: &str) -> Result<Self, InvalidShare> {
        if !text.contains('=') && !text.is_empty() {
            return Ok(Self::Registry(text.into()));
        }
        let fields = fields(text)?;
        let field = |name: &str| {
            let value = fields.get(name).filter(|value| !value.is_empty());
            value.map(ToString::to_string).ok_or_else(|| InvalidShare(format!("{name}=… is missing")))
        };
        match fields.get("type").copied() {
            Some("local") => field("src").map(|dir| Self::Local(dir.into())),
            Some("registry") => field("ref").map(Self::Registry),
            other => Err(InvalidShare(format!(
                "type={} is not supported; known are local and registry",
                other.unwrap_or("")
            ))),
        }
    }
}

impl FromStr for CacheTo {
    type Err = InvalidShare;

    fn from_str(text: &str) -> Result<Self, InvalidShare> {
        let fields = fields(text)?;
        let all = match fields.get("mode").copied() {
            None | Some("min") => false,
            Some("max") => true,
            Some(other) => return Err(InvalidShare(format!("mode={other} is not min or max"))),
        };
        match (fields.get("type").copied(), fields.get("dest")) {
            (Some("local"), Some(dir)) if !dir.is_empty() => Ok(Self { dir: dir.into(), all }),
            (Some("local"), _) => Err(InvalidShare("dest=DIR is missing".into())),
            (Some("registry"), _) => Err(InvalidShare(
                "type=registry is not supported; write type=local,dest=DIR and push that, which is an OCI layout: \
                 skopeo copy oci:DIR:latest docker://NAME"
                    .into(),
            )),
            (other, _) => Err(InvalidShare(format!("type={} is not supported; known is local", other.unwrap_or("")))),
        }
    }
}

/// Opens other machines' caches. One that can't be had is told, and left out.
pub fn open(
    from: &[CacheFrom],
    registry: &Registry,
    config: &Config,
    platform: &Platform,
    progress: &Progress,
) -> Vec<Image> {
    let open = |from: &CacheFrom| match from {
        CacheFrom::Local(dir) => Store::open(dir, Some(StoreKind::OciLayout), config)
            .and_then(|store| store.image(Some(TAG), None, platform))
            .map_err(|e| e.to_string()),
        CacheFrom::Registry(name) => {
            let reference = Reference::parse(name).map_err(|e| e.to_string())?;
            registry.image(&reference, platform, PullPolicy::Always).map_err(|e| e.to_string())
        }
    };
    let told = |error: String| progress.warning(&format!("--cache-from: {error}"));
    from.iter().filter_map(|from| open(from).map_err(told).ok()).collect()
}

/// Writes what a build gave, for other machines.
pub fn write(
    to: &CacheTo,
    built: &Built,
    strata: &Strata,
    platform: &Platform,
    sources: &Config,
) -> Result<(), Failure> {
    let ids = built.results.strata(strata, (!to.all).then_some(&built.rootfs));
    if ids.is_empty() {
        return Err(Failure::new("no step of this build has written anything, so there is nothing to keep"));
    }
    let temp = strata.cache().temp_dir().map_err(Failure::new)?;
    let image = archive(&ids, strata, platform, sources, &temp)?;
    let names: HashMap<StratumId, Digest> =
        ids.iter().cloned().zip(image.layers.iter().map(|layer| layer.diff_id.clone())).collect();
    let shared = serde_json::to_string(&built.results.shared(strata, &names)).map_err(Failure::new)?;
    let written = layout(&to.dir, &image, &shared);
    let _ = fs::remove_dir_all(&temp);
    written.map_err(|e| Failure::new(format!("{}: {e}", to.dir.display())))
}

/// The strata as layers of an image.
fn archive(
    ids: &[StratumId],
    strata: &Strata,
    platform: &Platform,
    sources: &Config,
    temp: &Path,
) -> Result<Image, Failure> {
    let source = |id: &StratumId| {
        let stratum = strata.stratum(&Part::Kept(id.clone())).map_err(Failure::new)?;
        let diff_id = if let StratumId::Layer(diff_id) = id { Some(diff_id.clone()) } else { None };
        Ok(targets::LayerSource { stratum, diff_id, blob: None, made: None })
    };
    let layers = ids.iter().map(source).collect::<Result<Vec<_>, Failure>>()?;
    let config = ImageConfig {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone(),
        ..ImageConfig::default()
    };
    let file = temp.join("layers.tar");
    let tree = Tree::default(); // nobody mounts it: its layers are no image together
    let request = targets::Request {
        format: targets::Format::Oci,
        dest: targets::Dest::Path(&file),
        tags: &[format!("cache:{TAG}")],
        layers: targets::Layers::Keep,
        epoch: None,
        compression: targets::Compression::Gzip,
        spool: temp,
        check: None,
        sync: false,
        now: None,
    };
    let image = targets::Image { tree: &tree, config: &config, layers: &layers };
    targets::write(&image, request, &mut |_, _| std::ops::ControlFlow::Continue(())).map_err(Failure::new)?;
    let store = Store::open(&file, Some(StoreKind::OciLayout), sources).map_err(Failure::new)?;
    store.image(None, None, platform).map_err(Failure::new)
}

/// Writes the image, with the results in its config, as a layout. Blobs that are there already stay as they are; the
/// index is replaced last, so that a reader finds the former cache or this one.
fn layout(dir: &Path, image: &Image, shared: &str) -> io::Result<()> {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    for (n, layer) in image.layers.iter().enumerate() {
        let path = blobs.join(layer.digest.hex());
        if fs::metadata(&path).is_ok_and(|meta| meta.len() == layer.size) {
            continue;
        }
        let mut blob = image.open_blob(n, None).map_err(io::Error::other)?;
        put(&path, |file| io::copy(&mut blob, file).map(drop))?;
    }
    let mut config = image.config.clone();
    config.history.clear();
    config.config.labels.insert(LABEL.into(), shared.into());
    let small = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        put(&blobs.join(digest.hex()), |file| io::Write::write_all(file, bytes))?;
        io::Result::Ok((digest.to_string(), bytes.len()))
    };
    let mut manifest: Value = serde_json::from_slice(&image.manifest)?;
    let (digest, size) = small(&serde_json::to_vec(&config)?)?;
    manifest["config"]["digest"] = digest.into();
    manifest["config"]["size"] = size.into();
    let (digest, size) = small(&serde_json::to_vec(&manifest)?)?;
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size,
            "annotations": { "org.opencontainers.image.ref.name": TAG },
        }],
    });
    put(&dir.join("oci-layout"), |file| io::Write::write_all(file, br#"{"imageLayoutVersion":"1.0.0"}"#))?;
    put(&dir.join("index.json"), |file| io::Write::write_all(file, index.to_string().as_bytes()))
}

/// Writes a file by temporary name and rename.
fn put(path: &Path, write: impl FnOnce(&mut fs::File) -> io::Result<()>) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    write(file.as_file_mut())?;
    use std::os::unix::fs::PermissionsExt;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    file.persist(path).map(drop).map_err(|e| e.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_caches() {
        let from = |text: &str| text.parse::<CacheFrom>();
        assert_eq!(from("type=local,src=d").unwrap(), CacheFrom::Local("d".into()));
        for registry in ["host:5000/a/b:c", "type=registry,ref=host:5000/a/b:c"] {
            assert_eq!(from(registry).unwrap(), CacheFrom::Registry("host:5000/a/b:c".into()));
        }
        for bad in ["", "type=local", "type=registry", "type=gha", "type=local,src=", "src=d", "type=local,d"] {
            assert!(from(bad).is_err(), "{bad}");
        }
        let to = |text: &str| text.parse::<CacheTo>();
        assert_eq!(to("type=local,dest=d").unwrap(), CacheTo { dir: "d".into(), all: false });
        assert_eq!(to("type=local,dest=d,mode=max").unwrap(), CacheTo { dir: "d".into(), all: true });
        for bad in ["", "d", "type=inline", "type=registry,ref=x", "type=local", "type=local,dest=d,mode=all"] {
            assert!(to(bad).is_err(), "{bad}");
        }
    }
}
