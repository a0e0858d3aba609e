//! Which programs of a base have a twin in its sibling for this machine: decided by their packages.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use routerpack_rootfs::{
    Entry, Kind, Tree,
    packages::{self, Package},
    path,
};
use routerpack_sandbox::elf::{self, Elf};

use super::tools::{TOOLS, Tool};

/// Programs, libraries and loaders are smaller.
const MAX_FILE: u64 = 64 << 20;
const DIRS: [&str; 4] = ["usr/bin", "bin", "usr/sbin", "sbin"];
/// Where the C library has the one locale that it needs no other package for.
const C_UTF8: &[u8] = b"usr/lib/locale/C.utf8";

/// What a base and its sibling have in common.
pub struct Twins {
    /// The sibling's loader.
    pub loader: String,
    /// Directories of the sibling's libraries.
    pub libraries: Vec<String>,
    /// Files of the base that make the locale `C.UTF-8`, if both have the same.
    pub utf8: Option<Vec<Vec<u8>>>,
    /// The programs.
    pub pairs: Vec<Pair>,
}

/// A program in both.
pub struct Pair {
    /// What is known of it.
    pub tool: &'static Tool,
    /// The base's file.
    pub path: Vec<u8>,
    /// The sibling's.
    pub native: Vec<u8>,
    /// The base's libraries for it, by the names that are asked for.
    pub libraries: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Packages by the entries that are theirs.
struct Owners {
    packages: Vec<Package>,
    of: HashMap<usize, usize>,
}

impl Owners {
    fn read(tree: &Tree) -> Result<Self, String> {
        let packages = packages::read(tree).map_err(|e| e.to_string())?;
        let of = packages.iter().enumerate().flat_map(|(n, p)| p.files.iter().map(move |file| (*file, n))).collect();
        Ok(Self { packages, of })
    }

    fn of(&self, tree: &Tree, path: &[u8]) -> Option<&Package> {
        let package = &self.packages[*self.of.get(&tree.index.position(path)?)?];
        (package.is_installed && !package.version.is_empty()).then_some(package)
    }
}

/// One of the two.
struct Side<'t> {
    tree: &'t Tree,
    owners: Owners,
}

impl<'t> Side<'t> {
    fn read(tree: &'t Tree) -> Result<Self, String> {
        let owners = Owners::read(tree)?;
        match owners.packages.is_empty() {
            true => Err("there is no package database of dpkg or apk".into()),
            false => Ok(Self { tree, owners }),
        }
    }

    /// The regular file at a path.
    fn file(&self, path: &[u8]) -> Option<&'t Entry> {
        let real = self.tree.resolve(path, true).ok()?;
        self.tree.index.get(&real).filter(|e| e.kind == Kind::File)
    }

    /// The program of this name; not one that has another's name, or rights of its own.
    fn program(&self, name: &str) -> Option<&'t Entry> {
        let entry = DIRS.iter().find_map(|dir| self.file(format!("{dir}/{name}").as_bytes()))?;
        let is_it = path::split(&entry.path).is_some_and(|(_, last)| last == name.as_bytes());
        let is_plain = entry.mode & 0o6000 == 0 && entry.xattrs().all(|(name, _)| name != b"security.capability");
        (is_it && is_plain).then_some(entry)
    }

    fn read_file(&self, entry: &Entry) -> Option<Vec<u8>> {
        self.tree.read(entry, MAX_FILE).ok()
    }
}

/// A library of the sibling.
struct Library {
    /// Its name and version.
    package: (String, String),
    needs: Vec<Vec<u8>>,
}

impl Twins {
    /// Compares. `is_32_bit`: the base's platform is. An error says why there can be no twins.
    pub fn find(base: &Tree, sibling: &Tree, is_32_bit: bool) -> Result<Self, String> {
        let (base, native) = (Side::read(base)?, Side::read(sibling)?);
        let mut loader = None;
        let mut libraries: BTreeMap<Vec<u8>, Option<Library>> = BTreeMap::new();
        let mut pairs = Vec::new();
        let mut dirs = Vec::new();
        for tool in TOOLS.iter().filter(|t| t.any_width || !is_32_bit) {
            let (Some(ours), Some(theirs)) = (base.program(tool.name), native.program(tool.name)) else { continue };
            let packages = (base.owners.of(base.tree, &ours.path), native.owners.of(native.tree, &theirs.path));
            let (Some(a), Some(b)) = packages else { continue };
            if !same(a, b) {
                continue;
            }
            let Some((interpreter, needs)) = native.read_file(theirs).and_then(|bytes| dynamic(&bytes)) else {
                continue;
            };
            if loader.is_none() {
                let entry = native.file(&interpreter).ok_or("the native image has no dynamic loader")?;
                let bytes = native.read_file(entry).ok_or("the native image's dynamic loader can't be read")?;
                let has = |option: &[u8]| bytes.windows(option.len()).any(|w| w == option);
                if !has(b"--argv0") || !has(b"--inhibit-cache") {
                    return Err("the C library is older than glibc 2.33, or another one".into());
                }
                dirs = library_dirs(native.tree, &entry.path);
                loader = Some((interpreter.clone(), entry.path.to_vec()));
            }
            if loader.as_ref().is_none_or(|(asked, _)| *asked != interpreter) {
                continue;
            }
            let asked = closure(needs, &mut libraries, &|name| library(&native, &dirs, name));
            let Some(found) = asked.and_then(|names| counterparts(&base, &libraries, names)) else { continue };
            pairs.push(Pair { tool, path: ours.path.to_vec(), native: theirs.path.to_vec(), libraries: found });
        }
        match loader {
            Some((_, loader)) if !pairs.is_empty() => Ok(Self {
                loader: text(&loader).ok_or("the dynamic loader's path is no text")?,
                libraries: dirs.iter().filter_map(|d| text(d)).collect(),
                utf8: utf8(&base, &native),
                pairs,
            }),
            _ => Err("no program of the list has the same package in both images".into()),
        }
    }
}

fn same(a: &Package, b: &Package) -> bool {
    (a.manager, &a.name, &a.version) == (b.manager, &b.name, &b.version)
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

/// The loader and the libraries that a program of this machine asks for; none for anything else.
fn dynamic(bytes: &[u8]) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let elf = Elf::parse(&bytes[..bytes.len().min(4096)]).ok().filter(|elf| elf.machine == elf::HOST)?;
    Some((elf.interpreter(bytes)?.to_vec(), needs(&elf, bytes)?))
}

fn needs(elf: &Elf, bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    // The loader itself stands for the C library, which has its own witness.
    let is_loader = |name: &[u8]| name.starts_with(b"ld-");
    Some(elf.needed(bytes)?.into_iter().filter(|name| !is_loader(name)).map(<[u8]>::to_vec).collect())
}

/// The loader's directory and its twins in and outside of `/usr`, without links.
fn library_dirs(tree: &Tree, loader: &[u8]) -> Vec<Vec<u8>> {
    let (dir, _) = path::split(loader).unwrap_or_default();
    let dir = dir.strip_prefix(b"usr/").unwrap_or(dir);
    let mut dirs: Vec<Vec<u8>> = Vec::new();
    for dir in [dir.to_vec(), path::join(b"usr", dir)] {
        if let Ok(real) = tree.resolve(&dir, true)
            && tree.index.get(&real).is_some_and(|e| e.kind == Kind::Dir)
            && !dirs.contains(&real)
        {
            dirs.push(real);
        }
    }
    dirs
}

/// A library of the sibling by its name.
fn library(native: &Side, dirs: &[Vec<u8>], name: &[u8]) -> Option<Library> {
    if name.contains(&b'/') {
        return None;
    }
    let entry = dirs.iter().find_map(|dir| native.file(&path::join(dir, name)))?;
    let package = native.owners.of(native.tree, &entry.path)?;
    let bytes = native.read_file(entry)?;
    let elf = Elf::parse(&bytes[..bytes.len().min(4096)]).ok().filter(|elf| elf.machine == elf::HOST)?;
    Some(Library { package: (package.name.clone(), package.version.clone()), needs: needs(&elf, &bytes)? })
}

/// The names of all libraries that these lead to; none where one isn't there.
fn closure(
    needs: Vec<Vec<u8>>,
    known: &mut BTreeMap<Vec<u8>, Option<Library>>,
    look: &dyn Fn(&[u8]) -> Option<Library>,
) -> Option<BTreeSet<Vec<u8>>> {
    let mut names = BTreeSet::new();
    let mut queue = needs;
    while let Some(name) = queue.pop() {
        if names.contains(&name) {
            continue;
        }
        let library = known.entry(name.clone()).or_insert_with(|| look(&name)).as_ref()?;
        queue.extend(library.needs.iter().cloned());
        names.insert(name);
    }
    Some(names)
}

/// The base's libraries of these names, each out of the package that the sibling has it from, in the same version; none
/// where one differs.
fn counterparts(
    base: &Side,
    libraries: &BTreeMap<Vec<u8>, Option<Library>>,
    names: BTreeSet<Vec<u8>>,
) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    let entries = base.tree.index.entries();
    let find = |name: Vec<u8>| {
        let (package, version) = &libraries.get(&name)?.as_ref()?.package;
        let package = base.owners.packages.iter().find(|p| p.name == *package && p.is_installed)?;
        let file = package
            .files
            .iter()
            .map(|n| &entries[*n].path)
            .find(|p| path::split(p).is_some_and(|(_, last)| last == name) && base.file(p).is_some())?;
        (package.version == *version).then(|| (name, file.to_vec()))
    };
    names.into_iter().map(find).collect()
}

/// The files of `C.UTF-8`, which are the same in both.
fn utf8(base: &Side, native: &Side) -> Option<Vec<Vec<u8>>> {
    let sums = |side: &Side| -> Option<BTreeMap<Vec<u8>, [u8; 32]>> {
        let files = side.tree.index.descendants(C_UTF8).iter().filter(|e| e.kind == Kind::File);
        files.map(|e| Some((e.path.to_vec(), side.tree.content(e).ok()?.sha256().ok()?))).collect()
    };
    let (ours, theirs) = (sums(base)?, sums(native)?);
    (ours == theirs).then(|| ours.into_keys().collect())
}
