//! What hyper does not tell about the framing of HTTP/1 requests.
//!
//! hyper drops a `Content-Length` beside a `Transfer-Encoding` before anybody sees it, and takes a bare
//! line feed after the last chunk for the end of the trailers, with the next request's head swallowed
//! as one of them (`0\r\n\n`). So the bytes are followed here on their way to it, requests and bodies
//! alike, and what is found is kept for the requests with a `Transfer-Encoding`, in their order. A
//! request whose framing was not followed counts as malformed.
//!
//! Only what hyper accepts has to be understood: where it refuses, the connection ends.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;

use crate::http::BodyFraming;

/// The beginning of a header line that is kept where it is cut by the end of a read.
const LINE_BYTES: usize = 64;

/// Findings on the connection's requests with a `Transfer-Encoding`, oldest first: at most as many as
/// there are heads in hyper's buffer.
#[derive(Default)]
pub(in crate::server) struct Findings {
    heads: Mutex<VecDeque<BodyFraming>>,
    /// The last head seen has a `Transfer-Encoding` other than `chunked`.
    unsupported: AtomicBool,
}

impl Findings {
    /// What was found for the next request with a `Transfer-Encoding`.
    pub(in crate::server) fn take(&self) -> BodyFraming {
        let found = self.heads.lock().pop_front();
        found.unwrap_or_else(BodyFraming::malformed)
    }

    pub(super) fn is_unsupported(&self) -> bool {
        self.unsupported.load(Ordering::Relaxed)
    }
}

/// Where in the stream of a connection we are.
pub(super) struct Framing {
    state: State,
    head: Head,
    /// The beginning of a line that was cut by the end of a read, as far as it is kept.
    line: [u8; LINE_BYTES],
    line_bytes: usize,
    /// What is found of the chunked body being followed.
    body: BodyFraming,
    findings: Arc<Findings>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a head, at the beginning of a line or behind what `line` holds.
    Head,
    /// In a body of known length.
    Length(u64),
    /// Before the first digit of a chunk's size.
    SizeStart,
    /// Behind a digit of it.
    Size(u64),
    /// Behind the size.
    SizeRest {
        size: u64,
    },
    /// Behind the size's CR.
    SizeEnd {
        size: u64,
    },
    Data(u64),
    DataCr,
    DataLf,
    /// At the beginning of a line behind the last chunk.
    TrailerStart,
    Trailer,
    TrailerLf,
    /// Behind the CR of the empty line.
    EndLf,
    /// Nothing is followed any more: what came is something that hyper refuses, or we cannot read.
    Lost,
}

#[derive(Default)]
struct Head {
    has_request_line: bool,
    length: Option<u64>,
    encoding: Encoding,
    /// Its framing is spelled in a way that only hyper may be able to read.
    is_unreadable: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    #[default]
    None,
    Chunked,
    Other,
}

impl Framing {
    pub(super) fn new(findings: Arc<Findings>) -> Self {
        Self {
            state: State::Head,
            head: Head::default(),
            line: [0; LINE_BYTES],
            line_bytes: 0,
            body: BodyFraming::default(),
            findings,
        }
    }

    pub(super) fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Follows bytes on their way to hyper.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Lost => return,
                State::Head => self.follow_head(bytes),
                State::Length(left) => {
                    let (left, rest) = skip(bytes, left);
                    self.state = match left {
                        0 => State::Head,
                        left => State::Length(left),
                    };
                    rest
                }
                State::Data(left) => {
                    let (left, rest) = skip(bytes, left);
                    self.state = match left {
                        0 => State::DataCr,
                        left => State::Data(left),
                    };
                    rest
                }
                state => {
                    self.state = self.step(state, bytes[0]);
                    &bytes[1..]
                }
            };
        }
    }

    fn follow_head<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            self.keep(bytes);
            return &[];
        };
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        let is_end = if self.line_bytes == 0 {
            self.head.read_line(line)
        } else {
            self.keep(line);
            self.head.read_line(&self.line[..self.line_bytes])
        };
        self.line_bytes = 0;
        if is_end {
            self.end_head();
        }
        rest
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES - self.line_bytes;
        let kept = &bytes[..bytes.len().min(room)];
        self.line[self.line_bytes..self.line_bytes + kept.len()].copy_from_slice(kept);
        self.line_bytes += kept.len();
    }

    fn end_head(&mut self) {
        let head = std::mem::take(&mut self.head);
        self.state = match head.encoding {
            _ if head.is_unreadable => State::Lost,
            Encoding::None => match head.length.unwrap_or(0) {
                0 => State::Head,
                length => State::Length(length),
            },
            Encoding::Chunked if head.length.is_none() => {
                self.body = BodyFraming::default();
                self.findings.heads.lock().push_back(self.body.clone());
                State::SizeStart
            }
            Encoding::Chunked => self.refuse(BodyFraming::malformed()),
            Encoding::Other => {
                self.findings.unsupported.store(true, Ordering::Relaxed);
                self.refuse(BodyFraming::unsupported())
            }
        };
    }

    /// A head that ends its connection.
    fn refuse(&self, found: BodyFraming) -> State {
        self.findings.heads.lock().push_back(found);
        State::Lost
    }

    /// A byte of a chunked body's framing.
    fn step(&mut self, state: State, byte: u8) -> State {
        match (state, byte) {
            (State::SizeStart | State::Size(_), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                let so_far = match state {
                    State::Size(size) => size,
                    _ => 0,
                };
                match so_far
                    .checked_mul(16)
                    .and_then(|size| size.checked_add(digit))
                {
                    Some(size) => State::Size(size),
                    None => State::Lost,
                }
            }
            (State::Size(size), b'\r') | (State::SizeRest { size }, b'\r') => {
                State::SizeEnd { size }
            }
            (State::Size(size), b' ' | b'\t' | b';') => State::SizeRest { size },
            (State::SizeRest { size }, byte) if byte != b'\n' => State::SizeRest { size },
            (State::SizeEnd { size: 0 }, b'\n') => State::TrailerStart,
            (State::SizeEnd { size }, b'\n') => State::Data(size),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::SizeStart,
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::Trailer, b'\r') => State::TrailerLf,
            // hyper ends lines with CR LF and then reads them as lines that end with LF.
            (State::TrailerStart | State::Trailer, b'\n') => {
                self.body.break_off();
                State::Lost
            }
            (State::TrailerStart | State::Trailer, _) => State::Trailer,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::EndLf, b'\n') => State::Head,
            _ => State::Lost,
        }
    }
}

impl Head {
    /// Reads a line without its LF, or what is kept of it; `true` where it ends the head.
    fn read_line(&mut self, line: &[u8]) -> bool {
        // Judged alike however the bytes came.
        let is_cut = line.len() >= LINE_BYTES;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(first) = line.first() else {
            // Empty lines before a request are allowed.
            return self.has_request_line;
        };
        if !self.has_request_line {
            self.has_request_line = true;
            return false;
        }
        if matches!(first, b'c' | b'C') {
            if let Some(value) = value_of(line, b"content-length:") {
                self.length = std::str::from_utf8(value)
                    .ok()
                    .and_then(|digits| digits.parse().ok());
                self.is_unreadable |= is_cut || self.length.is_none();
            }
        } else if matches!(first, b't' | b'T')
            && let Some(value) = value_of(line, b"transfer-encoding:")
        {
            self.is_unreadable |= is_cut;
            let is_chunked = value.eq_ignore_ascii_case(b"chunked");
            self.encoding = if is_chunked && self.encoding == Encoding::None {
                Encoding::Chunked
            } else {
                Encoding::Other
            };
        }
        false
    }
}

/// The value of a line with this name.
fn value_of<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (found, value) = line.split_at_checked(name.len())?;
    found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

fn skip(bytes: &[u8], left: u64) -> (u64, &[u8]) {
    let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    (left - count as u64, &bytes[count..])
}

#[cfg(test)]
mod tests;
