//! What tests share: the gateway under test, its clients, raw sockets, tokens.

mod app;
mod client;
mod docstore;
mod raw;
mod tls;
mod token;

pub use app::{Builder, TestApp, program, python, within};
pub use client::{Answer, TestClient};
pub use docstore::DocstoreProcess;
pub use raw::RawConnection;
pub use tls::{Over, Stream, TestCertificate, connect};
pub use token::{Claims, SECRET, hs256};
