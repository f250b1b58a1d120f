//! Sizes: documents, nesting, statements, connections, time.

use bson::{Bson, Document, doc};

use crate::support::{RawClient, TestServer, code_of, frame, message};

/// A document of exactly `size` bytes.
fn sized(size: usize) -> Document {
    let empty = doc! { "_id": 1, "s": "" }.to_vec().unwrap().len();
    doc! { "_id": 1, "s": "x".repeat(size - empty) }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_have_up_to_16_mib() {
    let server = TestServer::start().await;
    let coll = server.coll("c");
    coll.insert_one(sized(16 << 20)).await.unwrap();
    assert_eq!(coll.count_documents(doc! {}).await.unwrap(), 1);
    coll.delete_many(doc! {}).await.unwrap();
    let error = server
        .db()
        .run_command(doc! { "insert": "c", "documents": [sized((16 << 20) + 1)] })
        .await;
    // The driver may refuse it before the server does.
    if let Ok(reply) = error {
        let errors = reply.get_array("writeErrors").unwrap();
        assert_eq!(
            errors[0].as_document().unwrap().get_i32("code").unwrap(),
            10334
        );
    }
    // An update must not make it larger either.
    coll.insert_one(sized(9 << 20)).await.unwrap();
    let half = "y".repeat(8 << 20);
    let error = coll
        .update_one(doc! {}, doc! { "$set": { "t": half } })
        .await
        .unwrap_err();
    assert_eq!(code_of(&error), 10334);
}

#[tokio::test(flavor = "multi_thread")]
async fn nesting_is_bounded() {
    let server = TestServer::start().await;
    let nested = |depth: usize| {
        (0..depth).fold(Bson::Int32(1), |inner, _| {
            Bson::Document(doc! { "a": inner })
        })
    };
    server
        .coll("c")
        .insert_one(doc! { "_id": 1, "d": nested(95) })
        .await
        .unwrap();
    let found = server.coll("c").find_one(doc! {}).await.unwrap().unwrap();
    assert_eq!(found.get("d"), Some(&nested(95)));
    // A hundred levels and more, as MongoDB takes them, of documents, arrays and filters.
    let coll = server.coll("deep");
    let arrays = (0..100).fold(Bson::Int32(1), |inner, _| Bson::Array(vec![inner]));
    coll.insert_one(doc! { "_id": 1, "d": nested(100), "l": arrays, "x": 1 })
        .await
        .unwrap();
    coll.update_one(doc! { "_id": 1 }, doc! { "$set": { "e": nested(100) } })
        .await
        .unwrap();
    for operator in ["$and", "$or"] {
        let filter = (0..90).fold(doc! { "x": 1 }, |inner, _| doc! { operator: [inner] });
        assert!(coll.find_one(filter).await.unwrap().is_some());
    }
    let sum = (0..90).fold(Bson::from("$x"), |inner, _| {
        Bson::Document(doc! { "$add": [inner, 1] })
    });
    let filter = doc! { "$expr": { "$eq": [sum, 91] } };
    assert!(coll.find_one(filter).await.unwrap().is_some());
    let path = "d".to_owned() + &".a".repeat(99);
    assert!(
        coll.find_one(doc! { path: { "a": 1 } })
            .await
            .unwrap()
            .is_some()
    );
    let mut raw = RawClient::connect(&server);
    let deep = doc! { "insert": "c", "documents": [{ "d": nested(500) }], "$db": "test" };
    raw.send(&frame(2013, &message(0, &deep)));
    // Refused, and nobody else is disturbed.
    drop(raw.receive());
    assert_eq!(server.coll("c").count_documents(doc! {}).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_queries_end_in_time() {
    let server = TestServer::start().await;
    let coll = server.coll("c");
    coll.insert_many((0..20_000).map(|n| doc! { "n": n, "s": "some text to look at" }))
        .await
        .unwrap();
    let error = server
        .db()
        .run_command(doc! {
            "count": "c", "maxTimeMS": 1,
            "query": { "s": { "$regex": "(a|b|ab)*c$" }, "n": { "$mod": [7, 8] } },
        })
        .await
        .unwrap_err();
    assert_eq!(code_of(&error), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded() {
    let server = TestServer::start_with(|config| config.max_connections = 8).await;
    let ping = doc! { "ping": 1, "$db": "admin" };
    let mut open = Vec::new();
    let refused = (0..10).find(|_| {
        let mut raw = RawClient::connect(&server);
        use std::io::Write;
        let sent = raw.stream.write_all(&frame(2013, &message(0, &ping)));
        let answered = sent.is_ok() && raw.receive().is_some();
        open.push(raw);
        !answered
    });
    assert!(
        refused.is_some(),
        "ten connections were let in where eight are allowed"
    );
}
