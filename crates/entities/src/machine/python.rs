//! A migration of Python's: run where the plugin runs, with a database that knows it.

use std::sync::{Arc, atomic::AtomicBool};

use mozaiks_plugins::{
    CallError, CallKind, Input, LiveGeneration, Target,
    dispatch::{Call, DispatchError},
};
use serde_json::json;

use super::{Machine, execute::Stopped, plan::Plan};
use crate::{
    error::EntityError, migration::Script, repository::Place, running::Running, subject::Subject,
};

impl Machine {
    /// Runs `up` or `down` to its end.
    pub(super) async fn run_python(
        &self,
        subject: &Subject,
        plan: &Plan,
        place: &Place,
        held: &Arc<AtomicBool>,
    ) -> Result<(), Stopped> {
        let running = self.repository.running_of(place, held, false)?;
        self.call_python(subject, plan, &running).await
    }

    /// As [`Self::run_python`], with what writes are answered as `running` says.
    pub(super) async fn call_python(
        &self,
        subject: &Subject,
        plan: &Plan,
        running: &Arc<Running>,
    ) -> Result<(), Stopped> {
        let generation: Arc<LiveGeneration> = match &subject.generation {
            Ok(generation) => Arc::clone(generation),
            Err(why) => return Err(Stopped::Failed(why.clone())),
        };
        let Script::Python { source } = &plan.migration.script else {
            return Err(Stopped::Failed("it is not Python's".into()));
        };
        let file = match &plan.migration.file_name {
            Some(name) => name.clone(),
            None => format!("{}_{}.py", plan.migration.version, plan.migration.name),
        };
        let step = json!({ "file": file, "source": source, "direction": plan.direction.as_str() });
        let call = Call {
            kind: CallKind::Migration,
            target: Target::Migration(generation.id()),
            input: Input::Arguments(json!([step]).to_string().into()),
            principal: None,
            app_id: Some(Arc::clone(&subject.owner.app_id)),
            request_id: format!("migration-{}", plan.migration.version).into(),
            timeout: Some(self.config.timeout),
        };
        let begun = self
            .running
            .begin(&self.dispatcher, generation, call, running);
        let ended = match begun {
            Ok(mut call) => call.outcome().await,
            Err(error) => Err(error),
        };
        ended.map_err(|error| {
            Stopped::Failed(match error {
                DispatchError::Call(CallError::Raised { traceback, .. }) => traceback,
                DispatchError::Call(CallError::NotLoaded) => "the plugin is not loaded".into(),
                other => other.to_string(),
            })
        })
    }
}

impl From<Stopped> for EntityError {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Refused(reason) | Stopped::Failed(reason) => Self::Conflict(reason),
            Stopped::Lost => Self::Conflict("the run was lost to another gateway".into()),
        }
    }
}
