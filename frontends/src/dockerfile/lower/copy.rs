//! COPY and ADD (BuildKit `dockerfile2llb/convert_copy.go`).

use std::sync::LazyLock;

use regex::Regex;
use routerpack_graph::file::{Action, CopyOptions, FileOp, Owner as FileOwner, Place};
use routerpack_graph::merge::merge;
use routerpack_graph::source::Http;
use routerpack_graph::{Constraints, Digest, Output, pb};

use super::super::ast::Word;
use super::super::expand::{Expander, Quotes};
use super::super::instruction::{Add, Copy, Transfer};
use super::super::lint::instruction as rules;
use super::super::span::Span;
use super::error::{Fault, LowerError};
use super::git::{GitReference, percent_decoded};
use super::pass::{Current, Walk};
use super::path;
use super::plan::Step;
use super::run::inline;
use super::state::{Owner, State};

/// chmod's symbolic modes: `u=rwX,go=rX`, `+x`, `g=u`.
static SYMBOLIC: LazyLock<Regex> = LazyLock::new(|| {
    let clause = "[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+";
    Regex::new(&format!("^{clause}(?:,{clause})*$")).expect("a constant pattern")
});

/// COPY or ADD with everything expanded.
struct Expanded {
    keyword: &'static str,
    sources: Vec<String>,
    /// Names and contents of heredocs.
    documents: Vec<(String, String)>,
    destination: String,
    chown: String,
    chmod: String,
    exclude: Vec<String>,
    link: bool,
    parents: bool,
    /// ADD: `--keep-git-dir`, `--checksum`, `--unpack`.
    keep_git_dir: Option<bool>,
    checksum: String,
    checksum_span: Option<Span>,
    unpack: Option<bool>,
}

/// Where local sources come from.
struct From {
    output: Option<Output>,
    owner: Owner,
    /// The main context, which has an ignore file.
    ignores: bool,
}

impl Walk<'_> {
    pub(super) fn copy(
        &mut self,
        state: &mut State,
        current: &mut Current,
        step: &Step,
        copy: &Copy,
    ) -> Result<(), LowerError> {
        let from = match (step.sources.first().copied().flatten(), &copy.from) {
            (Some(index), Some(written)) => match self.done.get(&index) {
                Some(done) => From { output: done.root.clone(), owner: self.pass.owner(index), ignores: false },
                None => {
                    let fault = Fault::CopyFromLater { from: written.text.clone(), stage: current.label.clone() };
                    return Err(LowerError::new(step.source_span(index), fault).help("move that stage before this one"));
                }
            },
            _ => self.main(),
        };
        let mut expanded = self.transfer(state, step, &copy.transfer, "COPY")?;
        expanded.parents = copy.parents;
        self.put(state, current, (step, &copy.transfer), expanded, from)
    }

    pub(super) fn add(
        &mut self,
        state: &mut State,
        current: &mut Current,
        step: &Step,
        add: &Add,
    ) -> Result<(), LowerError> {
        let mut expanded = self.transfer(state, step, &add.transfer, "ADD")?;
        expanded.keep_git_dir = add.keep_git_dir;
        expanded.unpack = add.unpack;
        if let Some(checksum) = &add.checksum {
            expanded.checksum = self.expand(state, step, checksum)?;
            let at = step.within(checksum.span);
            expanded.checksum_span = Some(at);
            check_checksum(&expanded).map_err(|(fault, help)| LowerError::new(at, fault).help(help))?;
        }
        let from = self.main();
        self.put(state, current, (step, &add.transfer), expanded, from)
    }

    /// The main context.
    fn main(&self) -> From {
        From { output: self.context.clone(), owner: Owner::Main, ignores: true }
    }

    fn transfer(
        &self,
        state: &State,
        step: &Step,
        transfer: &Transfer,
        keyword: &'static str,
    ) -> Result<Expanded, LowerError> {
        let expand = |word: &Word| self.expand(state, step, word);
        let all = |words: &[Word]| words.iter().map(expand).collect::<Result<Vec<_>, _>>();
        let optional = |word: &Option<Word>| word.as_ref().map(expand).transpose().map(Option::unwrap_or_default);
        // Documents keep their quotes, and escape with a backslash whatever the file does.
        let raw = Expander { quotes: Quotes::Ignore, ..Expander::new('\\') };
        let documents = transfer.contents.iter().map(|heredoc| {
            let content = heredoc.chomped();
            let content = match heredoc.expand {
                false => content,
                true => self.expand_by(raw, state, step, &Word::new(&content, heredoc.span))?.text,
            };
            Ok((heredoc.name.clone(), content))
        });
        Ok(Expanded {
            keyword,
            sources: all(&transfer.sources)?,
            documents: documents.collect::<Result<_, _>>()?,
            destination: expand(&transfer.destination)?,
            chown: optional(&transfer.chown)?,
            chmod: optional(&transfer.chmod)?,
            exclude: all(&transfer.exclude)?,
            link: transfer.link,
            parents: false,
            keep_git_dir: None,
            checksum: String::new(),
            checksum_span: None,
            unpack: None,
        })
    }

    fn put(
        &mut self,
        state: &mut State,
        current: &mut Current,
        (step, transfer): (&Step, &Transfer),
        copy: Expanded,
        from: From,
    ) -> Result<(), LowerError> {
        let destination = path::destination(&state.dir, &copy.destination);
        let mut common = CopyOptions {
            owner: (!copy.chown.is_empty()).then(|| FileOwner::parse(&copy.chown)),
            create_dest_path: true,
            timestamp: self.pass.timestamp(),
            exclude: copy.exclude.clone(),
            ..CopyOptions::default()
        };
        if !copy.chmod.is_empty() {
            (common.mode, common.mode_str) = chmod(&copy.chmod).map_err(|fault| {
                let at = transfer.chmod.as_ref().map_or(step.span, |word| step.within(word.span));
                LowerError::new(at, fault).help("write octal digits such as 0755, or clauses such as u=rwX,go=rX")
            })?;
        }

        let text = self.display(step, &step.instruction.original, &state.env, false)?;
        let title = current.titles.next(&text, step.onbuild, &state.platform, &state.env);
        let mut actions = Vec::new();
        let mut act = |from: Option<Output>, src: String, options: CopyOptions| {
            let dest = destination.clone();
            actions.push(Action::Copy { from: Place::Input(from), src, dest, options: Box::new(options) });
        };
        for (source, word) in copy.sources.iter().zip(&transfer.sources) {
            let fail = |(fault, help): (Fault, String)| {
                let of_checksum = matches!(fault, Fault::Checksum { .. } | Fault::ChecksumMismatch(..));
                let at = copy.checksum_span.filter(|_| of_checksum).unwrap_or_else(|| step.within(word.span));
                LowerError::new(at, fault).help(help)
            };
            let named = Constraints::default().named(&title).located(self.pass.location(&step.lines));
            match remote(source, copy.keyword == "ADD", copy.keep_git_dir, &copy.checksum).map_err(fail)? {
                Some(Remote::Git(git, checksum)) => {
                    let git = git.source(copy.keep_git_dir.or(git.keep_git_dir).unwrap_or(false), checksum);
                    act(Some(git.output(&named)), "/".into(), common.clone());
                }
                Some(Remote::Http(http)) => {
                    let name = format!("/{}", http.filename.clone().unwrap_or_default());
                    let options = CopyOptions { unpack: copy.unpack.unwrap_or(false), ..common.clone() };
                    act(Some(http.output(&named)), name, options);
                }
                None => {
                    if from.ignores && self.pass.resolver.is_ignored(&path::clean(source)) {
                        let verb = if copy.keyword == "ADD" { "Add" } else { "Copy" };
                        self.lint(step, word.span, |lint, place| {
                            rules::ignored(lint, place, verb, &path::clean(source))
                        });
                    }
                    self.used.add(from.owner, source);
                    let (src, include, required) = match copy.parents {
                        true => with_parents(source),
                        false => (path::absolute("/", source), Vec::new(), Vec::new()),
                    };
                    let options = CopyOptions {
                        follow_symlink: true,
                        dir_copy_contents: true,
                        allow_wildcard: true,
                        allow_empty_wildcard: true,
                        unpack: copy.unpack.unwrap_or(copy.keyword == "ADD"),
                        include,
                        required,
                        ..common.clone()
                    };
                    act(from.output.clone(), src, options);
                }
            }
        }
        for (name, content) in &copy.documents {
            let path = path::absolute("/", name);
            let file = Action::Mkfile {
                path: path.clone(),
                mode: 0o644,
                data: content.clone().into_bytes(),
                owner: None,
                timestamp: None,
            };
            act(Some(inline(FileOp::on(None).then(file), step)?), path, common.clone());
        }

        let constraints = self.constraints(state, current, step, &title);
        let op = |base| actions.iter().fold(FileOp::on(base), |op, action| op.then(action.clone()));
        let fail = |error: routerpack_graph::file::InvalidFileOp| LowerError::new(step.span, error.into());
        state.root = if copy.link && copy.chmod.is_empty() {
            // Both ops are one step to the user; the id only has to differ from step to step.
            let id = Digest::of(format!("{}/{title}", self.pass.plan.stages[current.index].span.start).as_bytes());
            let group = |weak| Some(pb::ProgressGroup { id: id.to_string(), name: title.clone(), weak });
            let copied = Constraints { progress_group: group(true), ..constraints.clone() };
            let copied = op(None).output(&copied).map_err(fail)?;
            let linked = current.titles.again(&format!("LINK {text}"), step.onbuild, &state.platform, &state.env);
            let linked = Constraints { progress_group: group(false), ..constraints.named(linked) };
            merge([state.root.take(), Some(copied)], &linked)
        } else {
            Some(op(state.root.take()).output(&constraints).map_err(fail)?)
        };
        state.commit(history(&copy), true);
        Ok(())
    }
}

/// A source that is fetched.
pub(super) enum Remote {
    Git(GitReference, Option<String>),
    Http(Http),
}

/// `None`: the source is a path. Faults come with what to do.
pub(super) fn remote(
    source: &str,
    is_add: bool,
    keep_git_dir: Option<bool>,
    checksum: &str,
) -> Result<Option<Remote>, (Fault, String)> {
    if let Some(parsed) = GitReference::parse(source, keep_git_dir.is_some()) {
        let git = parsed.map_err(|reason| {
            let help = "write REPOSITORY[#REF[:DIRECTORY]], or the query ?ref=…&subdir=…&checksum=…";
            (Fault::Git { written: source.into(), reason }, help.into())
        })?;
        if !is_add {
            return Err((Fault::RemoteCopy("git ref"), "use ADD".into()));
        }
        if let (Some(flag), Some(query)) = (keep_git_dir, git.keep_git_dir)
            && flag != query
        {
            return Err((Fault::KeepGitDir, "say it once: with --keep-git-dir, or in the query".into()));
        }
        if !checksum.is_empty() && !git.checksum.is_empty() && checksum != git.checksum {
            let help = "say it once: with --checksum, or in the query".into();
            return Err((Fault::ChecksumMismatch(checksum.into(), git.checksum), help));
        }
        let checksum = [git.checksum.as_str(), checksum].into_iter().find(|sum| !sum.is_empty()).map(str::to_string);
        return Ok(Some(Remote::Git(git, checksum)));
    }
    if !is_url(source) {
        return Ok(None);
    }
    if !is_add {
        return Err((Fault::RemoteCopy("URL"), "use ADD".into()));
    }
    let checksum = match checksum {
        "" => None,
        written => Some(Digest::parse(written).map_err(|source| {
            (Fault::Checksum { written: written.into(), source }, "write sha256: and 64 hex digits".to_string())
        })?),
    };
    // The name that the file has below the destination: the last part of the URL's path, decoded.
    let rest = source.split_once("://").map_or(source, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let path = percent_decoded(rest.split_once('/').map_or("", |(_, path)| path)).unwrap_or_default();
    let name = match path::base(&path) {
        "" | "." | "/" | ".." => "__unnamed__",
        name => name,
    };
    Ok(Some(Remote::Http(Http { checksum, filename: Some(name.into()), ..Http::new(source) })))
}

fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

fn check_checksum(copy: &Expanded) -> Result<(), (Fault, &'static str)> {
    if copy.checksum.is_empty() {
        return Ok(());
    }
    match &copy.sources[..] {
        [source] if is_url(source) || GitReference::parse(source, copy.keep_git_dir.is_some()).is_some() => Ok(()),
        [_] => Err((Fault::ChecksumOfLocal, "remove --checksum: files of the context need none")),
        _ => Err((Fault::ChecksumFor("multiple sources"), "write one ADD for each source")),
    }
}

/// The octal mode, or the symbolic one.
fn chmod(written: &str) -> Result<(Option<u32>, String), Fault> {
    let octal = written.bytes().all(|b| (b'0'..=b'7').contains(&b));
    match u32::from_str_radix(written, 8) {
        Ok(mode) if octal && mode <= 0o7777 => Ok((Some(mode), String::new())),
        _ if SYMBOLIC.is_match(written) => Ok((None, written.to_string())),
        _ => Err(Fault::Chmod(written.into())),
    }
}

/// `--parents`: what stands behind `/./` is kept as a path below the destination. Source, include
/// patterns, and the paths that must exist (those without wildcards).
fn with_parents(source: &str) -> (String, Vec<String>, Vec<String>) {
    let (base, pattern) = source.split_once("/./").unwrap_or(("/", source));
    let pattern = path::absolute("/", pattern);
    let literal = !has_wildcards(base) && !has_wildcards(&pattern);
    let required = literal.then(|| path::absolute("/", &format!("{base}/{pattern}")));
    (path::absolute("/", base), vec![pattern.trim_start_matches('/').to_string()], required.into_iter().collect())
}

fn has_wildcards(path: &str) -> bool {
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'*' | b'?' | b'[' => return true,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    false
}

fn history(copy: &Expanded) -> String {
    let mut text = copy.keyword.to_string();
    if copy.parents {
        text.push_str(" --parents");
    }
    for (flag, value) in [("chown", &copy.chown), ("chmod", &copy.chmod)] {
        if !value.is_empty() {
            text.push_str(&format!(" --{flag}={value}"));
        }
    }
    for source in &copy.sources {
        text.push_str(&format!(" {source}"));
    }
    for (name, _) in &copy.documents {
        text.push_str(&format!(" <<{name}"));
    }
    format!("{text} {} # buildkit", copy.destination)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        for (written, mode) in [("755", 0o755), ("0644", 0o644), ("7777", 0o7777), ("0", 0)] {
            assert_eq!(chmod(written).unwrap(), (Some(mode), String::new()));
        }
        for written in ["u=rwX,go=rX", "+x", "g=u", "a-w+x", "u+s,+t", "="] {
            assert_eq!(chmod(written).unwrap(), (None, written.to_string()));
        }
        for written in ["10000", "888", "-1", "u", "x", "u=rw go=r", "u=q", "+5", "u=rw,"] {
            assert!(chmod(written).is_err(), "{written}");
        }
    }

    #[test]
    fn parents_are_kept_behind_the_pivot() {
        let words = |w: &[&str]| w.iter().map(|w| w.to_string()).collect::<Vec<_>>();
        for (source, base, pattern, required) in [
            ("a/b/c", "/", "a/b/c", vec!["/a/b/c"]),
            ("a/./b/c", "/a", "b/c", vec!["/a/b/c"]),
            ("a/./*/c", "/a", "*/c", vec![]),
            ("./x/**/y", "/", "x/**/y", vec![]),
        ] {
            assert_eq!(with_parents(source), (base.into(), words(&[pattern]), words(&required)), "{source}");
        }
    }
}
