//! Image references, `[host/]path[:tag][@digest]`, with Docker's defaults.
//!
//! Grammar: distribution/reference (`reference.go`, `regexp.go`, `normalize.go`): the first part is a
//! host if it holds a `.` or `:`, is `localhost`, or has an upper-case letter; otherwise the image is
//! Docker Hub's, and a single-word one lies under `library/`.

use std::fmt;

use routerpack_graph::Digest;

/// The name that Docker Hub has in references; its API answers elsewhere.
const HUB: &str = "docker.io";
/// The host of Docker Hub's API (moby/moby `registry/config.go`, `DefaultRegistryHost`).
const HUB_API: &str = "registry-1.docker.io";

/// A complete image reference.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Text that is no image reference.
#[derive(Clone, Debug, thiserror::Error)]
#[error("`{text}` is not an image reference: {reason}; expected [HOST[:PORT]/]NAME[:TAG][@sha256:…]")]
pub struct InvalidReference {
    text: String,
    reason: &'static str,
}

impl Reference {
    /// Reads a reference as people write it: `busybox` is `docker.io/library/busybox:latest`. With a
    /// digest and no tag there is no tag.
    pub fn parse(text: &str) -> Result<Self, InvalidReference> {
        let bad = |reason| InvalidReference { text: text.chars().take(300).collect(), reason };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(Digest::parse(digest).map_err(|_| bad("the digest is not sha256 and 64 hex digits"))?))
            }
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            // A colon with a slash after it belongs to the host's port.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        let (host, path) = match name.split_once('/') {
            Some((first, path)) if is_host_like(first) => (first, path.to_string()),
            _ => (HUB, name.to_string()),
        };
        let host = if host == "index.docker.io" || host == HUB_API { HUB } else { host };
        let repository = if host == HUB && !path.contains('/') { format!("library/{path}") } else { path };
        if name.is_empty() {
            return Err(bad("the name is empty"));
        }
        if !is_host(host) {
            return Err(bad("the host is not a host name"));
        }
        if repository.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(bad("names are lower-case"));
        }
        if !repository.split('/').all(is_component) {
            return Err(bad("a part of the name has a character that is not allowed there"));
        }
        if host.len() + 1 + repository.len() > 255 {
            return Err(bad("the name is longer than 255 characters"));
        }
        if tag.is_some_and(|t| !is_tag(t)) {
            return Err(bad("the tag has a character that is not allowed, or is longer than 128"));
        }
        let tag = tag.map(str::to_string).or_else(|| digest.is_none().then(|| "latest".to_string()));
        Ok(Self { host: host.into(), repository, tag, digest })
    }

    /// `docker.io`, `localhost:5000` …
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host that serves the API.
    pub fn api_host(&self) -> &str {
        if self.host == HUB { HUB_API } else { &self.host }
    }

    /// `library/busybox`
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// `latest`
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// What pins it.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same image pinned to a digest (of its index or its manifest); the tag stays.
    pub fn with_digest(&self, digest: &Digest) -> Self {
        Self { digest: Some(digest.clone()), ..self.clone() }
    }

    /// What people type: Docker Hub's host and `library/` are left out.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let short = full.strip_prefix("docker.io/").unwrap_or(&full);
        let short = short.strip_prefix("library/").filter(|rest| !rest.contains('/')).unwrap_or(short);
        // `docker.io/a.b/c` without its host would be another image.
        if Self::parse(short).is_ok_and(|read| read == *self) { short.into() } else { full }
    }

    /// `manifests/<this>` of the distribution API.
    pub(crate) fn manifest_name(&self) -> &str {
        match &self.digest {
            Some(digest) => digest.as_str(),
            None => self.tag.as_deref().unwrap_or("latest"),
        }
    }
}

impl fmt::Display for Reference {
    /// The complete form, `docker.io/library/busybox:latest`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Reference {
    type Err = InvalidReference;
    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        Self::parse(text)
    }
}

fn is_host_like(part: &str) -> bool {
    part == "localhost" || part.contains(['.', ':']) || part.bytes().any(|b| b.is_ascii_uppercase())
}

/// A host name, IPv4 address or `[IPv6]`, with an optional port.
fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, "")) => (address, None),
            Some((address, port)) => match port.strip_prefix(':') {
                Some(port) => (address, Some(port)),
                None => return false,
            },
            None => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let name_ok = if host.starts_with('[') {
        name.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        name.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
    };
    name_ok && port.is_none_or(|p| p.parse::<u16>().is_ok() && p.bytes().all(|b| b.is_ascii_digit()))
}

/// `[a-z0-9]+` joined by one `.`, one or two `_`, or any number of `-`.
fn is_component(part: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    if bytes.is_empty() || !word(bytes[0]) || !word(bytes[bytes.len() - 1]) {
        return false;
    }
    bytes
        .chunk_by(|a, b| word(*a) == word(*b))
        .all(|run| word(run[0]) || matches!(run, b"." | b"_" | b"__") || run.iter().all(|b| *b == b'-'))
}

/// `[\w][\w.-]{0,127}` in ASCII.
pub(crate) fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&tag.len()) && word(tag.as_bytes()[0]) && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn references_get_dockers_defaults() {
        for (text, full, familiar) in [
            ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
            ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
            ("me/app", "docker.io/me/app:latest", "me/app:latest"),
            ("docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
            ("index.docker.io/me/app:x", "docker.io/me/app:x", "me/app:x"),
            ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
            ("localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app:latest"),
            ("127.0.0.1:5000/a/b:t", "127.0.0.1:5000/a/b:t", "127.0.0.1:5000/a/b:t"),
            ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"),
            ("ghcr.io/a/b__c/d-e.f", "ghcr.io/a/b__c/d-e.f:latest", "ghcr.io/a/b__c/d-e.f:latest"),
            ("Host/app", "Host/app:latest", "Host/app:latest"),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.to_string(), full, "{text}");
            assert_eq!(reference.familiar(), familiar, "{text}");
        }
    }

    #[test]
    fn a_digest_pins_and_a_tag_may_stand_beside_it() {
        let both = Reference::parse(&format!("busybox:1.36@{D}")).unwrap();
        assert_eq!((both.tag(), both.manifest_name()), (Some("1.36"), D));
        assert_eq!(both.to_string(), format!("docker.io/library/busybox:1.36@{D}"));
        let pinned = Reference::parse(&format!("busybox@{D}")).unwrap();
        assert_eq!((pinned.tag(), pinned.api_host()), (None, "registry-1.docker.io"));
        assert_eq!(Reference::parse("busybox").unwrap().with_digest(&Digest::parse(D).unwrap()).manifest_name(), D);
    }

    #[test]
    fn what_is_no_reference_says_why() {
        let long = format!("a/{}", "b".repeat(260));
        let tag = format!("a:{}", "t".repeat(129));
        for (text, reason) in [
            ("", "empty"),
            ("Busybox", "lower-case"),
            ("a/B", "lower-case"),
            ("a//b", "character"),
            ("a/../b", "character"),
            ("a.b/..", "character"),
            ("-a", "character"),
            ("a___b", "character"),
            ("a:b c", "tag"),
            ("a:", "tag"),
            ("a@sha256:00", "digest"),
            ("a@sha512:00", "digest"),
            ("ho st.x/a", "host"),
            ("host.x:99999/a", "host"),
            ("[::g]/a", "host"),
            (&long, "longer"),
            (&tag, "tag"),
            ("https://ghcr.io/a", "host"),
        ] {
            let error = Reference::parse(text).expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_its_text_reads_back(text in "[a-zA-Z0-9._:/@\\[\\]-]{0,40}|\\PC{0,20}") {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference.clone());
                prop_assert_eq!(Reference::parse(&reference.familiar()).unwrap(), reference);
            }
        }
    }
}
