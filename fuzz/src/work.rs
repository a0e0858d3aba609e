//! Counts the edges of the control flow that are taken: in our crates and those that they use, but not in std.
//! It is the same on every machine, however busy, so a test may put a bound to it.

use crate::shapes::Shape;

// SAFETY: it reads a counter (see work.c).
unsafe extern "C" {
    safe fn routerpack_fuzz_edges() -> u64;
}

/// What running something costs.
pub fn of(run: impl FnOnce()) -> u64 {
    let before = routerpack_fuzz_edges();
    run();
    routerpack_fuzz_edges() - before
}

/// Runs something, which must not cost more than `per_byte` for each byte of an input of this size, and `fixed`
/// besides.
pub fn bounded(size: usize, fixed: u64, per_byte: u64, run: impl FnOnce()) {
    let work = of(run);
    let limit = fixed + per_byte * size as u64;
    assert!(work <= limit, "{work} edges for {size} bytes, more than the {limit} that linear time allows");
}

/// Sizes at which shapes are measured: each four times the one before.
const SIZES: [usize; 3] = [8 << 10, 32 << 10, 128 << 10];

/// Shows what the shapes cost, and refuses growth that is faster than their size.
pub fn curve(title: &str, shapes: &[Shape], run: impl Fn(&str)) {
    // What is done once (compiled expressions) belongs to nobody.
    shapes.iter().for_each(|(_, make)| run(&make(1 << 10)));
    println!("{title}: edges a byte at {SIZES:?} bytes");
    for (name, make) in shapes {
        let costs = SIZES.map(|size| {
            let text = make(size);
            let edges = of(|| run(&text)) as f64;
            (edges, edges / text.len() as f64)
        });
        println!("  {:>8.1} {:>8.1} {:>8.1}  {name}", costs[0].1, costs[1].1, costs[2].1);
        let [_, (before, _), (after, per_byte)] = costs;
        assert!(after < before * 4.0 * 1.35 + 500_000.0, "{name}: {before} edges, and {after} for four times the size");
        assert!(per_byte.is_finite());
    }
}
