//! `SOURCE_DATE_EPOCH`: a number, or the name of something that has a time (BuildKit `dockerfile2llb/epoch.go`).

use routerpack_graph::{Constraints, Definition, Output, pb};

use super::super::ast::{Dockerfile, Stage, Word};
use super::super::expand::{Environment, Expander};
use super::super::instruction::{Add, Command};
use super::super::span::Span;
use super::contexts::{self, ContextNames};
use super::copy::{Remote, remote};
use super::error::{Fault, LowerError};
use super::options::Options;
use super::plan::SCRATCH;
use super::resolver::Resolver;
use super::variables::Variables;

const NAME: &str = "SOURCE_DATE_EPOCH";

/// Finds the time, in seconds since 1970, that the build argument or else the ARG before the first FROM gives. Both
/// become that number; they are unset when it gives none: because it is empty, or because a directory or an image was
/// named, which have no time.
pub(super) fn settle(
    file: &Dockerfile,
    options: &mut Options,
    globals: &mut Variables,
    names: &ContextNames,
    resolver: &dyn Resolver,
) -> Result<Option<i64>, LowerError> {
    let default = || globals.get(NAME).filter(|value| !value.is_empty());
    let Some(written) = options.build_args.get(NAME).map(String::as_str).or_else(default).map(str::to_string) else {
        return Ok(None);
    };
    let time = Search { file, options, globals, names, resolver }.time(&written)?;
    match time.map(|seconds| seconds.to_string()) {
        Some(number) => {
            if globals.get(NAME).is_some() {
                globals.set(NAME, number.as_str());
            }
            options.build_args.entry(NAME.into()).and_modify(|value| *value = number);
        }
        None => {
            globals.remove(NAME);
            options.build_args.remove(NAME);
        }
    }
    Ok(time)
}

struct Search<'a> {
    file: &'a Dockerfile,
    options: &'a Options,
    globals: &'a Variables,
    names: &'a ContextNames,
    resolver: &'a dyn Resolver,
}

impl Search<'_> {
    fn time(&self, written: &str) -> Result<Option<i64>, LowerError> {
        let fail = |source| LowerError::new(self.span(), Fault::Resolve { name: written.into(), source });
        if written.is_empty() {
            return Ok(None);
        }
        if let Ok(seconds) = written.parse::<i64>() {
            let known = jiff::Timestamp::from_second(seconds).is_ok();
            return if known { Ok(Some(seconds)) } else { Err(self.unknown(written)) };
        }
        let platform = &self.options.build_platform;
        let output = if written == "context" {
            contexts::output(&self.options.context, None, Vec::new(), platform)
        } else if let Some(name) = self.names.find(written, platform) {
            let context = self.resolver.context(&name, platform).map_err(fail)?;
            contexts::output(&context, Some(&name), Vec::new(), platform)
        } else {
            let named = |stage: &&Stage| stage.name().is_some_and(|name| name.eq_ignore_ascii_case(written));
            let stage = self.file.stages.iter().find(named).ok_or_else(|| self.unknown(written))?;
            Some(self.stage(stage)?)
        };
        match only_source(output.as_ref()) {
            Some(source) => self.resolver.changed(&source).map_err(fail),
            None => Ok(None),
        }
    }

    /// The ARG, or the first FROM where it is a build argument.
    fn span(&self) -> Span {
        let definition = self.file.global_definitions().find(|(_, definition)| definition.name.as_str() == NAME);
        definition.map_or(self.file.stages[0].instruction.span, |(instruction, _)| instruction.span)
    }

    fn unknown(&self, written: &str) -> LowerError {
        let stages = self.file.stages.iter().filter_map(|stage| stage.name());
        let known = self.options.contexts.iter().map(String::as_str).chain(stages).chain(["context"]);
        let error = LowerError::new(self.span(), Fault::Epoch(written.into())).suggest(written, known);
        match error.help {
            Some(_) => error,
            None => error.help(
                "give whole seconds since 1970, or the name of what has a time: `context`, a named context, a stage with one remote ADD",
            ),
        }
    }

    /// What a stage fetches that does nothing else.
    fn stage(&self, stage: &Stage) -> Result<Output, LowerError> {
        let fail = |span, why: &str| {
            let error = LowerError::new(span, Fault::EpochStage(why.into()));
            error.help("its time is that of the one file or repository that it fetches: FROM scratch, then ADD URL /")
        };
        let only_one = "must contain exactly one remote ADD";
        let mut env = self.globals.clone();
        env.remove(NAME);
        if self.expand(&stage.from.image, &env)? != SCRATCH {
            return Err(fail(stage.from.image.span, "must use FROM scratch"));
        }
        let mut source = None;
        for instruction in &stage.commands {
            match &instruction.command {
                Command::Arg(definitions) => {
                    for definition in definitions {
                        let name = definition.name.as_str();
                        let value = match (self.options.build_args.get(name), &definition.value) {
                            (Some(value), _) => value.clone(),
                            (None, Some(word)) => self.expand(word, &env)?,
                            (None, None) => continue,
                        };
                        env.set(name, value);
                    }
                }
                Command::Add(_) if source.is_some() => return Err(fail(instruction.span, only_one)),
                Command::Add(add) => {
                    source = match self.fetched(add, &env)? {
                        Ok(output) => Some(output),
                        Err(why) => return Err(fail(instruction.span, why)),
                    }
                }
                _ => {
                    let keyword = instruction.keyword.text.to_uppercase();
                    let why = format!("does not meet source-only requirements: unsupported {keyword} instruction");
                    return Err(fail(instruction.span, &why));
                }
            }
        }
        source.ok_or_else(|| fail(stage.instruction.span, only_one))
    }

    /// What an ADD fetches, or why that is no remote source.
    fn fetched(&self, add: &Add, env: &Variables) -> Result<Result<Output, &'static str>, LowerError> {
        let [source] = &add.transfer.sources[..] else {
            return Ok(Err("must contain exactly one remote ADD source"));
        };
        if !add.transfer.contents.is_empty() {
            return Ok(Err("must contain exactly one remote ADD source"));
        }
        let text = self.expand(source, env)?;
        let checksum = add.checksum.as_ref().map(|word| self.expand(word, env)).transpose()?.unwrap_or_default();
        let found = remote(&text, true, add.keep_git_dir, &checksum);
        let on = Constraints::on(&self.options.build_platform);
        Ok(match found.map_err(|(fault, help)| LowerError::new(source.span, fault).help(help))? {
            Some(Remote::Git(git, checksum)) => Ok(git.source(false, checksum).output(&on)),
            Some(Remote::Http(http)) => Ok(http.output(&on)),
            None => Err("source must be a single HTTP(S) or Git ADD"),
        })
    }

    fn expand(&self, word: &Word, env: &Variables) -> Result<String, LowerError> {
        let expansion = Expander::new(self.file.escape).expand(&word.text, env);
        expansion.map(|e| e.text).map_err(|error| LowerError::expand(word, error))
    }
}

/// The one source of a graph; of several, none.
fn only_source(output: Option<&Output>) -> Option<pb::SourceOp> {
    let graph = Definition::of(output).graph().ok()?;
    let mut sources = graph.nodes.into_iter().filter_map(|node| match node.op.op {
        Some(pb::op::Op::Source(source)) => Some(source),
        _ => None,
    });
    sources.next().filter(|_| sources.next().is_none())
}
