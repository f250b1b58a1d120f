//! The store through the official driver: a real server, a temporary directory, a unix socket.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests fail as tests do"
)]

mod support;

mod auth;
mod bulk;
mod change_streams;
mod covered;
mod crash;
mod crud;
mod cursors;
mod differential;
mod durability;
mod faulty_disk;
mod indexes;
mod joins;
mod large;
mod limits;
mod memory;
mod naive;
mod options;
mod reports;
mod spilling;
mod transactions;
mod wire;
