//! Builds every part once and joins them.
//!
//! [`run`] makes the parts that [`crate::http::App`] holds and sees them through their life: start,
//! serve, drain, end.

mod announcer;
mod database;
mod embedded;
mod followers;
mod host;
mod life;
mod loop_holders;
mod plugin_cache;
mod presence;
mod recorder;
mod run;
mod socket_tokens;

pub use embedded::READY as STORE_READY;
pub use host::{Host, HostPart};
pub use run::{run, run_with};
