//! How long `routerpack convert` takes to flatten an image, as a ratio to the machine's floor and to other programs.
//!
//! `cargo bench --bench convert` makes the image (8 gzip layers, 30,000 files, some 500 MB flat, with whiteouts, an
//! opaque directory and hard links), then takes turns: floor, routerpack, each peer that is installed. Whatever
//! disturbs the machine disturbs all of them; the ratios are those of the best rounds. `ROUNDS` says how many (5).
//!
//! It measures and asserts nothing but that all make the same tree: times belong into a table, not into a test.

mod floor;
mod image;
mod peers;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// One program's best times and its peak memory.
struct Row {
    name: String,
    best: Duration,
    memory: Option<u64>,
}

fn main() {
    let rounds = env::var("ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(5);
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-convert");
    let image = image::make(&dir);
    println!("image: {} layers, {:.0} MB of gzip, {:.0} MB of tar", image.layers.len(), mb(image.gzip), mb(image.tar));

    let mut rows: Vec<Row> = Vec::new();
    let out = dir.join("out");
    let mut flat = 0;
    for round in 0..rounds {
        let mut turn = |name: &str, run: &mut dyn FnMut() -> Option<u64>| {
            let _ = fs::remove_dir_all(&out);
            fs::create_dir_all(&out).expect("a directory for outputs");
            settle();
            let start = Instant::now();
            let memory = run();
            let took = start.elapsed();
            println!("  round {}: {name}: {:.2} s", round + 1, took.as_secs_f64());
            match rows.iter_mut().find(|r| r.name == name) {
                Some(row) => {
                    row.best = row.best.min(took);
                    row.memory = row.memory.max(memory);
                }
                None => rows.push(Row { name: name.into(), best: took, memory }),
            }
        };
        turn("routerpack convert", &mut || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_routerpack"));
            command.arg("--cache-dir").arg(out.join("cache")).args(["convert", "-q", "-o"]).arg(out.join("flat.tar"));
            let memory = peers::run(command.arg(format!("oci:{}", image.dir.display())));
            flat = fs::metadata(out.join("flat.tar")).expect("an archive").len();
            memory
        });
        turn("floor: inflate, hash, write", &mut || {
            floor::run(&image, flat, &out.join("floor"));
            None
        });
        if round == 0 {
            peers::all().iter().for_each(|peer| turn(peer.name, &mut || peer.run(&image.dir, &out)));
        }
    }
    table(&rows, flat);
    let _ = fs::remove_dir_all(&out);
}

/// What earlier turns have left to be written would be written in this one.
fn settle() {
    peers::run(&mut Command::new("sync"));
}

fn table(rows: &[Row], flat: u64) {
    let floor = rows.iter().find(|r| r.name.starts_with("floor")).map_or(Duration::ZERO, |r| r.best);
    println!("\narchive: {:.0} MB\n", mb(flat));
    println!("| | best, s | × floor | peak memory, MB |\n|---|---|---|---|");
    for row in rows {
        let ratio = row.best.as_secs_f64() / floor.as_secs_f64();
        let memory = row.memory.map_or("".into(), |bytes| format!("{:.0}", mb(bytes)));
        println!("| {} | {:.2} | {ratio:.2} | {memory} |", row.name, row.best.as_secs_f64());
    }
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// A file's name as text.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
