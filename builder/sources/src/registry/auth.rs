//! Logging in: `WWW-Authenticate` challenges and bearer tokens.
//!
//! RFC 9110 section 11.6.1 (challenges); distribution's `docs/spec/auth/token.md` and `oauth.md`.

use std::sync::Arc;

use reqwest::{Method, Url};
use serde::Deserialize;

use super::credentials::{self, Login};
use crate::error::{Error, Result};
use crate::http::{Call, Credential, Http, host_of};
use crate::reference::Reference;

/// One challenge: a scheme, lower-case, and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    fn get(&self, key: &str) -> Option<&str> {
        self.parameters.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}

/// Reads the challenges of all `WWW-Authenticate` headers of an answer. What can't be read is left out.
pub(super) fn challenges<'a>(headers: impl Iterator<Item = &'a str>) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    for header in headers {
        for item in split_outside_quotes(header) {
            let (first, rest) = item.split_once(char::is_whitespace).unwrap_or((item, ""));
            // `scheme`, `scheme key=value` or a further `key=value` of the scheme before.
            let parameter = if first.contains('=') {
                item
            } else {
                found.push(Challenge { scheme: first.to_ascii_lowercase(), parameters: Vec::new() });
                rest.trim()
            };
            if let (Some(challenge), Some((key, value))) = (found.last_mut(), parameter.split_once('=')) {
                challenge.parameters.push((key.trim().to_ascii_lowercase(), unquote(value.trim())));
            }
        }
    }
    found
}

fn split_outside_quotes(header: &str) -> Vec<&str> {
    let (mut items, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (i, c) in header.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                items.push(header[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    items.push(header[start..].trim());
    items.retain(|item| !item.is_empty());
    items
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) else { return value.into() };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

/// Answers a challenge: the credential to send, or nothing when there is none to be had.
pub(super) fn authorize(
    http: &Arc<Http>,
    reference: &Reference,
    challenges: &[Challenge],
) -> Result<Option<Credential>> {
    let login = credentials::find(http.config().docker_config.as_deref(), reference.host())?;
    if let Some(bearer) = challenges.iter().find(|c| c.scheme == "bearer") {
        return token(http, reference, bearer, login).map(Some);
    }
    match (challenges.iter().any(|c| c.scheme == "basic"), login) {
        (true, Some(Login::Password { user, password })) => Ok(Some(Credential::Basic { user, password })),
        _ => Ok(None),
    }
}

fn token(http: &Arc<Http>, reference: &Reference, challenge: &Challenge, login: Option<Login>) -> Result<Credential> {
    #[derive(Deserialize)]
    struct Token {
        token: Option<String>,
        access_token: Option<String>,
    }
    let what = reference.familiar();
    let bad = |reason: &str| Error::malformed(format!("the login challenge of {}", reference.host()), reason);
    let realm = challenge.get("realm").ok_or_else(|| bad("it names no realm"))?;
    let mut realm = Url::parse(realm).map_err(|_| bad("its realm is not a URL"))?;
    let host = host_of(&realm);
    // A password never travels in the clear because a registry says so.
    if realm.scheme() != "https" && !(realm.scheme() == "http" && http.is_plain(&host)) {
        return Err(bad("its realm is neither HTTPS nor a host that may be spoken to in plain HTTP"));
    }
    let scope = format!("repository:{}:pull", reference.repository());
    let service = challenge.get("service").unwrap_or_default();
    let mut call;
    match login {
        Some(Login::Identity(refresh)) => {
            let mut form = realm.clone();
            form.query_pairs_mut().clear().extend_pairs([
                ("grant_type", "refresh_token"),
                ("service", service),
                ("client_id", "routerpack"),
                ("scope", &scope),
                ("refresh_token", &refresh),
            ]);
            call = Call::new(Method::POST, realm);
            call.form = form.query().map(str::to_string);
        }
        login => {
            if !service.is_empty() {
                realm.query_pairs_mut().append_pair("service", service);
            }
            realm.query_pairs_mut().append_pair("scope", &scope);
            call = Call::new(Method::GET, realm);
            if let Some(Login::Password { user, password }) = login {
                call.credential = Some(Credential::Basic { user, password });
            }
        }
    }
    let token: Token = http.retrying(|| {
        let bytes = http.send(&call)?.success(&what)?.bytes("a login token", 1 << 20)?;
        serde_json::from_slice(&bytes)
            .map_err(|_| Error::malformed(format!("the token answer of {host}"), "not valid JSON"))
    })?;
    let token = token.token.filter(|t| !t.is_empty()).or(token.access_token);
    let token = token.ok_or_else(|| Error::malformed(format!("the token answer of {host}"), "it holds no token"))?;
    Ok(Credential::Bearer(token))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn challenges_are_read_with_their_quotes() {
        let read = |headers: &[&str]| {
            challenges(headers.iter().copied())
                .iter()
                .map(|c| format!("{} {:?}", c.scheme, c.parameters))
                .collect::<Vec<_>>()
                .join(" | ")
        };
        for (headers, want) in [
            (
                &[r#"Bearer realm="https://a/t?x=1,2",service="s",scope="repository:a:pull,push""#][..],
                r#"bearer [("realm", "https://a/t?x=1,2"), ("service", "s"), ("scope", "repository:a:pull,push")]"#,
            ),
            (&["Basic realm=x"], r#"basic [("realm", "x")]"#),
            (&["Basic"], "basic []"),
            (&[r#"Basic realm="a", Bearer realm="b""#], r#"basic [("realm", "a")] | bearer [("realm", "b")]"#),
            (&["Negotiate", r#"Basic realm="a \"b\"""#], r#"negotiate [] | basic [("realm", "a \"b\"")]"#),
            (&["", ",,", "realm=x"], ""),
        ] {
            assert_eq!(read(headers), want, "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_challenges_never_panics(header in "\\PC{0,60}|[Bbearsic =,\"\\\\]{0,60}") {
            challenges(std::iter::once(header.as_str()));
        }
    }
}
