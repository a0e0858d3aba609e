//! Scripts of the image: their interpreters, and what they take for granted about the network.

use routerpack_rootfs::{Entry, Kind, path};

use super::{
    Subject,
    command::{self, Interpreter, Start},
    report::Findings,
};

/// Scripts longer than this are not read.
const MAX_SCRIPT: u64 = 256 << 10;
/// Scripts that are read in all.
const MAX_SCRIPTS: usize = 2000;
/// Where a distribution keeps what is its own: not read for what the image's author took for granted.
const DISTRIBUTION: [&[u8]; 6] = [b"usr/", b"lib/", b"bin/", b"sbin/", b"etc/", b"var/"];

/// Looks at every executable script.
pub(super) fn check(subject: &Subject, start: Option<&Start>, findings: &mut Findings) {
    let tree = subject.tree;
    let config = &subject.config.config;
    let search = config.env.iter().find_map(|e| e.strip_prefix("PATH=")).unwrap_or("/usr/bin:/bin");
    for text in config.entrypoint.iter().chain(&config.cmd).chain(&config.env).filter(|t| names_eth0(t.as_bytes())) {
        findings.add("eth0", "", format!("the config names eth0: `{}`", command::shown(text.as_bytes())));
    }
    let is_start = |e: &Entry| start.is_some_and(|s| s.files.iter().any(|f| **f == *e.path));
    let executable = |e: &&Entry| e.kind == Kind::File && e.mode & 0o111 != 0;
    let mut read = 0;
    for entry in tree.index.entries().iter().filter(executable) {
        let Some(line) = subject.programs.scripts.get(&*entry.path) else { continue };
        let place = format!("/{}", path::show(&entry.path));
        if !is_start(entry)
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
        if (own || is_start(entry)) && entry.size <= MAX_SCRIPT && read < MAX_SCRIPTS {
            read += 1;
            if tree.read(entry, MAX_SCRIPT).is_ok_and(|text| names_eth0(&text)) {
                findings.add("eth0", place, "a script names eth0");
            }
        }
    }
}

/// Whether a text has the word `eth0` outside of comments.
fn names_eth0(text: &[u8]) -> bool {
    text.split(|b| *b == b'\n').filter(|line| !line.trim_ascii_start().starts_with(b"#")).any(|line| {
        let word = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        let at = |at: usize| {
            line[at..].starts_with(b"eth0") && !word(line.get(at + 4)) && !(at > 0 && word(line.get(at - 1)))
        };
        (0..line.len()).any(at)
    })
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
