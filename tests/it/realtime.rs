//! Live connections through the real gateway.

mod close_codes;
mod handshake;
mod isolation;
mod load;
mod messages;
mod protocol;
mod rates;
mod recovery;
mod socket;
mod stream;

use super::support::{self, Claims, TestApp, TestCertificate};
pub use socket::Socket;

/// A gateway with the plugin `live`.
fn gateway() -> support::Builder {
    TestApp::builder().plugins(&["live"])
}

/// What holds for a socket holds over TLS: without a certificate, and with one.
fn both() -> [Option<TestCertificate>; 2] {
    [None, Some(TestCertificate::new())]
}

fn of_app(app: &str, user: &str) -> Claims {
    Claims::user(user).with("app_id", app)
}
