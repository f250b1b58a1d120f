//! Documents in, documents out.

use bson::{Bson, Document, doc, oid::ObjectId};
use futures_util::TryStreamExt;
use mongodb::options::ReturnDocument;

use crate::support::{TestServer, code_of};

#[tokio::test(flavor = "multi_thread")]
async fn inserts_finds_updates_deletes() {
    let server = TestServer::start().await;
    let coll = server.coll("things");
    let id = coll
        .insert_one(doc! { "name": "a", "n": 1 })
        .await
        .unwrap()
        .inserted_id;
    coll.insert_many([doc! { "name": "b", "n": 2 }, doc! { "name": "c", "n": 3 }])
        .await
        .unwrap();

    let found = coll
        .find_one(doc! { "_id": id.clone() })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.get_str("name").unwrap(), "a");
    assert_eq!(found.keys().next().unwrap(), "_id", "_id comes first");

    let result = coll
        .update_many(doc! { "n": { "$gte": 2 } }, doc! { "$inc": { "n": 10 } })
        .await;
    let result = result.unwrap();
    assert_eq!((result.matched_count, result.modified_count), (2, 2));

    let result = coll
        .update_one(doc! { "name": "z" }, doc! { "$set": { "n": 9 } })
        .upsert(true)
        .await
        .unwrap();
    assert_eq!(result.matched_count, 0);
    assert!(matches!(result.upserted_id, Some(Bson::ObjectId(_))));

    let sorted: Vec<i32> = coll
        .find(doc! {})
        .sort(doc! { "n": -1 })
        .projection(doc! { "_id": 0, "n": 1 })
        .await
        .unwrap()
        .map_ok(|document| document.get_i32("n").unwrap())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(sorted, [13, 12, 9, 1]);
    assert_eq!(
        coll.count_documents(doc! { "n": { "$gt": 9 } })
            .await
            .unwrap(),
        2
    );
    assert_eq!(coll.estimated_document_count().await.unwrap(), 4);

    assert_eq!(
        coll.delete_one(doc! { "_id": id })
            .await
            .unwrap()
            .deleted_count,
        1
    );
    assert_eq!(coll.delete_many(doc! {}).await.unwrap().deleted_count, 3);
    assert_eq!(coll.estimated_document_count().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn finds_and_modifies() {
    let server = TestServer::start().await;
    let coll = server.coll("things");
    coll.insert_many([doc! { "_id": 1, "n": 5 }, doc! { "_id": 2, "n": 7 }])
        .await
        .unwrap();
    let old = coll
        .find_one_and_update(doc! {}, doc! { "$inc": { "n": 1 } })
        .sort(doc! { "n": -1 })
        .await
        .unwrap();
    assert_eq!(old, Some(doc! { "_id": 2, "n": 7 }));
    let new = coll
        .find_one_and_replace(doc! { "_id": 1 }, doc! { "m": 1 })
        .return_document(ReturnDocument::After)
        .await
        .unwrap();
    assert_eq!(new, Some(doc! { "_id": 1, "m": 1 }));
    let upserted = coll
        .find_one_and_update(doc! { "_id": 3 }, doc! { "$set": { "x": 1 } })
        .upsert(true)
        .return_document(ReturnDocument::After)
        .await
        .unwrap();
    assert_eq!(upserted, Some(doc! { "_id": 3, "x": 1 }));
    let gone = coll.find_one_and_delete(doc! { "_id": 2 }).await.unwrap();
    assert_eq!(gone, Some(doc! { "_id": 2, "n": 8 }));
    assert_eq!(
        coll.find_one_and_delete(doc! { "_id": 2 }).await.unwrap(),
        None
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn aggregates() {
    let server = TestServer::start().await;
    let coll = server.coll("sales");
    let documents = (0..300).map(|n| doc! { "_id": n, "city": n % 3, "amount": n });
    coll.insert_many(documents).await.unwrap();
    let groups: Vec<Document> = coll
        .aggregate([
            doc! { "$match": { "amount": { "$gte": 3 } } },
            doc! { "$group": { "_id": "$city", "sum": { "$sum": "$amount" }, "n": { "$sum": 1 } } },
            doc! { "$sort": { "_id": 1 } },
        ])
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(groups.len(), 3);
    assert_eq!(groups[0], doc! { "_id": 0, "sum": 14850, "n": 99 });

    // More than one batch, and into another collection.
    let all: Vec<Document> = coll
        .aggregate([doc! { "$project": { "twice": { "$multiply": ["$amount", 2] } } }])
        .batch_size(7)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(all.len(), 300);
    coll.aggregate([doc! { "$match": { "city": 1 } }, doc! { "$out": "copy" }])
        .await
        .unwrap();
    assert_eq!(
        server.coll("copy").count_documents(doc! {}).await.unwrap(),
        100
    );
    coll.aggregate([
        doc! { "$match": { "city": { "$in": [1, 2] } } },
        doc! { "$set": { "merged": true } },
        doc! { "$merge": { "into": "copy" } },
    ])
    .await
    .unwrap();
    let copy = server.coll("copy");
    assert_eq!(
        copy.count_documents(doc! { "merged": true }).await.unwrap(),
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_what_was_written_over_a_restart() {
    let server = TestServer::start().await;
    let coll = server.coll("things");
    coll.insert_many((0..50).map(|n| doc! { "_id": n, "tags": ["a", n] }))
        .await
        .unwrap();
    coll.create_index(
        mongodb::IndexModel::builder()
            .keys(doc! { "tags": 1 })
            .build(),
    )
    .await
    .unwrap();
    let server = server.restart().await;
    let coll = server.coll("things");
    assert_eq!(coll.estimated_document_count().await.unwrap(), 50);
    assert_eq!(coll.count_documents(doc! { "tags": 7 }).await.unwrap(), 1);
    let names = coll.list_index_names().await.unwrap();
    assert_eq!(names, ["_id_", "tags_1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn validates_documents() {
    let server = TestServer::start().await;
    let schema = doc! {
        "$jsonSchema": { "bsonType": "object", "required": ["name"],
        "properties": { "name": { "bsonType": "string" } } }
    };
    server
        .db()
        .create_collection("people")
        .validator(schema)
        .await
        .unwrap();
    let coll = server.coll("people");
    coll.insert_one(doc! { "name": "x" }).await.unwrap();
    let error = coll.insert_one(doc! { "name": 5 }).await.unwrap_err();
    assert_eq!(code_of(&error), 121);
    let error = coll
        .update_one(doc! {}, doc! { "$unset": { "name": 1 } })
        .await
        .unwrap_err();
    assert_eq!(code_of(&error), 121);
    server
        .db()
        .run_command(doc! { "collMod": "people", "validator": {} })
        .await
        .unwrap();
    coll.insert_one(doc! { "name": 5 }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_renames_and_drops_collections() {
    let server = TestServer::start().await;
    for name in ["a", "b"] {
        server.coll(name).insert_one(doc! { "x": 1 }).await.unwrap();
    }
    let mut names = server.db().list_collection_names().await.unwrap();
    names.sort();
    assert_eq!(names, ["a", "b"]);
    let admin = server.client.database("admin");
    admin
        .run_command(doc! { "renameCollection": "test.a", "to": "test.c" })
        .await
        .unwrap();
    let error = admin
        .run_command(doc! { "renameCollection": "test.b", "to": "test.c" })
        .await
        .unwrap_err();
    assert_eq!(code_of(&error), 48);
    server.coll("b").drop().await.unwrap();
    assert_eq!(server.db().list_collection_names().await.unwrap(), ["c"]);
    assert_eq!(server.client.list_database_names().await.unwrap(), ["test"]);
    server.db().drop().await.unwrap();
    assert!(
        server
            .client
            .list_database_names()
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_documents_byte_for_byte() {
    let server = TestServer::start().await;
    let coll = server.coll("exact");
    let document = doc! {
        "_id": ObjectId::new(), "d": 1.5, "s": "ü", "i": 1, "l": 1_i64, "n": Bson::Null,
        "nested": { "b": [1, { "c": [] }] }, "date": bson::DateTime::from_millis(-5),
        "dec": "1.50".parse::<bson::Decimal128>().unwrap(),
    };
    coll.insert_one(&document).await.unwrap();
    let raw = server.db().collection::<bson::RawDocumentBuf>("exact");
    let found = raw.find_one(doc! {}).await.unwrap().unwrap();
    assert_eq!(found.as_bytes(), document.to_vec().unwrap());
}
