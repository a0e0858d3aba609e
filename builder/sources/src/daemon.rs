//! Images that a Docker engine holds, by its API over a Unix socket (Docker Engine API, "Export several images").

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;

use crate::error::{Error, Result};

/// A Docker engine. Nothing is contacted before the first request.
#[derive(Clone, Debug)]
pub struct DockerDaemon {
    socket: PathBuf,
}

/// What the engine says when it refuses.
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// An engine may take long to gather an image, but not this long between two pieces of it.
const SILENCE: Duration = Duration::from_secs(300);

impl DockerDaemon {
    /// The engine that listens at this socket.
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.into() }
    }

    /// Writes the docker-archive of an image to `out`, as `docker save` would; at most `limit` bytes.
    /// Gives their number. Bytes are unverified: open the archive as a [`Store`](crate::Store).
    pub fn save(&self, name: &str, out: &mut dyn Write, limit: u64) -> Result<u64> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::file("tokio", "start the HTTP thread"))?;
        runtime.block_on(self.save_async(name, out, limit))
    }

    async fn save_async(&self, name: &str, out: &mut dyn Write, limit: u64) -> Result<u64> {
        let mut response = self.get(name).await?;
        let mut bytes = 0;
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(e))? {
            bytes += chunk.len() as u64;
            if bytes > limit {
                return Err(Error::TooLarge { what: format!("{name} from the Docker engine"), limit });
            }
            out.write_all(&chunk).map_err(Error::file(name, "store the image"))?;
        }
        Ok(bytes)
    }

    async fn get(&self, name: &str) -> Result<Response> {
        // The host is for the header only: the socket says where to.
        let url = Url::parse_with_params("http://docker/images/get", [("names", name)])
            .map_err(|e| Error::malformed(name, format!("no usable URL: {e}")))?;
        // reqwest wants a provider of TLS even where none is spoken.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .unix_socket(&*self.socket)
            .read_timeout(SILENCE)
            .no_proxy()
            .tls_certs_only([])
            .build()
            .map_err(|e| self.unreachable(e))?;
        let response = client.get(url).send().await.map_err(|e| self.unreachable(e))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        let reason = match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) => crate::http::clean(&refusal.message),
            Err(_) => status.canonical_reason().unwrap_or("no reason given").to_string(),
        };
        let (host, what) = ("the Docker engine".to_string(), name.to_string());
        Err(match status {
            StatusCode::NOT_FOUND => Error::NotFound { host, what, reason },
            status => Error::Answer { host, what, status: status.as_u16(), reason },
        })
    }

    fn unreachable(&self, error: reqwest::Error) -> Error {
        let broke = !error.is_connect();
        let reason = crate::http::deepest(&error.without_url());
        let hint =
            "Is Docker running, and may this user use it? DOCKER_HOST=unix:///PATH names another socket; podman's \
                    images are at containers-storage:NAME"
                .to_string();
        Error::Unreachable { host: format!("the Docker engine at {}", self.socket.display()), reason, hint, broke }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::net::UnixListener,
    };

    use super::*;

    /// Answers one request with these bytes; gives what was asked.
    fn engine(answer: &'static [u8]) -> (tempfile::TempDir, DockerDaemon, std::thread::JoinHandle<String>) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                request.push(byte[0]);
            }
            stream.write_all(answer).unwrap();
            String::from_utf8(request).unwrap()
        });
        (dir, DockerDaemon::new(&socket), asked)
    }

    #[test]
    fn an_image_streams_in() {
        let (_dir, daemon, asked) =
            engine(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
        let mut out = Vec::new();
        assert_eq!(daemon.save("h:5000/a b:1", &mut out, 5).unwrap(), 5);
        assert_eq!(out, b"abcde");
        let asked = asked.join().unwrap();
        assert!(asked.starts_with("GET /images/get?names=h%3A5000%2Fa+b%3A1 HTTP/1.1\r\n"), "{asked}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (answer, limit, word) in [
            (&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"[..], 100, "Docker engine"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", 100, "Docker engine"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde", 4, "limit of 4"),
            (
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 27\r\n\r\n{\"message\":\"No such image\"}\n",
                100,
                "No such image",
            ),
            (b"HTTP/1.1 500 Oh\r\nContent-Length: 1\r\n\r\nx", 100, "500"),
        ] {
            let (_dir, daemon, asked) = engine(answer);
            let error = daemon.save("app", &mut Vec::new(), limit).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
            asked.join().unwrap();
        }
        let error = DockerDaemon::new(Path::new("/nonexistent/docker.sock")).save("a", &mut Vec::new(), 1).unwrap_err();
        assert!(error.to_string().contains("Is Docker running"), "{error}");
    }
}
