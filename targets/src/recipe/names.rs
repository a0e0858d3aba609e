//! What a recipe's objects on the router are called.

use sha2::{Digest as _, Sha256};

use super::{Mount, Source, Subject};

/// Names of everything that belongs to one recipe.
#[derive(Clone, Debug)]
pub struct Names {
    /// Of the container.
    pub name: String,
    /// The comment by which all objects are found again.
    pub tag: String,
    /// Of the virtual interface, and so of the interface in the container: since 7.20 it has the
    /// veth's name (changelog). Linux allows 15 characters; 14 are used, as some versions crop.
    pub veth: String,
    /// Of the lists of variables and mounts.
    pub list: String,
    /// The root directory's own name. Every image has its own: a reused one is refused (`root-dir
    /// overlap`, user reports).
    pub root: String,
    /// The archive's file on the router.
    pub file: Option<String>,
}

/// Directory on the disk for root directories.
pub const ROOTS: &str = "routerpack";

/// Directory on the disk for data, which no recipe removes.
pub const DATA: &str = "routerpack-data";

impl Names {
    /// For an image under a name that has been checked.
    pub fn new(subject: &Subject, name: &str) -> Self {
        let id12: String = subject.id.hex().chars().take(12).collect();
        let root = format!("{name}-{id12}");
        let file = match subject.source {
            Source::Archive { gzip, .. } => Some(format!("{root}.tar{}", if gzip { ".gz" } else { "" })),
            Source::Registry { .. } => None,
        };
        let veth = match name.len() {
            ..=11 => format!("rp-{name}"),
            _ => format!("rp-{}-{}", name[..6].trim_end_matches('-'), short_hash(name)),
        };
        Self {
            name: name.into(),
            tag: format!("routerpack:{name}"),
            veth,
            list: format!("routerpack-{name}"),
            root,
            file,
        }
    }

    /// Where a mount's data are, below the disk; or the path that its owner gave.
    pub fn source(&self, mount: &Mount) -> Result<String, String> {
        match &mount.src {
            Some(path) if path.contains('/') => Ok(path.clone()),
            Some(name) => Err(format!("{DATA}/{}/{name}", self.name)),
            None => Err(format!("{DATA}/{}/{}", self.name, directory(&mount.dst))),
        }
    }

    /// The host part of an IPv6 address: from the name, so that it is the same each time.
    pub fn host6(&self) -> [u16; 4] {
        let hash = Sha256::digest(self.name.as_bytes());
        // The first group's top bit keeps clear of the router's `::1`.
        std::array::from_fn(|i| u16::from_be_bytes([hash[2 * i], hash[2 * i + 1]]) | if i == 0 { 0x8000 } else { 0 })
    }
}

fn short_hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..2])
}

/// `/var/lib/app` → `var-lib-app`; with a hash where two paths could become the same.
fn directory(dst: &str) -> String {
    let path = dst.trim_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let text: String = path.chars().map(|c| if plain(c) { c } else { '-' }).take(60).collect();
    let exact = path.len() == text.len() && path.chars().all(|c| plain(c) || c == '/');
    if exact && !text.is_empty() { text } else { format!("{text}-{}", short_hash(path)) }
}

/// A container's name from an image's: `acme/Hello_World:1` → `hello-world`.
pub fn name_of(image: &str) -> String {
    let base = image.rsplit('/').next().unwrap_or_default();
    let base = base.split(['@', ':']).next().unwrap_or_default();
    let clean: String =
        base.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).take(32).collect();
    match clean.trim_matches('-') {
        "" => "container".into(),
        name => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_mounts_stay_apart() {
        for (dst, want) in [("/data", "data"), ("/var/lib/app/", "var-lib-app"), ("/a_b", "a_b")] {
            assert_eq!(directory(dst), want);
        }
        let near = ["/a-b", "/a/b", "/a.b", "/a b", "/"];
        let names: std::collections::BTreeSet<_> = near.iter().map(|d| directory(d)).collect();
        assert_eq!(names.len(), near.len(), "{names:?}");
    }

    #[test]
    fn names_of_images() {
        for (image, want) in [
            ("hello:latest", "hello"),
            ("ghcr.io/acme/Hello_World:1.0", "hello-world"),
            ("__", "container"),
            ("", "container"),
        ] {
            assert_eq!(name_of(image), want);
        }
    }
}
