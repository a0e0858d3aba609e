//! What one step is: plain data, complete, ready to be sent to the runner.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::emulators::Target;
use crate::native::Native;

/// One command in one root filesystem.
///
/// ids everywhere are those of the caller's user namespace (the step's has the same ones).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// The filesystem it runs in.
    pub root: Root,
    /// Makes the root filesystem itself read-only (mounts over it keep their own mode).
    pub readonly_root: bool,
    /// The command and its arguments; the command is searched in the `PATH` of `env`.
    pub args: Vec<String>,
    /// The whole environment, `NAME=value`. `HOME` is added from the rootfs's passwd if it is not there,
    /// as runc does.
    pub env: Vec<String>,
    /// Working directory, absolute; created (root, 0755) if it is missing.
    pub cwd: String,
    /// `user`, `uid`, `user:group`, `uid:gid`; empty is root. Names are looked up in the rootfs.
    pub user: String,
    /// What is mounted over the root. Parents come before children whatever the order here.
    pub mounts: Vec<Mount>,
    /// Which network the command sees.
    pub network: Network,
    /// How far the command is locked in.
    pub security: Security,
    /// Which kernel means the sandbox is made of; what is possible here is told by [`crate::probe::probe`].
    pub isolation: Isolation,
    /// How binaries of another platform are run.
    pub emulation: Emulation,
    /// With [`Emulation::Private`]: which programs run natively all the same. Its [`Native::mount`] must be one of `mounts`.
    pub native: Option<Native>,
    /// Host name inside; BuildKit pins `buildkitsandbox` (`executor/oci/spec.go`).
    pub hostname: String,
    /// More lines for `/etc/hosts`: name, address.
    pub extra_hosts: Vec<(String, IpAddr)>,
    /// Content of `/etc/resolv.conf`; see [`crate::names::host_resolv_conf`].
    pub resolv_conf: String,
    /// Size of `/dev/shm` in bytes; Docker's default is 64 MiB.
    pub shm_size: u64,
    /// Resource limits on top of the inherited ones; `core` is 0 unless given here.
    pub ulimits: Vec<Ulimit>,
    /// The command is an interactive program on the caller's terminal: it becomes the terminal's foreground
    /// process group. Otherwise it has its own session and no terminal.
    pub terminal: bool,
}

impl Step {
    /// A step with the defaults that BuildKit gives to `RUN`: user root, `/`, default network, sandboxed.
    pub fn new(root: Root, args: Vec<String>) -> Self {
        Self {
            root,
            readonly_root: false,
            args,
            env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()],
            cwd: "/".into(),
            user: String::new(),
            mounts: Vec::new(),
            network: Network::Default,
            security: Security::Sandbox,
            isolation: Isolation::UserNamespace,
            emulation: Emulation::None,
            native: None,
            hostname: "buildkitsandbox".into(),
            extra_hosts: Vec::new(),
            resolv_conf: String::new(),
            shm_size: 64 << 20,
            ulimits: Vec::new(),
            terminal: false,
        }
    }
}

/// The root filesystem of a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Root {
    /// Layers under a writable directory; what the step changes ends in `upper`, in overlayfs's own form
    /// (whiteouts are character devices 0/0, opaque directories carry `user.overlay.opaque`).
    Overlay {
        /// Lowest first. At most some 400 (the kernel's stack limit is 500).
        lowers: Vec<PathBuf>,
        /// Receives the changes. Its own mode, owner and times are those of the step's `/`.
        upper: PathBuf,
        /// Empty directory on the filesystem of `upper`, for the kernel.
        work: PathBuf,
    },
    /// A directory that is changed in place.
    Dir(PathBuf),
}

/// Something mounted over the root filesystem.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// Where, absolute; resolved inside the root filesystem, symlinks included; created if missing and
    /// removed again after the step if still empty.
    pub target: String,
    /// What.
    pub source: Source,
    /// Whether writing is refused.
    pub readonly: bool,
}

/// What a [`Mount`] shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Source {
    /// A file or directory of the host, as it is (a cache mount is a writable one).
    Bind {
        /// On the host.
        path: PathBuf,
        /// Below `path`, resolved inside it; empty for all of it.
        subpath: String,
    },
    /// Stacked layers, lowest first, as another step's result has them.
    Layers {
        /// Lowest first.
        lowers: Vec<PathBuf>,
        /// Where writes go (to be thrown away by the caller); none: the mount is read-only.
        scratch: Option<Scratch>,
        /// Below the merged tree, resolved inside it; empty for all of it.
        subpath: String,
    },
    /// An empty directory in memory, mode 1777.
    Tmpfs {
        /// Bytes; none is the kernel's default (half of the memory).
        size: Option<u64>,
    },
    /// A file that exists in memory only.
    Secret {
        /// Its bytes.
        content: Vec<u8>,
        /// Permission bits, for example 0o400.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// A listening Unix socket of the host (an ssh agent), with the owner and mode that it has.
    Socket {
        /// On the host.
        path: PathBuf,
    },
}

/// The writable part of [`Source::Layers`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scratch {
    /// Receives the changes.
    pub upper: PathBuf,
    /// Empty directory on the same filesystem.
    pub work: PathBuf,
}

/// LLB `NetMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// The host's network namespace.
    Default,
    /// The host's network namespace, by wish.
    Host,
    /// A namespace of its own with nothing but a loopback.
    None,
}

/// LLB `SecurityMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Security {
    /// Docker's default capabilities and seccomp list; `/proc` and `/sys` partly hidden or read-only.
    Sandbox,
    /// All capabilities, no seccomp list, nothing hidden, and for root no user namespace.
    Insecure,
}

/// The kernel means a sandbox is made of, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Isolation {
    /// User, mount, pid, ipc and uts namespaces.
    UserNamespace,
    /// The same without the user namespace (root where user namespaces are forbidden).
    Namespaces,
    /// `chroot` alone: no mounts, no `/proc`; only [`Root::Dir`]. For a root without `CAP_SYS_ADMIN`.
    Chroot,
}

/// How binaries of another platform are run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Emulation {
    /// They are not: the step's platform is this machine's.
    None,
    /// Through qemu, registered for this step's user namespace alone (Linux 6.7).
    Private {
        /// A static qemu-user program on the host.
        qemu: PathBuf,
        /// For which binaries, and with which CPU.
        target: Target,
    },
    /// Through what the host has registered; the CPU model is then the host's choice.
    Registered,
}

/// One resource limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// `nofile`, `nproc`, `core` … as `setrlimit(2)` names them, lower case, without `RLIMIT_`.
    pub name: String,
    /// Soft limit; none is unlimited.
    pub soft: Option<u64>,
    /// Hard limit; none is unlimited.
    pub hard: Option<u64>,
}
