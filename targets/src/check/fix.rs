//! Mending: the archive's files and config, packed anew by the code that packs builds.

use std::{ops::ControlFlow, path::Path};

use super::{CheckError, Options, Report, Source, Spool, examine};
use crate::{
    Compression, Dest, Error, Format, Image, Layers, Request, Summary, output, rules::Severity, tag::router_tag,
};

/// What became of it.
#[derive(Debug)]
pub struct Fixed {
    /// What was found before.
    pub before: Report,
    /// What was written.
    pub summary: Summary,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum FixError {
    /// The archive could not be read.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The archive could not be written.
    #[error(transparent)]
    Write(#[from] Error),
    /// There is nothing to pack, or what there is isn't what it says.
    #[error("this can't be mended: {0}; nothing was written")]
    Beyond(String),
}

/// Rules whose breach means that the content is not what its maker meant: packing it anew would hide that.
const BEYOND: [&str; 5] = ["archive-damaged", "layer-damaged", "diff-ids", "config-missing", "config-os"];

/// Writes the image of an archive as a RouterOS archive to `dest`, which may be the archive itself: it is written
/// under another name first. `name` is its tag where the archive has none that can be kept.
pub fn fix(source: Source, options: &Options, dest: &Path, name: &str, sync: bool) -> Result<Fixed, FixError> {
    let mut spool = Spool::new(options.spool, options.limit);
    let examined = examine(source, options, &mut spool)?;
    let report = examined.report;
    let beyond = |rule: &str, severity| BEYOND.contains(&rule) && severity == Severity::Error;
    if let Some(finding) = report.findings.iter().find(|f| beyond(&f.rule.id, f.severity)) {
        return Err(FixError::Beyond(finding.message.clone()));
    }
    let Some((tree, config)) = examined.image else {
        let why = report.findings.first().map_or("no image was found in it", |f| &f.message);
        return Err(FixError::Beyond(why.to_string()));
    };
    let own = report.tags.iter().find(|tag| router_tag(tag).is_ok());
    let tags = [own.cloned().unwrap_or_else(|| name.to_string())];
    let request = Request {
        format: Format::RouterOs,
        dest: Dest::Path(dest),
        tags: &tags,
        layers: Layers::Flat,
        epoch: None,
        compression: Compression::Auto,
        spool: options.spool,
        check: None,
        sync,
        now: None,
    };
    let image = Image { tree: &tree, config: &config, layers: &[] };
    let summary = output::write(&image, request, &mut |_, _| ControlFlow::Continue(()))?;
    Ok(Fixed { before: report, summary })
}
