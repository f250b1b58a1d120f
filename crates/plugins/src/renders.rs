//! Which functions of plugins make the HTML of their widgets.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::{
    generation::{Generation, PluginFunction},
    host::RegistrationId,
};

/// The functions, by load and file.
#[derive(Default)]
pub struct Renders {
    // Touched at registrations, and when a widget is rendered; never held across an await.
    functions: Mutex<HashMap<RegistrationId, (Box<str>, PluginFunction)>>,
}

impl Renders {
    /// The function of a file below `widgets/`.
    pub fn add(&self, id: RegistrationId, file: &str, function: &PluginFunction) {
        let added = (file.into(), function.clone());
        let before = self.functions.lock().insert(id, added);
        drop(before);
    }

    /// The registration has ended.
    pub fn forget(&self, id: RegistrationId) {
        // After the lock: with its last function a load may end, which comes back here.
        let ended = self.functions.lock().remove(&id);
        drop(ended);
    }

    /// A load is gone.
    pub fn forget_generation(&self, generation: Generation) {
        let ended: Vec<_> = {
            let mut functions = self.functions.lock();
            functions
                .extract_if(|_, (_, function)| function.generation.id() == generation)
                .collect()
        };
        drop(ended);
    }

    /// The function of a load's file.
    pub fn find(&self, generation: Generation, file: &str) -> Option<PluginFunction> {
        let functions = self.functions.lock();
        let mut of = functions.values();
        let found =
            of.find(|(name, function)| **name == *file && function.generation.id() == generation);
        found.map(|(_, function)| function.clone())
    }
}
