//! The program from its command line to the bytes that it writes: real images, emulators, registries, kills.

#[path = "../support/mod.rs"]
mod support;

mod adds;
mod bad_input;
mod build;
mod cache;
mod cachelife;
mod check;
mod configs;
mod contexts;
mod convert;
mod copies;
mod diagnostics;
mod epoch;
mod fallbacks;
mod graph;
mod hostile;
mod hybrid;
mod ignores;
mod kill;
mod lint;
mod mounts;
mod outputs;
mod platforms;
mod recipe;
mod registry;
mod run;
mod share;
mod size;
mod slim;
mod stages;
mod steps;
mod stress;
mod users;
mod verbs;
mod verdict;
mod warm;
