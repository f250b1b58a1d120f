//! Writes BSON into a buffer without a tree of values in between.

use bson::{Bson, Document, RawBsonRef};

use crate::error::{Code, CommandError, Result};

/// A document being written at the end of a buffer. Every `begin…` has its [`Self::end`].
#[derive(Debug, Default)]
pub struct BsonWriter {
    buffer: Vec<u8>,
    /// Where the open documents begin.
    open: Vec<usize>,
}

impl BsonWriter {
    /// Writes after what is in `buffer`.
    pub fn new(buffer: Vec<u8>) -> Self {
        Self {
            buffer,
            open: Vec::with_capacity(4),
        }
    }

    /// The buffer.
    pub fn into_inner(self) -> Vec<u8> {
        self.buffer
    }

    /// Bytes so far, those before the document included.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Takes back everything after the first `len` bytes, open documents too.
    pub fn truncate(&mut self, len: usize) {
        self.buffer.truncate(len);
        self.open.retain(|start| *start < len);
    }

    /// The bytes so far.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Begins the outermost document.
    pub fn begin(&mut self) {
        self.open.push(self.buffer.len());
        self.buffer.extend_from_slice(&[0; 4]);
    }

    /// Begins a document within the open one.
    pub fn begin_document(&mut self, name: &str) {
        self.key(0x03, name);
        self.begin();
    }

    /// Begins an array within the open document.
    pub fn begin_array(&mut self, name: &str) {
        self.key(0x04, name);
        self.begin();
    }

    /// Opens the finished document again that begins at `start` and ends what is written.
    pub fn reopen(&mut self, start: usize) {
        self.buffer.pop();
        self.open.push(start);
    }

    /// Bytes of the generic subtype.
    pub fn binary(&mut self, name: &str, value: &[u8]) {
        self.key(0x05, name);
        let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.buffer.extend_from_slice(&len.to_le_bytes());
        self.buffer.push(0);
        self.buffer.extend_from_slice(value);
    }

    /// A timestamp.
    pub fn timestamp(&mut self, name: &str, value: bson::Timestamp) {
        self.key(0x11, name);
        self.buffer
            .extend_from_slice(&value.increment.to_le_bytes());
        self.buffer.extend_from_slice(&value.time.to_le_bytes());
    }

    /// Ends what was begun last.
    pub fn end(&mut self) {
        self.buffer.push(0);
        if let Some(start) = self.open.pop() {
            let len = u32::try_from(self.buffer.len() - start).unwrap_or(u32::MAX);
            self.buffer[start..start + 4].copy_from_slice(&len.to_le_bytes());
        }
    }

    /// A string.
    pub fn string(&mut self, name: &str, value: &str) {
        self.key(0x02, name);
        let len = u32::try_from(value.len() + 1).unwrap_or(u32::MAX);
        self.buffer.extend_from_slice(&len.to_le_bytes());
        self.buffer.extend_from_slice(value.as_bytes());
        self.buffer.push(0);
    }

    /// A 32-bit integer.
    pub fn int32(&mut self, name: &str, value: i32) {
        self.key(0x10, name);
        self.buffer.extend_from_slice(&value.to_le_bytes());
    }

    /// A count; 32 bits where it fits, as MongoDB does.
    pub fn count(&mut self, name: &str, value: u64) {
        match i32::try_from(value) {
            Ok(value) => self.int32(name, value),
            Err(_) => self.int64(name, i64::try_from(value).unwrap_or(i64::MAX)),
        }
    }

    /// A 64-bit integer.
    pub fn int64(&mut self, name: &str, value: i64) {
        self.key(0x12, name);
        self.buffer.extend_from_slice(&value.to_le_bytes());
    }

    /// A double.
    pub fn double(&mut self, name: &str, value: f64) {
        self.key(0x01, name);
        self.buffer.extend_from_slice(&value.to_le_bytes());
    }

    /// A boolean.
    pub fn boolean(&mut self, name: &str, value: bool) {
        self.key(0x08, name);
        self.buffer.push(u8::from(value));
    }

    /// An ObjectId.
    pub fn object_id(&mut self, name: &str, value: bson::oid::ObjectId) {
        self.key(0x07, name);
        self.buffer.extend_from_slice(&value.bytes());
    }

    /// A date, in milliseconds since 1970.
    pub fn date(&mut self, name: &str, millis: i64) {
        self.key(0x09, name);
        self.buffer.extend_from_slice(&millis.to_le_bytes());
    }

    /// Null.
    pub fn null(&mut self, name: &str) {
        self.key(0x0A, name);
    }

    /// A whole document, as bytes that are known to be one.
    pub fn document(&mut self, name: &str, bytes: &[u8]) {
        self.key(0x03, name);
        self.buffer.extend_from_slice(bytes);
    }

    /// An element of an array: a whole document, as bytes that are known to be one.
    pub fn item(&mut self, position: usize, bytes: &[u8]) {
        self.buffer.push(0x03);
        self.position(position);
        self.buffer.extend_from_slice(bytes);
    }

    /// Any value that is in BSON form already.
    pub fn raw(&mut self, name: &str, value: RawBsonRef<'_>) -> Result<()> {
        let value = Bson::try_from(value)
            .map_err(|error| CommandError::new(Code::InvalidBSON, error.to_string()))?;
        self.value(name, &value)
    }

    /// Any value.
    pub fn value(&mut self, name: &str, value: &Bson) -> Result<()> {
        let mut single = Document::new();
        single.insert(name, value.clone());
        self.fields(&single)
    }

    /// All fields of a document, within the open one.
    pub fn fields(&mut self, document: &Document) -> Result<()> {
        let bytes = encode(document)?;
        self.buffer.extend_from_slice(&bytes[4..bytes.len() - 1]);
        Ok(())
    }

    fn key(&mut self, kind: u8, name: &str) {
        self.buffer.push(kind);
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.push(0);
    }

    fn position(&mut self, position: usize) {
        let mut digits = [0_u8; 20];
        let mut at = digits.len();
        let mut rest = position;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.buffer.extend_from_slice(&digits[at..]);
        self.buffer.push(0);
    }
}

/// A document's bytes.
pub fn encode(document: &Document) -> Result<Vec<u8>> {
    document
        .to_vec()
        .map_err(|error| CommandError::new(Code::InvalidBSON, error.to_string()))
}
