//! `$lookup` through the store's indexes.

use bson::{Binary, Bson, DateTime, Document, Regex, doc, oid::ObjectId, spec::BinarySubtype};
use futures_util::TryStreamExt;

use crate::support::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn a_join_by_id_finds_what_a_filter_finds() {
    let server = TestServer::start().await;
    let id = ObjectId::new();
    let ids = [
        Bson::Int32(1),
        Bson::Int64(2),
        Bson::Double(3.0),
        Bson::from("one"),
        Bson::ObjectId(id),
        Bson::DateTime(DateTime::from_millis(5)),
        Bson::Binary(Binary {
            subtype: BinarySubtype::Generic,
            bytes: vec![1, 2],
        }),
        Bson::Document(doc! { "a": 1 }),
        Bson::Null,
    ];
    let others = server.coll("others");
    others
        .insert_many(ids.iter().map(|id| doc! { "_id": id.clone() }))
        .await
        .unwrap();
    let mut wanted = ids.to_vec();
    wanted.extend([
        Bson::Int64(1),
        Bson::Int32(2),
        Bson::Int32(3),
        Bson::Double(2.5),
        Bson::from("two"),
        Bson::Array(vec![Bson::Int32(1), Bson::from("one")]),
        Bson::RegularExpression(Regex {
            pattern: "one".try_into().unwrap(),
            options: "".try_into().unwrap(),
        }),
        Bson::Document(doc! { "a": 2 }),
    ]);
    let coll = server.coll("c");
    coll.insert_many(wanted.iter().map(|id| doc! { "ref": id.clone() }))
        .await
        .unwrap();
    coll.insert_one(doc! { "none": 1 }).await.unwrap();
    let lookup = doc! { "$lookup": { "from": "others", "localField": "ref", "foreignField": "_id", "as": "found" } };
    let joined: Vec<Document> = coll
        .aggregate([lookup])
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    for one in joined {
        let value = one.get("ref").cloned().unwrap_or(Bson::Null);
        let values = match value {
            Bson::Array(values) => values,
            value => vec![value],
        };
        let any: Vec<Document> = values
            .into_iter()
            .map(|v| doc! { "_id": { "$eq": v } })
            .collect();
        let filter = doc! { "$or": any };
        let expected: Vec<Document> = others
            .find(filter)
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        let found: Vec<Document> = one
            .get_array("found")
            .unwrap()
            .iter()
            .map(|found| found.as_document().unwrap().clone())
            .collect();
        assert_eq!(found, expected, "{one}");
    }
}
