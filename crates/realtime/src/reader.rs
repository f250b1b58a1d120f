//! Frames of clients, read strictly as RFC 6455 says.
//!
//! Fed with whatever the socket gave; holds no more than the message being assembled, so that a
//! connection that says nothing costs nothing.

/// Payload of a control frame.
const MAX_CONTROL_BYTES: usize = 125;
/// Capacity that an assembled message may leave behind.
const KEEP_CAPACITY_BYTES: usize = 1024;

/// Something a client said.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A whole text message.
    Text(String),
    /// A ping with its payload, to be answered with the same.
    Ping(Vec<u8>),
    /// A pong.
    Pong,
    /// The client closes, with its code.
    Close(Option<u16>),
}

/// How a client broke the protocol; the close code and what may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// 1002.
    #[error("{0}")]
    Protocol(&'static str),
    /// 1003.
    #[error("binary messages are not accepted")]
    Binary,
    /// 1007.
    #[error("the text is not UTF-8")]
    InvalidText,
    /// 1009.
    #[error("the message is larger than {0} bytes")]
    TooLarge(usize),
}

/// Assembles messages from the bytes of one connection.
#[derive(Debug)]
pub struct FrameReader {
    max_message_bytes: usize,
    /// Bytes of a head that is not complete yet.
    head: [u8; 14],
    head_len: u8,
    /// The frame whose payload is being read.
    frame: Option<Frame>,
    /// The text message being assembled.
    message: Vec<u8>,
    /// Whether a fragmented message has begun.
    in_message: bool,
    /// How much of `message` is known to be UTF-8.
    checked_bytes: usize,
    /// Payload of the control frame being read.
    control: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    opcode: Opcode,
    is_final: bool,
    mask: [u8; 4],
    left_bytes: usize,
    read_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opcode {
    Text,
    Continuation,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

impl FrameReader {
    /// A reader that takes messages up to a size.
    pub fn new(max_message_bytes: usize) -> Self {
        Self {
            max_message_bytes,
            head: [0; 14],
            head_len: 0,
            frame: None,
            message: Vec::new(),
            in_message: false,
            checked_bytes: 0,
            control: Vec::new(),
        }
    }

    /// Changes the limit, from the next frame on.
    pub fn set_max_message_bytes(&mut self, bytes: usize) {
        self.max_message_bytes = bytes;
    }

    /// Takes bytes from `input` until something is complete; `None` once all are taken.
    ///
    /// # Errors
    /// [`ReadError`]; nothing sensible can be read after it.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Incoming>, ReadError> {
        loop {
            let frame = match self.frame {
                Some(frame) => frame,
                None => match self.read_head(input)? {
                    Some(frame) => *self.frame.insert(frame),
                    None => return Ok(None),
                },
            };
            let take = frame.left_bytes.min(input.len());
            let (chunk, rest) = input.split_at(take);
            *input = rest;
            self.take_payload(frame, chunk)?;
            let left_bytes = frame.left_bytes - take;
            if left_bytes > 0 {
                self.frame = Some(Frame {
                    left_bytes,
                    read_bytes: frame.read_bytes + take,
                    ..frame
                });
                return Ok(None);
            }
            self.frame = None;
            if let Some(incoming) = self.end_frame(frame)? {
                return Ok(Some(incoming));
            }
        }
    }

    /// Collects a head; fails as early as its bytes allow.
    fn read_head(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, ReadError> {
        loop {
            let have = usize::from(self.head_len);
            if have >= 2 {
                self.check_start()?;
                let length_bytes = match self.head[1] & 0x7F {
                    126 => 2,
                    127 => 8,
                    _ => 0,
                };
                if have == 2 + length_bytes + 4 {
                    self.head_len = 0;
                    return self.parse_head(length_bytes).map(Some);
                }
            }
            let Some((first, rest)) = input.split_first() else {
                return Ok(None);
            };
            self.head[have] = *first;
            self.head_len += 1;
            *input = rest;
        }
    }

    /// What the first two bytes can already break.
    fn check_start(&self) -> Result<Opcode, ReadError> {
        let [first, second, ..] = self.head;
        if first & 0x70 != 0 {
            return Err(ReadError::Protocol("a reserved bit is set"));
        }
        if second & 0x80 == 0 {
            return Err(ReadError::Protocol("frames of clients must be masked"));
        }
        let opcode = match first & 0x0F {
            0x0 if self.in_message => Opcode::Continuation,
            0x0 => return Err(ReadError::Protocol("nothing to continue")),
            0x1 | 0x2 if self.in_message => {
                return Err(ReadError::Protocol("the message before has not ended"));
            }
            0x1 => Opcode::Text,
            0x2 => return Err(ReadError::Binary),
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xA => Opcode::Pong,
            _ => return Err(ReadError::Protocol("unknown opcode")),
        };
        if opcode.is_control() {
            if first & 0x80 == 0 {
                return Err(ReadError::Protocol("control frames cannot be fragmented"));
            }
            if usize::from(second & 0x7F) > MAX_CONTROL_BYTES {
                return Err(ReadError::Protocol("the control frame is too long"));
            }
        }
        Ok(opcode)
    }

    fn parse_head(&self, length_bytes: usize) -> Result<Frame, ReadError> {
        let opcode = self.check_start()?;
        let extended = &self.head[2..2 + length_bytes];
        let said = extended
            .iter()
            .fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
        let length = match length_bytes {
            0 => u64::from(self.head[1] & 0x7F),
            2 if said < 126 => return Err(ReadError::Protocol("the length is not minimal")),
            8 if said <= 0xFFFF => return Err(ReadError::Protocol("the length is not minimal")),
            8 if said >> 63 != 0 => return Err(ReadError::Protocol("the length is negative")),
            _ => said,
        };
        let left_bytes = usize::try_from(length)
            .ok()
            .filter(|bytes| {
                opcode.is_control()
                    || self
                        .message
                        .len()
                        .checked_add(*bytes)
                        .is_some_and(|sum| sum <= self.max_message_bytes)
            })
            .ok_or(ReadError::TooLarge(self.max_message_bytes))?;
        let mut mask = [0; 4];
        mask.copy_from_slice(&self.head[2 + length_bytes..2 + length_bytes + 4]);
        Ok(Frame {
            opcode,
            is_final: self.head[0] & 0x80 != 0,
            mask,
            left_bytes,
            read_bytes: 0,
        })
    }

    fn take_payload(&mut self, frame: Frame, chunk: &[u8]) -> Result<(), ReadError> {
        if frame.opcode.is_control() {
            unmask_into(&mut self.control, chunk, frame.mask, frame.read_bytes);
            return Ok(());
        }
        unmask_into(&mut self.message, chunk, frame.mask, frame.read_bytes);
        self.check_text()
    }

    /// Checks what is new in the text; a character may still be incomplete at its end.
    fn check_text(&mut self) -> Result<(), ReadError> {
        match std::str::from_utf8(&self.message[self.checked_bytes..]) {
            Ok(_) => self.checked_bytes = self.message.len(),
            Err(error) if error.error_len().is_none() => self.checked_bytes += error.valid_up_to(),
            Err(_) => return Err(ReadError::InvalidText),
        }
        Ok(())
    }

    fn end_frame(&mut self, frame: Frame) -> Result<Option<Incoming>, ReadError> {
        match frame.opcode {
            Opcode::Ping => Ok(Some(Incoming::Ping(std::mem::take(&mut self.control)))),
            Opcode::Pong => {
                self.control = Vec::new();
                Ok(Some(Incoming::Pong))
            }
            Opcode::Close => {
                let payload = std::mem::take(&mut self.control);
                parse_close(&payload).map(|code| Some(Incoming::Close(code)))
            }
            Opcode::Text | Opcode::Continuation if !frame.is_final => {
                self.in_message = true;
                Ok(None)
            }
            Opcode::Text | Opcode::Continuation => {
                self.in_message = false;
                self.checked_bytes = 0;
                let mut bytes = std::mem::take(&mut self.message);
                if bytes.capacity() > bytes.len() + KEEP_CAPACITY_BYTES {
                    bytes.shrink_to_fit();
                }
                String::from_utf8(bytes)
                    .map(|text| Some(Incoming::Text(text)))
                    .map_err(|_| ReadError::InvalidText)
            }
        }
    }
}

fn unmask_into(out: &mut Vec<u8>, chunk: &[u8], mask: [u8; 4], already_read: usize) {
    let start = out.len();
    out.extend_from_slice(chunk);
    let mut turned = mask;
    turned.rotate_left(already_read % 4);
    for piece in out[start..].chunks_mut(4) {
        for (byte, key) in piece.iter_mut().zip(turned) {
            *byte ^= key;
        }
    }
}

/// The code of a close frame, where it has one.
fn parse_close(payload: &[u8]) -> Result<Option<u16>, ReadError> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(ReadError::Protocol("a close code has two bytes")),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(ReadError::Protocol("the close code may not be sent"));
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(ReadError::InvalidText);
    }
    Ok(Some(code))
}

#[cfg(test)]
mod tests;
