//! The catalogue: who may see and change which stored plugin, and the plugins themselves. What is in a
//! plugin stands in the other files.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use mozaiks_plugins::{names, source_check::SourceCheck};
use mozaiks_store::Store;
use serde_json::{Map, Value, json};

use crate::{
    assembly::Pieces,
    error::CatalogError,
    live::{Author, Live},
    manifest_file,
    repository::{NewPlugin, Repository, Whose},
    rows::{FileRow, PluginRow, PluginView},
    tree::MANIFEST,
    trees::Trees,
};

/// Plugins that are written at the same time: of one plugin writers come one after the other.
const TURNS: usize = 64;

/// Stored plugins.
pub struct Catalog {
    pub(crate) repository: Repository,
    pub(crate) trees: Arc<Trees>,
    pub(crate) check: Arc<dyn SourceCheck>,
    pub(crate) live: Arc<dyn Live>,
    /// Held while a plugin is written: what is checked is what was saved. Other gateways are kept out by
    /// the revisions.
    turns: Vec<tokio::sync::Mutex<()>>,
}

/// Which plugins are listed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Only the caller's.
    pub mine: bool,
    /// Only templates, or only what is none.
    pub template: Option<bool>,
}

impl Catalog {
    /// Over the gateway's database.
    pub fn new(
        store: Arc<Store>,
        trees: Arc<Trees>,
        check: Arc<dyn SourceCheck>,
        live: Arc<dyn Live>,
    ) -> Arc<Self> {
        Arc::new(Self {
            repository: Repository::new(store),
            trees,
            check,
            live,
            turns: (0..TURNS).map(|_| tokio::sync::Mutex::default()).collect(),
        })
    }

    pub(crate) async fn turn(&self, plugin: &PluginRow) -> tokio::sync::MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        plugin.id.hash(&mut hasher);
        let turn = usize::try_from(hasher.finish() % TURNS as u64).unwrap_or_default();
        self.turns[turn].lock().await
    }

    /// A plugin that the caller may read: an own one, a template, for admins every one of their app.
    pub(crate) async fn readable(&self, by: &Author, id: &str) -> Result<PluginRow, CatalogError> {
        may_write(by)?;
        let found = self.repository.plugin(&by.app_id, id).await?;
        let plugin = found.ok_or(CatalogError::NoPlugin)?;
        if by.is_admin || plugin.is_template || is_own(by, &plugin) {
            Ok(plugin)
        } else {
            // Whose work it is does not concern others.
            Err(CatalogError::NoPlugin)
        }
    }

    /// A plugin that the caller may change: an own one, for admins every one of their app.
    pub(crate) async fn writable(&self, by: &Author, id: &str) -> Result<PluginRow, CatalogError> {
        let plugin = self.readable(by, id).await?;
        if by.is_admin || is_own(by, &plugin) {
            return Ok(plugin);
        }
        Err(CatalogError::Forbidden(
            "only who has made a plugin, and admins, may change it",
        ))
    }

    /// A stored plugin's name in the caller's app, by its name or its id; `None` where there is none that
    /// the caller may read.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, by: &Author, id: &str) -> Result<Option<PluginRow>, CatalogError> {
        match self.readable(by, id).await {
            Ok(plugin) => Ok(Some(plugin)),
            Err(CatalogError::NoPlugin | CatalogError::Forbidden(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The plugins that the caller may read.
    ///
    /// # Errors
    /// Where the caller may read none.
    pub async fn list(&self, by: &Author, wanted: Wanted) -> Result<Vec<PluginView>, CatalogError> {
        may_write(by)?;
        let creator = Some(&*by.user_id).filter(|_| wanted.mine);
        let rows = self
            .repository
            .plugins(&by.app_id, creator, wanted.template)
            .await?;
        let rows = rows.iter();
        let readable = rows.filter(|row| by.is_admin || row.is_template || is_own(by, row));
        Ok(readable.map(PluginRow::view).collect())
    }

    /// One of them.
    ///
    /// # Errors
    /// Where there is none that the caller may read.
    pub async fn get(&self, by: &Author, id: &str) -> Result<PluginView, CatalogError> {
        Ok(self.readable(by, id).await?.view())
    }

    /// A new plugin without files.
    ///
    /// # Errors
    /// A name that cannot be a plugin's, or that one has already.
    pub async fn create(
        &self,
        by: &Author,
        name: &str,
        manifest: Map<String, Value>,
        category: Option<&str>,
    ) -> Result<PluginView, CatalogError> {
        may_write(by)?;
        check_name(name)?;
        let mut manifest = manifest;
        manifest.insert("name".into(), name.into());
        manifest.entry("version").or_insert_with(|| "0.1.0".into());
        check_sectionless(&manifest)?;
        let text = manifest_file::canonical(&manifest);
        check_manifest(&text, name)?;
        let (id, new) = (
            Repository::new_id(),
            NewPlugin {
                name,
                app_id: &by.app_id,
                creator_id: &by.user_id,
                manifest: &text,
                category,
                template_of: None,
            },
        );
        self.insert(&id, &new).await?;
        self.note(by, name, "create", Value::Null, json!({ "id": id }))
            .await;
        self.get(by, &id).await
    }

    pub(crate) async fn insert(&self, id: &str, new: &NewPlugin<'_>) -> Result<(), CatalogError> {
        match self.repository.insert_plugin(id, new).await {
            Err(error) if error.is_duplicate() => {
                let message = format!("there is a plugin named {:?} already", new.name);
                Err(CatalogError::conflict(message, None))
            }
            other => other,
        }
    }

    /// Says something else of a plugin: keys of `plugin.json`, its category, whether others may copy it.
    ///
    /// # Errors
    /// A stale revision, and values that cannot be.
    pub async fn describe(
        &self,
        by: &Author,
        id: &str,
        keys: Map<String, Value>,
        revision: Option<i64>,
        category: Option<&str>,
        is_template: Option<bool>,
    ) -> Result<PluginView, CatalogError> {
        let plugin = self.writable(by, id).await?;
        let _turn = self.turn(&plugin).await;
        if !keys.is_empty() {
            if revision.is_some_and(|revision| revision != plugin.revision) {
                let yours = json!({ "manifest": keys, "revision": revision });
                return Err(stale_manifest(&plugin, yours));
            }
            let mut manifest = manifest_file::parse(&plugin.manifest)?;
            for (key, value) in keys {
                if value.is_null() {
                    manifest.remove(&key);
                } else {
                    manifest.insert(key, value);
                }
            }
            let text = manifest_file::canonical(&manifest);
            check_manifest(&text, &plugin.name)?;
            if !self.repository.replace_manifest(&plugin, &text).await? {
                return Err(stale_manifest(&plugin, Value::Null));
            }
        }
        if !by.is_admin {
            self.repository.set_waiting(&plugin).await?;
        }
        self.repository
            .describe(&plugin, is_template, category)
            .await?;
        let after = self.get(by, &plugin.id).await?;
        let (before, now) = (plugin.view(), json!({ "revision": after.revision }));
        let before = json!({ "revision": before.revision });
        self.note(by, &plugin.name, "describe", before, now).await;
        Ok(after)
    }

    /// Takes a plugin away with everything that is stored of it; what it has stored itself stays.
    ///
    /// # Errors
    /// Where another plugin needs it.
    pub async fn delete(&self, by: &Author, id: &str) -> Result<String, CatalogError> {
        let plugin = self.writable(by, id).await?;
        if plugin.digest.is_some() && plugin.enabled && !by.is_admin {
            let why = "only admins may take away a plugin that serves";
            return Err(CatalogError::Forbidden(why));
        }
        let _turn = self.turn(&plugin).await;
        self.live.forget(&plugin.name, by).await?;
        // The row first: without it nobody finds the rest.
        self.repository.delete_plugin(&plugin).await?;
        self.repository.delete_all_of(whose(&plugin)).await?;
        Ok(plugin.name)
    }

    /// The plugin's files and what it says of itself.
    pub(crate) async fn pieces(
        &self,
        plugin: &PluginRow,
    ) -> Result<(Pieces, Vec<FileRow>), CatalogError> {
        let rows = self.repository.files(whose(plugin)).await?;
        let pieces = Pieces {
            manifest: plugin.manifest.clone(),
            files: rows.iter().map(|row| row.file.clone()).collect(),
        };
        Ok((pieces, rows))
    }

    pub(crate) async fn note(
        &self,
        by: &Author,
        plugin: &str,
        action: &str,
        before: Value,
        after: Value,
    ) {
        // One that cannot be written down is logged whole by whoever writes it.
        drop(self.live.note(by, plugin, action, before, after).await);
    }
}

pub(crate) fn whose(plugin: &PluginRow) -> Whose<'_> {
    Whose {
        app_id: &plugin.app_id,
        plugin_id: &plugin.id,
    }
}

fn is_own(by: &Author, plugin: &PluginRow) -> bool {
    *plugin.creator_id == *by.user_id
}

pub(crate) fn may_write(by: &Author) -> Result<(), CatalogError> {
    if by.may_write {
        return Ok(());
    }
    Err(CatalogError::Forbidden(
        "this needs the role plugin_author or admin",
    ))
}

pub(crate) fn check_name(name: &str) -> Result<(), CatalogError> {
    match names::refusal(name) {
        Some(reason) => Err(CatalogError::invalid("/name", reason)),
        None => Ok(()),
    }
}

/// A manifest's text, by itself: an object that names no other plugin.
pub(crate) fn check_manifest(text: &str, name: &str) -> Result<(), CatalogError> {
    let manifest = manifest_file::parse(text)?;
    match manifest.get("name") {
        None => {}
        Some(Value::String(given)) if given == name => {}
        Some(given) => {
            let message = format!("name: {given} is not the plugin's, which is {name:?}");
            return Err(CatalogError::invalid(MANIFEST, message));
        }
    }
    manifest_file::sections(&manifest).map(drop)
}

/// What is said of parts comes with their files.
fn check_sectionless(manifest: &Map<String, Value>) -> Result<(), CatalogError> {
    let sections = manifest_file::sections(manifest)?;
    match sections.values().find_map(|section| section.keys().next()) {
        Some(file) => Err(CatalogError::invalid(
            MANIFEST,
            format!("{file}: there is no such file yet"),
        )),
        None => Ok(()),
    }
}

pub(crate) fn stale_manifest(plugin: &PluginRow, yours: Value) -> CatalogError {
    let current = json!({
        "path": MANIFEST,
        "revision": plugin.revision,
        "content": plugin.manifest,
        "updated_at": plugin.updated_at,
    });
    CatalogError::conflict(
        format!(
            "{MANIFEST} was changed meanwhile: revision {} is there",
            plugin.revision
        ),
        Some(json!({ "current": current, "yours": yours })),
    )
}
