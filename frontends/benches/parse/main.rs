//! How long the parsers take for texts of 10 kB to 10 MB that are hard to read in linear time.
//!
//! `cargo bench -p routerpack-frontends --bench parse` prints nanoseconds of the processor's time a byte for each shape and size: where a row stays level, time is
//! linear. Some shapes are refused from some size on; then the row shows what refusing them takes. It measures and
//! asserts nothing; what is asserted is the count of work that `scripts/fuzz` takes of the same shapes.
//! `cargo bench -p routerpack-frontends --bench parse -- WORD` takes the rows that contain the word.

mod shapes;
mod world;

use std::{env, hint::black_box};

use routerpack_files::pattern::Matcher;
use routerpack_frontends::dockerfile::{Dockerfile, Expander, ignorefile, mount::Mount};
use rustix::time::{ClockId, clock_gettime};
use shapes::Shape;

/// 10 kB to 10 MB.
const SIZES: [usize; 4] = [10_000, 100_000, 1_000_000, 10_000_000];

fn main() {
    table("Dockerfile: parse", shapes::DOCKERFILES, |text| Dockerfile::parse(text).is_err());
    table("Dockerfile: parse, lower, lint", shapes::BUILDS, |text| world::lower(text).is_err());
    let env = [("x".to_owned(), "abc".repeat(30))];
    table("Words: expand", shapes::WORDS, |text| Expander::new('\\').expand(text, &env[..]).is_err());
    table("Ignore file: read, compile, match one path", shapes::IGNORE_FILES, |text| {
        let Ok(patterns) = ignorefile::read(text) else { return true };
        Matcher::new(&patterns).map(|matcher| matcher.matches(b"a/b/c/bcd.txt")).is_err()
    });
    table("RUN --mount: read", shapes::MOUNTS, |text| {
        black_box(Mount::parse(text, |value| Ok(value.to_owned()))).is_err()
    });
    let patterns: Vec<String> = (0..50).map(|n| format!("**/a{n}/**/*b*{n}*.o")).collect();
    let matcher = Matcher::new(&patterns).expect("patterns");
    let paths: &[Shape] = &[("one long path", |n| "aab/".repeat(n / 4)), ("one long name", |n| "ab".repeat(n / 2))];
    table("Ignore file: 50 patterns, one path", paths, |path| !matcher.matches(path.as_bytes()));
}

/// What this thread has used of its processor, in nanoseconds: whoever else uses the machine doesn't count.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// One row a shape; an asterisk where the text was refused.
fn table(title: &str, shapes: &[Shape], refused: impl Fn(&str) -> bool) {
    let wanted = env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    let rows: Vec<&Shape> = shapes.iter().filter(|(name, _)| format!("{title} {name}").contains(&wanted)).collect();
    if rows.is_empty() {
        return;
    }
    println!("\n| {title}, ns a byte | 10 kB | 100 kB | 1 MB | 10 MB |\n|---|---|---|---|---|");
    for (name, make) in rows {
        let cells = SIZES.map(|size| {
            let text = make(size);
            let mut best = f64::INFINITY;
            let mut was_refused = false;
            // Small texts again and again: a single look is over before the clock ticks.
            let rounds = (1_000_000 / size).clamp(2, 20);
            for _ in 0..rounds {
                let start = processor_time();
                was_refused = refused(black_box(&text));
                best = best.min((processor_time() - start) / text.len() as f64);
            }
            format!("{best:.1}{}", if was_refused { "*" } else { "" })
        });
        println!("| {name} | {} |", cells.join(" | "));
    }
}
