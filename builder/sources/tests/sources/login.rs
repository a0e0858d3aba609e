//! Tokens, credential helpers, and what may never be sent or shown.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use routerpack_sources::{Error, PullPolicy, Reference, Registry, Result};

use super::sample::{Sample, config, layer, platform};
use super::server::{Reply, Request, Server};

const SECRET: &str = "hunter2";

/// A registry that wants a token from its own `/token`, which wants `me:hunter2` or a refresh token.
fn token_registry(realm: Option<&'static str>) -> Server {
    let sample = Sample::three_layers();
    Server::start(move |request: &Request| {
        let host = request.header("host").unwrap_or_default();
        if request.path.starts_with("/token") {
            let good = request.header("authorization") == Some("Basic bWU6aHVudGVyMg==")
                || (request.method == "POST" && request.body.contains(&format!("refresh_token={SECRET}")));
            let asked = format!("{}{}", request.path, request.body);
            assert!(asked.contains("scope=repository%3Aapp%3Apull") && asked.contains("service=test"), "{asked}");
            return if good {
                Reply::new(200, r#"{"access_token":"the-token","expires_in":60}"#)
            } else {
                Reply::new(401, r#"{"errors":[{"code":"DENIED","message":"who are you"}]}"#)
            };
        }
        if request.header("authorization") == Some("Bearer the-token") {
            return super::server::registry_answer(&sample, request);
        }
        let realm = realm.map_or(format!("http://{host}/token"), String::from);
        Reply::new(401, "").with("www-authenticate", format!(r#"Bearer realm="{realm}",service="test""#))
    })
}

fn pull(server: &Server, dir: &Path, docker_config: &str) -> Result<()> {
    let path = dir.join("config.json");
    fs::write(&path, docker_config.replace("HOST", &server.host)).unwrap();
    let mut config = config(&tempfile::tempdir_in(dir).unwrap().path().join("cache"));
    config.docker_config = Some(path);
    let reference = Reference::parse(&format!("{}/app:1.0", server.host)).unwrap();
    let image = Registry::new(&config)?.image(&reference, &platform("linux/amd64"), PullPolicy::Missing)?;
    for n in 0..3 {
        layer(&image, n)?;
    }
    Ok(())
}

#[test]
fn a_bearer_token_is_fetched_once_with_the_stored_login() {
    let dir = tempfile::tempdir().unwrap();
    for docker_config in
        [r#"{"auths":{"HOST":{"auth":"bWU6aHVudGVyMg=="}}}"#, r#"{"auths":{"HOST":{"identitytoken":"hunter2"}}}"#]
    {
        let server = token_registry(None);
        pull(&server, dir.path(), docker_config).unwrap();
        assert_eq!(server.count("/token"), 1, "one token serves the whole image");
        // The password went to the token server alone.
        let leaks = |r: &&Request| !r.path.starts_with("/token") && format!("{r:?}").contains("bWU6");
        assert_eq!(server.requests().iter().filter(leaks).count(), 0);
    }
    let server = token_registry(None);
    let error = pull(&server, dir.path(), r#"{"auths":{"HOST":{"auth":"bWU6aHVudGVyMw=="}}}"#).unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    assert!(error.to_string().contains("who are you") && !format!("{error:?}").contains("hunter"), "{error:?}");
}

#[test]
fn a_password_is_not_sent_where_the_registry_likes() {
    let dir = tempfile::tempdir().unwrap();
    for realm in ["http://198.51.100.1/token", "ftp://127.0.0.1/token", "nonsense"] {
        let server = token_registry(Some(realm));
        let error = pull(&server, dir.path(), r#"{"auths":{"HOST":{"auth":"bWU6aHVudGVyMg=="}}}"#).unwrap_err();
        assert!(error.to_string().contains("realm"), "{error}");
    }
}

#[test]
fn a_redirect_to_another_host_does_not_take_the_token_along() {
    let sample = Sample::three_layers();
    let stored = sample.clone();
    let storage = Server::start(move |request: &Request| {
        let path = request.path.split('?').next().unwrap();
        super::server::registry_answer(
            &stored,
            &Request { path: path.replace("/bucket", "/v2/app/blobs"), ..request.clone() },
        )
    });
    let target = format!("http://{}/bucket/", storage.host);
    let server = Server::start(move |request: &Request| {
        if request.header("authorization") != Some("Basic bWU6aHVudGVyMg==") {
            return Reply::new(401, "").with("www-authenticate", "Basic realm=x");
        }
        match request.path.strip_prefix("/v2/app/blobs/") {
            Some(digest) => Reply::new(307, "").with("location", format!("{target}{digest}?signature=secret")),
            None => super::server::registry_answer(&sample, request),
        }
    });
    let dir = tempfile::tempdir().unwrap();
    pull(&server, dir.path(), r#"{"auths":{"HOST":{"auth":"bWU6aHVudGVyMg=="}}}"#).unwrap();
    let requests = storage.requests();
    assert_eq!(requests.len(), 4, "the config and three layers");
    assert!(requests.iter().all(|r| r.header("authorization").is_none()));
}

#[test]
fn a_credential_helper_is_asked() {
    // Helpers are found through PATH, which a process can't change for itself alone: so this test
    // runs itself again with another one.
    const CHILD: &str = "ROUTERPACK_TEST_HELPER_CHILD";
    let Some(dir) = std::env::var_os(CHILD) else {
        let dir = tempfile::tempdir().unwrap();
        let helper = dir.path().join("docker-credential-test");
        let script = "#!/bin/sh\nread host\ncase $1:$host in\n\
                      get:127.0.0.1:*) echo '{\"ServerURL\":\"x\",\"Username\":\"me\",\"Secret\":\"hunter2\"}';;\n\
                      *) echo 'credentials not found in native keychain'; exit 1;;\nesac\n";
        fs::write(&helper, script).unwrap();
        let broken = dir.path().join("docker-credential-broken");
        fs::write(&broken, "#!/bin/sh\ncat >/dev/null\necho hunter2\necho 'keyring is locked' >&2\nexit 1\n").unwrap();
        for file in [&helper, &broken] {
            fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "login::a_credential_helper_is_asked", "--nocapture"])
            .env("PATH", path)
            .env(CHILD, dir.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    };
    let dir = Path::new(&dir);
    for docker_config in [
        r#"{"credsStore":"test"}"#,
        r#"{"credHelpers":{"HOST":"test"}}"#,
        r#"{"auths":{"HOST":{}},"credsStore":"test"}"#,
    ] {
        pull(&token_registry(None), dir, docker_config).unwrap();
    }
    // A helper for another host's sake: this one is asked without a login.
    let error = pull(&token_registry(None), dir, r#"{"credHelpers":{"other":"test"}}"#).unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    let error = pull(&token_registry(None), dir, r#"{"credsStore":"broken"}"#).unwrap_err().to_string();
    assert!(error.contains("keyring is locked") && error.contains("docker-credential-broken"), "{error}");
    assert!(!error.contains(SECRET), "{error}");
}
