//! Local stores, as the real tools write them and as nobody should.

use std::fs;
use std::path::{Path, PathBuf};

use routerpack_graph::Digest;
use routerpack_sources::{ContextRef, Error, Image, Store, StoreKind, open_store};

use super::sample::{Sample, config, gzip, layer, leftovers, noise, platform, tar, zstd};
use super::server::{run, skopeo};

fn open(path: &Path, cache: &Path) -> Store {
    open_store(path, &config(cache)).unwrap()
}

fn amd64(store: &Store, tag: Option<&str>) -> Result<Image, Error> {
    store.image(tag, None, &platform("linux/amd64"))
}

/// Every layer's tar.
fn layers(image: &Image) -> Vec<Vec<u8>> {
    (0..image.layers.len()).map(|n| layer(image, n).unwrap()).collect()
}

#[test]
fn the_same_image_comes_out_of_every_kind_of_store() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, layout) = (dir.path().join("cache"), dir.path().join("layout"));
    let sample = Sample::three_older_layers();
    sample.write(&layout);
    let path = |name: &str| dir.path().join(name);
    run("tar", "tar", &["-C", layout.to_str().unwrap(), "-cf", path("layout.tar").to_str().unwrap(), "."]);
    let from = format!("oci:{}:1.0", layout.display());
    skopeo(&["copy", "-q", &from, &format!("docker-archive:{}:me/app:1.0", path("docker.tar").display())]);
    fs::write(path("docker.tar.gz"), gzip(&fs::read(path("docker.tar")).unwrap())).unwrap();
    fs::write(path("docker.tar.zst"), zstd(&fs::read(path("docker.tar")).unwrap())).unwrap();

    let reference = amd64(&open(&layout, &cache), None).unwrap();
    let want = layers(&reference);
    assert_eq!(reference.digest, sample.digest(0));
    for (n, tar) in want.iter().enumerate() {
        assert_eq!(Digest::of(tar), reference.layers[n].diff_id);
    }
    let mut digests = Vec::new();
    for (name, kind) in [
        ("layout", StoreKind::OciLayout),
        ("layout.tar", StoreKind::OciLayout),
        ("docker.tar", StoreKind::DockerArchive),
        ("docker.tar.gz", StoreKind::DockerArchive),
        ("docker.tar.zst", StoreKind::DockerArchive),
    ] {
        let store = open(&path(name), &cache);
        assert_eq!(store.kind(), kind, "{name}");
        for tag in [None, Some("1.0")] {
            let image = amd64(&store, tag).unwrap();
            assert_eq!(layers(&image), want, "{name}");
            assert_eq!(image.config.config.cmd, ["linux/amd64"]);
            // The digest that was given finds it again; also in an archive, which has no manifest.
            let again = store.image(None, Some(&image.digest), &platform("linux/amd64")).unwrap();
            assert_eq!((&again.digest, &again.manifest), (&image.digest, &image.manifest));
            assert_eq!(Digest::of(&image.manifest), image.digest);
            digests.push((kind, image.digest));
        }
        let error = amd64(&store, Some("2.0")).unwrap_err();
        assert!(matches!(error, Error::NoImage { .. }) && error.to_string().contains("1.0"), "{error}");
    }
    assert!(digests.iter().all(|(k, d)| digests.iter().all(|(l, e)| k != l || d == e)));
    assert_eq!(amd64(&open(&path("docker.tar"), &cache), Some("me/app:1.0")).unwrap().layers.len(), 3);
    // Asking for the wrong kind says what it is.
    let error = Store::open(&path("docker.tar"), Some(StoreKind::OciLayout), &config(&cache)).unwrap_err().to_string();
    assert!(error.contains("no OCI layout (by its content: docker-archive)"), "{error}");
    assert_eq!(leftovers(&cache), Vec::<String>::new());
}

#[test]
fn a_context_value_leads_to_its_image() {
    let dir = tempfile::tempdir().unwrap();
    let sample = Sample::for_platforms(&["linux/arm/v5", "linux/arm64"]);
    sample.write(dir.path());
    let path = dir.path().display();
    for text in [
        format!("oci-layout:{path}"),
        format!("oci-layout:{path}:multi"),
        format!("oci-layout://{path}:multi"),
        format!("oci-layout://{path}@{}", sample.digest(0)),
    ] {
        let ContextRef::Store { kind, path, tag, digest } = ContextRef::parse(&text).unwrap() else { panic!("{text}") };
        let store = Store::open(&path, Some(kind), &config(&dir.path().join("cache"))).unwrap();
        for (wanted, got) in [("linux/arm/v7", "linux/arm/v5"), ("linux/arm64", "linux/arm64")] {
            let image = store.image(tag.as_deref(), digest.as_ref(), &platform(wanted)).unwrap();
            assert_eq!((image.platform.to_string().as_str(), &image.root_digest), (got, &sample.digest(0)));
        }
        let error = store.image(tag.as_deref(), digest.as_ref(), &platform("linux/amd64")).unwrap_err();
        assert!(error.to_string().contains("linux/arm/v5, linux/arm64"), "{error}");
    }
}

#[test]
fn a_layout_of_several_tags_wants_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut sample = Sample::default();
    for tag in ["a", "b"] {
        let tar = tar("f", tag.as_bytes());
        let image = sample.image("linux/amd64", &[(tar.clone(), tar)]);
        sample.tag(image, tag);
    }
    sample.write(&dir.path().join("two"));
    let store = open(&dir.path().join("two"), &dir.path().join("cache"));
    assert_eq!(store.tags(), ["a", "b"]);
    assert_eq!(amd64(&store, Some("b")).unwrap().digest, sample.digest(1));
    let error = amd64(&store, None).unwrap_err().to_string();
    assert!(error.contains("a, b") && error.contains(":TAG"), "{error}");
    // A sole image is given even where another platform was asked for; the caller compares.
    let image = store.image(Some("a"), None, &platform("linux/arm64")).unwrap();
    assert_eq!(image.platform, platform("linux/amd64"));
}

#[test]
fn what_an_index_says_fills_in_what_a_config_leaves_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut sample = Sample::default();
    let tar = tar("f", b"x");
    let mut image = sample.image("linux/arm", &[(tar.clone(), tar)]);
    image["platform"]["variant"] = "v5".into();
    sample.tag(image.clone(), "a");
    sample.write(&dir.path().join("one"));
    let store = open(&dir.path().join("one"), &dir.path().join("cache"));
    let image_of = |store: &Store, digest| store.image(None, digest, &platform("linux/arm/v5"));
    assert_eq!(image_of(&store, None).unwrap().platform, platform("linux/arm/v5"));

    // Two of the same kind without a name: only a digest tells them apart.
    sample.entries.clear();
    let other = super::sample::tar("f", b"y");
    let other = sample.image("linux/arm", &[(other.clone(), other)]);
    let mut other_v5 = other.clone();
    other_v5["platform"]["variant"] = "v5".into();
    sample.entries = vec![image, other_v5];
    sample.write(&dir.path().join("two"));
    let store = open(&dir.path().join("two"), &dir.path().join("cache"));
    let error = image_of(&store, None).unwrap_err().to_string();
    assert!(error.contains("@DIGEST") && error.contains(sample.digest(1).as_str()), "{error}");
    assert_eq!(image_of(&store, Some(&sample.digest(1))).unwrap().digest, sample.digest(1));
}

#[test]
fn a_legacy_docker_archive_with_links_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let layer_tar = tar("f", b"shared by two layers");
    let zipped = gzip(&tar("g", b"compressed inside"));
    let diff = |bytes: &[u8]| Digest::of(bytes).to_string();
    let image_config = serde_json::json!({
        "architecture": "arm", "variant": "v7", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [diff(&layer_tar), diff(&tar("g", b"compressed inside")), diff(&layer_tar)]},
    });
    let image_config = serde_json::to_vec(&image_config).unwrap();
    let name = format!("{}.json", Digest::of(&image_config).hex());
    let manifest = serde_json::json!([{
        "Config": name, "RepoTags": ["app:1", "app:2"], "Layers": ["one/layer.tar", "two/layer.tar", "three/layer.tar"],
    }]);
    let archive = |target: &str, config_name: &str| {
        let mut builder = tar::Builder::new(Vec::new());
        let mut file = |name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, bytes).unwrap();
        };
        file("one/layer.tar", &layer_tar);
        file("two/layer.tar", &zipped);
        file(config_name, &image_config);
        file("manifest.json", &serde_json::to_vec(&manifest).unwrap());
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "three/layer.tar", target).unwrap();
        builder.into_inner().unwrap()
    };
    let (path, cache) = (dir.path().join("a.tar"), dir.path().join("cache"));
    fs::write(&path, archive("../one/layer.tar", &name)).unwrap();
    let image = open(&path, &cache).image(Some("app:2"), None, &platform("linux/arm/v7")).unwrap();
    assert_eq!(layers(&image), [layer_tar.clone(), tar("g", b"compressed inside"), layer_tar.clone()]);
    assert_eq!(image.layers[1].digest, Digest::of(&zipped));

    // A link out of the archive leads nowhere, whatever lies there.
    fs::write(dir.path().join("outside"), &layer_tar).unwrap();
    for target in ["../../outside", dir.path().join("outside").to_str().unwrap()] {
        fs::write(&path, archive(target, &name)).unwrap();
        let error = amd64(&open(&path, &cache), None).unwrap_err().to_string();
        assert!(error.contains("three/layer.tar") && error.contains("missing"), "{error}");
    }
    // A config that isn't what its name says.
    let other = format!("{}.json", Digest::of(b"other").hex());
    let lying = serde_json::to_vec(&manifest).unwrap();
    let lying = String::from_utf8(lying).unwrap().replace(&name, &other);
    let mut bytes = archive("../one/layer.tar", &other);
    let at = bytes.windows(lying.len()).position(|w| w == serde_json::to_vec(&manifest).unwrap()).unwrap();
    bytes[at..at + lying.len()].copy_from_slice(lying.as_bytes());
    fs::write(&path, bytes).unwrap();
    assert!(matches!(amd64(&open(&path, &cache), None), Err(Error::WrongDigest { .. })));
}

#[test]
fn an_archive_that_is_both_is_what_it_is_asked_to_be() {
    // Docker since version 25 writes both indexes over the same blobs, compressed ones among them.
    let dir = tempfile::tempdir().unwrap();
    let (cache, layout, path) = (dir.path().join("cache"), dir.path().join("layout"), dir.path().join("both.tar"));
    let sample = Sample::three_layers();
    sample.write(&layout);
    let manifest = sample.json(&sample.digest(0));
    let name = |value: &serde_json::Value| format!("blobs/sha256/{}", &value["digest"].as_str().unwrap()[7..]);
    let names: Vec<_> = manifest["layers"].as_array().unwrap().iter().map(name).collect();
    let docker = serde_json::json!([{"Config": name(&manifest["config"]), "RepoTags": ["app:1.0"], "Layers": names}]);
    fs::write(layout.join("manifest.json"), serde_json::to_vec(&docker).unwrap()).unwrap();
    run("tar", "tar", &["-C", layout.to_str().unwrap(), "-cf", path.to_str().unwrap(), "."]);
    let want = layers(&amd64(&open(&layout, &cache), None).unwrap());
    for (asked, kind) in [
        (None, StoreKind::OciLayout),
        (Some(StoreKind::OciLayout), StoreKind::OciLayout),
        (Some(StoreKind::DockerArchive), StoreKind::DockerArchive),
    ] {
        let store = Store::open(&path, asked, &config(&cache)).unwrap();
        assert_eq!(store.kind(), kind);
        let image = amd64(&store, Some("1.0")).unwrap();
        assert_eq!(layers(&image), want);
        let blobs: Vec<_> = image.layers.iter().map(|l| format!("blobs/sha256/{}", l.digest.hex())).collect();
        assert_eq!(blobs, names, "compressed layers keep their digests");
    }
}

#[test]
fn a_rootfs_tar_is_an_image_of_one_layer_and_a_directory_is_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let rootfs = tar("etc/hostname", b"router");
    let mut digests = Vec::new();
    fs::write(dir.path().join("r.tar"), &rootfs).unwrap();
    fs::write(dir.path().join("r.tar.gz"), gzip(&rootfs)).unwrap();
    fs::write(dir.path().join("r.tar.zst"), zstd(&rootfs)).unwrap();
    for (package, program) in [("bzip2", "bzip2"), ("xz-utils", "xz")] {
        run(package, program, &["-k", dir.path().join("r.tar").to_str().unwrap()]);
    }
    for name in ["r.tar", "r.tar.gz", "r.tar.zst", "r.tar.bz2", "r.tar.xz"] {
        let path = dir.path().join(name);
        for _ in 0..2 {
            let store = open(&path, &cache);
            assert_eq!(store.kind(), StoreKind::RootfsTar);
            let image = store.image(None, None, &platform("linux/arm/v5")).unwrap();
            assert_eq!(layers(&image), std::slice::from_ref(&rootfs), "{name}");
            assert_eq!(image.platform, platform("linux/arm/v5"));
            assert_eq!(image.config.history.len(), 1);
            assert!(store.image(None, Some(&image.digest), &platform("linux/arm/v5")).is_ok());
            assert!(store.image(None, Some(&image.digest), &platform("linux/arm64")).is_err());
            digests.push(image.digest);
        }
    }
    assert!(digests.iter().all(|d| *d == digests[0]), "compression changes nothing");
    // A file that changes is read again, even if size and mtime are set back.
    let path = dir.path().join("r.tar");
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    let changed = tar("etc/hostname", b"Router");
    fs::write(&path, &changed).unwrap();
    fs::File::open(&path).unwrap().set_modified(before).unwrap();
    assert_eq!(layers(&open(&path, &cache).image(None, None, &platform("linux/arm64")).unwrap()), [changed]);

    let store = open(dir.path(), &cache);
    assert_eq!(store.kind(), StoreKind::Directory);
    assert!(matches!(amd64(&store, None), Err(Error::NotAnImage { .. })));
}

#[test]
fn what_is_no_store_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let path = dir.path().join("x");
    for (bytes, word) in [
        (b"hello, this is no tar".to_vec(), "not a tar"),
        (noise(5000), "not a tar"),
        (vec![0; 10240], "empty tar"),
        (Vec::new(), "empty tar"),
        (gzip(b"hello"), "not a tar"),
        (gzip(&tar("f", b"x"))[..60].to_vec(), "decompress"),
        (tar("f", &noise(5000))[..3000].to_vec(), "truncated"),
        (tar("manifest.json", b"{}"), "manifest.json"),
        (tar("manifest.json", b"[]"), "no image"),
        (tar("manifest.json", br#"[{"Config":"../../etc/passwd","Layers":[]}]"#), "missing"),
    ] {
        fs::write(&path, bytes).unwrap();
        let error = open_store(&path, &config(&cache)).and_then(|s| amd64(&s, None)).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
    let error = open_store(&dir.path().join("absent"), &config(&cache)).unwrap_err().to_string();
    assert!(error.contains("absent") && error.contains("No such file"), "{error}");
    // A bomb: 64 MiB of zeros in 60 kB.
    fs::write(&path, gzip(&vec![0; 64 << 20])).unwrap();
    let mut small = config(&cache);
    small.limits.inflated = 1 << 20;
    assert!(matches!(open_store(&path, &small), Err(Error::Inflates { .. })));
    assert_eq!(leftovers(&cache), Vec::<String>::new());
}

#[test]
fn a_tampered_layout_is_found_out_and_nothing_outside_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let sample = Sample::three_layers();
    let manifest = sample.json(&sample.digest(0));
    let blob = |value: &serde_json::Value| Digest::parse(value["digest"].as_str().unwrap()).unwrap();
    let (first, config_blob) = (blob(&manifest["layers"][0]), blob(&manifest["config"]));
    let fresh = |name: &str| {
        let path = dir.path().join(name);
        sample.write(&path);
        path
    };
    let file = |layout: &PathBuf, digest: &Digest| layout.join("blobs/sha256").join(digest.hex());
    let read = |layout: &PathBuf| amd64(&open(layout, &cache), None).and_then(|image| layer(&image, 0));
    let change = |layout: &PathBuf, digest: &Digest, f: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(file(layout, digest)).unwrap();
        f(&mut bytes);
        fs::write(file(layout, digest), bytes).unwrap();
    };

    for (n, digest) in [sample.digest(0), config_blob, first.clone()].iter().enumerate() {
        let layout = fresh(&format!("flipped{n}"));
        change(&layout, digest, &|bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1
        });
        let error = read(&layout).unwrap_err();
        assert!(matches!(&error, Error::WrongDigest { expected, .. } if expected == digest), "{error}");
        assert!(error.to_string().contains(&layout.display().to_string()), "{error}");
        let layout = fresh(&format!("cut{n}"));
        change(&layout, digest, &|bytes| bytes.truncate(bytes.len() - 5));
        let error = read(&layout).unwrap_err();
        assert!(matches!(&error, Error::Truncated { blob, .. } if blob == digest), "{error}");
        let layout = fresh(&format!("long{n}"));
        change(&layout, digest, &|bytes| bytes.push(b' '));
        assert!(matches!(read(&layout), Err(Error::Overlong { .. })));
        let layout = fresh(&format!("gone{n}"));
        fs::remove_file(file(&layout, digest)).unwrap();
        let error = read(&layout).unwrap_err().to_string();
        assert!(error.contains(digest.as_str()) && error.contains("missing"), "{error}");
    }

    // The right bytes, behind a link that leaves the layout.
    let layout = fresh("link");
    fs::rename(file(&layout, &first), dir.path().join("outside")).unwrap();
    for target in ["../../../outside".into(), dir.path().join("outside")] {
        let _ = fs::remove_file(file(&layout, &first));
        std::os::unix::fs::symlink(&target, file(&layout, &first)).unwrap();
        let error = read(&layout).unwrap_err();
        assert!(error.to_string().contains("leads out of the layout"), "{error}");
    }
    // A link inside is fine.
    fs::remove_file(file(&layout, &first)).unwrap();
    fs::copy(dir.path().join("outside"), layout.join("inside")).unwrap();
    std::os::unix::fs::symlink("../../inside", file(&layout, &first)).unwrap();
    assert!(read(&layout).is_ok());
    // What isn't a file at all.
    fs::remove_file(file(&layout, &first)).unwrap();
    run("coreutils", "mkfifo", &[file(&layout, &first).to_str().unwrap()]);
    assert!(read(&layout).unwrap_err().to_string().contains("not a regular file"));

    // A digest that is a path.
    let layout = fresh("path");
    let index = fs::read_to_string(layout.join("index.json")).unwrap();
    fs::write(layout.join("index.json"), index.replace(sample.digest(0).hex(), "../../../outside")).unwrap();
    assert!(open_store(&layout, &config(&cache)).unwrap_err().to_string().contains("not a digest"));
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"9.0.0"}"#).unwrap();
    assert!(open_store(&layout, &config(&cache)).unwrap_err().to_string().contains("9.0.0"));
}
