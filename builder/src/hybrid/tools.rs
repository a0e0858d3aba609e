//! The programs that do the same on any machine.
//!
//! Not among them, on purpose: what prints or compares floating-point numbers (`awk`, `printf`, `seq`, `numfmt`, `od`, `dd`),
//! since `long double` and fused operations differ; what knows its machine (`bash`, `dpkg`, `uname`, `arch`, `nproc`, `env`'s
//! friends `xargs` and `getconf`); what can load code of the image (`perl`, `python3`, `gcc`).

/// What is known of one.
pub struct Tool {
    /// Its file's name, in a directory for programs.
    pub name: &'static str,
    /// Its results don't depend on how wide a word is, nor on whether times end in 2038: it has a twin on 64 bits for a
    /// 32-bit platform, too.
    pub any_width: bool,
    /// It looks up users or groups, for which the C library may load modules.
    pub names: bool,
    /// See [`routerpack_sandbox::native::Twin::letters`].
    pub letters: &'static str,
    /// See [`routerpack_sandbox::native::Twin::prefixes`].
    pub prefixes: &'static [&'static str],
}

const fn tool(name: &'static str) -> Tool {
    Tool { name, any_width: true, names: false, letters: "", prefixes: &[] }
}

impl Tool {
    const fn only_64_bits(self) -> Self {
        Self { any_width: false, ..self }
    }

    const fn with_names(self) -> Self {
        Self { names: true, ..self }
    }

    const fn without(self, letters: &'static str) -> Self {
        Self { letters, ..self }
    }

    const fn without_words(self, prefixes: &'static [&'static str]) -> Self {
        Self { prefixes, ..self }
    }
}

/// All of them. Compressors tell ratios, as floating-point numbers, when asked for words (`-v`, `-l`); `sort` compares
/// such with `-g`, guesses with `-h` and shuffles with `-R`; PCRE (`grep -P`) has limits that depend on its compiler;
/// `find` reckons ages and prints fractions.
pub const TOOLS: &[Tool] = &[
    tool("b2sum"),
    tool("base64"),
    tool("basename"),
    tool("bzip2").without("vl"),
    tool("cat"),
    tool("chgrp").with_names(),
    tool("chmod"),
    tool("chown").with_names(),
    tool("cksum"),
    tool("cmp"),
    tool("comm"),
    tool("cp").only_64_bits(),
    tool("cut"),
    tool("dash").only_64_bits(),
    tool("diff").only_64_bits().without_words(&["--color"]),
    tool("dirname"),
    tool("dpkg-deb").only_64_bits().with_names(),
    tool("expand"),
    tool("find").only_64_bits().with_names().without_words(&[
        "-amin", "-atime", "-cmin", "-ctime", "-mmin", "-mtime", "-newer", "-used", "-printf", "-fprintf", "-ls",
        "-fls",
    ]),
    tool("fold"),
    tool("grep").without("P").without_words(&["--p"]),
    tool("gzip").without("vl"),
    tool("head"),
    tool("install").only_64_bits().with_names(),
    tool("join"),
    tool("ln"),
    tool("md5sum"),
    tool("mkdir"),
    tool("mv").only_64_bits(),
    tool("nl"),
    tool("paste"),
    tool("readlink"),
    tool("realpath"),
    tool("rm"),
    tool("rmdir"),
    tool("sed"),
    tool("sha1sum"),
    tool("sha224sum"),
    tool("sha256sum"),
    tool("sha384sum"),
    tool("sha512sum"),
    // `--sort=…` and `-k…` with these letters too: they count anywhere in the argument.
    tool("sort").without("ghR"),
    tool("sum"),
    tool("tac"),
    tool("tail"),
    tool("tar").only_64_bits().with_names().without_words(&["--checkpoint", "--totals"]),
    tool("tee"),
    tool("touch").only_64_bits(),
    tool("tr"),
    tool("truncate").only_64_bits(),
    tool("tsort"),
    tool("unexpand"),
    tool("uniq"),
    tool("wc"),
    // Their dictionaries, and which search they use, depend on how much can be addressed.
    tool("xz").only_64_bits().without("vl"),
    tool("zstd").only_64_bits().without("vl"),
];
