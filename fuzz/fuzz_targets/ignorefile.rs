//! Ignore files, and the paths that they match: the first line is the path, the rest the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use routerpack_frontends::dockerfile::ignorefile;
use routerpack_fuzz::pattern::Matcher;
use routerpack_fuzz::{invariants, shapes, work};

fn matches(patterns: &[String], path: &[u8]) {
    // As the program does: each pattern is compiled once, each path is asked about.
    if let Ok(matcher) = Matcher::new(patterns) {
        matcher.matches(path);
    }
}

fuzz_target!(
    init: work::curve("ignore files", shapes::IGNORE_FILES, |text| {
        matches(&ignorefile::read(text).unwrap_or_default(), b"a/b/c/bcd.txt");
    }),
    |data: &[u8]| {
        let Ok(text) = std::str::from_utf8(data) else { return };
        let (path, file) = text.split_once('\n').unwrap_or(("", text));
        let patterns = invariants::ignoring(file);
        // Each directory above the path is asked about too.
        let cost = file.len() * (path.len() + 1) * (1 + path.matches('/').count());
        work::bounded(cost, 50_000, 300, || matches(&patterns, path.as_bytes()));
    }
);
