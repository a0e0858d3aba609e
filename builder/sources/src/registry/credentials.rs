//! Logins out of Docker's `config.json`: `auths`, `credHelpers`, `credsStore`.
//!
//! docker/cli `cli/config/configfile`; the helpers' protocol is docker/docker-credential-helpers'
//! (`docker-credential-NAME get`, host on stdin, JSON on stdout), run by the `docker_credential` crate.

use std::fs;
use std::io;
use std::path::Path;

use docker_credential::{CredentialRetrievalError, DockerCredential};

use crate::error::{Error, Result};
use crate::http::clean;

/// A login. Never shown: this type has no `Debug`.
pub(super) enum Login {
    Password {
        user: String,
        password: String,
    },
    /// A refresh token, to be swapped for an access token.
    Identity(String),
}

/// The login for a registry, if there is one. `host` is a reference's (`docker.io` for Docker Hub).
pub(super) fn find(config: Option<&Path>, host: &str) -> Result<Option<Login>> {
    let Some(path) = config else { return Ok(None) };
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::file(path, "read")(e)),
    };
    // Docker files the Hub's login under the URL of its first API.
    let server = if host == "docker.io" { "https://index.docker.io/v1/" } else { host };
    let failed = |reason: String| Error::Credentials { host: host.into(), reason };
    match docker_credential::get_credential_from_reader(&bytes[..], server) {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(Some(Login::Password { user, password })),
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Login::Identity(token))),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        // The helpers say this, on stdout, for a host they don't know.
        Err(CredentialRetrievalError::HelperFailure { stdout, stderr, .. })
            if format!("{stdout}{stderr}").contains("credentials not found") =>
        {
            Ok(None)
        }
        // Not stdout: that is where a secret would be.
        Err(CredentialRetrievalError::HelperFailure { helper, stderr, .. }) => Err(failed(format!(
            "{helper} failed: {}. Log in again, or remove it from {}",
            clean(&stderr),
            path.display()
        ))),
        Err(CredentialRetrievalError::HelperCommunicationError) => Err(failed(format!(
            "the credential helper that {} names can't be run: install it or remove it there",
            path.display()
        ))),
        Err(CredentialRetrievalError::ConfigReadError) => {
            Err(failed(format!("{} is not valid JSON of Docker's config", path.display())))
        }
        Err(other) => Err(failed(format!("{}: {other}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(login: Result<Option<Login>>) -> String {
        match login {
            Ok(Some(Login::Password { user, password })) => format!("{user}/{password}"),
            Ok(Some(Login::Identity(token))) => format!("token {token}"),
            Ok(None) => "none".into(),
            Err(e) => format!("error: {e}"),
        }
    }

    #[test]
    fn dockers_config_is_understood() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        for (config, host, want) in [
            // "me:pw:x"
            (r#"{"auths":{"r.example:5000":{"auth":"bWU6cHc6eA=="}}}"#, "r.example:5000", "me/pw:x"),
            (r#"{"auths":{"r.example:5000":{"auth":"bWU6cHc6eA=="}}}"#, "r.example:5001", "none"),
            (r#"{"auths":{"https://r.example":{"auth":"bWU6cHc6eA=="}}}"#, "r.example", "me/pw:x"),
            (r#"{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6cHc6eA=="}}}"#, "docker.io", "me/pw:x"),
            (r#"{"auths":{"r":{"username":"u","password":"p"}}}"#, "r", "u/p"),
            (r#"{"auths":{"r":{"identitytoken":"T"}}}"#, "r", "token T"),
            (r#"{"auths":{"r":{}}}"#, "r", "none"),
            ("{}", "r", "none"),
        ] {
            fs::write(&path, config).unwrap();
            assert_eq!(show(find(Some(&path), host)), want, "{config} {host}");
        }
        fs::write(&path, "{").unwrap();
        assert!(show(find(Some(&path), "r")).contains("not valid JSON"));
        fs::write(&path, r#"{"credsStore":"no-such-helper-anywhere"}"#).unwrap();
        assert!(show(find(Some(&path), "r")).contains("can't be run"));
        assert_eq!(show(find(Some(&dir.path().join("absent")), "r")), "none");
        assert_eq!(show(find(None, "r")), "none");
    }
}
