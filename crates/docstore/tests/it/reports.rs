//! What the store tells of itself, and options that are carried out or refused by name.

use bson::{Document, doc};
use futures_util::TryStreamExt;
use mongodb::IndexModel;

use crate::support::{RawClient, TestServer, body, code_of, eventually, frame, message};

async fn filled(count: i32) -> TestServer {
    let server = TestServer::start().await;
    let coll = server.coll("c");
    let index = IndexModel::builder().keys(doc! { "n": 1 }).build();
    coll.create_index(index).await.unwrap();
    coll.insert_many((0..count).map(|n| doc! { "_id": n, "n": n, "text": "x".repeat(100) }))
        .await
        .unwrap();
    server
}

async fn aggregate(
    server: &TestServer,
    stages: impl IntoIterator<Item = Document>,
) -> Result<Vec<Document>, i32> {
    let cursor = server.coll("c").aggregate(stages).await;
    match cursor {
        Ok(cursor) => cursor.try_collect().await.map_err(|error| code_of(&error)),
        Err(error) => Err(code_of(&error)),
    }
}

fn operations(report: &[Document], index: &str) -> i64 {
    let of_index = report
        .iter()
        .find(|one| one.get_str("name").is_ok_and(|name| name == index));
    let accesses = of_index.unwrap().get_document("accesses").unwrap();
    accesses.get_i64("ops").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn index_stats_count_uses() {
    let server = filled(10).await;
    let coll = server.coll("c");
    let report = aggregate(&server, [doc! { "$indexStats": {} }])
        .await
        .unwrap();
    assert_eq!(report.len(), 2);
    assert_eq!(operations(&report, "n_1"), 0);
    for n in 0..3 {
        coll.find_one(doc! { "n": n }).await.unwrap();
    }
    coll.find_one(doc! { "_id": 1 }).await.unwrap();
    coll.find_one(doc! { "text": "none" }).await.unwrap();
    let stages = [doc! { "$indexStats": {} }, doc! { "$sort": { "name": 1 } }];
    let report = aggregate(&server, stages).await.unwrap();
    assert_eq!(operations(&report, "n_1"), 3);
    assert_eq!(operations(&report, "_id_"), 1);
    assert_eq!(report[1].get_document("key").unwrap(), &doc! { "n": 1 });
    let bad = aggregate(&server, [doc! { "$indexStats": { "a": 1 } }]).await;
    assert_eq!(bad, Err(72));
}

#[tokio::test(flavor = "multi_thread")]
async fn coll_stats_tell_real_sizes() {
    let server = filled(2000).await;
    let stage = doc! { "$collStats": { "count": {}, "storageStats": { "scale": 1 } } };
    let report = aggregate(&server, [stage]).await.unwrap();
    assert_eq!(report.len(), 1);
    assert_eq!(report[0].get_i64("count").unwrap(), 2000);
    let storage = report[0].get_document("storageStats").unwrap();
    assert!(storage.get_i64("storageSize").unwrap() > 2000 * 100);
    let indexes = storage.get_document("indexSizes").unwrap();
    assert!(indexes.get_i64("n_1").unwrap() > 2000 * 8, "{indexes}");
    let command = server
        .db()
        .run_command(doc! { "collStats": "c" })
        .await
        .unwrap();
    assert_eq!(command.get("indexSizes"), storage.get("indexSizes"));
    let of_db = server
        .db()
        .run_command(doc! { "dbStats": 1 })
        .await
        .unwrap();
    assert_eq!(of_db.get("indexSize"), storage.get("totalIndexSize"));
    for (option, code) in [
        ("latencyStats", 115),
        ("queryExecStats", 115),
        ("nonsense", 40415),
    ] {
        let refused = aggregate(&server, [doc! { "$collStats": { option: {} } }]).await;
        assert_eq!(refused, Err(code), "{option}");
    }
    let none = server.coll("none");
    let missing = none.aggregate([doc! { "$collStats": { "count": {} } }]);
    assert_eq!(code_of(&missing.await.unwrap_err()), 26);
}

#[tokio::test(flavor = "multi_thread")]
async fn current_op_tells_what_is_under_way() {
    let server = TestServer::start_with(|config| config.replica_set = Some("rs".to_owned())).await;
    server
        .coll("c")
        .insert_one(doc! { "_id": 1 })
        .await
        .unwrap();
    let admin = server.client.database("admin");
    let mut raw = RawClient::connect(&server);
    let opened = raw.run(
        &doc! { "aggregate": "c", "pipeline": [{ "$changeStream": {} }], "cursor": {}, "$db": "test" },
    );
    let id = opened
        .get_document("cursor")
        .unwrap()
        .get_i64("id")
        .unwrap();
    let wait = doc! { "getMore": id, "collection": "c", "maxTimeMS": 15_000, "$db": "test" };
    raw.send(&frame(2013, &message(0, &wait)));
    let found = eventually("the waiting getMore", || async {
        let stages = [
            doc! { "$currentOp": { "allUsers": true } },
            doc! { "$match": { "op": "getmore" } },
        ];
        let cursor = admin.aggregate(stages).await.unwrap();
        let found: Vec<Document> = cursor.try_collect().await.unwrap();
        found.into_iter().next()
    })
    .await;
    assert_eq!(found.get_str("ns").unwrap(), "test.c");
    let command = admin
        .run_command(doc! { "currentOp": 1, "op": "getmore" })
        .await
        .unwrap();
    assert_eq!(command.get_array("inprog").unwrap().len(), 1);
    let command = admin
        .run_command(doc! { "currentOp": 1, "op": "insert" })
        .await
        .unwrap();
    assert!(command.get_array("inprog").unwrap().is_empty());
    server
        .coll("c")
        .insert_one(doc! { "_id": 2 })
        .await
        .unwrap();
    let more = body(&raw.receive().expect("an answer"));
    assert_eq!(more.get_f64("ok").unwrap(), 1.0);
    for (option, code) in [
        ("idleConnections", 115),
        ("idleCursors", 115),
        ("nonsense", 9),
    ] {
        let refused = admin.aggregate([doc! { "$currentOp": { option: true } }]);
        assert_eq!(code_of(&refused.await.unwrap_err()), code, "{option}");
    }
    let db = server.db();
    let elsewhere = db.aggregate([doc! { "$currentOp": {} }]);
    assert_eq!(code_of(&elsewhere.await.unwrap_err()), 73);
}

#[tokio::test(flavor = "multi_thread")]
async fn local_sessions_are_those_in_use() {
    let server = filled(1).await;
    let mut raw = RawClient::connect(&server);
    let id = |byte: u8| bson::Binary {
        subtype: bson::spec::BinarySubtype::Uuid,
        bytes: vec![byte; 16],
    };
    for byte in [1, 2] {
        let reply = raw.run(&doc! { "ping": 1, "lsid": { "id": id(byte) }, "$db": "admin" });
        assert_eq!(reply.get_f64("ok").unwrap(), 1.0);
    }
    raw.run(&doc! { "endSessions": [{ "id": id(1) }], "$db": "admin" });
    let list = doc! { "aggregate": 1, "pipeline": [
        { "$listLocalSessions": {} }, { "$match": { "_id.id": { "$in": [id(1), id(2)] } } },
    ], "cursor": {}, "$db": "admin" };
    let reply = raw.run(&list);
    let cursor = reply.get_document("cursor").unwrap();
    let found = cursor.get_array("firstBatch").unwrap();
    assert_eq!(found.len(), 1, "{reply}");
    let session = found[0].as_document().unwrap();
    assert_eq!(
        session.get_document("_id").unwrap().get("id"),
        Some(&bson::Bson::Binary(id(2)))
    );
    assert!(session.get_datetime("lastUse").is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_wrongly_in_silence() {
    let server = filled(3).await;
    let mut raw = RawClient::connect(&server);
    let pipeline = |stage: Document| doc! { "aggregate": "c", "pipeline": [stage], "cursor": {} };
    let whole = |stage: Document| doc! { "aggregate": 1, "pipeline": [stage], "cursor": {} };
    let update = |option: &str| doc! { "update": "c", "updates": [{ "q": {}, "u": { "$set": { "a": 1 } }, option: true }] };
    let mut out = pipeline(doc! { "$out": "d" });
    out.insert("readConcern", doc! { "level": "linearizable" });
    for (mut command, code) in [
        (pipeline(doc! { "$listSessions": {} }), 40324),
        (pipeline(doc! { "$listLocalSessions": {} }), 73),
        (whole(doc! { "$listLocalSessions": { "users": [] } }), 115),
        (pipeline(doc! { "$planCacheStats": {} }), 40324),
        (pipeline(doc! { "$documents": [] }), 73),
        (whole(doc! { "$match": {} }), 73),
        (whole(doc! { "$collStats": { "count": {} } }), 73),
        (out, 72),
        (
            doc! { "aggregate": "c", "pipeline": [], "cursor": {}, "exchange": {} },
            40415,
        ),
        (
            doc! { "aggregate": "c", "pipeline": [], "cursor": {}, "needsMerge": true },
            40415,
        ),
        (doc! { "find": "c", "returnKey": true }, 115),
        (doc! { "find": "c", "showRecordId": true }, 115),
        (doc! { "find": "c", "tailable": true }, 2),
        (doc! { "find": "c", "ntoreturn": 1 }, 40415),
        (update("upsertSupplied"), 40415),
        (doc! { "create": "d", "size": 1000 }, 72),
        (doc! { "create": "d", "max": 1000 }, 72),
        (doc! { "create": "d", "pipeline": [] }, 72),
        (doc! { "create": "d", "autoIndexId": false }, 72),
        (
            doc! { "create": "d", "storageEngine": { "wiredTiger": {} } },
            115,
        ),
        (
            doc! { "create": "d", "indexOptionDefaults": { "storageEngine": {} } },
            115,
        ),
        (
            doc! { "create": "d", "idIndex": { "key": { "a": 1 }, "name": "a" } },
            115,
        ),
        (doc! { "create": "d", "temp": true }, 115),
        (
            doc! { "create": "d", "validator": { "a": 1 }, "validationAction": "errorAndLog" },
            2,
        ),
        (
            doc! { "collMod": "c", "changeStreamPreAndPostImages": { "enabled": true } },
            115,
        ),
        (doc! { "currentOp": 1, "$all": true }, 115),
    ] {
        command.insert("$db", "test");
        let reply = raw.run(&command);
        assert_eq!(reply.get_i32("code").ok(), Some(code), "{command}: {reply}");
    }
    // MongoDB's other commands are not known at all.
    for name in [
        "abortReshardCollection",
        "addShard",
        "analyze",
        "appendOplogNote",
        "applyOps",
        "autoSplitVector",
        "balancerStart",
        "bulkWrite",
        "cloneCollectionAsCapped",
        "clusterAbortTransaction",
        "compact",
        "configureFailPoint",
        "connPoolStats",
        "convertToCapped",
        "createRole",
        "createUser",
        "createSearchIndexes",
        "dataSize",
        "dbHash",
        "driverOIDTest",
        "dropConnections",
        "dropRole",
        "dropUser",
        "enableSharding",
        "eval",
        "explainQueryStats",
        "filemd5",
        "flushRouterConfig",
        "fsyncUnlock",
        "geoNear",
        "geoSearch",
        "getAuditConfig",
        "getClusterParameter",
        "getDefaultRWConcern",
        "getLastError",
        "getShardMap",
        "getShardVersion",
        "grantRolesToUser",
        "group",
        "invalidateUserCache",
        "killOp",
        "listSearchIndexes",
        "lockInfo",
        "mapReduce",
        "movePrimary",
        "netstat",
        "planCacheClear",
        "planCacheListFilters",
        "planCacheSetFilter",
        "profile",
        "reIndex",
        "replSetInitiate",
        "replSetStepDown",
        "resetError",
        "rolesInfo",
        "rotateCertificates",
        "setAuditConfig",
        "setClusterParameter",
        "setDefaultRWConcern",
        "setFeatureCompatibilityVersion",
        "setIndexCommitQuorum",
        "setParameter",
        "setUserWriteBlockMode",
        "shardCollection",
        "shardConnPoolStats",
        "shutdown",
        "split",
        "splitVector",
        "updateUser",
        "usersInfo",
        "validateDBMetadata",
        "whatsmysni",
    ] {
        let reply = raw.run(&doc! { name: 1, "$db": "admin" });
        assert_eq!(reply.get_i32("code").ok(), Some(59), "{name}: {reply}");
        assert!(reply.get_str("errmsg").unwrap().contains(name), "{reply}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn out_and_merge_honour_the_validator() {
    let server = filled(3).await;
    let db = server.db();
    let rules = doc! { "n": { "$lt": 2 } };
    db.create_collection("strict")
        .validator(rules)
        .await
        .unwrap();
    let strict = server.coll("strict");
    strict
        .insert_one(doc! { "_id": "kept", "n": 0 })
        .await
        .unwrap();
    let coll = server.coll("c");
    for stage in [doc! { "$out": "strict" }, doc! { "$merge": "strict" }] {
        let refused = coll.aggregate([stage.clone()]).await.unwrap_err();
        assert_eq!(code_of(&refused), 121, "{stage}");
    }
    assert!(
        strict
            .find_one(doc! { "_id": "kept" })
            .await
            .unwrap()
            .is_some()
    );
    let valid = [
        doc! { "$match": { "n": { "$lt": 2 } } },
        doc! { "$out": "strict" },
    ];
    coll.aggregate(valid).await.unwrap();
    assert_eq!(strict.count_documents(doc! {}).await.unwrap(), 2);
    // The validator is still there, and can be bypassed.
    assert!(strict.insert_one(doc! { "n": 9 }).await.is_err());
    for stage in [doc! { "$merge": "strict" }, doc! { "$out": "strict" }] {
        coll.aggregate([stage])
            .bypass_document_validation(true)
            .await
            .unwrap();
        assert_eq!(strict.count_documents(doc! {}).await.unwrap(), 3);
    }
    let names = db.list_collection_names().await.unwrap();
    assert!(
        names.iter().all(|name| !name.starts_with("tmp.")),
        "{names:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_in_an_index_answer_as_a_scan_does() {
    let server = TestServer::start().await;
    let coll = server.coll("c");
    let documents = [
        doc! { "_id": 1, "a": [{ "b": 1 }] },
        doc! { "_id": 2, "a": [{ "b": null }, { "b": 2 }] },
        doc! { "_id": 3, "a": [] },
        doc! { "_id": 4, "a": { "0": { "b": 1 } } },
        doc! { "_id": 5 },
        doc! { "_id": 6, "a": [{ "c": 1 }] },
        doc! { "_id": 7, "a": [[{ "b": 1 }]] },
    ];
    coll.insert_many(documents).await.unwrap();
    let filters = [
        doc! { "a.0.b": null },
        doc! { "a.0.b": { "$in": [null, 2] } },
        doc! { "a.0.b": { "$lte": null } },
        doc! { "a.0.b": 1 },
        doc! { "a.0.b": { "$gte": 1 } },
        doc! { "a.0.b": { "$ne": 1 } },
    ];
    let mut scanned = Vec::new();
    for filter in &filters {
        scanned.push(found(&coll, filter).await);
    }
    let index = IndexModel::builder().keys(doc! { "a.0.b": 1 }).build();
    coll.create_index(index).await.unwrap();
    for (filter, scanned) in filters.iter().zip(&scanned) {
        assert_eq!(&found(&coll, filter).await, scanned, "{filter}");
    }
    let ambiguous = coll.insert_one(doc! { "a": [{ "0": { "b": 1 } }] });
    assert_eq!(code_of(&ambiguous.await.unwrap_err()), 16746);
}

async fn found(coll: &mongodb::Collection<Document>, filter: &Document) -> Vec<i32> {
    let cursor = coll.find(filter.clone()).await.unwrap();
    let all: Vec<Document> = cursor.try_collect().await.unwrap();
    let mut ids: Vec<i32> = all.iter().map(|one| one.get_i32("_id").unwrap()).collect();
    ids.sort_unstable();
    ids
}
