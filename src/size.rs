//! `routerpack size`: where an image's bytes are.

use std::{
    io::{self, BufWriter, Write},
    process::ExitCode,
    sync::Arc,
};

use routerpack_builder::events::Silent;
use routerpack_rootfs::{Tree, packages};
use routerpack_targets::{
    check::{likely_free, peak},
    resource::Resource,
    size::{self as measuring, Hierarchy, NodeKind, Sizes},
};
use serde_json::{Value, json};

use crate::{
    args::{Cli, SizeArgs},
    devices,
    failure::Failure,
    ls, machine,
    progress::{megabytes, printable},
    source::{Opener, Source},
    template,
};

/// Measures and prints, or writes the page.
pub fn size(cli: &Cli, args: &SizeArgs) -> Result<ExitCode, Failure> {
    if args.source == "-" && args.device.as_deref() == Some("-") {
        return Err(Failure::usage("standard input can be read for one thing only"));
    }
    let router = args.device.as_deref().map(devices::named).transpose()?;
    let wanted = match &router {
        Some(router) => router.device.platform(),
        None => machine::platform_named(args.platform.as_deref())?,
    };
    let opener = Opener::new(&machine::cache_dir(cli)?, Arc::new(Silent), wanted)?;
    let source = opener.open(&args.source)?;
    let tree = opener.strata.tree(&source.rootfs).map_err(Failure::new)?;
    // Sizes are worth having without packages, too.
    let packages = packages::read(&tree).unwrap_or_else(|e| {
        anstream::eprintln!("warning: {}: {e}; no package is listed", source.name);
        Vec::new()
    });
    let sizes = measuring::measure(&tree, packages).map_err(|e| Failure::new(format!("{}: {e}", source.name)))?;
    let room = router.and_then(|router| Room::new(&router, &sizes, &tree));
    if let Some(file) = &args.html {
        measuring::write_html(file, &source.name, &source.platform.to_string(), &sizes).map_err(Failure::new)?;
        if args.format.is_none() {
            anstream::eprintln!("{}: written; open it in a browser", file.display());
            return Ok(ExitCode::SUCCESS);
        }
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match args.format.as_deref() {
        Some("json") => writeln!(out, "{:#}", value(&source, &sizes, room.as_ref(), args)),
        Some(format) => {
            let value = value(&source, &sizes, room.as_ref(), args);
            writeln!(out, "{}", template::render(format, &value).map_err(Failure::usage)?)
        }
        None => text(&mut out, &source, &sizes, room.as_ref(), args),
    };
    ls::finish(written.and_then(|()| out.flush()))
}

/// A router's flash, and what of it the image takes.
struct Room {
    name: &'static str,
    code: &'static str,
    slots: String,
    flash: u64,
    free: u64,
    needed: u64,
}

impl Room {
    /// None where the flash is the owner's choice. The archive that a router gets has one flat layer: the content, and a
    /// kilobyte of header and padding for each entry.
    fn new(router: &Resource, sizes: &Sizes, tree: &Tree) -> Option<Self> {
        let device = router.device;
        let flash = u64::from(device.flash_mib?) << 20;
        let content = sizes.directories.root().bytes;
        let archive = content.saturating_add(tree.index.entries().len() as u64 * 1024);
        Some(Self {
            name: device.name,
            code: device.code,
            slots: device.slots.join(", "),
            flash,
            free: router.free.unwrap_or_else(|| likely_free(flash)),
            needed: peak(archive, content),
        })
    }
}

/// The members that the command's help names.
fn value(source: &Source, sizes: &Sizes, room: Option<&Room>, args: &SizeArgs) -> Value {
    let mut value = json!({"source": source.name, "platform": source.platform.to_string()});
    if let (Value::Object(all), Value::Object(measured)) = (&mut value, measuring::to_json(sizes, args.depth, args.top))
    {
        all.extend(measured);
    }
    if let Some(room) = room {
        value["device"] = json!({
            "name": room.name, "code": room.code, "flash": room.flash, "free": room.free, "needed": room.needed,
        });
    }
    value
}

fn text(out: &mut dyn Write, source: &Source, sizes: &Sizes, room: Option<&Room>, args: &SizeArgs) -> io::Result<()> {
    let root = sizes.directories.root();
    let name = printable(source.name.as_bytes());
    writeln!(out, "{name}: {}, {} in {}", source.platform, megabytes(root.bytes), count(root.files, "file"))?;
    if let Some(room) = room {
        let verdict = if room.needed > room.free { "more than" } else { "within" };
        let (needed, free, flash) = (megabytes(room.needed), megabytes(room.free), megabytes(room.flash));
        write!(
            out,
            "{}: an import takes up to {needed}, {verdict} the {free} that may be free of {flash} flash",
            room.name
        )?;
        let disk = if room.slots.is_empty() { String::new() } else { format!("; place for a disk: {}", room.slots) };
        writeln!(out, "{disk}")?;
    }

    writeln!(out, "\nBy directory")?;
    line(out, root.bytes, root.bytes, "/")?;
    branch(out, &sizes.directories, 0, 1, args)?;

    if let Some(packages) = &sizes.packages {
        writeln!(out, "\nBy package")?;
        let label = |number: usize| {
            let node = &packages.nodes()[number];
            match (node.kind, sizes.facts.get(number.wrapping_sub(1))) {
                (NodeKind::Rest, _) | (_, None) => format!("({})", node.label),
                (_, Some(package)) if package.is_installed => format!("{} ({})", node.label, package.manager.name()),
                (_, Some(_)) => format!("{} (removed, configuration left)", node.label),
            }
        };
        let bytes = |number: u32| packages.nodes()[number as usize].bytes;
        let (unowned, owned): (Vec<u32>, Vec<u32>) =
            packages.children(0).iter().partition(|n| packages.nodes()[**n as usize].kind == NodeKind::Rest);
        for number in owned.iter().take(args.top) {
            line(out, bytes(*number), root.bytes, &label(*number as usize))?;
        }
        rest(out, owned.iter().skip(args.top).map(|n| bytes(*n)), root.bytes, "")?;
        unowned.iter().try_for_each(|n| line(out, bytes(*n), root.bytes, &label(*n as usize)))?;
    }

    writeln!(out, "\nBiggest files")?;
    for file in sizes.biggest(args.top) {
        line(out, file.bytes, root.bytes, &sizes.directories.path(file))?;
    }
    if !sizes.duplicates.is_empty() {
        writeln!(out, "\nDuplicates: hard links would save {}", megabytes(sizes.duplicate_bytes()))?;
        for same in sizes.duplicates.iter().take(args.top) {
            let paths = same.paths.iter().take(3).map(String::as_str).collect::<Vec<_>>().join("  ");
            let more = same.paths.len().saturating_sub(3);
            let more = if more > 0 { format!("  and {more} more") } else { String::new() };
            line(
                out,
                same.saved(),
                root.bytes,
                &format!("{} × {}  {paths}{more}", same.paths.len(), megabytes(same.bytes)),
            )?;
        }
        rest(out, sizes.duplicates.iter().skip(args.top).map(|d| d.saved()), root.bytes, "")?;
    }
    Ok(())
}

/// The children of a directory and, down to the depth, theirs.
fn branch(out: &mut dyn Write, tree: &Hierarchy, number: usize, depth: usize, args: &SizeArgs) -> io::Result<()> {
    if depth > args.depth {
        return Ok(());
    }
    let indent = "  ".repeat(depth);
    let whole = tree.root().bytes;
    let bytes = |number: u32| tree.nodes()[number as usize].bytes;
    let children = tree.children(number);
    let shown = children.iter().take(args.top).take_while(|n| bytes(**n) > 0).count();
    for child in children[..shown].iter().map(|n| *n as usize) {
        let node = &tree.nodes()[child];
        let slash = if node.kind == NodeKind::Dir { "/" } else { "" };
        line(out, node.bytes, whole, &format!("{indent}{}{slash}", node.label))?;
        branch(out, tree, child, depth + 1, args)?;
    }
    rest(out, children[shown..].iter().map(|n| bytes(*n)), whole, &indent)
}

/// What there was no line for.
fn rest(out: &mut dyn Write, bytes: impl Iterator<Item = u64>, whole: u64, indent: &str) -> io::Result<()> {
    let (number, sum) = bytes.fold((0, 0u64), |(number, sum), bytes| (number + 1, sum.saturating_add(bytes)));
    if number > 0 { line(out, sum, whole, &format!("{indent}and {number} more")) } else { Ok(()) }
}

/// A size, its share of the whole, what it is of.
fn line(out: &mut dyn Write, bytes: u64, whole: u64, what: &str) -> io::Result<()> {
    let share = if whole == 0 { 0.0 } else { bytes as f64 * 100.0 / whole as f64 };
    let size = if bytes < 1000 { format!("{bytes} B") } else { megabytes(bytes) };
    writeln!(out, "{size:>10}  {share:>5.1} %  {what}")
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
