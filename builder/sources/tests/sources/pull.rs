//! Pulling from Debian's real registry.

use std::path::Path;
use std::sync::{Arc, Mutex};

use routerpack_graph::Digest;
use routerpack_sources::{Compression, Config, Error, PullPolicy, Reference, Registry};

use super::sample::{Sample, config, layer, leftovers, platform};
use super::server::{Options, RealRegistry, run};

#[test]
fn layers_of_every_compression_come_through_a_real_registry() {
    let dir = tempfile::tempdir().unwrap();
    let sample = Sample::three_layers();
    sample.write(&dir.path().join("layout"));
    let server = RealRegistry::start(&Options::default());
    server.push(&dir.path().join("layout"), "1.0", "me/app:1.0", None);

    let cache = dir.path().join("cache");
    let registry = Registry::new(&config(&cache)).unwrap();
    let reference = Reference::parse(&format!("{}/me/app:1.0", server.host)).unwrap();
    let image = registry.image(&reference, &platform("linux/amd64"), PullPolicy::Missing).unwrap();
    assert_eq!(image.digest, sample.digest(0));
    assert_eq!(image.root_digest, image.digest);
    assert_eq!(image.platform, platform("linux/amd64"));
    assert_eq!(image.config.config.cmd, ["linux/amd64"]);
    assert_eq!(image.config_bytes, sample.blobs[&image.config_digest]);
    let kinds = [Compression::Gzip, Compression::Zstd, Compression::None];
    let seen = Arc::new(Mutex::new(0));
    for (n, kind) in kinds.into_iter().enumerate() {
        let told = seen.clone();
        let progress = move |_: &Digest, done: u64, total: u64| {
            assert!(done <= total);
            *told.lock().unwrap() = done;
        };
        let reader = image.open_layer(n, Some(Arc::new(progress))).unwrap();
        assert_eq!(reader.compression(), kind);
        assert_eq!(reader.verify().unwrap() % 512, 0);
        assert_eq!(*seen.lock().unwrap(), image.layers[n].size);
        let tar = layer(&image, n).unwrap();
        assert_eq!(Digest::of(&tar), image.layers[n].diff_id);
        assert!(registry.blobs().get(&image.layers[n].digest).unwrap().is_some());
    }
    assert_eq!(leftovers(&cache), Vec::<String>::new());

    // Once pulled, nothing needs the server any more.
    drop(server);
    let registry = Registry::new(&config(&cache)).unwrap();
    for policy in [PullPolicy::Missing, PullPolicy::Offline] {
        let again = registry.image(&reference, &platform("linux/amd64"), policy).unwrap();
        assert_eq!(again.digest, image.digest);
        assert_eq!(Digest::of(&layer(&again, 0).unwrap()), again.layers[0].diff_id);
    }
    let error = registry.image(&reference, &platform("linux/amd64"), PullPolicy::Always).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    let other = Reference::parse(&format!("{}/me/app:2.0", reference.host())).unwrap();
    let error = registry.image(&other, &platform("linux/amd64"), PullPolicy::Offline).unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
}

#[test]
fn an_index_gives_each_router_its_image() {
    let dir = tempfile::tempdir().unwrap();
    let sample = Sample::for_platforms(&["linux/amd64", "linux/arm/v5", "linux/arm/v6", "linux/arm64"]);
    sample.write(&dir.path().join("layout"));
    let server = RealRegistry::start(&Options::default());
    server.push(&dir.path().join("layout"), "multi", "app:multi", None);
    let registry = Registry::new(&config(&dir.path().join("cache"))).unwrap();
    let reference = Reference::parse(&format!("{}/app:multi", server.host)).unwrap();
    for (wanted, got) in [
        ("linux/arm/v7", "linux/arm/v6"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("linux/arm/v5", "linux/arm/v5"),
        ("linux/arm64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/amd64", "linux/amd64"),
    ] {
        let image = registry.image(&reference, &platform(wanted), PullPolicy::Missing).unwrap();
        assert_eq!(image.platform.to_string(), got, "for {wanted}");
        assert_eq!(image.root_digest, sample.digest(0));
        assert_ne!(image.digest, image.root_digest);
        // A pinned index and a pinned manifest give the same.
        for digest in [&image.root_digest, &image.digest] {
            let pinned = reference.with_digest(digest);
            let again = registry.image(&pinned, &platform(wanted), PullPolicy::Offline).unwrap();
            assert_eq!(again.digest, image.digest);
        }
    }
    let error = registry.image(&reference, &platform("linux/riscv64"), PullPolicy::Missing).unwrap_err().to_string();
    assert!(error.contains("linux/riscv64") && error.contains("linux/arm/v5, linux/arm/v6"), "{error}");
    assert!(!error.contains("unknown"), "{error}");
}

#[test]
fn a_real_registrys_password_is_asked_for_and_kept_secret() {
    let dir = tempfile::tempdir().unwrap();
    Sample::three_layers().write(&dir.path().join("layout"));
    let server = RealRegistry::start(&Options { login: Some(("me", "hunter2")), tls: None });
    server.push(&dir.path().join("layout"), "1.0", "app:1.0", Some("me:hunter2"));
    let reference = Reference::parse(&format!("{}/app:1.0", server.host)).unwrap();
    let docker_config = dir.path().join("config.json");
    let pull = |name: &str, auth: Option<&str>| {
        let mut config = config(&dir.path().join(name));
        if let Some(auth) = auth {
            std::fs::write(&docker_config, format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, server.host))
                .unwrap();
            config.docker_config = Some(docker_config.clone());
        }
        let image = Registry::new(&config).unwrap().image(&reference, &platform("linux/amd64"), PullPolicy::Missing)?;
        layer(&image, 0)
    };
    // me:hunter2, me:hunter3
    assert!(pull("right", Some("bWU6aHVudGVyMg==")).is_ok());
    for (name, auth) in [("none", None), ("wrong", Some("bWU6aHVudGVyMw=="))] {
        let error = pull(name, auth).unwrap_err();
        assert!(matches!(error, Error::Denied { .. }), "{error}");
        let text = format!("{error} {error:?}");
        assert!(text.contains(&server.host) && text.contains("docker login") && !text.contains("hunter"), "{text}");
    }
}

#[test]
fn a_registry_with_tls_is_trusted_only_through_its_ca() {
    let dir = tempfile::tempdir().unwrap();
    Sample::three_layers().write(&dir.path().join("layout"));
    let file = |name: &str| dir.path().join(name).display().to_string();
    let certify = |arguments: &str| {
        let common = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
        run("openssl", "openssl", &common.split(' ').chain(arguments.split(' ')).collect::<Vec<_>>());
    };
    certify(&format!("-subj /CN=authority -keyout {} -out {}", file("ca.key"), file("ca.pem")));
    certify(&format!(
        "-subj /CN=server -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=CA:FALSE \
         -CA {} -CAkey {} -keyout {} -out {}",
        file("ca.pem"),
        file("ca.key"),
        file("k.pem"),
        file("c.pem")
    ));
    let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
    let server = RealRegistry::start(&Options { login: None, tls: Some((&certificate, &key)) });
    server.push(&dir.path().join("layout"), "1.0", "app:1.0", None);
    let reference = Reference::parse(&format!("{}/app:1.0", server.host)).unwrap();
    let mut config = config(&dir.path().join("cache"));
    let pull =
        |config: &Config| Registry::new(config)?.image(&reference, &platform("linux/amd64"), PullPolicy::Missing);
    let error = pull(&config).unwrap_err().to_string();
    assert!(error.contains("certificate") && error.contains("CA"), "{error}");
    config.ca_files = vec![key.clone()];
    let error = pull(&config).unwrap_err().to_string();
    assert!(error.contains("no PEM certificate"), "{error}");
    config.ca_files = vec![dir.path().join("ca.pem")];
    let image = pull(&config).unwrap();
    assert_eq!(Digest::of(&layer(&image, 1).unwrap()), image.layers[1].diff_id);

    // One that signed itself, as `openssl req -x509` makes it, is trusted when it is named; not for
    // another address.
    for (address, fine) in [("127.0.0.1", true), ("127.0.0.2", false)] {
        let (key, own) = (file("own.key"), file("own.pem"));
        certify(&format!("-subj /CN=own -addext subjectAltName=IP:{address} -keyout {key} -out {own}"));
        let server = RealRegistry::start(&Options { login: None, tls: Some((Path::new(&own), Path::new(&key))) });
        server.push(&dir.path().join("layout"), "1.0", "app:1.0", None);
        let reference = Reference::parse(&format!("{}/app:1.0", server.host)).unwrap();
        let pull =
            |config: &Config| Registry::new(config)?.image(&reference, &platform("linux/amd64"), PullPolicy::Missing);
        let error = pull(&config).unwrap_err().to_string();
        assert!(error.contains("the certificate's own") || !fine, "{error}");
        config.ca_files.push(own.into());
        match pull(&config) {
            Ok(image) => assert!(fine && layer(&image, 0).is_ok()),
            Err(error) => assert!(!fine && error.to_string().contains("not good for this name"), "{error}"),
        }
        config.ca_files.pop();
    }
}

#[test]
fn a_missing_image_is_named() {
    let server = RealRegistry::start(&Options::default());
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new(&config(dir.path())).unwrap();
    let reference = Reference::parse(&format!("{}/no/such:tag", server.host)).unwrap();
    let error = registry.image(&reference, &platform("linux/amd64"), PullPolicy::Missing).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert!(error.to_string().contains("no/such:tag"), "{error}");
}
