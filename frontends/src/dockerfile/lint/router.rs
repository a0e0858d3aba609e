//! Rules about what a router makes of the target. Their reasons, and how sure anybody is of each, stand beside the
//! rules for archives (`routerpack explain`); a detail never says more than its evidence does.
//!
//! They look at the target and the stages that it starts from: what other stages do is gone when the image is made.

use std::sync::LazyLock;

use regex::Regex;
use routerpack_graph::{ImageConfig, Platform};

use super::super::ast::Instruction;
use super::super::instruction::Command;
use super::super::lower::reference::Reference;
use super::super::span::Span;
use super::rules::*;
use super::{Lint, Place};

static ETH0: LazyLock<Regex> = LazyLock::new(|| pattern(r"\beth0\b"));

/// A package manager that is told to install iptables or nftables, or a call of the nft variants.
static NFT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"\b(?:apk\s[^;&|\n]*\badd|(?:apt|apt-get|dnf|microdnf|yum)\s[^;&|\n]*\binstall|opkg\s+install)",
        r"\s[^;&|\n]*\b(?:iptables|nftables)(?:[\s=~<>]|$)|\biptables-nft\b|(?:^|[\s;&|(])nft\s+(?:-f|add|list|flush)\b"
    ))
});

static LEGACY: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(?:iptables|xtables)-legacy\b"));

static TUN: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bmknod\b[^;&|\n]*/dev/net/tun\b"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}

/// The target as it was lowered.
pub(in crate::dockerfile) struct Target<'a> {
    /// The FROM of the target itself.
    pub from: Place,
    /// Its instructions and those of the stages that it starts from, the lowest stage's first.
    pub instructions: Vec<(Place, &'a Instruction)>,
    /// The image at the bottom, if it isn't `scratch`.
    pub base: Option<Base<'a>>,
    /// The finished config.
    pub image: &'a ImageConfig,
}

/// The image at the bottom.
pub(in crate::dockerfile) struct Base<'a> {
    /// The FROM that names it.
    pub from: Place,
    /// Its name, expanded.
    pub name: &'a str,
    /// What it was wanted for.
    pub wanted: &'a Platform,
    /// What its config says that it is for.
    pub found: Option<Platform>,
}

/// Runs them all.
pub(in crate::dockerfile) fn target(lint: &mut Lint, target: &Target<'_>) {
    if let Some(base) = &target.base {
        base_platform(lint, base);
    }
    let texts: Vec<String> = target.instructions.iter().map(|(_, instruction)| text(instruction)).collect();
    let legacy = texts.iter().any(|text| LEGACY.is_match(text));
    for ((place, instruction), text) in target.instructions.iter().zip(&texts) {
        if ETH0.is_match(text) {
            let detail = "eth0 may be missing: from RouterOS 7.20 the interface has the name of its veth";
            lint.add(ROUTER_HARDCODED_ETH0, place, detail.into());
        }
        if !legacy && NFT.is_match(text) {
            let detail = "the nf_tables variant of iptables is reported to fail in containers: use iptables-legacy";
            lint.add(ROUTER_IPTABLES_NFT, place, detail.into());
        }
        if TUN.is_match(text) {
            let detail = "/dev/net/tun is there in a container without being made, and what is made in /dev isn't kept";
            lint.add(ROUTER_TUN_DEVICE_NODE, place, detail.into());
        }
        metadata(lint, place, instruction);
    }
    let config = &target.image.config;
    if config.entrypoint.is_empty() && config.cmd.is_empty() {
        let detail = "there is neither ENTRYPOINT nor CMD: the container may not start unless cmd= is given";
        lint.add(ROUTER_NO_COMMAND, &target.from, detail.into());
    }
    if !is_root(&config.user) && !config.volumes.is_empty() {
        let at = target.instructions.iter().rfind(|(_, instruction)| matches!(instruction.command, Command::User(_)));
        let place = at.map_or(&target.from, |(place, _)| place);
        let paths = config.volumes.keys().cloned().collect::<Vec<_>>().join(", ");
        let detail = format!(
            "user {} may be unable to write to a mount at {paths}: what RouterOS puts there belongs to root",
            config.user
        );
        lint.add(ROUTER_NON_ROOT_MOUNT, place, detail);
    }
}

fn metadata(lint: &mut Lint, place: &Place, instruction: &Instruction) {
    let words = match &instruction.command {
        Command::Volume(words) | Command::Expose(words) => words.iter().map(|word| word.span).reduce(Span::to),
        _ => None,
    };
    // A trigger's words are in another file.
    let place = &words.filter(|_| place.span == instruction.span).map_or_else(|| place.clone(), |span| place.at(span));
    match &instruction.command {
        Command::Volume(paths) => {
            let paths: Vec<&str> = paths.iter().map(|path| path.as_str()).collect();
            let detail = format!(
                "RouterOS makes no volume for {}: add a mount, or its data goes with the container",
                paths.join(", ")
            );
            lint.add(ROUTER_VOLUME_NEEDS_MOUNT, place, detail);
        }
        Command::Expose(ports) => {
            let ports: Vec<&str> = ports.iter().map(|port| port.as_str()).collect();
            let detail =
                format!("RouterOS forwards nothing to {}: add a dst-nat rule where it is needed", ports.join(", "));
            lint.add(ROUTER_EXPOSE_NEEDS_NAT, place, detail);
        }
        Command::Healthcheck(check) if check.command.is_some() => {
            let detail = "RouterOS before 7.22 has no health checks";
            lint.add(ROUTER_HEALTHCHECK_IGNORED, place, detail.into());
        }
        _ => {}
    }
}

/// An image for arm/v5 needs a base for arm/v5: Alpine has no such port, nor have the official images for v6 and v7.
fn base_platform(lint: &mut Lint, base: &Base<'_>) {
    if (base.wanted.architecture.as_str(), base.wanted.variant.as_str()) != ("arm", "v5") {
        return;
    }
    let newer =
        base.found.as_ref().filter(|found| found.architecture == "arm" && !matches!(found.variant.as_str(), "" | "v5"));
    let reference = Reference::parse(base.name).ok();
    let path = reference.as_ref().filter(|r| r.host == "docker.io").map_or("", |r| r.path.as_str());
    let without = path == "library/alpine" || path.starts_with("arm32v6/") || path.starts_with("arm32v7/");
    let why = match newer {
        Some(found) => format!("is for {found}"),
        None if without => "has no variant for it".to_string(),
        None => return,
    };
    let name = base.name;
    let detail = format!("the image is for linux/arm/v5, but its base {name} {why}: its programs may die (SIGILL)");
    lint.add(ROUTER_BASE_LACKS_ARM_V5, &base.from, detail);
}

fn is_root(user: &str) -> bool {
    matches!(user.split(':').next().unwrap_or_default(), "" | "0" | "root")
}

/// All that an instruction says, heredocs included; nothing for those that are only names of something.
fn text(instruction: &Instruction) -> String {
    match instruction.command {
        Command::From(_) | Command::Label(_) | Command::Maintainer(_) | Command::User(_) | Command::Workdir(_) => {
            String::new()
        }
        _ => {
            let heredocs = instruction.heredocs.iter().map(|heredoc| heredoc.content.as_str());
            std::iter::once(instruction.original.as_str()).chain(heredocs).collect::<Vec<_>>().join("\n")
        }
    }
}
