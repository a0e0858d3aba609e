//! Compiles the dispatcher of hybrid emulation (`dispatcher/main.rs`) and keeps its instructions, which go into the copy of
//! qemu that a step gets. They must need nothing else: no data, no other function.

use std::{env, fs, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=dispatcher");
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let out = variable("OUT_DIR");
    let object = Path::new(&out).join("dispatcher.o");
    let status = Command::new(variable("RUSTC"))
        .args(["--edition=2024", "--crate-name=dispatcher", "--crate-type=lib", "--emit=obj", "--target"])
        .arg(variable("TARGET"))
        .args([
            "-Copt-level=2",
            "-Ccodegen-units=1",
            "-Cpanic=abort",
            "-Crelocation-model=pic",
            "-Cforce-unwind-tables=no",
        ])
        .args(["-Cdebuginfo=0", "-Coverflow-checks=no", "-Cdebug-assertions=no", "-o"])
        .arg(&object)
        .arg("dispatcher/main.rs")
        .status();
    assert!(status.is_ok_and(|s| s.success()), "dispatcher/main.rs was not compiled");
    let object = fs::read(&object).unwrap_or_else(|e| panic!("{}: {e}", object.display()));
    let code = code(&object).unwrap_or_else(|what| panic!("dispatcher/main.rs: {what}"));
    fs::write(Path::new(&out).join("dispatcher.bin"), code).unwrap_or_else(|e| panic!("{out}: {e}"));
}

/// The one section with instructions of an object file (gABI, "Sections").
fn code(object: &[u8]) -> Result<&[u8], String> {
    const PROGBITS: u64 = 1;
    const RELA: u64 = 4;
    const ALLOCATED: u64 = 2;
    const EXECUTABLE: u64 = 4;
    let number = |at: usize, bytes: usize| -> Result<u64, String> {
        let field = object.get(at..at + bytes).ok_or("the object file is cut off")?;
        Ok(field.iter().rev().fold(0, |sum, b| sum << 8 | u64::from(*b)))
    };
    let (table, size, count) = (number(40, 8)? as usize, number(58, 2)? as usize, number(60, 2)? as usize);
    let header = |n: usize| table + n * size;
    let flags = |n: usize| number(header(n) + 8, 8);
    let mut found = None;
    for n in 0..count {
        let (kind, bytes) = (number(header(n) + 4, 4)?, number(header(n) + 32, 8)? as usize);
        if kind == RELA && bytes > 0 && flags(number(header(n) + 44, 4)? as usize)? & ALLOCATED != 0 {
            return Err("it refers to data or to another function (mark that one #[inline(always)])".into());
        }
        if kind == PROGBITS && bytes > 0 && flags(n)? & EXECUTABLE != 0 {
            let at = number(header(n) + 24, 8)? as usize;
            let bytes = object.get(at..at + bytes).ok_or("the object file is cut off")?;
            if found.replace(bytes).is_some() {
                return Err("it is more than one function (mark the others #[inline(always)])".into());
            }
        }
    }
    found.ok_or_else(|| "it has no instructions".into())
}
