//! `explain` of `find`, `count`, `distinct`, `aggregate`, `update`, `delete` and `findAndModify`:
//! the chosen way and, if asked, what it read.

use bson::{Bson, Document, RawDocument, doc};

use super::{
    args::Args,
    call::Call,
    find, insert,
    read::{self, ReadQuery, ReadSpec},
};
use crate::{
    bail,
    error::Result,
    storage::{
        catalog::Collection,
        scan::{Access, Flow},
    },
    wire::BsonWriter,
};

/// `explain`.
pub fn explain(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let Some(command) = call.args.raw_document("explain")? else {
        bail!(
            IDLFailedToParse,
            "BSON field 'explain.explain' is missing but a required field"
        )
    };
    let verbosity = call
        .args
        .string("verbosity")?
        .unwrap_or("allPlansExecution");
    let execute = match verbosity {
        "queryPlanner" => false,
        "executionStats" | "allPlansExecution" => true,
        other => bail!(
            BadValue,
            "verbosity string must be one of {{'queryPlanner', 'executionStats', 'allPlansExecution'}}, not '{other}'"
        ),
    };
    let spec = spec_of(call, command)?;
    let reply = explain_read(call, &spec, execute)?;
    insert::finish(reply, out)
}

/// The read that a command does.
fn spec_of(call: &Call<'_>, command: &RawDocument) -> Result<ReadSpec> {
    let Some(Ok((name, _))) = command.iter().next() else {
        bail!(BadValue, "there is no command to explain")
    };
    let args = Args::new(name.as_str(), command);
    let ns = super::names::namespace(call.database, args.collection()?)?;
    let hint = |args: &Args<'_>| {
        args.value("hint")?
            .map_or(Ok(None), |hint| crate::planner::Hint::parse(&hint))
    };
    let first = |field: &str| -> Result<Document> {
        match args
            .documents(field)?
            .unwrap_or_default()
            .into_iter()
            .next()
        {
            Some(statement) => Ok(statement),
            None => bail!(BadValue, "there is no statement to explain in '{field}'"),
        }
    };
    find::refuse_collation(args.document("collation")?)?;
    let mut spec = ReadSpec {
        ns,
        memory: read::memory(call)?,
        hint: hint(&args)?,
        ..ReadSpec::default()
    };
    match name.as_str() {
        "find" => {
            spec.filter = args.document_or_empty("filter")?;
            spec.sort = args.document_or_empty("sort")?;
            spec.projection = args.document_or_empty("projection")?;
            spec.skip = args.unsigned("skip")?.unwrap_or(0);
            let limit = args.integer("limit")?.unwrap_or(0);
            spec.limit = (limit != 0).then_some(limit.unsigned_abs());
            spec.min = args.document_or_empty("min")?;
            spec.max = args.document_or_empty("max")?;
            spec.variables = find::variables(args.document("let")?)?;
        }
        "count" | "distinct" => {
            spec.filter = args.document_or_empty("query")?;
            let field = args.string("key")?.and_then(|path| path.split('.').next());
            spec.needed = Some(field.map(str::to_owned).into_iter().collect());
        }
        "findAndModify" | "findandmodify" => {
            spec.filter = args.document_or_empty("query")?;
            spec.sort = args.document_or_empty("sort")?;
            spec.limit = Some(1);
        }
        "update" => read_statement(&first("updates")?, &mut spec)?,
        "delete" => read_statement(&first("deletes")?, &mut spec)?,
        "aggregate" => {
            let stages = args.array("pipeline")?.unwrap_or_default();
            return super::aggregate::pushed_down(call, &args, spec, &stages);
        }
        other => bail!(
            CommandNotFound,
            "Explain failed due to unknown command: {other}"
        ),
    }
    Ok(spec)
}

/// What an update or delete statement looks for.
fn read_statement(statement: &Document, spec: &mut ReadSpec) -> Result<()> {
    find::refuse_collation(statement.get_document("collation").ok().cloned())?;
    spec.filter = statement.get_document("q").cloned().unwrap_or_default();
    if let Some(hint) = statement.get("hint") {
        spec.hint = crate::planner::Hint::parse(hint)?;
    }
    Ok(())
}

/// Plans (and runs, if `execute`) a read and tells about it.
pub fn explain_read(call: &Call<'_>, spec: &ReadSpec, execute: bool) -> Result<Document> {
    let (database, _) = spec.ns.split_once('.').unwrap_or((&spec.ns, ""));
    call.read(|connection, catalog| {
        let mut query = ReadQuery::new(connection, catalog, spec)?;
        let plan = match catalog.get(&spec.ns) {
            Some(collection) => describe(&query, spec, collection),
            None => doc! { "stage": "EOF" },
        };
        let mut reply = doc! {
            "explainVersion": "1",
            "queryPlanner": {
                "namespace": &spec.ns,
                "parsedQuery": spec.filter.clone(),
                "winningPlan": plan.clone(),
                "rejectedPlans": Vec::<Bson>::new(),
            },
        };
        if execute {
            let started = std::time::Instant::now();
            let mut returned = 0_i64;
            query.fill(connection, catalog, &|| call.check_time(), &mut |_| {
                returned += 1;
                Ok(Flow::Continue)
            })?;
            let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
            let mut stages = plan;
            stages.insert("nReturned", returned);
            reply.insert(
                "executionStats",
                doc! {
                    "executionSuccess": true,
                    "nReturned": returned,
                    "executionTimeMillis": count(started.elapsed().as_millis().try_into().unwrap_or(u64::MAX)),
                    "totalKeysExamined": count(query.counters.keys),
                    "totalDocsExamined": count(query.counters.documents),
                    "executionStages": stages,
                },
            );
        }
        reply.insert("command", doc! { "filter": spec.filter.clone(), "$db": database });
        reply.insert(
            "serverInfo",
            doc! { "host": "docstore", "version": super::admin::VERSION },
        );
        Ok(reply)
    })
}

fn describe(query: &ReadQuery, spec: &ReadSpec, collection: &Collection) -> Document {
    let mut plan = match &query.access {
        Access::Nothing => doc! { "stage": "EOF" },
        Access::Collection { reverse } => {
            let direction = if *reverse { "backward" } else { "forward" };
            let mut scan = doc! { "stage": "COLLSCAN", "direction": direction };
            if !spec.filter.is_empty() {
                scan.insert("filter", spec.filter.clone());
            }
            scan
        }
        Access::Index {
            index,
            ranges,
            reverse,
            ..
        } => {
            let scan = doc! {
                "stage": "IXSCAN",
                "keyPattern": index.key(),
                "indexName": &index.name,
                "isMultiKey": index.is_multikey(),
                "isUnique": index.unique,
                "isSparse": index.sparse,
                "isPartial": index.partial.is_some(),
                "indexVersion": 2,
                "direction": if *reverse { "backward" } else { "forward" },
                "ranges": i64::try_from(ranges.len()).unwrap_or(i64::MAX),
            };
            let by_id = index.is_id() && query.exact && ranges.len() == 1 && spec.filter.len() == 1;
            if query.is_covered() {
                scan
            } else if by_id && collection.id_index().id == index.id && !is_range(&spec.filter) {
                doc! { "stage": "IDHACK", "indexName": &index.name, "keyPattern": index.key() }
            } else {
                let mut fetch = doc! { "stage": "FETCH", "inputStage": scan };
                if !query.exact && !spec.filter.is_empty() {
                    fetch.insert("filter", spec.filter.clone());
                }
                fetch
            }
        }
    };
    if !query.blocking_sort.is_empty() {
        plan = doc! { "stage": "SORT", "sortPattern": spec.sort.clone(), "inputStage": plan };
    }
    if spec.skip > 0 {
        plan = doc! { "stage": "SKIP", "inputStage": plan };
    }
    if let Some(limit) = spec.limit {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        plan = doc! { "stage": "LIMIT", "limitAmount": limit, "inputStage": plan };
    }
    if !spec.projection.is_empty() {
        plan = doc! {
            "stage": if query.is_covered() { "PROJECTION_COVERED" } else { "PROJECTION_DEFAULT" },
            "transformBy": spec.projection.clone(),
            "inputStage": plan,
        };
    }
    plan
}

fn is_range(filter: &Document) -> bool {
    matches!(filter.get("_id"), Some(Bson::Document(operators)) if operators.keys().any(|name| name.starts_with('$')))
}
