//! Entities and migrations of plugins: what a plugin's tree says of them, the machine that runs migrations,
//! and which collections are whose.
//!
//! Knows neither HTTP nor Python: a migration of Python's is a call like any other, and whoever asks has been
//! checked by the caller.

mod access;
mod allowed;
pub mod commands;
pub mod defaults;
pub mod definition;
pub mod error;
mod extended;
pub mod machine;
pub mod migration;
mod repository;
pub mod rows;
pub mod running;
pub mod subject;
pub mod tables;
pub mod tree;
pub mod types;

pub use repository::COLLECTIONS;
