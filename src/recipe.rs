//! `routerpack recipe`: the script that installs a container on a router.

use std::{
    fs::{self, File},
    io::{IsTerminal, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use routerpack_sources::{Image, PullPolicy, Reference, Store};
use routerpack_targets::{
    profile::Profile,
    recipe::{self, Action, Disk, Health, Mount, Options, Port, Protocol, Restart, Source, Subject, Subnet},
    resource::Resource,
};

use crate::{
    args::{Cli, RecipeAction, RecipeArgs, RestartPolicy},
    devices, explain,
    failure::Failure,
    flags, machine,
};

/// What a compressed layer is taken to become, where its unpacked size isn't told.
const INFLATION: u64 = 3;

/// Makes it.
pub fn recipe(cli: &Cli, args: &RecipeArgs) -> Result<ExitCode, Failure> {
    let router = args.device.as_deref().map(devices::named).transpose()?;
    let (subject, image_name) = subject(cli, args, router.as_ref())?;
    let mut options = options(args, &image_name)?;
    if args.routeros.is_none() {
        options.routeros = router.and_then(|r| r.version);
    }
    let made = recipe::generate(&subject, &options).map_err(Failure::new)?;
    let out = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.rsc", options.name)));
    if out == Path::new("-") {
        if std::io::stdout().is_terminal() && !options.env.is_empty() {
            return Err(Failure::usage(
                "the script holds values of --env, which are not shown on a screen: name a file with -o",
            ));
        }
        std::io::stdout()
            .write_all(made.script.as_bytes())
            .map_err(|e| Failure::new(format!("write the script: {e}")))?;
    } else {
        write_private(&out, made.script.as_bytes())?;
    }
    for note in &made.notes {
        eprintln!("note: {note}");
    }
    if out != Path::new("-") {
        usage(&args.source, &out, made.upload.as_deref());
    }
    Ok(ExitCode::SUCCESS)
}

/// What to type; the last lines of the output.
fn usage(source: &str, out: &Path, upload: Option<&str>) {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    println!(
        "{} is ready (it may hold secrets: its mode is 0600). To use it:",
        out.display().to_string().escape_debug()
    );
    println!("  sftp admin@ROUTER");
    if let Some(upload) = upload {
        println!("  sftp> put {} {}", sftp_word(source), sftp_word(upload));
    }
    println!("  sftp> put {} {}", sftp_word(&out.display().to_string()), sftp_word(&name));
    println!("  ssh admin@ROUTER '/import file-name={}'", recipe::quote(name.as_bytes()).replace('\'', "'\\''"));
}

/// A word of sftp's command line. Control characters can't be typed and would only play with the screen.
fn sftp_word(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    out + "\""
}

/// The image, and a name for its container.
fn subject(cli: &Cli, args: &RecipeArgs, router: Option<&Resource>) -> Result<(Subject, String), Failure> {
    let cache = machine::cache_dir(cli)?;
    let config = machine::sources(&cache, &args.insecure_registry);
    let wanted = match router {
        Some(router) => router.device.platform(),
        None => machine::platform_named(args.platform.as_deref())?,
    };
    let (image, source, name) = match args.source.strip_prefix("docker://") {
        Some(text) => {
            let reference = Reference::parse(text).map_err(Failure::usage)?;
            let Some(wanted) = &wanted else {
                return Err(Failure::usage(
                    "an image of a registry may be there for several platforms: choose one with --for DEVICE or --platform",
                ));
            };
            // The router pulls what the tag names now, and the script compares ids.
            let image =
                machine::registry(&config)?.image(&reference, wanted, PullPolicy::Always).map_err(Failure::new)?;
            let tag = match reference.digest() {
                // Refused, with the reason, where the script is made.
                Some(digest) => format!("@{digest}"),
                None => format!(":{}", reference.tag().unwrap_or("latest")),
            };
            let name = format!("{}/{}{tag}", reference.host(), reference.repository());
            let size = image.layers.iter().map(|l| l.size).sum();
            (image, Source::Registry { reference: name.clone(), size }, name)
        }
        None => {
            let path = Path::new(&args.source);
            let store = Store::open(path, None, &config).map_err(Failure::new)?;
            let machine = machine::platform();
            let image = store.image(None, None, wanted.as_ref().unwrap_or(&machine)).map_err(Failure::new)?;
            let meta = fs::metadata(path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
            if !meta.is_file() {
                return Err(Failure::new(format!(
                    "{} is no file, and a router imports an archive: make one with `routerpack build`",
                    path.display()
                )));
            }
            let stem = path.file_name().unwrap_or_default().to_string_lossy();
            let stem = stem.trim_end_matches(".gz").trim_end_matches(".tar").trim_end_matches(".tgz").to_string();
            let name = store.tags().into_iter().next().unwrap_or(stem);
            (image, Source::Archive { size: meta.len(), gzip: is_gzip(path)? }, name)
        }
    };
    if let Some(wanted) = &wanted
        && image.platform != *wanted
    {
        eprintln!("note: the image is for {}, not for {wanted}", image.platform);
    }
    let unpacked = unpacked(&image, &source);
    Ok((Subject { config: image.config.clone(), id: image.config_digest.clone(), source, unpacked }, name))
}

/// The layers' bytes: as they are in an archive that isn't compressed, else a guess.
fn unpacked(image: &Image, source: &Source) -> u64 {
    let plain = |layer: &routerpack_sources::Layer| layer.digest == layer.diff_id;
    let layers = image.layers.iter().map(|l| if plain(l) { l.size } else { l.size.saturating_mul(INFLATION) });
    let sum: u64 = layers.fold(0, u64::saturating_add);
    match source {
        Source::Archive { size, .. } => sum.max(*size),
        Source::Registry { .. } => sum,
    }
}

fn is_gzip(path: &Path) -> Result<bool, Failure> {
    let mut magic = Vec::new();
    let read = File::open(path).and_then(|file| file.take(2).read_to_end(&mut magic));
    read.map_err(|e| Failure::new(format!("read {}: {e}", path.display())))?;
    Ok(magic == [0x1f, 0x8b])
}

/// For its owner's eyes only; whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let fail = |e: std::io::Error| Failure::new(format!("write {}: {e}", path.display()));
    let name = path.file_name().ok_or_else(|| Failure::usage(format!("-o {}: name a file", path.display())))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(hidden);
    let write = || {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|e| {
        let _ = fs::remove_file(&temporary);
        fail(e)
    })
}

fn options(args: &RecipeArgs, image: &str) -> Result<Options, Failure> {
    let mut o = Options::new(args.name.clone().unwrap_or_else(|| recipe::name_of(image)));
    o.routeros = match args.routeros.as_deref().map(explain::profile).transpose()? {
        None | Some(Profile::Universal) => None,
        Some(Profile::Version(version)) => Some(version),
    };
    o.action = match args.action {
        RecipeAction::Install => Action::Install,
        RecipeAction::Update => Action::Update,
        RecipeAction::Rollback => Action::Rollback,
        RecipeAction::Uninstall => Action::Uninstall,
    };
    o.disk = match args.disk.as_deref() {
        None => Disk::Only,
        Some("internal") => Disk::Internal,
        Some(slot) => Disk::Slot(slot.trim_end_matches('/').into()),
    };
    if let Some(text) = &args.subnet {
        let bad = || {
            Failure::usage(format!(
                "--subnet {text}: expected ADDRESS/LENGTH with a length of 8 to 29, such as 172.31.200.0/24"
            ))
        };
        o.subnet = Subnet::parse(text).ok_or_else(bad)?;
    }
    if let Some(text) = &args.subnet6 {
        let address = text.strip_suffix("/64").and_then(|a| a.parse().ok());
        o.subnet6 = Some(address.ok_or_else(|| {
            Failure::usage(format!("--subnet6 {text}: expected a /64, such as fd12:3456:789a:1::/64"))
        })?);
    }
    o.ports = args.port.iter().map(|p| port(p)).collect::<Result<_, _>>()?;
    (o.lan, o.publish_wan) = (args.lan.clone(), args.publish_wan);
    o.dns = args.dns.clone();
    o.env = environment(args)?;
    o.mounts = args.volume.iter().map(|v| mount(v)).collect::<Result<_, _>>()?;
    o.entrypoint = args.entrypoint.as_deref().map(argv).transpose()?;
    o.cmd = args.cmd.as_deref().map(argv).transpose()?;
    (o.user, o.workdir, o.hostname) = (args.user.clone(), args.workdir.clone(), args.hostname.clone());
    let size = |option: &'static str, text: &Option<String>| text.as_deref().map(|t| bytes(option, t)).transpose();
    o.memory_high = size("--memory-high", &args.memory_high)?;
    o.memory_max = size("--memory-max", &args.memory_max)?;
    o.swap_max = size("--swap-max", &args.swap_max)?;
    o.shm_size = size("--shm-size", &args.shm_size)?;
    o.reserve = size("--reserve", &args.reserve)?;
    o.cpu_list = args.cpus.clone();
    for text in &args.tmpfs {
        let bad = || Failure::usage(format!("--tmpfs {text}: expected DIRECTORY:SIZE, such as /tmp:64m"));
        let (dir, size) = text.rsplit_once(':').ok_or_else(bad)?;
        o.tmpfs.push((bytes("--tmpfs", size)?, dir.into()));
    }
    o.devices = args.device_node.clone();
    for text in &args.add_host {
        let bad = || Failure::usage(format!("--add-host {text}: expected HOST:IP"));
        let (host, ip) = text.split_once(':').ok_or_else(bad)?;
        o.hosts.push((host.into(), ip.parse().map_err(|_| bad())?));
    }
    o.restart = match args.restart {
        RestartPolicy::No => None,
        policy => Some(Restart {
            on_failure: policy == RestartPolicy::OnFailure,
            interval: args.restart_interval,
            max_count: args.restart_max,
        }),
    };
    if let Some(cmd) = &args.health_cmd {
        o.health = Some(Health {
            cmd: argv(cmd)?,
            interval: args.health_interval,
            timeout: args.health_timeout,
            retries: args.health_retries,
            start_period: args.health_start_period,
        });
    }
    (o.stop_time, o.privileged) = (args.stop_time, args.privileged);
    (o.remove_archive, o.keep_former) = (args.remove_archive, args.keep_former);
    (o.logging, o.start_on_boot) = (!args.no_logging, !args.no_start_on_boot);
    Ok(o)
}

/// `["/app","serve"]`, or words divided by spaces, which is what RouterOS makes of them anyway.
fn argv(text: &str) -> Result<Vec<String>, Failure> {
    match text.trim_start().starts_with('[') {
        true => {
            serde_json::from_str(text).map_err(|e| Failure::usage(format!("`{text}` is no JSON array of strings: {e}")))
        }
        false => Ok(text.split_whitespace().map(str::to_string).collect()),
    }
}

/// `8080:80`, `80`, `53:53/udp`.
fn port(text: &str) -> Result<Port, Failure> {
    let bad = || {
        Failure::usage(format!("--port {text}: expected [ROUTER:]CONTAINER[/tcp|/udp], such as 8080:80 or 53:53/udp"))
    };
    let (ports, protocol) = match text.split_once('/') {
        None | Some((_, "tcp")) => (text.split('/').next().unwrap_or_default(), Protocol::Tcp),
        Some((ports, "udp")) => (ports, Protocol::Udp),
        Some(_) => return Err(bad()),
    };
    let (outside, inside) = ports.split_once(':').unwrap_or((ports, ports));
    let number = |text: &str| text.parse::<u16>().ok().filter(|n| *n > 0).ok_or_else(bad);
    Ok(Port { outside: number(outside)?, inside: number(inside)?, protocol })
}

fn mount(text: &str) -> Result<Mount, Failure> {
    let bad = || {
        Failure::usage(format!(
            "--volume {text}: expected DST, SRC:DST or SRC:DST:ro; SRC is a path on the router or a name"
        ))
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (src, dst, read_only) = match parts[..] {
        [dst] => (None, dst, false),
        [src, dst] | [src, dst, "rw"] => (Some(src), dst, false),
        [src, dst, "ro"] => (Some(src), dst, true),
        _ => return Err(bad()),
    };
    Ok(Mount { src: src.map(str::to_string), dst: dst.into(), read_only })
}

/// `--env-file` first, then `--env`; the last one of a name counts.
fn environment(args: &RecipeArgs) -> Result<Vec<(String, String)>, Failure> {
    let mut env: Vec<(String, String)> = Vec::new();
    let mut add = |key: &str, value: String| {
        env.retain(|(known, _)| known != key);
        env.push((key.into(), value));
    };
    for path in &args.env_file {
        let text = fs::read_to_string(path).map_err(|e| Failure::new(format!("read {}: {e}", path.display())))?;
        for (n, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#')) {
            // The line itself may be a secret.
            let bad = || Failure::new(format!("{}, line {}: expected KEY=VALUE", path.display(), n + 1));
            let (key, value) = line.split_once('=').ok_or_else(bad)?;
            add(key, value.into());
        }
    }
    for given in &args.env {
        match given.split_once('=') {
            Some((key, value)) => add(key, value.into()),
            None => match machine::variable(given) {
                Some(value) => add(given, value),
                None => {
                    return Err(Failure::usage(format!(
                        "--env {given}: the environment has no such variable; give {given}=VALUE"
                    )));
                }
            },
        }
    }
    Ok(env)
}

/// `64m`, `1g`, `4096`.
fn bytes(option: &'static str, text: &str) -> Result<u64, Failure> {
    let signed = flags::bytes(option, text).map_err(Failure::usage)?;
    Ok(signed.unsigned_abs()) // never negative
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_sizes() {
        let p = port("53:5353/udp").ok().unwrap();
        assert_eq!((p.outside, p.inside, p.protocol), (53, 5353, Protocol::Udp));
        assert_eq!(port("80").ok().unwrap().outside, 80);
        for bad in ["", "0", "a:80", "80:70000", "80/sctp", "1:2:3"] {
            assert!(port(bad).is_err(), "{bad}");
        }
        for (text, want) in [("64m", 64 << 20), ("1GiB", 1 << 30), ("4096", 4096), ("2kb", 2048)] {
            assert_eq!(bytes("--x", text).ok(), Some(want), "{text}");
        }
        for bad in ["", "m", "-1", "1.5g", "99999999999g"] {
            assert!(bytes("--x", bad).is_err(), "{bad}");
        }
    }
}
