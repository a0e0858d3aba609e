//! A small world of images and contexts, and graphs as text.

use std::collections::BTreeMap;
use std::sync::Mutex;

use routerpack_frontends::dockerfile::Dockerfile;
use routerpack_frontends::dockerfile::lower::{
    Context, LowerError, Lowered, Options, ResolveError, ResolvedImage, Resolver, lower,
};
use routerpack_graph::{Digest, Graph, Platform, pb};

/// Image configs by full reference, contexts by name; and what was asked for.
#[derive(Default)]
pub struct World {
    pub images: BTreeMap<String, String>,
    pub contexts: BTreeMap<String, Context>,
    /// When sources were changed, by identifier.
    pub times: BTreeMap<String, Option<i64>>,
    pub asked: Mutex<Vec<String>>,
}

/// The digest that every image has here.
pub fn digest() -> Digest {
    Digest::of(b"manifest")
}

impl World {
    /// A world with one image, `alpine`.
    pub fn new() -> Self {
        Self::default().image("docker.io/library/alpine:latest", r#"{"Env":["PATH=/bin"],"Cmd":["/bin/sh"]}"#)
    }

    /// With one more image, for linux/amd64, whose `config` member is this.
    pub fn image(mut self, reference: &str, config: &str) -> Self {
        let layer = Digest::of(reference.as_bytes());
        let text = format!(
            concat!(
                r#"{{"created":"2020-01-01T00:00:00Z","architecture":"amd64","os":"linux","config":{},"#,
                r#""rootfs":{{"type":"layers","diff_ids":["{}"]}},"history":[{{"created_by":"base"}}]}}"#
            ),
            config, layer
        );
        self.images.insert(reference.into(), text);
        self
    }

    pub fn context(mut self, name: &str, context: Context) -> Self {
        self.contexts.insert(name.into(), context);
        self
    }
}

impl Resolver for World {
    fn image(&self, reference: &str, platform: &Platform) -> Result<ResolvedImage, ResolveError> {
        self.asked.lock().unwrap().push(format!("{reference} {platform}"));
        match self.images.get(reference) {
            Some(config) => Ok(ResolvedImage {
                reference: reference.into(),
                digest: Some(digest()),
                config: config.clone().into_bytes(),
            }),
            None => Err(format!("{reference}: not found").into()),
        }
    }

    fn changed(&self, source: &pb::SourceOp) -> Result<Option<i64>, ResolveError> {
        Ok(self.times.get(&source.identifier).copied().flatten())
    }

    fn context(&self, name: &str, platform: &Platform) -> Result<Context, ResolveError> {
        self.asked.lock().unwrap().push(format!("context {name} {platform}"));
        self.contexts.get(name).cloned().ok_or_else(|| format!("no context {name}").into())
    }
}

pub fn amd64() -> Platform {
    Platform::new("linux", "amd64", "")
}

pub fn options() -> Options {
    Options::new(amd64())
}

pub fn with_args(args: &[(&str, &str)]) -> Options {
    let build_args = args.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Options { build_args, ..options() }
}

pub fn try_lower(source: &str, options: &Options, world: &World) -> Result<Lowered, LowerError> {
    let file = Dockerfile::parse(source).unwrap_or_else(|errors| panic!("{source}: {errors:?}"));
    let mut options = options.clone();
    options.contexts.extend(world.contexts.keys().cloned());
    lower(&file, source, &options, world)
}

/// Lowers what must work.
#[track_caller]
pub fn build(source: &str, options: &Options, world: &World) -> Lowered {
    match try_lower(source, options, world) {
        Ok(lowered) => lowered,
        Err(error) => panic!("{source}: {}", error.diagnostic()),
    }
}

/// Lowers in the usual world, without wishes.
#[track_caller]
pub fn simple(source: &str) -> Lowered {
    build(source, &options(), &World::new())
}

/// The ops, one a line, inputs by number.
pub fn ops(lowered: &Lowered) -> Vec<String> {
    let graph = lowered.definition.graph().unwrap();
    graph.nodes.iter().map(|node| op(&graph, node)).collect()
}

/// The names shown for the ops.
pub fn names(lowered: &Lowered) -> Vec<String> {
    lowered.definition.graph().unwrap().nodes.iter().map(|node| node.name()).collect()
}

fn op(graph: &Graph, node: &routerpack_graph::Node) -> String {
    let _ = graph;
    let input = |index: i64| match usize::try_from(index) {
        Err(_) => "scratch".to_string(),
        Ok(index) => match node.inputs.get(index) {
            Some(edge) if edge.output == 0 => format!("#{}", edge.node),
            Some(edge) => format!("#{}.{}", edge.node, edge.output),
            None => format!("^{}", index - node.inputs.len()),
        },
    };
    let text = match node.op.op.as_ref().unwrap() {
        pb::op::Op::Source(source) => source_op(source),
        pb::op::Op::Exec(exec) => exec_op(exec, &input),
        pb::op::Op::File(file) => {
            file.actions.iter().map(|action| file_action(action, &input)).collect::<Vec<_>>().join("; ")
        }
        pb::op::Op::Merge(merge) => {
            format!("merge {}", merge.inputs.iter().map(|i| input(i.input)).collect::<Vec<_>>().join(" "))
        }
        other => format!("{other:?}"),
    };
    match &node.op.platform {
        Some(platform) => format!("{text} on {}", Platform::from_pb(platform)),
        None => text,
    }
}

fn source_op(source: &pb::SourceOp) -> String {
    let short = source.identifier.replace(&digest().to_string(), "DIGEST");
    let attrs: Vec<String> = source
        .attrs
        .iter()
        .filter(|(name, _)| *name != "local.sharedkeyhint" && !name.starts_with("git.auth"))
        .map(|(name, value)| format!(" {name}={value}"))
        .collect();
    format!("{short}{}", attrs.concat())
}

fn exec_op(exec: &pb::ExecOp, input: &dyn Fn(i64) -> String) -> String {
    let meta = exec.meta.as_ref().unwrap();
    let mut text = format!("exec {:?} env={:?} cwd={}", meta.args, meta.env, meta.cwd);
    for (name, value) in [("user", &meta.user), ("hostname", &meta.hostname)] {
        if !value.is_empty() {
            text.push_str(&format!(" {name}={value}"));
        }
    }
    if exec.network != 0 || exec.security != 0 {
        text.push_str(&format!(" network={} security={}", exec.network, exec.security));
    }
    for mount in &exec.mounts {
        let kind = ["", "secret", "ssh", "cache", "tmpfs"][mount.mount_type as usize];
        let mut flags = String::from(kind);
        if mount.readonly {
            flags.push_str(" ro");
        }
        if mount.output < 0 && !mount.readonly && kind.is_empty() {
            flags.push_str(" discard");
        }
        if let Some(cache) = &mount.cache_opt {
            flags.push_str(&format!(" id={} sharing={}", cache.id, cache.sharing));
        }
        if let Some(secret) = &mount.secret_opt {
            let optional = if secret.optional { " optional" } else { "" };
            flags.push_str(&format!(" id={} {}:{} {:o}{optional}", secret.id, secret.uid, secret.gid, secret.mode));
        }
        if let Some(ssh) = &mount.ssh_opt {
            let optional = if ssh.optional { " optional" } else { "" };
            flags.push_str(&format!(" id={} {:o}{optional}", ssh.id, ssh.mode));
        }
        if let Some(tmpfs) = &mount.tmpfs_opt {
            flags.push_str(&format!(" size={}", tmpfs.size));
        }
        let separator = if flags.is_empty() { "" } else { " " };
        text.push_str(&format!(
            " [{}={}{}{separator}{}]",
            mount.dest,
            input(mount.input),
            mount.selector,
            flags.trim()
        ));
    }
    for secret in &exec.secretenv {
        let optional = if secret.optional { " optional" } else { "" };
        text.push_str(&format!(" ${}={}{optional}", secret.name, secret.id));
    }
    text
}

fn file_action(action: &pb::FileAction, input: &dyn Fn(i64) -> String) -> String {
    use pb::file_action::Action;
    let id = |id: &Option<pb::UserOpt>| match id.as_ref().and_then(|id| id.user.clone()) {
        None => "-".to_string(),
        Some(pb::user_opt::User::ById(number)) => number.to_string(),
        Some(pb::user_opt::User::ByName(named)) => format!("{}@{}", named.name, input(named.input)),
    };
    let owner = |owner: &Option<pb::ChownOpt>| match owner {
        Some(owner) => format!(" owner={}:{}", id(&owner.user), id(&owner.group)),
        None => String::new(),
    };
    let time = |time: i64| if time < 0 { String::new() } else { format!(" time={time}") };
    match action.action.as_ref().unwrap() {
        Action::Copy(copy) => {
            let mut text = format!(
                "copy {}{} to {}{}{}{}",
                input(action.secondary_input),
                copy.src,
                input(action.input),
                copy.dest,
                owner(&copy.owner),
                time(copy.timestamp)
            );
            if copy.mode >= 0 && copy.mode_str.is_empty() {
                text.push_str(&format!(" mode={:o}", copy.mode));
            }
            for (name, set) in [
                ("follow", copy.follow_symlink),
                ("contents", copy.dir_copy_contents),
                ("unpack", copy.attempt_unpack_docker_compatibility),
                ("wildcard", copy.allow_wildcard && copy.allow_empty_wildcard),
                ("parents", copy.create_dest_path),
            ] {
                if set {
                    text.push_str(&format!(" {name}"));
                }
            }
            for (name, list) in [
                ("include", &copy.include_patterns),
                ("exclude", &copy.exclude_patterns),
                ("require", &copy.required_paths),
            ] {
                if !list.is_empty() {
                    text.push_str(&format!(" {name}={list:?}"));
                }
            }
            if !copy.mode_str.is_empty() {
                text.push_str(&format!(" mode={} ({})", copy.mode_str, copy.mode));
            }
            text
        }
        Action::Mkdir(mkdir) => format!(
            "mkdir {}{} mode={:o}{}{}{}",
            input(action.input),
            mkdir.path,
            mkdir.mode,
            if mkdir.make_parents { " parents" } else { "" },
            owner(&mkdir.owner),
            time(mkdir.timestamp)
        ),
        Action::Mkfile(mkfile) => format!(
            "mkfile {}{} mode={:o} {:?}",
            input(action.input),
            mkfile.path,
            mkfile.mode,
            String::from_utf8_lossy(&mkfile.data)
        ),
        other => format!("{other:?}"),
    }
}
