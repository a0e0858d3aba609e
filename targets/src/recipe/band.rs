//! Where the words of the container menus change from one version to the next.

use std::fmt;

use crate::profile::{OLDEST, Version};

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
    fn a_version_lies_in_its_band() {
        for (version, first) in [
            ("7.9", "7.9"),
            ("7.18.2", "7.11"),
            ("7.21.1", "7.21"),
            ("7.21.5", "7.21.2"),
            ("7.25", "7.24"),
            ("8.0", "7.24"),
        ] {
            assert_eq!(Range::of(version.parse().unwrap()).first.to_string(), first);
        }
    }
}
