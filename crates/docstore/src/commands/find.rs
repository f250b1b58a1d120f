//! `find`: a fast way for one document by `_id`, and the general way.

use bson::{Bson, Document, RawBsonRef, RawDocument};

use super::{
    call::Call,
    cursors::{Batch, CursorKind},
    read::{self, ReadQuery, ReadSpec},
};
use crate::{
    bail,
    error::{Code, CommandError, Result},
    expr::{Expr, Vars},
    planner::Hint,
    storage::documents,
    wire::BsonWriter,
};

/// The fields of `find`.
pub const FIELDS: &[&str] = &[
    "find",
    "filter",
    "sort",
    "projection",
    "hint",
    "skip",
    "limit",
    "batchSize",
    "singleBatch",
    "max",
    "min",
    "returnKey",
    "showRecordId",
    "tailable",
    "oplogReplay",
    "noCursorTimeout",
    "awaitData",
    "allowPartialResults",
    "allowDiskUse",
    "collation",
    "let",
    "term",
    "readOnce",
];

/// The first batch has this many documents where the client does not say.
pub const DEFAULT_FIRST_BATCH: u64 = 101;

/// `find`.
pub fn find(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    call.service
        .counters
        .queries
        .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    if call.transaction.is_none()
        && let Some(key) = point_key(call)?
    {
        return find_one_by_id(call, &key, out);
    }
    let spec = parse(call)?;
    let batch_size = call.args.unsigned("batchSize")?;
    let single_batch = single_batch(call)?;
    let max = batch_size.unwrap_or(DEFAULT_FIRST_BATCH);
    let start = out.len();
    let query = call.read(|connection, catalog| {
        out.truncate(start);
        let mut query = ReadQuery::new(connection, catalog, &spec)?;
        let mut batch = Batch::first(out, max);
        if max > 0 {
            query.fill(connection, catalog, &|| call.check_time(), &mut |bytes| {
                batch.push(bytes)
            })?;
        }
        Ok(query)
    })?;
    let open = !query.is_done() && !single_batch;
    let id = if open {
        let keep = call.args.flag("noCursorTimeout")?;
        call.service
            .cursors
            .open(call, &spec.ns, CursorKind::Query(Box::new(query)), keep)?
    } else {
        0
    };
    Batch::finish(out, id, &spec.ns);
    Ok(())
}

fn single_batch(call: &Call<'_>) -> Result<bool> {
    let negative = call.args.integer("limit")?.is_some_and(|limit| limit < 0);
    Ok(negative || call.args.flag("singleBatch")?)
}

/// The key of `{_id: value}` where nothing else is asked for.
fn point_key(call: &Call<'_>) -> Result<Option<Vec<u8>>> {
    let mut key = None;
    for element in call.request.body.iter() {
        let (name, value) =
            element.map_err(|error| CommandError::new(Code::InvalidBSON, error.to_string()))?;
        match (name.as_str(), value) {
            ("filter", RawBsonRef::Document(filter)) => key = id_equality(filter)?,
            ("limit", RawBsonRef::Int32(1) | RawBsonRef::Int64(1) | RawBsonRef::Int32(0)) => {}
            ("singleBatch", RawBsonRef::Boolean(_)) => {}
            (
                "find"
                | "$db"
                | "lsid"
                | "$readPreference"
                | "readConcern"
                | "maxTimeMS"
                | "comment"
                | "$clusterTime"
                | "apiVersion"
                | "apiStrict"
                | "apiDeprecationErrors",
                _,
            ) => {}
            _ => return Ok(None),
        }
    }
    Ok(key)
}

fn id_equality(filter: &RawDocument) -> Result<Option<Vec<u8>>> {
    let mut elements = filter.iter();
    let (Some(Ok((name, value))), None) = (elements.next(), elements.next()) else {
        return Ok(None);
    };
    let plain = matches!(
        value,
        RawBsonRef::ObjectId(_)
            | RawBsonRef::String(_)
            | RawBsonRef::Int32(_)
            | RawBsonRef::Int64(_)
            | RawBsonRef::Binary(_)
            | RawBsonRef::DateTime(_)
    );
    if name.as_str() != "_id" || !plain {
        return Ok(None);
    }
    let id = Bson::try_from(value)
        .map_err(|error| CommandError::new(Code::InvalidBSON, error.to_string()))?;
    Ok(Some(documents::id_key(&id)))
}

fn find_one_by_id(call: &mut Call<'_>, key: &[u8], out: &mut BsonWriter) -> Result<()> {
    let ns = call.namespace()?;
    let store = &call.service.store;
    let start = out.len();
    let mut attempts = 0;
    loop {
        out.truncate(start);
        let mut batch = Batch::first(out, 1);
        let result = match store.catalog().get(&ns) {
            None => Ok(()),
            Some(collection) => {
                let uses = &collection.id_index().uses.count;
                uses.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let reader = store.reader()?;
                let found = reader
                    .prepare_cached(&collection.id_index().sql.point)
                    .and_then(|mut statement| {
                        let mut rows = statement.query([key])?;
                        if let Some(row) = rows.next()? {
                            batch.push_any(row.get_ref(1)?.as_blob()?);
                        }
                        Ok(())
                    });
                found.map_err(CommandError::from)
            }
        };
        match result {
            Err(error) if attempts < 3 && error.message.contains("no such table") => attempts += 1,
            Err(error) => return Err(error),
            Ok(()) => break,
        }
    }
    Batch::finish(out, 0, &ns);
    Ok(())
}

/// What a `find` wants.
pub fn parse(call: &Call<'_>) -> Result<ReadSpec> {
    let args = &call.args;
    refuse_options(call)?;
    let limit = args.integer("limit")?.unwrap_or(0);
    Ok(ReadSpec {
        ns: call.namespace()?,
        filter: args.document_or_empty("filter")?,
        sort: args.document_or_empty("sort")?,
        projection: args.document_or_empty("projection")?,
        skip: args.unsigned("skip")?.unwrap_or(0),
        limit: (limit != 0).then_some(limit.unsigned_abs()),
        hint: hint(call)?,
        min: args.document_or_empty("min")?,
        max: args.document_or_empty("max")?,
        needed: None,
        variables: variables(args.document("let")?)?,
        memory: read::memory(call)?,
    })
}

/// The command's `hint`.
pub fn hint(call: &Call<'_>) -> Result<Option<Hint>> {
    match call.args.value("hint")? {
        Some(hint) => Hint::parse(&hint),
        None => Ok(None),
    }
}

/// Evaluates the expressions of `let`.
pub fn variables(definitions: Option<Document>) -> Result<Document> {
    let mut values = Document::new();
    let vars = Vars {
        now: Some(bson::DateTime::now()),
        ..Vars::default()
    };
    for (name, expression) in definitions.unwrap_or_default() {
        let value = Expr::parse(&expression)?.eval(&Document::new(), &vars)?;
        values.insert(name, value.unwrap_or(Bson::Null));
    }
    Ok(values)
}

/// Refuses what this store does not do.
pub fn refuse_options(call: &Call<'_>) -> Result<()> {
    let args = &call.args;
    refuse_collation(args.document("collation")?)?;
    for name in ["returnKey", "showRecordId"] {
        if args.flag(name)? {
            bail!(
                CommandNotSupported,
                "the option '{name}' of find is not supported"
            );
        }
    }
    if args.flag("tailable")? {
        bail!(
            BadValue,
            "error processing query: tailable cursor requested on non capped collection"
        );
    }
    Ok(())
}

/// Only the simple collation (byte order) is known.
pub fn refuse_collation(collation: Option<Document>) -> Result<()> {
    match collation {
        Some(collation)
            if !collation.is_empty() && collation.get_str("locale").ok() != Some("simple") =>
        {
            bail!(
                CommandNotSupported,
                "collation other than 'simple' is not supported"
            )
        }
        _ => Ok(()),
    }
}
