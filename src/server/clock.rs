//! When a connection has waited long enough.
//!
//! One clock a connection, shared by its socket (which sees bytes), its service (which sees
//! requests) and the answers' bodies (which see their end, on HTTP/2 from other tasks). It only keeps
//! time; [`super::guarded_io`] acts on it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// The moments of one connection, in milliseconds since it was accepted.
pub(super) struct ConnectionClock {
    accepted: Instant,
    header_timeout: Duration,
    idle_timeout: Duration,
    /// Requests being answered: while there are any, the connection is not waited for.
    in_flight: AtomicU32,
    /// When the head being read began, plus one; 0 while none is.
    head_since_ms: AtomicU64,
    /// When the last answer ended.
    idle_since_ms: AtomicU64,
    /// HTTP/2: bytes need not belong to a request.
    multiplexed: AtomicBool,
    /// A WebSocket now, with time limits of its own.
    upgraded: AtomicBool,
    /// HTTP/2: pieces of answers that the client has not taken yet, by the moment each was ready and a
    /// number that tells equals apart. Held for one insertion, removal or look.
    untaken: Mutex<BTreeSet<(u64, u64)>>,
    next_piece: AtomicU64,
    /// The server is closing connections that have nothing to answer.
    draining: AtomicBool,
}

/// What a connection is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The rest of a request's head, or the very first byte.
    Head,
    /// The next request.
    NextRequest,
    /// That the client takes an answer: it may keep its flow-control window shut.
    Taking,
}

impl ConnectionClock {
    /// A connection just accepted: its first head is due.
    pub(super) fn new(header_timeout: Duration, idle_timeout: Duration) -> Self {
        Self {
            accepted: Instant::now(),
            header_timeout,
            idle_timeout,
            in_flight: AtomicU32::new(0),
            head_since_ms: AtomicU64::new(1),
            idle_since_ms: AtomicU64::new(0),
            multiplexed: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            untaken: Mutex::default(),
            next_piece: AtomicU64::new(0),
            draining: AtomicBool::new(false),
        }
    }

    /// Bytes have come. Whether they are the first of a head.
    pub(super) fn bytes_arrived(&self) -> bool {
        if self.is_busy() || self.multiplexed.load(Ordering::Relaxed) {
            return false;
        }
        let begins = self.head_since_ms.load(Ordering::Relaxed) == 0;
        if begins {
            self.head_since_ms
                .store(self.now_ms() + 1, Ordering::Relaxed);
        }
        begins
    }

    /// A whole head has come.
    pub(super) fn request_started(&self, is_http2: bool) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        self.head_since_ms.store(0, Ordering::Relaxed);
        if is_http2 {
            self.multiplexed.store(true, Ordering::Relaxed);
        }
    }

    /// An answer has ended, or its client has gone. The moment is stored before the count falls, so
    /// that nobody sees an idle connection with an old moment.
    pub(super) fn request_ended(&self) {
        self.idle_since_ms.store(self.now_ms(), Ordering::Release);
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    /// A piece of an answer on HTTP/2 is ready; it counts as untaken until the guard is dropped.
    pub(super) fn piece_ready(self: &Arc<Self>) -> Untaken {
        let number = self.next_piece.fetch_add(1, Ordering::Relaxed);
        let piece = (self.now_ms(), number);
        self.untaken.lock().insert(piece);
        Untaken {
            clock: Arc::clone(self),
            piece,
        }
    }

    /// The connection speaks WebSocket from now on.
    pub(super) fn upgraded(&self) {
        self.upgraded.store(true, Ordering::Release);
    }

    /// From now on nothing is waited for but running answers.
    pub(super) fn start_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the server ends.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether the connection should end now because the server does.
    pub(super) fn must_end(&self) -> bool {
        self.is_draining() && !self.is_busy() && !self.multiplexed.load(Ordering::Relaxed)
    }

    /// Whether no request is being answered, on HTTP/1.
    pub(super) fn is_between_requests(&self) -> bool {
        !self.is_busy() && !self.multiplexed.load(Ordering::Relaxed)
    }

    /// How long ago the head being read began.
    pub(super) fn head_age(&self) -> Duration {
        match self.head_since_ms.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis(self.now_ms().saturating_sub(since - 1)),
        }
    }

    /// What is waited for and until when; `None` while an answer is due from us.
    pub(super) fn deadline(&self) -> Option<(Waiting, Instant)> {
        let taking = self.untaken.lock().first().map(|(since_ms, _)| {
            let ready = self.accepted + Duration::from_millis(*since_ms);
            (Waiting::Taking, ready + self.idle_timeout)
        });
        match (taking, self.bytes_deadline()) {
            (Some(taking), Some(bytes)) if bytes.1 < taking.1 => Some(bytes),
            (None, bytes) => bytes,
            (taking, _) => taking,
        }
    }

    fn bytes_deadline(&self) -> Option<(Waiting, Instant)> {
        if self.is_busy() {
            return None;
        }
        let head_since = self.head_since_ms.load(Ordering::Relaxed);
        Some(if head_since > 0 {
            let began = self.accepted + Duration::from_millis(head_since - 1);
            (Waiting::Head, began + self.header_timeout)
        } else {
            let idle_since = self.idle_since_ms.load(Ordering::Acquire);
            let began = self.accepted + Duration::from_millis(idle_since);
            (Waiting::NextRequest, began + self.idle_timeout)
        })
    }

    fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) > 0 || self.upgraded.load(Ordering::Acquire)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.accepted.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

/// A piece of an answer that its client has not taken.
pub(super) struct Untaken {
    clock: Arc<ConnectionClock>,
    piece: (u64, u64),
}

impl Drop for Untaken {
    fn drop(&mut self) {
        self.clock.untaken.lock().remove(&self.piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(75);

    #[tokio::test(start_paused = true)]
    async fn heads_are_due_from_their_first_byte_and_idling_from_the_last_answer() {
        let accepted = Instant::now();
        let clock = ConnectionClock::new(HEAD, IDLE);
        assert_eq!(clock.deadline(), Some((Waiting::Head, accepted + HEAD)));
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(
            !clock.bytes_arrived(),
            "the first head began when the connection did"
        );
        assert_eq!(clock.deadline(), Some((Waiting::Head, accepted + HEAD)));

        clock.request_started(false);
        assert_eq!(clock.deadline(), None);
        assert!(!clock.bytes_arrived(), "a body's bytes begin no head");
        clock.request_ended();
        let idle_since = Instant::now();
        assert_eq!(
            clock.deadline(),
            Some((Waiting::NextRequest, idle_since + IDLE))
        );

        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(clock.bytes_arrived());
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(!clock.bytes_arrived(), "more bytes buy no more time");
        let began = idle_since + Duration::from_secs(60);
        assert_eq!(clock.deadline(), Some((Waiting::Head, began + HEAD)));
    }

    #[tokio::test(start_paused = true)]
    async fn frames_on_http2_buy_no_time() {
        let clock = ConnectionClock::new(HEAD, IDLE);
        clock.request_started(true);
        clock.request_ended();
        let deadline = clock.deadline();
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(!clock.bytes_arrived());
        assert_eq!(clock.deadline(), deadline);
    }

    #[tokio::test(start_paused = true)]
    async fn an_upgraded_connection_is_left_alone() {
        let clock = ConnectionClock::new(HEAD, IDLE);
        clock.request_started(false);
        clock.upgraded();
        clock.request_ended();
        assert_eq!(clock.deadline(), None);
        clock.start_draining();
        assert!(!clock.must_end());
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_nobody_takes_are_due_however_busy_the_connection_is() {
        let accepted = Instant::now();
        let clock = Arc::new(ConnectionClock::new(HEAD, IDLE));
        clock.request_started(true);
        assert_eq!(clock.deadline(), None);
        tokio::time::advance(Duration::from_secs(5)).await;
        let first = clock.piece_ready();
        tokio::time::advance(Duration::from_secs(5)).await;
        let second = clock.piece_ready();
        let due = |seconds| {
            Some((
                Waiting::Taking,
                accepted + Duration::from_secs(seconds) + IDLE,
            ))
        };
        assert_eq!(clock.deadline(), due(5));
        drop(first);
        assert_eq!(clock.deadline(), due(10));
        drop(second);
        assert_eq!(clock.deadline(), None);
    }
}
