//! The build context and the Dockerfile, from wherever they come: a directory, standard input, a repository, the web.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use routerpack_builder::{Cache, Local};
use routerpack_files::pattern::Matcher;
use routerpack_frontends::dockerfile::{ignorefile, lower::Context};
use routerpack_graph::{Constraints, Output, source};
use routerpack_rootfs::{Kind, Tree};
use routerpack_sources::{Remote, is_archive};

use crate::{
    args::BuildArgs,
    failure::Failure,
    fetcher::{self, FILE, Fetched, Fetcher, HEAD},
    notice::{self, Notice, Spot},
};

/// A Dockerfile may be this large, in bytes: far above any that a person wrote.
const MAX_DOCKERFILE: u64 = 16 << 20;

/// What a Dockerfile is called when nobody says.
const USUAL: [&str; 3] = ["Dockerfile", "dockerfile", "Containerfile"];

/// The name of the local source that holds an archive from standard input.
pub const SPOOLED: &str = "stdin";

/// A Dockerfile or an ignore file, and where it came from.
#[derive(Clone)]
pub struct Source {
    /// For messages.
    pub file: String,
    /// The text.
    pub text: Arc<str>,
    /// The context that it is a part of, unless that is a directory.
    pub origin: Option<Output>,
}

/// A context, with its Dockerfile.
pub struct Opened {
    /// The Dockerfile.
    pub source: Source,
    /// The context, for the frontend.
    pub context: Context,
    /// Directories by the names that the context's ops use.
    pub locals: BTreeMap<String, Local>,
    /// The ignore file.
    pub ignore: Option<Source>,
}

/// What the arguments say that the context is.
pub enum Kinds {
    /// A directory.
    Directory(PathBuf),
    /// Standard input: an archive, or a Dockerfile without a context.
    Stdin,
    /// An address that is one of a repository, or of a file.
    Remote(String),
}

impl Kinds {
    /// A directory that is there comes first, as in buildx.
    pub fn of(context: &Path) -> Result<Self, Failure> {
        let fail = |why: &str| Err(Failure::new(format!("{}: {why}", context.display())));
        let text = context.to_str().unwrap_or_default();
        match () {
            () if text == "-" => Ok(Self::Stdin),
            () if context.is_dir() => Ok(Self::Directory(context.to_path_buf())),
            () if is_web(text) || fetcher::git(text, None, false, false).is_some() => Ok(Self::Remote(text.into())),
            () if context.exists() => fail(
                "the build context is not a directory\n  an archive is taken from standard input: routerpack build - < FILE",
            ),
            () => fail("there is no such build context"),
        }
    }

    /// A name for the archive and the tag.
    pub fn base_name(&self) -> String {
        let name = match self {
            Self::Stdin => None,
            Self::Directory(dir) => {
                dir.canonicalize().ok().and_then(|dir| dir.file_name().map(|n| n.to_string_lossy().into_owned()))
            }
            Self::Remote(text) => {
                let bare = text.split(['#', '?']).next().unwrap_or_default().trim_end_matches('/');
                let last = bare.rsplit(['/', ':']).next().unwrap_or_default();
                let ends = [".git", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst"];
                let stem = ends.iter().find_map(|end| last.strip_suffix(end)).unwrap_or(last);
                Some(stem.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect())
            }
        };
        name.filter(|n| !n.trim_matches('.').is_empty()).unwrap_or_else(|| "image".into())
    }
}

fn is_web(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Whether standard input is the Dockerfile or the context.
pub fn takes_stdin(args: &BuildArgs) -> bool {
    let stdin = Path::new("-");
    args.context == stdin || args.file.as_deref() == Some(stdin)
}

/// Opens contexts.
pub struct Opener<'a> {
    /// The command line.
    pub args: &'a BuildArgs,
    /// For what is not here.
    pub fetcher: &'a Fetcher,
    /// For what comes as a stream.
    pub cache: &'a Cache,
    /// What never belongs to a directory.
    pub never: Vec<PathBuf>,
    /// Bytes that an archive may have.
    pub limit: u64,
    /// `BUILDKIT_CONTEXT_KEEP_GIT_DIR`.
    pub keep_git_dir: bool,
    /// The files of a repository get their commit's time.
    pub commit_mtime: bool,
}

impl Opener<'_> {
    /// Reads the Dockerfile and the ignore file; fetches what has to be for that.
    pub fn open(self, kind: &Kinds) -> Result<Opened, Failure> {
        match kind {
            Kinds::Directory(dir) => self.directory(dir),
            Kinds::Stdin => self.stdin(),
            Kinds::Remote(text) => self.remote(text),
        }
    }

    fn directory(self, given: &Path) -> Result<Opened, Failure> {
        let fail = |why: String| Failure::new(format!("{}: {why}", given.display()));
        let dir = given.canonicalize().map_err(|e| fail(e.to_string()))?;
        let (source, path) = match self.apart()? {
            Some(source) => (source, None),
            None => {
                let found = || USUAL.map(|f| given.join(f)).into_iter().find(|f| f.exists());
                let path = self.args.file.clone().or_else(found);
                let missing = || fail("there is no Dockerfile (nor a Containerfile) here\n  name one with -f".into());
                let path = path.ok_or_else(missing)?;
                // Its ignore file has the name that was asked for.
                let either = [path.clone(), path.with_file_name(lower(&path))];
                let found = either.iter().find(|path| path.exists()).unwrap_or(&path);
                (read_file(found)?, Some(path))
            }
        };
        let ignore = ignore_of(path.as_deref(), given)?;
        let exclude = ignore.as_ref().map(patterns).transpose()?.unwrap_or_default();
        let local = Local { dir, excludes: exclude.clone(), never: self.never };
        Ok(Opened {
            source,
            // The executor has the ignore patterns: they are no part of the graph's bytes.
            context: Context::Local { name: "context".into(), exclude },
            locals: BTreeMap::from([("context".into(), local)]),
            ignore,
        })
    }

    /// An archive, or a Dockerfile and no context: told by the content (docker's rule).
    fn stdin(self) -> Result<Opened, Failure> {
        let fail = |e: io::Error| Failure::new(format!("standard input: {e}"));
        if self.args.file.as_deref() == Some(Path::new("-")) {
            return Err(Failure::usage("standard input can't be both the build context and the Dockerfile"));
        }
        let mut stdin = io::stdin().lock();
        let mut head = Vec::new();
        (&mut stdin).take(HEAD).read_to_end(&mut head).map_err(fail)?;
        let is_archive = is_archive(&head);
        let stream = io::Cursor::new(head).chain(stdin);
        if !is_archive {
            if let Some(file) = &self.args.file {
                return Err(Failure::usage(format!(
                    "standard input is a Dockerfile (no tar, plain or compressed), and -f {} names another one",
                    file.display()
                )));
            }
            let source = Source::read("standard input", stream)?;
            return Ok(Opened { source, context: Context::Empty, locals: BTreeMap::new(), ignore: None });
        }
        let dir = self.cache.temp_dir().map_err(fail)?;
        let mut file = File::create(dir.join(FILE)).map_err(fail)?;
        let bytes = io::copy(&mut stream.take(self.limit + 1), &mut file).map_err(fail)?;
        if bytes > self.limit {
            return Err(Failure::new(format!("standard input: it is over the limit of {} bytes", self.limit)));
        }
        file.flush().map_err(fail)?;
        let local = Local { dir, ..Local::default() };
        let op = source::Local::new(SPOOLED).output(&Constraints::default().named("[internal] load build context"));
        let locals = BTreeMap::from([(SPOOLED.to_string(), local)]);
        self.unpacked(fetcher::unpacked(op, None)?, locals, "standard input")
    }

    fn remote(self, text: &str) -> Result<Opened, Failure> {
        let shown = Remote::new(text.split(['#', '?']).next().unwrap_or(text)).shown();
        if let Some(git) = fetcher::git(text, None, self.keep_git_dir, self.commit_mtime) {
            let git = git.map_err(|why| Failure::new(format!("{shown}: {why}")))?;
            return self.unpacked(git, BTreeMap::new(), &shown);
        }
        match self.fetcher.download(text, None)? {
            Fetched::Archive(output) => self.unpacked(output, BTreeMap::new(), &shown),
            Fetched::File(output) => {
                let tree = self.fetcher.tree(&output, BTreeMap::new())?;
                let source = match self.apart()? {
                    Some(source) => source,
                    None => {
                        let read = read_entry(&tree, FILE.as_bytes(), &shown)?;
                        Source { origin: Some(output.clone()), ..read.ok_or_else(|| Failure::new("nothing came"))? }
                    }
                };
                let context = Context::Output(Some(output), None);
                Ok(Opened { source, context, locals: BTreeMap::new(), ignore: None })
            }
        }
    }

    /// A context that is a tree: the Dockerfile is in it, links included, and never outside. An ignore file says what a
    /// client sends, so it has no say here (BuildKit, `frontend/dockerui/context.go`, `MainContext`).
    fn unpacked(self, output: Output, locals: BTreeMap<String, Local>, shown: &str) -> Result<Opened, Failure> {
        let tree = self.fetcher.tree(&output, locals.clone())?;
        let fail = |why: String| Failure::new(format!("{shown}: {why}"));
        let source = match self.apart()? {
            Some(source) => source,
            None => {
                let given = self.args.file.as_ref().map(|f| f.to_string_lossy().into_owned());
                let either = |name: String| {
                    let path = Path::new(&name);
                    let lower = path.with_file_name(lower(path)).to_string_lossy().into_owned();
                    if lower == name { vec![name] } else { vec![name, lower] }
                };
                let names = given.clone().map_or(USUAL.map(str::to_string).to_vec(), either);
                let found = names.iter().find_map(|name| read_entry(&tree, name.as_bytes(), name).transpose());
                let source = found.transpose()?.ok_or_else(|| match given {
                    Some(name) => fail(format!("there is no `{name}` in this build context")),
                    None => fail(
                        "there is no Dockerfile (nor a Containerfile) in this build context\n  name one with -f".into(),
                    ),
                })?;
                Source { origin: Some(output.clone()), ..source }
            }
        };
        Ok(Opened { source, context: Context::Output(Some(output), None), locals, ignore: None })
    }

    /// The Dockerfile, where it isn't part of the context: standard input, a URL, and for a context that is no
    /// directory an absolute path (buildx's rule).
    fn apart(&self) -> Result<Option<Source>, Failure> {
        let Some(file) = &self.args.file else { return Ok(None) };
        let text = file.to_str().unwrap_or_default();
        if text == "-" {
            return Source::read("standard input", io::stdin().lock()).map(Some);
        }
        if is_web(text) {
            let shown = Remote::new(text.split(['#', '?']).next().unwrap_or(text)).shown();
            let (Fetched::File(output) | Fetched::Archive(output)) = self.fetcher.download(text, Some("Dockerfile"))?;
            let tree = self.fetcher.tree(&output, BTreeMap::new())?;
            let none = || Failure::new(format!("{shown}: this is no Dockerfile"));
            return read_entry(&tree, FILE.as_bytes(), &shown)?.ok_or_else(none).map(Some);
        }
        if file.is_absolute() && !self.args.context.is_dir() {
            return read_file(file).map(Some);
        }
        Ok(None)
    }
}

impl Source {
    fn read(file: &str, from: impl Read) -> Result<Self, Failure> {
        let mut bytes = Vec::new();
        from.take(MAX_DOCKERFILE + 1).read_to_end(&mut bytes).map_err(|e| Failure::new(format!("{file}: {e}")))?;
        Self::of(file, bytes)
    }

    fn of(file: &str, bytes: Vec<u8>) -> Result<Self, Failure> {
        if bytes.len() as u64 > MAX_DOCKERFILE {
            let why = format!("{file}: it is larger than {MAX_DOCKERFILE} bytes, so it is no Dockerfile");
            return Err(Failure::new(why));
        }
        // BuildKit takes any bytes; what is not UTF-8 can only be inside a word, and shows as a replacement.
        Ok(Self { file: file.to_string(), text: String::from_utf8_lossy(&bytes).into(), origin: None })
    }
}

/// `dockerfile` for `Dockerfile`, which is looked for where that is missing (BuildKit `frontend/dockerui/config.go`,
/// `ReadEntrypoint`); any other name as it is.
fn lower(path: &Path) -> std::ffi::OsString {
    let name = path.file_name().unwrap_or_default();
    if name == USUAL[0] { USUAL[1].into() } else { name.to_os_string() }
}

fn read_file(path: &Path) -> Result<Source, Failure> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|e| Failure::new(format!("{name}: {e}")))?;
    Source::read(&name, file)
}

fn read_entry(tree: &Tree, path: &[u8], shown: &str) -> Result<Option<Source>, Failure> {
    let bytes = entry(tree, path, MAX_DOCKERFILE).map_err(|e| Failure::new(format!("{shown}: {e}")))?;
    bytes.map(|bytes| Source::of(shown, bytes)).transpose()
}

/// A file's bytes, if there is one.
fn entry(tree: &Tree, path: &[u8], limit: u64) -> io::Result<Option<Vec<u8>>> {
    let found = tree.resolve(path, true).ok();
    let entry = found.as_ref().and_then(|path| tree.index.get(path)).filter(|entry| entry.kind == Kind::File);
    entry.map(|entry| tree.read(entry, limit)).transpose()
}

/// An ignore file, if it is there.
fn read_ignore(path: &Path) -> Result<Option<Source>, Failure> {
    match File::open(path) {
        Ok(file) => Source::read(&path.display().to_string(), file).map(Some),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::new(format!("{}: {e}", path.display()))),
    }
}

/// The patterns of an ignore file. All that are wrong are reported.
fn patterns(ignore: &Source) -> Result<Vec<String>, Failure> {
    let notice = |line: usize, message: String, help: &str| Notice {
        spot: Some(Spot::line(ignore, line)),
        help: vec![help.into()],
        ..Notice::error(notice::DEFINITION, message)
    };
    let lines = ignorefile::lines(&ignore.text)
        .map_err(|long| Failure::of(vec![notice(long.line, long.to_string(), "write shorter patterns")]))?;
    let wrong = lines.iter().filter_map(|(line, pattern)| {
        let error = Matcher::new(std::slice::from_ref(pattern)).err()?;
        Some(notice(*line, error.to_string(), "a `[` needs its `]`, and a lone `!` a pattern; `\\[` is the character"))
    });
    match wrong.collect::<Vec<_>>() {
        wrong if wrong.is_empty() => Ok(lines.into_iter().map(|(_, pattern)| pattern).collect()),
        wrong => Err(Failure::of(wrong)),
    }
}

/// The patterns of an ignore file, if it is there.
pub fn ignore_file(path: &Path) -> Result<Option<Vec<String>>, String> {
    let ignore = read_ignore(path).and_then(|ignore| ignore.as_ref().map(patterns).transpose());
    ignore.map_err(|failure| failure.to_string())
}

/// The ignore file of a Dockerfile: `<Dockerfile>.dockerignore` beside it, then `.dockerignore` or
/// `.containerignore` of the context.
fn ignore_of(dockerfile: Option<&Path>, context: &Path) -> Result<Option<Source>, Failure> {
    let beside = dockerfile.map(|file| {
        let mut name = file.as_os_str().to_os_string();
        name.push(".dockerignore");
        PathBuf::from(name)
    });
    for file in beside.into_iter().chain([context.join(".dockerignore"), context.join(".containerignore")]) {
        if let Some(ignore) = read_ignore(&file)? {
            return Ok(Some(ignore));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_contexts() {
        for (text, want) in [
            ("https://u:p@h/me/app.git?ref=x#main:sub", "app"),
            ("git@h:me/app", "app"),
            ("https://h/files/app-1.0.tar.gz?token=1", "app-1.0"),
            ("https://h/", "h"),
            ("ssh://h/..", "image"),
            ("https://h/a%2fb\u{1b}[0m", "a2fb0m"),
        ] {
            assert_eq!(Kinds::Remote(text.into()).base_name(), want, "{text}");
        }
        assert_eq!(Kinds::Stdin.base_name(), "image");
    }
}
