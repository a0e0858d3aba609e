//! The archive's outside: compression, `manifest.json`, what an OCI index leaves, names, tags.

use std::io;

use super::{
    Failed, Options,
    archive::{Inflate, Members, Packing, Range, Spool},
    image::{self, Described, DockerEntry, Oci},
    report::Findings,
};
use crate::{profile::Version, tag::Reference};

/// RouterOS reads what its own `/container/save` wrote from here on.
const SAVE: Version = Version { major: 7, minor: 24, patch: 0 };

/// The archive as a plain tar.
pub(super) fn outer(bytes: Range, spool: &mut Spool, findings: &mut Findings) -> Result<Option<Range>, Failed> {
    let packing = bytes.packing()?;
    if !matches!(packing, Packing::Plain | Packing::Gzip) {
        findings.add("outer-compression", "", format!("the archive as a whole is compressed with {}", packing.name()));
    }
    match spool.inflate(bytes) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Inflate::Failed(error)) => Err(Failed::Check(error)),
        Err(Inflate::Bad(why)) => {
            findings.add("archive-damaged", "", format!("the archive can't be inflated: {why}"));
            Ok(None)
        }
        Err(Inflate::TooMuch) => {
            findings.add("archive-damaged", "", "the archive inflates to more than the limit of one check");
            Ok(None)
        }
    }
}

/// The one image of the archive, if there is one.
pub(super) fn check(members: &Members, options: &Options, findings: &mut Findings) -> io::Result<Option<Described>> {
    match (members.count, &members.damage) {
        (0, None) => findings.add("not-a-tar", "", "the archive is empty"),
        (0, Some(_)) => findings.add("not-a-tar", "", "the file is no tar"),
        (_, Some((at, why))) => findings.add("archive-damaged", "", format!("at byte {at}: {why}")),
        (_, None) => {}
    }
    if members.count == 0 {
        return Ok(None);
    }
    for name in &members.unsafe_names {
        findings.add("unsafe-name", name, "a member of the archive has a name that leads out of it");
    }
    for name in &members.twice {
        findings.add("duplicate-name", name, "the archive has two members of this name");
    }
    let has_index = members.has("index.json") || members.has("oci-layout");
    let oci = if members.has("index.json") { Some(image::oci(members)?) } else { None };
    if let Some(oci) = oci.as_ref().filter(|o| o.attestations > 0) {
        let many = if oci.attestations == 1 { "an attestation" } else { "attestations" };
        findings.add(
            "attestation",
            "index.json",
            format!("index.json lists {many} (provenance of platform unknown/unknown)"),
        );
    }
    if members.has("manifest.json") {
        if has_index {
            findings.add("index-leftover", "index.json", "an OCI index lies beside manifest.json");
        }
        return docker(members, findings);
    }
    match oci {
        Some(oci) => Ok(layout(members, oci, options, findings)),
        None if has_index => {
            findings.add("archive-damaged", "index.json", "the OCI layout has no index.json");
            Ok(None)
        }
        None => {
            findings.add(
                "bare-rootfs",
                "",
                "there is no manifest.json: this is not an image (a bare root file system?)",
            );
            Ok(None)
        }
    }
}

fn docker(members: &Members, findings: &mut Findings) -> io::Result<Option<Described>> {
    let entries: Vec<DockerEntry> = match image::json(members, "manifest.json")? {
        Ok(entries) => entries,
        Err(problem) => {
            findings.add("archive-damaged", "manifest.json", problem);
            return Ok(None);
        }
    };
    if entries.len() != 1 {
        findings.add(
            "manifest-entries",
            "manifest.json",
            format!("manifest.json describes {} images, not one", entries.len()),
        );
    }
    let Some(entry) = entries.into_iter().next() else { return Ok(None) };
    let described = Described {
        config: entry.config,
        layers: entry.layers.unwrap_or_default(),
        tags: entry.repo_tags.unwrap_or_default(),
    };
    layers(&described, findings);
    if described.layers.len() > image::MAX_LAYERS {
        let message = format!("more than {} layers are not read", image::MAX_LAYERS);
        findings.add("archive-damaged", "manifest.json", message);
        return Ok(None);
    }
    if described.layers.iter().any(|l| l.starts_with("blobs/")) {
        findings.add("layer-paths", "manifest.json", "layers lie at blobs/sha256/…");
    } else {
        legacy(members, &described, findings);
    }
    tags(&described.tags, findings);
    Ok(Some(described))
}

fn layout(members: &Members, oci: Oci, options: &Options, findings: &mut Findings) -> Option<Described> {
    let own = members.has("ros-container.json") && options.profile.reaches(SAVE);
    let is_universal = options.profile == crate::profile::Profile::Universal;
    if !own || is_universal {
        findings.add("oci-layout", "", "the archive is an OCI layout: it has no manifest.json");
    }
    for problem in &oci.problems {
        findings.add("archive-damaged", "index.json", problem);
    }
    if oci.images.len() > 1 {
        findings.add(
            "manifest-entries",
            "index.json",
            format!("the OCI layout has {} images, not one", oci.images.len()),
        );
    }
    let wanted = options.platform();
    let fits = |platform: &Option<routerpack_graph::Platform>| platform.is_some() && *platform == wanted;
    let at = oci.images.iter().position(|(_, platform)| fits(platform)).unwrap_or(0);
    let (described, _) = oci.images.into_iter().nth(at)?;
    layers(&described, findings);
    Some(described)
}

fn layers(described: &Described, findings: &mut Findings) {
    match described.layers.len() {
        0 => findings.add("layer-damaged", "", "the image has no layers"),
        1 => {}
        n => findings.add("multi-layer", "", format!("the image has {n} layers")),
    }
}

/// The files that only the classic layout has.
fn legacy(members: &Members, described: &Described, findings: &mut Findings) {
    let beside = |layer: &str, file: &str| {
        layer.strip_suffix("layer.tar").is_some_and(|dir| members.has(&format!("{dir}{file}")))
    };
    let mut missing = Vec::new();
    if !members.has("repositories") {
        missing.push("repositories");
    }
    for file in ["VERSION", "json"] {
        if !described.layers.iter().all(|layer| beside(layer, file)) {
            missing.push(file);
        }
    }
    if !missing.is_empty() {
        findings.add("legacy-files", "", format!("the archive has no {}, which are optional", missing.join(", ")));
    }
}

fn tags(tags: &[String], findings: &mut Findings) {
    match tags {
        [] => findings.add("tag", "manifest.json", "the image has no tag, so the container has no default name"),
        [_] => {}
        _ => findings.add("tag", "manifest.json", format!("the image has {} tags; the router shows one", tags.len())),
    }
    for tag in tags.iter().take(8) {
        let shown: String = tag.chars().filter(|c| !c.is_control()).take(100).collect();
        match Reference::parse(tag) {
            Err(_) => findings.add("tag", "manifest.json", format!("`{shown}` is no image name")),
            Ok(reference) => {
                let host = format!("{}/", reference.host);
                if tag.starts_with(&host) {
                    findings.add(
                        "tag",
                        "manifest.json",
                        format!("the tag `{shown}` has a registry's host, which the router shows as it stands"),
                    );
                }
            }
        }
    }
}
