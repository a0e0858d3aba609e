//! Image names: how Docker reads them, and what of one a router shows.
//!
//! Grammar: distribution/reference, `reference.go` and `normalize.go`.

use std::fmt;

/// Text that is no image name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no image name: {reason}; expected [HOST[:PORT]/]NAME[:TAG], for example hello:1.0")]
pub struct InvalidTag {
    /// What was given, cut to 100 characters.
    pub text: String,
    /// What is wrong.
    pub reason: &'static str,
}

/// An image name in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// `docker.io` where the text has none.
    pub host: String,
    /// `library/busybox`, `acme/hello`.
    pub path: String,
    /// `latest` where the text has none. A digest in the text is dropped: an archive can't carry it.
    pub tag: String,
}

impl Reference {
    /// Reads `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`.
    pub fn parse(text: &str) -> Result<Self, InvalidTag> {
        let bad = |reason| InvalidTag { text: text.chars().take(100).collect(), reason };
        let rest = text.split_once('@').map_or(text, |(before, _)| before);
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (rest, "latest"),
        };
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let is_tag = tag.len() <= 128
            && tag.bytes().next().is_some_and(word)
            && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-');
        if !is_tag {
            return Err(bad("a tag has letters, digits, `_`, `.` and `-`, at most 128"));
        }
        let (host, path) = match name.split_once('/') {
            Some((first, path))
                if first.contains(['.', ':']) || first == "localhost" || first.to_ascii_lowercase() != first =>
            {
                (first, path)
            }
            _ => ("docker.io", name),
        };
        let host = if host == "index.docker.io" { "docker.io" } else { host };
        if !is_host(host) {
            return Err(bad("the registry's host has letters, digits, `.`, `-` and a port"));
        }
        let path = match path.contains('/') {
            false if host == "docker.io" => format!("library/{path}"),
            _ => path.to_string(),
        };
        if path.len() > 255 || !path.split('/').all(is_component) {
            return Err(bad("a name has lower-case letters and digits, with single `.`, `_`, `-` between them"));
        }
        Ok(Self { host: host.to_string(), path, tag: tag.to_string() })
    }

    /// As people type it: `hello:1.0`, `acme/hello:1.0`, `ghcr.io/acme/hello:1.0`.
    pub fn familiar(&self) -> String {
        format!("{}:{}", self.familiar_name(), self.tag)
    }

    pub(crate) fn familiar_name(&self) -> String {
        if self.host == "docker.io" { self.short_path().to_string() } else { format!("{}/{}", self.host, self.path) }
    }

    fn short_path(&self) -> &str {
        let library = if self.host == "docker.io" { self.path.strip_prefix("library/") } else { None };
        library.unwrap_or(&self.path)
    }
}

/// The whole name: `docker.io/library/hello:1.0`.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.host, self.path, self.tag)
    }
}

fn is_host(host: &str) -> bool {
    let (name, port) = host.rsplit_once(':').unwrap_or((host, "0"));
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let v6 = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
    let is_v6 = v6.is_some_and(|n| n.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'));
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && (is_v6 || name.split('.').all(label))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = |b: Option<u8>| b.is_some_and(alnum);
    ends(text.bytes().next())
        && ends(text.bytes().last())
        && text
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-'))
}

/// A tag for a router's archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterTag {
    /// `name:tag`, never with a registry host.
    pub text: String,
    /// Whether the host was cut off.
    pub shortened: bool,
}

/// The tag that a router's archive carries: without the registry's host, since RouterOS shows it
/// as it stands and derives the container's default name from it (two user reports).
pub fn router_tag(text: &str) -> Result<RouterTag, InvalidTag> {
    let reference = Reference::parse(text)?;
    let tag = format!("{}:{}", reference.short_path(), reference.tag);
    let shortened = !text.starts_with(reference.short_path());
    Ok(RouterTag { text: tag, shortened })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_docker_reads_them() {
        for (text, whole, familiar, router, shortened) in [
            ("hello", "docker.io/library/hello:latest", "hello:latest", "hello:latest", false),
            ("hello:1.0", "docker.io/library/hello:1.0", "hello:1.0", "hello:1.0", false),
            ("acme/hello", "docker.io/acme/hello:latest", "acme/hello:latest", "acme/hello:latest", false),
            ("docker.io/library/busybox:1", "docker.io/library/busybox:1", "busybox:1", "busybox:1", true),
            ("index.docker.io/x/y:1", "docker.io/x/y:1", "x/y:1", "x/y:1", true),
            ("ghcr.io/acme/hello:v2", "ghcr.io/acme/hello:v2", "ghcr.io/acme/hello:v2", "acme/hello:v2", true),
            ("localhost:5000/a", "localhost:5000/a:latest", "localhost:5000/a:latest", "a:latest", true),
            ("localhost/a:b", "localhost/a:b", "localhost/a:b", "a:b", true),
            ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest", "a:latest", true),
            ("Host/a", "Host/a:latest", "Host/a:latest", "a:latest", true),
            ("a__b--c.d_e:T_.-", "docker.io/library/a__b--c.d_e:T_.-", "a__b--c.d_e:T_.-", "a__b--c.d_e:T_.-", false),
            (
                "a:1@sha256:0000000000000000000000000000000000000000000000000000000000000000",
                "docker.io/library/a:1",
                "a:1",
                "a:1",
                false,
            ),
        ] {
            let r = Reference::parse(text).unwrap();
            assert_eq!(r.to_string(), whole, "{text}");
            assert_eq!(r.familiar(), familiar, "{text}");
            assert_eq!(router_tag(text).unwrap(), RouterTag { text: router.into(), shortened }, "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(300);
        for bad in [
            "", ":", "a:", ":1", "A", "a b", "a/../b", "../a", "a//b", "/a", "a/", "a:b c", "a:-x", "-a", "a-", "a..b",
            "a___b", "a.-b", "é", "a:\n", "x.y:z/a", "-x.y/a", &long,
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad:?}");
        }
    }
}
