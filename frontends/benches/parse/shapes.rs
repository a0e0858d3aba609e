//! Texts of any size that are hard to read in linear time. The benchmark measures what they take; the fuzz targets
//! count it.

/// A name, and what makes about so many bytes of it.
pub type Shape = (&'static str, fn(usize) -> String);

fn repeat(piece: &str, size: usize) -> String {
    piece.repeat(size / piece.len() + 1)
}

/// `piece` with a number in place of each `%`, again and again.
fn numbered(piece: &str, size: usize) -> String {
    let mut text = String::with_capacity(size + 64);
    for number in 0.. {
        if text.len() >= size {
            break;
        }
        text.push_str(&piece.replace('%', &number.to_string()));
    }
    text
}

/// `open` so many times, and then `close` as often.
fn nested(open: &str, close: &str, size: usize) -> String {
    let times = size / (open.len() + close.len()) + 1;
    open.repeat(times) + &close.repeat(times)
}

/// Instructions of everyday files.
const USUAL: &str = "# s% the stage\nFROM alpine AS s%\nARG VERSION=1.% TARGETARCH\nENV A=1 B=\"$VERSION x\"\nRUN apk add \\\n    curl \\\n    # why\n    make && \\\n    echo ${VERSION:-none}\nCOPY --from=s% --chown=1:1 a b c/ /d/\nRUN <<EOF\nset -e\nmake\nEOF\nLABEL a.b=\"c d\" e=f\nWORKDIR /w%\nCMD [\"x\", \"y\"]\n";

/// Dockerfiles: what parsing costs.
pub const DOCKERFILES: &[Shape] = &[
    ("everyday files", |n| numbered(USUAL, n)),
    ("short instructions", |n| format!("FROM a\n{}", repeat("RUN a\n", n))),
    ("one instruction of many lines", |n| format!("FROM a\nRUN a \\\n{}", repeat("  && b 'c d' \\\n", n))),
    ("comments above an instruction", |n| format!("{}FROM a", repeat("# a b\n", n))),
    ("comments and empty lines in a continuation", |n| format!("FROM a\nRUN a \\\n{}", repeat("# \\\n\n", n))),
    ("many heredocs of one instruction", |n| {
        let names = numbered("<<a% \\\n", n / 2);
        format!("FROM a\nCOPY {names} x\n{}", names.replace("<<", "").replace(" \\", ""))
    }),
    ("many heredocs without an end", |n| {
        format!("FROM a\nRUN {} x\n{}", repeat("<<a \\\n", n / 2), repeat("b\n", n / 2))
    }),
    ("instructions with a heredoc each", |n| format!("FROM a\n{}", repeat("RUN <<A\nx\nA\n", n))),
    ("pairs of one ENV", |n| format!("FROM a\nENV {}", numbered("a%=b \\\n", n))),
    ("names of one ARG under comments", |n| {
        format!("{}ARG {}\nFROM a", repeat("# a b\n", n / 2), numbered("a% \\\n", n / 2))
    }),
    ("flags of one COPY", |n| format!("FROM a\nCOPY {} b c", repeat("--exclude=a \\\n", n))),
    ("sources of one COPY", |n| format!("FROM a\nCOPY {} b/", repeat("a \\\n", n))),
    ("an array of strings", |n| format!("FROM a\nRUN [{}\"b\"]", repeat("\"a\\n\", \\\n", n))),
    ("an array that is none", |n| format!("FROM a\nRUN {}", repeat("[\"a\", \\\n", n))),
    ("quotes", |n| format!("FROM a\nENV {}", repeat("a='b'\"c\"\\d \\\n", n))),
    ("a quote without an end", |n| format!("FROM a\nRUN <<a {}", repeat("'a' \\\n", n) + "'")),
    ("substitutions in names of heredocs", |n| format!("FROM a\nCOPY {} b", repeat("<<${a:-${b:-${c}}} \\\n", n))),
    ("nested triggers", |n| format!("FROM a\n{}", repeat("ONBUILD \\\n", n))),
    ("triggers", |n| format!("FROM a\n{}", repeat("ONBUILD RUN a <<b\nb\n", n))),
    ("stages with one name", |n| repeat("FROM a AS a\n", n)),
    ("garbage", |n| repeat("x y\n", n)),
    ("wrong flags", |n| format!("FROM a\n{}", repeat("RUN --mounted=type --mount=typ=a b\n", n))),
    ("one long line", |n| format!("FROM a\nRUN {}", repeat("a b", n))),
];

/// Dockerfiles without errors: what lowering costs.
pub const BUILDS: &[Shape] = &[
    ("everyday files", |n| numbered(USUAL, n).replace("--from=s", "--from=x")),
    ("steps", |n| format!("FROM alpine\n{}", repeat("RUN a\n", n))),
    ("variables", |n| format!("FROM alpine\n{}", numbered("ENV a%=b\n", n))),
    ("arguments that are used", |n| format!("FROM alpine\n{}", numbered("ARG a%=b\nUSER $a%\n", n))),
    ("variables of one instruction", |n| format!("FROM alpine\nENV {}", numbered("a%=$PATH \\\n", n))),
    ("unset variables", |n| format!("FROM alpine\n{}", numbered("ENV a%=$b%\n", n))),
    ("undeclared arguments", |n| numbered("ARG a%=b\nFROM alpine$a1x%\n", n)),
    ("a chain of stages", |n| format!("FROM alpine AS s\n{}", repeat("FROM s AS s\nWORKDIR /a\n", n))),
    ("stages that take from each other", |n| {
        format!("FROM alpine AS s0\n{}", numbered("FROM alpine AS t%\nCOPY --from=s0 a b\n", n))
    }),
    ("images to copy from", |n| format!("FROM alpine\n{}", numbered("COPY --from=i% a b\n", n))),
    ("copies", |n| format!("FROM alpine\n{}", numbered("COPY a% /b/\n", n))),
    ("mounts", |n| format!("FROM alpine\n{}", numbered("RUN --mount=type=cache,target=/c% a\n", n))),
    ("labels", |n| format!("FROM alpine\n{}", numbered("LABEL a%=b\n", n))),
    ("triggers for many stages", |n| {
        format!("FROM alpine AS s\n{}{}", repeat("ONBUILD USER a\n", n / 2), repeat("FROM s\n", n / 2))
    }),
    ("a large config for many stages", |n| format!("FROM alpine AS s\nEXPOSE 1-65535\n{}", repeat("FROM s AS s\n", n))),
    ("values that double", |n| format!("FROM alpine\nARG a=aa\n{}", repeat("ARG a=$a$a\n", n))),
    ("global values that double", |n| format!("ARG a=aa\n{}FROM alpine", repeat("ARG a=$a$a\n", n))),
    ("patterns", |n| format!("FROM alpine\nENV a={}\n{}", "ab".repeat(20_000), repeat("USER ${a//a*b*c/d}\n", n))),
    ("checks to skip", |n| format!("# check=skip={}\nFROM alpine\n{}", "A,".repeat(30_000), repeat("CMD a\n", n))),
];

/// Words, for `x` that is set.
pub const WORDS: &[Shape] = &[
    ("text", |n| repeat("a b ", n)),
    ("variables", |n| repeat("$x ${y}", n)),
    ("quotes", |n| repeat("'a'\"b $x\"\\c", n)),
    ("substitutions", |n| repeat("${y:-a $x}", n)),
    ("substitutions in each other", |n| repeat(&nested("${y:-", "}", 540), n)),
    ("substitutions without an end", |n| repeat("${y:-", n)),
    ("patterns", |n| repeat("${x//a*b/c}${x%%*c}", n)),
    ("a long pattern", |n| format!("${{x//{}/c}}", repeat("a*b?", n))),
];

/// Ignore files.
pub const IGNORE_FILES: &[Shape] = &[
    ("usual patterns", |n| numbered("# why\n**/node_modules%\n!keep%/*.txt\n/a/b%\n", n)),
    ("stars", |n| repeat("a/**/b*c*d\n", n)),
    ("parents", |n| repeat("../a/../", n.min(60_000)) + "\n" + &repeat("a/../b\n", n)),
    ("exceptions", |n| repeat("a\n!a\n", n)),
];

/// Values of `--mount`.
pub const MOUNTS: &[Shape] = &[
    ("fields", |n| repeat("target=/a,", n)),
    ("quoted fields", |n| repeat("\"target=/a\"\"b\",", n)),
    ("quotes", |n| repeat("\"\"", n)),
    ("one field", |n| repeat("a", n)),
];
