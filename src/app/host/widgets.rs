//! Registrations of functions that render widgets.

use std::sync::Arc;

use mozaiks_plugins::{
    Generation, HostError, PluginFunction,
    host::{Registration, RegistrationId},
    renders::Renders,
};
use serde::Deserialize;

use super::{HostPart, read_json};

/// Joins plugins and their widgets of HTML.
pub struct WidgetsPart {
    renders: Arc<Renders>,
}

impl WidgetsPart {
    /// Over the gateway's widgets.
    pub fn new(renders: Arc<Renders>) -> Self {
        Self { renders }
    }
}

impl HostPart for WidgetsPart {
    fn prefix(&self) -> &'static str {
        "widget."
    }

    fn register(
        &self,
        id: RegistrationId,
        registration: &Registration,
        function: &PluginFunction,
    ) -> Option<Result<(), HostError>> {
        #[derive(Deserialize)]
        struct ForWidget {
            file: String,
        }
        (&*registration.kind == "widget").then(|| {
            let ForWidget { file } = read_json(&registration.spec)?;
            self.renders.add(id, &file, function);
            Ok(())
        })
    }

    fn unregister(&self, id: RegistrationId) {
        self.renders.forget(id);
    }

    fn forget_generation(&self, generation: Generation) {
        self.renders.forget_generation(generation);
    }
}
