//! Makes a rootfs smaller: what a router never reads goes, what is stored twice is stored once.
//!
//! ```text
//!  Tree ─► rules: which files go ──┐
//!      └─► needed: which must stay ┴─► removals ─┐
//!      └─► strip: programs without symbols ──────┼─► a stratum to lay on top, and a report
//!      └─► links: equal files ───────────────────┘
//! ```
//!
//! Nothing is guessed from what a program might do: a pass removes only what its rule names, and never what the
//! image's command starts, loads or names. Paths are compared as they stand in the merged index, so a symlink never
//! leads a pass out of its directory.

mod languages;
mod links;
mod needed;
mod pattern;
mod report;
mod rules;
mod strip;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    io,
    path::{Path, PathBuf},
};

use routerpack_graph::ImageConfig;
use routerpack_rootfs::{Content, Entry, Index, Kind, Tree, path};

use needed::Needed;
pub use report::{PassReport, Report};

/// Raised when a rule or the way of a pass changes: what was made before is then not what would be made now.
pub const VERSION: u32 = 1;

/// One way to make an image smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pass {
    /// Documentation; licences stay.
    Docs,
    /// Manual pages.
    Man,
    /// Translations and locales other than the image's own.
    Locales,
    /// Caches, lists and logs of package managers.
    Caches,
    /// Python's bytecode beside its source.
    Pycache,
    /// Headers, static libraries and what only building takes.
    Dev,
    /// Symbols and debug information of programs and libraries.
    Strip,
    /// Equal files become hard links of one another.
    Dedup,
}

impl Pass {
    /// All of them, in the order in which they are done.
    pub const ALL: [Pass; 8] =
        [Pass::Docs, Pass::Man, Pass::Locales, Pass::Caches, Pass::Pycache, Pass::Dev, Pass::Strip, Pass::Dedup];

    /// As the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Pass::Docs => "docs",
            Pass::Man => "man",
            Pass::Locales => "locales",
            Pass::Caches => "caches",
            Pass::Pycache => "pycache",
            Pass::Dev => "dev",
            Pass::Strip => "strip",
            Pass::Dedup => "dedup",
        }
    }

    /// What it does, for a list of them.
    pub fn about(self) -> &'static str {
        match self {
            Pass::Docs => "Documentation; licences stay",
            Pass::Man => "Manual pages",
            Pass::Locales => "Translations and locales, but for those that the image's LANG, LANGUAGE and LC_* name",
            Pass::Caches => "Caches, lists and logs of package managers",
            Pass::Pycache => "Python's bytecode where its source is there, too: Python then starts slower",
            Pass::Dev => "Headers, static libraries, pkg-config and CMake files",
            Pass::Strip => "Symbols and debug information of programs and libraries",
            Pass::Dedup => {
                "Equal files (mode, owner and time included) become hard links, but where programs write, such as /etc"
            }
        }
    }
}

/// What is asked for.
pub struct Options<'a> {
    /// Which passes; the order does not matter.
    pub passes: &'a BTreeSet<Pass>,
    /// `SOURCE_DATE_EPOCH`: files whose times are the same in the archive may become links of one another.
    pub epoch: Option<i64>,
    /// An empty directory for the files that get another content.
    pub out: &'a Path,
    /// Whether to give up; asked between files.
    pub stop: &'a dyn Fn() -> bool,
}

/// What came out.
#[derive(Debug)]
pub struct Slimmed {
    /// To be laid over the rootfs, as the index of the directory [`Options::out`].
    pub index: Index,
    /// What each pass did.
    pub report: Report,
}

/// Why a rootfs could not be made smaller.
#[derive(Debug, thiserror::Error)]
pub enum SlimError {
    /// A file of the image could not be read.
    #[error("can't read `{path}` of the image to slim it: {source}; build again with --no-cache if it persists")]
    Read {
        /// Path inside the image.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A changed file could not be written.
    #[error("can't write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// [`Options::stop`] said so.
    #[error("interrupted")]
    Stopped,
}

/// Does the passes. The tree itself is not changed.
pub fn slim(tree: &Tree, config: &ImageConfig, options: &Options) -> Result<Slimmed, SlimError> {
    let mut work = Work {
        tree,
        options,
        volumes: config.config.volumes.keys().filter_map(|volume| place(tree, volume)).collect(),
        workdir: place(tree, &config.config.working_dir),
        report: Report::new(options.passes),
        removed: BTreeMap::new(),
    };
    work.remove(config)?;
    let mut changed = Changed::default();
    if options.passes.contains(&Pass::Strip) {
        work.strip(&mut changed)?;
    }
    if options.passes.contains(&Pass::Dedup) {
        links::link(&mut work, &mut changed)?;
    }
    Ok(work.finish(changed))
}

/// One run.
struct Work<'a> {
    tree: &'a Tree,
    options: &'a Options<'a>,
    /// Directories that the container's disk is mounted over, clean.
    volumes: Vec<Vec<u8>>,
    /// Where the command starts.
    workdir: Option<Vec<u8>>,
    report: Report,
    /// Files and emptied directories that go, and by which pass.
    removed: BTreeMap<&'a [u8], Pass>,
}

/// Files that become something else.
#[derive(Default)]
struct Changed {
    /// By path: what lies there now.
    entries: BTreeMap<Vec<u8>, Entry>,
    /// Link groups among them.
    groups: u32,
    /// Files below [`Options::out`].
    written: u64,
}

impl<'a> Work<'a> {
    fn remove(&mut self, config: &ImageConfig) -> Result<(), SlimError> {
        let chosen = rules::Rules::new(self.options.passes, &config.config.env);
        let mut candidates: Vec<(&'a Entry, Pass, &'static str)> = Vec::new();
        for entry in self.tree.index.entries() {
            if entry.kind != Kind::Dir
                && !self.in_volume(&entry.path)
                && let Some((pass, root)) = chosen.matching(self.tree, entry)?
            {
                candidates.push((entry, pass, root));
            }
        }
        self.check_stop()?;
        let needed = Needed::find(self.tree, config, candidates.iter().map(|(entry, ..)| *entry));
        let mut roots = BTreeMap::new();
        for (entry, pass, root) in candidates {
            match needed.holds(self.tree, entry) {
                true => self.report.keep(pass, &entry.path),
                false => {
                    self.removed.insert(&entry.path, pass);
                    self.report.place(pass, root);
                    if let Some(dir) = path::parent(&entry.path) {
                        roots.entry(dir).or_insert((pass, root));
                    }
                }
            }
        }
        self.count_removed();
        self.remove_empty(roots);
        Ok(())
    }

    /// Bytes are saved when the last name of a file goes.
    fn count_removed(&mut self) {
        let mut names_left: HashMap<u32, u64> = HashMap::new();
        for entry in self.tree.index.entries().iter().filter(|e| e.link_group != 0) {
            *names_left.entry(entry.link_group).or_default() += 1;
        }
        for (path, pass) in &self.removed {
            let Some(entry) = self.tree.index.get(path) else { continue };
            let last = names_left.get_mut(&entry.link_group).is_none_or(|left| {
                *left -= 1;
                *left == 0
            });
            self.report.add(*pass, 1, if last { entry.size } else { 0 });
        }
    }

    /// Directories that a pass has emptied go, but for those that the rule itself names: programs may expect them.
    fn remove_empty(&mut self, emptied: BTreeMap<&'a [u8], (Pass, &'static str)>) {
        let mut dirs: Vec<_> = emptied.into_iter().collect();
        while let Some((dir, (pass, root))) = dirs.pop() {
            let inside = root.is_empty() || path::is_below(dir, root.as_bytes());
            let is_used = self.in_volume(dir) || self.workdir.as_deref() == Some(dir);
            if dir.is_empty() || !inside || is_used || self.removed.contains_key(dir) {
                continue;
            }
            let index = &self.tree.index;
            if index.children(dir).all(|child| self.removed.contains_key(&*child.path))
                && let Some(entry) = index.get(dir)
            {
                self.removed.insert(&entry.path, pass);
                dirs.extend(path::parent(&entry.path).map(|parent| (parent, (pass, root))));
            }
        }
    }

    fn strip(&mut self, changed: &mut Changed) -> Result<(), SlimError> {
        let files = |e: &&Entry| e.kind == Kind::File && e.size >= strip::LEAST;
        let mut done = BTreeSet::new();
        for entry in self.tree.index.entries().iter().filter(files) {
            if self.is_out_of_bounds(&entry.path) || (entry.link_group != 0 && !done.insert(entry.link_group)) {
                continue;
            }
            self.check_stop()?;
            let content = self.content(entry)?;
            let plan = match strip::plan(&content).map_err(|e| self.read_error(entry, e))? {
                strip::Verdict::Strip(plan) => plan,
                strip::Verdict::Nothing => continue,
                strip::Verdict::Leave => {
                    self.report.keep(Pass::Strip, &entry.path);
                    continue;
                }
            };
            let name = format!("{}", changed.written);
            let to = self.options.out.join(&name);
            let write_error = |source| SlimError::Write { path: to.clone(), source };
            let file = File::options().read(true).write(true).create_new(true).open(&to).map_err(write_error)?;
            plan.write(&content, &file).map_err(write_error)?;
            let stripped = Content { file: file.into(), offset: 0, len: plan.len() };
            if !strip::is_same_program(&content, &stripped).map_err(write_error)? {
                std::fs::remove_file(&to).map_err(write_error)?;
                self.report.keep(Pass::Strip, &entry.path);
                continue;
            }
            changed.written += 1;
            self.report.add(Pass::Strip, 1, entry.size - plan.len());
            let names = self.names(entry);
            let group = if names.len() > 1 { changed.new_group() } else { 0 };
            for name_entry in names {
                let mut new =
                    Entry { size: plan.len(), stratum: 0, offset: 0, link_group: group, ..name_entry.clone() };
                new.extra.get_or_insert_default().origin = name.clone().into_bytes();
                changed.entries.insert(name_entry.path.to_vec(), new);
            }
        }
        Ok(())
    }

    /// All names of a file that stay.
    fn names(&self, entry: &'a Entry) -> Vec<&'a Entry> {
        if entry.link_group == 0 {
            return vec![entry];
        }
        let same = |e: &&Entry| e.link_group == entry.link_group && !self.is_out_of_bounds(&e.path);
        self.tree.index.entries().iter().filter(same).collect()
    }

    /// Neither removed files nor what lies where a disk is mounted are changed.
    fn is_out_of_bounds(&self, path: &[u8]) -> bool {
        self.removed.contains_key(path) || self.in_volume(path)
    }

    fn in_volume(&self, path: &[u8]) -> bool {
        self.volumes.iter().any(|volume| *path == **volume || path::is_below(path, volume))
    }

    fn content(&self, entry: &Entry) -> Result<Content, SlimError> {
        self.tree.content(entry).map_err(|e| self.read_error(entry, e))
    }

    fn read_error(&self, entry: &Entry, source: io::Error) -> SlimError {
        SlimError::Read { path: path::show(&entry.path), source }
    }

    fn check_stop(&self) -> Result<(), SlimError> {
        if (self.options.stop)() { Err(SlimError::Stopped) } else { Ok(()) }
    }

    fn finish(self, changed: Changed) -> Slimmed {
        let is_top = |path: &&[u8]| path::parent(path).is_none_or(|dir| !self.removed.contains_key(dir));
        let whiteouts = self.removed.keys().copied().filter(is_top).map(|path| Entry::new(path, Kind::Whiteout, 0));
        let entries = whiteouts.chain(changed.entries.into_values()).collect();
        Slimmed { index: Index::new(entries), report: self.report }
    }
}

impl Changed {
    fn new_group(&mut self) -> u32 {
        self.groups += 1;
        self.groups
    }
}

/// A directory that the config names; none for the root.
fn place(tree: &Tree, name: &str) -> Option<Vec<u8>> {
    tree.resolve(name.as_bytes(), true).ok().filter(|dir| !dir.is_empty())
}
