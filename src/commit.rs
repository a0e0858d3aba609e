//! `routerpack commit`: an image and changes to its files and config become a new archive.

use std::{process::ExitCode, sync::Arc};

use routerpack_builder::{Part, Rootfs};
use routerpack_frontends::dockerfile::change::change;
use routerpack_rootfs::{
    Stratum,
    scan::{Owners, ScanOptions, scan},
};
use routerpack_sources::StoreKind;

use crate::{
    args::{Cli, CommitArgs},
    failure::Failure,
    output::Output,
    pack,
    source::Opener,
};

/// Opens both, lays the changes on top, packs.
pub fn commit(cli: &Cli, args: &CommitArgs) -> Result<ExitCode, Failure> {
    let output = Output::parse(Some(&args.output), "image").map_err(Failure::usage)?;
    let opener = Opener::quiet(cli, args.platform.as_deref())?;
    let source = opener.open(&args.source)?;
    let config = change(&source.config, &args.change).map_err(|e| Failure::usage(format!("--change {e}")))?;
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
    pack::changed(&opener, &source, Rootfs::new(parts), &config, &output, &args.tag)
}
