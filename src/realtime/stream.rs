//! Server-sent events for clients that cannot have a WebSocket: the same messages, in one direction.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream, stream::unfold};
use tokio::time::{Instant, sleep_until};

use super::{
    close::CloseCode,
    hub::{Connection, Form, Hub, Resume, Subscribe, SubscribeError},
    inbound,
    outbound::{Outbound, Outgoing},
    services::{Identity, Realtime},
};

/// A comment that keeps proxies from closing a quiet stream.
const HEARTBEAT: &[u8] = b": ping\n\n";

/// The events of one user; dropping it ends the connection.
pub struct EventStream(Pin<Box<dyn Stream<Item = Bytes> + Send>>);

impl Stream for EventStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.as_mut().poll_next(cx)
    }
}

/// A connection that leaves the hub when its reader goes.
struct Subscription {
    hub: Arc<Hub>,
    connection: Arc<Connection>,
    outbound: Arc<Outbound>,
    expires_at: Instant,
    next_heartbeat: Instant,
    is_over: bool,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.unsubscribe(&self.connection);
        self.outbound.mark_gone();
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
        let heartbeat_interval = self.config.heartbeat_interval;
        let subscription = Subscription {
            hub: Arc::clone(&self.hub),
            connection,
            outbound,
            expires_at: identity.valid_until,
            next_heartbeat: Instant::now() + heartbeat_interval,
            is_over: false,
        };
        Ok(EventStream(Box::pin(unfold(
            subscription,
            move |mut subscription| async move {
                let event = subscription.next(heartbeat_interval).await?;
                Some((event, subscription))
            },
        ))))
    }
}

impl Subscription {
    async fn next(&mut self, heartbeat_interval: std::time::Duration) -> Option<Bytes> {
        loop {
            if let Some(event) = self.outbound.take() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            if let Some(code) = self.outbound.closing() {
                self.is_over = true;
                self.hub.count_closed(code);
                continue;
            }
            let now = Instant::now();
            if now >= self.expires_at {
                self.expire();
                continue;
            }
            if now >= self.next_heartbeat {
                self.next_heartbeat = now + heartbeat_interval;
                return Some(Bytes::from_static(HEARTBEAT));
            }
            let timer = pin!(sleep_until(self.next_heartbeat.min(self.expires_at)));
            tokio::select! {
                () = self.outbound.woken() => {}
                () = timer => {}
            }
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
