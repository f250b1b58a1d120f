//! Reads that index entries answer without the documents, against the same reads by a scan.

use bson::{Bson, Decimal128, Document, doc, oid::ObjectId};
use futures_util::TryStreamExt;
use mongodb::{Collection, IndexModel, options::Hint};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngSeed, TestRunner},
};

use crate::support::TestServer;

fn scalar() -> impl Strategy<Value = Bson> {
    let id = |n: u8| Bson::ObjectId(ObjectId::from_bytes([n; 12]));
    prop_oneof![
        6 => (-2..3_i32).prop_map(Bson::Int32),
        1 => (-2..3_i64).prop_map(Bson::Int64),
        1 => prop_oneof![Just(f64::NAN), Just(-0.0), Just(0.0), Just(1.5), Just(-1.0)]
            .prop_map(Bson::Double),
        1 => Just(Bson::Decimal128("1.50".parse::<Decimal128>().unwrap())),
        1 => Just(Bson::Int64((1 << 53) + 1)),
        2 => "[a\0]{0,2}".prop_map(Bson::String),
        1 => Just(Bson::Null),
        1 => any::<bool>().prop_map(Bson::Boolean),
        1 => (0..3_u8).prop_map(id),
        1 => (-2..3_i64).prop_map(|n| Bson::DateTime(bson::DateTime::from_millis(n))),
        1 => Just(Bson::Document(doc! { "x": 1 })),
    ]
}

/// Mostly of one type a field, as documents are.
fn value() -> impl Strategy<Value = Bson> {
    prop_oneof![
        8 => (-2..3_i32).prop_map(Bson::Int32),
        2 => scalar(),
    ]
}

fn document() -> impl Strategy<Value = Document> {
    let array = vec(value(), 0..3).prop_map(Bson::Array);
    let field = prop_oneof![40 => value(), 1 => array];
    vec(("[abc]", field), 0..4).prop_map(Document::from_iter)
}

fn filter() -> impl Strategy<Value = Document> {
    let condition = (
        "\\$(eq|gt|gte|lt|lte|ne|exists|type)",
        value(),
        prop_oneof![Just("int"), Just("double"), Just("null"), Just("string")],
    );
    let condition = condition.prop_map(|(operator, value, kind)| match operator.as_str() {
        "$exists" => doc! { "$exists": value == Bson::Int32(0) },
        "$type" => doc! { "$type": kind },
        _ => doc! { operator: value },
    });
    vec(("[ab]", condition), 0..3).prop_map(|fields| {
        fields
            .into_iter()
            .map(|(path, condition)| (path, Bson::Document(condition)))
            .collect()
    })
}

#[derive(Debug, Clone)]
enum Step {
    Insert(Document),
    Set(i32, String, Bson),
    Replace(i32, Document),
    Find(Document, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => document().prop_map(Step::Insert),
        1 => (0..8_i32, "[ab]", value()).prop_map(|(id, path, to)| Step::Set(id, path, to)),
        1 => (0..8_i32, document()).prop_map(|(id, to)| Step::Replace(id, to)),
        5 => (filter(), any::<bool>()).prop_map(|(filter, id)| Step::Find(filter, id)),
    ]
}

/// Documents as bytes, which tell the types, whatever the order of documents and fields.
fn told(documents: Vec<Document>) -> Vec<Vec<u8>> {
    let sorted = documents.into_iter().map(|document| {
        let mut fields: Vec<(String, Bson)> = document.into_iter().collect();
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        Document::from_iter(fields).to_vec().unwrap()
    });
    let mut all: Vec<_> = sorted.collect();
    all.sort_unstable();
    all
}

async fn find(
    coll: &Collection<Document>,
    filter: &Document,
    with: &Document,
    hint: Document,
) -> Vec<Vec<u8>> {
    let found = coll.find(filter.clone()).projection(with.clone());
    let found = found.batch_size(3).hint(Hint::Keys(hint)).await.unwrap();
    told(found.try_collect().await.unwrap())
}

async fn grouped(coll: &Collection<Document>, filter: &Document, hint: Document) -> Vec<Vec<u8>> {
    let stages = [
        doc! { "$match": filter.clone() },
        doc! { "$group": { "_id": { "a": "$a", "type": { "$type": "$b" } }, "n": { "$sum": 1 } } },
    ];
    let found = coll.aggregate(stages).hint(Hint::Keys(hint)).await.unwrap();
    let found: Vec<Document> = found.try_collect().await.unwrap();
    // Of equal values the first stands for its group, and a scan meets another one first.
    told(
        found
            .into_iter()
            .map(|group| doc! { "n": group.get("n") })
            .collect(),
    )
}

async fn run(coll: &Collection<Document>, steps: &[Step]) -> Result<(), TestCaseError> {
    coll.drop().await.unwrap();
    let keys = [doc! { "a": 1, "b": -1 }, doc! { "b": 1, "_id": -1, "a": 1 }];
    for key in &keys {
        coll.create_index(IndexModel::builder().keys(key.clone()).build())
            .await
            .unwrap();
    }
    let mut next = 0;
    for step in steps {
        match step {
            // Two arrays are refused by the indexes.
            Step::Insert(document) => {
                let mut document = document.clone();
                document.insert("_id", next);
                next += i32::from(coll.insert_one(document).await.is_ok());
            }
            Step::Set(id, path, to) => {
                let _ = coll
                    .update_one(doc! { "_id": id }, doc! { "$set": { path: to.clone() } })
                    .await;
            }
            Step::Replace(id, to) => {
                let _ = coll.replace_one(doc! { "_id": id }, to.clone()).await;
            }
            Step::Find(filter, with_id) => {
                for (at, key) in keys.iter().enumerate() {
                    let id = i32::from(*with_id && at == 1);
                    let fields = doc! { "_id": id, "a": 1, "b": 1 };
                    let scanned = find(coll, filter, &fields, doc! { "$natural": 1 }).await;
                    let covered = find(coll, filter, &fields, key.clone()).await;
                    prop_assert_eq!(covered, scanned, "{:?} by {}", filter, key);
                    let scanned = grouped(coll, filter, doc! { "$natural": 1 }).await;
                    prop_assert_eq!(grouped(coll, filter, key.clone()).await, scanned);
                }
            }
        }
    }
    Ok(())
}

#[test]
fn entries_tell_what_documents_do() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(TestServer::start());
    let cases = std::env::var("DOCSTORE_DIFFERENTIAL_CASES");
    let mut runner = TestRunner::new(Config {
        cases: cases.ok().and_then(|n| n.parse().ok()).unwrap_or(150),
        rng_seed: RngSeed::Fixed(20_261_121),
        failure_persistence: None,
        ..Config::default()
    });
    let coll = server.coll("c");
    let ran = runner.run(&vec(step(), 1..24), |steps| {
        runtime.block_on(run(&coll, &steps))
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
    drop(coll);
    runtime.block_on(server.server.shutdown());
}

/// The stages of the winning plan, and how many keys and documents were read.
async fn explained(server: &TestServer, find: Document) -> (Vec<String>, i64, i64) {
    let reply = server
        .db()
        .run_command(doc! { "explain": find })
        .await
        .unwrap();
    let stats = reply.get_document("executionStats").unwrap();
    let mut stages = Vec::new();
    let mut stage = stats.get_document("executionStages").ok();
    while let Some(plan) = stage {
        stages.push(plan.get_str("stage").unwrap().to_owned());
        stage = plan.get_document("inputStage").ok();
    }
    let count = |name: &str| stats.get_i64(name).unwrap();
    (
        stages,
        count("totalKeysExamined"),
        count("totalDocsExamined"),
    )
}

#[tokio::test]
async fn explain_says_that_no_document_is_read() {
    let server = TestServer::start().await;
    let coll = server.coll("c");
    let documents = (0..20).map(|n| doc! { "_id": n, "a": n % 4, "b": format!("b{n}"), "c": n });
    coll.insert_many(documents).await.unwrap();
    let index = IndexModel::builder().keys(doc! { "a": 1, "b": 1 }).build();
    coll.create_index(index).await.unwrap();
    let find = |filter: Document, projection: Document| doc! { "find": "c", "filter": filter, "projection": projection };
    let covered = |stages: &[String]| stages == ["PROJECTION_COVERED", "IXSCAN"];
    let fields = doc! { "_id": 0, "a": 1, "b": 1 };

    let (stages, keys, read) = explained(&server, find(doc! { "a": 1 }, fields.clone())).await;
    assert!(
        covered(&stages) && (keys, read) == (5, 0),
        "{stages:?} {keys} {read}"
    );
    // A condition that keys do not narrow down is looked at on the entry.
    let filter = doc! { "a": 1, "b": { "$regex": "3$" } };
    let (stages, keys, read) = explained(&server, find(filter, fields.clone())).await;
    assert!(
        covered(&stages) && (keys, read) == (5, 0),
        "{stages:?} {keys} {read}"
    );
    // What the index does not have needs the document.
    for (filter, projection) in [
        (doc! { "a": 1 }, doc! { "a": 1 }),
        (doc! { "a": 1 }, doc! { "_id": 0, "c": 1 }),
        (doc! { "a": 1, "c": 5 }, fields.clone()),
        (doc! { "a": 1 }, doc! { "_id": 0, "b": 0 }),
        (
            doc! { "a": 1 },
            doc! { "_id": 0, "x": { "$add": ["$a", 1] } },
        ),
    ] {
        let (stages, _, read) = explained(&server, find(filter, projection)).await;
        assert!(
            stages.contains(&"FETCH".to_owned()) && read == 5,
            "{stages:?} {read}"
        );
    }
    // By `_id` alone.
    let (stages, keys, read) = explained(
        &server,
        find(doc! { "_id": { "$gte": 15 } }, doc! { "_id": 1 }),
    )
    .await;
    assert!(
        covered(&stages) && (keys, read) == (5, 0),
        "{stages:?} {keys} {read}"
    );

    // 1 and 1.0 have one key: documents tell which it is, and nothing else is wrong.
    coll.insert_one(doc! { "_id": 100, "a": 1.0, "b": "b" })
        .await
        .unwrap();
    let (_, keys, read) = explained(&server, find(doc! { "a": 1 }, fields.clone())).await;
    assert_eq!((keys, read), (6, 6));
    // Of an array there are several entries.
    coll.insert_one(doc! { "_id": 101, "a": [7, 8], "b": "b" })
        .await
        .unwrap();
    let (stages, ..) = explained(&server, find(doc! { "a": 1 }, fields)).await;
    assert!(stages.contains(&"FETCH".to_owned()), "{stages:?}");
}

#[tokio::test]
async fn what_an_index_held_is_known_after_a_restart_and_a_commit() {
    let server = TestServer::start().await;
    let coll = server.coll("c");
    coll.create_index(IndexModel::builder().keys(doc! { "a": 1 }).build())
        .await
        .unwrap();
    coll.insert_one(doc! { "_id": 1, "a": 1 }).await.unwrap();
    let mut session = server.client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    coll.insert_one(doc! { "_id": 2, "a": 1.0 })
        .session(&mut session)
        .await
        .unwrap();
    let fields = doc! { "_id": 0, "a": 1 };
    let found = coll
        .find(doc! { "a": 1 })
        .projection(fields.clone())
        .session(&mut session)
        .await;
    let found: Vec<Document> = found
        .unwrap()
        .stream(&mut session)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(told(found), told(vec![doc! { "a": 1 }, doc! { "a": 1.0 }]));
    session.commit_transaction().await.unwrap();
    let server = server.restart().await;
    let found = server
        .coll("c")
        .find(doc! { "a": 1 })
        .projection(fields)
        .await
        .unwrap();
    let found: Vec<Document> = found.try_collect().await.unwrap();
    assert_eq!(told(found), told(vec![doc! { "a": 1 }, doc! { "a": 1.0 }]));
}
