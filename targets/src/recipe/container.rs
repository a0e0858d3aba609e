//! The `/container/add` of each version: the same wishes in that version's own words.

use routerpack_graph::image::RunConfig;

use super::{Health, Names, Options, Source, Subject, quote::quote};
use crate::profile::Version;

/// A command and what of the wishes it can't say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// One line; it reads `$root` and `$archive`.
    pub command: String,
    /// Sentences: what this version lacks.
    pub missing: Vec<String>,
}

/// The command of a version.
pub fn add(subject: &Subject, options: &Options, names: &Names, mounts: usize, version: Version) -> Add {
    let mut words = Words { version, arguments: Vec::new(), missing: Vec::new() };
    words.origin(subject);
    words.identity(options, names, mounts);
    words.process(&subject.config.config, options);
    words.limits(options);
    words.life(&subject.config.config, options);
    let arguments: Vec<String> = words.arguments.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Add { command: format!("/container/add {}", arguments.join(" ")), missing: words.missing }
}

/// An argv as RouterOS' one field, if that field means the same argv.
///
/// It is split at spaces and knows no quoting that is documented, so an element that is empty or
/// holds white space, a quote or a backslash can't be in it (from public recipes; a warning example
/// is `sh -c "a b; c"`, which becomes `sh -c a`).
pub fn spelled(argv: &[String]) -> Option<String> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '\\' | '`');
    let plain = argv.iter().all(|word| !word.is_empty() && !word.contains(bad));
    plain.then(|| argv.join(" "))
}

/// What is said on versions that may not take such a command from the image.
pub const UNSPELLABLE: &str = "the image's command has spaces or quotes inside an argument, which entrypoint= and cmd= \
     can't hold, and RouterOS 7.22 and newer may not take it from the image: if the log says `no command specified`, put \
     it into a script of the image: routerpack commit --bake-command ARCHIVE";

/// Entrypoint and arguments: the image's, unless the options say other ones.
pub fn argv<'a>(config: &'a RunConfig, options: &'a Options) -> (&'a [String], &'a [String]) {
    let entrypoint = options.entrypoint.as_deref().unwrap_or(&config.entrypoint);
    let image_cmd: &[String] = if options.entrypoint.is_some() { &[] } else { &config.cmd };
    (entrypoint, options.cmd.as_deref().unwrap_or(image_cmd))
}

struct Words {
    version: Version,
    arguments: Vec<(&'static str, String)>,
    missing: Vec<String>,
}

impl Words {
    fn at_least(&self, minor: u16, patch: u16) -> bool {
        self.version >= Version::new(minor, patch)
    }

    fn bare(&mut self, name: &'static str, value: impl Into<String>) {
        self.arguments.push((name, value.into()));
    }

    fn text(&mut self, name: &'static str, value: &str) {
        self.bare(name, quote(value.as_bytes()));
    }

    fn lacks(&mut self, what: &str, since: &str) {
        self.missing.push(format!("{what} needs RouterOS {since}"));
    }

    /// An argument of newer versions; older ones say that it is missing.
    fn since(&mut self, (minor, patch): (u16, u16), name: &'static str, value: &str) {
        match self.at_least(minor, patch) {
            true => self.text(name, value),
            false => self.lacks(name, &Version::new(minor, patch).to_string()),
        }
    }

    fn origin(&mut self, subject: &Subject) {
        match &subject.source {
            Source::Archive { .. } => self.bare("file", "$archive"),
            Source::Registry { reference, .. } => self.text("remote-image", reference),
        }
        self.bare("root-dir", "$root");
    }

    fn identity(&mut self, options: &Options, names: &Names, mounts: usize) {
        self.text("interface", &names.veth);
        self.text("comment", &names.tag);
        if self.at_least(19, 0) {
            // Unique among containers, and the former one is still there while this one is added.
            self.text("name", &names.root);
        }
        if !options.env.is_empty() {
            self.text(if self.at_least(20, 0) { "envlists" } else { "envlist" }, &names.list);
        }
        match mounts {
            0 => (),
            _ if self.at_least(21, 0) => self.text("mountlists", &names.list),
            // Before 7.21 each mount has a name of its own.
            count => {
                let each: Vec<String> = (1..=count).map(|i| format!("{}-{i}", names.list)).collect();
                self.bare("mounts", each.join(","));
            }
        }
        self.text("hostname", options.hostname.as_deref().unwrap_or(&names.name));
        if !options.dns.is_empty() {
            self.bare("dns", join(&options.dns));
        }
        if !options.hosts.is_empty() {
            let hosts: Vec<String> = options.hosts.iter().map(|(host, ip)| format!("{host}={ip}")).collect();
            self.since((21, 0), "hosts", &hosts.join(","));
        }
    }

    /// Entrypoint and cmd are always spelled where they can be: 7.22 and newer were seen not to take
    /// them from the image (`no command specified, set cmd or entrypoint`, three user reports).
    fn process(&mut self, config: &RunConfig, options: &Options) {
        let (entrypoint, cmd) = argv(config, options);
        match (spelled(entrypoint), spelled(cmd)) {
            (Some(entrypoint), Some(cmd)) => {
                for (name, value) in [("entrypoint", entrypoint), ("cmd", cmd)] {
                    if !value.is_empty() {
                        self.text(name, &value);
                    }
                }
            }
            _ if self.at_least(22, 0) => self.missing.push(UNSPELLABLE.into()),
            _ => (),
        }
        for (name, value) in [("user", &options.user), ("workdir", &options.workdir)] {
            if let Some(value) = value {
                self.text(name, value);
            }
        }
    }

    fn limits(&mut self, options: &Options) {
        let numbers = [
            ((20, 0), "memory-high", options.memory_high),
            ((23, 0), "memory-max", options.memory_max),
            ((24, 0), "swap-max", options.swap_max),
            ((21, 2), "shm-size", options.shm_size),
        ];
        for (since, name, bytes) in numbers {
            if let Some(bytes) = bytes {
                self.since(since, name, &bytes.to_string());
            }
        }
        if let Some(list) = &options.cpu_list {
            self.since((21, 0), "cpu-list", list);
        }
        if !options.tmpfs.is_empty() {
            // `size@directory`, as the vendor's container page has it.
            let each: Vec<String> =
                options.tmpfs.iter().map(|(bytes, dir)| format!("{}@{dir}", size(*bytes))).collect();
            self.since((21, 2), "tmpfs", &each.join(","));
        }
        if !options.devices.is_empty() {
            self.since((20, 0), "devices", &options.devices.join(","));
        }
        if options.privileged {
            self.since((24, 0), "privileged", "yes");
        }
    }

    fn life(&mut self, config: &RunConfig, options: &Options) {
        self.bare("logging", yes(options.logging));
        self.bare("start-on-boot", yes(options.start_on_boot));
        if let Some(seconds) = options.stop_time {
            self.since((21, 0), "stop-time", &format!("{seconds}s"));
        }
        if let Some(restart) = &options.restart {
            let interval = format!("{}s", restart.interval);
            if self.at_least(23, 0) {
                self.bare("restart-policy", if restart.on_failure { "on-failure" } else { "always" });
                self.text("restart-interval", &interval);
                if let Some(count) = restart.max_count {
                    self.text("restart-max-count", &count.to_string());
                }
            } else {
                self.since((20, 0), "auto-restart-interval", &interval);
            }
        }
        self.health(config, options);
    }

    fn health(&mut self, config: &RunConfig, options: &Options) {
        let Some(health) = options.health.clone().or_else(|| image_health(config)) else {
            // From 7.23 the router reads the image's own (vendor's page; the command tree has the words from 7.22).
            let unsaid = config.healthcheck.as_ref().is_some_and(|h| h.test.first().is_some_and(|t| t != "NONE"));
            if unsaid && !self.at_least(23, 0) {
                self.lacks("the image's health check, which uses a shell,", "7.23");
            }
            return;
        };
        if !self.at_least(22, 0) {
            return self.lacks("healthcheck-cmd", "7.22");
        }
        let Some(cmd) = spelled(&health.cmd) else { return };
        self.text("healthcheck-cmd", &cmd);
        let seconds = [
            ("healthcheck-interval", health.interval),
            ("healthcheck-timeout", health.timeout),
            ("healthcheck-start-period", health.start_period),
        ];
        for (name, value) in seconds {
            if let Some(value) = value {
                self.text(name, &format!("{value}s"));
            }
        }
        if let Some(retries) = health.retries {
            self.text("healthcheck-retries", &retries.to_string());
        }
    }
}

/// The image's check, if it means the same without its shell.
fn image_health(config: &RunConfig) -> Option<Health> {
    let check = config.healthcheck.as_ref()?;
    let cmd = match check.test.split_first() {
        Some((kind, argv)) if kind == "CMD" && !argv.is_empty() => argv.to_vec(),
        Some((kind, [line])) if kind == "CMD-SHELL" => {
            let plain = |c: char| c.is_ascii_alphanumeric() || " ./:_-=,+@".contains(c);
            let words: Vec<String> = line.split_whitespace().map(str::to_string).collect();
            let assigns = words.first().is_none_or(|word| word.contains('='));
            if assigns || !line.chars().all(plain) {
                return None;
            }
            words
        }
        _ => return None,
    };
    spelled(&cmd)?;
    // Nanoseconds, 0 for the default; a part of a second counts as one.
    let seconds = |n: i64| (n > 0).then(|| u32::try_from(n.div_euclid(1_000_000_000).max(1)).ok()).flatten();
    Some(Health {
        cmd,
        interval: seconds(check.interval),
        timeout: seconds(check.timeout),
        start_period: seconds(check.start_period),
        retries: u32::try_from(check.retries).ok().filter(|n| *n > 0),
    })
}

fn yes(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

fn join<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

/// `64M`, `512K`, or bytes.
fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes {
        _ if bytes.is_multiple_of(MIB) => format!("{}M", bytes / MIB),
        _ if bytes.is_multiple_of(1024) => format!("{}K", bytes / 1024),
        _ => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argv_is_spelled_only_if_it_comes_back_the_same() {
        let argv = |words: &[&str]| words.iter().map(|w| w.to_string()).collect::<Vec<_>>();
        assert_eq!(spelled(&argv(&["nginx", "-g", "daemon"])).as_deref(), Some("nginx -g daemon"));
        assert_eq!(spelled(&[]).as_deref(), Some(""));
        for bad in [&["sh", "-c", "a b; c"][..], &[""], &["a\"b"], &["a'b"], &["a\\b"], &["a\tb"], &["a\nb"]] {
            assert_eq!(spelled(&argv(bad)), None, "{bad:?}");
        }
    }
}
