//! `delete`.

use std::sync::atomic::Ordering;

use bson::{Document, RawDocument, doc};

use super::{
    call::Call,
    find, insert, names, update,
    write_result::{WriteErrors, count},
};
use crate::{
    bail, error::Result, planner::Hint, query::Filter, storage::writer::WriteTxn, wire::BsonWriter,
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
    let reply = call.write_once(|txn| {
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
    })?;
    insert::finish(reply, out)
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
    let rids = update::matching_rids(txn, &collection, filter, query, hint.as_ref(), &check)?;
    let mut deleted = 0;
    for (at, rid) in rids.into_iter().enumerate() {
        if at % 256 == 255 {
            check()?;
        }
        if let Some(raw) = txn.document(&collection, rid)? {
            txn.delete(&collection, rid, &raw)?;
            deleted += 1;
        }
    }
    Ok(deleted)
}
