//! The expansion of words: the first line is the value of `x`, the rest the word.
#![no_main]

use libfuzzer_sys::fuzz_target;
use routerpack_frontends::dockerfile::Expander;
use routerpack_fuzz::{invariants, shapes, work};

fuzz_target!(
    init: work::curve("words", shapes::WORDS, |text| {
        let env = [("x".to_owned(), "abc".repeat(30))];
        drop(Expander::new('\\').expand(text, &env[..]));
    }),
    |data: &[u8]| {
        let Ok(text) = std::str::from_utf8(data) else { return };
        let (value, word) = text.split_once('\n').unwrap_or(("", text));
        let escape = if word.len() % 2 == 0 { '\\' } else { '`' };
        let counted = std::cell::Cell::new(0);
        let edges = work::of(|| counted.set(invariants::expanding(word, value, escape)));
        // What the expansion itself counts is what lowering adds up and bounds: so it has to be true.
        let limit = 200_000 + 20_000 * word.len() as u64 + 200 * counted.get() as u64;
        assert!(edges <= limit, "{edges} edges, counted as {}", counted.get());
    }
);
