//! Builds every part once and joins them.
//!
//! [`run`] makes the parts that [`crate::http::App`] holds and sees them through their life: start,
//! serve, drain, end.

mod announcer;
mod database;
mod followers;
mod host;
mod host_realtime;
mod life;
mod recorder;
mod run;

pub use host::{Host, HostPart};
pub use run::{run, run_with};
