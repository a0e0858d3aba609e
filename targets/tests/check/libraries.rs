//! Where the loaders of glibc and musl look for libraries.

use serde_json::json;
use tar::EntryType;

use crate::{
    Bench,
    elf::{AMD64, Elf},
    found,
    image::Image,
    layer::Layer,
    named,
};

#[test]
fn libraries_are_found_where_the_loader_looks() {
    let bench = Bench::new();
    let program = Elf { interpreter: "/lib/ld-linux.so.2", needed: &["libx.so.1"], ..AMD64 };
    let layer = |elf: &Elf| {
        Layer::default().dir("bin").file("bin/app", 0o755, elf.bytes()).dir("lib").file(
            "lib/ld-linux.so.2",
            0o755,
            AMD64.bytes(),
        )
    };
    let library = |path: &str| (path.to_string(), AMD64.bytes());
    let ok = |layer: Layer, env: &str| {
        let image = Image::of(layer.end()).run("Env", json!(["PATH=/bin", env]));
        let report = bench.check(&image.pack(), &bench.options());
        assert!(found(&report, "elf-libraries").is_none(), "{env}: {:?}", named(&report));
    };
    for path in ["lib/libx.so.1", "usr/lib/libx.so.1", "lib/x86_64-linux-gnu/libx.so.1", "usr/lib64/libx.so.1"] {
        let (path, bytes) = library(path);
        ok(layer(&program).file(&path, 0o755, bytes), "A=1");
    }
    let (path, bytes) = library("opt/x/libx.so.1");
    ok(layer(&program).file(&path, 0o755, &bytes), "LD_LIBRARY_PATH=/nowhere:/opt/x");
    ok(layer(&Elf { runpath: "$ORIGIN/../opt/x", ..program.clone() }).file(&path, 0o755, &bytes), "A=1");
    ok(layer(&Elf { runpath: "${ORIGIN}/../opt/x", ..program.clone() }).file(&path, 0o755, &bytes), "A=1");
    let conf = layer(&program).dir("etc").file("etc/ld.so.conf", 0o644, "# own\ninclude /etc/ld.so.conf.d/*.conf\n");
    let conf = conf.file("etc/ld.so.conf.d/x.conf", 0o644, "/opt/x\n").file(&path, 0o755, &bytes);
    ok(conf.clone().file("etc/ld.so.cache", 0o644, cache("libx.so.1", "/opt/x/libx.so.1")), "A=1");
    // glibc's loader does not read ld.so.conf itself
    for conf in [conf.clone(), conf.file("etc/ld.so.cache", 0o644, cache("liby.so", "/opt/x/libx.so.1"))] {
        let report = bench.check(&Image::of(conf.end()).pack(), &bench.options());
        let found = &found(&report, "elf-libraries").unwrap().message;
        assert!(found.contains("/opt/x/libx.so.1") && found.contains("ldconfig"), "{found}");
    }
    // a link of the usual kind, and a library's own library
    let chain = layer(&program).file("lib/libx.so.1.2", 0o755, Elf { needed: &["liby.so"], ..AMD64 }.bytes());
    let chain = chain.link(EntryType::Symlink, "lib/libx.so.1", "libx.so.1.2");
    ok(chain.clone().file("lib/liby.so", 0o755, AMD64.bytes()), "A=1");
    let report = bench.check(&Image::of(chain.end()).pack(), &bench.options());
    assert!(found(&report, "elf-libraries").unwrap().message.contains("liby.so"), "{:?}", named(&report));
    // musl's loader is its own libc, and has its own file of directories
    let musl =
        Elf { interpreter: "/lib/ld-musl-x86_64.so.1", needed: &["libc.musl-x86_64.so.1", "libx.so.1"], ..AMD64 };
    let alpine = |more: Layer| more.file("lib/ld-musl-x86_64.so.1", 0o755, AMD64.bytes());
    let (path, bytes) = library("usr/local/lib/libx.so.1");
    ok(alpine(layer(&musl)).file(&path, 0o755, &bytes), "A=1");
    let configured = alpine(layer(&musl)).dir("etc").file("etc/ld-musl-x86_64.path", 0o644, "/opt/x\n");
    ok(configured.clone().file("opt/x/libx.so.1", 0o755, &bytes), "A=1");
    let report = bench.check(&Image::of(configured.file(&path, 0o755, &bytes).end()).pack(), &bench.options());
    assert!(found(&report, "elf-libraries").is_some(), "the file replaces the defaults");
}

/// `/etc/ld.so.cache` with one library.
fn cache(name: &str, path: &str) -> Vec<u8> {
    let mut table = b"glibc-ld.so.cache1.1".to_vec();
    table.extend(1u32.to_le_bytes());
    table.resize(48, 0);
    for word in [0x303, 72, 72 + name.len() as u32 + 1, 0, 0, 0] {
        table.extend(word.to_le_bytes());
    }
    table.extend(format!("{name}\0{path}\0").bytes());
    table
}
