//! Which functions a hook has, in the order of their calls.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;

use super::{HookError, HookSpec};
use mozaiks_plugins::{
    GenerationPhase, PluginFunction, host::RegistrationId, manifest::parts::is_hook_name,
};

/// A registered function.
pub(super) struct Entry {
    pub(super) id: RegistrationId,
    pub(super) spec: HookSpec,
    pub(super) function: PluginFunction,
}

/// The functions of all hooks, by name. A list is replaced whole when it changes, so that a chain which has
/// begun goes on with the one that it began with.
#[derive(Default)]
pub(super) struct Table {
    // Written at registrations and their ends, read for every chain.
    by_name: RwLock<HashMap<Box<str>, Arc<Vec<Arc<Entry>>>>>,
}

impl Table {
    pub(super) fn add(
        &self,
        id: RegistrationId,
        spec: HookSpec,
        function: &PluginFunction,
        most: usize,
    ) -> Result<(), HookError> {
        if !is_hook_name(&spec.hook_name) {
            return Err(HookError::BadName);
        }
        let mut by_name = self.by_name.write();
        let name: Box<str> = spec.hook_name.as_str().into();
        let known = by_name.entry(name).or_default();
        if known.len() >= most {
            return Err(HookError::TooMany(most));
        }
        let mut entries = known.to_vec();
        entries.push(Arc::new(Entry {
            id,
            spec,
            function: function.clone(),
        }));
        entries.sort_by(|one, other| {
            let key = |entry: &Entry| (entry.spec.priority, entry.id);
            let plugin = |entry: &Entry| Arc::clone(entry.function.generation.plugin());
            (one.spec.priority.cmp(&other.spec.priority))
                .then_with(|| plugin(one).cmp(&plugin(other)))
                .then_with(|| key(one).cmp(&key(other)))
        });
        *known = Arc::new(entries);
        Ok(())
    }

    pub(super) fn remove(&self, ends: impl Fn(&Entry) -> bool) {
        let mut gone = Vec::new();
        let mut by_name = self.by_name.write();
        by_name.retain(|_, entries| {
            if entries.iter().any(|entry| ends(entry)) {
                let left = entries.iter().filter(|entry| !ends(entry)).cloned();
                let left = Arc::new(left.collect());
                gone.push(std::mem::replace(entries, left));
            }
            !entries.is_empty()
        });
        drop(by_name);
        // After the lock: with its last function a load may end, which comes back here.
        drop(gone);
    }

    /// Those that serve an app now.
    pub(super) fn of(&self, name: &str, app_id: &str) -> Vec<Arc<Entry>> {
        let entries = self.by_name.read().get(name).cloned();
        let Some(entries) = entries else {
            return Vec::new();
        };
        let serves = |entry: &&Arc<Entry>| {
            let generation = &entry.function.generation;
            generation.phase() == GenerationPhase::Active && generation.is_on_for(app_id)
        };
        entries.iter().filter(serves).cloned().collect()
    }
}
