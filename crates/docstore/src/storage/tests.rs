//! Tests of the storage.

use bson::{Bson, Document, RawDocumentBuf, doc};
use rusqlite::StatementStatus;

use super::*;

fn open() -> (tempfile::TempDir, Arc<Store>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(dir.path().join("data"))).unwrap();
    (dir, store)
}

fn insert(store: &Store, documents: impl Iterator<Item = Document>) {
    for document in documents {
        let raw = RawDocumentBuf::try_from(&document).unwrap();
        store
            .write(false, |txn| {
                let collection = txn.collection_or_new("test.c")?;
                txn.insert(&collection, &raw)
            })
            .unwrap();
    }
}

/// SQLite would parse a statement again for each value that is bound to it, which takes more time
/// than the read does.
#[test]
fn statements_are_parsed_once() {
    let (_dir, store) = open();
    insert(&store, (0..10).map(|n| doc! { "_id": n }));
    let catalog = store.catalog();
    let index = catalog.get("test.c").unwrap().id_index();
    let reader = store.reader().unwrap();
    for sql in [&index.sql.point, &index.sql.count, &index.sql.forward] {
        let mut statement = reader.prepare(sql).unwrap();
        for id in 0..10 {
            let key = documents::id_key(&Bson::Int32(id));
            let end = scan::end_of_keys();
            let mut rows = match statement.parameter_count() {
                1 => statement.query([key]).unwrap(),
                2 => statement.query((key, end)).unwrap(),
                _ => statement.query((key, id, end)).unwrap(),
            };
            rows.next().unwrap();
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
    }
    drop(reader);
    store.close();
}

/// The file keeps its size when the log starts again: what counts is what is in it.
#[test]
fn the_log_is_moved_each_time_it_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let most = 128;
    let options = StoreOptions {
        reserve_bytes: 2 * most * PAGE_BYTES,
        ..StoreOptions::new(&path)
    };
    let store = Store::open(options).unwrap();
    let (mut fullest, mut last) = (Vec::new(), 0);
    for n in 0..400 {
        insert(&store, std::iter::once(doc! { "_id": n }));
        let pages = store.log_pages();
        if pages < last {
            fullest.push(last);
        }
        last = pages;
    }
    assert!(fullest.len() > 3, "{fullest:?}");
    assert!(
        fullest
            .iter()
            .all(|pages| (most..most + 20).contains(pages)),
        "{fullest:?}"
    );
    // The connections of the one process need no file to speak to each other.
    assert!(!path.join("data.sqlite-shm").exists());
    store.close();
}

#[test]
fn a_filter_may_ask_for_one_id_only() {
    let id = bson::oid::ObjectId::new();
    for (filter, expected) in [
        (doc! { "_id": 1 }, Some(Bson::Int32(1))),
        (doc! { "_id": { "$eq": "a" } }, Some("a".into())),
        (doc! { "_id": id }, Some(id.into())),
        (doc! { "_id": { "$gt": 1 } }, None),
        (doc! { "_id": { "$eq": 1, "$gt": 0 } }, None),
        (doc! { "_id": { "a": 1 } }, None),
        (doc! { "_id": [1] }, None),
        (doc! { "_id": null }, None),
        (doc! { "_id": 1, "a": 1 }, None),
        (doc! { "a": 1 }, None),
        (doc! {}, None),
    ] {
        let found = documents::only_id(&filter);
        assert_eq!(found, expected.as_ref(), "{filter}");
    }
}
