//! Registries that send the wrong thing, too much, too little, or nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use routerpack_graph::Digest;
use routerpack_sources::{Error, Image, PullPolicy, Reference, Registry, Result};
use serde_json::json;

use super::sample::{MANIFEST, Sample, config, gzip, layer, leftovers, noise, platform, tar};
use super::server::{Reply, Request, Server};

fn image(server: &Server, cache: &Path) -> Result<Image> {
    let reference = Reference::parse(&format!("{}/app:1.0", server.host)).unwrap();
    Registry::new(&config(cache))?.image(&reference, &platform("linux/amd64"), PullPolicy::Missing)
}

/// An image with one gzip layer of some 200 kB, and that layer's digest.
fn big() -> (Sample, Digest, Vec<u8>) {
    let mut sample = Sample::default();
    let tar = tar("big", &noise(200_000));
    let blob = gzip(&tar);
    let descriptor = sample.image("linux/amd64", &[(tar.clone(), blob.clone())]);
    sample.tag(descriptor, "1.0");
    (sample, Digest::of(&blob), tar)
}

fn is_blob(request: &Request, blob: &Digest) -> bool {
    request.path.ends_with(&format!("/blobs/{blob}"))
}

#[test]
fn wrong_truncated_and_overlong_blobs_are_named_and_leave_nothing() {
    type Twist = fn(Reply) -> Reply;
    let cases: [(&str, Twist); 4] = [
        ("WrongDigest", |mut r| {
            let middle = r.body.len() / 2;
            r.body[middle] ^= 1;
            r
        }),
        ("Truncated", |mut r| {
            r.body.truncate(1000);
            r
        }),
        ("Truncated", |mut r| {
            r.cut = Some(r.body.len().min(777));
            r
        }),
        ("Overlong", |mut r| {
            r.body.extend_from_slice(b"more");
            r
        }),
    ];
    for (want, twist) in cases {
        let (sample, blob, _) = big();
        let bad = blob.clone();
        // Ranges are ignored, so that every try is the same.
        let server = Server::registry(sample.clone(), move |request, reply| {
            if !is_blob(request, &bad) {
                return reply;
            }
            let whole = Reply::new(200, sample.blobs[&bad].clone());
            twist(whole)
        });
        let cache = tempfile::tempdir().unwrap();
        let image = image(&server, cache.path()).unwrap();
        let error = layer(&image, 0).unwrap_err();
        assert!(format!("{error:?}").starts_with(want), "{want}: {error:?}");
        assert!(error.to_string().contains(blob.as_str()), "{error}");
        assert!(!cache.path().join("blobs/sha256").join(blob.hex()).exists());
        assert_eq!(leftovers(cache.path()), Vec::<String>::new());
    }
}

#[test]
fn a_cut_download_goes_on_where_it_was() {
    for ranges in [true, false] {
        let (sample, blob, tar) = big();
        let (cuts, bad) = (AtomicUsize::new(0), blob.clone());
        let honest = sample.clone();
        let server = Server::registry(sample, move |request, mut reply| {
            if is_blob(request, &bad) {
                if !ranges {
                    reply = Reply::new(200, honest.blobs[&bad].clone());
                }
                if cuts.fetch_add(1, Ordering::SeqCst) < 2 {
                    reply.cut = Some(reply.body.len() / 2);
                }
            }
            reply
        });
        let cache = tempfile::tempdir().unwrap();
        let image = image(&server, cache.path()).unwrap();
        assert_eq!(layer(&image, 0).unwrap(), tar, "ranges: {ranges}");
        let asked: Vec<_> = server.requests().iter().filter(|r| is_blob(r, &blob)).cloned().collect();
        assert_eq!(asked.len(), 3);
        assert!(asked[0].header("range").is_none() && asked[1].header("range").is_some());
    }
}

#[test]
fn another_range_than_asked_for_is_refused() {
    let (sample, blob, _) = big();
    let bad = blob.clone();
    let server = Server::registry(sample, move |request, mut reply| {
        if is_blob(request, &bad) {
            match request.header("range") {
                None => reply.cut = Some(1000),
                Some(_) => {
                    for (name, value) in &mut reply.headers {
                        if name == "content-range" {
                            *value = "bytes 5-9/10".into();
                        }
                    }
                }
            }
        }
        reply
    });
    let cache = tempfile::tempdir().unwrap();
    let error = layer(&image(&server, cache.path()).unwrap(), 0).unwrap_err();
    assert!(error.to_string().contains("another range"), "{error}");
}

#[test]
fn passing_trouble_is_waited_out_and_lasting_trouble_is_told() {
    for (failures, status, fine) in [(2, 503, true), (2, 429, true), (9, 500, false)] {
        let count = AtomicUsize::new(0);
        let server = Server::registry(Sample::three_layers(), move |_, reply| {
            if count.fetch_add(1, Ordering::SeqCst) < failures { Reply::new(status, "busy") } else { reply }
        });
        let cache = tempfile::tempdir().unwrap();
        match image(&server, cache.path()) {
            Ok(_) => assert!(fine, "{status}"),
            Err(Error::Answer { status: got, .. }) => assert!(!fine && got == status),
            Err(e) => panic!("{e}"),
        }
    }
    // What is final is not asked for again.
    let server = Server::registry(Sample::default(), |_, reply| reply);
    let cache = tempfile::tempdir().unwrap();
    assert!(matches!(image(&server, cache.path()), Err(Error::NotFound { .. })));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn manifests_and_configs_are_bounded_and_checked() {
    let sample = Sample::three_layers();
    let root = sample.digest(0);
    let config_digest = Digest::parse(sample.json(&root)["config"]["digest"].as_str().unwrap()).unwrap();

    // A manifest without end.
    let server = Server::registry(sample.clone(), |request, mut reply| {
        if request.path.contains("/manifests/") {
            reply.body = vec![b' '; 5 << 20];
        }
        reply
    });
    let cache = tempfile::tempdir().unwrap();
    assert!(matches!(image(&server, cache.path()), Err(Error::TooLarge { limit: 4_194_304, .. })));

    // A manifest that isn't what its header says.
    let server = Server::registry(sample.clone(), |request, mut reply| {
        if request.path.contains("/manifests/") {
            reply.body.push(b'\n');
        }
        reply
    });
    let error = image(&server, cache.path()).unwrap_err();
    assert!(matches!(&error, Error::WrongDigest { expected, .. } if *expected == root), "{error}");

    // A config of the right size and the wrong content.
    let wrong = config_digest.clone();
    let server = Server::registry(sample, move |request, mut reply| {
        if is_blob(request, &wrong) {
            reply.body[20] ^= 1;
        }
        reply
    });
    let error = image(&server, cache.path()).unwrap_err();
    assert!(matches!(&error, Error::WrongDigest { expected, .. } if *expected == config_digest), "{error}");
    assert_eq!(leftovers(cache.path()), Vec::<String>::new());
}

#[test]
fn inconsistent_images_are_refused() {
    let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let layer_of = |media_type: &str| json!({"mediaType": media_type, "digest": empty, "size": 0});
    let tar_layer = "application/vnd.oci.image.layer.v1.tar";
    let good = json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}});
    for (config, layers, word) in [
        (good.clone(), json!([layer_of(tar_layer)]), "0 diff_ids"),
        (good.clone(), json!(vec![layer_of(tar_layer); 1001]), "1001 layers"),
        (good.clone(), json!([layer_of("application/vnd.cncf.helm.chart.content.v1.tar+gzip")]), "helm"),
        (json!({"architecture": "amd64"}), json!([]), "no os"),
        (
            json!({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": ["sha256:xy"]}}),
            json!([]),
            "not a digest",
        ),
        (json!("text"), json!([]), "not an image config"),
    ] {
        let mut sample = Sample::default();
        let config = sample.put("application/vnd.oci.image.config.v1+json", serde_json::to_vec(&config).unwrap());
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        let manifest = sample.put(MANIFEST, serde_json::to_vec(&manifest).unwrap());
        sample.tag(manifest, "1.0");
        let server = Server::registry(sample, |_, reply| reply);
        let cache = tempfile::tempdir().unwrap();
        let error = image(&server, cache.path()).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn two_builds_fetch_a_blob_once() {
    let (sample, blob, tar) = big();
    let slow = blob.clone();
    let server = Server::registry(sample, move |request, mut reply| {
        if is_blob(request, &slow) {
            reply.wait = Duration::from_millis(100);
        }
        reply
    });
    let cache = tempfile::tempdir().unwrap();
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| assert_eq!(layer(&image(&server, cache.path()).unwrap(), 0).unwrap(), tar));
        }
    });
    assert_eq!(server.count(&format!("/blobs/{blob}")), 1);
    assert_eq!(leftovers(cache.path()), Vec::<String>::new());
}

#[test]
fn a_pull_that_is_killed_leaves_nothing_in_the_way() {
    // The test runs itself again as the process to be killed.
    const CHILD: &str = "ROUTERPACK_TEST_KILLED_CHILD";
    if let Ok(child) = std::env::var(CHILD) {
        let (host, cache) = child.split_once(' ').unwrap();
        let reference = Reference::parse(&format!("{host}/app:1.0")).unwrap();
        let registry = Registry::new(&config(Path::new(cache))).unwrap();
        let image = registry.image(&reference, &platform("linux/amd64"), PullPolicy::Missing).unwrap();
        panic!("not killed: {:?}", layer(&image, 0).map(|tar| tar.len()));
    }
    let (sample, blob, tar) = big();
    let (slow, first) = (blob.clone(), AtomicUsize::new(0));
    let server = Server::registry(sample, move |request, mut reply| {
        if is_blob(request, &slow) && first.fetch_add(1, Ordering::SeqCst) == 0 {
            reply.cut = Some(reply.body.len() / 2);
            reply.linger = Duration::from_secs(20);
        }
        reply
    });
    let cache = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hostile::a_pull_that_is_killed_leaves_nothing_in_the_way"])
        .env(CHILD, format!("{} {}", server.host, cache.path().display()))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.count(&format!("/blobs/{blob}")) == 0 {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "the child does not pull");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(100));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!cache.path().join("blobs/sha256").join(blob.hex()).exists());
    assert_eq!(layer(&image(&server, cache.path()).unwrap(), 0).unwrap(), tar);
    assert_eq!(leftovers(cache.path()), Vec::<String>::new());
}

#[test]
fn a_damaged_cache_heals() {
    let (sample, blob, tar) = big();
    let server = Server::registry(sample.clone(), |_, reply| reply);
    let cache = tempfile::tempdir().unwrap();
    let got = image(&server, cache.path()).unwrap();
    layer(&got, 0).unwrap();
    let path = cache.path().join("blobs/sha256").join(blob.hex());
    // Cut short, as a power failure leaves it: fetched again at once.
    std::fs::write(&path, b"").unwrap();
    assert_eq!(layer(&got, 0).unwrap(), tar);
    // Flipped bits show when it is read, and are gone afterwards.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(layer(&got, 0), Err(Error::WrongDigest { .. })));
    assert_eq!(layer(&got, 0).unwrap(), tar);
    // Manifest and config too.
    for digest in [sample.digest(0), got.config_digest.clone()] {
        std::fs::write(cache.path().join("blobs/sha256").join(digest.hex()), b"{").unwrap();
        assert_eq!(image(&server, cache.path()).unwrap().digest, got.digest);
    }
}

#[test]
fn pull_asks_once_and_notices_a_moved_tag() {
    let (first, second) = (Sample::three_layers(), big().0);
    let (old, new) = (first.digest(0), second.digest(0));
    let moved = Arc::new(AtomicUsize::new(0));
    let flag = moved.clone();
    let mut both = first.clone();
    both.blobs.extend(second.blobs.clone());
    let mut after = both.clone();
    after.entries = second.entries.clone();
    let server = Server::start({
        let (before, after) = (Arc::new(both), Arc::new(after));
        move |request| {
            let sample = if flag.load(Ordering::SeqCst) == 0 { &before } else { &after };
            super::server::registry_answer(sample, request)
        }
    });
    let cache = tempfile::tempdir().unwrap();
    let registry = Registry::new(&config(cache.path())).unwrap();
    let reference = Reference::parse(&format!("{}/app:1.0", server.host)).unwrap();
    let pull = |policy| registry.image(&reference, &platform("linux/amd64"), policy).unwrap().digest;
    assert_eq!(pull(PullPolicy::Missing), old);
    let before = server.requests().len();
    assert_eq!(pull(PullPolicy::Missing), old);
    assert_eq!(server.requests().len(), before, "an unchanged base needs no network");
    assert_eq!(pull(PullPolicy::Always), old);
    assert_eq!((server.requests().len(), server.count("HEAD ")), (before + 1, 1));
    moved.store(1, Ordering::SeqCst);
    assert_eq!(pull(PullPolicy::Missing), old);
    assert_eq!(pull(PullPolicy::Always), new);
    assert_eq!(pull(PullPolicy::Offline), new);
}

#[test]
fn a_registry_without_head_is_asked_for_the_whole_manifest() {
    let sample = Sample::three_layers();
    let want = sample.digest(0);
    let server =
        Server::registry(sample, |request, reply| if request.method == "HEAD" { Reply::new(405, "") } else { reply });
    let cache = tempfile::tempdir().unwrap();
    let registry = Registry::new(&config(cache.path())).unwrap();
    let reference = Reference::parse(&format!("{}/app:1.0", server.host)).unwrap();
    for _ in 0..2 {
        assert_eq!(registry.resolve(&reference, PullPolicy::Always).unwrap(), want);
    }
    assert_eq!((server.count("HEAD "), server.count("GET ")), (2, 2));
}

#[test]
fn a_proxy_is_used_for_what_is_not_here() {
    let sample = Sample::three_layers();
    let behind = sample.clone();
    let proxy = Server::start(move |request| match request.path.strip_prefix("http://registry.test") {
        Some(path) => super::server::registry_answer(&behind, &Request { path: path.into(), ..request.clone() }),
        None => Reply::new(502, ""),
    });
    let direct = Server::registry(sample.clone(), |_, reply| reply);
    let cache = tempfile::tempdir().unwrap();
    let mut config = config(cache.path());
    config.insecure_hosts = vec!["registry.test".into()];
    config.proxy.http = Some(format!("http://me:hunter2@{}", proxy.host));
    let registry = Registry::new(&config).unwrap();
    let digest = |host: &str| {
        let reference = Reference::parse(&format!("{host}/app:1.0")).unwrap();
        registry.image(&reference, &platform("linux/amd64"), PullPolicy::Missing).unwrap().digest
    };
    assert_eq!(digest("registry.test"), sample.digest(0));
    assert_eq!(proxy.requests()[0].header("proxy-authorization"), Some("Basic bWU6aHVudGVyMg=="));
    let before = proxy.requests().len();
    assert_eq!(digest(&direct.host), sample.digest(0));
    assert_eq!((proxy.requests().len(), direct.requests().len()), (before, 1), "loopback is reached directly");
}

#[test]
fn silence_and_closed_ports_are_told_apart() {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::registry(Sample::default(), |_, mut reply| {
        reply.wait = Duration::from_secs(20);
        reply
    });
    let mut config = config(cache.path());
    config.read_timeout = Duration::from_millis(200);
    config.retries = 1;
    let try_host = |host: &str| {
        let reference = Reference::parse(&format!("{host}/app:1.0")).unwrap();
        let registry = Registry::new(&config).unwrap();
        registry.image(&reference, &platform("linux/amd64"), PullPolicy::Missing).unwrap_err().to_string()
    };
    let start = Instant::now();
    let error = try_host(&server.host);
    assert!(error.contains(&server.host) && error.contains("no answer in time"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));

    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = try_host(&format!("127.0.0.1:{port}"));
    assert!(error.contains("refused") && error.contains("Is it running?"), "{error}");
}
