//! What whoever has started the gateway is told first.

use std::{io::Write as _, net::SocketAddr};

use anyhow::Context as _;

/// The one line on stdout, for whoever has started the process.
#[expect(clippy::print_stdout, reason = "the contract's ready line")]
pub(super) fn announce(scheme: &str, address: SocketAddr) -> anyhow::Result<()> {
    println!("listening on {scheme}://{address}");
    std::io::stdout().flush().context("cannot write to stdout")
}
