//! Change streams: events, resuming, the end of a collection.

use bson::{Document, doc};
use mongodb::{
    change_stream::event::{OperationType, ResumeToken},
    options::FullDocumentType,
};

use crate::support::{TestServer, code_of};

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
