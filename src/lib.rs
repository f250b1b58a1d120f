//! mozaiks-gateway: runs Python plugins for apps.
//!
//! The module map; who may use whom is in `docs/ARCHITECTURE.md` and kept by a test.

pub mod app;
pub mod cli;
pub mod http;
mod refusals;
pub mod server;
