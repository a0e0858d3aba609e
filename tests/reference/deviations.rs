//! The cases in which the two differ on purpose, each with its reason.

/// A case in which they differ.
pub struct Deviation {
    /// Its name.
    pub id: &'static str,
    /// What every difference begins with.
    places: &'static [&'static str],
    /// The reason.
    why: &'static str,
}

impl Deviation {
    /// None if they differ there and nowhere else.
    pub fn check(&self, differences: &[String]) -> Option<String> {
        let listed = |difference: &&String| self.places.iter().any(|place| difference.starts_with(place));
        let others: Vec<&str> = differences.iter().filter(|d| !listed(d)).map(String::as_str).collect();
        let unused = self.places.iter().find(|place| !differences.iter().any(|d| d.starts_with(*place)));
        match unused {
            _ if !others.is_empty() => Some(others.join("\n    ")),
            Some(place) => Some(format!("no difference at {place}, which is listed: {}", self.why)),
            None => None,
        }
    }
}

/// The cases that are not built, and why.
pub const NOT_BUILT: &[(&str, &str)] = &[("bud/long-sleep/Dockerfile", "it does nothing but sleep for five minutes")];

/// The list.
pub const LIST: &[Deviation] = &[];
