//! The values of `--build-context NAME=VALUE`, and of everything else that names a source.
//!
//! The prefixes are buildx's (`docker-image://`, `oci-layout://`, `target:`, URLs, directories;
//! docker/buildx `docs/reference/buildx_build.md`, "build-context") and containers-transports(5)'s
//! (`oci-archive:`, `docker-archive:`). As both do, a path ends at its first `:`.

use std::path::PathBuf;

use routerpack_graph::Digest;

use crate::StoreKind;
use crate::reference::Reference;

/// A source by its kind. Reading it does no I/O.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextRef {
    /// `docker-image://REF`: an image in a registry.
    Image(Reference),
    /// `oci-layout:PATH[:TAG][@DIGEST]` (also `oci-layout://`), `oci-archive:…`, `docker-archive:…`:
    /// an image in a local store. Open it with [`Store::open`](crate::Store::open).
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
    /// A directory or a file; what it is, its content says: [`Store::open`](crate::Store::open).
    Path(PathBuf),
    /// `http://…`, `https://…`: a file.
    Http(String),
    /// A git repository.
    Git(String),
    /// `target:NAME`: another target of the same bake file.
    Target(String),
}

/// Text that is no build context.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "`{text}` is not a source: {reason}. Expected PATH, docker-image://REF, oci-layout:PATH[:TAG][@DIGEST], \
     oci-archive:PATH, docker-archive:PATH[:TAG], a URL, or target:NAME"
)]
pub struct InvalidContext {
    text: String,
    reason: String,
}

impl ContextRef {
    /// Reads a value.
    pub fn parse(text: &str) -> Result<Self, InvalidContext> {
        let bad = |reason: String| InvalidContext { text: text.chars().take(300).collect(), reason };
        if text.is_empty() {
            return Err(bad("it is empty".into()));
        }
        if let Some(reference) = text.strip_prefix("docker-image://") {
            return Reference::parse(reference).map(Self::Image).map_err(|e| bad(e.to_string()));
        }
        for (prefix, kind) in [
            ("oci-layout:", StoreKind::OciLayout),
            ("oci-archive:", StoreKind::OciLayout),
            ("docker-archive:", StoreKind::DockerArchive),
        ] {
            if let Some(rest) = text.strip_prefix(prefix) {
                return store(kind, rest.strip_prefix("//").unwrap_or(rest)).map_err(bad);
            }
        }
        if let Some(name) = text.strip_prefix("target:") {
            return if name.is_empty() { Err(bad("it names no target".into())) } else { Ok(Self::Target(name.into())) };
        }
        if is_git(text) {
            return Ok(Self::Git(text.into()));
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Http(text.into()));
        }
        match text.split_once("://") {
            Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b)) => {
                Err(bad(format!("`{scheme}://` is not known")))
            }
            _ => Ok(Self::Path(text.into())),
        }
    }
}

/// Whether a stream that starts so is a tar, plain or in gzip, bzip2, xz or zstd; else it is a Dockerfile. 512 bytes
/// tell (BuildKit `frontend/dockerui/context.go`, `isArchive`, which lacks zstd).
pub fn is_archive(start: &[u8]) -> bool {
    const MAGICS: [&[u8]; 4] =
        [b"BZh", &[0x1f, 0x8b, 0x08], &[0xfd, b'7', b'z', b'X', b'Z', 0], &[0x28, 0xb5, 0x2f, 0xfd]];
    if MAGICS.iter().any(|magic| start.starts_with(magic)) {
        return true;
    }
    // POSIX ustar: the sum of the header's bytes, its own field counted as spaces, stands in that field.
    let Some(block) = start.get(..512) else { return false };
    let sum: u32 =
        block.iter().enumerate().map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) }).sum();
    let field = String::from_utf8_lossy(&block[148..156]);
    let field = field.trim_matches(|c: char| c == ' ' || c == '\0');
    block[0] != 0 && u32::from_str_radix(field, 8) == Ok(sum)
}

fn store(kind: StoreKind, rest: &str) -> Result<ContextRef, String> {
    store_path(rest).map(|(path, tag, digest)| ContextRef::Store { kind, path, tag, digest })
}

/// `PATH[:TAG][@DIGEST]`.
pub(crate) fn store_path(rest: &str) -> Result<(PathBuf, Option<String>, Option<Digest>), String> {
    let (rest, digest) = match rest.rsplit_once('@') {
        Some((rest, digest)) if digest.contains(':') => (rest, Some(Digest::parse(digest).map_err(|e| e.to_string())?)),
        _ => (rest, None),
    };
    let (path, tag) = match rest.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };
    if path.is_empty() {
        return Err("it names no path".into());
    }
    if tag.is_some_and(str::is_empty) {
        return Err("the tag is empty".into());
    }
    Ok((path.into(), tag.map(str::to_string), digest))
}

/// BuildKit `util/gitutil` and buildx: an address that only git could mean.
fn is_git(text: &str) -> bool {
    let bare = text.split('#').next().unwrap_or_default().split('?').next().unwrap_or_default();
    let over_http = (bare.starts_with("http://") || bare.starts_with("https://")) && bare.ends_with(".git");
    let scp_like = text.split_once('@').is_some_and(|(user, rest)| {
        !user.is_empty()
            && user.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
            && rest
                .split_once(':')
                .is_some_and(|(host, path)| !host.is_empty() && !host.contains('/') && !path.is_empty())
    });
    over_http || scp_like || text.starts_with("git://") || text.starts_with("ssh://") || text.starts_with("github.com/")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn every_form_is_told_apart() {
        let store = |kind, path: &str, tag: Option<&str>, digest: bool| ContextRef::Store {
            kind,
            path: path.into(),
            tag: tag.map(Into::into),
            digest: digest.then(|| Digest::parse(D).unwrap()),
        };
        use StoreKind::{DockerArchive, OciLayout};
        for (text, want) in [
            ("docker-image://busybox", ContextRef::Image(Reference::parse("busybox").unwrap())),
            ("oci-layout:a/b", store(OciLayout, "a/b", None, false)),
            ("oci-layout:/a/b:1.0", store(OciLayout, "/a/b", Some("1.0"), false)),
            ("oci-layout:///a/b:1.0", store(OciLayout, "/a/b", Some("1.0"), false)),
            ("oci-layout://a", store(OciLayout, "a", None, false)),
            (&format!("oci-layout://./a@{D}"), store(OciLayout, "./a", None, true)),
            (&format!("oci-layout:/a:t@{D}"), store(OciLayout, "/a", Some("t"), true)),
            ("oci-layout:/a@b/c", store(OciLayout, "/a@b/c", None, false)),
            ("oci-archive:/a.tar", store(OciLayout, "/a.tar", None, false)),
            ("docker-archive:a.tar:busybox:1.0", store(DockerArchive, "a.tar", Some("busybox:1.0"), false)),
            ("docker-archive:a.tar:h:5000/x:1.0", store(DockerArchive, "a.tar", Some("h:5000/x:1.0"), false)),
            (".", ContextRef::Path(".".into())),
            ("/a/rootfs.tar.gz", ContextRef::Path("/a/rootfs.tar.gz".into())),
            ("a:b", ContextRef::Path("a:b".into())),
            ("https://h/x.tar", ContextRef::Http("https://h/x.tar".into())),
            ("https://h/x.git#main:sub", ContextRef::Git("https://h/x.git#main:sub".into())),
            ("https://h/x.git?ref=v1", ContextRef::Git("https://h/x.git?ref=v1".into())),
            ("git@h:me/x", ContextRef::Git("git@h:me/x".into())),
            ("git://h/x", ContextRef::Git("git://h/x".into())),
            ("ssh://git@h/x", ContextRef::Git("ssh://git@h/x".into())),
            ("github.com/me/x", ContextRef::Git("github.com/me/x".into())),
            ("target:base", ContextRef::Target("base".into())),
        ] {
            assert_eq!(ContextRef::parse(text).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn a_tar_is_told_from_a_dockerfile() {
        let mut header = tar::Header::new_gnu();
        header.set_path("Dockerfile").unwrap();
        header.set_size(3);
        header.set_cksum();
        assert!(is_archive(header.as_bytes()) && !is_archive(&header.as_bytes()[..511]));
        let mut spoiled = *header.as_bytes();
        spoiled[1] ^= 1;
        for text in [&spoiled[..], &[0; 1024], b"", b"FROM busybox\n", &b"# comment\n".repeat(100)] {
            assert!(!is_archive(text));
        }
        for start in [&b"BZh91AY"[..], b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"] {
            assert!(is_archive(start));
        }
    }

    #[test]
    fn nonsense_says_why() {
        for (text, word) in [
            ("", "empty"),
            ("docker-image://", "empty"),
            ("docker-image://A", "lower-case"),
            ("oci-layout:", "no path"),
            ("oci-layout:/a:", "tag is empty"),
            ("oci-layout:/a@sha256:12", "not a digest"),
            ("target:", "no target"),
            ("ftp://h/x", "ftp"),
        ] {
            let error = ContextRef::parse(text).expect_err(text).to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC{0,40}|(oci-layout|docker-archive|docker-image|target|git)[:/@#a-z0-9.]{0,30}") {
            let _ = ContextRef::parse(&text);
        }
    }
}
