//! Two servers: Debian's real registry, and one that does whatever a test tells it to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::sample::{MANIFEST, Sample};

/// Runs a tool; a missing one fails the test with the command that mends it.
pub fn run(package: &str, program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("{program} can't be run ({e}); install it: apt-get install {package}"));
    assert!(
        output.status.success(),
        "{program} {args:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

pub fn skopeo(args: &[&str]) {
    run("skopeo", "skopeo", &[&["--insecure-policy"], args].concat());
}

/// A `docker-registry` of its own on a free loopback port.
pub struct RealRegistry {
    child: Child,
    pub host: String,
    _dir: tempfile::TempDir,
}

/// How a real registry is to be run.
#[derive(Default)]
pub struct Options<'a> {
    /// User and password.
    pub login: Option<(&'a str, &'a str)>,
    /// Certificate and key.
    pub tls: Option<(&'a Path, &'a Path)>,
}

impl RealRegistry {
    pub fn start(options: &Options) -> Self {
        // Somebody else may take the free port before the registry does.
        (0..5).find_map(|_| Self::try_start(options)).expect("docker-registry finds no free port")
    }

    fn try_start(options: &Options) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("127.0.0.1:{port}");
        let root = dir.path().display();
        let mut yml = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}/data}}}}\nhttp:\n  addr: {host}\n"
        );
        if let Some((certificate, key)) = options.tls {
            yml += &format!("  tls: {{certificate: {}, key: {}}}\n", certificate.display(), key.display());
        }
        if let Some((user, password)) = options.login {
            let file = run("apache2-utils", "htpasswd", &["-Bbn", user, password]);
            std::fs::write(dir.path().join("htpasswd"), file).unwrap();
            yml += &format!("auth: {{htpasswd: {{realm: test, path: {root}/htpasswd}}}}\n");
        }
        let path = dir.path().join("config.yml");
        std::fs::write(&path, yml).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| {
                panic!("docker-registry can't be run ({e}); install it: apt-get install docker-registry")
            });
        let mut registry = Self { child, host, _dir: dir };
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if registry.child.try_wait().unwrap().is_some() {
                return None;
            }
            if TcpStream::connect(&registry.host).is_ok() {
                return Some(registry);
            }
            assert!(Instant::now() < deadline, "docker-registry does not listen on {}", registry.host);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Pushes an image of a layout with skopeo, manifests unchanged.
    pub fn push(&self, layout: &Path, tag: &str, name: &str, creds: Option<&str>) {
        let from = format!("oci:{}:{tag}", layout.display());
        let to = format!("docker://{}/{name}", self.host);
        let mut args = vec!["copy", "-q", "--all", "--preserve-digests", "--dest-tls-verify=false"];
        if let Some(creds) = creds {
            args.extend(["--dest-creds", creds]);
        }
        args.extend([from.as_str(), to.as_str()]);
        skopeo(&args);
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a client sent.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// What it gets.
#[derive(Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Hang up after so many bytes of the body.
    pub cut: Option<usize>,
    /// Say nothing for so long.
    pub wait: Duration,
    /// Keep the connection open for so long afterwards.
    pub linger: Duration,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// A server on a loopback port whose answers a closure makes. It ends with the test's process.
pub struct Server {
    pub host: String,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), log.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (answer.clone(), seen.clone());
                std::thread::spawn(move || serve(stream, &*answer, &seen));
            }
        });
        Self { host, log }
    }

    /// A registry that has a sample as repository `app`, and lets `twist` change its answers.
    pub fn registry(sample: Sample, twist: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(move |request| twist(request, registry_answer(&sample, request)))
    }

    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    /// How many requests had this in method and path.
    pub fn count(&self, text: &str) -> usize {
        self.requests().iter().filter(|r| format!("{} {}", r.method, r.path).contains(text)).count()
    }
}

/// What an honest registry answers.
pub fn registry_answer(sample: &Sample, request: &Request) -> Reply {
    let not_found = || Reply::new(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#);
    let Some(path) = request.path.strip_prefix("/v2/app/") else { return not_found() };
    let (is_manifest, name) = match path.split_once('/') {
        Some(("manifests", name)) => (true, name),
        Some(("blobs", name)) => (false, name),
        _ => return not_found(),
    };
    let by_tag = |entry: &&serde_json::Value| entry["annotations"]["org.opencontainers.image.ref.name"] == name;
    let digest = match sample.entries.iter().find(by_tag) {
        Some(entry) => entry["digest"].as_str().unwrap().to_string(),
        None => name.to_string(),
    };
    let Some((digest, bytes)) = sample.blobs.iter().find(|(d, _)| d.as_str() == digest) else { return not_found() };
    let mut reply = Reply::new(200, bytes.clone()).with("docker-content-digest", digest.as_str());
    if is_manifest {
        reply = reply.with("content-type", MANIFEST);
    }
    if let Some(from) = request.header("range").and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')) {
        let from: usize = from.parse().unwrap();
        reply.status = 206;
        let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
        reply.body = bytes[from..].to_vec();
        reply = reply.with("content-range", range);
    }
    reply
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&Request) -> Reply, log: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let mut words = line.split_whitespace().map(String::from);
    let mut request = Request {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        ..Request::default()
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            Some((name, value)) => request.headers.push((name.to_ascii_lowercase(), value.into())),
            None => break,
        }
    }
    let length = request.header("content-length").map_or(0, |l| l.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    request.body = String::from_utf8_lossy(&body).into_owned();
    log.lock().unwrap().push(request.clone());
    let reply = answer(&request);
    std::thread::sleep(reply.wait);
    let mut head =
        format!("HTTP/1.1 {} X\r\nConnection: close\r\nContent-Length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    // The client may hang up first; that is its right.
    let _ = stream.write_all(head.as_bytes());
    if request.method != "HEAD" {
        let _ = stream.write_all(&reply.body[..reply.cut.unwrap_or(reply.body.len())]);
        std::thread::sleep(reply.linger);
    }
}
