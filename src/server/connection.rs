//! One connection from its accept to its end.

use std::{
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use parking_lot::Mutex;
use tokio::{net::TcpStream, sync::watch};

use super::{
    clock::{ConnectionClock, Untaken},
    guarded_io::{Findings, GuardedIo, Refusals},
    tls::{self, HandshakeFailure, Tls},
    transport::Transport,
};
use crate::http::{ApiError, Gateway, GatewayBody, SocketUpgrade, Wire};
use mozaiks_config::ServerConfig;
use mozaiks_telemetry::metrics::Metrics;

/// How long a connection may still take requests once the server ends.
const LAST_LOOK: Duration = Duration::from_millis(20);

/// What every connection shares.
pub(super) struct Shared {
    pub(super) gateway: Gateway,
    pub(super) config: ServerConfig,
    pub(super) protocol: auto::Builder<TokioExecutor>,
    pub(super) metrics: Arc<Metrics>,
    /// Where the port has it.
    pub(super) tls: Option<Tls>,
}

/// A connection that speaks WebSocket now, to be served in a task of its own: what HTTP needed is
/// given back first.
pub(super) type Upgraded = BoxFuture<'static, ()>;

/// Makes what HTTP is spoken over from a socket just accepted. `None` where there will be no request: the
/// handshake failed, or the server ends before it has not.
pub(super) async fn begin(
    shared: &Shared,
    tcp: TcpStream,
    peer: IpAddr,
    drain: &mut watch::Receiver<bool>,
) -> Option<Transport> {
    let Some(tls) = &shared.tls else {
        return Some(Transport::Plain(tcp));
    };
    let began = Instant::now();
    // On the heap: while it lasts it is larger than all that a connection without TLS needs.
    let handshake = Box::pin(tls.shake_hands(tcp, shared.config.header_timeout, &shared.metrics));
    let failure = tokio::select! {
        biased;
        shaken = handshake => match shaken {
            Ok(encrypted) => return Some(Transport::Tls(Box::new(encrypted))),
            Err(failure) => failure,
        },
        _ = drain.wait_for(|draining| *draining) => return None,
    };
    match failure {
        HandshakeFailure::PlainHttp(tcp) => {
            let error = ApiError::InvalidRequest("this port speaks TLS: use https".into());
            let answer = shared.gateway.refuse(&error, began.elapsed());
            Box::pin(tls::turn_away(tcp, &answer, shared.config.linger)).await;
        }
        HandshakeFailure::Other(error) => {
            tracing::debug!(%peer, %error, "tls.handshake_failed");
        }
    }
    None
}

/// Serves one connection from `peer` until it ends or is upgraded. `drain` turns true when the server ends: the
/// connection then finishes what it is answering and closes.
pub(super) async fn serve(
    shared: Arc<Shared>,
    transport: Transport,
    peer: IpAddr,
    mut drain: watch::Receiver<bool>,
) -> Option<Upgraded> {
    let config = &shared.config;
    let clock = Arc::new(ConnectionClock::new(
        config.header_timeout,
        config.idle_timeout,
    ));
    let findings = Arc::new(Findings::default());
    let agreed = transport.agreed();
    let io = GuardedIo::new(
        transport,
        Arc::clone(&clock),
        Arc::clone(&findings),
        Arc::clone(&shared) as Arc<dyn Refusals>,
        config.header_timeout.min(config.idle_timeout),
        config.body_timeout,
        config.linger,
    )
    .agreed(agreed);
    let upgrade = Arc::new(Mutex::new(None));
    let service = service_fn(|mut request: Request<Incoming>| {
        let is_http2 = request.version() == Version::HTTP_2;
        if !is_http2 && request.headers().contains_key(header::TRANSFER_ENCODING) {
            request.extensions_mut().insert(findings.take());
        }
        clock.request_started(is_http2);
        let answering = Answering {
            clock: Arc::clone(&clock),
        };
        let shared = Arc::clone(&shared);
        let upgrade = Arc::clone(&upgrade);
        async move {
            let mut response = shared.gateway.answer(request, peer).await;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                answering.clock.upgraded();
                *upgrade.lock() = SocketUpgrade::take(&mut response);
            }
            Ok::<_, Infallible>(response.map(|body| CountedBody {
                body,
                answering,
                is_http2,
            }))
        }
    });
    let connection = shared
        .protocol
        .serve_connection_with_upgrades(TokioIo::new(io), service);
    tokio::pin!(connection);
    // A connection that fails has told its client what could be told; what it was about is in the
    // counters.
    let drained = tokio::select! {
        biased;
        _ = connection.as_mut() => false,
        _ = drain.wait_for(|draining| *draining) => true,
    };
    // What was sent before the end began may not have been seen yet.
    let drained = drained
        && tokio::select! {
            biased;
            _ = connection.as_mut() => false,
            () = tokio::time::sleep(LAST_LOOK) => true,
        };
    if drained {
        clock.start_draining();
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
    let upgrade = upgrade.lock().take()?;
    Some(Box::pin(async move {
        upgrade.serve(bare_socket).await;
        // The server has not ended before its sockets have.
        drop(drain);
    }))
}

/// The socket under an upgraded connection, and what was read from it already.
fn bare_socket(upgraded: hyper::upgrade::Upgraded) -> Option<(Wire, Bytes)> {
    let parts = auto::upgrade::downcast::<TokioIo<GuardedIo<Transport>>>(upgraded).ok()?;
    let transport = parts.io.into_inner().into_inner();
    Some(transport.into_wire(parts.read_buf))
}

impl Refusals for Shared {
    fn refuse(&self, status: u16, waited: Duration) -> Vec<u8> {
        let error = match status {
            408 => ApiError::RequestTimeout,
            414 => ApiError::UriTooLong,
            431 => ApiError::HeadTooLarge,
            501 => ApiError::UnsupportedTransferEncoding,
            _ => ApiError::MalformedRequest,
        };
        self.gateway.refuse(&error, waited)
    }

    fn timed_out(&self) {
        self.metrics
            .connections_timed_out
            .fetch_add(1, Ordering::Relaxed);
    }
}

/// A request being answered; the connection is not idle while one lives.
struct Answering {
    clock: Arc<ConnectionClock>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.clock.request_ended();
    }
}

/// An answer's body that keeps its connection from idling, and on HTTP/2, where a client decides for
/// each answer when it takes it, knows how long that has not happened.
struct CountedBody {
    body: GatewayBody,
    answering: Answering,
    is_http2: bool,
}

/// A piece of an answer: dropped when all of it has been written to the socket.
struct Piece {
    bytes: Bytes,
    _untaken: Untaken,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if !self.is_http2 {
            return polled;
        }
        polled.map_ok(|frame| {
            frame.map_data(|bytes| {
                let untaken = self.answering.clock.piece_ready();
                Bytes::from_owner(Piece {
                    bytes,
                    _untaken: untaken,
                })
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
