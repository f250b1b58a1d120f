//! The gateway as its users meet it: every test starts the real binary.

mod connections;
mod dependencies;
mod drain;
mod errors;
mod execute;
mod operations;
mod origins;
mod support;
