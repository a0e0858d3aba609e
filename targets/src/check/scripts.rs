//! Scripts of the image: their interpreters, and what they take for granted about the network.

use routerpack_rootfs::{Entry, Kind, path};

use super::{
    Subject,
    command::{self, Interpreter, Start},
    firewall,
    report::Findings,
};

/// Scripts longer than this are not read.
const MAX_SCRIPT: u64 = 256 << 10;
/// Scripts that are read in all.
const MAX_SCRIPTS: usize = 2000;
/// Where a distribution keeps what is its own: not read for what the image's author took for granted.
const DISTRIBUTION: [&[u8]; 6] = [b"usr/", b"lib/", b"bin/", b"sbin/", b"etc/", b"var/"];

/// Looks at every executable script, at those that the command names, and at the config.
pub(super) fn check(subject: &Subject, start: Option<&Start>, findings: &mut Findings) {
    let tree = subject.tree;
    let search = command::search(subject.config);
    let config = &subject.config.config;
    for text in config.entrypoint.iter().chain(&config.cmd).chain(&config.env) {
        if names_eth0(text.as_bytes()) {
            findings.add("eth0", "", format!("the config names eth0: `{}`", command::shown(text.as_bytes())));
        }
        firewall::uses(tree, search, text.as_bytes(), "", findings);
    }
    firewall::check(tree, search, findings);
    let among = |files: &[Vec<u8>], e: &Entry| files.iter().any(|f| **f == *e.path);
    let mut read = 0;
    for entry in tree.index.entries().iter().filter(|e| e.kind == Kind::File) {
        let is_start = start.is_some_and(|s| among(&s.files, entry));
        let is_named = start.is_some_and(|s| among(&s.scripts, entry));
        let line = subject.programs.scripts.get(&*entry.path).filter(|_| entry.mode & 0o111 != 0);
        if line.is_none() && !is_named {
            continue;
        }
        let place = format!("/{}", path::show(&entry.path));
        if let Some(line) = line.filter(|_| !is_start)
            && let Interpreter::Missing(name) = command::interpreter(tree, line, search)
        {
            findings.at_most(
                command::ASIDE,
                "shebang",
                &place,
                format!("the interpreter {name} of a script is not in the image"),
            );
        }
        let own = entry.path.starts_with(b"usr/local/") || !DISTRIBUTION.iter().any(|d| entry.path.starts_with(d));
        if (own || is_start || is_named) && entry.size <= MAX_SCRIPT && read < MAX_SCRIPTS {
            read += 1;
            let Ok(text) = tree.read(entry, MAX_SCRIPT) else { continue };
            if names_eth0(&text) {
                findings.add("eth0", &place, "a script names eth0");
            }
            firewall::uses(tree, search, &text, &place, findings);
        }
    }
}

/// Whether a text has the word `eth0` outside of comments.
fn names_eth0(text: &[u8]) -> bool {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    code(text).any(|line| line.split(|b| !is_word(b)).any(|word| word == b"eth0"))
}

/// A script's lines without those that are comments.
pub(super) fn code(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| *b == b'\n').filter(|line| !line.trim_ascii_start().starts_with(b"#"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn eth0_is_a_word_outside_of_comments() {
        for (text, found) in [
            ("ip addr show eth0", true),
            ("IFACE=\"eth0\"\n", true),
            ("-i eth0.10", true),
            ("# eth0 is gone\nip a", false),
            ("veth0 eth01 my_eth0", false),
            ("", false),
        ] {
            assert_eq!(super::names_eth0(text.as_bytes()), found, "{text}");
        }
    }
}
