//! Rules about FROM: its variables, its platform, and what the base turns out to be.

use std::collections::BTreeSet;

use routerpack_graph::Platform;

use super::super::ast::{Dockerfile, Stage, Word};
use super::super::expand::{self, Environment, Expander, Expansion};
use super::super::lower::golang::quoted;
use super::super::lower::reference::Reference;
use super::super::lower::variables::Variables;
use super::rules::*;
use super::{Lint, Place};

/// The bases must be valid if no build argument is given: `defaults` are the global variables then.
pub(in crate::dockerfile) fn defaults(lint: &mut Lint, file: &Dockerfile, defaults: &Variables) {
    for stage in &file.stages {
        // An error here is one of the build as well, which says it better.
        let Ok(expansion) = Expander::new(file.escape).expand(&stage.from.image.text, defaults) else { return };
        if !is_reference(&expansion.text) {
            let base = &stage.from.image;
            let detail = format!("Default value for ARG {base} results in empty or invalid base image name");
            lint.add(INVALID_DEFAULT_ARG_IN_FROM, &Place::of(&stage.instruction).at(base.span), detail);
        }
    }
}

/// Whether it can be an image's name; 64 hex digits would be an image's id (distribution/reference,
/// `ParseNormalizedNamed`).
fn is_reference(name: &str) -> bool {
    let is_id = name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    !is_id && Reference::parse(name).is_ok()
}

/// The variables and platforms of all FROMs, up to the first that is an error.
pub(in crate::dockerfile) fn variables(lint: &mut Lint, file: &Dockerfile, globals: &Variables) {
    let defined = file.global_definitions().map(|(_, definition)| definition.name.as_str());
    let known: BTreeSet<&str> = globals.names().chain(defined).collect();
    for stage in &file.stages {
        if stage_variables(lint, file, stage, globals, &known).is_none() {
            return;
        }
    }
}

fn stage_variables(
    lint: &mut Lint,
    file: &Dockerfile,
    stage: &Stage,
    globals: &Variables,
    known: &BTreeSet<&str>,
) -> Option<()> {
    let expander = Expander::new(file.escape);
    let place = Place::of(&stage.instruction);
    let base = expander.expand(&stage.from.image.text, globals).ok()?;
    undeclared(lint, &place, (&stage.from.image, &base), known);
    if base.text.is_empty() {
        return None;
    }
    let Some(written) = &stage.from.platform else { return Some(()) };
    let platform = expander.expand(&written.text, globals).ok()?;
    undeclared(lint, &place, (written, &platform), known);
    let only = |name: &str| platform.matched.len() == 1 && platform.matched.contains(name);
    if only("TARGETPLATFORM")
        && platform.unmatched.is_empty()
        && globals.get("TARGETPLATFORM") == Some(platform.text.as_str())
    {
        let detail =
            format!("Setting platform to predefined {written} in FROM is redundant as this is the default behavior");
        lint.add(REDUNDANT_TARGET_PLATFORM, &place.at(written.span), detail);
    }
    let any = Platform::new("linux", "amd64", "");
    let parsed = Platform::parse(&platform.text, &any).ok().filter(|_| !platform.text.is_empty())?;
    let name = stage.name().unwrap_or_default();
    let named = name.contains(parsed.os.as_str()) || name.contains(parsed.architecture.as_str());
    if platform.matched.is_empty() && platform.unmatched.is_empty() && !named {
        let detail = format!("FROM --platform flag should not use constant value {}", quoted(&platform.text));
        lint.add(FROM_PLATFORM_FLAG_CONST_DISALLOWED, &place.at(written.span), detail);
    }
    Some(())
}

fn undeclared(lint: &mut Lint, place: &Place, (word, used): (&Word, &Expansion), known: &BTreeSet<&str>) {
    for name in used.unmatched.iter().filter(|name| !known.contains(name.as_str())) {
        let near = lint.suggestion(name, known.iter().copied());
        let near = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
        let at = expand::reference(&word.text, name).map_or(word.span, |range| word.part(range));
        lint.add(UNDEFINED_ARG_IN_FROM, &place.at(at), format!("FROM argument '{name}' is not declared{near}"));
    }
}

/// What was found is for another platform than was wanted. (Variants don't count: an older one runs as well.)
pub(in crate::dockerfile) fn found(lint: &mut Lint, place: &Place, name: &str, wanted: &Platform, found: &Platform) {
    if wanted.os != found.os || wanted.architecture != found.architecture {
        let (wanted, found) = (quoted(&wanted.to_string()), quoted(&found.to_string()));
        let detail = format!("Base image {name} was pulled with platform {found}, expected {wanted} for current build");
        lint.add(INVALID_BASE_IMAGE_PLATFORM, place, detail);
    }
}
