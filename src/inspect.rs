//! `routerpack inspect`: config, layers, size and platform of an image.

use std::process::ExitCode;

use routerpack_graph::ImageConfig;
use serde_json::{Value, json};

use crate::{
    args::{Cli, InspectArgs},
    failure::Failure,
    progress::{megabytes, printable},
    source::{Opener, Source},
    template,
};

/// Prints what the image says of itself; layers are not read.
pub fn inspect(cli: &Cli, args: &InspectArgs) -> Result<ExitCode, Failure> {
    let source = Opener::quiet(cli, args.platform.as_deref())?.open(&args.source)?;
    let value = value(&source)?;
    match args.format.as_deref() {
        None => print!("{}", text(&source)),
        Some("json") => println!("{value:#}"),
        Some(format) => println!("{}", template::render(format, &value).map_err(Failure::usage)?),
    }
    Ok(ExitCode::SUCCESS)
}

/// The members have the names that `docker inspect` gives them; what the image doesn't say is there, and empty, so that
/// a template can ask for it. `Size` counts the layers as they are stored, since they are not read.
fn value(source: &Source) -> Result<Value, Failure> {
    let layers = source.image.iter().flat_map(|i| &i.layers).map(|layer| {
        json!({"Digest": layer.digest, "DiffId": layer.diff_id, "Size": layer.size, "MediaType": layer.media_type})
    });
    let ImageConfig { created, author, os_version, config, rootfs, history, .. } = &source.config;
    Ok(json!({
        "Name": source.name,
        "Id": source.image.as_ref().map(|i| &i.config_digest),
        "Digest": source.image.as_ref().map(|i| &i.digest),
        "RepoTags": source.tags,
        "Comment": history.last().map_or("", |line| &line.comment),
        "Created": created,
        "Author": author,
        "Platform": source.platform.to_string(),
        "Os": source.platform.os,
        "OsVersion": os_version,
        "Architecture": source.platform.architecture,
        "Variant": source.platform.variant,
        "Size": size(source),
        "Config": {
            "User": config.user, "ExposedPorts": config.exposed_ports, "Env": config.env,
            "Entrypoint": config.entrypoint, "Cmd": config.cmd, "Volumes": config.volumes,
            "WorkingDir": config.working_dir, "Labels": config.labels, "StopSignal": config.stop_signal,
            "ArgsEscaped": config.args_escaped, "Healthcheck": config.healthcheck, "OnBuild": config.on_build,
            "Shell": config.shell,
        },
        "RootFS": {"Type": rootfs.kind, "Layers": rootfs.diff_ids},
        "Layers": layers.collect::<Vec<_>>(),
        "History": serde_json::to_value(history).map_err(Failure::new)?,
    }))
}

/// Bytes of all layers as they are stored.
fn size(source: &Source) -> u64 {
    source.image.iter().flat_map(|i| &i.layers).map(|l| l.size).sum()
}

fn text(source: &Source) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            out += &format!("{name:<12} {}\n", printable(value.as_bytes()));
        }
    };
    line("Source", &source.name);
    line("Tags", &source.tags.join(", "));
    line("Platform", &source.platform.to_string());
    let layers = source.image.as_ref().map_or(&[][..], |image| {
        line("Image id", &image.config_digest.to_string());
        &image.layers
    });
    line("Created", source.config.created.as_deref().unwrap_or(""));
    let plural = if layers.len() == 1 { "" } else { "s" };
    line("Size", &format!("{} in {} layer{plural}", megabytes(size(source)), layers.len()));
    let config = &source.config.config;
    let list = |words: &[String]| if words.is_empty() { String::new() } else { json!(words).to_string() };
    line("Entrypoint", &list(&config.entrypoint));
    line("Cmd", &list(&config.cmd));
    line("User", &config.user);
    line("WorkingDir", &config.working_dir);
    line("StopSignal", &config.stop_signal);
    config.env.iter().for_each(|env| line("Env", env));
    config.exposed_ports.keys().for_each(|port| line("Port", port));
    config.volumes.keys().for_each(|volume| line("Volume", volume));
    config.labels.iter().for_each(|(key, value)| line("Label", &format!("{key}={value}")));
    if let Some(check) = &config.healthcheck {
        line("Healthcheck", &list(&check.test));
    }
    for layer in layers {
        line("Layer", &format!("{}  {}  {}", layer.diff_id, megabytes(layer.size), layer.media_type));
    }
    out
}
