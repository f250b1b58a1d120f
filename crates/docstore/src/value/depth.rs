//! How deep documents may nest.

use bson::{Bson, Document};

use crate::{bail, error::Result};

/// What MongoDB lets be stored. Walks over values recurse, so this also bounds their stack.
pub const MAX_STORED_DEPTH: usize = 180;

/// Refuses a document that nests deeper than may be stored (15 Overflow).
pub fn check_depth(doc: &Document) -> Result<()> {
    if doc.values().all(|value| fits(value, MAX_STORED_DEPTH)) {
        return Ok(());
    }
    bail!(
        Overflow,
        "Document exceeds maximum nesting depth of {MAX_STORED_DEPTH}"
    )
}

fn fits(value: &Bson, left: usize) -> bool {
    match value {
        Bson::Document(inner) => left > 0 && inner.values().all(|value| fits(value, left - 1)),
        Bson::Array(items) => left > 0 && items.iter().all(|value| fits(value, left - 1)),
        Bson::JavaScriptCodeWithScope(code) => {
            left > 0 && code.scope.values().all(|value| fits(value, left - 1))
        }
        _ => true,
    }
}
