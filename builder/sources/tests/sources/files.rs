//! Files by URL.

use routerpack_graph::Digest;
use routerpack_sources::{Error, HttpSource, PullPolicy};

use super::sample::{config, leftovers, noise};
use super::server::{Reply, Request, Server};

#[test]
fn a_file_is_fetched_revalidated_and_bounded() {
    let content = noise(50_000);
    let digest = Digest::of(&content);
    let body = content.clone();
    let server = Server::start(move |request: &Request| {
        if request.header("if-none-match") == Some("\"v1\"") {
            return Reply::new(304, "");
        }
        let reply = match request.path.split('?').next().unwrap() {
            "/files/tool.bin" => Reply::new(200, body.clone()),
            "/named" => Reply::new(200, body.clone()).with("content-disposition", "attachment; filename=\"x.deb\""),
            _ => return Reply::new(404, ""),
        };
        reply.with("etag", "\"v1\"").with("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT")
    });
    let dir = tempfile::tempdir().unwrap();
    let source = HttpSource::new(&config(dir.path())).unwrap();
    let fetch = |path: &str, checksum: Option<&Digest>, policy, limit| {
        source.fetch(&format!("http://{}{path}", server.host), checksum, policy, limit, None, None)
    };
    let got = fetch("/files/tool.bin?token=hunter2", None, PullPolicy::Missing, 1 << 20).unwrap();
    assert_eq!((got.digest.clone(), got.size, got.name.as_str()), (digest.clone(), 50_000, "tool.bin"));
    assert_eq!(got.mtime(), Some(1_445_412_480));
    assert_eq!(source.blobs().read(&digest, 1 << 20).unwrap().unwrap(), content);

    // Asked again, answered from the cache: 304.
    assert_eq!(fetch("/files/tool.bin?token=hunter2", None, PullPolicy::Missing, 1 << 20).unwrap(), got);
    assert_eq!(server.requests()[1].header("if-none-match"), Some("\"v1\""));
    // With a checksum, or offline, nobody is asked.
    for (checksum, policy) in [(Some(&digest), PullPolicy::Missing), (None, PullPolicy::Offline)] {
        assert_eq!(fetch("/files/tool.bin?token=hunter2", checksum, policy, 1 << 20).unwrap(), got);
    }
    assert_eq!(server.requests().len(), 2);
    // A cache that lost the blob fetches it again.
    source.blobs().remove(&digest).unwrap();
    assert_eq!(fetch("/files/tool.bin?token=hunter2", None, PullPolicy::Missing, 1 << 20).unwrap(), got);
    assert!(source.blobs().get(&digest).unwrap().is_some());

    assert_eq!(fetch("/named", None, PullPolicy::Missing, 1 << 20).unwrap().name, "x.deb");
    let other = Digest::of(b"other");
    let error = fetch("/named?token=hunter2", Some(&other), PullPolicy::Missing, 1 << 20).unwrap_err();
    assert!(matches!(&error, Error::WrongDigest { expected, .. } if *expected == other), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    assert!(matches!(fetch("/named?2", None, PullPolicy::Missing, 100), Err(Error::TooLarge { limit: 100, .. })));
    assert!(matches!(fetch("/absent", None, PullPolicy::Missing, 100), Err(Error::NotFound { .. })));
    assert!(matches!(fetch("/named?3", None, PullPolicy::Offline, 100), Err(Error::Offline { .. })));
    for bad in ["file:///etc/passwd", "nonsense"] {
        assert!(source.fetch(bad, None, PullPolicy::Missing, 100, None, None).is_err());
    }
    assert_eq!(leftovers(dir.path()), Vec::<String>::new());
}
