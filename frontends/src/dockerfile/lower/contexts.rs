//! Named contexts: how names match, and what a context is in the graph.

use std::collections::BTreeMap;

use routerpack_graph::source::{Image, Local, OciLayout};
use routerpack_graph::{Constraints, Output, Platform};

use super::error::{Fault, LowerError};
use super::reference::Reference;
use super::resolver::Context;
use crate::dockerfile::span::Span;

/// The names of the further contexts, as names of images compare: `alpine`, `docker.io/library/alpine` and
/// `alpine:latest` are one (BuildKit `frontend/dockerui/config.go`, `NamedContext`).
pub(super) struct ContextNames(BTreeMap<String, String>);

impl ContextNames {
    pub(super) fn new<'n>(names: impl IntoIterator<Item = &'n String>) -> Self {
        let key = |written: &String| match written.split_once("::") {
            Some((name, platform)) => format!("{}::{platform}", familiar(name)),
            None => familiar(written),
        };
        Self(names.into_iter().map(|written| (key(written), written.clone())).collect())
    }

    /// The context for a name: one for just this platform, or one for all.
    pub(super) fn find(&self, name: &str, platform: &Platform) -> Option<String> {
        if name.is_empty() || name.eq_ignore_ascii_case("scratch") || name.eq_ignore_ascii_case("context") {
            return None;
        }
        let name = familiar(name);
        self.0.get(&format!("{name}::{platform}")).or_else(|| self.0.get(&name)).cloned()
    }
}

fn familiar(name: &str) -> String {
    Reference::parse(name).map_or_else(|_| name.to_string(), |reference| reference.familiar())
}

/// The op behind a context. `paths` are those that are used of a directory; empty is all of it.
pub(super) fn output(context: &Context, name: Option<&str>, paths: Vec<String>, platform: &Platform) -> Option<Output> {
    let title = |text: &str| match name {
        Some(name) => format!("[context {name}] {text}"),
        None => format!("[internal] {text}"),
    };
    let on = Constraints::on(platform);
    match context {
        Context::Empty => None,
        Context::Local { name: local, exclude } => {
            let source = Local {
                follow_paths: paths,
                exclude: exclude.clone(),
                shared_key: Some(name.map_or_else(|| "context".into(), |name| format!("context:{name}"))),
                ..Local::new(local)
            };
            let text = if name.is_some() { "load from client" } else { "load build context" };
            Some(source.output(&on.named(title(text))))
        }
        Context::Image(image) => {
            let reference = pinned(&image.reference, image.digest.as_ref());
            Some(Image::new(&reference).output(&on.named(title(&reference))))
        }
        Context::Store { name: store, digest, .. } => {
            Some(OciLayout::new(store, digest).output(&on.named(title("OCI load from client"))))
        }
        Context::Git(git) => Some(git.output(&on.named(title(git.full_url.as_deref().unwrap_or(&git.remote))))),
        Context::Http(http) => Some(http.output(&on.named(title(&http.url)))),
        Context::Output(output, _) => output.clone(),
    }
}

/// A reference with a digest; as it is when it can't be read (a resolver's own business).
pub(super) fn pinned(reference: &str, digest: Option<&routerpack_graph::Digest>) -> String {
    match (Reference::parse(reference), digest) {
        (Ok(parsed), Some(digest)) => parsed.pinned(digest).to_string(),
        _ => reference.to_string(),
    }
}

/// Reads a reference, or says at which place it is wrong.
pub(super) fn parse_reference(name: &str, span: Span) -> Result<Reference, LowerError> {
    Reference::parse(name).map(Reference::or_latest).map_err(|reason| {
        let error = LowerError::new(span, Fault::Reference { name: name.into(), reason });
        let error = error.help("an image's name is [HOST/]NAME[:TAG][@sha256:…], in lower case");
        let (path, tag) = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((name, ""));
        let lower = if tag.is_empty() { path.to_lowercase() } else { format!("{}:{tag}", path.to_lowercase()) };
        let valid = (lower != name && Reference::parse(&lower).is_ok()).then_some(lower.as_str());
        error.suggest(name, valid)
    })
}
