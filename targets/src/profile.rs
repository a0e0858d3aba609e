//! Which RouterOS an archive is meant for.
//!
//! What differs from version to version is data (`data/rules.json`, `data/failures.json`): each line holds from
//! its version on until the next line. So any version is a place between two boundaries, known by name or not.

use std::{fmt, str::FromStr};

/// The first version that anything certain is known of.
pub const OLDEST: Version = Version::new(9, 0);
/// The newest version that the data was gathered for.
pub const NEWEST: Version = Version::new(25, 0);

/// A RouterOS version, `7.21.2`. Test versions (`7.25beta3`, `7.24rc1`) count as the version they lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Always 7 for containers.
    pub major: u16,
    /// `21` of `7.21.2`.
    pub minor: u16,
    /// `2` of `7.21.2`, 0 where there is none.
    pub patch: u16,
}

/// What an archive has to suit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Every version: the strictest of all, and what is only suspected counts in full.
    #[default]
    Universal,
    /// One version.
    Version(Version),
}

/// Text that names no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProfile {
    /// Not of the form of a version.
    #[error("`{0}` is no RouterOS version: give one such as 7.21 or 7.23.2, or `universal`")]
    Form(String),
    /// A version before [`OLDEST`].
    #[error(
        "nothing certain is known of containers on RouterOS {0}: the oldest version is {OLDEST}; upgrade the router"
    )]
    TooOld(Version),
}

impl Profile {
    /// Whether the version is newer than what the data was gathered for; the newest known is taken then.
    pub fn is_beyond(self) -> bool {
        matches!(self, Profile::Version(v) if v > Version { patch: u16::MAX, ..NEWEST })
    }

    /// Whether this profile has versions from `since` on.
    pub fn reaches(self, since: Version) -> bool {
        match self {
            Profile::Universal => true,
            Profile::Version(v) => v >= since,
        }
    }
}

impl Version {
    /// `7.MINOR.PATCH`.
    pub const fn new(minor: u16, patch: u16) -> Self {
        Self { major: 7, minor, patch }
    }

    /// One number that orders versions in a router's script: 72105 for 7.21.5.
    pub fn code(self) -> u32 {
        u32::from(self.major) * 10_000 + u32::from(self.minor) * 100 + u32::from(self.patch)
    }

    /// `7.21.2 (stable)`, `v7.21.2`, `7.25beta3`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches(['v', 'V']);
        let text = text.split([' ', '(']).next()?;
        let numbers = text.split_once("beta").or_else(|| text.split_once("rc")).map_or(text, |(numbers, _)| numbers);
        let mut parts = numbers.split('.').map(|p| match p.bytes().all(|b| b.is_ascii_digit()) {
            true => p.parse::<u16>().ok(),
            false => None,
        });
        let version = Self {
            major: parts.next()??,
            minor: parts.next()??,
            patch: match parts.next() {
                None => 0,
                Some(patch) => patch?,
            },
        };
        parts.next().is_none().then_some(version)
    }
}

impl FromStr for Profile {
    type Err = InvalidProfile;

    fn from_str(text: &str) -> Result<Self, InvalidProfile> {
        if text.eq_ignore_ascii_case("universal") {
            return Ok(Profile::Universal);
        }
        text.parse().map(Profile::Version)
    }
}

/// As [`Version::parse`], but none that is before [`OLDEST`].
impl FromStr for Version {
    type Err = InvalidProfile;

    fn from_str(text: &str) -> Result<Self, InvalidProfile> {
        let known = |v: &Version| [v.major, v.minor, v.patch].iter().all(|part| *part < 100);
        let form = || InvalidProfile::Form(text.chars().take(60).collect());
        let version = Version::parse(text).filter(known).ok_or_else(form)?;
        if version < OLDEST { Err(InvalidProfile::TooOld(version)) } else { Ok(version) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch > 0 { write!(f, ".{}", self.patch) } else { Ok(()) }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Profile::Universal => f.write_str("universal"),
            Profile::Version(v) => v.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_routers_print_them() {
        for (text, shown) in [
            ("7.9", "7.9"),
            ("7.21.2", "7.21.2"),
            ("v7.23.5", "7.23.5"),
            ("7.24.2 (stable)", "7.24.2"),
            ("7.25beta5", "7.25"),
            ("7.24rc1", "7.24"),
            ("8.0", "8.0"),
            ("Universal", "universal"),
        ] {
            assert_eq!(text.parse::<Profile>().unwrap().to_string(), shown, "{text}");
        }
        for bad in ["", "7", "7.x", "7.1.2.3", "seven", "7.-1", "7.99999999", "7.+9", "1000.1"] {
            assert!(matches!(bad.parse::<Profile>(), Err(InvalidProfile::Form(_))), "{bad}");
        }
        for old in ["6.49", "7.4", "7.8.9"] {
            assert!(matches!(old.parse::<Profile>(), Err(InvalidProfile::TooOld(_))), "{old}");
        }
    }

    #[test]
    fn versions_are_ordered_by_number_not_by_text() {
        let v = |t: &str| Version::parse(t).unwrap();
        assert!(v("7.9") < v("7.10") && v("7.21") < v("7.21.2") && v("7.21.9") < v("7.22"));
        assert!(!Profile::Version(v("7.25.4")).is_beyond() && Profile::Version(v("7.26")).is_beyond());
        assert!(Profile::Universal.reaches(v("7.24")) && !Profile::Version(v("7.19")).reaches(v("7.20")));
    }
}
