//! `update`, and the statement behind it that `findAndModify` and `$merge` use too.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use bson::{Bson, Document, RawDocument, doc};

use super::{
    call::Call,
    find, insert, names,
    read::{ReadQuery, ReadSpec},
    service::Service,
    write_result::{WriteErrors, count},
};
use crate::{
    bail,
    error::{Code, CommandError, Result},
    planner::{self, Hint},
    query::Filter,
    storage::{
        catalog::{Collection, decode},
        documents::{id_key, only_id},
        scan::{self, Access, Counters, Flow, Position},
        writer::WriteTxn,
    },
    update::{ApplyContext, Update},
    wire::BsonWriter,
    wire::writer::encode,
};

/// The fields of `update`.
pub const FIELDS: &[&str] = &[
    "update",
    "updates",
    "ordered",
    "bypassDocumentValidation",
    "let",
];

const STATEMENT_FIELDS: &[&str] = &[
    "q",
    "u",
    "c",
    "multi",
    "upsert",
    "arrayFilters",
    "collation",
    "hint",
];

/// One update statement.
#[derive(Debug)]
pub struct UpdateStatement {
    /// The filter as sent.
    pub query: Document,
    /// The parsed filter.
    pub filter: Filter,
    /// The parsed update.
    pub update: Update,
    /// All matching documents.
    pub multi: bool,
    /// Insert where none matches.
    pub upsert: bool,
    /// The index to use.
    pub hint: Option<Hint>,
}

/// What a statement did.
#[derive(Debug, Default)]
pub struct UpdateOutcome {
    /// Documents that matched.
    pub matched: u64,
    /// Documents that changed.
    pub modified: u64,
    /// The `_id` of an inserted one.
    pub upserted: Option<Bson>,
}

/// `update`.
pub fn update(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let ns = names::writable_namespace(call.database, call.args.collection()?)?;
    let raw = call.raw_documents("updates")?;
    insert::check_statements(raw.len())?;
    let ordered = call.args.optional_flag("ordered")?.unwrap_or(true);
    let bypass = call.args.flag("bypassDocumentValidation")?;
    let variables = find::variables(call.args.document("let")?)?;
    let statements: Vec<Result<UpdateStatement>> = raw
        .iter()
        .map(|raw| parse_statement(raw, &variables))
        .collect();
    refuse_unknown_fields(&statements)?;
    call.service
        .counters
        .updates
        .fetch_add(raw.len() as u64, Ordering::Relaxed);
    let in_transaction = call.transaction.is_some();
    let reply = call.write_once(|txn| {
        let mut total = UpdateOutcome::default();
        let mut upserted: Vec<Bson> = Vec::new();
        let mut errors = WriteErrors::default();
        for (at, statement) in statements.iter().enumerate() {
            let done = match statement {
                Ok(statement) => run(txn, &ns, statement, bypass, call.service, call.deadline),
                Err(error) => Err(error.clone()),
            };
            match done {
                Ok(outcome) => {
                    total.matched += outcome.matched;
                    total.modified += outcome.modified;
                    if let Some(id) = outcome.upserted {
                        let index = i32::try_from(at).unwrap_or(i32::MAX);
                        upserted.push(Bson::Document(doc! { "index": index, "_id": id }));
                    }
                }
                Err(error) if in_transaction => return Err(error),
                Err(error) => {
                    errors.add(at, error)?;
                    if ordered {
                        break;
                    }
                }
            }
        }
        let mut reply = doc! {
            "n": count(total.matched + upserted.len() as u64),
            "nModified": count(total.modified),
        };
        if !upserted.is_empty() {
            reply.insert("upserted", upserted);
        }
        errors.append_to(&mut reply);
        Ok(reply)
    })?;
    insert::finish(reply, out)
}

/// A field that is not known fails the command before its first statement runs.
pub fn refuse_unknown_fields<T>(statements: &[Result<T>]) -> Result<()> {
    let unknown = statements
        .iter()
        .filter_map(|statement| statement.as_ref().err());
    match unknown
        .into_iter()
        .find(|error| error.code == Code::IDLUnknownField as i32)
    {
        Some(error) => Err(error.clone()),
        None => Ok(()),
    }
}

fn parse_statement(raw: &RawDocument, variables: &Document) -> Result<UpdateStatement> {
    let args = super::args::Args::new("update.updates", raw);
    args.check_known(STATEMENT_FIELDS)?;
    find::refuse_collation(args.document("collation")?)?;
    let Some(query) = args.document("q")? else {
        bail!(
            IDLFailedToParse,
            "BSON field 'update.updates.q' is missing but a required field"
        )
    };
    let Some(update) = args.value("u")? else {
        bail!(
            IDLFailedToParse,
            "BSON field 'update.updates.u' is missing but a required field"
        )
    };
    let mut variables = variables.clone();
    variables.extend(find::variables(args.document("c")?)?);
    let array_filters = args.documents("arrayFilters")?.unwrap_or_default();
    let multi = args.flag("multi")?;
    let update = Update::parse(&update, &array_filters, &variables)?;
    if multi && update.is_replacement() {
        bail!(
            FailedToParse,
            "multi update is not supported for replacement-style update"
        );
    }
    Ok(UpdateStatement {
        filter: Filter::parse(&query, &variables)?,
        query,
        update,
        multi,
        upsert: args.flag("upsert")?,
        hint: args
            .value("hint")?
            .map_or(Ok(None), |hint| Hint::parse(&hint))?,
    })
}

/// Runs one statement.
pub fn run(
    txn: &mut WriteTxn<'_>,
    ns: &str,
    statement: &UpdateStatement,
    bypass: bool,
    service: &Service,
    deadline: Option<Instant>,
) -> Result<UpdateOutcome> {
    let mut outcome = UpdateOutcome::default();
    let found = txn.catalog().get(ns).cloned();
    if let Some(collection) = found {
        let collection = if bypass {
            insert::without_validator(&collection)?
        } else {
            collection
        };
        if statement.multi {
            update_many(txn, &collection, statement, service, deadline, &mut outcome)?;
        } else if let Some(target) = first_match(
            txn,
            &collection,
            &statement.filter,
            &statement.query,
            &Document::new(),
            statement.hint.as_ref(),
            &|| service.check_time(deadline),
        )? {
            outcome.matched = 1;
            outcome.modified = u64::from(apply(txn, &collection, statement, &target)?.is_some());
        }
    }
    if outcome.matched == 0 && statement.upsert {
        let document = statement.update.upsert_document(&statement.filter)?;
        outcome.upserted = Some(insert_upserted(txn, ns, &document, bypass)?);
    }
    Ok(outcome)
}

/// Inserts what an upsert made and gives its `_id`.
pub fn insert_upserted(
    txn: &mut WriteTxn<'_>,
    ns: &str,
    document: &Document,
    bypass: bool,
) -> Result<Bson> {
    let collection = txn.collection_or_new(ns)?;
    let collection = if bypass {
        insert::without_validator(&collection)?
    } else {
        collection
    };
    let bytes = encode(document)?;
    let raw = super::read::raw(&bytes)?;
    match crate::storage::documents::with_id_first(raw)? {
        None => txn.insert(&collection, raw)?,
        Some(ordered) => txn.insert(&collection, &ordered)?,
    }
    Ok(document.get("_id").cloned().unwrap_or(Bson::Null))
}

/// A document to be changed.
#[derive(Debug)]
pub struct Target {
    /// Its row.
    pub rid: i64,
    /// Its stored bytes.
    pub bytes: Vec<u8>,
    /// Decoded.
    pub document: Document,
    /// The array position that the filter matched.
    pub position: Option<usize>,
}

/// The first document (in the order of `sort`) that matches.
pub fn first_match(
    txn: &WriteTxn<'_>,
    collection: &Arc<Collection>,
    filter: &Filter,
    query: &Document,
    sort: &Document,
    hint: Option<&Hint>,
    check: &dyn Fn() -> Result<()>,
) -> Result<Option<Target>> {
    if sort.is_empty()
        && hint.is_none()
        && let Some(id) = only_id(query)
    {
        return by_id(txn, collection, id);
    }
    let mut found: Option<Vec<u8>> = None;
    let spec = ReadSpec {
        ns: collection.ns.clone(),
        filter: query.clone(),
        sort: sort.clone(),
        limit: Some(1),
        hint: hint.cloned(),
        ..ReadSpec::default()
    };
    let catalog = txn.catalog();
    let mut read = ReadQuery::with_filter(txn.connection(), &catalog, &spec, filter.clone())?;
    read.fill(txn.connection(), &catalog, check, &mut |bytes| {
        found = Some(bytes.to_vec());
        Ok(Flow::Stop)
    })?;
    let Some(bytes) = found else { return Ok(None) };
    let document = decode(&bytes)?;
    let rid = rid_of(txn, collection, &document)?;
    let position = filter.matches_position(&document)?.flatten();
    Ok(Some(Target {
        rid,
        bytes,
        document,
        position,
    }))
}

/// The document with an `_id` that no other can have, without a plan.
fn by_id(txn: &WriteTxn<'_>, collection: &Collection, id: &Bson) -> Result<Option<Target>> {
    let index = collection.id_index();
    index.uses.count.fetch_add(1, Ordering::Relaxed);
    let mut statement = txn.connection().prepare_cached(&index.sql.point)?;
    let mut rows = statement.query([id_key(id)])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let bytes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
    Ok(Some(Target {
        rid: row.get(0)?,
        bytes: bytes.to_vec(),
        document: decode(bytes)?,
        position: None,
    }))
}

/// The row of a stored document.
fn rid_of(txn: &WriteTxn<'_>, collection: &Collection, document: &Document) -> Result<i64> {
    let id = document.get("_id").cloned().unwrap_or(Bson::Null);
    let key = id_key(&id);
    let mut statement = txn
        .connection()
        .prepare_cached(&collection.id_index().sql.point)?;
    Ok(statement.query_row([key], |row| row.get(0))?)
}

fn update_many(
    txn: &mut WriteTxn<'_>,
    collection: &Arc<Collection>,
    statement: &UpdateStatement,
    service: &Service,
    deadline: Option<Instant>,
    outcome: &mut UpdateOutcome,
) -> Result<()> {
    // Rows first: an update may move a document within the index that is being read.
    let check = || service.check_time(deadline);
    let rids = matching_rids(
        txn,
        collection,
        &statement.filter,
        &statement.query,
        statement.hint.as_ref(),
        &check,
    )?;
    for (at, rid) in rids.into_iter().enumerate() {
        if at % 256 == 255 {
            check()?;
        }
        let Some(raw) = txn.document(collection, rid)? else {
            continue;
        };
        let document = decode(raw.as_bytes())?;
        let position = statement.filter.matches_position(&document)?.flatten();
        let target = Target {
            rid,
            bytes: raw.into_bytes(),
            document,
            position,
        };
        outcome.matched += 1;
        outcome.modified += u64::from(apply(txn, collection, statement, &target)?.is_some());
    }
    Ok(())
}

/// The rows of all documents that match.
pub fn matching_rids(
    txn: &WriteTxn<'_>,
    collection: &Collection,
    filter: &Filter,
    query: &Document,
    hint: Option<&Hint>,
    check: &dyn Fn() -> Result<()>,
) -> Result<Vec<i64>> {
    let plan = planner::plan(txn.connection(), collection, filter, query, &[], hint)?;
    let mut rids = Vec::new();
    collect_rids(
        txn,
        collection,
        &plan.access,
        plan.exact,
        filter,
        check,
        &mut rids,
    )?;
    Ok(rids)
}

fn collect_rids(
    txn: &WriteTxn<'_>,
    collection: &Collection,
    access: &Access,
    exact: bool,
    filter: &Filter,
    check: &dyn Fn() -> Result<()>,
    rids: &mut Vec<i64>,
) -> Result<()> {
    let mut seen = 0_u64;
    scan::scan(
        txn.connection(),
        collection,
        access,
        &mut Position::default(),
        &mut Counters::default(),
        &mut |rid, bytes| {
            seen += 1;
            if seen.is_multiple_of(256) {
                check()?;
            }
            if exact || filter.matches_raw(super::read::raw(bytes)?)? {
                rids.push(rid);
            }
            Ok(Flow::Continue)
        },
    )
}

/// Applies the update to one document; the new document where it changed.
pub fn apply(
    txn: &mut WriteTxn<'_>,
    collection: &Arc<Collection>,
    statement: &UpdateStatement,
    target: &Target,
) -> Result<Option<Document>> {
    let mut document = target.document.clone();
    let context = ApplyContext {
        position: target.position,
        inserting: false,
    };
    if !statement.update.apply(&mut document, context)? {
        return Ok(None);
    }
    let bytes = encode(&document)?;
    if bytes == target.bytes {
        return Ok(None);
    }
    let raw = |bytes| {
        RawDocument::from_bytes(bytes)
            .map_err(|error| CommandError::new(Code::InvalidBSON, error.to_string()))
    };
    txn.replace(
        collection,
        target.rid,
        raw(&target.bytes)?,
        raw(&bytes)?,
        statement.update.is_replacement(),
    )?;
    Ok(Some(document))
}
