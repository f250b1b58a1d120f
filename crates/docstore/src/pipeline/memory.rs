//! How much memory blocking stages keep, roughly, and the error beyond the bound.

use bson::{Bson, Document};

use crate::error::{Code, CommandError, Result};

/// Counts what a stage keeps.
#[derive(Debug)]
pub(super) struct Budget {
    stage: &'static str,
    used_bytes: usize,
    limit_bytes: usize,
}

impl Budget {
    pub(super) fn new(stage: &'static str, limit_bytes: usize) -> Self {
        Self {
            stage,
            used_bytes: 0,
            limit_bytes,
        }
    }

    /// Counts `bytes` more.
    pub(super) fn add(&mut self, bytes: usize) -> Result<()> {
        self.used_bytes = self.used_bytes.saturating_add(bytes);
        if self.used_bytes <= self.limit_bytes {
            return Ok(());
        }
        Err(CommandError::new(
            Code::QueryExceededMemoryLimitNoDiskUseAllowed,
            format!(
                "Exceeded memory limit of {} bytes for {}, and spilling to disk is not supported",
                self.limit_bytes, self.stage
            ),
        ))
    }

    /// Counts a document.
    pub(super) fn add_document(&mut self, document: &Document) -> Result<()> {
        self.add(document_bytes(document))
    }

    /// Counts `bytes` less.
    pub(super) fn release(&mut self, bytes: usize) {
        self.used_bytes = self.used_bytes.saturating_sub(bytes);
    }
}

/// Bytes that a document takes in memory, roughly.
pub(super) fn document_bytes(document: &Document) -> usize {
    let fields = document
        .iter()
        .map(|(name, value)| 64 + name.len() + value_bytes(value));
    64 + fields.sum::<usize>()
}

/// Bytes that a value takes in memory, roughly.
pub(super) fn value_bytes(value: &Bson) -> usize {
    let own = size_of::<Bson>();
    own + match value {
        Bson::String(text) | Bson::Symbol(text) | Bson::JavaScriptCode(text) => text.len(),
        Bson::Binary(binary) => binary.bytes.len(),
        Bson::Document(document) => document_bytes(document),
        Bson::Array(items) => items.iter().map(value_bytes).sum(),
        Bson::JavaScriptCodeWithScope(code) => code.code.len() + document_bytes(&code.scope),
        Bson::RegularExpression(regex) => regex.pattern.len() + regex.options.len(),
        _ => 0,
    }
}
