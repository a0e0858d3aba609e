//! How much the cache holds, without looking: the file `usage` has a count on its first line, and after it a line for
//! what each run has added since. So a build pays one short write, and none if it added nothing.

use std::{
    fs, io,
    io::Write,
    time::{Duration, SystemTime},
};

use crate::cache::Cache;

/// The file's name below the cache.
const FILE: &str = "usage";

/// A count is believed for so long: what grows unseen (cache mounts, killed runs) is seen then.
const BELIEVED: Duration = Duration::from_secs(24 * 3600);

impl Cache {
    /// Writes down what this run has added since the last call.
    pub fn write_growth(&self) -> io::Result<()> {
        match self.ledger().take_growth() {
            0 => Ok(()),
            bytes => {
                let mut file = fs::File::options().create(true).append(true).open(self.path(FILE))?;
                file.write_all(format!("+{bytes}\n").as_bytes())
            }
        }
    }

    /// The bytes that the cache holds, by the last count and what was added since; none if there is no count that can
    /// still be believed.
    pub(crate) fn usage(&self, now: SystemTime) -> Option<u64> {
        let text = fs::read_to_string(self.path(FILE)).ok()?;
        let (first, added) = text.split_once('\n')?;
        let (bytes, counted) = first.split_once(' ')?;
        let counted = SystemTime::UNIX_EPOCH + Duration::from_secs(counted.parse().ok()?);
        // A clock that was set back doesn't make a count young for ever.
        let age = now.duration_since(counted).ok()?;
        let added = added.lines().filter_map(|line| line.strip_prefix('+')?.parse().ok());
        let sum = added.fold(bytes.parse::<u64>().ok()?, u64::saturating_add);
        (age < BELIEVED).then_some(sum)
    }

    /// Writes a fresh count.
    pub(crate) fn write_usage(&self, bytes: u64, now: SystemTime) -> io::Result<()> {
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        self.write(FILE, format!("{bytes} {seconds}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_and_what_came_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let now = SystemTime::now();
        cache.ledger().grow(5);
        cache.write_growth().unwrap();
        assert_eq!(cache.usage(now), None, "never counted");
        cache.write_usage(100, now).unwrap();
        for bytes in [7, 3] {
            cache.ledger().grow(bytes);
            cache.write_growth().unwrap();
            cache.write_growth().unwrap();
        }
        assert_eq!(cache.usage(now), Some(110));
        assert_eq!(cache.usage(now + 2 * BELIEVED), None, "too old");
        assert_eq!(cache.usage(now - BELIEVED), None, "of the future");
    }
}
