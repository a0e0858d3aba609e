//! `routerpack build --check` and `--call`: what can be said of a Dockerfile without building it, as text as buildx
//! prints it, or as BuildKit's JSON (`frontend/subrequests/{lint,outline,targets}`).

use std::{collections::BTreeMap, process::ExitCode, str::FromStr, sync::Mutex};

use base64::{Engine, engine::general_purpose::STANDARD};
use routerpack_files::pattern::Matcher;
use routerpack_frontends::dockerfile::{
    Diagnostic, Dockerfile, LineRange, Severity,
    lint::{self, CHECK_ARGUMENT, Lint},
    lower::{self, Context, Options, ResolveError, ResolvedImage, Resolver},
    parse_bool,
};
use routerpack_graph::{Constraints, Definition, Platform, pb, source::Local};
use routerpack_targets::profile::Profile;
use serde_json::{Value, json};

use crate::{
    context::Source,
    failure::Failure,
    lint::Report,
    notice::{DEFINITION, Kind, Notice, SYNTAX},
    outline,
    told::Told,
};

/// What to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Nothing: build.
    Build,
    /// What lint finds.
    Check,
    /// What the target takes.
    Outline,
    /// The stages.
    Targets,
    /// The methods.
    Describe,
}

/// `--call`: `METHOD[,format=json][,ignorestatus=true]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// What to say.
    pub method: Method,
    /// As JSON.
    pub json: bool,
    /// End with 0 whatever was found.
    pub ignore_status: bool,
}

impl FromStr for Call {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut call = Call { method: Method::Build, json: false, ignore_status: false };
        let mut named = false;
        for field in text.split(',') {
            match field.split_once('=') {
                Some(("format", "json")) => call.json = true,
                Some(("format", "" | "text")) => call.json = false,
                Some(("ignorestatus", value)) => {
                    let wrong = || format!("ignorestatus={value} is neither true nor false");
                    call.ignore_status = parse_bool(&value.to_ascii_lowercase()).ok_or_else(wrong)?;
                }
                Some(_) => return Err(format!("invalid field for call: {field}")),
                None if named => return Err(format!("more than one method: {text}")),
                None => {
                    named = true;
                    call.method = match field {
                        "build" => Method::Build,
                        "check" | "lint" => Method::Check,
                        "outline" => Method::Outline,
                        "targets" => Method::Targets,
                        "subrequests.describe" => Method::Describe,
                        other => {
                            return Err(format!(
                                "{other} is not build, check, outline, targets or subrequests.describe"
                            ));
                        }
                    }
                }
            }
        }
        Ok(call)
    }
}

impl Source {
    /// Its name without directories, which is what BuildKit knows of it.
    pub fn base_name(&self) -> &str {
        self.file.rsplit('/').next().unwrap_or(&self.file)
    }

    /// The graph that it is read from, as BuildKit reads it (`frontend/dockerui/config.go`, `ReadEntrypoint`).
    pub fn definition(&self) -> Definition {
        if let Some(context) = &self.origin {
            return Definition::of(Some(context));
        }
        let name = self.base_name();
        let mut paths = vec![name.to_string(), format!("{name}.dockerignore")];
        if name == "Dockerfile" {
            paths.push("dockerfile".into());
        }
        let local = Local {
            follow_paths: paths,
            shared_key: Some("dockerfile".into()),
            differ: Some("none".into()),
            ..Local::new("dockerfile")
        };
        let title = format!("[internal] load build definition from {name}");
        Definition::of(Some(&local.output(&Constraints::default().named(title))))
    }

    /// Its text as BuildKit's JSON has it: base64 (RFC 4648).
    pub fn base64(&self) -> String {
        STANDARD.encode(&*self.text)
    }
}

/// A range a line, as BuildKit's `toRanges` makes them.
pub fn location(lines: LineRange) -> Value {
    let range = |line: usize| json!({"start": {"line": line}, "end": {"line": line}});
    json!({"ranges": (lines.start..=lines.end.max(lines.start)).map(range).collect::<Vec<_>>()})
}

/// Answers as another resolver does, and knows the ignore file.
pub struct Linting<'a> {
    inner: &'a dyn Resolver,
    ignored: Option<Matcher>,
    /// Images that weren't found and why, if that is no error: lint can say much without them.
    missing: Option<Mutex<BTreeMap<String, String>>>,
}

impl<'a> Linting<'a> {
    /// With the ignore file's patterns. `lenient`: an image that can't be found has nothing in its config.
    pub fn new(inner: &'a dyn Resolver, excludes: &[String], lenient: bool) -> Self {
        // The reader of ignore files has seen to it that they are patterns.
        let matcher = Matcher::new(excludes).ok();
        let ignored = matcher.filter(|matcher| !matcher.is_empty() && !matcher.has_negation());
        Self { inner, ignored, missing: lenient.then(Mutex::default) }
    }

    fn missing(&self) -> BTreeMap<String, String> {
        self.missing.as_ref().map(|m| m.lock().unwrap_or_else(|e| e.into_inner()).clone()).unwrap_or_default()
    }
}

impl Resolver for Linting<'_> {
    fn image(&self, reference: &str, platform: &Platform) -> Result<ResolvedImage, ResolveError> {
        match (self.inner.image(reference, platform), &self.missing) {
            (Err(error), Some(missing)) => {
                let mut missing = missing.lock().unwrap_or_else(|e| e.into_inner());
                missing.insert(reference.to_string(), error.to_string());
                // An image without layers would be nothing at all.
                let layer = format!("sha256:{}", "0".repeat(64));
                let config = json!({
                    "os": platform.os, "architecture": platform.architecture, "variant": platform.variant,
                    "config": {"Cmd": ["/bin/sh"]}, "rootfs": {"type": "layers", "diff_ids": [layer]},
                });
                let config = config.to_string().into_bytes();
                Ok(ResolvedImage { reference: reference.to_string(), digest: None, config })
            }
            (answer, _) => answer,
        }
    }

    fn context(&self, name: &str, platform: &Platform) -> Result<Context, ResolveError> {
        self.inner.context(name, platform)
    }

    fn changed(&self, source: &pb::SourceOp) -> Result<Option<i64>, ResolveError> {
        self.inner.changed(source)
    }

    fn is_ignored(&self, path: &str) -> bool {
        self.ignored.as_ref().is_some_and(|matcher| matcher.matches(path.as_bytes()))
    }
}

/// A lint with the rules that the build argument or the file chooses.
pub fn lint(file: &Source, options: &Options) -> Result<Lint, Diagnostic> {
    let argument = options.build_args.get(CHECK_ARGUMENT).map(String::as_str);
    lint::options(&file.text, argument).map(Lint::new).map_err(|error| {
        let diagnostic = Diagnostic::error(error.span.unwrap_or_default(), error.to_string());
        diagnostic.help("write skip=, error= and experimental=, with `;` between them and no blanks")
    })
}

/// What is wrong with a file.
pub fn failure(kind: Kind, file: &Source, errors: &[Diagnostic]) -> Failure {
    Failure::of(errors.iter().map(|error| Notice::of(kind, file, error)).collect())
}

/// Says what was asked for. With `told`, what a check finds is kept there and not printed.
pub fn call(
    call: Call,
    file: &Source,
    options: &Options,
    resolver: &Linting<'_>,
    profile: Profile,
    told: Option<&Told>,
) -> Result<ExitCode, Failure> {
    let parsed = Dockerfile::parse(&file.text);
    let (text, value, failed) = match call.method {
        Method::Targets => {
            let dockerfile = parsed.map_err(|errors| failure(SYNTAX, file, &errors))?;
            (outline::targets_text(&dockerfile), outline::targets_json(&dockerfile, file), false)
        }
        Method::Describe => (outline::describe_text(), outline::describe_json(), false),
        Method::Outline => {
            let dockerfile = parsed.map_err(|errors| failure(SYNTAX, file, &errors))?;
            let found = lower::outline(&dockerfile, &file.text, options, resolver)
                .map_err(|error| failure(DEFINITION, file, &error.diagnostics()))?;
            (outline::text(&found), outline::json(&found, file), false)
        }
        Method::Build | Method::Check => {
            let mut lint = lint(file, options).map_err(|error| failure(DEFINITION, file, &[error]))?;
            lint.syntax(&file.text, &parsed);
            let is_parsed = parsed.is_ok();
            let (errors, warnings): (Vec<_>, Vec<_>) = match parsed {
                Err(diagnostics) => diagnostics.into_iter().partition(|d| d.severity == Severity::Error),
                Ok(dockerfile) => {
                    let result = lower::lint(&dockerfile, &file.text, options, resolver, &mut lint);
                    (result.err().map(|error| error.diagnostics()).unwrap_or_default(), dockerfile.warnings)
                }
            };
            let findings = &lint.findings;
            let report = Report { file, findings, warnings: &warnings, errors: &errors, is_parsed, profile };
            for (image, why) in resolver.missing() {
                anstream::eprintln!(
                    "note: {image} could not be looked up, so nothing is known of its variables and its shell\n  {why}"
                );
            }
            if let Some(told) = told {
                report.notices().into_iter().for_each(|notice| told.keep(notice));
                return match errors.is_empty() {
                    true => Ok(ExitCode::from(u8::from(report.fails() && !call.ignore_status))),
                    false => Err(report.failure()),
                };
            }
            if !errors.is_empty() && !call.json {
                anstream::print!("{}", report.text());
                return Err(report.failure());
            }
            (report.text(), report.json(), report.fails())
        }
    };
    match call.json {
        true => println!("{value:#}"),
        false => anstream::print!("{text}"),
    }
    Ok(ExitCode::from(u8::from(failed && !call.ignore_status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls() {
        let call = |method, json, ignore_status| Ok(Call { method, json, ignore_status });
        for (text, expected) in [
            ("check", call(Method::Check, false, false)),
            ("lint,format=json", call(Method::Check, true, false)),
            ("format=json,outline", call(Method::Outline, true, false)),
            ("targets,ignorestatus=true", call(Method::Targets, false, true)),
            ("build", call(Method::Build, false, false)),
            ("check,outline", Err("more than one method: check,outline".to_string())),
            ("subrequests.describe", call(Method::Describe, false, false)),
            ("what", Err("what is not build, check, outline, targets or subrequests.describe".to_string())),
            ("check,x=y", Err("invalid field for call: x=y".to_string())),
        ] {
            assert_eq!(text.parse::<Call>(), expected, "{text}");
        }
    }
}
