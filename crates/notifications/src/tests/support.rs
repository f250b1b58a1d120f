//! A manager on a store of its own.

use std::{sync::Arc, time::Duration};

use bson::Document;
use docstore::server::{Config, Listen, Server};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::{
    Channel, Created, Definitions, Draft, NotificationsConfig, NotificationsManager, Outlet,
    catalogue::Catalogue,
    channels::{Delivery, SendError, Sender},
    repository::{COLLECTIONS, Seen},
    templates::Templates,
};
use mozaiks_config::{ChannelsConfig, EmailConfig};
use mozaiks_store::{Health, Store, StoreConfig};

pub(super) const PATIENCE: Duration = Duration::from_secs(60);

struct Nowhere;

impl Outlet for Nowhere {
    fn push(&self, _: &str, _: &str, _: &Value) -> usize {
        0
    }

    fn publish(&self, _: &str, _: &str, _: Value) {}
}

/// Keeps what it is given to send.
#[derive(Default)]
pub(super) struct Kept(pub(super) Mutex<Vec<Delivery>>);

impl Sender for Kept {
    fn send<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<(), SendError>> {
        self.0.lock().push(delivery.clone());
        Box::pin(async { Ok(()) })
    }
}

/// A manager with mail, whose deliveries stay in the queue.
pub(super) struct Office {
    pub(super) manager: Arc<NotificationsManager>,
    pub(super) store: Arc<Store>,
    pub(super) sender: Arc<Kept>,
    _server: Server,
    _dir: tempfile::TempDir,
}

impl Office {
    pub(super) async fn open(templates: &Value, config: NotificationsConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let uri = format!(
            "mongodb://{}/?directConnection=true",
            path.to_string_lossy().replace('/', "%2F")
        );
        let server = Server::start(Config::new(dir.path().join("data"), Listen::Unix(path)));
        let server = server.await.unwrap();
        let store = Store::open(StoreConfig::new(uri), COLLECTIONS.to_vec())
            .await
            .unwrap();
        let mut health = store.watch_health();
        let up = tokio::time::timeout(PATIENCE, health.wait_for(Health::is_up));
        up.await.expect("the database answers").unwrap();
        let email = Some(EmailConfig::Http {
            url: "http://127.0.0.1:9/".into(),
            token: None,
            from: "notes@example.com".into(),
        });
        let config = NotificationsConfig {
            job_poll: Duration::from_millis(10),
            channels: ChannelsConfig {
                email,
                ..ChannelsConfig::default()
            },
            ..config
        };
        let definitions = Definitions {
            catalogue: Catalogue::default(),
            templates: Templates::from_value(templates).unwrap(),
        };
        let manager =
            NotificationsManager::new(config, Arc::clone(&store), Arc::new(Nowhere), definitions);
        let sender = Arc::new(Kept::default());
        let senders = [(Channel::Email, sender.clone() as Arc<dyn Sender>)];
        assert!(manager.senders.set(senders.into()).is_ok());
        Self {
            manager,
            store,
            sender,
            _server: server,
            _dir: dir,
        }
    }

    /// A user whose issuer has verified their address.
    pub(super) async fn verified(&self, user_id: &str) {
        let seen = Seen {
            app_id: "a".into(),
            user_id: user_id.into(),
            roles: Vec::new(),
            email: Some(format!("{user_id}@example.org")),
            phone: None,
        };
        self.manager.repository.remember_user(&seen).await.unwrap();
    }

    pub(super) async fn prefer(&self, user_id: &str, patch: Value) {
        let patch = patch.as_object().unwrap();
        let manager = &self.manager;
        manager
            .update_preferences("a", user_id, patch)
            .await
            .unwrap();
    }

    /// Tells a user something by mail.
    pub(super) async fn mail(&self, user_id: &str, title: &str, message: &str) -> Created {
        self.tell(user_id, title, message, vec![Channel::Email])
            .await
    }

    /// Tells a user something.
    pub(super) async fn tell(
        &self,
        user_id: &str,
        title: &str,
        message: &str,
        channels: Vec<Channel>,
    ) -> Created {
        let draft = Draft {
            notification_type: "t".into(),
            title: title.into(),
            message: message.into(),
            metadata: Map::new(),
            channels: Some(channels),
        };
        self.manager.create("a", user_id, &draft).await.unwrap()
    }

    /// Everything that a collection holds.
    pub(super) async fn stored(&self, collection: &str) -> Vec<Document> {
        use futures_util::TryStreamExt as _;
        let database = self.store.own_database().unwrap();
        let found = database
            .collection(collection)
            .find(bson::doc! {})
            .await
            .unwrap();
        found.try_collect().await.unwrap()
    }

    /// The deliveries of mail to a user: `(subject, text, how many it tells of)`, in their order.
    pub(super) async fn mails(&self, user_id: &str) -> Vec<(String, String, usize)> {
        let mut jobs = self.stored("notification_jobs").await;
        jobs.retain(|job| {
            job.get_str("queue").ok() == Some("email")
                && job.get_str("user_id").ok() == Some(user_id)
        });
        jobs.sort_by_key(|job| job.get_datetime("created_at").copied().ok());
        let of = |job: &Document| {
            let parts = job
                .get_document("payload")
                .unwrap()
                .get_document("parts")
                .unwrap();
            let part = |name| parts.get_str(name).unwrap().to_owned();
            let items = job.get_array("items").map_or(0, Vec::len);
            (part("subject"), part("text"), items)
        };
        jobs.iter().map(of).collect()
    }
}

pub(super) async fn office() -> Office {
    Office::open(&json!({}), NotificationsConfig::default()).await
}
