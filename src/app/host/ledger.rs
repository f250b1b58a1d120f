//! What each load of each plugin has registered, so that it ends when the load is disabled and returns
//! when it is enabled again.
//!
//! While a load has not served yet, the parts themselves hold what it registers. Routes are there from
//! the start: whether they answer is the plugin's state.

use std::collections::HashMap;

use mozaiks_plugins::{
    Generation, HostError, PluginFunction,
    host::{Registration, RegistrationId},
};
use parking_lot::Mutex;

use super::host_error;

/// Registrations of one load.
const MAX_REGISTRATIONS: usize = 8192;

/// Kinds that say what a load is, and not what it listens to.
const FIXED: [&str; 2] = ["execute", "route"];

/// One registration.
#[derive(Clone)]
pub(super) struct Entry {
    pub id: RegistrationId,
    pub registration: Registration,
    pub function: PluginFunction,
}

/// Registrations by load.
#[derive(Default)]
pub(super) struct Ledger {
    // Touched at registrations and steps of life; never held while a part is asked.
    loads: Mutex<HashMap<Generation, Load>>,
}

#[derive(Default)]
struct Load {
    suspended: bool,
    /// How many of the entries were registered before the load was enabled.
    from_loading: Option<usize>,
    entries: Vec<Entry>,
    fixed: usize,
}

impl Ledger {
    /// Notes a registration; whether it is to be offered to the parts now.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED`.
    pub(super) fn note(&self, entry: Entry) -> Result<bool, HostError> {
        let mut loads = self.loads.lock();
        let load = loads.entry(entry.function.generation.id()).or_default();
        if load.entries.len() + load.fixed >= MAX_REGISTRATIONS {
            return Err(host_error(
                "LIMIT_EXCEEDED",
                format!("a plugin registers at most {MAX_REGISTRATIONS} functions"),
            ));
        }
        if FIXED.contains(&&*entry.registration.kind) {
            load.fixed += 1;
            return Ok(true);
        }
        load.entries.push(entry);
        Ok(!load.suspended)
    }

    /// Takes a registration back; to be dropped after the lock, as with its last function a load may
    /// end, which comes back here.
    #[must_use]
    pub(super) fn strike(&self, id: RegistrationId, generation: Generation) -> Option<Entry> {
        self.loads.lock().get_mut(&generation)?.strike(id)
    }

    /// As [`Self::strike`], where the load is not known.
    #[must_use]
    pub(super) fn strike_anywhere(&self, id: RegistrationId) -> Option<Entry> {
        let mut loads = self.loads.lock();
        loads.values_mut().find_map(|load| load.strike(id))
    }

    /// What is registered from here on goes when the load is disabled.
    pub(super) fn begin_enabling(&self, generation: Generation) {
        let mut loads = self.loads.lock();
        let load = loads.entry(generation).or_default();
        load.from_loading = Some(load.entries.len());
    }

    /// The load listens again; gives what there is to offer.
    pub(super) fn resume(&self, generation: Generation) -> Vec<Entry> {
        let mut loads = self.loads.lock();
        let load = loads.entry(generation).or_default();
        load.suspended = false;
        load.entries.clone()
    }

    /// The load listens no more; gives what there is to withdraw.
    pub(super) fn suspend(&self, generation: Generation) -> Vec<Entry> {
        let mut loads = self.loads.lock();
        let Some(load) = loads.get_mut(&generation) else {
            return Vec::new();
        };
        load.suspended = true;
        let all = load.entries.clone();
        if let Some(count) = load.from_loading.take() {
            // What is cut off is in `all` too, and ends with it, after the lock.
            load.entries.truncate(count);
        }
        all
    }

    /// Forgets a load; what it had is given back, to be dropped after the lock.
    #[must_use]
    pub(super) fn forget(&self, generation: Generation) -> Vec<Entry> {
        let load = self.loads.lock().remove(&generation);
        load.map(|load| load.entries).unwrap_or_default()
    }
}

impl Load {
    fn strike(&mut self, id: RegistrationId) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| entry.id == id)?;
        if let Some(count) = &mut self.from_loading
            && at < *count
        {
            *count -= 1;
        }
        Some(self.entries.remove(at))
    }
}
