//! Archives that somebody made to do harm.

use routerpack_targets::check::Options;
use tar::EntryType;

use crate::{
    Bench,
    elf::{AMD64, Elf},
    found,
    image::{Image, base, gzip},
    layer::Layer,
};

#[test]
fn hostile_archives_are_reports_not_troubles() {
    let bench = Bench::new();
    // inflates to more than the limit
    let bomb = Image::of(gzip(&vec![0; 32 << 20])).pack_raw();
    let options = Options { limit: 16 << 20, ..bench.options() };
    assert!(found(&bench.check(&bomb, &options), "layer-damaged").unwrap().message.contains("limit"));
    let outer = gzip(&vec![0; 32 << 20]);
    assert!(found(&bench.check(&outer, &options), "archive-damaged").unwrap().message.contains("limit"));
    // names that are no text, circles, and sizes that lie
    let circle = Layer::default().dir("bin").link(EntryType::Symlink, "bin/app", "app");
    assert!(found(&bench.check(&Image::of(circle.end()).pack(), &bench.options()), "command-missing").is_some());
    let mut program = AMD64.bytes();
    program[32..40].copy_from_slice(&u64::MAX.to_le_bytes()); // the segments' place
    let damaged = Image::of(Layer::default().dir("bin").file("bin/app", 0o755, program).end()).pack();
    assert!(found(&bench.check(&damaged, &bench.options()), "elf-machine").unwrap().message.contains("damaged"));
    // whatever byte is wrong, wherever it is cut: a report
    let good =
        Image::of(base().file("bin/d", 0o755, Elf { interpreter: "/x", needed: &["y"], ..AMD64 }.bytes()).end()).pack();
    for at in (0..good.len()).step_by(97) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x55;
        let _ = bench.check(&bytes, &bench.options());
        let _ = bench.check(&good[..at], &bench.options());
    }
    // files are not left behind
    assert_eq!(std::fs::read_dir(bench.dir.path()).unwrap().count(), 0);
}
