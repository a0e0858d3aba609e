//! Instructions that change the image's config only (and WORKDIR, which makes a directory too).

use routerpack_graph::file::{Action, FileOp, Owner};
use routerpack_graph::image::{Empty, Healthcheck as Check};

use super::super::ast::Word;
use super::super::expand::Environment;
use super::super::instruction::{ArgDefinition, Command, CommandLine, Healthcheck, KeyValue};
use super::super::lint::instruction as rules;
use super::error::{Fault, LowerError};
use super::outline::Argument;
use super::pass::{Current, Walk};
use super::plan::Step;
use super::state::State;
use super::{expose, golang, path, signal};

impl Walk<'_> {
    /// Any instruction but RUN, COPY, ADD and WORKDIR.
    pub(super) fn metadata(&self, state: &mut State, current: &mut Current, step: &Step) -> Result<(), LowerError> {
        let expand = |state: &State, word: &Word| self.expand(state, step, word);
        let keyword = step.instruction.keyword.as_str();
        let text = match &step.instruction.command {
            Command::Env(pairs) => {
                let written = pairs;
                let pairs = self.pairs(state, step, written)?;
                for ((name, value), written) in pairs.iter().zip(written) {
                    self.lint(step, written.key.span, |lint, place| {
                        if written.legacy {
                            rules::legacy(lint, &step.place_at(written.key.span.to(written.value.span)), keyword);
                        }
                        rules::secret(lint, place, "ENV", name);
                    });
                    state.env.set(name, value);
                    set_env(state, name, value);
                }
                history("ENV", &pairs)
            }
            Command::Label(pairs) => {
                if let Some(pair) = pairs.first().filter(|pair| pair.legacy) {
                    let at = pair.key.span.to(pair.value.span);
                    self.lint(step, at, |lint, place| rules::legacy(lint, place, keyword));
                }
                let pairs = self.pairs(state, step, pairs)?;
                state.image.config.labels.extend(pairs.iter().cloned());
                history("LABEL", &pairs)
            }
            Command::Arg(definitions) => self.arg(state, current, step, definitions)?,
            Command::Cmd(command) => {
                self.command(state, current, step, command);
                let args = arguments(state, command);
                let text = format!("CMD {}", golang::quoted_list(&args));
                state.image.config.cmd = args;
                state.image.config.args_escaped = true;
                current.has_cmd = true;
                text
            }
            Command::Entrypoint(command) => {
                self.command(state, current, step, command);
                let args = arguments(state, command);
                let text = format!("ENTRYPOINT {}", golang::quoted_list(&args));
                state.image.config.entrypoint = args;
                // An inherited CMD was meant for the inherited ENTRYPOINT.
                if !current.has_cmd {
                    state.image.config.cmd.clear();
                }
                text
            }
            Command::Expose(words) => {
                let mut ports = Vec::new();
                for word in words {
                    let expansion = self.meter.expand(self.pass.expander(), word, &state.env);
                    let words = expansion.map_err(|error| step.own(error))?.words;
                    for written in words {
                        self.lint(step, word.span, |lint, place| rules::port(lint, place, &written));
                        let parsed = expose::ports(&written);
                        let error = |reason| LowerError::new(step.within(word.span), Fault::Port(reason));
                        let help = "write a port from 1 to 65535 or a range, and tcp, udp or sctp: 8080, 8000-8010/udp";
                        ports.extend(parsed.map_err(|reason| error(reason).help(help))?);
                    }
                }
                state.image.config.exposed_ports.extend(ports.iter().map(|port| (port.clone(), Empty {})));
                format!("EXPOSE {}", golang::plain_list(&ports))
            }
            Command::User(word) => {
                let user = expand(state, word)?;
                state.user.clone_from(&user);
                state.image.config.user.clone_from(&user);
                format!("USER {user}")
            }
            Command::Volume(words) => {
                let volumes: Vec<String> = words.iter().map(|word| expand(state, word)).collect::<Result<_, _>>()?;
                if let Some(blank) = volumes.iter().position(String::is_empty) {
                    let error = LowerError::new(step.within(words[blank].span), Fault::BlankVolume);
                    return Err(error.help("write an absolute path, or give the variable a value"));
                }
                state.image.config.volumes.extend(volumes.iter().map(|volume| (volume.clone(), Empty {})));
                format!("VOLUME {}", golang::plain_list(&volumes))
            }
            Command::Stopsignal(word) => {
                let written = expand(state, word)?;
                if !signal::is_known(&written) {
                    let error = LowerError::new(step.within(word.span), Fault::Signal(written.clone()));
                    let error = error.help("give a number or a name such as SIGTERM");
                    let names: Vec<String> = signal::names().collect();
                    return Err(error.suggest(&written, names.iter().map(String::as_str)));
                }
                state.image.config.stop_signal.clone_from(&written);
                format!("STOPSIGNAL {written}")
            }
            Command::Shell(words) => {
                let shell: Vec<String> = words.iter().map(|word| word.text.clone()).collect();
                let text = format!("SHELL {}", golang::plain_list(&shell));
                state.image.config.shell = shell;
                text
            }
            Command::Healthcheck(check) => {
                self.lint(step, step.span, |lint, place| current.once.see(lint, place, keyword));
                let check = healthcheck(check);
                let text = format!("HEALTHCHECK {}", golang::healthcheck(&check));
                state.image.config.healthcheck = Some(check);
                text
            }
            Command::Maintainer(name) => {
                state.image.author.clone_from(&name.text);
                format!("MAINTAINER {name}")
            }
            Command::Onbuild(onbuild) => {
                state.image.config.on_build.push(onbuild.expression.clone());
                return Ok(());
            }
            // FROM is the stage itself; the rest makes ops.
            Command::From(_) | Command::Run(_) | Command::Copy(_) | Command::Add(_) | Command::Workdir(_) => {
                return Ok(());
            }
        };
        state.commit(text, false);
        Ok(())
    }

    pub(super) fn workdir(
        &self,
        state: &mut State,
        current: &mut Current,
        step: &Step,
        word: &Word,
    ) -> Result<(), LowerError> {
        let wanted = self.expand(state, step, word)?;
        let first = !std::mem::replace(&mut state.has_workdir, true);
        if first && !wanted.starts_with('/') {
            self.lint(step, word.span, |lint, place| rules::relative_workdir(lint, place, &wanted));
        }
        let dir = path::workdir(&state.image.config.working_dir, &wanted);
        state.image.config.working_dir.clone_from(&dir);
        state.dir.clone_from(&dir);
        let layer = dir != "/";
        if layer {
            let user = &state.image.config.user;
            let action = Action::Mkdir {
                path: path::clean(&dir),
                mode: 0o755,
                parents: true,
                owner: (!user.is_empty()).then(|| Owner::parse(user)),
                timestamp: self.pass.timestamp(),
            };
            let text = self.display(step, &step.instruction.original, &state.env, false)?;
            let title = current.titles.next(&text, step.onbuild, &state.platform, &state.env);
            // The cache is never ignored here: making a directory twice comes out the same.
            let constraints = self.constraints(state, current, step, &title).ignoring_cache(false);
            let output = FileOp::on(state.root.take()).then(action).output(&constraints);
            state.root = Some(output.map_err(|error| LowerError::new(step.span, error.into()))?);
        }
        state.commit(format!("WORKDIR {dir}"), layer);
        Ok(())
    }

    /// Lint of CMD and ENTRYPOINT.
    fn command(&self, state: &State, current: &mut Current, step: &Step, command: &CommandLine) {
        let keyword = step.instruction.keyword.as_str();
        self.lint(step, step.span, |lint, place| {
            current.once.see(lint, place, keyword);
            if let ([first, ..], [.., last]) = (&command.arguments[..], &command.arguments[..])
                && command.shell
                && state.image.config.shell.is_empty()
            {
                rules::shell_form(lint, &step.place_at(first.span.to(last.span)), keyword);
            }
        });
    }

    /// Expands all pairs in the environment before the instruction.
    fn pairs(&self, state: &State, step: &Step, pairs: &[KeyValue]) -> Result<Vec<(String, String)>, LowerError> {
        let expand = |word: &Word| self.expand(state, step, word);
        pairs.iter().map(|pair| Ok((expand(&pair.key)?, expand(&pair.value)?))).collect()
    }

    /// ARG: a build argument's value, else the default, else that of the ARG before the first FROM. The
    /// default isn't looked at when it isn't needed. Names are expanded as well, and everything in the environment
    /// before the instruction. Gives the history's text.
    fn arg(
        &self,
        state: &mut State,
        current: &Current,
        step: &Step,
        definitions: &[ArgDefinition],
    ) -> Result<String, LowerError> {
        let mut args = Vec::with_capacity(definitions.len());
        for definition in definitions {
            let name = self.expand(state, step, &definition.name)?;
            self.lint(step, definition.name.span, |lint, place| rules::secret(lint, place, "ARG", &name));
            let build_arg = self.pass.options.build_args.get(&name);
            let value = match (build_arg, &definition.value) {
                (Some(value), _) => Some(value.clone()),
                (None, Some(word)) => Some(self.expand(state, step, word)?),
                (None, None) => self.pass.globals.get(&name).map(str::to_string),
            };
            let global = build_arg.is_none() && definition.value.is_none() && value.is_some();
            self.capture_argument(current, step, &name, value.as_deref(), global);
            args.push((name, value));
        }
        let mut text = String::from("ARG");
        for (name, value) in args {
            text.push(' ');
            text.push_str(&name);
            if let Some(value) = &value {
                state.env.set(&name, value);
                text.push('=');
                text.push_str(value);
            }
            state.declared.insert(name.clone());
            state.args.push((name, value));
        }
        Ok(text)
    }

    /// Takes note of an ARG for the outline; of one that gets its value from `global` scope, only the name.
    fn capture_argument(&self, current: &Current, step: &Step, name: &str, value: Option<&str>, global: bool) {
        let Some(notes) = self.pass.notes else { return };
        let argument = Argument {
            name: name.to_string(),
            description: step.instruction.description(name).unwrap_or_default().to_string(),
            value: value.unwrap_or_default().to_string(),
            lines: step.place.lines,
        };
        let mut captured = notes.captured.borrow_mut();
        captured.args.entry(current.index).or_default().push((name.to_string(), (!global).then_some(argument)));
    }
}

/// A command as it is kept: the shell form behind the shell.
pub(super) fn arguments(state: &State, command: &CommandLine) -> Vec<String> {
    let words: Vec<String> = command.arguments.iter().map(|word| word.text.clone()).collect();
    if command.shell { with_shell(state, &words.join(" ")) } else { words }
}

/// The shell and what it is given.
pub(super) fn with_shell(state: &State, script: &str) -> Vec<String> {
    let mut args = match (&state.image.config.shell[..], state.image.os.as_str()) {
        ([], "windows") => vec!["cmd".into(), "/S".into(), "/C".into()],
        ([], _) => vec!["/bin/sh".into(), "-c".into()],
        (shell, _) => shell.to_vec(),
    };
    args.push(script.to_string());
    args
}

fn healthcheck(check: &Healthcheck) -> Check {
    let words = |command: &CommandLine| command.arguments.iter().map(|word| word.text.clone()).collect::<Vec<_>>();
    let test = match &check.command {
        None => vec!["NONE".to_string()],
        Some(command) => {
            let kind = if command.shell { "CMD-SHELL" } else { "CMD" };
            [vec![kind.to_string()], words(command)].concat()
        }
    };
    Check {
        test,
        interval: check.interval,
        timeout: check.timeout,
        start_period: check.start_period,
        start_interval: check.start_interval,
        retries: check.retries,
    }
}

/// A variable keeps its place in an image's list.
fn set_env(state: &mut State, name: &str, value: &str) {
    let (pair, env) = (format!("{name}={value}"), &mut state.image.config.env);
    match state.places.get(name) {
        Some(place) => env[*place] = pair,
        None => {
            state.places.insert(name.to_string(), env.len());
            env.push(pair);
        }
    }
}

fn history(keyword: &str, pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    format!("{keyword}{}", pairs.concat())
}
