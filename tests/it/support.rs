//! What tests share: the gateway under test, its clients, raw sockets, tokens.

mod app;
mod client;
mod raw;
mod token;

pub use app::{Builder, TestApp, within};
pub use client::{Answer, TestClient};
pub use raw::RawConnection;
pub use token::Claims;
