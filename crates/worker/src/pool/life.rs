//! Steps of a plugin's life. Each worker has modules of its own, so each takes them; a worker that comes
//! later takes those that still count.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use mozaiks_plugins::{
    CallError, CallId, CallResult, Generation, Input, Invocation, Started, Target, Wants,
};
use tokio::sync::oneshot;

use super::WorkerPool;
use crate::worker::Worker;

/// A step that concerns every worker.
#[derive(Debug, Clone)]
pub(super) struct Step {
    name: Box<str>,
    /// As the gateway wrote it.
    arguments: Bytes,
    app_id: Option<Arc<str>>,
}

/// Steps that each worker takes; any other (a look at its health) is a call like others.
const EVERYWHERE: [&str; 5] = [
    "on_load",
    "on_enable",
    "on_disable",
    "on_unload",
    "on_config_change",
];

impl Step {
    pub(super) fn of(arguments: &Bytes, app_id: Option<&Arc<str>>) -> Option<Self> {
        let parsed: serde_json::Value = serde_json::from_slice(arguments).ok()?;
        let name = parsed.get(0)?.get("name")?.as_str()?;
        EVERYWHERE.contains(&name).then(|| Self {
            name: name.into(),
            arguments: arguments.clone(),
            app_id: app_id.cloned(),
        })
    }

    /// As a call of one more worker.
    fn call(
        &self,
        generation: Generation,
        wants: Wants,
        request_id: Arc<str>,
        timeout: Duration,
    ) -> Invocation {
        Invocation {
            id: CallId::next(),
            target: Target::Life(generation),
            input: Input::Arguments(self.arguments.clone()),
            wants,
            principal: None,
            app_id: self.app_id.clone(),
            request_id,
            timeout,
            permit: None,
            started: Started::default(),
        }
    }
}

impl WorkerPool {
    /// Takes a step in every worker; the answer is the first one's, or the first failure.
    pub(super) fn take_step(
        &self,
        generation: Generation,
        step: Step,
        call: Invocation,
    ) -> oneshot::Receiver<CallResult> {
        let (answer, receiver) = oneshot::channel();
        let workers: Vec<Arc<Worker>> = {
            let state = self.state.lock();
            let workers = state.slots.iter().filter_map(|slot| slot.worker.clone());
            workers.filter(|worker| worker.has(generation)).collect()
        };
        let Some(me) = self.me.upgrade() else {
            return receiver;
        };
        let mut answers = Vec::new();
        let (wants, request_id, timeout) = (call.wants, Arc::clone(&call.request_id), call.timeout);
        // The dispatcher knows the first one's number and has given it a permit.
        let mut first = Some(call);
        for worker in workers {
            let call = first
                .take()
                .unwrap_or_else(|| step.call(generation, wants, Arc::clone(&request_id), timeout));
            answers.push(worker.send(call, (generation, Target::Life(generation))));
        }
        self.handle.spawn(async move {
            let mut outcome: CallResult = Err(CallError::NotLoaded);
            for (at, each) in answers.into_iter().enumerate() {
                let each = each.await.unwrap_or(Err(CallError::NotLoaded));
                if at == 0 || (outcome.is_ok() && each.is_err()) {
                    outcome = each;
                }
            }
            // What was to end is over, however that went.
            if outcome.is_ok() || *step.name == *"on_disable" {
                me.note_step(generation, step);
            }
            answer.send(outcome).ok();
        });
        receiver
    }

    /// What a worker that comes later has to do.
    fn note_step(&self, generation: Generation, step: Step) {
        let mut state = self.state.lock();
        let Some(record) = state.records.get_mut(&generation) else {
            return;
        };
        let is_it = |known: &Step, name: &str| *known.name == *name && known.app_id == step.app_id;
        match &*step.name {
            "on_load" | "on_enable" => {
                record.steps.retain(|known| !is_it(known, &step.name));
                record.steps.push(step);
            }
            "on_disable" => record.steps.retain(|known| !is_it(known, "on_enable")),
            "on_unload" => record.steps.clear(),
            // The new configuration is what a later worker reads.
            _ => {}
        }
    }

    /// Takes, in a new worker, the steps that were taken before.
    ///
    /// # Errors
    /// Which failed, and how.
    pub(super) async fn repeat_steps(
        &self,
        worker: &Worker,
        generation: Generation,
        steps: &[Step],
        timeout: Duration,
    ) -> Result<(), String> {
        for step in steps {
            let request_id = format!("{}-{}", step.name, generation.0).into();
            let call = step.call(generation, Wants::Anything, request_id, timeout);
            let answer = worker.send(call, (generation, Target::Life(generation)));
            match tokio::time::timeout(timeout, answer).await {
                Ok(Ok(Ok(_))) => {}
                Ok(Ok(Err(error))) => return Err(format!("{}: {error}", step.name)),
                Ok(Err(_)) => return Err(format!("{}: the worker has ended", step.name)),
                Err(_) => return Err(format!("{}: it takes too long", step.name)),
            }
        }
        Ok(())
    }
}
