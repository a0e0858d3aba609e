//! Recipes against a model of the RouterOS console.

mod console;
mod life;
mod quoting;
mod words;

use routerpack_graph::{Digest, ImageConfig};
use routerpack_targets::recipe::{Options, Recipe, Source, Subject, generate};

/// An image of some content.
fn subject(content: &str) -> Subject {
    let json = r#"{"architecture":"arm64","os":"linux","config":{"Entrypoint":["/app"],"Cmd":["serve"],"Volumes":{"/data":{}}}}"#;
    Subject {
        config: ImageConfig::from_json(json.as_bytes()).unwrap(),
        id: Digest::of(content.as_bytes()),
        source: Source::Archive { size: 1000, gzip: false },
        unpacked: 900,
    }
}

fn recipe(subject: &Subject, options: &Options) -> Recipe {
    generate(subject, options).unwrap_or_else(|e| panic!("{e}"))
}
