//! Builds every part once and joins them.
//!
//! [`run`] makes the parts that [`crate::http::App`] holds and sees them through their life: start,
//! serve, drain, end.

mod announcer;
mod database;
mod drain;
mod embedded;
mod followers;
mod greeting;
mod host;
mod invite;
mod life;
mod loop_holders;
mod migrations;
mod part_calls;
mod plugin_cache;
mod presence;
mod recorder;
mod requirements;
mod run;
mod socket_tokens;
mod stored;
mod usage;

pub use crate::server::tls::Pair as TlsPair;
pub use embedded::READY as STORE_READY;
pub use host::{Host, HostPart};
pub use run::{run, run_with};
