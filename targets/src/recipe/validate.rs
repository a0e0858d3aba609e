//! What a recipe's options must be before they become a script.

use super::{Disk, Error, Mount, Options, Source, Subject, container};

/// Checks all of them; the message names the option, never a variable's value.
pub fn validate(subject: &Subject, options: &Options) -> Result<(), Error> {
    name(&options.name)?;
    let config = &subject.config.config;
    let (entrypoint, cmd) = container::argv(config, options);
    if entrypoint.is_empty() && cmd.is_empty() {
        return Err(Error::NoCommand);
    }
    let given = [(&options.entrypoint, "--entrypoint"), (&options.cmd, "--cmd")];
    for (argv, option) in given {
        if argv.as_ref().is_some_and(|argv| container::spelled(argv).is_none()) {
            return Err(Error::Unspellable(option));
        }
    }
    // Half of a command can't be overridden when the other half can't be said.
    let both = container::spelled(entrypoint).is_some() && container::spelled(cmd).is_some();
    if !both && given.iter().any(|(argv, _)| argv.is_some()) {
        return Err(Error::Unspellable("the rest of the image's command"));
    }
    if options.health.as_ref().is_some_and(|h| h.cmd.is_empty() || container::spelled(&h.cmd).is_none()) {
        return Err(Error::Unspellable("--health-cmd"));
    }
    for (key, value) in &options.env {
        let option = || format!("--env {}", key.escape_debug());
        if key.is_empty() || key.contains(['=', '\0']) {
            return Err(Error::Value { option: option(), reason: "a variable's name is not empty and has no `=`" });
        }
        no_nul(&option(), value)?;
    }
    places(options)?;
    texts(subject, options)
}

fn name(name: &str) -> Result<(), Error> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ok = (1..=32).contains(&name.len())
        && name.bytes().all(|b| plain(b) || b == b'-')
        && name.bytes().next().is_some_and(plain);
    if ok { Ok(()) } else { Err(Error::Name(name.chars().take(60).collect())) }
}

fn no_nul(option: &str, value: &str) -> Result<(), Error> {
    match value.contains('\0') {
        true => Err(Error::Value { option: option.into(), reason: "no text of a program can hold a NUL byte" }),
        false => Ok(()),
    }
}

fn places(options: &Options) -> Result<(), Error> {
    for Mount { src, dst, .. } in &options.mounts {
        let option = || format!("--volume {}", dst.escape_debug());
        no_nul(&option(), dst)?;
        if !dst.starts_with('/') {
            return Err(Error::Value { option: option(), reason: "the place in the container is an absolute path" });
        }
        if let Some(src) = src {
            no_nul(&option(), src)?;
            if src.is_empty() || src.split('/').any(|part| part == "..") {
                return Err(Error::Value {
                    option: option(),
                    reason: "the place on the router is a path without `..`",
                });
            }
        }
    }
    for (_, dir) in &options.tmpfs {
        if !dir.starts_with('/') || dir.contains([',', ' ', '@', '\0']) {
            return Err(Error::Value {
                option: format!("--tmpfs {}", dir.escape_debug()),
                reason: "it is an absolute path without space, comma and `@`",
            });
        }
    }
    if let Disk::Slot(slot) = &options.disk {
        no_nul("--disk", slot)?;
        if slot.is_empty() || slot.contains('/') {
            return Err(Error::Value {
                option: format!("--disk {}", slot.escape_debug()),
                reason: "it is the slot's name of /disk/print, without `/`; `internal` for the router's own flash",
            });
        }
    }
    Ok(())
}

fn texts(subject: &Subject, options: &Options) -> Result<(), Error> {
    let texts = [
        ("--user", &options.user),
        ("--workdir", &options.workdir),
        ("--hostname", &options.hostname),
        ("--cpus", &options.cpu_list),
        ("--lan", &options.lan),
    ];
    for (option, text) in texts {
        if let Some(text) = text {
            no_nul(option, text)?;
        }
    }
    for (option, items) in [("--device", &options.devices)] {
        for item in items {
            no_nul(option, item)?;
            if item.is_empty() || item.contains(',') {
                return Err(Error::Value {
                    option: option.into(),
                    reason: "name one thing at a time, without a comma",
                });
            }
        }
    }
    for (host, _) in &options.hosts {
        if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
            return Err(Error::Value {
                option: "--add-host".into(),
                reason: "a host name has letters, digits, `-` and `.`",
            });
        }
    }
    if let Source::Registry { reference, .. } = &subject.source
        && reference.contains('@')
    {
        return Err(Error::Value {
            option: "the image's name".into(),
            reason: "RouterOS is not known to pull by digest: name a tag; the recipe compares the image id itself",
        });
    }
    Ok(())
}
