//! RouterOS versions, and where the words of the container menus change.

use std::{fmt, str::FromStr};

/// A version of RouterOS 7: `7.21.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The `21` of `7.21.5`.
    pub minor: u32,
    /// The `5` of `7.21.5`; 0 where there is none.
    pub patch: u32,
}

/// No version for which recipes are made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadVersion {
    /// Not of the form.
    #[error("`{0}` is no version of RouterOS; expected 7.9 to 7.25, for example 7.21 or 7.21.5, or `universal`")]
    Form(String),
    /// Before the oldest command tree that is known.
    #[error(
        "recipes begin at RouterOS 7.9, and {0} is older: nothing is published about its commands; update the router"
    )]
    TooOld(String),
}

impl Version {
    /// `7.MINOR.PATCH`.
    pub const fn new(minor: u32, patch: u32) -> Self {
        Self { minor, patch }
    }

    /// One number that orders versions in a script: 72105 for 7.21.5.
    pub fn code(self) -> u32 {
        70_000 + self.minor * 100 + self.patch
    }
}

/// `7.21.5`; `7.21`; a suffix such as `beta5` or ` (stable)` is left aside, as a prerelease has its
/// release's commands.
impl FromStr for Version {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, BadVersion> {
        let bad = || BadVersion::Form(text.chars().take(40).collect());
        let core = text.trim().split(' ').next().unwrap_or_default();
        let core = core.split(['b', 'r', 'a']).next().unwrap_or_default();
        let parts: Vec<u32> =
            core.split('.').map(|p| p.parse().ok().filter(|n| *n < 100)).collect::<Option<_>>().ok_or_else(bad)?;
        let version = match parts[..] {
            [7, minor] => Self { minor, patch: 0 },
            [7, minor, patch] => Self { minor, patch },
            _ => return Err(bad()),
        };
        if version < OLDEST {
            return Err(BadVersion::TooOld(version.to_string()));
        }
        Ok(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.patch {
            0 => write!(f, "7.{}", self.minor),
            patch => write!(f, "7.{}.{patch}", self.minor),
        }
    }
}

/// The oldest version with a known command tree.
pub const OLDEST: Version = Version::new(9, 0);

/// The newest version with a known command tree; newer ones are taken to have the same commands.
pub const NEWEST: Version = Version::new(24, 0);

/// From each of these versions up to the next, all that a recipe writes is spelled alike.
///
/// Where the words change is known from the console's own introspection of real routers, 7.9 to 7.24
/// (third-party dumps; grade: tested): 7.11 `gateway6`, 7.19 `name`, 7.20 `envlists` and
/// `memory-high`, 7.21 `mountlists` and `cpu-list`, 7.21.2 `shm-size` and `tmpfs`, 7.22
/// `healthcheck-*`, 7.23 `restart-policy` and `memory-max`, 7.24 `swap-max`.
pub const BANDS: [Version; 9] = [
    OLDEST,
    Version::new(11, 0),
    Version::new(19, 0),
    Version::new(20, 0),
    Version::new(21, 0),
    Version::new(21, 2),
    Version::new(22, 0),
    Version::new(23, 0),
    NEWEST,
];

/// Versions that are spelled alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: Version,
    /// The first that isn't any more; `None`: all newer ones.
    pub end: Option<Version>,
}

impl Range {
    /// Every version, in its bands.
    pub fn bands() -> Vec<Self> {
        let end = |i: usize| BANDS.get(i + 1).copied();
        BANDS.iter().enumerate().map(|(i, first)| Self { first: *first, end: end(i) }).collect()
    }

    /// The band of a version.
    pub fn of(version: Version) -> Self {
        let mut bands = Self::bands();
        bands.retain(|band| band.first <= version);
        bands.pop().unwrap_or(Self { first: OLDEST, end: None })
    }

    /// A script's test, in parentheses, of the number in `$variable`.
    pub fn test(self, variable: &str) -> String {
        match self.end {
            Some(end) => format!("((${variable} >= {}) and (${variable} < {}))", self.first.code(), end.code()),
            None => format!("(${variable} >= {})", self.first.code()),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            Some(end) => write!(f, "{} and newer, before {end}", self.first),
            None => write!(f, "{} and newer", self.first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_people_type() {
        for (text, minor, patch) in
            [("7.9", 9, 0), ("7.21.5", 21, 5), ("7.25beta5", 25, 0), ("7.24.4 (stable)", 24, 4), ("7.20rc1", 20, 0)]
        {
            assert_eq!(text.parse(), Ok(Version::new(minor, patch)), "{text}");
        }
        for text in ["", "7", "6.49", "7.x", "7.21.5.1", "8.0", "7.9999", "beta", "7.21."] {
            assert!(matches!(text.parse::<Version>(), Err(BadVersion::Form(_))), "{text}");
        }
        assert_eq!("7.8".parse::<Version>(), Err(BadVersion::TooOld("7.8".into())));
    }

    #[test]
    fn a_version_lies_in_its_band() {
        for (version, first) in
            [("7.9", "7.9"), ("7.18.2", "7.11"), ("7.21.1", "7.21"), ("7.21.5", "7.21.2"), ("7.25", "7.24")]
        {
            assert_eq!(Range::of(version.parse().unwrap()).first.to_string(), first);
        }
    }
}
