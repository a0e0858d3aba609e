//! A real registry on the loopback: Debian's `docker-registry`, with images that the tests push to it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tempfile::TempDir;

use super::{Outcome, contained, run, tool};

/// A running registry; it stops when this is dropped.
pub struct Registry {
    directory: TempDir,
    server: Child,
    address: String,
    login: Option<(String, String)>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    /// A registry that everybody may pull from and push to.
    pub fn open() -> Self {
        Self::start(None)
    }

    /// A registry that wants a name and a password (basic authentication).
    pub fn locked(name: &str, password: &str) -> Self {
        Self::start(Some((name.to_owned(), password.to_owned())))
    }

    fn start(login: Option<(String, String)>) -> Self {
        let directory = tempfile::Builder::new().prefix("routerpack-registry-").tempdir().unwrap();
        let store = directory.path().join("store");
        let mut settings = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n",
            store.display()
        );
        if let Some((name, password)) = &login {
            let entry = run(tool("htpasswd").args(["-Bbn", name, password])).success();
            let file = directory.path().join("htpasswd");
            fs::write(&file, entry.stdout).unwrap();
            settings += &format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", file.display());
        }
        let file = directory.path().join("registry.yml");
        fs::write(&file, settings).unwrap();
        let mut command = contained("docker-registry");
        command.arg("serve").arg(&file).env("OTEL_TRACES_EXPORTER", "none");
        let mut server = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();

        // It chooses a free port and names it in its log, which has to be read on, or the server would block.
        let log = BufReader::new(server.stderr.take().unwrap());
        let (tell, told) = mpsc::channel();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let answered = requests.clone();
        std::thread::spawn(move || {
            let mut lines = Vec::new();
            for line in log.lines().map_while(Result::ok) {
                if line.contains("msg=\"response completed\"") {
                    let field = |name: &str| {
                        let (_, rest) = line.split_once(&format!(" {name}="))?;
                        let quoted = rest.strip_prefix('"').map(|rest| rest.split('"').next());
                        quoted.unwrap_or_else(|| rest.split(' ').next()).map(str::to_owned)
                    };
                    let request = field("http.request.method").zip(field("http.request.uri"));
                    answered.lock().unwrap().extend(request.map(|(method, uri)| format!("{method} {uri}")));
                }
                let address =
                    line.split_once("listening on ").map(|(_, rest)| rest.split(['"', ',', ' ']).next().unwrap_or(""));
                if let Some(address) = address {
                    let _ = tell.send(Ok(address.to_owned()));
                    lines.clear();
                }
                lines.push(line);
            }
            let _ = tell.send(Err(lines.join("\n")));
        });
        let address = match told.recv_timeout(Duration::from_secs(30)) {
            Ok(Ok(address)) => address,
            other => {
                let _ = server.kill();
                panic!("docker-registry doesn't serve: {other:?}");
            }
        };
        Self { directory, server, address, login, requests }
    }

    /// What it was asked until now, as `METHOD /path`. Its log tells, which comes a little later than its answers.
    pub fn requests(&self) -> Vec<String> {
        std::thread::sleep(Duration::from_millis(300));
        self.requests.lock().unwrap().clone()
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The name by which the program pulls an image, such as `127.0.0.1:40000/busybox:latest`.
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Pushes an image (all its platforms) out of an OCI layout; `name` is `repository:tag`.
    pub fn push(&self, layout: &Path, tag: &str, name: &str) {
        let mut command = tool("skopeo");
        command.args(["--insecure-policy", "copy", "--quiet", "--all", "--dest-tls-verify=false"]);
        if let Some((user, password)) = &self.login {
            command.arg(format!("--dest-creds={user}:{password}"));
        }
        let source = format!("oci:{}:{tag}", layout.display());
        run(command.arg(source).arg(format!("docker://{}", self.reference(name)))).success();
    }

    /// What skopeo says about an image here, for one platform.
    pub fn inspect(&self, name: &str, architecture: &str) -> Outcome {
        let mut command = tool("skopeo");
        command.args(["--insecure-policy", "--override-arch", architecture, "inspect", "--tls-verify=false"]);
        if let Some((user, password)) = &self.login {
            command.arg(format!("--creds={user}:{password}"));
        }
        run(command.arg(format!("docker://{}", self.reference(name))))
    }

    /// The file that holds a blob, for tests that spoil it. `digest` is `sha256:<hex>`.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").expect("a sha256 digest");
        let store = self.directory.path().join("store/docker/registry/v2/blobs/sha256");
        store.join(&hex[..2]).join(hex).join("data")
    }

    /// Writes a `config.json` with this registry's name and password, as `docker login` does, into `directory`.
    pub fn log_in(&self, directory: &Path) {
        let (user, password) = self.login.as_ref().expect("this registry wants no login");
        let pair = run(tool("base64").arg("--wrap=0").stdin(pipe_of(&format!("{user}:{password}"))));
        let auths = serde_json::json!({ "auths": { self.address(): { "auth": pair.success().text() } } });
        fs::create_dir_all(directory).unwrap();
        fs::write(directory.join("config.json"), auths.to_string()).unwrap();
    }
}

/// Standard input that holds a short text.
fn pipe_of(text: &str) -> Stdio {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file.into()
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
