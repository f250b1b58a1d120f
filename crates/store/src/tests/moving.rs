//! The gateway's own data moves out of the plugins' database.

use mongodb::Collection;

use super::*;

const MOVED: Moved = Moved {
    collection: "things",
    required: &[
        ("_id", FieldType::ObjectId),
        ("app_id", FieldType::Text),
        ("name", FieldType::Text),
    ],
    optional: &[("more", FieldType::Document)],
    indexes: &[("by_name", &[("app_id", 1), ("name", 1)])],
};

fn config(dir: &Path) -> StoreConfig {
    StoreConfig {
        moved: vec![MOVED],
        ..quick(socket_uri(dir))
    }
}

async fn direct(dir: &Path, database: &str) -> Collection<Document> {
    let client = Client::with_uri_str(socket_uri(dir))
        .await
        .expect("a client");
    client.database(database).collection("things")
}

/// What an earlier version has left: `count` documents of its own, and a plugin's.
async fn leave(dir: &Path, count: i32) -> Collection<Document> {
    let things = direct(dir, "mozaiks").await;
    indexes::create(
        &Client::with_uri_str(socket_uri(dir))
            .await
            .expect("a client")
            .database("mozaiks"),
        &[DECLARED],
    )
    .await
    .expect("indexes");
    let own = (0..count).map(|n| {
        doc! { "app_id": "a", "name": format!("n{n}"), "more": { "$odd": 1, "a.b": [n] } }
    });
    things.insert_many(own).await.expect("inserted");
    things.insert_many(plugins()).await.expect("inserted");
    things
}

/// Documents that share the name of the collection, and some of the shape.
fn plugins() -> Vec<Document> {
    vec![
        doc! { "_id": 1, "app_id": "a", "name": "p1" },
        doc! { "app_id": "a", "name": "p2", "price": 3 },
        doc! { "app_id": "a", "name": 4 },
        doc! { "app_id": "a", "name": "p5", "more": "text" },
        doc! { "name": "p6" },
    ]
}

async fn count(things: &Collection<Document>) -> u64 {
    things.count_documents(doc! {}).await.expect("counted")
}

#[tokio::test]
async fn what_was_the_gateways_moves_and_what_was_a_plugins_stays() {
    let dir = tempfile::tempdir().expect("a folder");
    let _server = docstore(dir.path(), None).await;
    let left = leave(dir.path(), 450).await;
    let now = direct(dir.path(), "mozaiks_control").await;
    for _ in 0..2 {
        let store = Store::open(config(dir.path()), vec![DECLARED])
            .await
            .expect("a store");
        up(&store).await;
        assert_eq!(count(&now).await, 450);
        assert_eq!(count(&left).await, plugins().len() as u64);
    }
    let one = now
        .find_one(doc! { "name": "n7" })
        .await
        .expect("found")
        .expect("one");
    assert_eq!(
        one.get_document("more").ok(),
        Some(&doc! { "$odd": 1, "a.b": [7] })
    );
    assert_eq!(left.list_index_names().await.expect("indexes"), ["_id_"]);
    // The gateway's unique index is no plugin's any more.
    left.insert_one(doc! { "app_id": "a", "name": "p1" })
        .await
        .expect("inserted");
}

#[tokio::test]
async fn a_move_that_was_cut_off_is_finished_and_overwrites_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let _server = docstore(dir.path(), None).await;
    let left = leave(dir.path(), 20).await;
    let now = direct(dir.path(), "mozaiks_control").await;
    // Copied, changed since, and not yet removed; another has a successor of its own.
    let copied = left
        .find_one(doc! { "name": "n3" })
        .await
        .expect("found")
        .expect("one");
    let mut changed = copied.clone();
    changed.insert("more", doc! { "newer": true });
    now.insert_one(&changed).await.expect("inserted");
    now.insert_one(doc! { "app_id": "a", "name": "n4", "more": {} })
        .await
        .expect("inserted");
    // Whoever was cut off held the lease, which has run out.
    let client = Client::with_uri_str(socket_uri(dir.path()))
        .await
        .expect("a client");
    let leases = client
        .database("mozaiks_control")
        .collection::<Document>("leases");
    let past = mongodb::bson::DateTime::from_millis(1);
    leases
        .insert_one(doc! { "_id": "moving_own_data", "holder": ObjectId::new(), "until": past })
        .await
        .expect("inserted");

    let store = Store::open(config(dir.path()), vec![])
        .await
        .expect("a store");
    up(&store).await;
    let kept = now
        .find_one(doc! { "name": "n3" })
        .await
        .expect("found")
        .expect("one");
    assert_eq!(kept, changed);
    assert_eq!(count(&now).await, 21);
    assert_eq!(count(&left).await, plugins().len() as u64);
    assert_eq!(leases.count_documents(doc! {}).await.expect("counted"), 0);
}

#[tokio::test]
async fn one_gateway_moves_and_the_others_wait() {
    let dir = tempfile::tempdir().expect("a folder");
    let _server = docstore(dir.path(), None).await;
    leave(dir.path(), 900).await;
    let opening = (0..4).map(|_| Store::open(config(dir.path()), vec![DECLARED]));
    let stores = futures_util::future::join_all(opening).await;
    let now = direct(dir.path(), "mozaiks_control").await;
    for store in stores {
        let store = store.expect("a store");
        up(&store).await;
        // Whoever is ready finds everything in its place.
        assert_eq!(count(&now).await, 900);
    }
}

#[tokio::test]
async fn nobody_uses_the_gateways_data_before_it_is_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(config(dir.path()), vec![])
        .await
        .expect("a store");
    let error = store.own_database().expect_err("not yet");
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    let _server = docstore(dir.path(), None).await;
    up(&store).await;
    assert_eq!(
        store.own_database().expect("a database").name(),
        "mozaiks_control"
    );
}
