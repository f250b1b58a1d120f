//! TLS on the port: its certificate, its handshakes, what it refuses.
//!
//! A handshake is part of its connection's own task, takes one of the connections' slots, and has the time
//! that a request's head has. Whoever never ends one is counted and let go; it is worth no line of the log.

mod pair;
mod reload;
mod watched;

use std::{io, sync::Arc, sync::atomic::Ordering, time::Duration};

use rustls::{
    ServerConfig as RustlsConfig,
    crypto::aws_lc_rs::{Ticketer, default_provider},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

pub use self::pair::{Pair, Validity};
pub(super) use self::reload::follow;
pub(super) use self::watched::Watched;
use self::{reload::Certificates, watched::FirstByte};
use super::guarded_io::Agreed;
use mozaiks_config::TlsConfig;
use mozaiks_telemetry::metrics::Metrics;

const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";
/// What a client of another protocol may still send before its connection is closed.
const STRAY_BYTES: usize = 64 * 1024;

/// A connection whose handshake is over.
pub(super) type Encrypted = TlsStream<Watched>;

/// What makes handshakes.
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    certificates: Arc<Certificates>,
}

/// Why there is no connection.
pub(super) enum HandshakeFailure {
    /// The client speaks HTTP without TLS.
    PlainHttp(TcpStream),
    /// Anything else: it hung up, took too long, or spoke something that nobody here does.
    Other(io::Error),
}

impl Tls {
    /// What the configuration names; `None` where the port has no TLS.
    ///
    /// # Errors
    /// A sentence: files that cannot be read or do not fit.
    pub(super) fn load(config: &TlsConfig) -> Result<Option<Self>, String> {
        let Some((cert, key)) = config.files() else {
            return Ok(None);
        };
        let certificates = Arc::new(Certificates::load(cert, key, config.poll)?);
        let failed = |error: rustls::Error| format!("TLS: {error}");
        let mut rustls = RustlsConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(failed)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as _);
        rustls.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        // A client that comes back is known by what it brings: nothing is kept for it here.
        rustls.ticketer = Ticketer::new().map_err(failed)?;
        Ok(Some(Self {
            acceptor: Arc::new(rustls).into(),
            certificates,
        }))
    }

    pub(super) fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// Makes a handshake, within a time limit for all of it.
    pub(super) async fn shake_hands(
        &self,
        tcp: TcpStream,
        limit: Duration,
        metrics: &Metrics,
    ) -> Result<Encrypted, HandshakeFailure> {
        metrics.tls_handshakes.fetch_add(1, Ordering::Relaxed);
        let accepting = self.acceptor.accept(Watched::new(tcp)).into_fallible();
        let failure = match timeout(limit, accepting).await {
            Ok(Ok(encrypted)) => return Ok(encrypted),
            Ok(Err((_, watched))) if watched.first_byte() == FirstByte::Http => {
                HandshakeFailure::PlainHttp(watched.into_inner())
            }
            Ok(Err((error, _))) => HandshakeFailure::Other(error),
            Err(_) => HandshakeFailure::Other(io::ErrorKind::TimedOut.into()),
        };
        metrics
            .tls_handshake_failures
            .fetch_add(1, Ordering::Relaxed);
        Err(failure)
    }
}

/// What the client has chosen of what we offer.
pub(super) fn agreed(encrypted: &Encrypted) -> Agreed {
    match encrypted.get_ref().1.alpn_protocol() {
        Some(HTTP2) => Agreed::Http2,
        Some(_) => Agreed::Http1,
        None => Agreed::Nothing,
    }
}

/// Says something to a client that speaks another protocol, and gives it `patience` to read that.
pub(super) async fn turn_away(mut tcp: TcpStream, answer: &[u8], patience: Duration) {
    let deadline = Instant::now() + patience;
    let saying = async {
        tcp.write_all(answer).await?;
        tcp.shutdown().await?;
        // Hanging up with input unread would destroy the answer on its way.
        let mut left = STRAY_BYTES;
        let mut buffer = [0; 4096];
        while left > 0 {
            match tcp.read(&mut buffer).await? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        Ok::<_, io::Error>(())
    };
    // A client that is gone, or takes too long, has had its chance.
    let _ = timeout_at(deadline, saying).await;
}
