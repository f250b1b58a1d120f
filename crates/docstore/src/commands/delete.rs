//! `delete`.

use std::sync::{Arc, atomic::Ordering};

use bson::{Document, RawDocument, doc};

use super::{
    call::Call,
    find, insert, names, update,
    write_result::{WriteErrors, count},
};
use crate::{
    bail,
    error::Result,
    planner::Hint,
    query::Filter,
    storage::{catalog::Collection, writer::WriteTxn},
    wire::BsonWriter,
};

/// The fields of `delete`.
pub const FIELDS: &[&str] = &[
    "delete",
    "deletes",
    "ordered",
    "let",
    // Without effect: drivers send it with every write of a bulk.
    "bypassDocumentValidation",
];

/// Documents that are deleted at a time on a full disk.
const PART_DOCUMENTS: usize = 16;

struct DeleteStatement {
    query: Document,
    filter: Filter,
    /// All that match, not only one.
    multi: bool,
    hint: Option<Hint>,
}

/// `delete`.
pub fn delete(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let ns = names::writable_namespace(call.database, call.args.collection()?)?;
    let raw = call.raw_documents("deletes")?;
    insert::check_statements(raw.len())?;
    let ordered = call.args.optional_flag("ordered")?.unwrap_or(true);
    let variables = find::variables(call.args.document("let")?)?;
    let statements: Vec<Result<DeleteStatement>> = raw
        .iter()
        .map(|raw| parse_statement(raw, &variables))
        .collect();
    update::refuse_unknown_fields(&statements)?;
    call.service
        .counters
        .deletes
        .fetch_add(raw.len() as u64, Ordering::Relaxed);
    let in_transaction = call.transaction.is_some();
    let mut cleared = 0;
    let mut job = |txn: &mut WriteTxn<'_>| {
        let mut deleted = 0;
        let mut errors = WriteErrors::default();
        for (at, statement) in statements.iter().enumerate() {
            let done = match statement {
                Ok(statement) => run(txn, &ns, statement, call),
                Err(error) => Err(error.clone()),
            };
            match done {
                Ok(count) => deleted += count,
                Err(error) if in_transaction => return Err(error),
                Err(error) => {
                    errors.add(at, error)?;
                    if ordered {
                        break;
                    }
                }
            }
        }
        let mut reply = doc! { "n": count(deleted) };
        errors.append_to(&mut reply);
        Ok(reply)
    };
    let reply = match call.write_once(&mut job) {
        Err(error) if error.is_full_disk() && !in_transaction => {
            cleared = clear_in_parts(call, &ns, &statements)?;
            call.write_once(&mut job)
        }
        reply => reply,
    };
    let mut reply = reply?;
    if let Ok(n) = reply.get_i32("n") {
        reply.insert("n", count(cleared + u64::try_from(n).unwrap_or(0)));
    }
    insert::finish(reply, out)
}

/// On a full disk the log has no room for all at once: deletes part by part, and moves the log into
/// the data file in between. Only what deletes all that match; the rest is little.
fn clear_in_parts(
    call: &Call<'_>,
    ns: &str,
    statements: &[Result<DeleteStatement>],
) -> Result<u64> {
    let mut deleted = 0;
    for statement in statements.iter().flatten().filter(|each| each.multi) {
        let mut size = PART_DOCUMENTS;
        loop {
            let part = call.write(|txn| {
                let Some(collection) = txn.catalog().get(ns).cloned() else {
                    return Ok(0);
                };
                delete_matching(txn, &collection, statement, call, size)
            });
            let part = match part {
                Err(error) if error.is_full_disk() && size > 1 => {
                    size /= 4;
                    continue;
                }
                part => part?,
            };
            call.service.store.checkpoint()?;
            deleted += part;
            if part == 0 {
                break;
            }
        }
    }
    Ok(deleted)
}

fn parse_statement(raw: &RawDocument, variables: &Document) -> Result<DeleteStatement> {
    let args = super::args::Args::new("delete.deletes", raw);
    args.check_known(&["q", "limit", "collation", "hint", "sampleId"])?;
    find::refuse_collation(args.document("collation")?)?;
    let Some(query) = args.document("q")? else {
        bail!(
            IDLFailedToParse,
            "BSON field 'delete.deletes.q' is missing but a required field"
        )
    };
    let multi = match args.integer("limit")? {
        Some(0) => true,
        Some(1) => false,
        Some(other) => bail!(
            FailedToParse,
            "The limit field in delete objects must be 0 or 1. Got {other}"
        ),
        None => bail!(
            IDLFailedToParse,
            "BSON field 'delete.deletes.limit' is missing but a required field"
        ),
    };
    Ok(DeleteStatement {
        filter: Filter::parse(&query, variables)?,
        query,
        multi,
        hint: args
            .value("hint")?
            .map_or(Ok(None), |hint| Hint::parse(&hint))?,
    })
}

fn run(
    txn: &mut WriteTxn<'_>,
    ns: &str,
    statement: &DeleteStatement,
    call: &Call<'_>,
) -> Result<u64> {
    let Some(collection) = txn.catalog().get(ns).cloned() else {
        return Ok(0);
    };
    let check = || call.check_time();
    let DeleteStatement {
        query,
        filter,
        hint,
        ..
    } = statement;
    if !statement.multi {
        let target = update::first_match(
            txn,
            &collection,
            filter,
            query,
            &Document::new(),
            hint.as_ref(),
            &check,
        )?;
        let Some(target) = target else { return Ok(0) };
        txn.delete(&collection, target.rid, super::read::raw(&target.bytes)?)?;
        return Ok(1);
    }
    delete_matching(txn, &collection, statement, call, usize::MAX)
}

/// Deletes at most `limit` of the documents that match.
fn delete_matching(
    txn: &mut WriteTxn<'_>,
    collection: &Arc<Collection>,
    statement: &DeleteStatement,
    call: &Call<'_>,
    limit: usize,
) -> Result<u64> {
    let check = || call.check_time();
    let DeleteStatement {
        query,
        filter,
        hint,
        ..
    } = statement;
    let rids = update::matching_rids(txn, collection, filter, query, hint.as_ref(), &check)?;
    let mut deleted = 0;
    for (at, rid) in rids.into_iter().take(limit).enumerate() {
        if at % 256 == 255 {
            check()?;
        }
        if let Some(raw) = txn.document(collection, rid)? {
            txn.delete(collection, rid, &raw)?;
            deleted += 1;
        }
    }
    Ok(deleted)
}
