//! Sizes: bombs, a million entries, documents without end.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    os::unix::fs::FileExt,
    path::Path,
};

use sha2::{Digest, Sha256};

use super::{Fate::Refused, MEMORY, TIME, assert_untouched, bounded, endure, guarded};
use crate::support::{
    Archive, World,
    raw::{Raw, config, digest, docker_archive_of},
    run, tool,
};

/// A zstd frame (RFC 8878, 3.1.1) that inflates to so many times 128 KiB of zeros: each block is one byte and its count.
fn zstd_bomb(blocks: usize) -> Vec<u8> {
    let header = |last: u32| (last | 1 << 1 | (128 << 10) << 3).to_le_bytes()[..3].to_vec();
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x38]; // a window of 128 KiB
    for _ in 1..blocks {
        frame.extend(header(0));
        frame.push(0);
    }
    frame.extend(header(1));
    frame.push(0);
    frame
}

/// A gzip file that inflates to so many times 16 MiB of zeros: its members are all the same.
fn gzip_bomb(world: &World, members: usize) -> Vec<u8> {
    let zeros = world.write("zeros", vec![0; 16 << 20]);
    run(tool("gzip").args(["-9", "-n"]).arg(&zeros)).success();
    fs::read(world.path("zeros.gz")).unwrap().repeat(members)
}

#[test]
fn bombs_end_with_the_disk_that_there_is() {
    let (world, outside) = guarded();
    let terabyte = zstd_bomb(1 << 23);
    let gigabytes = gzip_bomb(&world, 256);
    let image = |layer: &[u8]| docker_archive_of(&config(&[digest(b"?")]), &["layer"], &[("layer", layer)]);
    world.write("layer-zstd.tar", image(&terabyte));
    world.write("layer-gzip.tar", image(&gigabytes));
    world.write("outer.tar.zst", &terabyte);
    world.write("outer.tar.gz", &gigabytes);
    let small = world.path("small");
    fs::create_dir(&small).unwrap();
    for bomb in ["layer-zstd.tar", "layer-gzip.tar", "outer.tar.zst", "outer.tar.gz"] {
        let convert = format!("convert {bomb} -o out.tar");
        let check = format!("check {bomb}");
        let fix = format!("check --fix -o out.tar {bomb}");
        for (subcommand, code, word) in [(convert, 1, "over the limit"), (check, 2, "limit"), (fix, 2, "limit")] {
            // in a mount namespace of its own: nothing has to be cleared away
            let script = format!(
                "mount -t tmpfs -o size=256m none small && mkdir small/tmp && \
                 prlimit --data={MEMORY} --core=0 \"$0\" {subcommand}; code=$?; \
                 find small -type f -size +9k >&2; test ! -e out.tar && exit $code"
            );
            let program = world.command();
            let mut command = tool("unshare");
            command.args(["--mount", "sh", "-c", &script]).arg(program.get_program()).current_dir(world.path(""));
            command.env("ROUTERPACK_CACHE_DIR", small.join("cache")).env("TMPDIR", small.join("tmp"));
            let start = std::time::Instant::now();
            let outcome = run(&mut command);
            assert!(start.elapsed() < TIME, "{:?}: {outcome}", start.elapsed());
            assert_eq!(outcome.code, Some(code), "{subcommand}: {outcome}");
            assert!(outcome.text().contains(word) || outcome.stderr.contains(word), "{subcommand}: {outcome}");
            assert!(!outcome.stderr.contains("small/"), "{subcommand}: files are left: {outcome}");
        }
    }
    assert_untouched(&world, &outside);
}

/// A tar whose one member claims, and has, so many bytes; nothing of them is on the disk.
fn holes(path: &Path, name: &str, size: u64) {
    let claim = format!("{size:011o}\0");
    let header = Raw::default()
        .odd(b'0', name.as_bytes(), b"", b"", |header| header[124..136].copy_from_slice(claim.as_bytes()))
        .bytes();
    let file = File::create(path).unwrap();
    file.write_all_at(&header, 0).unwrap();
    file.set_len(512 + size + 1024).unwrap();
}

#[test]
fn documents_of_gigabytes_are_not_read() {
    let (world, outside) = guarded();
    for (name, word) in [("manifest.json", "limit"), ("index.json", "limit")] {
        holes(&world.path("x.tar"), name, 2 << 30);
        if name == "index.json" {
            let marker = Raw::default().entry(b'0', b"oci-layout", b"", br#"{"imageLayoutVersion":"1.0.0"}"#).end();
            let file = File::options().write(true).open(world.path("x.tar")).unwrap();
            file.write_all_at(&marker, 512 + (2 << 30)).unwrap();
        }
        endure(&world, name, "x.tar", &Refused(word));
    }
    assert_untouched(&world, &outside);
}

/// A docker-archive with a layer of so many empty files.
fn many(path: &Path, count: usize) {
    let layer_at = 4096u64;
    let file = File::create(path).unwrap();
    let mut out = BufWriter::with_capacity(1 << 20, &file);
    out.write_all(&vec![0; layer_at as usize]).unwrap();
    let mut hash = Sha256::new();
    let mut put = |bytes: &[u8]| {
        hash.update(bytes);
        out.write_all(bytes).unwrap();
    };
    for n in 0..count {
        put(&Raw::default().entry(b'0', format!("{:03}/{n:07}", n % 1000).as_bytes(), b"", b"").bytes());
    }
    put(&[0; 1024]);
    out.flush().unwrap();
    drop(out);
    let size = 512 * count + 1024;
    let config = config(&[format!("sha256:{}", hex::encode(hash.finalize()))]);
    let claim = format!("{size:011o}\0");
    let head = docker_archive_of(&config, &["layer"], &[]);
    let head = [
        &head[..head.len() - 1024],
        &Raw::default().odd(b'0', b"layer", b"", b"", |h| h[124..136].copy_from_slice(claim.as_bytes())).bytes(),
    ]
    .concat();
    // the layer's header stands right before the layer
    assert!(head.len() <= layer_at as usize);
    let pad = layer_at as usize - head.len();
    let filler = Raw::default().entry(b'0', b"filler", b"", &vec![b' '; pad.saturating_sub(512)]).bytes();
    file.write_all_at(&[&filler[..pad], &head].concat(), 0).unwrap();
    file.set_len(layer_at + size as u64 + 1024).unwrap();
}

#[test]
fn memory_follows_the_number_of_entries_and_no_more() {
    // a million take ten times that: every part of it goes by the number
    const COUNT: usize = 100_000;
    const EACH: u64 = 200;
    let (world, outside) = guarded();
    many(&world.path("many.tar"), COUNT);
    let memory = (25 << 20) + EACH * COUNT as u64;
    for arguments in [
        &["convert", "--quiet", "many.tar", "-o", "out.tar"][..],
        &["check", "many.tar"],
        &["ls", "-R", "many.tar"],
        &["check", "--fix", "-o", "fixed.tar", "many.tar"],
        &["convert", "--quiet", "fixed.tar", "-o", "-"],
    ] {
        let outcome = bounded(&world, memory, arguments);
        let findings = outcome.text().contains("error[command-missing]");
        assert!(outcome.code == Some(0) || findings || world.path("fixed.tar").exists(), "{}", outcome.stderr);
    }
    let archive = Archive::read(&world.path("out.tar"));
    let entries = tar::Archive::new(&archive.layers[0][..]).entries().unwrap().count();
    assert_eq!(entries, COUNT + 1000, "the files, and the directories that they are in");
    assert_untouched(&world, &outside);
}
