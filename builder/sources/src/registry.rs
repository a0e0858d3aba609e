//! Registries: the pull half of the OCI distribution API.
//!
//! Manifests and configs are kept in the blob store, and a small record says which digest a tag had,
//! so an unchanged base needs no network.

mod auth;
mod credentials;
mod download;

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::{Method, StatusCode, Url};
use routerpack_graph::{Digest, Platform};
use serde::{Deserialize, Serialize};

use crate::Config;
use crate::blobs::BlobStore;
use crate::error::{Error, Result};
use crate::http::{Answer, Call, Credential, Http, host_of, refusal};
use crate::image::{Image, Parts};
use crate::manifest::{self, DOCKER_INDEX, DOCKER_MANIFEST, Descriptor, Document, Documents, OCI_INDEX, OCI_MANIFEST};
use crate::reference::Reference;
use download::RegistryOrigin;

/// When a tag is looked up at its registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// When this cache doesn't know it yet.
    #[default]
    Missing,
    /// Always (`--pull`): with one HEAD request when nothing has changed.
    Always,
    /// Never: what isn't in the cache is an error.
    Offline,
}

/// All registries, with their logins and the cache. Cheap to clone; usable from several threads.
#[derive(Clone, Debug)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    http: Arc<Http>,
    blobs: BlobStore,
    refs: PathBuf,
    // By host and repository, since a token is for one repository.
    credentials: Mutex<HashMap<(String, String), Credential>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registry")
    }
}

/// Which digest a tag had when it was last looked up.
#[derive(Serialize, Deserialize)]
struct Record {
    reference: String,
    digest: Digest,
}

impl Registry {
    /// Registries with a cache under `config.cache`; nothing is contacted.
    pub fn new(config: &Config) -> Result<Self> {
        let blobs = BlobStore::of(config)?;
        let refs = config.cache.join("refs");
        fs::create_dir_all(&refs).map_err(Error::file(&refs, "create"))?;
        Ok(Self { inner: Arc::new(Inner { http: Http::new(config), blobs, refs, credentials: Mutex::default() }) })
    }

    /// The blobs that pulls leave behind.
    pub fn blobs(&self) -> &BlobStore {
        &self.inner.blobs
    }

    /// The digest that a reference stands for: of the index, or of the sole manifest.
    pub fn resolve(&self, reference: &Reference, policy: PullPolicy) -> Result<Digest> {
        if let Some(digest) = reference.digest() {
            return Ok(digest.clone());
        }
        let known = self.inner.known(reference);
        match (policy, known) {
            (PullPolicy::Missing | PullPolicy::Offline, Some(digest)) => Ok(digest),
            (PullPolicy::Offline, None) => Err(Error::Offline { what: reference.familiar() }),
            (PullPolicy::Missing, None) => self.inner.look_up(reference),
            (PullPolicy::Always, known) => match self.inner.head(reference)? {
                Some(digest) if known.as_ref() == Some(&digest) => Ok(digest),
                _ => self.inner.look_up(reference),
            },
        }
    }

    /// The image of a reference for a platform: manifest and config are fetched unless cached, layers
    /// are not. A single-platform image is given as it is: compare [`Image::platform`].
    pub fn image(&self, reference: &Reference, platform: &Platform, policy: PullPolicy) -> Result<Image> {
        let inner = &self.inner;
        let name = reference.familiar();
        let limits = &inner.http.config().limits;
        let root_digest = self.resolve(reference, policy)?;
        let view = View { inner, reference, offline: policy == PullPolicy::Offline };
        let root = view.manifest(&root_digest, None)?;
        let mut declared = None;
        let (digest, bytes, manifest) = match Document::parse(&root, &name)? {
            Document::Manifest(manifest) => (root_digest.clone(), root, manifest),
            Document::Index(index) => {
                let chosen = manifest::choose(&view, &index.manifests, platform, &name)?;
                declared = chosen.platform();
                let bytes = view.manifest(&chosen.digest, Some(chosen.size))?;
                match Document::parse(&bytes, &name)? {
                    Document::Manifest(manifest) => (chosen.digest, bytes, manifest),
                    Document::Index(_) => {
                        return Err(Error::malformed(
                            name,
                            format!("{} is announced as a manifest but is an index", chosen.digest),
                        ));
                    }
                }
            }
        };
        let config = view.config(&manifest.config)?;
        let origin = Arc::new(RegistryOrigin::new(self.clone(), reference.clone()));
        Image::assemble(Parts { name, digest, root_digest, bytes, manifest, config, declared }, origin, limits)
    }
}

impl Inner {
    /// The API's URL for a path below the repository.
    fn url(&self, reference: &Reference, path: &str) -> Result<Url> {
        let host = reference.api_host();
        let scheme = if self.http.is_plain(host) { "http" } else { "https" };
        let text = format!("{scheme}://{host}/v2/{}/{path}", reference.repository());
        Url::parse(&text).map_err(|e| Error::malformed(reference.to_string(), format!("no usable URL: {e}")))
    }

    /// Sends a call for a repository, logging in when the registry asks for it.
    fn send(&self, reference: &Reference, mut call: Call, what: &str) -> Result<Answer> {
        let key = (reference.host().to_string(), reference.repository().to_string());
        call.credential = self.held().get(&key).cloned();
        let mut answer = self.http.send(&call)?;
        if answer.status() == StatusCode::BAD_REQUEST && call.url.scheme() == "http" {
            let host = host_of(&call.url);
            let body = answer.bytes(what, 64 << 10)?;
            if !self.http.wants_tls(&host, &body) || call.url.set_scheme("https").is_err() {
                return Err(refusal(&host, what, StatusCode::BAD_REQUEST, &body));
            }
            answer = self.http.send(&call)?;
        }
        if answer.status() != StatusCode::UNAUTHORIZED {
            return answer.success(what);
        }
        let challenges = auth::challenges(answer.headers("www-authenticate"));
        match auth::authorize(&self.http, reference, &challenges)? {
            Some(credential) => {
                call.credential = Some(credential.clone());
                let answer = self.http.send(&call)?.success(what)?;
                self.held().insert(key, credential);
                Ok(answer)
            }
            None => answer.success(what),
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Credential>> {
        self.credentials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn manifest_call(&self, reference: &Reference, method: Method) -> Result<Call> {
        let url = self.url(reference, &format!("manifests/{}", reference.manifest_name()))?;
        Ok(Call::new(method, url).header("accept", [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST].join(", ")))
    }

    /// The digest that the registry announces for a tag, if it does.
    fn head(&self, reference: &Reference) -> Result<Option<Digest>> {
        let asked = self
            .http
            .retrying(|| self.send(reference, self.manifest_call(reference, Method::HEAD)?, &reference.familiar()));
        match asked {
            Ok(answer) => Ok(answer.header("docker-content-digest").and_then(|text| Digest::parse(text).ok())),
            // Not every registry knows HEAD; the whole manifest says it as well.
            Err(Error::Answer { status: 405 | 501, .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Fetches what a tag names now, keeps it, and records the digest.
    fn look_up(&self, reference: &Reference) -> Result<Digest> {
        let what = reference.familiar();
        let limit = self.http.config().limits.manifest;
        let bytes = self.http.retrying(|| {
            let answer = self.send(reference, self.manifest_call(reference, Method::GET)?, &what)?;
            let announced = answer.header("docker-content-digest").and_then(|text| Digest::parse(text).ok());
            let bytes = answer.bytes(&format!("the manifest of {what}"), limit)?;
            match announced {
                Some(expected) if expected != Digest::of(&bytes) => {
                    Err(Error::WrongDigest { from: what.clone(), expected, actual: Digest::of(&bytes) })
                }
                _ => Ok(bytes),
            }
        })?;
        // Only what can be read is worth remembering.
        Document::parse(&bytes, &what)?;
        let digest = self.blobs.put(&bytes)?;
        self.remember(reference, &digest)?;
        Ok(digest)
    }

    fn record_path(&self, reference: &Reference) -> PathBuf {
        self.refs.join(Digest::of(reference.to_string().as_bytes()).hex())
    }

    /// The recorded digest, if the document behind it is still there. An unreadable record is none.
    fn known(&self, reference: &Reference) -> Option<Digest> {
        let record: Record = serde_json::from_slice(&fs::read(self.record_path(reference)).ok()?).ok()?;
        let there =
            record.reference == reference.to_string() && self.blobs.get(&record.digest).is_ok_and(|b| b.is_some());
        there.then_some(record.digest)
    }

    fn remember(&self, reference: &Reference, digest: &Digest) -> Result<()> {
        let record = Record { reference: reference.to_string(), digest: digest.clone() };
        self.blobs.write_record(&self.record_path(reference), &record)
    }
}

/// One repository, as a holder of documents: from the cache, or else from the registry into the cache.
struct View<'a> {
    inner: &'a Inner,
    reference: &'a Reference,
    offline: bool,
}

impl View<'_> {
    fn manifest(&self, digest: &Digest, size: Option<u64>) -> Result<Vec<u8>> {
        let pinned = self.reference.with_digest(digest);
        let limit = self.inner.http.config().limits.manifest;
        self.small(digest, size, limit, || self.inner.manifest_call(&pinned, Method::GET))
    }

    fn config(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let digest = &descriptor.digest;
        let limit = self.inner.http.config().limits.config;
        self.small(digest, Some(descriptor.size), limit, || {
            Ok(Call::new(Method::GET, self.inner.url(self.reference, &format!("blobs/{digest}"))?))
        })
    }

    fn small(
        &self,
        digest: &Digest,
        size: Option<u64>,
        limit: u64,
        call: impl Fn() -> Result<Call>,
    ) -> Result<Vec<u8>> {
        let what = format!("{}@{digest}", self.reference.familiar());
        if let Some(bytes) = self.inner.blobs.read(digest, limit)? {
            return Ok(bytes);
        }
        if self.offline {
            return Err(Error::Offline { what });
        }
        if size.is_some_and(|size| size > limit) {
            return Err(Error::TooLarge { what, limit });
        }
        self.inner.http.retrying(|| {
            let bytes = self.inner.send(self.reference, call()?, &what)?.bytes(&what, limit)?;
            let mut writer = self.inner.blobs.writer()?;
            writer.write_all(&bytes).map_err(Error::file(self.inner.blobs.tmp(), "write"))?;
            writer.commit(digest, size, &self.reference.familiar())?;
            Ok(bytes)
        })
    }
}

impl Documents for View<'_> {
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        match descriptor.media_type.as_str() {
            OCI_MANIFEST | OCI_INDEX | DOCKER_MANIFEST | DOCKER_INDEX => {
                self.manifest(&descriptor.digest, Some(descriptor.size))
            }
            _ => self.config(descriptor),
        }
    }
}
