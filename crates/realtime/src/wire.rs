//! What is under a WebSocket: a bare socket, or one with TLS over it.
//!
//! Both are written and read without waiting, by whoever has something to say. TLS takes new bytes only
//! once the kernel has taken all that it made of those before: what "written" means stays the same, and no
//! more than one piece waits below the queue that is counted and limited.

use std::{
    io::{self, IoSlice, Read as _, Write as _},
    net::Shutdown,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use rustls::ServerConnection;
use tokio::{
    io::{Interest, Ready},
    net::TcpStream,
};

/// The socket of one connection.
#[derive(Debug)]
pub enum Wire {
    /// Bytes as they are.
    Plain(TcpStream),
    /// Bytes under TLS.
    Tls(Box<TlsSocket>),
}

/// A socket with TLS over it, after its handshake.
#[derive(Debug)]
pub struct TlsSocket {
    tcp: TcpStream,
    /// Held while bytes are encrypted, decrypted, or go to and from the socket. Never across an await.
    session: Mutex<ServerConnection>,
}

impl From<TcpStream> for Wire {
    fn from(tcp: TcpStream) -> Self {
        Self::Plain(tcp)
    }
}

impl Wire {
    /// A connection whose handshake is over; gives beside it what has been decrypted and not been read.
    /// It has to be taken now: nothing announces it again.
    pub fn tls(tcp: TcpStream, mut session: ServerConnection) -> (Self, Bytes) {
        let mut decrypted = Vec::new();
        // Ends with an error where more may come, which is the usual case, or with what the end was.
        let _ = session.reader().read_to_end(&mut decrypted);
        let wire = Self::Tls(Box::new(TlsSocket {
            tcp,
            session: Mutex::new(session),
        }));
        (wire, decrypted.into())
    }

    /// The socket itself, for its options.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &tls.tcp,
        }
    }

    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        self.tcp().ready(interest).await
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.tcp().readable().await
    }

    /// Reads what is there; 0 at the end.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_read(buffer),
            Self::Tls(tls) => tls.try_read(buffer),
        }
    }

    /// Writes as much as is taken at once.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_write(bytes),
            Self::Tls(tls) => tls.try_write_vectored(&[IoSlice::new(bytes)]),
        }
    }

    /// As [`Self::try_write`], of several pieces.
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_write_vectored(slices),
            Self::Tls(tls) => tls.try_write_vectored(slices),
        }
    }

    /// Whether nothing that was written is still to be given to the kernel; gives it what it takes.
    pub(crate) fn try_flush(&self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tls) => tls.session.lock().flush_to(&tls.tcp),
        }
    }

    /// Whether [`Self::try_flush`] has something to do.
    pub(crate) fn holds_output(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.session.lock().wants_write(),
        }
    }

    /// Says that nothing follows; on TLS that is a message, to be flushed before the sending side is shut.
    pub(crate) fn announce_end(&self) {
        if let Self::Tls(tls) = self {
            tls.session.lock().send_close_notify();
        }
    }

    /// Shuts the sending side.
    pub(crate) fn shut_sending(&self) {
        let _ = socket2::SockRef::from(self.tcp()).shutdown(Shutdown::Write);
    }

    /// When the socket is dropped, what the kernel still holds for the client goes too.
    pub(crate) fn forget_unsent(&self) {
        let _ = socket2::SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO));
    }
}

impl TlsSocket {
    /// The kernel is asked only when nothing decrypted is left, and it says "would block" before anybody
    /// waits for the socket: so nothing that has come is waited for.
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut session = self.session.lock();
        loop {
            match session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // An end without TLS's own is an end all the same: the frames know where they end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            session.read_tls(&mut NonBlocking(&self.tcp))?;
            if let Err(error) = session.process_new_packets() {
                // What the client is told of it, if it takes that.
                let _ = session.flush_to(&self.tcp);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = self.session.lock();
        let mut slices = slices.to_vec();
        let mut rest = &mut slices[..];
        let mut written = 0;
        while !rest.is_empty() {
            match session.flush_to(&self.tcp) {
                Ok(true) => {}
                Ok(false) if written > 0 => break,
                Ok(false) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(error) => return Err(error),
            }
            let taken = session.writer().write_vectored(rest)?;
            if taken == 0 {
                break;
            }
            written += taken;
            IoSlice::advance_slices(&mut rest, taken);
        }
        session.flush_to(&self.tcp)?;
        Ok(written)
    }
}

/// Gives the kernel what waits; whether all of it was taken.
trait FlushTo {
    fn flush_to(&mut self, tcp: &TcpStream) -> io::Result<bool>;
}

impl FlushTo for ServerConnection {
    fn flush_to(&mut self, tcp: &TcpStream) -> io::Result<bool> {
        while self.wants_write() {
            match self.write_tls(&mut NonBlocking(tcp)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// The socket as `std` reads and writes.
struct NonBlocking<'a>(&'a TcpStream);

impl io::Read for NonBlocking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl io::Write for NonBlocking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
