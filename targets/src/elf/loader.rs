//! Where a dynamic loader looks for a library: glibc's by ld.so(8), musl's by `ldso/dynlink.c`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use routerpack_rootfs::{Entry, Kind, Tree, path};

use super::{Facts, cache};

/// A configuration file longer than this is not read.
const MAX_CONFIG: u64 = 64 << 10;
/// A cache longer than this is not read.
const MAX_CACHE: u64 = 8 << 20;
/// Files that one program's libraries may add up to.
const MAX_OBJECTS: usize = 2000;

/// The loader's settings in one image.
pub(crate) struct Loader<'a> {
    tree: &'a Tree,
    /// Every ELF of the image, by its path.
    facts: &'a BTreeMap<Vec<u8>, Facts>,
    /// LD_LIBRARY_PATH of the image's environment.
    environment: Vec<Vec<u8>>,
    /// Directories of `/etc/ld.so.conf`, which glibc's loader itself does not read.
    configured: Vec<Vec<u8>>,
    /// `/etc/ld.so.cache`, which it does.
    cache: HashMap<Vec<u8>, Vec<Vec<u8>>>,
}

/// Whose rules a program's loader follows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Glibc,
    Musl,
    /// uClibc's and others': taken to look everywhere.
    Other,
}

impl Family {
    fn of(interpreter: &[u8]) -> Self {
        let name = interpreter.rsplit(|b| *b == b'/').next().unwrap_or_default();
        match name {
            _ if name.starts_with(b"ld-musl-") => Self::Musl,
            _ if name.starts_with(b"ld-linux") => Self::Glibc,
            _ => Self::Other,
        }
    }
}

/// What a program pulls in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Closure {
    /// Paths of the loader and of the libraries that were found.
    pub found: BTreeSet<Vec<u8>>,
    /// Libraries that weren't.
    pub missing: Vec<Missing>,
}

/// A library that the loader does not find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// As it is asked for.
    pub name: Vec<u8>,
    /// The file that needs it.
    pub by: Vec<u8>,
    /// Where it is, if that is a directory of `/etc/ld.so.conf` and only the cache does not know it.
    pub uncached: Option<Vec<u8>>,
}

impl<'a> Loader<'a> {
    pub fn new(tree: &'a Tree, facts: &'a BTreeMap<Vec<u8>, Facts>, env: &[String]) -> Self {
        let value = env.iter().find_map(|e| e.strip_prefix("LD_LIBRARY_PATH="));
        let environment = list(value.unwrap_or_default().as_bytes(), b":;");
        let mut configured = Vec::new();
        configuration(tree, b"etc/ld.so.conf", 4, &mut configured);
        let cache = text(tree, b"etc/ld.so.cache", MAX_CACHE).and_then(|bytes| cache::read(&bytes)).unwrap_or_default();
        Self { tree, facts, environment, configured, cache }
    }

    /// The file that the loader would take: a path that leads to a regular file, clean.
    pub fn file(&self, asked: &[u8]) -> Option<&'a Entry> {
        let clean = self.tree.resolve(asked, true).ok()?;
        self.tree.index.get(&clean).filter(|e| e.kind == Kind::File)
    }

    /// Everything that a program pulls in, breadth first, as the loader does.
    pub fn closure(&self, program: &[u8]) -> Closure {
        let mut closure = Closure::default();
        let Some(facts) = self.facts.get(program) else { return closure };
        let interpreter = facts.interpreter.as_deref().unwrap_or_default();
        let family = Family::of(interpreter);
        let is_musl = family == Family::Musl;
        closure.found.extend(self.file(interpreter).map(|e| e.path.to_vec()));
        // Each with the RPATHs of what has led to it.
        let mut queue = vec![(program.to_vec(), Vec::<Vec<u8>>::new())];
        let mut asked = BTreeSet::new();
        let mut at = 0;
        while let Some((object, inherited)) = queue.get(at).cloned() {
            at += 1;
            let Some(facts) = self.facts.get(&object) else { continue };
            let own = self.own_paths(&object, facts, is_musl);
            let mut inherited = inherited;
            if facts.runpath.is_none() || is_musl {
                inherited.splice(0..0, own.clone());
            }
            for name in &facts.needed {
                if !asked.insert(name.clone()) || (is_musl && is_of_musl(name)) {
                    continue;
                }
                // glibc: RUNPATH puts all RPATHs out of force for this object.
                let paths = if facts.runpath.is_some() && !is_musl { &[][..] } else { &inherited };
                match self.find(name, facts, &own, paths, family) {
                    Some(path) => {
                        if closure.found.insert(path.clone()) && queue.len() < MAX_OBJECTS {
                            queue.push((path, inherited.clone()));
                        }
                    }
                    None => {
                        let uncached = self.first(&self.configured, name, facts);
                        closure.missing.push(Missing { name: name.clone(), by: object.clone(), uncached });
                    }
                }
            }
        }
        closure
    }

    /// A library's path.
    fn find(&self, name: &[u8], by: &Facts, own: &[Vec<u8>], inherited: &[Vec<u8>], family: Family) -> Option<Vec<u8>> {
        if name.contains(&b'/') {
            return self.fits(name, by);
        }
        self.first(own.iter().chain(inherited).chain(&self.environment), name, by).or_else(|| {
            let cached = match family {
                Family::Glibc => self.cache.get(name).and_then(|paths| paths.iter().find_map(|p| self.fits(p, by))),
                Family::Other => self.first(&self.configured, name, by),
                Family::Musl => return self.first(&self.musl_defaults(by), name, by),
            };
            cached.or_else(|| self.first(&defaults(by), name, by))
        })
    }

    /// The first of the directories that has it.
    fn first<'d>(&self, dirs: impl IntoIterator<Item = &'d Vec<u8>>, name: &[u8], by: &Facts) -> Option<Vec<u8>> {
        dirs.into_iter().find_map(|dir| self.fits(&join(dir, name), by))
    }

    /// A loader passes libraries of another machine by.
    fn fits(&self, asked: &[u8], by: &Facts) -> Option<Vec<u8>> {
        let entry = self.file(asked)?;
        let facts = self.facts.get(&*entry.path)?;
        (facts.machine == by.machine && facts.is_64 == by.is_64).then(|| entry.path.to_vec())
    }

    /// RUNPATH, or RPATH where there is none, with `$ORIGIN` and its like filled in.
    fn own_paths(&self, object: &[u8], facts: &Facts, is_musl: bool) -> Vec<Vec<u8>> {
        let raw = facts.runpath.as_deref().or(facts.rpath.as_deref()).unwrap_or_default();
        let origin = path::parent(object).unwrap_or_default();
        let libs = if is_musl { vec![b"lib".to_vec()] } else { lib_names(facts) };
        let mut dirs = Vec::new();
        for entry in list(raw, b":") {
            let entry = replace(&entry, &[b"$ORIGIN", b"${ORIGIN}"], &[b"/", origin].concat());
            let variants =
                if entry.windows(4).any(|w| w == b"$LIB" || w == b"{LIB") { libs.as_slice() } else { &libs[..1] };
            dirs.extend(variants.iter().map(|lib| replace(&entry, &[b"$LIB", b"${LIB}"], lib)));
        }
        dirs
    }

    /// `/etc/ld-musl-ARCH.path` takes the place of the defaults.
    fn musl_defaults(&self, by: &Facts) -> Vec<Vec<u8>> {
        let interpreter = by.interpreter.as_deref().unwrap_or_default();
        let name = interpreter.rsplit(|b| *b == b'/').next().unwrap_or_default();
        let arch = name.strip_prefix(b"ld-musl-").and_then(|n| n.split(|b| *b == b'.').next());
        let configured = match arch {
            Some(arch) => text(self.tree, &[b"etc/ld-musl-", arch, b".path"].concat(), MAX_CONFIG),
            // A library names no loader: any such file of the image is this one.
            None => self.tree.index.children(b"etc").find_map(|e| {
                let is_it = e.path.starts_with(b"etc/ld-musl-") && e.path.ends_with(b".path");
                if is_it { text(self.tree, &e.path, MAX_CONFIG) } else { None }
            }),
        };
        match configured {
            Some(text) => list(&text, b":\n"),
            None => list(b"/lib:/usr/local/lib:/usr/lib", b":"),
        }
    }
}

/// The directories that glibc's loader knows by itself, whoever built it. What lies only in `glibc-hwcaps` below them
/// does not count: not every CPU has what it needs.
fn defaults(by: &Facts) -> Vec<Vec<u8>> {
    lib_names(by)
        .iter()
        .flat_map(|lib| [[b"/", lib.as_slice()].concat(), [b"/usr/", lib.as_slice()].concat()])
        .collect()
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    [dir, b"/", name].concat()
}

/// Names by which a program asks for what musl's loader itself is.
fn is_of_musl(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(b"lib") else { return false };
    [&b"c."[..], b"pthread.", b"rt.", b"m.", b"dl.", b"util.", b"xnet."].iter().any(|own| rest.starts_with(own))
}

/// What stands for `lib` in the default directories: with Debian's multiarch name, Fedora's `lib64`, plain.
fn lib_names(facts: &Facts) -> Vec<Vec<u8>> {
    let triplets: &[&[u8]] = match (facts.machine, facts.is_64) {
        (super::EM_ARM, _) => &[b"lib/arm-linux-gnueabihf", b"lib/arm-linux-gnueabi"],
        (super::EM_AARCH64, _) => &[b"lib/aarch64-linux-gnu"],
        (super::EM_X86_64, true) => &[b"lib/x86_64-linux-gnu"],
        (super::EM_386, _) => &[b"lib/i386-linux-gnu"],
        _ => &[],
    };
    let plain: [&[u8]; 2] = [b"lib", b"lib64"];
    triplets.iter().copied().chain(plain).map(<[u8]>::to_vec).collect()
}

/// A list's parts; empty ones mean the working directory, which a router's container does not count on.
fn list(text: &[u8], separators: &[u8]) -> Vec<Vec<u8>> {
    text.split(|b| separators.contains(b)).filter(|p| !p.is_empty()).map(<[u8]>::to_vec).take(256).collect()
}

fn replace(text: &[u8], names: &[&[u8]], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    'next: while let Some(first) = rest.first() {
        for name in names {
            if let Some(after) = rest.strip_prefix(*name) {
                out.extend_from_slice(by);
                rest = after;
                continue 'next;
            }
        }
        out.push(*first);
        rest = &rest[1..];
    }
    out
}

fn text(tree: &Tree, name: &[u8], limit: u64) -> Option<Vec<u8>> {
    let clean = tree.resolve(name, true).ok()?;
    let entry = tree.index.get(&clean).filter(|e| e.kind == Kind::File)?;
    tree.read(entry, limit).ok()
}

/// `/etc/ld.so.conf`: a directory a line, `#` comments, and `include` with a pattern in its last component.
fn configuration(tree: &Tree, name: &[u8], depth: usize, dirs: &mut Vec<Vec<u8>>) {
    let Some(content) = text(tree, name, MAX_CONFIG) else { return };
    for line in content.split(|b| *b == b'\n').take(1000) {
        let line = line.split(|b| *b == b'#').next().unwrap_or_default().trim_ascii();
        let Some(pattern) = line.strip_prefix(b"include").filter(|p| p.first().is_some_and(u8::is_ascii_whitespace))
        else {
            if line.starts_with(b"/") && dirs.len() < 256 {
                dirs.push(line.split(|b| *b == b'=').next().unwrap_or_default().to_vec());
            }
            continue;
        };
        if depth == 0 {
            continue;
        }
        let pattern = pattern.trim_ascii();
        let pattern = if pattern.starts_with(b"/") { pattern.to_vec() } else { [b"etc/", pattern].concat() };
        let Ok(clean) = path::clean(&pattern) else { continue };
        let Some((dir, last)) = path::split(&clean) else { continue };
        let Some((head, tail)) = last.iter().position(|b| *b == b'*').map(|at| (&last[..at], &last[at + 1..])) else {
            configuration(tree, &clean, depth - 1, dirs);
            continue;
        };
        let Ok(dir) = tree.resolve(dir, true) else { continue };
        let names: Vec<Vec<u8>> = tree.index.children(&dir).take(256).map(|e| e.path.to_vec()).collect();
        for name in names {
            let base = path::split(&name).map_or(&[][..], |(_, base)| base);
            if base.len() >= head.len() + tail.len() && base.starts_with(head) && base.ends_with(tail) {
                configuration(tree, &name, depth - 1, dirs);
            }
        }
    }
}
