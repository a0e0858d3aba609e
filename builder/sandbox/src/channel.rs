//! Messages between the caller, the runner and the init of a step: length, then JSON, over a stream socket or
//! pipe; descriptors ride on the first message.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::{Serialize, de::DeserializeOwned};

/// Enough for any step (secrets included); a bound so that a broken peer can't make us allocate at will.
const MAX_MESSAGE: usize = 64 << 20;

fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(message)?;
    let mut bytes = (body.len() as u64).to_le_bytes().to_vec();
    bytes.extend(body);
    Ok(bytes)
}

fn body<T: DeserializeOwned>(length: [u8; 8], mut from: impl Read) -> io::Result<T> {
    let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message too long"));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Reads and writes a borrowed descriptor.
pub struct Stream<'a>(pub BorrowedFd<'a>);

impl Read for Stream<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| rustix::io::read(self.0, &mut *buf))?)
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| rustix::io::write(self.0, buf))?)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes one message.
pub fn send(to: impl AsFd, message: &impl Serialize) -> io::Result<()> {
    Stream(to.as_fd()).write_all(&frame(message)?)
}

/// Reads one message; `None` if the other side has closed.
pub fn receive<T: DeserializeOwned>(from: impl AsFd) -> io::Result<Option<T>> {
    let mut stream = Stream(from.as_fd());
    let mut length = [0; 8];
    if stream.read(&mut length[..1])? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[1..])?;
    body(length, stream).map(Some)
}

/// Writes one message with descriptors.
pub fn send_with(to: impl AsFd, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = frame(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors"));
    }
    let sent = rustix::net::sendmsg(&to, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Stream(to.as_fd()).write_all(&bytes[sent..])
}

/// Reads one message and the descriptors that came with it.
pub fn receive_with<T: DeserializeOwned>(from: impl AsFd) -> io::Result<(T, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut length = [0; 8];
    let got = rustix::net::recvmsg(
        &from,
        &mut [IoSliceMut::new(&mut length)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL,
    )?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(list) = message {
            fds.extend(list);
        }
    }
    Stream(from.as_fd()).read_exact(&mut length[got.bytes..])?;
    Ok((body(length, Stream(from.as_fd()))?, fds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_descriptors_arrive() {
        let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        let text = "x".repeat(1 << 20);
        let writer = std::thread::spawn({
            let text = text.clone();
            move || {
                send_with(&a, &text, &[file.as_fd()]).unwrap();
                send(&a, &7u8).unwrap();
            }
        });
        let (got, fds) = receive_with::<String>(&b).unwrap();
        assert_eq!((got, fds.len()), (text, 1));
        assert_eq!(receive::<u8>(&b).unwrap(), Some(7));
        writer.join().unwrap();
        assert_eq!(receive::<u8>(&b).unwrap(), None);
    }

    #[test]
    fn a_length_from_nowhere_is_refused() {
        let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
        (&a).write_all(&u64::MAX.to_le_bytes()).unwrap();
        assert_eq!(receive::<u8>(&b).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
