//! How much blocking stages hold: bytes of documents as they are stored, and roughly those of
//! values that are kept decoded.

use bson::{Bson, Document};

use crate::error::CommandError;

/// Counts what a stage keeps.
#[derive(Debug)]
pub(super) struct Budget {
    used_bytes: usize,
    limit_bytes: usize,
}

impl Budget {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self {
            used_bytes: 0,
            limit_bytes,
        }
    }

    /// Counts `bytes` more.
    pub(super) fn add(&mut self, bytes: usize) {
        self.used_bytes = self.used_bytes.saturating_add(bytes);
    }

    /// Counts `bytes` less.
    pub(super) fn release(&mut self, bytes: usize) {
        self.used_bytes = self.used_bytes.saturating_sub(bytes);
    }

    /// Whether more is kept than may be.
    pub(super) fn is_exceeded(&self) -> bool {
        self.used_bytes > self.limit_bytes
    }

    /// The error where more is kept than may be and the disk is no help: one answer has to hold it.
    pub(super) fn check(&self, code: i32, what: &str) -> Result<(), CommandError> {
        if self.is_exceeded() {
            return Err(CommandError::location(
                code,
                format!("{what} exceeds {} bytes", self.limit_bytes),
            ));
        }
        Ok(())
    }

    /// Counts from nothing again.
    pub(super) fn clear(&mut self) {
        self.used_bytes = 0;
    }
}

/// Bytes of a document as it is stored.
pub(super) fn stored_bytes(document: &Document) -> usize {
    let fields = document
        .iter()
        .map(|(name, value)| 2 + name.len() + stored_value_bytes(value));
    5 + fields.sum::<usize>()
}

fn stored_value_bytes(value: &Bson) -> usize {
    match value {
        Bson::String(text) | Bson::Symbol(text) | Bson::JavaScriptCode(text) => 5 + text.len(),
        Bson::Binary(binary) => 5 + binary.bytes.len(),
        Bson::Document(document) => stored_bytes(document),
        Bson::Array(items) => {
            let items = items.iter().map(|item| 6 + stored_value_bytes(item));
            5 + items.sum::<usize>()
        }
        Bson::JavaScriptCodeWithScope(code) => 9 + code.code.len() + stored_bytes(&code.scope),
        Bson::RegularExpression(regex) => 2 + regex.pattern.len() + regex.options.len(),
        Bson::Null | Bson::Undefined | Bson::MinKey | Bson::MaxKey => 0,
        Bson::Boolean(_) => 1,
        Bson::Int32(_) => 4,
        Bson::ObjectId(_) => 12,
        Bson::Decimal128(_) | Bson::DbPointer(_) => 16,
        Bson::Int64(_) | Bson::Double(_) | Bson::DateTime(_) | Bson::Timestamp(_) => 8,
    }
}

/// Bytes that a decoded value takes in memory, roughly.
pub(super) fn held_bytes(value: &Bson) -> usize {
    let document = |document: &Document| {
        let fields = document
            .iter()
            .map(|(name, value)| 64 + name.len() + held_bytes(value));
        64 + fields.sum::<usize>()
    };
    size_of::<Bson>()
        + match value {
            Bson::String(text) | Bson::Symbol(text) | Bson::JavaScriptCode(text) => text.len(),
            Bson::Binary(binary) => binary.bytes.len(),
            Bson::Document(inner) => document(inner),
            Bson::Array(items) => items.iter().map(held_bytes).sum(),
            Bson::JavaScriptCodeWithScope(code) => code.code.len() + document(&code.scope),
            Bson::RegularExpression(regex) => regex.pattern.len() + regex.options.len(),
            _ => 0,
        }
}
