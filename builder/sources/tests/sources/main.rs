//! The sources against real peers (Debian's registry, skopeo) and against servers and files that lie.

mod files;
mod hostile;
mod login;
mod pull;
mod sample;
mod server;
mod stores;
