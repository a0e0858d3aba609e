//! Source maps: which lines of which text an op comes from.

use std::sync::Arc;

use crate::pb;

/// A text that ops come from, usually a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceMap {
    /// The name to show.
    pub filename: String,
    /// `Dockerfile`, `YAML` …; empty when unknown.
    pub language: String,
    /// The whole text.
    pub data: Vec<u8>,
}

/// Ranges of a text. Lines count from 1, characters from 0; both ends belong to the range.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceLocation {
    /// The text.
    pub map: Arc<SourceMap>,
    /// The ranges within it.
    pub ranges: Vec<pb::Range>,
}

impl SourceLocation {
    /// Whole lines, first to last.
    pub fn lines(map: &Arc<SourceMap>, first: u32, last: u32) -> Self {
        let at = |line: u32| Some(pb::Position { line: line as i32, character: 0 });
        Self { map: map.clone(), ranges: vec![pb::Range { start: at(first), end: at(last) }] }
    }
}
