//! One connection: frames in, commands, frames out.
//!
//! A connection has a thread while commands come, and for a moment after the last. Then it waits for
//! its client without one, and without buffers: an idle connection is little more than its socket.
//!
//! A frame that cannot be understood ends its connection only. A client that disappears while its
//! command runs is noticed when the answer is written; the command runs to its end.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::io::{Interest, unix::AsyncFd};

use super::{connections::Connections, stream::Stream};
use crate::{
    commands::{self, call::ConnectionState, service::Service},
    error::CommandError,
    wire::{
        BsonWriter,
        frame::{self, HEADER_BYTES, Header, Message},
    },
};

/// How long a thread stays with a connection that sends nothing: a client at work is answered
/// without a hand-over between threads.
const LINGER: Duration = Duration::from_millis(20);
/// A frame that has begun must be there in whole after this time.
const FRAME_TIMEOUT: Duration = Duration::from_secs(30);
/// Buffers beyond this are given back after a large frame.
const KEPT_BUFFER_BYTES: usize = 1 << 20;
/// Read at once; most frames are smaller.
const READ_BYTES: usize = 16 << 10;

static REPLY_IDS: AtomicI32 = AtomicI32::new(1);

/// Starts to serve a connection. Beyond the limit it is closed. Called within a runtime.
pub fn start(stream: Stream, service: &Arc<Service>, connections: &Arc<Connections>) {
    let stream = Arc::new(stream);
    let Some((id, busy)) = connections.add(&stream) else {
        tracing::warn!("too many connections: one is refused");
        return;
    };
    let counters = &service.counters;
    counters.connections.fetch_add(1, Ordering::Relaxed);
    counters.connections_total.fetch_add(1, Ordering::Relaxed);
    let (local_address, peer_address) = stream.addresses();
    let connection = Connection {
        stream,
        state: ConnectionState {
            id,
            local_address,
            peer_address,
            authenticated: false,
            scram: None,
        },
        busy,
        service: Arc::clone(service),
        connections: Arc::clone(connections),
        runtime: tokio::runtime::Handle::current(),
    };
    if let Err(error) = connection.stream.set_read_timeout(Some(LINGER)) {
        tracing::warn!(error = %error, "a connection could not be set up");
        return;
    }
    connection.park();
}

struct Connection {
    stream: Arc<Stream>,
    state: ConnectionState,
    busy: Arc<AtomicBool>,
    service: Arc<Service>,
    connections: Arc<Connections>,
    /// Waits for the client when no thread does.
    runtime: tokio::runtime::Handle,
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

/// However a connection ends, it is closed and off the list then.
impl Drop for Connection {
    fn drop(&mut self) {
        self.stream.close();
        let counters = &self.service.counters;
        counters.connections.fetch_sub(1, Ordering::Relaxed);
        self.connections.remove(self.state.id);
    }
}

/// Why a connection ends.
enum End {
    /// The client closed it.
    Closed,
    /// Not at all: the client sends nothing at the moment.
    Idle,
    /// The socket failed.
    Io(io::Error),
    /// What came is not the protocol.
    Protocol(CommandError),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        End::Io(error)
    }
}

impl Connection {
    /// Waits until the client sends something (or goes away), then serves it on a thread.
    fn park(self) {
        let runtime = self.runtime.clone();
        runtime.spawn(async move {
            let workers = Arc::clone(&self.connections.workers);
            // SAFETY: the descriptor is that of `self.stream`, which is neither replaced nor closed
            // (only shut down) before `self` is dropped.
            #[allow(unsafe_code, reason = "tokio asks for a descriptor that stays open")]
            let waiting = unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) };
            let waiting = match waiting {
                Ok(waiting) => waiting,
                Err(error) => {
                    tracing::error!(error = %error, "a connection could not be waited for");
                    return;
                }
            };
            if let Err(error) = waiting.readable().await.map(|_| ()) {
                tracing::debug!(error = %error, "a connection could not be waited for");
                return;
            }
            let connection = waiting.into_inner();
            workers.run(move || connection.serve());
        });
    }

    fn serve(mut self) {
        let mut input = Vec::with_capacity(READ_BYTES);
        let mut output = Vec::with_capacity(READ_BYTES);
        let end = loop {
            if let Err(end) = self.serve_one(&mut input, &mut output) {
                break end;
            }
            if self.connections.is_closing() {
                break End::Closed;
            }
        };
        match end {
            End::Idle => {
                drop((input, output));
                self.park();
            }
            End::Closed => {}
            End::Io(error) => {
                tracing::debug!(connection = self.state.id, error = %error, "connection ended");
            }
            End::Protocol(error) => {
                tracing::warn!(connection = self.state.id, error = %error, "connection closed: not the protocol");
            }
        }
    }

    fn serve_one(&mut self, input: &mut Vec<u8>, output: &mut Vec<u8>) -> Result<(), End> {
        let header = self.read_frame(input)?;
        self.busy.store(true, Ordering::SeqCst);
        let result = self.answer_all(&header, &input[..header.length], output);
        input.drain(..header.length);
        if input.capacity() > KEPT_BUFFER_BYTES && input.is_empty() {
            *input = Vec::with_capacity(READ_BYTES);
        }
        if output.capacity() > KEPT_BUFFER_BYTES {
            *output = Vec::with_capacity(READ_BYTES);
        }
        self.busy.store(false, Ordering::SeqCst);
        result
    }

    /// Answers a frame: once, or batch after batch to the end of the cursor where a `getMore` with
    /// `exhaustAllowed` came.
    fn answer_all(
        &mut self,
        header: &Header,
        bytes: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), End> {
        let mut response_to = header.request_id;
        loop {
            let answer = self
                .answer(header, bytes, response_to, output)
                .map_err(End::Protocol)?;
            let again = match answer {
                Answer::None => return Ok(()),
                Answer::Once => false,
                Answer::MayGoOn => !self.connections.is_closing() && has_open_cursor(output),
            };
            if again {
                frame::announce_more(output);
                response_to = frame::reply_id(output);
            }
            self.stream.write_all(output).map_err(End::Io)?;
            if !again {
                return Ok(());
            }
        }
    }

    /// Reads until `input` begins with a whole frame.
    fn read_frame(&mut self, input: &mut Vec<u8>) -> Result<Header, End> {
        let mut header: Option<Header> = None;
        let mut deadline: Option<Instant> = None;
        loop {
            if header.is_none()
                && let Some(bytes) = input.first_chunk::<HEADER_BYTES>()
            {
                header = Some(Header::parse(bytes).map_err(End::Protocol)?);
            }
            if let Some(header) = header
                && input.len() >= header.length
            {
                if deadline.is_some() {
                    self.stream.set_read_timeout(Some(LINGER))?;
                }
                return Ok(header);
            }
            if !input.is_empty() {
                let until = *deadline.get_or_insert_with(|| Instant::now() + FRAME_TIMEOUT);
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(End::Io(io::ErrorKind::TimedOut.into()));
                }
                self.stream.set_read_timeout(Some(left))?;
            }
            let wanted = header.map_or(READ_BYTES, |header| header.length - input.len());
            // Grows as bytes arrive, not as a header promises.
            let piece = wanted.clamp(READ_BYTES, KEPT_BUFFER_BYTES);
            let start = input.len();
            input.resize(start + piece, 0);
            let read = self.stream.read(&mut input[start..]);
            input.truncate(start + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Err(End::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error)
                    if input.is_empty()
                        && matches!(
                            error.kind(),
                            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                        ) =>
                {
                    return Err(End::Idle);
                }
                Err(error) => return Err(End::Io(error)),
            }
        }
    }

    /// Runs the command of a frame.
    fn answer(
        &mut self,
        header: &Header,
        bytes: &[u8],
        response_to: i32,
        output: &mut Vec<u8>,
    ) -> Result<Answer, CommandError> {
        let message = match frame::parse(header, bytes) {
            Ok(message) => message,
            // The frame is whole, so the next one can be found: only this command fails. A driver
            // would take a closed connection for a network fault and send the same again.
            Err(error) if frame::is_about_documents(header, &error) => {
                if frame::wants_no_answer(bytes) {
                    return Ok(Answer::None);
                }
                frame::begin_reply(output);
                let mut out = BsonWriter::new(std::mem::take(output));
                commands::refuse(&self.service, &error, &mut out);
                *output = out.into_inner();
                frame::finish(
                    output,
                    REPLY_IDS.fetch_add(1, Ordering::Relaxed),
                    response_to,
                );
                return Ok(Answer::Once);
            }
            Err(error) => return Err(error),
        };
        let (request, database, answer, legacy) = match &message {
            Message::Command {
                more_to_come: true,
                request,
                ..
            } => (request, None, Answer::None, false),
            Message::Command {
                request,
                exhaust_allowed,
                ..
            } => {
                let goes_on =
                    *exhaust_allowed && request.command().is_ok_and(|name| name == "getMore");
                (
                    request,
                    None,
                    if goes_on {
                        Answer::MayGoOn
                    } else {
                        Answer::Once
                    },
                    false,
                )
            }
            Message::LegacyCommand { request, database } => {
                (request, Some(*database), Answer::Once, true)
            }
        };
        frame::begin_reply(output);
        if legacy {
            output.clear();
        }
        let mut out = BsonWriter::new(std::mem::take(output));
        if legacy && !request.command().is_ok_and(is_handshake) {
            refuse_legacy(request.command().unwrap_or_default(), &mut out);
        } else {
            commands::run(&self.service, &mut self.state, request, database, &mut out);
        }
        *output = out.into_inner();
        let reply_id = REPLY_IDS.fetch_add(1, Ordering::Relaxed);
        if legacy {
            *output = frame::legacy_reply(output, reply_id, response_to);
        } else {
            frame::finish(output, reply_id, response_to);
        }
        Ok(answer)
    }
}

/// How a frame is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Not at all.
    None,
    /// With one frame.
    Once,
    /// With as many as the cursor has batches.
    MayGoOn,
}

/// Whether an answer is that of a cursor with more to give.
fn has_open_cursor(answer: &[u8]) -> bool {
    let Some(document) = frame::reply_document(answer) else {
        return false;
    };
    let id = document
        .get_document("cursor")
        .and_then(|cursor| cursor.get_i64("id"));
    id.is_ok_and(|id| id != 0)
}

fn is_handshake(command: &str) -> bool {
    matches!(command, "hello" | "isMaster" | "ismaster")
}

fn refuse_legacy(command: &str, out: &mut BsonWriter) {
    out.begin();
    out.double("ok", 0.0);
    out.string(
        "errmsg",
        &format!(
            "Unsupported OP_QUERY command: {command}. The client driver may require an upgrade."
        ),
    );
    out.int32("code", 352);
    out.string("codeName", "UnsupportedOpQueryCommand");
    out.end();
}
