//! Which events pages may publish: those of which a part of a plugin that serves their app says so.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::{
    generation::{Generation, GenerationPhase, PluginFunction},
    host::RegistrationId,
};

/// The registrations that say so.
#[derive(Default)]
pub struct ClientEvents {
    // Touched at registrations, and by pages that publish; never held across an await.
    declared: Mutex<HashMap<RegistrationId, (Box<str>, PluginFunction)>>,
}

impl ClientEvents {
    /// An event that pages may publish as long as the registration lasts.
    pub fn declare(&self, id: RegistrationId, event: &str, function: &PluginFunction) {
        let declared = (event.into(), function.clone());
        drop(self.declared.lock().insert(id, declared));
    }

    /// The registration has ended.
    pub fn forget(&self, id: RegistrationId) {
        // After the lock: with its last function a load may end, which comes back here.
        let ended = self.declared.lock().remove(&id);
        drop(ended);
    }

    /// A load is gone.
    pub fn forget_generation(&self, generation: Generation) {
        let ended: Vec<_> = {
            let mut declared = self.declared.lock();
            declared
                .extract_if(|_, (_, function)| function.generation.id() == generation)
                .collect()
        };
        drop(ended);
    }

    /// Whether pages of an app may publish an event of this name.
    pub fn may_publish(&self, app_id: &str, event: &str) -> bool {
        self.declared.lock().values().any(|(name, function)| {
            let load = &function.generation;
            **name == *event && load.phase() == GenerationPhase::Active && load.is_on_for(app_id)
        })
    }
}
