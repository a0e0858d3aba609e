//! Image references: the familiar form that people write, and the full one that a graph holds
//! (distribution/reference, `normalize.go` and `regexp.go`).

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;
use routerpack_graph::Digest;

/// `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, with the host filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// `docker.io` when none is written.
    pub host: String,
    /// The repository; `library/` is added to single names of docker.io.
    pub path: String,
    /// The tag, if written.
    pub tag: Option<String>,
    /// The digest, if written.
    pub digest: Option<Digest>,
}

static HOST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?$")
        .expect("a constant pattern")
});

static PATH: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$")
        .expect("a constant pattern")
});

static TAG: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$").expect("a constant pattern"));

impl Reference {
    /// Reads a reference; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest).map_err(|e| e.to_string())?)),
            None => (text, None),
        };
        // A colon behind the last slash starts a tag; before it, a port.
        let slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[slash..].rfind(':') {
            Some(colon) => (&rest[..slash + colon], Some(rest[slash + colon + 1..].to_string())),
            None => (rest, None),
        };
        let is_host =
            |first: &str| first.contains(['.', ':']) || first == "localhost" || first.chars().any(char::is_uppercase);
        let (host, path) = match name.split_once('/') {
            Some((first, path)) if is_host(first) => (first, path.to_string()),
            _ => ("docker.io", name.to_string()),
        };
        let host = if host == "index.docker.io" { "docker.io" } else { host };
        let path = if host == "docker.io" && !path.contains('/') { format!("library/{path}") } else { path };

        if !HOST.is_match(host) {
            return Err(format!("`{host}` is not a host"));
        }
        if path.chars().any(char::is_uppercase) {
            return Err("the repository's name must be lowercase".into());
        }
        if !PATH.is_match(&path) || path.len() > 255 {
            return Err(format!("`{path}` is not a repository's name"));
        }
        if let Some(tag) = tag.as_ref().filter(|tag| !TAG.is_match(tag)) {
            return Err(format!("`{tag}` is not a tag"));
        }
        Ok(Self { host: host.to_string(), path, tag, digest })
    }

    /// The same, with the tag `latest` if there is neither a tag nor a digest.
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".into());
        }
        self
    }

    /// The same, pinned to a digest.
    pub fn pinned(mut self, digest: &Digest) -> Self {
        self.digest = Some(digest.clone());
        self
    }

    /// The short form: without `docker.io/library/`, and without the tag `latest`.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let short = full.strip_prefix("docker.io/").unwrap_or(&full);
        let short = short.strip_prefix("library/").filter(|rest| !rest.contains('/')).unwrap_or(short);
        short.strip_suffix(":latest").unwrap_or(short).to_string()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_filled_in() {
        let digest = Digest::of(b"");
        for (text, full, familiar) in [
            ("alpine", "docker.io/library/alpine:latest", "alpine"),
            ("alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20"),
            ("user/app", "docker.io/user/app:latest", "user/app"),
            ("index.docker.io/alpine", "docker.io/library/alpine:latest", "alpine"),
            ("localhost/app", "localhost/app:latest", "localhost/app"),
            ("localhost:5000/a/b:1", "localhost:5000/a/b:1", "localhost:5000/a/b:1"),
            ("ghcr.io/a/b__c", "ghcr.io/a/b__c:latest", "ghcr.io/a/b__c"),
        ] {
            let reference = Reference::parse(text).unwrap().or_latest();
            assert_eq!((reference.to_string(), reference.familiar()), (full.into(), familiar.into()));
        }
        let pinned = Reference::parse("alpine:3").unwrap().pinned(&digest);
        assert_eq!(pinned.to_string(), format!("docker.io/library/alpine:3@{digest}"));
        assert_eq!(Reference::parse(&pinned.to_string()).unwrap(), pinned);
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in ["", "Alpine", "a b", "a:", "a@sha256:1", "-a", "a//b", "http://a", "a:b:c", "é", "a/../b"] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }
}
