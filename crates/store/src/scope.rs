//! Commands about collections of which only one user's documents are there: every filter, stage and
//! document is bound to that user, and what cannot be bound is refused.
//!
//! Works on what [`super::policy`] has let through. A field that stands twice counts once from here on.

mod pipeline;
mod writes;

use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};

use super::{
    StoreError,
    access::{DatabaseAccess, denied, of_others},
    query::{invalid, malformed},
};

/// The field that says whose a document is.
const OWNER: &str = "user_id";

/// The command, for the user's documents alone.
///
/// # Errors
/// What is missing, where there is no user or where other users' documents would be reached.
pub(super) fn of_user(
    command: &RawDocument,
    name: &str,
    access: &dyn DatabaseAccess,
) -> Result<RawDocumentBuf, StoreError> {
    let mut command = Document::try_from(command).map_err(malformed)?;
    let collection = subject(&command).to_owned();
    if let Some(definition) = definition(name) {
        definition(&command, &collection)?;
        return RawDocumentBuf::try_from(&command).map_err(malformed);
    }
    let bound = Bound {
        access,
        user_id: access.user_id().ok_or_else(|| {
            denied(
                format!("database:{collection}:write (of the app)"),
                "this work has no user, and only documents of a user are there for the plugin"
                    .into(),
            )
        })?,
    };
    let is_bound = access.rule(&collection).of_user;
    if !is_bound && name != "aggregate" {
        return Err(of_others(&collection, &format!("`{name}` is not allowed")));
    }
    match name {
        "find" => bound.filter_of(&mut command, "filter")?,
        "count" | "distinct" => bound.filter_of(&mut command, "query")?,
        "aggregate" => {
            let stages = command.get_array("pipeline").cloned();
            let stages = stages.map_err(|_| invalid("`pipeline` must be an array of stages"))?;
            let stages = bound.pipeline(stages, is_bound.then_some(&*collection))?;
            command.insert("pipeline", stages);
        }
        "insert" => return bound.insert(command, &collection),
        "update" => return bound.statements(command, "updates", &collection),
        "delete" => return bound.statements(command, "deletes", &collection),
        "findAndModify" | "findandmodify" => bound.modify(&mut command, &collection)?,
        other => return Err(of_others(&collection, &format!("`{other}` is not allowed"))),
    }
    simple_collation(&mut command)?;
    RawDocumentBuf::try_from(&command).map_err(malformed)
}

/// The collection that a command is about, or the command that it explains.
fn subject(command: &Document) -> &str {
    match command.values().next() {
        Some(Bson::String(collection)) => collection,
        Some(Bson::Document(explained)) => subject(explained),
        _ => "",
    }
}

/// The command with a filter that leaves out what may not be listed.
pub(super) fn listed(
    command: RawDocumentBuf,
    access: &dyn DatabaseAccess,
) -> Result<RawDocumentBuf, StoreError> {
    let Some(shown) = access.listed() else {
        return Ok(command);
    };
    let mut command = Document::try_from(&*command).map_err(malformed)?;
    let filter = match command.remove("filter") {
        None => shown,
        Some(filter) => doc! { "$and": [shown, filter] },
    };
    command.insert("filter", filter);
    RawDocumentBuf::try_from(&command).map_err(malformed)
}

/// Commands that say what a collection is and touch no document.
fn definition(name: &str) -> Option<fn(&Document, &str) -> Result<(), StoreError>> {
    match name {
        "listIndexes" | "dropIndexes" => Some(|_, _| Ok(())),
        "createIndexes" => Some(indexes),
        "create" => Some(creation),
        _ => None,
    }
}

/// An index that takes documents away, or that tells of others' by what it refuses, is not allowed.
fn indexes(command: &Document, collection: &str) -> Result<(), StoreError> {
    for index in command.get_array("indexes").into_iter().flatten() {
        let Bson::Document(index) = index else {
            return Err(invalid("an index is a document"));
        };
        if index.contains_key("expireAfterSeconds") {
            return Err(of_others(collection, "an index that lets documents expire"));
        }
        let is_unique = index
            .get("unique")
            .is_some_and(|unique| *unique != Bson::Boolean(false));
        let of_owner = index
            .get_document("key")
            .is_ok_and(|key| key.contains_key(OWNER));
        if is_unique && !of_owner {
            return Err(of_others(collection, "a unique index without `user_id`"));
        }
    }
    Ok(())
}

fn creation(command: &Document, collection: &str) -> Result<(), StoreError> {
    for option in [
        "viewOn",
        "pipeline",
        "capped",
        "expireAfterSeconds",
        "timeseries",
        "collation",
    ] {
        if command.contains_key(option) {
            return Err(of_others(collection, &format!("`{option}` is not allowed")));
        }
    }
    Ok(())
}

/// Users whose ids differ in case alone are two, whatever a collection or a command says of it.
fn simple_collation(statement: &mut Document) -> Result<(), StoreError> {
    let simple = doc! { "locale": "simple" };
    if let Some(collation) = statement.get("collation")
        && *collation != Bson::Document(simple.clone())
    {
        return Err(invalid(
            "a collation cannot be chosen where only the user's own documents are there",
        ));
    }
    statement.insert("collation", simple);
    Ok(())
}

/// A command that is to be bound to a user.
struct Bound<'a> {
    access: &'a dyn DatabaseAccess,
    user_id: &'a str,
}

impl Bound<'_> {
    fn is_of_user(&self, collection: &str) -> bool {
        self.access.rule(collection).of_user
    }

    /// The filter that a field holds, with the user.
    fn filter_of(&self, command: &mut Document, field: &str) -> Result<(), StoreError> {
        let filter = match command.remove(field) {
            None | Some(Bson::Null) => Document::new(),
            Some(Bson::Document(filter)) => filter,
            Some(_) => return Err(invalid(format!("`{field}` must be a document"))),
        };
        command.insert(field, self.filter(filter));
        Ok(())
    }

    /// A filter with the user. Side by side where it does not speak of one itself: servers find indexes,
    /// and what to insert, the better so.
    fn filter(&self, filter: Document) -> Document {
        if filter.contains_key(OWNER) {
            return doc! { "$and": [{ OWNER: self.user_id }, filter] };
        }
        let mut bound = doc! { OWNER: self.user_id };
        bound.extend(filter);
        bound
    }
}

#[cfg(test)]
mod tests;
