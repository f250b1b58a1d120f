//! mozaiks-gateway: runs Python plugins for apps.
//!
//! The module map; who may use whom is in `docs/ARCHITECTURE.md` and kept by a test.

pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod events;
pub mod http;
pub mod json_text;
pub mod notifications;
pub mod plugins;
pub mod python;
pub mod realtime;
pub mod server;
pub mod settings;
pub mod store;
pub mod telemetry;
