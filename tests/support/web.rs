//! A web server on the loopback: files with ETags, and repositories through git's own `http-backend`. It keeps a log.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::{run, tool};

/// A running server. Its thread ends with the test program.
pub struct Web {
    directory: TempDir,
    address: String,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    files: BTreeMap<String, Vec<u8>>,
    moved: BTreeMap<String, String>,
    /// Those without `Last-Modified`.
    undated: BTreeSet<String>,
    /// What `Authorization` has to be, for everything; none: nobody is asked.
    wanted: Option<String>,
    log: Vec<String>,
    speaks: Speaks,
}

/// How repositories are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speaks {
    /// Git's protocol 2, where any commit may be asked for.
    #[default]
    Two,
    /// Protocol 0, where only what has a name may be.
    Zero,
    /// Files, as any web server would: git's "dumb" protocol.
    Files,
    /// Nothing: it never answers.
    Silence,
}

impl Web {
    /// A server without anything to serve.
    pub fn open() -> Self {
        let directory = tempfile::Builder::new().prefix("routerpack-web-").tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let (root, seen) = (directory.path().to_owned(), shared.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (root, seen) = (root.clone(), seen.clone());
                std::thread::spawn(move || drop(answer(stream, &root, &seen)));
            }
        });
        Self { directory, address, shared }
    }

    /// Serves these bytes at `/NAME`.
    pub fn put(&self, name: &str, bytes: impl Into<Vec<u8>>) -> String {
        self.shared.lock().unwrap().files.insert(format!("/{name}"), bytes.into());
        self.url(name)
    }

    /// Sends who asks for `/NAME` to another URL.
    pub fn redirect(&self, name: &str, to: &str) -> String {
        self.shared.lock().unwrap().moved.insert(format!("/{name}"), to.into());
        self.url(name)
    }

    /// The same, and nobody is told since when they are so.
    pub fn put_undated(&self, name: &str, bytes: impl Into<Vec<u8>>) -> String {
        self.shared.lock().unwrap().undated.insert(format!("/{name}"));
        self.put(name, bytes)
    }

    /// `http://127.0.0.1:PORT/NAME`.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// From now on only who sends this header gets anything.
    pub fn lock(&self, authorization: &str) {
        self.shared.lock().unwrap().wanted = Some(authorization.into());
    }

    /// From now on repositories are served so.
    pub fn speak(&self, how: Speaks) {
        self.shared.lock().unwrap().speaks = how;
    }

    /// The requests since the last call: `METHOD PATH STATUS`.
    pub fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().unwrap().log)
    }

    /// Where repositories are served from: a bare one here is at `url(name)`.
    pub fn repositories(&self) -> &Path {
        self.directory.path()
    }
}

fn answer(stream: TcpStream, root: &Path, shared: &Mutex<Shared>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_string());
    }
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default().to_string(), words.next().unwrap_or_default().to_string());
    let mut body = vec![0; headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));

    let (wanted, file, moved, speaks, is_dated) = {
        let shared = shared.lock().unwrap();
        let (file, moved) = (shared.files.get(path).cloned(), shared.moved.get(path).cloned());
        (shared.wanted.clone(), file, moved, shared.speaks, !shared.undated.contains(path))
    };
    let (status, head, bytes) = if wanted.is_some() && headers.get("authorization") != wanted.as_ref() {
        ("401 Unauthorized".into(), "WWW-Authenticate: Basic realm=\"test\"\r\n".into(), Vec::new())
    } else if let Some(to) = moved {
        ("302 Found".into(), format!("Location: {to}\r\n"), Vec::new())
    } else if let Some(bytes) = file {
        let etag = format!("\"{}\"", hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&bytes)));
        match headers.get("if-none-match") == Some(&etag) {
            true => ("304 Not Modified".into(), String::new(), Vec::new()),
            false => {
                let date = if is_dated { "Last-Modified: Thu, 02 Jan 2020 03:04:05 GMT\r\n" } else { "" };
                ("200 OK".to_string(), format!("ETag: {etag}\r\n{date}"), bytes)
            }
        }
    } else if speaks == Speaks::Files {
        match std::fs::read(root.join(path.trim_start_matches('/'))) {
            Ok(bytes) => ("200 OK".into(), String::new(), bytes),
            Err(_) => ("404 Not Found".into(), String::new(), Vec::new()),
        }
    } else if speaks == Speaks::Silence {
        reader.read_to_end(&mut Vec::new())?; // until the other side hangs up
        return Ok(());
    } else {
        if speaks == Speaks::Zero {
            headers.remove("git-protocol");
        }
        backend(root, &method, path, query, &headers, &body)
    };
    shared.lock().unwrap().log.push(format!("{method} {target} {}", &status[..3]));
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status}\r\n{head}Content-Length: {}\r\nConnection: close\r\n\r\n", bytes.len())?;
    stream.write_all(&bytes)
}

/// git-http-backend(1), by CGI.
fn backend(
    root: &Path,
    method: &str,
    path: &str,
    query: &str,
    headers: &BTreeMap<String, String>,
    body: &[u8],
) -> (String, String, Vec<u8>) {
    let mut command = tool("git");
    command.arg("http-backend").env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    command.env("PATH_INFO", path).env("QUERY_STRING", query).env("REQUEST_METHOD", method);
    command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "safe.directory").env("GIT_CONFIG_VALUE_0", "*");
    for (header, name) in [
        ("content-type", "CONTENT_TYPE"),
        ("content-length", "CONTENT_LENGTH"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("git-protocol", "GIT_PROTOCOL"),
    ] {
        command.envs(headers.get(header).map(|value| (name, value)));
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(body);
    let output = child.wait_with_output().unwrap().stdout;
    let end = output.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(output.len());
    let head = String::from_utf8_lossy(&output[..end]);
    let mut status = "200 OK".to_string();
    let mut rest = String::new();
    for line in head.lines() {
        match line.strip_prefix("Status: ") {
            Some(text) => status = text.to_string(),
            None => rest += &format!("{line}\r\n"),
        }
    }
    (status, rest, output.get(end + 4..).unwrap_or_default().to_vec())
}

/// A repository that a test writes, with a bare one beside it that a server has.
pub struct Repository {
    work: TempDir,
    bare: PathBuf,
}

impl Repository {
    /// An empty one, served as `NAME`.
    pub fn new(served: &Path, name: &str) -> Self {
        Self::hashed(served, name, "sha1")
    }

    /// The same with a hash of its own: `sha1`, `sha256`.
    pub fn hashed(served: &Path, name: &str, hash: &str) -> Self {
        let repository = Self { work: TempDir::new().unwrap(), bare: served.join(name) };
        let format = format!("--object-format={hash}");
        repository.git(&["init", "-q", "-b", "main", &format]);
        run(tool("git").args(["init", "-q", "--bare", "-b", "main", &format]).arg(&repository.bare)).success();
        repository
    }

    /// Runs git in the work tree: fixed author, fixed time.
    pub fn git(&self, args: &[&str]) -> String {
        let mut command = tool("git");
        command.args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always"]);
        command.env("GIT_AUTHOR_DATE", "1600000000 +0000").env("GIT_COMMITTER_DATE", "1600000000 +0000");
        command.env("HOME", "/nonexistent").current_dir(self.work.path()).args(args);
        run(&mut command).success().text().trim().to_string()
    }

    /// Writes files, commits and pushes everything; gives the commit.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, text) in files {
            let path = self.work.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "change"]);
        self.push();
        self.git(&["rev-parse", "HEAD"])
    }

    /// Pushes branches and tags.
    pub fn push(&self) {
        let bare = self.bare.to_string_lossy().into_owned();
        self.git(&["push", "-q", "--force", "--all", &bare]);
        self.git(&["push", "-q", "--force", "--tags", &bare]);
        run(tool("git").arg("--git-dir").arg(&self.bare).arg("update-server-info")).success();
    }

    /// The work tree.
    pub fn work(&self) -> &Path {
        self.work.path()
    }
}
