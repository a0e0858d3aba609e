//! The Dockerfiles of other builders' test suites, and an independent parser as a second opinion.

mod conformance;

use std::ops::Range;

use parse_dockerfile::Instruction;
use routerpack_frontends::dockerfile::{Diagnostic, Dockerfile, Severity};
use serde_json::Value;

fn text<'v>(case: &'v Value, key: &str) -> &'v str {
    case[key].as_str().unwrap_or_else(|| panic!("no {key} in {case}"))
}

fn errors(source: &str) -> Vec<Diagnostic> {
    Dockerfile::parse(source).err().unwrap_or_default().into_iter().filter(|d| d.severity == Severity::Error).collect()
}

/// Where the other parser sees the keyword.
fn keyword_span(instruction: &Instruction<'_>) -> Range<usize> {
    let keyword = match instruction {
        Instruction::Add(i) => &i.add,
        Instruction::Arg(i) => &i.arg,
        Instruction::Cmd(i) => &i.cmd,
        Instruction::Copy(i) => &i.copy,
        Instruction::Entrypoint(i) => &i.entrypoint,
        Instruction::Env(i) => &i.env,
        Instruction::Expose(i) => &i.expose,
        Instruction::From(i) => &i.from,
        Instruction::Healthcheck(i) => &i.healthcheck,
        Instruction::Label(i) => &i.label,
        Instruction::Maintainer(i) => &i.maintainer,
        Instruction::Onbuild(i) => &i.onbuild,
        Instruction::Run(i) => &i.run,
        Instruction::Shell(i) => &i.shell,
        Instruction::Stopsignal(i) => &i.stopsignal,
        Instruction::User(i) => &i.user,
        Instruction::Volume(i) => &i.volume,
        Instruction::Workdir(i) => &i.workdir,
        other => panic!("{other:?} is new"),
    };
    keyword.span.clone()
}

/// Files that BuildKit refuses too, by their place in the tables, and why.
const REFUSED: [(&str, &str); 16] = [
    ("dockerfile_cmd_test.go/testDockerfileInvalidInstruction", "unknown instruction: FNTRYPOINT"),
    ("dockerfile_copy_test.go/testDockerfileCopyFromArgs", "variable expansion is not supported for --from"),
    ("dockerfile_mount_test.go/testMountInvalid", "unknown flag: --mont"),
    // a template, whose %s the test fills in
    ("dockerfile_platform_test.go/testPlatformArgsImplicit", "invalid name for build stage"),
    // Buildah reads on where these say otherwise: names with slashes, variables in --from
    ("bud/base-with-arg/Containerfile", "invalid name for build stage"),
    ("bud/copy-from-stage-scoped-arg/Containerfile", "variable expansion is not supported for --from"),
    (
        "bud/copy-from-stage-scoped-arg/Containerfile.multi-copy-arg-override",
        "variable expansion is not supported for --from",
    ),
    ("bud/from-with-arg/Containerfile", "variable expansion is not supported for --from"),
    ("bud/arg-scope/Containerfile.copy-from-arg", "variable expansion is not supported for --from"),
    ("bud/arg-scope/Containerfile.stage-overrides-header-copy-from", "variable expansion is not supported for --from"),
    // these are there to be refused
    ("bud/add-chmod/Dockerfile.bad", "missing a value on flag: --chmod"),
    ("bud/copy-multistage-paths/Dockerfile.invalid_from", "missing a value on flag: --from"),
    ("bud/copy-chown/Dockerfile.bad", "missing a value on flag: --chown"),
    ("bud/copy-chmod/Dockerfile.bad", "missing a value on flag: --chmod"),
    ("bud/add-checksum/Containerfile.bad", "missing a value on flag: --checksum"),
    ("bud/inline-network/Dockerfile3", "invalid network mode"),
];

#[test]
fn the_files_of_other_suites_are_read() {
    let mut files = Vec::new();
    for name in ["integration", "buildah-bud", "buildah-conformance", "kaniko"] {
        let Some(table) = conformance::table(name) else { return };
        for case in table.as_array().unwrap() {
            let id = text(case, "id").to_owned();
            let sources = case["dockerfiles"].as_array().into_iter().flatten().filter_map(|file| file["text"].as_str());
            let own = if name == "buildah-conformance" { "resolved_dockerfile" } else { "dockerfile" };
            let sources: Vec<_> = sources.chain(case[own].as_str()).map(str::to_owned).collect();
            files.extend(sources.into_iter().map(|source| (id.clone(), source)));
        }
    }
    assert!(files.len() > 400, "only {} files", files.len());
    let mut wrong = Vec::new();
    for (id, source) in &files {
        let refused = REFUSED.iter().find(|(refused, _)| refused == id).map(|(_, message)| *message);
        let found = errors(source);
        let as_expected = match (refused, found.first()) {
            (None, found) => found.is_none() || source.contains("%s") || is_fragment(source),
            (Some(message), Some(found)) => found.message.starts_with(message),
            // a case may have several files, of which one is refused
            (Some(_), None) => files.iter().any(|(other, source)| other == id && !errors(source).is_empty()),
        };
        if !as_expected {
            wrong.push(format!("{id}: {source}\n{found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Files without a FROM: parts that a tool puts together, or that must be refused for just that.
fn is_fragment(source: &str) -> bool {
    !source.lines().any(|line| line.trim_start().get(..4).is_some_and(|word| word.eq_ignore_ascii_case("FROM")))
}

/// An independent parser finds the same instructions.
#[test]
fn another_parser_finds_the_same_instructions() {
    let mut compared = 0;
    for name in ["buildah-bud", "kaniko"] {
        let Some(table) = conformance::table(name) else { return };
        for case in table.as_array().unwrap() {
            let Some(source) = case["dockerfile"].as_str() else { continue };
            let (Ok(ours), Ok(theirs)) = (Dockerfile::parse(source), parse_dockerfile::parse_iter(source)) else {
                continue;
            };
            let Ok(theirs) = theirs.collect::<Result<Vec<_>, _>>() else { continue };
            let ours: Vec<_> = ours.instructions().map(|instruction| instruction.keyword.span.range()).collect();
            let theirs: Vec<_> = theirs.iter().map(keyword_span).collect();
            assert_eq!(ours, theirs, "{}: {source}", case["id"]);
            compared += 1;
        }
    }
    assert!(compared > 150, "only {compared} files");
}
