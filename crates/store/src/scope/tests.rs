use mongodb::bson::{RawDocumentBuf, bson};

use super::*;
use crate::access::CollectionRule;

/// `notes` and `files` have users' documents, everything else the app's.
struct Ann(Option<&'static str>);

impl DatabaseAccess for Ann {
    fn rule(&self, collection: &str) -> CollectionRule {
        CollectionRule {
            read: true,
            write: true,
            of_user: matches!(collection, "notes" | "files"),
        }
    }

    fn is_whole(&self) -> bool {
        false
    }

    fn listed(&self) -> Option<Document> {
        Some(doc! { "name": "notes" })
    }

    fn user_id(&self) -> Option<&str> {
        self.0
    }
}

fn bound(command: Document) -> Result<Document, StoreError> {
    bound_for(command, Some("ann"))
}

fn bound_for(command: Document, user: Option<&'static str>) -> Result<Document, StoreError> {
    let name = command.keys().next().expect("a command").clone();
    let raw = RawDocumentBuf::try_from(&command).expect("BSON");
    let raw = of_user(&raw, &name, &Ann(user))?;
    Ok(Document::try_from(&*raw).expect("BSON"))
}

#[test]
fn filters_have_the_user() {
    let simple = || doc! { "locale": "simple" };
    for (command, wanted) in [
        (
            doc! { "find": "notes" },
            doc! { "find": "notes", "filter": { "user_id": "ann" }, "collation": simple() },
        ),
        (
            doc! { "find": "notes", "filter": { "$or": [{ "a": 1 }, {}] } },
            doc! { "find": "notes", "filter": { "user_id": "ann", "$or": [{ "a": 1 }, {}] },
            "collation": simple() },
        ),
        (
            doc! { "count": "notes", "query": { "user_id": "bob" } },
            doc! { "count": "notes", "query": { "$and": [{ "user_id": "ann" },
            { "user_id": "bob" }] }, "collation": simple() },
        ),
        (
            doc! { "distinct": "notes", "key": "user_id" },
            doc! { "distinct": "notes", "key": "user_id", "query": { "user_id": "ann" },
            "collation": simple() },
        ),
        (
            doc! { "delete": "notes", "deletes": [{ "q": {}, "limit": 0 }] },
            doc! { "delete": "notes", "deletes": [{ "limit": 0, "q": { "user_id": "ann" },
            "collation": simple() }] },
        ),
    ] {
        assert_eq!(bound(command).expect("bound"), wanted);
    }
}

#[test]
fn pipelines_have_the_user_wherever_they_look() {
    let own = || bson!({ "$match": { "user_id": "ann" } });
    let deep = bound(doc! { "aggregate": "orders", "cursor": {}, "pipeline": [
        { "$lookup": { "from": "notes", "localField": "n", "foreignField": "_id", "as": "n" } },
        { "$facet": { "x": [{ "$lookup": { "from": "orders", "as": "o", "pipeline": [
            { "$unionWith": "files" },
            { "$unionWith": { "coll": "notes", "pipeline": [{ "$limit": 1 }] } },
        ] } }] } },
        { "$graphLookup": { "from": "files", "startWith": "$a", "connectFromField": "a",
            "connectToField": "b", "as": "g" } },
        { "$out": "orders_2" },
    ] })
    .expect("bound");
    let stages = deep.get_array("pipeline").expect("stages");
    assert_eq!(stages.len(), 4, "the app's collection is not bound");
    let text = deep.to_string();
    assert_eq!(text.matches("\"user_id\": \"ann\"").count(), 4, "{text}");
    let own_first = |command: Document| {
        let command = bound(command).expect("bound");
        command.get_array("pipeline").expect("stages")[0].clone()
    };
    assert_eq!(
        own_first(doc! { "aggregate": "notes", "pipeline": [] }),
        own()
    );
    assert_eq!(
        own_first(doc! { "aggregate": "notes", "pipeline": [{ "$group": { "_id": "$user_id" } }] }),
        own()
    );
    let near =
        own_first(doc! { "aggregate": "notes", "pipeline": [{ "$geoNear": { "near": 1 } }] });
    assert!(near.to_string().contains("ann"), "{near}");
}

#[test]
fn what_is_written_is_the_users() {
    let inserted =
        bound(doc! { "insert": "notes", "documents": [{ "a": 1 }, { "user_id": "ann" }] });
    let wanted = doc! { "insert": "notes", "documents": [{ "a": 1, "user_id": "ann" },
    { "user_id": "ann" }] };
    assert_eq!(inserted.expect("bound"), wanted);
    let update = |update: Bson, upsert: bool| {
        let command = doc! { "update": "notes", "updates": [{ "q": {}, "u": update,
        "upsert": upsert, "multi": true }] };
        let command = bound(command)?;
        let statement = command.get_array("updates").expect("updates")[0].clone();
        Ok::<_, StoreError>(
            statement
                .as_document()
                .expect("one")
                .get("u")
                .cloned()
                .expect("u"),
        )
    };
    assert_eq!(
        update(bson!({ "a": 1 }), false).expect("bound"),
        bson!({ "a": 1, "user_id": "ann" })
    );
    assert_eq!(
        update(bson!({}), false).expect("bound"),
        bson!({ "user_id": "ann" })
    );
    assert_eq!(
        update(bson!({ "$set": { "a": 1 } }), true).expect("bound"),
        bson!({ "$set": { "a": 1 }, "$setOnInsert": { "user_id": "ann" } })
    );
    assert_eq!(
        update(bson!([{ "$set": { "user_id": "bob" } }]), false).expect("bound"),
        bson!([{ "$set": { "user_id": "bob" } }, { "$set": { "user_id": { "$literal": "ann" } } }])
    );
    for stolen in [
        bson!({ "user_id": "bob" }),
        bson!({ "user_id": ["ann"] }),
        bson!({ "$set": { "user_id": "bob" } }),
        bson!({ "$set": { "user_id.x": 1 } }),
        bson!({ "$unset": { "user_id": "" } }),
        bson!({ "$rename": { "user_id": "x" } }),
        bson!({ "$rename": { "x": "user_id" } }),
        bson!({ "$setOnInsert": { "user_id": "bob" } }),
        bson!({ "$push": { "user_id": "bob" } }),
    ] {
        let error = update(stolen.clone(), true).expect_err("refused");
        assert!(error.denied.is_some(), "{stolen}: {error}");
    }
    let error = bound(doc! { "insert": "notes", "documents": [{ "user_id": "bob" }] });
    assert!(error.expect_err("refused").denied.is_some());
    let modified = bound(
        doc! { "findAndModify": "notes", "query": { "a": 1 }, "upsert": true,
        "update": { "$inc": { "n": 1 } } },
    );
    assert_eq!(
        modified.expect("bound").to_string().matches("ann").count(),
        2
    );
}

#[test]
fn what_cannot_be_bound_is_refused() {
    for command in [
        doc! { "drop": "notes" },
        doc! { "collMod": "notes", "validator": {} },
        doc! { "renameCollection": "notes", "to": "mine" },
        doc! { "collStats": "notes" },
        doc! { "validate": "notes" },
        doc! { "explain": { "find": "notes" } },
        doc! { "create": "mine", "viewOn": "notes", "pipeline": [] },
        doc! { "create": "notes", "capped": true, "size": 1 },
        doc! { "aggregate": "notes", "pipeline": [{ "$changeStream": {} }] },
        doc! { "aggregate": "notes", "pipeline": [{ "$search": {} }] },
        doc! { "aggregate": "orders", "pipeline": [{ "$out": "notes" }] },
        doc! { "aggregate": "orders", "pipeline": [{ "$out": { "db": "d", "coll": "notes" } }] },
        doc! { "aggregate": "orders", "pipeline": [{ "$merge": "notes" }] },
        doc! { "aggregate": "orders", "pipeline": [{ "$merge": { "into": "notes" } }] },
        doc! { "aggregate": "orders", "pipeline": [
        { "$merge": { "into": { "db": "d", "coll": "notes" } } }] },
        doc! { "createIndexes": "notes", "indexes": [
        { "key": { "a": 1 }, "name": "a", "expireAfterSeconds": 1 }] },
        doc! { "createIndexes": "notes", "indexes": [
        { "key": { "a": 1 }, "name": "a", "unique": true }] },
    ] {
        let error = bound(command.clone()).expect_err("refused");
        assert!(error.denied.is_some(), "{command}: {error}");
    }
    let collation = doc! { "locale": "en", "strength": 1 };
    let odd = bound(doc! { "find": "notes", "collation": collation.clone() });
    assert!(odd.is_err());
    assert!(
        bound(doc! { "update": "notes", "updates": [
        { "q": {}, "u": {}, "collation": collation }] })
        .is_err()
    );
    let unique = doc! { "createIndexes": "notes", "indexes": [
    { "key": { "user_id": 1, "a": 1 }, "name": "a", "unique": true }] };
    assert!(bound_for(unique, None).is_ok());
    for nobodys in [
        doc! { "find": "notes" },
        doc! { "insert": "notes", "documents": [{}] },
        doc! { "aggregate": "orders", "pipeline": [{ "$unionWith": "notes" }] },
    ] {
        let error = bound_for(nobodys, None).expect_err("refused");
        assert!(error.denied.is_some());
    }
}
