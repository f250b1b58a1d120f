//! The socket under TLS: what its first byte says, and how much of what is written the kernel has taken.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// How every handshake begins (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// Under TLS "written" may mean kept: only here is it seen whether a client takes anything.
#[derive(Debug)]
pub(crate) struct Watched {
    tcp: TcpStream,
    taken_bytes: u64,
    first_byte: FirstByte,
}

/// What a client began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstByte {
    NotCome,
    Handshake,
    /// A letter, as methods of HTTP have.
    Http,
    Other,
}

impl Watched {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            taken_bytes: 0,
            first_byte: FirstByte::NotCome,
        }
    }

    pub(crate) fn taken_bytes(&self) -> u64 {
        self.taken_bytes
    }

    pub(super) fn first_byte(&self) -> FirstByte {
        self.first_byte
    }

    pub(crate) fn into_inner(self) -> TcpStream {
        self.tcp
    }

    fn took(&mut self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = result {
            self.taken_bytes = self.taken_bytes.wrapping_add(count as u64);
        }
        result
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(context, buffer))?;
        if self.first_byte == FirstByte::NotCome
            && let Some(first) = buffer.filled().get(before)
        {
            self.first_byte = match first {
                &HANDSHAKE => FirstByte::Handshake,
                first if first.is_ascii_uppercase() => FirstByte::Http,
                _ => FirstByte::Other,
            };
        }
        // Found before TLS sees it: an alert would be no answer to such a client.
        if matches!(self.first_byte, FirstByte::Http | FirstByte::Other) {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the client does not speak TLS",
            )));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.tcp).poll_write(context, bytes);
        self.took(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.tcp).poll_write_vectored(context, slices);
        self.took(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
