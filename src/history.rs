//! `routerpack history`: how an image came to be, newest first.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::{
    args::{Cli, HistoryArgs},
    failure::Failure,
    progress::{megabytes, printable},
    source::Opener,
    template,
};

/// Prints the history with the size of each line's layer.
pub fn history(cli: &Cli, args: &HistoryArgs) -> Result<ExitCode, Failure> {
    let source = Opener::quiet(cli, args.platform.as_deref())?.open(&args.source)?;
    let mut layers = source.image.iter().flat_map(|image| &image.layers);
    let mut lines = Vec::new();
    for line in &source.config.history {
        lines.push((line, if line.empty_layer { None } else { layers.next() }));
    }
    let id = source.image.as_ref().map(|image| image.config_digest.to_string());
    // The image's id stands at its last line alone: what was before it is no image here.
    let ids = id.iter().map(String::as_str).chain(std::iter::repeat("<missing>"));
    let objects = lines.iter().rev().zip(ids).map(|((line, layer), id)| {
        json!({
            "ID": id, "Created": line.created, "CreatedAt": line.created, "CreatedBy": line.created_by,
            "Comment": line.comment, "Size": layer.map_or(0, |l| l.size), "DiffId": layer.map(|l| &l.diff_id),
        })
    });
    match args.format.as_deref() {
        Some("json") => println!("{:#}", objects.collect::<Value>()),
        Some(format) => {
            for object in objects {
                println!("{}", template::render(format, &object).map_err(Failure::usage)?);
            }
        }
        None => {
            println!("{:<20} {:>10}  CREATED BY", "CREATED", "SIZE");
            for (line, layer) in lines.iter().rev() {
                let created: String = line.created.as_deref().unwrap_or("").chars().take(20).collect();
                let size = layer.map_or_else(|| "-".into(), |l| megabytes(l.size));
                let by = line.created_by.replace('\n', " ");
                let by = if args.no_trunc { by } else { shortened(&by) };
                println!("{:<20} {size:>10}  {}", printable(created.as_bytes()), printable(by.as_bytes()));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The longest instruction that is shown whole, as in `docker history`.
const SHOWN: usize = 45;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => text.into(),
        Some(_) => text.chars().take(SHOWN - 1).chain(['…']).collect(),
    }
}
