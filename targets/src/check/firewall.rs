//! Firewall programs of the image: what of the kernel they need that a router's may not have.

use std::collections::BTreeSet;

use routerpack_rootfs::{Tree, path};

use super::{
    command::{Located, locate},
    report::Findings,
    scripts,
};
use crate::rules::Severity;

/// The program behind every `iptables-nft` name.
const NFT: &[u8] = b"xtables-nft-multi";

/// Notes what is there, for programs that call it without saying so in a script.
pub(super) fn check(tree: &Tree, search: &str, findings: &mut Findings) {
    if speaks_nft(tree, b"iptables", search) {
        findings.at_most(Severity::Info, "iptables-nft", "", "the image's iptables is iptables-nft");
    }
}

/// Notes what a script or a command line calls.
pub(super) fn uses(tree: &Tree, search: &str, text: &[u8], place: &str, findings: &mut Findings) {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let words = || scripts::code(text).flat_map(move |line| line.split(move |b| !is_word(b)));
    let named: BTreeSet<&[u8]> = words().filter(|w| w.windows(6).any(|part| part == b"tables")).collect();
    for word in named {
        if speaks_nft(tree, word, search) {
            findings.add("iptables-nft", place, format!("calls {}, which is iptables-nft here", path::show(word)));
        }
    }
    let has = |word: &[u8]| words().any(|w| w == word);
    let is_there = |name: &[u8]| matches!(locate(tree, name, search, "/"), Located::Found(_));
    if has(b"nft") && is_there(b"nft") {
        findings.add("iptables-nft", place, "calls nft");
    }
    if has(b"--match-set") || (has(b"ipset") && is_there(b"ipset")) {
        findings.add("ipset", place, "calls ipset, or matches against its sets");
    }
}

fn speaks_nft(tree: &Tree, name: &[u8], search: &str) -> bool {
    matches!(locate(tree, name, search, "/"), Located::Found(entry) if entry.path.ends_with(NFT))
}
