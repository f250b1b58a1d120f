//! `hooks.*`: filters and actions, for plugins that apply them and plugins that have them.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use mozaiks_hooks::{Applicant, HookSpec, Hooks};
use mozaiks_plugins::{
    Caller, Generation, GenerationPhase, HostError, PluginFunction,
    host::{Registration, RegistrationId},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Apps, HostFuture, HostPart, host_error, load_has_ended, read_json, unknown, write_json,
};
use crate::refusals::hook_error;

/// Joins plugins and their hooks.
pub struct HooksPart {
    hooks: Arc<Hooks>,
    apps: Apps,
}

/// What is applied.
#[derive(Deserialize)]
struct Applied<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(borrow, default)]
    args: Vec<&'a RawValue>,
}

impl HooksPart {
    /// Over the gateway's hooks.
    pub fn new(hooks: Arc<Hooks>, apps: Apps) -> Self {
        Self { hooks, apps }
    }

    fn applicant(&self, caller: Caller) -> Result<Applicant, HostError> {
        Ok(Applicant {
            app_id: self.apps.require(&caller)?,
            principal: caller.principal,
            request_id: caller.request_id.unwrap_or_else(|| "hook".into()),
            within: caller.call,
            is_page: false,
        })
    }
}

impl HostPart for HooksPart {
    fn prefix(&self) -> &'static str {
        "hooks."
    }

    fn query(&self, caller: &Caller, operation: &str, payload: &[u8]) -> Result<Bytes, HostError> {
        #[derive(Deserialize)]
        struct Which {
            name: String,
        }
        if operation != "hooks.list" {
            return Err(unknown(operation));
        }
        let app_id = self.apps.require(caller)?;
        let Which { name } = read_json(payload)?;
        write_json(&self.hooks.list(&app_id, &name))
    }

    fn request(&self, caller: Caller, operation: &str, payload: Bytes) -> HostFuture {
        let is_action = match operation {
            "hooks.apply" => false,
            "hooks.do" => true,
            other => {
                let error = unknown(other);
                return Box::pin(async move { Err(error) });
            }
        };
        let hooks = Arc::clone(&self.hooks);
        let by = self.applicant(caller);
        Box::pin(async move {
            let by = by?;
            let Applied { name, value, args } = serde_json::from_slice(&payload)
                .map_err(|error| host_error("VALIDATION_ERROR", error.to_string()))?;
            if is_action {
                let done = hooks.act(&by, &name, &args).await;
                return done
                    .map(|()| Bytes::from_static(b"null"))
                    .map_err(hook_error);
            }
            let applied = hooks.apply(&by, &name, value.unwrap_or(RawValue::NULL), &args);
            applied.await.map_err(hook_error)
        })
    }

    fn register(
        &self,
        id: RegistrationId,
        registration: &Registration,
        function: &PluginFunction,
    ) -> Option<Result<(), HostError>> {
        (&*registration.kind == "hook").then(|| {
            if function.generation.phase() == GenerationPhase::Retired {
                return Err(load_has_ended());
            }
            let spec: HookSpec = read_json(&registration.spec)?;
            self.hooks.register(id, spec, function).map_err(hook_error)
        })
    }

    fn unregister(&self, id: RegistrationId) {
        self.hooks.unregister(id);
    }

    fn forget_generation(&self, generation: Generation) {
        self.hooks.forget_generation(generation);
    }
}
