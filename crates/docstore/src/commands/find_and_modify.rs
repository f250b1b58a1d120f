//! `findAndModify`.

use bson::{Bson, Document, doc};

use super::{
    call::Call,
    find, insert, names,
    update::{self, Target, UpdateStatement},
};
use crate::{
    bail, error::Result, projection::Projection, query::Filter, storage::writer::WriteTxn,
    update::Update, wire::BsonWriter,
};

/// The fields of `findAndModify`.
pub const FIELDS: &[&str] = &[
    "findAndModify",
    "findandmodify",
    "query",
    "sort",
    "remove",
    "update",
    "new",
    "fields",
    "upsert",
    "bypassDocumentValidation",
    "collation",
    "arrayFilters",
    "hint",
    "let",
];

struct Wanted {
    query: Document,
    filter: Filter,
    sort: Document,
    hint: Option<crate::planner::Hint>,
    /// `None`: remove.
    update: Option<UpdateStatement>,
    new: bool,
    bypass: bool,
    projection: Option<Projection>,
}

/// `findAndModify`.
pub fn find_and_modify(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let ns = names::writable_namespace(call.database, call.args.collection()?)?;
    let wanted = parse(call)?;
    let reply = call.write_once(|txn| {
        let (last_error, value) = run(txn, &ns, &wanted, call)?;
        let value = match (value, &wanted.projection) {
            (Some(document), Some(projection)) => {
                Bson::Document(projection.apply(&document, Some(&wanted.filter))?)
            }
            (Some(document), None) => Bson::Document(document),
            (None, _) => Bson::Null,
        };
        Ok(doc! { "lastErrorObject": last_error, "value": value })
    })?;
    insert::finish(reply, out)
}

fn parse(call: &Call<'_>) -> Result<Wanted> {
    let args = &call.args;
    find::refuse_collation(args.document("collation")?)?;
    let query = args.document_or_empty("query")?;
    let variables = find::variables(args.document("let")?)?;
    let remove = args.flag("remove")?;
    let (new, upsert) = (args.flag("new")?, args.flag("upsert")?);
    let update = args.value("update")?;
    let array_filters = args.documents("arrayFilters")?;
    if remove {
        if update.is_some() {
            bail!(
                FailedToParse,
                "Cannot specify both an update and remove=true"
            );
        }
        if upsert {
            bail!(
                FailedToParse,
                "Cannot specify both upsert=true and remove=true "
            );
        }
        if new {
            bail!(
                FailedToParse,
                "Cannot specify both new=true and remove=true; 'remove' always returns the deleted document"
            );
        }
        if array_filters.is_some() {
            bail!(FailedToParse, "Cannot specify arrayFilters and remove=true");
        }
    }
    let filter = Filter::parse(&query, &variables)?;
    let sort = args.document_or_empty("sort")?;
    let hint = find::hint(call)?;
    let update = match (remove, update) {
        (true, _) => None,
        (false, None) => {
            bail!(
                FailedToParse,
                "Either an update or remove=true must be specified"
            )
        }
        (false, Some(update)) => Some(UpdateStatement {
            query: query.clone(),
            filter: filter.clone(),
            update: Update::parse(&update, &array_filters.unwrap_or_default(), &variables)?,
            multi: false,
            upsert,
            hint: hint.clone(),
            sort: sort.clone(),
        }),
    };
    let fields = args.document_or_empty("fields")?;
    let projection = if fields.is_empty() {
        None
    } else {
        Some(Projection::parse(&fields, &variables)?)
    };
    let bypass = args.flag("bypassDocumentValidation")?;
    Ok(Wanted {
        query,
        filter,
        sort,
        hint,
        update,
        new,
        bypass,
        projection,
    })
}

fn run(
    txn: &mut WriteTxn<'_>,
    ns: &str,
    wanted: &Wanted,
    call: &Call<'_>,
) -> Result<(Document, Option<Document>)> {
    let found = txn.catalog().get(ns).cloned();
    let collection = match found {
        Some(collection) if wanted.bypass => Some(insert::without_validator(&collection)?),
        other => other,
    };
    let target: Option<Target> = match &collection {
        Some(collection) => update::first_match(
            txn,
            collection,
            &wanted.filter,
            &wanted.query,
            &wanted.sort,
            wanted.hint.as_ref(),
            &|| call.check_time(),
        )?,
        None => None,
    };
    match (target, collection, &wanted.update) {
        (Some(target), Some(collection), Some(statement)) => {
            let changed = update::apply(txn, &collection, statement, &target)?;
            let value = if wanted.new {
                changed.unwrap_or(target.document)
            } else {
                target.document
            };
            Ok((doc! { "n": 1, "updatedExisting": true }, Some(value)))
        }
        (Some(target), Some(collection), None) => {
            txn.delete(&collection, target.rid, super::read::raw(&target.bytes)?)?;
            Ok((doc! { "n": 1 }, Some(target.document)))
        }
        (_, _, Some(statement)) if statement.upsert => {
            let document = statement.update.upsert_document(&statement.filter)?;
            let id = update::insert_upserted(txn, ns, &document, wanted.bypass)?;
            let last = doc! { "n": 1, "updatedExisting": false, "upserted": id };
            Ok((last, wanted.new.then_some(document)))
        }
        (_, _, Some(_)) => Ok((doc! { "n": 0, "updatedExisting": false }, None)),
        (_, _, None) => Ok((doc! { "n": 0 }, None)),
    }
}
