//! What variables mean to an expansion.

use std::collections::{BTreeMap, HashMap};

/// What variables mean. Names are case-sensitive.
pub trait Environment {
    /// The value of a variable; `None` when it is unset.
    fn get(&self, name: &str) -> Option<&str>;
}

/// No variables at all.
impl Environment for () {
    fn get(&self, _name: &str) -> Option<&str> {
        None
    }
}

impl Environment for HashMap<String, String> {
    fn get(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

impl Environment for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

/// Pairs of name and value; the last one with a name counts.
impl Environment for [(String, String)] {
    fn get(&self, name: &str) -> Option<&str> {
        self.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}
