//! A connected socket of either kind.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

/// A connected socket.
#[derive(Debug)]
pub enum Stream {
    /// Unix.
    Unix(UnixStream),
    /// TCP.
    Tcp(TcpStream),
}

impl Stream {
    pub(super) fn close(&self) {
        // Fails where the client has closed it already.
        let _ = match self {
            Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    pub(super) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => stream.set_read_timeout(timeout),
            Stream::Tcp(stream) => stream.set_read_timeout(timeout),
        }
    }

    pub(super) fn addresses(&self) -> (String, String) {
        match self {
            Stream::Unix(stream) => {
                let path = stream.local_addr().ok().and_then(|address| {
                    address.as_pathname().map(|path| path.display().to_string())
                });
                (path.unwrap_or_default(), "anonymous unix socket".to_owned())
            }
            Stream::Tcp(stream) => {
                let show = |address: io::Result<std::net::SocketAddr>| {
                    address
                        .map(|address| address.to_string())
                        .unwrap_or_default()
                };
                (show(stream.local_addr()), show(stream.peer_addr()))
            }
        }
    }

    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => (&*stream).read(buffer),
            Stream::Tcp(stream) => (&*stream).read(buffer),
        }
    }

    pub(super) fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => (&*stream).write_all(bytes),
            Stream::Tcp(stream) => (&*stream).write_all(bytes),
        }
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Stream::Unix(stream) => stream.as_raw_fd(),
            Stream::Tcp(stream) => stream.as_raw_fd(),
        }
    }
}
