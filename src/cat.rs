//! `routerpack cat`: what a file of an image holds.

use std::{io, process::ExitCode};

use routerpack_rootfs::Kind;

use crate::{
    args::{CatArgs, Cli},
    failure::Failure,
    ls,
    source::Opener,
};

/// Prints files; symbolic links are followed inside the image.
pub fn cat(cli: &Cli, args: &CatArgs) -> Result<ExitCode, Failure> {
    let opener = Opener::quiet(cli, args.platform.as_deref())?;
    let source = opener.open(&args.source)?;
    let tree = opener.strata.tree(&source.rootfs).map_err(Failure::new)?;
    let mut out = io::stdout().lock();
    for asked in &args.paths {
        let fail = |why: String| Failure::new(format!("{}: {asked}: {why}", source.name));
        let path = tree.resolve(asked.as_bytes(), true).map_err(|e| fail(e.to_string()))?;
        let entry = tree.index.get(&path).ok_or_else(|| fail("there is no such file".into()))?;
        if entry.kind != Kind::File {
            return Err(fail("it is not a regular file".into()));
        }
        let mut content = tree.content(entry).map_err(|e| fail(e.to_string()))?.reader();
        ls::finish(io::copy(&mut content, &mut out).map(drop))?;
    }
    Ok(ExitCode::SUCCESS)
}
