//! `routerpack cp`: files into an archive and out of it, with the syntax and the rules of `docker cp`.

use std::{ffi::OsStr, fs, io, ops::ControlFlow, os::unix::ffi::OsStrExt, path::Path, process::ExitCode, sync::Arc};

use routerpack_builder::{Part, Rootfs};
use routerpack_rootfs::{
    Kind, Stratum, Tree, path,
    scan::{Owners, ScanOptions, Verdict, scan},
};
use routerpack_sources::{Location, StoreKind};
use routerpack_targets::{self as targets, Format};

use crate::{
    args::{Cli, CpArgs},
    failure::Failure,
    output::{Dest, Output},
    pack,
    source::{Opener, Source},
};

/// One side of the copy.
enum Side<'a> {
    Local(&'a str),
    Image { source: &'a str, path: &'a str },
}

/// Copies.
pub fn cp(cli: &Cli, args: &CpArgs) -> Result<ExitCode, Failure> {
    let opener = Opener::quiet(cli, args.platform.as_deref())?;
    match (side(&args.from), side(&args.to)) {
        (Side::Image { source, path }, Side::Local(to)) => {
            let source = opener.open(source)?;
            let tree = opener.strata.tree(&source.rootfs).map_err(Failure::new)?;
            take_out(&opener, &tree, path, to, args).map_err(|e| e.about(&args.from))
        }
        (Side::Local(from), Side::Image { source, path }) => {
            let source = opener.open(source)?;
            let tree = opener.strata.tree(&source.rootfs).map_err(Failure::new)?;
            let stratum = match from {
                "-" => put_tar(&opener, &tree, path),
                _ => put_in(&tree, from, path, args),
            };
            let stratum = stratum.map_err(|e| e.about(&args.to))?;
            let parts = source.rootfs.parts().iter().cloned().chain([Part::Live(stratum)]).collect();
            let output = output(&source, args.output.as_deref())?;
            pack::changed(&opener, &source, Rootfs::new(parts), &source.config, &output, &[])
        }
        _ => Err(Failure::usage("cp: one side is a path here, the other one ARCHIVE:PATH")),
    }
}

/// Where a changed archive goes: `-o`, or else the archive itself.
fn output(source: &Source, given: Option<&str>) -> Result<Output, Failure> {
    match (given, &source.archive) {
        (Some(given), _) => Output::parse(Some(given), &source.stem).map_err(Failure::usage),
        (None, Some(path)) => {
            let layers = source.image.as_ref().map_or(1, |image| image.layers.len());
            let format = if layers == 1 { Format::RouterOs } else { Format::Docker };
            Ok(Output { format, dest: Dest::Path(path.clone()) })
        }
        (None, None) => Err(Failure::usage(format!(
            "{} is no docker-archive that could be replaced: name an output with -o",
            source.name
        ))),
    }
}

/// A path that is there is local. What has a `:` behind an existing file, or a `:/`, is an image's.
fn side(text: &str) -> Side<'_> {
    if text == "-" || fs::symlink_metadata(text).is_ok() {
        return Side::Local(text);
    }
    let mut colons = text.match_indices(':').map(|(at, _)| at);
    let image = |at: usize| Side::Image { source: &text[..at], path: &text[at + 1..] };
    let prefixes = ["docker-archive", "oci-archive", "oci", "docker-daemon", "containers-storage"];
    for at in colons.clone().filter(|at| !prefixes.contains(&&text[..*at])) {
        if Path::new(&text[..at]).exists() {
            return image(at);
        }
    }
    let rest = |at: &usize| text[at + 1..].starts_with('/') && !text[at + 1..].starts_with("//");
    match colons.rfind(rest) {
        Some(at) if Location::parse(&text[..at], Path::is_file).is_ok() => image(at),
        _ => Side::Local(text),
    }
}

/// Out of the image: into an existing directory under its own name, else under the given one. Files become the
/// user's own, unless owners are to be kept. `-` writes a tar to standard output.
fn take_out(opener: &Opener, tree: &Tree, asked: &str, to: &str, args: &CpArgs) -> Result<ExitCode, Failure> {
    let only_content = asked.ends_with("/.") || asked == "." || asked.trim_matches('/').is_empty();
    let follow = args.follow_link || asked.ends_with('/') || only_content;
    let from = tree.resolve(asked.as_bytes(), follow).map_err(Failure::new)?;
    let entry = tree.index.get(&from);
    if entry.is_none() && !from.is_empty() {
        return Err(Failure::new(format!("there is no {asked}")));
    }
    let is_dir = entry.is_none_or(|e| e.kind == Kind::Dir);
    // What a link points to keeps the link's name.
    let own = tree.resolve(asked.as_bytes(), false).map_err(Failure::new)?;
    let name = path::split(&own).map_or(&own[..], |(_, name)| name);
    if to == "-" {
        let part = tree.subtree(&from, if only_content { b"" } else { name });
        return stream(&part, &opener.strata.cache().path("tmp"));
    }
    let write = |part: &Tree, dir: &Path| {
        let written = targets::local::write(part, dir, None, args.archive, &mut |_, _| ControlFlow::Continue(()));
        written.map(|_| ExitCode::SUCCESS).map_err(Failure::new)
    };
    let dest = Path::new(to);
    if dest.is_dir() {
        let part = tree.subtree(&from, if is_dir && only_content { b"" } else { name });
        return write(&part, dest);
    }
    if is_dir && !dest.exists() {
        return write(&tree.subtree(&from, b""), dest);
    }
    if is_dir {
        return Err(Failure::new(format!("{asked} is a directory, and {to} is a file")));
    }
    let (Some(file), false) = (dest.file_name(), to.ends_with('/')) else {
        return Err(Failure::new(format!("there is no directory {to}")));
    };
    let parent = dest.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return Err(Failure::new(format!("there is no directory {}", parent.display())));
    }
    write(&tree.subtree(&from, file.as_bytes()), parent)
}

/// A tar on standard output.
fn stream(tree: &Tree, spool: &Path) -> Result<ExitCode, Failure> {
    let config = routerpack_graph::ImageConfig::default();
    let image = targets::Image { tree, config: &config, layers: &[] };
    let request = targets::Request {
        format: Format::Tar,
        dest: targets::Dest::Stream(&mut io::stdout().lock()),
        tags: &[],
        layers: targets::Layers::Flat,
        epoch: None,
        compression: targets::Compression::None,
        spool,
        check: None,
        sync: false,
        now: None,
    };
    targets::write(&image, request, &mut |_, _| ControlFlow::Continue(()))
        .map(|_| ExitCode::SUCCESS)
        .map_err(Failure::new)
}

/// Into the image: what a tar on standard input holds, into a directory that is there. Owners are the tar's.
fn put_tar(opener: &Opener, tree: &Tree, asked: &str) -> Result<Stratum, Failure> {
    let dest = tree.resolve(asked.as_bytes(), true).map_err(Failure::new)?;
    if !dest.is_empty() && tree.index.get(&dest).is_none_or(|e| e.kind != Kind::Dir) {
        return Err(Failure::new("there is no such directory in it, and a tar goes into one"));
    }
    let tar = opener.open("-")?;
    match (tar.kind, tar.rootfs.parts()) {
        (StoreKind::RootfsTar, [part]) => Ok(opener.strata.stratum(part).map_err(Failure::new)?.below(&dest)),
        (kind, _) => Err(Failure::new(format!("standard input is a {kind}, not a tar of files"))),
    }
}

/// Into the image: the local files as a stratum on top of it. They become root's, as with `docker cp`, unless owners
/// are to be kept.
fn put_in(tree: &Tree, local: &str, asked: &str, args: &CpArgs) -> Result<Stratum, Failure> {
    let fail = |why: String| Failure::new(why);
    let owners = if args.archive { Owners::OnDisk } else { Owners::Root };
    // A trailing slash follows a link, as everywhere.
    let follow = args.follow_link || local.ends_with('/');
    let metadata = if follow { fs::metadata(local) } else { fs::symlink_metadata(local) };
    let metadata = metadata.map_err(|e| fail(format!("{local}: {e}")))?;
    let dest = tree.resolve(asked.as_bytes(), true).map_err(Failure::new)?;
    let there = tree.index.get(&dest).map(|e| e.kind);
    let dest_is_dir = dest.is_empty() || there == Some(Kind::Dir);
    if !dest_is_dir {
        let parent = path::parent(&dest).unwrap_or_default();
        let parent_is_dir = parent.is_empty() || tree.index.get(parent).is_some_and(|e| e.kind == Kind::Dir);
        if !parent_is_dir || (there.is_none() && asked.ends_with('/') && !metadata.is_dir()) {
            return Err(fail(format!(
                "there is no directory {} in it",
                path::show(if parent_is_dir { &dest } else { parent })
            )));
        }
    }
    let real = Path::new(local).canonicalize().map_err(|e| fail(format!("{local}: {e}")));
    if metadata.is_dir() {
        let root = real?;
        if there.is_some() && !dest_is_dir {
            return Err(fail(format!("{local} is a directory, and {asked} is a file")));
        }
        let into = dest_is_dir && !local.ends_with("/.") && local != ".";
        let name = Path::new(local).file_name().or(root.file_name()).unwrap_or_default().as_bytes();
        let to = if into { path::join(&dest, name) } else { dest };
        // A directory that is there already keeps its own mode and owner.
        let is_new = tree.index.get(&to).is_none() && !to.is_empty();
        let options = ScanOptions { owners, xattrs: true, root: is_new, ..ScanOptions::default() };
        let index = Arc::new(scan(&root, options).map_err(Failure::new)?);
        return Ok(Stratum::Dir { root, index }.below(&to));
    }
    // Unless it is to be followed, a link is copied as a link: only the directory that it lies in is made real.
    let real = if follow { real? } else { local.into() };
    let own_name = Path::new(local).file_name().unwrap_or(OsStr::new("")).as_bytes();
    let name = real.file_name().unwrap_or(OsStr::new("")).as_bytes().to_vec();
    let parent = real.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let root = parent.canonicalize().map_err(|e| fail(format!("{}: {e}", parent.display())))?;
    let wanted = name.clone();
    let only = move |path: &[u8], _: bool| if path == wanted { Verdict::Keep } else { Verdict::Skip };
    let options = ScanOptions { owners, xattrs: true, filter: Some(&only), ..ScanOptions::default() };
    let index = Arc::new(scan(&root, options).map_err(Failure::new)?);
    let alone = Tree::new(vec![Stratum::Dir { root: root.clone(), index }]).map_err(Failure::new)?;
    let to = if dest_is_dir { path::join(&dest, own_name) } else { dest };
    if tree.index.get(&to).is_some_and(|e| e.kind == Kind::Dir) {
        return Err(fail(format!("{} is a directory in it, and {local} is none", path::show(&to))));
    }
    Ok(Stratum::Dir { root, index: alone.subtree(&name, &to).index })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.tar");
        fs::write(&archive, "").unwrap();
        let archive = archive.to_str().unwrap();
        let relative = format!("{archive}:etc/motd");
        let prefixed = format!("docker-archive:{archive}:/etc");
        for (text, want) in [
            (&*relative, Some((archive, "etc/motd"))),
            (&prefixed, Some((&prefixed[..prefixed.len() - 5], "/etc"))),
            ("alpine:3.20:/etc", Some(("alpine:3.20", "/etc"))),
            ("docker://h:5000/alpine:/etc/a:b", Some(("docker://h:5000/alpine", "/etc/a:b"))),
            (archive, None),
            ("-", None),
            ("./new", None),
            ("new", None),
        ] {
            let got = match side(text) {
                Side::Image { source, path } => Some((source, path)),
                Side::Local(_) => None,
            };
            assert_eq!(got, want, "{text}");
        }
    }
}
