//! Entities and migrations in the control database, and the commands of migrations in the databases that
//! they are about.

mod entities;
mod own;
mod steps;

use std::{sync::Arc, time::Duration};

use bson::{Bson, DateTime, Document, Uuid, doc, oid::ObjectId};
use futures_util::TryStreamExt as _;
use mongodb::{Collection, error::Error};

use crate::{
    error::EntityError,
    migration::{Direction, Migration, Script, to_text},
    rows::MigrationRow,
};
pub(crate) use entities::taken;
use mozaiks_store::{CollectionSpec, IndexSpec, Store, StoreError, StoreErrorKind};
pub(crate) use own::OWN_MIGRATIONS;
pub(crate) use steps::{Outcome, Place};

/// Migrations of plugins.
pub(crate) const MIGRATIONS: &str = "plugin_migrations";
/// Entities of plugins.
pub(crate) const ENTITIES: &str = "plugin_entities";
/// The gateway's own migrations.
pub(crate) const OWN: &str = "_migrations";

/// One row a version, and one claim at a time: a row has a claim while its migration runs.
const MIGRATION_INDEXES: &[IndexSpec] = &[
    IndexSpec {
        name: "app_plugin_version",
        keys: &[("app_id", 1), ("plugin", 1), ("migration_version", 1)],
        unique: true,
        expire_after: None,
        only_where_present: None,
    },
    IndexSpec {
        name: "one_at_a_time",
        keys: &[("app_id", 1), ("plugin", 1)],
        unique: true,
        expire_after: None,
        only_where_present: Some("claim"),
    },
];

/// What must be there before any migration runs, for [`Store::open`]. The rest the gateway's own migrations
/// make.
pub const COLLECTIONS: [CollectionSpec; 1] = [CollectionSpec {
    name: OWN,
    indexes: MIGRATION_INDEXES,
}];

/// Rows of one plugin that are read.
const MAX_ROWS: i64 = 2000;
/// What has happened to one migration that is kept.
const MAX_HISTORY: i32 = 50;

/// Whose migrations.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) app_id: Arc<str>,
    pub(crate) plugin: Arc<str>,
}

impl Owner {
    fn filter(&self) -> Document {
        doc! { "app_id": &*self.app_id, "plugin": &*self.plugin }
    }
}

/// The right to run a migration.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// The row.
    pub(crate) row: String,
    /// Nobody else's.
    pub(crate) token: ObjectId,
}

impl Claim {
    fn mine(&self) -> Document {
        doc! { "_id": &self.row, "claim": self.token }
    }
}

/// What is written where a claim is taken.
pub(crate) struct Taking<'a> {
    pub(crate) migration: &'a Migration,
    pub(crate) direction: Direction,
    pub(crate) position: usize,
    pub(crate) begun: bool,
    pub(crate) by: Option<&'a str>,
    pub(crate) gateway: &'a str,
    pub(crate) lease: Duration,
}

/// Rows of one collection of migrations.
pub(crate) struct Repository {
    store: Arc<Store>,
    collection: &'static str,
}

impl Repository {
    pub(crate) fn new(store: Arc<Store>, collection: &'static str) -> Self {
        Self { store, collection }
    }

    /// The connection.
    pub(crate) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    fn rows(&self) -> Result<Collection<Document>, StoreError> {
        Ok(self.store.own_database()?.collection(self.collection))
    }

    fn failed(&self, error: Error) -> EntityError {
        self.store.failed(error).into()
    }

    /// All of a plugin in an app, by their versions.
    pub(crate) async fn all(&self, owner: &Owner) -> Result<Vec<MigrationRow>, EntityError> {
        let found: Vec<Document> = self
            .rows()?
            .find(owner.filter())
            .sort(doc! { "migration_version": 1 })
            .limit(MAX_ROWS)
            .await
            .map_err(|error| self.failed(error))?
            .try_collect()
            .await
            .map_err(|error| self.failed(error))?;
        Ok(found
            .iter()
            .filter_map(|document| self.read(document))
            .collect())
    }

    /// One of them.
    pub(crate) async fn find(
        &self,
        owner: &Owner,
        version: &str,
    ) -> Result<Option<MigrationRow>, EntityError> {
        let mut filter = owner.filter();
        filter.insert("migration_version", version);
        let found = self.rows()?.find_one(filter).await;
        let found = found.map_err(|error| self.failed(error))?;
        Ok(found.and_then(|document| self.read(&document)))
    }

    fn read(&self, document: &Document) -> Option<MigrationRow> {
        MigrationRow::of(document)
            .map_err(|field| self.store.skip_malformed(self.collection, field))
            .ok()
    }

    /// Makes the row of a migration that has none.
    pub(crate) async fn add(
        &self,
        owner: &Owner,
        migration: &Migration,
        more: &Document,
    ) -> Result<bool, EntityError> {
        let mut row = doc! {
            "_id": Uuid::new().to_string(),
            "app_id": &*owner.app_id,
            "plugin": &*owner.plugin,
            "status": "pending",
            "is_enabled": true,
            "revision": 1,
            "history": [],
            "created_at": DateTime::now(),
        };
        row.extend(described(migration));
        row.extend(more.clone());
        match self.rows()?.insert_one(row).await {
            Ok(_) => Ok(true),
            Err(error) => match self.store.failed(error) {
                error if error.kind == StoreErrorKind::Conflict => Ok(false),
                error => Err(error.into()),
            },
        }
    }

    /// Takes the right to run a migration, of a row that is as it was read. `None` where it has changed
    /// since.
    pub(crate) async fn take(
        &self,
        row: &MigrationRow,
        taking: &Taking<'_>,
    ) -> Result<Option<Claim>, EntityError> {
        let now = DateTime::now();
        let claim = Claim {
            row: row.id.clone(),
            token: ObjectId::new(),
        };
        let as_read = doc! {
            "_id": &row.id,
            "claim": { "$exists": false },
            "status": row.status.as_str(),
        };
        let mut set = described(taking.migration);
        set.extend(doc! {
            "status": "running",
            "direction": taking.direction.as_str(),
            "position": i64::try_from(taking.position).unwrap_or(i64::MAX),
            "begun": taking.begun,
            "refused": false,
            "claim": claim.token,
            "owner": taking.gateway,
            "lease_until": later(now, taking.lease),
            "executed_at": now,
            "error_message": Bson::Null,
            "updated_at": now,
            "updated_by": taking.by,
        });
        let what = match taking.direction {
            Direction::Up => "running",
            Direction::Down => "rolling_back",
        };
        let change = doc! {
            "$set": set,
            "$inc": { "revision": 1 },
            "$push": happened(what, taking.by, Some(taking.gateway)),
        };
        match self.rows()?.update_one(as_read, change).await {
            Ok(done) => Ok((done.matched_count == 1).then_some(claim)),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The version that runs, where one does.
    pub(crate) async fn running(&self, owner: &Owner) -> Result<Option<String>, EntityError> {
        let mut filter = owner.filter();
        filter.insert("claim", doc! { "$exists": true });
        let found = self.rows()?.find_one(filter).await;
        let found = found.map_err(|error| self.failed(error))?;
        Ok(found.and_then(|row| row.get_str("migration_version").ok().map(str::to_owned)))
    }

    /// Keeps the right for longer; whether it was still there.
    pub(crate) async fn renew(&self, claim: &Claim, lease: Duration) -> Result<bool, EntityError> {
        let until = later(DateTime::now(), lease);
        self.change_mine(claim, doc! { "lease_until": until }).await
    }

    /// Writes down that the next command is begun.
    pub(crate) async fn begin(&self, claim: &Claim, lease: Duration) -> Result<bool, EntityError> {
        let until = later(DateTime::now(), lease);
        let set = doc! { "begun": true, "lease_until": until };
        self.change_mine(claim, set).await
    }

    /// Writes down that so many are done.
    pub(crate) async fn done(
        &self,
        claim: &Claim,
        position: usize,
        done_checksum: &str,
    ) -> Result<bool, EntityError> {
        self.change_mine(claim, progress(position, done_checksum))
            .await
    }

    async fn change_mine(&self, claim: &Claim, set: Document) -> Result<bool, EntityError> {
        let changed = self
            .rows()?
            .update_one(claim.mine(), doc! { "$set": set })
            .await;
        let changed = changed.map_err(|error| self.failed(error))?;
        Ok(changed.matched_count == 1)
    }

    /// Writes down how it ended and gives the right back; whether that was still there.
    pub(crate) async fn finish(
        &self,
        claim: &Claim,
        ended: Document,
        what: &str,
        gateway: &str,
    ) -> Result<bool, EntityError> {
        let mut set = ended;
        set.insert("updated_at", DateTime::now());
        let change = doc! {
            "$set": set,
            "$unset": { "claim": "", "lease_until": "", "session": "" },
            "$push": happened(what, None, Some(gateway)),
        };
        let changed = self.rows()?.update_one(claim.mine(), change).await;
        let changed = changed.map_err(|error| self.failed(error))?;
        Ok(changed.matched_count == 1)
    }

    /// Ends what runs nowhere any more: its lease has passed. `from_before` is a moment before which whatever
    /// was begun has ended, where nobody else can be running it.
    pub(crate) async fn expire(
        &self,
        owner: Option<&Owner>,
        from_before: Option<DateTime>,
    ) -> Result<u64, EntityError> {
        let mut filter = owner.map(Owner::filter).unwrap_or_default();
        filter.insert("claim", doc! { "$exists": true });
        match from_before {
            Some(moment) => filter.insert("executed_at", doc! { "$lt": moment }),
            None => filter.insert("lease_until", doc! { "$lte": DateTime::now() }),
        };
        self.end_sessions(&filter).await?;
        let change = doc! {
            "$set": {
                "status": "failed",
                "error_message": "the gateway that ran it ended, or gave no sign of life",
                "updated_at": DateTime::now(),
            },
            "$unset": { "claim": "", "lease_until": "", "session": "" },
            "$push": happened("failed", None, None),
        };
        let changed = self.rows()?.update_many(filter, change).await;
        Ok(changed.map_err(|error| self.failed(error))?.modified_count)
    }

    /// Ends the transactions of runs that are to be ended: what they hold locked would keep the next run
    /// waiting until the server gives them up.
    async fn end_sessions(&self, filter: &Document) -> Result<(), EntityError> {
        let mut filter = filter.clone();
        filter.insert("session", doc! { "$exists": true });
        let found = self.rows()?.find(filter).await;
        let found: Vec<Document> = match found {
            Ok(found) => found
                .try_collect()
                .await
                .map_err(|error| self.failed(error))?,
            Err(error) => return Err(self.failed(error)),
        };
        let sessions: Vec<Bson> = found
            .iter()
            .filter_map(|row| row.get("session").cloned())
            .collect();
        if sessions.is_empty() {
            return Ok(());
        }
        let ended = self
            .store
            .own_database()?
            .run_command(doc! { "killSessions": sessions })
            .await;
        ended.map_err(|error| self.failed(error))?;
        Ok(())
    }
}

fn progress(position: usize, done_checksum: &str) -> Document {
    doc! {
        "position": i64::try_from(position).unwrap_or(i64::MAX),
        "begun": false,
        "done_checksum": done_checksum,
    }
}

fn described(migration: &Migration) -> Document {
    let (form, up, down, source) = match &migration.script {
        Script::Commands { up, down } => ("commands", Some(to_text(up)), Some(to_text(down)), None),
        Script::Python { source } => ("python", None, None, Some(source.clone())),
    };
    doc! {
        "migration_version": &migration.version,
        "migration_name": &migration.name,
        "migration_description": migration.description.as_deref(),
        "file_name": migration.file_name.as_deref(),
        "entity_name": migration.entity_name.as_deref(),
        "checksum": &migration.checksum,
        "form": form,
        "up": up,
        "down": down,
        "source": source,
    }
}

fn happened(what: &str, by: Option<&str>, gateway: Option<&str>) -> Document {
    let one = doc! { "at": DateTime::now(), "what": what, "by": by, "gateway": gateway };
    doc! { "history": { "$each": [one], "$slice": -MAX_HISTORY } }
}

fn later(now: DateTime, by: Duration) -> DateTime {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    DateTime::from_millis(now.timestamp_millis().saturating_add(by))
}
