//! A connection's bytes: as they are, or under TLS.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{
    guarded_io::{Agreed, Guarded},
    tls::{self, Encrypted},
};
use crate::http::Wire;

/// What HTTP is spoken over.
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<Encrypted>),
}

impl Transport {
    /// What was agreed before the first request.
    pub(super) fn agreed(&self) -> Agreed {
        match self {
            Self::Plain(_) => Agreed::Nothing,
            Self::Tls(encrypted) => tls::agreed(encrypted),
        }
    }

    /// For a connection that speaks something else than HTTP from now on: what is under it, and what has
    /// come on it beyond the HTTP, of which `read` has been read.
    pub(super) fn into_wire(self, read: Bytes) -> (Wire, Bytes) {
        match self {
            Self::Plain(tcp) => (tcp.into(), read),
            Self::Tls(encrypted) => {
                let (watched, session) = encrypted.into_inner();
                let (wire, decrypted) = Wire::tls(watched.into_inner(), session);
                if decrypted.is_empty() {
                    return (wire, read);
                }
                let mut both = BytesMut::from(read);
                both.extend_from_slice(&decrypted);
                (wire, both.freeze())
            }
        }
    }
}

impl Guarded for Transport {
    fn taken_bytes(&self) -> Option<u64> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(encrypted) => Some(encrypted.get_ref().0.taken_bytes()),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Tls(encrypted) => Pin::new(encrypted).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Tls(encrypted) => Pin::new(encrypted).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            Self::Tls(encrypted) => Pin::new(encrypted).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Tls(encrypted) => Pin::new(encrypted).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Tls(encrypted) => Pin::new(encrypted).poll_shutdown(context),
        }
    }
}
