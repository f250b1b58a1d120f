//! The gateway as its users meet it: every test starts the real binary.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test with what went wrong"
)]

mod connections;
mod data;
mod dependencies;
mod drain;
mod errors;
mod execute;
mod notifications;
mod operations;
mod origins;
mod realtime;
mod support;
