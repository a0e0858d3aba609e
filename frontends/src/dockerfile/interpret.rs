//! From statements to instructions (BuildKit: `frontend/dockerfile/instructions/parse.go`).

use std::collections::HashMap;
use std::sync::LazyLock;

use indexmap::IndexMap;
use regex::Regex;

use super::ast::{Heredoc, Instruction, Word};
use super::diagnostic::{Diagnostic, Severity};
use super::duration;
use super::expand::Expander;
use super::flags::{self, Flags, MAX_FINDINGS, Takes};
use super::heredoc;
use super::instruction::{
    Add, ArgDefinition, Command, CommandLine, Copy, Device, From, Healthcheck, KeyValue, Network, Onbuild, Run,
    Security, Transfer,
};
use super::mount::Mount;
use super::statement::{Arguments, KEYWORDS, Statement};

static STAGE_NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new("^[a-z][a-z0-9-_.]*$").expect("a constant pattern"));

/// Understands a statement. What is wrong with it goes to the diagnostics, all of it; then there is no
/// instruction.
pub(super) fn instruction(statement: Statement, diagnostics: &mut Vec<Diagnostic>) -> Option<Instruction> {
    let mut reader = Reader { statement: &statement, found: Vec::new() };
    let command = reader.command();
    let failed = reader.found.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    diagnostics.append(&mut reader.found);
    let command = command.filter(|_| !failed)?;
    Some(Instruction { statement, command })
}

/// The error for a keyword that is none.
pub(super) fn unknown(keyword: &Word) -> Diagnostic {
    let unknown = Diagnostic::error(keyword.span, format!("unknown instruction: {}", keyword.text));
    unknown.suggest(&keyword.text, KEYWORDS)
}

struct Reader<'s> {
    statement: &'s Statement,
    found: Vec<Diagnostic>,
}

impl<'s> Reader<'s> {
    fn command(&mut self) -> Option<Command> {
        let name = self.statement.name();
        Some(match name.as_str() {
            "ADD" => Command::Add(self.add()?),
            "ARG" => Command::Arg(self.arg()?),
            "CMD" => Command::Cmd(self.plain_command_line()),
            "COPY" => Command::Copy(self.copy()?),
            "ENTRYPOINT" => Command::Entrypoint(self.plain_command_line()),
            "ENV" => Command::Env(self.pairs()?),
            "EXPOSE" => {
                let mut ports = self.at_least_one()?;
                ports.sort_by(|a, b| a.text.cmp(&b.text));
                Command::Expose(ports)
            }
            "FROM" => Command::From(self.from()?),
            "HEALTHCHECK" => Command::Healthcheck(self.healthcheck()?),
            "LABEL" => Command::Label(self.pairs()?),
            "MAINTAINER" => Command::Maintainer(self.exactly_one()?),
            "ONBUILD" => Command::Onbuild(self.onbuild()?),
            "RUN" => Command::Run(self.run()),
            "SHELL" => Command::Shell(self.shell()?),
            "STOPSIGNAL" => {
                flags::ignored(self.statement, &mut self.found);
                Command::Stopsignal(self.one_word()?)
            }
            "USER" => Command::User(self.exactly_one()?),
            "VOLUME" => Command::Volume(self.volume()?),
            "WORKDIR" => Command::Workdir(self.exactly_one()?),
            _ => {
                self.report(unknown(&self.statement.keyword));
                return None;
            }
        })
    }

    fn words(&self) -> &'s [Word] {
        self.statement.arguments.words()
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        if self.found.len() < MAX_FINDINGS {
            self.found.push(diagnostic);
        }
    }

    fn error(&mut self, message: impl Into<String>, help: impl Into<String>) {
        self.report(Diagnostic::error(self.statement.span, message).help(help));
    }

    fn wrong_word(&mut self, word: &Word, message: impl Into<String>, help: impl Into<String>) {
        self.report(Diagnostic::error(word.span, message).help(help));
    }

    /// What an instruction is followed by, for one that is followed by nothing.
    fn usage(&self) -> String {
        let usage = match self.statement.name().as_str() {
            "ADD" | "COPY" => "SOURCE… DESTINATION",
            "ARG" => "NAME or ARG NAME=DEFAULT",
            "ENV" | "LABEL" => "NAME=VALUE",
            "EXPOSE" => "PORT, such as EXPOSE 8080 or EXPOSE 53/udp",
            "HEALTHCHECK" => "CMD COMMAND, or HEALTHCHECK NONE",
            "MAINTAINER" => "NAME",
            "ONBUILD" => "INSTRUCTION",
            "SHELL" => "[\"PROGRAM\", \"ARGUMENT\"]",
            "STOPSIGNAL" => "SIGNAL, such as STOPSIGNAL SIGTERM",
            "USER" => "NAME[:GROUP]",
            _ => "PATH",
        };
        format!("write {} {usage}", self.statement.name())
    }

    fn flags(&mut self, known: &[(&'static str, Takes)]) -> Flags {
        Flags::read(self.statement, known, &mut self.found)
    }

    fn at_least_one(&mut self) -> Option<Vec<Word>> {
        let words = self.words().to_vec();
        if words.is_empty() {
            self.error(format!("{} requires at least one argument", self.statement.name()), self.usage());
        }
        self.flags(&[]);
        Some(words).filter(|words| !words.is_empty())
    }

    fn one_word(&mut self) -> Option<Word> {
        let word = self.words().first().cloned();
        if word.is_none() {
            self.error(format!("{} requires exactly one argument", self.statement.name()), self.usage());
        }
        word
    }

    fn exactly_one(&mut self) -> Option<Word> {
        let word = self.one_word();
        self.flags(&[]);
        word
    }

    fn pairs(&mut self) -> Option<Vec<KeyValue>> {
        self.flags(&[]);
        let name = self.statement.name();
        let Arguments::Pairs(pairs) = &self.statement.arguments else { return None };
        if pairs.is_empty() {
            self.error(format!("{name} requires at least one argument"), self.usage());
            return None;
        }
        for pair in pairs.iter().filter(|pair| pair.key.text.is_empty()) {
            let blank = Diagnostic::error(pair.key.span.to(pair.value.span), format!("{name} names can not be blank"));
            self.report(blank.help("write a name before the `=`, without blanks around it"));
        }
        Some(pairs.clone())
    }

    fn arg(&mut self) -> Option<Vec<ArgDefinition>> {
        let words = self.at_least_one()?;
        let mut definitions = Vec::with_capacity(words.len());
        for word in words {
            let Some((name, value)) = word.text.split_once('=') else {
                definitions.push(ArgDefinition { name: word, value: None });
                continue;
            };
            if name.is_empty() {
                self.wrong_word(
                    &word,
                    "ARG names can not be blank",
                    "write a name before the `=`, without blanks around it",
                );
            }
            // exact while the word stands on one line
            let (mut name_span, mut value_span) = (word.span, word.span);
            if word.span.end - word.span.start == word.text.len() {
                name_span.end = word.span.start + name.len();
                value_span.start = name_span.end + 1;
            }
            definitions
                .push(ArgDefinition { name: Word::new(name, name_span), value: Some(Word::new(value, value_span)) });
        }
        Some(definitions)
    }

    fn from(&mut self) -> Option<From> {
        let words = self.words().to_vec();
        let (image, as_keyword, name) = match &words[..] {
            [image] => (image, None, None),
            [image, as_keyword, name] if as_keyword.text.eq_ignore_ascii_case("as") => {
                (image, Some(as_keyword.clone()), Some(name))
            }
            _ => {
                // What stands behind the image is one word too few or too many.
                let behind = words.get(1).zip(words.last()).map(|(first, last)| first.span.to(last.span));
                let at = behind.unwrap_or(self.statement.span);
                let error = Diagnostic::error(at, "FROM requires either one or three arguments");
                let error = error.help("write `FROM image` or `FROM image AS name`");
                self.report(match &words[..] {
                    [_, keyword, _] => Diagnostic { span: keyword.span, ..error }.meant(&keyword.text, "AS"),
                    _ => error,
                });
                return None;
            }
        };
        let name = name.map(|name| Word::new(name.text.to_lowercase(), name.span));
        if let Some(name) = name.as_ref().filter(|name| !STAGE_NAME.is_match(&name.text)) {
            let error = Diagnostic::error(
                name.span,
                format!(
                    "invalid name for build stage: {:?}, name can't start with a number or contain symbols",
                    name.text
                ),
            );
            self.report(error.help("begin with a letter; letters, digits, `-`, `_` and `.` may follow"));
        }
        let platform = self.flags(&[("platform", Takes::One)]).one("platform");
        Some(From { image: image.clone(), name, as_keyword, platform })
    }

    fn command_line(&self, words: &[Word]) -> CommandLine {
        CommandLine { arguments: words.to_vec(), shell: !self.statement.json }
    }

    fn plain_command_line(&mut self) -> CommandLine {
        self.flags(&[]);
        self.almost_json(self.words());
        self.command_line(self.words())
    }

    /// Warns of a command that was meant as a JSON array and isn't one: the shell gets it, brackets and all.
    fn almost_json(&mut self, words: &[Word]) {
        let [word] = words else { return };
        let text = word.text.trim_end();
        let quoted = text.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with(['"', '\'', '“', '‘']));
        if self.statement.json || !quoted || !text.ends_with(']') {
            return;
        }
        let Err(error) = serde_json::from_str::<Vec<String>>(text) else { return };
        let at = error.column().saturating_sub(1).min(text.len() - 1);
        let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let end = at + text[at..].chars().next().map_or(0, char::len_utf8);
        let warning = Diagnostic::warning(word.part(at..end), "this is no JSON array, so the shell gets it as it is");
        let reason = error.to_string();
        let reason = reason.split(" at line").next().unwrap_or_default().to_owned();
        self.report(
            warning
                .because(reason)
                .help("strings of JSON stand in \"…\", with commas between them, none behind the last"),
        );
    }

    fn run(&mut self) -> Run {
        let mut flags = self.flags(&[
            ("mount", Takes::Many),
            ("network", Takes::One),
            ("security", Takes::One),
            ("device", Takes::Many),
        ]);
        let mounts = flags.many("mount");
        for mount in &mounts {
            if let Err(error) = Mount::check(&mount.text) {
                self.report(error.diagnostic(mount));
            }
        }
        let mut network = Network::Default;
        if let Some(value) = flags.one("network") {
            match value.as_str() {
                "default" => {}
                "none" => network = Network::None,
                "host" => network = Network::Host,
                other => {
                    let error = Diagnostic::error(value.span, format!("invalid network mode {other:?}"));
                    let error = error.because("it is one of default, none and host");
                    self.report(error.suggest(other, ["default", "none", "host"]));
                }
            }
        }
        let mut security = Security::Sandbox;
        if let Some(value) = flags.one("security") {
            match value.as_str() {
                "sandbox" => {}
                "insecure" => security = Security::Insecure,
                other => {
                    let error = Diagnostic::error(value.span, format!("security {other:?} is not valid"));
                    let error = error.because("it is one of sandbox and insecure");
                    self.report(error.suggest(other, ["sandbox", "insecure"]));
                }
            }
        }
        let mut devices = Vec::new();
        let written = flags.many("device");
        for value in &written {
            match Device::parse(&value.text) {
                Ok(device) => devices.push(device),
                Err(error) => self.wrong_word(value, error.to_string(), "write NAME or name=NAME, and required"),
            }
        }
        self.almost_json(self.words());
        let (command, device_span) = (self.command_line(self.words()), written.first().map(|word| word.span));
        Run { command, mounts, network, security, devices, device_span, flags: flags.used }
    }

    /// What ADD and COPY share. Both need two arguments.
    fn transfer(&mut self, flags: &mut Flags) -> Option<Transfer> {
        let name = self.statement.name();
        let words = self.words().to_vec();
        let [sources @ .., destination] = &words[..] else {
            self.no_destination(&name);
            return None;
        };
        if sources.is_empty() {
            self.no_destination(&name);
            return None;
        }
        let redirection = |word: &Word| heredoc::redirection(&word.text).ok().flatten();
        if redirection(destination).is_some() {
            let help = "name a path behind it: the heredoc is the source";
            self.wrong_word(destination, format!("{name} cannot accept a heredoc as a destination"), help);
        }
        let mut paths = Vec::new();
        let mut contents: IndexMap<String, Heredoc> = IndexMap::new();
        // Of two heredocs with one name the last counts, as in BuildKit.
        let read: HashMap<_, _> = self.statement.heredocs.iter().map(|h| (h.name.as_str(), h)).collect();
        for source in sources {
            let Some(redirection) = redirection(source) else {
                paths.push(source.clone());
                continue;
            };
            // In the JSON form there is none, and the file is empty. So it is in BuildKit.
            let (content, span, lines) = read
                .get(redirection.name.as_str())
                .map_or_else(Default::default, |h| (h.content.clone(), h.span, h.lines));
            let heredoc = Heredoc {
                name: redirection.name.clone(),
                descriptor: redirection.descriptor,
                expand: redirection.expand,
                chomp: redirection.chomp,
                content,
                span,
                lines,
            };
            contents.insert(redirection.name, heredoc);
        }
        Some(Transfer {
            sources: paths,
            contents: contents.into_values().collect(),
            destination: destination.clone(),
            chown: flags.one("chown"),
            chmod: flags.one("chmod"),
            link: flags.bool("link").unwrap_or(false),
            exclude: flags.many("exclude"),
        })
    }

    fn no_destination(&mut self, name: &str) {
        let message = format!(
            "{name} requires at least two arguments, but only one was provided. Destination could not be determined"
        );
        let at = self.words().last().map_or(self.statement.span, |word| word.span);
        self.report(Diagnostic::error(at, message).help(self.usage()));
    }

    fn add(&mut self) -> Option<Add> {
        let mut flags = self.flags(&[
            ("chown", Takes::One),
            ("chmod", Takes::One),
            ("link", Takes::Bool),
            ("exclude", Takes::Many),
            ("keep-git-dir", Takes::Bool),
            ("checksum", Takes::One),
            ("unpack", Takes::Bool),
        ]);
        Some(Add {
            transfer: self.transfer(&mut flags)?,
            checksum: flags.one("checksum"),
            keep_git_dir: flags.bool("keep-git-dir"),
            unpack: flags.bool("unpack"),
        })
    }

    fn copy(&mut self) -> Option<Copy> {
        let mut flags = self.flags(&[
            ("chown", Takes::One),
            ("chmod", Takes::One),
            ("from", Takes::One),
            ("link", Takes::Bool),
            ("exclude", Takes::Many),
            ("parents", Takes::Bool),
        ]);
        let from = flags.one("from");
        if let Some(from) = &from {
            // BuildKit refuses whatever its word expansion would change
            let unchanged = Expander::new('\\').expand(&from.text, &()).is_ok_and(|e| e.text == from.text);
            if !unchanged {
                let error = Diagnostic::error(from.span, "variable expansion is not supported for --from");
                self.report(error.help(
                    "define a new stage with FROM using ARG from global scope as a workaround, and copy from that stage",
                ));
            }
        }
        Some(Copy { transfer: self.transfer(&mut flags)?, from, parents: flags.bool("parents").unwrap_or(false) })
    }

    fn volume(&mut self) -> Option<Vec<Word>> {
        let mut paths = self.at_least_one()?;
        for path in &mut paths {
            path.text = path.text.trim().to_owned();
            if path.text.is_empty() {
                self.wrong_word(path, "VOLUME specified can not be an empty string", "write a path of the image");
            }
        }
        Some(paths)
    }

    fn shell(&mut self) -> Option<Vec<Word>> {
        let words = self.at_least_one()?;
        if !self.statement.json {
            let at = words.first().map_or(self.statement.span, |word| word.span);
            let error = Diagnostic::error(at, "SHELL requires the arguments to be in JSON form");
            self.report(error.help(self.usage()));
        }
        Some(words)
    }

    fn onbuild(&mut self) -> Option<Onbuild> {
        self.flags(&[]);
        let statement = self.statement;
        let Arguments::Trigger(trigger) = &statement.arguments else {
            self.error("ONBUILD requires at least one argument", self.usage());
            return None;
        };
        match trigger.name().as_str() {
            "ONBUILD" => {
                let message = "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed";
                self.wrong_word(&trigger.keyword, message, "remove one of them");
            }
            name @ ("FROM" | "MAINTAINER") => {
                let message = format!("{name} isn't allowed as an ONBUILD trigger");
                self.wrong_word(&trigger.keyword, message, "write it in the Dockerfiles that start from this image");
            }
            _ => {
                // BuildKit looks no further than this until a build runs the trigger.
                let mut whole = (**trigger).clone();
                whole.heredocs.clone_from(&statement.heredocs);
                let mut reader = Reader { statement: &whole, found: Vec::new() };
                reader.command();
                self.found.extend(reader.found.into_iter().map(|diagnostic| Diagnostic {
                    severity: Severity::Warning,
                    reason: Some("every build that starts from this image will fail".to_owned()),
                    ..diagnostic
                }));
            }
        }
        let mut expression = statement.original[statement.keyword.text.len()..].trim_start().to_owned();
        for heredoc in &statement.heredocs {
            expression.push('\n');
            expression.push_str(&heredoc.content);
            expression.push_str(&heredoc.name);
        }
        Some(Onbuild { expression, keyword: trigger.keyword.clone() })
    }

    fn healthcheck(&mut self) -> Option<Healthcheck> {
        let words = self.words().to_vec();
        let [kind, command @ ..] = &words[..] else {
            self.error("HEALTHCHECK requires at least one argument", self.usage());
            return None;
        };
        if kind.text.eq_ignore_ascii_case("NONE") {
            flags::ignored(self.statement, &mut self.found);
            if let Some(first) = command.first() {
                self.wrong_word(first, "HEALTHCHECK NONE takes no arguments", "remove it");
            }
            return Some(Healthcheck::default());
        }
        let mut flags = self.flags(&[
            ("interval", Takes::One),
            ("timeout", Takes::One),
            ("start-period", Takes::One),
            ("start-interval", Takes::One),
            ("retries", Takes::One),
        ]);
        if !kind.text.eq_ignore_ascii_case("CMD") {
            let error = Diagnostic::error(
                kind.span,
                format!("Unknown type {:?} in HEALTHCHECK (try CMD)", kind.text.to_uppercase()),
            );
            self.report(error.help(self.usage()).suggest(&kind.text, ["CMD", "NONE"]));
        } else if command.is_empty() {
            self.error("Missing command after HEALTHCHECK CMD", self.usage());
        }
        self.almost_json(command);
        Some(Healthcheck {
            command: Some(self.command_line(command)),
            interval: self.duration(&mut flags, "interval"),
            timeout: self.duration(&mut flags, "timeout"),
            start_period: self.duration(&mut flags, "start-period"),
            start_interval: self.duration(&mut flags, "start-interval"),
            retries: self.retries(&mut flags),
        })
    }

    /// Nanoseconds: 0, or a millisecond at least.
    fn duration(&mut self, flags: &mut Flags, name: &str) -> i64 {
        let Some(value) = flags.one(name).filter(|value| !value.text.is_empty()) else { return 0 };
        match duration::parse(&value.text) {
            Some(0) => 0,
            Some(time) if time >= 1_000_000 => time,
            Some(_) => {
                let help = "write a number with a unit, such as 30s or 1m30s; 0 is the default";
                self.wrong_word(&value, format!("Interval {name:?} cannot be less than 1ms"), help);
                0
            }
            None => {
                let error = Diagnostic::error(value.span, format!("time: invalid duration {:?}", value.text));
                // A number alone was meant as seconds, as a rule.
                let seconds = format!("{}s", value.text);
                self.report(match value.text.parse::<u32>() {
                    Ok(_) => error.because("it has no unit").meant(&value.text, &seconds),
                    Err(_) => error.help("write a number with a unit, such as 30s or 1m30s"),
                });
                0
            }
        }
    }

    fn retries(&mut self, flags: &mut Flags) -> i64 {
        let Some(value) = flags.one("retries").filter(|value| !value.text.is_empty()) else { return 0 };
        match value.text.parse::<i32>() {
            Ok(retries) if retries >= 0 => retries.into(),
            Ok(retries) => {
                self.wrong_word(
                    &value,
                    format!("--retries cannot be negative ({retries})"),
                    "write how often, such as 3",
                );
                0
            }
            Err(_) => {
                let message = format!("invalid number {:?} for --retries", value.text);
                self.wrong_word(&value, message, "write how often, such as 3");
                0
            }
        }
    }
}
