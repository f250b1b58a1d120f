//! Random documents, indexes, filters, sort orders and updates: the server through the driver
//! against the evaluation in [`crate::naive`]. With `TEST_MONGODB_URI` a real server is asked the
//! same, so that the evaluation itself is held against MongoDB.

mod cases;

use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use mongodb::{Client, Collection, Database, IndexModel, options::IndexOptions};
use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestRunner},
};

use self::cases::{Case, Query, Write, case, cases};
use crate::{
    naive::{by_pattern, has_array, key_values, matches, order, updated},
    support::{TestServer, code_of},
};

#[test]
fn the_server_does_what_a_naive_evaluation_does() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (server, real) = runtime.block_on(async {
        let real = match std::env::var("TEST_MONGODB_URI") {
            Ok(uri) => Some(Client::with_uri_str(uri).await.unwrap()),
            Err(_) => None,
        };
        (TestServer::start().await, real)
    });
    let mut databases = vec![server.db()];
    databases.extend(
        real.iter()
            .map(|client| client.database("docstore_differential")),
    );
    let mut runner = TestRunner::new(Config {
        cases: cases(),
        rng_seed: RngSeed::Fixed(20_261_120),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    });
    let ran = runner.run(&case(), |case| {
        for database in &databases {
            runtime.block_on(run(database, &case))?;
        }
        Ok(())
    });
    runtime.block_on(async {
        for database in &databases {
            database.drop().await.unwrap();
        }
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
}

/// Runs a case in a fresh collection.
async fn run(database: &Database, case: &Case) -> Result<(), TestCaseError> {
    let coll = database.collection::<Document>("c");
    coll.drop().await.unwrap();
    let mut made = Vec::new();
    if case.indexes_first {
        make_indexes(&coll, case, &mut made).await;
    }
    let mut model = Vec::new();
    for document in &case.documents {
        match coll.insert_one(document).await {
            Ok(_) => model.push(document.clone()),
            Err(error) => prop_assert!(is_parallel(code_of(&error), &made, document), "{error}"),
        }
    }
    if !case.indexes_first {
        make_indexes(&coll, case, &mut made).await;
    }
    for (query, write) in &case.steps {
        check_query(&coll, query, &made, &model).await?;
        check_count_and_distinct(database, &query.filter, &model).await?;
        apply(&coll, write, &made, &mut model).await?;
        let stored: Vec<Document> = coll
            .find(doc! {})
            .sort(doc! { "_id": 1 })
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        prop_assert_eq!(bytes(&stored), bytes(&model), "after {:?}", write);
    }
    let valid = database.run_command(doc! { "validate": "c" }).await;
    if let Ok(reply) = valid {
        prop_assert!(reply.get_bool("valid").unwrap(), "{}", reply);
    }
    Ok(())
}

fn bytes(documents: &[Document]) -> Vec<Vec<u8>> {
    documents
        .iter()
        .map(|document| document.to_vec().unwrap())
        .collect()
}

/// Whether 171 is right: some compound index meets two arrays in the document.
fn is_parallel(code: i32, indexes: &[(Document, Option<bool>)], document: &Document) -> bool {
    code == 171
        && indexes
            .iter()
            .any(|(key, _)| key.keys().filter(|path| has_array(document, path)).count() > 1)
}

async fn make_indexes(
    coll: &Collection<Document>,
    case: &Case,
    made: &mut Vec<(Document, Option<bool>)>,
) {
    for (key, kind) in &case.indexes {
        // `None`: all documents; else sparse or partial.
        let options = match kind {
            None => IndexOptions::default(),
            Some(true) => IndexOptions::builder().sparse(true).build(),
            Some(false) => IndexOptions::builder()
                .partial_filter_expression(doc! { "a": { "$gte": 1 } })
                .build(),
        };
        let index = IndexModel::builder()
            .keys(key.clone())
            .options(options)
            .build();
        // Two arrays in a document, or a key that is there with other options: not made.
        match coll.create_index(index).await {
            Ok(_) => made.push((key.clone(), *kind)),
            Err(error) => assert!([171, 85, 86].contains(&code_of(&error)), "{error}"),
        }
    }
}

async fn check_query(
    coll: &Collection<Document>,
    query: &Query,
    indexes: &[(Document, Option<bool>)],
    model: &[Document],
) -> Result<(), TestCaseError> {
    let mut find = coll
        .find(query.filter.clone())
        .sort(query.sort.clone())
        .skip(query.skip)
        .limit(query.limit)
        .batch_size(query.batch_size);
    let whole: Vec<&Document> = indexes
        .iter()
        .filter(|(_, kind)| kind.is_none())
        .map(|(key, _)| key)
        .collect();
    if let (Some(hint), false) = (&query.hint, whole.is_empty()) {
        find = find.hint(mongodb::options::Hint::Keys((*hint.get(&whole)).clone()));
    }
    let found: Result<Vec<Document>, _> = async { find.await?.try_collect().await }.await;
    let mut expected: Vec<&Document> = model
        .iter()
        .filter(|document| matches(document, &query.filter))
        .collect();
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            let parallel = |document: &&Document| {
                query
                    .sort
                    .keys()
                    .filter(|path| has_array(document, path))
                    .count()
                    > 1
            };
            prop_assert!(
                code_of(&error) == 2 && expected.iter().any(parallel),
                "{}",
                error
            );
            return Ok(());
        }
    };
    for document in &found {
        prop_assert!(
            expected.contains(&document),
            "{} does not match {:?}",
            document,
            query
        );
    }
    let mut ids: Vec<i32> = found
        .iter()
        .map(|one| one.get_i32("_id").unwrap())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    prop_assert_eq!(ids.len(), found.len(), "documents come twice: {:?}", query);
    expected.sort_by(|a, b| by_pattern(&query.sort, a, b));
    let limit = if query.limit == 0 {
        usize::MAX
    } else {
        query.limit as usize
    };
    let expected: Vec<&Document> = expected
        .into_iter()
        .skip(query.skip as usize)
        .take(limit)
        .collect();
    prop_assert_eq!(
        found.len(),
        expected.len(),
        "{:?} gave {:?} not {:?}",
        query,
        found,
        expected
    );
    for (found, expected) in found.iter().zip(&expected) {
        // Documents with equal sort keys may come in any order.
        prop_assert!(
            by_pattern(&query.sort, found, expected).is_eq(),
            "{query:?} has {found} where {expected} belongs"
        );
    }
    Ok(())
}

async fn check_count_and_distinct(
    database: &Database,
    filter: &Document,
    model: &[Document],
) -> Result<(), TestCaseError> {
    let matching: Vec<&Document> = model
        .iter()
        .filter(|document| matches(document, filter))
        .collect();
    let reply = database
        .run_command(doc! { "count": "c", "query": filter })
        .await
        .unwrap();
    prop_assert_eq!(
        reply.get_i32("n").unwrap(),
        matching.len() as i32,
        "count {}",
        filter
    );
    let pipeline = vec![
        doc! { "$match": filter },
        doc! { "$group": { "_id": null, "n": { "$sum": 1 } } },
    ];
    let groups: Vec<Document> = database
        .collection::<Document>("c")
        .aggregate(pipeline)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let n = groups
        .first()
        .map_or(0, |group| group.get_i32("n").unwrap());
    prop_assert_eq!(n, matching.len() as i32, "$match {}", filter);
    let mut expected: Vec<Bson> = matching
        .iter()
        .filter_map(|document| document.get("a"))
        .flat_map(|value| match value {
            Bson::Array(items) => items.clone(),
            value => vec![value.clone()],
        })
        .collect();
    expected.sort_by(order);
    expected.dedup_by(|a, b| order(a, b).is_eq());
    let command = doc! { "distinct": "c", "key": "a", "query": filter };
    let reply = database.run_command(command).await.unwrap();
    let mut found = reply.get_array("values").unwrap().clone();
    found.sort_by(order);
    let same = found.len() == expected.len()
        && found
            .iter()
            .zip(&expected)
            .all(|(a, b)| order(a, b).is_eq());
    prop_assert!(
        same,
        "distinct a of {}: {:?}, not {:?}",
        filter,
        found,
        expected
    );
    Ok(())
}

async fn apply(
    coll: &Collection<Document>,
    write: &Write,
    indexes: &[(Document, Option<bool>)],
    model: &mut Vec<Document>,
) -> Result<(), TestCaseError> {
    match write {
        Write::Delete { filter } => {
            let deleted = coll
                .delete_many(filter.clone())
                .await
                .unwrap()
                .deleted_count;
            let before = model.len();
            model.retain(|document| !matches(document, filter));
            prop_assert_eq!(deleted, (before - model.len()) as u64, "{}", filter);
        }
        Write::Update { filter, update } => {
            // One by one, so that a failure has no order to depend on.
            for document in model
                .iter_mut()
                .filter(|document| matches(document, filter))
            {
                let one =
                    doc! { "$and": [filter.clone(), { "_id": document.get("_id").unwrap() }] };
                let result = coll.update_one(one, update.clone()).await;
                match (result, updated(document, update)) {
                    (Ok(result), Some(new)) => {
                        prop_assert_eq!(result.matched_count, 1, "{} {}", filter, document);
                        *document = new;
                    }
                    (Err(error), Some(new)) => {
                        let right = is_parallel(code_of(&error), indexes, &new);
                        prop_assert!(right, "{error}: {document} {update}");
                    }
                    (Err(error), None) => {
                        prop_assert!([2, 14].contains(&code_of(&error)), "{}", error);
                    }
                    (Ok(_), None) => {
                        prop_assert!(false, "{} was applied to {}", update, document);
                    }
                }
            }
            let unmatched = doc! { "$and": [filter.clone(), { "_id": { "$gte": 1000 } }] };
            let result = coll.update_many(unmatched, update.clone()).await.unwrap();
            prop_assert_eq!(result.matched_count, 0);
        }
    }
    Ok(())
}

#[test]
fn sort_keys_of_arrays_are_their_elements() {
    let value = bson::bson!({ "x": [1, 2] });
    assert_eq!(
        key_values(Some(&value), &["x"]),
        [Bson::Int32(1), Bson::Int32(2)]
    );
    assert_eq!(key_values(Some(&bson::bson!([])), &[]), [Bson::Undefined]);
    assert_eq!(key_values(None, &["x"]), [Bson::Null]);
}
