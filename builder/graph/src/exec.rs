//! Exec ops: a command in a root file system, with mounts (BuildKit `client/llb/exec.go`).

use crate::caps::{self, Cap};
use crate::pb;
use crate::vertex::{Constraints, Inputs, Output, seal};

pub use pb::{CacheSharingOpt as CacheSharing, NetMode as Network, SecurityMode as Security};

/// A command to run.
#[derive(Clone, Debug)]
pub struct Exec {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// `NAME=value`, each name once.
    pub env: Vec<String>,
    /// The working directory: absolute.
    pub cwd: String,
    /// `user[:group]`, names or numbers; empty is root.
    pub user: String,
    /// Empty leaves the executor's own.
    pub hostname: String,
    /// Lines for `/etc/hosts`: name and address.
    pub extra_hosts: Vec<(String, String)>,
    /// Resource limits.
    pub ulimits: Vec<pb::Ulimit>,
    /// The cgroup to start in.
    pub cgroup_parent: String,
    /// Proxy variables, which the cache key leaves out.
    pub proxy: Option<pb::ProxyEnv>,
    /// Exit codes that count as success; empty: just 0.
    pub valid_exit_codes: Vec<i32>,
    /// Mount points that had to be made go afterwards, with the parents made for them.
    pub remove_mount_stubs: bool,
    /// `Unset` is the executor's default network.
    pub network: Network,
    /// Sandbox or not.
    pub security: Security,
    /// The root file system.
    pub root: Option<Output>,
    /// The root takes no changes (and the op yields none).
    pub readonly_root: bool,
    /// Binds, caches and tmpfs.
    pub mounts: Vec<Mount>,
    /// Secrets, as files or variables.
    pub secrets: Vec<Secret>,
    /// SSH agents.
    pub ssh: Vec<Ssh>,
}

/// A mount other than secrets and agents.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Where: absolute.
    pub dest: String,
    /// What; `None` is an empty directory.
    pub source: Option<Output>,
    /// The directory or file within the source; empty is all of it.
    pub selector: String,
    /// No writes.
    pub readonly: bool,
    /// Writes are dropped: the mount isn't a result.
    pub discard: bool,
    /// Bind, cache or tmpfs.
    pub kind: MountKind,
    /// Whether the content of the source counts for the cache key.
    pub content_cache: pb::MountContentCache,
}

/// The kinds of [`Mount`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// The source itself.
    Bind,
    /// A directory that outlives the build.
    Cache {
        /// Its identity: not empty.
        id: String,
        /// What happens when two steps want it at once.
        sharing: CacheSharing,
    },
    /// Memory, lost afterwards.
    Tmpfs {
        /// In bytes; 0 is the kernel's default.
        size: i64,
    },
}

/// A secret for one command.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Its name on the client.
    pub id: String,
    /// The file that holds it, if any.
    pub target: Option<String>,
    /// The variable that holds it, if any.
    pub env: Option<String>,
    /// The file's owner.
    pub uid: u32,
    /// The file's group.
    pub gid: u32,
    /// The file's permission bits.
    pub mode: u32,
    /// Not having it is no error.
    pub optional: bool,
}

/// An SSH agent's socket for one command.
#[derive(Clone, Debug)]
pub struct Ssh {
    /// Its name on the client.
    pub id: String,
    /// The socket; `None` is `/run/buildkit/ssh_agent.N`.
    pub target: Option<String>,
    /// The socket's owner.
    pub uid: u32,
    /// The socket's group.
    pub gid: u32,
    /// The socket's permission bits.
    pub mode: u32,
    /// Not having it is no error.
    pub optional: bool,
}

/// An exec op that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidExec {
    /// No program.
    #[error("a command to run has no arguments: give it a program")]
    NoArgs,
    /// No working directory.
    #[error("a command to run has no working directory: give it an absolute path")]
    NoCwd,
    /// A tmpfs over something.
    #[error("the tmpfs at `{0}` has a source: a tmpfs starts empty")]
    TmpfsWithSource(String),
    /// A cache without identity.
    #[error("the cache mount at `{0}` has no id: give it one")]
    CacheWithoutId(String),
}

/// What an exec op leaves behind.
#[derive(Clone, Debug)]
pub struct Executed(Vec<(String, Option<Output>)>);

impl Executed {
    /// The root file system afterwards.
    pub fn root(&self) -> Option<Output> {
        self.mount("/")
    }

    /// The file system mounted at `dest` afterwards: the source itself for a read-only mount;
    /// `None` for scratch, caches, tmpfs, and what was mounted to be dropped.
    pub fn mount(&self, dest: &str) -> Option<Output> {
        self.0.iter().find(|(d, _)| d == dest)?.1.clone()
    }
}

impl Mount {
    /// A writable bind.
    pub fn bind(dest: impl Into<String>, source: Option<Output>) -> Self {
        Self {
            dest: dest.into(),
            source,
            selector: String::new(),
            readonly: false,
            discard: false,
            kind: MountKind::Bind,
            content_cache: pb::MountContentCache::Default,
        }
    }

    /// An empty tmpfs.
    pub fn tmpfs(dest: impl Into<String>, size: i64) -> Self {
        Self { kind: MountKind::Tmpfs { size }, ..Self::bind(dest, None) }
    }

    /// A cache directory.
    pub fn cache(dest: impl Into<String>, id: impl Into<String>, sharing: CacheSharing) -> Self {
        Self { kind: MountKind::Cache { id: id.into(), sharing }, ..Self::bind(dest, None) }
    }

    fn is_output(&self) -> bool {
        self.kind == MountKind::Bind && !self.readonly && !self.discard
    }

    fn check(&self) -> Result<(), InvalidExec> {
        match &self.kind {
            MountKind::Tmpfs { .. } if self.source.is_some() => Err(InvalidExec::TmpfsWithSource(self.dest.clone())),
            MountKind::Cache { id, .. } if id.is_empty() => Err(InvalidExec::CacheWithoutId(self.dest.clone())),
            _ => Ok(()),
        }
    }

    fn to_pb(&self, input: i64, output: i64) -> pb::Mount {
        let mut mount = pb::Mount {
            input,
            output,
            selector: self.selector.clone(),
            dest: self.dest.clone(),
            readonly: self.readonly,
            content_cache: self.content_cache.into(),
            ..Default::default()
        };
        match &self.kind {
            MountKind::Bind => {}
            MountKind::Cache { id, sharing } => {
                mount.mount_type = pb::MountType::Cache.into();
                mount.cache_opt = Some(pb::CacheOpt { id: id.clone(), sharing: (*sharing).into() });
            }
            MountKind::Tmpfs { size } => {
                mount.mount_type = pb::MountType::Tmpfs.into();
                mount.tmpfs_opt = Some(pb::TmpfsOpt { size: *size });
            }
        }
        mount
    }
}

impl Exec {
    /// A command in `/` of a root file system, as root, with an empty environment.
    pub fn new(root: Option<Output>, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            args: args.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: "/".into(),
            user: String::new(),
            hostname: String::new(),
            extra_hosts: Vec::new(),
            ulimits: Vec::new(),
            cgroup_parent: String::new(),
            proxy: None,
            valid_exit_codes: Vec::new(),
            remove_mount_stubs: true,
            network: Network::Unset,
            security: Security::Sandbox,
            root,
            readonly_root: false,
            mounts: Vec::new(),
            secrets: Vec::new(),
            ssh: Vec::new(),
        }
    }

    /// The op and its results.
    pub fn run(&self, constraints: &Constraints) -> Result<Executed, InvalidExec> {
        if self.args.is_empty() {
            return Err(InvalidExec::NoArgs);
        }
        if self.cwd.is_empty() {
            return Err(InvalidExec::NoCwd);
        }
        let root = Mount { readonly: self.readonly_root, ..Mount::bind("/", self.root.clone()) };
        let mut mounts: Vec<&Mount> = std::iter::once(&root).chain(&self.mounts).collect();
        // The order is part of the op: by destination, so that parents come before children.
        mounts.sort_by(|a, b| a.dest.cmp(&b.dest));

        let (mut inputs, mut outputs) = (Inputs::default(), Vec::new());
        let mut marshalled = Vec::new();
        for mount in &mounts {
            mount.check()?;
            let output = if mount.is_output() { outputs.len() as i64 } else { -1 };
            if mount.is_output() {
                outputs.push(mount.dest.clone());
            }
            marshalled.push(mount.to_pb(inputs.slot(mount.source.as_ref()), output));
        }
        let sockets: Vec<String> = (0..)
            .zip(&self.ssh)
            .map(|(i, ssh)| ssh.target.clone().unwrap_or_else(|| format!("/run/buildkit/ssh_agent.{i}")))
            .collect();
        let secret_files = self.secrets.iter().filter_map(Secret::to_mount);
        marshalled.extend(secret_files);
        marshalled.extend(self.ssh.iter().zip(&sockets).map(|(ssh, socket)| ssh.to_mount(socket)));

        let op = pb::ExecOp {
            meta: Some(self.meta(sockets.first())),
            mounts: marshalled,
            network: self.network.into(),
            security: self.security.into(),
            secretenv: self.secrets.iter().filter_map(Secret::to_env).collect(),
            cdi_devices: Vec::new(),
        };
        let sealed = seal(pb::op::Op::Exec(op), inputs.0, constraints, true, self.caps(&mounts));
        let result = |mount: &&Mount| {
            let output = match outputs.iter().position(|dest| *dest == mount.dest) {
                Some(index) if mount.is_output() => Some(sealed.at(index as i64)),
                _ => mount.source.clone().filter(|_| mount.readonly),
            };
            (mount.dest.clone(), output)
        };
        Ok(Executed(mounts.iter().map(result).collect()))
    }

    fn meta(&self, first_socket: Option<&String>) -> pb::Meta {
        let mut env = self.env.clone();
        if let Some(socket) = first_socket
            && !env.iter().any(|pair| pair.starts_with("SSH_AUTH_SOCK="))
        {
            env.push(format!("SSH_AUTH_SOCK={socket}"));
        }
        let host = |(host, ip): &(String, String)| pb::HostIp { host: host.clone(), ip: ip.clone() };
        pb::Meta {
            args: self.args.clone(),
            env,
            cwd: self.cwd.clone(),
            user: self.user.clone(),
            proxy_env: self.proxy.clone(),
            extra_hosts: self.extra_hosts.iter().map(host).collect(),
            hostname: self.hostname.clone(),
            ulimit: self.ulimits.clone(),
            cgroup_parent: self.cgroup_parent.clone(),
            remove_mount_stubs_recursive: self.remove_mount_stubs,
            valid_exit_codes: self.valid_exit_codes.clone(),
        }
    }

    fn caps(&self, mounts: &[&Mount]) -> Vec<Cap> {
        let mut needs = vec![caps::EXEC_META_BASE, caps::EXEC_META_SETS_DEFAULT_PATH];
        let mut when = |condition: bool, cap: Cap| needs.extend(condition.then_some(cap));
        when(!self.valid_exit_codes.is_empty(), caps::EXEC_VALID_EXIT_CODE);
        when(!self.ulimits.is_empty(), caps::EXEC_META_ULIMIT);
        when(!self.cgroup_parent.is_empty(), caps::EXEC_META_CGROUP_PARENT);
        when(self.network != Network::Unset, caps::EXEC_META_NETWORK);
        when(self.security != Security::Sandbox, caps::EXEC_META_SECURITY);
        when(self.proxy.is_some(), caps::EXEC_META_PROXY);
        for mount in mounts {
            when(!mount.selector.is_empty(), caps::EXEC_MOUNT_SELECTOR);
            when(mount.content_cache != pb::MountContentCache::Default, caps::EXEC_MOUNT_CONTENT_CACHE);
            match mount.kind {
                MountKind::Bind => when(mount.source.is_some(), caps::EXEC_MOUNT_BIND),
                MountKind::Cache { .. } => {
                    when(true, caps::EXEC_MOUNT_CACHE);
                    when(true, caps::EXEC_MOUNT_CACHE_SHARING);
                }
                MountKind::Tmpfs { size } => {
                    when(true, caps::EXEC_MOUNT_TMPFS);
                    when(size > 0, caps::EXEC_MOUNT_TMPFS_SIZE);
                }
            }
        }
        when(!self.secrets.is_empty(), caps::EXEC_MOUNT_SECRET);
        when(self.secrets.iter().any(|s| s.env.is_some()), caps::EXEC_SECRET_ENV);
        when(!self.ssh.is_empty(), caps::EXEC_MOUNT_SSH);
        needs
    }
}

impl Secret {
    /// A secret as a file that only root can read.
    pub fn file(id: impl Into<String>, target: impl Into<String>) -> Self {
        Self { id: id.into(), target: Some(target.into()), env: None, uid: 0, gid: 0, mode: 0o400, optional: false }
    }

    fn to_mount(&self) -> Option<pb::Mount> {
        let Secret { id, uid, gid, mode, optional, .. } = self.clone();
        Some(pb::Mount {
            input: -1,
            dest: self.target.clone()?,
            mount_type: pb::MountType::Secret.into(),
            secret_opt: Some(pb::SecretOpt { id, uid, gid, mode, optional }),
            ..Default::default()
        })
    }

    fn to_env(&self) -> Option<pb::SecretEnv> {
        Some(pb::SecretEnv { id: self.id.clone(), name: self.env.clone()?, optional: self.optional })
    }
}

impl Ssh {
    /// An agent whose socket only root can use.
    pub fn agent(id: impl Into<String>) -> Self {
        Self { id: id.into(), target: None, uid: 0, gid: 0, mode: 0o600, optional: false }
    }

    fn to_mount(&self, socket: &str) -> pb::Mount {
        let Ssh { id, uid, gid, mode, optional, .. } = self.clone();
        pb::Mount {
            input: -1,
            dest: socket.to_string(),
            mount_type: pb::MountType::Ssh.into(),
            ssh_opt: Some(pb::SshOpt { id, uid, gid, mode, optional }),
            ..Default::default()
        }
    }
}
