//! Which registered functions are parts of a plugin: their files.

use std::{collections::HashMap, sync::Arc};

use mozaiks_plugins::{
    Generation,
    host::{HandlerId, Registration},
};
use parking_lot::RwLock;
use serde::Deserialize;

/// Bytes of a file's name that are kept.
const MAX_NAME_BYTES: usize = 512;

/// The files of the parts that are registered.
#[derive(Default)]
pub struct PartNames {
    // Written at registrations, read at the end of calls; never held across an await.
    by_handler: RwLock<HashMap<HandlerId, (Generation, Arc<str>)>>,
}

impl PartNames {
    /// Notes a registration, where it is a part's.
    pub(super) fn note(
        &self,
        handler: HandlerId,
        generation: Generation,
        registration: &Registration,
    ) {
        #[derive(Deserialize)]
        struct OfPart {
            part: String,
        }
        let Ok(OfPart { part }) = serde_json::from_slice(&registration.spec) else {
            return;
        };
        if part.len() <= MAX_NAME_BYTES {
            let named = (generation, part.into());
            self.by_handler.write().insert(handler, named);
        }
    }

    /// The file of a function.
    pub fn of(&self, handler: HandlerId) -> Option<Arc<str>> {
        let by_handler = self.by_handler.read();
        by_handler.get(&handler).map(|(_, name)| Arc::clone(name))
    }

    pub(super) fn forget_generation(&self, generation: Generation) {
        let mut by_handler = self.by_handler.write();
        by_handler.retain(|_, (of, _)| *of != generation);
    }
}
