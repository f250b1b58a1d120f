use std::{sync::Arc, time::Duration};

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use docstore::server::{Config, Listen, Server};
use mongodb::{Client, Database, IndexModel, options::IndexOptions};
use mozaiks_store::{Health, Store, StoreConfig};
use tempfile::TempDir;

use super::MOVED;
use crate::repository::{COLLECTIONS, Repository};

const PATIENCE: Duration = Duration::from_secs(60);

/// As earlier versions wrote them, first with all that a document may have, then with what it must.
fn written() -> Vec<(&'static str, Vec<Document>)> {
    let at = DateTime::from_millis(1_700_000_000_000);
    let id = ObjectId::new;
    vec![
        (
            "notifications",
            vec![
                doc! { "_id": id(), "app_id": "a", "user_id": "u", "type": "t", "title": "T",
                "message": "M", "metadata": { "dedup_key": "k", "$odd": 1 }, "read": false,
                "created_at": DateTime::now(), "channels": ["in_app"], "listed": true,
                "dedup_key": "k" },
                doc! { "_id": id(), "app_id": "a", "user_id": "u", "type": "t", "title": "T",
                "message": "M", "metadata": {}, "read": true, "created_at": DateTime::now(),
                "channels": [], "listed": false },
            ],
        ),
        (
            "notification_preferences",
            vec![
                doc! { "_id": id(), "app_id": "a", "user_id": "u", "preferences": "{}",
                "updated_at": at, "revision": 3_i64, "digest_at": at, "digest_from": at },
                doc! { "_id": id(), "preferences": "{}", "updated_at": at, "revision": 1_i64,
                "app_id": "a", "user_id": "v" },
            ],
        ),
        (
            "notification_jobs",
            vec![
                doc! { "_id": "j1", "queue": "email", "app_id": "a", "state": "claimed",
                "run_at": at, "attempts": 1, "payload": { "recipient": "x" }, "created_at": at,
                "user_id": "u", "notification_id": id(), "claim": id() },
                doc! { "_id": "j2", "queue": "broadcast", "app_id": "a", "state": "failed",
                "attempts": 5, "payload": {}, "created_at": at, "ended_at": DateTime::now(),
                "reason": "no" },
            ],
        ),
        (
            "notification_broadcasts",
            vec![
                doc! { "_id": "b1", "app_id": "a", "draft": {}, "target": "all", "state": "done",
                "send_at": at, "sent": 1_i64, "suppressed": 0_i64, "failed": 0_i64,
                "created_by": "root", "created_at": at, "cursor": "u", "ended_at": at },
                doc! { "_id": "b2", "app_id": "a", "draft": {}, "target": { "role": "x" },
                "state": "queued", "send_at": at, "sent": 0_i64, "suppressed": 0_i64,
                "failed": 0_i64, "created_by": Bson::Null, "created_at": at },
            ],
        ),
        (
            "notification_users",
            vec![
                doc! { "_id": id(), "app_id": "a", "user_id": "u", "roles": ["x"],
                "seen_at": at, "email": "u@example.org" },
                doc! { "_id": id(), "app_id": "a", "user_id": "v", "roles": [], "seen_at": at },
            ],
        ),
        (
            "push_subscriptions",
            vec![
                doc! { "_id": id(), "app_id": "a", "endpoint": "https://p.example/1",
                "user_id": "u", "p256dh": "x", "auth": "y", "updated_at": at, "created_at": at },
            ],
        ),
    ]
}

async fn server() -> (Server, TempDir, Database, Database) {
    let dir = tempfile::tempdir().unwrap();
    let listen = Listen::Unix(dir.path().join("s.sock"));
    let server = Server::start(Config::new(dir.path().join("data"), listen));
    let server = server.await.unwrap();
    let client = Client::with_uri_str(server.uri()).await.unwrap();
    let (before, now) = (
        client.database("mozaiks"),
        client.database("mozaiks_control"),
    );
    (server, dir, before, now)
}

async fn store(server: &Server) -> Arc<Store> {
    let config = StoreConfig {
        moved: MOVED.to_vec(),
        ..StoreConfig::new(server.uri())
    };
    let store = Store::open(config, COLLECTIONS.to_vec()).await.unwrap();
    let mut health = store.watch_health();
    let up = tokio::time::timeout(PATIENCE, health.wait_for(Health::is_up));
    up.await.expect("the database answers").unwrap();
    store
}

#[tokio::test]
async fn whatever_earlier_versions_wrote_is_found_again() {
    let (server, _dir, before, now) = server().await;
    for (name, documents) in written() {
        let moved = MOVED.iter().find(|moved| moved.collection == name).unwrap();
        let collection = before.collection::<Document>(name);
        for (index, keys) in moved.indexes {
            let mut model = IndexModel::default();
            model.keys = (keys.iter())
                .map(|(field, order)| ((*field).to_owned(), Bson::Int32(*order)))
                .collect();
            let mut options = IndexOptions::default();
            options.name = Some((*index).to_owned());
            model.options = Some(options);
            collection.create_index(model).await.unwrap();
        }
        collection.insert_many(documents).await.unwrap();
        // A plugin's own, of the same name.
        collection
            .insert_one(doc! { "app_id": "a", "user_id": "u", "mine": true })
            .await
            .unwrap();
    }
    store(&server).await;
    for (name, documents) in written() {
        let collection = now.collection::<Document>(name);
        let found = collection.count_documents(doc! {}).await.unwrap();
        assert_eq!(found, documents.len() as u64, "{name}");
        let left = before.collection::<Document>(name);
        assert_eq!(left.count_documents(doc! {}).await.unwrap(), 1, "{name}");
        assert_eq!(left.list_index_names().await.unwrap(), ["_id_"], "{name}");
    }
}

#[tokio::test]
async fn a_document_that_cannot_be_read_breaks_no_list() {
    let (server, _dir, _before, now) = server().await;
    let store = store(&server).await;
    let good = &written()[0].1[0];
    let mut broken = good.clone();
    broken.insert("_id", ObjectId::new());
    broken.remove("title");
    broken.remove("dedup_key");
    let collection = now.collection::<Document>("notifications");
    collection
        .insert_many([good.clone(), broken])
        .await
        .unwrap();
    let repository = Repository::new(Arc::clone(&store));
    let listed = repository.list("a", "u", false, None, 10, 0).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(store.malformed_documents(), 1);
}
