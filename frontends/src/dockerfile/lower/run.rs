//! RUN: a command, its script, and its mounts.

use std::borrow::Cow;

use indexmap::IndexMap;
use routerpack_graph::exec::{
    CacheSharing, Exec, Mount as LlbMount, MountKind as LlbKind, Network, Secret, Security, Ssh,
};
use routerpack_graph::file::{Action, FileOp, Id, Owner as FileOwner};
use routerpack_graph::{Constraints, Output, pb};

use super::super::ast::Word;
use super::super::diagnostic::Diagnostic;
use super::super::expand::Environment;
use super::super::heredoc::redirection;
use super::super::instruction::{self, Run};
use super::super::mount::{Mount, MountKind, Sharing};
use super::error::{Fault, LowerError};
use super::metadata::with_shell;
use super::outline::Needed;
use super::pass::{Current, Walk};
use super::path;
use super::plan::Step;
use super::state::{Owner, State};

/// Where a script with a `#!` line is mounted.
const SCRIPTS: &str = "/dev/pipes/";

impl Walk<'_> {
    pub(super) fn run(
        &mut self,
        state: &mut State,
        current: &mut Current,
        step: &Step,
        run: &Run,
    ) -> Result<(), LowerError> {
        if !run.devices.is_empty() {
            let at = run.device_span.map_or(step.span, |span| step.within(span));
            return Err(LowerError::new(at, Fault::Device).help("remove --device"));
        }
        let options = self.pass.options;
        // A command may read any file of what it starts from.
        self.used.add(self.pass.owner(current.index), "/");

        let script = self.script(state, step, run)?;
        let args = match run.command.shell {
            true => with_shell(state, &script.words.join(" ")),
            false => script.words,
        };
        let mut exec = Exec::new(state.root.clone(), args.clone());
        exec.env = state.env.pairs();
        self.meter.hold(state.env.size(), step.span)?;
        exec.cwd.clone_from(&state.dir);
        exec.user.clone_from(&state.user);
        exec.hostname = hostname(options);
        exec.extra_hosts.clone_from(&options.extra_hosts);
        exec.ulimits.clone_from(&options.ulimits);
        exec.cgroup_parent.clone_from(&options.cgroup_parent);
        exec.proxy = proxy(options);
        exec.network = match run.network {
            instruction::Network::Default => options.network,
            instruction::Network::None => Network::None,
            instruction::Network::Host => Network::Host,
        };
        exec.security = match run.security {
            instruction::Security::Sandbox => Security::Sandbox,
            instruction::Security::Insecure => Security::Insecure,
        };
        exec.mounts.extend(script.mount);
        let mut shown = Cow::Borrowed(&state.env);
        for (index, word) in run.mounts.iter().enumerate() {
            let mut work = 0;
            let mount = Mount::parse(&word.text, |text| {
                let expansion = self.pass.expander().expand(text, &state.env)?;
                work += expansion.work;
                self.undefined(state, step, word, &expansion);
                Ok(expansion.text)
            });
            let mount = mount.map_err(|error| {
                let Diagnostic { span, message, help, replacement, .. } = error.diagnostic(word);
                let error = LowerError::new(step.within(span), Fault::Mount(message));
                LowerError { help, replacement, ..error }
            })?;
            self.meter.spend(work, step.span)?;
            if let (MountKind::Secret, Some(name)) = (mount.kind, &mount.env) {
                shown.to_mut().set(name, "****");
            }
            let source = step.sources.get(index).copied().flatten();
            self.mount(&mut exec, state, step, mount, (word, source))?;
        }
        self.capture_mounts(current, step, &exec);
        if options.shm_size > 0 {
            exec.mounts.push(LlbMount::tmpfs("/dev/shm", options.shm_size));
        }

        let text = format!("{}{}", step.instruction.original, script.summary);
        let text = self.display(step, &text, &*shown, true)?;
        let title = current.titles.next(&text, step.onbuild, &state.platform, &state.env);
        let constraints = self.described(state, current, step, &title);
        let executed = exec.run(&constraints).map_err(|error| LowerError::new(step.span, error.into()))?;
        state.root = executed.root();
        let line = format!("RUN {} # buildkit", history(state, &args));
        state.commit(line, true);
        Ok(())
    }

    /// Takes note of secrets and agents for the outline.
    fn capture_mounts(&self, current: &Current, step: &Step, exec: &Exec) {
        let Some(notes) = self.pass.notes else { return };
        let needed = |name: &str, optional: bool| {
            let name = if name.is_empty() { "default" } else { name }.to_string();
            Needed { name, required: !optional, lines: step.place.lines }
        };
        let mut captured = notes.captured.borrow_mut();
        let secrets = exec.secrets.iter().map(|secret| needed(&secret.id, secret.optional));
        captured.secrets.entry(current.index).or_default().extend(secrets);
        let agents = exec.ssh.iter().map(|agent| needed(&agent.id, agent.optional));
        captured.ssh.entry(current.index).or_default().extend(agents);
    }

    /// What is run: the command, or the heredoc in its place.
    fn script(&self, state: &State, step: &Step, run: &Run) -> Result<Script, LowerError> {
        let words: Vec<String> = run.command.arguments.iter().map(|word| word.text.clone()).collect();
        let heredocs = &step.instruction.heredocs;
        let plain = |words| Script { words, mount: None, summary: String::new() };
        let ([command], [first, ..], true) = (&words[..], &heredocs[..], run.command.shell) else {
            return Ok(plain(words));
        };
        if redirection(command).ok().flatten().is_none() {
            // The shell reads the heredocs itself.
            let mut script = command.clone();
            for heredoc in heredocs {
                script.push('\n');
                script.push_str(&heredoc.content);
                script.push_str(&heredoc.name);
            }
            return Ok(plain(vec![script]));
        }
        let data = first.chomped();
        let summary = format!(" ({})", summarize(&first.content));
        if !data.starts_with("#!") || state.image.os == "windows" {
            return Ok(Script { words: vec![data], mount: None, summary });
        }
        let action = Action::Mkfile {
            path: path::absolute("/", &first.name),
            mode: 0o755,
            data: data.into_bytes(),
            owner: None,
            timestamp: None,
        };
        let file = inline(FileOp::on(None).then(action), step)?;
        let mount = LlbMount { selector: "/".into(), readonly: true, ..LlbMount::bind(SCRIPTS, Some(file)) };
        Ok(Script { words: vec![path::clean(&format!("{SCRIPTS}{}", first.name))], mount: Some(mount), summary })
    }

    /// Adds one mount to a command, with the word that asks for it and the stage that it is of.
    fn mount(
        &mut self,
        exec: &mut Exec,
        state: &State,
        step: &Step,
        mount: Mount,
        (word, source): (&Word, Option<usize>),
    ) -> Result<(), LowerError> {
        let fail = |text: String| LowerError::new(step.within(word.span), Fault::Mount(text));
        match mount.kind {
            MountKind::Secret => {
                exec.secrets.push(secret(mount));
                return Ok(());
            }
            MountKind::Ssh if !mount.source.is_empty() => {
                return Err(fail("ssh does not support source".into()).help("write id= in place of source="));
            }
            MountKind::Ssh => {
                exec.ssh.push(ssh(mount));
                return Ok(());
            }
            MountKind::Bind | MountKind::Cache | MountKind::Tmpfs => {}
        }
        let dest = path::absolute(&state.dir, &mount.target);
        if dest == "/" {
            return Err(fail(format!("invalid mount target {:?}", mount.target)).help("give it a target below /"));
        }
        let input = match (mount.kind, source) {
            (MountKind::Tmpfs, _) => None,
            (_, Some(index)) => match self.done.get(&index) {
                Some(done) => {
                    self.used.add(self.pass.owner(index), &mount.source);
                    done.root.clone()
                }
                None => {
                    let fault = Fault::MountFromLater { from: mount.from, target: mount.target };
                    return Err(LowerError::new(step.source_span(index), fault).help("move that stage before this one"));
                }
            },
            (MountKind::Bind, None) => {
                self.used.add(Owner::Main, &mount.source);
                self.context.clone()
            }
            (_, None) => None,
        };
        let selector = match path::absolute("/", &mount.source) {
            root if root == "/" => String::new(),
            selector => selector,
        };
        let mut result = LlbMount { selector, readonly: mount.readonly, ..LlbMount::bind(dest, input) };
        match mount.kind {
            MountKind::Tmpfs => {
                result.kind = LlbKind::Tmpfs { size: mount.size };
                result.selector.clear();
            }
            MountKind::Cache => {
                let id = if mount.id.is_empty() { path::clean(&mount.target) } else { mount.id.clone() };
                let namespace = self.pass.options.build_args.get("BUILDKIT_CACHE_MOUNT_NS");
                let id = format!("{}/{id}", namespace.map_or("", String::as_str));
                result.kind = LlbKind::Cache { id, sharing: sharing(mount.sharing) };
                if result.selector.is_empty() && (mount.mode.is_some() || mount.uid.is_some() || mount.gid.is_some()) {
                    result.source = Some(cache_base(&mount, result.source.take(), step)?);
                    result.selector = "/cache".into();
                }
            }
            // What is written to a bind is gone afterwards.
            _ => result.discard = !mount.readonly,
        }
        exec.mounts.push(result);
        Ok(())
    }
}

struct Script {
    words: Vec<String>,
    mount: Option<LlbMount>,
    /// Behind the instruction in titles.
    summary: String,
}

/// An op that puts a text of the Dockerfile into a file.
pub(super) fn inline(op: FileOp, step: &Step) -> Result<Output, LowerError> {
    let constraints = Constraints::default().named("[internal] preparing inline document");
    op.output(&constraints).map_err(|error| LowerError::new(step.span, error.into()))
}

/// A new cache's first directory, with its owner and mode.
fn cache_base(mount: &Mount, below: Option<Output>, step: &Step) -> Result<Output, LowerError> {
    let id = |id: Option<u32>| Some(Id::Number(id.unwrap_or(0)));
    let action = Action::Mkdir {
        path: "/cache".into(),
        mode: mount.mode.unwrap_or(0o755) as i32 & 0o777,
        parents: false,
        owner: Some(FileOwner { user: id(mount.uid), group: id(mount.gid) }),
        timestamp: None,
    };
    let constraints = Constraints::default().named("[internal] setting cache mount permissions");
    let output = FileOp::on(below).then(action).output(&constraints);
    output.map_err(|error| LowerError::new(step.span, error.into()))
}

fn sharing(sharing: Option<Sharing>) -> CacheSharing {
    match sharing.unwrap_or_default() {
        Sharing::Shared => CacheSharing::Shared,
        Sharing::Private => CacheSharing::Private,
        Sharing::Locked => CacheSharing::Locked,
    }
}

fn secret(mount: Mount) -> Secret {
    let named = [mount.source, mount.id].into_iter().find(|text| !text.is_empty());
    let id = named.unwrap_or_else(|| path::base(&mount.target).to_string());
    let target = match (mount.target.is_empty(), &mount.env) {
        // Not below the working directory: BuildKit hands it on as it is, and runc starts at the root.
        (false, _) => Some(path::absolute("/", &mount.target)),
        (true, None) => Some(format!("/run/secrets/{}", path::base(&id))),
        (true, Some(_)) => None,
    };
    Secret {
        target,
        env: mount.env,
        uid: mount.uid.unwrap_or(0),
        gid: mount.gid.unwrap_or(0),
        mode: mount.mode.unwrap_or(0o400),
        optional: !mount.required,
        id,
    }
}

fn ssh(mount: Mount) -> Ssh {
    // No id is the agent `default`; the executor knows that.
    Ssh {
        target: (!mount.target.is_empty()).then(|| path::absolute("/", &mount.target)),
        uid: mount.uid.unwrap_or(0),
        gid: mount.gid.unwrap_or(0),
        mode: mount.mode.unwrap_or(0o600),
        optional: !mount.required,
        id: mount.id,
    }
}

/// The arguments with the ARGs before them, as in `|1 VERSION=3 /bin/sh -c make`.
fn history(state: &State, args: &[String]) -> String {
    let mut pairs: IndexMap<&str, &str> = IndexMap::new();
    for (name, value) in &state.args {
        pairs.insert(name, state.env.get(name).or(value.as_deref()).unwrap_or_default());
    }
    let count = (!pairs.is_empty()).then(|| format!("|{}", pairs.len()));
    let pairs = pairs.iter().map(|(name, value)| format!("{name}={value}"));
    count.into_iter().chain(pairs).chain(args.iter().cloned()).collect::<Vec<_>>().join(" ")
}

fn summarize(document: &str) -> String {
    let mut lines = document.trim().lines();
    let first = lines.next().unwrap_or_default();
    if lines.next().is_some() { format!("{first}...") } else { first.to_string() }
}

fn hostname(options: &super::Options) -> String {
    let named = options.build_args.get("BUILDKIT_SANDBOX_HOSTNAME");
    if options.hostname.is_empty() { named.cloned().unwrap_or_default() } else { options.hostname.clone() }
}

/// The proxies among the build arguments, in either case (BuildKit `proxyEnvFromBuildArgs`).
fn proxy(options: &super::Options) -> Option<pb::ProxyEnv> {
    let mut proxy = pb::ProxyEnv::default();
    let mut any = false;
    for (name, value) in &options.build_args {
        let slot = match name.to_ascii_lowercase().as_str() {
            "http_proxy" => &mut proxy.http_proxy,
            "https_proxy" => &mut proxy.https_proxy,
            "ftp_proxy" => &mut proxy.ftp_proxy,
            "no_proxy" => &mut proxy.no_proxy,
            "all_proxy" => &mut proxy.all_proxy,
            _ => continue,
        };
        slot.clone_from(value);
        any = true;
    }
    any.then_some(proxy)
}
