//! From a failed build to a notice: which words of the Dockerfile are to blame, and what would be right in their place.

use std::ops::Range;

use routerpack_builder::{Cause, Error, Local, Withheld};
use routerpack_files::{self as files, near, pattern::Matcher};
use routerpack_frontends::dockerfile::{
    Dockerfile, Instruction, Span,
    ast::Word,
    ignorefile,
    instruction::{Command, Transfer},
};
use routerpack_graph::Definition;
use routerpack_rootfs::{
    Index,
    scan::{self, ScanOptions, Verdict},
};

use crate::{
    context::Source,
    notice::{self, Kind, Notice, Spot},
    progress::printable,
};

/// A command is shown as far as this many characters; the excerpt has all of it.
const MAX_COMMAND: usize = 80;

/// What was built.
pub struct Scene<'a> {
    /// The Dockerfile.
    pub source: &'a Source,
    /// Its graph.
    pub definition: &'a Definition,
    /// The ignore file of the main context, if there is one.
    pub ignore: Option<&'a Source>,
    /// The main context, if it is a directory.
    pub context: Option<&'a Local>,
}

impl Scene<'_> {
    /// What is to be said of a failure.
    pub fn notice(&self, error: &Error) -> Notice {
        let Some(lines) = error.vertex.as_ref().and_then(|vertex| self.lines(vertex.digest.as_str())) else {
            return placeless(error);
        };
        let mut notice = of_cause(&error.cause);
        let file = Dockerfile::parse(&self.source.text).ok();
        let at = |instruction: &&Instruction| instruction.lines.start == lines.start;
        let instruction = file.as_ref().and_then(|file| file.instructions().find(at));
        let span = match instruction {
            Some(instruction) => {
                self.name_the_missing(&error.cause, instruction, &mut notice);
                self.span(&error.cause, instruction, &notice)
            }
            None => self.whole(lines),
        };
        notice.spot = Some(Spot::new(self.source, span));
        notice
    }

    /// The lines that a vertex comes from.
    fn lines(&self, digest: &str) -> Option<Lines> {
        let location = self.definition.source.as_ref()?.locations.get(digest)?.locations.first()?;
        let line = |at: &Option<_>| at.as_ref().map(|p: &routerpack_graph::pb::Position| p.line as usize);
        let start = location.ranges.iter().filter_map(|range| line(&range.start)).min()?;
        let end = location.ranges.iter().filter_map(|range| line(&range.end)).max()?;
        Some(Lines { start, end })
    }

    /// Whole lines.
    fn whole(&self, lines: Lines) -> Span {
        let [first, last] = [lines.start, lines.end].map(|number| Spot::line(self.source, number).range);
        Span::new(first.start, last.end)
    }

    /// The words of an instruction that are to blame.
    fn span(&self, cause: &Cause, instruction: &Instruction, notice: &Notice) -> Span {
        let all = instruction.span;
        match (cause, &instruction.command) {
            (_, Command::From(from)) => from.image.span,
            (Cause::File(error), Command::Copy(copy)) => transferred(error, &copy.transfer).unwrap_or(all),
            (Cause::File(error), Command::Add(add)) => transferred(error, &add.transfer).unwrap_or(all),
            (Cause::Source(_), Command::Add(add)) => match &add.transfer.sources[..] {
                [source] => source.span,
                _ => all,
            },
            (Cause::File(_), Command::Workdir(path)) => path.span,
            (Cause::Withheld(lack), Command::Run(_)) => asking(lack, &instruction.flags).unwrap_or(all),
            (Cause::Step { how, .. }, Command::Run(_)) => {
                let end = instruction.heredocs.last().map_or(all.end, |heredoc| heredoc.span.end);
                let text = &self.source.text[all.start..end];
                let missing = (how == "exit code 127").then(|| not_found(&notice.output)).flatten();
                let word = missing.and_then(|name| whole_word(text, name));
                word.map_or(all, |word| Span::new(all.start + word.start, all.start + word.end))
            }
            _ => all,
        }
    }

    /// What a COPY may have meant by a source that isn't there, or why it isn't.
    fn name_the_missing(&self, cause: &Cause, instruction: &Instruction, notice: &mut Notice) {
        let Cause::File(error) = cause else { return };
        let (Some(action), files::Error::NoSuchSource { pattern, near }) = error.cause() else { return };
        let (transfer, is_main) = match &instruction.command {
            Command::Copy(copy) => (&copy.transfer, copy.from.is_none()),
            Command::Add(add) => (&add.transfer, true),
            _ => return,
        };
        let Some(word) = transfer.sources.get(action) else { return };
        let path = pattern.trim_start_matches('/');
        let there = self.context.filter(|_| is_main).map(|context| look(context, path));
        let near = match there {
            Some(Look::Missing(ref found)) if !found.is_empty() => found,
            _ => near,
        };
        let may_be_there = is_main && !matches!(there, Some(Look::Missing(_)));
        if let Some((pattern, spot)) = self.ignore.filter(|_| may_be_there).and_then(|ignore| ignored(ignore, path)) {
            notice.reason =
                vec![format!("the pattern `{pattern}` of the ignore file leaves it out of the build context")];
            notice.help = vec![format!("take that line out, or add `!{path}` behind it")];
            notice.related = vec![("excluded here".into(), spot)];
        } else if there == Some(Look::There) {
            notice.reason = vec!["it is the build's own output or cache, which is never part of the context".into()];
        } else if let Some(best) = near.first() {
            notice.help = vec![format!("did you mean {}?", near.join(" or "))];
            let bare = word.text.trim_start_matches("./").trim_start_matches('/');
            let prefix = &word.text[..word.text.len() - bare.len()];
            notice.replacement = (bare == path).then(|| format!("{prefix}{best}"));
        } else if let Some(context) = self.context.filter(|_| is_main) {
            notice.help = vec![format!("sources are looked for in the build context, {}", context.dir.display())];
        } else {
            notice.help = vec!["a step before this one has to make it".into()];
        }
    }
}

/// What is to be said of a failure that no line of a Dockerfile is to blame for.
pub fn placeless(error: &Error) -> Notice {
    let notice = of_cause(&error.cause);
    let name = error.vertex.as_ref().map(|vertex| format!("{}: ", vertex.name)).unwrap_or_default();
    Notice { message: format!("{name}{}", notice.message), ..notice }
}

fn of_cause(cause: &Cause) -> Notice {
    match cause {
        Cause::Step { command, how, hint, tail } => {
            let mut shown: String = command.lines().next().unwrap_or_default().chars().take(MAX_COMMAND).collect();
            if shown.len() < command.len() {
                shown.push('…');
            }
            let mut notice = Notice::error(notice::STEP, format!("`{shown}` ended with {how}"));
            notice.help.extend(hint.iter().flat_map(|hint| hint.lines().map(|line| line.trim().to_string())));
            notice.output = tail.iter().map(|line| printable(line.as_bytes())).collect();
            notice
        }
        Cause::File(error) => match error.cause().1 {
            files::Error::NoSuchSource { pattern, near } => {
                let message = format!("`{}` is not there to be copied", pattern.trim_start_matches('/'));
                let help = near.iter().map(|near| format!("did you mean {near}?")).take(1).collect();
                Notice { help, ..Notice::error(notice::COPY, message) }
            }
            other => with_help(notice::COPY, &other.to_string()),
        },
        Cause::Withheld(lack) => {
            Notice { help: vec![lack.help()], ..Notice::error(notice::WITHHELD, lack.to_string()) }
        }
        Cause::Source(error) => Notice::from_text(notice::SOURCE, &error.to_string()),
        other => Notice::from_text(notice::BUILD, &other.to_string()),
    }
}

/// Lines from 1, both ends included.
#[derive(Clone, Copy)]
struct Lines {
    start: usize,
    end: usize,
}

/// What is at a path of a context's directory, whatever the ignore file says.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    There,
    /// Paths that may have been meant.
    Missing(Vec<String>),
}

/// Looks for a path, component by component, and for names near to the first one that isn't there.
fn look(context: &Local, path: &str) -> Look {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    for known in 0..parts.len() {
        let (dir, prefix) = (parts[..known].join("/"), parts[..=known].join("/"));
        let Some(index) = listing(context, dir.as_bytes()) else { return Look::Missing(Vec::new()) };
        if index.get(prefix.as_bytes()).is_none() {
            let rest: String = parts[known + 1..].iter().map(|part| format!("/{part}")).collect();
            let near = near::similar(&index, prefix.as_bytes());
            return Look::Missing(near.into_iter().map(|name| format!("{name}{rest}")).collect());
        }
    }
    Look::There
}

/// What a directory of a context holds. Links are not followed.
fn listing(context: &Local, dir: &[u8]) -> Option<Index> {
    let parent = |path: &[u8]| path.iter().rposition(|b| *b == b'/').map_or(0, |at| at);
    let leads_to = |path: &[u8]| dir == path || dir.strip_prefix(path).is_some_and(|rest| rest.starts_with(b"/"));
    let filter = |path: &[u8], is_dir: bool| match () {
        () if is_dir && leads_to(path) => Verdict::Keep,
        () if &path[..parent(path)] == dir => Verdict::Keep,
        () => Verdict::Skip,
    };
    scan::scan(&context.dir, ScanOptions { filter: Some(&filter), ..ScanOptions::default() }).ok()
}

/// The pattern that leaves a path out, and where it stands: the last one that has a say, unless that brings it back.
fn ignored(ignore: &Source, path: &str) -> Option<(String, Spot)> {
    let lines = ignorefile::lines(&ignore.text).ok()?;
    let (line, pattern) = lines.into_iter().rfind(|(_, pattern)| {
        let positive = pattern.trim_start_matches('!').to_string();
        Matcher::new(&[positive]).is_ok_and(|matcher| {
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            ends.into_iter().any(|end| matcher.matches(&path.as_bytes()[..end]))
        })
    })?;
    (!pattern.starts_with('!')).then(|| (pattern, Spot::line(ignore, line)))
}

/// The word of a COPY or ADD that a failure is about.
fn transferred(error: &files::Error, transfer: &Transfer) -> Option<Span> {
    use files::Error::*;
    let (action, cause) = error.cause();
    let source = || transfer.sources.get(action?).map(|word| word.span);
    let optional = |word: &Option<Word>| word.as_ref().map(|word| word.span);
    match cause {
        NoSuchSource { .. } | Archive { .. } | BadPattern(_) => source(),
        BadMode(_) => optional(&transfer.chmod),
        UnknownOwner { .. } | NoUsers(_) => optional(&transfer.chown),
        NotFound { .. } | NotADirectory { .. } | IsADirectory { .. } | Exists { .. } | Merge(_) => {
            Some(transfer.destination.span)
        }
        _ => None,
    }
}

/// The flag that asks for what is lacking.
fn asking(lack: &Withheld, flags: &[Word]) -> Option<Span> {
    let find = |begin: &str, all: &[&str]| {
        let fits = |flag: &&Word| flag.text.starts_with(begin) && all.iter().all(|part| flag.text.contains(part));
        flags.iter().find(fits).map(|flag| flag.span)
    };
    match lack {
        Withheld::Secret(id) => find("--mount=", &["type=secret", id]).or_else(|| find("--mount=", &["type=secret"])),
        Withheld::Agent(id) => find("--mount=", &["type=ssh", id]).or_else(|| find("--mount=", &["type=ssh"])),
        Withheld::HostNetwork => find("--network=", &[]),
        Withheld::Insecure => find("--security=", &[]),
    }
}

/// The program that a shell did not find, out of its message: `sh: 1: name: not found`, `bash: name: command not found`.
fn not_found(output: &[String]) -> Option<&str> {
    output.iter().rev().find_map(|line| {
        let (rest, said) = line.trim_end().rsplit_once(": ")?;
        let name = rest.rsplit(": ").next().filter(|_| matches!(said, "not found" | "command not found"))?;
        (!name.is_empty() && !name.contains(char::is_whitespace)).then_some(name)
    })
}

fn whole_word(text: &str, word: &str) -> Option<Range<usize>> {
    let part_of_word = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    text.match_indices(word)
        .map(|(at, _)| at..at + word.len())
        .find(|found| !text[..found.start].ends_with(part_of_word) && !text[found.end..].starts_with(part_of_word))
}

/// A message that ends with what to do in parentheses.
fn with_help(kind: Kind, text: &str) -> Notice {
    match text.strip_suffix(')').and_then(|text| text.rsplit_once(" (")) {
        Some((message, help)) => Notice { help: vec![help.into()], ..Notice::error(kind, message) },
        None => Notice::from_text(kind, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_has_a_say_decides() {
        let text = "# no\r\n*.log\r\n!keep.log\r\n\r\ndir\r\n!dir/back\r\n";
        let source = Source { file: ".dockerignore".into(), text: text.into(), origin: None };
        for (path, expected) in [
            ("a.log", Some("*.log")),
            ("keep.log", None),
            ("dir/a/b", Some("dir")),
            ("dir/back", None),
            ("dir/back/a", None),
            ("other", None),
        ] {
            let found = ignored(&source, path);
            let marked = found.as_ref().map(|(_, spot)| &spot.text[spot.range.clone()]);
            assert_eq!(marked, expected, "{path}");
        }
    }

    #[test]
    fn names_near_to_a_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("conf/sub")).unwrap();
        for name in ["Main.go", "conf/app.conf", "conf/sub/app.cnf"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let local = Local { dir: dir.path().to_path_buf(), ..Local::default() };
        let missing = |names: &[&str]| Look::Missing(names.iter().map(|name| name.to_string()).collect());
        for (path, expected) in [
            ("conf/app.conf", Look::There),
            ("conf", Look::There),
            ("main.go", missing(&["Main.go"])),
            ("conf/app.cnf", missing(&["conf/app.conf"])),
            ("cnof/app.conf", missing(&["conf/app.conf"])),
            ("nothing/like", missing(&[])),
        ] {
            assert_eq!(look(&local, path), expected, "{path}");
        }
    }

    #[test]
    fn programs_that_a_shell_misses() {
        for (line, name, text, found) in [
            ("/bin/sh: 1: mkae: not found", "mkae", "RUN cmkae && mkae -j", 13..17),
            ("bash: line 1: x: command not found", "x", "RUN x", 4..5),
        ] {
            assert_eq!(not_found(&["a".into(), line.into()]), Some(name));
            assert_eq!(whole_word(text, name), Some(found));
        }
        assert_eq!(not_found(&["error: it was not found".into()]), None);
    }
}
