//! What the image starts: there, executable, spelled so that a router can start it.

use routerpack_graph::ImageConfig;
use routerpack_rootfs::{Entry, Kind, ResolveError, Tree, path};

use super::{
    Subject, programs,
    report::Findings,
    shell::{self, Step},
};
use crate::{profile::Version, rules::Severity};

/// Where commands are looked for when the image sets no PATH (Docker's default).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Scripts that start scripts (Linux follows four).
const MAX_SCRIPTS: usize = 4;
/// Routers that may ignore the image's own command.
const SPELLED: Version = Version { major: 7, minor: 22, patch: 0 };

/// What starts the container.
pub(super) struct Start {
    /// The command's file, then its interpreter if it is a script, and so on; the same for the programs that a
    /// wrapper or a shell is told to run. Clean paths.
    pub files: Vec<Vec<u8>>,
    /// Scripts that a shell is told to read. Clean paths.
    pub scripts: Vec<Vec<u8>>,
}

/// Judges the config's command, user, and what the recipe has to know. What is started, where it is found.
pub(super) fn check(subject: &Subject, findings: &mut Findings) -> Option<Start> {
    let config = &subject.config.config;
    user(subject, findings);
    if config.healthcheck.is_some() {
        findings.add("healthcheck", "", "the image has a HEALTHCHECK");
    }
    if !config.volumes.is_empty() || !config.exposed_ports.is_empty() {
        let named: Vec<String> = config.volumes.keys().map(|v| format!("VOLUME {v}")).collect();
        let ports = config.exposed_ports.keys().map(|p| format!("EXPOSE {p}"));
        let all: Vec<String> = named.into_iter().chain(ports).take(12).map(|t| shown(t.as_bytes())).collect();
        findings.add("volumes-ports", "", format!("to be set up on the router: {}", all.join(", ")));
    }
    let words: Vec<&String> = config.entrypoint.iter().chain(&config.cmd).collect();
    let Some(first) = words.first() else {
        findings.add("no-command", "", "the image has neither ENTRYPOINT nor CMD");
        return None;
    };
    let awkward = |w: &&&String| w.is_empty() || w.chars().any(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '\\'));
    if let Some(word) = words.iter().find(awkward)
        && findings.profile().reaches(SPELLED)
    {
        findings.add(
            "command-words",
            "",
            format!("the command's word `{}` can't be spelled in entrypoint= or cmd=", shown(word.as_bytes())),
        );
    }
    let search = search(subject.config);
    let mut start = Start { files: Vec::new(), scripts: Vec::new() };
    let first = Step { name: first.as_bytes().to_vec(), is_script: false, is_first: true };
    if !take(subject, search, "the command", &first, &mut start, findings) {
        return None;
    }
    let words: Vec<&[u8]> = words.iter().map(|w| w.as_bytes()).collect();
    for step in shell::steps(&words) {
        let what = if step.is_script { "the script" } else { "the command's program" };
        take(subject, search, what, &step, &mut start, findings);
    }
    Some(start)
}

/// Looks one step of the command up; whether it is there.
fn take(subject: &Subject, search: &str, what: &str, step: &Step, start: &mut Start, findings: &mut Findings) -> bool {
    let (tree, cwd) = (subject.tree, &subject.config.config.working_dir);
    let located = match step.is_script {
        true => script(tree, &step.name, search, cwd),
        false => locate(tree, &step.name, search, cwd),
    };
    let why = match located {
        Located::Found(entry) if step.is_script => {
            start.scripts.push(entry.path.to_vec());
            return true;
        }
        Located::Found(entry) => {
            let chain = follow(tree, entry, search);
            if let Some((script, name)) = chain.missing {
                let place = format!("/{}", path::show(&script));
                findings.add("shebang", place, format!("the script's interpreter {name} is not in the image"));
            }
            start.files.extend(chain.files);
            return true;
        }
        Located::Missing if step.name.contains(&b'/') || step.is_script => "is not in the image",
        Located::Missing => "is in no directory of PATH",
        Located::Unfit(why) => why,
    };
    let is_mounted = |volume: &String| step.name.starts_with(format!("{}/", volume.trim_end_matches('/')).as_bytes());
    let limit = match step.is_first && !subject.config.config.volumes.keys().any(is_mounted) {
        true => Severity::Error,
        false => Severity::Warning, // what runs before it, or is mounted, may bring it
    };
    findings.at_most(limit, "command-missing", "", format!("{what} `{}` {why}", shown(&step.name)));
    false
}

/// What a shell reads as a script: from its directory, else from PATH; no x bit is needed.
fn script<'a>(tree: &'a Tree, name: &[u8], search: &str, cwd: &str) -> Located<'a> {
    let asked = if name.starts_with(b"/") { name.to_vec() } else { [cwd.as_bytes(), b"/", name].concat() };
    match tree.resolve(&asked, true).ok().and_then(|clean| tree.index.get(&clean)) {
        Some(e) if e.kind == Kind::File => Located::Found(e),
        Some(_) => Located::Unfit("is no regular file"),
        None if name.contains(&b'/') => Located::Missing,
        None => locate(tree, name, search, cwd),
    }
}

/// Where commands of an image are looked for: its PATH, or Docker's default.
pub(crate) fn search(config: &ImageConfig) -> &str {
    config.config.env.iter().find_map(|e| e.strip_prefix("PATH=")).unwrap_or(PATH)
}

/// What a command's name leads to.
pub(crate) enum Located<'a> {
    Found(&'a Entry),
    Missing,
    /// Why it can't be started.
    Unfit(&'static str),
}

/// The file that `execvp` would take.
pub(crate) fn locate<'a>(tree: &'a Tree, name: &[u8], search: &str, cwd: &str) -> Located<'a> {
    if name.contains(&b'/') {
        let absolute = if name.starts_with(b"/") { name.to_vec() } else { [cwd.as_bytes(), b"/", name].concat() };
        return executable(tree, &absolute);
    }
    let mut unfit = Located::Missing;
    for dir in search.split(':').take(256) {
        let dir = if dir.starts_with('/') { dir.to_string() } else { format!("{cwd}/{dir}") };
        match executable(tree, &[dir.as_bytes(), b"/", name].concat()) {
            Located::Found(entry) => return Located::Found(entry),
            Located::Missing => {}
            found => unfit = found,
        }
    }
    unfit
}

fn executable<'a>(tree: &'a Tree, asked: &[u8]) -> Located<'a> {
    let clean = match tree.resolve(asked, true) {
        Ok(clean) => clean,
        Err(ResolveError::Loop(_)) => return Located::Unfit("is a circle of symbolic links"),
        Err(_) => return Located::Missing,
    };
    match tree.index.get(&clean) {
        None => Located::Missing,
        Some(e) if e.kind == Kind::Dir => Located::Unfit("is a directory"),
        Some(e) if e.kind != Kind::File => Located::Unfit("is no regular file"),
        Some(e) if e.mode & 0o111 == 0 => Located::Unfit("can't be executed: no x bit is set (COPY --chmod=755)"),
        Some(e) => Located::Found(e),
    }
}

/// A program's files.
pub(crate) struct Chain {
    /// The file itself, then its interpreter if it is a script, and so on. Clean paths.
    pub files: Vec<Vec<u8>>,
    /// The script whose interpreter is not there, and that one's name for messages.
    pub missing: Option<(Vec<u8>, String)>,
}

/// From a script to its interpreter, as the kernel goes.
pub(crate) fn follow(tree: &Tree, entry: &Entry, search: &str) -> Chain {
    let mut chain = Chain { files: vec![entry.path.to_vec()], missing: None };
    let mut current = entry;
    for _ in 0..MAX_SCRIPTS {
        let Some(line) = programs::first_line(tree, current) else { break };
        match interpreter(tree, &line, search) {
            Interpreter::Found(next) => {
                chain.files.push(next.path.to_vec());
                current = next;
            }
            Interpreter::Missing(name) => {
                chain.missing = Some((current.path.to_vec(), name));
                break;
            }
        }
    }
    chain
}

pub(super) enum Interpreter<'a> {
    Found(&'a Entry),
    /// Its name for messages.
    Missing(String),
}

/// The program that a `#!` line names; behind `env` it is looked for in PATH.
pub(super) fn interpreter<'a>(tree: &'a Tree, line: &[u8], search: &str) -> Interpreter<'a> {
    // The kernel splits at blanks and tabs only: a carriage return is a part of the name.
    let mut words = line.split(|b| matches!(b, b' ' | b'\t')).filter(|w| !w.is_empty());
    let name = words.next().unwrap_or_default();
    let missing = |name: &[u8]| Interpreter::Missing(format!("`{}`", shown(name)));
    let Located::Found(found) = locate(tree, name, "", "/") else { return missing(name) };
    if name.rsplit(|b| *b == b'/').next() != Some(b"env") {
        return Interpreter::Found(found);
    }
    let program = words.find(|w| !w.starts_with(b"-") && !w.contains(&b'='));
    match program.map(|program| (program, locate(tree, program, search, "/"))) {
        None => Interpreter::Found(found),
        Some((_, Located::Found(entry))) => Interpreter::Found(entry),
        Some((program, _)) => missing(program),
    }
}

fn user(subject: &Subject, findings: &mut Findings) {
    let user = subject.config.config.user.trim();
    let (name, group) = user.split_once(':').unwrap_or((user, ""));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    for (name, file) in [(name, "etc/passwd"), (group, "etc/group")] {
        if name.is_empty() || is_number(name) {
            continue;
        }
        let known = lines(subject.tree, file).is_some_and(|text| {
            text.split(|b| *b == b'\n').any(|l| l.split(|b| *b == b':').next() == Some(name.as_bytes()))
        });
        let name = shown(name.as_bytes());
        match known {
            true if name == "root" => {}
            true => findings.add("user", "", format!("USER is the name `{name}`, not a number")),
            false => {
                findings.add("user", "", format!("USER is the name `{name}`, which /{file} of the image does not have"))
            }
        }
    }
    let is_root = matches!(name, "" | "root") || (is_number(name) && name.trim_start_matches('0').is_empty());
    if !is_root && !subject.config.config.volumes.is_empty() {
        findings.add("user", "", "USER is not root, but mounted directories are made as root's");
    }
}

fn lines(tree: &Tree, file: &str) -> Option<Vec<u8>> {
    let clean = tree.resolve(file.as_bytes(), true).ok()?;
    tree.read(tree.index.get(&clean)?, 1 << 20).ok()
}

/// Text of an image for a message.
pub(super) fn shown(text: &[u8]) -> String {
    path::show(text).chars().take(120).collect()
}

/// Scripts that are no start are only a hint.
pub(super) const ASIDE: Severity = Severity::Info;
