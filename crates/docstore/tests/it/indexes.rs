//! Indexes: uniqueness, use by queries, kinds, expiry.

use std::time::Duration;

use bson::{DateTime, Document, doc};
use mongodb::{
    IndexModel,
    error::{ErrorKind, WriteFailure},
    options::IndexOptions,
};

use crate::support::{TestServer, code_of, eventually, explain, stages};

fn model(keys: Document, options: IndexOptions) -> IndexModel {
    IndexModel::builder().keys(keys).options(options).build()
}

fn unique() -> IndexOptions {
    IndexOptions::builder().unique(true).build()
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_duplicates() {
    let server = TestServer::start().await;
    let coll = server.coll("people");
    coll.create_index(model(doc! { "email": 1 }, unique()))
        .await
        .unwrap();
    coll.insert_one(doc! { "_id": 1, "email": "a" })
        .await
        .unwrap();
    coll.insert_one(doc! { "_id": 2, "email": ["b", "c"] })
        .await
        .unwrap();
    for email in ["a", "c"] {
        let error = coll.insert_one(doc! { "email": email }).await.unwrap_err();
        assert_eq!(code_of(&error), 11000);
        let ErrorKind::Write(WriteFailure::WriteError(write)) = error.kind.as_ref() else {
            panic!("{error}")
        };
        let told = format!("index: email_1 dup key: {{ email: \"{email}\" }}");
        assert!(write.message.contains(&told), "{}", write.message);
    }
    let error = coll
        .update_one(doc! { "_id": 2 }, doc! { "$set": { "email": "a" } })
        .await
        .unwrap_err();
    assert_eq!(code_of(&error), 11000);
    // Nothing of the failed update is left.
    assert_eq!(
        coll.count_documents(doc! { "email": "c" }).await.unwrap(),
        1
    );
    coll.insert_one(doc! { "_id": 3 }).await.unwrap();
    let error = coll.insert_one(doc! { "_id": 4 }).await.unwrap_err();
    assert_eq!(code_of(&error), 11000, "a missing field counts as null");
    let error = coll
        .create_index(model(doc! { "x": 1 }, unique()))
        .await
        .unwrap_err();
    assert_eq!(code_of(&error), 11000);
    assert_eq!(coll.list_index_names().await.unwrap(), ["_id_", "email_1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_use_indexes() {
    let server = TestServer::start().await;
    let (db, coll) = (server.db(), server.coll("c"));
    coll.insert_many((0..2000).map(|n| doc! { "_id": n, "a": n % 100, "b": n, "tags": [n, -n] }))
        .await
        .unwrap();
    for keys in [doc! { "a": 1, "b": -1 }, doc! { "tags": 1 }] {
        coll.create_index(model(keys, IndexOptions::default()))
            .await
            .unwrap();
    }
    // (filter, sort, returned, keys read at most, stages)
    let cases: [(Document, Document, i64, i64, &[&str]); 8] = [
        (doc! { "_id": 5 }, doc! {}, 1, 1, &["IDHACK"]),
        (doc! { "a": 7 }, doc! {}, 20, 20, &["FETCH", "IXSCAN"]),
        (
            doc! { "a": 7 },
            doc! { "b": 1 },
            20,
            20,
            &["FETCH", "IXSCAN"],
        ),
        (
            doc! { "a": 7, "b": { "$gte": 1000 } },
            doc! {},
            10,
            10,
            &["FETCH", "IXSCAN"],
        ),
        (
            doc! { "a": { "$in": [1, 2] }, "b": { "$lt": 150 } },
            doc! {},
            4,
            4,
            &["FETCH", "IXSCAN"],
        ),
        (
            doc! { "a": { "$gt": 97 } },
            doc! { "a": -1 },
            40,
            40,
            &["FETCH", "IXSCAN"],
        ),
        (doc! { "tags": -3 }, doc! {}, 1, 1, &["FETCH", "IXSCAN"]),
        (doc! { "b": 3 }, doc! {}, 1, 0, &["COLLSCAN"]),
    ];
    for (filter, sort, returned, keys, expected) in cases {
        let find = doc! { "find": "c", "filter": filter.clone(), "sort": sort };
        let (plan, stats) = explain(&db, find).await;
        assert_eq!(stages(&plan), expected, "{filter}");
        assert_eq!(stats.get_i64("nReturned").unwrap(), returned, "{filter}");
        let read = stats.get_i64("totalKeysExamined").unwrap();
        assert!(read <= keys, "{filter}: {read} keys");
    }
    let error = coll
        .find_one(doc! {})
        .hint(mongodb::options::Hint::Name("no".into()))
        .await;
    assert_eq!(code_of(&error.unwrap_err()), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_and_sparse_indexes_are_used_only_where_they_are_complete() {
    let server = TestServer::start().await;
    let (db, coll) = (server.db(), server.coll("c"));
    coll.insert_many((0..100).map(|n| match n % 2 {
        0 => doc! { "_id": n, "a": n, "s": n },
        _ => doc! { "_id": n, "a": n },
    }))
    .await
    .unwrap();
    let partial = IndexOptions::builder()
        .partial_filter_expression(doc! { "a": { "$gt": 50 } })
        .build();
    coll.create_index(model(doc! { "a": 1 }, partial))
        .await
        .unwrap();
    let sparse = IndexOptions::builder().sparse(true).build();
    coll.create_index(model(doc! { "s": 1 }, sparse))
        .await
        .unwrap();
    for (filter, index) in [
        (doc! { "a": 60 }, true),
        (doc! { "a": { "$gt": 70 } }, true),
        (doc! { "a": 40 }, false),
        (doc! { "a": { "$lt": 90 } }, false),
        (doc! { "s": 4 }, true),
        (doc! { "s": null }, false),
    ] {
        let (plan, _) = explain(&db, doc! { "find": "c", "filter": filter.clone() }).await;
        assert_eq!(
            stages(&plan).contains(&"IXSCAN".to_owned()),
            index,
            "{filter}"
        );
    }
    assert_eq!(coll.count_documents(doc! { "s": null }).await.unwrap(), 50);
    // Without the sparse index: it has not all documents.
    let (plan, _) = explain(&db, doc! { "find": "c", "sort": { "s": 1 } }).await;
    assert_eq!(stages(&plan), ["SORT", "COLLSCAN"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_conflicting_and_unknown_kinds() {
    let server = TestServer::start().await;
    let coll = server.coll("c");
    coll.create_index(model(doc! { "a": 1 }, IndexOptions::default()))
        .await
        .unwrap();
    coll.create_index(model(doc! { "a": 1 }, IndexOptions::default()))
        .await
        .unwrap();
    let error = coll
        .create_index(model(doc! { "a": 1 }, unique()))
        .await
        .unwrap_err();
    assert!([85, 86].contains(&code_of(&error)));
    let named = IndexOptions::builder().name("a_1".to_owned()).build();
    let error = coll
        .create_index(model(doc! { "b": 1 }, named))
        .await
        .unwrap_err();
    assert_eq!(code_of(&error), 86);
    for kind in ["text", "2dsphere", "hashed"] {
        let error = coll
            .create_index(model(doc! { "x": kind }, IndexOptions::default()))
            .await
            .unwrap_err();
        assert_eq!(code_of(&error), 67, "{kind}");
    }
    coll.drop_index("a_1").await.unwrap();
    let error = coll.drop_index("a_1").await.unwrap_err();
    assert_eq!(code_of(&error), 27);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_documents_go() {
    let server =
        TestServer::start_with(|config| config.sweep_interval = Duration::from_millis(20)).await;
    let coll = server.coll("c");
    let ttl = IndexOptions::builder()
        .expire_after(Duration::from_secs(60))
        .build();
    coll.create_index(model(doc! { "at": 1 }, ttl))
        .await
        .unwrap();
    let now = DateTime::now().timestamp_millis();
    coll.insert_many([
        doc! { "_id": "old", "at": DateTime::from_millis(now - 61_000) },
        doc! { "_id": "new", "at": DateTime::from_millis(now) },
        doc! { "_id": "none", "at": "not a date" },
        // Of several dates the earliest counts.
        doc! { "_id": "early", "at": [DateTime::from_millis(now), "x", DateTime::from_millis(now - 61_000)] },
        doc! { "_id": "late", "at": [DateTime::from_millis(now), DateTime::from_millis(now + 61_000)] },
        doc! { "_id": "empty", "at": [] },
    ])
    .await
    .unwrap();
    eventually("the expired document is deleted", || async {
        (coll.count_documents(doc! {}).await.unwrap() == 4).then_some(())
    })
    .await;
    for gone in ["old", "early"] {
        assert_eq!(coll.find_one(doc! { "_id": gone }).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_odd_versions_and_options_of_the_id_index() {
    let server = TestServer::start().await;
    let create = |key: Document, option: Document| {
        let mut spec = doc! { "key": key, "name": "i" };
        spec.extend(option);
        let db = server.db();
        async move {
            let command = doc! { "createIndexes": "c", "indexes": [spec] };
            db.run_command(command).await
        }
    };
    for option in [doc! { "unique": true }, doc! { "sparse": true }] {
        let error = create(doc! { "_id": 1 }, option).await.unwrap_err();
        assert_eq!(code_of(&error), 197);
    }
    create(doc! { "_id": 1 }, doc! {}).await.unwrap();
    for v in [0, 3, 5] {
        let error = create(doc! { "a": 1 }, doc! { "v": v }).await.unwrap_err();
        assert_eq!(code_of(&error), 67);
    }
    let error = create(doc! { "a": 1 }, doc! { "v": "2" })
        .await
        .unwrap_err();
    assert_eq!(code_of(&error), 14);
    create(doc! { "a": 1 }, doc! { "v": 1, "unique": true })
        .await
        .unwrap();
}
