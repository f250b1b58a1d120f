//! Live connections: who is connected, what reaches them, what they missed.
//!
//! Knows sockets and bytes, not HTTP routes: `http` upgrades a request and hands the stream over
//! here. Tokens are checked through [`Authenticator`], messages of clients go to plugins through
//! [`MessageRouter`], presence is told to [`PresenceSink`]; `app` injects all three. Nothing that
//! belongs to one `app_id` is ever reached from another.

mod budget;
pub mod close;
mod frame;
pub mod hub;
mod inbound;
pub mod message;
mod outbound;
mod random;
pub mod reader;
mod ring;
pub mod services;
pub mod socket;
pub mod stream;
pub mod tickets;
pub mod wire;

#[cfg(test)]
mod testing;

pub use close::CloseCode;
pub use hub::{GroupError, Hub, HubStats, PresenceSink, Resume};
pub use message::{Message, MessageError};
pub use services::{
    AuthFailure, Authenticator, Identity, MessageRouter, Realtime, RouteFailure, Routed, Sender,
};
pub use tickets::{TicketError, Tickets};
pub use wire::Wire;
