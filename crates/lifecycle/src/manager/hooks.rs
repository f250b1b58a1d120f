//! Running one lifecycle function of a load, and what its failure means.

use std::sync::Arc;

use mozaiks_plugins::{
    CallError, CallKind, Input, LiveGeneration, Target,
    dispatch::{Call, DispatchError},
    registry::Prepared,
};
use serde_json::{Value, json};

use super::{Failure, PluginManager};

impl PluginManager {
    /// A step whose failure stops nothing.
    pub(super) async fn quietly(&self, load: &Prepared, step: Value) {
        if let Err(failure) = self.step(load, step, self.config.app_id.clone()).await {
            self.tell_failure(load.generation.plugin(), &failure);
        }
    }

    /// Runs a lifecycle function.
    pub(super) async fn step(
        &self,
        load: &Prepared,
        step: Value,
        app_id: Option<Arc<str>>,
    ) -> Result<Value, Failure> {
        self.take_step(&load.generation, step, app_id)
            .await
            .map_err(|not| not.failure)
    }

    /// As [`Self::step`], of a load that is known by itself alone.
    pub(super) async fn take_step(
        &self,
        generation: &Arc<LiveGeneration>,
        step: Value,
        app_id: Option<Arc<str>>,
    ) -> Result<Value, NotStepped> {
        let name = step["name"].as_str().unwrap_or_default().to_owned();
        let call = Call {
            kind: CallKind::Life,
            target: Target::Life(generation.id()),
            input: Input::Arguments(json!([step]).to_string().into()),
            principal: None,
            app_id,
            request_id: format!("{name}-{}", generation.id().0).into(),
            timeout: Some(self.config.hook_timeout),
        };
        let pending = self.parts.dispatcher.invoke(Arc::clone(generation), call);
        let outcome = match pending {
            Ok(pending) => pending.await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(reply) => Ok(serde_json::from_slice(&reply.body).unwrap_or_default()),
            Err(error) => {
                let summary = format!("{name}: {error}");
                let is_passing = matches!(
                    error,
                    DispatchError::Overloaded
                        | DispatchError::NotStarted(_)
                        | DispatchError::Call(CallError::NotLoaded)
                );
                let has_crashed = matches!(error, DispatchError::Call(CallError::WorkerCrashed(_)));
                let traceback = match &error {
                    DispatchError::Call(CallError::Raised { traceback, .. }) => traceback.clone(),
                    other => other.to_string(),
                };
                let failure = Failure {
                    step: name,
                    summary,
                    traceback,
                };
                Err(NotStepped {
                    failure,
                    is_passing,
                    has_crashed,
                })
            }
        }
    }
}

/// Why a lifecycle function gave nothing.
pub(super) struct NotStepped {
    pub(super) failure: Failure,
    /// Whether it was not its own doing: there was no room, or no worker.
    pub(super) is_passing: bool,
    /// Whether its worker has ended under it.
    pub(super) has_crashed: bool,
}

impl Failure {
    /// The line and the traceback.
    pub(super) fn whole(&self) -> String {
        if self.traceback.starts_with(&self.summary) {
            self.traceback.clone()
        } else {
            format!("{}\n{}", self.summary, self.traceback)
        }
    }
}
