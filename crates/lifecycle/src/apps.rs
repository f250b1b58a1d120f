//! For which apps plugins work in the background, where no call says whose work it is.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::TryStreamExt as _;
use mongodb::{
    Collection,
    bson::{DateTime, Document, doc},
};
use mozaiks_plugins::{
    app_gate::MAX_APPS,
    dispatch::{CallObserver, FinishedCall},
};
use mozaiks_store::{CollectionSpec, Store, StoreError};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::error::LifeError;

/// The collection, for [`Store::open`].
pub const COLLECTION: CollectionSpec = CollectionSpec {
    name: "apps",
    indexes: &[],
};

/// The only app of a gateway that has one; else those whose users have called something, here or on
/// another gateway of the same database.
pub struct KnownApps {
    store: Arc<Store>,
    only: Option<Arc<str>>,
    // Read for every call, written when an app comes for the first time.
    known: RwLock<BTreeSet<Arc<str>>>,
    // What was seen and is not stored yet.
    seen: RwLock<BTreeSet<Arc<str>>>,
    // What plugins have not been told of yet; no more than are known.
    fresh: Mutex<Vec<Arc<str>>>,
    came: Notify,
}

impl KnownApps {
    /// Over the gateway's database; `only` is its one app, where it has one.
    pub fn new(store: Arc<Store>, only: Option<Arc<str>>) -> Arc<Self> {
        Arc::new(Self {
            store,
            known: RwLock::new(only.iter().cloned().collect()),
            only,
            seen: RwLock::default(),
            fresh: Mutex::default(),
            came: Notify::new(),
        })
    }

    /// Whether there is more than one, and others may come.
    pub fn are_many(&self) -> bool {
        self.only.is_none()
    }

    /// Reads what others know, and writes what was seen here; whether an app has come. To be called now
    /// and then, where there are many.
    ///
    /// # Errors
    /// What the database says.
    pub async fn refresh(&self) -> Result<bool, LifeError> {
        let seen = std::mem::take(&mut *self.seen.write());
        if let Err(error) = self.write(&seen).await {
            self.seen.write().extend(seen);
            return Err(error);
        }
        let most = i64::try_from(MAX_APPS).unwrap_or(i64::MAX);
        let stored: Vec<Document> = self
            .collection()?
            .find(doc! {})
            .limit(most)
            .await
            .map_err(|error| self.store.failed(error))?
            .try_collect()
            .await
            .map_err(|error| self.store.failed(error))?;
        let ids = stored.iter().filter_map(|app| app.get_str("_id").ok());
        let new: Vec<Arc<str>> = {
            let mut known = self.known.write();
            let new: Vec<_> = ids
                .filter(|id| !known.contains(*id))
                .take(MAX_APPS.saturating_sub(known.len()))
                .map(Arc::<str>::from)
                .collect();
            known.extend(new.iter().cloned());
            new
        };
        let has_new = !new.is_empty() || !seen.is_empty();
        self.tell(new);
        Ok(has_new)
    }

    fn tell(&self, new: Vec<Arc<str>>) {
        if !new.is_empty() {
            self.fresh.lock().extend(new);
            self.came.notify_one();
        }
    }

    async fn write(&self, seen: &BTreeSet<Arc<str>>) -> Result<(), LifeError> {
        for app_id in seen {
            let first = doc! { "$setOnInsert": { "first_seen_at": DateTime::now() } };
            self.collection()?
                .update_one(doc! { "_id": &**app_id }, first)
                .upsert(true)
                .await
                .map_err(|error| self.store.failed(error))?;
        }
        Ok(())
    }

    fn collection(&self) -> Result<Collection<Document>, StoreError> {
        Ok(self.store.own_database()?.collection(COLLECTION.name))
    }
}

impl KnownApps {
    /// The apps there are.
    pub fn all(&self) -> Vec<Arc<str>> {
        self.known.read().iter().cloned().collect()
    }

    /// Waits for apps that were not known before, and gives them; there is one who waits.
    pub async fn next(&self) -> Vec<Arc<str>> {
        loop {
            let fresh = std::mem::take(&mut *self.fresh.lock());
            if !fresh.is_empty() {
                return fresh;
            }
            self.came.notified().await;
        }
    }

    /// Somebody of an app is here, whom plugins may have to do with.
    pub fn see(&self, app_id: &Arc<str>) {
        if self.only.is_some() || self.known.read().contains(app_id) {
            return;
        }
        {
            let mut known = self.known.write();
            if known.len() >= MAX_APPS {
                tracing::warn!(
                    app.id = &**app_id,
                    most = MAX_APPS,
                    "apps.too_many: there is no background work for it"
                );
                return;
            }
            if !known.insert(Arc::clone(app_id)) {
                return;
            }
        }
        self.seen.write().insert(Arc::clone(app_id));
        self.tell(vec![Arc::clone(app_id)]);
    }
}

impl CallObserver for KnownApps {
    fn call_finished(&self, call: &FinishedCall<'_>) {
        if let Some(principal) = call.principal {
            self.see(&principal.app_id);
        }
    }
}
