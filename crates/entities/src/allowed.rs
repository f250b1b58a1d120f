//! Which commands a migration may have, and with which fields; whether their collections are the plugin's own
//! is asked for each. What filters, validators and updates hold the store looks through besides.

use bson::{Bson, Document};

use crate::error::EntityError;

/// What a command of a migration does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Create,
    CollMod,
    CreateIndexes,
    DropIndexes,
    Drop,
    Rename,
    Insert,
    Update,
    Delete,
}

const KNOWN: [(&str, Kind, &[&str]); 9] = [
    (
        "create",
        Kind::Create,
        &["validator", "validationLevel", "validationAction"],
    ),
    (
        "collMod",
        Kind::CollMod,
        &["validator", "validationLevel", "validationAction", "index"],
    ),
    ("createIndexes", Kind::CreateIndexes, &["indexes"]),
    ("dropIndexes", Kind::DropIndexes, &["index"]),
    ("drop", Kind::Drop, &[]),
    ("renameCollection", Kind::Rename, &["to"]),
    ("insert", Kind::Insert, &["documents", "ordered"]),
    ("update", Kind::Update, &["updates", "ordered"]),
    ("delete", Kind::Delete, &["deletes", "ordered"]),
];

/// One command, looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowed<'a> {
    pub(crate) kind: Kind,
    /// As it is written.
    pub(crate) name: &'a str,
    /// The collection that it is about.
    pub(crate) collection: &'a str,
    /// What that is renamed to.
    pub(crate) to: Option<&'a str>,
}

/// A command with its name before its fields, as servers want it: what has written the file may have sorted
/// its keys.
pub(crate) fn named_first(command: Document) -> Document {
    let is_name = |key: &&String| KNOWN.iter().any(|(known, _, _)| known == key);
    let name = match command.keys().next() {
        Some(first) if !is_name(&first) => command.keys().find(is_name).cloned(),
        _ => None,
    };
    let Some(name) = name else {
        return command;
    };
    let mut ordered = Document::new();
    if let Some(value) = command.get(&name) {
        ordered.insert(name, value.clone());
    }
    for (key, value) in command {
        if !ordered.contains_key(&key) {
            ordered.insert(key, value);
        }
    }
    ordered
}

/// Looks at a command of a migration.
///
/// # Errors
/// [`EntityError::Invalid`], without where it stands.
pub(crate) fn look(command: &Document) -> Result<Allowed<'_>, EntityError> {
    let wrong = |message: String| EntityError::invalid("", message);
    let Some((name, subject)) = command.iter().next() else {
        return Err(wrong("the command is empty".into()));
    };
    let Some((_, kind, fields)) = KNOWN.iter().find(|(known, _, _)| known == name) else {
        let names: Vec<_> = KNOWN.iter().map(|(name, _, _)| *name).collect();
        return Err(wrong(format!(
            "`{name}` is not among the commands of migrations: {}",
            names.join(", ")
        )));
    };
    let Bson::String(collection) = subject else {
        return Err(wrong(format!("`{name}` does not name a collection")));
    };
    let odd = command
        .keys()
        .skip(1)
        .find(|key| !fields.contains(&key.as_str()));
    if let Some(key) = odd {
        return Err(wrong(format!(
            "`{name}` has no field `{key}` in migrations"
        )));
    }
    let to = match kind {
        Kind::Rename => Some(
            command
                .get_str("to")
                .map_err(|_| wrong("`to` must be a collection".into()))?,
        ),
        _ => None,
    };
    let list = match kind {
        Kind::Insert => Some("documents"),
        Kind::Update => Some("updates"),
        Kind::Delete => Some("deletes"),
        Kind::CreateIndexes => Some("indexes"),
        _ => None,
    };
    if let Some(list) = list {
        let is_list = command.get_array(list).is_ok_and(|items| {
            !items.is_empty() && items.iter().all(|item| matches!(item, Bson::Document(_)))
        });
        if !is_list {
            return Err(wrong(format!("`{list}` must be an array of documents")));
        }
    }
    Ok(Allowed {
        kind: *kind,
        name,
        collection,
        to,
    })
}

impl Allowed<'_> {
    /// Whether doing it a second time, after it was done or begun, leads to the same.
    pub(crate) fn is_repeatable(self, command: &Document) -> bool {
        match self.kind {
            Kind::Create
            | Kind::CollMod
            | Kind::CreateIndexes
            | Kind::DropIndexes
            | Kind::Drop
            | Kind::Rename
            // Its documents have the same ids each time.
            | Kind::Insert => true,
            Kind::Delete => statements(command, "deletes").all(|statement| {
                matches!(statement.get("limit"), Some(Bson::Int32(0) | Bson::Int64(0)))
            }),
            Kind::Update => {
                // One statement may undo what another needs.
                statements(command, "updates").count() == 1
                    && statements(command, "updates").all(sets_only)
            }
        }
    }
}

fn statements<'a>(command: &'a Document, field: &str) -> impl Iterator<Item = &'a Document> {
    let statements = command.get_array(field).into_iter().flatten();
    statements.filter_map(Bson::as_document)
}

/// Whether a statement says what fields are to be, for all that it finds, and makes no document.
fn sets_only(statement: &Document) -> bool {
    const SETTING: [&str; 7] = [
        "$set",
        "$unset",
        "$min",
        "$max",
        "$addToSet",
        "$pull",
        "$pullAll",
    ];
    let is_true = |key: &str| statement.get_bool(key).unwrap_or(false);
    is_true("multi")
        && !is_true("upsert")
        && statement.get_document("u").is_ok_and(|update| {
            update
                .keys()
                .all(|operator| SETTING.contains(&operator.as_str()))
        })
}

/// Holds a list of commands against what they may be, with the collections that are the plugin's own.
///
/// # Errors
/// [`EntityError::Invalid`] with the place of the command, such as `up[2]`.
pub(crate) fn check_list(
    list: &str,
    commands: &[Document],
    is_own: impl Fn(&str) -> bool,
) -> Result<(), EntityError> {
    for (at, command) in commands.iter().enumerate() {
        let place = format!("{list}[{at}]");
        let allowed = look(command).map_err(|error| error.within(&place))?;
        for collection in [Some(allowed.collection), allowed.to].into_iter().flatten() {
            if !is_own(collection) {
                let what = format!(
                    "`{}` names the collection {collection:?}, which is not the plugin's own",
                    allowed.name
                );
                return Err(EntityError::invalid(place, what));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn only_certain_commands_are_taken() {
        for command in [
            doc! { "create": "a", "validator": {} },
            doc! { "collMod": "a", "validator": {}, "validationLevel": "strict" },
            doc! { "createIndexes": "a", "indexes": [{ "key": { "x": 1 }, "name": "x" }] },
            doc! { "dropIndexes": "a", "index": "x" },
            doc! { "drop": "a" },
            doc! { "renameCollection": "a", "to": "b" },
            doc! { "insert": "a", "documents": [{ "x": 1 }] },
            doc! { "update": "a", "updates": [{ "q": {}, "u": { "$inc": { "x": 1 } } }] },
            doc! { "delete": "a", "deletes": [{ "q": {}, "limit": 0 }] },
        ] {
            check_list("up", &[command], |name| ["a", "b"].contains(&name)).unwrap();
        }
        for command in [
            doc! {},
            doc! { "find": "a" },
            doc! { "aggregate": "a", "pipeline": [{ "$out": "b" }], "cursor": {} },
            doc! { "aggregate": "a", "pipeline": [{ "$merge": "b" }], "cursor": {} },
            doc! { "listCollections": 1 },
            doc! { "dropDatabase": 1 },
            doc! { "eval": "1" },
            doc! { "mapReduce": "a" },
            doc! { "createUser": "a" },
            doc! { "findAndModify": "a", "update": {} },
            doc! { "create": "a", "viewOn": "users", "pipeline": [] },
            doc! { "create": "a", "capped": true },
            doc! { "create": 1 },
            doc! { "drop": "c" },
            doc! { "drop": "a", "$db": "other" },
            doc! { "insert": "a", "documents": [{}], "bypassDocumentValidation": true },
            doc! { "insert": "a", "documents": {} },
            doc! { "insert": "a", "documents": [] },
            doc! { "insert": "a" },
            doc! { "update": "a", "updates": [1] },
            doc! { "renameCollection": "a" },
            doc! { "renameCollection": "a", "to": "c" },
            doc! { "renameCollection": "a", "to": "b", "dropTarget": true },
            doc! { "insert": "a", "documents": [{}], "lsid": {} },
        ] {
            let refused = check_list("up", std::slice::from_ref(&command), |name| {
                ["a", "b"].contains(&name)
            });
            let error = refused.expect_err(&command.to_string());
            assert!(error.public_message().starts_with("up[0]: "), "{error:?}");
        }
    }

    #[test]
    fn what_may_be_done_twice_is_known() {
        let is = |command: Document| look(&command).unwrap().is_repeatable(&command);
        assert!(is(doc! { "create": "a" }));
        assert!(is(doc! { "insert": "a", "documents": [{}] }));
        assert!(is(
            doc! { "delete": "a", "deletes": [{ "q": {}, "limit": 0 }] }
        ));
        assert!(!is(
            doc! { "delete": "a", "deletes": [{ "q": {}, "limit": 1 }] }
        ));
        let update = |u: Bson, multi: bool| {
            doc! { "update": "a", "updates": [{ "q": {}, "u": u, "multi": multi }] }
        };
        assert!(is(update(doc! { "$set": { "x": 1 } }.into(), true)));
        assert!(!is(update(doc! { "$set": { "x": 1 } }.into(), false)));
        assert!(!is(update(doc! { "$inc": { "x": 1 } }.into(), true)));
        assert!(!is(update(doc! { "x": 1 }.into(), false)));
        assert!(!is(update(vec![doc! { "$set": { "x": 1 } }].into(), true)));
        let two = doc! { "q": {}, "u": { "$set": { "x": 1 } }, "multi": true };
        assert!(!is(doc! { "update": "a", "updates": [two.clone(), two] }));
    }
}
