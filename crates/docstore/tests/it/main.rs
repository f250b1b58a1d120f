//! The store through the official driver: a real server, a temporary directory, a unix socket.

mod support;

mod auth;
mod bulk;
mod change_streams;
mod crash;
mod crud;
mod cursors;
mod differential;
mod durability;
mod indexes;
mod large;
mod limits;
mod naive;
mod options;
mod transactions;
mod wire;
