//! Checks that bytes are one well-formed BSON document, without building values.

use crate::{bail, error::Result, value::MAX_STORED_DEPTH};

/// A message may be nested this deep.
pub const MAX_DEPTH: usize = 200;

/// A slice that is read from its front, and how deep it may nest.
struct Bytes<'a>(&'a [u8], usize);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        match self.0.split_at_checked(len) {
            Some((head, tail)) => {
                self.0 = tail;
                Ok(head)
            }
            None => bail!(InvalidBSON, "BSON ends within a value"),
        }
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn length(&mut self) -> Result<usize> {
        let bytes = self.take(4)?;
        let value = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        match usize::try_from(value) {
            Ok(value) => Ok(value),
            Err(_) => bail!(InvalidBSON, "negative length {value} in BSON"),
        }
    }

    fn cstring(&mut self) -> Result<()> {
        let Some(end) = self.0.iter().position(|byte| *byte == 0) else {
            bail!(InvalidBSON, "a name in BSON has no end")
        };
        let text = self.take(end)?;
        self.take(1)?;
        check_text(text)
    }

    fn string(&mut self) -> Result<()> {
        let len = self.length()?;
        let text = self.take(len)?;
        match text.split_last() {
            Some((0, text)) => check_text(text),
            _ => bail!(InvalidBSON, "a string in BSON does not end in NUL"),
        }
    }

    fn document(&mut self, depth: usize) -> Result<()> {
        if depth > self.1 {
            bail!(Overflow, "BSON is nested deeper than {} levels", self.1);
        }
        let mut length = Bytes(self.0, 0);
        let len = length.length()?;
        if len < 5 {
            bail!(InvalidBSON, "BSON document length {len} is too small");
        }
        let mut inner = Bytes(&self.take(len)?[4..], self.1);
        loop {
            let kind = inner.byte()?;
            if kind == 0 {
                break;
            }
            inner.cstring()?;
            inner.value(kind, depth)?;
        }
        if !inner.0.is_empty() {
            bail!(InvalidBSON, "BSON document is longer than its content");
        }
        Ok(())
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<()> {
        match kind {
            0x01 | 0x09 | 0x11 | 0x12 => self.take(8).map(|_| ()),
            0x02 | 0x0D | 0x0E => self.string(),
            0x03 | 0x04 => self.document(depth + 1),
            0x05 => {
                let len = self.length()?;
                let subtype = self.byte()?;
                let data = self.take(len)?;
                if subtype == 2 {
                    // The old form carries its length again.
                    let mut inner = Bytes(data, 0);
                    if inner.length()? != len - 4 {
                        bail!(
                            InvalidBSON,
                            "binary of subtype 2 with contradicting lengths"
                        );
                    }
                }
                Ok(())
            }
            0x06 | 0x0A | 0x7F | 0xFF => Ok(()),
            0x07 => self.take(12).map(|_| ()),
            0x08 => match self.byte()? {
                0 | 1 => Ok(()),
                other => bail!(InvalidBSON, "boolean with value {other} in BSON"),
            },
            0x0B => {
                self.cstring()?;
                self.cstring()
            }
            0x0C => {
                self.string()?;
                self.take(12).map(|_| ())
            }
            0x0F => {
                let mut length = Bytes(self.0, 0);
                let len = length.length()?;
                let mut inner = Bytes(self.take(len)?, self.1);
                inner.take(4)?;
                inner.string()?;
                inner.document(depth + 1)?;
                if !inner.0.is_empty() {
                    bail!(InvalidBSON, "code with scope is longer than its content");
                }
                Ok(())
            }
            0x10 => self.take(4).map(|_| ()),
            0x13 => self.take(16).map(|_| ()),
            other => bail!(InvalidBSON, "unknown BSON type {other:#04x}"),
        }
    }
}

fn check_text(text: &[u8]) -> Result<()> {
    if std::str::from_utf8(text).is_err() {
        bail!(FailedToParse, "text in BSON is not UTF-8");
    }
    Ok(())
}

/// Refuses a document that nests deeper than may be stored.
pub fn check_stored_depth(document: &[u8]) -> Result<()> {
    // A level takes seven bytes at least.
    if document.len() > 7 * MAX_STORED_DEPTH {
        check_document(document, MAX_STORED_DEPTH)?;
    }
    Ok(())
}

/// Checks that `bytes` begin with a document, nested at most `max_depth` deep; returns its length.
pub fn check_document(bytes: &[u8], max_depth: usize) -> Result<usize> {
    let mut rest = Bytes(bytes, max_depth);
    rest.document(1)?;
    Ok(bytes.len() - rest.0.len())
}
