//! Protobuf messages as Go's `encoding/json` writes BuildKit's generated types: keys are the fields' names of
//! `solver/pb/ops.proto`, in its order; what has its default value is left out; an enum is its number, bytes are
//! base64. Where `solver/pb/json.go` writes a type in another way, that counts.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::pb;

/// The fields of a message.
#[derive(Default)]
struct Message(Map<String, Value>);

impl Message {
    /// Keeps a field unless it has its default value.
    fn field(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let default = match &value {
            Value::Null => true,
            Value::Bool(flag) => !flag,
            Value::Number(number) => number.as_i64() == Some(0),
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(_) => false, // a message that is there is written, empty or not
        };
        if !default {
            self.0.insert(key.into(), value);
        }
        self
    }

    /// A message that may be missing.
    fn message<T>(self, key: &str, message: &Option<T>, show: impl Fn(&T) -> Value) -> Self {
        self.field(key, message.as_ref().map_or(Value::Null, show))
    }

    /// Messages.
    fn messages<T>(self, key: &str, messages: &[T], show: impl Fn(&T) -> Value) -> Self {
        self.field(key, messages.iter().map(show).collect::<Vec<_>>())
    }

    /// A map; Go sorts its keys.
    fn map<V: Clone + Into<Value>>(self, key: &str, map: &std::collections::BTreeMap<String, V>) -> Self {
        let entries: Map<String, Value> = map.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
        if entries.is_empty() { self } else { self.field(key, entries) }
    }

    fn end(self) -> Value {
        Value::Object(self.0)
    }
}

/// An op, as `jsonOp` has it.
pub(super) fn op(op: &pb::Op) -> Value {
    use pb::op::Op;
    let kind = match &op.op {
        Some(Op::Exec(op)) => json!({ "exec": exec(op) }),
        Some(Op::Source(op)) => json!({ "source": source(op) }),
        Some(Op::File(op)) => json!({ "file": Message::default().messages("actions", &op.actions, action).end() }),
        Some(Op::Build(op)) => json!({ "build": build(op) }),
        Some(Op::Merge(op)) => {
            json!({ "merge": Message::default().messages("inputs", &op.inputs, |i| input(i.input)).end() })
        }
        Some(Op::Diff(op)) => json!({ "diff": diff(op) }),
        None => json!({}),
    };
    let edge = |edge: &pb::Input| Message::default().field("digest", &*edge.digest).field("index", edge.index).end();
    let constraints = |c: &pb::WorkerConstraints| Message::default().field("filter", &*c.filter).end();
    let mut shown = Message::default().messages("inputs", &op.inputs, edge);
    shown.0.insert("Op".into(), kind);
    shown.message("platform", &op.platform, platform).message("constraints", &op.constraints, constraints).end()
}

/// What goes beside an op.
pub(super) fn metadata(metadata: &pb::OpMetadata) -> Value {
    let group = |group: &pb::ProgressGroup| {
        Message::default().field("id", &*group.id).field("name", &*group.name).field("weak", group.weak).end()
    };
    let export = |export: &pb::ExportCache| Message::default().field("Value", export.value).end();
    Message::default()
        .field("ignore_cache", metadata.ignore_cache)
        .map("description", &metadata.description)
        .message("export_cache", &metadata.export_cache, export)
        .map("caps", &metadata.caps)
        .message("progress_group", &metadata.progress_group, group)
        .end()
}

/// A whole graph.
pub(super) fn definition(definition: &pb::Definition) -> Value {
    let beside: Map<String, Value> = definition.metadata.iter().map(|(k, m)| (k.clone(), metadata(m))).collect();
    let def: Vec<Value> = definition.def.iter().map(|op| STANDARD.encode(op).into()).collect();
    let shown = Message::default().field("def", def);
    let shown = if beside.is_empty() { shown } else { shown.field("metadata", beside) };
    shown.message("Source", &definition.source, origins).end()
}

/// Where a graph's ops come from.
fn origins(source: &pb::Source) -> Value {
    let position = |p: &pb::Position| Message::default().field("line", p.line).field("character", p.character).end();
    let range = |range: &pb::Range| {
        Message::default().message("start", &range.start, position).message("end", &range.end, position).end()
    };
    let location = |location: &pb::Location| {
        let index = Message::default().field("sourceIndex", location.source_index);
        index.messages("ranges", &location.ranges, range).end()
    };
    let locations = |list: &pb::Locations| Message::default().messages("locations", &list.locations, location).end();
    let info = |info: &pb::SourceInfo| {
        let named = Message::default().field("filename", &*info.filename).field("data", STANDARD.encode(&info.data));
        named.message("definition", &info.definition, definition).field("language", &*info.language).end()
    };
    let places: Map<String, Value> = source.locations.iter().map(|(k, list)| (k.clone(), locations(list))).collect();
    let shown = if places.is_empty() { Message::default() } else { Message::default().field("locations", places) };
    shown.messages("infos", &source.infos, info).end()
}

fn platform(platform: &pb::Platform) -> Value {
    Message::default()
        .field("Architecture", &*platform.architecture)
        .field("OS", &*platform.os)
        .field("Variant", &*platform.variant)
        .field("OSVersion", &*platform.os_version)
        .field("OSFeatures", &*platform.os_features)
        .end()
}

fn input(number: i64) -> Value {
    Message::default().field("input", number).end()
}

fn source(op: &pb::SourceOp) -> Value {
    Message::default().field("identifier", &*op.identifier).map("attrs", &op.attrs).end()
}

fn build(op: &pb::BuildOp) -> Value {
    let inputs: Map<String, Value> = op.inputs.iter().map(|(name, i)| (name.clone(), input(i.input))).collect();
    let inputs = if inputs.is_empty() { Value::Null } else { inputs.into() };
    Message::default().field("builder", op.builder).field("inputs", inputs).map("attrs", &op.attrs).end()
}

fn diff(op: &pb::DiffOp) -> Value {
    Message::default()
        .message("lower", &op.lower, |l| input(l.input))
        .message("upper", &op.upper, |u| input(u.input))
        .end()
}

fn exec(op: &pb::ExecOp) -> Value {
    let secret = |s: &pb::SecretEnv| {
        Message::default().field("ID", &*s.id).field("name", &*s.name).field("optional", s.optional).end()
    };
    let device = |d: &pb::CdiDevice| Message::default().field("name", &*d.name).field("optional", d.optional).end();
    Message::default()
        .message("meta", &op.meta, meta)
        .messages("mounts", &op.mounts, mount)
        .field("network", op.network)
        .field("security", op.security)
        .messages("secretenv", &op.secretenv, secret)
        .messages("cdiDevices", &op.cdi_devices, device)
        .end()
}

fn meta(meta: &pb::Meta) -> Value {
    let proxy = |proxy: &pb::ProxyEnv| {
        Message::default()
            .field("http_proxy", &*proxy.http_proxy)
            .field("https_proxy", &*proxy.https_proxy)
            .field("ftp_proxy", &*proxy.ftp_proxy)
            .field("no_proxy", &*proxy.no_proxy)
            .field("all_proxy", &*proxy.all_proxy)
            .end()
    };
    let host = |host: &pb::HostIp| Message::default().field("Host", &*host.host).field("IP", &*host.ip).end();
    let limit =
        |l: &pb::Ulimit| Message::default().field("Name", &*l.name).field("Soft", l.soft).field("Hard", l.hard).end();
    Message::default()
        .field("args", &*meta.args)
        .field("env", &*meta.env)
        .field("cwd", &*meta.cwd)
        .field("user", &*meta.user)
        .message("proxy_env", &meta.proxy_env, proxy)
        .messages("extraHosts", &meta.extra_hosts, host)
        .field("hostname", &*meta.hostname)
        .messages("ulimit", &meta.ulimit, limit)
        .field("cgroupParent", &*meta.cgroup_parent)
        .field("removeMountStubsRecursive", meta.remove_mount_stubs_recursive)
        .field("validExitCodes", &*meta.valid_exit_codes)
        .end()
}

fn mount(mount: &pb::Mount) -> Value {
    let cache = |c: &pb::CacheOpt| Message::default().field("ID", &*c.id).field("sharing", c.sharing).end();
    let file = |id: &str, uid: u32, gid: u32, mode: u32, optional: bool| {
        let owned = Message::default().field("ID", id).field("uid", uid).field("gid", gid);
        owned.field("mode", mode).field("optional", optional).end()
    };
    Message::default()
        .field("input", mount.input)
        .field("selector", &*mount.selector)
        .field("dest", &*mount.dest)
        .field("output", mount.output)
        .field("readonly", mount.readonly)
        .field("mountType", mount.mount_type)
        .message("TmpfsOpt", &mount.tmpfs_opt, |t| Message::default().field("size", t.size).end())
        .message("cacheOpt", &mount.cache_opt, cache)
        .message("secretOpt", &mount.secret_opt, |s| file(&s.id, s.uid, s.gid, s.mode, s.optional))
        .message("SSHOpt", &mount.ssh_opt, |s| file(&s.id, s.uid, s.gid, s.mode, s.optional))
        .field("resultID", &*mount.result_id)
        .field("contentCache", mount.content_cache)
        .end()
}

fn action(action: &pb::FileAction) -> Value {
    use pb::file_action::Action;
    let kind = match &action.action {
        Some(Action::Copy(action)) => json!({ "copy": copy(action) }),
        Some(Action::Mkfile(action)) => json!({ "mkfile": mkfile(action) }),
        Some(Action::Mkdir(action)) => json!({ "mkdir": mkdir(action) }),
        Some(Action::Rm(action)) => json!({ "rm": rm(action) }),
        Some(Action::Symlink(action)) => json!({ "symlink": symlink(action) }),
        None => json!({}),
    };
    let (input, second, output) = (action.input, action.secondary_input, action.output);
    json!({ "input": input, "secondaryInput": second, "output": output, "Action": kind })
}

fn copy(action: &pb::FileActionCopy) -> Value {
    Message::default()
        .field("src", &*action.src)
        .field("dest", &*action.dest)
        .message("owner", &action.owner, owner)
        .field("mode", action.mode)
        .field("followSymlink", action.follow_symlink)
        .field("dirCopyContents", action.dir_copy_contents)
        .field("attemptUnpackDockerCompatibility", action.attempt_unpack_docker_compatibility)
        .field("createDestPath", action.create_dest_path)
        .field("allowWildcard", action.allow_wildcard)
        .field("allowEmptyWildcard", action.allow_empty_wildcard)
        .field("timestamp", action.timestamp)
        .field("include_patterns", &*action.include_patterns)
        .field("exclude_patterns", &*action.exclude_patterns)
        .field("alwaysReplaceExistingDestPaths", action.always_replace_existing_dest_paths)
        .field("modeStr", &*action.mode_str)
        .field("required_paths", &*action.required_paths)
        .end()
}

fn mkfile(action: &pb::FileActionMkFile) -> Value {
    Message::default()
        .field("path", &*action.path)
        .field("mode", action.mode)
        .field("data", STANDARD.encode(&action.data))
        .message("owner", &action.owner, owner)
        .field("timestamp", action.timestamp)
        .end()
}

fn mkdir(action: &pb::FileActionMkDir) -> Value {
    Message::default()
        .field("path", &*action.path)
        .field("mode", action.mode)
        .field("makeParents", action.make_parents)
        .message("owner", &action.owner, owner)
        .field("timestamp", action.timestamp)
        .end()
}

fn rm(action: &pb::FileActionRm) -> Value {
    Message::default()
        .field("path", &*action.path)
        .field("allowNotFound", action.allow_not_found)
        .field("allowWildcard", action.allow_wildcard)
        .end()
}

fn symlink(action: &pb::FileActionSymlink) -> Value {
    Message::default()
        .field("oldpath", &*action.oldpath)
        .field("newpath", &*action.newpath)
        .message("owner", &action.owner, owner)
        .field("timestamp", action.timestamp)
        .end()
}

fn owner(owner: &pb::ChownOpt) -> Value {
    Message::default().message("user", &owner.user, user).message("group", &owner.group, user).end()
}

/// As `jsonUserOpt` has it.
fn user(user: &pb::UserOpt) -> Value {
    use pb::user_opt::User;
    let by = match &user.user {
        Some(User::ByName(named)) => {
            let named = Message::default().field("name", &*named.name).field("input", named.input).end();
            Message::default().field("byName", named).end()
        }
        Some(User::ById(id)) => Message::default().field("byId", *id).end(),
        None => json!({}),
    };
    json!({ "User": by })
}
