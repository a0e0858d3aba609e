//! `check --fix`: what it mends, and what it must not.

use routerpack_graph::Digest;
use routerpack_targets::{
    check::{FixError, Source, check, fix},
    rules::Severity,
};
use tar::EntryType;

use crate::{
    Bench,
    image::{Image, base, bzip2, gzip, xz},
    layer::Layer,
    named,
};

#[test]
fn mending_makes_an_archive_that_nothing_is_wrong_with() {
    let bench = Bench::new();
    let upper = Layer::default().file("etc/.wh.passwd", 0o644, "").file("new", 0o644, "new").end();
    let layers =
        vec![gzip(&base().put(EntryType::Fifo, "pipe", 0o666, "", b"").end()), zstd::encode_all(&*upper, 1).unwrap()];
    let bad = Image { layers, tags: vec!["ghcr.io/a/app:1"], blobs: true, ..Image::good() };
    let out = bench.dir.path().join("out.tar");
    let others = Image { layers: vec![bzip2(&base().end()), xz(&upper)], ..bad.clone() };
    for (bytes, tag) in [
        (bad.pack(), "a/app:1"),
        (others.pack(), "a/app:1"),
        (xz(&bad.pack()), "a/app:1"),
        (bzip2(&others.pack()), "a/app:1"),
        (Image { oci: true, ..bad.clone() }.pack(), "own-name:latest"),
    ] {
        let fixed = fix(Source::Reader(&mut &*bytes, "x"), &bench.options(), &out, "own-name", false).unwrap();
        assert!(fixed.before.count(Severity::Error) > 0);
        let report = check(Source::Path(&out), &bench.options()).unwrap();
        assert_eq!(named(&report), Vec::<String>::new());
        assert_eq!(report.tags, [tag]);
        assert_eq!(report.image_id, fixed.summary.image_id);
    }
    // in place
    std::fs::write(&out, bad.pack()).unwrap();
    fix(Source::Path(&out), &bench.options(), &out, "x", false).unwrap();
    assert_eq!(named(&check(Source::Path(&out), &bench.options()).unwrap()), Vec::<String>::new());
}

#[test]
fn what_is_not_what_it_says_is_not_mended() {
    let bench = Bench::new();
    let out = bench.dir.path().join("out.tar");
    for bytes in [
        Image { diff_ids: Some(vec![Digest::of(b"other")]), ..Image::good() }.pack(),
        Image::of(base().file("../x", 0o644, "x").end()).pack(),
        base().end(),
        b"nothing".to_vec(),
    ] {
        let result = fix(Source::Reader(&mut &*bytes, "x"), &bench.options(), &out, "x", false);
        assert!(matches!(result, Err(FixError::Beyond(_))), "{result:?}");
        assert!(!out.exists());
    }
}
