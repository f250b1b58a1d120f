//! What waits to be sent on one connection.
//!
//! A connection that keeps up has nothing here: its frames are written to the socket by whoever
//! sends them, several in one piece where they come faster than sockets are written. Only what the
//! socket does not take at once is queued, small frames joined into one block, large ones shared
//! with the other receivers. The queue has a limit of its own and a share of a limit for all
//! connections; past either the connection is closed as too slow, and nobody else notices.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::{budget::Budget, close::CloseCode, frame, message::Message, wire::Wire};
use mozaiks_config::RealtimeConfig;

/// Frames up to this size are copied into the block at the queue's end.
const JOIN_UP_TO_BYTES: usize = 2 * 1024;
/// A joined block's size.
const BLOCK_BYTES: usize = 16 * 1024;
/// Bookkeeping of one entry of the queue, charged beside its bytes.
const ENTRY_BYTES: usize = 64;
/// Pieces given to the kernel at once.
const MAX_SLICES: usize = 32;

/// What the queues of all connections share.
#[derive(Debug)]
pub(super) struct Queues {
    /// What may wait for one connection, in bytes and time.
    pub(super) limit_bytes: usize,
    pub(super) max_lag: Duration,
    /// Bytes waiting for all connections.
    pub(super) budget: Budget,
    /// Writes that sockets were given since start.
    pub(super) writes: AtomicU64,
}

impl Queues {
    pub(super) fn new(config: &RealtimeConfig) -> Arc<Self> {
        Arc::new(Self {
            limit_bytes: config.queue_bytes,
            max_lag: config.max_lag,
            budget: Budget::new(config.budget_bytes),
            writes: AtomicU64::new(0),
        })
    }

    fn count_write(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }
}

/// The sending side of one connection.
#[derive(Debug)]
pub(super) struct Outbound {
    /// The socket that senders write to; `None` for an event stream, which takes from the queue.
    socket: Option<Wire>,
    queues: Arc<Queues>,
    /// Held while bytes go to the socket, so that frames never mix. Never across an await.
    state: Mutex<State>,
    /// Wakes the connection's own task: something waits, or the connection shall end.
    wake: Notify,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Entry>,
    /// How much of the first entry the socket has taken.
    head_written: usize,
    /// Bytes charged for this connection, bookkeeping included.
    charged_bytes: usize,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The last frame is queued; nothing follows.
    Closing(CloseCode),
    /// The socket is gone.
    Gone,
}

#[derive(Debug)]
struct Entry {
    bytes: Piece,
    queued_at: Instant,
    charge_bytes: usize,
}

/// Whole frames; an entry's end is always a frame's end.
#[derive(Debug)]
enum Piece {
    Joined(Vec<u8>),
    Shared(Arc<Message>),
    Own(Bytes),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Joined(bytes) => bytes,
            Self::Shared(message) => message.frame(),
            Self::Own(bytes) => bytes,
        }
    }
}

/// What is sent: a frame that others receive too, or one that is this connection's own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outgoing<'a> {
    Shared(&'a Arc<Message>),
    Own(&'a Bytes),
}

impl Outgoing<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(message) => message.frame(),
            Self::Own(bytes) => bytes,
        }
    }
}

/// How far [`Outbound::drain`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drained {
    /// Nothing waits.
    Empty,
    /// The socket takes no more for now.
    Blocked,
}

impl Outbound {
    pub(super) fn new(socket: Option<Wire>, queues: Arc<Queues>) -> Arc<Self> {
        Arc::new(Self {
            socket,
            queues,
            state: Mutex::new(State {
                queue: VecDeque::new(),
                head_written: 0,
                charged_bytes: 0,
                phase: Phase::Open,
            }),
            wake: Notify::new(),
        })
    }

    pub(super) fn socket(&self) -> Option<&Wire> {
        self.socket.as_ref()
    }

    /// Writes or queues a frame, or several in one piece. `false` where the connection is ending or
    /// just fell too far behind.
    pub(super) fn send(&self, outgoing: Outgoing<'_>) -> bool {
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return false;
        }
        let frame = outgoing.bytes();
        let mut written = 0;
        let was_empty = state.queue.is_empty();
        if was_empty && let Some(socket) = &self.socket {
            self.queues.count_write();
            match socket.try_write(frame) {
                Ok(count) if count == frame.len() => {
                    if socket.holds_output() {
                        // The connection's own task gives it to the kernel once that takes more.
                        self.wake.notify_one();
                    }
                    return true;
                }
                Ok(count) => written = count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    self.abandon(&mut state);
                    return false;
                }
            }
        }
        if !self.enqueue(&mut state, outgoing, written) {
            // A frame that was begun must be ended, or the close behind it could not be read.
            let end = frame::end_of_begun(frame, written);
            let rest = (written < end).then(|| frame[written..end].to_vec());
            self.fall_behind(&mut state, rest, "too far behind");
            return false;
        }
        if was_empty {
            // Who waits for the socket to take more finds what is queued behind by itself.
            state.head_written = written;
            self.wake.notify_one();
        }
        true
    }

    /// Ends the connection with a close frame after what waits already. The first call counts.
    pub(super) fn close(&self, code: CloseCode, reason: &str) {
        let mut state = self.state.lock();
        if state.phase == Phase::Open {
            self.finish(&mut state, code, reason);
        }
    }

    /// Ends the connection where the oldest waiting frame is older than allowed; else says when it
    /// will be.
    pub(super) fn check_lag(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state.lock();
        let deadline = state.queue.front()?.queued_at + self.queues.max_lag;
        if state.phase != Phase::Open {
            return None;
        }
        if now < deadline {
            return Some(deadline);
        }
        self.fall_behind(&mut state, None, "too far behind");
        None
    }

    /// Writes what waits, as much in one go as the socket takes.
    ///
    /// # Errors
    /// The socket's error; the connection is over then.
    pub(super) fn drain(&self) -> io::Result<Drained> {
        let mut state = self.state.lock();
        let Some(socket) = &self.socket else {
            return Ok(Drained::Empty);
        };
        loop {
            if state.phase == Phase::Gone {
                return Err(io::ErrorKind::NotConnected.into());
            }
            if state.queue.is_empty() {
                // What a burst has grown is given back.
                state.queue = VecDeque::new();
                return match socket.try_flush() {
                    Ok(true) => Ok(Drained::Empty),
                    Ok(false) => Ok(Drained::Blocked),
                    Err(error) => {
                        self.abandon(&mut state);
                        Err(error)
                    }
                };
            }
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let mut count = 0;
            for (slot, entry) in slices.iter_mut().zip(&state.queue) {
                let skip = if count == 0 { state.head_written } else { 0 };
                *slot = IoSlice::new(&entry.bytes.bytes()[skip..]);
                count += 1;
            }
            self.queues.count_write();
            match socket.try_write_vectored(&slices[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(&mut state, written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Drained::Blocked);
                }
                Err(error) => {
                    self.abandon(&mut state);
                    return Err(error);
                }
            }
        }
    }

    /// The oldest waiting bytes, for an event stream; `None` where nothing waits.
    pub(super) fn take(&self) -> Option<Bytes> {
        let mut state = self.state.lock();
        let entry = state.queue.pop_front()?;
        self.release(&mut state, &entry);
        Some(match entry.bytes {
            Piece::Joined(bytes) => bytes.into(),
            Piece::Shared(message) => message.frame().clone(),
            Piece::Own(bytes) => bytes,
        })
    }

    /// Returns when something was queued or the connection shall end; at once where that happened
    /// since the last call.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn has_backlog(&self) -> bool {
        !self.state.lock().queue.is_empty()
    }

    /// Why the connection ends, once it does.
    pub(super) fn closing(&self) -> Option<CloseCode> {
        match self.state.lock().phase {
            Phase::Closing(code) => Some(code),
            Phase::Open | Phase::Gone => None,
        }
    }

    /// The connection is over: what waits is given up.
    pub(super) fn mark_gone(&self) {
        self.abandon(&mut self.state.lock());
    }

    /// Queues what the socket has not taken; it has taken `written` bytes, of an empty queue.
    fn enqueue(&self, state: &mut State, outgoing: Outgoing<'_>, written: usize) -> bool {
        let frame = outgoing.bytes();
        if let Some(Entry {
            bytes: Piece::Joined(block),
            charge_bytes,
            ..
        }) = state.queue.back_mut()
            && frame.len() <= JOIN_UP_TO_BYTES
            && block.len() + frame.len() <= BLOCK_BYTES
        {
            if state.charged_bytes + frame.len() > self.queues.limit_bytes
                || !self.queues.budget.try_take(frame.len())
            {
                return false;
            }
            block.extend_from_slice(frame);
            *charge_bytes += frame.len();
            state.charged_bytes += frame.len();
            return true;
        }
        // An empty queue takes one frame of any size: the limit is on being behind.
        let charge_bytes = frame.len() - written + ENTRY_BYTES;
        if !state.queue.is_empty() && state.charged_bytes + charge_bytes > self.queues.limit_bytes {
            return false;
        }
        let bytes = match outgoing {
            _ if frame.len() <= JOIN_UP_TO_BYTES => {
                if !self.queues.budget.try_take(charge_bytes) {
                    return false;
                }
                Piece::Joined(frame.to_vec())
            }
            Outgoing::Own(bytes) => {
                if !self.queues.budget.try_take(charge_bytes) {
                    return false;
                }
                Piece::Own(bytes.clone())
            }
            Outgoing::Shared(message) => {
                if !self.queues.budget.try_take(ENTRY_BYTES) {
                    return false;
                }
                if !message.enter_queue(&self.queues.budget) {
                    self.queues.budget.give_back(ENTRY_BYTES);
                    return false;
                }
                Piece::Shared(Arc::clone(message))
            }
        };
        state.charged_bytes += charge_bytes;
        state.queue.push_back(Entry {
            bytes,
            queued_at: Instant::now(),
            charge_bytes,
        });
        true
    }

    fn advance(&self, state: &mut State, mut written: usize) {
        while let Some(head) = state.queue.front() {
            let left = head.bytes.bytes().len() - state.head_written;
            if written < left {
                state.head_written += written;
                return;
            }
            written -= left;
            state.head_written = 0;
            if let Some(entry) = state.queue.pop_front() {
                self.release(state, &entry);
            }
        }
    }

    fn release(&self, state: &mut State, entry: &Entry) {
        state.charged_bytes -= entry.charge_bytes;
        match &entry.bytes {
            Piece::Joined(_) | Piece::Own(_) => self.queues.budget.give_back(entry.charge_bytes),
            Piece::Shared(message) => {
                message.leave_queue(&self.queues.budget);
                self.queues.budget.give_back(ENTRY_BYTES);
            }
        }
    }

    /// Drops what waits, except for a frame that the socket has begun to take, and closes.
    fn fall_behind(&self, state: &mut State, begun: Option<Vec<u8>>, reason: &str) {
        let keep = usize::from(state.head_written > 0);
        while state.queue.len() > keep
            && let Some(entry) = state.queue.pop_back()
        {
            self.release(state, &entry);
        }
        if let Some(rest) = begun {
            state.queue.push_back(Entry {
                bytes: Piece::Joined(rest),
                queued_at: Instant::now(),
                charge_bytes: 0,
            });
        }
        self.finish(state, CloseCode::TooSlow, reason);
    }

    fn finish(&self, state: &mut State, code: CloseCode, reason: &str) {
        state.phase = Phase::Closing(code);
        if self.socket.is_some() {
            // Not charged: one small frame a connection, and it must go out when the budget is spent.
            state.queue.push_back(Entry {
                bytes: Piece::Own(frame::encode_close(code.number(), reason)),
                queued_at: Instant::now(),
                charge_bytes: 0,
            });
        }
        self.wake.notify_one();
    }

    fn abandon(&self, state: &mut State) {
        state.phase = Phase::Gone;
        while let Some(entry) = state.queue.pop_front() {
            self.release(state, &entry);
        }
        state.queue = VecDeque::new();
        self.wake.notify_one();
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.mark_gone();
    }
}
