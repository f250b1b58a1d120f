//! One WebSocket of the load: its handshake, then frames that are only counted.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr},
};

use mio::{Interest, Registry, Token, net::TcpStream};
use socket2::{Domain, Protocol, Socket, Type};

use super::frames::{Frame, FrameCounter, HEADROOM};

/// Connections from one source address. It has about 28,000 ports, but the kernel searches long for
/// a free one where an earlier run's still rest.
const SOCKETS_PER_ADDRESS: usize = 1_000;

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The connection goes on.
    Going,
    /// Its first message has arrived just now: the server has made it a receiver.
    Opened,
    /// It has ended, with the close code where there was one.
    Ended(Option<u16>),
}

enum Stage {
    /// The request, to be written once the connection stands.
    Connecting(Vec<u8>),
    /// The answer's head so far.
    Upgrading(Vec<u8>),
    /// Frames follow; the first message has not arrived.
    Acknowledging,
    Open,
    Ended,
}

/// A WebSocket that takes messages.
pub struct Connection {
    stream: TcpStream,
    stage: Stage,
    frames: FrameCounter,
}

impl Connection {
    /// Begins to connect; `token` is what its events carry, `index` picks the source address.
    ///
    /// # Errors
    /// The socket's.
    pub fn start(
        registry: &Registry,
        token: Token,
        index: usize,
        (server, path, bearer): (SocketAddr, &str, &str),
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::from((source(index), 0)).into())?;
        match socket.connect(&server.into()) {
            Ok(()) => {}
            // EINPROGRESS; it is writable once it stands.
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let mut stream = TcpStream::from_std(socket.into());
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Authorization: Bearer {bearer}\r\n\r\n"
        );
        Ok(Self {
            stream,
            stage: Stage::Connecting(request.into_bytes()),
            frames: FrameCounter::default(),
        })
    }

    /// The connection stands: the request goes out. It is small enough for any socket's buffer.
    ///
    /// # Errors
    /// The socket's.
    pub fn on_writable(&mut self) -> io::Result<()> {
        if let Stage::Connecting(request) = &self.stage {
            self.stream.write_all(request)?;
            self.stage = Stage::Upgrading(Vec::new());
        }
        Ok(())
    }

    /// Takes what has arrived, with a buffer that everybody shares; `message` hears of each message
    /// after the first.
    ///
    /// # Errors
    /// The socket's, and an answer that is no upgrade.
    pub fn on_readable(
        &mut self,
        buffer: &mut [u8],
        mut message: impl FnMut(Option<u64>),
    ) -> io::Result<Progress> {
        let mut progress = Progress::Going;
        loop {
            if matches!(self.stage, Stage::Ended | Stage::Connecting(_)) {
                return Ok(progress);
            }
            let room = buffer.len() - HEADROOM;
            let read = match self.stream.read(&mut buffer[HEADROOM..]) {
                Ok(0) => return Ok(self.end(None)),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(progress),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(self.end(None));
                }
                Err(error) => return Err(error),
            };
            let frames = match self.upgrade(buffer, read)? {
                Some(frames) => frames,
                None => continue,
            };
            let mut pongs = Vec::new();
            let mut closed = None;
            let is_open = matches!(self.stage, Stage::Open);
            let mut messages = 0_usize;
            self.frames.take(buffer, frames, |frame| match frame {
                Frame::Text { sent_at_ns } => {
                    messages += 1;
                    if is_open || messages > 1 {
                        message(sent_at_ns);
                    }
                }
                Frame::Ping(payload) => pong(&mut pongs, payload),
                Frame::Close(code) => closed = Some(code),
                Frame::Other => {}
            });
            if !is_open && messages > 0 {
                self.stage = Stage::Open;
                progress = Progress::Opened;
            }
            if closed.is_some() {
                return Ok(self.end(closed));
            }
            if !pongs.is_empty() {
                self.stream.write_all(&pongs)?;
            }
            // A short read has emptied the socket; more makes a new event.
            if read < room {
                return Ok(progress);
            }
        }
    }

    /// Collects the answer to the handshake; gives how many bytes of frames stand in the buffer.
    fn upgrade(&mut self, buffer: &mut [u8], read: usize) -> io::Result<Option<usize>> {
        let Stage::Upgrading(head) = &mut self.stage else {
            return Ok(Some(read));
        };
        head.extend_from_slice(&buffer[HEADROOM..HEADROOM + read]);
        let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            return Ok(None);
        };
        if !head.starts_with(b"HTTP/1.1 101 ") {
            let text = String::from_utf8_lossy(head).into_owned();
            return Err(io::Error::other(format!("no upgrade: {text}")));
        }
        let frames = &head[end + 4..];
        buffer[HEADROOM..HEADROOM + frames.len()].copy_from_slice(frames);
        let count = frames.len();
        self.stage = Stage::Acknowledging;
        Ok(Some(count))
    }

    fn end(&mut self, code: Option<u16>) -> Progress {
        self.stage = Stage::Ended;
        Progress::Ended(code)
    }
}

/// A loopback address of this process's own for every thousand connections.
fn source(index: usize) -> Ipv4Addr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let last = 1 + (index / SOCKETS_PER_ADDRESS) as u8;
    Ipv4Addr::new(127, 1 + high % 250, low, last)
}

/// A masked pong; the mask is zero, so that the payload stays as it is.
fn pong(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(&[0x8A, 0x80 | payload.len() as u8, 0, 0, 0, 0]);
    out.extend_from_slice(payload);
}
