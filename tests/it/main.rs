//! The gateway as its users meet it: every test starts the real binary.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test with what went wrong"
)]

mod commands;
mod connections;
mod data;
mod database;
mod demo;
mod dependencies;
mod drain;
mod environment;
mod error_table;
mod errors;
mod execute;
mod handlers;
mod hostile;
mod life;
mod load;
mod logs;
mod notifications;
mod operations;
mod origins;
mod realtime;
mod schemas;
mod support;
mod tokens;
