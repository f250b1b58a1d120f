//! Writes that may be sent twice and happen once.
//!
//! Drivers do not retry forwarded commands, so this does what they do for their own: on servers
//! that remember (replica sets, sharded clusters) a retryable write carries a session and a number;
//! when the connection fails, it is sent once more with the same number. The server then tells
//! whether it had done it already. On other servers a write whose fate is unknown is not repeated.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use mongodb::{Client, ClientSession};
use parking_lot::Mutex;

/// Sessions idle this long are given up; the driver does not reuse them then either, so that its
/// own numbering never meets this one.
const GIVE_UP_AFTER: Duration = Duration::from_secs(29 * 60);

/// Numbers start above those that the driver may have given the same session before.
const FIRST_NUMBER: i64 = 1 << 40;

/// A session whose writes are numbered here.
pub(super) struct NumberedSession {
    // `Some` until the session is given back or left behind.
    session: Option<ClientSession>,
    /// The number of the write it is for.
    pub(super) number: i64,
    used: Instant,
}

impl NumberedSession {
    /// The driver's session.
    pub(super) fn session(&mut self) -> Option<&mut ClientSession> {
        self.session.as_mut()
    }

    /// Lets go of a session that met a network error: the driver has marked it and drops it.
    pub(super) fn give_up(mut self) {
        self.session = None;
    }
}

impl Drop for NumberedSession {
    fn drop(&mut self) {
        // A write that was abandoned half-way leaves a session that the driver would reuse with
        // numbers the server has seen; leaking it (about a kilobyte) is the only way to keep it.
        if let Some(session) = self.session.take() {
            std::mem::forget(session);
        }
    }
}

/// Sessions between two writes; at most as many as there were writes at once.
#[derive(Default)]
pub(super) struct NumberedSessions {
    // The most recently used is on top, so that the others can grow old.
    idle: Mutex<Vec<NumberedSession>>,
    allowed: AtomicBool,
}

impl NumberedSessions {
    /// Whether the server remembers numbered writes.
    pub(super) fn allow(&self, allowed: bool) {
        self.allowed.store(allowed, Ordering::Relaxed);
    }

    /// Whether the server remembers numbered writes, that is, is more than a single server.
    pub(super) fn is_allowed(&self) -> bool {
        self.allowed.load(Ordering::Relaxed)
    }

    /// A session with a fresh number, where the server remembers.
    pub(super) async fn next(&self, client: &Client) -> Option<NumberedSession> {
        if !self.is_allowed() {
            return None;
        }
        if let Some(mut session) = self.reuse() {
            session.number += 1;
            return Some(session);
        }
        let session = client
            .start_session()
            .causal_consistency(false)
            .await
            .ok()?;
        Some(NumberedSession {
            session: Some(session),
            number: FIRST_NUMBER,
            used: Instant::now(),
        })
    }

    /// Takes a session back after its write was answered.
    pub(super) fn put_back(&self, mut session: NumberedSession) {
        session.used = Instant::now();
        self.idle.lock().push(session);
    }

    fn reuse(&self) -> Option<NumberedSession> {
        let mut idle = self.idle.lock();
        // The oldest are at the bottom.
        let old = idle.partition_point(|session| session.used.elapsed() >= GIVE_UP_AFTER);
        for session in idle.drain(..old) {
            session.give_up();
        }
        idle.pop()
    }
}

impl Drop for NumberedSessions {
    fn drop(&mut self) {
        // The client goes too, and with it all that could reuse these.
        for session in self.idle.get_mut().drain(..) {
            session.give_up();
        }
    }
}
