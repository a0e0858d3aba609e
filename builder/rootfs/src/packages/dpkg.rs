//! dpkg's database: stanzas of fields, and a list of paths for each package.
//!
//! Debian's (dpkg(1), deb-control(5)): `status` has all stanzas, `info/NAME.list` or `info/NAME:ARCH.list` each one's absolute
//! paths, `diversions` three lines for each path that belongs elsewhere (original, where it went, which package keeps the
//! original). Distroless images have `status.d/NAME` with one stanza, and its paths in `status.d/NAME.md5sums`.

use std::collections::HashMap;

use crate::{Entry, Kind, path};

use super::{Manager, Package, PackagesError, Reader, lines};

const STATUS: &[u8] = b"var/lib/dpkg/status";
const DIVERSIONS: &[u8] = b"var/lib/dpkg/diversions";
const INFO: &[u8] = b"var/lib/dpkg/info";
const STATUS_D: &[u8] = b"var/lib/dpkg/status.d";

pub(super) fn read(reader: &mut Reader) -> Result<(), PackagesError> {
    if let Some(status) = reader.find(STATUS) {
        let text = reader.bytes(status)?;
        let diverted = reader.find(DIVERSIONS).map(|entry| reader.bytes(entry)).transpose()?.unwrap_or_default();
        let diversions = diversions(&diverted);
        for stanza in stanzas(&text) {
            let Some(package) = package(&stanza) else { continue };
            let (name, arch) = (stanza.value("Package").unwrap_or_default(), stanza.value("Architecture"));
            reader.add(package, status)?;
            if let Some(paths) = paths(reader, name, arch.unwrap_or_default()) {
                let elsewhere =
                    |path: &[u8]| diversions.get(path).filter(|(_, keeper)| *keeper != name).map(|(to, _)| *to);
                claim_all(reader, paths, &elsewhere)?;
            }
        }
    }
    let dir = reader.tree.resolve(STATUS_D, true).unwrap_or_default();
    let tree = reader.tree;
    for entry in tree.index.children(&dir).filter(|e| !dir.is_empty() && e.kind == Kind::File) {
        if entry.path.ends_with(b".md5sums") {
            continue;
        }
        let text = reader.bytes(entry)?;
        let Some(package) = stanzas(&text).next().and_then(|stanza| package(&stanza)) else { continue };
        reader.add(package, entry)?;
        if let Some(sums) = reader.find(&[&entry.path, &b".md5sums"[..]].concat()) {
            claim_all(reader, Paths::Sums(sums), &|_| None)?;
        }
    }
    Ok(())
}

/// A stanza as a package; `None` for one that leaves nothing behind.
fn package(stanza: &Stanza) -> Option<Package> {
    let value = |name| stanza.value(name).map(path::show).unwrap_or_default();
    // "want flag state" (dpkg(1), "Package states"); what is only unpacked or half installed has its files.
    let status = stanza.value("Status").unwrap_or(b"install ok installed");
    let state = status.rsplit(|b| *b == b' ').next().unwrap_or_default();
    (stanza.value("Package").is_some() && state != b"not-installed").then(|| Package {
        manager: Manager::Dpkg,
        name: value("Package"),
        version: value("Version"),
        architecture: value("Architecture"),
        is_installed: state != b"config-files",
        files: Vec::new(),
    })
}

/// Where a package's paths stand.
enum Paths<'t> {
    /// One a line.
    List(&'t Entry),
    /// After a checksum and two spaces.
    Sums(&'t Entry),
}

/// Images made small often have lost the lists, rarely the sums.
fn paths<'t>(reader: &Reader<'t>, name: &[u8], arch: &[u8]) -> Option<Paths<'t>> {
    let file = |parts: &[&[u8]]| reader.find(&path::join(INFO, &parts.concat()));
    // A package's name is no path.
    let either = |end: &[u8]| file(&[name, end]).or_else(|| file(&[name, b":", arch, end]));
    let is_name = !name.contains(&b'/') && !arch.contains(&b'/');
    is_name.then(|| either(b".list").map(Paths::List).or_else(|| either(b".md5sums").map(Paths::Sums)))?
}

/// Claims all paths; `elsewhere` says where a diverted one is.
fn claim_all<'d>(
    reader: &mut Reader,
    paths: Paths,
    elsewhere: &dyn Fn(&[u8]) -> Option<&'d [u8]>,
) -> Result<(), PackagesError> {
    let (Paths::List(entry) | Paths::Sums(entry)) = paths;
    let text = reader.bytes(entry)?;
    for line in lines(&text) {
        let path = match paths {
            Paths::List(_) => line,
            Paths::Sums(_) => summed(line),
        };
        reader.claim(elsewhere(path).unwrap_or(path), entry)?;
    }
    Ok(())
}

/// The path of a line of checksums: 32 digits, a space, a space or `*`, the path.
pub(super) fn summed(line: &[u8]) -> &[u8] {
    line.get(34..).unwrap_or_default()
}

/// Where a path of any but one package has gone, and that package.
pub(super) fn diversions(text: &[u8]) -> HashMap<&[u8], (&[u8], &[u8])> {
    let mut lines = lines(text);
    let mut map = HashMap::new();
    while let (Some(from), Some(to), Some(keeper)) = (lines.next(), lines.next(), lines.next()) {
        map.insert(from, (to, keeper));
    }
    map
}

/// One package's fields.
pub(super) struct Stanza<'a> {
    lines: Vec<&'a [u8]>,
}

/// Stanzas, which empty lines part.
pub(super) fn stanzas(text: &[u8]) -> impl Iterator<Item = Stanza<'_>> {
    let mut rest = lines(text);
    std::iter::from_fn(move || {
        let lines: Vec<&[u8]> = rest
            .by_ref()
            .skip_while(|line| line.trim_ascii().is_empty())
            .take_while(|line| !line.trim_ascii().is_empty())
            .collect();
        (!lines.is_empty()).then_some(Stanza { lines })
    })
}

impl<'a> Stanza<'a> {
    /// The first line of a field, whose name may be in any case.
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.lines.iter().find_map(|line| {
            let colon = line.iter().position(|b| *b == b':')?;
            line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| line[colon + 1..].trim_ascii())
        })
    }
}
