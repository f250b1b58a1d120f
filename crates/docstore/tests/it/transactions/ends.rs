//! How transactions end: by a commit, an abort, a failure, or their time.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn commits_all_or_nothing() {
    let server = TestServer::start().await;
    server
        .coll("c")
        .insert_one(doc! { "_id": 0 })
        .await
        .unwrap();
    let mut raw = RawClient::connect(&server);
    assert_eq!(
        raw.run(&within(1, 1, true, insert(1)))
            .get_i32("n")
            .unwrap(),
        1
    );
    raw.run(&within(1, 1, false, insert(2)));
    // It sees itself; others do not see it.
    let own = raw.run(&within(1, 1, false, doc! { "find": "c", "filter": {} }));
    let batch = own
        .get_document("cursor")
        .unwrap()
        .get_array("firstBatch")
        .unwrap();
    assert_eq!(batch.len(), 3);
    assert_eq!(server.coll("c").count_documents(doc! {}).await.unwrap(), 1);
    assert_eq!(
        raw.run(&end(1, 1, "commitTransaction"))
            .get_f64("ok")
            .unwrap(),
        1.0
    );
    assert_eq!(server.coll("c").count_documents(doc! {}).await.unwrap(), 3);

    raw.run(&within(1, 2, true, insert(7)));
    assert_eq!(
        raw.run(&end(1, 2, "abortTransaction"))
            .get_f64("ok")
            .unwrap(),
        1.0
    );
    assert_eq!(server.coll("c").count_documents(doc! {}).await.unwrap(), 3);
    let late = raw.run(&within(1, 2, false, insert(8)));
    assert_eq!(late.get_i32("code").unwrap(), 251);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_statement_ends_the_transaction() {
    let server = TestServer::start().await;
    server
        .coll("c")
        .insert_one(doc! { "_id": 0 })
        .await
        .unwrap();
    let mut raw = RawClient::connect(&server);
    raw.run(&within(1, 1, true, insert(1)));
    let failed = raw.run(&within(1, 1, false, insert(0)));
    assert_eq!(failed.get_i32("code").unwrap(), 11000);
    assert_eq!(
        raw.run(&end(1, 1, "commitTransaction"))
            .get_i32("code")
            .unwrap(),
        251
    );
    assert_eq!(server.coll("c").count_documents(doc! {}).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_transaction_lets_others_go_on() {
    let server = TestServer::start_with(|config| {
        config.store.transaction_lifetime_ms = 50;
        config.sweep_interval = Duration::from_millis(10);
    })
    .await;
    // With this index the background wants to write as well.
    let expiring = doc! { "createIndexes": "c", "indexes": [
        { "key": { "at": 1 }, "name": "at", "expireAfterSeconds": 60 },
    ] };
    server.db().run_command(expiring).await.unwrap();
    let mut raw = RawClient::connect(&server);
    raw.run(&within(1, 1, true, insert(1)));
    // Waits for the document until the transaction is over its time.
    server
        .coll("c")
        .insert_one(doc! { "_id": 1, "by": "other" })
        .await
        .unwrap();
    assert_eq!(server.coll("c").count_documents(doc! {}).await.unwrap(), 1);
    assert_eq!(code(&raw.run(&end(1, 1, "commitTransaction"))), 251);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_can_run_one() {
    let server = TestServer::start_with(|config| config.replica_set = Some("rs0".to_owned())).await;
    let coll = server.coll("c");
    let mut session = server.client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    coll.insert_one(doc! { "_id": 1 })
        .session(&mut session)
        .await
        .unwrap();
    coll.insert_one(doc! { "_id": 2 })
        .session(&mut session)
        .await
        .unwrap();
    session.commit_transaction().await.unwrap();
    assert_eq!(coll.count_documents(doc! {}).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_may_be_asked_for_again() {
    let server = TestServer::start().await;
    let mut raw = RawClient::connect(&server);
    raw.run(&within(
        1,
        1,
        true,
        doc! { "insert": "c", "documents": [{ "_id": 1 }] },
    ));
    for _ in 0..2 {
        // A client that lost the first answer must not take the transaction for undone.
        let reply = raw.run(&end(1, 1, "commitTransaction"));
        assert_eq!(reply.get_f64("ok").unwrap(), 1.0, "{reply}");
    }
    let server = server.restart().await;
    let mut raw = RawClient::connect(&server);
    let reply = raw.run(&end(1, 1, "commitTransaction"));
    assert_eq!(reply.get_f64("ok").unwrap(), 1.0, "{reply}");
    let reply = raw.run(&end(1, 2, "commitTransaction"));
    assert_eq!(reply.get_i32("code").unwrap(), 251, "{reply}");
}
