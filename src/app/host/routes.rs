//! Registrations of routes, and of what goes round `execute`.

use std::sync::Arc;

use mozaiks_plugins::{
    Generation, HostError, PluginFunction,
    host::{Registration, RegistrationId},
    routes::{PluginRoutes, RouteError, RouteSpec},
};

use super::{HostPart, host_error, read_json};

/// Registrations of routes, and of what goes round `execute`.
pub struct RoutesPart {
    routes: Arc<PluginRoutes>,
}

impl RoutesPart {
    /// Over the gateway's routes of plugins.
    pub fn new(routes: Arc<PluginRoutes>) -> Self {
        Self { routes }
    }
}

impl HostPart for RoutesPart {
    fn prefix(&self) -> &'static str {
        "route."
    }

    fn register(
        &self,
        _: RegistrationId,
        registration: &Registration,
        function: &PluginFunction,
    ) -> Option<Result<(), HostError>> {
        let generation = function.generation.id();
        match &*registration.kind {
            "route" => Some(read_json::<RouteSpec>(&registration.spec).and_then(|spec| {
                let added = self.routes.entry(generation).add(spec, function.clone());
                added.map_err(|error| {
                    let code = match &error {
                        RouteError::Invalid(_) => "VALIDATION_ERROR",
                        RouteError::Taken { .. } => "CONFLICT",
                    };
                    host_error(code, error.to_string())
                })
            })),
            "execute" => {
                function.generation.go_around_execute(function.handler);
                Some(Ok(()))
            }
            _ => None,
        }
    }

    fn forget_generation(&self, generation: Generation) {
        self.routes.forget_generation(generation);
    }
}
