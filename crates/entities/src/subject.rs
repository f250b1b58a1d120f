//! The plugin that a migration is of, in one app.

use std::{path::PathBuf, sync::Arc};

use mozaiks_plugins::{
    LiveGeneration,
    registry::{Plugin, PluginState, Registry},
};

use crate::{access::OwnCollections, repository::Owner};

/// A plugin in an app, with what is to be known of it.
#[derive(Clone)]
pub struct Subject {
    pub(crate) owner: Owner,
    pub(crate) display_name: String,
    pub(crate) dir: PathBuf,
    /// Its load that serves, or why there is none.
    pub(crate) generation: Result<Arc<LiveGeneration>, String>,
    /// What its collections begin with, and what begins so and is another's.
    prefix: String,
    except: Vec<String>,
    registry: Arc<Registry>,
}

impl Subject {
    /// A plugin in an app.
    pub fn of(registry: &Arc<Registry>, plugin: &Plugin, app_id: &Arc<str>) -> Self {
        let generation = match plugin.state() {
            PluginState::Active(generation) => Ok(generation),
            PluginState::Loading => Err("the plugin is still being loaded".to_owned()),
            PluginState::Disabled => Err("the plugin is disabled".to_owned()),
            PluginState::Failed(_) => Err("the plugin could not be loaded".to_owned()),
        };
        let longer = registry.longer_names(&plugin.name);
        Self {
            owner: Owner {
                app_id: Arc::clone(app_id),
                plugin: Arc::clone(&plugin.name),
            },
            display_name: plugin.manifest().display_name.clone(),
            dir: plugin.dir(),
            generation,
            prefix: format!("{}_", plugin.name),
            except: longer.iter().map(|name| format!("{name}_")).collect(),
            registry: Arc::clone(registry),
        }
    }

    /// What is its own by its name.
    pub(crate) fn own(&self) -> OwnCollections {
        OwnCollections {
            tables: Default::default(),
            others: Default::default(),
            prefix: self.prefix.clone(),
            except: self.except.clone(),
        }
    }

    /// The plugin whose own a collection is by its name, where that is another.
    pub(crate) fn owner_by_name(&self, collection: &str) -> Option<Arc<str>> {
        (self.registry.list().iter())
            .map(|plugin| &plugin.name)
            .filter(|name| **name != self.owner.plugin)
            .find(|name| self.registry.owns_collection(name, collection))
            .cloned()
    }

    /// Whether the plugin may change a collection anyway, with all its documents.
    pub(crate) fn may_change(&self, collection: &str) -> bool {
        self.generation.as_ref().is_ok_and(|generation| {
            let rule = generation.permissions().collection(collection, false);
            rule.write && !rule.of_user
        })
    }
}
