//! Lint: Dockerfiles in, findings out.

#[path = "../lowering/world.rs"]
#[allow(dead_code)]
mod world;

#[path = "../conformance/mod.rs"]
mod conformance;
mod documented;
mod outline;
mod router;
mod rules;

use routerpack_frontends::dockerfile::Dockerfile;
use routerpack_frontends::dockerfile::lint::{self, CHECK_ARGUMENT, Lint};
use routerpack_frontends::dockerfile::lower::{self, Context, Options, ResolveError, ResolvedImage, Resolver};
use routerpack_graph::Platform;
use world::World;

/// A world whose ignore file leaves out these paths.
struct Ignoring<'a>(&'a World, &'a [&'a str]);

impl Resolver for Ignoring<'_> {
    fn image(&self, reference: &str, platform: &Platform) -> Result<ResolvedImage, ResolveError> {
        self.0.image(reference, platform)
    }

    fn context(&self, name: &str, platform: &Platform) -> Result<Context, ResolveError> {
        Resolver::context(self.0, name, platform)
    }

    fn is_ignored(&self, path: &str) -> bool {
        self.1.contains(&path)
    }
}

/// How a file is linted.
#[derive(Clone, Copy)]
enum Mode {
    /// As a build does it: the target and what it needs.
    Build,
    /// As a check does it: all stages.
    Check,
}

/// The findings as `line Rule: detail`, sorted, and the error.
fn lint(source: &str, options: &Options, resolver: &dyn Resolver, mode: Mode) -> (Vec<String>, Option<String>) {
    let argument = options.build_args.get(CHECK_ARGUMENT).map(String::as_str);
    let mut lint = match lint::options(source, argument) {
        Ok(options) => Lint::new(options),
        Err(error) => return (Vec::new(), Some(error.to_string())),
    };
    let parsed = Dockerfile::parse(source);
    lint.syntax(source, &parsed);
    let error = match (parsed, mode) {
        (Err(errors), _) => Some(errors[0].message.clone()),
        (Ok(file), Mode::Check) => {
            lower::lint(&file, source, options, resolver, &mut lint).err().map(|e| e.to_string())
        }
        (Ok(file), Mode::Build) => {
            lower::lower_and_lint(&file, source, options, resolver, &mut lint).err().map(|e| e.to_string())
        }
    };
    let mut found: Vec<_> = lint.findings.iter().map(|f| (f.lines.start, f.rule.name, f.detail.clone())).collect();
    found.sort();
    (found.into_iter().map(|(line, rule, detail)| format!("{line} {rule}: {detail}")).collect(), error)
}

/// BuildKit's rules only.
fn buildkit(source: &str, options: &Options, ignored: &[&str], mode: Mode) -> (Vec<String>, Option<String>) {
    let world = World::new()
        .image("docker.io/library/busybox:latest", "{}")
        .image("docker.io/library/python:3", r#"{"Env":["PYTHON_VERSION=3.1"],"Shell":["/bin/bash","-c"]}"#);
    let (found, error) = lint(source, options, &Ignoring(&world, ignored), mode);
    (found.into_iter().filter(|finding| !finding.contains(" Router")).collect(), error)
}
