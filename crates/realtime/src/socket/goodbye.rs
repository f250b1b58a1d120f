//! The end of a socket: what waits, the close frame, and enough patience for both to arrive.

use std::{io, time::Duration};

use tokio::{
    io::Interest,
    time::{Instant, timeout_at},
};

use super::READ_BYTES;
use crate::{
    outbound::{Drained, Outbound},
    wire::Wire,
};

/// Writes what waits and the close frame behind it, then waits for the client to hang up.
pub(super) async fn say(outbound: &Outbound, patience: Duration) {
    let Some(socket) = outbound.socket() else {
        return;
    };
    let deadline = Instant::now() + patience;
    let written = async {
        if !flush(outbound, socket).await {
            return false;
        }
        socket.announce_end();
        flush(outbound, socket).await
    };
    if timeout_at(deadline, written).await != Ok(true) {
        // A client that takes nothing.
        socket.forget_unsent();
        return;
    }
    // Hanging up at once, with input unread, would destroy the close frame on its way.
    socket.shut_sending();
    let _ = timeout_at(deadline, drop_input(socket)).await;
}

/// `true` once everything is written.
async fn flush(outbound: &Outbound, socket: &Wire) -> bool {
    loop {
        match outbound.drain() {
            Ok(Drained::Empty) => return true,
            Ok(Drained::Blocked) => {}
            Err(_) => return false,
        }
        // Input is dropped meanwhile: the client may be unable to read until it has written.
        let Ok(ready) = socket.ready(Interest::READABLE | Interest::WRITABLE).await else {
            return false;
        };
        if ready.is_readable() && matches!(discard(socket), Ok(Discarded::HungUp) | Err(_)) {
            return false;
        }
    }
}

async fn drop_input(socket: &Wire) {
    while socket.readable().await.is_ok() {
        if matches!(discard(socket), Ok(Discarded::HungUp) | Err(_)) {
            return;
        }
    }
}

enum Discarded {
    Nothing,
    Something,
    HungUp,
}

fn discard(socket: &Wire) -> io::Result<Discarded> {
    let mut buffer = [0_u8; READ_BYTES];
    match socket.try_read(&mut buffer) {
        Ok(0) => Ok(Discarded::HungUp),
        Ok(_) => Ok(Discarded::Something),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Discarded::Nothing),
        Err(error) => Err(error),
    }
}
