//! The ids that exist in a user namespace (`user_namespaces(7)`, `/proc/PID/uid_map`).

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

/// `count` ids from `inside` on are `outside`, `outside+1` … of the parent namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// First id in this namespace.
    pub inside: u32,
    /// First id in the parent namespace.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// Users and groups of the namespace that the process is in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// Users.
    pub uids: Vec<IdRange>,
    /// Groups.
    pub gids: Vec<IdRange>,
}

impl IdMap {
    /// That of the calling process.
    pub fn current() -> io::Result<Self> {
        Ok(Self {
            uids: parse(&std::fs::read_to_string("/proc/self/uid_map")?)?,
            gids: parse(&std::fs::read_to_string("/proc/self/gid_map")?)?,
        })
    }

    /// Only root exists: nothing can be owned by anybody else on disk.
    pub fn is_single(&self) -> bool {
        self.uids.iter().map(|r| u64::from(r.count)).sum::<u64>() == 1
    }

    /// Whether files can be given to this user.
    pub fn has_uid(&self, uid: u32) -> bool {
        contains(&self.uids, uid)
    }

    /// Whether files can be given to this group.
    pub fn has_gid(&self, gid: u32) -> bool {
        contains(&self.gids, gid)
    }

    /// The text of a `uid_map` and a `gid_map` that give a child namespace the same ids.
    pub(crate) fn identity(&self) -> (String, String) {
        let text = |ranges: &[IdRange]| {
            ranges.iter().map(|r| format!("{} {} {}\n", r.inside, r.inside, r.count)).collect::<String>()
        };
        (text(&self.uids), text(&self.gids))
    }
}

impl fmt::Display for IdMap {
    /// The users there are: `0-0, 1-65536`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, r) in self.uids.iter().enumerate() {
            let comma = if n > 0 { ", " } else { "" };
            write!(f, "{comma}{}-{}", r.inside, u64::from(r.inside) + u64::from(r.count).saturating_sub(1))?;
        }
        Ok(())
    }
}

fn contains(ranges: &[IdRange], id: u32) -> bool {
    ranges.iter().any(|r| id.checked_sub(r.inside).is_some_and(|offset| offset < r.count))
}

fn parse(text: &str) -> io::Result<Vec<IdRange>> {
    let bad = || io::Error::new(io::ErrorKind::InvalidData, format!("unreadable id map {text:?}"));
    text.lines()
        .map(|line| {
            let numbers: Vec<u32> =
                line.split_whitespace().map(|w| w.parse().map_err(|_| bad())).collect::<io::Result<_>>()?;
            match numbers[..] {
                [inside, outside, count] => Ok(IdRange { inside, outside, count }),
                _ => Err(bad()),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read_and_repeated() {
        let map = IdMap { uids: parse("0 1000 1\n1 100000 65536\n").unwrap(), gids: parse("0 1000 1\n").unwrap() };
        assert!(map.has_uid(65536) && !map.has_uid(65537) && !map.has_gid(1));
        assert!(!map.is_single());
        assert_eq!(map.identity(), ("0 0 1\n1 1 65536\n".into(), "0 0 1\n".into()));
        assert_eq!(map.to_string(), "0-0, 1-65536");
        let all = parse("         0          0 4294967295\n").unwrap();
        assert!(contains(&all, u32::MAX - 1) && !contains(&all, u32::MAX));
        assert!(parse("0 0").is_err() && parse("0 0 x").is_err());
    }
}
