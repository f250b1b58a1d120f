//! The way into the loop thread: a bounded list and one eventfd.
//!
//! Only the push that finds the list unarmed writes to the eventfd, or leaves that to the end of its
//! turn, so under load there is no system call between two calls. No Python here.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;

use crate::turns;

/// A list that many threads fill and one empties.
pub(super) struct Inbox<T> {
    /// Held only to push or to swap the whole list.
    state: Mutex<State<T>>,
    /// Readable while the loop thread has something to fetch.
    event: OwnedFd,
    /// What `deferred` says, for a look without the lock.
    maybe_deferred: AtomicBool,
    /// Most jobs of [`Inbox::push`]; [`Inbox::push_control`] is bounded by what is in flight.
    capacity: usize,
}

struct State<T> {
    jobs: Vec<T>,
    /// Whether the loop thread has been told or is about to be, and has not yet seen the list empty.
    armed: bool,
    /// Armed, and the telling is left to [`Inbox::end_turn`].
    deferred: bool,
    closed: bool,
}

/// Calls that are put down before the loop thread is woken in the middle of a turn.
const DEFERRED_CALLS: usize = 8;

/// Why a job was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PushError {
    /// The list is full.
    Full,
    /// Nobody reads it any more.
    Closed,
}

impl<T> Inbox<T> {
    /// An empty inbox for `capacity` calls.
    ///
    /// # Errors
    /// Where the system has no file descriptor left.
    pub(super) fn new(capacity: usize) -> io::Result<Self> {
        // SAFETY: eventfd takes no pointers; a non-negative result is a descriptor that is ours.
        let event = unsafe {
            let fd = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        Ok(Self {
            state: Mutex::new(State {
                jobs: Vec::new(),
                armed: false,
                deferred: false,
                closed: false,
            }),
            maybe_deferred: AtomicBool::new(false),
            event,
            capacity,
        })
    }

    /// What the loop watches for reading.
    pub(super) fn raw_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// Puts a call at the end, or gives it back. In a turn whose end will be told, the loop thread is
    /// woken then; `true` where that has just been put off, and somebody must see to it that it happens.
    pub(super) fn push(&self, job: T) -> Result<bool, (PushError, T)> {
        self.put(job, self.capacity, turns::in_turn())
    }

    /// Wakes the loop thread for what was put down in the turn that ends.
    pub(super) fn end_turn(&self) {
        // Seen by the thread that has set it, which is enough: each tells of its own turns.
        if !self.maybe_deferred.load(Ordering::Relaxed) {
            return;
        }
        let wake = {
            let mut state = self.state.lock();
            self.maybe_deferred.store(false, Ordering::Relaxed);
            std::mem::take(&mut state.deferred)
        };
        if wake {
            self.wake();
        }
    }

    /// Puts something at the end that answers a job already taken, and therefore always fits.
    pub(super) fn push_control(&self, job: T) -> Result<(), (PushError, T)> {
        self.put(job, usize::MAX, false).map(drop)
    }

    /// As [`Inbox::push_control`], at a turn's end as [`Inbox::push`].
    pub(super) fn push_answer(&self, job: T) -> Result<bool, (PushError, T)> {
        self.put(job, usize::MAX, turns::in_turn())
    }

    fn put(&self, job: T, capacity: usize, may_defer: bool) -> Result<bool, (PushError, T)> {
        let (wake, put_off) = {
            let mut state = self.state.lock();
            if state.closed {
                return Err((PushError::Closed, job));
            }
            if state.jobs.len() >= capacity {
                return Err((PushError::Full, job));
            }
            state.jobs.push(job);
            let first = !std::mem::replace(&mut state.armed, true);
            if first {
                state.deferred = true;
                self.maybe_deferred.store(true, Ordering::Relaxed);
            }
            let waits = may_defer && state.jobs.len() < DEFERRED_CALLS;
            (
                !waits && std::mem::take(&mut state.deferred),
                first && waits,
            )
        };
        if wake {
            self.wake();
        }
        Ok(put_off)
    }

    /// Makes the eventfd readable.
    pub(super) fn wake(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: writes eight bytes from a live buffer to our own descriptor. It can fail only
        // with a full counter, and then it is readable already.
        unsafe { libc::write(self.raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Clears the eventfd.
    pub(super) fn acknowledge(&self) {
        let mut buffer = [0u8; 8];
        // SAFETY: reads at most eight bytes into a live buffer from our own non-blocking descriptor.
        unsafe { libc::read(self.raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    }

    /// Swaps the waiting jobs into the empty `batch`. `false` where there were none: then the next
    /// push wakes the loop again.
    pub(super) fn take(&self, batch: &mut Vec<T>) -> bool {
        let mut state = self.state.lock();
        if state.jobs.is_empty() {
            state.armed = false;
            return false;
        }
        std::mem::swap(&mut state.jobs, batch);
        // Whoever takes looks again until there is nothing.
        state.deferred = false;
        true
    }

    /// Jobs waiting.
    pub(super) fn len(&self) -> usize {
        self.state.lock().jobs.len()
    }

    /// Takes no more; gives what was waiting.
    pub(super) fn close(&self) -> Vec<T> {
        let mut state = self.state.lock();
        state.closed = true;
        std::mem::take(&mut state.jobs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_readable(inbox: &Inbox<usize>) -> bool {
        let mut fd = libc::pollfd {
            fd: inbox.raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one live pollfd.
        unsafe { libc::poll(&raw mut fd, 1, 0) == 1 }
    }

    #[test]
    fn is_bounded_for_calls_and_open_for_their_answers() {
        let inbox = Inbox::new(2).unwrap();
        inbox.push(1).unwrap();
        inbox.push(2).unwrap();
        assert_eq!(inbox.push(3), Err((PushError::Full, 3)));
        inbox.push_control(4).unwrap();
        let mut batch = Vec::new();
        assert!(inbox.take(&mut batch));
        assert_eq!(batch, [1, 2, 4]);
        batch.clear();
        assert!(!inbox.take(&mut batch));
        inbox.push(5).unwrap();
        assert_eq!(inbox.close(), [5]);
        assert_eq!(inbox.push(6), Err((PushError::Closed, 6)));
    }

    #[test]
    fn wakes_once_until_seen_empty() {
        let inbox = Inbox::new(8).unwrap();
        let readable = || is_readable(&inbox);
        assert!(!readable());
        inbox.push(1).unwrap();
        assert!(readable());
        inbox.acknowledge();
        inbox.push(2).unwrap();
        assert!(
            !readable(),
            "armed already: the reader looks again by itself"
        );
        let mut batch = Vec::new();
        assert!(inbox.take(&mut batch));
        batch.clear();
        assert!(!inbox.take(&mut batch));
        inbox.push(3).unwrap();
        assert!(readable());
    }

    #[test]
    fn in_a_turn_it_wakes_at_its_end_or_with_enough_calls() {
        let inbox = Inbox::new(32).unwrap();
        let readable = || is_readable(&inbox);
        let mut batch = Vec::new();
        let mut empty = || {
            inbox.acknowledge();
            while inbox.take(&mut batch) {
                batch.clear();
            }
        };
        turns::begin_turn();
        inbox.push(1).unwrap();
        assert!(!readable());
        inbox.end_turn();
        assert!(readable());
        empty();
        inbox.end_turn();
        assert!(!readable(), "nothing was put down");
        for job in 0..DEFERRED_CALLS {
            assert!(!readable(), "{job}");
            inbox.push(job).unwrap();
        }
        assert!(readable());
        empty();
        inbox.push(1).unwrap();
        inbox.push_control(2).unwrap();
        assert!(readable(), "an answer does not wait for the turn's end");
    }
}
