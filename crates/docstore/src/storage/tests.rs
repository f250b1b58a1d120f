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
