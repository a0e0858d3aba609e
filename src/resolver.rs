//! Answers the frontend's questions: what is behind an image's name, what is a named context.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use routerpack_builder::Local;
use routerpack_frontends::dockerfile::lower::{Context, ResolveError, ResolvedImage, Resolver, reference as name};
use routerpack_graph::{Output, Platform, pb};
use routerpack_sources::{Config, ContextRef, PullPolicy, Reference, Registry, Store};

use crate::{
    context::ignore_file,
    fetcher::{self, Fetched, Fetcher},
};

/// A named context, opened.
enum Named {
    /// `docker-image://scratch`.
    Empty,
    Image(Reference),
    Store {
        name: String,
        store: Arc<Store>,
        tag: Option<String>,
        digest: Option<routerpack_graph::Digest>,
    },
    Local {
        name: String,
        excludes: Vec<String>,
    },
    Git(Output),
    /// A URL. What it is, is known once it is there, and it is only fetched when it is used.
    Http(String),
}

/// Answers out of registries, local stores, directories, repositories and the web.
pub struct SourceResolver {
    fetcher: Arc<Fetcher>,
    registry: Arc<Registry>,
    pull: PullPolicy,
    named: BTreeMap<String, Named>,
    /// Directories by the names that the executor will ask for.
    pub locals: BTreeMap<String, Local>,
    /// Stores by the names that the executor will ask for.
    pub stores: BTreeMap<String, Arc<Store>>,
}

/// A `--build-context` that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("--build-context {given}: {why}")]
pub struct BadContext {
    given: String,
    why: String,
}

impl SourceResolver {
    /// Opens the named contexts, given as `NAME=VALUE`.
    pub fn new(fetcher: Arc<Fetcher>, contexts: &[String], config: &Config) -> Result<Self, BadContext> {
        let (registry, pull) = (fetcher.builder.registry.clone(), fetcher.pull);
        let (named, locals, stores) = Default::default();
        let mut resolver = Self { fetcher, registry, pull, named, locals, stores };
        for given in contexts {
            let fail = |why: String| BadContext { given: given.clone(), why };
            let (name, value) = given.split_once('=').ok_or_else(|| fail("expected NAME=VALUE".into()))?;
            if name.is_empty() || name == "context" {
                return Err(fail("it needs a name of its own".into()));
            }
            // What no image could be called is nothing that FROM or --from could mean.
            name::Reference::parse(name.split_once("::").map_or(name, |(name, _)| name)).map_err(fail)?;
            let named = resolver.open(name, value, config).map_err(fail)?;
            resolver.named.insert(name.to_string(), named);
        }
        Ok(resolver)
    }

    /// The names of the contexts, as given.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.named.keys().cloned()
    }

    fn open(&mut self, name: &str, value: &str, config: &Config) -> Result<Named, String> {
        let store = |path: &Path, kind| Store::open(path, kind, config).map(Arc::new).map_err(|e| e.to_string());
        if value == "docker-image://scratch" {
            return Ok(Named::Empty);
        }
        match ContextRef::parse(value).map_err(|e| e.to_string())? {
            ContextRef::Image(reference) => Ok(Named::Image(reference)),
            ContextRef::Store { kind, path, tag, digest } => {
                let store = store(&path, Some(kind))?;
                self.stores.insert(name.to_string(), store.clone());
                Ok(Named::Store { name: name.to_string(), store, tag, digest })
            }
            // A directory is a context, as in buildx; an OCI layout has to be said to be one.
            ContextRef::Path(path) if path.is_dir() => {
                let dir = path.canonicalize().map_err(|e| e.to_string())?;
                let excludes = ignore_file(&dir.join(".dockerignore"))?.unwrap_or_default();
                self.locals.insert(name.to_string(), Local { dir, excludes: excludes.clone(), never: Vec::new() });
                Ok(Named::Local { name: name.to_string(), excludes })
            }
            ContextRef::Path(path) => {
                let store = store(&path, None)?;
                self.stores.insert(name.to_string(), store.clone());
                Ok(Named::Store { name: name.to_string(), store, tag: None, digest: None })
            }
            ContextRef::Http(url) => Ok(Named::Http(url)),
            ContextRef::Git(text) => {
                let git = fetcher::git(&text, Some(name), false, false);
                git.unwrap_or_else(|| Err("this is no address of a git repository".into())).map(Named::Git)
            }
            ContextRef::Target(_) => Err("target: contexts belong to bake files".into()),
        }
    }
}

impl Resolver for SourceResolver {
    fn image(&self, reference: &str, platform: &Platform) -> Result<ResolvedImage, ResolveError> {
        let reference = Reference::parse(reference)?;
        let image = self.registry.image(&reference, platform, self.pull)?;
        Ok(ResolvedImage {
            reference: reference.to_string(),
            digest: Some(image.root_digest),
            config: image.config_bytes,
        })
    }

    fn changed(&self, source: &pb::SourceOp) -> Result<Option<i64>, ResolveError> {
        Ok(self.fetcher.changed(source, &self.locals).map_err(|e| e.to_string())?)
    }

    fn context(&self, name: &str, platform: &Platform) -> Result<Context, ResolveError> {
        match self.named.get(name) {
            None => Err(format!("there is no context `{name}`").into()),
            Some(Named::Empty) => Ok(Context::Empty),
            Some(Named::Image(reference)) => self.image(&reference.to_string(), platform).map(Context::Image),
            Some(Named::Local { name, excludes }) => {
                Ok(Context::Local { name: name.clone(), exclude: excludes.clone() })
            }
            Some(Named::Git(output)) => Ok(Context::Output(Some(output.clone()), None)),
            Some(Named::Http(url)) => {
                let fetched = self.fetcher.download(url, Some(name));
                let (Fetched::Archive(output) | Fetched::File(output)) = fetched.map_err(|e| e.to_string())?;
                Ok(Context::Output(Some(output), None))
            }
            Some(Named::Store { name, store, tag, digest }) => {
                let image = store.image(tag.as_deref(), digest.as_ref(), platform)?;
                Ok(Context::Store { name: name.clone(), digest: image.digest, config: image.config_bytes })
            }
        }
    }
}
