//! RUN: an overlay over the input's strata, a sandbox in it, and the upper becomes the next stratum.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering},
    thread,
};

use routerpack_graph::{Platform, pb};
use routerpack_rootfs::{Index, Tree, scan};
use routerpack_sandbox as sandbox;
use sandbox::{Emulation, Isolation, Mount, Network, Root, Scratch, Security, Source, Step, Streams, native::Native};

use crate::{
    agent::LentAgent,
    cache_mounts::{self, CacheMount},
    error::{Cause, Withheld},
    events::Task,
    executor::{Executor, platform_of},
    request::{Request, Secret},
    rootfs::{Part, Rootfs, StratumId},
    strata::Name,
};

/// How many of a failed step's last lines the error repeats.
const TAIL_LINES: usize = 12;

/// A secret may be this large, in bytes (BuildKit, `session/secrets/secretsprovider/store.go`).
pub const MAX_SECRET: u64 = 500 << 10;

/// What of the executor shows inside a step, as `name=value` lines; see [`crate::keys`].
pub fn facts(executor: &Executor, op: &pb::Op) -> Result<String, Cause> {
    let platform = platform_of(op, &executor.ground.host.platform);
    let emulation = executor.ground.emulation(&platform)?;
    let how = match &emulation {
        Emulation::None => "native".to_string(),
        Emulation::Registered => "registered".to_string(),
        Emulation::Private { target, .. } => {
            let hybrid = if executor.hybrid.is_some() { "hybrid " } else { "" };
            format!("{hybrid}private {target:?}")
        }
    };
    Ok(format!("emulation={how}\nowners={}\n", executor.strata().can_chown()))
}

/// Whether a step may have the privileges that it asks for. Asked before anything runs or is taken from the cache, as
/// in BuildKit (`solver/llbsolver/vertex.go`, `ValidateEntitlements`): what was made when it was allowed is no way
/// around.
pub fn entitled(request: &Request, exec: &pb::ExecOp) -> Result<(), Cause> {
    let wanted = [
        (exec.network() == pb::NetMode::Host, request.allow_host_network, Withheld::HostNetwork),
        (exec.security() == pb::SecurityMode::Insecure, request.allow_insecure, Withheld::Insecure),
    ];
    match wanted.into_iter().find(|(asks, allowed, _)| *asks && !allowed) {
        None => Ok(()),
        Some((.., lack)) => Err(Cause::Withheld(lack)),
    }
}

/// Everything that must live as long as the step.
#[derive(Default)]
struct Held {
    /// By the caches' ids and beginnings.
    caches: BTreeMap<(String, String), CacheMount>,
    agents: Vec<LentAgent>,
    /// Directories under the cache's tmp.
    temps: Vec<PathBuf>,
}

impl Drop for Held {
    fn drop(&mut self) {
        for dir in &self.temps {
            let _ = fs::remove_dir_all(dir);
        }
    }
}

/// Runs the step and keeps what it wrote; `name` becomes the new snapshot's.
pub fn run(
    executor: &Executor,
    op: &pb::Op,
    exec: &pb::ExecOp,
    inputs: &[Rootfs],
    task: &Task,
    name: &Name,
) -> Result<Rootfs, Cause> {
    let meta = exec.meta.as_ref().ok_or_else(|| Cause::Unsupported("the step has no command".into()))?;
    let cache = executor.strata().cache();
    let mut held = Held::default();
    let temp = cache.temp_dir().map_err(Cause::io("make a folder in the cache"))?;
    held.temps.push(temp.clone());
    let root_mount = exec.mounts.iter().find(|m| m.dest == "/");
    let root_mount = root_mount.ok_or_else(|| Cause::Unsupported("the step has no root file system".into()))?;
    let input = match usize::try_from(root_mount.input) {
        Ok(n) => inputs.get(n).cloned().ok_or_else(|| Cause::Unsupported("the step's root is no input".into()))?,
        Err(_) => Rootfs::default(),
    };
    let input = frozen(executor, &input)?;
    let root = executor.ground.root(&input, &temp)?;

    let mut step = Step::new(root, meta.args.clone());
    let platform = platform_of(op, &executor.ground.host.platform);
    step.emulation = executor.ground.emulation(&platform)?;
    warn(executor, &step.emulation, &platform)?;
    if let (Some(hybrid), Emulation::Private { .. }) = (&executor.hybrid, &step.emulation) {
        let native = match step.root {
            Root::Overlay { .. } => hybrid.native(&executor.ground, &input, &platform),
            Root::Dir(_) => Err("steps run on copies of the root file system here".into()),
        };
        tell(executor, task, &platform, &native);
        step.native = native.ok();
        step.mounts.extend(step.native.as_ref().map(Native::mount));
    }
    step.isolation = executor.ground.host.facts()?.isolation;
    step.readonly_root = root_mount.readonly;
    step.env = meta.env.clone();
    if let Some(proxy) = &meta.proxy_env {
        step.env.extend(proxy_env(proxy));
    }
    step.cwd = meta.cwd.clone();
    step.user = meta.user.clone();
    step.resolv_conf = executor.ground.host.resolv_conf.clone();
    if !meta.hostname.is_empty() {
        step.hostname = meta.hostname.clone();
    }
    for host in &meta.extra_hosts {
        let ip = host
            .ip
            .parse()
            .map_err(|_| Cause::Unsupported(format!("extra host {}: `{}` is no address", host.host, host.ip)))?;
        step.extra_hosts.push((host.host.clone(), ip));
    }
    step.ulimits = meta.ulimit.iter().map(ulimit).collect();
    step.network = match exec.network() {
        pb::NetMode::Unset => Network::Default,
        pb::NetMode::None => Network::None,
        pb::NetMode::Host => Network::Host,
    };
    step.security = match exec.security() {
        pb::SecurityMode::Sandbox => Security::Sandbox,
        pb::SecurityMode::Insecure => Security::Insecure,
    };
    held.caches = take_caches(executor, exec, inputs, task)?;
    for mount in exec.mounts.iter().filter(|m| m.dest != "/") {
        if let Some(mount) = lower_mount(executor, mount, inputs, &mut held)? {
            step.mounts.push(mount);
        }
    }
    for secret in &exec.secretenv {
        match read_secret(executor, &secret.id)? {
            Some(bytes) => {
                let value = String::from_utf8(bytes).map_err(|_| {
                    Cause::Unsupported(format!("secret {} is not text, so it can't be a variable", secret.id))
                })?;
                step.env.push(format!("{}={value}", secret.name));
            }
            None if secret.optional => {}
            None => return Err(no_secret(&secret.id)),
        }
    }

    let (status, tail) = supervise(executor, &step, task)?;
    if executor.request.interrupt.is_raised() {
        return Err(Cause::Interrupted);
    }
    let allowed: &[i32] = if meta.valid_exit_codes.is_empty() { &[0] } else { &meta.valid_exit_codes };
    if !allowed.contains(&status.code()) || (!status.success() && meta.valid_exit_codes.is_empty()) {
        if let Some(on_failure) = &executor.request.on_failure {
            on_failure(&|args| interactive(executor, &step, args).map_err(Into::into));
        }
        return Err(failure(&step, &platform, status, tail));
    }

    let lower = match executor.strata().can_chown() {
        true => None,
        false => Some(executor.strata().tree(&input)?),
    };
    let copied = executor.ground.copies()?;
    let index = scan_result(&temp.join("fs"), lower.as_deref(), !copied)?;
    let _ = fs::remove_dir_all(temp.join("work"));
    let id = executor.strata().keep(&temp, index, name)?;
    let below = if copied { Vec::new() } else { input.parts().to_vec() };
    Ok(Rootfs::new(below.into_iter().chain([Part::Kept(id)]).collect()))
}

/// Says once for each base what hybrid emulation does, among what the step says.
fn tell(executor: &Executor, task: &Task, platform: &Platform, native: &Result<Native, String>) {
    let text = match native {
        Ok(native) => format!("hybrid emulation: {} programs of {platform} run natively\n", native.twins.len()),
        Err(why) => format!("hybrid emulation: all of {platform} runs through qemu, since {why}\n"),
    };
    if executor.told.lock().expect("no panic while holding it").insert(text.clone()) {
        executor.ground.events.output(task, text.as_bytes());
    }
}

/// Says once what is less than it should be on this machine.
fn warn(executor: &Executor, emulation: &Emulation, platform: &Platform) -> Result<(), Cause> {
    if executor.warned.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let (facts, events) = (executor.ground.host.facts()?, &executor.ground.events);
    if let Some(reason) = &facts.isolation_reason {
        let how = match facts.isolation {
            Isolation::UserNamespace => "with less than usual",
            Isolation::Namespaces => "without a user namespace",
            Isolation::Chroot => "in a plain chroot",
        };
        events.warning(&format!("steps run {how} here: {reason}"));
    }
    if let Err(reason) = &facts.overlay {
        events.warning(&format!("steps run on copies of the root file system, which takes longer: {reason}"));
    }
    if *emulation == Emulation::Registered {
        events.warning(&format!(
            "{platform} is emulated by what this machine has registered, so the CPU is its choice: code that is too new for \
             a router may get through"
        ));
    }
    Ok(())
}

fn scan_result(dir: &Path, lower: Option<&Tree>, overlay: bool) -> Result<Index, Cause> {
    let owners = lower.map_or(scan::Owners::OnDisk, |tree| scan::Owners::Below(&tree.index));
    let options = scan::ScanOptions { overlay, owners, xattrs: true, ..Default::default() };
    scan::scan(dir, options).map_err(Cause::rootfs("what the step wrote can't be read"))
}

/// A rootfs of named strata: a live context is copied.
pub fn frozen(executor: &Executor, rootfs: &Rootfs) -> Result<Rootfs, Cause> {
    if rootfs.parts().iter().all(|p| matches!(p, Part::Kept(_))) {
        return Ok(rootfs.clone());
    }
    let digest = executor.content_digest(rootfs, "/", &mut executor.hashes.hasher())?;
    let is_new = !executor.strata().has(&StratumId::Snapshot(digest.clone()));
    let id = executor.ground.joined(rootfs, digest.clone())?;
    if is_new && executor.content_digest(rootfs, "/", &mut executor.hashes.checker())? != digest {
        executor.strata().discard(&id).map_err(Cause::io("remove a copy of a build context"))?;
        return Err(Cause::Changed);
    }
    Ok(Rootfs::kept([id]))
}

fn lower_mount(
    executor: &Executor,
    mount: &pb::Mount,
    inputs: &[Rootfs],
    held: &mut Held,
) -> Result<Option<Mount>, Cause> {
    let cache = executor.strata().cache();
    let source = match mount.mount_type() {
        pb::MountType::Bind => {
            let input = input_of(executor, mount, inputs)?.unwrap_or_default();
            let scratch = match mount.readonly {
                true => None,
                false => {
                    let temp = cache.temp_dir().map_err(Cause::io("make a folder in the cache"))?;
                    held.temps.push(temp.clone());
                    let scratch = Scratch { upper: temp.join("fs"), work: temp.join("work") };
                    for dir in [&scratch.upper, &scratch.work] {
                        fs::create_dir(dir).map_err(Cause::io("make a folder in the cache"))?;
                    }
                    executor.ground.open_to_all(&scratch.upper)?;
                    Some(scratch)
                }
            };
            if !executor.ground.copies()? {
                Source::Layers { lowers: executor.ground.lowers(&input)?, scratch, subpath: mount.selector.clone() }
            } else {
                let temp = cache.temp_path();
                held.temps.push(temp.clone());
                executor.ground.copy_tree(&*executor.strata().tree(&input)?, &temp)?;
                Source::Bind { path: temp, subpath: mount.selector.clone() }
            }
        }
        pb::MountType::Cache => {
            let opt = mount.cache_opt.clone().unwrap_or_default();
            let key = (opt.id.clone(), beginning(input_of(executor, mount, inputs)?.as_ref(), &mount.selector));
            let taken = held.caches.get(&key).ok_or_else(|| Cause::Unsupported(format!("no cache {}", opt.id)))?;
            Source::Bind { path: taken.dir.clone(), subpath: String::new() }
        }
        pb::MountType::Tmpfs => {
            let size = mount.tmpfs_opt.as_ref().and_then(|o| u64::try_from(o.size).ok()).filter(|n| *n > 0);
            Source::Tmpfs { size }
        }
        pb::MountType::Secret => {
            let opt = mount.secret_opt.clone().unwrap_or_default();
            match read_secret(executor, &opt.id)? {
                Some(content) => Source::Secret { content, mode: opt.mode, uid: opt.uid, gid: opt.gid },
                None if opt.optional => return Ok(None),
                None => return Err(no_secret(&opt.id)),
            }
        }
        pb::MountType::Ssh => {
            let opt = mount.ssh_opt.clone().unwrap_or_default();
            let id = if opt.id.is_empty() { "default" } else { &opt.id };
            match executor.request.ssh.get(id) {
                Some(agent) => Source::Socket { path: lend(executor, id, agent, &opt, held)? },
                None if opt.optional => return Ok(None),
                None => {
                    return Err(Cause::Withheld(Withheld::Agent(id.into())));
                }
            }
        }
    };
    Ok(Some(Mount { target: mount.dest.clone(), source, readonly: mount.readonly }))
}

/// The socket by which a step reaches an agent.
fn lend(executor: &Executor, id: &str, agent: &Path, opt: &pb::SshOpt, held: &mut Held) -> Result<PathBuf, Cause> {
    let owner = (opt.uid, opt.gid);
    let can_chown = executor.strata().can_chown();
    if !can_chown && owner != (0, 0) {
        return Err(Cause::Unsupported(format!(
            "the ssh agent `{id}` can't belong to {}:{}: this build has root's ids only\n  leave uid= and gid= out",
            owner.0, owner.1
        )));
    }
    let temp = executor.strata().cache().temp_dir().map_err(Cause::io("make a folder in the cache"))?;
    held.temps.push(temp.clone());
    let lent = LentAgent::new(agent, &temp, opt.mode, can_chown.then_some(owner));
    let lent = lent.map_err(Cause::io(format!("reach the ssh agent `{id}` at {}", agent.display())))?;
    let path = lent.path.clone();
    held.agents.push(lent);
    Ok(path)
}

/// The caches that a step mounts, each once however many places it is mounted at. In the order of their ids: two
/// steps that each waited for what the other has would wait for ever.
fn take_caches(
    executor: &Executor,
    exec: &pb::ExecOp,
    inputs: &[Rootfs],
    task: &Task,
) -> Result<BTreeMap<(String, String), CacheMount>, Cause> {
    let mut wanted = BTreeMap::new();
    for mount in &exec.mounts {
        if let (pb::MountType::Cache, Some(opt)) = (mount.mount_type(), &mount.cache_opt) {
            let input = input_of(executor, mount, inputs)?;
            let key = (opt.id.clone(), beginning(input.as_ref(), &mount.selector));
            wanted.entry(key).or_insert((mount, opt.sharing(), input));
        }
    }
    let mut taken = BTreeMap::new();
    for ((id, base), (mount, sharing, input)) in wanted {
        let seed = |to: &Path| seed_cache(executor, input.as_ref(), &mount.selector, to);
        let told = Cell::new(false);
        let stop = || {
            if !told.replace(true) {
                let line = format!("waits for the cache {id}, which another step or build has locked\n");
                executor.ground.events.output(task, line.as_bytes());
            }
            executor.request.interrupt.is_raised()
        };
        let cache = cache_mounts::take(executor.strata().cache(), &id, &base, sharing, &stop, &seed)
            .map_err(Cause::io(format!("take the cache {id}")))?;
        taken.insert((id, base), cache);
    }
    Ok(taken)
}

/// The name of what a cache begins with.
fn beginning(input: Option<&Rootfs>, selector: &str) -> String {
    let Some(ids) = input.and_then(Rootfs::ids) else { return String::new() };
    ids.iter().map(ToString::to_string).chain([selector.to_string()]).collect::<Vec<_>>().join("\n")
}

/// What a mount shows, or a cache begins with.
fn input_of(executor: &Executor, mount: &pb::Mount, inputs: &[Rootfs]) -> Result<Option<Rootfs>, Cause> {
    let input = usize::try_from(mount.input).ok().and_then(|n| inputs.get(n));
    input.map(|rootfs| frozen(executor, rootfs)).transpose()
}

fn seed_cache(executor: &Executor, input: Option<&Rootfs>, selector: &str, to: &Path) -> std::io::Result<()> {
    match input {
        None => fs::create_dir(to).and_then(|()| executor.ground.open_to_all(to).map_err(std::io::Error::other)),
        Some(rootfs) => {
            let temp = executor.strata().cache().temp_path();
            let tree = executor.strata().tree(rootfs).map_err(std::io::Error::other)?;
            executor.ground.copy_tree(&tree, &temp).map_err(std::io::Error::other)?;
            // The selector is resolved in the index, so it can't lead out of the copy.
            let inside =
                tree.resolve(selector.trim_start_matches('/').as_bytes(), true).map_err(std::io::Error::other)?;
            let from = temp.join(std::str::from_utf8(&inside).map_err(std::io::Error::other)?);
            fs::rename(&from, to)?;
            if from != temp {
                fs::remove_dir_all(&temp)?;
            }
            Ok(())
        }
    }
}

/// A secret's bytes, if there is one of this id.
pub fn read_secret(executor: &Executor, id: &str) -> Result<Option<Vec<u8>>, Cause> {
    match executor.request.secrets.get(id) {
        None => Ok(None),
        Some(Secret::Bytes(bytes)) => Ok(Some(bytes.clone())),
        Some(Secret::File(path)) => {
            let mut bytes = Vec::new();
            let what = || format!("read the secret {id} from {}", path.display());
            File::open(path).and_then(|f| f.take(MAX_SECRET + 1).read_to_end(&mut bytes)).map_err(Cause::io(what()))?;
            if bytes.len() as u64 > MAX_SECRET {
                return Err(Cause::Unsupported(format!("secret {id} is larger than {MAX_SECRET} bytes")));
            }
            Ok(Some(bytes))
        }
    }
}

fn no_secret(id: &str) -> Cause {
    Cause::Withheld(Withheld::Secret(id.into()))
}

fn proxy_env(proxy: &pb::ProxyEnv) -> Vec<String> {
    // Both spellings, as BuildKit sets them (`executor/oci/spec.go` by way of `solver/llbsolver/ops/exec.go`).
    [
        ("HTTP_PROXY", &proxy.http_proxy),
        ("HTTPS_PROXY", &proxy.https_proxy),
        ("FTP_PROXY", &proxy.ftp_proxy),
        ("NO_PROXY", &proxy.no_proxy),
        ("ALL_PROXY", &proxy.all_proxy),
    ]
    .iter()
    .filter(|(_, value)| !value.is_empty())
    .flat_map(|(name, value)| [format!("{name}={value}"), format!("{}={value}", name.to_lowercase())])
    .collect()
}

fn ulimit(limit: &pb::Ulimit) -> sandbox::Ulimit {
    sandbox::Ulimit {
        name: limit.name.clone(),
        soft: u64::try_from(limit.soft).ok(),
        hard: u64::try_from(limit.hard).ok(),
    }
}

/// Runs a step, hands its output on as it comes, and returns its last lines.
fn supervise(executor: &Executor, step: &Step, task: &Task) -> Result<(sandbox::Status, Vec<String>), Cause> {
    let (read, write) = std::io::pipe().map_err(Cause::io("make a pipe"))?;
    let both: OwnedFd = write.into();
    let streams = Streams { stdin: None, stdout: both.try_clone().map_err(Cause::io("make a pipe"))?, stderr: both };
    let mut child = sandbox::spawn(step, streams).inspect_err(|_| (executor.ground.host.distrust)())?;
    let _watched = executor.request.interrupt.watch(child.signaller());
    let tail = Arc::new(Mutex::new(Vec::<u8>::new()));
    let reader = {
        let (events, task, tail) = (executor.ground.events.clone(), task.clone(), tail.clone());
        thread::spawn(move || {
            let mut read = read;
            let mut buffer = vec![0; 64 << 10];
            while let Ok(n @ 1..) = read.read(&mut buffer) {
                events.output(&task, &buffer[..n]);
                let mut tail = tail.lock().expect("no panic while holding it");
                tail.extend_from_slice(&buffer[..n]);
                let surplus = tail.len().saturating_sub(16 << 10);
                tail.drain(..surplus);
            }
        })
    };
    let status = child.wait();
    let _ = reader.join();
    let tail = String::from_utf8_lossy(&tail.lock().expect("the reader has ended")).into_owned();
    let lines: Vec<String> = tail.lines().map(|l| l.trim_end().to_string()).collect();
    Ok((status?, lines[lines.len().saturating_sub(TAIL_LINES)..].to_vec()))
}

/// Runs another command in the place of a failed one, on the terminal.
fn interactive(executor: &Executor, step: &Step, args: &[&str]) -> Result<i32, Cause> {
    let mut step = step.clone();
    step.args = args.iter().map(|a| a.to_string()).collect();
    step.terminal = true;
    let copy = |fd: std::os::fd::BorrowedFd| fd.try_clone_to_owned().map_err(Cause::io("copy a file descriptor"));
    use std::os::fd::AsFd;
    let streams = Streams {
        stdin: Some(copy(std::io::stdin().as_fd())?),
        stdout: copy(std::io::stdout().as_fd())?,
        stderr: copy(std::io::stderr().as_fd())?,
    };
    let mut child = sandbox::spawn(&step, streams)?;
    let _watched = executor.request.interrupt.watch(child.signaller());
    Ok(child.wait()?.code())
}

fn failure(step: &Step, platform: &Platform, status: sandbox::Status, tail: Vec<String>) -> Cause {
    let hint = if status.illegal_instruction() && !matches!(step.emulation, Emulation::None) {
        Some(format!(
            "the program has an instruction that {platform} does not have, so it would die on the router too: it is built for a \
             newer CPU\n  use a build of it for {platform} (for Go: GOARM; for C: -march; Debian's armel is arm/v5)"
        ))
    } else {
        match status.code() {
            126 => Some("the shell says that the command can't be executed".into()),
            127 => {
                Some("the shell did not find the command: is its package in the image, and its folder in PATH?".into())
            }
            137 => Some("it was killed; often that is the machine out of memory".into()),
            _ => None,
        }
    };
    Cause::Step { command: step.args.join(" "), how: describe(status), hint, tail }
}

/// How a command ended, in words; 128 and more is how a shell tells of a signal.
fn describe(status: sandbox::Status) -> String {
    let signal = match status {
        sandbox::Status::Exited(code) if code <= 128 => return format!("exit code {code}"),
        sandbox::Status::Exited(code) => code - 128,
        sandbox::Status::Signaled(signal) => signal,
    };
    let name = match signal {
        libc::SIGILL => " (SIGILL: illegal instruction)",
        libc::SIGABRT => " (SIGABRT)",
        libc::SIGBUS => " (SIGBUS)",
        libc::SIGFPE => " (SIGFPE)",
        libc::SIGKILL => " (SIGKILL)",
        libc::SIGSEGV => " (SIGSEGV: segmentation fault)",
        libc::SIGPIPE => " (SIGPIPE)",
        libc::SIGTERM => " (SIGTERM)",
        libc::SIGSYS => " (SIGSYS: a forbidden system call)",
        _ => "",
    };
    match status {
        sandbox::Status::Exited(code) => format!("exit code {code}{name}"),
        sandbox::Status::Signaled(_) => format!("signal {signal}{name}"),
    }
}
