//! HTTP for the sources: one lazily made client, blocking calls, timeouts, retries, and errors that
//! say which host and what to try.
//!
//! Over `reqwest` directly: `oci-client` (0.18) reads manifests without a bound, drops the errors of
//! token requests, and knows no identity tokens; what remains of it would be its URLs.
//! Requests must not be made from inside an asynchronous runtime: they block.

mod fetch;
mod tls;

use std::collections::HashSet;
use std::io::{self, Read};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::{Client, Method, StatusCode, Url};
use tokio::runtime::Runtime;

pub use fetch::{Download, HttpSource};

use crate::Config;
use crate::error::{Error, Result};

/// Proxies. An address may hold a user and a password; they are never shown.
#[derive(Clone, Default)]
pub struct Proxy {
    /// For `http://` targets.
    pub http: Option<String>,
    /// For `https://` targets.
    pub https: Option<String>,
    /// Hosts that are reached directly, as `NO_PROXY` lists them. Loopback hosts always are.
    pub no_proxy: Option<String>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("http", &self.http.is_some())
            .field("https", &self.https.is_some())
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

/// The client. Nothing is started before the first request.
pub(crate) struct Http {
    config: Config,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    runtime: Option<Arc<Runtime>>,
    // Two, so that a machine without certificate authorities can still talk to a loopback registry.
    plain: Option<Client>,
    tls: Option<Client>,
    // Hosts that turned out to want TLS after all.
    tls_hosts: HashSet<String>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Http")
    }
}

/// A request, put together by the caller and sent as often as it takes.
#[derive(Clone)]
pub(crate) struct Call {
    pub method: Method,
    pub url: Url,
    pub headers: Vec<(&'static str, String)>,
    pub credential: Option<Credential>,
    pub form: Option<String>,
}

impl Call {
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: Vec::new(), credential: None, form: None }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What goes into an `Authorization` header.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    Basic { user: String, password: String },
    Bearer(String),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic(…)",
            Self::Bearer(_) => "Bearer(…)",
        })
    }
}

impl Http {
    pub fn new(config: &Config) -> Arc<Self> {
        Arc::new(Self { config: config.clone(), state: Mutex::default() })
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether this host (`host[:port]`) is spoken to without TLS.
    pub fn is_plain(&self, host: &str) -> bool {
        let name = host_name(host);
        if self.state().tls_hosts.contains(host) {
            return false;
        }
        is_loopback(name) || self.config.insecure_hosts.iter().any(|h| h == host || h == name)
    }

    /// Whether a 400 means that the host, spoken to in plain HTTP, wants TLS; remembered then. Go's
    /// and nginx's servers say so in words (net/http `server.go`; nginx's status 497).
    pub fn wants_tls(&self, host: &str, body: &[u8]) -> bool {
        let text = String::from_utf8_lossy(body);
        let wants =
            text.contains("HTTP request to an HTTPS server") || text.contains("HTTP request was sent to HTTPS port");
        if wants {
            self.state().tls_hosts.insert(host.into());
        }
        wants
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends once. Any answer at all is a success here.
    pub fn send(self: &Arc<Self>, call: &Call) -> Result<Answer> {
        let host = host_of(&call.url);
        let (client, runtime) = self.client(&call.url)?;
        let mut request = client.request(call.method.clone(), call.url.clone());
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        request = match &call.credential {
            Some(Credential::Basic { user, password }) => request.basic_auth(user, Some(password)),
            Some(Credential::Bearer(token)) => request.bearer_auth(token),
            None => request,
        };
        if let Some(form) = &call.form {
            request = request.header("content-type", "application/x-www-form-urlencoded").body(form.clone());
        }
        let response = runtime.block_on(async { request.send().await }).map_err(|e| self.unreachable(&host, e))?;
        Ok(Answer { response, rest: Vec::new(), taken: 0, host, http: self.clone(), runtime })
    }

    /// Runs something until it works, fails for good, or the retries are used up.
    pub fn retrying<T>(&self, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        let mut tried = 0;
        loop {
            match attempt() {
                Err(e) if e.is_transient() && tried < self.config.retries => self.pause(tried),
                other => return other,
            }
            tried += 1;
        }
    }

    /// The pause before retry `n` (from 0).
    pub fn pause(&self, n: u32) {
        std::thread::sleep(self.config.backoff.saturating_mul(1 << n.min(6)).min(Duration::from_secs(20)));
    }

    fn client(&self, url: &Url) -> Result<(Client, Arc<Runtime>)> {
        let mut guard = self.state();
        let state = &mut *guard;
        let runtime = match &state.runtime {
            Some(runtime) => runtime.clone(),
            None => {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(1)
                    .thread_name("http")
                    .enable_all()
                    .build()
                    .map_err(Error::file("tokio", "start the HTTP thread"))?;
                state.runtime.insert(Arc::new(runtime)).clone()
            }
        };
        let is_tls = url.scheme() == "https";
        let slot = if is_tls { &mut state.tls } else { &mut state.plain };
        let client = match slot {
            Some(client) => client.clone(),
            None => slot.insert(build(&self.config, is_tls)?).clone(),
        };
        Ok((client, runtime))
    }

    fn unreachable(&self, host: &str, error: reqwest::Error) -> Error {
        let (timeout, broke) = (error.is_timeout(), !error.is_connect());
        let reason = deepest(&error.without_url());
        let hint = if timeout {
            "The network or the server is slow, or a firewall drops the packets: try again".to_string()
        } else if reason.contains("UnknownIssuer") || reason.contains("CaUsedAsEndEntity") {
            "Its certificate is signed by nobody known here: name the CA's file (or the certificate's own), if you trust it"
                .to_string()
        } else if reason.contains("invalid peer certificate") {
            "Its certificate is not good for this name or this time".to_string()
        } else if reason.contains("InvalidContentType") || reason.contains("corrupt message") {
            format!("It doesn't speak TLS; if it is meant to be plain HTTP, list {host} as an insecure registry")
        } else if is_loopback(host_name(host)) {
            "Is it running?".to_string()
        } else {
            "Check the name, the network and the proxy settings; a base image can also come from a file: \
             --build-context NAME=oci-layout:PATH"
                .to_string()
        };
        let reason = if timeout { format!("no answer in time ({reason})") } else { reason };
        Error::Unreachable { host: host.into(), reason, hint, broke }
    }
}

fn build(config: &Config, is_tls: bool) -> Result<Client> {
    // Somebody else may have chosen one before; any is good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(&config.user_agent)
        .connect_timeout(config.connect_timeout)
        .read_timeout(config.read_timeout)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::custom(|attempt| {
            let from_tls = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
            if attempt.previous().len() > 10 {
                attempt.error("more than 10 redirects")
            } else if from_tls && attempt.url().scheme() != "https" {
                attempt.error("a redirect from HTTPS to plain HTTP")
            } else {
                attempt.follow()
            }
        }));
    builder = if is_tls {
        builder.tls_backend_preconfigured(tls::client_config(config)?)
    } else {
        builder.tls_certs_only([])
    };
    let direct = format!("localhost,127.0.0.0/8,::1,{}", config.proxy.no_proxy.as_deref().unwrap_or_default());
    let proxies =
        [config.proxy.http.as_ref().map(reqwest::Proxy::http), config.proxy.https.as_ref().map(reqwest::Proxy::https)];
    for proxy in proxies.into_iter().flatten() {
        let proxy = proxy.map_err(|_| Error::malformed("the proxy address", "it is not a URL"))?;
        builder = builder.proxy(proxy.no_proxy(reqwest::NoProxy::from_string(&direct)));
    }
    builder.build().map_err(|e| Error::Tls { reason: deepest(&e) })
}

/// The innermost reason of a chain of errors, which is the one that says something.
pub(crate) fn deepest(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    clean(&last.to_string())
}

/// `host[:port]`, the port only if it isn't the scheme's own.
pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"))
}

/// The host of `host[:port]`, without an IPv6 address's brackets.
fn host_name(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    }
}

/// `localhost` (and below), 127.0.0.0/8, ::1.
fn is_loopback(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A server's words, made fit for a terminal: one line, no control characters, 300 at most.
pub(crate) fn clean(text: &str) -> String {
    let printable: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    printable.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An answer whose body has not been read.
pub(crate) struct Answer {
    response: reqwest::Response,
    rest: Vec<u8>,
    taken: usize,
    host: String,
    http: Arc<Http>,
    runtime: Arc<Runtime>,
}

impl Answer {
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.response.headers().get_all(name).iter().filter_map(|v| v.to_str().ok())
    }

    /// The whole body, if it is no longer than `limit`.
    pub fn bytes(mut self, what: &str, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let host = self.host.clone();
        (&mut self).take(limit + 1).read_to_end(&mut bytes).map_err(Error::file(&host, "read an answer"))?;
        if bytes.len() as u64 > limit {
            return Err(Error::TooLarge { what: format!("{what} from {host}"), limit });
        }
        Ok(bytes)
    }

    /// Turns an answer that is no success into an error, with the server's reason.
    pub fn success(self, what: &str) -> Result<Self> {
        let status = self.status();
        if status.is_success() {
            return Ok(self);
        }
        let host = self.host.clone();
        let body = self.bytes(what, 64 << 10).unwrap_or_default();
        Err(refusal(&host, what, status, &body))
    }
}

/// The error for a status; registries put their reason into `errors` (distribution-spec, "Error Codes").
pub(crate) fn refusal(host: &str, what: &str, status: StatusCode, body: &[u8]) -> Error {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let reason = match serde_json::from_slice::<Errors>(body) {
        Ok(Errors { errors }) if !errors.is_empty() => {
            errors.iter().take(3).map(|e| format!("{} ({})", e.message, e.code)).collect::<Vec<_>>().join("; ")
        }
        _ => status.canonical_reason().unwrap_or("no reason given").to_string(),
    };
    let (host, what, reason) = (host.to_string(), what.to_string(), clean(&reason));
    match status.as_u16() {
        401 | 403 => Error::Denied { host, what, reason },
        404 | 410 => Error::NotFound { host, what, reason },
        status => Error::Answer { host, what, status, reason },
    }
}

impl Read for Answer {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.rest.len() {
            match self.runtime.block_on(self.response.chunk()) {
                Ok(Some(chunk)) => {
                    self.rest.clear();
                    self.rest.extend_from_slice(&chunk);
                    self.taken = 0;
                }
                Ok(None) => return Ok(0),
                Err(e) => return Err(self.http.unreachable(&self.host, e).into()),
            }
        }
        let n = buf.len().min(self.rest.len() - self.taken);
        buf[..n].copy_from_slice(&self.rest[self.taken..self.taken + n]);
        self.taken += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_and_listed_hosts_only() {
        let mut config = Config::new("/nonexistent");
        config.insecure_hosts = vec!["nas.lan:5000".into(), "box".into()];
        let http = Http::new(&config);
        for (host, plain) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("127.9.9.9", true),
            ("[::1]:5000", true),
            ("[::2]:5000", false),
            ("128.0.0.1", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("nas.lan:5000", true),
            ("nas.lan", false),
            ("nas.lan:5001", false),
            ("box:1234", true),
            ("ghcr.io", false),
        ] {
            assert_eq!(http.is_plain(host), plain, "{host}");
        }
    }

    #[test]
    fn a_servers_words_can_not_steer_the_terminal() {
        assert_eq!(clean("a\x1b[31m\r\nb\u{9b}c   d"), "a [31m b c d");
        assert_eq!(clean(&"x".repeat(1000)).len(), 300);
    }

    #[test]
    fn secrets_are_not_shown() {
        let secret = "hunter2";
        let credential =
            [Credential::Basic { user: "me".into(), password: secret.into() }, Credential::Bearer(secret.into())];
        let proxy = Proxy { http: Some(format!("http://me:{secret}@p")), https: None, no_proxy: None };
        assert!(!format!("{credential:?} {proxy:?}").contains(secret));
    }
}
