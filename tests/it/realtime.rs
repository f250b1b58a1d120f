//! Live connections through the real gateway.

mod close_codes;
mod handshake;
mod isolation;
mod load;
mod messages;
mod protocol;
mod recovery;
mod socket;
mod stream;

use super::support::{self, Claims, TestApp};
use socket::Socket;

/// A gateway with the plugin `live`, with many apps where `app_id` is `*`.
fn gateway() -> support::Builder {
    let sdk = concat!(env!("CARGO_MANIFEST_DIR"), "/python-sdk");
    TestApp::builder()
        .plugins(&["live"])
        .env("MOZAIKS_SDK_PATH", sdk)
}

fn of_app(app: &str, user: &str) -> Claims {
    Claims::user(user).with("app_id", app)
}
