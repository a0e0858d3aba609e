//! Where an image is, as a command line names it: a registry, a file, a container engine, a stream.
//!
//! The prefixes are containers-transports(5)'s. What has none is a name in a registry, unless it is
//! written like a path or a file of that name is there.

use std::path::{Path, PathBuf};

use routerpack_graph::Digest;

use crate::{StoreKind, context, reference::Reference};

/// A place that an image can be read from. Nothing has been opened yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// `docker://REF`, or a bare name: an image in a registry.
    Registry(Reference),
    /// `docker-archive:PATH[:NAME]`, `oci-archive:PATH[:TAG]`, `oci:PATH[:TAG]`, each with an optional `@DIGEST`.
    Store {
        /// [`StoreKind::OciLayout`] stands for a directory or a tar.
        kind: StoreKind,
        /// As given.
        path: PathBuf,
        /// A tag, or a complete name.
        tag: Option<String>,
        /// Of the manifest or index.
        digest: Option<Digest>,
    },
    /// A file or directory; what it is, its content says.
    Path(PathBuf),
    /// `docker-daemon:REF`: an image that a Docker engine holds.
    DockerDaemon(String),
    /// `containers-storage:REF`: an image that podman and buildah hold.
    ContainersStorage(String),
    /// `-`: an archive on standard input.
    Stdin,
}

/// Text that names no place.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "`{text}` is not a source: {reason}. Expected PATH, docker://REF, docker-archive:PATH[:NAME], oci-archive:PATH[:TAG], \
     oci:DIR[:TAG], docker-daemon:REF, containers-storage:REF, `-` for standard input, or an image's name"
)]
pub struct InvalidLocation {
    text: String,
    reason: String,
}

/// What no image's tag ends with, and archives do.
const ARCHIVE_SUFFIXES: [&str; 8] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".txz", ".tar.bz2", ".oci"];

impl Location {
    /// Reads a place. `is_file` tells whether a path is an existing file (asked only for text that could
    /// be a path or a name).
    pub fn parse(text: &str, is_file: impl Fn(&Path) -> bool) -> Result<Self, InvalidLocation> {
        let bad = |reason: String| InvalidLocation { text: text.chars().take(300).collect(), reason };
        let registry = |name: &str| Reference::parse(name).map(Self::Registry).map_err(|e| bad(e.to_string()));
        match text {
            "" => return Err(bad("it is empty".into())),
            "-" => return Ok(Self::Stdin),
            _ => {}
        }
        for prefix in ["docker://", "docker-image://"] {
            if let Some(name) = text.strip_prefix(prefix) {
                return registry(name);
            }
        }
        for (prefix, kind) in [
            ("docker-archive:", StoreKind::DockerArchive),
            ("oci-archive:", StoreKind::OciLayout),
            ("oci-layout:", StoreKind::OciLayout),
            ("oci:", StoreKind::OciLayout),
        ] {
            if let Some(rest) = text.strip_prefix(prefix) {
                let rest = rest.strip_prefix("//").unwrap_or(rest);
                let (path, tag, digest) = context::store_path(rest).map_err(bad)?;
                return Ok(Self::Store { kind, path, tag, digest });
            }
        }
        for (prefix, make) in [
            ("docker-daemon:", Self::DockerDaemon as fn(String) -> Self),
            ("containers-storage:", Self::ContainersStorage),
        ] {
            if let Some(name) = text.strip_prefix(prefix) {
                return match name {
                    "" => Err(bad("it names no image".into())),
                    // These become a path of a URL, or an argument: nothing that could be an option or end a line.
                    name if name.starts_with('-') || name.chars().any(|c| c.is_control() || c.is_whitespace()) => {
                        Err(bad("it names no image".into()))
                    }
                    name => Ok(make(name.into())),
                };
            }
        }
        let is_path = text.starts_with(['/', '.', '~']) || text.ends_with('/');
        if is_path || ARCHIVE_SUFFIXES.iter().any(|s| text.ends_with(s)) || is_file(Path::new(text)) {
            return Ok(Self::Path(text.into()));
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(bad(format!("`{scheme}://` is not known")));
        }
        registry(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Location, InvalidLocation> {
        Location::parse(text, |path| path == Path::new("here"))
    }

    #[test]
    fn places() {
        let registry = |name: &str| Location::Registry(Reference::parse(name).unwrap());
        let store = |kind, path: &str, tag: Option<&str>| Location::Store {
            kind,
            path: path.into(),
            tag: tag.map(Into::into),
            digest: None,
        };
        for (text, want) in [
            ("docker://alpine:3.20", registry("alpine:3.20")),
            ("alpine", registry("alpine")),
            ("ghcr.io/me/app:1", registry("ghcr.io/me/app:1")),
            ("localhost:5000/app", registry("localhost:5000/app")),
            ("here", Location::Path("here".into())),
            ("./alpine", Location::Path("./alpine".into())),
            ("images/", Location::Path("images/".into())),
            ("/a/b", Location::Path("/a/b".into())),
            ("app.tar", Location::Path("app.tar".into())),
            ("app.tar.gz", Location::Path("app.tar.gz".into())),
            ("docker-archive:a.tar", store(StoreKind::DockerArchive, "a.tar", None)),
            ("docker-archive:a.tar:app:1", store(StoreKind::DockerArchive, "a.tar", Some("app:1"))),
            ("oci:dir:latest", store(StoreKind::OciLayout, "dir", Some("latest"))),
            ("oci-archive:/a.tar", store(StoreKind::OciLayout, "/a.tar", None)),
            ("docker-daemon:app:1", Location::DockerDaemon("app:1".into())),
            ("containers-storage:localhost/app", Location::ContainersStorage("localhost/app".into())),
            ("-", Location::Stdin),
        ] {
            assert_eq!(parse(text).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn nonsense_says_why() {
        for (text, word) in [
            ("", "empty"),
            ("docker://", "empty"),
            ("docker-daemon:", "names no image"),
            ("containers-storage:--help", "names no image"),
            ("docker-daemon:a b", "names no image"),
            ("oci:", "no path"),
            ("ftp://h/x", "ftp"),
            ("Alpine", "lower-case"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC{0,40}|(oci|docker-archive|docker|docker-daemon)[:/@#a-z0-9.]{0,30}") {
            let _ = parse(&text);
        }
    }
}
