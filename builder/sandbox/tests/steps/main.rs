//! Steps, really run. Takes root; what an ordinary user can do is tried by the user `nobody`.
//!
//! The file has a `main` of its own, since the program that starts a step is executed again as its runner.
//! An argument filters the tests by name.

mod emulation;
mod fallbacks;
mod hybrid;
mod image;
mod isolation;
mod life;
mod mounts;
mod ordinary;

use std::panic::{AssertUnwindSafe, catch_unwind};

type Test = (&'static str, fn());

fn main() {
    routerpack_sandbox::runner::hook();
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|a| a == "--doomed-caller") {
        return life::doomed_caller();
    }
    if args.iter().any(|a| a == "--shell") {
        return life::shell_main();
    }
    if args.iter().any(|a| a == "--facts") {
        return fallbacks::facts_main();
    }
    if let [flag, scenario] = &args[..]
        && flag == "--as-nobody"
    {
        return ordinary::as_nobody_main(scenario);
    }
    let filter = args.iter().find(|a| !a.starts_with('-'));
    let tests: Vec<Test> = [
        isolation::TESTS,
        emulation::TESTS,
        hybrid::TESTS,
        mounts::TESTS,
        life::TESTS,
        ordinary::TESTS,
        fallbacks::TESTS,
    ]
    .concat();
    if args.iter().any(|a| a == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    let mut failed = Vec::new();
    for (name, test) in tests.iter().filter(|(name, _)| filter.is_none_or(|f| name.contains(f.as_str()))) {
        let ok = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        if !ok {
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        eprintln!("failed: {failed:?}");
        std::process::exit(1);
    }
}
