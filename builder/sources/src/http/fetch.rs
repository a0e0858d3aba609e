//! Files by URL, for `ADD https://…`: into the blob store, revalidated by ETag or date.

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use reqwest::{Method, StatusCode, Url};
use routerpack_graph::Digest;
use serde::{Deserialize, Serialize};

use super::{Call, Http, clean, host_of};
use crate::blobs::{BlobStore, digest_of};
use crate::error::{Error, Result};
use crate::{Config, PullPolicy};

/// Fetches files by URL.
#[derive(Clone, Debug)]
pub struct HttpSource {
    http: Arc<Http>,
    blobs: BlobStore,
    records: PathBuf,
}

/// A file that was fetched; its bytes are a blob of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Download {
    /// Of the content.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// The file name that the server or the URL gives; `download` if neither does. Never a path.
    pub name: String,
    last_modified: Option<String>,
    etag: Option<String>,
}

impl Download {
    /// The file's time, in seconds since 1970: what `Last-Modified` says (RFC 9110 section 5.6.7,
    /// IMF-fixdate), if it can be read.
    pub fn mtime(&self) -> Option<i64> {
        let date = jiff::fmt::rfc2822::parse(self.last_modified.as_deref()?).ok()?;
        Some(date.timestamp().as_second())
    }
}

impl HttpSource {
    /// A source that keeps its downloads in `config.cache`.
    pub fn new(config: &Config) -> Result<Self> {
        let records = config.cache.join("http");
        fs::create_dir_all(&records).map_err(Error::file(&records, "create"))?;
        Ok(Self { http: Http::new(config), blobs: BlobStore::of(config)?, records })
    }

    /// Where downloads are.
    pub fn blobs(&self) -> &BlobStore {
        &self.blobs
    }

    /// Fetches a URL. With a checksum, a blob already there is taken without asking the server, and a
    /// wrong content is an error that leaves nothing. Without one the server is asked whether the
    /// cached file is still current, unless the policy is offline. `limit` bounds the bytes; `authorization` is the value of
    /// that header, which no redirect takes to another host; `progress` is told how many have come, and of how many if that is known.
    pub fn fetch(
        &self,
        url: &str,
        checksum: Option<&Digest>,
        policy: PullPolicy,
        limit: u64,
        authorization: Option<&str>,
        progress: Option<&dyn Fn(u64, Option<u64>)>,
    ) -> Result<Download> {
        let url = Url::parse(url).map_err(|e| Error::malformed(clean(url), format!("not a URL: {e}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(Error::malformed(shown(&url), "only http and https URLs can be fetched"));
        }
        let record_path = self.records.join(Digest::of(url.as_str().as_bytes()).hex());
        let record = self.record(&record_path).filter(|r| checksum.is_none_or(|c| *c == r.digest));
        if let Some(record) = &record
            && (checksum.is_some() || policy == PullPolicy::Offline)
        {
            return Ok(record.clone());
        }
        if policy == PullPolicy::Offline {
            return Err(Error::Offline { what: shown(&url) });
        }
        let got = self.http.retrying(|| self.get(&url, record.as_ref(), checksum, limit, authorization, progress))?;
        self.blobs.write_record(&record_path, &got)?;
        Ok(got)
    }

    fn record(&self, path: &std::path::Path) -> Option<Download> {
        let record: Download = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        let file = self.blobs.get(&record.digest).ok()??;
        // A record outlives a damaged or removed blob; both are then fetched again.
        (digest_of(file).ok()? == record.digest).then_some(record)
    }

    fn get(
        &self,
        url: &Url,
        record: Option<&Download>,
        checksum: Option<&Digest>,
        limit: u64,
        authorization: Option<&str>,
        progress: Option<&dyn Fn(u64, Option<u64>)>,
    ) -> Result<Download> {
        let mut call = Call::new(Method::GET, url.clone());
        if let Some(value) = authorization {
            call = call.header("authorization", value);
        }
        if let Some(etag) = record.and_then(|r| r.etag.as_ref()) {
            call = call.header("if-none-match", etag);
        } else if let Some(date) = record.and_then(|r| r.last_modified.as_ref()) {
            call = call.header("if-modified-since", date);
        }
        let answer = self.http.send(&call)?;
        if let (StatusCode::NOT_MODIFIED, Some(record)) = (answer.status(), record) {
            return Ok(record.clone());
        }
        let mut answer = answer.success(&shown(url)).map_err(|error| match error {
            Error::Denied { host, what, reason } => Error::Locked { host, what, reason },
            other => other,
        })?;
        let total = answer.header("content-length").and_then(|v| v.parse::<u64>().ok());
        let header = |name| answer.header(name).map(str::to_string);
        let (etag, last_modified) = (header("etag"), header("last-modified"));
        let name = header("content-disposition")
            .and_then(|v| disposition_name(&v))
            .or_else(|| url_name(url))
            .unwrap_or_else(|| "download".into());
        let mut writer = self.blobs.writer()?;
        let mut buffer = vec![0; 128 << 10];
        let mut size = 0;
        loop {
            let n = answer.read(&mut buffer).map_err(Error::file(shown(url), "read an answer"))?;
            if n == 0 {
                break;
            }
            size += n as u64;
            if size > limit {
                return Err(Error::TooLarge { what: shown(url), limit });
            }
            writer.write_all(&buffer[..n]).map_err(Error::file(self.blobs.tmp(), "write a download"))?;
            if let Some(progress) = progress {
                progress(size, total);
            }
        }
        let digest = match checksum {
            Some(checksum) => {
                writer.commit(checksum, None, &shown(url))?;
                checksum.clone()
            }
            None => writer.finish()?.0,
        };
        Ok(Download { digest, size, name, last_modified, etag })
    }
}

/// A URL as it may be shown: no user, password, query or fragment.
fn shown(url: &Url) -> String {
    clean(&format!("{}://{}{}", url.scheme(), host_of(url), url.path()))
}

/// The last part of the URL's path, percent-decoded.
fn url_name(url: &Url) -> Option<String> {
    safe_name(&percent_decode(url.path().rsplit('/').next()?))
}

/// `filename` of a Content-Disposition header (RFC 6266; the plain form only).
fn disposition_name(header: &str) -> Option<String> {
    header.split(';').skip(1).find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim().eq_ignore_ascii_case("filename").then(|| safe_name(value.trim().trim_matches('"')))?
    })
}

/// A name that is one path component, or nothing.
fn safe_name(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next()?;
    let good = !matches!(last, "" | "." | "..") && last.len() <= 255 && !last.chars().any(char::is_control);
    good.then(|| last.to_string())
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = bytes.get(i + 1..i + 3).and_then(|h| std::str::from_utf8(h).ok());
        match hex.filter(|_| bytes[i] == b'%').and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_a_path() {
        for (url, want) in [
            ("https://h/a/b.tar.gz?token=x#f", Some("b.tar.gz")),
            ("https://h/a%20b", Some("a b")),
            ("https://h/%2e%2e%2fetc%2fpasswd", Some("passwd")),
            ("https://h/..%2f..", None),
            ("https://h/", None),
            ("https://h", None),
        ] {
            assert_eq!(url_name(&Url::parse(url).unwrap()).as_deref(), want, "{url}");
        }
        for (header, want) in [
            ("attachment; filename=\"x.deb\"", Some("x.deb")),
            ("attachment; FileName=x", Some("x")),
            ("inline", None),
            ("attachment; filename=\"../../x\"", Some("x")),
            ("attachment; filename=\"..\"", None),
        ] {
            assert_eq!(disposition_name(header).as_deref(), want, "{header}");
        }
    }

    #[test]
    fn a_shown_url_has_no_secret() {
        let url = Url::parse("https://me:hunter2@h:8443/p?token=hunter2#hunter2").unwrap();
        assert_eq!(shown(&url), "https://h:8443/p");
    }
}
