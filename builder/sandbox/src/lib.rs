//! Runs one step of a build: user namespace, mounts, devices, capabilities, seccomp, emulation.
//!
//! It knows no Dockerfile, no graph and no cache: a caller describes a [`Step`] completely and gets
//! the command's [`Status`] or an [`Error`] that says which part of the set-up failed and what mends it.
//!
//! ```text
//! main ─ enter::enter() ─────────── ordinary user: becomes root of a user namespace (same process)
//!   └ spawn(step) ─ runner ──────── re-exec of this program; single-threaded; writes id maps; tidies up
//!                     └ init ────── pid 1 of the step's namespaces; mounts; reaps; dies with the runner
//!                         └ command
//! ```
//!
//! A program that calls [`spawn`] or [`probe::probe`] must call [`runner::hook`] as the first thing in `main`.

mod binfmt;
mod channel;
mod child;
mod chroot;
mod command;
mod devices;
pub mod doctor;
pub mod elf;
pub mod emulators;
pub mod enter;
mod error;
mod idmap;
mod init;
mod interpreter;
mod mount;
pub mod names;
pub mod native;
pub mod probe;
mod root;
pub mod runner;
mod seccomp;
mod step;
mod stubs;
mod sys;
mod user;
mod walk;

pub use child::{Child, Signaller, Status, Streams, spawn};
pub use error::Error;
pub use idmap::{IdMap, IdRange};
pub use step::{Emulation, Isolation, Mount, Network, Root, Scratch, Security, Source, Step, Ulimit};
