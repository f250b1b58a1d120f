//! `aggregate`.

use bson::{Bson, Document};

use super::{
    args::Args,
    call::Call,
    change_stream::ChangeStream,
    cursors::{Batch, CursorKind},
    explain, find, insert,
    listings::{as_count, reply_with_cursor},
    merge, names, permitted,
    read::{self, ReadQuery, ReadSpec},
    reports,
    source::StoreSource,
    spool::Spool,
};
use crate::{
    bail,
    error::Result,
    expr::Vars,
    pipeline::Pipeline,
    storage::{documents::MAX_DOCUMENT_BYTES, scan::Flow},
    wire::{BsonWriter, writer::encode},
};

/// The fields of `aggregate`.
pub const FIELDS: &[&str] = &[
    "aggregate",
    "pipeline",
    "explain",
    "allowDiskUse",
    "cursor",
    "hint",
    "collation",
    "let",
    "bypassDocumentValidation",
];

/// A result may be larger than a stored document by what a command needs around it.
const MAX_RESULT_BYTES: usize = MAX_DOCUMENT_BYTES + (16 << 10);

/// What an aggregation reads.
struct Target {
    /// `database.collection`, or `database.$cmd.aggregate` where there is no collection.
    ns: String,
    /// `aggregate: 1`: the pipeline begins with a stage that brings its own documents.
    whole_database: bool,
}

/// `aggregate`.
pub fn aggregate(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let Some(stages) = call.args.array("pipeline")? else {
        bail!(
            IDLFailedToParse,
            "BSON field 'aggregate.pipeline' is missing but a required field"
        )
    };
    find::refuse_collation(call.args.document("collation")?)?;
    let target = target(call)?;
    let vars = Vars {
        user: find::variables(call.args.document("let")?)?,
        now: Some(bson::DateTime::now()),
    };
    let mut pipeline = Pipeline::parse(&stages, &vars)?;
    permitted::check_stages(call, &stages)?;
    if call.args.flag("explain")? {
        let spec = pushed_down_spec(call, &target.ns, &mut pipeline, &vars)?;
        return insert::finish(explain::explain_read(call, &spec, false)?, out);
    }
    let batch_size = batch_size(call)?;
    if let Some(options) = pipeline.change_stream() {
        let options = options.clone();
        let stream =
            ChangeStream::open(call, &options, pipeline, &target.ns, target.whole_database)?;
        return reply_with_stream(call, stream, &target.ns, batch_size, out);
    }
    check_start(call, &pipeline, &target)?;
    let spec = pushed_down_spec(call, &target.ns, &mut pipeline, &vars)?;
    if let Some(sink) = pipeline.sink().cloned() {
        let concern = call.args.document("readConcern")?.unwrap_or_default();
        if concern
            .get_str("level")
            .is_ok_and(|level| level == "linearizable")
        {
            bail!(
                InvalidOptions,
                "$out and $merge cannot be used with a 'linearizable' read concern level"
            );
        }
        let results = collect(call, &spec, &pipeline, &target, &vars)?;
        merge::write(call, &sink, results, &vars)?;
        Batch::first(out, 0);
        Batch::finish(out, 0, &target.ns);
        return Ok(());
    }
    if pipeline.is_empty() && !target.whole_database {
        return reply_with_query(call, &spec, batch_size, out);
    }
    if !target.whole_database
        && let Some(result) = pipeline.as_count()
    {
        let count = super::count::count_matching(call, &spec)?;
        let documents: Vec<Document> = result(count).into_iter().collect();
        return reply_with_cursor(call, &target.ns, documents, out);
    }
    let start = out.len();
    let rest = call.read(|connection, catalog| {
        out.truncate(start);
        let check = || call.check_time();
        let source = StoreSource::new(connection, catalog, &check, &spec.memory);
        let mut batch = Batch::first(out, batch_size);
        let mut rest = Spool::new(&call.service.spill);
        let mut full = batch_size == 0;
        run(
            call,
            &source,
            &spec,
            &pipeline,
            &target,
            &vars,
            &mut |document| {
                let bytes = encode_result(&document)?;
                full = full || batch.push(&bytes)? == Flow::StopBefore;
                if full {
                    rest.push(&bytes)?;
                } else {
                    full = batch.count() >= batch_size;
                }
                Ok(())
            },
        )?;
        Ok(rest)
    })?;
    let id = if rest.is_empty() {
        0
    } else {
        call.service
            .cursors
            .open(call, &target.ns, CursorKind::Spool(rest), false)?
    };
    Batch::finish(out, id, &target.ns);
    Ok(())
}

fn target(call: &Call<'_>) -> Result<Target> {
    match call.args.value("aggregate")? {
        Some(Bson::String(collection)) => Ok(Target {
            ns: names::namespace(call.database, &collection)?,
            whole_database: false,
        }),
        Some(Bson::Int32(1) | Bson::Int64(1)) => Ok(Target {
            ns: format!("{}.$cmd.aggregate", call.database),
            whole_database: true,
        }),
        Some(Bson::Double(1.0)) => Ok(Target {
            ns: format!("{}.$cmd.aggregate", call.database),
            whole_database: true,
        }),
        _ => bail!(
            FailedToParse,
            "Invalid command format: the 'aggregate' field must specify a collection name or 1"
        ),
    }
}

/// Checks that the first stage goes with what the command names: a collection, or none.
fn check_start(call: &Call<'_>, pipeline: &Pipeline, target: &Target) -> Result<()> {
    let special = pipeline.special().map(|(name, _)| name);
    let current_op = special == Some("$currentOp");
    if current_op && !(target.whole_database && call.database == "admin") {
        bail!(
            InvalidNamespace,
            "$currentOp must be run against the 'admin' database with {{aggregate: 1}}"
        );
    }
    let sessions = special == Some("$listLocalSessions");
    if sessions && !target.whole_database {
        bail!(
            InvalidNamespace,
            "$listLocalSessions must be run against the database with {{aggregate: 1}}"
        );
    }
    let brings_its_own = current_op || sessions || pipeline.starts_with_documents();
    if target.whole_database && !brings_its_own {
        bail!(
            InvalidNamespace,
            "{{aggregate: 1}} is not valid for this pipeline; a collection is required."
        );
    }
    if !target.whole_database && pipeline.starts_with_documents() {
        bail!(
            InvalidNamespace,
            "$documents can only be run with {{aggregate: 1}}"
        );
    }
    Ok(())
}

fn batch_size(call: &Call<'_>) -> Result<u64> {
    let Some(cursor) = call.args.document("cursor")? else {
        bail!(
            FailedToParse,
            "The 'cursor' option is required, except for aggregate with the explain argument"
        )
    };
    match cursor.get("batchSize") {
        None => Ok(find::DEFAULT_FIRST_BATCH),
        Some(size) => match as_count(size) {
            Some(size) => Ok(size),
            None => bail!(BadValue, "cursor.batchSize must not be negative"),
        },
    }
}

fn pushed_down_spec(
    call: &Call<'_>,
    ns: &str,
    pipeline: &mut Pipeline,
    vars: &Vars,
) -> Result<ReadSpec> {
    let (filter, sort, skip, limit) = pipeline.take_pushdown();
    // An empty rest gives the documents themselves.
    let needed = pipeline.needed_fields();
    Ok(ReadSpec {
        needed,
        ns: ns.to_owned(),
        filter,
        sort: sort.unwrap_or_default(),
        skip,
        limit,
        hint: find::hint(call)?,
        variables: vars.user.clone(),
        memory: read::memory(call)?,
        ..ReadSpec::default()
    })
}

/// What `explain` tells of an aggregation: the read at its start.
pub fn pushed_down(
    call: &Call<'_>,
    args: &Args<'_>,
    spec: ReadSpec,
    stages: &[Bson],
) -> Result<ReadSpec> {
    let vars = Vars {
        user: find::variables(args.document("let")?)?,
        ..Vars::default()
    };
    let mut pipeline = Pipeline::parse(stages, &vars)?;
    let pushed = pushed_down_spec(call, &spec.ns, &mut pipeline, &vars)?;
    Ok(ReadSpec {
        hint: spec.hint,
        ..pushed
    })
}

/// An aggregation that is nothing but a query.
fn reply_with_query(
    call: &Call<'_>,
    spec: &ReadSpec,
    batch_size: u64,
    out: &mut BsonWriter,
) -> Result<()> {
    let start = out.len();
    let query = call.read(|connection, catalog| {
        out.truncate(start);
        let mut query = ReadQuery::new(connection, catalog, spec)?;
        let mut batch = Batch::first(out, batch_size);
        if batch_size > 0 {
            query.fill(connection, catalog, &|| call.check_time(), &mut |bytes| {
                batch.push(bytes)
            })?;
        }
        Ok(query)
    })?;
    let id = if query.is_done() {
        0
    } else {
        call.service
            .cursors
            .open(call, &spec.ns, CursorKind::Query(Box::new(query)), false)?
    };
    Batch::finish(out, id, &spec.ns);
    Ok(())
}

fn run(
    call: &Call<'_>,
    source: &StoreSource<'_>,
    spec: &ReadSpec,
    pipeline: &Pipeline,
    target: &Target,
    vars: &Vars,
    emit: &mut dyn FnMut(Document) -> Result<()>,
) -> Result<()> {
    let input: Box<dyn Iterator<Item = Result<Document>>> = if let Some(stage) = pipeline.special()
    {
        let found = reports::report(call, source.connection, source.catalog, &target.ns, stage)?;
        Box::new(found.into_iter().map(Ok))
    } else if target.whole_database {
        Box::new(std::iter::empty())
    } else {
        Box::new(source.documents(spec, pipeline.needed_fields())?)
    };
    for document in pipeline.run(input, call.database, source, vars, &spec.memory) {
        emit(document?)?;
    }
    Ok(())
}

/// A result's bytes; one that no answer could hold is refused.
fn encode_result(document: &Document) -> Result<Vec<u8>> {
    let bytes = encode(document)?;
    if bytes.len() > MAX_RESULT_BYTES {
        bail!(
            BSONObjectTooLarge,
            "BSONObj size: {} is invalid. Size must be between 0 and {MAX_RESULT_BYTES}(16MB)",
            bytes.len()
        );
    }
    Ok(bytes)
}

/// All results, for `$out` and `$merge`.
fn collect(
    call: &Call<'_>,
    spec: &ReadSpec,
    pipeline: &Pipeline,
    target: &Target,
    vars: &Vars,
) -> Result<Spool> {
    call.read(|connection, catalog| {
        let check = || call.check_time();
        let source = StoreSource::new(connection, catalog, &check, &spec.memory);
        let mut results = Spool::new(&call.service.spill);
        run(
            call,
            &source,
            spec,
            pipeline,
            target,
            vars,
            &mut |document| results.push(&encode_result(&document)?),
        )?;
        Ok(results)
    })
}

fn reply_with_stream(
    call: &Call<'_>,
    mut stream: ChangeStream,
    ns: &str,
    batch_size: u64,
    out: &mut BsonWriter,
) -> Result<()> {
    let mut batch = Batch::first(out, batch_size);
    let done =
        batch_size > 0 && stream.fill(call, std::time::Duration::ZERO, &|| true, &mut batch)?;
    let token = stream.token();
    let id = if done {
        0
    } else {
        call.service
            .cursors
            .open(call, ns, CursorKind::Changes(Box::new(stream)), true)?
    };
    Batch::finish_stream(out, id, ns, token)
}
