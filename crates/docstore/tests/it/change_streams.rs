//! Change streams: events, resuming, the end of a collection.

use bson::{Document, doc};
use mongodb::{
    change_stream::event::{OperationType, ResumeToken},
    options::FullDocumentType,
};

use crate::support::{RawClient, TestServer, code_of};

#[tokio::test(flavor = "multi_thread")]
async fn tells_what_happens_and_resumes() {
    let server = TestServer::start().await;
    let coll = server.coll("c");
    let mut stream = coll
        .watch()
        .full_document(FullDocumentType::UpdateLookup)
        .await
        .unwrap();
    coll.insert_one(doc! { "_id": 1, "a": 1, "b": 2 })
        .await
        .unwrap();
    coll.update_one(
        doc! { "_id": 1 },
        doc! { "$set": { "a": 5 }, "$unset": { "b": 1 } },
    )
    .await
    .unwrap();
    coll.replace_one(doc! { "_id": 1 }, doc! { "z": 1 })
        .await
        .unwrap();
    server
        .coll("other")
        .insert_one(doc! { "_id": 9 })
        .await
        .unwrap();
    coll.delete_one(doc! { "_id": 1 }).await.unwrap();

    let insert = stream.next_if_any_bounded().await;
    assert_eq!(insert.operation_type, OperationType::Insert);
    assert_eq!(
        insert.full_document,
        Some(doc! { "_id": 1, "a": 1, "b": 2 })
    );
    let token: ResumeToken = insert.id;
    let update = stream.next_if_any_bounded().await;
    assert_eq!(update.operation_type, OperationType::Update);
    let description = update.update_description.unwrap();
    assert_eq!(description.updated_fields, doc! { "a": 5 });
    assert_eq!(description.removed_fields, ["b"]);
    let replace = stream.next_if_any_bounded().await;
    assert_eq!(replace.operation_type, OperationType::Replace);
    let delete = stream.next_if_any_bounded().await;
    assert_eq!(delete.operation_type, OperationType::Delete);
    assert_eq!(delete.document_key, Some(doc! { "_id": 1 }));

    // Events that happened before a restart can be had after it.
    drop(stream);
    let server = server.restart().await;
    let coll = server.coll("c");
    let mut resumed = coll.watch().resume_after(token).await.unwrap();
    assert_eq!(
        resumed.next_if_any_bounded().await.operation_type,
        OperationType::Update
    );
    coll.drop().await.unwrap();
    let mut kinds = Vec::new();
    while kinds.last() != Some(&OperationType::Invalidate) {
        kinds.push(resumed.next_if_any_bounded().await.operation_type);
    }
    assert_eq!(
        kinds,
        [
            OperationType::Replace,
            OperationType::Delete,
            OperationType::Drop,
            OperationType::Invalidate
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_a_database_through_a_pipeline() {
    let server = TestServer::start().await;
    let mut stream = server
        .db()
        .watch()
        .pipeline([doc! { "$match": { "fullDocument.n": { "$gte": 2 } } }])
        .await
        .unwrap();
    for (name, n) in [("a", 1), ("b", 2), ("a", 3)] {
        server
            .coll(name)
            .insert_one(doc! { "_id": n, "n": n })
            .await
            .unwrap();
    }
    for expected in [2, 3] {
        let event = stream.next_if_any().await;
        let event = match event.unwrap() {
            Some(event) => event,
            None => stream.next_if_any().await.unwrap().expect("an event"),
        };
        assert_eq!(event.full_document.unwrap().get_i32("n").unwrap(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_tokens_that_are_none() {
    let server = TestServer::start().await;
    let error = server
        .db()
        .run_command(doc! {
            "aggregate": "c",
            "pipeline": [{ "$changeStream": { "resumeAfter": { "_data": "zz" } } }],
            "cursor": {},
        })
        .await
        .unwrap_err();
    assert_eq!(code_of(&error), 260);
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_stages_that_need_all_events() {
    let server = TestServer::start().await;
    for stage in [
        doc! { "$group": { "_id": "$operationType" } },
        doc! { "$sort": { "_id": 1 } },
        doc! { "$limit": 1 },
        doc! { "$lookup": { "from": "d", "localField": "a", "foreignField": "a", "as": "b" } },
    ] {
        let watch = server.coll("c").watch().pipeline([stage]).await;
        assert_eq!(code_of(&watch.map(drop).unwrap_err()), 20);
    }
}

/// The next event, within a few polls.
trait NextBounded {
    async fn next_if_any_bounded(
        &mut self,
    ) -> mongodb::change_stream::event::ChangeStreamEvent<Document>;
}

impl NextBounded
    for mongodb::change_stream::ChangeStream<
        mongodb::change_stream::event::ChangeStreamEvent<Document>,
    >
{
    async fn next_if_any_bounded(
        &mut self,
    ) -> mongodb::change_stream::event::ChangeStreamEvent<Document> {
        for _ in 0..10 {
            if let Some(event) = self.next_if_any().await.unwrap() {
                return event;
            }
        }
        panic!("no event came");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_does_not_begin_before_its_log() {
    let server = TestServer::start().await;
    let coll = server.coll("c");
    drop(coll.watch().await.unwrap());
    coll.insert_one(doc! { "_id": 1 }).await.unwrap();
    let db = server.db();
    let from = |time: i64| {
        let time = bson::Timestamp {
            time: time as u32,
            increment: 1,
        };
        db.run_command(doc! {
            "aggregate": "c",
            "pipeline": [{ "$changeStream": { "startAtOperationTime": time } }],
            "cursor": {},
        })
    };
    let now = bson::DateTime::now().timestamp_millis() / 1000;
    // An hour ago nothing was logged: what happened then cannot be told.
    assert_eq!(code_of(&from(now - 3600).await.unwrap_err()), 286);
    from(now).await.unwrap();
}

/// A server that says it is a replica set, and a client of it without a driver's help.
async fn replica_set() -> (TestServer, RawClient) {
    let server = TestServer::start_with(|config| config.replica_set = Some("rs0".to_owned())).await;
    let raw = RawClient::connect(&server);
    (server, raw)
}

fn events(reply: &Document) -> Vec<Document> {
    let cursor = reply.get_document("cursor").unwrap();
    let batch = cursor.get_array("firstBatch").unwrap();
    batch
        .iter()
        .map(|event| event.as_document().unwrap().clone())
        .collect()
}

fn watch(options: Document) -> Document {
    doc! { "aggregate": "c", "pipeline": [{ "$changeStream": options }], "cursor": {}, "$db": "test" }
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_tell_the_time_and_streams_start_at_it() {
    let (_server, mut raw) = replica_set().await;
    let insert = |id: i32| doc! { "insert": "c", "documents": [{ "_id": id }], "$db": "test" };
    let time = |reply: &Document| reply.get_timestamp("operationTime").unwrap();
    let mut times = Vec::new();
    for id in 0..5 {
        let reply = raw.run(&insert(id));
        let cluster = reply.get_document("$clusterTime").unwrap();
        assert_eq!(cluster.get_timestamp("clusterTime").unwrap(), time(&reply));
        assert!(cluster.get_document("signature").is_ok());
        times.push(time(&reply));
    }
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    // Failed commands tell it too; reads do not move it.
    let failed = raw.run(&doc! { "nothing": 1, "$db": "test" });
    assert_eq!(time(&failed), times[4]);
    // Each time is that of its event, though all may fall into one second.
    for (id, at) in times.iter().enumerate() {
        let found = events(&raw.run(&watch(doc! { "startAtOperationTime": *at })));
        assert_eq!(found.len(), 5 - id, "from {at}");
        assert_eq!(found[0].get_timestamp("clusterTime").unwrap(), *at);
        let key = found[0].get_document("documentKey").unwrap();
        assert_eq!(key.get_i32("_id").unwrap(), id as i32);
    }
    // A read after a write's time sees the write; a time to come is refused.
    let read = |after: bson::Timestamp| {
        doc! { "find": "c", "readConcern": { "afterClusterTime": after }, "$db": "test" }
    };
    assert_eq!(events(&raw.run(&read(times[4]))).len(), 5);
    let later = bson::Timestamp {
        time: times[4].time + 100,
        increment: 1,
    };
    assert_eq!(raw.run(&read(later)).get_i32("code").unwrap(), 72);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_the_driver_are_causally_consistent() {
    let (server, _) = replica_set().await;
    let mut session = server
        .client
        .start_session()
        .causal_consistency(true)
        .await
        .unwrap();
    let coll = server.coll("c");
    coll.insert_one(doc! { "_id": 1 })
        .session(&mut session)
        .await
        .unwrap();
    assert!(session.cluster_time().is_some());
    let found = coll.find_one(doc! {}).session(&mut session).await.unwrap();
    assert!(found.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn expanded_events_tell_of_definitions() {
    let (_server, mut raw) = replica_set().await;
    let start = raw.run(&doc! { "ping": 1, "$db": "test" });
    let start = start.get_timestamp("operationTime").unwrap();
    for command in [
        doc! { "create": "c", "validator": { "a": { "$ne": 1 } } },
        doc! { "createIndexes": "c", "indexes": [
            { "key": { "a": 1 }, "name": "a" }, { "key": { "b": 1 }, "name": "b" },
        ] },
        doc! { "collMod": "c", "index": { "name": "a", "hidden": true } },
        doc! { "insert": "c", "documents": [{ "_id": 1, "l": [1, 2], "o": { "0": 1 } }] },
        doc! { "update": "c", "updates": [{ "q": {}, "u": { "$set": { "l.1": 5, "o.0": 2, "p": 1 } } }] },
        doc! { "dropIndexes": "c", "index": "b" },
        doc! { "renameCollection": "test.c", "to": "test.d", "$db": "admin" },
    ] {
        let mut command = command;
        if !command.contains_key("$db") {
            command.insert("$db", "test");
        }
        let reply = raw.run(&command);
        assert_eq!(reply.get_f64("ok").unwrap(), 1.0, "{command} {reply}");
    }
    let kinds = |events: &[Document]| -> Vec<String> {
        events
            .iter()
            .map(|event| event.get_str("operationType").unwrap().to_owned())
            .collect()
    };
    let plain = events(&raw.run(&watch(doc! { "startAtOperationTime": start })));
    assert_eq!(kinds(&plain), ["insert", "update", "rename", "invalidate"]);
    assert!(
        plain
            .iter()
            .all(|event| !event.contains_key("collectionUUID")
                && !event.contains_key("operationDescription"))
    );
    let description = plain[1].get_document("updateDescription").unwrap();
    assert!(!description.contains_key("disambiguatedPaths"));
    let options = doc! { "startAtOperationTime": start, "showExpandedEvents": true };
    let expanded = events(&raw.run(&watch(options)));
    assert_eq!(
        kinds(&expanded),
        [
            "create",
            "createIndexes",
            "modify",
            "insert",
            "update",
            "dropIndexes",
            "rename",
            "invalidate"
        ]
    );
    let about = |at: usize| expanded[at].get_document("operationDescription").unwrap();
    assert!(about(0).get_document("idIndex").is_ok());
    assert!(about(0).get_document("validator").is_ok());
    assert_eq!(about(1).get_array("indexes").unwrap().len(), 2);
    let hidden = about(2).get_document("index").unwrap();
    assert!(hidden.get_bool("hidden").unwrap());
    assert!(expanded[2].contains_key("stateBeforeChange"));
    assert_eq!(about(5).get_array("indexes").unwrap().len(), 1);
    assert_eq!(
        about(6).get_document("to").unwrap(),
        &doc! { "db": "test", "coll": "d" }
    );
    let uuid = expanded[0].get("collectionUUID").unwrap();
    assert!(
        expanded[..7]
            .iter()
            .all(|event| event.get("collectionUUID") == Some(uuid))
    );
    let description = expanded[4].get_document("updateDescription").unwrap();
    assert_eq!(
        description.get_document("disambiguatedPaths").unwrap(),
        &doc! { "l.1": ["l", 1], "o.0": ["o", "0"] }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transactions_events_come_with_its_commit() {
    let (server, mut raw) = replica_set().await;
    let start = raw.run(&doc! { "insert": "c", "documents": [{ "_id": 0 }], "$db": "test" });
    let start = start.get_timestamp("operationTime").unwrap();
    let mut session = server.client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let coll = server.coll("c");
    coll.insert_one(doc! { "_id": 1 })
        .session(&mut session)
        .await
        .unwrap();
    coll.update_one(doc! { "_id": 1 }, doc! { "$set": { "a": 1 } })
        .session(&mut session)
        .await
        .unwrap();
    let from_start = watch(doc! { "startAtOperationTime": start });
    assert_eq!(events(&raw.run(&from_start)).len(), 1);
    session.commit_transaction().await.unwrap();
    let found = events(&raw.run(&from_start));
    let kinds: Vec<&str> = found
        .iter()
        .map(|event| event.get_str("operationType").unwrap())
        .collect();
    assert_eq!(kinds, ["insert", "insert", "update"]);
    assert!(!found[0].contains_key("txnNumber"));
    assert!(found[1].contains_key("txnNumber") && found[2].contains_key("lsid"));
}
