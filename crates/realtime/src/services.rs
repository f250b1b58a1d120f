//! What live connections need from the rest of the gateway, and the one value that holds it all.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{close::CloseCode, hub::Hub, tickets::Tickets};
use mozaiks_auth::Principal;
use mozaiks_config::RealtimeConfig;

/// A verified user and how long the verification holds.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Who it is.
    pub principal: Arc<Principal>,
    /// When the token stops being good; the connection is closed with 4401 then.
    pub valid_until: Instant,
}

/// Why a token was not accepted on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthFailure {
    /// The contract's `error_code`; becomes the close frame's reason.
    pub error_code: &'static str,
    /// [`CloseCode::Unauthorized`] or [`CloseCode::Forbidden`].
    pub close: CloseCode,
}

/// Checks tokens that arrive on a connection.
pub trait Authenticator: Send + Sync + 'static {
    /// Verifies a token. May take as long as fetching keys takes.
    fn authenticate(
        &self,
        token: String,
    ) -> BoxFuture<'static, Result<Arc<Principal>, AuthFailure>>;

    /// A verified user with the moment at which its token ends.
    fn identity_of(&self, principal: &Arc<Principal>) -> Identity;
}

/// Who sent a message.
#[derive(Debug, Clone)]
pub struct Sender {
    /// The connection; plugins may answer to it.
    pub connection_id: Arc<str>,
    /// The user behind it: what the token said, never what the message says.
    pub principal: Arc<Principal>,
}

/// Why a message's handler did not run to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteFailure {
    /// The contract's `error_code`.
    pub error_code: &'static str,
    /// What may be told to the client.
    pub error: String,
}

/// What became of a client's message.
pub enum Routed {
    /// No plugin handles this type.
    Unknown,
    /// It is with its handlers, in the order of arrival; the future ends when they have.
    Taken(BoxFuture<'static, Result<(), RouteFailure>>),
    /// It was not taken.
    Refused(RouteFailure),
}

/// Brings messages of clients to the plugins that handle their type.
pub trait MessageRouter: Send + Sync + 'static {
    /// Counts a message of a user, other than a ping.
    ///
    /// # Errors
    /// What the client is told where the user sends too many; the message goes nowhere then.
    fn count(&self, sender: &Principal) -> Result<(), RouteFailure>;

    /// Hands over one message, a JSON object with this `type`. Must not block.
    fn route(&self, sender: &Sender, message_type: &str, message: &str) -> Routed;
}

/// Everything that serves live connections.
pub struct Realtime {
    /// Who is connected.
    pub hub: Arc<Hub>,
    /// Single-use credentials for browsers.
    pub tickets: Tickets,
    /// Limits.
    pub config: Arc<RealtimeConfig>,
    pub(super) authenticator: Arc<dyn Authenticator>,
    pub(super) router: Arc<dyn MessageRouter>,
    /// Sockets that may be open without having said who they are.
    unauthenticated: Arc<Semaphore>,
}

/// A place for a socket that has not said who it is.
#[derive(Debug)]
pub struct UnauthenticatedSlot(
    #[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit,
);

impl Realtime {
    /// Joins the parts.
    pub fn new(
        hub: Arc<Hub>,
        config: Arc<RealtimeConfig>,
        authenticator: Arc<dyn Authenticator>,
        router: Arc<dyn MessageRouter>,
    ) -> Arc<Self> {
        Arc::new(Self {
            hub,
            tickets: Tickets::new(&config),
            unauthenticated: Arc::new(Semaphore::new(config.max_unauthenticated)),
            config,
            authenticator,
            router,
        })
    }

    /// A verified user with the moment at which its token ends.
    pub fn identity_of(&self, principal: &Arc<Principal>) -> Identity {
        self.authenticator.identity_of(principal)
    }

    /// A place for a socket without credentials; `None` where too many are open.
    pub fn unauthenticated_slot(&self) -> Option<UnauthenticatedSlot> {
        let permit = Arc::clone(&self.unauthenticated).try_acquire_owned().ok()?;
        Some(UnauthenticatedSlot(permit))
    }
}
