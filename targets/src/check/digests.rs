//! The config: whether it is what it says, and for whom; and whether the layers are what it says.

use std::io::{self, Read};

use routerpack_graph::{Digest, ImageConfig};
use sha2::{Digest as _, Sha256};

use super::{
    Options,
    archive::{Members, Range},
    image::{self, Described},
    report::Findings,
};

/// The config and its digest, which is the image's id.
pub(super) fn config(
    members: &Members,
    described: &Described,
    findings: &mut Findings,
) -> io::Result<Option<(ImageConfig, Digest)>> {
    let name = described.config.as_str();
    let Some(bytes) = image::config(members, name)? else {
        let what = if members.has(name) { "is too large" } else { "is missing" };
        findings.add("config-missing", name, format!("the image's config {what}"));
        return Ok(None);
    };
    let id = Digest::of(&bytes);
    // `<hex>.json`, `blobs/sha256/<hex>`, `sha256:<hex>`: whatever else a name is, it claims no digest.
    let stem = name.rsplit(['/', ':']).next().unwrap_or(name);
    let stem = stem.strip_suffix(".json").unwrap_or(stem);
    let claims = stem.len() == 64 && stem.bytes().all(|b| b.is_ascii_hexdigit());
    if claims && !stem.eq_ignore_ascii_case(id.hex()) {
        findings.add("config-digest", name, format!("the config's name is not its digest, which is {}", id.hex()));
    }
    match ImageConfig::from_json(&bytes) {
        Ok(config) => Ok(Some((config, id))),
        Err(error) => {
            findings.add("config-missing", name, format!("the image's config can't be read: {error}"));
            Ok(None)
        }
    }
}

/// Whether it is for a router, and for this one.
pub(super) fn platform(config: &ImageConfig, options: &Options, findings: &mut Findings) {
    if config.os != "linux" {
        findings.add("config-os", "", format!("the config says os `{}`, not linux", short(&config.os)));
    }
    let own = routerpack_graph::Platform::new("linux", &config.architecture, &config.variant);
    match options.platform() {
        Some(wanted) if wanted.architecture != own.architecture => {
            let whose = options.device.map_or(String::new(), |d| format!(" of the {d}"));
            findings.add(
                "config-architecture",
                "",
                format!("the image is for {}, not for {wanted}{whose}", short(&own.to_string())),
            );
        }
        Some(wanted) if !wanted.candidates().contains(&own) => {
            let named = if config.variant.is_empty() { "names no variant, which means" } else { "says" };
            findings.add("config-variant", "", format!("the config {named} {}, not {wanted}", short(&own.to_string())));
        }
        Some(_) => {}
        None if !matches!(own.architecture.as_str(), "arm" | "arm64" | "amd64") => {
            let given =
                if config.architecture.is_empty() { "no architecture".into() } else { short(&config.architecture) };
            findings.add(
                "config-architecture",
                "",
                format!("the image is for {given}: routers have arm, arm64 and amd64 (x86)"),
            );
        }
        None => {}
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

/// Whether the layers are those of the config; `None` is a layer that could not be read.
pub(super) fn diff_ids(config: &ImageConfig, layers: &[Option<Digest>], findings: &mut Findings) {
    let said = &config.rootfs.diff_ids;
    if said.len() != layers.len() {
        let (said, are) = (said.len(), layers.len());
        findings.add("diff-ids", "", format!("the config lists {said} layers, the manifest {are}"));
        return;
    }
    for (at, (said, is)) in said.iter().zip(layers).enumerate() {
        if let Some(is) = is.as_ref().filter(|is| *is != said) {
            findings.add(
                "diff-ids",
                "",
                format!("layer {} is {}, but the config says {}", at + 1, is.hex(), said.hex()),
            );
        }
    }
}

/// The sha256 of a range.
pub(super) fn hash(mut bytes: Range) -> io::Result<Digest> {
    let (mut hash, mut buf) = (Sha256::new(), vec![0; 128 << 10]);
    loop {
        match bytes.read(&mut buf)? {
            0 => return Ok(Digest::from_hash(hash.finalize().into())),
            n => hash.update(&buf[..n]),
        }
    }
}
