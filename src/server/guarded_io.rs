//! A connection's socket with its time limits, and with our own words where hyper refuses a head.
//!
//! hyper's one `header_read_timeout` covers the wait for a next request as well, and arms a timer
//! for every request. Here one timer a connection fires at most every `header_timeout`, and looks at
//! the [`ConnectionClock`] then: a request costs no timer.

mod framing;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

pub(super) use self::framing::Findings;
use self::framing::Framing;
use super::clock::{ConnectionClock, Waiting};

/// Bytes read and thrown away while lingering.
const LINGER_BYTES: usize = 8 * 1024 * 1024;

/// A head and a body that are no longer than this together are written as one piece: for the kernel that
/// is less than gathering two.
const JOINED_BYTES: usize = 1024;

/// How a connection begins that speaks HTTP/2 (RFC 9113, 3.4), as far as no method of HTTP/1 does.
const HTTP2_PREFACE: &[u8] = b"PRI ";

/// What is answered to a request that never became one, and who counts it.
pub(super) trait Refusals: Send + Sync {
    /// The whole answer to a head that was refused with `status` after `waited`, ready to be written.
    fn refuse(&self, status: u16, waited: Duration) -> Vec<u8>;
    /// The connection was cut.
    fn timed_out(&self);
}

/// What is guarded: bytes both ways.
pub(super) trait Guarded: AsyncRead + AsyncWrite + Unpin {
    /// How many bytes the kernel has taken; `None` where it takes all that a write says it wrote.
    fn taken_bytes(&self) -> Option<u64> {
        None
    }
}

/// What the two sides agreed to speak before the first byte of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Agreed {
    /// Nothing: the first bytes say it.
    Nothing,
    Http1,
    Http2,
}

/// A socket with time limits.
pub(super) struct GuardedIo<T> {
    inner: T,
    clock: Arc<ConnectionClock>,
    refusals: Arc<dyn Refusals>,
    /// Fires now and then while something is waited for; see [`Self::poll_limits`].
    timer: Pin<Box<Sleep>>,
    /// The timer will wake the connection's task: it was polled since it was set.
    timer_polled: bool,
    /// The longest the timer sleeps: no limit is shorter, so it never has to be set back.
    tick: Duration,
    /// How long the client may take nothing of what we write.
    write_timeout: Duration,
    write_stalled_since: Option<Instant>,
    /// [`Guarded::taken_bytes`], when it was last looked at.
    taken_bytes: u64,
    /// How long a client may take to notice that we have closed, before its unread bytes make the
    /// kernel answer with a reset that would swallow our last words.
    linger_time: Duration,
    /// Nothing that hyper has written waits for the socket.
    flushed: bool,
    /// The head being read has its first line.
    first_line_complete: bool,
    /// The head being read has at least a byte.
    head_has_bytes: bool,
    /// How many bytes of the connection's beginning are HTTP/2's; `None` once one was not. All of them:
    /// an answer of ours in text would be no answer to that client.
    preface_bytes: Option<usize>,
    agreed: Agreed,
    /// Follows the requests of HTTP/1.
    framing: Framing,
    /// Our words in place of hyper's, while they are being written.
    refusal: Option<Refusal>,
    linger: Option<Linger>,
}

struct Refusal {
    bytes: Vec<u8>,
    written: usize,
}

struct Linger {
    until: Instant,
    bytes_left: usize,
}

enum Limit {
    Head,
    Idle,
    Write,
}

impl<T: Guarded> GuardedIo<T> {
    /// Guards a connection just accepted.
    pub(super) fn new(
        inner: T,
        clock: Arc<ConnectionClock>,
        findings: Arc<Findings>,
        refusals: Arc<dyn Refusals>,
        shortest_wait: Duration,
        write_timeout: Duration,
        linger_time: Duration,
    ) -> Self {
        let tick = shortest_wait.min(write_timeout);
        Self {
            inner,
            clock,
            refusals,
            timer: Box::pin(tokio::time::sleep(tick)),
            timer_polled: false,
            tick,
            write_timeout,
            write_stalled_since: None,
            taken_bytes: 0,
            linger_time,
            flushed: true,
            first_line_complete: false,
            head_has_bytes: false,
            preface_bytes: Some(0),
            agreed: Agreed::Nothing,
            framing: Framing::new(findings),
            refusal: None,
            linger: None,
        }
    }

    /// What is spoken must be what was agreed.
    pub(super) fn agreed(mut self, agreed: Agreed) -> Self {
        self.agreed = agreed;
        self
    }

    /// The bare socket, for a connection that speaks something else from now on.
    pub(super) fn into_inner(self) -> T {
        self.inner
    }

    /// Looks at the time while the socket has nothing for us. Ready where a limit has passed.
    fn poll_limits(&mut self, context: &mut Context<'_>) -> Poll<Limit> {
        // A connection's task stays the same, so its timer need not be told of it again and again.
        if self.timer_polled && !self.timer.is_elapsed() {
            return Poll::Pending;
        }
        loop {
            self.timer_polled = self.timer.as_mut().poll(context).is_pending();
            if self.timer_polled {
                return Poll::Pending;
            }
            let now = Instant::now();
            let stalled = self
                .write_stalled_since
                .map(|since| (Limit::Write, since + self.write_timeout));
            let waiting = self.clock.deadline().map(|(waiting, at)| match waiting {
                Waiting::Head => (Limit::Head, at),
                Waiting::NextRequest => (Limit::Idle, at),
                Waiting::Taking => (Limit::Write, at),
            });
            let first = match (stalled, waiting) {
                (Some(stalled), Some(waiting)) if waiting.1 < stalled.1 => Some(waiting),
                (Some(stalled), _) => Some(stalled),
                (None, waiting) => waiting,
            };
            let next_look = now + self.tick;
            match first {
                Some((limit, at)) if at <= now => return Poll::Ready(limit),
                Some((_, at)) => self.timer.as_mut().reset(at.min(next_look)),
                None => self.timer.as_mut().reset(next_look),
            }
        }
    }

    /// The end of a connection that was too slow.
    fn cut(&mut self, limit: Limit, context: &mut Context<'_>) -> io::Result<()> {
        match limit {
            // An idle connection simply ends, as hyper expects it of clients.
            Limit::Idle => Ok(()),
            Limit::Head => {
                if self.flushed && self.head_has_bytes && !self.is_http2() {
                    let answer = self.refusals.refuse(408, self.clock.head_age());
                    // A client this slow may be too slow for an answer as well.
                    let _ = Pin::new(&mut self.inner).poll_write(context, &answer);
                }
                self.refusals.timed_out();
                Err(io::ErrorKind::TimedOut.into())
            }
            Limit::Write => {
                self.refusals.timed_out();
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }

    /// Whether the first bytes are those of another protocol than was agreed.
    fn breaks_agreement(&self) -> bool {
        match self.agreed {
            Agreed::Nothing => false,
            Agreed::Http1 => self.is_http2(),
            Agreed::Http2 => self.preface_bytes.is_none(),
        }
    }

    fn is_http2(&self) -> bool {
        self.preface_bytes == Some(HTTP2_PREFACE.len())
    }

    fn compare_preface(&mut self, arrived: &[u8]) {
        if let Some(rest) = self.preface_bytes.map(|count| &HTTP2_PREFACE[count..])
            && !rest.is_empty()
        {
            let compared = rest.len().min(arrived.len());
            let is_alike = rest[..compared] == arrived[..compared];
            self.preface_bytes = self
                .preface_bytes
                .filter(|_| is_alike)
                .map(|count| count + compared);
        }
    }

    /// Puts our answer in the place of hyper's own, bodiless one, which comes while nothing is being
    /// answered and nothing waits for the socket.
    fn begin_refusal(&mut self, bytes: &[u8]) {
        if self.refusal.is_some() || !self.flushed || !self.clock.is_between_requests() {
            return;
        }
        let status = bytes
            .strip_prefix(b"HTTP/1.1 ")
            .or_else(|| bytes.strip_prefix(b"HTTP/1.0 "))
            .and_then(|rest| rest.get(..3))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse::<u16>().ok());
        if let Some(status @ 400..=499) = status
            // Only the answers of handlers have one, the last of which may have ended just now.
            && memchr::memmem::find(bytes, b"x-request-id").is_none()
        {
            let status = match status {
                // The head is full, and all of it is one line: it is the URI that is too long.
                431 if !self.first_line_complete => 414,
                400 if self.framing.findings().is_unsupported() => 501,
                other => other,
            };
            self.refusal = Some(Refusal {
                bytes: self.refusals.refuse(status, self.clock.head_age()),
                written: 0,
            });
        }
    }

    /// Writes the refusal; when it is out, hyper is told that all of its own bytes are.
    fn poll_write_refusal(
        &mut self,
        context: &mut Context<'_>,
        hypers: usize,
    ) -> Poll<io::Result<usize>> {
        while let Some(refusal) = &mut self.refusal {
            let rest = &refusal.bytes[refusal.written..];
            if rest.is_empty() {
                self.refusal = None;
                break;
            }
            match Pin::new(&mut self.inner).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => refusal.written += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return self.stalled(context),
            }
        }
        Poll::Ready(Ok(hypers))
    }

    /// Bytes were accepted, or are being waited for: the client takes something if the kernel has taken more.
    fn has_taken(&mut self) -> bool {
        let Some(taken_bytes) = self.inner.taken_bytes() else {
            return false;
        };
        let more = taken_bytes != self.taken_bytes;
        self.taken_bytes = taken_bytes;
        more
    }

    fn stalled(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.has_taken() {
            self.write_stalled_since = None;
        }
        self.write_stalled_since.get_or_insert_with(Instant::now);
        match self.poll_limits(context) {
            Poll::Ready(Limit::Write) => match self.cut(Limit::Write, context) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
            // Reading meets the other limits itself.
            Poll::Ready(Limit::Head | Limit::Idle) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn wrote(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(result) => {
                if self.inner.taken_bytes().is_none() || self.has_taken() {
                    self.write_stalled_since = None;
                }
                Poll::Ready(result)
            }
            Poll::Pending => self.stalled(context),
        }
    }

    /// As [`Self::wrote`], of what was written before. Nobody need be reading meanwhile, so that any limit
    /// is met here.
    fn pushed(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        match result {
            Poll::Ready(result) => {
                self.write_stalled_since = None;
                Poll::Ready(result)
            }
            Poll::Pending => {
                if self.has_taken() {
                    self.write_stalled_since = None;
                }
                self.write_stalled_since.get_or_insert_with(Instant::now);
                ready!(self.poll_limits(context));
                Poll::Ready(self.cut(Limit::Write, context))
            }
        }
    }
}

impl<T: Guarded> AsyncRead for GuardedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        match Pin::new(&mut this.inner).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                let arrived = &buffer.filled()[before..];
                if !arrived.is_empty() {
                    if this.clock.bytes_arrived() {
                        this.first_line_complete = false;
                    }
                    this.compare_preface(arrived);
                    if this.breaks_agreement() {
                        return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                    }
                    if !this.is_http2() {
                        this.framing.follow(arrived);
                    }
                    this.head_has_bytes = true;
                    if !this.first_line_complete {
                        this.first_line_complete = arrived.contains(&b'\n');
                    }
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending if this.clock.must_end() => Poll::Ready(Ok(())),
            Poll::Pending => match this.poll_limits(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(limit) => Poll::Ready(this.cut(limit, context)),
            },
        }
    }
}

impl<T: Guarded> AsyncWrite for GuardedIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.begin_refusal(bytes);
        if this.refusal.is_some() {
            return this.poll_write_refusal(context, bytes.len());
        }
        this.flushed = false;
        let result = Pin::new(&mut this.inner).poll_write(context, bytes);
        this.wrote(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Some(first) = slices.first() {
            this.begin_refusal(first);
        }
        if this.refusal.is_some() {
            let hypers = slices.iter().map(|slice| slice.len()).sum();
            return this.poll_write_refusal(context, hypers);
        }
        this.flushed = false;
        let mut joined = [0; JOINED_BYTES];
        let length = slices.iter().map(|slice| slice.len()).sum();
        let inner = Pin::new(&mut this.inner);
        let result = match joined.get_mut(..length) {
            Some(joined) if slices.len() > 1 => {
                let mut at = 0;
                for slice in slices {
                    joined[at..at + slice.len()].copy_from_slice(slice);
                    at += slice.len();
                }
                inner.poll_write(context, joined)
            }
            _ => inner.poll_write_vectored(context, slices),
        };
        this.wrote(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let result = Pin::new(&mut this.inner).poll_flush(context);
        let result = this.pushed(context, result);
        if let Poll::Ready(Ok(())) = result {
            this.flushed = true;
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            let result = Pin::new(&mut this.inner).poll_shutdown(context);
            ready!(this.pushed(context, result))?;
            if this.clock.is_draining() {
                return Poll::Ready(Ok(()));
            }
            let until = Instant::now() + this.linger_time;
            this.timer.as_mut().reset(until);
            this.linger = Some(Linger {
                until,
                bytes_left: LINGER_BYTES,
            });
        }
        let mut discarded = [0u8; 4096];
        while let Some(linger) = &mut this.linger {
            let mut buffer = ReadBuf::new(&mut discarded);
            match Pin::new(&mut this.inner).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    linger.bytes_left = linger.bytes_left.saturating_sub(buffer.filled().len());
                    if linger.bytes_left == 0 || Instant::now() >= linger.until {
                        break;
                    }
                }
                // The client has closed as well, or is gone.
                Poll::Ready(_) => break,
                Poll::Pending => {
                    ready!(this.timer.as_mut().poll(context));
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
