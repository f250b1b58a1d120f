//! Server-sent events for clients that cannot have a WebSocket: the same messages, in one direction.
//!
//! One task a stream, as for a socket. HTTP asks a body for nothing while its client takes nothing,
//! so that the body itself could not keep the clocks (heartbeat, token, lag). The task hands over
//! one piece at a time; what the client has not asked for stays in the queue, whose limits are
//! those of a socket. A client that is behind for too long is no receiver from that moment on; its
//! connection is the server's to end.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

use super::{
    close::CloseCode,
    hub::{Connection, Form, Hub, Resume, Subscribe, SubscribeError},
    inbound,
    outbound::{Outbound, Outgoing},
    services::{Identity, Realtime},
};

/// A comment that keeps proxies from closing a quiet stream.
const HEARTBEAT: &[u8] = b": ping\n\n";
/// The last comment of a stream whose client has not kept up.
const TOO_SLOW: &[u8] = b": too far behind\n\n";
/// Pieces between the task and HTTP. One more only hides that a client is behind.
const HANDED_OVER_PIECES: usize = 1;

/// The events of one user; dropping it ends the connection.
pub struct EventStream(mpsc::Receiver<Bytes>);

impl Stream for EventStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.poll_recv(cx)
    }
}

impl Realtime {
    /// A stream of the user's messages, from `resume` on where the history still has it.
    ///
    /// # Errors
    /// [`SubscribeError`] where the user has too many connections or the gateway stops.
    pub fn event_stream(
        &self,
        identity: &Identity,
        resume: Option<Resume>,
    ) -> Result<EventStream, SubscribeError> {
        let outbound = self.hub.outbound(None);
        let connection = self.hub.subscribe(Subscribe {
            app_id: Arc::clone(&identity.principal.app_id),
            user_id: Arc::clone(&identity.principal.user_id),
            form: Form::Events,
            resume,
            outbound: Arc::clone(&outbound),
        })?;
        let (pieces, handed_over) = mpsc::channel(HANDED_OVER_PIECES);
        let heartbeat_interval = self.config.heartbeat_interval;
        let subscription = Subscription {
            hub: Arc::clone(&self.hub),
            connection,
            outbound,
            pieces,
            expires_at: identity.valid_until,
            heartbeat_interval,
            next_heartbeat: Instant::now() + heartbeat_interval,
        };
        tokio::spawn(subscription.run(self.config.close_timeout));
        Ok(EventStream(handed_over))
    }
}

/// A stream's task: a connection that leaves the hub when the task ends, however it ends.
struct Subscription {
    hub: Arc<Hub>,
    connection: Arc<Connection>,
    outbound: Arc<Outbound>,
    /// To HTTP; closed from its side when the client is gone.
    pieces: mpsc::Sender<Bytes>,
    expires_at: Instant,
    heartbeat_interval: Duration,
    next_heartbeat: Instant,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.unsubscribe(&self.connection);
        self.outbound.mark_gone();
    }
}

impl Subscription {
    async fn run(mut self, close_timeout: Duration) {
        let Some(code) = self.serve().await else {
            return;
        };
        self.hub.unsubscribe(&self.connection);
        self.hub.count_closed(code);
        // A client that takes nothing is not waited for any longer than that.
        let _ = timeout(close_timeout, self.say_goodbye(code)).await;
    }

    /// Everything until the connection shall end; why, unless it is the client who has gone.
    async fn serve(&mut self) -> Option<CloseCode> {
        let mut timer = pin!(sleep_until(self.next_heartbeat));
        loop {
            let now = Instant::now();
            // First what can be handed over: a gateway that was late itself blames nobody.
            if self.outbound.has_backlog()
                && let Ok(place) = self.pieces.try_reserve()
                && let Some(piece) = self.outbound.take()
            {
                place.send(piece);
            }
            let lag_deadline = self.outbound.check_lag(now);
            if let Some(code) = self.outbound.closing() {
                return Some(code);
            }
            if now >= self.expires_at {
                self.expire();
                continue;
            }
            let has_backlog = self.outbound.has_backlog();
            if now >= self.next_heartbeat {
                self.next_heartbeat = now + self.heartbeat_interval;
                // Who has something to read, or does not read, needs no comments.
                if !has_backlog {
                    let _ = self.pieces.try_send(Bytes::from_static(HEARTBEAT));
                }
            }
            let next = lag_deadline
                .into_iter()
                .fold(self.expires_at.min(self.next_heartbeat), Instant::min);
            if timer.deadline() != next {
                timer.as_mut().reset(next);
            }
            tokio::select! {
                // The place is taken at the loop's next turn.
                _ = self.pieces.reserve(), if has_backlog => {}
                () = self.pieces.closed() => return None,
                () = self.outbound.woken() => {}
                () = timer.as_mut() => {}
            }
        }
    }

    /// What still waits, and where the client did not keep up, that it did not.
    async fn say_goodbye(&self, code: CloseCode) {
        while let Some(piece) = self.outbound.take() {
            if self.pieces.send(piece).await.is_err() {
                return;
            }
        }
        if code == CloseCode::TooSlow {
            let _ = self.pieces.send(Bytes::from_static(TOO_SLOW)).await;
        }
    }

    /// Says why, then ends.
    fn expire(&self) {
        let error = inbound::error_message("TOKEN_EXPIRED", "the token has expired", None);
        self.outbound.send(Outgoing::Own(&error.event(None)));
        self.outbound
            .close(CloseCode::Unauthorized, "TOKEN_EXPIRED");
    }
}

#[cfg(test)]
mod tests;
