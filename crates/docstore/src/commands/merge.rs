//! `$out` and `$merge`: writing the results of an aggregation.

use std::sync::Arc;

use bson::{Bson, Document};

use super::{
    call::Call,
    names,
    read::raw,
    spool::Spool,
    update::{self, Target, UpdateStatement},
};
use crate::{
    bail,
    error::{CommandError, Result},
    expr::{Expr, Vars},
    pipeline::Sink,
    query::Filter,
    storage::{
        catalog::{Collection, decode},
        documents::with_id_first,
        scan::Flow,
        writer::WriteTxn,
    },
    update::Update,
};

/// Results that one write takes.
const BATCH_DOCUMENTS: usize = 500;

/// Writes all results.
pub fn write(call: &Call<'_>, sink: &Sink, results: Spool, vars: &Vars) -> Result<()> {
    let bypass = call.args.flag("bypassDocumentValidation")?;
    match sink {
        Sink::Out {
            database,
            collection,
        } => {
            let database = own_if_empty(call, database);
            out(call, database, collection, results, bypass)
        }
        Sink::Merge {
            database,
            collection,
            on,
            when_matched,
            when_not_matched,
            let_vars,
        } => {
            let ns = names::writable_namespace(own_if_empty(call, database), collection)?;
            let merge = Merge {
                ns,
                on,
                when_matched,
                when_not_matched,
                let_vars,
                vars,
            };
            merge.check_on(call)?;
            each_batch(results, &mut |batch| {
                call.write(|txn| {
                    for document in batch {
                        merge.one(txn, call, document, bypass)?;
                    }
                    Ok(())
                })
            })
        }
    }
}

/// A stage that names no database means the command's own.
fn own_if_empty<'a>(call: &'a Call<'_>, database: &'a str) -> &'a str {
    if database.is_empty() {
        call.database
    } else {
        database
    }
}

fn each_batch(mut results: Spool, write: &mut dyn FnMut(&[Document]) -> Result<()>) -> Result<()> {
    let mut batch = Vec::with_capacity(BATCH_DOCUMENTS);
    while !results.is_empty() {
        batch.clear();
        results.drain(&mut |bytes| {
            batch.push(decode(bytes)?);
            Ok(if batch.len() >= BATCH_DOCUMENTS {
                Flow::Stop
            } else {
                Flow::Continue
            })
        })?;
        write(&batch)?;
    }
    Ok(())
}

/// Replaces the collection in one step; its indexes and options stay.
fn out(
    call: &Call<'_>,
    database: &str,
    collection: &str,
    results: Spool,
    bypass: bool,
) -> Result<()> {
    let ns = names::writable_namespace(database, collection)?;
    let temporary = format!("{database}.tmp.agg_out.{}", bson::oid::ObjectId::new());
    // The results must meet what the target demands of its documents.
    call.write(|txn| {
        let made = txn.collection_or_new(&temporary)?;
        match txn.catalog().get(&ns) {
            Some(old) => txn.set_options(&made, old.options.clone()),
            None => Ok(()),
        }
    })?;
    let filled = each_batch(results, &mut |batch| {
        call.write(|txn| {
            let target = target(txn, &temporary, bypass)?;
            for document in batch {
                insert(txn, &target, document)?;
            }
            Ok(())
        })
    });
    let done = filled.and_then(|()| {
        call.write(|txn| {
            txn.atomically(|txn| {
                let made = txn.collection_or_new(&temporary)?;
                if let Some(old) = txn.catalog().get(&ns).cloned() {
                    for index in old.indexes.iter().skip(1) {
                        let made = txn.collection_or_new(&temporary)?;
                        txn.create_index(&made, index.spec.clone())?;
                    }
                    let made = txn.collection_or_new(&temporary)?;
                    txn.set_options(&made, old.options.clone())?;
                    txn.drop_collection(&old)?;
                }
                let made = txn.catalog().get(&temporary).cloned().unwrap_or(made);
                txn.rename_collection(&made, &ns)
            })
        })
    });
    if done.is_err() {
        call.write(|txn| match txn.catalog().get(&temporary).cloned() {
            Some(made) => txn.drop_collection(&made),
            None => Ok(()),
        })?;
    }
    done
}

/// The collection, without its validator if that is asked for.
fn target(txn: &mut WriteTxn<'_>, ns: &str, bypass: bool) -> Result<Arc<Collection>> {
    let collection = txn.collection_or_new(ns)?;
    if bypass {
        super::insert::without_validator(&collection)
    } else {
        Ok(collection)
    }
}

fn insert(txn: &mut WriteTxn<'_>, collection: &Arc<Collection>, document: &Document) -> Result<()> {
    let bytes = crate::wire::writer::encode(document)?;
    let document = raw(&bytes)?;
    match with_id_first(document)? {
        None => txn.insert(collection, document),
        Some(ordered) => txn.insert(collection, &ordered),
    }
}

struct Merge<'a> {
    ns: String,
    on: &'a [String],
    when_matched: &'a Bson,
    when_not_matched: &'a str,
    let_vars: &'a Document,
    vars: &'a Vars,
}

impl Merge<'_> {
    /// The `on` fields need a unique index, so that at most one document matches.
    fn check_on(&self, call: &Call<'_>) -> Result<()> {
        if self.on == ["_id"] {
            return Ok(());
        }
        let catalog = call.service.store.catalog();
        let found = catalog.get(&self.ns).is_some_and(|collection| {
            collection.indexes.iter().any(|index| {
                index.unique
                    && index.partial.is_none()
                    && index.fields.len() == self.on.len()
                    && index.fields.iter().all(|(path, _)| self.on.contains(path))
            })
        });
        if found {
            return Ok(());
        }
        Err(CommandError::location(
            51183,
            "Cannot find index to verify that join fields will be unique",
        ))
    }

    fn one(
        &self,
        txn: &mut WriteTxn<'_>,
        call: &Call<'_>,
        document: &Document,
        bypass: bool,
    ) -> Result<()> {
        let query = self.query(document)?;
        let filter = Filter::parse(&query, &Document::new())?;
        let collection = target(txn, &self.ns, bypass)?;
        let target = update::first_match(
            txn,
            &collection,
            &filter,
            &query,
            &Document::new(),
            None,
            &|| call.check_time(),
        )?;
        match target {
            Some(target) => self.matched(txn, &collection, &target, query, filter, document),
            None => match self.when_not_matched {
                "insert" => insert(txn, &collection, document),
                "discard" => Ok(()),
                _ => Err(CommandError {
                    code_name: "MergeStageNoMatchingDocument".to_owned(),
                    ..CommandError::location(
                        13113,
                        "$merge could not find a matching document in the target collection for at least one document in the source collection",
                    )
                }),
            },
        }
    }

    fn query(&self, document: &Document) -> Result<Document> {
        let mut query = Document::new();
        for path in self.on {
            match crate::value::get_path(document, path) {
                Some(Bson::Array(_)) => {
                    return Err(CommandError::location(
                        51132,
                        format!("$merge write error: 'on' field '{path}' cannot be an array"),
                    ));
                }
                Some(Bson::Null | Bson::Undefined) | None if path != "_id" => {
                    return Err(CommandError::location(
                        51132,
                        format!(
                            "$merge write error: 'on' field '{path}' cannot be missing, null, undefined or an array"
                        ),
                    ));
                }
                Some(value) => {
                    query.insert(
                        path.clone(),
                        Document::from_iter([("$eq".to_owned(), value.clone())]),
                    );
                }
                // A new `_id` is made when it is inserted.
                None => {
                    query.insert("_id", bson::oid::ObjectId::new());
                }
            }
        }
        Ok(query)
    }

    fn matched(
        &self,
        txn: &mut WriteTxn<'_>,
        collection: &Arc<Collection>,
        target: &Target,
        query: Document,
        filter: Filter,
        document: &Document,
    ) -> Result<()> {
        let update = match self.when_matched {
            Bson::String(mode) => match mode.as_str() {
                "keepExisting" => return Ok(()),
                // The unique index behind the `on` fields refuses it, and says which values.
                "fail" => return insert(txn, collection, document),
                "replace" => {
                    let mut new = document.clone();
                    if !new.contains_key("_id")
                        && let Some(id) = target.document.get("_id")
                    {
                        new.insert("_id", id.clone());
                    }
                    Update::parse(&Bson::Document(new), &[], &Document::new())?
                }
                "merge" => {
                    let mut set = document.clone();
                    if set.get("_id") == target.document.get("_id") {
                        set.remove("_id");
                    }
                    if set.is_empty() {
                        return Ok(());
                    }
                    let mut merged = target.document.clone();
                    merged.extend(set);
                    Update::parse(&Bson::Document(merged), &[], &Document::new())?
                }
                other => bail!(
                    FailedToParse,
                    "$merge with whenMatched '{other}' is not known"
                ),
            },
            stages => {
                let mut variables = self.vars.user.clone();
                variables.insert("new", document.clone());
                for (name, expression) in self.let_vars {
                    let value = Expr::parse(expression)?.eval(document, self.vars)?;
                    variables.insert(name.clone(), value.unwrap_or(Bson::Null));
                }
                Update::parse(stages, &[], &variables)?
            }
        };
        let statement = UpdateStatement {
            query,
            filter,
            update,
            multi: false,
            upsert: false,
            hint: None,
        };
        update::apply(txn, collection, &statement, target).map(|_| ())
    }
}
