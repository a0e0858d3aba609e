//! Platforms, `os/architecture[/variant]`, read and normalised as containerd does
//! (containerd/platforms, `platforms.go` and `database.go`).

use std::fmt;

use crate::pb;

/// What an image runs on. Always normalised: `arm64` has no variant, `arm` always has one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// GOARCH: `amd64`, `arm64`, `arm` …
    pub architecture: String,
    /// `v5`, `v6`, `v7` for arm; empty where there is just one.
    pub variant: String,
}

/// Text that is no platform.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a platform: expected OS/ARCH[/VARIANT], for example linux/arm64 or linux/arm/v7")]
pub struct InvalidPlatform(pub String);

impl Platform {
    /// A normalised platform from its parts (as an image config or an index has them).
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let os = match os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_string(),
            other => other.to_string(),
        };
        let arch = architecture.to_ascii_lowercase();
        let var = variant.to_ascii_lowercase();
        let (architecture, variant) = match (arch.as_str(), var.as_str()) {
            ("i386", _) => ("386", ""),
            ("x86_64" | "x86-64" | "amd64", "v1" | "") => ("amd64", ""),
            ("x86_64" | "x86-64" | "amd64", v) => ("amd64", v),
            ("aarch64" | "arm64", "8" | "v8" | "v8.0" | "") => ("arm64", ""),
            ("aarch64" | "arm64", v) => ("arm64", v),
            ("armhf", _) => ("arm", "v7"),
            ("armel", _) => ("arm", "v6"),
            ("arm", "" | "7") => ("arm", "v7"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "6") => ("arm", "v6"),
            ("arm", "8") => ("arm", "v8"),
            (a, v) => (a, v),
        };
        Self { os, architecture: architecture.into(), variant: variant.into() }
    }

    /// Reads `linux/arm/v7`, `arm64`, `linux` … A single word is an architecture if it is a known
    /// one and an OS otherwise; what is missing comes from `host`.
    pub fn parse(text: &str, host: &Platform) -> Result<Self, InvalidPlatform> {
        let bad = || InvalidPlatform(text.to_string());
        let parts: Vec<&str> = text.split('/').collect();
        let word = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if parts.len() > 3 || !parts.iter().all(|p| word(p)) {
            return Err(bad());
        }
        match parts[..] {
            [one] => {
                let known = [
                    "386", "i386", "amd64", "x86_64", "x86-64", "arm", "armhf", "armel", "arm64", "aarch64", "ppc64le",
                    "riscv64", "s390x", "mips64le", "mips64", "loong64",
                ];
                if known.contains(&one.to_ascii_lowercase().as_str()) {
                    Ok(Self::new("linux", one, ""))
                } else if one.eq_ignore_ascii_case("linux") {
                    Ok(host.clone())
                } else {
                    Err(bad())
                }
            }
            [os, arch] => Ok(Self::new(os, arch, "")),
            [os, arch, variant] => Ok(Self::new(os, arch, variant)),
            _ => Err(bad()),
        }
    }

    /// The platforms whose images this one can run, best first: arm/v7 takes v7, v6, v5; never the
    /// other way round (containerd/platforms `compare.go`, `platformVector`).
    pub fn candidates(&self) -> Vec<Platform> {
        let with = |variant: &str| Platform { variant: variant.into(), ..self.clone() };
        let digit = self.variant.strip_prefix('v').and_then(|v| v.parse::<u8>().ok());
        match (self.architecture.as_str(), digit) {
            ("arm", Some(n)) if (5..=8).contains(&n) => (5..=n).rev().map(|v| with(&format!("v{v}"))).collect(),
            ("amd64", Some(n)) if n > 1 => (2..=n).rev().map(|v| with(&format!("v{v}"))).chain([with("")]).collect(),
            ("arm64", Some(_)) => vec![self.clone(), with("")],
            _ => vec![self.clone()],
        }
    }

    /// The LLB message; arm64 and amd64 carry no variant there, as BuildKit normalises them.
    pub fn to_pb(&self) -> pb::Platform {
        pb::Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
            ..Default::default()
        }
    }

    /// From the LLB message.
    pub fn from_pb(p: &pb::Platform) -> Self {
        Self::new(&p.os, &p.architecture, &p.variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised_as_containerd_does() {
        let host = Platform::new("linux", "x86_64", "");
        for (text, want) in [
            ("linux/arm64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("aarch64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/5", "linux/arm/v5"),
            ("armhf", "linux/arm/v7"),
            ("armel", "linux/arm/v6"),
            ("linux", "linux/amd64"),
            ("Linux/AMD64", "linux/amd64"),
        ] {
            assert_eq!(Platform::parse(text, &host).unwrap().to_string(), want, "{text}");
        }
        for bad in ["", "linux/", "a/b/c/d", "linux/arm 64", "router"] {
            assert!(Platform::parse(bad, &host).is_err(), "{bad}");
        }
    }

    #[test]
    fn arm_falls_back_downwards_only() {
        let list = |v: &str| {
            Platform::new("linux", "arm", v).candidates().iter().map(|p| p.variant.clone()).collect::<Vec<_>>()
        };
        assert_eq!(list("v7"), ["v7", "v6", "v5"]);
        assert_eq!(list("v5"), ["v5"]);
    }
}
