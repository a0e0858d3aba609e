//! LLB messages as `buildkit-llb` 0.2 wants them: prost 0.6, hash maps, nothing but data.
//!
//! Field numbers are those of BuildKit's `solver/pb/ops.proto`; only what that crate names is here.

pub mod pb {
    use prost::{Enumeration, Message};
    use std::collections::HashMap;

    #[derive(Clone, PartialEq, Message)]
    pub struct Definition {
        #[prost(bytes, repeated, tag = "1")]
        pub def: Vec<Vec<u8>>,
        #[prost(map = "string, message", tag = "2")]
        pub metadata: HashMap<String, OpMetadata>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct OpMetadata {
        #[prost(bool, tag = "1")]
        pub ignore_cache: bool,
        #[prost(map = "string, string", tag = "2")]
        pub description: HashMap<String, String>,
        #[prost(map = "string, bool", tag = "5")]
        pub caps: HashMap<String, bool>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Op {
        #[prost(message, repeated, tag = "1")]
        pub inputs: Vec<Input>,
        #[prost(oneof = "op::Op", tags = "2, 3, 4")]
        pub op: Option<op::Op>,
    }

    pub mod op {
        #[derive(Clone, PartialEq, prost::Oneof)]
        pub enum Op {
            #[prost(message, tag = "2")]
            Exec(super::ExecOp),
            #[prost(message, tag = "3")]
            Source(super::SourceOp),
            #[prost(message, tag = "4")]
            File(super::FileOp),
        }
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Input {
        #[prost(string, tag = "1")]
        pub digest: String,
        #[prost(int64, tag = "2")]
        pub index: i64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct SourceOp {
        #[prost(string, tag = "1")]
        pub identifier: String,
        #[prost(map = "string, string", tag = "2")]
        pub attrs: HashMap<String, String>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct ExecOp {
        #[prost(message, optional, tag = "1")]
        pub meta: Option<Meta>,
        #[prost(message, repeated, tag = "2")]
        pub mounts: Vec<Mount>,
        #[prost(enumeration = "NetMode", tag = "3")]
        pub network: i32,
        #[prost(enumeration = "SecurityMode", tag = "4")]
        pub security: i32,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Meta {
        #[prost(string, repeated, tag = "1")]
        pub args: Vec<String>,
        #[prost(string, repeated, tag = "2")]
        pub env: Vec<String>,
        #[prost(string, tag = "3")]
        pub cwd: String,
        #[prost(string, tag = "4")]
        pub user: String,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Mount {
        #[prost(int64, tag = "1")]
        pub input: i64,
        #[prost(string, tag = "2")]
        pub selector: String,
        #[prost(string, tag = "3")]
        pub dest: String,
        #[prost(int64, tag = "4")]
        pub output: i64,
        #[prost(bool, tag = "5")]
        pub readonly: bool,
        #[prost(enumeration = "MountType", tag = "6")]
        pub mount_type: i32,
        #[prost(message, optional, tag = "20")]
        pub cache_opt: Option<CacheOpt>,
        #[prost(message, optional, tag = "22")]
        pub ssh_opt: Option<SshOpt>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct CacheOpt {
        #[prost(string, tag = "1")]
        pub id: String,
        #[prost(enumeration = "CacheSharingOpt", tag = "2")]
        pub sharing: i32,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct SshOpt {
        #[prost(string, tag = "1")]
        pub id: String,
        #[prost(uint32, tag = "2")]
        pub uid: u32,
        #[prost(uint32, tag = "3")]
        pub gid: u32,
        #[prost(uint32, tag = "4")]
        pub mode: u32,
        #[prost(bool, tag = "5")]
        pub optional: bool,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct FileOp {
        #[prost(message, repeated, tag = "2")]
        pub actions: Vec<FileAction>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct FileAction {
        #[prost(int64, tag = "1")]
        pub input: i64,
        #[prost(int64, tag = "2")]
        pub secondary_input: i64,
        #[prost(int64, tag = "3")]
        pub output: i64,
        #[prost(oneof = "file_action::Action", tags = "4, 5, 6")]
        pub action: Option<file_action::Action>,
    }

    pub mod file_action {
        #[derive(Clone, PartialEq, prost::Oneof)]
        pub enum Action {
            #[prost(message, tag = "4")]
            Copy(super::FileActionCopy),
            #[prost(message, tag = "5")]
            Mkfile(super::FileActionMkFile),
            #[prost(message, tag = "6")]
            Mkdir(super::FileActionMkDir),
        }
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct FileActionCopy {
        #[prost(string, tag = "1")]
        pub src: String,
        #[prost(string, tag = "2")]
        pub dest: String,
        #[prost(message, optional, tag = "3")]
        pub owner: Option<ChownOpt>,
        #[prost(int32, tag = "4")]
        pub mode: i32,
        #[prost(bool, tag = "5")]
        pub follow_symlink: bool,
        #[prost(bool, tag = "6")]
        pub dir_copy_contents: bool,
        #[prost(bool, tag = "7")]
        pub attempt_unpack_docker_compatibility: bool,
        #[prost(bool, tag = "8")]
        pub create_dest_path: bool,
        #[prost(bool, tag = "9")]
        pub allow_wildcard: bool,
        #[prost(bool, tag = "10")]
        pub allow_empty_wildcard: bool,
        #[prost(int64, tag = "11")]
        pub timestamp: i64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct FileActionMkFile {
        #[prost(string, tag = "1")]
        pub path: String,
        #[prost(int32, tag = "2")]
        pub mode: i32,
        #[prost(bytes, tag = "3")]
        pub data: Vec<u8>,
        #[prost(message, optional, tag = "4")]
        pub owner: Option<ChownOpt>,
        #[prost(int64, tag = "5")]
        pub timestamp: i64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct FileActionMkDir {
        #[prost(string, tag = "1")]
        pub path: String,
        #[prost(int32, tag = "2")]
        pub mode: i32,
        #[prost(bool, tag = "3")]
        pub make_parents: bool,
        #[prost(message, optional, tag = "4")]
        pub owner: Option<ChownOpt>,
        #[prost(int64, tag = "5")]
        pub timestamp: i64,
    }

    /// Never set by `buildkit-llb`; only its absence matters.
    #[derive(Clone, PartialEq, Message)]
    pub struct ChownOpt {}

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
    #[repr(i32)]
    pub enum NetMode {
        Unset = 0,
        Host = 1,
        None = 2,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
    #[repr(i32)]
    pub enum SecurityMode {
        Sandbox = 0,
        Insecure = 1,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
    #[repr(i32)]
    pub enum MountType {
        Bind = 0,
        Secret = 1,
        Ssh = 2,
        Cache = 3,
        Tmpfs = 4,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
    #[repr(i32)]
    pub enum CacheSharingOpt {
        Shared = 0,
        Private = 1,
        Locked = 2,
    }
}
