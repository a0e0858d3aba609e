//! An ssh agent that is lent to a step: a socket of our own, with the owner and the mode that the step wants, behind
//! which keys can be listed and signed with. A step can't add, remove or lock keys (BuildKit,
//! `session/sshforward/sshprovider/agentprovider.go`).

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use rustix::{
    fs::{Gid, Mode, OFlags, Uid},
    net::Shutdown,
};

/// What may be asked of it: `SSH_AGENTC_REQUEST_IDENTITIES`, `SSH_AGENTC_SIGN_REQUEST` (draft-ietf-sshm-ssh-agent, 6.1).
const ALLOWED: [u8; 2] = [11, 13];
/// A message of one byte: `SSH_AGENT_FAILURE`.
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];
/// OpenSSH's agent takes no longer message.
const MAX_MESSAGE: u32 = 256 << 10;

/// The socket, served until this is dropped.
pub struct LentAgent {
    /// The socket.
    pub path: PathBuf,
    listener: Arc<UnixListener>,
}

impl LentAgent {
    /// Lends the agent behind the socket `agent` by one in `dir`, which is nobody else's. An `owner` of none leaves the
    /// socket the caller's.
    pub fn new(agent: &Path, dir: &Path, mode: u32, owner: Option<(u32, u32)>) -> io::Result<Self> {
        drop(UnixStream::connect(agent)?);
        // A socket's path is short; the cache's may be long.
        let fd = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let name = Path::new("/proc/self/fd").join(std::os::fd::AsRawFd::as_raw_fd(&fd).to_string()).join("agent");
        let listener = Arc::new(UnixListener::bind(name)?);
        let path = dir.join("agent");
        if let Some((uid, gid)) = owner {
            rustix::fs::chown(&path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o777))?;
        let (accepting, agent) = (listener.clone(), agent.to_path_buf());
        thread::spawn(move || {
            for step in accepting.incoming().map_while(Result::ok) {
                let agent = agent.clone();
                thread::spawn(move || serve(step, &agent));
            }
        });
        Ok(Self { path, listener })
    }
}

impl Drop for LentAgent {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&*self.listener, Shutdown::Both);
    }
}

/// Answers one connection until it ends.
fn serve(mut step: UnixStream, agent: &Path) -> io::Result<()> {
    let mut agent = UnixStream::connect(agent)?;
    loop {
        let request = message(&mut step)?;
        match request.get(4) {
            Some(kind) if ALLOWED.contains(kind) => {
                agent.write_all(&request)?;
                step.write_all(&message(&mut agent)?)?;
            }
            _ => step.write_all(&FAILURE)?,
        }
    }
}

/// A message with its length in front.
fn message(from: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let wanted = u32::from_be_bytes(length);
    if wanted > MAX_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = length.to_vec();
    from.take(wanted.into()).read_to_end(&mut bytes)?;
    match bytes.len() == wanted as usize + 4 {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_lists_and_signs_and_does_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        let agent = UnixListener::bind(&real).unwrap();
        // An agent that answers what it was asked.
        thread::spawn(move || {
            for mut stream in agent.incoming().flatten() {
                thread::spawn(move || -> io::Result<()> {
                    loop {
                        let asked = message(&mut stream)?;
                        stream.write_all(&asked)?;
                    }
                });
            }
        });
        let lent = LentAgent::new(&real, dir.path(), 0o640, None).unwrap();
        assert_eq!(fs::metadata(&lent.path).unwrap().permissions().mode() & 0o777, 0o640);
        let mut step = UnixStream::connect(&lent.path).unwrap();
        let mut ask = |bytes: &[u8]| -> io::Result<Vec<u8>> {
            step.write_all(&(bytes.len() as u32).to_be_bytes())?;
            step.write_all(bytes)?;
            message(&mut step).map(|answer| answer[4..].to_vec())
        };
        for (asked, answer) in [
            (&[11][..], &[11][..]),
            (&[13, 1, 2], &[13, 1, 2]),
            (&[19], &[5]),
            (&[17, 9], &[5]),
            (&[], &[5]),
            (&[27], &[5]),
        ] {
            assert_eq!(ask(asked).unwrap(), answer);
        }
        let long = vec![11; MAX_MESSAGE as usize + 1];
        assert!(ask(&long).is_err());
        let path = lent.path.clone();
        drop(lent);
        thread::sleep(std::time::Duration::from_millis(50));
        assert!(UnixStream::connect(path).is_err(), "it ends with the step");
        assert!(LentAgent::new(&dir.path().join("none"), dir.path(), 0o600, None).is_err());
    }
}
