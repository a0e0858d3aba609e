//! Names of the capabilities that an op asks of its executor (BuildKit `solver/pb/caps.go`).
//!
//! They go into the op's metadata, so that an older BuildKit refuses a graph that it would
//! otherwise run wrongly.

/// A capability's name.
pub type Cap = &'static str;

macro_rules! caps {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: Cap = $text;)*
    };
}

caps! {
    /// Image sources.
    SOURCE_IMAGE = "source.image";
    /// A forced pull.
    SOURCE_IMAGE_RESOLVE_MODE = "source.image.resolvemode";
    /// An image cut at some layer.
    SOURCE_IMAGE_LAYER_LIMIT = "source.image.layerlimit";
    /// Local sources.
    SOURCE_LOCAL = "source.local";
    /// A local source with an id of its own.
    SOURCE_LOCAL_UNIQUE = "source.local.unique";
    /// A local source of a named session.
    SOURCE_LOCAL_SESSION = "source.local.sessionid";
    /// Include patterns.
    SOURCE_LOCAL_INCLUDE = "source.local.includepatterns";
    /// Followed paths.
    SOURCE_LOCAL_FOLLOW = "source.local.followpaths";
    /// Exclude patterns.
    SOURCE_LOCAL_EXCLUDE = "source.local.excludepatterns";
    /// A shared key.
    SOURCE_LOCAL_SHARED_KEY = "source.local.sharedkeyhint";
    /// A required kind of comparison.
    SOURCE_LOCAL_DIFFER = "source.local.differ";
    /// Git sources.
    SOURCE_GIT = "source.git";
    /// `.git` kept.
    SOURCE_GIT_KEEP_DIR = "source.git.keepgitdir";
    /// The remote's full URL.
    SOURCE_GIT_FULL_URL = "source.git.fullurl";
    /// HTTP authentication by secret.
    SOURCE_GIT_HTTP_AUTH = "source.git.httpauth";
    /// Pinned SSH host keys.
    SOURCE_GIT_KNOWN_HOSTS = "source.git.knownsshhosts";
    /// An SSH agent's socket.
    SOURCE_GIT_SSH_SOCK = "source.git.mountsshsock";
    /// An expected commit.
    SOURCE_GIT_CHECKSUM = "source.git.checksum";
    /// No submodules.
    SOURCE_GIT_SKIP_SUBMODULES = "source.git.skipsubmodules";
    /// Times of the commit.
    SOURCE_GIT_MTIME = "source.git.mtime";
    /// A fetch of the commit itself.
    SOURCE_GIT_FETCH_BY_COMMIT = "source.git.fetchbycommit";
    /// HTTP sources.
    SOURCE_HTTP = "source.http";
    /// An expected digest.
    SOURCE_HTTP_CHECKSUM = "source.http.checksum";
    /// The file's mode.
    SOURCE_HTTP_PERM = "source.http.perm";
    /// The file's owner (the name's spelling is BuildKit's).
    SOURCE_HTTP_UID_GID = "soruce.http.uidgid";
    /// Authentication by secret.
    SOURCE_HTTP_AUTH = "source.http.auth";
    /// Request headers.
    SOURCE_HTTP_HEADER = "source.http.header";
    /// OCI layout sources.
    SOURCE_OCI_LAYOUT = "source.ocilayout";
    /// Exec ops.
    EXEC_META_BASE = "exec.meta.base";
    /// A parent cgroup.
    EXEC_META_CGROUP_PARENT = "exec.meta.cgroup.parent";
    /// Host or no network.
    EXEC_META_NETWORK = "exec.meta.network";
    /// Proxy variables outside the cache key.
    EXEC_META_PROXY = "exec.meta.proxyenv";
    /// No sandbox.
    EXEC_META_SECURITY = "exec.meta.security";
    /// The executor sets PATH itself when it is missing.
    EXEC_META_SETS_DEFAULT_PATH = "exec.meta.setsdefaultpath";
    /// Resource limits.
    EXEC_META_ULIMIT = "exec.meta.ulimit";
    /// Bind mounts.
    EXEC_MOUNT_BIND = "exec.mount.bind";
    /// Cache mounts.
    EXEC_MOUNT_CACHE = "exec.mount.cache";
    /// Their sharing modes.
    EXEC_MOUNT_CACHE_SHARING = "exec.mount.cache.sharing";
    /// A mount of a part of its source.
    EXEC_MOUNT_SELECTOR = "exec.mount.selector";
    /// tmpfs mounts.
    EXEC_MOUNT_TMPFS = "exec.mount.tmpfs";
    /// Their size.
    EXEC_MOUNT_TMPFS_SIZE = "exec.mount.tmpfs.size";
    /// Secrets as files.
    EXEC_MOUNT_SECRET = "exec.mount.secret";
    /// SSH agents.
    EXEC_MOUNT_SSH = "exec.mount.ssh";
    /// Content-based cache keys switched per mount.
    EXEC_MOUNT_CONTENT_CACHE = "exec.mount.cache.content";
    /// Secrets as variables.
    EXEC_SECRET_ENV = "exec.secretenv";
    /// Exit codes other than 0 that count as success.
    EXEC_VALID_EXIT_CODE = "exec.validexitcode";
    /// File ops.
    FILE_BASE = "file.base";
    /// Wildcards in a removal.
    FILE_RM_WILDCARD = "file.rm.wildcard";
    /// Patterns in a copy.
    FILE_COPY_PATTERNS = "file.copy.includeexcludepatterns";
    /// A copy that replaces what is in its way.
    FILE_COPY_REPLACE = "file.copy.alwaysreplaceexistingdestpaths";
    /// Symbolic modes.
    FILE_COPY_MODE_STRING = "file.copy.modestring";
    /// Symlinks.
    FILE_SYMLINK_CREATE = "file.symlink.create";
    /// Worker constraints.
    CONSTRAINTS = "constraints";
    /// Platforms.
    PLATFORM = "platform";
    /// Cache switched off per op.
    META_IGNORE_CACHE = "meta.ignorecache";
    /// Descriptions.
    META_DESCRIPTION = "meta.description";
    /// Cache export switched per op.
    META_EXPORT_CACHE = "meta.exportcache";
    /// Merge ops.
    MERGE_OP = "mergeop";
    /// Diff ops.
    DIFF_OP = "diffop";
}
