//! routerpack beside other builders, and beside the machine's own limit, in the same run.
//!
//! `scripts/peers` installs what it takes and starts this; `cargo bench --bench peers` starts it by itself. It makes the
//! workloads ([`workload`]), then for each of them lets the builders ([`builder`]) and the floors ([`floor`]) take turns:
//! whatever disturbs the machine disturbs all of them. Prints a table a workload, with the best of the rounds; what came
//! out stands in RESULTS.md.
//!
//! Settings by the environment: `ROUNDS` (3), `WORKLOADS` (`w1 w2 w3 w4`), `BUILDERS` (names of the scripts in
//! `builders/`). It asserts nothing of times: they belong into a table, not into a test.

#[path = "../support/mod.rs"]
mod support;

mod builder;
mod floor;
mod image;
mod random;
mod table;
mod workload;

use std::{env, fs, path::PathBuf, time::Duration};

use builder::{Builder, Phase};
use support::Registry;
use table::Table;
use workload::Workload;

/// What one turn took.
#[derive(Clone, Copy, Default)]
pub struct Taken {
    /// From start to end.
    pub time: Duration,
    /// The memory of the largest process, in bytes, and of a builder's daemon with it.
    pub memory: Option<u64>,
    /// The archive's size in bytes.
    pub bytes: Option<u64>,
}

fn main() {
    let rounds: usize = env::var("ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(3);
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("peers");
    fs::create_dir_all(&dir).expect("a directory for the workloads");
    let registry = Registry::open();
    let workloads = workload::all(&dir, &registry);
    let mut builders = builder::all(&dir, &registry);
    for workload in chosen(workloads, "WORKLOADS", |w| w.name) {
        println!("\n## {}: {}\n", workload.name, workload.title);
        let mut table = Table::default();
        for builder in &mut builders {
            if builder.prepare(&workload) {
                eprintln!("{} …", builder.name);
                turns(builder, &workload, rounds, &mut table);
            }
        }
        for floor in floor::of(&workload, &dir, table.archive()) {
            for _ in 0..rounds {
                table.add(&floor.name, floor.phase, floor.run());
            }
        }
        println!("{table}");
    }
}

/// All rounds of one builder: cold ones, then warm ones. A slow one has a single cold round.
fn turns(builder: &Builder, workload: &Workload, rounds: usize, table: &mut Table) {
    for phase in [Phase::Cold, Phase::Warm] {
        for round in 0..rounds {
            let taken = builder.build(workload, phase);
            table.add(&builder.name, phase, taken);
            if taken.time > SLOW && round == 0 {
                break;
            }
        }
    }
    builder.forget(workload);
}

/// A turn that takes longer than this is not repeated.
const SLOW: Duration = Duration::from_secs(15);

/// Those whose names stand in an environment variable; all, if it isn't set.
fn chosen<T>(all: Vec<T>, variable: &str, name: impl Fn(&T) -> &str) -> Vec<T> {
    let Ok(names) = env::var(variable) else { return all };
    all.into_iter().filter(|one| names.split_whitespace().any(|n| n == name(one))).collect()
}
