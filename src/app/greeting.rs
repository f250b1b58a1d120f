//! What whoever has started the gateway is told first.

use std::{io::Write as _, net::SocketAddr};

use anyhow::Context as _;

use crate::http::{App, page_of};
use mozaiks_auth::signer::{dev_curl_line, dev_page_url};
use mozaiks_config::AuthConfig;

/// The one line on stdout, for whoever has started the process.
#[expect(clippy::print_stdout, reason = "the contract's ready line")]
pub(super) fn announce(address: SocketAddr) -> anyhow::Result<()> {
    println!("listening on http://{address}");
    std::io::stdout().flush().context("cannot write to stdout")
}

/// What to try first, each with a token that works: a command, and the pages that plugins have. With
/// public keys there is nothing to sign with, and nothing to show.
pub(super) fn invite(app: &App, auth: &AuthConfig, address: SocketAddr) {
    if let Ok(line) = dev_curl_line(auth, address) {
        eprintln!("try it: {line}");
    }
    for plugin in app.registry.list() {
        if let Some(path) = page_of(app, &plugin.name)
            && let Ok(url) = dev_page_url(auth, address, &path)
        {
            eprintln!("open it: {url}");
        }
    }
}
