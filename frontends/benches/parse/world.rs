//! A world in which every image is there.

use routerpack_frontends::dockerfile::Dockerfile;
use routerpack_frontends::dockerfile::lint::Lint;
use routerpack_frontends::dockerfile::lower::{self, Context, Options, ResolveError, ResolvedImage, Resolver};
use routerpack_graph::Platform;

struct Everything;

impl Resolver for Everything {
    fn image(&self, reference: &str, _: &Platform) -> Result<ResolvedImage, ResolveError> {
        let config = r#"{"architecture":"arm64","os":"linux","config":{"Env":["PATH=/bin"]},
            "rootfs":{"type":"layers","diff_ids":["sha256:0000000000000000000000000000000000000000000000000000000000000000"]}}"#;
        Ok(ResolvedImage { reference: reference.into(), digest: None, config: config.into() })
    }

    fn context(&self, name: &str, _: &Platform) -> Result<Context, ResolveError> {
        Err(format!("there is no context {name}").into())
    }
}

/// Lowers a file and looks at it with every rule of lint. Gives the graph's bytes, or the error.
pub fn lower(source: &str) -> Result<usize, String> {
    let file = Dockerfile::parse(source).map_err(|all| all[0].to_string())?;
    let mut lint = Lint::default();
    lint.syntax(source, &Ok(file.clone()));
    let options = Options::new(Platform::new("linux", "arm64", ""));
    let lowered = lower::lower_and_lint(&file, source, &options, &Everything, &mut lint).map_err(|e| e.to_string())?;
    let _ = lower::outline(&file, source, &options, &Everything);
    Ok(lowered.definition.to_bytes().len())
}
