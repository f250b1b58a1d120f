//! One WebSocket after its upgrade: who it is, what it says, when it ends.
//!
//! One task a socket. It reads, keeps the clocks (heartbeat, token, lag) and writes what senders
//! could not write themselves. It has no read buffer of its own while the client is silent.
//!
//! A socket is *awaiting* a first `auth` message, or *open*, or *closing*: the close frame goes out
//! behind what waits, then the sending side is shut, and what the client still says is dropped
//! until it hangs up or `close_timeout` is over. A client that goes away does not cancel the
//! handlers of messages it has sent.

mod clocks;
mod goodbye;
mod request;

use std::{
    future::pending,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::{
    io::Interest,
    time::{Instant, sleep_until},
};

use self::clocks::{Clocks, Due};
pub use self::request::{Credentials, SocketRequest, may_connect_as};
use super::{
    close::CloseCode,
    frame,
    hub::{Connection, Form, Resume, Subscribe, SubscribeError},
    inbound::{self, ClientMessage},
    message::Message,
    outbound::{Drained, Outbound, Outgoing},
    reader::{FrameReader, Incoming, ReadError},
    services::{AuthFailure, Identity, Realtime, Routed, Sender, UnauthenticatedSlot},
    wire::Wire,
};
use mozaiks_auth::Principal;

/// Taken from the socket at once, on the stack.
const READ_BYTES: usize = 4 * 1024;
/// Reads before the socket's other duties get their turn.
const READS_IN_A_ROW: usize = 8;
/// A first `auth` message: a token has at most 8 KiB.
const MAX_AUTH_MESSAGE_BYTES: usize = 16 * 1024;
/// Bytes that the kernel may hold unsent for a socket. More only hides that a client is behind.
const UNSENT_LOW_WATER_BYTES: u32 = 128 * 1024;

impl Realtime {
    /// Serves an upgraded socket until it ends. `leftover` is what arrived together with the
    /// request.
    pub async fn serve_socket(
        self: Arc<Self>,
        socket: Wire,
        leftover: Bytes,
        request: SocketRequest,
    ) {
        tune(&socket);
        let outbound = self.hub.outbound(Some(socket));
        let session = Session {
            clocks: Clocks::new(&self.config, Instant::now()),
            reader: FrameReader::new(self.config.max_message_bytes),
            // A copy: even an empty slice keeps the whole buffer that HTTP was read into.
            unread: Bytes::copy_from_slice(&leftover),
            stage: Stage::Closed,
            running_handlers: Arc::new(AtomicUsize::new(0)),
            outbound,
            realtime: self,
        };
        drop(leftover);
        session.run(request).await;
    }
}

/// Small writes leave at once, and the kernel does not buffer megabytes for a client that is
/// behind. A socket that takes no options is about to fail anyway.
fn tune(socket: &Wire) {
    let options = socket2::SockRef::from(socket.tcp());
    let _ = options.set_tcp_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = options.set_tcp_notsent_lowat(UNSENT_LOW_WATER_BYTES);
}

struct Session {
    realtime: Arc<Realtime>,
    outbound: Arc<Outbound>,
    reader: FrameReader,
    /// Read from the socket, not looked at yet: the client said more behind its token.
    unread: Bytes,
    stage: Stage,
    clocks: Clocks,
    /// Messages of this socket that plugins are handling.
    running_handlers: Arc<AtomicUsize>,
}

/// What the socket may do.
enum Stage {
    /// It has not said who it is.
    Awaiting(Wanted),
    /// Its first token is being verified.
    Verifying(Wanted, Verification),
    /// It is among the receivers.
    Open(Open),
    /// It is not, or not any more.
    Closed,
}

type Verification = BoxFuture<'static, Result<Arc<Principal>, AuthFailure>>;

/// What the socket will be once it has said who it is.
struct Wanted {
    path_user: Option<Arc<str>>,
    form: Form,
    resume: Option<Resume>,
    _slot: Option<UnauthenticatedSlot>,
}

struct Open {
    connection: Arc<Connection>,
    identity: Identity,
    path_user: Option<Arc<str>>,
    /// A newer token is being verified.
    renewal: Option<Verification>,
}

/// Why the read loop stops.
enum End {
    /// A close frame of ours is on its way.
    Closing(CloseCode),
    /// The client is gone.
    HungUp,
}

impl Session {
    async fn run(mut self, request: SocketRequest) {
        let mut wanted = Wanted {
            path_user: request.path_user,
            form: if request.tracked || request.resume.is_some() {
                Form::Tracked
            } else {
                Form::Plain
            },
            resume: request.resume,
            _slot: None,
        };
        match request.credentials {
            Credentials::Verified(identity) => self.open(wanted, identity),
            Credentials::Awaited(slot) => {
                wanted._slot = Some(slot);
                self.reader.set_max_message_bytes(
                    MAX_AUTH_MESSAGE_BYTES.min(self.realtime.config.max_message_bytes),
                );
                self.clocks.await_auth(self.realtime.config.auth_timeout);
                self.stage = Stage::Awaiting(wanted);
            }
        }
        let end = self.serve().await;
        if let Stage::Open(open) = &self.stage {
            self.realtime.hub.unsubscribe(&open.connection);
        }
        self.stage = Stage::Closed;
        if let End::Closing(code) = end {
            self.realtime.hub.count_closed(code);
            goodbye::say(&self.outbound, self.realtime.config.close_timeout).await;
        }
        self.outbound.mark_gone();
    }

    /// Everything until the connection shall end.
    async fn serve(&mut self) -> End {
        let outbound = Arc::clone(&self.outbound);
        let socket = outbound.socket().expect("invariant: made with a socket");
        let mut timer = pin!(sleep_until(self.clocks.next(None)));
        loop {
            let now = Instant::now();
            self.handle_due(now);
            self.take_unread();
            let blocked = match outbound.drain() {
                Ok(drained) => drained == Drained::Blocked,
                Err(_) => return End::HungUp,
            };
            let lag_deadline = outbound.check_lag(now);
            if let Some(code) = outbound.closing() {
                return End::Closing(code);
            }
            let next = self.clocks.next(lag_deadline);
            if timer.deadline() != next {
                timer.as_mut().reset(next);
            }
            let wants_input = self.verification().is_none();
            let interest = match (wants_input, blocked) {
                (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
                (true, false) => Some(Interest::READABLE),
                (false, true) => Some(Interest::WRITABLE),
                (false, false) => None,
            };
            let ready = async {
                match interest {
                    Some(interest) => socket.ready(interest).await,
                    None => pending().await,
                }
            };
            let verified = async {
                match self.verification() {
                    Some(verification) => verification.await,
                    None => pending().await,
                }
            };
            tokio::select! {
                ready = ready => match ready {
                    Ok(ready) if ready.is_readable() && wants_input => {
                        if self.read(socket).is_err() {
                            return End::HungUp;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => return End::HungUp,
                },
                () = outbound.woken() => {}
                () = timer.as_mut() => {}
                result = verified => self.verified(result),
            }
        }
    }

    /// Takes what the socket has, and what it means.
    fn read(&mut self, socket: &Wire) -> io::Result<()> {
        let mut buffer = [0_u8; READ_BYTES];
        for _ in 0..READS_IN_A_ROW {
            let count = match socket.try_read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let mut input = &buffer[..count];
            self.take(&mut input);
            if !input.is_empty() {
                self.unread = Bytes::copy_from_slice(input);
            }
            if self.verification().is_some() || count < READ_BYTES {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Looks at what was put aside while a token was verified.
    fn take_unread(&mut self) {
        if !self.unread.is_empty() && self.verification().is_none() {
            let unread = std::mem::take(&mut self.unread);
            let mut input = &unread[..];
            self.take(&mut input);
            self.unread = Bytes::copy_from_slice(input);
        }
    }

    /// Takes input until it is spent, a token has to be verified first, or the socket closes.
    fn take(&mut self, input: &mut &[u8]) {
        while self.outbound.closing().is_none() && self.verification().is_none() {
            match self.reader.read(input) {
                Ok(Some(incoming)) => self.take_incoming(incoming),
                Ok(None) => return,
                Err(error) => return self.close(code_of(error), &error.to_string()),
            }
        }
        if self.outbound.closing().is_some() {
            *input = &[];
        }
    }

    fn take_incoming(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Ping(payload) => {
                let pong = frame::encode(frame::OP_PONG, &payload);
                self.outbound.send(Outgoing::Own(&pong));
            }
            Incoming::Pong => self.clocks.pong(),
            Incoming::Close(_) => self.close(CloseCode::Normal, ""),
            Incoming::Text(text) => self.take_text(&text),
        }
    }

    fn take_text(&mut self, text: &str) {
        let said = inbound::parse(text);
        match (std::mem::replace(&mut self.stage, Stage::Closed), said) {
            (Stage::Awaiting(wanted), Ok(ClientMessage::Auth { token })) => {
                let verification = self.authenticate(token.into_owned());
                self.stage = Stage::Verifying(wanted, verification);
            }
            (Stage::Awaiting(_), _) => self.close(CloseCode::Unauthorized, "AUTH_REQUIRED"),
            (Stage::Open(mut open), Ok(ClientMessage::Auth { token })) => {
                open.renewal = Some(self.authenticate(token.into_owned()));
                self.stage = Stage::Open(open);
            }
            (Stage::Open(open), said) => {
                self.answer(&open, said, text);
                self.stage = Stage::Open(open);
            }
            (stage @ (Stage::Verifying(..) | Stage::Closed), _) => self.stage = stage,
        }
    }

    /// A message of an open socket other than `auth`.
    fn answer(&self, open: &Open, said: Result<ClientMessage<'_>, inbound::Rejected>, text: &str) {
        let router = &*self.realtime.router;
        if let Some(error) = inbound::over_rate(router, &open.identity.principal, &said) {
            return self.say(&error);
        }
        match said {
            Ok(ClientMessage::Auth { .. }) => {}
            Ok(ClientMessage::Ping) => {
                static PONG: &[u8] = b"\x81\x0f{\"type\":\"pong\"}";
                self.outbound.send(Outgoing::Own(&Bytes::from_static(PONG)));
            }
            Ok(ClientMessage::Other { message_type }) => self.route(open, &message_type, text),
            Err(rejected) => {
                self.say(&inbound::error_message(
                    rejected.error_code,
                    rejected.error,
                    None,
                ));
            }
        }
    }

    fn route(&self, open: &Open, message_type: &str, text: &str) {
        let refuse = |error_code: &str, error: &str| {
            self.say(&inbound::error_message(
                error_code,
                error,
                Some(message_type),
            ));
        };
        if self.running_handlers.load(Ordering::Acquire)
            >= self.realtime.config.max_running_handlers
        {
            return refuse("OVERLOADED", "too many messages are being handled");
        }
        let sender = Sender {
            connection_id: Arc::clone(&open.connection.id),
            principal: Arc::clone(&open.identity.principal),
        };
        match self.realtime.router.route(&sender, message_type, text) {
            Routed::Unknown => refuse("UNKNOWN_MESSAGE_TYPE", "no plugin handles this type"),
            Routed::Refused(failure) => refuse(failure.error_code, &failure.error),
            Routed::Taken(handled) => {
                self.running_handlers.fetch_add(1, Ordering::AcqRel);
                let running = RunningHandler(Arc::clone(&self.running_handlers));
                let connection = Arc::clone(&open.connection);
                let message_type: Box<str> = message_type.into();
                tokio::spawn(async move {
                    let result = handled.await;
                    drop(running);
                    if let Err(failure) = result {
                        let error = inbound::error_message(
                            failure.error_code,
                            &failure.error,
                            Some(&message_type),
                        );
                        connection.send_untracked(&error);
                    }
                });
            }
        }
    }

    fn authenticate(&self, token: String) -> Verification {
        self.realtime.authenticator.authenticate(token)
    }

    /// The token being verified, for the first time or again.
    fn verification(&mut self) -> Option<&mut Verification> {
        match &mut self.stage {
            Stage::Verifying(_, verification) => Some(verification),
            Stage::Open(open) => open.renewal.as_mut(),
            Stage::Awaiting(_) | Stage::Closed => None,
        }
    }

    fn verified(&mut self, result: Result<Arc<Principal>, AuthFailure>) {
        let result = result.map(|principal| self.realtime.identity_of(&principal));
        let stage = std::mem::replace(&mut self.stage, Stage::Closed);
        match (stage, result) {
            (Stage::Verifying(wanted, _), Ok(identity)) => self.open(wanted, identity),
            (Stage::Open(mut open), Ok(identity)) => {
                open.renewal = None;
                self.renew(&mut open, identity);
                self.stage = Stage::Open(open);
            }
            (stage, Err(failure)) => {
                self.close(failure.close, failure.error_code);
                // An open socket stays one until it is taken out of the hub.
                if let Stage::Open(_) = stage {
                    self.stage = stage;
                }
            }
            (stage @ (Stage::Awaiting(_) | Stage::Closed), Ok(_)) => self.stage = stage,
        }
    }

    fn open(&mut self, wanted: Wanted, identity: Identity) {
        self.clocks.authenticated();
        self.reader
            .set_max_message_bytes(self.realtime.config.max_message_bytes);
        if !may_connect_as(&identity, wanted.path_user.as_deref()) {
            return self.close(CloseCode::Forbidden, "FORBIDDEN");
        }
        let principal = &identity.principal;
        let user_id = wanted.path_user.as_ref().unwrap_or(&principal.user_id);
        let subscribed = self.realtime.hub.subscribe(Subscribe {
            app_id: Arc::clone(&principal.app_id),
            user_id: Arc::clone(user_id),
            form: wanted.form,
            resume: wanted.resume,
            outbound: Arc::clone(&self.outbound),
        });
        match subscribed {
            Ok(connection) => {
                self.clocks.expire_at(identity.valid_until);
                self.stage = Stage::Open(Open {
                    connection,
                    identity,
                    path_user: wanted.path_user,
                    renewal: None,
                });
            }
            Err(SubscribeError::TooMany) => self.close(CloseCode::TooMany, "LIMIT_EXCEEDED"),
            Err(SubscribeError::ShuttingDown) => {
                self.close(CloseCode::GoingAway, "the gateway is shutting down");
            }
        }
    }

    /// Goes on with a newer token, if it is the same user's.
    fn renew(&mut self, open: &mut Open, identity: Identity) {
        let (old, new) = (&open.identity.principal, &identity.principal);
        let same_user = old.app_id == new.app_id && old.user_id == new.user_id;
        if !same_user || !may_connect_as(&identity, open.path_user.as_deref()) {
            return self.close(CloseCode::Forbidden, "FORBIDDEN");
        }
        self.clocks.expire_at(identity.valid_until);
        open.identity = identity;
    }

    fn handle_due(&mut self, now: Instant) {
        match self.clocks.due(now) {
            None => {}
            Some(Due::Auth) => self.close(CloseCode::Unauthorized, "AUTH_REQUIRED"),
            Some(Due::Expiry) => self.close(CloseCode::Unauthorized, "TOKEN_EXPIRED"),
            Some(Due::Pong) => self.close(CloseCode::TooSlow, "no pong"),
            // Behind a backlog a ping would measure the backlog, and that has a limit of its own.
            Some(Due::Ping) if self.outbound.has_backlog() => self.clocks.put_off_ping(now),
            Some(Due::Ping) => {
                let ping = Bytes::from_static(&[0x80 | frame::OP_PING, 0]);
                self.outbound.send(Outgoing::Own(&ping));
                self.clocks.pinged(now);
            }
        }
    }

    fn say(&self, message: &Arc<Message>) {
        self.outbound.send(Outgoing::Shared(message));
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.outbound.close(code, reason);
    }
}

/// Counts down when the handler ends, however it ends.
struct RunningHandler(Arc<AtomicUsize>);

impl Drop for RunningHandler {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn code_of(error: ReadError) -> CloseCode {
    match error {
        ReadError::Protocol(_) => CloseCode::Protocol,
        ReadError::Binary => CloseCode::Unsupported,
        ReadError::InvalidText => CloseCode::InvalidText,
        ReadError::TooLarge(_) => CloseCode::TooLarge,
    }
}

#[cfg(test)]
mod tests;
