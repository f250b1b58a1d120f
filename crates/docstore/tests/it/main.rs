//! The store through the official driver: a real server, a temporary directory, a unix socket.

mod support;

mod auth;
mod bulk;
mod change_streams;
mod crash;
mod crud;
mod cursors;
mod durability;
mod indexes;
mod limits;
mod transactions;
mod wire;
