//! What the image's command starts, loads or names: no pass may remove it.
//!
//! The words of ENTRYPOINT, CMD and HEALTHCHECK are looked at one by one, and so are the pieces of a shell's line:
//! each that leads to a file of the image, as a path or by way of PATH, counts. Of a program that is also what its
//! `#!` line and its loader pull in; of a directory all that it holds. That is more than is ever used, which is the
//! right side to err on.

use std::collections::{BTreeMap, BTreeSet};

use routerpack_graph::ImageConfig;
use routerpack_rootfs::{Entry, Kind, Tree, path};

use crate::{
    check::command::{self, Located},
    elf::{self, loader::Loader},
};

/// Words of a command that are looked at.
const MAX_WORDS: usize = 1000;

/// What has to stay.
#[derive(Default)]
pub(super) struct Needed {
    files: BTreeSet<Vec<u8>>,
    /// With all that they hold.
    dirs: BTreeSet<Vec<u8>>,
}

impl Needed {
    /// Of an image. Libraries are looked into only where a pass wants to remove one.
    pub fn find<'a>(tree: &Tree, config: &ImageConfig, candidates: impl Iterator<Item = &'a Entry>) -> Self {
        let mut needed = Self::default();
        let run = &config.config;
        let search = command::search(config);
        for word in words(config) {
            if let Located::Found(program) = command::locate(tree, word.as_bytes(), search, &run.working_dir) {
                needed.files.extend(command::follow(tree, program, search).files);
            }
            let absolute = if word.starts_with('/') { word } else { format!("{}/{word}", run.working_dir) };
            let Ok(clean) = tree.resolve(absolute.as_bytes(), true) else { continue };
            match tree.index.get(&clean) {
                // That `/` is named can't mean that nothing of the image may go.
                Some(e) if e.kind == Kind::Dir && !clean.is_empty() => drop(needed.dirs.insert(clean)),
                Some(e) if e.kind == Kind::File => needed.files.extend(command::follow(tree, e, search).files),
                _ => {}
            }
        }
        if candidates.into_iter().any(|e| read_elf(tree, e).is_some()) {
            let files = tree.index.entries().iter().filter(|e| e.kind == Kind::File);
            let all: BTreeMap<Vec<u8>, elf::Facts> =
                files.filter_map(|e| read_elf(tree, e).map(|facts| (e.path.to_vec(), facts))).collect();
            let loader = Loader::new(tree, &all, &run.env);
            let pulled: Vec<_> = needed.files.iter().map(|file| loader.closure(file).found).collect();
            needed.files.extend(pulled.into_iter().flatten());
        }
        needed
    }

    /// Whether an entry has to stay: it is needed, or a link that leads to or by way of something needed.
    pub fn holds(&self, tree: &Tree, entry: &Entry) -> bool {
        let has = |path: &[u8]| {
            self.files.contains(path) || self.dirs.iter().any(|dir| path == &**dir || path::is_below(path, dir))
        };
        if has(&entry.path) {
            return true;
        }
        if entry.kind != Kind::Symlink {
            return false;
        }
        let Ok(target) = tree.resolve(&entry.path, true) else { return false };
        let leads_to = |path: &Vec<u8>| *path == target || path::is_below(path, &target);
        has(&target) || self.files.iter().any(leads_to) || self.dirs.iter().any(leads_to)
    }
}

fn read_elf(tree: &Tree, entry: &Entry) -> Option<elf::Facts> {
    if entry.kind != Kind::File {
        return None;
    }
    elf::read(&tree.content(entry).ok()?).ok()??.ok()
}

/// Everything in the config that may name a file.
fn words(config: &ImageConfig) -> Vec<String> {
    let run = &config.config;
    let health = run.healthcheck.iter().flat_map(|h| &h.test);
    let preload = run.env.iter().filter_map(|e| e.strip_prefix("LD_PRELOAD="));
    let texts = run.entrypoint.iter().chain(&run.cmd).chain(health).map(String::as_str).chain(preload);
    let mut words = Vec::new();
    for text in texts {
        words.push(text.to_string());
        let pieces = text.split(|c: char| c.is_whitespace() || "\"'`;&|()<>{}=,:".contains(c));
        words.extend(pieces.filter(|piece| !piece.is_empty() && *piece != text).map(str::to_string));
    }
    words.truncate(MAX_WORDS);
    words
}
