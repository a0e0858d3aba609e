//! What a command line runs beside its own first word: behind `sh -c`, a wrapper such as `tini`, or as a script.
//!
//! A shell's text is read as far as it is a plain list of commands (POSIX.1-2024, "Shell Command Language"): at the
//! first thing that depends on more than the text (`if`, `||`, a substitution, a function), reading ends, and nothing
//! is said of the rest.

/// Shells, by their names.
const SHELLS: [&[u8]; 6] = [b"sh", b"ash", b"bash", b"dash", b"zsh", b"ksh"];
/// Programs that start what their first operand names.
const WRAPPERS: [&[u8]; 10] =
    [b"tini", b"tini-static", b"dumb-init", b"catatonit", b"env", b"nohup", b"setsid", b"exec", b"command", b"winpty"];
/// Such ones that want a user first.
const USER_WRAPPERS: [&[u8]; 3] = [b"gosu", b"su-exec", b"chpst"];
/// What a shell does by itself, or what most shells do.
const BUILTINS: [&[u8]; 33] = [
    b":",
    b"[",
    b"alias",
    b"bg",
    b"break",
    b"continue",
    b"echo",
    b"exit",
    b"export",
    b"false",
    b"fg",
    b"getopts",
    b"hash",
    b"jobs",
    b"kill",
    b"let",
    b"local",
    b"printf",
    b"pwd",
    b"read",
    b"readonly",
    b"return",
    b"set",
    b"shift",
    b"shopt",
    b"test",
    b"times",
    b"trap",
    b"true",
    b"type",
    b"ulimit",
    b"umask",
    b"wait",
];
/// Words that begin what isn't a plain command, or that change what the following text means.
const RESERVED: [&[u8]; 14] = [
    b"!",
    b"{",
    b"[[",
    b"if",
    b"while",
    b"until",
    b"for",
    b"case",
    b"select",
    b"function",
    b"eval",
    b"time",
    b"unset",
    b"coproc",
];
/// Shells in shells.
const MAX_DEPTH: usize = 4;
/// Stands in a word for what the shell puts there; no argument has such a byte.
const OPEN: u8 = 0;
/// Commands of one text.
const MAX_COMMANDS: usize = 64;

/// Something that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// As it is spelled, or below the directory that the text has changed to.
    pub name: Vec<u8>,
    /// A script that a shell reads, which needs no x bit; else a program.
    pub is_script: bool,
    /// Nothing that runs before it can have made it.
    pub is_first: bool,
}

/// What the words run, the first word itself left out; in order.
pub(super) fn steps(words: &[&[u8]]) -> Vec<Step> {
    let mut steps = Vec::new();
    behind(words, true, MAX_DEPTH, &mut steps);
    steps
}

fn behind(words: &[&[u8]], is_first: bool, depth: usize, steps: &mut Vec<Step>) {
    let Some((program, operands)) = words.split_first().filter(|_| depth > 0) else { return };
    let base = program.rsplit(|b| *b == b'/').next().unwrap_or_default();
    if SHELLS.contains(&base) {
        shell(operands, is_first, depth, steps);
    } else if WRAPPERS.contains(&base) {
        run(operand(operands), is_first, depth, steps);
    } else if USER_WRAPPERS.contains(&base) {
        run(operand(operands).get(1..).unwrap_or_default(), is_first, depth, steps);
    }
}

fn run(words: &[&[u8]], is_first: bool, depth: usize, steps: &mut Vec<Step>) {
    let Some(program) = words.first().filter(|w| !w.is_empty() && !w.contains(&OPEN)) else { return };
    steps.push(Step { name: program.to_vec(), is_script: false, is_first });
    behind(words, is_first, depth - 1, steps);
}

/// From the wrapped command on. Options may have values, so behind options only `--` tells where they end.
fn operand<'a, 'w>(words: &'a [&'w [u8]]) -> &'a [&'w [u8]] {
    let is_option = |w: &&[u8]| w.starts_with(b"-");
    match words.iter().position(|w| *w == b"--") {
        Some(end) if words[..end].first().is_none_or(is_option) => &words[end + 1..],
        _ if words.first().is_some_and(is_option) => &[],
        _ => {
            let start = words.iter().position(|w| !w.contains(&b'=')).unwrap_or(words.len());
            &words[start..]
        }
    }
}

/// A shell's own operands: options, then a text (`-c`) or a script.
fn shell(words: &[&[u8]], is_first: bool, depth: usize, steps: &mut Vec<Step>) {
    let (mut is_text, mut at) = (false, 0);
    while let Some(word) = words.get(at).filter(|w| w.len() > 1 && (w.starts_with(b"-") || w.starts_with(b"+"))) {
        at += 1;
        if *word == b"--" {
            break;
        }
        let short = !word.starts_with(b"--");
        is_text |= short && word.contains(&b'c');
        at += usize::from(short && word.ends_with(b"o")); // -o NAME
    }
    let Some(operand) = words.get(at) else { return };
    if !is_text {
        if *operand != b"-" && !operand.contains(&OPEN) {
            steps.push(Step { name: operand.to_vec(), is_script: true, is_first });
        }
        return;
    }
    let mut is_first = is_first;
    let mut cwd: Option<Vec<u8>> = None;
    for command in commands(operand) {
        let words: Vec<&[u8]> = command.iter().map(Vec::as_slice).skip_while(|w| is_assignment(w)).collect();
        let Some((name, operands)) = words.split_first() else {
            if command.iter().any(|w| w.starts_with(b"PATH=")) {
                return;
            }
            continue;
        };
        let below = steps.len();
        match *name {
            b"cd" => match operands.first() {
                Some(dir) if dir.starts_with(b"/") && !dir.contains(&OPEN) => cwd = Some(dir.to_vec()),
                _ => return,
            },
            b"export" | b"readonly" if operands.iter().any(|w| w.starts_with(b"PATH=")) => return,
            b"." | b"source" => {
                let Some(script) = operands.first().filter(|s| s.contains(&b'/') && !s.contains(&OPEN)) else {
                    return;
                };
                steps.push(Step { name: script.to_vec(), is_script: true, is_first });
            }
            b"exec" | b"command" => behind(&words, is_first, depth, steps),
            name if BUILTINS.contains(&name) => {}
            _ => {
                run(&words, is_first, depth, steps);
                is_first = false;
            }
        }
        for step in &mut steps[below..] {
            if let Some(dir) = cwd.as_ref().filter(|_| step.name.contains(&b'/') && !step.name.starts_with(b"/")) {
                step.name = [dir, &b"/"[..], &step.name].concat();
            }
        }
    }
}

fn is_assignment(word: &[u8]) -> bool {
    let name = word.split(|b| *b == b'=').next().unwrap_or_default();
    name.len() < word.len()
        && name.first().is_some_and(|b| !b.is_ascii_digit())
        && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// The commands at the start of a text, each as its words.
fn commands(text: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut out = Vec::new();
    let mut reader = Reader { text, at: 0 };
    while out.len() < MAX_COMMANDS {
        let (command, end) = reader.command();
        if command.first().is_some_and(|w| RESERVED.contains(&w.as_slice())) {
            break;
        }
        if !command.is_empty() {
            out.push(command);
        }
        if end == End::All {
            break;
        }
    }
    out
}

/// What a command ends with.
#[derive(PartialEq, Eq)]
enum End {
    /// `;`, `&&`, `|` and the like: another follows.
    One,
    /// The text's end, or what isn't understood.
    All,
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn command(&mut self) -> (Vec<Vec<u8>>, End) {
        let mut words = Vec::new();
        loop {
            while self.peek().is_some_and(|b| matches!(b, b' ' | b'\t')) {
                self.at += 1;
            }
            match self.peek() {
                None => return (words, End::All),
                Some(b'#') => {
                    while self.peek().is_some_and(|b| b != b'\n') {
                        self.at += 1;
                    }
                }
                Some(b'\n' | b';') => {
                    self.at += 1;
                    return (words, End::One);
                }
                Some(b'&' | b'|') => {
                    let two = self.text.get(self.at..self.at + 2).unwrap_or_default();
                    self.at += if matches!(two, b"&&" | b"||") { 2 } else { 1 };
                    return (words, if two == b"||" { End::All } else { End::One });
                }
                Some(b'(' | b')' | b'`') => return (Vec::new(), End::All),
                Some(b'<' | b'>') => {
                    if self.text[self.at..].starts_with(b"<<") {
                        return (Vec::new(), End::All); // what follows is a document
                    }
                    while self.peek().is_some_and(|b| matches!(b, b'<' | b'>' | b'&' | b'|' | b' ' | b'\t' | b'-')) {
                        self.at += 1;
                    }
                    self.word();
                }
                Some(_) => {
                    let Some(word) = self.word() else { return (Vec::new(), End::All) };
                    let is_number = word.iter().all(u8::is_ascii_digit) && !word.is_empty();
                    if !(is_number && self.peek().is_some_and(|b| matches!(b, b'<' | b'>'))) {
                        words.push(word);
                    }
                }
            }
        }
    }

    /// The next word, unquoted; `None` where there is none, or a substitution of a command.
    fn word(&mut self) -> Option<Vec<u8>> {
        let (mut word, start) = (Vec::new(), self.at);
        let mut quote = None;
        while let Some(byte) = self.peek() {
            match (quote, byte) {
                (Some(q), _) if byte == q => quote = None,
                (Some(b'\''), _) => word.push(byte),
                (_, b'`') => return None,
                (_, b'$') => {
                    if self.text[self.at..].starts_with(b"$(") {
                        return None;
                    }
                    word.push(OPEN);
                }
                (_, b'\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(b'\n') => {}
                        Some(next) => word.push(next),
                        None => return None,
                    }
                }
                (Some(_), _) => word.push(byte),
                (None, b'\'' | b'"') => quote = Some(byte),
                (None, b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>') => break,
                (None, b'*' | b'?' | b'~') => word.push(OPEN),
                (None, _) => word.push(byte),
            }
            self.at += 1;
        }
        (quote.is_none() && self.at > start).then_some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps as text: a script in brackets, what something may have made before with a `?`.
    fn shown(words: &[&str]) -> Vec<String> {
        let words: Vec<&[u8]> = words.iter().map(|w| w.as_bytes()).collect();
        let show = |step: Step| {
            let name = String::from_utf8_lossy(&step.name).into_owned();
            let name = if step.is_script { format!("[{name}]") } else { name };
            if step.is_first { name } else { format!("{name}?") }
        };
        steps(&words).into_iter().map(show).collect()
    }

    #[test]
    fn command_lines_lead_to_programs_and_scripts() {
        for (words, found) in [
            (&["/app", "-x"][..], &[][..]),
            (&["sh"], &[]),
            (&["/bin/sh", "/start.sh", "a"], &["[/start.sh]"]),
            (&["bash", "-e", "-o", "pipefail", "/start.sh"], &["[/start.sh]"]),
            (&["bash", "--login"], &[]),
            (&["tini", "--", "nginx", "-g", "daemon off;"], &["nginx"]),
            (&["/sbin/tini", "-p", "SIGTERM", "--", "sh", "-c", "exec app"], &["sh", "app"]),
            (&["tini", "-p", "SIGTERM", "app"], &[]),
            (&["tini", "app", "--", "x"], &["app"]),
            (&["env", "A=1", "app"], &["app"]),
            (&["gosu", "nobody", "app"], &["app"]),
            (&["python3", "-c", "import x"], &[]),
        ] {
            assert_eq!(shown(words), found, "{words:?}");
        }
    }

    #[test]
    fn a_text_is_read_as_far_as_it_is_plain() {
        for (text, found) in [
            ("app --port 80", &["app"][..]),
            ("exec /app \"$@\"", &["/app"]),
            ("set -e; mkdir -p /run/x && exec app", &["mkdir", "app?"]),
            ("A=1 B='x y' app", &["app"]),
            ("export A=1; echo hi > /tmp/x 2>&1; app", &["app"]),
            ("export PATH=/opt/bin:$PATH; app", &[]),
            ("PATH=/opt/bin; app", &[]),
            ("cd /srv && ./run.sh", &["/srv/./run.sh"]),
            ("cd srv && ./run.sh", &[]),
            ("cd \"$HOME\" && ./run.sh", &[]),
            ("./run.sh", &["./run.sh"]),
            (". /etc/profile; app", &["[/etc/profile]", "app"]),
            ("\"my app\" x", &["my app"]),
            ("my\\ app", &["my app"]),
            ("# nothing\napp # more", &["app"]),
            ("$APP -x; other", &["other?"]),
            ("a | b & c", &["a", "b?", "c?"]),
            ("a || b", &["a"]),
            ("if true; then a; fi", &[]),
            ("a; while b; do c; done", &["a"]),
            ("x=$(hostname); a", &[]),
            ("echo `hostname`; a", &[]),
            ("(a; b)", &[]),
            ("f() { a; }; f", &[]),
            ("cat <<E\na\nE", &[]),
            ("tini -- sh -c 'exec app'", &["tini", "sh", "app"]),
            ("a 'unended", &[]),
            ("a \\", &[]),
            ("", &[]),
        ] {
            assert_eq!(shown(&["sh", "-ec", text]), found, "{text}");
        }
    }

    #[test]
    fn any_text_ends() {
        let bytes = b"ab ;&|<>()`$'\"\\\n#=/-";
        for seed in 0u32..20_000 {
            let mut state = seed.wrapping_mul(2_654_435_761) | 1;
            let text: Vec<u8> = (0..24)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    bytes[(state >> 16) as usize % bytes.len()]
                })
                .collect();
            steps(&[b"sh", b"-c", &text]);
        }
    }
}
