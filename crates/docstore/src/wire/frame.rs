//! Frames: the header, OP_MSG with its sections, and OP_QUERY as far as old handshakes use it.

use bson::RawDocument;

use super::validate;
use crate::{
    bail,
    error::{Code, CommandError, Result},
};

/// A frame may have this many bytes.
pub const MAX_MESSAGE_BYTES: usize = 48_000_000;
/// The header's bytes.
pub const HEADER_BYTES: usize = 16;

const OP_REPLY: i32 = 1;
const OP_QUERY: i32 = 2004;
const OP_MSG: i32 = 2013;

const CHECKSUM_PRESENT: u32 = 1;
const MORE_TO_COME: u32 = 1 << 1;
const EXHAUST_ALLOWED: u32 = 1 << 16;
/// The lower half of the flags must be understood; the upper may be ignored.
const REQUIRED_FLAGS: u32 = 0xFFFF;

/// The header of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    /// Bytes of the whole frame.
    pub length: usize,
    /// Chosen by the sender.
    pub request_id: i32,
    /// What follows.
    pub opcode: i32,
}

impl Header {
    /// Reads a header; fails where the length cannot be.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self> {
        let number = |at: usize| {
            i32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let length = usize::try_from(number(0)).unwrap_or(0);
        if !(HEADER_BYTES..=MAX_MESSAGE_BYTES).contains(&length) {
            bail!(
                ProtocolError,
                "message length {} is not possible",
                number(0)
            );
        }
        Ok(Self {
            length,
            request_id: number(4),
            opcode: number(12),
        })
    }
}

/// One command as it came: the body and the document sequences beside it.
#[derive(Debug)]
pub struct Request<'a> {
    /// The command.
    pub body: &'a RawDocument,
    /// Sections of kind 1 by name.
    pub sequences: Vec<(&'a str, Vec<&'a RawDocument>)>,
}

impl<'a> Request<'a> {
    /// The documents of a section.
    pub fn sequence(&self, name: &str) -> Option<&[&'a RawDocument]> {
        self.sequences
            .iter()
            .find(|(other, _)| *other == name)
            .map(|(_, list)| list.as_slice())
    }

    /// The command's name: the name of its first field.
    pub fn command(&self) -> Result<&'a str> {
        match self.body.iter().next() {
            Some(Ok((name, _))) => Ok(name.as_str()),
            _ => bail!(CommandNotFound, "no such command: ''"),
        }
    }
}

/// A frame's content.
#[derive(Debug)]
pub enum Message<'a> {
    /// OP_MSG.
    Command {
        /// The command.
        request: Request<'a>,
        /// The client does not want an answer.
        more_to_come: bool,
        /// The client takes further answers to a `getMore` without asking for them.
        exhaust_allowed: bool,
    },
    /// OP_QUERY on a `$cmd` collection.
    LegacyCommand {
        /// The command.
        request: Request<'a>,
        /// The database that it is for.
        database: &'a str,
    },
}

/// Reads the content of a frame; `frame` includes the header.
pub fn parse<'a>(header: &Header, frame: &'a [u8]) -> Result<Message<'a>> {
    match header.opcode {
        OP_MSG => parse_message(frame),
        OP_QUERY => parse_query(frame),
        other => Err(unsupported(other)),
    }
}

/// Whether an error of [`parse`] is about the documents of an OP_MSG, not about the message itself.
pub fn is_about_documents(header: &Header, error: &CommandError) -> bool {
    let codes = [Code::InvalidBSON, Code::FailedToParse, Code::Overflow];
    header.opcode == OP_MSG && codes.iter().any(|code| *code as i32 == error.code)
}

/// Whether the client of an OP_MSG wants no answer.
pub fn wants_no_answer(frame: &[u8]) -> bool {
    read_u32(frame.get(HEADER_BYTES..).unwrap_or_default())
        .is_ok_and(|flags| flags & MORE_TO_COME != 0)
}

fn unsupported(opcode: i32) -> CommandError {
    CommandError::new(
        Code::UnsupportedOpQueryCommand,
        format!("Unsupported operation code {opcode}. The client driver may require an upgrade."),
    )
}

fn read_u32(bytes: &[u8]) -> Result<u32> {
    match bytes.first_chunk::<4>() {
        Some(bytes) => Ok(u32::from_le_bytes(*bytes)),
        None => bail!(ProtocolError, "the message ends early"),
    }
}

fn take_document<'a>(bytes: &mut &'a [u8]) -> Result<&'a RawDocument> {
    let len = validate::check_document(bytes, validate::MAX_DEPTH)?;
    let (head, tail) = bytes.split_at(len);
    *bytes = tail;
    RawDocument::from_bytes(head)
        .map_err(|error| CommandError::new(Code::InvalidBSON, error.to_string()))
}

fn take_cstr<'a>(bytes: &mut &'a [u8]) -> Result<&'a str> {
    let Some(end) = bytes.iter().position(|byte| *byte == 0) else {
        bail!(ProtocolError, "a name in the message has no end")
    };
    let Ok(text) = std::str::from_utf8(&bytes[..end]) else {
        bail!(ProtocolError, "a name in the message is not UTF-8")
    };
    *bytes = &bytes[end + 1..];
    Ok(text)
}

fn parse_message(frame: &[u8]) -> Result<Message<'_>> {
    let mut rest = &frame[HEADER_BYTES..];
    let flags = read_u32(rest)?;
    rest = &rest[4..];
    let unknown = flags & REQUIRED_FLAGS & !(CHECKSUM_PRESENT | MORE_TO_COME);
    if unknown != 0 {
        bail!(ProtocolError, "unknown required flags {unknown:#x}");
    }
    if flags & CHECKSUM_PRESENT != 0 {
        let Some((content, checksum)) = rest.split_last_chunk::<4>() else {
            bail!(ProtocolError, "the message ends before its checksum")
        };
        if crc32c::crc32c(&frame[..frame.len() - 4]) != u32::from_le_bytes(*checksum) {
            bail!(ProtocolError, "OP_MSG checksum does not match contents");
        }
        rest = content;
    }
    let mut body = None;
    let mut sequences: Vec<(&str, Vec<&RawDocument>)> = Vec::new();
    while let Some((kind, tail)) = rest.split_first() {
        rest = tail;
        match kind {
            0 if body.is_none() => body = Some(take_document(&mut rest)?),
            0 => bail!(ProtocolError, "OP_MSG has more than one body"),
            1 => {
                let len = read_u32(rest)? as usize;
                let Some((section, tail)) = rest.split_at_checked(len).filter(|_| len >= 4) else {
                    bail!(ProtocolError, "a section is longer than its message")
                };
                rest = tail;
                let mut section = &section[4..];
                let name = take_cstr(&mut section)?;
                if sequences.iter().any(|(other, _)| *other == name) {
                    bail!(ProtocolError, "duplicate document sequence: {name}");
                }
                let mut documents = Vec::new();
                while !section.is_empty() {
                    documents.push(take_document(&mut section)?);
                }
                sequences.push((name, documents));
            }
            other => bail!(ProtocolError, "unknown section kind {other}"),
        }
    }
    match body {
        Some(body) => Ok(Message::Command {
            request: Request { body, sequences },
            more_to_come: flags & MORE_TO_COME != 0,
            exhaust_allowed: flags & EXHAUST_ALLOWED != 0,
        }),
        None => bail!(ProtocolError, "OP_MSG has no body"),
    }
}

fn parse_query(frame: &[u8]) -> Result<Message<'_>> {
    let mut rest = &frame[HEADER_BYTES..];
    read_u32(rest)?;
    rest = &rest[4..];
    let ns = take_cstr(&mut rest)?;
    if rest.len() < 8 {
        bail!(ProtocolError, "OP_QUERY ends early");
    }
    rest = &rest[8..];
    let Some((database, "$cmd")) = ns.split_once('.') else {
        return Err(unsupported(OP_QUERY));
    };
    let body = take_document(&mut rest)?;
    Ok(Message::LegacyCommand {
        request: Request {
            body,
            sequences: Vec::new(),
        },
        database,
    })
}

/// Begins an answer in `buffer`: the header and the flags of an OP_MSG; [`finish`] completes it.
pub fn begin_reply(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.extend_from_slice(&[0; HEADER_BYTES + 5]);
}

/// Fills in the header of an OP_MSG begun by [`begin_reply`].
pub fn finish(buffer: &mut [u8], reply_id: i32, response_to: i32) {
    write_header(buffer, reply_id, response_to, OP_MSG);
}

/// The number of a finished answer.
pub fn reply_id(buffer: &[u8]) -> i32 {
    match buffer.get(4..).and_then(<[u8]>::first_chunk::<4>) {
        Some(bytes) => i32::from_le_bytes(*bytes),
        None => 0,
    }
}

/// Says in a finished OP_MSG that another answer follows by itself.
pub fn announce_more(buffer: &mut [u8]) {
    if let Some(flags) = buffer.get_mut(HEADER_BYTES..HEADER_BYTES + 4) {
        flags.copy_from_slice(&MORE_TO_COME.to_le_bytes());
    }
}

/// The document of an answer begun by [`begin_reply`].
pub fn reply_document(buffer: &[u8]) -> Option<&RawDocument> {
    RawDocument::from_bytes(buffer.get(HEADER_BYTES + 5..)?).ok()
}

/// An OP_REPLY around one document, the answer to an OP_QUERY.
pub fn legacy_reply(document: &[u8], reply_id: i32, response_to: i32) -> Vec<u8> {
    let mut buffer = vec![0; HEADER_BYTES];
    // Flags: await-capable. No cursor, from document 0, one document.
    for value in [8_i32, 0, 0, 0, 1] {
        buffer.extend_from_slice(&value.to_le_bytes());
    }
    buffer.extend_from_slice(document);
    write_header(&mut buffer, reply_id, response_to, OP_REPLY);
    buffer
}

fn write_header(buffer: &mut [u8], reply_id: i32, response_to: i32, opcode: i32) {
    let length = i32::try_from(buffer.len()).unwrap_or(i32::MAX);
    for (at, value) in [length, reply_id, response_to, opcode]
        .into_iter()
        .enumerate()
    {
        buffer[at * 4..at * 4 + 4].copy_from_slice(&value.to_le_bytes());
    }
}
