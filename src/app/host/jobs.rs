//! `job.*`: functions that plugins have scheduled.

use std::sync::Arc;

use super::{HostPart, life_error, read_json};
use mozaiks_lifecycle::jobs::{JobSpec, PluginJobs};
use mozaiks_plugins::{
    Generation, HostError, PluginFunction,
    host::{Registration, RegistrationId},
};

/// Joins plugins and their scheduled jobs.
pub struct JobsPart {
    jobs: Arc<PluginJobs>,
}

impl JobsPart {
    /// Over the gateway's jobs.
    pub fn new(jobs: Arc<PluginJobs>) -> Self {
        Self { jobs }
    }
}

impl HostPart for JobsPart {
    fn prefix(&self) -> &'static str {
        "job."
    }

    fn register(
        &self,
        id: RegistrationId,
        registration: &Registration,
        function: &PluginFunction,
    ) -> Option<Result<(), HostError>> {
        (&*registration.kind == "job").then(|| {
            let spec: JobSpec = read_json(&registration.spec)?;
            self.jobs.register(id, &spec, function).map_err(life_error)
        })
    }

    fn unregister(&self, id: RegistrationId) {
        self.jobs.unregister(id);
    }

    fn hand_over(&self, from: Option<Generation>, to: Generation) {
        self.jobs.hand_over(from, to);
    }

    fn forget_generation(&self, generation: Generation) {
        self.jobs.forget_generation(generation);
    }
}
