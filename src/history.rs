//! `routerpack history`: how an image came to be, newest first.

use std::process::ExitCode;

use serde_json::json;

use crate::{
    args::{Cli, HistoryArgs},
    failure::Failure,
    progress::{megabytes, printable},
    source::Opener,
};

/// Prints the history with the size of each line's layer.
pub fn history(cli: &Cli, args: &HistoryArgs) -> Result<ExitCode, Failure> {
    let source = Opener::quiet(cli, args.platform.as_deref())?.open(&args.source)?;
    let mut layers = source.image.iter().flat_map(|image| &image.layers);
    let mut lines = Vec::new();
    for line in &source.config.history {
        lines.push((line, if line.empty_layer { None } else { layers.next() }));
    }
    if let Some(format) = &args.format {
        if format != "json" {
            return Err(Failure::usage(format!("--format {format}: only json is known here")));
        }
        let lines = lines.iter().rev().map(|(line, layer)| {
            json!({
                "Created": line.created, "CreatedBy": line.created_by, "Comment": line.comment,
                "Size": layer.map_or(0, |l| l.size), "DiffId": layer.map(|l| &l.diff_id),
            })
        });
        println!("{:#}", lines.collect::<serde_json::Value>());
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:<20} {:>10}  CREATED BY", "CREATED", "SIZE");
    for (line, layer) in lines.iter().rev() {
        let created: String = line.created.as_deref().unwrap_or("").chars().take(20).collect();
        let size = layer.map_or_else(|| "-".into(), |l| megabytes(l.size));
        println!(
            "{:<20} {size:>10}  {}",
            printable(created.as_bytes()),
            printable(line.created_by.replace('\n', " ").as_bytes())
        );
    }
    Ok(ExitCode::SUCCESS)
}
