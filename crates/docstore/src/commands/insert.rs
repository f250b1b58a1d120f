//! `insert`.

use std::{borrow::Cow, sync::atomic::Ordering};

use bson::{Document, RawDocument, doc};

use super::{
    call::Call,
    names,
    write_result::{WriteErrors, count},
};
use crate::{
    bail,
    error::Result,
    storage::documents::with_id_first,
    wire::{BsonWriter, validate::check_stored_depth},
};

/// The fields of `insert`.
pub const FIELDS: &[&str] = &["insert", "documents", "ordered", "bypassDocumentValidation"];

/// Statements that one command may have.
pub const MAX_STATEMENTS: usize = 100_000;

/// `insert`.
pub fn insert(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let ns = names::writable_namespace(call.database, call.args.collection()?)?;
    let documents = call.raw_documents("documents")?;
    check_statements(documents.len())?;
    let ordered = call.args.optional_flag("ordered")?.unwrap_or(true);
    let bypass = call.args.flag("bypassDocumentValidation")?;
    let prepared: Vec<Result<Cow<'_, RawDocument>>> = documents
        .iter()
        .map(|raw| {
            check_stored_depth(raw.as_bytes())?;
            Ok(match with_id_first(raw)? {
                None => Cow::Borrowed(*raw),
                Some(owned) => Cow::Owned(owned),
            })
        })
        .collect();
    call.service
        .counters
        .inserts
        .fetch_add(documents.len() as u64, Ordering::Relaxed);
    let in_transaction = call.transaction.is_some();
    let reply = call.write_once(|txn| {
        let collection = txn.collection_or_new(&ns)?;
        let collection = if bypass {
            without_validator(&collection)?
        } else {
            collection
        };
        let mut errors = WriteErrors::default();
        let mut inserted = 0_u64;
        for (at, document) in prepared.iter().enumerate() {
            if at % 256 == 255 {
                call.check_time()?;
            }
            let done = match document {
                Ok(document) => txn.insert(&collection, document),
                Err(error) => Err(error.clone()),
            };
            match done {
                Ok(()) => inserted += 1,
                Err(error) if in_transaction => return Err(error),
                Err(error) => {
                    errors.add(at, error)?;
                    if ordered {
                        break;
                    }
                }
            }
        }
        let mut reply = doc! { "n": count(inserted) };
        errors.append_to(&mut reply);
        Ok(reply)
    })?;
    finish(reply, out)
}

/// Writes a reply with `ok: 1`.
pub fn finish(mut reply: Document, out: &mut BsonWriter) -> Result<()> {
    reply.insert("ok", 1.0);
    out.begin();
    out.fields(&reply)?;
    out.end();
    Ok(())
}

/// Checks how many statements a command has.
pub fn check_statements(count: usize) -> Result<()> {
    if count == 0 || count > MAX_STATEMENTS {
        bail!(
            InvalidLength,
            "Write batch sizes must be between 1 and {MAX_STATEMENTS}. Got {count} operations."
        );
    }
    Ok(())
}

/// The collection as a write sees it that bypasses validation.
pub fn without_validator(
    collection: &std::sync::Arc<crate::storage::catalog::Collection>,
) -> Result<std::sync::Arc<crate::storage::catalog::Collection>> {
    if collection.validator.is_none() {
        return Ok(std::sync::Arc::clone(collection));
    }
    Ok(std::sync::Arc::new(collection.bypassing_validation()?))
}
