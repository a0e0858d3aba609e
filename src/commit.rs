//! `routerpack commit`: an image and changes to its files and config become a new archive.

use std::{process::ExitCode, sync::Arc};

use routerpack_builder::{Part, Rootfs};
use routerpack_frontends::dockerfile::change::change;
use routerpack_graph::image::History;
use routerpack_rootfs::{
    Stratum,
    scan::{Owners, ScanOptions, scan},
};
use routerpack_sources::StoreKind;

use crate::{
    args::{Cli, CommitArgs},
    bake,
    failure::Failure,
    output::Output,
    pack,
    source::Opener,
};

/// Opens both, lays the changes on top, packs.
pub fn commit(cli: &Cli, args: &CommitArgs) -> Result<ExitCode, Failure> {
    Output::parse(args.output.as_deref(), "image").map_err(Failure::usage)?; // what is wrong is said before work begins
    let opener = Opener::quiet(cli, args.platform.as_deref())?;
    let source = opener.open(&args.source)?;
    let name = format!("{}-changed", source.stem);
    let output = Output::parse(args.output.as_deref(), &name).map_err(Failure::usage)?;
    let mut config = change(&source.config, &args.change).map_err(|e| Failure::usage(format!("--change {e}")))?;
    if let Some(author) = &args.author {
        config.author.clone_from(author);
    }
    let files = args.changes.is_some() || args.bake_command;
    if args.message.is_some() || args.author.is_some() {
        let (author, comment) = (config.author.clone(), args.message.clone().unwrap_or_default());
        // Packing counts: a line is one of a layer as long as there are layers for it.
        config.history.push(History { author, comment, empty_layer: !files, ..History::default() });
    }
    let mut parts = source.rootfs.parts().to_vec();
    if let Some(path) = &args.changes {
        if path.is_dir() {
            let root = path.canonicalize().map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
            // As with COPY, whoever has the directory here is nobody in the image.
            let options = ScanOptions { owners: Owners::Root, xattrs: true, ..ScanOptions::default() };
            let index = Arc::new(scan(&root, options).map_err(Failure::new)?);
            parts.push(Part::Live(Stratum::Dir { root, index }));
        } else {
            let changes = opener.open_path(path)?;
            if changes.kind != StoreKind::RootfsTar {
                return Err(Failure::new(format!(
                    "{}: it is a {}, not a tar of changed files",
                    path.display(),
                    changes.kind
                )));
            }
            parts.extend_from_slice(changes.rootfs.parts());
        }
    }
    let mut script = None;
    if args.bake_command {
        let tree = opener.strata.tree(&Rootfs::new(parts.clone())).map_err(Failure::new)?;
        let (stratum, dir) = bake::bake(&tree, &mut config)?;
        parts.push(Part::Live(stratum));
        script = Some(dir);
    }
    let packed = pack::changed(&opener, &source, Rootfs::new(parts), &config, &output, &args.tag);
    drop(script);
    packed
}
