//! The registry in the database: one document a plugin. Files decide code, version and endpoints; the
//! database decides whether a plugin is enabled, in which apps, and whether it was removed.
//!
//! Rows are written by strangers too: what is read here is input.

mod grants;
mod placement;
mod stored;

use std::{collections::BTreeSet, sync::Arc};

use futures_util::TryStreamExt as _;
use mongodb::{
    Collection,
    bson::{Bson, DateTime, Document, Uuid, doc},
    options::{ReturnDocument, UpdateModifications},
};

pub use grants::Grant;
pub use stored::Stored;

use crate::{error::LifeError, excerpt::head};
use grants::read_grant;
use mozaiks_plugins::{
    apps::AppRules,
    manifest::{Manifest, PluginKind},
    placement::OperatorWord,
};
use mozaiks_store::{CollectionSpec, IndexSpec, Store, StoreError};

/// The collection and its indexes, for [`Store::open`].
pub const COLLECTION: CollectionSpec = CollectionSpec {
    name: "plugins",
    indexes: &[IndexSpec {
        name: "app_name",
        keys: &[("app_id", 1), ("name", 1)],
        unique: true,
        expire_after: None,
        only_where_present: None,
    }],
};

/// Rows that are read at most; more is not the work of a gateway.
const MAX_ROWS: i64 = 10_000;
/// Apps that a row may name.
const MAX_APPS: usize = 10_000;
/// Bytes of a traceback that are kept.
const MAX_TRACEBACK_BYTES: usize = 16 * 1024;

/// What the database decides of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The plugin.
    pub name: String,
    /// Whether it is to run at all.
    pub enabled: bool,
    /// In which apps.
    pub apps: AppRules,
    /// Set once it was removed: it comes back by an explicit discovery only.
    pub removed: bool,
    /// Goes up whenever it is to be loaded anew.
    pub reload: i64,
    /// Where it runs, and what it may use.
    pub word: OperatorWord,
    /// Why it may not run, where its workers have died too often.
    pub quarantine: Option<String>,
    /// What it may do beyond its own, where an admin has said so.
    pub granted: Option<Grant>,
    /// Where its files are rows too: whose, and which revision serves.
    pub stored: Option<Stored>,
}

impl Row {
    /// What a plugin gets that is found for the first time.
    pub fn new(name: &str, enabled: bool, only: Option<BTreeSet<String>>) -> Self {
        Self {
            name: name.to_owned(),
            enabled,
            apps: AppRules {
                only,
                except: BTreeSet::new(),
            },
            removed: false,
            reload: 0,
            word: OperatorWord::default(),
            quarantine: None,
            granted: None,
            stored: None,
        }
    }

    /// The fields in which this differs from an earlier one.
    pub fn differences(&self, before: &Self) -> Vec<&'static str> {
        [
            ("enabled", self.enabled != before.enabled),
            ("enabled_apps", self.apps.only != before.apps.only),
            ("disabled_apps", self.apps.except != before.apps.except),
            ("removed_at", self.removed != before.removed),
            ("reload", self.reload != before.reload),
            ("isolation", self.word.isolation != before.word.isolation),
            ("limits", self.word.limits != before.word.limits),
            ("quarantine", self.quarantine != before.quarantine),
            ("permissions_granted", self.granted != before.granted),
            ("artifact", self.stored != before.stored),
        ]
        .into_iter()
        .filter_map(|(field, differs)| differs.then_some(field))
        .collect()
    }
}

/// A row that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OddRow {
    /// What it gives as the name.
    pub name: String,
    /// What is wrong, in a sentence.
    pub reason: String,
}

/// Whom a switch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// The whole gateway.
    Gateway,
    /// One app of many.
    App(&'a str),
}

/// What a gateway has found out about a plugin and tells the others.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The plugin.
    pub name: &'a str,
    /// What it says about itself.
    pub manifest: &'a Manifest,
    /// Its directory's name below the plugins directory.
    pub source_path: &'a str,
    /// What its code is made of, as one number.
    pub checksum: Option<&'a str>,
    /// `active`, `disabled`, `error`, `loading`.
    pub status: &'a str,
    /// Why it does not run: one line and the whole.
    pub error: Option<(&'a str, &'a str)>,
    /// Whether its files are rows, which say themselves where they come from.
    pub stored: bool,
}

/// Reads and writes rows.
pub struct Rows {
    store: Arc<Store>,
}

impl Rows {
    /// Over the gateway's database.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// What is decided of all plugins in directories, and the rows that make no sense.
    ///
    /// # Errors
    /// What the database says.
    pub async fn all(&self) -> Result<(Vec<Row>, Vec<OddRow>), LifeError> {
        let documents: Vec<Document> = self
            .collection()?
            .find(doc! { "app_id": Bson::Null })
            .projection(decisions())
            .limit(MAX_ROWS)
            .await
            .map_err(|error| self.store.failed(error))?
            .try_collect()
            .await
            .map_err(|error| self.store.failed(error))?;
        let (mut rows, mut odd) = (Vec::with_capacity(documents.len()), Vec::new());
        for document in &documents {
            match readable(document) {
                Ok(row) => rows.push(row),
                Err(one) => odd.push(one),
            }
        }
        Ok((rows, odd))
    }

    /// What is decided of one plugin now, where there is a row.
    ///
    /// # Errors
    /// What the database says.
    pub async fn one(&self, name: &str) -> Result<Option<Result<Row, OddRow>>, LifeError> {
        let found = self
            .collection()?
            .find_one(doc! { "app_id": Bson::Null, "name": name })
            .projection(decisions())
            .await
            .map_err(|error| self.store.failed(error))?;
        Ok(found.as_ref().map(readable))
    }

    /// Writes down what was found, with what is decided of a plugin that has no row yet. What the
    /// database has decided stays, and is given back.
    ///
    /// # Errors
    /// What the database says.
    pub async fn report(
        &self,
        report: Report<'_>,
        new: &Row,
    ) -> Result<Result<Row, OddRow>, LifeError> {
        let manifest = report.manifest;
        let (kind, source) = match manifest.kind {
            PluginKind::Dynamic => ("dynamic", "directory"),
            PluginKind::Static => ("static", "builtin"),
        };
        let error = report.error.map(|(summary, traceback)| {
            let traceback = head(traceback, MAX_TRACEBACK_BYTES);
            doc! { "at": DateTime::now(), "summary": summary, "traceback": traceback }
        });
        let mut set = doc! {
            "display_name": &manifest.display_name,
            "version": &manifest.version,
            "description": manifest.description.as_deref(),
            "author": manifest.author.as_deref(),
            "type": kind,
            "checksum": report.checksum,
            "status": report.status,
            "last_error": error,
            "loaded_at": DateTime::now(),
            "updated_at": DateTime::now(),
        };
        if !report.stored {
            set.insert("source", doc! { "kind": source, "ref": report.source_path });
            set.insert("source_path", report.source_path);
        }
        let update = doc! {
            "$set": set,
            "$setOnInsert": {
                "_id": Uuid::new().to_string(),
                "enabled": new.enabled,
                "enabled_apps": list(new.apps.only.as_ref()),
                "disabled_apps": list(Some(&new.apps.except)),
                "permissions_granted": Bson::Null,
                "artifact": Bson::Null,
                "health": Bson::Null,
                "creator_id": Bson::Null,
                "created_at": DateTime::now(),
                "removed_at": Bson::Null,
                "reload": 0_i64,
                "isolation": Bson::Null,
                "limits": Bson::Null,
                "quarantine": Bson::Null,
            },
        };
        let filter = doc! { "app_id": Bson::Null, "name": report.name };
        let written = self
            .collection()?
            .find_one_and_update(filter, update)
            // A stored plugin that has no row any more was removed meanwhile.
            .upsert(!report.stored)
            .return_document(ReturnDocument::After)
            .projection(decisions())
            .await
            .map_err(|error| self.store.failed(error))?;
        // With `upsert` there always is one.
        Ok(written.as_ref().map_or_else(|| Ok(new.clone()), readable))
    }

    /// Tells that this gateway has no files of a plugin; what another has told of it stays.
    ///
    /// # Errors
    /// What the database says.
    pub async fn report_missing(&self, name: &str, reason: &str) -> Result<(), LifeError> {
        let filter = doc! { "app_id": Bson::Null, "name": name, "status": { "$ne": "active" } };
        let error = doc! { "at": DateTime::now(), "summary": reason, "traceback": reason };
        let update = doc! { "$set": {
            "status": "error", "last_error": error,
            "loaded_at": DateTime::now(), "updated_at": DateTime::now(),
        } };
        self.collection()?
            .update_one(filter, update)
            .await
            .map_err(|error| self.store.failed(error))?;
        Ok(())
    }

    /// Says whether a plugin is to run; `false` where there is no row.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_enabled(
        &self,
        name: &str,
        scope: Scope<'_>,
        enabled: bool,
    ) -> Result<bool, LifeError> {
        let set = match scope {
            Scope::Gateway if enabled => {
                doc! { "enabled": true, "enabled_apps": Bson::Null }
            }
            Scope::Gateway => doc! { "enabled": false },
            Scope::App(app_id) => {
                // A name from a token, which must not be read as an expression.
                let app = doc! { "$literal": [app_id] };
                let (among, except) = if enabled {
                    ("$setUnion", "$setDifference")
                } else {
                    ("$setDifference", "$setUnion")
                };
                let only = "$enabled_apps";
                doc! {
                    "enabled_apps": { "$cond": [
                        { "$isArray": only }, { among: [only, app.clone()] }, Bson::Null,
                    ] },
                    "disabled_apps": { except: [
                        { "$cond": [{ "$isArray": "$disabled_apps" }, "$disabled_apps", []] }, app,
                    ] },
                }
            }
        };
        let mut set = set;
        set.insert("updated_at", DateTime::now());
        self.update(name, vec![doc! { "$set": set }]).await
    }

    /// Asks every gateway to load a plugin anew; `false` where there is no row.
    ///
    /// # Errors
    /// What the database says.
    pub async fn ask_reload(&self, name: &str) -> Result<bool, LifeError> {
        let update =
            doc! { "$inc": { "reload": 1_i64 }, "$set": { "updated_at": DateTime::now() } };
        self.update(name, update).await
    }

    /// Marks a plugin as removed, or as back again; `false` where there is no row.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_removed(&self, name: &str, removed: bool) -> Result<bool, LifeError> {
        let at = if removed {
            Bson::from(DateTime::now())
        } else {
            Bson::Null
        };
        let update = doc! { "$set": { "removed_at": at, "updated_at": DateTime::now() } };
        self.update(name, update).await
    }

    /// Writes down how a plugin says that it is.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_health(
        &self,
        name: &str,
        status: &str,
        reason: Option<&str>,
    ) -> Result<bool, LifeError> {
        let health = doc! { "status": status, "reason": reason, "at": DateTime::now() };
        self.update(name, doc! { "$set": { "health": health } })
            .await
    }

    /// Leaves a mark in the place of a row that somebody has deleted, so that a plugin whose files are
    /// still there does not come back with the next start. A row that has come back stays as it is.
    ///
    /// # Errors
    /// What the database says.
    pub async fn bury(&self, name: &str) -> Result<(), LifeError> {
        let update = doc! { "$setOnInsert": {
            "_id": Uuid::new().to_string(),
            "enabled": true,
            "disabled_apps": [],
            "reload": 0_i64,
            "created_at": DateTime::now(),
            "updated_at": DateTime::now(),
            "removed_at": DateTime::now(),
        } };
        self.collection()?
            .update_one(doc! { "app_id": Bson::Null, "name": name }, update)
            .upsert(true)
            .await
            .map_err(|error| self.store.failed(error))?;
        Ok(())
    }

    async fn update(
        &self,
        name: &str,
        update: impl Into<UpdateModifications>,
    ) -> Result<bool, LifeError> {
        let done = self
            .collection()?
            .update_one(doc! { "app_id": Bson::Null, "name": name }, update)
            .await
            .map_err(|error| self.store.failed(error))?;
        Ok(done.matched_count > 0)
    }

    fn collection(&self) -> Result<Collection<Document>, StoreError> {
        Ok(self.store.own_database()?.collection(COLLECTION.name))
    }
}

/// The fields by which the database decides.
fn decisions() -> Document {
    doc! {
        "name": 1, "enabled": 1, "enabled_apps": 1, "disabled_apps": 1, "removed_at": 1, "reload": 1,
        "isolation": 1, "limits": 1, "quarantine": 1,
        "permissions_granted": 1, "source.kind": 1, "owner_app": 1, "artifact.digest": 1,
    }
}

fn list(apps: Option<&BTreeSet<String>>) -> Bson {
    apps.map_or(Bson::Null, |apps| apps.iter().cloned().collect::<Bson>())
}

/// What a row decides, or what is wrong with it; then it decides nothing.
fn readable(document: &Document) -> Result<Row, OddRow> {
    let name = document.get_str("name").unwrap_or_default();
    let odd = |reason: &str| OddRow {
        name: head(name, 64).to_owned(),
        reason: reason.to_owned(),
    };
    if mozaiks_plugins::names::refusal(name).is_some() {
        return Err(odd("`name` cannot be a plugin's"));
    }
    let enabled = document
        .get_bool("enabled")
        .map_err(|_| odd("`enabled` is no boolean"))?;
    let only = match document.get("enabled_apps") {
        None | Some(Bson::Null) => None,
        Some(value) => Some(apps(value).ok_or_else(|| odd("`enabled_apps` is no list of apps"))?),
    };
    let except = match document.get("disabled_apps") {
        None | Some(Bson::Null) => BTreeSet::new(),
        Some(value) => apps(value).ok_or_else(|| odd("`disabled_apps` is no list of apps"))?,
    };
    let stored = stored::read(document).map_err(odd)?;
    // Whatever is said: what an app stores is that app's.
    let only = match &stored {
        None => only,
        Some(stored) => Some(stored.only_its_own(only)),
    };
    let removed = match document.get("removed_at") {
        None | Some(Bson::Null) => false,
        Some(Bson::DateTime(_)) => true,
        Some(_) => return Err(odd("`removed_at` is no date")),
    };
    let reload = match document.get("reload") {
        None | Some(Bson::Null) => 0,
        Some(Bson::Int64(count)) => *count,
        Some(Bson::Int32(count)) => i64::from(*count),
        // What shells make of a number.
        Some(Bson::Double(count)) if count.fract() == 0.0 && count.abs() < 1e15 => *count as i64,
        Some(_) => return Err(odd("`reload` is no whole number")),
    };
    let granted = match document.get("permissions_granted") {
        None | Some(Bson::Null) => None,
        Some(Bson::Document(grant)) => Some(read_grant(grant).map_err(|why| odd(&why))?),
        Some(_) => return Err(odd("`permissions_granted` is no document")),
    };
    Ok(Row {
        name: name.to_owned(),
        enabled,
        apps: AppRules { only, except },
        removed,
        reload,
        word: placement::word(document).map_err(odd)?,
        quarantine: placement::quarantine(document).map_err(odd)?,
        granted,
        stored,
    })
}

fn apps(value: &Bson) -> Option<BTreeSet<String>> {
    let list = value
        .as_array()
        .filter(|list| list.len() <= MAX_APPS)?
        .iter();
    list.map(|app| app.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests;
