//! Which collection is whose entity's, and the entities as their collections are: in memory, for every command
//! of a plugin and every use of a model. Read again where the rows have changed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use bson::DateTime;
use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use serde_json::Value;

use crate::{
    definition::Entity, error::EntityError, migration::checksum, repository::Repository,
    rows::EntityRow,
};

/// The entities of a plugin in an app, for models.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Models {
    /// Another one where anything of them is.
    pub revision: String,
    /// Those whose collections are there, by their names.
    pub entities: BTreeMap<String, Entity>,
}

#[derive(Default)]
struct OfApp {
    owners: HashMap<String, Arc<str>>,
    models: HashMap<String, Arc<Models>>,
}

/// What is known.
#[derive(Default)]
pub struct Tables {
    apps: RwLock<HashMap<String, OfApp>>,
    /// The rows as they were read last: how many, and the latest change.
    seen: Mutex<Option<(u64, Option<DateTime>)>>,
}

impl Tables {
    /// The plugin whose entity's a table is, in an app.
    pub fn owner(&self, app_id: &str, table: &str) -> Option<Arc<str>> {
        self.apps.read().get(app_id)?.owners.get(table).cloned()
    }

    /// The tables of a plugin's entities, in an app.
    pub fn of_plugin(&self, app_id: &str, plugin: &str) -> Vec<String> {
        let apps = self.apps.read();
        let owners = apps.get(app_id).into_iter().flat_map(|app| &app.owners);
        owners
            .filter(|(_, owner)| &***owner == plugin)
            .map(|(table, _)| table.clone())
            .collect()
    }

    /// The tables of all other plugins' entities, in an app.
    pub(crate) fn of_others(&self, app_id: &str, plugin: &str) -> BTreeSet<String> {
        let apps = self.apps.read();
        let owners = apps.get(app_id).into_iter().flat_map(|app| &app.owners);
        owners
            .filter(|(_, owner)| &***owner != plugin)
            .map(|(table, _)| table.clone())
            .collect()
    }

    /// The entities of a plugin in an app; none where there are none.
    pub fn models(&self, app_id: &str, plugin: &str) -> Option<Arc<Models>> {
        self.apps.read().get(app_id)?.models.get(plugin).cloned()
    }

    /// Reads the rows.
    pub(crate) async fn refresh(&self, repository: &Repository) -> Result<(), EntityError> {
        let seen = repository.entities_state().await?;
        let rows = repository.entity_rows(None).await?;
        let mut apps: HashMap<String, OfApp> = HashMap::new();
        let mut texts: HashMap<(String, String), Vec<&EntityRow>> = HashMap::new();
        for row in &rows {
            let app = apps.entry(row.app_id.clone()).or_default();
            app.owners
                .insert(row.table_name.clone(), row.plugin.as_str().into());
            let of = (row.app_id.clone(), row.plugin.clone());
            texts.entry(of).or_default().push(row);
        }
        for ((app_id, plugin), rows) in texts {
            if let Some(app) = apps.get_mut(&app_id) {
                app.models.insert(plugin, Arc::new(models(&rows)));
            }
        }
        *self.apps.write() = apps;
        *self.seen.lock() = Some(seen);
        Ok(())
    }

    /// Reads the rows where there are others than were read last.
    pub(crate) async fn follow(&self, repository: &Repository) -> Result<(), EntityError> {
        let now = repository.entities_state().await?;
        if *self.seen.lock() == Some(now) {
            return Ok(());
        }
        self.refresh(repository).await
    }
}

fn models(rows: &[&EntityRow]) -> Models {
    let mut entities = BTreeMap::new();
    let mut text = String::new();
    for row in rows {
        let Some(written) = &row.migrated else {
            continue;
        };
        let written = &written.written;
        let read = serde_json::from_str::<Value>(written).ok();
        if let Some(entity) = read.and_then(|written| Entity::read(&written).ok()) {
            text.push_str(written);
            text.push('\n');
            entities.insert(entity.entity_name.clone(), entity);
        }
    }
    Models {
        revision: checksum(text.as_bytes()),
        entities,
    }
}
